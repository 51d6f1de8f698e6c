"""Pictures of counts: spikes by band and time, events by pixel. Brightness follows the root of the count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError
from spikestream.plots.base import axes_for, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOK: dict[str, Any] = {"origin": "lower", "cmap": "magma", "interpolation": "nearest"}
NAMED = 9
"""Bands with a frequency beside them."""


def band_counts(
    cells: Array, centres_hz: Array, interval: tuple[int, int], ax: Axes | None = None, *, origin_us: int | None = None
) -> Axes:
    """Draw how many spikes each band had in each part of ``interval`` = [start, stop) µs.

    ``cells`` (bands, columns), the lowest band first; ``centres_hz`` (bands,); times are in s from ``origin_us``, by
    default from the start. Raises `ConfigError` where the bands are not as many as their frequencies.
    """
    if cells.ndim != 2 or len(cells) != len(centres_hz) or not cells.size:
        text = f"counts of shape {cells.shape} are not of {len(centres_hz)} bands"
        raise ConfigError(text, key="cells", allowed="(bands, columns), with a frequency for each band")
    drawn, bands = axes_for(ax), len(cells)
    left, right = span(*interval, interval[0] if origin_us is None else origin_us)
    drawn.imshow(np.sqrt(cells), aspect="auto", extent=(left, right, -0.5, bands - 0.5), **LOOK)
    shown = np.linspace(0, bands - 1, min(NAMED, bands)).round().astype(int)
    drawn.set_yticks(shown, [f"{centres_hz[band]:,.0f}" for band in shown])
    drawn.set(xlabel="s", ylabel="Hz")
    return drawn


def pixel_counts(cells: Array, ax: Axes | None = None) -> Axes:
    """Draw how many events each pixel had: ``cells`` (rows, columns), the lowest row first; raises `ConfigError`."""
    if cells.ndim != 2 or not cells.size:
        raise ConfigError(f"counts of shape {cells.shape} make no picture", key="cells", allowed="(rows, columns)")
    drawn = axes_for(ax)
    drawn.imshow(np.sqrt(cells), **LOOK)
    drawn.set_axis_off()
    return drawn


def event_rate(
    cells: Array, interval: tuple[int, int], ax: Axes | None = None, *, origin_us: int | None = None
) -> Axes:
    """Draw how many events a second there were in each part of ``interval`` = [start, stop) µs, ON above OFF.

    ``cells`` (2, columns): OFF, then ON; times are in s from ``origin_us``, by default from the start. Raises
    `ConfigError`.
    """
    if cells.ndim != 2 or len(cells) != 2 or not cells.size:
        text = f"counts of shape {cells.shape} are not those of two polarities"
        raise ConfigError(text, key="cells", allowed="(2, columns): OFF and ON")
    drawn = axes_for(ax)
    left, right = span(*interval, interval[0] if origin_us is None else origin_us)
    edges = np.linspace(left, right, cells.shape[1] + 1)
    off, on = cells / (edges[1] - edges[0])
    drawn.stairs(off, edges, fill=True, color="tab:blue", label="OFF")
    drawn.stairs(off + on, edges, baseline=off, fill=True, color="tab:orange", label="ON")
    drawn.set(xlabel="s", ylabel="events/s", xlim=(left, right))
    drawn.set_ylim(bottom=0)
    drawn.legend(loc="upper right")
    return drawn
