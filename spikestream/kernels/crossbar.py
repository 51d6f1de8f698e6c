"""A chip of TrueNorth cores: binary crossbars, integer neurons, spikes under way between cores.

A core has axons i of type G_i in 0..3, neurons j with a signed weight s_j for each type, and a crossbar W_ij of bits.
Order inside tick t, core by core; b, c, eps, kappa are flags of a neuron, rho are `crossbar_random`'s numbers:

    axons      A = row t mod 16 of the core's ring, which is cleared; input of tick t with delay 0 is in it
    integrate  V += sum_i A_i W_ij [s if b = 0, else sgn(s) where |s| >= rho, rho of 8 bits];  V saturates
    leak       Omega = sgn(V) if eps = 1, else 1;  V += Omega [lambda if c = 0, else sgn(lambda) where |lambda| >= rho];
               V saturates
    threshold  eta = rho of TM bits, 0 where TM = 0
    fire       V >= alpha + eta: a spike, and V <- R (gamma 0), V - (alpha + eta) (gamma 1), V (gamma 2)
    floor      otherwise, V < -(beta + eta) with kappa = 0: V <- -R (gamma 0), V + (beta + eta) (gamma 1), V (gamma 2);
               V < -beta with kappa = 1: V <- -beta
    spikes     bit `axon` of row (t + delay) mod 16 of the target core is set, delay 1..15; several are one

What the papers leave open is chosen so (law "truenorth/1"): sgn(0) = 0; rho of 8 bits is 0..255, so a weight s moves V
with probability (|s| + 1)/256, and s = 0 never; V saturates at its 20 bits once after integrating and once after the
leak, and cannot leave them afterwards; spikes for one pin (an output) in one tick are one. Law "ranc/1" is what RANC
simulates: the same with nothing drawn, eps = kappa = 0, gamma 0 or 1, V of 32 bits that wrap, and, by option, V = -beta
counting as below the floor.

Sources: Cassidy et al., IJCNN 2013 (neuron); Merolla et al., Science 345 (2014) (core, packets); RANC (University of
Arizona) for its own law.

A tick costs by what is active: the bit row of each active axon is added to counters of its type, eight neurons an
addition, and weights are multiplied once a type; one pass over V finds who crossed, and only those are looked at.
Cores where nothing can happen are passed over, and a chip of only such cores jumps to its next input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from spikestream.kernels import FAST, Array, compiled
from spikestream.kernels.crossbar_core import fetch_core, find, integrate, run_drawing, settle, walk
from spikestream.kernels.crossbar_design import (
    BUSY,
    COUNTERS,
    NOWHERE,
    PINS,
    RANDOM,
    ROWS,
    SPIKES,
    UPDATES,
    Coeffs,
    Params,
    Post,
    Scratch,
    State,
    alone,
    design,
    init,
    post,
    scratch,
)
from spikestream.kernels.crossbar_loops import ask, lowest
from spikestream.kernels.crossbar_random import key_of
from spikestream.kernels.meeting import call_off, gate, meet

__all__ = [
    "COUNTERS",
    "Coeffs",
    "Params",
    "Post",
    "Scratch",
    "State",
    "alone",
    "call_off",
    "design",
    "gate",
    "init",
    "post",
    "run",
    "scratch",
    "step",
]

AHEAD = 8
"""So many spikes ahead the place of one is asked for."""
inlined = njit(**FAST, inline="always")
ONE, NONE = np.uint64(1), np.uint64(0)


@compiled
def _place(to: int, n: int, cores: int, axons: int) -> int:
    """Return the bit of the flat rings that a spike of tick n with target ``to`` sets."""
    return (((n + (to & 255)) & (ROWS - 1)) * cores + (to >> 32)) * axons + ((to >> 8) & 0xFFFFFF)


@compiled
def _send(ring: Array, fired: Array, n: int, count: int) -> None:
    """Bring spikes of tick n to their axons."""
    flat, cores, axons = ring.reshape(-1), ring.shape[1], 64 * ring.shape[2]
    for k in range(count):
        if k + AHEAD < count:
            ask(flat, _place(fired[k + AHEAD], n, cores, axons) >> 6)
        flat[_place(fired[k], n, cores, axons) >> 6] |= ONE << np.uint64((fired[k] >> 8) & 63)


@compiled
def _pin(pins: Array, fired: Array, count: int) -> None:
    """Mark the outputs that spike."""
    for k in range(count):
        if fired[k] != NOWHERE:
            pin = ~fired[k] >> 8
            pins[pin >> 6] |= ONE << np.uint64(pin & 63)


@compiled
def _emit(pins: Array, n: int, out: tuple[Array, Array], made: int) -> int:
    """Write the pins that spike, in ascending order, and clear them; return ``made`` plus their number."""
    for w in range(len(pins)):
        bits = pins[w]
        if bits == NONE:
            continue
        pins[w] = NONE
        while bits != NONE:
            out[0][made] = n
            out[1][made] = 64 * w + lowest(bits)
            bits &= bits - ONE
            made += 1
    return made


@compiled
def _hear(ring: Array, inputs: tuple[Array, Array], n: int, axon: int, part: tuple[int, int]) -> None:
    """Put a spike of an input into the rings of those of its targets that sit in cores of ``part``."""
    first, targets = inputs
    for k in range(first[axon], first[axon + 1]):
        core, i, delay = targets[k, 0], np.int64(targets[k, 1]), targets[k, 2]
        if part[0] <= core < part[1]:
            ring[(n + delay) & (ROWS - 1), core, i >> 6] |= ONE << np.uint64(i & 63)


@inlined
def step(
    c: Coeffs, s: State, b: Scratch, n: int, part: tuple[int, int], to: tuple[Array, Array, Array, Any, Array]
) -> None:
    """Run tick n of the cores [first, stop) = ``part`` on what is in their rings.

    ``to`` = (fired (3, n), sent (LINE,), counts (LINE,), the first target of the second half of the chip, fires): there
    go the spikes, how many they are, and whether anything went on.
    """
    row, waiting, flagged = n & (ROWS - 1), part[0], 0
    to[1][:] = 0
    for core in range(part[0], part[1]):
        if core + 1 < part[1]:
            fetch_core(c, s, core + 1, row)
        active = False
        for w in range(s.ring.shape[2]):
            active |= s.ring[row, core, w] != NONE
        if not active and s.quiet[core]:
            continue
        to[1][BUSY] = 1
        drawing = c.kind[core] == RANDOM
        key = key_of(c.seed[core], core, n) if drawing else NONE
        if active:
            integrate(c, s, b, core, row, key, to[2])
        if drawing:
            run_drawing(c, s.v[core], b, core, key, to)
            continue
        walk(c, s.v[core], b, core)
        settle(c, s, b, waiting, flagged, to)
        waiting, flagged = core, find(c, b, core)
        s.quiet[core] = c.still[core] and not active and flagged == 0
    settle(c, s, b, waiting, flagged, to)


@inlined
def _deliver(s: State, b: Scratch, p: Post, me: int, turn: int, n: int) -> tuple[bool, int]:
    """Bring what all threads laid down for this one where it goes; return (anything went on, spikes elsewhere)."""
    busy, elsewhere = False, 0
    for k in range(len(p.sent)):
        sent = p.sent[k, turn]
        _send(s.ring, p.fired[k, turn, me], n, sent[me])
        if me == 0:
            _pin(b.pins, p.fired[k, turn, PINS], sent[PINS])
        busy |= sent[BUSY] != 0
        elsewhere += sent[PINS]
    return busy, elsewhere


@compiled
def _tally(s: State, p: Post, ticks: int, neurons: int) -> None:
    """Add what all threads counted to the counters of the chip; a quiet core's neurons are updated like all others."""
    s.counters[UPDATES] += ticks * neurons
    for k in range(len(p.counts)):
        for i in range(len(s.counters)):
            s.counters[i] += p.counts[k, i]
            p.counts[k, i] = 0


@compiled
def run(
    c: Coeffs,
    s: State,
    b: Scratch,
    p: Post,
    inputs: tuple[Array, Array],
    ticks: tuple[int, int, int],
    t: Array,
    axon: Array,
    out: tuple[Array, Array],
    room: int,
    gate: Array,
    me: int,
) -> tuple[int, int, int]:
    """Run ticks ``[first, stop)`` of ``ticks = (first, stop, tick_us)`` on spikes sorted by ``t`` (n,) int64 µs.

    ``inputs`` = (first (I + 1,) int64, targets (k, 3) int32 core, axon, delay); ``out`` = where spikes go, tick int64
    and pin int32. It ends early where fewer than ``room`` (all pins) places may be left there. Where ``p`` is for two
    threads, both call this with the same, but a ``b`` of their own and ``me`` 0 and 1; one of them alone waits at
    ``gate`` until that is called off. Returns (the tick that is next, spikes out, spikes in).
    """
    n, stop, tick_us = ticks
    threads, cores = len(p.sent), len(c.kind)
    middle = (cores + 1) // 2 if threads == 2 else cores
    part = (0, middle) if me == 0 else (middle, cores)
    made, full, e, idle, turn = 0, 0, 0, 0, 0
    together = threads == 1 or meet(gate, me)
    while together and n < stop and full + room <= len(out[0]):
        end = (n + 1) * tick_us
        while e < len(t) and t[e] < end:
            _hear(s.ring, inputs, n, axon[e], part)
            e += 1
            idle = 0
        to = (p.fired[me, turn], p.sent[me, turn], p.counts[me], np.int64(middle) << 32, s.fires)
        step(c, s, b, n, part, to)
        p.counts[me, SPIKES] += to[1][0] + to[1][1] + to[1][PINS]
        together = threads == 1 or meet(gate, me)
        busy, elsewhere = _deliver(s, b, p, me, turn, n)
        # How many outputs spike, the first thread alone finds out: both reckon with the most there may be.
        full += min(elsewhere, room)
        made = _emit(b.pins, n, out, made) if me == 0 else 0
        n += 1
        turn = threads - 1 - turn
        idle = 0 if busy else idle + 1
        if idle >= ROWS:  # so long has nothing been under way
            n = max(n, min(stop, t[e] // tick_us)) if e < len(t) else stop
            idle = 0
    if threads == 2 and together:
        meet(gate, me)
    if me == 0:
        _tally(s, p, n - ticks[0], c.neurons)
    return n, made, e
