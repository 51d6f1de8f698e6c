"""The kinds of filters by name: what options each has, what each option may be, and what makes the filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from spikestream.kernels import background, ratelimit, refractory
from spikestream.stages.filters.base import Filter, Size
from spikestream.stages.filters.noise import HotPixel, HotPixelOptions, Masking, pixel_map
from spikestream.stages.filters.options import (
    COORDINATE,
    EXTENT,
    FLAG,
    PIXELS,
    Check,
    choice,
    either,
    number,
    read_options,
    whole,
)
from spikestream.stages.filters.picture import (
    Crop,
    CropOptions,
    Downsample,
    DownsampleOptions,
    Flip,
    FlipOptions,
    Polarity,
    PolarityOptions,
)

DURATION = number(0.001, 86_400_000, "ms")
"""A µs to a day."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of filter: its options, what each may be, and what makes it for a size coming in."""

    options: type[Any]
    checks: Mapping[str, Check]
    make: Callable[[Any, Size], Filter]

    def build(self, name: str, row: Mapping[str, object], size: Size) -> Filter:
        """Return the filter that `row` describes; raises `ConfigError`."""
        return self.make(read_options(name, self.options, self.checks, row), size)


KINDS: Mapping[str, Kind] = {
    "refractory": Kind(refractory.Params, {"period_ms": DURATION}, partial(pixel_map, "refractory", refractory)),
    "background": Kind(
        background.Params,
        {"window_ms": DURATION, "neighbours": whole(1, 8)},
        partial(pixel_map, "background", background),
    ),
    "hot_pixel": Kind(
        HotPixelOptions,
        {"max_rate_hz": number(0.001, 1_000_000, "Hz"), "period_ms": DURATION, "pixels": PIXELS},
        HotPixel,
    ),
    "polarity": Kind(PolarityOptions, {"keep": choice("on", "off", "both", "merge")}, Polarity),
    "crop": Kind(CropOptions, {"x": COORDINATE, "y": COORDINATE, "width": EXTENT, "height": EXTENT}, Crop),
    "flip": Kind(FlipOptions, {"horizontal": FLAG, "vertical": FLAG}, Flip),
    "downsample": Kind(DownsampleOptions, {"factor": either(EXTENT, choice("auto"))}, Downsample),
    "rate_limit": Kind(
        ratelimit.Params,
        {"max_rate_hz": number(0.001, 1_000_000_000, "Hz"), "burst_ms": number(0, 1_000, "ms")},
        partial(Masking, ratelimit),
    ),
}
