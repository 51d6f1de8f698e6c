"""Background activity: an event passes only where neighbouring pixels have just seen something too.

Per event, in stream order: count those of its 8 neighbours with ``seen >= t - window``; the event passes where they
are at least ``neighbours``. Then, passed or not, ``seen`` there is t. The pixel itself does not count.
Source: T. Delbruck, Frame-free dynamic digital vision, Symposium on Secure-Life Electronics, 2008.
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
    """``window_ms``: how long an event supports its neighbours, rounded to whole µs; ``neighbours`` needed, 1 to 8."""

    window_ms: float = 10.0
    neighbours: int = 1


class Coeffs(NamedTuple):
    """``window`` in µs; ``neighbours`` needed."""

    window: int
    neighbours: int


class State(NamedTuple):
    """``seen`` (height + 2, width + 2) int64: stamp in µs of the last event, with a border that never has one.

    Not ``last`` as in the refractory kernel: numba's fast dispatch knows a tuple by the names of its class and its
    fields, and of two kernels with the same ones the second takes the slow way at every call.
    """

    seen: Array


def design(params: Params, size: tuple[int, int]) -> Coeffs:
    """Return the coefficients; the ``size`` of the sensor does not matter."""
    return Coeffs(round(params.window_ms * 1_000), params.neighbours)


def init(size: tuple[int, int]) -> State:
    """Return the map of a sensor of ``size`` (width, height) pixels that has seen nothing."""
    return State(np.full((size[1] + 2, size[0] + 2), NEVER, np.int64))


@njit(cache=True, nogil=True)
def step(coeffs: Coeffs, state: State, t: int, x: int, y: int) -> bool:
    """Return whether one event passes."""
    seen, oldest = state.seen, t - coeffs.window
    above, row, below = int(y), int(y) + 1, int(y) + 2
    left, column, right = int(x), int(x) + 1, int(x) + 2
    # Eight comparisons without a branch: they cost less than one that is mispredicted.
    support = int(seen[above, left] >= oldest) + int(seen[above, column] >= oldest) + int(seen[above, right] >= oldest)
    support += int(seen[row, left] >= oldest) + int(seen[row, right] >= oldest)
    support += int(seen[below, left] >= oldest) + int(seen[below, column] >= oldest) + int(seen[below, right] >= oldest)
    seen[row, column] = t
    return support >= coeffs.neighbours


@njit(cache=True, nogil=True)
def run(coeffs: Coeffs, state: State, t: Array, x: Array, y: Array, keep: Array) -> None:
    """Write into ``keep`` (n,) which events pass; ``t`` (n,) int64 µs, ``x`` and ``y`` (n,) uint16 inside the size."""
    for i in range(len(t)):
        keep[i] = step(coeffs, state, t[i], x[i], y[i])
