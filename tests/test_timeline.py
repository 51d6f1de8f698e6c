"""Stream time of a live sensor: right whatever the way does to its events, and never beyond what has passed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_cases import SIZE, gaps, lawful, rows, stream_of

from spikestream.batch import EVENT
from spikestream.sensors.base.timeline import BACK_US, FAR_US, LEAPS, MOST, Timeline

LENGTH, HOLD, SLACK = 10_000, 2_000, 50_000
AHEAD = 7_000_000_000
"""By how much the sensor's clock is ahead of this machine's."""


def line(**options) -> Timeline:
    return Timeline(SIZE, **{"length_us": LENGTH, "hold_us": HOLD, "slack_us": SLACK, **options})


def at(*times: int) -> np.ndarray:
    events = np.zeros(len(times), EVENT)
    events["t"] = times
    return events


def closes(timeline: Timeline) -> None:
    came, filtered, dropped, held = timeline.intake()
    assert came == timeline.given + sum(filtered.values()) + sum(dropped.values()) + held


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_overtakes_what_within_hold_and_comes_within_slack_all_is_in_its_place(data):
    events = stream_of(300, step_us=400, seed=data.draw(st.integers(0, 99)))
    cuts = sorted(data.draw(st.lists(st.integers(1, 299), max_size=30)))
    parts = [part for part in np.split(events, cuts) if len(part)]
    delays = data.draw(st.lists(st.integers(0, HOLD - 1), min_size=len(parts), max_size=len(parts)))
    # One is sent when its last event has happened; those that overtake come while the ones before are on their way.
    sent = sorted(
        ((int(part["t"][-1]) - AHEAD + delay, n) for n, (part, delay) in enumerate(zip(parts, delays, strict=True)))
    )
    timeline, batches = line(), []
    longest = max(int(part["t"][-1] - part["t"][0]) for part in parts)
    timeline._slack = longest + HOLD  # what stamps may be old by when they come
    for clock, n in sent:
        if n and data.draw(st.booleans()):
            batches += timeline.silent(clock)
        batches += timeline.take(parts[n], clock)
    batches += timeline.silent(int(events["t"][-1]) - AHEAD + 10 * LENGTH + timeline._slack)
    lawful(batches)
    overtaken = any(
        parts[b]["t"][0] < max(parts[a]["t"][-1] for _, a in sent[:i]) - HOLD for i, (_, b) in enumerate(sent) if i
    )
    if not overtaken:
        assert rows(batches).tolist() == events.tolist()
        assert timeline.late == 0
    assert len(rows(batches)) == len(events)
    assert gaps(batches) == []
    closes(timeline)


def test_batches_end_at_multiples_of_their_length_and_wait_for_what_may_still_come():
    timeline = line()
    assert list(timeline.take(at(1_003_456, 1_009_000), 0)) == []
    (batch,) = timeline.take(at(1_025_000), 16_000)
    assert (batch.start, batch.stop, batch.data["t"].tolist()) == (1_001_000, 1_020_000, [1_003_456, 1_009_000])
    assert timeline.waiting == 1


def test_time_passes_where_nothing_comes_but_no_further_than_the_clock_has_run():
    timeline = line()
    list(timeline.take(at(1_002_000), 500))
    assert list(timeline.silent(500 + SLACK + 7_999)) == []
    batches = list(timeline.silent(500 + SLACK + 28_000))
    assert [(b.start, b.stop, len(b)) for b in batches] == [(1_000_000, 1_030_000, 1)]
    batches += timeline.silent(500 + SLACK + 8 * 3_600_000_000)
    assert max(b.stop - b.start for b in batches) <= 3_600_000_000  # no batch is longer than the guard allows
    lawful(batches)
    assert gaps(batches) == []


def test_the_least_late_stamps_tell_how_far_time_has_run():
    """Those that were under way for 30 ms must not hold time up, nor may those before run ahead."""
    timeline = line(hold_us=0)
    list(timeline.take(at(1_000_000), 30_000))  # 30 ms late
    list(timeline.take(at(1_005_000), 5_000))  # not late at all
    (batch,) = timeline.silent(5_000 + SLACK + 15_000)
    assert batch.stop == 1_020_000


def test_a_slow_clock_makes_nobody_late_for_long():
    """A clock 200 ppm slow is 720 ms behind after an hour; what is known of it is never older than 20 s."""
    timeline, batches = line(), []
    for second in range(3_600):
        batches += timeline.silent(second * 1_000_000 - 1)
        batches += timeline.take(at(round(second * 999_800)), second * 1_000_000)
    assert timeline.late == timeline.resets == 0
    assert len(rows(batches)) >= 3_599
    lawful(batches)


def test_what_is_late_is_raised_to_where_time_is_and_counted():
    timeline = line()
    batches = [*timeline.take(at(1_000_000, 1_040_000), 0), *timeline.take(at(1_035_000, 1_041_000, 1_050_000), 1)]
    batches += timeline.silent(10_000_000)
    assert rows(batches)["t"].tolist() == [1_000_000, 1_035_000, 1_040_000, 1_041_000, 1_050_000]
    list(timeline.take(at(11_000_000), 10_000_100))
    late = list(timeline.take(at(10_900_000, 11_020_000), 10_020_000))
    assert timeline.late == 1
    assert late[0].data["t"].tolist()[0] == late[0].start
    lawful([*batches, *late])


def test_what_is_missing_is_a_gap_at_its_place():
    timeline = line()
    batches = [*timeline.take(at(1_000_000, 1_002_000), 0), *timeline.take(at(1_007_000, 1_030_000), 9_000, lost=True)]
    batches += timeline.silent(1_000_000)
    assert gaps(batches) == [(1_002_001, 1_007_000)]
    assert len(rows(batches)) == 4
    lawful(batches)


@pytest.mark.parametrize(("anew", "after"), [(0, 100_180_123), (5_000_000_000, 5_000_060_123)])
def test_a_clock_that_begins_anew_goes_on_after_a_gap_moved_by_whole_seconds_where_it_is_behind(anew, after):
    timeline = line(doubts=2)
    batches = list(timeline.take(at(100_000_123, 100_020_123), 0))
    for k in range(5):  # two are not enough to believe it
        batches += timeline.take(at(anew + 123 + 30_000 * k), 100_000 + 30_000 * k)
    batches += timeline.silent(2_000_000)
    assert timeline.resets == 1
    assert timeline.strange == 2
    (gap,) = gaps(batches)
    assert gap[0] == 100_020_124
    moved = rows(batches)["t"][2:] - (anew + 123 + 30_000 * np.arange(2, 5))
    assert len(set(moved.tolist())) == 1
    assert moved[0] % 1_000_000 == 0
    assert after <= rows(batches)["t"][2] < after + 1_000_000
    assert 0 <= rows(batches)["t"][2] - gap[1] < HOLD + 1_000
    lawful(batches)
    closes(timeline)


def test_one_forged_stamp_moves_nothing():
    timeline, batches = line(doubts=2), []
    for k, forged in enumerate([0, 1 << 60, 0, (1 << 62) + 5, -(1 << 62), 0, 5 * FAR_US, 0]):
        batches += timeline.take(at(forged or 1_000_000 + 10_000 * k), 10_000 * k)
    batches += timeline.silent(1_000_000)
    assert timeline.strange == 4
    assert timeline.resets == 0
    assert rows(batches)["t"].tolist() == [1_000_000, 1_020_000, 1_050_000, 1_070_000]


def test_a_sender_that_was_stopped_goes_on_without_all_it_says_being_late():
    """Ten minutes stopped, and its stamps go on where they were: that is a clock that stood still."""
    timeline = line()
    batches = list(timeline.take(at(1_000_000), 0))
    batches += timeline.silent(600_000_000)
    batches += timeline.take(at(1_010_000, 1_020_000), 600_000_000)
    batches += timeline.silent(601_000_000)
    assert (timeline.late, timeline.resets) == (0, 1)
    assert np.diff(rows(batches)["t"])[-1] == 10_000
    lawful(batches)


def test_after_a_long_silence_stamps_that_have_run_on_are_no_other_clock():
    timeline = line(doubts=2)
    batches = list(timeline.take(at(1_000_000), 0))
    batches += timeline.take(at(1_000_000 + 10 * FAR_US), 10 * FAR_US)
    batches += timeline.silent(10 * FAR_US + BACK_US)
    assert timeline.strange == timeline.resets == 0
    assert gaps(batches) == []


def test_it_begins_where_it_is_told_to_and_moves_a_clock_that_is_not_as_far():
    timeline = line()
    timeline.begin(2_500_000)
    batches = [*timeline.take(at(100_000, 150_000), 0), *timeline.silent(1_000_000)]
    assert rows(batches)["t"].tolist() == [3_100_000, 3_150_000]
    assert batches[0].start == 3_098_000


def test_without_stamps_time_is_that_of_this_machine_from_the_start_on():
    timeline = line(slack_us=0, hold_us=0)
    timeline.run(0, 777)
    batches = list(timeline.silent(777 + 25_000))
    batches += timeline.take(at(777 + 25_000), 777 + 25_000)
    batches += timeline.silent(777 + 30_000)
    assert [(b.start, b.stop, b.data["t"].tolist()) for b in batches] == [(0, 20_000, []), (20_000, 30_000, [25_000])]


def test_what_is_outside_is_dropped_and_counted():
    timeline = line()
    events = at(1_000_000, 1_000_001, 1_000_002)
    events["x"], events["y"] = [SIZE[0], 0, 5], [0, SIZE[1], 5]
    batches = [*timeline.take(events, 0), *timeline.silent(1_000_000)]
    assert rows(batches)["x"].tolist() == [5]
    assert timeline.outside == 2
    closes(timeline)


def test_however_many_events_share_a_stamp_no_more_wait_than_are_allowed():
    timeline, batches = line(), []
    for _ in range(5):
        batches += timeline.take(at(*[1_000_000] * (MOST // 3)), 0)
        assert timeline.waiting <= MOST
    assert timeline.late > 0
    lawful(batches)
    closes(timeline)


def test_neither_what_is_taken_nor_what_was_handed_out_is_written_to():
    timeline = line()
    timeline.begin(5_000_000)  # stamps are moved
    taken = at(1_000_000, 1_005_000, 1_030_000)
    before = taken.tobytes()
    batches = list(timeline.take(taken, 0))
    copies = [batch.data.tobytes() for batch in batches]
    batches += timeline.take(at(1_010_000, 1_060_000), 1)
    assert taken.tobytes() == before
    assert [batch.data.tobytes() for batch in batches[: len(copies)]] == copies


def test_a_batch_that_somebody_keeps_keeps_nothing_of_what_waited_with_it():
    timeline = line()
    (batch,) = timeline.take(at(1_000_000, *[1_020_000] * 10_000), 0)
    base = batch.data
    while base.base is not None:
        base = base.base
    assert (len(batch), len(base)) == (1, 1)


def test_events_of_one_stamp_stay_in_the_order_they_came_in():
    timeline = line()
    early, late = at(*[1_001_500] * 60), at(*[1_001_000] * 60, *[1_001_500] * 60)
    early["x"], late["x"] = np.arange(60), np.arange(60, 180)
    batches = [*timeline.take(early, 0), *timeline.take(late, 1), *timeline.silent(1_000_000)]
    assert rows(batches)["x"].tolist() == [*range(60, 120), *range(60), *range(120, 180)]


# Whatever the stamps are.

EVERYWHERE = st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([0, 1 << 58, 1 << 60, 1 << 61, -(1 << 61)])
STEPS = st.integers(-2_000, 5_000) | st.sampled_from([FAR_US, FAR_US + 1, -FAR_US, -BACK_US - 1, 59_000_000])


@st.composite
def stamps(draw) -> list[int]:
    """Draw stamps of one array: anywhere, or in steps, and single ones turned over into something else."""
    if draw(st.booleans()):
        return draw(st.lists(EVERYWHERE, min_size=1, max_size=40))
    first = draw(st.integers(0, 1 << 60))
    times = (first + np.cumsum(draw(st.lists(STEPS, min_size=1, max_size=200)))).tolist()
    if draw(st.booleans()):
        times[draw(st.integers(0, len(times) - 1))] ^= 1 << draw(st.integers(0, 62))
    return times


@settings(max_examples=300, deadline=None)
@given(
    arrays=st.lists(st.tuples(stamps(), st.integers(0, 5_000_000), st.booleans()), min_size=1, max_size=12),
    options=st.sampled_from([{}, {"doubts": 2}, {"hold_us": 0, "slack_us": 0}, {"length_us": 1_000_000}]),
    start=st.sampled_from([0, 1 << 55]),
)
def test_whatever_the_stamps_are_an_array_costs_what_its_events_cost(arrays, options, start):
    """Batches, which are the work, are bounded by the events, and what is not left out is there, in order."""
    timeline, batches, clock = line(**options), [], 0
    timeline.begin(start)
    for times, pause, lost in arrays:
        clock += pause
        most = 3 * len(times) + 2
        for number, batch in enumerate(timeline.take(at(*times), clock, lost=lost)):
            assert number < most, f"{number} batches of {len(times)} events"
            batches.append(batch)
        closes(timeline)
    batches += timeline.finish()
    lawful(batches)
    assert timeline.came == sum(len(times) for times, *_ in arrays)
    assert len(rows(batches)) == timeline.came - timeline.strange
    assert timeline.waiting == 0


@pytest.mark.parametrize("first", [[], [1_000_000]])
def test_a_leap_inside_of_an_array_is_a_gap_and_nothing_is_lost(first):
    timeline, batches = line(), []
    for times in ([first] if first else []) + [[1_010_000, 1_700_000_000_000_000, 1_700_000_000_000_500]]:
        batches += timeline.take(at(*times), 0)
    batches += timeline.finish()
    ((begin, end),) = gaps(batches)
    assert (begin, end - end % 10_000) == (1_010_001, 1_699_999_999_990_000)
    assert len(rows(batches)) == len(first) + 3
    assert timeline.strange == 0
    closes(timeline)


@pytest.mark.parametrize("first", [[], [900_000, 999_000]])
def test_one_stamp_from_which_the_others_leap_back_is_left_out_and_moves_nothing(first):
    timeline, batches = line(), []
    times = [1_000_000 + 1_000 * k for k in range(20)]
    forged = [*times[:10], times[10] ^ 1 << 58, *times[11:]]
    for taken in ([first] if first else []) + [forged, [1_050_000]]:
        batches += timeline.take(at(*taken), 0)
    batches += timeline.finish()
    assert rows(batches)["t"].tolist() == [*first, *times[:10], *times[11:], 1_050_000]
    assert (timeline.strange, timeline.resets, gaps(batches)) == (1, 0, [])
    closes(timeline)


def test_of_a_sender_that_is_doubted_an_array_with_a_leap_is_left_out_also_the_first():
    timeline = line(doubts=2)
    assert list(timeline.take(at(0, 1 << 60), 0)) == []
    batches = list(timeline.take(at(1_000_000, 1_040_000), 1_000))
    for k in range(5):
        batches += timeline.take(at(1_050_000 + k, 1 << 60), 2_000 + k)
    batches += [*timeline.take(at(1_060_000), 20_000), *timeline.finish()]
    assert rows(batches)["t"].tolist() == [1_000_000, 1_040_000, 1_060_000]
    assert (timeline.strange, timeline.resets) == (12, 0)


def test_hours_in_one_array_are_lived_through_where_nothing_leaps():
    timeline, times = line(doubts=2), 59_000_000 * np.arange(200)
    batches = [*timeline.take(at(*times), 0), *timeline.finish()]
    assert rows(batches)["t"].tolist() == times.tolist()
    assert (len(batches), gaps(batches)) == (5, [])  # of an hour at the most, the last of what waits
    closes(timeline)


def test_what_is_missing_before_an_array_is_missing_before_its_first_event_only():
    timeline, later = line(), 10 * FAR_US
    batches = list(timeline.take(at(1_000_000), 0))
    batches += timeline.take(at(1_020_000, 1_000_000 + later), later, lost=True)
    batches += timeline.finish()
    assert gaps(batches) == [(1_000_001, 1_020_000)]
    assert timeline.resets == 0


def test_an_array_with_more_leaps_than_any_clock_makes_is_left_out():
    timeline, sparse = line(), np.arange(LEAPS + 1) * (FAR_US + 1)
    batches = [*timeline.take(at(*sparse), 0), *timeline.finish()]
    assert rows(batches)["t"].tolist() == sparse.tolist()
    assert len(gaps(batches)) == LEAPS
    timeline = line()
    assert list(timeline.take(at(*range(0, (LEAPS + 2) * (FAR_US + 1), FAR_US + 1)), 0)) == []
    assert timeline.strange == LEAPS + 2
    closes(timeline)
