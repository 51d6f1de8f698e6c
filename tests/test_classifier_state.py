"""What a classifier remembers: hostile states are refused, memory is bounded, a saved pipeline goes on."""

from __future__ import annotations

import re

import numpy as np
import pytest
from classifier_cases import AXONS, LOOPING, QUICK, classifier
from cli import LABELS, LOOKS, ROOT, replay_json
from filter_cases import same
from network_cases import enabled, spikes
from readout_cases import run_stage

import spikestream as ss
from spikestream import checkpoint
from spikestream.batch import EVENT, Events, Label, Setting, Window, cut
from spikestream.errors import ConfigError, ModelError
from spikestream.stages.classify import Classifier
from spikestream.stages.classify.samples import Sample
from spikestream.stages.classify.store import Store

SEEN = spikes([(1, 0), (2, 0), (11, 1), (12, 1), (21, 0), (22, 1), (23, 1), (31, 0), (36, 1), (38, 0)], 0, 40)


def in_the_middle():
    """Return a classifier in the middle of a window and of a tick, with something of everything."""
    stage = classifier(12, 3, **LOOPING)
    told = [(12, Label(12, 0, 12, "a")), (24, Label(24, 12, 24, "b")), (37, Label(37, 0, 36, "c"))]
    run_stage(stage, SEEN, [], [*told, (38, enabled(38, False)), (39, Setting(39, "classifier.rate", 0.1))])
    run_stage(stage, spikes([(43, 2)], 40, 44), [], [])
    return stage


def test_the_state_in_the_middle_has_something_of_everything():
    state = in_the_middle().state()
    for name, value in state.items():
        if name not in ("marks", "evidence"):
            assert value.size, name
    assert state["waiting_is_label"].tolist() == [True, False, False]


def shortened(name):
    return lambda value: value[:-1]


def changed(value):
    def change(array):
        array = array.copy()
        array.flat[-1] = value
        return array

    return change


WRONG = [
    *((name, shortened(name)) for name in ("labels", "seen", "past", "past_ticks", "past_spikes", "past_tick")),
    *(
        (name, shortened(name))
        for name in ("past_axon", "open_ticks", "open_tick", "store_class", "store_ticks", "store_learned")
    ),
    *((name, shortened(name)) for name in ("kept_v", "held_t", "waiting_keys", "waiting_values", "waiting_labels")),
    *((name, shortened(name)) for name in ("settings", "waiting_is_label", "waiting_settings", "w", "v", "b", "back")),
    *((name, changed(np.nan)) for name in ("w", "w_mean", "v", "memory_v", "kept_o", "evidence", "waiting_values")),
    *(
        (name, changed(-1))
        for name in ("seen", "past_tick", "store_class", "store_drawn", "store_learned", "steps", "w_square", "beta")
    ),
    *((name, changed(2)) for name in ("decay_m", "open")),
    *((name, changed(AXONS)) for name in ("past_axon", "open_axon", "store_axon", "held_axon")),
    ("past_tick", changed(99)),
    ("past_ticks", changed(2**40)),
    ("held_t", changed(99)),
    ("next", changed(2**62 + 1)),
    ("labels", lambda value: np.array(["a", "a", "b"])),
    ("store_class", changed(3)),
    ("open_facts", changed(2**40)),
    ("waiting_keys", changed("classifier.hidden")),
    ("settings", changed(-1)),
    ("marks", lambda value: np.array([[9, 5]])),
    ("b", lambda value: np.zeros(2**20, np.float32)),
    ("b", lambda value: np.zeros(0, np.float32)),
    ("b", lambda value: np.zeros((3, 3), np.float32)),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(number):
    name, change = WRONG[number]
    stage = in_the_middle()
    saved = stage.state()
    with pytest.raises(ModelError):
        stage.restore({**saved, name: change(saved[name])})
    assert same(stage.state(), saved)


def test_a_state_with_more_or_fewer_places_for_classes_is_taken():
    stage = in_the_middle()
    for room in (1, 64):
        other = Classifier(AXONS, room, tick_us=3, window_us=12, **{**QUICK, **LOOPING, "kept": 3, "store": 3})
        other.restore(stage.state())
        assert same(other.state(), stage.state())


def test_the_store_holds_as_many_of_each_class_as_can_be_and_a_fair_draw_of_them():
    """Of 90 samples of one class and 30 of another, room for 10: 5 and 5; each sample of a class is as likely."""
    found = np.zeros(120)
    for seed in range(200):
        store, seen = Store(10, seed, AXONS), [0, 0]
        for number in range(120):
            kind = int(number % 4 == 0)
            seen[kind] += 1
            store.offer(kind, Sample(number + 1, np.zeros(0, np.int32), np.zeros(0, np.uint16)), seen[kind])
        assert store.counts() == {0: 5, 1: 5}
        found[[ticks - 1 for ticks in store.state()["store_ticks"]]] += 1
    small, large = found[::4], np.delete(found, np.s_[::4])
    for part in (small, large):  # of 30 and of 90, halves: the early and the late ones
        early, late = part[: len(part) // 2].sum(), part[len(part) // 2 :].sum()
        assert abs(early - late) < 4 * np.sqrt(1000)


def test_what_is_replayed_is_balanced_over_classes():
    store = Store(50, 1, AXONS)
    for number in range(10):
        kind = int(number == 0)
        store.offer(kind, Sample(number + 1, np.zeros(0, np.int32), np.zeros(0, np.uint16)), 99)
        store.learned(kind)
    drawn = []
    for _ in range(100):
        drawn.append(store.draw()[0])
        store.learned(drawn[-1])
    assert drawn[:6] == [1] * 6  # of which only one was learned
    assert 40 <= sum(drawn) <= 60


def test_beside_a_sample_of_a_new_class_one_of_every_other_class_is_replayed():
    stage, steps = classifier(kept=1, store=30), []
    for number, name in enumerate([*"ab" * 25, *"cccc"]):
        start = number * 10
        stage(spikes([(start + 1, 0), (start + 2, 1)], start, start + 10))
        stage.command(Label(start + 10, start, start + 10, name))
        steps.append(int(stage.state()["steps"][0]))
    assert np.diff(steps).tolist() == [2] * 49 + [3, 3, 2, 2]  # as 3 is a tenth of 25 and more, "c" is new no longer


def test_memory_is_bounded_by_what_is_kept_and_stored():
    stage = classifier(kept=4, store=6, most_spikes=20, replays=0)
    rng, sizes = np.random.default_rng(0), []
    for turn in range(60):
        start = turn * 10
        t = np.sort(rng.integers(start, start + 10, 80))
        stage(spikes([(int(at), int(rng.integers(AXONS))) for at in t], start, start + 10))
        stage.command(Label(start + 10, start, start + 10, "ab"[turn % 2]))
        sizes.append(stage.memory_bytes())
    weights = sum(stage.state()[name].nbytes for name in Classifier.LEARNED if not name.startswith("store"))
    memory = 4 * 4 * (1 + 1 + 1 + 2)  # voltages, adaptation, spikes and two traces of four neurons
    assert max(sizes[10:]) <= weights + memory + 4 * (memory + 20 * 6) + 6 * 20 * 6
    assert max(sizes) == max(sizes[:12])


CONFIG = {
    "sensor": {"size": "3x2"},
    "filter": [],
    "readout": {"kind": "classifier", "windows": "marked"},
    "classifier": {"hidden": 6, "tau_out_ms": [20, 60.0], "w_init": 0.8},
}


def look(number):
    rng = np.random.default_rng(number)
    data = np.zeros(60, EVENT)
    data["t"] = np.sort(rng.integers(number * 50_000, (number + 1) * 50_000, 60))
    data["x"], data["y"] = rng.integers(0, 3, 60), rng.integers(0, 2, 60)
    return Events(number * 50_000, (number + 1) * 50_000, data, (3, 2))


def told(number):
    start = number * 50_000
    return [Window(start, start + 40_000), Label(start + 45_000, start, start + 40_000, "ab"[number % 2])]


def test_a_replay_that_decides_by_a_classifier_is_recorded_and_replays_to_the_same(tmp_path):
    """The end of what is taught and the beginning of what is held out."""
    some = ["--labels", LABELS, "--from", "30s", "--to", "43s", "--speed", "max", "--record", tmp_path / "run.ssr"]
    sets = ("readout.kind=classifier", "classifier.hidden=50", "classifier.reset=true", "classifier.rate=0.002")
    first = replay_json(LOOKS, *some, *(word for one in sets for word in ("--set", one)))
    again = replay_json(tmp_path / "run.ssr", "--speed", "max", "--set", "batch.length_us=7000")
    for key in ("events_in", "spikes_out", "decisions", "accuracy", "state_sha256", "output_sha256"):
        assert again[key] == first[key], key
    assert first["spikes_out"] > 1_000  # of hidden neurons
    assert first["accuracy"] > 1.5 * first["chance"]


@pytest.mark.parametrize(("reads", "hidden"), [("senses", 6), ("network", 6), ("senses", [4, 3])])
def test_a_pipeline_that_decides_by_a_classifier_is_saved_and_goes_on(tmp_path, reads, hidden):
    tables = {**CONFIG, "classifier": {**CONFIG["classifier"], "reads": reads, "hidden": hidden}}
    pipeline = ss.build(tables)
    assert list(pipeline.stages) == ["filter", "address", *(["network"] if reads == "network" else []), "readout"]
    for number in range(4):
        pipeline(look(number), told(number))
    left, right = cut(look(4), 217_345)
    pipeline(left, told(4)[:1])
    ss.save(tmp_path / "model", pipeline)
    again = ss.load(tmp_path / "model")
    answers = [one(right, told(4)[1:])["readout"] for one in (pipeline, again)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 1
    assert checkpoint.state_sha256(again) == checkpoint.state_sha256(pipeline)
    assert not any(hop.missing() for hop in pipeline.hops())
    fresh = ss.build(tables)
    checkpoint.transfer(tmp_path / "model", fresh)
    mine, its = fresh.stages["readout"], ss.load(tmp_path / "model").stages["readout"]
    assert mine.labels == its.labels == ("a", "b")
    assert np.array_equal(mine.weights["w"], its.weights["w"])


@pytest.mark.parametrize(
    ("key", "tables"),
    [
        ("readout.kind", {"readout": {"kind": "clasifier"}}),
        ("classifier.reads", {"classifier": {"reads": "ears"}}),
        ("classifier.reads", {"model": {"inputs": {}}}),
        ("readout.window_us", {"readout": {"kind": "classifier", "windows": "grid", "window_us": 1_500}}),
        ("classifier.hidden", {"classifier": {"hidden": -1}}),
        ("classifier.hidden", {"classifier": {"hidden": [4, 0]}}),
        ("classifier.tau_m_ms", {"classifier": {"tau_m_ms": [30, 20]}}),
        ("classifier.tau_out_ms", {"classifier": {"tau_out_ms": ["long"]}}),
        ("classifier.tick_us", {"classifier": {"tick_us": 0}}),
    ],
)
def test_what_a_classifier_cannot_be_is_refused_by_its_key(key, tables):
    with pytest.raises(ConfigError) as caught:
        ss.build({**CONFIG, **tables})
    assert caught.value.key == key


@pytest.mark.parametrize("options", [{}, {"recurrent": 0.5, "fire_reset": "value"}, {"hidden": [4]}])
def test_the_circuit_of_the_hidden_neurons_and_their_readout_decide_as_the_classifier(options):
    stage = classifier(10, 1, **options)
    run_stage(stage, SEEN, [], [(10, Label(10, 0, 10, "a")), (20, Label(20, 10, 20, "b"))])
    rng = np.random.default_rng(4)
    t = np.sort(rng.integers(40, 140, 150))
    later = spikes([(int(at), int(rng.integers(AXONS))) for at in t], 40, 140)
    fresh, reader = classifier(10, 1, **options), stage.readout()
    fresh.restore({**fresh.state(), **{name: stage.state()[name] for name in Classifier.LEARNED}})
    hidden = ss.Simulator(fresh.circuit(), tick_us=1)(later)
    mine, its = fresh(later).rows, reader(hidden).rows
    assert fresh.spikes == len(hidden) > 20
    assert len({row.confidence for row in mine}) > 5
    for a, b in zip(mine, its, strict=True):
        assert (a.start, a.label) == (b.start, b.label)
        assert dict(a.scores) == pytest.approx(dict(b.scores), abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"recurrent": 0.5}])
def test_the_circuit_of_several_layers_spikes_as_they_do_and_gives_the_last(options):
    stage = classifier(10, 1, **{"hidden": [6, 5, 4], "w_init": 1.0, **options})
    run_stage(stage, SEEN, [], [(10, Label(10, 0, 10, "a")), (20, Label(20, 10, 20, "b"))])
    circuit, rng = stage.circuit(), np.random.default_rng(4)
    fresh = classifier(10, 1, **{"hidden": [6, 5, 4], "w_init": 1.0, **options})
    fresh.restore({**fresh.state(), **{name: stage.state()[name] for name in Classifier.LEARNED}})
    t = np.sort(rng.integers(40, 140, 150))
    later = spikes([(int(at), int(rng.integers(AXONS))) for at in t], 40, 140)
    run = ss.Simulator(circuit, tick_us=1)
    fired = np.array([[0] * 15, *(state_after(fresh, later, now) for now in range(41, 141))])
    heard = run(later)
    assert circuit.outputs == ("hidden3",)
    assert [(int(at), int(cell)) for at, cell in zip(heard.t - 40, heard.axon, strict=True)] == [
        (int(at), int(cell)) for at, cell in np.argwhere(fired[1:, 11:])
    ]
    assert fired[1:, :6].any()
    assert fired[1:, 6:11].any()
    assert len(heard) > 10


def state_after(stage, batch, now):
    """Return which hidden neurons fired in the microsecond before ``now``."""
    stage(cut(cut(batch, now - 1)[1], now)[0])
    return stage.state()["memory_fired"]


def test_what_reads_the_last_of_several_layers_decides_as_its_readout_does():
    stage = classifier(10, 1, hidden=[4, 3], w_init=4.0, seed=3)
    run_stage(stage, SEEN, [], [(10, Label(10, 0, 10, "a")), (20, Label(20, 10, 20, "b"))])
    reader = stage.readout()
    assert stage.weights["v"][:, 4:].any()
    assert (reader.axons, reader.hidden) == (3, 0)
    assert np.array_equal(reader.weights["v"], stage.weights["v"][:, 4:])
    learned = {name: stage.state()[name] for name in Classifier.LEARNED}
    other = Classifier(3, 3, hidden=0, tick_us=1, window_us=10, tau_out_ms=QUICK["tau_out_ms"])
    assert np.array_equal(other.translated(learned)["v"], reader.weights["v"])
    for wrong in ({"v": learned["v"][0]}, {"back": np.array(0.0)}, {"v_mean": np.zeros(3)}):
        assert other.translated({**learned, **wrong})["w"] is learned["w"]  # left as it is, and then refused


def test_a_state_of_other_layers_is_refused():
    stage, other = classifier(10, 1, hidden=[3, 4], w_init=1.5), classifier(10, 1, hidden=[4, 3])
    before = other.state()
    with pytest.raises(ModelError):
        other.restore(stage.state())
    assert same(other.state(), before)


def test_what_is_compiled_of_a_classifier_are_its_hidden_neurons():
    for hidden in (4, [6, 4]):
        placement = ss.compile(classifier(10, 1, hidden=hidden, fire_reset="value"), "loihi")
        assert (placement.input_count, placement.outputs) == (AXONS, 4)


def test_the_python_of_the_docs_tells_two_kinds_apart(capsys):
    page = (ROOT / "docs" / "classifier.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "classifier.md", "exec"), {})
    assert f"prints `{capsys.readouterr().out.strip()}`" in page


def test_neurons_that_adapt_or_are_not_there_have_no_circuit():
    for options in ({"adaptive": 0.5}, {"hidden": 0}):
        with pytest.raises(ModelError):
            classifier(**options).circuit()
