"""``replay --at`` and models of their own in a configuration: run, recorded, and the same again."""

from __future__ import annotations

import json

import pytest
from cli import LOOKS
from inprocess import called

from spikestream.checkpoint import config_of

SAME = ("spikes_out", "decisions", "duration_us", "accuracy", "state_sha256", "output_sha256")
QUICK = ("--speed", "max", "--to", "3s", "--set", "readout.window_us=100000", "--json", "-q")
MODEL = """
tick_us = 1000
outputs = ["cells"]
[inputs.eye]
[populations.cells]
size = 20
neuron = "lif"
v_thresh = 12.0
theta_plus = 0.5
[projections.see]
source = "eye"
target = "cells"
weights = [0.0, 0.6]
rules = [{kind = "pair", a_plus = 0.02, a_minus = 0.01}, {kind = "rstdp", w_max = 1.0}]
[projections.rivals]
source = "cells"
target = "cells"
connect = "lateral"
weights = -8.0
"""


def played(*args):
    return json.loads(called("replay", *args).stdout)


def test_a_setting_at_a_time_changes_the_run_and_its_record_replays_the_same(tmp_path):
    plain = played(LOOKS, *QUICK)
    changed = played(
        LOOKS, *QUICK, "--at", "1s", "network.v_thresh=0.6", "--at", "1500ms", "learn.enabled=false",
        "--record", tmp_path / "r.rec",
    )  # fmt: skip
    assert changed["output_sha256"] != plain["output_sha256"]
    again = played(tmp_path / "r.rec", "--speed", "max", "--json", "-q")
    assert {key: again[key] for key in SAME} == {key: changed[key] for key in SAME}
    other = played(LOOKS, *QUICK, "--at", "1s", "network.v_thresh=0.6", "--set", "batch.length_us=7000")
    early = played(LOOKS, *QUICK, "--at", "1s", "network.v_thresh=0.6")
    assert other["output_sha256"] == early["output_sha256"]


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (("1s", "network.v_tresh=1"), "network.v_thresh"),
        (("1s", "network.v_thresh"), "is no setting"),
        (("1s", "network.v_thresh=high"), "a number"),
        (("soon", "network.v_thresh=1"), "soon"),
        (("1s", "network.tau_m_ms=0"), "above 0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_runs(at, told):
    assert told in called("replay", LOOKS, *QUICK, "--at", *at, code=2).stderr


def test_a_model_runs_is_rewarded_saved_and_goes_on(tmp_path):
    (tmp_path / "model.toml").write_text(MODEL)
    rows = ["start_us,stop_us,label,split,reward"]
    rows += [f"{t},{t + 200_000},a,train,{(t // 200_000) % 2}" for t in range(0, 2_000_000, 200_000)]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    use = ("--set", f"model.file={tmp_path / 'model.toml'}")
    first = played(LOOKS, *QUICK, *use, "--save", tmp_path / "m.npz", "--record", tmp_path / "r.rec")
    assert first["spikes_out"] > 100
    again = played(tmp_path / "r.rec", "--speed", "max", "--json", "-q")
    assert {key: again[key] for key in SAME} == {key: first[key] for key in SAME}
    (tmp_path / "model.toml").unlink()  # the saved model has all of it
    assert config_of(tmp_path / "m.npz").model["populations"]["cells"]["size"] == 20
    assert played(LOOKS, *QUICK, "--model", tmp_path / "m.npz")["spikes_out"] != first["spikes_out"]


def test_the_model_that_comes_along_runs_and_is_shown():
    model = LOOKS.parent.parent / "config" / "populations.toml"
    assert played(LOOKS, *QUICK, "--set", f"model.file={model}")["spikes_out"] > 100
    assert "100  lif" in called("model", "show", model, "--size", "16x16").stdout
    assert "--size WxH" in called("model", "show", model, code=2).stderr


def test_a_model_that_does_not_fit_the_sensor_is_refused(tmp_path):
    (tmp_path / "model.toml").write_text(MODEL.replace("[inputs.eye]", "[inputs.eye]\nsize = 7"))
    told = called("replay", LOOKS, *QUICK, "--set", f"model.file={tmp_path / 'model.toml'}", code=2).stderr
    assert "7 axons" in told
    assert "missing.toml" in called("replay", LOOKS, *QUICK, "--set", "model.file=missing.toml", code=2).stderr


CONV = """
[inputs.eye]
[populations.cells]
shape = [4, 15, 15]
v_thresh = 2.0
[projections.see]
source = "eye"
target = "cells"
connect = "conv"
kernel = 3
weights = [0.0, 1.0]
"""


def test_an_input_has_the_shape_of_what_the_sensor_gives(tmp_path):
    (tmp_path / "conv.toml").write_text(CONV)
    use = ("--set", f"model.file={tmp_path / 'conv.toml'}")
    assert played(LOOKS, *QUICK, *use)["spikes_out"] > 100
    assert "2 x 17 x 17" in called("model", "show", tmp_path / "conv.toml", "--size", "17x17").stdout
    (tmp_path / "conv.toml").write_text(CONV.replace("[inputs.eye]", "[inputs.eye]\nshape = [3, 17, 17]"))
    assert "shape = [2, 17, 17]" in called("replay", LOOKS, *QUICK, *use, code=2).stderr


def test_a_model_set_beside_a_saved_one_counts_and_unused_keys_are_told(tmp_path):
    (tmp_path / "a.toml").write_text(CONV)
    (tmp_path / "b.toml").write_text(CONV.replace("[4, 15, 15]", "[3, 15, 15]"))
    use = ("--set", f"model.file={tmp_path / 'a.toml'}")
    played(LOOKS, *QUICK, *use, "--save", tmp_path / "m.npz")
    other = ("--set", f"model.file={tmp_path / 'b.toml'}")
    assert "does not fit" in called("replay", LOOKS, *QUICK, "--model", tmp_path / "m.npz", *other, code=6).stderr
    for key in ("learn.rule=none", "network.neurons=7"):
        assert "not used beside a model" in called("replay", LOOKS, *QUICK, *use, "--set", key, code=2).stderr
