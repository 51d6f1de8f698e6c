"""Small oriented patterns, shared by every place: edges that rise in one direction, and bars.

Gabor's functions on a square of ``size`` pixels, with (u, v) the pixel turned by the angle a of the pattern:

    edge   exp(-(u^2 + aspect^2 v^2) / (2 sigma^2)) sin(2 pi u / wavelength)    a in ``directions`` steps of a full turn
    bar    the same with cos                                                    a in half as many steps of half a turn

each less its mean, so that even light says nothing, and scaled to 1 on its positive side (and -1 on its negative).

Source: Gabor, J. IEE 93 (1946); as receptive fields, Daugman, J. Opt. Soc. Am. A 2 (1985).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikestream.kernels import Array

KINDS = ("edges", "bars", "both")


@dataclass(frozen=True, slots=True)
class Params:
    """``size`` odd and in pixels, as are ``wavelength`` and ``sigma``; 0 of these for ``size`` and 0.3 of it."""

    patterns: str = "edges"
    size: int = 5
    directions: int = 8
    wavelength: float = 0.0
    sigma: float = 0.0
    aspect: float = 0.7


def count(params: Params) -> int:
    """Return how many patterns there are."""
    edges, bars = params.directions, params.directions // 2
    return {"edges": edges, "bars": bars, "both": edges + bars}[params.patterns]


def design(params: Params) -> Array:
    """Return the patterns as (size, size, patterns) float32, rows of the picture first."""
    across = (params.size - 1) / 2
    y, x = np.mgrid[-across : across + 1, -across : across + 1]
    turn, waves = 2 * np.pi * np.arange(params.directions) / params.directions, []
    if params.patterns != "bars":
        waves += [_gabor(params, x, y, angle, np.sin) for angle in turn]
    if params.patterns != "edges":
        waves += [_gabor(params, x, y, angle, np.cos) for angle in turn[: params.directions // 2]]
    return np.ascontiguousarray(np.stack(waves, axis=-1).astype(np.float32))


def _gabor(params: Params, x: Array, y: Array, angle: float, wave: np.ufunc) -> Array:
    wavelength, sigma = params.wavelength or params.size, params.sigma or 0.3 * params.size
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    raw = np.exp(-(u * u + (params.aspect * v) ** 2) / (2 * sigma * sigma)) * wave(2 * np.pi * u / wavelength)
    even = raw - raw.mean()
    return np.asarray(even * 2 / np.abs(even).sum())
