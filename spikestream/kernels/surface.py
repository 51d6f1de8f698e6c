"""Local time surfaces: how long ago the neighbours of an event were active says what passed there, and which way.

Every axon (p, y, x) keeps the stamp of its last spike. Per spike at (p, y, x) and time t, in this order:

    stamp        last(p, y, x) <- t
    surface      s(dy, dx) = exp(-(t - last(p, y + dy, x + dx)) / tau) around it, on its own plane; 0 where never
    match        score_m = sum w_m s / |s|,  w_m the patterns, each of length 1
    choose       the largest score, where it is above ``least`` (of equals the first); else the spike ends here
    pool         the spike goes through the unit over its place, or all that are (`spikestream.kernels.pooling`)

Units number (p M + m, Y, X). Stamps are those of the spikes: nothing waits for a tick.

Sources: Lagorce et al., HOTS, IEEE TPAMI 39 (2017), sections 3 and 4, with oriented patterns in place of clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled, oriented, pooling

LONG = 5
"""Time constants after which a spike is forgotten."""


@dataclass(frozen=True, slots=True)
class Params:
    """``tau_ms`` of the surface, ``least`` cosine of a match."""

    patterns: oriented.Params = field(default_factory=oriented.Params)
    pooling: pooling.Params = field(default_factory=pooling.Params)
    tau_ms: float = 20.0
    least: float = 0.3


class Coeffs(NamedTuple):
    """``per_us`` = 1 / tau in 1/µs; ``long_us`` after which a spike is forgotten."""

    w: Array  # (size, size, M) float32
    per_us: np.float32
    long_us: int
    least: np.float32
    height: int
    width: int
    pooling: pooling.Coeffs


class State(NamedTuple):
    """``score`` is scratch."""

    stamp: Array  # (P height width,) int64 µs, `pooling.NEVER` before the first spike
    last: Array  # of the units
    score: Array  # (M,) float32


def design(params: Params, size: tuple[int, int]) -> Coeffs:
    """Return the coefficients for planes of ``size`` (height, width)."""
    w = oriented.design(params.patterns)
    return Coeffs(
        w=w / np.sqrt(np.sum(w * w, axis=(0, 1), dtype=np.float32)),
        per_us=np.float32(1 / (1000 * params.tau_ms)),
        long_us=round(LONG * 1000 * params.tau_ms),
        least=np.float32(params.least),
        height=size[0],
        width=size[1],
        pooling=pooling.design(params.pooling, size),
    )


def init(c: Coeffs, planes: int) -> State:
    """Return surfaces that nothing has touched."""
    patterns = c.w.shape[2]
    return State(
        stamp=np.full(planes * c.height * c.width, pooling.NEVER, np.int64),
        last=pooling.init(c.pooling, planes * patterns).last,
        score=np.zeros(patterns, np.float32),
    )


@compiled
def match(c: Coeffs, s: State, t: int, axon: int) -> int:
    """Return which pattern the surface around ``axon`` shows at time ``t``, -1 for none."""
    reach, pixel = len(c.w) // 2, axon % (c.height * c.width)
    y, x = pixel // c.width, pixel % c.width
    s.score[:] = np.float32(0)
    square = np.float32(0)
    for dy in range(max(-reach, -y), min(reach, c.height - 1 - y) + 1):
        for dx in range(max(-reach, -x), min(reach, c.width - 1 - x) + 1):
            stamp = s.stamp[axon + dy * c.width + dx]
            if stamp > t - c.long_us:  # subtracted from t, which is bounded, and never from NEVER
                value = np.exp(-np.float32(t - stamp) * c.per_us)
                square += value * value
                w = c.w[dy + reach, dx + reach]
                for m in range(len(w)):
                    s.score[m] += w[m] * value
    best, top = -1, c.least * np.sqrt(square)
    for m in range(len(s.score)):
        if s.score[m] > top:
            best, top = m, s.score[m]
    return best


@compiled
def step(c: Coeffs, s: State, t: int, axon: int, out_t: Array, out_unit: Array, count: int) -> tuple[int, bool]:
    """Take one spike; write what passes from ``count`` on; return the new count, and whether a pattern was seen."""
    s.stamp[axon] = t
    best = match(c, s, t, axon)
    if best < 0:
        return count, False
    plane = c.height * c.width
    pixel = axon % plane
    where = (axon // plane) * len(s.score) + best, pixel // c.width, pixel % c.width
    return pooling.step(c.pooling, pooling.State(s.last), t, where, out_t, out_unit, count), True


@compiled
def run(c: Coeffs, s: State, t: Array, axon: Array, out_t: Array, out_unit: Array) -> tuple[int, int]:
    """Take spikes ``t`` (n,) int64 µs of ``axon`` (n,); return (spikes out, spikes that showed a pattern).

    ``out_t`` and ``out_unit`` have room for n times `pooling.covers`.
    """
    count, shown = 0, 0
    for e in range(len(t)):
        count, seen = step(c, s, t[e], axon[e], out_t, out_unit, count)
        shown += seen
    return count, shown
