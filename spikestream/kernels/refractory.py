"""Refractory period: a pixel that has passed an event passes the next one only after the period.

Per event, in stream order: it passes where ``last[y, x] <= t - period``; where it passes, ``last[y, x] = t``.
The reference is the last event that PASSED, so a pixel that never rests still passes one event a period. Both
polarities share their pixel's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array

NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Params:
    """``period_ms``: rest of a pixel after an event it passed, in ms, rounded to whole µs."""

    period_ms: float = 1.0


class Coeffs(NamedTuple):
    """``period`` in µs."""

    period: int


class State(NamedTuple):
    """``last`` (height, width) int64: stamp in µs of the last event passed."""

    last: Array


def design(params: Params, size: tuple[int, int]) -> Coeffs:
    """Return the coefficients; the ``size`` of the sensor does not matter."""
    return Coeffs(round(params.period_ms * 1_000))


def init(size: tuple[int, int]) -> State:
    """Return a rested sensor of ``size`` (width, height) pixels."""
    return State(np.full((size[1], size[0]), NEVER, np.int64))


@njit(cache=True, nogil=True)
def step(coeffs: Coeffs, state: State, t: int, x: int, y: int) -> bool:
    """Return whether one event passes."""
    # Subtracted from t, which is bounded, and never from the stamp: NEVER - period would wrap round.
    if state.last[y, x] > t - coeffs.period:
        return False
    state.last[y, x] = t
    return True


@njit(cache=True, nogil=True)
def run(coeffs: Coeffs, state: State, t: Array, x: Array, y: Array, keep: Array) -> None:
    """Write into ``keep`` (n,) which events pass; ``t`` (n,) int64 µs, ``x`` and ``y`` (n,) uint16 inside the size."""
    for i in range(len(t)):
        keep[i] = step(coeffs, state, t[i], x[i], y[i])
