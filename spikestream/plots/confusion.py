"""A picture of a confusion matrix: what was shown, and what was said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spikestream.errors import ConfigError
from spikestream.plots.base import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WRITTEN = 20
"""Up to so many classes have their counts written into the cells."""
NAMED = 40
"""Classes with a name beside them."""
DARK = 0.5
"""From this share on a cell is dark, and written on in white."""


def confusion(names: Sequence[str], counts: Sequence[Sequence[int]], ax: Axes | None = None) -> Axes:
    """Draw a row for each class that was shown: shares of what was said, with the counts.

    ``counts`` (classes, classes + 1): the last column is for no label, and left out where it is empty. Raises
    `ConfigError` for counts of another shape.
    """
    table = np.array(counts, np.int64)
    if not len(names) or table.shape != (len(names), len(names) + 1):
        text = f"counts of shape {table.shape} are no confusion of {len(names)} classes"
        raise ConfigError(text, key="counts", allowed="(classes, classes + 1)")
    columns = [*names, "unknown"]
    if not table[:, -1].any():
        table, columns = table[:, :-1], columns[:-1]
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    drawn = axes_for(ax)
    drawn.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if len(names) <= WRITTEN:
        for (row, column), count in np.ndenumerate(table):
            if count:
                colour = "white" if share[row, column] > DARK else "black"
                drawn.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize="small")
    for axis, texts in ((drawn.xaxis, columns), (drawn.yaxis, list(names))):
        shown = np.unique(np.linspace(0, len(texts) - 1, min(NAMED, len(texts))).round().astype(int))
        axis.set_ticks(shown, [texts[place].replace("$", r"\$") for place in shown])  # a label is no formula
    drawn.tick_params(axis="x", rotation=45 if max(map(len, columns)) > 3 else 0)
    drawn.set(xlabel="said", ylabel="shown")
    return drawn
