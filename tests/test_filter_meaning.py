"""What each filter means, on streams small enough to follow by eye."""

from __future__ import annotations

import pytest
from filter_cases import SLOW_START, events_of, passed, streams, tuples
from hypothesis import given
from hypothesis import strategies as st

from spikestream.stages.filters import Filters


def test_refractory_counts_from_the_last_event_that_passed():
    burst = [(t, 0, 0, t % 2 == 0) for t in (0, 600, 1000, 1600, 1999, 2000)]
    assert [t for t, *_ in passed([{"kind": "refractory", "period_ms": 1}], (1, 1), burst)] == [0, 1000, 2000]


def test_background_wants_another_pixel_nearby_within_the_window():
    row = [{"kind": "background", "window_ms": 1}]
    assert passed(row, (9, 9), [(0, 4, 4, True), (1, 4, 4, True), (2, 4, 4, True)]) == []
    for dx, dy in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)]:
        near = [(0, 4 + dx, 4 + dy, True), (1000, 4, 4, False)]
        assert passed(row, (9, 9), near) == near[1:]
        assert passed(row, (9, 9), [near[0], (1001, 4, 4, False)]) == []
    for far in [(2, 4), (4, 2), (6, 6)]:
        assert passed(row, (9, 9), [(0, *far, True), (1, 4, 4, True)]) == []


def test_background_does_not_reach_round_the_edge_of_the_picture():
    row = [{"kind": "background", "window_ms": 1}]
    corners = [(0, 0, 0, True), (1, 4, 0, True), (2, 4, 1, True), (3, 0, 3, True), (4, 4, 3, True)]
    assert passed(row, (5, 4), corners) == [(2, 4, 1, True)]


def test_a_pixel_that_is_removed_still_supports_and_counts_once_as_supporter():
    row = [{"kind": "background", "window_ms": 1, "neighbours": 2}]
    same_pixel = [(0, 0, 1, True), (1, 0, 1, True), (2, 1, 1, True)]
    assert passed(row, (3, 3), same_pixel) == []
    assert passed(row, (3, 3), [*same_pixel, (3, 2, 2, True), (4, 1, 2, True)]) == [(4, 1, 2, True)]


def test_a_hot_pixel_is_muted_in_the_period_after_the_busy_one():
    row = [{"kind": "hot_pixel", "max_rate_hz": 2000, "period_ms": 1}]  # more than 2 in a ms
    busy = [(t, 1, 1, True) for t in (-500, -400, -300)]
    assert passed(row, (2, 2), busy) == busy
    at_limit = [*busy[:2], (0, 1, 1, True)]
    assert passed(row, (2, 2), at_limit) == at_limit
    later = [(0, 1, 1, True), (1, 0, 1, True), (999, 1, 1, True), (1000, 1, 1, True)]
    assert passed(row, (2, 2), busy + later) == [*busy, (1, 0, 1, True), (1000, 1, 1, True)]
    after_a_pause = [*busy, (1000, 1, 1, True)]
    assert passed(row, (2, 2), after_a_pause) == after_a_pause


def test_a_pixel_that_stays_hot_stays_muted():
    row = [{"kind": "hot_pixel", "max_rate_hz": 2000, "period_ms": 1}]
    always = [(t, 0, 0, True) for t in range(0, 5000, 100)]
    assert passed(row, (1, 1), always) == always[:10]


def test_a_listed_pixel_never_passes():
    row = [{"kind": "hot_pixel", "pixels": [[2, 0]]}]
    assert passed(row, (3, 2), [(0, 2, 0, True), (1, 0, 1, True), (2, 2, 1, True)]) == [
        (1, 0, 1, True),
        (2, 2, 1, True),
    ]


def test_a_rate_is_taken_as_the_decimal_number_it_was_written_as():
    row = [{"kind": "hot_pixel", "max_rate_hz": 0.3, "period_ms": 10_000}]  # 3 events, in binary a little less
    three = [(t, 0, 0, True) for t in (0, 1, 2)] + [(10_000_000, 0, 0, True)]
    assert passed(row, (1, 1), three) == three
    four = [(3, 0, 0, True), *three]
    assert len(passed(row, (1, 1), sorted(four))) == 4


def test_rate_limit_lets_a_burst_through_and_then_the_rate():
    row = [{"kind": "rate_limit", "max_rate_hz": 1000, "burst_ms": 3}]
    burst = [(0, x, 0, True) for x in range(5)]
    later = [(999, 0, 0, True), (1000, 1, 0, True), (1000, 2, 0, True), (2500, 3, 0, True), (10**9, 4, 0, True)]
    stage = Filters(row, (5, 1))
    assert tuples(stage(events_of(burst + later)).data) == [*burst[:3], later[1], later[3], later[4]]
    assert stage.account.dropped == {"outside": 0, "rate_limit": 4}
    assert stage.account.filtered == {}


@given(events=streams((3, 3)), rate=st.sampled_from([1, 500, 2000, 77.7]), burst=st.sampled_from([0, 1, 5, 100]))
@SLOW_START
def test_no_window_holds_more_than_the_burst_and_the_rate_allow(events, rate, burst):
    out = passed([{"kind": "rate_limit", "max_rate_hz": rate, "burst_ms": burst}], (4, 4), events)
    stamps = [t for t, *_ in out]
    for i, first in enumerate(stamps):
        for j in range(i, len(stamps)):
            allowed = max(1, rate * burst / 1e3) + rate * (stamps[j] - first) / 1e6
            assert j - i + 1 <= allowed + 1e-6


@given(events=streams((2, 2)), period=st.sampled_from([0.1, 1, 5]))
@SLOW_START
def test_what_refractory_passes_is_spaced_and_what_it_removes_is_not(events, period):
    out = passed([{"kind": "refractory", "period_ms": period}], (3, 3), events)
    left = list(out)
    latest = {}
    for event in events:
        t, x, y, _ = event
        if left and event == left[0] and t - latest.get((x, y), t - 10**9) >= period * 1000:
            latest[x, y] = left.pop(0)[0]
        else:
            assert t - latest[x, y] < period * 1000
    assert left == []


@pytest.mark.parametrize(
    ("row", "size", "event", "want", "out_size"),
    [
        ({"kind": "polarity", "keep": "merge"}, (4, 3), (1, 2, False), (1, 2, True), (4, 3)),
        ({"kind": "crop", "x": 1, "y": 2, "width": 3, "height": 1}, (4, 3), (3, 2, True), (2, 0, True), (3, 1)),
        ({"kind": "flip", "horizontal": True}, (4, 3), (0, 2, True), (3, 2, True), (4, 3)),
        ({"kind": "flip", "vertical": True}, (4, 3), (0, 2, True), (0, 0, True), (4, 3)),
        ({"kind": "flip", "horizontal": True}, (65536, 1), (65535, 0, True), (0, 0, True), (65536, 1)),
        ({"kind": "downsample", "factor": 2}, (5, 3), (4, 2, True), (2, 1, True), (3, 2)),
        ({"kind": "downsample"}, (346, 260), (345, 259, True), (31, 23, True), (32, 24)),
        ({"kind": "downsample"}, (32, 32), (31, 1, True), (31, 1, True), (32, 32)),
        ({"kind": "downsample"}, (3, 33), (2, 32, True), (1, 16, True), (2, 17)),
        ({"kind": "downsample"}, (64, 2), (63, 1, True), (63, 1, True), (64, 2)),
        ({"kind": "downsample"}, (1, 500), (0, 499, True), (0, 499, True), (1, 500)),
        ({"kind": "downsample", "factor": 65536}, (65536, 2), (65535, 1, True), (0, 0, True), (1, 1)),
        ({"kind": "crop", "x": 65535, "width": 1, "height": 1}, (65536, 1), (65535, 0, True), (0, 0, True), (1, 1)),
    ],
)
def test_filters_that_move_events(row, size, event, want, out_size):
    stage = Filters([row], size)
    assert tuples(stage(events_of([(7, *event)])).data) == [(7, *want)]
    assert stage.size == out_size


def test_crop_removes_what_lies_on_any_side():
    row = {"kind": "crop", "x": 1, "y": 1, "width": 1, "height": 1}
    grid = [(t, t % 3, t // 3, True) for t in range(9)]
    stage = Filters([row], (3, 3))
    assert tuples(stage(events_of(grid)).data) == [(4, 0, 0, True)]
    assert stage.account.filtered == {"crop": 8}


def test_events_outside_the_size_are_dropped_and_counted():
    stage = Filters([], (4, 3))
    out = stage(events_of([(0, 3, 2, True), (1, 4, 0, True), (2, 0, 3, True), (3, 65535, 65535, True)]))
    assert tuples(out.data) == [(0, 3, 2, True)]
    assert stage.account.dropped == {"outside": 3}
    assert (stage.account.taken, stage.account.given) == (4, 1)


def test_two_filters_of_a_kind_share_one_count():
    stage = Filters([{"kind": "polarity", "keep": "on"}, {"kind": "flip"}, {"kind": "polarity", "keep": "off"}], (2, 2))
    stage(events_of([(0, 0, 0, True), (1, 0, 0, False), (2, 1, 1, True)]))
    assert stage.account.filtered == {"polarity": 3, "flip": 0}
