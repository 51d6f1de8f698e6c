"""Pictures as text: counts against a plain loop, small golden pictures, and what no terminal may make of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.cli.base.cochleagram import ASCII, SHADES, counts, framed, names_of, picture, pooled, shades_for

spikes = st.lists(st.tuples(st.integers(-50, 1_050), st.integers(0, 23)), max_size=60)


def as_arrays(rows):
    t, axon = np.array(rows, np.int64).reshape(-1, 2).T
    return t, axon.astype(np.int32)


@given(spikes, st.integers(1, 8), st.integers(-20, 900), st.integers(1, 400), st.integers(1, 12))
def test_counts_are_those_of_a_loop(rows, bands, start, length, columns):
    stop = start + length
    expected = np.zeros((bands, columns), int)
    for t, axon in rows:
        if start <= t < stop:
            expected[axon % bands, int((t - start) / length * columns + 1e-9)] += 1
    assert np.array_equal(counts(*as_arrays(rows), bands, start, stop, columns), expected)


@given(spikes, st.integers(0, 60), st.integers(1, 12))
def test_counts_add_up_over_batches(rows, at, columns):
    whole = counts(*as_arrays(rows), 8, 0, 1_000, columns)
    parts = [counts(*as_arrays(part), 8, 0, 1_000, columns) for part in (rows[:at], rows[at:])]
    assert np.array_equal(parts[0] + parts[1], whole)


def test_the_interval_is_half_open():
    t = np.array([9, 10, 19, 20])
    assert counts(t, np.zeros(4, np.int32), 2, 10, 20, 2).tolist() == [[1, 1], [0, 0]]


def test_an_interval_of_no_length_counts_nothing():
    assert counts(np.array([5]), np.array([0]), 2, 5, 5, 3).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_far_stamps_do_not_overflow():
    far = 2**61
    got = counts(np.array([far, far + 999_999]), np.array([0, 0]), 1, far, far + 1_000_000, 100)
    assert (got[0, 0], got[0, 99], got.sum()) == (1, 1, 2)


def test_a_small_picture_has_the_high_band_on_top_and_time_to_the_right():
    cells = np.array([[16, 0, 0, 0], [0, 4, 0, 0], [0, 0, 1, 0]])
    assert picture(cells, 3) == ["  ░ ", " ▒  ", "█   "]
    assert picture(cells, 3, " .:#") == ["  . ", " :  ", "#   "]


def test_neighbouring_bands_share_a_line():
    cells = np.array([[4, 0], [0, 0], [0, 1], [0, 1]])
    assert pooled(cells, 2).tolist() == [[2, 0], [0, 1]]
    assert picture(cells, 2, " ab") == [" b", "b "]
    assert pooled(cells, 9).tolist() == cells.tolist()


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=5, max_size=5), min_size=1, max_size=12), st.integers(1, 15))
@settings(deadline=None)
def test_what_is_not_empty_is_never_blank_and_what_is_empty_always(rows, lines):
    cells = np.array(rows)
    drawn = picture(cells, lines)
    assert len(drawn) == min(lines, len(rows))
    for line, row in zip(drawn, pooled(cells, lines)[::-1], strict=True):
        assert [mark == " " for mark in line] == [value == 0 for value in row]
        for a, b in zip(range(4), range(1, 5), strict=True):
            assert (row[a] <= row[b]) <= (SHADES.index(line[a]) <= SHADES.index(line[b]))


def test_one_hot_cell_leaves_the_others_visible():
    cells = np.ones((10, 100), int)
    cells[0, 0] = 10**6
    assert picture(cells, 10)[0] == "█" * 100


def test_the_frame_names_some_rows_and_the_times():
    lines = ["a" * 45, "b" * 45, "c" * 45, "d" * 45, "e" * 45]
    assert framed(lines, ["9", "8", "700", "6", "50"], 0, 9_000_000) == [
        "  9 |" + "a" * 45,
        "    |" + "b" * 45,
        "    |" + "c" * 45,
        "    |" + "d" * 45,
        " 50 |" + "e" * 45,
        " Hz +------------------------+-------------------",
        "    0 s                      5 s",
    ]


@pytest.mark.parametrize(
    ("stop", "columns", "below"),
    [
        (954_900, 80, "0 s                                      0.5 s"),
        (149_000_000, 40, "0 s                       100 s"),
        (1, 10, "0 s"),
        (0, 10, "0 s"),
    ],
)
def test_times_below_are_round(stop, columns, below):
    assert framed(["x" * columns], ["7"], 0, stop)[-1].strip() == below


@given(st.integers(1, 130), st.integers(1, 40), st.integers(1, 10**12))
def test_no_line_is_wider_than_the_picture_and_its_margin(columns, rows, stop):
    names = [f"{n:,}" for n in range(1_000, 1_000 - rows, -1)]
    drawn = framed(["x" * columns] * rows, names, 0, stop)
    assert len(drawn) == rows + 2
    assert max(map(len, drawn)) <= max(columns, len("0 s")) + 5 + 2


def test_names_are_the_middle_frequencies_of_the_lines():
    assert names_of(np.array([100.0, 200.0, 1_000.0, 2_000.0]), 2) == ["1,500", "150"]


@pytest.mark.parametrize(
    ("encoding", "shades"), [("utf-8", SHADES), ("ascii", ASCII), ("latin-1", ASCII), (None, ASCII)]
)
def test_an_output_that_has_no_blocks_gets_ascii(encoding, shades):
    assert shades_for(encoding) == shades
    assert shades_for("no-such-encoding") == ASCII
