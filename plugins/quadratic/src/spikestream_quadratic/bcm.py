"""BCM: a spike strengthens what came before it where the neuron is busier than a threshold, which its activity moves.

    step            x_i <- x_i exp(-dt/tau_plus);  u_j <- u_j exp(-dt/tau_rate)
                    theta_j moves towards u_j^2 by the share 1 - exp(-dt/tau_theta)
    spike of i      x_i <- x_i + 1
    spike of j      w <- w + amplitude x_i (u_j - theta_j), kept in [w_min, w_max];  then u_j grows by
                    1 / (tau_rate rate_hz)

u_j is the rate of j in units of ``rate_hz``, by its spikes so far; as the spikes of j come at that rate themselves,
the mean of dw/dt is amplitude x u (u - theta), theta being the mean of u^2: busy neurons become harder to please.

Sources: Bienenstock, Cooper & Munro, J. Neurosci. 2 (1982) 32-48; the mean of the square after Intrator & Cooper,
Neural Networks 5 (1992) 3-17; spikes for rates as in Izhikevich & Desai, Neural Computation 15 (2003) 1511-1523.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled

RATES = ("amplitude",)
LEARNED = ("theta",)
TINY = 1e-15
"""Traces below this are none: neither they nor their squares become subnormal numbers, which are slow."""


@dataclass(frozen=True, slots=True)
class Params:
    """Times in ms, ``rate_hz`` in spikes a second; amplitude and bounds in the unit of the weights."""

    amplitude: float = 0.002
    tau_plus_ms: float = 20.0
    tau_rate_ms: float = 500.0
    tau_theta_ms: float = 5_000.0
    rate_hz: float = 10.0
    w_min: float = 0.0
    w_max: float = 1.0


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    decay_plus: Any
    decay_rate: Any
    decay_theta: Any
    share: Any
    amplitude: Any
    unit: Any
    w_min: Any
    w_max: Any
    one: Any
    zero: Any
    tiny: Any


class State(NamedTuple):
    """Traces."""

    x: Array  # (groups,)
    u: Array  # (neurons,), 1 for a rate of rate_hz
    theta: Array  # (neurons,), in the same unit


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    if params.w_min >= params.w_max or params.rate_hz <= 0:
        raise ValueError("w_min must lie below w_max, and rate_hz above 0")
    taus = (params.tau_plus_ms, params.tau_rate_ms, params.tau_theta_ms)
    decays = [float(np.exp(-tick_us / 1000 / tau)) for tau in taus]
    unit = 1000 / (params.tau_rate_ms * params.rate_hz)
    plain = (*decays, 1 - decays[2], params.amplitude, unit, params.w_min, params.w_max, 1, 0, TINY)
    return Coeffs(*map(f, plain))


def init(groups: int, neurons: int, synapses: int, params: Params, f: Any) -> State:
    """Return traces of nothing."""
    return State(np.zeros(groups, f), np.zeros(neurons, f), np.zeros(neurons, f))


@compiled
def step(c: Coeffs, s: State, n: int) -> int:
    """Let traces decay and thresholds slide; no pass over the synapses."""
    for g in range(len(s.x)):
        x = s.x[g] * c.decay_plus
        s.x[g] = x if x > c.tiny else c.zero
    for j in range(len(s.u)):
        u = s.u[j] * c.decay_rate
        s.u[j] = u if u > c.tiny else c.zero
        theta = s.theta[j] * c.decay_theta + s.u[j] * s.u[j] * c.share
        s.theta[j] = theta if theta > c.tiny else c.zero
    return 0


@compiled
def pre(c: Coeffs, s: State, g: int) -> None:
    """Raise the trace of the group that spiked."""
    s.x[g] += c.one


@compiled
def on_post(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Move a synapse onto a neuron that fired."""
    return min(max(w + c.amplitude * s.x[g] * (s.u[j] - s.theta[j]), c.w_min), c.w_max)


@compiled
def post(c: Coeffs, s: State, j: int) -> None:
    """Raise the rate of the neuron that fired."""
    s.u[j] += c.unit


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let silent ticks pass at once, in place: rates are none by then, and thresholds fall."""
    s.theta[:] *= s.theta.dtype.type(np.exp(-ticks * (tick_us / 1000) / params.tau_theta_ms))
    s.theta[s.theta < TINY] = 0
