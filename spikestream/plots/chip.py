"""A picture of a chip: its mesh of cores, who sits in them, what spikes went where, and what that cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array
from spikestream.model.load import Load, load_of
from spikestream.model.placement import Placement
from spikestream.plots.base import need_matplotlib
from spikestream.units import show_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_IN = 4.6
"""A panel of the picture is so wide, in inches, and as high as its mesh, within bounds."""
LOWEST_IN, HIGHEST_IN = 1.6, 4.6
LINK = 0.35
"""A link of the mesh is drawn so wide, in units of a core."""
NAMED = 8
"""Meshes of up to so many columns have numbers in their cores."""
EMPTY, LOOK = "#e5e7eb", "viridis"


def chip_picture(placement: Placement, fires: Array, heard: Array, *, ticks: int) -> Figure:
    """Return a figure of a chip that ran ``ticks`` ticks, in which its neurons fired as `Chip.fires` tells.

    ``heard`` (inputs,) are the spikes of its inputs. Raises `ConfigError` where they do not fit, or without matplotlib.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    load, ran = load_of(placement, fires, heard), max(ticks, 1)
    columns, rows = placement.grid
    high = min(max(PANEL_IN * rows / columns, LOWEST_IN), HIGHEST_IN)
    figure = Figure(figsize=(2 * PANEL_IN, 2 * (high + 0.5)), layout="constrained")
    panels: Any = figure.subplots(2, 2)
    mesh = _Mesh(placement)
    mesh.draw(panels[0, 0], load.neurons, "neurons in use")
    mesh.draw(panels[0, 1], load.axons, "axons in use")
    mesh.draw(panels[1, 0], load.spikes / ran, "spikes a tick, into cores and over links", load=load, ticks=ran)
    mesh.draw(panels[1, 1], load.operations / ran, "synaptic operations a tick")
    return figure


class _Mesh:
    """Where the cores of a chip are."""

    def __init__(self, placement: Placement) -> None:
        (self.columns, self.rows), self.xy = placement.grid, placement.core_xy

    def draw(self, ax: Axes, values: Array, title: str, load: Load | None = None, ticks: int = 1) -> None:
        """Draw a number of each core, with what went over the links between them where there is a load."""
        gap = LINK if load is not None else 0.0
        cells = np.full((2 * self.rows - 1, 2 * self.columns - 1), np.nan)
        cells[2 * self.xy[:, 1], 2 * self.xy[:, 0]] = values
        if load is not None:
            cells[::2, 1::2], cells[1::2, ::2] = load.across / ticks, load.down / ticks
        else:
            cells = cells[::2, ::2]
        across, down = _edges(self.columns, gap), _edges(self.rows, gap)
        most = float(np.nanmax(cells, initial=0.0)) or 1.0
        image = ax.pcolormesh(across, down, np.ma.masked_invalid(cells), cmap=LOOK, vmin=0.0, vmax=most)
        ax.set(xlim=(across[0], across[-1]), ylim=(down[-1], down[0]), aspect="equal", facecolor=EMPTY)
        ax.set_title(title, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.figure.colorbar(image, ax=ax, shrink=0.9)
        if self.columns <= NAMED and self.rows <= NAMED:
            self._number(ax, values, 1 + gap, image)

    def _number(self, ax: Axes, values: Array, pitch: float, image: Any) -> None:
        most = float(image.norm.vmax) or 1.0
        for (x, y), value in zip(self.xy.tolist(), values.tolist(), strict=True):
            colour = "black" if value > 0.6 * most else "white"
            place = x * pitch + 0.5, y * pitch + 0.5
            ax.text(*place, show_count(value).strip(), color=colour, ha="center", va="center", fontsize=7)


def _edges(count: int, gap: float) -> Array:
    """Return the borders of ``count`` cores, each 1 wide, with links of width ``gap`` between them unless that is 0."""
    if gap == 0.0:
        return np.arange(count + 1.0)
    steps = np.ones(2 * count - 1)
    steps[1::2] = gap
    return np.concatenate([[0.0], steps.cumsum()])
