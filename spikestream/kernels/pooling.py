"""Pooling: one unit for a patch of neighbours, which passes what the first of them says and then rests.

Planes of height x width; unit (Y, X) of a plane covers the places ``[Y stride, Y stride + pool)`` by ``[X stride,
X stride + pool)`` of it, as far as there are any. With stride < pool patches overlap. Per spike at time t, in order of
the units that cover its place:

    it passes where ``last <= t - rest``; where it passes, ``last = t``

The reference is the last spike that PASSED, so a unit that never rests still passes one a ``rest``. Times are in the
unit of the caller: microseconds where spikes are pooled as they come, ticks inside of a kernel that runs in ticks.

Source: max pooling of first spikes, Kheradpisheh et al., Neural Networks 99 (2018), section 2.3; there once an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled

NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Params:
    """``pool`` and ``stride`` in pixels a side, ``rest_ms`` of a unit after what it passed."""

    pool: int = 2
    stride: int = 2
    rest_ms: float = 5.0


class Coeffs(NamedTuple):
    """``rest`` in the unit of time of whoever pools; ``height`` and ``width`` of a plane of units."""

    pool: int
    stride: int
    rest: int
    height: int
    width: int


class State(NamedTuple):
    """``last`` (planes * height * width,) int64: when each unit last passed a spike."""

    last: Array


def design(params: Params, size: tuple[int, int], unit_us: int = 1) -> Coeffs:
    """Return the coefficients for planes of ``size`` (height, width), times in units of ``unit_us`` µs."""
    height, width = (-(-max(side - params.pool, 0) // params.stride) + 1 for side in size)
    return Coeffs(params.pool, params.stride, round(params.rest_ms * 1000 / unit_us), height, width)


def init(c: Coeffs, planes: int) -> State:
    """Return rested units."""
    return State(np.full(planes * c.height * c.width, NEVER, np.int64))


def covers(c: Coeffs) -> int:
    """Return the largest number of units that one place has."""
    return (-(-c.pool // c.stride)) ** 2


@compiled
def step(c: Coeffs, s: State, t: int, place: tuple[int, int, int], out_t: Array, out_unit: Array, count: int) -> int:
    """Pool one spike of ``place`` (plane, y, x); write what passes from ``count`` on, and return the new count."""
    plane, y, x = place
    for row in range(max(0, (y - c.pool) // c.stride + 1), min(y // c.stride, c.height - 1) + 1):
        for column in range(max(0, (x - c.pool) // c.stride + 1), min(x // c.stride, c.width - 1) + 1):
            unit = (plane * c.height + row) * c.width + column
            if s.last[unit] <= t - c.rest:  # subtracted from t, which is bounded, and never from NEVER
                s.last[unit] = t
                out_t[count] = t
                out_unit[count] = unit
                count += 1
    return count


@compiled
def run(c: Coeffs, s: State, size: tuple[int, int], t: Array, axon: Array, out_t: Array, out_unit: Array) -> int:
    """Pool spikes ``t`` (n,) of ``axon`` (n,) on planes of ``size`` (height, width); return how many passed.

    ``out_t`` and ``out_unit`` have room for n times `covers`.
    """
    height, width = size
    count = 0
    for e in range(len(t)):
        pixel = axon[e] % (height * width)
        place = axon[e] // (height * width), pixel // width, pixel % width
        count = step(c, s, t[e], place, out_t, out_unit, count)
    return count
