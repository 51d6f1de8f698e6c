"""LIF neurons with adaptive thresholds, winner-take-all inhibition and trace STDP on dense rows, fused in one kernel.

Equations, voltages in units of weight, relative to rest:

    between ticks   v_j <- v_j exp(-dt/tau_m),   theta_j <- theta_j exp(-dt/tau_theta)
    input spike i   v_j <- v_j + w_ij,           x_i <- 1, decaying as exp(-t/tau_plus)  (nearest-spike trace)
    a clamped one   has v_j = v_reset for tau_refrac after its spike, and cannot fire
    the winner b    is the free neuron farthest above v_thresh + theta, the first of equals; it alone fires
    its rivals      v_j <- max(v_j - inhibition, -v_floor)
    the winner      v_b <- v_reset, and unless the last lesson is less than lesson_ms ago it has one:
                    theta_b <- theta_b + rise_b,  rise_b = theta_plus / (1 + wins_b / theta_half)
                    theta_j <- theta_j - theta_shared rise_b / neurons  for all j
                    w_ib <- min(w_ib, w_max),  w_ib <- w_ib + rate_b (x_i - w_ib)  for all i,
                    then column b is scaled to Euclidean length w_norm
                    rate_b = rate_end + (rate_start - rate_end) / (1 + wins_b / wins_half)

Order inside one tick: decay, deliver input, integrate, clamp refractory neurons, fire, inhibit, learn. The traces hold
the spikes of the same tick. Without learning neither weights nor thresholds move; with rule "none" thresholds alone do.
`rise_b` is theta_plus where theta_half is 0. `reset` forgets what was heard and the time of the last lesson: voltages,
clamps and traces are as at the start.

Sources: trace-centroid STDP and winner-take-all after Diehl & Cook, Front. Comput. Neurosci. 9:99 (2015), in the form
w + rate (x - w). Two choices differ from there: columns keep their length instead of their sum, so that the largest
input to a neuron is the cosine match of its receptive field; and the rate falls with a neuron's own wins, which an
endless stream can know, instead of with the number of samples to come. The rise of a threshold, which
gives every neuron its share of wins, is the conscience of DeSieno, Proc. IEEE ICNN 1:117 (1988); that it falls with
wins lets neurons of a common input win more often once all have found an input of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array

LONG_AGO = -(2**62)
"""The tick of a spike or a lesson that never was."""
TRACE_TAUS = 14
"""A trace is cut after so many time constants, at exp(-14) = 8e-7."""


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; voltages in units of weight."""

    tau_m_ms: float = 20.0
    v_thresh: float = 0.25
    v_reset: float = 0.0
    v_floor: float = 6.0  # how deep inhibition may push: it sets how long the losers of a look stay out
    tau_refrac_ms: float = 1.0
    inhibition: float = 3.0
    theta_plus: float = 0.1
    tau_theta_ms: float = 100_000.0
    theta_half: float = 0.0  # wins
    theta_shared: float = 0.0  # 1 keeps the sum of all thresholds
    tau_plus_ms: float = 30.0
    lesson_ms: float = 0.0
    rate_start: float = 0.05
    rate_end: float = 0.02
    wins_half: float = 10.0
    w_max: float = 1.0
    w_norm: float = 1.0
    seed: int = 0


class Coeffs(NamedTuple):
    """What one tick needs, as scalars in ticks."""

    decay_m: np.float32
    decay_theta: np.float32
    v_thresh: np.float32
    v_reset: np.float32
    v_floor: np.float32
    refrac: int
    inhibition: np.float32
    theta_plus: np.float32
    theta_half: np.float32
    theta_shared: np.float32
    lesson: int
    rate_start: np.float32
    rate_end: np.float32
    wins_half: np.float32
    w_max: np.float32
    w_norm: np.float32


class State(NamedTuple):
    """What is remembered from tick to tick. ``trace`` is a table, the same for all neurons: exp(-k dt/tau_plus)."""

    weights: Array  # (axons, neurons) float32, C order: one input spike is one contiguous row
    v: Array  # (neurons,) float32
    theta: Array  # (neurons,) float32
    refrac: Array  # (neurons,) int64, ticks still to be clamped
    wins: Array  # (neurons,) int64
    last: Array  # (axons,) int64, tick of the last spike
    taught: Array  # (1,) int64, tick of the last lesson
    trace: Array  # (14 tau_plus + 1,) float32


def design(params: Params, tick_us: int) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs."""
    tick_ms = tick_us / 1000
    f = np.float32
    return Coeffs(
        decay_m=f(np.exp(-tick_ms / params.tau_m_ms)),
        decay_theta=f(np.exp(-tick_ms / params.tau_theta_ms)),
        v_thresh=f(params.v_thresh),
        v_reset=f(params.v_reset),
        v_floor=f(params.v_floor),
        refrac=round(params.tau_refrac_ms / tick_ms),
        inhibition=f(params.inhibition),
        theta_plus=f(params.theta_plus),
        theta_half=f(params.theta_half),
        theta_shared=f(params.theta_shared),
        lesson=round(params.lesson_ms / tick_ms),
        rate_start=f(params.rate_start),
        rate_end=f(params.rate_end),
        wins_half=f(params.wins_half),
        w_max=f(params.w_max),
        w_norm=f(params.w_norm),
    )


def init(axons: int, neurons: int, params: Params, tick_us: int) -> State:
    """Return a network at rest with weights drawn uniformly in [0, 1) from ``seed`` and scaled to ``w_norm``."""
    weights = np.random.default_rng(params.seed).random((axons, neurons), dtype=np.float32)
    weights *= np.float32(params.w_norm) / np.sqrt((weights**2).sum(axis=0, dtype=np.float64)).astype(np.float32)
    length = max(1, round(TRACE_TAUS * params.tau_plus_ms * 1000 / tick_us))
    trace = np.exp(-np.arange(length + 1) * (tick_us / 1000 / params.tau_plus_ms)).astype(np.float32)
    trace[-1] = 0
    return State(
        weights=weights,
        v=np.zeros(neurons, np.float32),
        theta=np.zeros(neurons, np.float32),
        refrac=np.zeros(neurons, np.int64),
        wins=np.zeros(neurons, np.int64),
        last=np.full(axons, LONG_AGO, np.int64),
        taught=np.full(1, LONG_AGO, np.int64),
        trace=trace,
    )


@njit(cache=True, nogil=True)
def adapt(c: Coeffs, s: State, winner: int) -> None:
    """Raise the winner's threshold, and take the shared part of the rise from all of them."""
    rise = c.theta_plus
    if c.theta_half > 0:
        rise /= np.float32(1) + np.float32(s.wins[winner]) / c.theta_half
    s.theta[winner] += rise
    if c.theta_shared > 0:
        share = c.theta_shared * rise / np.float32(len(s.theta))
        for j in range(len(s.theta)):
            s.theta[j] -= share


@njit(cache=True, nogil=True)
def learn(c: Coeffs, s: State, tick: int, winner: int) -> None:
    """Move the winner's column towards the traces at ``tick`` and give it back its length."""
    rate = c.rate_end + (c.rate_start - c.rate_end) / (np.float32(1) + np.float32(s.wins[winner]) / c.wins_half)
    s.wins[winner] += 1
    oldest = len(s.trace) - 1
    square = np.float32(0)
    for i in range(len(s.last)):
        x = s.trace[min(tick - s.last[i], oldest)]
        w = min(s.weights[i, winner], c.w_max)
        w += rate * (x - w)
        s.weights[i, winner] = w
        square += w * w
    # Below this length a column is all but empty and a scale would only blow up rounding.
    scale = c.w_norm / max(np.sqrt(square), np.float32(1e-3))
    for i in range(len(s.last)):
        s.weights[i, winner] *= scale


@njit(cache=True, nogil=True)
def step(c: Coeffs, s: State, tick: int, axon: Array, adapting: bool, plastic: bool) -> tuple[int, int]:
    """Run one tick on its input spikes ``axon`` (n,); return (the neuron that fired or -1, the spikes heard)."""
    neurons = len(s.v)
    for j in range(neurons):
        s.v[j] *= c.decay_m
    if adapting:
        for j in range(neurons):
            s.theta[j] *= c.decay_theta
    heard = 0
    for e in range(len(axon)):
        i = axon[e]
        s.last[i] = tick
        heard += 1
        for j in range(neurons):
            s.v[j] += s.weights[i, j]
    winner = -1
    margin = np.float32(0)
    for j in range(neurons):
        if s.refrac[j] > 0:
            s.refrac[j] -= 1
            s.v[j] = c.v_reset
        elif s.v[j] - c.v_thresh - s.theta[j] > margin:
            margin = s.v[j] - c.v_thresh - s.theta[j]
            winner = j
    if winner >= 0:
        for j in range(neurons):
            s.v[j] = max(s.v[j] - c.inhibition, -c.v_floor)
        s.v[winner] = c.v_reset
        s.refrac[winner] = c.refrac
        if (adapting or plastic) and tick - s.taught[0] >= c.lesson:
            s.taught[0] = tick
            if adapting:
                adapt(c, s, winner)
            if plastic:
                learn(c, s, tick, winner)
    return winner, heard


@njit(cache=True, nogil=True)
def run(
    c: Coeffs,
    s: State,
    ticks: tuple[int, int, int],
    t: Array,
    axon: Array,
    modes: tuple[bool, bool],
    out_tick: Array,
    out_neuron: Array,
) -> tuple[int, int]:
    """Run ticks ``[first, stop)`` of ``ticks = (first, stop, tick_us)`` on spikes sorted by ``t`` (n,) int64 µs.

    ``modes`` = (thresholds adapt, weights learn). Writes the tick and the number of each neuron that fired, at most one
    a tick; returns (spikes out, spikes in, as each tick heard them).
    """
    first, stop, tick_us = ticks
    count = 0
    heard = 0
    e = 0
    for tick in range(first, stop):
        begin = e
        end = (tick + 1) * tick_us
        while e < len(t) and t[e] < end:
            e += 1
        winner, took = step(c, s, tick, axon[begin:e], modes[0], modes[1])
        heard += took
        if winner >= 0:
            out_tick[count] = tick
            out_neuron[count] = winner
            count += 1
    return count, heard


def reset(s: State) -> None:
    """Forget what was heard, in place; weights, thresholds and wins stay."""
    s.v[:] = 0
    s.refrac[:] = 0
    s.last[:] = LONG_AGO
    s.taught[:] = LONG_AGO


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let ``ticks`` ticks of silence pass in closed form, in place; thresholds decay for ``adapting`` of them.

    A neuron that is still above its threshold does not fire.
    """
    tick_ms = tick_us / 1000
    clamped = np.minimum(s.refrac, ticks)
    s.v[clamped > 0] = params.v_reset
    s.v[:] *= np.exp(-(ticks - clamped) * tick_ms / params.tau_m_ms).astype(np.float32)
    s.theta[:] *= np.float32(np.exp(-adapting * tick_ms / params.tau_theta_ms))
    s.refrac[:] -= clamped
