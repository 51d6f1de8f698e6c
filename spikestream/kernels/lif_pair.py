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
they are looked at, and thresholds by one common factor. Many neurons are in two parts; where they do not inhibit each
other, two threads may run one each (`halves`), or one thread both: all that either does is the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from spikestream.kernels import FAST, Array
from spikestream.kernels.lif_pair_design import (
    BLOCK,
    FAR,
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
from spikestream.kernels.lif_pair_neurons import clamp, fade_thresholds, fade_traces, fire, inhibit, leak, list_live
from spikestream.kernels.lif_pair_rows import INLINE, MASK, ahead, close, flush, refresh, visit

__all__ = [
    "BLOCK",
    "MOST_REFRAC",
    "SCRATCH",
    "Coeffs",
    "Params",
    "State",
    "aside",
    "design",
    "init",
    "is_far",
    "merge",
    "redesigned",
    "rest",
    "run",
    "settled",
    "step",
]


@njit(**FAST)
def _fresh(x: Array, seen: Array, i: int, most: int, n: int) -> int:
    """Return how many rows from row i on, up to ``most``, need no refresh in tick n."""
    for k in range(most):
        if x[i] > 0 and n - seen[i] >= REFRESH:
            return k
        i = i + 1 if i + 1 < len(x) else 0
    return most


@njit(**INLINE)
def _sweep(c: Coeffs, s: State, parts: tuple[int, int], n: int) -> None:
    """Refresh some rows in turn."""
    left = (len(s.x) + SWEEP - 1) // SWEEP
    while True:
        passed = _fresh(s.x, s.seen, s.sweep[0], left, n)
        s.sweep[0] = (s.sweep[0] + passed) % len(s.x)
        left -= passed
        if left == 0:
            break
        refresh(c, s, parts, s.sweep[0], n)


@njit(**FAST)
def is_far(s: State) -> bool:
    """Return whether no cache holds the weights."""
    return bool(s.weights.size * s.weights.itemsize > FAR)


@njit(**INLINE)
def _open(c: Coeffs, s: State, parts: tuple[int, int], n: int, adapting: bool) -> None:
    """Let everything decay, and begin the sums of tick n where the tick before left them."""
    lo, hi = s.edges[parts[0]], s.edges[parts[1]]
    leak(s.v[lo:hi], c.decay_m, c.tiny, c.zero)
    if adapting:
        fade_thresholds(s.theta[lo:hi], s.fade, c.decay_theta)
    for p in range(parts[0], parts[1]):
        fade_traces(c, s, p, n)
        s.after[p, n & MASK] = s.after[p, (n - 1) & MASK] if n & ((1 << c.shift) - 1) else RING


@njit(**INLINE)
def step(
    c: Coeffs,
    s: State,
    parts: tuple[int, int],
    n: int,
    axon: Array,
    span: tuple[int, int],
    learning: tuple[bool, bool],
    out: Array,
) -> tuple[int, int]:
    """Run tick n of the parts ``[first, stop)`` on the spikes ``[begin, end)`` = ``span`` of ``axon`` (k,).

    Writes who fires to ``out``, ascending; returns (spikes out, spikes heard). Parts that inhibit each other are to be
    run together.
    """
    _open(c, s, parts, n, learning[0])
    far = is_far(s)
    heard = 0
    for e in range(span[0], span[1]):
        if far and e + 1 < len(axon):
            ahead(s.weights[axon[e + 1]][s.edges[parts[0]] : s.edges[parts[1]]])
        visit(c, s, parts, axon[e], n, learning[1])
        heard += 1
    _sweep(c, s, parts, n)
    if c.inhibition > c.zero:
        inhibit(c, s, parts, n)
    made = 0
    for p in range(parts[0], parts[1]):
        clamp(s.v, s.ids[p], s.start[p, (n - c.refrac) & MASK], s.start[p, n & MASK], c.v_reset)
        made += fire(c, s, p, n, learning, out[made:])
        if (n + 1) & ((1 << c.shift) - 1) == 0:
            close(c, s, p, n)
    return made, heard


@njit(**FAST)
def run(
    c: Coeffs,
    s: State,
    parts: tuple[int, int],
    ticks: tuple[int, int, int],
    t: Array,
    axon: Array,
    learning: tuple[bool, bool],
    out_tick: Array,
    out_neuron: Array,
) -> tuple[int, int]:
    """Run ticks ``[first, stop)`` of ``ticks = (first, stop, tick_us)`` on spikes sorted by ``t`` (n,) int64 µs.

    ``parts`` = [first, stop) of the neurons; ``learning`` = (thresholds adapt, weights learn). Writes tick and number
    of each neuron that fires, up to all neurons a tick; returns (spikes out, spikes in, as each tick heard them).
    """
    first, stop, tick_us = ticks
    for p in range(parts[0], parts[1]):
        if s.lives[p] < 0:
            lo, hi = s.edges[p], s.edges[p + 1]
            s.lives[p] = list_live(s.y[lo:hi], lo, s.live[lo:hi], c.zero)
    count = 0
    heard = 0
    e = 0
    for n in range(first, stop):
        begin = e
        end = (n + 1) * tick_us
        while e < len(t) and t[e] < end:
            e += 1
        made, took = step(c, s, parts, n, axon, (begin, e), learning, out_neuron[count:])
        for k in range(count, count + made):
            out_tick[k] = n
        count += made
        heard += took
    s.now[0] = stop
    return count, heard


@njit(**FAST)
def merge(ticks: tuple[Array, Array], neurons: tuple[Array, Array], out_tick: Array, out_neuron: Array) -> None:
    """Write what two parts wrote, each in order of ticks, as one that ran both would have written it."""
    i, k = 0, 0
    for e in range(len(out_tick)):
        if k == len(ticks[1]) or (i < len(ticks[0]) and ticks[0][i] <= ticks[1][k]):
            out_tick[e], out_neuron[e] = ticks[0][i], neurons[0][i]
            i += 1
        else:
            out_tick[e], out_neuron[e] = ticks[1][k], neurons[1][k]
            k += 1


def aside(s: State) -> State:
    """Return the state for whoever runs the second part, with copies of what both parts need and move alike."""
    return s._replace(x=s.x.copy(), seen=s.seen.copy(), fade=s.fade.copy(), sweep=s.sweep.copy(), now=s.now.copy())


def settled(c: Coeffs, s: State) -> Array:
    """Return a copy of the weights as they are now; the state stays as it is, or later rounding changed."""
    weights = s.weights.copy()
    flush(c, s, int(s.now[0]), weights)
    return weights


def redesigned(c: Coeffs, s: State, params: Params, tick_us: int) -> Coeffs:
    """Return the coefficients of other parameters; where potentiation changes, what waits is paid by the old ones.

    Traces are counted in spikes, so they go on. Input traces are left as they were in the tick before the one that runs
    next, which is the first that decays by the new time constants; no spike before it is owed to anyone any more.
    """
    new = design(params, tick_us)
    if new.a_plus == c.a_plus and new.shift == c.shift and np.array_equal(new.lam, c.lam):
        return new
    now = int(s.now[0])
    flush(c, s, now, s.weights)
    _pause(c, s, now - 1)
    return new


def _pause(c: Coeffs, s: State, n: int) -> None:
    """Let input traces decay up to tick n; sums begin anew, and no spike so far is owed to a row."""
    alive = s.x > 0
    s.x[alive] *= c.lam[n - s.seen[alive]]
    s.x[s.x < c.dim] = 0
    s.seen[:] = n
    np.minimum(s.ids, ~s.ids, out=s.ids)
    _begin_sums(s, n)


def _begin_sums(s: State, n: int) -> None:
    """Let sums begin after tick n, which may be the last of a block."""
    s.after[:] = RING
    s.sums[n & MASK] = 0


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
    mute, both = c._replace(v_thresh=c.v_thresh.dtype.type(np.inf)), (0, len(s.start))
    run(
        mute,
        s,
        both,
        (first, middle, tick_us),
        none,
        none.astype(np.int32),
        (False, False),
        none,
        none.astype(np.int32),
    )
    tick_ms, left, f = tick_us / 1000, stop - middle, c.one.dtype.type
    s.theta[:] *= f(s.fade[0] * np.exp(-adapting * tick_ms / params.tau_theta_ms))
    s.fade[0] = 1.0
    if left == 0:
        return
    flush(c, s, middle, s.weights)
    alive = s.x > 0  # what is not may never have been seen, and has no age
    s.x[alive] *= np.exp(-(stop - 1 - s.seen[alive]) * tick_ms / params.tau_plus_ms).astype(f)
    s.x[s.x < c.dim] = 0
    s.seen[:] = stop - 1
    for trace, tau_ms, least in ((s.v, params.tau_m_ms, c.tiny), (s.y, params.tau_minus_ms, c.faded)):
        trace *= f(np.exp(-left * tick_ms / tau_ms))
        trace[np.abs(trace) <= least] = 0
    s.lives[:] = -1
    s.start[:] = s.start[:, middle & MASK, None]
    _begin_sums(s, stop - 1)
    s.now[0] = stop
