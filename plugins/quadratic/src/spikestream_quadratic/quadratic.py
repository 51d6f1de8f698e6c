"""Quadratic integrate and fire: above its threshold a voltage runs off by itself, the later the closer it began there.

    decay    tau_m dv/dt = (v - v_rest) (v - v_thresh) / (v_thresh - v_rest) + i_offset, exact over a tick, up to v_peak
    input    v_j <- v_j + w
    fire     all j with v_j >= v_peak: v_j <- v_reset

With x = v - (v_rest + v_thresh) / 2 this is tau_m width dx/dt = x^2 - q, width = v_thresh - v_rest. Whatever the sign
of q, a tick takes x to (x - q k) / (1 - x k) with one constant k; where 1 - x k is not above 0, x ran off within it.

Sources: Ermentrout & Kopell, SIAM J. Appl. Math. 46 (1986) 233-253; Latham, Richmond, Nelson & Nirenberg, J.
Neurophysiol. 83 (2000) 808-827.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled

RECEPTORS = ("v",)


@dataclass(frozen=True, slots=True)
class Params:
    """Voltages and weights in mV; ``i_offset``, a constant current times the resistance, in mV too."""

    tau_m_ms: float = 10.0
    v_rest: float = -65.0
    v_thresh: float = -50.0
    v_peak: float = 20.0
    v_reset: float = -80.0
    i_offset: float = 0.0


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    middle: Any
    k: Any
    qk: Any
    v_peak: Any
    v_reset: Any
    one: Any
    zero: Any


class State(NamedTuple):
    """What is remembered from tick to tick."""

    v: Array  # (neurons,) mV


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    if not params.v_rest < params.v_thresh < params.v_peak or params.v_reset >= params.v_peak:
        raise ValueError("v_rest must lie below v_thresh, and that and v_reset below v_peak")
    width = params.v_thresh - params.v_rest
    q = width**2 / 4 - params.i_offset * width
    root, time = math.sqrt(abs(q)), tick_us / 1000 / (params.tau_m_ms * width)
    if q < 0 and root * time >= math.pi / 2:
        raise ValueError("a tick is longer than half a period of firing: a smaller i_offset, or a shorter tick")
    k = time if q == 0 else (math.tanh if q > 0 else math.tan)(root * time) / root
    middle = (params.v_rest + params.v_thresh) / 2
    return Coeffs(f(middle), f(k), f(q * k), f(params.v_peak), f(params.v_reset), f(1), f(0))


def init(neurons: int, params: Params, f: Any) -> State:
    """Return neurons at rest."""
    return State(np.full(neurons, params.v_rest, f))


@compiled
def decay(c: Coeffs, s: State, n: int, adapting: bool) -> None:
    """Let a tick pass, before its input comes."""
    for j in range(len(s.v)):
        x = s.v[j] - c.middle
        below = c.one - x * c.k
        s.v[j] = min(c.middle + (x - c.qk) / below, c.v_peak) if below > c.zero else c.v_peak


@compiled
def fire(c: Coeffs, s: State, n: int, adapting: bool, out: Array) -> int:
    """Let fire who is at the peak; write them to ``out``, ascending; return how many."""
    count = 0
    for j in range(len(s.v)):
        if s.v[j] >= c.v_peak:
            s.v[j] = c.v_reset
            out[count] = j
            count += 1
    return count
