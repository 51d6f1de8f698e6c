"""Policy ``sort``: late events go where they belong, against a loop, however they are cut, in stream and whole file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plainformat import at, error_of, events, plain, save
from test_prophesee import scene

import spikestream as ss
from spikestream.errors import ConfigError
from spikestream.files import sorting
from spikestream.files.gather import gathered
from spikestream.files.order import Order
from spikestream.files.reader import Reader

__all__ = ["plain"]
WINDOW_US = 100_000


def naive_sort(times: list[int], block: int, blocks: int) -> tuple[list[tuple[int, int]], int, int]:
    """Return (stamp, event) as they come out, and how many events were late, and how many of these behind the window.

    An event may not be earlier than 100 ms before all of those before it, nor than those ``blocks`` blocks before its
    own.
    """
    out, late, clamped = [], 0, 0
    for i, t in enumerate(times):
        edge = max((top - WINDOW_US for top in times[:i]), default=t)
        edge = max([edge, *times[: max(0, i // block - blocks) * block]])
        late += any(t < earlier for earlier in times[:i])
        clamped += t < edge
        out.append((max(t, edge), i))
    return sorted(out), late, clamped


def fed(order: Order, parts: list[np.ndarray], tidy: bool = False) -> list[tuple[int, int]]:
    rows = []
    for part in parts:
        rows += [
            (t, x)
            for out in order.feed(part, tidy=tidy and bool(np.all(np.diff(part["t"]) >= 0)))
            for t, x in pairs(out)
        ]
    return rows + [pair for out in order.finish() for pair in pairs(out)]


def pairs(data: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(data["t"].tolist(), data["x"].tolist(), strict=True))


steps = st.one_of(st.integers(0, 5), st.integers(-60_000, 70_000), st.integers(-300_000, 300_000))


@given(
    deltas=st.lists(steps, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    block=st.sampled_from([1, 3, 4, 1 << 16]),
    tidy=st.booleans(),
)
@settings(deadline=None, max_examples=400)
def test_it_does_what_the_naive_loop_does_however_it_is_cut(deltas, cuts, block, tidy):
    times = np.cumsum([-7, *deltas]).tolist()
    data = at(times)
    before = data.copy()
    expected, late, clamped = naive_sort(times, block, sorting.BLOCKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "BLOCK", block)
        order = Order("sort")
        assert fed(order, np.split(data, sorted(min(cut, len(data)) for cut in cuts)), tidy) == expected
    assert np.array_equal(data, before)
    assert (order.problems.get("sorted", 0), order.problems.get("clamped", 0)) == (late - clamped, clamped)


@pytest.mark.parametrize("cuts", [[], [20], [3, 16, 20], range(1, 21)])
def test_an_event_comes_no_earlier_than_those_a_number_of_blocks_before_it(monkeypatch, cuts):
    monkeypatch.setattr(sorting, "BLOCK", 1)
    out = fed(Order("sort"), np.split(at([*range(20), 0]), list(cuts)))
    assert out == [*((t, t) for t in range(4)), (3, 20), *((t, t) for t in range(4, 20))]


def test_no_more_is_held_back_than_the_window_and_a_bounded_number_of_events(monkeypatch):
    monkeypatch.setattr(sorting, "BLOCK", 64)
    order, given_, held = Order("sort"), 0, []
    for k in range(200):
        part = at(range(50 * k, 50 * k + 50))  # ten milliseconds in all, far within the window
        given_ += 50
        given_ -= sum(map(len, order.feed(part)))
        held.append(given_)
    assert max(held) <= (sorting.BLOCKS + 1) * 64
    assert held[-1] > (sorting.BLOCKS - 2) * 64
    assert sum(map(len, order.finish())) == held[-1]
    order = Order("sort")
    (first,) = order.feed(at([0, 100_000, 100_001, 200_000]))
    assert first["t"].tolist() == [0, 100_000]  # which none can come before any more


def test_what_comes_whole_and_in_batches_is_the_same_and_sorted(plain, tmp_path):
    rng = np.random.default_rng(3)
    data = scene(60_000)
    data["t"] = np.arange(60_000) * 20
    moved = data[np.argsort(data["t"] + rng.integers(0, 99_000, len(data)), kind="stable")]
    path = save(tmp_path / "a.plain", moved)
    whole = ss.read(path, time="sort")
    assert np.array_equal(whole.data, data)
    assert (whole.start, whole.stop) == (0, 59_999 * 20 + 1)
    for length_us in (7_000, 1_000_000):
        parts = list(ss.stream(path, length_us=length_us, time="sort"))
        assert np.array_equal(np.concatenate([part.data for part in parts]), data)
        assert all(a.stop == b.start for a, b in itertools.pairwise(parts))
    with Reader(path, time="sort") as reader:
        gathered(reader)
    assert set(reader.problems) == {"backward", "sorted"}
    assert "time policy 'sort' used" in reader.warnings[0]


def test_equal_stamps_keep_their_order_and_only_the_time_of_an_event_beyond_the_window_changes():
    data = events([(150_000, 1, 1, True), (40_000, 2, 2, False), (150_000, 3, 3, False), (50_000, 4, 4, True)])
    order = Order("sort")
    out = np.concatenate([*order.feed(data), *order.finish()])
    assert out.tolist() == [
        (50_000, 2, 2, False), (50_000, 4, 4, True), (150_000, 1, 1, True), (150_000, 3, 3, False),
    ]  # fmt: skip
    assert order.problems == {"backward": 2, "sorted": 1, "clamped": 1}


@pytest.mark.parametrize("name", ["a.aedat4", "a.raw", "a.dat", "a.es", "a.bin", "a.aedat", "a.aedat3"])
def test_what_is_in_order_comes_as_without_it_in_every_format(name, tmp_path):
    data = scene(50_000)
    data["t"], data["x"], data["y"] = data["t"] // 10, data["x"] % 34, data["y"] % 34
    ss.write(tmp_path / name, ss.Events(0, 60_000_001, data, (34, 34)), format="evt3" if name == "a.raw" else None)
    assert np.array_equal(ss.read(tmp_path / name, time="sort").data, ss.read(tmp_path / name).data)


def test_all_before_a_damage_is_delivered(plain, tmp_path):
    path = save(tmp_path / "a.plain", at([5, 9, 7]), tail=b"???")
    got = []
    with pytest.raises(ss.RecordingError, match="cut inside"), Reader(path, time="sort") as reader:  # noqa: PT012
        for part in reader:
            got += part["t"].tolist()
    assert got == [5, 7, 9]
    path = save(tmp_path / "b.plain", at([5, 9, 7, 2**62]))
    assert "beyond what stream time can hold" in error_of(path, time="sort")


def test_a_whole_recording_is_never_read_out_of_order(tmp_path):
    with pytest.raises(ConfigError, match="clamp, sort, drop, fail"):
        ss.read(Path(__file__).parent.parent / "recordings" / "looks.aedat4", time="keep")
