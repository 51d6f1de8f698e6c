"""The way back: at an alarm what was learned before is there again, and no cut of the stream changes when."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from broken import broken
from cli import LOOKS
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import called
from small import SIZE, config, fed, pieces, same_state, total

from spikestream import checkpoint, checks
from spikestream.batch import EVENT, Events, Label, Setting, Spikes
from spikestream.building import build
from spikestream.errors import ModelError
from spikestream.files.write import write
from spikestream.service.job import Job
from spikestream.service.session import Session
from spikestream.stages.readout import Readout
from spikestream.stages.trust import Guarded, Trust
from spikestream.wire import ClientSession, Message

WINDOW = 10_000


def guarded():
    readout = Readout(16, window_us=5_000)
    return Guarded(readout, {"readout": readout}, Trust(2, 0.9))


def spikes_in_batches():
    rng = np.random.default_rng(1)
    t = np.sort(rng.integers(0, 200_000, 300))
    whole = Spikes(0, 200_000, t, rng.integers(0, 16, 300).astype(np.int32))
    return pieces(whole, range(4_700, 200_000, 4_700))


LABELS = [
    Label(t, t - 5_000, t, name)
    for t, name in zip(range(5_000, 200_000, 5_000), ["a", "b", "a"] * 13, strict=True)
]  # fmt: skip


def test_a_guarded_readout_keeps_the_laws_of_a_stage():
    some = [label for label in LABELS if label.t < 35_000]
    assert broken(checks.stage(guarded, spikes_in_batches()[:8], some)) == set()


def taught(swap):
    """Return events of two kinds of windows, left and right, and their labels, which from window ``swap`` on lie."""
    rng = np.random.default_rng(0)
    parts, labels = [], []
    for number in range(100):
        start, side = number * WINDOW, int(rng.integers(2))
        data = np.zeros(40, EVENT)
        data["t"] = np.sort(rng.integers(start, start + WINDOW, 40))
        data["x"], data["y"] = rng.integers(0, 2, 40) + 2 * side, rng.integers(0, 4, 40)
        name = "ab"[side if number < swap else 1 - side]
        parts.append(data)
        labels.append(Label(start + WINDOW, start, start + WINDOW, name))
    return Events(0, 100 * WINDOW, np.concatenate(parts), SIZE), labels


TRUST = {"window": 20, "rollback": True}
CALM = {"neurons": 8, "v_thresh": 1.0, "inhibition": 3.0, "v_floor": 3.0, "tau_m_ms": 4.0, "theta_plus": 0.02}
CALM = {**CALM, "tau_theta_ms": 20_000.0}
CALM_TABLES = {"network": CALM, "learn": {"tau_plus_ms": 5.0}, "readout": {"memory": 0.05}}
"""A network that is sure of the two kinds after a few windows."""


OWN = {"hidden": 8, "classes": 2, "rate": 5e-3, "update_ms": 2.0, "reset": True, "store": 0, "tau_out_ms": [10.0]}
KINDS = {"votes": CALM_TABLES, "classifier": {"readout": {"kind": "classifier"}, "classifier": OWN}}


def made(kind="votes", **trust):
    return build(config(trust={**TRUST, **trust}, **KINDS[kind]))


def learned(pipeline):
    state = checkpoint.learned(pipeline)
    return {key: value.tobytes() for key, value in state.items()}


def test_at_an_alarm_what_was_learned_at_the_best_accuracy_is_back_and_learning_ends(caplog):
    whole, labels = taught(swap=60)
    pipeline, seen = made(), {}
    falls = pipeline.stages["readout"].trust.falls
    for batch in pieces(whole, range(WINDOW, whole.stop, WINDOW)):
        due = [label for label in labels if batch.start < label.t <= batch.stop]
        best = pipeline.stages["readout"].trust.best
        pipeline(batch, due)
        trust = pipeline.stages["readout"].trust
        if not trust.falls and trust.best != best:
            good = learned(pipeline) | {"t": batch.stop}
        seen[batch.stop] = learned(pipeline)
        falls = falls or list(trust.falls)
    (fall,) = falls
    assert 60 * WINDOW < fall.t < 80 * WINDOW
    assert fall.before > 0.9 > 0.5 > fall.after
    assert seen[fall.t - WINDOW] != seen[fall.t]
    network = {key for key in good if key.startswith("network/")}
    assert {key: seen[whole.stop][key] for key in network} == {key: seen[fall.t][key] for key in network}
    # The best accuracy was reached as a label came, and that label was learned right after.
    assert {key: good[key] for key in network} == {key: seen[fall.t][key] for key in network}
    assert seen[fall.t] == seen[whole.stop]
    assert pipeline.settings["learn.enabled"] is False
    assert "learning is off" in caplog.text


def test_without_a_lie_there_is_no_way_back_and_nothing_else_is_changed():
    whole, labels = taught(swap=100)
    guarded, plain = made(), made(rollback=False)
    one, other = fed(guarded, [whole], labels), fed(plain, [whole], labels)
    assert total(one) == total(other)
    assert learned(guarded) == learned(plain)


@pytest.mark.parametrize("kind", KINDS)
@given(cuts=st.lists(st.integers(0, 100 * WINDOW), max_size=12))
@settings(deadline=None, max_examples=5)
def test_no_cut_of_the_stream_changes_when_it_goes_back(kind, cuts):
    whole, labels = taught(swap=60)
    once, cut = made(kind), made(kind)
    expected = total(fed(once, [whole], labels))
    assert total(fed(cut, pieces(whole, cuts), labels)) == expected
    assert same_state(once, cut)
    assert once.stages["readout"].trust.falls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [40 * WINDOW, 65 * WINDOW + 3_300, 90 * WINDOW])
def test_a_saved_one_goes_on_bit_for_bit(at, kind, tmp_path):
    whole, labels = taught(swap=60)
    before, after = pieces(whole, [at])
    first = made(kind)
    first(before, [label for label in labels if label.t <= at])
    checkpoint.save(tmp_path / "m.npz", first)
    second = checkpoint.load(tmp_path / "m.npz")
    rest = [label for label in labels if label.t > at]
    assert total(fed(first, [after], rest)) == total(fed(second, [after], rest))
    assert same_state(first, second)
    assert first.stages["readout"].trust.falls


def test_it_learns_again_when_it_is_told_to():
    whole, labels = taught(swap=60)
    pipeline = made()
    pipeline(whole, [*labels, Setting(90 * WINDOW, "learn.enabled", True)])
    assert pipeline.settings["learn.enabled"] is True


def test_a_state_that_fits_no_guarded_readout_is_refused():
    one = guarded()
    state = one.state()
    for key, value in (
        ("trust_good", np.frombuffer(b"PK no zip", np.uint8)),
        ("trust_good", np.zeros(3)),
        ("trust_recent", np.zeros(7, bool)),
        ("trust_history", np.zeros(5_000, bool)),
    ):
        with pytest.raises(ModelError):
            guarded().restore({**state, key: value})
    with pytest.raises(ModelError, match="another kind"):
        guarded().restore(one.readout.state())


# In a run


def write_labels(path, rows):
    lines = ["start_us,stop_us,label,split", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def lying(tmp_path):
    """A recording of the two kinds, and a label file that lies from window 60 on."""
    whole, labels = taught(swap=60)
    write(tmp_path / "two.aedat4", whole, size=SIZE)
    rows = [(label.start, label.stop, label.label, "train") for label in labels]
    return tmp_path / "two.aedat4", write_labels(tmp_path / "two.csv", rows)


SETS = [f"--set=network.{key}={value}" for key, value in CALM.items()]
SETS += [
    "--set=learn.tau_plus_ms=5",
    "--set=readout.memory=0.05",
    "--set=filter=[]",
    "--set=trust.window=20",
    "--speed=max",
    "-q",
    "--json",
]


def test_a_record_of_a_run_that_went_back_replays_identically(lying, tmp_path):
    recording, labels = lying
    args = ["--labels", labels, *SETS, "--set=trust.rollback=true"]
    first = json.loads(called("replay", recording, *args, "--record", tmp_path / "r").stdout)
    again = json.loads(called("replay", tmp_path / "r", "--speed=max", "-q", "--json").stdout)
    plain = json.loads(called("replay", recording, "--labels", labels, *SETS).stdout)
    other = json.loads(called("replay", recording, *args, "--set=batch.length_us=7300").stdout)
    for same in ("state_sha256", "output_sha256", "decisions", "prequential_accuracy"):
        assert again[same] == first[same] == other[same], same
    assert plain["state_sha256"] != first["state_sha256"]


def test_it_is_published_with_chance_and_baseline_beside_and_a_fall_is_logged(lying, tmp_path, caplog):
    recording, labels = lying
    sections = {"sensor": {"uri": str(recording), "speed": "max"}, **CALM_TABLES, "trust": {"window": 20}}
    url = f"file://{tmp_path / 'out'}"
    made = config(**{**sections, "readout": {"memory": 0.05, "windows": "marked"}}, publish={"urls": (url,)})
    session = Session(Job(made, labels=str(labels)))
    asyncio.run(session.run())
    client = ClientSession("test")
    client.subscribe(["main.>"])
    said = [m for m in client.receive((tmp_path / "out").read_bytes()) if isinstance(m, Message)]
    said = [m for m in said if m.topic == "main.trust.stats"]
    told = said[-1].data
    assert told["judged"] == 100
    assert told["accuracy"] == session.scorer.results()["prequential_accuracy"]
    assert told["fallen"]["from"] > 0.9
    assert 60 * WINDOW < told["fallen"]["t"] < 80 * WINDOW
    assert told["sliding_accuracy"] is not None
    assert 0.5 <= told["chance"] < 0.9
    assert told["baseline_accuracy"] is not None
    assert "accuracy has fallen" in caplog.text


def test_a_run_without_labels_says_nothing_of_trust(tmp_path):
    url = f"file://{tmp_path / 'out'}"
    called("replay", LOOKS, "--to", "1s", *SETS, "--publish", url)
    assert b"trust" not in (tmp_path / "out").read_bytes()


# A leak would be seen


class Leaky(Readout):
    """Breaks the law: told when a window begins, it answers with that label."""

    def command(self, command):
        if isinstance(command, Label) and command.t <= command.start:
            self.hint = command.label
        super().command(command)

    def _decide(self, window):
        made = super()._decide(window)
        hint, self.hint = getattr(self, "hint", None), None
        return replace(made, label=hint) if hint else made


def test_labels_told_too_early_bring_no_accuracy_and_a_stage_that_uses_them_is_found():
    early = [replace(label, t=label.start) for label in LABELS]
    stage = Guarded(Leaky(16, window_us=5_000), {}, Trust(10))
    answers = checks.running.run(checks.running.Taught(stage, early), spikes_in_batches())
    rows = [row for answer in answers for row in answer.rows]
    truth = {(label.start, label.stop): label.label for label in early}
    assert sum(row.label == truth.get((row.start, row.stop)) for row in rows) > 35  # it has cheated
    assert stage.trust.judged == 0  # and nobody was impressed
    found = broken(checks.stage(lambda: Leaky(16, window_us=5_000), spikes_in_batches()[:6], LABELS[:4]))
    assert "decide before told" in found
    honest = broken(checks.stage(lambda: Readout(16, window_us=5_000), spikes_in_batches()[:6], LABELS[:4]))
    assert honest == set()
