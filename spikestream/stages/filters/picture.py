"""Filters that change what an event says without looking at its neighbours: polarity and place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spikestream.batch import Array
from spikestream.stages.filters.base import Size
from spikestream.stages.filters.options import LARGER, refused

AUTO_PIXELS = 32
"""``downsample`` with ``factor = "auto"`` brings the larger side down to this or less."""
NO_PICTURE = 2
"""Nor does it merge anything where a side is no longer than this: those are the bands and sides of a cochlea."""


@dataclass(frozen=True, slots=True)
class PolarityOptions:
    """``keep``: on, off, both, or merge, which turns every event ON."""

    keep: str


class Polarity:
    """Keeps one polarity, or makes all events ON."""

    memory: Mapping[str, Array] = {}

    def __init__(self, options: PolarityOptions, size: Size) -> None:
        self.size = size
        self._keep = options.keep

    def __call__(self, data: Array) -> Array:
        """Return the events of the polarity kept."""
        if self._keep in ("on", "off"):
            return np.compress(data["p"] == (self._keep == "on"), data)
        out = data.copy()
        if self._keep == "merge":
            out["p"] = True
        return out


@dataclass(frozen=True, slots=True)
class CropOptions:
    """Left column ``x``, top row ``y``, ``width`` and ``height`` of the part kept, in pixels."""

    width: int
    height: int
    x: int = 0
    y: int = 0


class Crop:
    """Keeps a rectangle, whose top left pixel becomes (0, 0)."""

    memory: Mapping[str, Array] = {}

    def __init__(self, options: CropOptions, size: Size) -> None:
        for start, extent, most in (("x", "width", size[0]), ("y", "height", size[1])):
            first, length = getattr(options, start), getattr(options, extent)
            if first + length > most:
                raise refused("crop", f"{start} + {extent}", first + length, f"up to {most:,}", LARGER)
        self.size = options.width, options.height
        self._corner = options.x, options.y

    def __call__(self, data: Array) -> Array:
        """Return the events inside, from the new origin."""
        # Unsigned: what lies left of or above the corner wraps round to a number beyond every width.
        x, y = data["x"] - np.uint16(self._corner[0]), data["y"] - np.uint16(self._corner[1])
        inside = (x < self.size[0]) & (y < self.size[1])
        out = np.compress(inside, data)
        out["x"], out["y"] = np.compress(inside, x), np.compress(inside, y)
        return out


@dataclass(frozen=True, slots=True)
class FlipOptions:
    """``horizontal``: left becomes right; ``vertical``: top becomes bottom."""

    horizontal: bool = False
    vertical: bool = False


class Flip:
    """Mirrors the picture."""

    memory: Mapping[str, Array] = {}

    def __init__(self, options: FlipOptions, size: Size) -> None:
        self.size = size
        self._options = options

    def __call__(self, data: Array) -> Array:
        """Return all events, mirrored."""
        out = data.copy()
        if self._options.horizontal:
            np.subtract(self.size[0] - 1, data["x"], out=out["x"])
        if self._options.vertical:
            np.subtract(self.size[1] - 1, data["y"], out=out["y"])
        return out


@dataclass(frozen=True, slots=True)
class DownsampleOptions:
    """``factor``: so many pixels a side become one; "auto": the smallest that brings the larger side to 32 or less,
    and 1 for a sensor of one or two rows.
    """

    factor: int | str = "auto"


class Downsample:
    """Merges pixels and keeps all their events."""

    memory: Mapping[str, Array] = {}

    def __init__(self, options: DownsampleOptions, size: Size) -> None:
        auto = 1 if min(size) <= NO_PICTURE else -(-max(size) // AUTO_PIXELS)
        factor = auto if isinstance(options.factor, str) else options.factor
        self.size = -(-size[0] // factor), -(-size[1] // factor)
        self._factor = factor

    def __call__(self, data: Array) -> Array:
        """Return all events at the pixels they were merged into."""
        out = data.copy()
        if self._factor > 1:
            factor = np.uint32(self._factor)
            out["x"], out["y"] = data["x"] // factor, data["y"] // factor
        return out
