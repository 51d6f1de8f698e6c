"""Oriented features in spikes: at every place one LIF neuron for each pattern, of which the strongest fires.

P planes of height x width axons in, M patterns of size x size, the same at all places; neuron (p, y, x, m) reads the
spikes around its place of its own plane. v in units of the threshold, relative to rest. Per tick of dt, in this order:

    decay        v <- v exp(-dt / tau_m)
    input        v(p, y, x, m) <- v(p, y, x, m) + gain w_m(dy, dx)   for every spike at (p, y + dy, x + dx)
    floor        v <- max(v, floor)
    fire         of each place the neuron of the largest v, where it is above 1 (of equals the first)
    inhibit      all neurons of that place: v <- 0
    pool         the spike goes through the unit over its place, or all that are (`spikestream.kernels.pooling`)

Without input a v can only fall towards rest, so only places that hear something are looked at; their decay waits until
they do, and is then that of all ticks since. Units number (p M + m, Y, X).

Sources: oriented filters, one set for all places, with competition at a place: Kheradpisheh et al., Neural Networks 99
(2018), section 2; here of leaky neurons that go on, with spikes of a stream instead of one wave an image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled, oriented, pooling

TABLE = 128
"""Decays kept for gaps of up to so many ticks; longer ones are computed."""


@dataclass(frozen=True, slots=True)
class Params:
    """``gain`` in thresholds: what a spike on each pixel of the positive side of a pattern adds in all."""

    patterns: oriented.Params = field(default_factory=oriented.Params)
    pooling: pooling.Params = field(default_factory=pooling.Params)
    tau_m_ms: float = 20.0
    gain: float = 1.4
    floor: float = -1.4


class Coeffs(NamedTuple):
    """What one tick needs, times in ticks."""

    w: Array  # (size, size, M) float32
    fade: Array  # (TABLE,) float32
    leak: np.float32
    floor: np.float32
    height: int
    width: int
    pooling: pooling.Coeffs


class State(NamedTuple):
    """``touched`` is scratch."""

    v: Array  # (P height width, M) float32, as it was at
    seen: Array  # (P height width,) int64: the tick in which it last heard something
    last: Array  # of the units
    touched: Array  # (P height width,) int64


def design(params: Params, size: tuple[int, int], tick_us: int) -> Coeffs:
    """Return the coefficients for planes of ``size`` (height, width) and ticks of ``tick_us`` µs."""
    leak = tick_us / 1000 / params.tau_m_ms
    return Coeffs(
        w=oriented.design(params.patterns) * np.float32(params.gain),
        fade=np.exp(-leak * np.arange(TABLE)).astype(np.float32),
        leak=np.float32(leak),
        floor=np.float32(params.floor),
        height=size[0],
        width=size[1],
        pooling=pooling.design(params.pooling, size, tick_us),
    )


def init(c: Coeffs, planes: int) -> State:
    """Return neurons at rest."""
    places, patterns = planes * c.height * c.width, c.w.shape[2]
    return State(
        v=np.zeros((places, patterns), np.float32),
        seen=np.full(places, pooling.NEVER, np.int64),
        last=pooling.init(c.pooling, planes * patterns).last,
        touched=np.zeros(places, np.int64),
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
    """Add one spike to the places around it; return how many places were touched in this tick so far."""
    reach = len(c.w) // 2
    pixel = axon % (c.height * c.width)
    y, x = pixel // c.width, pixel % c.width
    # A place at (y - dy, x - dx) sees this spike at (dy, dx) from itself.
    for dy in range(max(-reach, y - c.height + 1), min(reach, y) + 1):
        for dx in range(max(-reach, x - c.width + 1), min(reach, x) + 1):
            place = axon - dy * c.width - dx
            if s.seen[place] != tick:
                wake(c, s, tick, place)
                s.touched[touched] = place
                touched += 1
            row, w = s.v[place], c.w[dy + reach, dx + reach]
            for m in range(len(row)):
                row[m] += w[m]
    return touched


@compiled
def winner(c: Coeffs, row: Array) -> int:
    """Return which neuron of a place ``row`` (M,) fires, -1 for none, and bring the others up to the floor."""
    best, top = -1, np.float32(1)
    for m in range(len(row)):
        row[m] = max(row[m], c.floor)
        if row[m] > top:
            best, top = m, row[m]
    if best >= 0:
        row[:] = np.float32(0)
    return best


@compiled
def step(c: Coeffs, s: State, tick: int, axon: Array, out_t: Array, out_unit: Array, count: int) -> int:
    """Run one tick on the spikes of ``axon`` (n,); write what leaves it from ``count`` on, return the new count."""
    plane, patterns, touched = c.height * c.width, s.v.shape[1], 0
    for e in range(len(axon)):
        touched = hear(c, s, tick, axon[e], touched)
    for k in range(touched):
        place = s.touched[k]
        best = winner(c, s.v[place])
        if best >= 0:
            pixel = place % plane
            where = (place // plane) * patterns + best, pixel // c.width, pixel % c.width
            count = pooling.step(c.pooling, pooling.State(s.last), tick, where, out_t, out_unit, count)
    return count


@compiled
def run(
    c: Coeffs, s: State, ticks: tuple[int, int, int], t: Array, axon: Array, most: int, out_t: Array, out_unit: Array
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
            count = step(c, s, tick, axon[begin:e], out_t, out_unit, count)
        tick += 1
    return tick, count, e
