"""What an input spike does to its row of weights: the potentiation that waited for it, its delivery, depression.

A spike of a neuron touches no weight. Row i, last visited in tick m with trace x_i, is owed at its next visit n

    A_plus x_i  sum over the spikes k of neuron j in [m, n) of  lam[k - m],      lam[k] = exp(-k dt/tau_plus)

and then the bound w_max. That is what additive updates one by one come to, because each is positive and none depends on
the weight; between two visits nothing else changes the row. It is paid in one of two ways, whichever touches less:

    one by one   each spike of the ring in turn
    by sums      in one pass over the row, from sums over the spikes of a block of ticks, o being a block's first tick:
                 B[k], in row after[k] of ``sums``, of lam[q - o] over the spikes q <= k of k's block, and
                 E, in the row of a block's last tick, of lam[q - o] over its spikes and all later ones up to the last
                 block that is complete. With m in block o and n in block p it is owed
                     A_plus x_i ((E - B[m - 1]) / lam[m - o] + lam[p - m] B[n - 1]),
                 or, where that is the same block, A_plus x_i (B[n - 1] - B[m - 1]) / lam[m - o].

Rounding differs between the two, but the choice depends on nothing but the spikes of a part of the neurons, so it is
the same however the stream is cut and whoever runs the part. Rows of sums are written when something fires and when a
block is complete; the last one is zero.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from spikestream.kernels import FAST, Array
from spikestream.kernels.lif_pair_design import LINE, RING, Coeffs, State
from spikestream.kernels.prefetch import fetch

MASK = RING - 1
# Inlined where they are called: a call would hand over some thirty numbers and all arrays with their shapes.
INLINE: dict[str, Any] = {**FAST, "inline": "always"}
STRIP = 256
"""So many weights of the next row are fetched while as many of this one are worked on."""


@njit(**FAST)
def _one_by_one(
    row: Array, gain: float, ring: tuple[Array, Array], span: tuple[int, int, int], lam: Array, w_max: float
) -> None:
    """Add the spikes ``first .. stop`` of the ring to a whole row last visited in tick m; span = (m, first, stop)."""
    (ids, when), (m, first, stop) = ring, span
    room = len(ids) - 1
    for e in range(first, stop):
        j = ids[e & room]
        if j >= 0:
            row[j] = min(row[j] + gain * lam[when[e & room] - m], w_max)


@njit(**FAST)
def _add(row: Array, a: float, b: float, sums: tuple[Array, Array, Array], w_max: float) -> None:
    end, before, now = sums
    for j in range(len(row)):
        row[j] = min(row[j] + (a * (end[j] - before[j]) + b * now[j]), w_max)


@njit(**FAST)
def _all_at_once(
    row: Array,
    a: float,
    b: float,
    sums: tuple[Array, Array, Array],
    neurons: tuple[Array, Array],
    limits: tuple[float, float, float],
) -> None:
    """Settle ``a (end - before) + b now``, deliver and depress in one pass; limits = (a_minus, w_max, 0)."""
    (end, before, now), (v, y), (a_minus, w_max, zero) = sums, neurons, limits
    for j in range(len(row)):
        w = min(row[j] + (a * (end[j] - before[j]) + b * now[j]), w_max)
        v[j] += w
        row[j] = max(w - a_minus * y[j], zero)


@njit(**FAST)
def _deliver(row: Array, v: Array) -> None:
    for j in range(len(v)):
        v[j] += row[j]


@njit(**FAST)
def _depress(row: Array, a_minus: float, y: Array, live: Array, zero: float) -> None:
    """Depress a whole row where neurons live."""
    for k in range(len(live)):
        j = live[k]
        row[j] = max(row[j] - a_minus * y[j], zero)


@njit(**FAST)
def _deliver_and_depress(row: Array, a_minus: float, v: Array, y: Array, zero: float) -> None:
    for j in range(len(v)):
        w = row[j]
        v[j] += w
        row[j] = max(w - a_minus * y[j], zero)


@njit(**INLINE)
def _sums(c: Coeffs, s: State, p: int, m: int, n: int) -> tuple[int, int, int, float, float]:
    """Return the rows of ``sums`` for part p between ticks m and n: end, before, now, and the factors of both terms."""
    within = (1 << c.shift) - 1
    origin, last = m & ~within, n & ~within
    before = s.after[p, (m - 1) & MASK] if m & within else RING
    now = s.after[p, (n - 1) & MASK] if n & within else RING
    if origin == last:
        return now, before, RING, c.one / c.lam[m - origin], c.zero
    return (origin + within) & MASK, before, now, c.one / c.lam[m - origin], c.lam[last - m]


@njit(**INLINE)
def settle(c: Coeffs, s: State, p: int, i: int, n: int, row: Array) -> None:
    """Add to a whole ``row`` (neurons,) what row i is owed for the spikes of part p before tick ``n``."""
    m, gain = s.seen[i], c.a_plus * s.x[i]
    first, stop = s.start[p, m & MASK], s.start[p, n & MASK]
    if stop > first and gain > c.zero:
        lo, hi = s.edges[p], s.edges[p + 1]
        if (stop - first) * c.one_by_one <= hi - lo:
            _one_by_one(row, gain, (s.ids[p], s.when[p]), (m, first, stop), c.lam, c.w_max)
        else:
            e, k, q, a, b = _sums(c, s, p, m, n)
            rows = s.sums[e][lo:hi], s.sums[k][lo:hi], s.sums[q][lo:hi]
            _add(row[lo:hi], gain * a, gain * b, rows, c.w_max)


@njit(**INLINE)
def _pay(c: Coeffs, s: State, p: int, i: int, n: int, a_minus: float) -> None:
    """Settle row i for the neurons of part p, deliver and depress it."""
    m, gain = s.seen[i], c.a_plus * s.x[i]
    lo, hi = s.edges[p], s.edges[p + 1]
    first, stop = s.start[p, m & MASK], s.start[p, n & MASK]
    owed = stop - first if gain > c.zero else 0
    row, v, y = s.weights[i][lo:hi], s.v[lo:hi], s.y[lo:hi]
    if owed * c.one_by_one > hi - lo:
        e, k, q, a, b = _sums(c, s, p, m, n)
        rows = s.sums[e][lo:hi], s.sums[k][lo:hi], s.sums[q][lo:hi]
        _all_at_once(row, gain * a, gain * b, rows, (v, y), (a_minus, c.w_max, c.zero))
        return
    if owed > 0:
        _one_by_one(s.weights[i], gain, (s.ids[p], s.when[p]), (m, first, stop), c.lam, c.w_max)
    if a_minus > c.zero and s.lives[p] * 8 > hi - lo:
        _deliver_and_depress(row, a_minus, v, y, c.zero)
    else:
        _deliver(row, v)
        if a_minus > c.zero:
            _depress(s.weights[i], a_minus, s.y, s.live[lo : lo + s.lives[p]], c.zero)


@njit(**FAST)
def _raise(x: Array, seen: Array, lam: Array, i: int, n: int, one: float) -> None:
    if x[i] > 0:  # else it may never have been seen, and has no age
        x[i] = x[i] * lam[n - seen[i]] + one
    else:
        x[i] = one
    seen[i] = n


@njit(**INLINE)
def visit(c: Coeffs, s: State, parts: tuple[int, int], i: int, n: int, plastic: bool) -> None:
    """Let axon i spike in tick n: settle its row, add it to the voltages, depress it, raise its trace."""
    a_minus = c.a_minus if plastic else c.zero
    for p in range(parts[0], parts[1]):
        _pay(c, s, p, i, n, a_minus)
    _raise(s.x, s.seen, c.lam, i, n, c.one)


@njit(**FAST)
def ahead(row: Array) -> None:
    """Fetch a row that is visited next."""
    for j in range(0, len(row), LINE // row.itemsize):
        fetch(row, j)  # type: ignore[call-arg]  # Numba adds the first


@njit(**INLINE)
def refresh(c: Coeffs, s: State, parts: tuple[int, int], i: int, n: int) -> None:
    """Bring row i up to date before tick n ends, without a spike."""
    for p in range(parts[0], parts[1]):
        settle(c, s, p, i, n, s.weights[i])
    x = s.x[i] * c.lam[n - s.seen[i]]
    s.x[i] = x if x > c.dim else c.zero
    s.seen[i] = n


@njit(**FAST)
def flush(c: Coeffs, s: State, n: int, weights: Array) -> None:
    """Settle every row for the spikes before tick n in ``weights``, those of the state or a copy."""
    for i in range(len(weights)):
        for p in range(len(s.start)):
            settle(c, s, p, i, n, weights[i])


@njit(**FAST)
def _copy(into: Array, of: Array) -> None:
    for j in range(len(into)):
        into[j] = of[j]


@njit(**FAST)
def _gather(into: Array, of: Array, factor: float) -> None:
    for j in range(len(into)):
        into[j] += factor * of[j]


@njit(**INLINE)
def close(c: Coeffs, s: State, p: int, n: int) -> None:
    """Complete the sums of the block that tick n ends for part p, and add them to those of the blocks before."""
    lo, hi = s.edges[p], s.edges[p + 1]
    length, old = 1 << c.shift, s.after[p, n & MASK]
    ended = s.sums[n & MASK][lo:hi]
    _copy(ended, s.sums[old][lo:hi])
    k = length
    while old < RING and k < RING and c.lam[k] > c.zero:
        _gather(s.sums[(n - k) & MASK][lo:hi], ended, c.lam[k])
        k += length


@njit(**INLINE)
def note(c: Coeffs, s: State, p: int, n: int, fired: Array) -> None:
    """Add the spikes ``fired`` of part p in tick n to the sums of its block."""
    lo, hi = s.edges[p], s.edges[p + 1]
    row, old = n & MASK, s.after[p, n & MASK]
    _copy(s.sums[row][lo:hi], s.sums[old][lo:hi])
    weight = c.lam[n & ((1 << c.shift) - 1)]
    for k in range(len(fired)):
        s.sums[row, fired[k]] += weight
    s.after[p, n & MASK] = row
