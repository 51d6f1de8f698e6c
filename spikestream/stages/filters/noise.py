"""Filters that judge each event by what came before it: the kernels decide, these hold their memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError
from spikestream.kernels import hotpixel
from spikestream.stages.filters.base import Size
from spikestream.stages.filters.options import LARGER, refused

MOST_PIXELS = 1 << 24
"""Largest size a filter keeps a map of; the largest event sensors have about a million pixels."""


class Masking:
    """A filter whose kernel says of each event whether it passes."""

    def __init__(self, kernel: ModuleType, options: Any, size: Size) -> None:
        self.size = size
        self._run = kernel.run
        self._coeffs = kernel.design(options, size)
        self._state = kernel.init(size)
        self.memory: Mapping[str, Array] = self._state._asdict()

    def __call__(self, data: Array) -> Array:
        """Return the events that the kernel keeps."""
        keep = np.empty(len(data), np.bool_)
        # Copies: whatever the layout of the batch, the kernel is compiled for contiguous columns only.
        t, x, y = (np.array(data[name]) for name in ("t", "x", "y"))
        self._run(self._coeffs, self._state, t, x, y, keep)
        return np.compress(keep, data)


def pixel_map(kind: str, kernel: ModuleType, options: Any, size: Size) -> Masking:
    """Return a `Masking` filter that remembers something for each pixel."""
    if size[0] * size[1] > MOST_PIXELS:
        raise ConfigError(
            f"filter '{kind}' cannot remember {size[0]}x{size[1]} pixels",
            key=f"filter.{kind}",
            value=size,
            allowed=f"up to {MOST_PIXELS:,} pixels",
            remedy="put a crop or downsample filter first, or give the true size: --size WxH",
        )
    return Masking(kernel, options, size)


@dataclass(frozen=True, slots=True)
class HotPixelOptions:
    """``max_rate_hz`` of one pixel over ``period_ms``; ``pixels``: (x, y) that never pass anything."""

    max_rate_hz: float = 500.0
    period_ms: float = 100.0
    pixels: tuple[tuple[int, int], ...] = ()


class HotPixel:
    """Mutes listed pixels, and for a period those that were too busy in the one before."""

    def __init__(self, options: HotPixelOptions, size: Size) -> None:
        self.size = size
        self._busy = pixel_map("hot_pixel", hotpixel, hotpixel.Params(options.max_rate_hz, options.period_ms), size)
        self.memory = self._busy.memory
        self._any_listed = bool(options.pixels)
        self._listed = np.zeros(size, np.bool_)
        for x, y in options.pixels:
            if x >= size[0] or y >= size[1]:
                raise refused("hot_pixel", "pixels", [x, y], f"pixels inside {size[0]}x{size[1]}", LARGER)
            self._listed[x, y] = True

    def __call__(self, data: Array) -> Array:
        """Return the events of pixels that are not muted."""
        if self._any_listed:
            data = np.compress(~self._listed[data["x"], data["y"]], data)
        return self._busy(data)
