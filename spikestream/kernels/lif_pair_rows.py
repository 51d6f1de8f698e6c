"""What an input spike does to its row of weights: the potentiation that waited for it, its delivery, depression.

A spike of a neuron touches no weight. Row i, last visited in tick m with trace x_i, is owed at its next visit n

    A_plus x_i  sum over the spikes k of neuron j in [m, n) of  lam[k - m],      lam[k] = exp(-k dt/tau_plus)

and then the bound w_max. That is what additive updates one by one come to, because each is positive and none depends on
the weight; between two visits nothing else changes the row. It is paid in one of two ways, whichever touches less:

    one by one   each spike of the ring in turn
    by sums      sums[after[k]] holds per neuron the sum of lam[q - o] over the spikes q <= k of k's block of ticks, o
                 being the block's first tick, and row RING of it nothing. What is owed is a difference of two such
                 rows, or what is left of the old block, all blocks between, and what there is of the new one.

Rounding differs between the two, but the choice depends on nothing but the spikes, so it is the same however the stream
is cut. Rows of sums are written only when something fires.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from spikestream.kernels import Array
from spikestream.kernels.lif_pair_design import RING, Coeffs, State

MASK = RING - 1
# Nobody owns an array here but the caller, for whom all is in place. Counting references to them all the same, at every
# look at a field of the state, was most of the time of a tick; together with the next line it is four times as fast.
FAST: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
# Inlined where they are called: a call would hand over some thirty numbers and all arrays with their shapes.
INLINE: dict[str, Any] = {**FAST, "inline": "always"}


@njit(**FAST)
def _one_by_one(c: Coeffs, s: State, span: tuple[int, int, int], gain: float, row: Array) -> None:
    """Add the spikes ``first .. stop`` of the ring to a row last visited in tick m; span = (m, first, stop)."""
    m, first, stop = span
    room = len(s.ids) - 1
    for e in range(first, stop):
        j = s.ids[e & room]
        if j >= 0:
            row[j] = min(row[j] + gain * c.lam[s.when[e & room] - m], c.w_max)


@njit(**FAST)
def _add(row: Array, a: float, plus: Array, minus: Array, w_max: float) -> None:
    for j in range(len(row)):
        row[j] = min(row[j] + a * (plus[j] - minus[j]), w_max)


@njit(**FAST)
def _by_sums(c: Coeffs, s: State, m: int, n: int, gain: float, row: Array) -> None:
    """Add what the sums of the blocks from tick m to tick n say."""
    zero = s.sums[RING]
    within = (1 << c.shift) - 1
    origin = m & ~within
    before = s.sums[s.after[(m - 1) & MASK]] if m & within else zero
    now = s.sums[s.after[(n - 1) & MASK]] if n & within else zero
    a = gain / c.lam[m - origin]
    if n & ~within == origin:
        _add(row, a, now, before, c.w_max)
        return
    end = origin + within
    _add(row, a, s.sums[s.after[end & MASK]], before, c.w_max)
    while end + 1 + within < n and c.lam[end + 1 - m] > c.zero:
        _add(row, gain * c.lam[end + 1 - m], s.sums[s.after[(end + 1 + within) & MASK]], zero, c.w_max)
        end += 1 + within
    if n & within and c.lam[end + 1 - m] > c.zero:
        _add(row, gain * c.lam[end + 1 - m], now, zero, c.w_max)


@njit(**FAST)
def settle(c: Coeffs, s: State, i: int, n: int, row: Array) -> None:
    """Add to ``row`` (neurons,) what row i is owed for the spikes before tick ``n``."""
    m = s.seen[i]
    first, stop = s.start[m & MASK], s.start[n & MASK]
    gain = c.a_plus * s.x[i]
    if stop == first or gain == c.zero:
        return
    if (stop - first) * c.one_by_one <= len(row):
        _one_by_one(c, s, (m, first, stop), gain, row)
    else:
        _by_sums(c, s, m, n, gain, row)


@njit(**FAST)
def _fused(c: Coeffs, s: State, row: Array, a: float, b: float, rows: tuple[Array, Array, Array]) -> None:
    """Settle ``a (end - before) + b now``, deliver and depress in one pass."""
    end, before, now = rows
    v, depress, w_max, zero = s.v, s.depress, c.w_max, c.zero
    for j in range(len(row)):
        w = min(row[j] + (a * (end[j] - before[j]) + b * now[j]), w_max)
        v[j] += w
        row[j] = max(w - depress[j], zero)


@njit(**FAST)
def _near(c: Coeffs, s: State, i: int, n: int, row: Array) -> bool:
    """Do all of a visit in one pass where it falls into the block of the last one or into the next; else do nothing."""
    m = s.seen[i]
    within = (1 << c.shift) - 1
    origin = m & ~within
    block = (n & ~within) - origin
    if block > within + 1 or (s.start[n & MASK] - s.start[m & MASK]) * c.one_by_one <= len(row):
        return False
    zero = s.sums[RING]
    before = s.sums[s.after[(m - 1) & MASK]] if m & within else zero
    now = s.sums[s.after[(n - 1) & MASK]] if n & within else zero
    gain = c.a_plus * s.x[i]
    a = gain / c.lam[m - origin]
    if block == 0:
        _fused(c, s, row, a, c.zero, (now, before, zero))
    else:
        end = s.sums[s.after[(origin + within) & MASK]]
        _fused(c, s, row, a, gain * c.lam[origin + block - m], (end, before, now))
    return True


@njit(**FAST)
def _deliver(row: Array, v: Array) -> None:
    for j in range(len(v)):
        v[j] += row[j]


@njit(**FAST)
def _depress(row: Array, depress: Array, live: Array, lives: Array, zero: float) -> None:
    for k in range(lives[0]):
        j = live[k]
        row[j] = max(row[j] - depress[j], zero)


@njit(**FAST)
def _deliver_and_depress(row: Array, v: Array, depress: Array, zero: float) -> None:
    for j in range(len(v)):
        w = row[j]
        v[j] += w
        row[j] = max(w - depress[j], zero)


@njit(**FAST)
def _raise(x: Array, seen: Array, lam: Array, i: int, n: int, one: float) -> None:
    if x[i] > 0:  # else it may never have been seen, and has no age
        x[i] = x[i] * lam[n - seen[i]] + one
    else:
        x[i] = one
    seen[i] = n


@njit(**FAST)
def _owed(x: Array, seen: Array, start: Array, i: int, n: int) -> bool:
    return bool(x[i] > 0 and start[n & MASK] > start[seen[i] & MASK])


@njit(**INLINE)
def visit(c: Coeffs, s: State, i: int, n: int, plastic: bool) -> None:
    """Let axon i spike in tick n: settle its row, add it to the voltages, depress it, raise its trace."""
    many = plastic and s.lives[0] * 8 > len(s.v)
    done = False
    if _owed(s.x, s.seen, s.start, i, n):
        done = many and _near(c, s, i, n, s.weights[i])
        if not done:
            settle(c, s, i, n, s.weights[i])
    _raise(s.x, s.seen, c.lam, i, n, c.one)
    if done:
        return
    if many:
        _deliver_and_depress(s.weights[i], s.v, s.depress, c.zero)
    else:
        _deliver(s.weights[i], s.v)
        if plastic:
            _depress(s.weights[i], s.depress, s.live, s.lives, c.zero)


@njit(**FAST)
def refresh(c: Coeffs, s: State, i: int, n: int) -> None:
    """Bring row i up to date before tick n ends, without a spike."""
    settle(c, s, i, n, s.weights[i])
    x = s.x[i] * c.lam[n - s.seen[i]]
    s.x[i] = x if x > c.dim else c.zero
    s.seen[i] = n


@njit(**FAST)
def flush(c: Coeffs, s: State, n: int, weights: Array) -> None:
    """Settle every row for the spikes before tick n in ``weights``, those of the state or a copy."""
    for i in range(len(weights)):
        settle(c, s, i, n, weights[i])
