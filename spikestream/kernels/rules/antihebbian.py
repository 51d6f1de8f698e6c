"""Anti-Hebbian inhibition: neurons that fire together come to inhibit each other, each towards a rate of its own.

    decay         x_i, y_j fall by exp(-dt/tau)
    spike of i    w <- w - eta (y_j - alpha), kept in [w_min, w_max]; then x_i <- x_i + 1
    spike of j    w <- w - eta x_i, kept in [w_min, w_max]; then y_j <- y_j + 1
    alpha         2 rate_hz tau: with spikes that know nothing of each other, w rests where j fires at rate_hz

Weights are negative; what grows is inhibition. From a population onto itself this is lateral inhibition that
decorrelates.

Sources: Vogels, Sprekeler, Zenke, Clopath & Gerstner, Science 334 (2011); the same idea for rates is Földiák,
Biological Cybernetics 64 (1990).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.rules.traces import absurd_traces, check, decay_of, fade, fade_long, scalars

RATES = ("eta",)


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; eta and bounds in the unit of the weights."""

    tau_ms: float = 20.0
    eta: float = 0.001
    rate_hz: float = 5.0
    w_min: float = -1.0
    w_max: float = 0.0


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    decay: Any
    eta: Any
    w_min: Any
    w_max: Any
    alpha: Any
    one: Any


class State(NamedTuple):
    """Traces."""

    x: Array  # (groups,)
    y: Array  # (neurons,)


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check(params)
    numbers = scalars(params, f, "eta", "w_min", "w_max")
    alpha = 2 * params.rate_hz * params.tau_ms / 1000
    return Coeffs(decay=f(decay_of(tick_us, params.tau_ms)), **numbers, alpha=f(alpha), one=f(1))


def init(groups: int, neurons: int, synapses: int, params: Params, f: Any) -> State:
    """Return traces of nothing."""
    return State(np.zeros(groups, f), np.zeros(neurons, f))


@compiled
def step(c: Coeffs, s: State, n: int) -> int:
    """Let all traces decay; no pass over the synapses."""
    fade(s.x, c.decay)
    fade(s.y, c.decay)
    return 0


@compiled
def on_pre(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Move a synapse over which a spike came."""
    return min(max(w - c.eta * (s.y[j] - c.alpha), c.w_min), c.w_max)


@compiled
def pre(c: Coeffs, s: State, g: int) -> None:
    """Raise the trace of the group that spiked."""
    s.x[g] += c.one


@compiled
def on_post(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Let a synapse onto a neuron that fired inhibit more."""
    return min(max(w - c.eta * s.x[g], c.w_min), c.w_max)


@compiled
def post(c: Coeffs, s: State, j: int) -> None:
    """Raise the trace of the neuron that fired."""
    s.y[j] += c.one


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let silent ticks pass at once, in place."""
    for trace in s:
        fade_long(trace, ticks, tick_us, params.tau_ms)


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return absurd_traces(*s)
