"""Oja's rule with traces of spikes: the weights onto a neuron turn to the first principal component of its input.

    decay         x_i, y_j fall by exp(-dt/tau)
    spike of i    x_i <- x_i + 1
    spike of j    w <- w + eta (x_i - y_j w), kept in [w_min, w_max]; then y_j <- y_j + 1

A spike stands for one factor y of dw = eta y (x - y w). Where a neuron fires at G times the rate that its weights times
its inputs come to, they take the Euclidean length G^-1/2, in the direction of the first eigenvector of the matrix of
mean products of input rates.

Source: Oja, J. Math. Biol. 15 (1982), equation 3.
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
    """Physical parameters; bounds in the unit of the weights."""

    tau_ms: float = 20.0
    eta: float = 0.01
    w_min: float = 0.0
    w_max: float = 1.0


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    decay: Any
    eta: Any
    w_min: Any
    w_max: Any
    one: Any


class State(NamedTuple):
    """Traces."""

    x: Array  # (groups,)
    y: Array  # (neurons,)


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check(params)
    return Coeffs(decay=f(decay_of(tick_us, params.tau_ms)), **scalars(params, f, "eta", "w_min", "w_max"), one=f(1))


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
def pre(c: Coeffs, s: State, g: int) -> None:
    """Raise the trace of the group that spiked."""
    s.x[g] += c.one


@compiled
def on_post(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Move a synapse onto a neuron that fired."""
    return min(max(w + c.eta * (s.x[g] - s.y[j] * w), c.w_min), c.w_max)


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
