"""What features may be asked for, and what each kind of them has a use for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikestream.errors import ConfigError, nearest
from spikestream.kernels import maps, oriented, pooling

Shape = tuple[int, int, int]
"""(planes, height, width); axons are numbered ``(plane * height + y) * width + x``."""
MOST_TICKS = 1_000_000
"""Of ``tau_plus_ms``, where the traces are a table of 14 times as many."""
MOST_UNITS = 2**27
"""Of axons as of what comes out; each takes some bytes of memory."""
SIDE = 65_536
POOL = ("pool", "stride", "rest_ms")
PATTERNS = ("patterns", "size", "directions", "wavelength", "sigma", "aspect")
LEARNING = (
    *("maps", "step", "share", "balance", "tau_plus_ms", "lesson_ms", "rate_start", "rate_end", "lessons_half"),
    *("theta_plus", "theta_half", "seed"),
)
USES = {
    "pool": POOL,
    "edges": (*PATTERNS, "tau_ms", "gain", "floor", "tick_us", *POOL),
    "surface": (*PATTERNS, "tau_ms", "least", *POOL),
    "stdp": ("size", "tau_ms", "gain", "floor", "tick_us", *LEARNING, *POOL),
}
"""Kinds of features, and the options each has a use for."""
WHOLES = {
    "size": (1, 31),
    "directions": (2, 64),
    "tick_us": (1, 3_600_000_000),
    "pool": (1, SIDE),
    "stride": (0, SIDE),
    "maps": (1, 1_024),
    "step": (1, 31),
    "seed": (0, 2**63 - 1),
}
RANGES = {
    "wavelength": (0.0, 1e3),
    "sigma": (0.0, 1e3),
    "aspect": (0.0, 1e3),
    "tau_ms": (1e-3, 1e6),
    "gain": (0.0, 1e6),
    "floor": (-1e6, 0.0),
    "least": (-1.0, 1.0),
    "rest_ms": (0.0, 3.6e6),
    "balance": (0.0, 1.0),
    "tau_plus_ms": (1e-3, 1e6),
    "lesson_ms": (0.0, 3.6e6),
    "rate_start": (0.0, 1.0),
    "rate_end": (0.0, 1.0),
    "lessons_half": (1e-3, 1e12),
    "theta_plus": (0.0, 1e6),
    "theta_half": (1e-3, 1e12),
}


@dataclass(frozen=True, slots=True)
class Options:
    """Options of all kinds: times in ms, lengths in pixels, ``gain`` and ``floor`` in thresholds of a neuron."""

    patterns: str = "edges"
    size: int = 5
    directions: int = 8
    wavelength: float = 0.0
    sigma: float = 0.0
    aspect: float = 0.7
    tau_ms: float = 20.0
    gain: float = 1.4
    floor: float = -1.4
    least: float = 0.3
    tick_us: int = 1_000
    pool: int = 2
    stride: int = 0  # 0 for as much as pool
    rest_ms: float = 5.0


@dataclass(frozen=True, slots=True)
class LearnedOptions(Options):
    """Those that only learned features have: rates and ``balance`` as shares, ``theta_plus`` in thresholds."""

    maps: int = 16
    step: int = 1
    share: bool = True
    balance: float = 1.0
    tau_plus_ms: float = 20.0
    lesson_ms: float = 100.0
    rate_start: float = 0.5
    rate_end: float = 0.005
    lessons_half: float = 1.0
    theta_plus: float = 0.1
    theta_half: float = 10.0
    seed: int = 0


def options_of(kind: str, given: Mapping[str, Any]) -> Options:
    """Return the options of a kind; raises `ConfigError` for what it has no use for, or what is out of range."""
    for key, value in given.items():
        if key not in USES[kind]:
            text, near = f"features '{kind}' have no option '{key}'", nearest(key, USES[kind])
            raise ConfigError(text, key=key, value=value, allowed=", ".join(USES[kind]), nearest=near)
        _check(key, value)
    options = LearnedOptions(**given) if kind == "stdp" else Options(**given)
    if "patterns" in USES[kind] and options.size % 2 == 0:
        raise _refused("size", options.size, "an odd number of pixels, so that a pattern has a middle")
    if options.directions % 2:
        raise _refused("directions", options.directions, "an even number")
    if options.stride > options.pool:
        raise _refused("stride", options.stride, f"up to pool = {options.pool}: what lies between would be unseen")
    return options


def checked_shape(shape: Any, patterns: int, options: Options) -> Shape:
    """Return (planes, height, width) of what comes in; raises `ConfigError` where it is no shape, or too large."""
    planes, height, width = _sides(shape)
    grid = pooling.design(pooled(options), (height, width))
    if planes * max(height * width * patterns, patterns * grid.height * grid.width) > MOST_UNITS:
        text = f"{patterns} patterns at {planes} x {height} x {width} places are too many"
        remedy = "put a crop or downsample filter first, or fewer directions"
        raise ConfigError(text, key="shape", value=shape, allowed=f"up to {MOST_UNITS:,} neurons", remedy=remedy)
    return planes, height, width


def learned_shape(shape: Any, options: LearnedOptions) -> Shape:
    """Return (planes, height, width) of what comes in; raises `ConfigError` where it is no shape, or too large."""
    planes, height, width = _sides(shape)
    if options.tau_plus_ms * 1000 > MOST_TICKS * options.tick_us:
        raise _refused("tau_plus_ms", options.tau_plus_ms, f"up to {MOST_TICKS:,} ticks")
    if options.step > options.size:
        raise _refused("step", options.step, f"up to size = {options.size}: what lies between would be unseen")
    grid = pooling.design(pooling.Params(options.size, options.step, 0.0), (height, width))
    places, inputs = grid.height * grid.width, planes * options.size**2
    weights = options.maps * inputs * (1 if options.share else places)
    if max(planes * height * width, places * options.maps, weights) > MOST_UNITS:
        text = f"{options.maps} maps of {inputs:,} weights at {places:,} places are too many"
        remedy = "put a crop or downsample filter first, or fewer maps"
        raise ConfigError(text, key="shape", value=shape, allowed=f"up to {MOST_UNITS:,} weights", remedy=remedy)
    return planes, height, width


def _sides(shape: Any) -> Shape:
    fits = isinstance(shape, list | tuple) and len(shape) == 3
    if not fits or not all(isinstance(side, int | np.integer) and 0 < side <= SIDE for side in shape):
        text, allowed = f"features are of planes of pixels, and {shape!r} is no shape", "(planes, height, width)"
        raise ConfigError(text, key="shape", value=shape, allowed=allowed)
    planes, height, width = (int(side) for side in shape)
    return planes, height, width


def learned(options: LearnedOptions) -> maps.Params:
    """Return the options of learned features."""
    own = {name: getattr(options, name) for name in ("size", "gain", "floor", *LEARNING)}
    return maps.Params(pooled(options), tau_m_ms=options.tau_ms, **own)


def pooled(options: Options) -> pooling.Params:
    """Return the options of pooling."""
    return pooling.Params(options.pool, options.stride or options.pool, options.rest_ms)


def patterned(options: Options) -> oriented.Params:
    """Return the options of the patterns."""
    return oriented.Params(**{name: getattr(options, name) for name in PATTERNS})


def settled(options: Options) -> str:
    """Return all options in one line, the same for the same options."""
    return repr(dataclasses.astuple(options))


def _check(key: str, value: Any) -> None:
    if key == "patterns":
        if value not in oriented.KINDS:
            raise _refused(key, value, ", ".join(oriented.KINDS))
        return
    if key == "share":
        if not isinstance(value, bool | np.bool_):
            raise _refused(key, value, "true, false")
        return
    whole = key in WHOLES
    low, high = WHOLES[key] if whole else RANGES[key]
    kinds = int | np.integer if whole else int | float | np.integer | np.floating
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise _refused(key, value, f"{'whole ' if whole else ''}numbers from {low:,} to {high:,}")


def _refused(key: str, value: Any, allowed: str) -> ConfigError:
    return ConfigError(f"{key} = {value!r} is out of range", key=key, value=value, allowed=allowed)
