"""Pair STDP: each pair of an input spike and an output spike moves the weight between the two.

    decay           x_i, y_j fall by exp(-dt/tau) with tau_plus, tau_minus
    spike of i      w <- w - a_minus f_minus(w) y_j, not below w_min; then x_i <- x_i + 1, or with pairing "nearest" 1
    spike of j      w <- w + a_plus f_plus(w) x_i, not above w_max; then y_j <- y_j + 1, or 1
    dependence      additive:        f_plus = f_minus = 1
                    multiplicative:  f_plus = 1 - u, f_minus = u,       u = (w - w_min) / (w_max - w_min)
                    power:           f_plus = (1 - u)^mu_plus, f_minus = u^mu_minus

Sources: Song, Miller & Abbott, Nature Neuroscience 3 (2000); the exponents of Gütig, Aharonov, Rotter & Sompolinsky,
J. Neurosci. 23 (2003); all-to-all and symmetric nearest-neighbour pairing of Morrison, Diesmann & Gerstner, Biological
Cybernetics 98 (2008), section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.rules.traces import absurd_traces, check, decay_of, fade, fade_long, scalars

RATES = ("a_plus", "a_minus")
DEPENDENCES = ("additive", "multiplicative", "power")


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; amplitudes and bounds in the unit of the weights."""

    tau_plus_ms: float = 20.0
    tau_minus_ms: float = 20.0
    a_plus: float = 0.01
    a_minus: float = 1e-4
    w_min: float = 0.0
    w_max: float = 1.0
    dependence: str = "additive"
    mu_plus: float = 1.0
    mu_minus: float = 1.0
    pairing: str = "all"


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    decay_plus: Any
    decay_minus: Any
    a_plus: Any
    a_minus: Any
    w_min: Any
    w_max: Any
    per_range: Any
    mu_plus: Any
    mu_minus: Any
    keep: Any  # of an older trace at a spike: 1 of all, 0 of the nearest
    one: Any
    additive: bool


class State(NamedTuple):
    """Traces."""

    x: Array  # (groups,)
    y: Array  # (neurons,)


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check(params)
    if params.dependence not in DEPENDENCES:
        raise ValueError(f"dependence is one of {', '.join(DEPENDENCES)}, not '{params.dependence}'")
    if min(params.mu_plus, params.mu_minus) < 0:
        raise ValueError("mu_plus and mu_minus may not lie below 0")
    power = params.dependence == "power"
    return Coeffs(
        decay_plus=f(decay_of(tick_us, params.tau_plus_ms)),
        decay_minus=f(decay_of(tick_us, params.tau_minus_ms)),
        **scalars(params, f, "a_plus", "a_minus", "w_min", "w_max"),
        per_range=f(1 / (params.w_max - params.w_min)),
        mu_plus=f(params.mu_plus if power else 1),
        mu_minus=f(params.mu_minus if power else 1),
        keep=f(params.pairing == "all"),
        one=f(1),
        additive=params.dependence == "additive",
    )


def init(groups: int, neurons: int, synapses: int, params: Params, f: Any) -> State:
    """Return traces of nothing."""
    return State(np.zeros(groups, f), np.zeros(neurons, f))


@compiled
def step(c: Coeffs, s: State, n: int) -> int:
    """Let all traces decay; no pass over the synapses."""
    fade(s.x, c.decay_plus)
    fade(s.y, c.decay_minus)
    return 0


@compiled
def on_pre(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Depress a synapse over which a spike came."""
    less = c.a_minus * s.y[j]
    if not c.additive:
        less *= ((max(w, c.w_min) - c.w_min) * c.per_range) ** c.mu_minus
    return min(max(w - less, c.w_min), c.w_max)


@compiled
def pre(c: Coeffs, s: State, g: int) -> None:
    """Raise the trace of the group that spiked."""
    s.x[g] = s.x[g] * c.keep + c.one


@compiled
def on_post(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Potentiate a synapse onto a neuron that fired."""
    more = c.a_plus * s.x[g]
    if not c.additive:
        more *= ((c.w_max - min(w, c.w_max)) * c.per_range) ** c.mu_plus
    return max(min(w + more, c.w_max), c.w_min)


@compiled
def post(c: Coeffs, s: State, j: int) -> None:
    """Raise the trace of the neuron that fired."""
    s.y[j] = s.y[j] * c.keep + c.one


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let silent ticks pass at once, in place."""
    fade_long(s.x, ticks, tick_us, params.tau_plus_ms)
    fade_long(s.y, ticks, tick_us, params.tau_minus_ms)


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return absurd_traces(s.x, s.y)
