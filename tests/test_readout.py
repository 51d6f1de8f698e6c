"""The readout: equal to its naive twin, which sees no further than its microsecond, and the law of frozen answers."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from filter_cases import pieces, same
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import enabled, spikes, through
from readout_cases import ALL, NEURONS, commands, decided, lost, marks, readout, run_stage, streams

from spikestream.batch import Decision, Label, Window, check, cut, no_events, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.pipeline import Pipeline
from spikestream.stages.readout import Readout


def twin_of(stage):
    window_us = stage.window_us if stage.windows == "grid" else None
    return naive.Readout(NEURONS, window_us, stage.memory, stage.kept)


def run_twin(twin, batch, gaps, told):
    """Let the twin hear a batch, but for the gaps; ``told`` are (arrival, command)."""
    for now in range(batch.start, batch.stop + 1):
        twin.moment(now, [command for at, command in told if at == now])
        if now < batch.stop and not any(start <= now < stop for start, stop in gaps):
            twin.microsecond(now, [int(j) for t, j in zip(batch.t, batch.axon, strict=True) if t == now])
    return twin


@given(
    data=st.data(),
    batch=streams(),
    window_us=st.sampled_from([1, 7, 10, 25, None]),
    memory=st.sampled_from([0.0, 0.02, 0.4, 1.0]),
    kept=st.sampled_from([1, 2, 64]),
)
@settings(ALL, max_examples=500)
def test_the_readout_equals_its_naive_twin(data, batch, window_us, memory, kept):
    stage = readout(window_us, memory, kept)
    gaps, batch = data.draw(lost(batch))
    told = data.draw(commands(batch)) + (data.draw(marks(batch)) if window_us is None else [])
    twin = run_twin(twin_of(stage), batch, gaps, sorted(told, key=lambda item: (item[0], item[1].t)))
    answers = run_stage(stage, batch, gaps, told, data.draw(st.lists(st.integers(batch.start, batch.stop), max_size=6)))
    assert decided(answers) == twin.decisions
    state = stage.state()
    assert state["labels"].tolist() == list(twin.votes)
    assert state["votes"].tolist() == list(twin.votes.values())
    assert state["seen"].tolist() == list(twin.seen.values())
    assert (stage.unmatched, stage.learning) == (twin.unmatched, twin.learning)
    assert state["past"].tolist() == [[window.start, window.stop] for window, _ in twin.past]
    assert state["counts"].tolist() == twin.counts
    for answer in answers:
        check(answer)


@given(data=st.data(), batch=streams(), window_us=st.sampled_from([7, 10, None]))
@ALL
def test_any_cut_gives_the_same_decisions_state_and_account(data, batch, window_us):
    whole, parted = readout(window_us), readout(window_us)
    told = [command for at, command in data.draw(commands(batch)) if at == command.t < batch.stop]
    told += [command for _, command in data.draw(marks(batch))] if window_us is None else []
    parts = pieces(batch, data.draw(st.lists(st.integers(batch.start, batch.stop), max_size=12)))
    expected, got = through(whole, [batch], told), through(parted, parts, told)
    assert decided(got) == decided(expected)
    assert same(whole.state(), parted.state())
    assert (whole.account, whole.unmatched) == (parted.account, parted.unmatched)
    for part, answer in zip(parts, got, strict=True):
        check(answer)  # each decision with the batch that its window ends in
        assert (answer.start, answer.stop) == (part.start, part.stop)


@given(data=st.data(), batch=streams(), window_us=st.sampled_from([7, 10, None]))
@ALL
def test_a_fresh_readout_goes_on_from_a_saved_state_bit_for_bit(data, batch, window_us):
    told = data.draw(commands(batch)) + (data.draw(marks(batch)) if window_us is None else [])
    at = data.draw(st.integers(batch.start, batch.stop))
    left, right = cut(batch, at)
    first, second = readout(window_us), readout(window_us)
    run_stage(first, left, [], [item for item in told if item[0] <= at])
    saved = first.state()
    second.restore(saved)
    assert same(second.state(), saved)
    later = [item for item in told if item[0] > at]
    answers = run_stage(first, right, [], later)
    for array in saved.values():
        array[...] = 1  # neither readout may hold on to it
    assert decided(run_stage(second, right, [], later)) == decided(answers)
    assert same(first.state(), second.state())


# The law: an answer is frozen before its label is used.

SEEN = spikes([(1, 0), (2, 0), (11, 1), (12, 1), (21, 0), (22, 1), (23, 1), (31, 0), (36, 1), (38, 0)], 0, 40)
TAUGHT = [Label(10, 0, 10, "a"), Label(20, 10, 20, "b")]


class Eager(Readout):
    """Breaks the law: it learns at once."""

    def command(self, command):
        self._learn(command)


def first_change(make, label, arrival, gaps=()):
    """Return the start of the first window that this label changes the decision for, None for none."""
    told = [(command.t, command) for command in TAUGHT]
    without = decided(run_stage(make(NEURONS, window_us=10), SEEN, gaps, told))
    with_it = decided(run_stage(make(NEURONS, window_us=10), SEEN, gaps, [*told, (arrival, label)]))
    return next((a.start for a, b in zip(without, with_it, strict=True) if a != b), None)


@pytest.mark.parametrize("arrival", range(20, 31))
@pytest.mark.parametrize("t", [0, 15, None])
def test_a_label_never_changes_the_decision_on_a_window_that_began_before_it_came(t, arrival):
    label = Label(arrival if t is None else t, 0, 10, "b")
    assert first_change(Readout, label, arrival) == (20 if arrival == 20 else 30)


def test_a_readout_that_learns_at_once_is_found_by_that():
    assert first_change(Eager, Label(25, 0, 10, "b"), 25) == 20


@pytest.mark.parametrize("gap", [(23, 24), (26, 29), (25, 30), (25, 33)])
def test_a_gap_inside_a_window_lets_no_label_in(gap):
    assert first_change(Readout, Label(22, 0, 10, "b"), 22, [gap]) == 30
    assert first_change(Readout, Label(gap[0], 0, 10, "b"), gap[0], [gap]) == 30


def test_a_label_that_comes_before_its_time_waits_for_it():
    assert first_change(Readout, Label(25, 0, 10, "b"), 20) == 30
    assert first_change(Readout, Label(30, 0, 10, "b"), 20) == 30
    assert first_change(Readout, Label(31, 0, 10, "b"), 20) is None


def test_a_label_on_the_window_under_way_is_learned_when_it_has_ended():
    stage = readout()
    answers = run_stage(stage, SEEN, [], [(25, Label(25, 20, 30, "c")), (20, Label(20, 20, 30, "too early"))])
    assert [row.label for row in decided(answers)] == [None, None, None, "c"]
    assert stage.unmatched == 1
    assert stage.state()["votes"].tolist() == [[1.0, 2.0, 0.0, 0.0, 0.0]]


# By hand.


def test_votes_are_mean_counts_and_a_spike_speaks_by_its_share():
    told = [(10, Label(10, 0, 10, "a")), (20, Label(20, 10, 20, "b")), (30, Label(30, 20, 30, "a"))]
    rows = decided(run_stage(readout(memory=0.0), SEEN, [], told))
    assert rows[:2] == [Decision(0, 10, None, 0.0, (), 2.0), Decision(10, 20, None, 0.0, (), 2.0)]  # never heard
    assert rows[2] == Decision(20, 30, "b", 2 / 3, (("a", 1.0), ("b", 2.0)), 3.0)
    # a: mean of (2, 0) and (1, 2); b: (0, 2). Neuron 0 speaks for a alone, neuron 1 by 1/3 and 2/3.
    assert rows[3].label == "a"
    assert dict(rows[3].scores) == pytest.approx({"a": 2 + 1 / 3, "b": 2 / 3})
    assert rows[3].confidence == pytest.approx(7 / 9)


def test_of_equal_scores_the_label_heard_first_is_decided():
    told = [(10, Label(10, 0, 10, "b")), (10, Label(10, 0, 10, "a"))]
    rows = decided(run_stage(readout(), SEEN, [], told))
    assert rows[2] == Decision(20, 30, "b", 0.5, (("b", 0.5), ("a", 0.5)), 3.0)


@pytest.mark.parametrize(("memory", "vote"), [(0.0, 2.0), (0.02, 2.0), (0.5, 4.0), (1.0, 8.0)])
def test_memory_is_the_least_weight_of_a_new_sample(memory, vote):
    stage = readout(memory=memory, kept=4)
    run_stage(stage, spikes([(35, 3)] * 8, 0, 40), [], [(40, Label(40, 0, 40, "a"))])
    assert stage.state()["votes"][0, 3] == vote  # of 0, 0, 0, 8: a quarter, or as much as memory says


def test_a_label_teaches_every_window_it_covers_whole():
    stage = readout(kept=9)
    run_stage(stage, SEEN, [], [(40, Label(40, 9, 31, "a"))])
    assert stage.state()["seen"].tolist() == [2]
    assert stage.state()["votes"].tolist() == [[0.5, 2.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize(("kept", "seen"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4)])
def test_only_so_many_windows_are_kept(kept, seen):
    stage = readout(kept=kept)
    run_stage(stage, SEEN, [], [(40, Label(40, 0, 40, "a"))])
    assert stage.state()["seen"].tolist() == [seen]
    assert len(stage.state()["past"]) == min(kept, 4)


def test_labels_that_cover_no_window_are_counted():
    stage = readout(kept=1)
    nowhere = [Label(40, 0, 10, "a"), Label(40, 31, 40, "a"), Label(40, 40, 90, "a"), Label(40, 30, 40, "b")]
    run_stage(stage, SEEN, [], [(40, label) for label in nowhere])
    assert stage.unmatched == 3
    assert stage.state()["labels"].tolist() == ["b"]


def test_while_learning_is_off_labels_are_withheld():
    told = [(10, TAUGHT[0]), (15, enabled(15, False)), (16, TAUGHT[1]), (30, TAUGHT[1]), (33, enabled(33, True))]
    stage = readout(kept=9)
    run_stage(stage, SEEN, [], [*told, (36, Label(36, 20, 30, "c"))])
    assert stage.state()["labels"].tolist() == ["a", "c"]
    assert stage.unmatched == 0


def test_marks_decide_their_windows_and_nothing_between():
    told = [(2, Window(2, 13)), (20, Window(25, 30)), (33, Window(31, 37)), (33, Window(2, 9))]
    rows = decided(run_stage(readout(None), SEEN, [], told))
    assert [(row.start, row.stop, row.evidence) for row in rows] == [(2, 13, 3.0), (25, 30, 0.0), (31, 37, 1.0)]


def test_a_mark_that_begins_inside_the_last_one_continues_it_to_its_own_end():
    told = [(2, Window(2, 8)), (6, Window(6, 13)), (20, Window(20, 40)), (24, Window(24, 33)), (25, Window(20, 39))]
    rows = decided(run_stage(readout(None), SEEN, [], told))
    assert [(row.start, row.stop, row.evidence) for row in rows] == [(2, 13, 3.0), (20, 33, 4.0)]


@pytest.mark.parametrize("mark", [Window(5, 5), Window(8, 5), Window(2, 4)])
def test_a_mark_of_no_time_or_of_the_past_is_ignored(mark):
    rows = decided(run_stage(readout(None), spikes([(6, 0)], 0, 10), [], [(4, mark), (6, Window(6, 9))]))
    assert [(row.start, row.stop, row.evidence) for row in rows] == [(6, 9, 1.0)]


# Gaps.


def test_a_gap_decides_the_window_under_way_and_none_that_lies_inside():
    told = [(command.t, command) for command in TAUGHT]
    rows = decided(run_stage(readout(), SEEN, [(3, 22)], told))
    assert [(row.start, row.stop) for row in rows] == [(0, 10), (20, 30), (30, 40)]
    assert [row.evidence for row in rows] == [2.0, 2.0, 3.0]
    rows = decided(run_stage(readout(), SEEN, [(10, 20)], []))
    assert [row.start for row in rows] == [0, 20, 30]


def test_a_command_inside_a_gap_makes_no_window_of_it():
    stage = Pipeline({"readout": readout()})
    left, right = cut(SEEN, 25)
    answers = [stage(cut(left, 3)[0]), stage(right, [Label(14, 0, 10, "a"), enabled(18, True)])]
    rows = decided(answer["readout"] for answer in answers)
    assert [(row.start, row.evidence) for row in rows] == [(0, 2.0), (20, 0.0), (30, 3.0)]
    assert [row.label for row in rows] == [None, None, "a"]


def test_marks_inside_a_gap_are_dropped_and_those_across_its_edge_are_not():
    told = [(5, Window(5, 14)), (15, Window(15, 20)), (21, Window(21, 35))]
    rows = decided(run_stage(readout(None), SEEN, [(12, 30)], told))
    assert [(row.start, row.stop, row.evidence) for row in rows] == [(5, 14, 1.0), (21, 35, 1.0)]


# What it is given.


def test_a_mark_that_ends_before_the_stream_begins_is_no_window():
    stage = readout(None)
    stage.command(Window(-9, -5))
    stage.command(Window(-3, 5))
    assert [(row.start, row.stop) for row in stage(no_spikes(0, 10)).rows] == [(-3, 5)]


def test_it_counts_what_it_takes_and_gives():
    stage = readout()
    run_stage(stage, SEEN, [(35, 40)], [])
    assert (stage.account.taken, stage.account.given) == (8, 4)
    assert (stage.account.held, stage.account.conserves) == (0, False)


@pytest.mark.parametrize("neuron", [-1, NEURONS, 2**31 - 1])
def test_a_neuron_out_of_range_is_refused(neuron):
    with pytest.raises(ModelError, match=f"do not fit {NEURONS}"):
        readout()(spikes([(1, 0), (2, neuron)], 0, 10))


def test_it_takes_spikes_only():
    with pytest.raises(SpikestreamError, match="the readout takes spikes, not Events"):
        readout()(no_events(0, 10))


@pytest.mark.parametrize(
    "options", [{"windows": "grit"}, {"window_us": 0}, {"kept": 0}, {"memory": -0.1}, {"memory": 1.1}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ConfigError):
        Readout(NEURONS, **options)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("counts", np.zeros(NEURONS + 1, np.int64)),
        ("votes", np.zeros((2, NEURONS + 1))),
        ("votes", np.zeros((3, NEURONS))),
        ("labels", np.array(["a"])),
        ("seen", np.zeros(1, np.int64)),
        ("past", np.zeros((9, 2), np.int64)),
        ("past_counts", np.zeros((9, NEURONS), np.int64)),
        ("waiting_is_label", np.array([True])),
        ("waiting_is_label", np.array([False, False])),
        ("waiting_labels", np.array([], np.str_)),
        ("waiting_settings", np.zeros((0, 2), np.int64)),
        ("waiting_times", np.zeros((1, 2), np.int64)),
        ("now", np.zeros(1, np.int64)),
        ("votes", np.full((2, NEURONS), np.nan)),
        ("seen", np.array([-1, 3], np.int64)),
        ("counts", np.full(NEURONS, -1, np.int64)),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(name, wrong):
    stage = readout()
    told = [*((command.t, command) for command in TAUGHT), (35, Label(35, 20, 30, "c")), (36, enabled(36, False))]
    run_stage(stage, cut(SEEN, 37)[0], [], told)
    saved = stage.state()
    assert saved["waiting_is_label"].tolist() == [True, False]
    with pytest.raises(ModelError):
        stage.restore({**saved, name: wrong})
    assert same(stage.state(), saved)
