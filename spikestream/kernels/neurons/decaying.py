"""What neurons share: numbers that decay, to 0 where they are too small to matter, and the search for who fires."""

from __future__ import annotations

import numpy as np

from spikestream.kernels import Array, compiled

TINY = 1e-30
"""A number below this becomes 0, which keeps subnormal ones, which are slow, out of long silence."""
SWEPT = 16
"""Ticks from one look for such numbers to the next: to look for them in each tick would be a fifth of its time. In so
many a number gets subnormal on the way only where it decays faster than by exp(-1) in a tick."""
BLOCK = 64
"""Neurons that are looked at without a branch, so many at a time as the machine can."""


@compiled
def fade(values: Array, decay: float) -> None:
    """Multiply all by ``decay``, which has their dtype."""
    for j in range(len(values)):
        values[j] *= decay


@compiled
def leak(values: Array, decay: float, rest: float) -> None:
    """Let all decay towards ``rest``; both numbers have their dtype."""
    for j in range(len(values)):
        values[j] = rest + (values[j] - rest) * decay


@compiled
def sweep(values: Array, n: int) -> None:
    """In some ticks n, put 0 for what is too small to matter."""
    if n & (SWEPT - 1):
        return
    tiny, zero = values.dtype.type(TINY), values.dtype.type(0)
    for j in range(len(values)):
        values[j] = values[j] if abs(values[j]) > tiny else zero


@compiled
def next_at(values: Array, least: float, first: int) -> int:
    """Return the first place from ``first`` on with a value of ``least`` or more, the length where there is none."""
    j, count = first, len(values)
    while j + BLOCK <= count:
        hit = 0
        for k in range(j, j + BLOCK):
            hit |= values[k] >= least
        if hit != 0:
            break
        j += BLOCK
    while j < count and not values[j] >= least:
        j += 1
    return j


@compiled
def next_above(values: Array, raised: Array, factor: float, least: float, first: int) -> int:
    """Return the first place from ``first`` on with a value above ``least + factor * raised``, else the length."""
    j, count = first, len(values)
    while j + BLOCK <= count:
        hit = 0
        for k in range(j, j + BLOCK):
            hit |= values[k] > least + factor * raised[k]
        if hit != 0:
            break
        j += BLOCK
    while j < count and not values[j] > least + factor * raised[j]:
        j += 1
    return j


def rested(values: Array, rest: float, span_ms: float, tau_ms: float) -> None:
    """Let ``span_ms`` of decay towards ``rest`` pass at once, in place."""
    f = values.dtype.type
    left = (values - f(rest)) * f(np.exp(-span_ms / tau_ms))
    values[:] = f(rest) + np.where(np.abs(left) > TINY, left, f(0))
