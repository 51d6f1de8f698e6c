"""Synaptic scaling: a neuron that fires too little for long has all its weights grow, one that fires too much shrink.

    decay         r_j falls by exp(-dt/tau_rate)
    tick n        where n is a multiple of every_ms, before spikes arrive:
                  w <- w max(1 + beta every (rate_hz - r_j), 0), kept in [w_min, w_max]
    spike of j    r_j <- r_j + 1/tau_rate, so that r_j is a running mean of its rate in Hz; it begins at rate_hz

Ticks are counted from stream time 0, so it does not matter where a stream begins or is cut.

Sources: Turrigiano, Leslie, Desai, Rutherford & Nelson, Nature 391 (1998); van Rossum, Bi & Turrigiano, J. Neurosci.
20 (2000), equation 3 without its integral term, and its values of beta and tau_rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.rules.traces import absurd_traces, check, decay_of, every, fade, fade_long, scalars

RATES = ("beta",)
SHARED = False  # a weight of several synapses would be scaled once for each


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; ``beta`` in 1/(s Hz), bounds in the unit of the weights."""

    rate_hz: float = 5.0
    tau_rate_ms: float = 100_000.0
    beta: float = 4e-5
    every_ms: float = 1000.0
    w_min: float = 0.0
    w_max: float = 1.0


class Coeffs(NamedTuple):
    """What one tick needs; rates in float64: a float32 loses what a tick takes from a slow mean."""

    w_min: Any
    w_max: Any
    decay: float
    per_spike: float  # Hz
    rate_hz: float
    strength: float  # 1/Hz, beta times what passes between two times
    every: int


class State(NamedTuple):
    """Mean rates, and what weights are multiplied with."""

    rate: Array  # (neurons,) float64, Hz
    factor: Array  # (neurons,)


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check(params)
    if params.rate_hz < 0:
        raise ValueError("rate_hz may not lie below 0")
    ticks = every(params.every_ms, tick_us)
    return Coeffs(
        **scalars(params, f, "w_min", "w_max"),
        decay=decay_of(tick_us, params.tau_rate_ms),
        per_spike=1000 / params.tau_rate_ms,
        rate_hz=params.rate_hz,
        strength=params.beta * ticks * tick_us / 1e6,
        every=ticks,
    )


def init(groups: int, neurons: int, synapses: int, params: Params, f: Any) -> State:
    """Return neurons that are taken to fire as they should."""
    return State(np.full(neurons, params.rate_hz, np.float64), np.ones(neurons, f))


@compiled
def step(c: Coeffs, s: State, n: int) -> int:
    """Let the means decay; ask for a pass over the synapses where it is time."""
    fade(s.rate, c.decay)
    if n % c.every != 0:
        return 0
    for j in range(len(s.rate)):
        s.factor[j] = max(1.0 + c.strength * (c.rate_hz - s.rate[j]), 0.0)
    return 1


@compiled
def on_all(c: Coeffs, s: State, p: int, g: int, j: int, k: int, w: Any) -> Any:
    """Scale a weight."""
    return min(max(w * s.factor[j], c.w_min), c.w_max)


@compiled
def post(c: Coeffs, s: State, j: int) -> None:
    """Count a spike."""
    s.rate[j] += c.per_spike


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let silent ticks pass at once, in place; weights do not grow in them."""
    fade_long(s.rate, ticks, tick_us, params.tau_rate_ms)


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return absurd_traces(s.rate)
