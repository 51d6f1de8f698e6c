"""A chip of Loihi cores: leaky neurons with a current in whole numbers, synapses with delays, learning on the chip.

A core has compartments j, axons i, and for each axon a list of synapses: compartment, weight w, delay d. All numbers
are whole. Order inside tick n, law "loihi/1"; dec(x, d) = sgn(x) ((|x| (4096 - d)) >> 12):

    axons       a_i = how many spikes arrive: of neurons in tick n - 1, of an input in tick n less its own delay
    synapses    a synapse gives J a_i in tick n + d;  J = ((w << e) or, e < 0, (w >> -e)) << 6, within +-(2^21 - 2^6)
    current     u = dec(u, du + 1) + what the synapses give, modulo 2^24 in (-2^23, 2^23]
    membrane    v = dec(v, dv) + u + (bias << bias exponent), held within v_min .. v_max;  0 where r > 0
    fire        v > threshold << 6: a spike, v = 0, r = refractory;  then r = max(r - 1, 0)
    spikes      reach their axons in tick n + 1; outputs give them in tick n, several for one pin being one
    learn       `loihi_learning`, at the end of an epoch

Published are the equations, the widths and the limits of a core (Davies et al., IEEE Micro 38, 2018; Lin et al.,
Computer 51, 2018); the rest is what public emulators of the chip agree on. `current`, `membrane` and `fire` are those
of lava's bit-accurate LIF and of nengo-loihi's emulator, whose recordings are reproduced bit for bit. Where the two
differ: nengo-loihi also wraps what comes in at 22 bits and u + bias at 24, which its recording never reaches and lava
does not do, nor does this; lava has no refractory time. The two shifts of J are those of nengo-loihi and Brian2Loihi
(Michaelis et al., Front. Neuroinform. 16, 2022, compared with the chip): a negative exponent loses the low bits of w.

A tick costs by what is active: spikes under way are counts by axon, each active axon adds its row of synapses to a ring
of accumulators, and one pass over a core decays, adds and compares. A core that a tick leaves as it was, with nothing
under way, is passed over until a spike comes, and a chip of only such cores jumps to its next input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import trailing_zeros

from spikestream.kernels import FAST, Array, compiled
from spikestream.kernels.loihi_design import (
    COUNTERS,
    DROPPED,
    EVENTS,
    HOPS_X,
    HOPS_Y,
    OPERATIONS,
    SPIKES,
    UPDATES,
    Coeffs,
    Params,
    Scratch,
    State,
    design,
    init,
    scratch,
)
from spikestream.kernels.loihi_learning import learn, note

__all__ = ["COUNTERS", "Coeffs", "Params", "Scratch", "State", "design", "init", "run", "scratch", "step"]

# Inlined where they are called: a call would hand over all arrays of the chip with their shapes.
inlined = njit(**FAST, inline="always")
NONE, ONE = np.uint64(0), np.uint64(1)
LOW, HALF, WHOLE = np.int32(4095), np.int32(2**23 - 1), np.int32(2**24 - 1)
TWELVE = np.int32(12)
ZERO_32, ONE_32 = np.int32(0), np.int32(1)
FULL = np.uint8(255)


@compiled
def _lowest(bits: Any) -> Any:
    return np.int64(trailing_zeros(bits))  # type: ignore[call-arg]  # Numba adds the first


@compiled
def decayed(x: Any, keep: Any) -> Any:
    """Return what is left of int32 ``x``, ``keep`` 4096ths of it, towards 0: in two halves, each within 32 bits."""
    size = abs(x)
    left = np.int32(np.int32((size >> TWELVE) * keep) + np.int32(np.int32((size & LOW) * keep) >> TWELVE))
    return np.int32(-left) if x < ZERO_32 else left


@compiled
def integrate(
    state: tuple[Array, Array, Array], acc: Array, keeps: tuple[Array, Array], own: tuple[Array, ...], flags: Array
) -> Any:
    """Run a tick of a core's compartments, clear ``acc`` and flag who fires; return 0 if nothing has changed.

    ``state`` = (u, v, waits), ``own`` = (bias, threshold, v_min, v_max, refractory).
    """
    u, v, waits = state
    keep_u, keep_v = keeps
    bias, threshold, v_min, v_max, refractory = own
    moved = ZERO_32
    for j in range(len(u)):
        i = np.int32(decayed(u[j], keep_u[j]) + acc[j])
        acc[j] = ZERO_32
        i = np.int32(np.int32(np.int32(i + HALF) & WHOLE) - HALF)
        x = np.int32(np.int32(decayed(v[j], keep_v[j]) + i) + bias[j])
        x = min(max(x, v_min[j]), v_max[j])
        x = ZERO_32 if waits[j] > ZERO_32 else x
        fires = x > threshold[j]
        x = ZERO_32 if fires else x
        left = max(np.int32((refractory[j] if fires else waits[j]) - ONE_32), ZERO_32)
        moved = np.int32(moved | np.int32(i ^ u[j]) | np.int32(x ^ v[j]) | waits[j] | np.int32(fires))
        u[j], v[j], waits[j], flags[j] = i, x, left, fires
    return moved


@inlined
def _deliver(c: Coeffs, s: State, core: int, i: int, n: int, times: int) -> None:
    """Add what the synapses of axon ``i`` give for ``times`` spikes."""
    late, width = c.late[core], c.compartments[core + 1] - c.compartments[core]
    acc, first, stop = s.acc[c.places[core] : c.places[core + 1]], c.synapses[i], c.synapses[i + 1]
    if late == 0:
        for k in range(first, stop):
            acc[c.compartment[k]] += np.int32(s.current[k] * times)
    else:
        for k in range(first, stop):
            row = np.uint64(((n + np.int64(c.delay[k])) & late) * width)
            acc[row + c.compartment[k]] += np.int32(s.current[k] * times)
    s.counters[OPERATIONS] += times * (stop - first)
    s.counters[EVENTS] += times


@inlined
def _receive(c: Coeffs, s: State, core: int, n: int) -> bool:
    """Take the spikes that arrive at a core, and clear their places; return whether there were any."""
    row, active = n & (len(s.ring8) - 1), False
    tick = n % c.epoch[core] + 1
    for w in range(c.axons[core] >> 3, c.axons[core + 1] >> 3):
        eight = s.ring64[row, w]
        if eight == NONE:
            continue
        s.ring64[row, w] = NONE
        active = True
        while eight != NONE:
            at = _lowest(eight) >> 3
            i = 8 * w + at
            times = np.int64((eight >> np.uint64(8 * at)) & np.uint64(255))
            eight &= ~(np.uint64(255) << np.uint64(8 * at))
            _deliver(c, s, core, i, n, times)
            if c.plastic[i]:
                note(s.x1, s.tx, i, c.impulse[core, 0], tick)
                s.traced[core] = True
    if active:
        s.until[core] = max(s.until[core], n + c.late[core])
    return active


@inlined
def _post(s: State, row: int, axon: int) -> None:
    """Count one more spike for an axon; what no counter can hold is dropped, and counted."""
    if s.ring8[row, axon] == FULL:
        s.counters[DROPPED] += 1
    else:
        s.ring8[row, axon] += np.uint8(1)


@inlined
def _send(c: Coeffs, s: State, b: Scratch, core: int, n: int) -> None:
    """Bring the spikes of a core to where they go."""
    row, tick = (n + 1) & (len(s.ring8) - 1), n % c.epoch[core] + 1
    for w in range(c.compartments[core] >> 3, c.compartments[core + 1] >> 3):
        bits = b.flags64[w]
        while bits != NONE:
            j = 8 * w + (_lowest(bits) >> 3)
            bits &= bits - ONE
            s.counters[SPIKES] += 1
            if len(s.fires):
                s.fires[j] += 1
            s.counters[DROPPED] += c.targets[j] == c.targets[j + 1]
            for k in range(c.targets[j], c.targets[j + 1]):
                to = c.to[k]
                if to >= 0:
                    _post(s, row, to)
                    s.counters[HOPS_X] += c.hops[k, 0]
                    s.counters[HOPS_Y] += c.hops[k, 1]
                else:
                    b.pins[~to >> 6] |= ONE << np.uint64(~to & 63)
            if c.learns[core]:
                note(s.y1, s.ty, j, c.impulse[core, 1], tick)
                s.traced[core] = True


@inlined
def _core(c: Coeffs, s: State, b: Scratch, core: int, n: int) -> None:
    """Run the compartments of one core in tick n."""
    first, stop = c.compartments[core], c.compartments[core + 1]
    place = c.places[core] + (n & c.late[core]) * (stop - first)
    state = (s.u[first:stop], s.v[first:stop], s.waits[first:stop])
    own = (c.bias[first:stop], c.threshold[first:stop], c.v_min[first:stop], c.v_max[first:stop])
    keeps = (c.keep_u[first:stop], c.keep_v[first:stop])
    acc, flags = s.acc[place : place + stop - first], b.flags8[first:stop]
    moved = integrate(state, acc, keeps, (*own, c.refractory[first:stop]), flags)
    if moved != 0:
        _send(c, s, b, core, n)
    s.quiet[core] = moved == 0 and s.until[core] < n


@inlined
def step(c: Coeffs, s: State, b: Scratch, n: int, learning: bool) -> bool:
    """Run tick n of all cores on what is under way to them; return whether anything went on."""
    busy = False
    for core in range(len(c.late)):
        active = _receive(c, s, core, n)
        if active or not s.quiet[core]:
            _core(c, s, b, core, n)
            busy = True
        if s.traced[core]:
            busy = True
            if (n + 1) % c.epoch[core] == 0:
                learn(c, s, core, n, learning)
    s.counters[UPDATES] += c.room
    return busy


@compiled
def _emit(pins: Array, n: int, out_tick: Array, out_pin: Array, made: int) -> int:
    """Write the pins that spike, in ascending order, and clear them; return ``made`` plus their number."""
    for w in range(len(pins)):
        bits = pins[w]
        pins[w] = NONE
        while bits != NONE:
            out_tick[made] = n
            out_pin[made] = 64 * w + _lowest(bits)
            bits &= bits - ONE
            made += 1
    return made


@inlined
def _hear(c: Coeffs, s: State, n: int, axon: int) -> None:
    """Put a spike of an input on its way to all its targets."""
    for k in range(c.input_first[axon], c.input_first[axon + 1]):
        _post(s, (n + c.input_delay[k]) & (len(s.ring8) - 1), c.input_axon[k])


@compiled
def run(
    c: Coeffs,
    s: State,
    b: Scratch,
    ticks: tuple[int, int, int],
    t: Array,
    axon: Array,
    learning: bool,
    out: tuple[Array, Array],
    room: int,
) -> tuple[int, int, int]:
    """Run ticks ``[first, stop)`` of ``ticks = (first, stop, tick_us)`` on spikes sorted by ``t`` (n,) int64 µs.

    It ends early where fewer than ``room`` (all pins) places are left in ``out`` = (ticks, pins). Returns (the tick
    that is next, spikes out, spikes in).
    """
    n, stop, tick_us = ticks
    made, e, idle = 0, 0, 0
    while n < stop and made + room <= len(out[0]):
        end = (n + 1) * tick_us
        while e < len(t) and t[e] < end:
            _hear(c, s, n, axon[e])
            e += 1
            idle = 0
        busy = step(c, s, b, n, learning)
        made = _emit(b.pins, n, out[0], out[1], made)
        n += 1
        idle = 0 if busy else idle + 1
        if idle >= len(s.ring8):  # so long has nothing been under way
            later = max(n, min(stop, t[e] // tick_us)) if e < len(t) else stop
            s.counters[UPDATES] += c.room * (later - n)
            n, idle = later, 0
    return n, made, e
