"""Triplet STDP: a weight is moved by pairs of spikes and by triplets of them, so that it depends on rates as well.

    decay         r1_i, r2_i, o1_j, o2_j fall by exp(-dt/tau) with tau_plus, tau_x, tau_minus, tau_y
    spike of i    w <- w - o1_j (a2_minus + a3_minus r2_i), not below w_min; then r1_i and r2_i rise
    spike of j    w <- w + r1_i (a2_plus + a3_plus o2_j), not above w_max; then o1_j and o2_j rise
    a trace rises by 1, or with pairing "nearest" to 1

Source: Pfister & Gerstner, J. Neurosci. 26 (2006), equations 1 to 4. The defaults are that paper's fit of the full
model, all to all, to data from visual cortex. Its fit of pairing "nearest" is a2_plus 8.8e-11, a3_plus 5.3e-2,
a2_minus 6.6e-3, a3_minus 3.1e-3, tau_x 714 ms, tau_y 40 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.rules.traces import absurd_traces, check, decay_of, fade, fade_long, scalars

RATES = ("a2_plus", "a3_plus", "a2_minus", "a3_minus")
DECAYS = ("decay_r1", "decay_r2", "decay_o1", "decay_o2")
TAUS = ("tau_plus_ms", "tau_x_ms", "tau_minus_ms", "tau_y_ms")


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; amplitudes and bounds in the unit of the weights."""

    tau_plus_ms: float = 16.8
    tau_x_ms: float = 101.0
    tau_minus_ms: float = 33.7
    tau_y_ms: float = 125.0
    a2_plus: float = 5e-10
    a3_plus: float = 6.2e-3
    a2_minus: float = 7e-3
    a3_minus: float = 2.3e-4
    w_min: float = 0.0
    w_max: float = 1.0
    pairing: str = "all"


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    decay_r1: Any
    decay_r2: Any
    decay_o1: Any
    decay_o2: Any
    a2_plus: Any
    a3_plus: Any
    a2_minus: Any
    a3_minus: Any
    w_min: Any
    w_max: Any
    keep: Any  # of an older trace at a spike: 1 of all, 0 of the nearest
    one: Any


class State(NamedTuple):
    """Traces, in the order of `TAUS`."""

    r1: Array  # (groups,)
    r2: Array  # (groups,)
    o1: Array  # (neurons,)
    o2: Array  # (neurons,)


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check(params)
    decays = {name: f(decay_of(tick_us, getattr(params, tau))) for name, tau in zip(DECAYS, TAUS, strict=True)}
    amplitudes = scalars(params, f, *RATES, "w_min", "w_max")
    return Coeffs(**decays, **amplitudes, keep=f(params.pairing == "all"), one=f(1))


def init(groups: int, neurons: int, synapses: int, params: Params, f: Any) -> State:
    """Return traces of nothing."""
    return State(*(np.zeros(size, f) for size in (groups, groups, neurons, neurons)))


@compiled
def step(c: Coeffs, s: State, n: int) -> int:
    """Let all traces decay; no pass over the synapses."""
    fade(s.r1, c.decay_r1)
    fade(s.r2, c.decay_r2)
    fade(s.o1, c.decay_o1)
    fade(s.o2, c.decay_o2)
    return 0


@compiled
def on_pre(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Depress a synapse over which a spike came."""
    return max(w - s.o1[j] * (c.a2_minus + c.a3_minus * s.r2[g]), c.w_min)


@compiled
def pre(c: Coeffs, s: State, g: int) -> None:
    """Raise the traces of the group that spiked."""
    s.r1[g] = s.r1[g] * c.keep + c.one
    s.r2[g] = s.r2[g] * c.keep + c.one


@compiled
def on_post(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Potentiate a synapse onto a neuron that fired."""
    return min(w + s.r1[g] * (c.a2_plus + c.a3_plus * s.o2[j]), c.w_max)


@compiled
def post(c: Coeffs, s: State, j: int) -> None:
    """Raise the traces of the neuron that fired."""
    s.o1[j] = s.o1[j] * c.keep + c.one
    s.o2[j] = s.o2[j] * c.keep + c.one


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let silent ticks pass at once, in place."""
    for trace, tau in zip(s, TAUS, strict=True):
        fade_long(trace, ticks, tick_us, getattr(params, tau))


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return absurd_traces(*s)
