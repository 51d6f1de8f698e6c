"""Trace-centroid STDP: the weights onto a neuron move to the mean of the input traces it fires at, and keep a length.

    x_i           exp(-t/tau_plus), t since the last spike of i; 0 from `TAUS` time constants on
    spike of i    x_i <- 1
    spike of j    w <- min(w, w_max), w <- w + rate_j (x_i - w) for all i, then all w onto j times
                  w_norm / max((SUM w^2)^1/2, `LEAST`), and wins_j <- wins_j + 1
    rate_j        rate_end + (rate_start - rate_end) / (1 + wins_j / wins_half)

Scaling may lift a weight above w_max until its neuron fires again. In float32 this is the arithmetic of `lif_stdp`, bit
for bit. The table of traces is a coefficient, so tau_plus may change while the network runs.

Source: after Diehl & Cook, Front. Comput. Neurosci. 9:99 (2015), with the two changes that `lif_stdp` tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.rules.traces import absurd_traces, scalars

RATES = ("rate_start", "rate_end")
LEARNED = ("wins",)
TAUS = 14
LONGEST = 1 << 20
"""Ticks of the longest table."""
LEAST = 1e-3
"""Below this length weights are all but none, and a scale would only blow up rounding."""


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; ``w_max`` and ``w_norm`` in the unit of the weights."""

    tau_plus_ms: float = 30.0
    rate_start: float = 0.05
    rate_end: float = 0.02
    wins_half: float = 10.0
    w_max: float = 1.0
    w_norm: float = 1.0


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    rate_start: Any
    rate_end: Any
    wins_half: Any
    w_max: Any
    w_norm: Any
    least: Any
    one: Any
    zero: Any
    lam: Array  # exp(-k dt/tau_plus) after k ticks, the last is 0


class State(NamedTuple):
    """What is remembered from tick to tick, and scratch of the walks over a neuron's synapses."""

    last: Array  # (groups,) int64, tick of the last spike
    wins: Array  # (neurons,) int64, spikes that were learned from
    now: Array  # (1,) int64, the tick that runs
    learned: Array  # (neurons,) int64, 1 where the spike that is looked at is being learned from
    square: Array  # (neurons,) sum of squares so far
    scale: Array  # (neurons,)


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    if min(params.wins_half, params.w_max, params.w_norm) <= 0:
        raise ValueError("wins_half, w_max and w_norm must lie above 0")
    length = max(1, round(TAUS * params.tau_plus_ms * 1000 / tick_us))
    if length > LONGEST:
        raise ValueError(f"tau_plus_ms may not be longer than {LONGEST * tick_us / (1000 * TAUS):g} with this tick")
    lam = np.exp(-np.arange(length + 1) * (tick_us / 1000 / params.tau_plus_ms)).astype(f)
    lam[-1] = 0
    names = ("rate_start", "rate_end", "wins_half", "w_max", "w_norm")
    return Coeffs(**scalars(params, f, *names), least=f(LEAST), one=f(1), zero=f(0), lam=lam)


def init(groups: int, neurons: int, synapses: int, params: Params, f: Any) -> State:
    """Return inputs that never spiked and neurons that never won."""
    last, wins, learned = np.full(groups, -(2**62)), np.zeros(neurons, np.int64), np.zeros(neurons, np.int64)
    return State(last, wins, np.zeros(1, np.int64), learned, np.zeros(neurons, f), np.zeros(neurons, f))


@compiled
def step(c: Coeffs, s: State, n: int) -> int:
    """Remember the tick; no pass over the synapses."""
    s.now[0] = n
    return 0


@compiled
def pre(c: Coeffs, s: State, g: int) -> None:
    """Remember when the group spiked."""
    s.last[g] = s.now[0]


@compiled
def on_post(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Move a synapse onto a neuron that fired."""
    age = min(max(s.now[0] - s.last[g], 0), len(c.lam) - 1)
    rate = c.rate_end + (c.rate_start - c.rate_end) / (c.one + s.square.dtype.type(s.wins[j]) / c.wins_half)
    w = min(w, c.w_max)
    w += rate * (c.lam[age] - w)
    s.square[j] += w * w
    s.learned[j] = 1
    return w


@compiled
def post(c: Coeffs, s: State, j: int) -> None:
    """Count a win, and see what scale the weights need."""
    s.scale[j] = c.w_norm / max(np.sqrt(s.square[j]), c.least)
    s.wins[j] += s.learned[j]
    s.learned[j] = 0
    s.square[j] = c.zero


@compiled
def after_post(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Give the weights onto a neuron that fired their length."""
    return w * s.scale[j]


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    if np.any(s.wins < 0) or np.any((s.learned < 0) | (s.learned > 1)):
        return "wins that nobody can have had"
    return absurd_traces(s.square)
