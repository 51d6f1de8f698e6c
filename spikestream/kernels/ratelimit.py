"""Rate limit: a token bucket in stream time that lets at most so many events a second through, and short bursts.

The bucket starts full. Per event, in stream order: ``tokens = min(capacity, tokens + (t - last) * gain)`` and
``last = t``; the event passes where ``tokens >= COST``, and then takes ``COST`` out. All in integers: a token is a
billionth of an event, so a rate in thousandths of a Hz gives whole tokens each µs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array

NEVER = np.iinfo(np.int64).min
COST = 1_000_000_000
"""Tokens an event takes."""


@dataclass(frozen=True, slots=True)
class Params:
    """``max_rate_hz`` of all pixels together, rounded to 0.001 Hz; ``burst_ms``: how much of it may come at once."""

    max_rate_hz: float
    burst_ms: float = 10.0


class Coeffs(NamedTuple):
    """``gain`` tokens a µs; ``capacity`` in tokens, at least one event; ``fill``: µs from empty to full."""

    gain: int
    capacity: int
    fill: int


class State(NamedTuple):
    """Both () int64: ``tokens`` after the last event and its stamp ``last`` in µs."""

    tokens: Array
    last: Array


def design(params: Params, size: tuple[int, int]) -> Coeffs:
    """Return the coefficients; the ``size`` of the sensor does not matter."""
    gain = round(params.max_rate_hz * 1_000)
    capacity = max(COST, gain * round(params.burst_ms * 1_000))
    return Coeffs(gain, capacity, -(-capacity // gain))


def init(size: tuple[int, int]) -> State:
    """Return a bucket that the first event finds full."""
    return State(np.array(0, np.int64), np.array(NEVER, np.int64))


@njit(cache=True, nogil=True)
def step(coeffs: Coeffs, state: State, t: int) -> bool:
    """Return whether one event passes."""
    # Only a pause too short to fill the bucket is multiplied: a long one would overflow.
    if state.last[()] <= t - coeffs.fill:
        tokens = coeffs.capacity
    else:
        tokens = min(coeffs.capacity, state.tokens[()] + (t - state.last[()]) * coeffs.gain)
    passes = tokens >= COST
    state.tokens[()] = tokens - COST if passes else tokens
    state.last[()] = t
    return passes


@njit(cache=True, nogil=True)
def run(coeffs: Coeffs, state: State, t: Array, x: Array, y: Array, keep: Array) -> None:
    """Write into ``keep`` (n,) which events pass; ``t`` (n,) int64 µs, ``x`` and ``y`` unused."""
    for i in range(len(t)):
        keep[i] = step(coeffs, state, t[i])
