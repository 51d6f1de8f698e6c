"""Recordings as batches of stream time: the same stream however it is cut, in bounded memory."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plainformat import at, plain, python, save

import spikestream as ss
import spikestream.files.stream as room
from spikestream.batch import EVENT, check
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.stream import REST_US, SILENCE_US, batches, stream

__all__ = ["plain"]

ROOT = Path(__file__).resolve().parent.parent


def naive(times, length, grid, start=0, stop=None, windows=()):
    """Return the stream as rows (start, stop, times in it), step by step as the law says it, and the gaps."""
    low = times[0] + start
    high = None if stop is None else times[0] + stop
    points = [(t, True) for t in times if t >= low and (high is None or t < high)]
    if high is not None and times[-1] >= high:
        points.append((high - 1, False))
    elif begun := [window for window in windows if window[0] <= times[-1]]:
        until = begun[-1][1]
        if times[-1] < until <= times[-1] + SILENCE_US:
            points.append(((until if high is None else min(until, high)) - 1, False))
    points = [(t, real) for i, (t, real) in enumerate(points) if real or t > (points[i - 1][0] if i else low - 1)]
    if not points:
        return [], 0
    pieces, last, begun = [], low - 1, low // grid * grid
    inside = []
    for t, real in points:
        rest = -(-(last + 1) // grid) * grid + -(-REST_US // grid) * grid
        if t - last > SILENCE_US and t // grid * grid > rest:
            pieces.append((begun, rest, inside))
            begun, inside = t // grid * grid, []
        inside += [t] if real else []
        last = t
    pieces.append((begun, -(-(last + 1) // grid) * grid, inside))
    rows = []
    for begun, end, inside in pieces:
        edges = [begun, *range((begun // length + 1) * length, end, length), end]
        for a, b in pairwise(edges):
            rows.append((a, b, [t for t in inside if a <= t < b]))
    return rows, len(pieces) - 1


def pieces(data, cuts):
    return np.split(data, sorted(min(cut, len(data)) for cut in cuts))


def run(times, cuts=(), problems=None, **options):
    options = {"length_us": 10, "grid_us": 1, "size": None, **options}
    return list(batches(iter(pieces(at(times), cuts)), problems=problems, **options))


def rows_of(got):
    return [(batch.start, batch.stop, batch.data["t"].tolist()) for batch in got]


def shape(got):
    """Return what must not depend on the length: all events, and the stretches between the gaps."""
    stretches = []
    for batch in got:
        if stretches and stretches[-1][1] == batch.start:
            stretches[-1][1] = batch.stop
        else:
            stretches.append([batch.start, batch.stop])
    return b"".join(batch.data.tobytes() for batch in got), stretches


near = st.lists(st.sampled_from([0, 0, 1, 2, 9, 10, 11, 99, 1000]), max_size=25)
far = st.lists(
    st.one_of(st.integers(0, 3_000_000), st.sampled_from([SILENCE_US + n for n in (-1, 0, 1, 2_000_000)] + [2**50])),
    max_size=10,
)
first = st.one_of(st.integers(-1000, 1000), st.just(1_589_163_147_368_868))
select = st.tuples(st.none() | st.integers(0, 400), st.none() | st.integers(1, 400))
grids = st.sampled_from([1, 7, 10, 1000])
cuts = st.lists(st.integers(0, 26), max_size=5)


borders = st.lists(st.integers(-10, 600), unique=True, max_size=8).map(sorted)


@given(first, near, cuts, st.integers(1, 300), grids, select, borders)
@settings(deadline=None, max_examples=500)
def test_batches_are_what_the_law_says_step_by_step(first, deltas, cuts, length, grid, select, until):
    times = np.cumsum([first, *deltas]).tolist()
    start, span = select
    stop = None if span is None else (start or 0) + span
    windows = [(times[0] + a, times[0] + b) for a, b in zip(until[::2], until[1::2], strict=False)]
    problems = {}
    got = run(times, cuts, problems, length_us=length, grid_us=grid, from_us=start, to_us=stop, windows=windows)
    rows, gaps = naive(times, length, grid, start or 0, stop, windows)
    assert rows_of(got) == rows
    assert problems == ({"gaps": gaps} if gaps else {})
    for batch in got:
        check(batch)


@given(first, far, cuts, st.sampled_from([200_000, 999_983, 10**9]), st.sampled_from([1, 1000, 10_000_000, 10**8]))
@settings(deadline=None, max_examples=200)
def test_silence_becomes_the_gap_that_the_law_says(first, deltas, cuts, length, grid):
    times = np.cumsum([first, *deltas]).tolist()
    problems = {}
    got = run(times, cuts, problems, length_us=length, grid_us=grid)
    rows, gaps = naive(times, length, grid)
    assert rows_of(got) == rows
    assert problems.get("gaps", 0) == gaps


@given(first, near, cuts, cuts, st.integers(1, 500), st.integers(1, 10_000), grids, select)
@settings(deadline=None, max_examples=300)
def test_length_and_pieces_change_nothing_but_the_cuts(first, deltas, cuts, others, length, other, grid, select):
    times = np.cumsum([first, *deltas]).tolist()
    start, span = select
    options = {"grid_us": grid, "from_us": start, "to_us": None if span is None else (start or 0) + span}
    one = run(times, cuts, length_us=length, **options)
    two = run(times, others, length_us=other, **options)
    assert shape(one) == shape(two)
    for a, b in pairwise(one):
        assert a.stop == b.start
        assert a.stop % length == 0


def test_the_stream_starts_and_ends_on_the_grid_and_holds_its_silence():
    got = run([1_500, 1_999, 14_000], length_us=5_000, grid_us=1_000)
    assert rows_of(got) == [(1_000, 5_000, [1_500, 1_999]), (5_000, 10_000, []), (10_000, 15_000, [14_000])]
    assert rows_of(run([999], length_us=1_000, grid_us=1_000)) == [(0, 1_000, [999])]
    assert rows_of(run([1_000], length_us=1_000, grid_us=1_000)) == [(1_000, 2_000, [1_000])]
    assert rows_of(run([-1], length_us=10, grid_us=10)) == [(-10, 0, [-1])]


def test_a_selection_is_relative_to_the_first_event_and_half_open():
    times = [1_000_100, 1_000_200, 1_000_299, 1_000_300, 1_000_900]
    got = run(times, length_us=1000, grid_us=10, from_us=100, to_us=200)
    assert rows_of(got) == [(1_000_200, 1_000_300, [1_000_200, 1_000_299])]
    assert rows_of(run(times, length_us=1000, grid_us=1000, from_us=150, to_us=160)) == [(1_000_000, 1_001_000, [])]
    assert run(times, length_us=1000, from_us=801) == []
    late = run(times, length_us=10_000, grid_us=10, from_us=800, to_us=5_000)
    assert rows_of(late) == [(1_000_900, 1_000_910, [1_000_900])]


def test_the_stream_lasts_until_the_window_ends_that_the_last_event_falls_into():
    assert rows_of(run([5, 12], length_us=10, windows=[(12, 33)])) == [
        (5, 10, [5]), (10, 20, [12]), (20, 30, []), (30, 33, [])
    ]  # fmt: skip
    assert rows_of(run([5, 12], length_us=100, grid_us=10, windows=[(0, 33)])) == [(0, 40, [5, 12])]
    assert rows_of(run([5, 12], length_us=100, windows=[(0, 12)])) == [(5, 13, [5, 12])]
    assert rows_of(run([5, 12], length_us=100, to_us=9, windows=[(0, 50)])) == [(5, 14, [5, 12])]
    assert rows_of(run([5, 12], length_us=100, windows=[(0, 12), (12, 20), (20, 30)])) == [(5, 20, [5, 12])]
    assert run([], windows=[(0, 50)]) == []


@pytest.mark.parametrize("windows", [[(13, 40)], [(-9, 5), (10**15, 10**15 + 10)], [(0, 14 + SILENCE_US)], [(0, 9)]])
def test_of_windows_that_nothing_was_recorded_of_there_is_no_stream(windows):
    problems = {}
    assert rows_of(run([5, 12], length_us=100, problems=problems, windows=windows)) == [(5, 13, [5, 12])]
    assert problems == {}
    assert run([5, 12], length_us=10**9, windows=[(0, 12 + SILENCE_US)])[-1].stop == 12 + SILENCE_US


@pytest.mark.parametrize("cuts", [(), (1,)])
def test_a_minute_of_silence_is_heard_and_a_microsecond_more_is_a_gap(cuts):
    heard = run([5, 5 + SILENCE_US], cuts, length_us=10**9)
    assert rows_of(heard) == [(5, 6 + SILENCE_US, [5, 5 + SILENCE_US])]
    gap = run([5, 6 + SILENCE_US], cuts, length_us=10**9)
    assert rows_of(gap) == [(5, 6 + REST_US, [5]), (6 + SILENCE_US, 7 + SILENCE_US, [6 + SILENCE_US])]


def test_a_forged_stamp_does_not_fill_the_world_with_empty_batches():
    problems = {}
    got = run([100, 2**61], problems=problems, length_us=1_000_000, grid_us=1_000)
    assert rows_of(got) == [
        (0, 1_000_000, [100]),
        (1_000_000, 1_001_000, []),
        (2**61 // 1000 * 1000, 2**61 // 1000 * 1000 + 1000, [2**61]),
    ]
    assert problems == {"gaps": 1}
    assert len(run([100, 2**61], length_us=10_000, from_us=10, to_us=2**60)) < 300


def test_a_batch_that_is_too_large_is_cut_between_two_stamps(monkeypatch):
    monkeypatch.setattr(room, "MAX_EVENTS", 4)
    times = [0, 1, 1, 1, 2, 2, 2, 3, 7, 8]
    for cuts in ((), (1,), (3, 5), range(10)):
        got = run(times, cuts, length_us=100)
        assert rows_of(got) == [(0, 2, [0, 1, 1, 1]), (2, 7, [2, 2, 2, 3]), (7, 9, [7, 8])]
        assert shape(got) == shape(run(times, length_us=1))
    with pytest.raises(RecordingError, match="time stands still: more than 4 events at 2 µs"):
        run([0, 2, 2, 2, 2, 2, 3], (3,), length_us=100)


@given(st.lists(st.sampled_from([0, 0, 0, 1, 5]), max_size=40), cuts, st.integers(1, 50))
@settings(deadline=None, max_examples=300)
def test_large_batches_keep_every_event_or_say_that_time_stands_still(deltas, cuts, length):
    times = np.cumsum([3, *deltas]).tolist()
    limit, room.MAX_EVENTS = room.MAX_EVENTS, 4
    try:
        got = run(times, cuts, length_us=length)
    except RecordingError:
        assert max(times.count(t) for t in times) > 4
        return
    finally:
        room.MAX_EVENTS = limit
    assert max(times.count(t) for t in times) <= 4
    assert max(len(batch) for batch in got) <= 4
    assert shape(got) == shape(run(times, length_us=length))


def test_damage_comes_after_the_events_before_it():
    def damaged():
        yield at([5, 12, 18])
        raise RecordingError("broken")

    got = []
    with pytest.raises(RecordingError, match="broken"):
        got.extend(batches(damaged(), length_us=10, grid_us=10, size=(3, 4), windows=[(0, 1000)]))
    assert rows_of(got) == [(0, 10, [5]), (10, 20, [12, 18])]
    assert {batch.size for batch in got} == {(3, 4)}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"length_us": 0}, "length_us"),
        ({"grid_us": -1}, "grid_us"),
        ({"from_us": -1}, "from_us"),
        ({"from_us": 5, "to_us": 5}, "to_us"),
        ({"to_us": 0}, "to_us"),
    ],
)
def test_impossible_cuts_are_refused_before_anything_is_read(options, key):
    with pytest.raises(ConfigError) as caught:
        batches(iter(()), **{"length_us": 1, "grid_us": 1, "size": None, **options})
    assert caught.value.key == key


def test_a_stream_of_a_file_counts_its_gaps_and_needs_its_order(plain, tmp_path):
    path = save(tmp_path / "a.plain", at([0, SILENCE_US + 1]))
    got = list(stream(path, length_us=10**9, grid_us=1000))
    assert [(batch.start, batch.stop) for batch in got] == [(0, 1_001_000), (60_000_000, 60_001_000)]
    assert {batch.size for batch in got} == {(640, 480)}
    with pytest.raises(ConfigError, match="in time order"):
        next(stream(path, time="keep"))


def test_memory_stays_at_a_chunk_and_a_batch(plain, tmp_path):
    rows = np.zeros(500_000, EVENT)
    path = tmp_path / "large.plain"
    with open(path, "wb") as file:
        file.write(b"PLAIN 640x480\n")
        for part in range(10):
            rows["t"] = np.arange(500_000) + part * 500_000
            file.write(rows.tobytes())
    code = """
import resource, sys
from spikestream.files.stream import stream
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
assert sum(len(batch) for batch in stream(sys.argv[2])) == 100_000
before = peak()
count = sum(len(batch) for batch in stream(sys.argv[1], length_us=10_000))
print(count, peak() - before)
"""
    small = save(tmp_path / "small.plain", at(range(100_000)))
    count, grown = (int(word) for word in python(code, plain, path, small, text=True).stdout.split())
    assert count == 5_000_000
    assert grown < 16, f"{grown} MiB for a file of 62 MiB"


def test_the_example_of_the_docs_runs(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    code = page.partition("## From NumPy, and back\n")[2].partition("```python\n")[2].partition("```")[0]
    (tmp_path / "recordings").symlink_to(ROOT / "recordings")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/formats.md", "exec"), {})
    whole, later = ss.read(ROOT / "recordings" / "looks.aedat4").data, ss.read("later.aedat4").data
    first = whole["t"][0]
    part = whole[(whole["t"] >= first + 1_000_000) & (whole["t"] < first + 2_000_000)]
    assert np.array_equal(later["t"], part["t"] - part["t"][0])
    assert np.array_equal(later["p"], ~part["p"])
    assert capsys.readouterr().out.startswith(f"{len(part)} ")


# What Python is told


def told(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [(Path(one.filename).name, one.category, str(one.message)) for one in found]


@pytest.mark.parametrize("way", [ss.read, lambda path, **reading: [*ss.stream(path, **reading)]])
def test_what_was_guessed_or_is_wrong_is_a_warning_at_the_callers_line(way, tmp_path):
    rows = [(900 - i, i % 5, i % 3, i % 2) for i in range(300)]
    np.save(tmp_path / "a.npy", np.add(rows, (0.5, 0, 0, 0)))
    path = tmp_path / "b.csv"
    path.write_text("t,x,y,p\n" + "".join("{},{},{},{}\n".format(*row) for row in rows))
    (steps,) = [text for text in told(lambda: way(path)) if "backward" in text[2]]
    assert steps[:2] == (Path(__file__).name, ss.RecordingWarning)
    assert steps[2].startswith(f"{path}: 299 backward time steps")
    assert steps[2].endswith("time policy 'clamp' used: 299 clamped")
    (unit,) = [text for _, _, text in told(lambda: way(tmp_path / "a.npy", order="txyp")) if "unit=" in text]
    assert "taken as s" in unit


def test_nothing_is_said_of_a_good_recording(plain, tmp_path):
    path = save(tmp_path / "a.plain", at(range(0, 200_000, 7)))
    assert told(lambda: (ss.read(path), [*ss.stream(path)])) == []


@pytest.mark.parametrize(("start", "stop"), [(None, 50), (7, None), (0, 1), (20, 21), (199_993, 10**9), (300, 1_200)])
def test_a_part_is_what_lies_in_it(plain, tmp_path, start, stop):
    times = 11 + np.cumsum(np.arange(700) % 5)
    path = save(tmp_path / "a.plain", at(times))
    found = ss.read(path, from_us=start, to_us=stop)
    inside = (times >= 11 + (start or 0)) & (times < 11 + (10**12 if stop is None else stop))
    assert found.data["t"].tolist() == times[inside].tolist()
    assert (found.start, found.stop) == ((times[inside][0], times[inside][-1] + 1) if inside.any() else (0, 0))
    assert ss.read(path, from_us=0).data["t"].tolist() == times.tolist()
