"""LIF neurons with adaptive thresholds and lateral inhibition on dense rows that learn by pair STDP.

Order inside tick n, voltages relative to rest; a tick has dt:

    decay      v_j, theta_j, x_i, y_j fall by exp(-dt/tau) with tau_m, tau_theta, tau_plus, tau_minus
    input i    in order of coming: v_j <- v_j + w_ij, then w_ij <- max(w_ij - A_minus y_j, 0), then x_i <- x_i + 1
    inhibit    v_j <- v_j - inhibition x (neurons other than j that fired in tick n - 1); there is no floor
    clamp      v_j <- v_reset where j fired in the last tau_refrac; what it received is lost
    fire       all j with v_j > v_thresh + theta_j (strictly): v_j <- v_reset, theta_j <- theta_j + theta_plus,
               w_ij <- min(w_ij + A_plus x_i, w_max) for all i, y_j <- y_j + 1

Without learning neither weights nor thresholds move (theta does not decay either), while all traces go on.

Source: pair rule with additive traces, all to all, additive update with hard bounds: Song, Miller & Abbott, Nature
Neuroscience 3 (2000); Morrison, Diesmann & Gerstner, Biol. Cybern. 98 (2008), section 4.1.

Weights are walked along rows only: `lif_pair_rows` says how potentiation waits for the next spike of its input. What it
waits for is in rings of `RING` ticks, so a sweep brings rows of silent inputs up to date. Traces of inputs decay when
they are looked at, and thresholds by one common factor.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from spikestream.kernels import Array
from spikestream.kernels.lif_pair_design import (
    BLOCK,
    MOST_REFRAC,
    REFRESH,
    RING,
    SCRATCH,
    SWEEP,
    Coeffs,
    Params,
    State,
    design,
    init,
)
from spikestream.kernels.lif_pair_rows import FAST, INLINE, MASK, flush, refresh, visit

__all__ = [
    "BLOCK",
    "MOST_REFRAC",
    "SCRATCH",
    "Coeffs",
    "Params",
    "State",
    "design",
    "init",
    "rest",
    "run",
    "settled",
    "step",
]


@njit(**FAST)
def _leak(v: Array, decay: float, tiny: float, zero: float) -> None:
    for j in range(len(v)):
        u = v[j] * decay
        v[j] = u if abs(u) > tiny else zero


@njit(**FAST)
def _fade_traces(depress: Array, live: Array, lives: Array, decay: float, faded: float) -> None:
    """Let the traces of those that live decay, and strike faded ones off the list."""
    k, last = 0, lives[0]
    while k < last:
        j = live[k]
        depress[j] *= decay
        if depress[j] > faded:
            k += 1
        else:
            depress[j] = 0
            last -= 1
            live[k] = live[last]
    lives[0] = last


@njit(**FAST)
def _fade_thresholds(theta: Array, fade: Array, decay: float) -> None:
    fade[0] *= decay
    if fade[0] < 0.5:
        for j in range(len(theta)):
            theta[j] *= fade[0]
        fade[0] = 1.0


@njit(**FAST)
def _fresh(x: Array, seen: Array, i: int, most: int, n: int) -> int:
    """Return how many rows from row i on, up to ``most``, need no refresh in tick n."""
    for k in range(most):
        if x[i] > 0 and n - seen[i] >= REFRESH:
            return k
        i = i + 1 if i + 1 < len(x) else 0
    return most


@njit(**INLINE)
def _sweep(c: Coeffs, s: State, n: int) -> None:
    """Refresh some rows in turn."""
    left = (len(s.x) + SWEEP - 1) // SWEEP
    while True:
        passed = _fresh(s.x, s.seen, s.cursor[1], left, n)
        s.cursor[1] = (s.cursor[1] + passed) % len(s.x)
        left -= passed
        if left == 0:
            break
        refresh(c, s, s.cursor[1], n)


@njit(**FAST)
def _inhibit(v: Array, ids: Array, first: int, stop: int, inhibition: float, kept: Array) -> None:
    """Inhibit all by what the others of the spikes ``first .. stop`` come to."""
    room = len(ids) - 1
    less = v.dtype.type(inhibition * (stop - first))
    own = v.dtype.type(inhibition * (stop - first - 1))
    for e in range(first, stop):
        j = ids[e & room]
        j = j if j >= 0 else ~j
        kept[j] = v[j] - own
    for j in range(len(v)):
        v[j] -= less
    for e in range(first, stop):
        j = ids[e & room]
        j = j if j >= 0 else ~j
        v[j] = kept[j]


@njit(**FAST)
def _clamp(v: Array, ids: Array, first: int, stop: int, v_reset: float) -> None:
    room = len(ids) - 1
    for e in range(first, stop):
        j = ids[e & room]
        v[j if j >= 0 else ~j] = v_reset


@njit(**FAST)
def _any(v: Array, theta: Array, fade: float, v_thresh: float) -> bool:
    hit = 0
    for j in range(len(v)):
        hit |= v[j] > v_thresh + theta[j] * fade
    return hit != 0


@njit(**FAST)
def _note(c: Coeffs, s: State, n: int, first: int, stop: int) -> None:
    """Add the spikes of tick n to the sums of its block."""
    within = (1 << c.shift) - 1
    old = s.after[n & MASK]
    row = s.cursor[0]
    s.cursor[0] = (row + 1) & MASK
    into, of = s.sums[row], s.sums[old]
    for j in range(len(into)):
        into[j] = of[j]
    for e in range(first, stop):
        into[s.ids[e & (len(s.ids) - 1)]] += c.lam[n & within]
    s.after[n & MASK] = row


@njit(**FAST)
def _fire(c: Coeffs, s: State, n: int, learning: tuple[bool, bool], out: Array) -> int:
    """Let all neurons above their threshold fire; write them to ``out`` in ascending order, return how many."""
    adapting, plastic = learning
    fade = s.v.dtype.type(s.fade[0])
    first, room, count = s.start[n & MASK], len(s.ids) - 1, 0
    v, theta, depress = s.v, s.theta, s.depress
    for j in range(len(v)):
        if v[j] > c.v_thresh + theta[j] * fade:
            v[j] = c.v_reset
            if adapting:
                theta[j] += c.theta_plus / fade
            if depress[j] == c.zero and c.a_minus > c.zero:
                s.live[s.lives[0]] = j
                s.lives[0] += 1
            depress[j] += c.a_minus
            s.ids[(first + count) & room] = j if plastic else ~j
            s.when[(first + count) & room] = n
            out[count] = j
            count += 1
    if plastic:
        _note(c, s, n, first, first + count)
    return count


@njit(**INLINE)
def step(c: Coeffs, s: State, n: int, axon: Array, learning: tuple[bool, bool], out: Array) -> tuple[int, int]:
    """Run tick n on its input spikes ``axon`` (k,); write who fires to ``out``; return (spikes out, spikes heard)."""
    _leak(s.v, c.decay_m, c.tiny, c.zero)
    _fade_traces(s.depress, s.live, s.lives, c.decay_minus, c.faded)
    if learning[0]:
        _fade_thresholds(s.theta, s.fade, c.decay_theta)
    heard = 0
    for e in range(len(axon)):
        visit(c, s, axon[e], n, learning[1])
        heard += 1
    _sweep(c, s, n)
    first, last = s.start[n & MASK], s.start[(n - 1) & MASK]
    if first > last:
        _inhibit(s.v, s.ids, last, first, c.inhibition, s.kept)
    _clamp(s.v, s.ids, s.start[(n - c.refrac) & MASK], first, c.v_reset)
    s.after[n & MASK] = s.after[(n - 1) & MASK] if n & ((1 << c.shift) - 1) else RING
    made = 0
    if _any(s.v, s.theta, s.v.dtype.type(s.fade[0]), c.v_thresh):
        made = _fire(c, s, n, learning, out)
    s.start[(n + 1) & MASK] = first + made
    return made, heard


@njit(**FAST)
def run(
    c: Coeffs,
    s: State,
    ticks: tuple[int, int, int],
    t: Array,
    axon: Array,
    learning: tuple[bool, bool],
    out_tick: Array,
    out_neuron: Array,
) -> tuple[int, int]:
    """Run ticks ``[first, stop)`` of ``ticks = (first, stop, tick_us)`` on spikes sorted by ``t`` (n,) int64 µs.

    ``learning`` = (thresholds adapt, weights learn). Writes tick and number of each neuron that fires, up to all
    neurons a tick; returns (spikes out, spikes in, as each tick heard them).
    """
    first, stop, tick_us = ticks
    s.lives[0] = 0
    for j in range(len(s.v)):
        if s.depress[j] > c.zero:
            s.live[s.lives[0]] = j
            s.lives[0] += 1
    count = 0
    heard = 0
    e = 0
    for n in range(first, stop):
        begin = e
        end = (n + 1) * tick_us
        while e < len(t) and t[e] < end:
            e += 1
        made, took = step(c, s, n, axon[begin:e], learning, out_neuron[count:])
        for k in range(count, count + made):
            out_tick[k] = n
        count += made
        heard += took
    s.now[0] = stop
    return count, heard


def settled(c: Coeffs, s: State) -> Array:
    """Return a copy of the weights as they are now; the state stays as it is, or later rounding changed."""
    weights = s.weights.copy()
    flush(c, s, int(s.now[0]), weights)
    return weights


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let ``ticks`` ticks of silence pass, in place; thresholds decay for ``adapting`` of them.

    The clamp and the inhibition of the last spikes pass tick by tick, what is left at once. A neuron that is still
    above its threshold does not fire.
    """
    c = design(params, tick_us)
    first = int(s.now[0])
    stop = first + ticks
    middle = min(stop, first + c.refrac + 1)
    none = np.empty(0, np.int64)
    mute = c._replace(v_thresh=c.v_thresh.dtype.type(np.inf))
    run(mute, s, (first, middle, tick_us), none, none.astype(np.int32), (False, False), none, none.astype(np.int32))
    tick_ms, left, f = tick_us / 1000, stop - middle, c.one.dtype.type
    s.theta[:] *= f(s.fade[0] * np.exp(-adapting * tick_ms / params.tau_theta_ms))
    s.fade[0] = 1.0
    if left == 0:
        return
    flush(c, s, middle, s.weights)
    s.x[:] *= np.exp(-(stop - s.seen) * tick_ms / params.tau_plus_ms).astype(f)
    s.x[s.x < c.dim] = 0
    s.seen[:] = stop
    for trace, tau_ms, least in ((s.v, params.tau_m_ms, c.tiny), (s.depress, params.tau_minus_ms, c.faded)):
        trace *= f(np.exp(-left * tick_ms / tau_ms))
        trace[np.abs(trace) <= least] = 0
    s.start[:] = s.start[middle & MASK]
    s.after[:] = RING
    s.now[0] = stop
