"""The classifier: equal to its naive twin, the same however its input is cut, and the law of frozen answers."""

from __future__ import annotations

import numpy as np
import pytest
from classifier_cases import AXONS, QUICK, SHAPES, as_kept, classifier, twin_of
from filter_cases import pieces, same
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from network_cases import spikes, through
from readout_cases import commands, decided, lost, marks, run_stage, streams
from test_readout import run_twin

from spikestream.batch import Label, Setting, Window, check, cut, no_events
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.stages.classify import Classifier
from spikestream.stages.classify.few import weighed

FEW = settings(max_examples=30, deadline=None)
OPTIONS = st.fixed_dictionaries(
    {
        "tick_us": st.sampled_from([1, 3]),
        "reset": st.booleans(),
        "replays": st.sampled_from([0, 2]),
        "few": st.sampled_from([0, 2, 500]),
        "store": st.sampled_from([0, 1, 3]),
        "recent": st.sampled_from([0, 1, 2]),
        "most_spikes": st.sampled_from([2, 10_000]),
        "kept": st.sampled_from([1, 3]),
        "confidence_min": st.sampled_from([0.0, 0.45]),
        "evidence_min": st.sampled_from([0, 2]),
        "seed": st.integers(0, 3),
    }
)


@given(data=st.data(), batch=streams(), window_us=st.sampled_from([7, 10, 25, None]), options=OPTIONS)
@FEW
def test_the_classifier_equals_its_naive_twin(data, batch, window_us, options):
    stage = classifier(window_us, **options, **data.draw(st.sampled_from(SHAPES)))
    gaps, batch = data.draw(lost(batch))
    told = data.draw(commands(batch)) + (data.draw(marks(batch)) if window_us is None else [])
    twin = run_twin(twin_of(stage), batch, gaps, sorted(told, key=lambda item: (item[0], item[1].t)))
    assume(twin.net.margin > 1e-4)  # nearer to a threshold rounding decides
    answers = run_stage(stage, batch, gaps, told, data.draw(st.lists(st.integers(batch.start, batch.stop), max_size=6)))
    for mine, its in zip(decided(answers), twin.decisions, strict=True):
        assert (mine.start, mine.stop, mine.evidence) == (its.start, its.stop, its.evidence)
        assert mine.confidence == pytest.approx(its.confidence, abs=2e-3)
        assert dict(mine.scores) == pytest.approx(dict(its.scores), abs=2e-3)
        if clear(its, stage):
            assert mine.label == its.label
    state = stage.state()
    assert state["labels"].tolist() == twin.names
    assert state["seen"].tolist() == twin.taught
    assert (stage.unmatched, stage.learning) == (twin.unmatched, twin.learning)
    assert state["past"].tolist() == [[window.start, window.stop] for window, _ in twin.past]
    assert state["past_ticks"].tolist() == [ticks for _, (ticks, _, _) in twin.past]
    assert state["past_tick"].tolist() == [at for _, (_, noted, _) in twin.past for at, _ in noted]
    assert state["store_class"].tolist() == [k for k, _, _ in twin.store]
    assert state["store_tick"].tolist() == [at for _, _, noted in twin.store for at, _ in noted]
    assert int(state["steps"][0]) == twin.net.steps
    for name in ("w", "v", "b"):
        expected = np.array(getattr(twin.net, name)).reshape(state[name].shape)
        np.testing.assert_allclose(state[name], expected, atol=2e-3, err_msg=name)
    np.testing.assert_allclose(state["r"], as_kept(twin.net, twin.net.r, state["r"].shape), atol=2e-3)
    for answer in answers:
        check(answer)


def clear(decision, stage):
    """Return whether rounding cannot change the label of a decision."""
    scores = sorted((score for _, score in decision.scores), reverse=True)
    limit = stage.settings["classifier.confidence_min"]
    alone = len(scores) < 2 or scores[0] - scores[1] > 4e-3
    return alone and abs(decision.confidence - limit) > 4e-3


@given(data=st.data(), batch=streams(), window_us=st.sampled_from([7, 10, None]), options=OPTIONS)
@FEW
def test_any_cut_gives_the_same_decisions_state_and_account(data, batch, window_us, options):
    options |= {"anytime_us": data.draw(st.sampled_from([0, 2, 4])), **data.draw(st.sampled_from(SHAPES))}
    whole, parted = classifier(window_us, **options), classifier(window_us, **options)
    told = [command for at, command in data.draw(commands(batch)) if at == command.t < batch.stop]
    told += [command for _, command in data.draw(marks(batch))] if window_us is None else []
    parts = pieces(batch, data.draw(st.lists(st.integers(batch.start, batch.stop), max_size=12)))
    expected, got = through(whole, [batch], told), through(parted, parts, told)
    assert decided(got) == decided(expected)
    assert same(whole.state(), parted.state())
    assert (whole.account, whole.unmatched, whole.spikes) == (parted.account, parted.unmatched, parted.spikes)
    for part, answer in zip(parts, got, strict=True):
        check(answer)  # each decision with the batch that its window ends in
        assert (answer.start, answer.stop) == (part.start, part.stop)
    taken = whole.account.taken + whole.account.held
    assert taken == len(batch)


@given(data=st.data(), batch=streams(), window_us=st.sampled_from([7, 10, None]), options=OPTIONS)
@FEW
def test_a_fresh_classifier_goes_on_from_a_saved_state_bit_for_bit(data, batch, window_us, options):
    gaps, batch = data.draw(lost(batch))
    told = data.draw(commands(batch)) + (data.draw(marks(batch)) if window_us is None else [])
    at = data.draw(st.integers(batch.start, batch.stop))
    assume(not any(start < at < stop for start, stop in gaps))  # a pipeline goes over a gap in one step
    left, right = cut(batch, at)
    options |= data.draw(st.sampled_from(SHAPES))
    first, second = classifier(window_us, **options), classifier(window_us, **options)
    run_stage(first, left, [gap for gap in gaps if gap[1] <= at], [item for item in told if item[0] <= at])
    saved = first.state()
    second.restore(saved)
    assert same(second.state(), saved)
    later, gaps = [item for item in told if item[0] > at], [gap for gap in gaps if gap[0] >= at]
    answers = run_stage(first, right, gaps, later)
    for array in saved.values():
        array[...] = 1  # neither classifier may hold on to it
    assert decided(run_stage(second, right, gaps, later)) == decided(answers)
    assert same(first.state(), second.state())


# The law: an answer is frozen before its label is used.

SEEN = spikes([(1, 0), (2, 0), (11, 1), (12, 1), (21, 0), (22, 1), (23, 1), (31, 0), (36, 1), (38, 0)], 0, 40)
TAUGHT = [Label(10, 0, 10, "a"), Label(20, 10, 20, "b")]


class Eager(Classifier):
    """Breaks the law: it learns at once."""

    def command(self, command):
        self._learn(command)


def first_change(make, label, arrival, gaps=()):
    """Return the start of the first window that this label changes the decision for, None for none."""
    options = {**QUICK, "window_us": 10, "tick_us": 1, "replays": 0}
    told = [(command.t, command) for command in TAUGHT]
    without = decided(run_stage(make(AXONS, **options), SEEN, gaps, told))
    with_it = decided(run_stage(make(AXONS, **options), SEEN, gaps, [*told, (arrival, label)]))
    return next((a.start for a, b in zip(without, with_it, strict=True) if a != b), None)


@pytest.mark.parametrize("arrival", [20, 21, 25, 29, 30])
@pytest.mark.parametrize("t", [0, 15, None])
def test_a_label_never_changes_the_decision_on_a_window_that_began_before_it_came(t, arrival):
    label = Label(arrival if t is None else t, 0, 10, "b")
    assert first_change(Classifier, label, arrival) == (20 if arrival == 20 else 30)


def test_a_classifier_that_learns_at_once_is_found_by_that():
    assert first_change(Eager, Label(25, 0, 10, "b"), 25) == 20


@pytest.mark.parametrize("gap", [(23, 24), (26, 29), (25, 30), (25, 33)])
def test_a_gap_inside_a_window_lets_no_label_in(gap):
    assert first_change(Classifier, Label(22, 0, 10, "b"), 22, [gap]) == 30
    assert first_change(Classifier, Label(gap[0], 0, 10, "b"), gap[0], [gap]) == 30


def test_its_own_label_moves_no_weight_inside_a_window():
    stage = classifier()
    run_stage(stage, cut(SEEN, 20)[0], [], [(command.t, command) for command in TAUGHT])
    before = stage.weights
    assert before["v"].any()
    run_stage(stage, cut(cut(SEEN, 20)[1], 29)[0], [], [(at, Label(at, 0, 30, "a")) for at in range(21, 29)])
    for name, value in stage.weights.items():
        assert np.array_equal(value, before[name]), name
    run_stage(stage, cut(SEEN, 29)[1], [], [])
    assert not np.array_equal(stage.weights["v"], before["v"])


def test_labels_out_of_order_and_late_teach_the_windows_they_name():
    stage = classifier(kept=9, store=0)
    told = [(38, Label(20, 20, 30, "c")), (38, Label(12, 0, 10, "a")), (39, Label(39, 10, 20, "b"))]
    run_stage(stage, SEEN, [], told)
    assert stage.labels == (
        "a",
        "c",
        "b",
    )  # those that wait for a window to end are learned in the order of their times
    assert stage.state()["seen"].tolist() == [1, 1, 1]


# By hand.


def test_a_decision_comes_so_often_inside_a_window_and_at_its_end():
    stage = classifier(None, anytime_us=4, replays=0)
    told = [(0, Window(0, 10)), (10, Label(10, 0, 10, "a")), (20, Window(21, 33))]
    rows = decided(run_stage(stage, SEEN, [], told))
    assert [(row.start, row.stop) for row in rows] == [(0, 4), (0, 8), (0, 10), (21, 25), (21, 29), (21, 33)]
    assert [row.label for row in rows] == [None, None, None, "a", "a", "a"]
    assert [row.evidence for row in rows] == [2.0, 2.0, 2.0, 3.0, 3.0, 4.0]


def test_a_tick_belongs_to_a_window_if_it_lies_inside_as_a_whole():
    stage = classifier(None, tick_us=4, kept=9)
    told = [(0, Window(10, 24)), (0, Window(24, 29)), (0, Window(30, 33)), (0, Window(33, 40))]
    rows = decided(run_stage(stage, SEEN, [], told))
    # Ticks 3 to 5 are [12, 24), tick 6 is [24, 28), none lies in [30, 33), tick 9 is [36, 40).
    assert [row.evidence for row in rows] == [4.0, 0.0, 0.0, 2.0]
    assert stage.state()["past_ticks"].tolist() == [3, 1, 0, 1]
    assert stage.state()["past_axon"].tolist() == [1, 0, 1, 1, 1, 0]
    assert stage.account.taken == len(SEEN)


def test_with_reset_a_window_knows_nothing_of_what_was_before():
    loud = [(t, 2) for t in range(40, 50)]
    teach = [(0, Window(0, 3)), (4, Label(4, 0, 3, "a")), (5, Window(5, 8)), (9, Label(9, 5, 8, "b"))]
    for reset in (True, False):
        for before in ([(40, Window(40, 50))], []):  # in a window, or between two
            last = []
            for heard in ([], loud):
                stage = classifier(None, reset=reset)
                run_stage(stage, SEEN, [], teach)
                run_stage(stage, spikes(heard, 40, 50), [], before)
                stage.command(Window(50, 60))
                last.append(stage(spikes([(t, 3) for t in range(50, 58)], 50, 60)).rows[-1].scores)
            assert (last[0] == last[1]) is reset


def test_the_spikes_kept_of_a_window_are_its_first_ones():
    stage = classifier(most_spikes=3)
    stage(spikes([(1, 0), (3, 1), (3, 1), (3, 2), (7, 4)], 0, 10))
    state = stage.state()
    assert (state["past_tick"].tolist(), state["past_axon"].tolist()) == ([1, 3, 3], [0, 1, 1])
    assert state["past_ticks"].tolist() == [4]  # learned up to the tick of the first one that is missing


@pytest.mark.parametrize(("evidence", "share", "label"), [(3, 0.0, "a"), (4, 0.0, None), (0, 1.0, "a")])
def test_little_evidence_is_unknown(evidence, share, label):
    stage = classifier(evidence_min=evidence, confidence_min=share)
    rows = decided(run_stage(stage, SEEN, [], [(10, TAUGHT[0])]))
    assert (rows[2].label, rows[2].evidence, rows[2].confidence) == (label, 3.0, 1.0)


def test_a_class_taught_less_than_others_counts_for_more():
    for few, factors in ((500, (1, 2, 4)), (8, (1, 2**0.5, 8**0.5)), (1, (1, 1, 1)), (0, (1, 1, 1))):
        raised = np.array([0.7, 0.2, 0.1]) * factors
        assert weighed(np.array([0.7, 0.2, 0.1]), [16, 4, 1], few).tolist() == pytest.approx(raised / raised.sum())
    told = [(10, TAUGHT[0]), (20, Label(20, 10, 20, "a")), (20, Label(20, 0, 10, "b"))]
    few, none = (classifier(few=few) for few in (500, 0))
    seen, shares = (dict(decided(run_stage(one, SEEN, [], told))[3].scores) for one in (few, none))
    assert seen["b"] / seen["a"] == pytest.approx(2**0.5 * shares["b"] / shares["a"])
    assert sum(seen.values()) == pytest.approx(1)


def test_of_names_given_no_others_are_learned():
    stage = Classifier(AXONS, ["a", "c"], tick_us=1, window_us=10, **QUICK)
    run_stage(stage, SEEN, [], [*((command.t, command) for command in TAUGHT), (30, Label(30, 20, 30, "c"))])
    assert stage.labels == ("a", "c")
    assert (stage.crowded, stage.unmatched) == (1, 0)


def test_room_for_classes_grows_and_makes_no_difference():
    told = [(10, TAUGHT[0]), (20, TAUGHT[1]), (30, Label(30, 20, 30, "c")), (40, Label(40, 30, 40, "d"))]
    small, large = (Classifier(AXONS, room, tick_us=1, window_us=10, **QUICK) for room in (1, 4))
    assert decided(run_stage(small, SEEN, [], told)) == decided(run_stage(large, SEEN, [], told))
    assert same(small.state(), large.state())


def test_a_reward_teaches_no_class():
    stage = classifier()
    run_stage(stage, SEEN, [], [(10, Label(10, 0, 10, "", 1.0))])
    assert (stage.labels, stage.unmatched) == ((), 0)


def test_while_learning_is_off_nothing_is_learned():
    stage = classifier()
    off, on = (Setting(t, "learn.enabled", value) for t, value in ((5, False), (25, True)))
    run_stage(stage, SEEN, [], [(5, off), (20, TAUGHT[0]), (25, on), (40, Label(40, 30, 40, "c"))])
    assert stage.labels == ("c",)


def test_settings_change_when_the_window_under_way_has_ended():
    stage = classifier(confidence_min=0.0)
    told = [(10, TAUGHT[0]), (15, Setting(15, "classifier.evidence_min", 3)), (25, Setting(25, "classifier.rate", 0.5))]
    rows = decided(run_stage(stage, SEEN, [], told))
    assert [row.label for row in rows] == [None, "a", "a", "a"]
    assert [row.evidence for row in rows] == [2.0, 2.0, 3.0, 3.0]
    assert stage.settings["classifier.rate"] == 0.5
    fresh = classifier()
    fresh.restore(stage.state())
    assert fresh.settings == stage.settings


@pytest.mark.parametrize(
    ("key", "value"), [("rate", -0.1), ("rate", float("nan")), ("replays", 1.5), ("confidence_min", 1.1)]
)
def test_a_setting_out_of_range_is_refused(key, value):
    with pytest.raises(ConfigError, match=f"classifier.{key}"):
        classifier().check(Setting(0, f"classifier.{key}", value))


def test_patterns_are_learned_from_a_few_examples_and_kept_while_others_are_taught():
    """Three classes of Poisson spikes, each with two busy axons of five; the third is taught after the others."""
    rng = np.random.default_rng(3)

    def example(kind, start):
        rate = np.full(AXONS, 0.05)
        rate[[kind, kind + 1]] = 0.5
        t, axon = np.nonzero(rng.random((30, AXONS)) < rate)
        return spikes([(start + int(a), int(b)) for a, b in zip(t, axon, strict=True)], start, start + 30)

    def run(stage, kinds, teach):
        right = 0
        for kind in kinds:
            now = run.now
            (row,) = stage(example(kind, now)).rows
            right += row.label == str(kind)
            run.now += 30
            if teach:
                stage.command(Label(run.now, now, run.now, str(kind)))
        return right / len(kinds)

    run.now = 0
    kept = {}
    for replays in (0, 2):
        stage = Classifier(
            AXONS, 2, tick_us=1, window_us=30, **{**QUICK, "hidden": 20}, store=12, replays=replays, reset=True
        )
        run.now = 0
        run(stage, [0, 1] * 20, True)
        assert run(stage, [0, 1] * 20, False) > 0.9
        run(stage, [2] * 40, True)
        assert run(stage, [2] * 20, False) > 0.9
        kept[replays] = run(stage, [0, 1] * 20, False)
    assert kept[2] > 0.85
    assert kept[0] < kept[2] - 0.2


# What it is given.


@pytest.mark.parametrize("axon", [-1, AXONS, 2**31 - 1])
def test_an_axon_out_of_range_is_refused(axon):
    with pytest.raises(ModelError, match=f"do not fit a classifier of {AXONS}"):
        classifier()(spikes([(1, 0), (2, axon)], 0, 10))


def test_it_takes_spikes_only():
    with pytest.raises(SpikestreamError, match="the classifier takes spikes, not Events"):
        classifier()(no_events(0, 10))


@pytest.mark.parametrize(
    "options",
    [
        {"windows": "grit"},
        {"window_us": 0},
        {"kept": 0},
        {"tick_us": 0.5},
        {"rule": "backprop"},
        {"hidden": -1},
        {"hidden": 2**61},
        {"hidden": []},
        {"hidden": [4, 0]},
        {"hidden": [4, 2.5]},
        {"hidden": [1, 2**61]},
        {"hidden": [1, *[2**61] * 9]},
        {"hidden": [1] * 17},
        {"hidden": [[4], 4]},
        {"hidden": [[4]]},
        {"hidden": "4"},
        {"store": -1},
        {"confidence_min": 2.0},
        {"feedback": "none"},
        {"fire_reset": "none"},
        {"tau_m_ms": (3.0, 2.0)},
        {"tau_out_ms": ()},
        {"tau_out_ms": (1.0, float("nan"))},
        {"rate": "fast"},
        {"rates": 1.0},
        {"classes": []},
        {"classes": 1001},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ConfigError):
        Classifier(AXONS, **options)
