"""Izhikevich's simple model: two variables, and all kinds of spiking of cortical neurons.

    dv/dt = 0.04 v^2 + 5 v + 140 - u + I,   du/dt = a (b v - u),   at v >= 30 mV: v <- c, u <- u + d     (time in ms)

    decay    I_j <- 0
    input    I_j <- I_j + w, for this tick only
    fire     v_j by Euler's method in equal steps of at most 0.5 ms, two for a tick of 1 ms as in the published code,
             then u_j by one step of the tick; all j with v_j >= 30: v_j <- c, u_j <- u_j + d

As in that code the second of two steps may start from beyond the peak; in ticks of more steps v_j stays where it passed
it, for it would soon be beyond all numbers.

Source: Izhikevich, IEEE Trans. Neural Networks 14 (2003), equations 1 to 3 and the code of figure 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.neurons.decaying import next_at

RECEPTORS = ("current",)
HALF_MS = 0.5
PEAK, FARTHEST = 30.0, 1e4
"""mV. The second is no voltage of a neuron: it keeps a current without bounds from growing into no number."""


@dataclass(frozen=True, slots=True)
class Params:
    """The four parameters; the defaults are those of a regular spiking neuron. ``v_init`` is in mV."""

    a: float = 0.02
    b: float = 0.2
    c: float = -65.0
    d: float = 8.0
    v_init: float = -65.0


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    a_tick: Any  # a times the tick, ms
    b: Any
    c: Any
    d: Any
    part_ms: Any
    square: Any
    linear: Any
    constant: Any
    peak: Any
    stop: Any  # mV from which no step starts
    lowest: Any
    zero: Any
    parts: int


class State(NamedTuple):
    """What is remembered from tick to tick."""

    v: Array  # (neurons,)
    u: Array  # (neurons,)
    current: Array  # (neurons,), of this tick


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    if params.c >= PEAK:
        raise ValueError(f"c must lie below the peak, {PEAK:g}")
    tick_ms = tick_us / 1000
    parts = math.ceil(tick_ms / HALF_MS)
    return Coeffs(
        a_tick=f(params.a * tick_ms),
        b=f(params.b),
        c=f(params.c),
        d=f(params.d),
        part_ms=f(tick_ms / parts),
        square=f(0.04),
        linear=f(5),
        constant=f(140),
        peak=f(PEAK),
        stop=f(FARTHEST if parts <= 2 else PEAK),
        lowest=f(-FARTHEST),
        zero=f(0),
        parts=parts,
    )


def init(neurons: int, params: Params, f: Any) -> State:
    """Return ``neurons`` at v_init, with u at rest there."""
    v = np.full(neurons, params.v_init, f)
    return State(v, v * f(params.b), np.zeros(neurons, f))


@compiled
def decay(c: Coeffs, s: State, n: int, adapting: bool) -> None:
    """Forget the current of the last tick."""
    for j in range(len(s.current)):
        s.current[j] = c.zero


@compiled
def _integrate(v: Array, u: Array, current: Array, c: Coeffs) -> None:
    for _ in range(c.parts):
        for j in range(len(v)):
            x = min(v[j], c.stop)
            # Summed in the order of the published code: how far v passes its peak is chaotic in the last bit.
            moved = x + c.part_ms * (c.square * (x * x) + c.linear * x + c.constant - u[j] + current[j])
            v[j] = max(moved if v[j] < c.stop else v[j], c.lowest)
    for j in range(len(v)):
        u[j] += c.a_tick * (c.b * v[j] - u[j])


@compiled
def fire(c: Coeffs, s: State, n: int, adapting: bool, out: Array) -> int:
    """Integrate, reset who is at its peak; write them to ``out``, ascending; return how many."""
    _integrate(s.v, s.u, s.current, c)
    count, j = 0, next_at(s.v, c.peak, 0)
    while j < len(s.v):
        s.v[j] = c.c
        s.u[j] += c.d
        out[count] = j
        count += 1
        j = next_at(s.v, c.peak, j + 1)
    return count


@compiled
def step(c: Coeffs, s: State, n: int, drive: Array, adapting: bool, out: Array) -> int:
    """Run tick n of these neurons alone on ``drive`` (receptors, neurons); see `fire`."""
    decay(c, s, n, adapting)
    for j in range(len(s.v)):
        s.current[j] += drive[0, j]
    return int(fire(c, s, n, adapting, out))


@compiled
def run(c: Coeffs, s: State, first: int, drive: Array, adapting: bool, out: Array, counts: Array) -> None:
    """Run ticks from ``first`` on, on ``drive`` (ticks, receptors, neurons).

    Writes who fires to ``out`` (ticks, neurons) int32 and how many to ``counts`` (ticks,).
    """
    for k in range(len(drive)):
        counts[k] = step(c, s, first + k, drive[k], adapting, out[k])
