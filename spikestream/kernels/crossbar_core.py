"""One crossbar core in one tick: what its active axons bring, who crosses a threshold, and where spikes are laid down.

`crossbar` tells the law of a tick. Who is flagged in a core is looked at when the next core has been walked over: until
then the record of each, which no cache holds in a large chip, is on its way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from spikestream.kernels import FAST, Array
from spikestream.kernels import crossbar_design as d
from spikestream.kernels.crossbar_design import PINS, Coeffs, Scratch, State
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
from spikestream.kernels.crossbar_random import LEAK, THRESHOLD, draw, draw_bits

FULL = 255
"""What a counter of a byte can hold."""
# Inlined where they are called: a call would hand over all arrays of the chip with their shapes.
inlined = njit(**FAST, inline="always")
ONE, NONE = np.uint64(1), np.uint64(0)
ZERO = np.int32(0)


@inlined
def fetch_core(c: Coeffs, s: State, core: int, row: int) -> None:
    """Ask for what a core will read, so that it is there when its turn comes."""
    for w in range(s.ring.shape[2]):
        bits = s.ring[row, core, w]
        while bits != NONE:
            i = 64 * w + lowest(bits)
            bits &= bits - ONE
            ask(c.rows[core, i], 0)
            ask(c.axons[core], i)
    for j in range(0, s.v.shape[1], 16):
        ask(s.v[core], j)


@inlined
def integrate(c: Coeffs, s: State, b: Scratch, core: int, row: int, key: Any, counts: Array) -> None:
    """Sum up what the active axons bring, and clear their row of the ring."""
    counted, events, operations = 0, 0, np.int64(0)
    weights, chances = c.weights[c.own[core, d.WEIGHTS]], c.chances[c.own[core, d.CHANCES]]
    for w in range(s.ring.shape[2]):
        bits = s.ring[row, core, w]
        s.ring[row, core, w] = NONE
        while bits != NONE:
            i = 64 * w + lowest(bits)
            bits &= bits - ONE
            axon = np.int64(c.axons[core, i])
            g = axon & 3
            operations += axon >> 2
            events += 1
            count_row(b.count64[g], c.rows[core, i], c.table)
            counted += 1
            if counted == FULL:
                fold(b.acc, weights, b.count8, b.count64)
                counted = 0
            if c.draws[core, g]:
                chance(b.acc, c.rows[core, i], chances[g], key, i)
    fold(b.acc, weights, b.count8, b.count64)
    counts[d.EVENTS] += events
    counts[d.OPERATIONS] += operations


@inlined
def walk(c: Coeffs, v: Array, b: Scratch, core: int) -> None:
    """Integrate and leak where nothing is drawn, and flag who is above the threshold or below the floor."""
    own = c.own[core]
    leak, top, low = c.leak[own[d.LEAK]], c.threshold[own[d.THRESHOLD]], c.low[own[d.LOW]]
    if c.kind[core] == d.PLAIN:
        integrate_and_leak(v, b.acc, b.flags8, leak, top, low, c.least, c.most)
    else:
        integrate_and_turn(v, b.acc, b.flags8, (leak, c.turns[own[d.TURNS]]), top, low, c.least, c.most)


@inlined
def _look(c: Coeffs, v: Array, core: int, j: int, eta: int, to: tuple[Array, Array, Array, Any, Array]) -> None:
    """Reset neuron j where it has crossed; where it fires, lay down its spike and count it."""
    fired, sent, counts, half, fires = to
    own = c.own[core]
    top, low = np.int64(c.threshold[own[d.THRESHOLD], j]) + eta, np.int64(c.low[own[d.LOW], j])
    after = c.records[core, 2 * j + 1]
    if cross(v, j, top, eta, low, c.included - low, np.int64(np.int32(after >> 8)), after & 255):
        goal = c.records[core, 2 * j]
        heap = PINS if goal < 0 else np.int64(goal >= half)
        fired[heap, sent[heap]] = goal
        sent[heap] += 1
        counts[d.HOPS_X] += np.int64(np.uint64(after) >> np.uint64(52))
        counts[d.HOPS_Y] += (after >> 40) & 0xFFF
        counts[d.DROPPED] += goal == d.NOWHERE
        if len(fires):
            fires[core, j] += 1


@inlined
def find(c: Coeffs, b: Scratch, core: int) -> int:
    """List who is flagged and ask for their records; return how many they are."""
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
    return flagged


@inlined
def settle(
    c: Coeffs, s: State, b: Scratch, core: int, flagged: int, to: tuple[Array, Array, Array, Any, Array]
) -> None:
    """Reset those of a core who were found, and lay down their spikes."""
    for k in range(flagged):
        _look(c, s.v[core], core, b.found[k], 0, to)


@inlined
def run_drawing(
    c: Coeffs, v: Array, b: Scratch, core: int, key: Any, to: tuple[Array, Array, Array, Any, Array]
) -> None:
    """Integrate, leak and fire where numbers are drawn."""
    own = c.own[core]
    leaks, leak_draws = c.leak[own[d.LEAK]], c.leak_draws[own[d.LEAK_DRAWS]]
    turns, threshold_bits = c.turns[own[d.TURNS]], c.threshold_bits[own[d.BITS]]
    for j in range(len(v)):
        u = min(max(np.int64(v[j]) + np.int64(b.acc[j]), np.int64(c.least)), np.int64(c.most))
        b.acc[j] = ZERO
        leak = np.int64(leaks[j])
        if leak_draws[j] and leak != 0:
            sign = np.int64(leak > 0) - np.int64(leak < 0)
            leak = sign if abs(leak) >= draw(key, j, LEAK) else np.int64(0)
        if turns[j]:
            leak *= np.int64(u > 0) - np.int64(u < 0)
        v[j] = np.int32(min(max(u + leak, np.int64(c.least)), np.int64(c.most)))
        bits = np.int64(threshold_bits[j])
        eta = draw_bits(key, j, THRESHOLD, bits) if bits > 0 else np.int64(0)
        _look(c, v, core, j, eta, to)
