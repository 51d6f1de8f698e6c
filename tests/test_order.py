"""Time runs forward in the files room: every policy against a loop, and what it says of late stamps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plainformat import at, error_of, events, plain, save, whole

from spikestream.batch import LIMIT_US
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.order import FUTURE_US, POLICIES, Order
from spikestream.files.reader import Reader

__all__ = ["plain"]


def naive_order(policy: str, times: list[int]) -> tuple[list[int | None], dict[str, int], int | None]:
    """Return what becomes of each stamp (None: dropped), the problems, and the event at which ``fail`` stops."""
    out, problems, last, top = [], {}, None, None

    def note(name):
        problems[name] = problems.get(name, 0) + 1

    for i, t in enumerate(times):
        if not -LIMIT_US <= t < LIMIT_US:
            return out, problems, i
        step, last = (0 if last is None else t - last), t
        if step > FUTURE_US:
            note("future")
        if step < 0:
            note("backward")
            if policy == "fail":
                return out, problems, i
        if top is None or t >= top or policy == "keep":
            out.append(t)
            top = t
        elif policy == "clamp":
            out.append(top)
            note("clamped")
        else:
            note("dropped")
    return out, problems, None


steps = st.one_of(st.integers(-5, 5), st.integers(-(2**40), 2**40), st.sampled_from([FUTURE_US, FUTURE_US + 1]))
limits = st.sampled_from([2**62 - 1, 2**62, -(2**62), -(2**62) - 1, 2**63 - 1, -(2**63)])


@given(
    policy=st.sampled_from([policy for policy in POLICIES if policy != "sort"]),
    first=st.one_of(st.integers(-100, 100), limits),
    deltas=st.lists(steps, max_size=30),
    wild=st.none() | limits,
    cuts=st.lists(st.integers(0, 31), max_size=6),
)
@settings(deadline=None, max_examples=400)
def test_every_policy_does_what_the_naive_loop_does(policy, first, deltas, wild, cuts):
    times = np.cumsum([first, *deltas], dtype=object).tolist() if abs(first) < 1000 else [first, *deltas]
    times += [] if wild is None else [wild]
    expected, problems, stopped = naive_order(policy, times)
    order, got, failed = Order(policy), [], False
    parts = np.split(at(times), sorted(min(cut, len(times)) for cut in cuts))
    before = [part.copy() for part in parts]
    try:
        for part in parts:
            for out in order.feed(part):
                got += out["t"].tolist()
    except RecordingError:
        failed = True
    assert failed == (stopped is not None)
    assert got == expected
    if policy != "fail" and not failed:
        assert order.problems == problems
    assert all(np.array_equal(a, b) for a, b in zip(parts, before, strict=True))


usual = st.sampled_from([0] * 20 + [1, 9, FUTURE_US, FUTURE_US + 1, -1, -FUTURE_US])


@given(
    first=st.sampled_from([0, -50, LIMIT_US - 1, -LIMIT_US, LIMIT_US - FUTURE_US - 3]),
    deltas=st.lists(usual, max_size=40),
    places=st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3]), min_size=82, max_size=82),
    cuts=st.lists(st.integers(0, 41), max_size=12),
)
@settings(deadline=None, max_examples=400)
def test_what_is_mostly_as_usual_is_looked_at_as_closely(first, deltas, places, cuts):
    times = np.cumsum([first, *deltas], dtype=object).tolist()
    data = at(times)
    data["x"], data["y"] = places[: len(times)], places[41 : 41 + len(times)]
    expected, problems, stopped = naive_order("keep", times)
    outside = sum(x >= 3 or y >= 2 for x, y in data[["x", "y"]][:stopped].tolist())
    order, got = Order("keep"), []
    try:
        for part in np.split(data, sorted(min(cut, len(times)) for cut in cuts)):
            for out in order.feed(part, (3, 2)):
                got += out["t"].tolist()
    except RecordingError:
        assert stopped is not None
    assert got == expected
    assert order.problems == problems | ({"outside": outside} if outside else {})


def test_only_the_time_of_a_late_event_changes():
    data = events([(5, 1, 2, True), (3, 3, 4, False), (9, 5, 6, True)])
    (clamped,) = Order("clamp").feed(data)
    (dropped,) = Order("drop").feed(data)
    assert clamped.tolist() == [(5, 1, 2, True), (5, 3, 4, False), (9, 5, 6, True)]
    assert dropped.tolist() == [(5, 1, 2, True), (9, 5, 6, True)]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_longest_step_that_time_can_hold_is_a_step_forward(policy):
    order = Order(policy)
    parts = [*order.feed(at([-(2**62), 2**62 - 1])), *order.finish()]
    assert np.concatenate(parts)["t"].tolist() == [-(2**62), 2**62 - 1]
    assert order.problems == {"future": 1}


def test_events_are_numbered_from_the_start_of_the_recording():
    order = Order()
    for part in ([1, 2, 3], [9, 4], [5]):
        list(order.feed(at(part)))
    assert order.warning() == "1 backward time step (largest -5 µs at event 4); time policy 'clamp' used: 2 clamped"


def test_the_order_error_and_warning_say_where_and_how_far(plain, tmp_path):
    path = save(tmp_path / "late.plain", at([100_000, 90_000, 70_000, 200_000, 199_999]))
    with Reader(path) as reader:
        whole(reader)
        assert reader.problems == {"backward": 3, "clamped": 3}
        assert reader.warnings == [
            "3 backward time steps (largest -20 ms at event 2); time policy 'clamp' used: 3 clamped"
        ]
    assert error_of(path, time="fail") == f"{path}: time steps back by 10 ms at event 1\n  try: --time clamp"
    with pytest.raises(ConfigError, match="unknown time policy 'clmap'\n  allowed: clamp, sort, drop, fail, keep"):
        Reader(path, time="clmap")


def test_a_stamp_beyond_what_time_can_hold_is_damage(plain, tmp_path):
    path = save(tmp_path / "far.plain", at([-(2**62), 2**62 - 1, 2**62]))
    assert error_of(path) == (
        f"{path}: a time stamp is beyond what stream time can hold\n"
        "  expected -2^62 <= t < 2^62 µs, found 4611686018427387904 µs at event 2"
    )


def test_a_stamp_beyond_it_is_damage_wherever_it_comes():
    order = Order()
    assert len(next(order.feed(at([2**62 - 2])))) == 1
    rest = order.feed(at([2**62 - 1, 2**62]))
    assert next(rest)["t"].tolist() == [2**62 - 1]
    with pytest.raises(RecordingError, match="at event 2"):
        next(rest)


def test_events_outside_of_the_size_are_counted_and_kept(plain, tmp_path):
    data = events([(1, 639, 479, True), (2, 640, 0, True), (3, 0, 480, True), (4, 65535, 65535, False)])
    with Reader(save(tmp_path / "a.plain", data)) as reader:
        assert np.array_equal(whole(reader), data)
        assert reader.problems == {"outside": 3}
    with Reader(save(tmp_path / "a.plain", data, size="")) as reader:
        assert (len(whole(reader)), reader.size, reader.problems) == (4, None, {})
