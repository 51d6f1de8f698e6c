"""Normalisation: from time to time the weights onto each neuron are scaled to a common sum or length.

    tick n    where n is a multiple of every_ms, before spikes arrive: w <- w w_norm / size_j, kept in [w_min, w_max]
    size_j    norm "sum": SUM |w|, "length": (SUM w^2)^1/2, over the synapses onto neuron j

Ticks are counted from stream time 0, so it does not matter where a stream begins or is cut. No weight grows more than
`MOST` times at once: a column that is all but empty would be rounding, blown up. The sign of a weight stays.

Source: Diehl & Cook, Front. Comput. Neurosci. 9:99 (2015), for the sum; von der Malsburg, Kybernetik 14 (1973).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.rules.traces import check, every, scalars

RATES = ()
SHARED = False  # a weight of several synapses would be scaled once for each
NORMS = ("sum", "length")
MOST = 1000
"""Weights grow by no larger factor at once."""


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; ``w_norm`` and bounds in the unit of the weights."""

    every_ms: float = 1000.0
    w_norm: float = 1.0
    norm: str = "sum"
    w_min: float = 0.0
    w_max: float = 1.0


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    w_norm: Any
    w_min: Any
    w_max: Any
    least: Any  # size of a column that is all but empty
    zero: Any
    every: int
    length: bool


class State(NamedTuple):
    """Scratch between the two passes of a tick."""

    total: Array  # (neurons,)


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check(params)
    if params.w_norm <= 0:
        raise ValueError("w_norm must lie above 0")
    if params.norm not in NORMS:
        raise ValueError(f"norm is one of {', '.join(NORMS)}, not '{params.norm}'")
    return Coeffs(
        **scalars(params, f, "w_norm", "w_min", "w_max"),
        least=f(params.w_norm / MOST),
        zero=f(0),
        every=every(params.every_ms, tick_us),
        length=params.norm == "length",
    )


def init(groups: int, neurons: int, synapses: int, params: Params, f: Any) -> State:
    """Return room for the sums."""
    return State(np.zeros(neurons, f))


@compiled
def step(c: Coeffs, s: State, n: int) -> int:
    """Ask for two passes over the synapses where it is time."""
    if n % c.every != 0:
        return 0
    for j in range(len(s.total)):
        s.total[j] = c.zero
    return 2


@compiled
def on_all(c: Coeffs, s: State, p: int, g: int, j: int, k: int, w: Any) -> Any:
    """Add up the weights in the first pass, and scale them in the second."""
    if p == 0:
        s.total[j] += w * w if c.length else abs(w)
        return w
    size = np.sqrt(s.total[j]) if c.length else s.total[j]
    return min(max(w * (c.w_norm / max(size, c.least)), c.w_min), c.w_max)
