"""Pictures as lines of text: spikes counted by band and time, or events by pixel. Nothing here reads or prints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spikestream.batch import Array

SHADES = " ░▒▓█"
ASCII = " .:-=+*#%@"
BRIGHTEST = 99.0
"""This percentile of the cells that are not empty is as bright as can be: one hot cell must not darken the others."""
EVERY = 4
"""Lines between two frequencies at the edge."""
TICK = 20
"""Columns between two times below, at least."""


def counts(t: Array, axon: Array, bands: int, start: int, stop: int, columns: int) -> Array:
    """Return how many spikes (n,) fall into each band, all fibres together, and each part of ``[start, stop)`` µs.

    Shape (bands, columns) int64, the lowest band first. Spikes outside of the interval are left out.
    """
    within = (t >= start) & (t < stop)
    column = (t[within] - start) * columns // (stop - start) if stop > start else t[:0]
    cells = axon[within].astype(np.int64) % bands * columns + column
    return np.bincount(cells, minlength=bands * columns).reshape(bands, columns)


def pooled(cells: Array, rows: int) -> Array:
    """Return cells (n, columns) as the means of at most ``rows`` groups of neighbouring rows."""
    edges = np.linspace(0, len(cells), min(rows, len(cells)) + 1).round().astype(int)
    return np.add.reduceat(cells, edges[:-1]) / np.diff(edges)[:, np.newaxis]


def picture(cells: Array, rows: int, shades: str = SHADES) -> list[str]:
    """Return counts (n, columns), the lowest row last, as at most ``rows`` lines of text.

    Brightness follows the root of the count; what is not empty is never blank.
    """
    seen = pooled(cells, rows)[::-1]
    full = np.percentile(seen[seen > 0], BRIGHTEST, method="higher") if seen.any() else 1.0
    level = np.ceil(np.sqrt(np.minimum(seen / full, 1.0)) * (len(shades) - 1)).astype(int)
    return ["".join(shades[step] for step in row) for row in level.tolist()]


def shades_for(encoding: str | None) -> str:
    """Return the shades that an output of this encoding can print."""
    try:
        SHADES.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return SHADES


def framed(lines: Sequence[str], names: Sequence[str], start: int, stop: int) -> list[str]:
    """Return the lines with the names of rows before every few of them, and times of ``[start, stop)`` µs in s below.

    They become wider by the longest name and two characters.
    """
    width, columns = max(map(len, names)), len(lines[0])
    last = len(lines) - 1
    shown = (name if (last - row) % EVERY == 0 else "" for row, name in enumerate(names))
    body = [f"{name:>{width}} |{line}" for name, line in zip(shown, lines, strict=True)]
    marks, below = ["-"] * columns, [" "] * (columns + TICK)
    for time in _round_times(start, stop, max(1, columns // TICK)):
        at = (time - start) * columns // max(1, stop - start)
        name = f"{time / 1e6:.6g} s"
        marks[at] = "+"
        if at + len(name) <= columns or not at:
            below[at : at + len(name)] = name
    return [*body, f"{'Hz':>{width}} {''.join(marks)}", f"{'':{width}} {''.join(below).rstrip()}"]


def _round_times(start: int, stop: int, most: int) -> range:
    """Return at most so many round times in µs in ``[start, stop)``, one at least."""
    last = max(stop - 1, start)
    steps = (digit * 10**power for power in range(20) for digit in (1, 2, 5))
    step = next(step for step in steps if last // step - -(-start // step) < most)
    return range(-(-start // step) * step, last + 1, step)


def names_of(centres_hz: Array, rows: int) -> list[str]:
    """Return the middle frequencies of at most ``rows`` groups of bands (bands,), the highest first."""
    return [f"{centre:,.0f}" for centre in pooled(centres_hz[:, np.newaxis], rows)[::-1, 0]]
