"""What neurons do in a tick beside learning: voltages, thresholds and traces decay, rivals are inhibited, some fire.

The law of a tick and its order are at the head of `lif_pair`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from spikestream.kernels import FAST, Array
from spikestream.kernels.lif_pair_design import Coeffs, State
from spikestream.kernels.lif_pair_rows import INLINE, MASK, note

COUNTED = 64
"""Ticks after which it is counted anew whether few neurons have a post trace."""


@njit(**FAST)
def leak(v: Array, decay: float, tiny: float, zero: float) -> None:
    """Let voltages decay, down to nothing."""
    for j in range(len(v)):
        u = v[j] * decay
        v[j] = u if abs(u) > tiny else zero


@njit(**FAST)
def list_live(y: Array, first: int, live: Array, zero: float) -> int:
    """List the neurons with a trace, the first of which has number ``first``; return how many."""
    count = 0
    for j in range(len(y)):
        if y[j] > zero:
            live[count] = first + j
            count += 1
    return count


@njit(**FAST)
def _fade_all(y: Array, decay: float, faded: float, zero: float) -> None:
    for j in range(len(y)):
        u = y[j] * decay
        y[j] = u if u > faded else zero


@njit(**FAST)
def _fade_few(y: Array, live: Array, last: int, decay: float, faded: float, zero: float) -> int:
    """Let traces of those that live decay, and strike faded ones off the list; return how many are left."""
    k = 0
    while k < last:
        j = live[k]
        y[j] *= decay
        if y[j] > faded:
            k += 1
        else:
            y[j] = zero
            last -= 1
            live[k] = live[last]
    return last


@njit(**INLINE)
def fade_traces(c: Coeffs, s: State, p: int, n: int) -> None:
    """Let the traces of part p decay, by the list of those that live where they are few."""
    lo, hi = s.edges[p], s.edges[p + 1]
    if s.lives[p] * 8 <= hi - lo:
        s.lives[p] = _fade_few(s.y, s.live[lo:hi], s.lives[p], c.decay_minus, c.faded, c.zero)
    else:
        _fade_all(s.y[lo:hi], c.decay_minus, c.faded, c.zero)
        if n % COUNTED == 0:
            s.lives[p] = list_live(s.y[lo:hi], lo, s.live[lo:hi], c.zero)


@njit(**FAST)
def fade_thresholds(theta: Array, fade: Array, decay: float) -> None:
    """Let thresholds decay: by one factor for all, which is multiplied in before it gets small."""
    fade[0] *= decay
    if fade[0] < 0.5:
        for j in range(len(theta)):
            theta[j] *= fade[0]
        fade[0] = 1.0


@njit(**FAST)
def _spare(v: Array, ids: Array, first: int, stop: int, own: float, kept: Array, back: bool) -> None:
    """Keep the voltages of the spikes ``first .. stop`` less what the others of them come to, or put them back."""
    for e in range(first, stop):
        j = ids[e & (len(ids) - 1)]
        j = j if j >= 0 else ~j
        if back:
            v[j] = kept[j]
        else:
            kept[j] = v[j] - own


@njit(**FAST)
def _lower(v: Array, less: float) -> None:
    for j in range(len(v)):
        v[j] -= less


@njit(**INLINE)
def inhibit(c: Coeffs, s: State, parts: tuple[int, int], n: int) -> None:
    """Inhibit all by what the others of the spikes of tick n - 1 come to."""
    count = 0
    for p in range(parts[0], parts[1]):
        count += s.start[p, n & MASK] - s.start[p, (n - 1) & MASK]
    if count > 0:
        less, own = s.v.dtype.type(c.inhibition * count), s.v.dtype.type(c.inhibition * (count - 1))
        for p in range(parts[0], parts[1]):
            _spare(s.v, s.ids[p], s.start[p, (n - 1) & MASK], s.start[p, n & MASK], own, s.kept, False)
        _lower(s.v, less)
        for p in range(parts[0], parts[1]):
            _spare(s.v, s.ids[p], s.start[p, (n - 1) & MASK], s.start[p, n & MASK], own, s.kept, True)


@njit(**FAST)
def clamp(v: Array, ids: Array, first: int, stop: int, v_reset: float) -> None:
    """Hold the neurons of the spikes ``first .. stop`` of the ring at reset."""
    room = len(ids) - 1
    for e in range(first, stop):
        j = ids[e & room]
        v[j if j >= 0 else ~j] = v_reset


@njit(**FAST)
def _look(v: Array, theta: Array, fade: float, v_thresh: float, above: Array) -> None:
    for j in range(len(v)):
        above[j] = v[j] > v_thresh + theta[j] * fade


@njit(**FAST)
def _found(words: Array, above: Array, first: int, out: Array) -> int:
    """Write the numbers of the neurons above their threshold, from ``first`` on; return how many."""
    count, some = 0, np.uint64(0)
    for k in range(len(words)):
        some |= words[k]
    if some == 0:
        return 0
    for k in range(len(words)):
        if words[k] != 0:
            for j in range(8 * k, min(8 * k + 8, len(above))):
                if above[j]:
                    out[count] = first + j
                    count += 1
    return count


@njit(**INLINE)
def fire(c: Coeffs, s: State, p: int, n: int, learning: tuple[bool, bool], out: Array) -> int:
    """Let all neurons of part p above their threshold fire; write them to ``out``, ascending; return how many."""
    lo, hi, fade = s.edges[p], s.edges[p + 1], s.v.dtype.type(s.fade[0])
    _look(s.v[lo:hi], s.theta[lo:hi], fade, c.v_thresh, s.above[lo:hi])
    count: int = _found(s.words[lo >> 3 : (hi + 7) >> 3], s.above[lo:hi], lo, out)
    first, room = s.start[p, n & MASK], s.ids.shape[1] - 1
    for k in range(count):
        j = out[k]
        s.v[j] = c.v_reset
        if learning[0]:
            s.theta[j] += c.theta_plus / fade
        if s.y[j] == c.zero and s.lives[p] * 8 <= hi - lo:
            s.live[lo + s.lives[p]] = j
            s.lives[p] += 1
        s.y[j] += c.one
        s.ids[p, (first + k) & room] = j if learning[1] else ~j
        s.when[p, (first + k) & room] = n
    if learning[1] and count > 0:
        note(c, s, p, n, out[:count])
    s.start[p, (n + 1) & MASK] = first + count
    return count
