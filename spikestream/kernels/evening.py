"""Evening out of axons: those that fire more than their share of late pass on fewer spikes, those that fire less more.

Per spike of axon i, the N-th of all A axons, N_i that of the spike before it on i:

    share    p_i <- p_i exp(-(N - N_i)/memory) + 1/memory          p_i = 1/A at the start
    gain     g_i = min(most, (1 / (A p_i))^even)
    pass on  c_i <- c_i + g_i;  as many spikes as there are whole ones in c_i, which c_i loses

Time does not count, only spikes: silence changes nothing. It takes away what a microphone, a room or a voice does to
all that is said, as the mean over a recording does (cepstral mean subtraction, Atal, J. Acoust. Soc. Am. 55, 1974), but
knows the past only. In nerves the like is synaptic scaling (Turrigiano et al., Nature 391, 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array

MOST = 2.0
"""Spikes that one makes at most: an axon that is hardly ever heard holds little but noise."""


@dataclass(frozen=True, slots=True)
class Params:
    """``even`` 0 to 1: from nothing to equal shares; ``memory`` in spikes of all axons."""

    axons: int
    even: float = 0.5
    memory: float = 8_000.0


class Coeffs(NamedTuple):
    """What one spike needs."""

    even: float
    memory: float


class State(NamedTuple):
    """Of each axon (A,), and the count of all spikes (1,)."""

    share: Array  # float64
    last: Array  # int64: the number of its last spike
    credit: Array  # float64, below 1
    total: Array  # int64


def design(params: Params) -> Coeffs:
    """Return the coefficients of one spike."""
    return Coeffs(float(params.even), float(params.memory))


def init(params: Params) -> State:
    """Return the state in which all axons have fired alike."""
    n = params.axons
    return State(np.full(n, 1.0 / n), np.zeros(n, np.int64), np.zeros(n), np.zeros(1, np.int64))


@njit(cache=True, nogil=True)
def step(c: Coeffs, s: State, axon: int) -> int:
    """Take one spike; return how many are passed on."""
    s.total[0] += 1
    s.share[axon] = s.share[axon] * np.exp((s.last[axon] - s.total[0]) / c.memory) + 1 / c.memory
    s.last[axon] = s.total[0]
    s.credit[axon] += min(MOST, (1 / (len(s.share) * s.share[axon])) ** c.even)
    whole = int(s.credit[axon])
    s.credit[axon] -= whole
    return whole


@njit(cache=True, nogil=True)
def run(c: Coeffs, s: State, t: Array, axon: Array, out_t: Array, out_axon: Array) -> int:
    """Take spikes (n,), write those passed on to ``out_t`` and ``out_axon`` (3n or more,); return how many."""
    count = 0
    for k in range(len(axon)):
        for _ in range(step(c, s, axon[k])):
            out_t[count], out_axon[count] = t[k], axon[k]
            count += 1
    return count
