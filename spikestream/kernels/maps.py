"""Feature maps that spikes teach: on a grid of patches, the strongest LIF neuron of each fires, learns, and is pooled.

P planes of height x width axons in. Patches of size x size pixels begin every ``step`` pixels and see all planes; the
last of a row is the first that reaches the last pixel, and may reach beyond. At each place (Y, X) stand K neurons, one
for each map. Weights w_m(i), i = (p, dy, dx), are the same at all places (shared), or each place has its own (local);
so have thresholds theta_m and counts of lessons. v in units of the threshold, relative to rest. Per tick of dt:

    decay        v <- v exp(-dt / tau_m)
    input        v(Y, X, m) <- v(Y, X, m) + 2 gain / sqrt(P size size) w_m(p, y - step Y, x - step X)
                 for every spike at (p, y, x)
    floor        v <- max(v, floor)
    fire         of each place the neuron m of the largest v - theta_m, where that is above 1 (of equals the first)
    inhibit      all neurons of that place: v <- 0
    learn        if neither this place nor, where maps are shared, this map had a lesson within the last ``lesson``:
                 theta_m <- theta_m + rise,  theta_k <- theta_k - rise / K for all k,
                 rise = theta_plus / (1 + lessons_m / theta_half)
                 w_m(i) <- w_m(i) + rate (x_i - balance mean(x) - w_m(i))  for all i, then w_m is scaled to length 1,
                 rate = rate_end + (rate_start - rate_end) / (1 + lessons_m / lessons_half)
    pool         the spike goes through the unit over its place, or all that are (`spikestream.kernels.pooling`)

x_i = exp(-age / tau_plus), by the age of the last spike of pixel i, those of this tick included; 0 beyond the border.
Places fire and learn in the order in which this tick's spikes reach them. Without input a v can only fall towards rest,
so only places that hear something are looked at; their decay waits until they do, and is then that of all ticks since.
Units number (m, Y, X).

Sources: one set of kernels for all places, taught by spikes, one winner a place and one lesson a map at a time:
Masquelier & Thorpe, PLoS Comput. Biol. 3(2):e31 (2007), and Kheradpisheh et al., Neural Networks 99 (2018), section 2.
The rule is the trace-centroid rule of `spikestream.kernels.lif_stdp`, and so is the conscience that gives every map its
share. That a patch is taken less its mean is feed-forward inhibition; on images it is what makes k-means find edges:
Coates & Ng, LNCS 7700 (2012).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled, pooling

TABLE = 128
"""Decays kept for gaps of up to so many ticks; longer ones are computed."""
TRACE_TAUS = 14
"""A trace is cut after so many time constants, at exp(-14) = 8e-7."""


@dataclass(frozen=True, slots=True)
class Params:
    """``size`` and ``step`` in pixels, ``gain``, ``floor`` and ``theta_plus`` in thresholds."""

    pooling: pooling.Params = field(default_factory=pooling.Params)
    maps: int = 16
    size: int = 5
    step: int = 1
    share: bool = True
    tau_m_ms: float = 20.0
    gain: float = 1.4
    floor: float = -1.4
    balance: float = 1.0  # 1: a patch is taken less its mean, so that even light says nothing; 0: as it is
    tau_plus_ms: float = 20.0
    lesson_ms: float = 100.0
    rate_start: float = 0.5
    rate_end: float = 0.005
    lessons_half: float = 1.0
    theta_plus: float = 0.1
    theta_half: float = 10.0
    seed: int = 0


class Coeffs(NamedTuple):
    """What one tick needs, times in ticks."""

    fade: Array  # (TABLE,) float32
    trace: Array  # (14 tau_plus + 1,) float32
    leak: np.float32
    gain: np.float32
    floor: np.float32
    balance: np.float32
    lesson: int
    rate_start: np.float32
    rate_end: np.float32
    lessons_half: np.float32
    theta_plus: np.float32
    theta_half: np.float32
    height: int
    width: int
    size: int
    share: bool
    grid: pooling.Coeffs
    pooling: pooling.Coeffs


class State(NamedTuple):
    """``touched`` and ``patch`` are scratch. S sets of maps: one, or one for each of N places."""

    weights: Array  # (S, P size size, K) float32, each column of length 1
    theta: Array  # (S, K) float32
    lessons: Array  # (S, K) int64
    v: Array  # (N, K) float32, as it was at
    seen: Array  # (N,) int64: the tick in which the place last heard something
    heard: Array  # (P height width,) int64: the tick of the last spike of an axon
    taught: Array  # (N,) int64: the tick of the last lesson of a place
    rested: Array  # (S, K) int64: and of a map
    last: Array  # of the units
    touched: Array  # (N,) int64
    patch: Array  # (P size size,) float32


def design(params: Params, shape: tuple[int, int, int], tick_us: int) -> Coeffs:
    """Return the coefficients for ``shape`` (planes, height, width) and ticks of ``tick_us`` µs."""
    leak, f = tick_us / 1000 / params.tau_m_ms, np.float32
    grid = pooling.design(pooling.Params(params.size, params.step, 0.0), shape[1:])
    # So that the bright side of an upright edge, half of the pixels with weights of 1 / sqrt(inputs), adds ``gain``.
    bright = params.size * np.sqrt(shape[0]) / 2
    length = max(1, round(TRACE_TAUS * params.tau_plus_ms * 1000 / tick_us))
    return Coeffs(
        fade=np.exp(-leak * np.arange(TABLE)).astype(f),
        trace=np.exp(-np.arange(length) * (tick_us / 1000 / params.tau_plus_ms)).astype(f),
        leak=f(leak),
        gain=f(params.gain / bright),
        floor=f(params.floor),
        balance=f(params.balance),
        lesson=round(params.lesson_ms * 1000 / tick_us),
        rate_start=f(params.rate_start),
        rate_end=f(params.rate_end),
        lessons_half=f(params.lessons_half),
        theta_plus=f(params.theta_plus),
        theta_half=f(params.theta_half),
        height=shape[1],
        width=shape[2],
        size=params.size,
        share=params.share,
        grid=grid,
        pooling=pooling.design(params.pooling, (grid.height, grid.width), tick_us),
    )


def init(c: Coeffs, planes: int, params: Params) -> State:
    """Return neurons at rest, weights drawn uniformly in [0, 1) from ``seed``, balanced and scaled to length 1."""
    places, inputs = c.grid.height * c.grid.width, planes * c.size * c.size
    sets = 1 if c.share else places
    weights = np.random.default_rng(params.seed).random((sets, inputs, params.maps), dtype=np.float32)
    weights -= c.balance * weights.mean(axis=1, keepdims=True)
    weights /= np.maximum(np.sqrt((weights**2).sum(axis=1, keepdims=True)), np.float32(1e-6))
    return State(
        weights=weights,
        theta=np.zeros((sets, params.maps), np.float32),
        lessons=np.zeros((sets, params.maps), np.int64),
        v=np.zeros((places, params.maps), np.float32),
        seen=np.full(places, pooling.NEVER, np.int64),
        heard=np.full(planes * c.height * c.width, pooling.NEVER, np.int64),
        taught=np.full(places, pooling.NEVER, np.int64),
        rested=np.full((sets, params.maps), pooling.NEVER, np.int64),
        last=pooling.init(c.pooling, params.maps).last,
        touched=np.zeros(places, np.int64),
        patch=np.zeros(inputs, np.float32),
    )


@compiled
def wake(c: Coeffs, s: State, tick: int, place: int) -> None:
    """Let the decay of a place that has waited catch up with ``tick``."""
    fade = np.float32(0)
    if s.seen[place] != pooling.NEVER:
        ticks = tick - s.seen[place]
        fade = c.fade[ticks] if ticks < len(c.fade) else np.exp(-c.leak * np.float32(ticks))
    row = s.v[place]
    for m in range(len(row)):
        row[m] *= fade
    s.seen[place] = tick


@compiled
def hear(c: Coeffs, s: State, tick: int, axon: int, touched: int) -> int:
    """Add one spike to the patches it lies in; return how many places were touched in this tick so far."""
    g = c.grid
    plane, pixel = axon // (c.height * c.width), axon % (c.height * c.width)
    y, x = pixel // c.width, pixel % c.width
    s.heard[axon] = tick
    for row in range(max(0, (y - g.pool) // g.stride + 1), min(y // g.stride, g.height - 1) + 1):
        for column in range(max(0, (x - g.pool) // g.stride + 1), min(x // g.stride, g.width - 1) + 1):
            place = row * g.width + column
            if s.seen[place] != tick:
                wake(c, s, tick, place)
                s.touched[touched] = place
                touched += 1
            i = (plane * c.size + y - row * g.stride) * c.size + x - column * g.stride
            v, w = s.v[place], s.weights[0 if c.share else place, i]
            for m in range(len(v)):
                v[m] += c.gain * w[m]
    return touched


@compiled
def winner(c: Coeffs, v: Array, theta: Array) -> int:
    """Return which neuron of a place fires, -1 for none, and bring others up to the floor; ``v``, ``theta`` (K,)."""
    best, top = -1, np.float32(1)
    for m in range(len(v)):
        v[m] = max(v[m], c.floor)
        if v[m] - theta[m] > top:
            best, top = m, v[m] - theta[m]
    if best >= 0:
        v[:] = np.float32(0)
    return best


@compiled
def look(c: Coeffs, s: State, tick: int, place: int) -> None:
    """Write the traces of a patch into ``s.patch``, less ``balance`` of their mean."""
    g, total = c.grid, np.float32(0)
    top, left = place // g.width * g.stride, place % g.width * g.stride
    for i in range(len(s.patch)):
        plane, y, x = i // (c.size * c.size), top + i // c.size % c.size, left + i % c.size
        trace = np.float32(0)
        if y < c.height and x < c.width:
            heard = s.heard[(plane * c.height + y) * c.width + x]
            if heard > tick - len(c.trace):
                trace = c.trace[tick - heard]
        s.patch[i] = trace
        total += trace
    mean = c.balance * total / np.float32(len(s.patch))
    for i in range(len(s.patch)):
        s.patch[i] -= mean


@compiled
def learn(c: Coeffs, s: State, tick: int, place: int, m: int) -> None:
    """Give map ``m`` a lesson at ``place``, unless one of the two had one too short a time ago."""
    own = 0 if c.share else place
    if s.taught[place] > tick - c.lesson or s.rested[own, m] > tick - c.lesson:
        return
    s.taught[place] = tick
    s.rested[own, m] = tick
    lessons = np.float32(s.lessons[own, m])
    theta = s.theta[own]
    rise = c.theta_plus / (np.float32(1) + lessons / c.theta_half)
    for k in range(len(theta)):
        theta[k] -= rise / np.float32(len(theta))
    theta[m] += rise
    rate = c.rate_end + (c.rate_start - c.rate_end) / (np.float32(1) + lessons / c.lessons_half)
    s.lessons[own, m] += 1
    look(c, s, tick, place)
    square = np.float32(0)
    for i in range(len(s.patch)):
        w = s.weights[own, i, m]
        w += rate * (s.patch[i] - w)
        s.weights[own, i, m] = w
        square += w * w
    # Below this length a kernel is all but empty and a scale would only blow up rounding.
    scale = np.float32(1) / max(np.sqrt(square), np.float32(1e-3))
    for i in range(len(s.patch)):
        s.weights[own, i, m] *= scale


@compiled
def step(c: Coeffs, s: State, tick: int, axon: Array, learning: bool, out_t: Array, out_unit: Array, count: int) -> int:
    """Run one tick on the spikes of ``axon`` (n,); write what leaves it from ``count`` on, return the new count."""
    touched = 0
    for e in range(len(axon)):
        touched = hear(c, s, tick, axon[e], touched)
    for k in range(touched):
        place = s.touched[k]
        best = winner(c, s.v[place], s.theta[0 if c.share else place])
        if best >= 0:
            if learning:
                learn(c, s, tick, place, best)
            where = best, place // c.grid.width, place % c.grid.width
            count = pooling.step(c.pooling, pooling.State(s.last), tick, where, out_t, out_unit, count)
    return count


@compiled
def run(
    c: Coeffs,
    s: State,
    ticks: tuple[int, int, int],
    t: Array,
    axon: Array,
    learning: bool,
    most: int,
    out_t: Array,
    out_unit: Array,
) -> tuple[int, int, int]:
    """Run ``ticks`` = (first, stop, tick_us) on spikes sorted by ``t`` (n,) int64 µs.

    Stops where a tick might not find room: ``most`` spikes are the most that leave one. Returns (the tick that runs
    next, spikes out, spikes heard).
    """
    tick, stop, tick_us = ticks
    count, e = 0, 0
    while tick < stop and count + most <= len(out_t):
        begin, end = e, (tick + 1) * tick_us
        while e < len(t) and t[e] < end:
            e += 1
        if e > begin:
            count = step(c, s, tick, axon[begin:e], learning, out_t, out_unit, count)
        tick += 1
    return tick, count, e
