"""Hot pixels: a pixel that was too busy in one period is muted in the next.

Stream time is cut into periods on the absolute grid, period k = ``[k * period, (k + 1) * period)``. A pixel with more
than ``limit`` events in period k is muted during all of period k + 1. Muted events count too, so a pixel that stays hot
stays muted. A pixel's memory moves on at its own events only: nothing is done for pixels that are silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array

NEVER = np.iinfo(np.int64).min
PERIOD, SEEN, MUTED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Params:
    """``max_rate_hz`` of one pixel over ``period_ms``, the latter rounded to whole µs."""

    max_rate_hz: float
    period_ms: float


class Coeffs(NamedTuple):
    """``period`` in µs; ``limit``: most events a pixel may have in it."""

    period: int
    limit: int


class State(NamedTuple):
    """``pixels`` (height, width, 3) int64: period of the last event, events seen in it, 1 where muted in it.

    One array: numba counts the references to each array of a tuple at every step, which makes three of them slow.
    """

    pixels: Array


def design(params: Params, size: tuple[int, int]) -> Coeffs:
    """Return the coefficients; the ``size`` of the sensor does not matter."""
    period = round(params.period_ms * 1_000)
    # The decimal number as it was written: 0.3 Hz over 10 s are 3 events, in binary they would be 2.
    limit = int(Fraction(repr(params.max_rate_hz)) * period / 1_000_000)
    return Coeffs(period, limit)


def init(size: tuple[int, int]) -> State:
    """Return a sensor of ``size`` (width, height) pixels, none of them hot."""
    pixels = np.zeros((size[1], size[0], 3), np.int64)
    pixels[..., PERIOD] = NEVER
    return State(pixels)


@njit(cache=True, nogil=True)
def step(coeffs: Coeffs, state: State, period: int, x: int, y: int) -> bool:
    """Return whether one event in period number ``period`` passes."""
    if state.pixels[y, x, PERIOD] != period:
        just_before = state.pixels[y, x, PERIOD] == period - 1
        state.pixels[y, x, MUTED] = just_before and state.pixels[y, x, SEEN] > coeffs.limit
        state.pixels[y, x, PERIOD] = period
        state.pixels[y, x, SEEN] = 0
    state.pixels[y, x, SEEN] += 1
    return bool(state.pixels[y, x, MUTED] == 0)


@njit(cache=True, nogil=True)
def run(coeffs: Coeffs, state: State, t: Array, x: Array, y: Array, keep: Array) -> None:
    """Write into ``keep`` (n,) which events pass; ``t`` (n,) int64 µs, ``x`` and ``y`` (n,) uint16 inside the size."""
    period, stop = NEVER, NEVER
    for i in range(len(t)):
        if t[i] >= stop:
            period = t[i] // coeffs.period
            stop = (period + 1) * coeffs.period
        keep[i] = step(coeffs, state, period, x[i], y[i])
