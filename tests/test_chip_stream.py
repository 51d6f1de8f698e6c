"""A chip in the stream: in place of the network in a pipeline, a replay, a daemon; and beside the network."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
from cli import PATIENCE_S, start
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import called
from network_cases import SLOW_START
from small import SIZE, config, fed, noise, pieces, same_state, total
from test_replay import KEYS

import spikestream as ss
from spikestream.batch import EVENT, Events, Label, Setting, Spikes
from spikestream.building import build
from spikestream.cli.base.drawing import write_figure
from spikestream.config import from_tables, read_config
from spikestream.errors import ConfigError, ModelError
from spikestream.files.placements import write_placement
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.placement import PIN
from spikestream.plots import chip_picture
from spikestream.service.beside import Alike
from spikestream.service.defaults import tables_of_chip
from spikestream.service.job import Job
from spikestream.service.session import Session

STOP = 60_000


def lively(seed: int = 3, inputs: int = 32, outputs: int = 5) -> CrossbarPlacement:
    """Return a chip of three cores with recurrent ways and delays, fed by all pixels of the small sensor."""
    rng = np.random.default_rng(seed)
    target = np.where(rng.random((3, 12)) < 0.5, PIN, rng.integers(0, 3, (3, 12)))
    rows = np.stack([np.arange(inputs), rng.integers(0, 3, inputs), rng.integers(0, 16, inputs)], axis=1)
    given = {"crossbar": rng.random((3, 16, 12)) < 0.5, "weights": rng.integers(-2, 6, (3, 12, 4))}
    given |= {"threshold": rng.integers(2, 9, (3, 12)), "axon_type": rng.integers(0, 4, (3, 16))}
    given |= {"delay": rng.integers(1, 16, (3, 12)), "target_axon": rng.integers(0, outputs, (3, 12)), "reset_mode": 1}
    inputs_of = np.concatenate([rows, rng.integers(0, 16, (inputs, 1))], axis=1)
    return CrossbarPlacement.of(
        3, 16, 12, target_core=target, outputs=outputs, inputs=inputs_of, input_count=inputs, **given
    )


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    path = tmp_path_factory.mktemp("chip") / "chip.npz"
    write_placement(path, lively())
    return str(path)


def on_chip(path, **sections):
    return build(config(chip={"placement": path}, **sections))


COMMANDS = [
    Label(10_000, 0, 10_000, "a"),
    Label(25_500, 10_000, 20_000, "b"),
    Setting(30_200, "learn.enabled", False),
    Label(41_000, 30_000, 40_000, "a"),
    Setting(50_000, "learn.enabled", True),
]


# The pipeline.


def test_a_chip_takes_the_place_of_the_network(placed):
    made = on_chip(placed)
    assert list(made.stages) == ["filter", "address", "chip", "readout"]
    assert made.stages["chip"].placement.digest.tolist() == lively().digest.tolist()
    out = total(fed(made, [noise(0, STOP)], COMMANDS))
    twin = ss.Chip(lively())
    seen = [row[1] for row in out["chip"]]
    expected = twin(spikes_of(out["address"], STOP))
    assert seen == expected.axon.tolist()
    assert len(seen) > 100
    assert {row[1].label for row in out["readout"]} >= {"a", "b"}


def spikes_of(rows, stop):
    return Spikes(0, stop, np.array([t for t, _ in rows]), np.array([axon for _, axon in rows], np.int32))


@given(
    cuts=st.lists(st.integers(0, STOP) | st.sampled_from(range(0, STOP, 1_000)), max_size=10),
    gap=st.sampled_from([0, 1, 999, 5_000, 70_000_000]),
)
@settings(SLOW_START, max_examples=30)
def test_however_the_stream_is_cut_the_result_is_the_same(cuts, gap, placed):
    parts = [noise(0, 30_000), noise(30_000 + gap, STOP + gap, seed=1)]
    one, other = on_chip(placed), on_chip(placed)
    whole = total(fed(one, parts, COMMANDS))
    cut = total(fed(other, [piece for part in parts for piece in pieces(part, cuts)], COMMANDS))
    assert whole == cut
    assert same_state(one, other)
    assert len(whole["chip"]) > 50


def test_a_saved_pipeline_goes_on_bit_for_bit(placed, tmp_path):
    first, second = pieces(noise(0, STOP), [29_321])
    one = on_chip(placed)
    fed(one, [first], COMMANDS[:2])
    ss.save(tmp_path / "s.npz", one)
    other = ss.load(tmp_path / "s.npz")
    assert total(fed(one, [second], COMMANDS[2:])) == total(fed(other, [second], COMMANDS[2:]))
    assert same_state(one, other)


def test_a_checkpoint_fits_no_other_placement(placed, tmp_path):
    path = tmp_path / "chip.npz"
    write_placement(path, lively())
    ss.save(tmp_path / "s.npz", on_chip(str(path)))
    write_placement(path, lively(4))
    with pytest.raises(ModelError, match="another chip"):
        ss.load(tmp_path / "s.npz")


def test_ticks_are_those_of_the_chip_else_of_the_network(placed):
    assert on_chip(placed).stages["chip"].tick_us == 1_000
    assert on_chip(placed, network={"tick_us": 500}).stages["chip"].tick_us == 500
    both = build(config(chip={"placement": placed, "tick_us": 2_000}, network={"tick_us": 500}))
    assert both.stages["chip"].tick_us == 2_000
    with pytest.raises(ConfigError, match="no multiple"):
        build(config(chip={"placement": placed, "tick_us": 3_000}))


@pytest.mark.parametrize(
    ("chip", "words", "kind"),
    [
        ({"placement": "PLACED", "model": "m.npz"}, "not both", ConfigError),
        ({"model": "m.npz"}, "has to be compiled", ConfigError),
        ({"placement": "none.npz"}, "cannot read", ModelError),
        ({"placement": "PLACED", "threads": 3}, "threads", ConfigError),
        ({"placement": "PLACED", "tick_us": -1}, "out of range", ConfigError),
    ],
)
def test_a_chip_that_cannot_be_is_refused(placed, chip, words, kind):
    with pytest.raises(kind, match=words):
        build(config(chip={key: placed if value == "PLACED" else value for key, value in chip.items()}))


def test_a_sensor_of_another_size_is_told_with_both_numbers(placed):
    with pytest.raises(ConfigError, match="32 inputs, and what feeds it has 128 axons") as caught:
        on_chip(placed, sensor={"size": "8x8"})
    assert "downsample" in caught.value.remedy


# A replay.


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "a.aedat4"
    whole = noise(0, 400_000, rate_hz=5_000)
    ss.write(path, whole, size=SIZE)
    return path


SMALL = ("--speed", "max", "--set", "readout.window_us=10000", "--set", "filter=[]")


def test_a_replay_on_a_placement_tells_what_the_chip_counted(placed, recording, tmp_path):
    made = json.loads(called("replay", recording, *SMALL, "--placement", placed, "--json").stdout)
    assert set(made) == KEYS | {"chip"}
    assert set(made["chip"]) == {"law", "cores", "latency_ticks", "latency_ms", "counters"}
    assert made["spikes_out"] > 500
    assert made["chip"]["counters"]["axon_events"] > 1_000
    other = called("replay", recording, *SMALL, "--placement", placed, "--set", "batch.length_us=777", "--json")
    assert json.loads(other.stdout)["output_sha256"] == made["output_sha256"]
    assert json.loads(other.stdout)["state_sha256"] == made["state_sha256"]
    text = called("replay", recording, *SMALL, "--placement", placed, "--target", "chip")
    assert "law truenorth/1, 3 cores" in text.stdout
    assert "every hop closes" in text.stdout
    plain = json.loads(called("replay", recording, *SMALL, "--set", f"chip.placement={placed}", "--json").stdout)
    assert plain["output_sha256"] == made["output_sha256"]


def test_a_record_of_a_run_on_a_chip_replays_alone(placed, recording, tmp_path):
    args = ["--placement", placed, "--record", tmp_path / "r", "--save", tmp_path / "m.npz", "--json"]
    first = json.loads(called("replay", recording, *SMALL, *args).stdout)
    again = json.loads(called("replay", tmp_path / "r", "--speed", "max", "--json").stdout)
    same = ("events_in", "spikes_out", "decisions", "state_sha256", "output_sha256")
    assert {key: again[key] for key in same} == {key: first[key] for key in same}
    assert ss.load(tmp_path / "m.npz").now == 400_000


def test_a_run_on_a_chip_is_drawn(placed, recording, tmp_path):
    called("replay", recording, *SMALL, "--placement", placed, "--plot", tmp_path / "p")
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["chip.png", "decisions.png", "raster.png"]
    twin = ss.Chip(lively())
    twin.watch()
    spikes = ss.Address(SIZE)(ss.read(recording))
    twin(replace(spikes, stop=400_000))
    heard = np.bincount(spikes.axon, minlength=32)
    write_figure(str(tmp_path / "twin.png"), chip_picture(lively(), twin.fires, heard, ticks=400))
    assert (tmp_path / "p" / "chip.png").read_bytes() == (tmp_path / "twin.png").read_bytes()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--target", "chip"], "spikestream replay {} --labels FILE"),
        (["--target", "both"], "--model model.npz --target both"),
        (["--target", "both", "--placement", "x.npz"], "--model model.npz --target both"),
        (["--target", "ship"], "did you mean 'chip'?"),
        (["--target", "float", "--placement", "x.npz"], "--target chip"),
    ],
)
def test_a_target_without_a_trained_network_says_how_to_train_one(recording, args, words):
    done = called("replay", recording, *SMALL, *args, code=2)
    assert words.format(recording) in done.stderr
    assert done.stderr.count("error:") == 1


def test_the_target_float_leaves_the_chip_of_a_configuration_out(placed, recording):
    some = [*SMALL, "--set", "network.neurons=5", "--json"]
    plain = json.loads(called("replay", recording, *some).stdout)
    left = json.loads(
        called("replay", recording, *some, "--set", f"chip.placement={placed}", "--target", "float").stdout
    )
    assert left["output_sha256"] == plain["output_sha256"]


# A daemon.


def test_a_daemon_publishes_the_spikes_of_its_chip_and_goes_on_from_its_checkpoint(placed, recording, tmp_path):
    url = f"unix://{tmp_path}/s.sock"
    (tmp_path / "d.toml").write_text(
        f'filter = []\n[sensor]\nuri = "{recording}"\nspeed = "0.05"\n[chip]\nplacement = "{placed}"\n'
        f'[readout]\nwindow_us = 10000\n[publish]\nurls = ["{url}"]\n[checkpoint]\npath = "{tmp_path}/state.npz"\n'
    )
    for message in ("publishing at", "goes on with what"):
        with start("run", tmp_path / "d.toml") as daemon:
            seen = []
            while "running" not in (line := daemon.stderr.readline()):
                assert line, seen
                seen.append(line)
            assert any(message in line for line in seen)
            heard = []
            for heard_of in ss.Client(url, ["main.chip.spikes"]):
                heard.append(heard_of)
                if sum(len(one.data) for one in heard) > 100:
                    break
            daemon.send_signal(signal.SIGTERM)
            ledger = daemon.communicate(timeout=PATIENCE_S)[1]
        assert daemon.returncode == 0
        assert "into chip" in ledger
        assert "MISSING" not in ledger
    twin = ss.Chip(lively())
    whole = ss.read(recording)
    made = twin(ss.Address(SIZE)(whole))
    first, last = heard[0].start, heard[-1].stop
    expected = made.axon[(made.t >= first) & (made.t < last)]
    assert np.concatenate([one.data["axon"] for one in heard]).tolist() == expected.tolist()
    assert ss.load(tmp_path / "state.npz").now >= last


def test_the_example_configuration_is_one(tmp_path, monkeypatch):
    from cli import ROOT

    made = read_config(ROOT / "config" / "chip.toml")
    assert (made.chip.model, made.chip.target, made.learn.enabled) == ("model.npz", "truenorth", False)


# Beside the network.


def naive_alike(pairs, neurons, window_us, stop):
    """Return Pearson's r of counts by window and neuron, of whole windows."""
    tables = []
    for spikes in pairs:
        table = np.zeros((stop // window_us, neurons))
        for t, axon in zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True):
            if t // window_us < len(table):
                table[t // window_us, axon] += 1
        tables.append(table.ravel())
    return np.corrcoef(*tables)[0, 1]


@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 45_300), max_size=8))
@settings(max_examples=40, deadline=None)
def test_the_correlation_is_pearson_s_however_it_is_cut(seed, cuts):
    rng = np.random.default_rng(seed)
    both = []
    for _ in range(2):
        t = np.sort(rng.integers(0, 45_300, 200))
        both.append(Spikes(0, 45_300, t, rng.integers(0, 4, 200).astype(np.int32)))
    alike = Alike(4, 10_000)
    for one, other in zip(pieces(both[0], cuts), pieces(both[1], cuts), strict=True):
        alike.add(one, other)
    assert alike.correlation() == pytest.approx(naive_alike(both, 4, 10_000, 40_000), abs=1e-5)


def test_nothing_that_changes_has_no_correlation():
    alike = Alike(2, 1_000)
    assert alike.correlation() is None
    silence = Spikes(0, 5_000, np.empty(0, np.int64), np.empty(0, np.int32))
    alike.add(silence, silence)
    assert alike.correlation() is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train on ON and OFF noise taking turns, with labels; return recording, labels, model and its placement."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(5)
    data = np.zeros(6_000, EVENT)
    data["t"] = np.sort(rng.integers(0, 2_000_000, len(data)))
    data["x"], data["y"] = rng.integers(0, 4, (2, len(data)))
    data["p"] = (data["t"] // 50_000 % 2 == 0) == (rng.random(len(data)) < 0.9)
    ss.write(folder / "a.aedat4", Events(0, 2_000_000, data, SIZE), size=SIZE)
    rows = [f"{k * 50_000},{(k + 1) * 50_000},{'ab'[k % 2]},{'test' if k >= 28 else 'train'}" for k in range(40)]
    (folder / "a.csv").write_text("\n".join(["start_us,stop_us,label,split", *rows]))
    base = [folder / "a.aedat4", "--speed", "max", "--labels", folder / "a.csv"]
    more = ["--set", "filter=[]", "--set", "network.neurons=6", "--set", "network.theta_plus=0.05"]
    more += ["--set", "network.inhibition=1.0"]
    called("replay", *base, *more, "--save", folder / "m.npz", "-q")
    called("emulate", folder / "m.npz", "--ticks", 1, "--save", folder / "c.npz")
    return [*base, "--model", folder / "m.npz"], folder


def run_of(*args):
    """Return the decisions and the summary of a replay."""
    *rows, summary = map(json.loads, called("replay", *args, "--jsonl", "-q").stdout.splitlines())
    return {(row["start"], row["stop"]): row["label"] for row in rows}, summary


def test_both_side_by_side_are_what_each_is_alone(trained):
    base, folder = trained
    alone, plain = run_of(*base, "--no-learn")
    on_it, chip = run_of(*base, "--no-learn", "--placement", folder / "c.npz")
    decided, both = run_of(*base, "--no-learn", "--target", "both")
    assert set(both) == KEYS | {"chip", "float", "agreement", "compared", "spike_correlation"}
    assert both["float"]["spikes_out"] == plain["spikes_out"] > 50
    assert both["float"]["accuracy"] == plain["accuracy"]
    assert both["output_sha256"] == chip["output_sha256"]  # the model was compiled to the same placement
    assert decided == on_it
    assert both["compared"] == len(alone) == 40
    assert both["agreement"] == sum(alone[window] == on_it[window] for window in alone) / 40
    assert both["chip"]["latency_ms"] == both["chip"]["latency_ticks"] * 1.0
    assert both["spike_correlation"] > 0.3


def test_agreement_is_the_share_of_windows_decided_alike(trained, tmp_path):
    base, _ = trained
    write_placement(tmp_path / "other.npz", lively(outputs=6))
    other = [*base, "--placement", tmp_path / "other.npz", "--no-learn"]
    on_it, _ = run_of(*other)
    plain, _ = run_of(*base, "--no-learn")
    _, both = run_of(*other, "--target", "both")
    alike = sum(plain[window] == on_it[window] for window in plain)
    assert 0 < alike < 40
    assert both["agreement"] == alike / 40


def test_the_network_beside_the_chip_does_not_learn_but_both_readouts_do(trained):
    base, folder = trained
    _, plain = run_of(*base, "--no-learn")
    _, both = run_of(*base, "--placement", folder / "c.npz", "--target", "both")
    assert both["float"]["spikes_out"] == plain["spikes_out"]
    assert both["float"]["prequential_accuracy"] is not None
    assert both["prequential_accuracy"] is not None
    _, again = run_of(*base, "--placement", folder / "c.npz", "--target", "both", "--set", "batch.length_us=1300")
    same = ("agreement", "spike_correlation", "float", "output_sha256", "state_sha256")
    assert {key: again[key] for key in same} == {key: both[key] for key in same}


def test_labels_come_along_with_a_model_that_is_compiled(trained):
    base, folder = trained
    source = {"uri": str(base[0]), "speed": "max"}
    from_model = tables_of_chip(str(folder / "m.npz"))
    tables = {**from_model, "sensor": {**from_model["sensor"], **source}, "chip": {"model": str(folder / "m.npz")}}
    session = Session(Job(from_tables(tables)))
    assert session.core == "chip"
    with np.load(folder / "m.npz") as saved:
        assert saved["readout/votes"].sum() > 0
        assert np.array_equal(session.pipeline.stages["readout"].state()["votes"], saved["readout/votes"])


def test_a_model_saved_on_a_chip_has_no_network_to_compile(trained, tmp_path):
    base, folder = trained
    called("replay", *base, "--placement", folder / "c.npz", "--save", tmp_path / "s.npz", "-q")
    done = called("emulate", tmp_path / "s.npz", code=6)
    assert "it was saved with a chip in its place" in done.stderr


def test_a_recording_of_another_size_does_not_fit_the_compiled_chip(trained, tmp_path):
    _, folder = trained
    whole = noise(0, 10_000)
    ss.write(tmp_path / "b.aedat4", whole, size=(8, 8))
    done = called("replay", tmp_path / "b.aedat4", "--placement", folder / "c.npz", "--speed", "max", code=2)
    assert "32 inputs, and what feeds it has 128 axons" in done.stderr
    done = called("emulate", folder / "m.npz", "--input", tmp_path / "b.aedat4", code=2)
    assert "32 inputs, and what feeds it has 128 axons" in done.stderr


def test_a_daemon_says_that_it_compiles_and_ends_with_its_sensor(trained, tmp_path):
    base, folder = trained
    text = f'[sensor]\nuri = "{base[0]}"\nspeed = "max"\n[chip]\nmodel = "{folder / "m.npz"}"\n'
    (tmp_path / "d.toml").write_text(text)
    assert f"compiling {folder / 'm.npz'} for a truenorth chip" in called("run", tmp_path / "d.toml").stderr
