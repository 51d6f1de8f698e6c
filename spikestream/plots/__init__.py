"""Pictures of spikes, weights, rules and answers, for matplotlib; docs/plots.md shows them.

Every function draws on the axes it is given, or on those of a new figure, and returns them. None opens a window, so all
work without a display. matplotlib (extra ``plots``) is loaded when the first picture is drawn.
"""

from __future__ import annotations

from spikestream.plots.activity import Membrane, cochleagram, membrane, raster, record
from spikestream.plots.answers import learning_curve, timeline
from spikestream.plots.base import need_matplotlib, panels
from spikestream.plots.chip import chip_picture
from spikestream.plots.confusion import confusion
from spikestream.plots.counts import band_counts, event_rate, pixel_counts
from spikestream.plots.diagram import diagram
from spikestream.plots.learned import LAGS_MS, MOST_MAPS, pair_change, stdp_window, weight_maps

__all__ = [
    "LAGS_MS",
    "MOST_MAPS",
    "Membrane",
    "band_counts",
    "chip_picture",
    "cochleagram",
    "confusion",
    "diagram",
    "event_rate",
    "learning_curve",
    "membrane",
    "need_matplotlib",
    "pair_change",
    "panels",
    "pixel_counts",
    "raster",
    "record",
    "stdp_window",
    "timeline",
    "weight_maps",
]
