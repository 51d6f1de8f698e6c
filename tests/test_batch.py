"""What flows: `check` holds the law of `batch.py`, `cut` and `concat` lose nothing and move nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spikestream as ss
from spikestream.batch import (
    EVENT,
    SPIKE,
    Batch,
    Decision,
    Decisions,
    Events,
    Label,
    Sound,
    Spikes,
    Window,
    check,
    concat,
    cut,
    first_at,
    no_events,
    no_spikes,
    stamps,
)
from spikestream.errors import RecordingError, SpikestreamError


def events(start: int, stop: int, *times: int) -> Events:
    return Events(start, stop, np.array([(t, i, i, i % 2) for i, t in enumerate(times)], EVENT), (34, 34))


def spikes(start: int, stop: int, *times: int) -> Spikes:
    return Spikes(start, stop, np.array(times, np.int64), np.arange(len(times), dtype=np.int32))


def decisions(start: int, stop: int, *windows: tuple[int, int]) -> Decisions:
    return Decisions(start, stop, tuple(Decision(a, b, f"{i}", 0.5) for i, (a, b) in enumerate(windows)))


def rows(batch: Batch) -> list[tuple[object, ...]]:
    """Return a batch's content as plain tuples."""
    if isinstance(batch, Events):
        return batch.data.tolist()
    if isinstance(batch, Spikes):
        return list(zip(batch.t.tolist(), batch.axon.tolist(), strict=True))
    if isinstance(batch, Sound):
        return [tuple(row) for row in batch.samples.tolist()]
    return [dataclasses.astuple(row) for row in batch.rows]


@st.composite
def some_batch(draw: st.DrawFn) -> Events | Spikes | Decisions:
    """Draw a lawful batch anywhere in stream time."""
    start = draw(st.integers(-(2**60), 2**60))
    inside = draw(st.lists(st.integers(0, 50), max_size=12).map(sorted))
    stop = start + draw(st.integers(max(inside, default=-1) + 1, 60))
    times = [start + t for t in inside]
    kind = draw(st.sampled_from([events, spikes, decisions]))
    if kind is decisions:
        return decisions(start, stop, *[(t - draw(st.integers(0, 99)), t + 1) for t in times])
    return kind(start, stop, *times)


def test_the_dtypes_are_packed():
    assert (EVENT.itemsize, SPIKE.itemsize) == (13, 12)
    event = np.array([(1, 2, 3, True)], EVENT)
    assert event.tobytes().hex() == "0100000000000000" + "0200" + "0300" + "01"
    assert np.array([(1, -2)], SPIKE).tobytes().hex() == "0100000000000000" + "feffffff"


def test_batches_cannot_be_changed():
    for batch in (events(0, 9), spikes(0, 9), Sound(0, 9, np.zeros((1, 1), np.float32)), decisions(0, 9)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            batch.start = 1  # type: ignore[misc]
        assert not hasattr(batch, "__dict__")


def test_empty_batches_have_the_right_types():
    silent = no_events(5, 9, (3, 4))
    assert (silent.start, silent.stop, silent.size, len(silent), silent.data.dtype) == (5, 9, (3, 4), 0, EVENT)
    quiet = no_spikes(5, 9)
    assert (len(quiet), quiet.t.dtype, quiet.axon.dtype) == (0, np.int64, np.int32)
    check(silent)
    check(quiet)


def test_a_window_takes_effect_at_its_start():
    assert Window(30, 90).t == 30
    assert Label(70, 30, 60, "car").reward == 0.0


@given(st.lists(st.integers(-5, 5), max_size=9).map(sorted), st.integers(-7, 7))
def test_first_at_is_the_count_of_earlier_stamps(times: list[int], time: int):
    assert first_at(np.array(times, np.int64), time) == sum(t < time for t in times)


@given(some_batch())
def test_a_lawful_batch_passes(batch: Events | Spikes | Decisions):
    check(batch)


@pytest.mark.parametrize("make", [events, spikes])
@pytest.mark.parametrize(
    ("start", "stop", "times", "message"),
    [
        (9, 8, [], "batch runs backwards: [9, 8)"),
        (0, 9, [5, 4], "batch [0, 9) is not sorted by time"),
        (0, 9, [3, 8, 7, 8], "batch [0, 9) is not sorted by time"),
        (5, 9, [4, 8], "batch [5, 9) holds stamps 4..8 outside of it"),
        (5, 9, [5, 9], "batch [5, 9) holds stamps 5..9 outside of it"),
        (5, 5, [5], "batch [5, 5) holds stamps 5..5 outside of it"),
    ],
)
def test_the_law_bites(make, start: int, stop: int, times: list[int], message: str):
    with pytest.raises(SpikestreamError) as caught:
        check(make(start, stop, *times))
    assert str(caught.value) == message


def test_a_decision_belongs_where_its_window_ended():
    check(decisions(100, 200, (0, 101), (150, 200)))
    for window in ((0, 100), (150, 201)):
        with pytest.raises(SpikestreamError, match="outside of it"):
            check(decisions(100, 200, window))


def test_sound_has_no_stamps_to_break_the_law_with():
    sound = Sound(0, 10, np.zeros((7, 2), np.float32))
    check(sound)
    assert len(sound) == 7
    assert len(stamps(sound)) == 0


@given(some_batch(), st.data())
def test_cut_parts_exactly_at_the_time(batch: Events | Spikes | Decisions, draw: st.DataObject):
    at = draw.draw(st.integers(batch.start, batch.stop))
    left, right = cut(batch, at)
    assert (left.start, left.stop, right.start, right.stop) == (batch.start, at, at, batch.stop)
    check(left)
    check(right)
    before = [row for row, t in zip(rows(batch), stamps(batch).tolist(), strict=True) if t < at]
    assert rows(left) == before
    assert rows(left) + rows(right) == rows(batch)


@given(some_batch(), st.data())
def test_concat_undoes_any_number_of_cuts(batch: Events | Spikes | Decisions, draw: st.DataObject):
    pieces, rest = [], batch
    for at in sorted(draw.draw(st.lists(st.integers(batch.start, batch.stop), max_size=6))):
        left, rest = cut(rest, at)
        pieces.append(left)
    whole = concat([*pieces, rest])
    assert type(whole) is type(batch)
    assert (whole.start, whole.stop, rows(whole)) == (batch.start, batch.stop, rows(batch))
    for name in ("data", "t", "axon"):
        assert getattr(whole, name, np.empty(0)).dtype == getattr(batch, name, np.empty(0)).dtype
    assert getattr(whole, "size", None) == getattr(batch, "size", None)


def test_an_event_on_the_cut_goes_right():
    left, right = cut(spikes(0, 3_000, 10, 999, 1_000, 2_500), 1_000)
    assert (left.t.tolist(), right.t.tolist()) == ([10, 999], [1_000, 2_500])


def test_a_window_that_stops_at_the_cut_goes_left():
    left, right = cut(decisions(0, 300, (0, 100), (100, 200)), 100)
    assert ([row.stop for row in left.rows], [row.stop for row in right.rows]) == ([100], [200])


@pytest.mark.parametrize("at", [4, 10])
def test_a_cut_outside_the_batch_is_our_own_mistake(at: int):
    with pytest.raises(ValueError, match=rf"cannot cut \[5, 9\) at {at}"):
        cut(events(5, 9), at)


def test_only_its_sensor_cuts_sound():
    with pytest.raises(ValueError, match="sound is cut by its sensor"):
        cut(Sound(0, 10, np.zeros((10, 1), np.float32)), 5)


def test_sound_is_joined():
    a, b = (Sound(t, t + 2, np.full((2, 1), t, np.float32)) for t in (0, 2))
    whole = concat([a, b])
    assert (whole.start, whole.stop, whole.samples.tolist()) == (0, 4, [[0.0], [0.0], [2.0], [2.0]])
    assert whole.samples.dtype == np.float32


def test_one_batch_alone_is_itself():
    batch = events(0, 9, 1)
    assert concat([batch]) is batch


FOREIGN = np.dtype([("x", "<i4"), ("y", "<i4"), ("t", "<f8"), ("p", "<i2")])


def test_events_in_fields_of_others_become_ours(tmp_path):
    made = Events(0, 10, np.array([(1, 2, 5, -1), (65_535, 4, 6, 1)], FOREIGN), (65_536, 10))
    assert made.data.dtype == EVENT
    assert made.data.tolist() == [(5, 1, 2, False), (6, 65_535, 4, True)]
    ss.write(tmp_path / "a.csv", made)
    assert np.array_equal(ss.read(tmp_path / "a.csv").data, made.data)
    ours = np.zeros(3, EVENT)
    assert Events(0, 1, ours).data is ours


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (np.array([(1, 1, 0.5, 1)], FOREIGN), r"t holds fractions(.|\n)*1e6"),
        (np.array([(-1, 1, 1, 1)], FOREIGN), "x is no pixel(.|\n)*found -1"),
        (np.array([(1, 65_536, 1, 1)], FOREIGN), "y is no pixel(.|\n)*65536"),
        (np.array([(1, 1, 1, 2)], FOREIGN), "p is no polarity"),
        (np.array([(1, 1, 1, -2)], FOREIGN), "p is no polarity"),
        (np.zeros((4, 4)), "these are no events"),
        ([1, 2, 3], "found a list"),
    ],
)
def test_what_cannot_become_events_is_refused(data, what):
    with pytest.raises(RecordingError, match=what):
        Events(0, 10, data)
