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
from spikestream.kernels.crossbar_design import (
    NOWHERE,
    PLAIN,
    RANDOM,
    ROWS,
    Coeffs,
    Params,
    Scratch,
    State,
    design,
    init,
    scratch,
)
from spikestream.kernels.crossbar_loops import (
    ask,
    chance,
    count_row,
    cross,
    fold,
    integrate_and_leak,
    integrate_and_turn,
    lowest,
)
from spikestream.kernels.crossbar_random import LEAK, THRESHOLD, draw, draw_bits, key_of

__all__ = ["Coeffs", "Params", "Scratch", "State", "design", "init", "run", "scratch", "step"]

AHEAD = 8
"""So many spikes ahead the place of one is asked for."""
FULL = 255
"""What a counter of a byte can hold."""
# Inlined where they are called: a call would hand over all arrays of the chip with their shapes.
inlined = njit(**FAST, inline="always")
ONE, NONE = np.uint64(1), np.uint64(0)
ZERO = np.int32(0)


@inlined
def _integrate(c: Coeffs, s: State, b: Scratch, core: int, row: int, key: Any) -> None:
    """Sum up what the active axons bring, and clear their row of the ring."""
    counted = 0
    for w in range(s.ring.shape[2]):
        bits = s.ring[core, row, w]
        s.ring[core, row, w] = NONE
        while bits != NONE:
            i = 64 * w + lowest(bits)
            bits &= bits - ONE
            g = c.axon_type[core, i]
            count_row(b.count64[g], c.rows[core, i], c.table)
            counted += 1
            if counted == FULL:
                fold(b.acc, c.weights[core], b.count8, b.count64)
                counted = 0
            if c.draws[core, g]:
                chance(b.acc, c.rows[core, i], c.chances[core, g], key, i)
    fold(b.acc, c.weights[core], b.count8, b.count64)


@inlined
def _look(c: Coeffs, v: Array, b: Scratch, core: int, j: int, eta: int, count: int) -> Any:
    """Reset neuron j where it has crossed; where it fires, add its target to ``b.fired``; return the new ``count``."""
    top, low = np.int64(c.threshold[core, j]) + eta, np.int64(c.low[core, j])
    after = c.records[core, 2 * j + 1]
    b.fired[count] = c.records[core, 2 * j]
    return count + cross(v, j, top, eta, low, c.included - low, after >> 8, after & 255)


@inlined
def _settle(c: Coeffs, v: Array, b: Scratch, core: int, count: int) -> tuple[int, int]:
    """Reset who is flagged; return (``count`` plus who fires, how many were flagged)."""
    flagged, flags, records = 0, b.flags64, c.records[core]
    for k in range(0, len(flags), 4):
        if flags[k] | flags[k + 1] | flags[k + 2] | flags[k + 3] == NONE:
            continue
        for m in range(k, k + 4):
            bits = flags[m]
            while bits != NONE:
                j = 8 * m + (lowest(bits) >> 3)
                bits &= bits - ONE
                ask(records, 2 * j)
                b.found[flagged] = j
                flagged += 1
    for k in range(flagged):
        count = _look(c, v, b, core, b.found[k], 0, count)
    return count, flagged


@inlined
def _random(c: Coeffs, v: Array, b: Scratch, core: int, key: Any, count: int) -> int:
    """Integrate, leak and fire where numbers are drawn; return ``count`` plus who fires."""
    for j in range(len(v)):
        u = min(max(np.int64(v[j]) + np.int64(b.acc[j]), np.int64(c.least)), np.int64(c.most))
        b.acc[j] = ZERO
        leak = np.int64(c.leak[core, j])
        if c.leak_draws[core, j] and leak != 0:
            sign = np.int64(leak > 0) - np.int64(leak < 0)
            leak = sign if abs(leak) >= draw(key, j, LEAK) else np.int64(0)
        if c.turns[core, j]:
            leak *= np.int64(u > 0) - np.int64(u < 0)
        v[j] = np.int32(min(max(u + leak, np.int64(c.least)), np.int64(c.most)))
        bits = np.int64(c.threshold_bits[core, j])
        eta = draw_bits(key, j, THRESHOLD, bits) if bits > 0 else np.int64(0)
        count = _look(c, v, b, core, j, eta, count)
    return count


@inlined
def _core(c: Coeffs, s: State, b: Scratch, core: int, n: int, count: int, active: bool) -> int:
    """Run one core for tick n; return ``count`` plus who fires."""
    kind, v = c.kind[core], s.v[core]
    key = key_of(c.seed[core], core, n) if kind == RANDOM else NONE
    if active:
        _integrate(c, s, b, core, n & (ROWS - 1), key)
    if kind == RANDOM:
        count = _random(c, v, b, core, key, count)
    else:
        if kind == PLAIN:
            integrate_and_leak(v, b.acc, b.flags8, c.leak[core], c.threshold[core], c.low[core], c.least, c.most)
        else:
            own = (c.leak[core], c.turns[core])
            integrate_and_turn(v, b.acc, b.flags8, own, c.threshold[core], c.low[core], c.least, c.most)
        count, flagged = _settle(c, v, b, core, count)
        s.quiet[core] = c.still[core] and not active and flagged == 0
    return count


@compiled
def _place(to: int, n: int, axons: int) -> int:
    """Return the bit of the flat rings that a spike of tick n with target ``to`` sets."""
    return ((to >> 32) * ROWS + ((n + (to & 255)) & (ROWS - 1))) * axons + ((to >> 8) & 0xFFFFFF)


@compiled
def _send(ring: Array, pins: Array, fired: Array, n: int, count: int) -> None:
    """Bring the spikes of tick n to where they go."""
    flat, axons = ring.reshape(-1), 64 * ring.shape[2]
    for k in range(count):
        if k + AHEAD < count and fired[k + AHEAD] >= 0:
            ask(flat, _place(fired[k + AHEAD], n, axons) >> 6)
        to = fired[k]
        if to >= 0:
            flat[_place(to, n, axons) >> 6] |= ONE << np.uint64((to >> 8) & 63)
        elif to != NOWHERE:
            pins[(~to >> 8) >> 6] |= ONE << np.uint64((~to >> 8) & 63)


@compiled
def _emit(pins: Array, n: int, out_tick: Array, out_pin: Array, made: int) -> int:
    """Write the pins that spike, in ascending order, and clear them; return ``made`` plus their number."""
    for w in range(len(pins)):
        bits = pins[w]
        if bits == NONE:
            continue
        pins[w] = NONE
        while bits != NONE:
            out_tick[made] = n
            out_pin[made] = 64 * w + lowest(bits)
            bits &= bits - ONE
            made += 1
    return made


@inlined
def _fetch_core(c: Coeffs, s: State, core: int, row: int) -> None:
    """Ask for what a core will read, so that it is there when its turn comes."""
    for w in range(s.ring.shape[2]):
        bits = s.ring[core, row, w]
        while bits != NONE:
            i = 64 * w + lowest(bits)
            bits &= bits - ONE
            ask(c.rows[core, i], 0)
    for j in range(0, s.v.shape[1], 16):
        ask(s.v[core], j)
        ask(c.threshold[core], j)
        ask(c.low[core], j)
    for j in range(0, s.v.shape[1], 32):
        ask(c.leak[core], j)


@inlined
def step(c: Coeffs, s: State, b: Scratch, n: int) -> tuple[int, bool]:
    """Run tick n of all cores on what is in their rings; return (spikes of neurons, whether anything went on)."""
    count, busy, row, cores = 0, False, n & (ROWS - 1), len(c.kind)
    for core in range(cores):
        if core + 1 < cores:
            _fetch_core(c, s, core + 1, row)
        active = False
        for w in range(s.ring.shape[2]):
            active |= s.ring[core, row, w] != NONE
        if active or not s.quiet[core]:
            count = _core(c, s, b, core, n, count, active)
            busy = True
    _send(s.ring, b.pins, b.fired, n, count)
    return count, busy


@compiled
def _hear(s: State, inputs: tuple[Array, Array], n: int, axon: int) -> None:
    """Put a spike of an input into the rings of all its targets."""
    first, targets = inputs
    for k in range(first[axon], first[axon + 1]):
        core, i, delay = targets[k, 0], np.int64(targets[k, 1]), targets[k, 2]
        s.ring[core, (n + delay) & (ROWS - 1), i >> 6] |= ONE << np.uint64(i & 63)


@compiled
def run(
    c: Coeffs,
    s: State,
    b: Scratch,
    inputs: tuple[Array, Array],
    ticks: tuple[int, int, int],
    t: Array,
    axon: Array,
    out_tick: Array,
    out_pin: Array,
    room: int,
) -> tuple[int, int, int]:
    """Run ticks ``[first, stop)`` of ``ticks = (first, stop, tick_us)`` on spikes sorted by ``t`` (n,) int64 µs.

    ``inputs`` = (first (I + 1,) int64, targets (k, 3) int32 core, axon, delay). It ends early where fewer than ``room``
    (all pins) places are left in ``out_tick`` and ``out_pin``. Returns (the tick that is next, spikes out, spikes in).
    """
    n, stop, tick_us = ticks
    made, e, idle = 0, 0, 0
    while n < stop and made + room <= len(out_tick):
        end = (n + 1) * tick_us
        while e < len(t) and t[e] < end:
            _hear(s, inputs, n, axon[e])
            e += 1
            idle = 0
        _, busy = step(c, s, b, n)
        made = _emit(b.pins, n, out_tick, out_pin, made)
        n += 1
        idle = 0 if busy else idle + 1
        if idle >= ROWS:  # so long has nothing been under way
            n = max(n, min(stop, t[e] // tick_us)) if e < len(t) else stop
            idle = 0
    return n, made, e
