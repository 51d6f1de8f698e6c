"""What a chip of Loihi cores is made of in memory, and how its parameters become that.

All arrays are flat over the chip. A core's compartments begin at a multiple of 32 and its axons at a multiple of 8, and
what is padded never does anything, so loops run over whole groups and eight counters are looked at as one number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spikestream.kernels import Array

UNIT = 4096
"""Of the decays: one of d leaves (UNIT - d) / UNIT."""
FRACTION = 16
"""Bits of the powers of a trace's decay."""
COUNTERS = ("synaptic_operations", "axon_events", "neuron_updates", "spikes", "hops_x", "hops_y", "dropped")
OPERATIONS, EVENTS, UPDATES, SPIKES, HOPS_X, HOPS_Y, DROPPED = range(len(COUNTERS))


@dataclass(frozen=True)
class Params:
    """C cores, N compartments, A axons, S synapses; most names as in `spikestream.model.loihi.LoihiPlacement`."""

    core_xy: Array  # (C, 2) int32
    first_compartment: Array  # (C + 1,) int64
    first_axon: Array  # (C + 1,) int64
    du: Array  # (N,) int16
    dv: Array  # (N,) int16
    bias: Array  # (N,) int16
    bias_exponent: Array  # (N,) uint8
    threshold: Array  # (N,) int32
    v_min: Array  # (N,) int32
    v_max: Array  # (N,) int32
    refractory: Array  # (N,) uint8
    weight_exponent: Array  # (A,) int8
    weight_spare: Array  # (A,) int64: weights are multiples of 2^spare
    weight_least: Array  # (A,) int64
    weight_most: Array  # (A,) int64
    plastic: Array  # (A,) bool
    first_synapse: Array  # (A + 1,) int64
    compartment: Array  # (S,) int32
    weight: Array  # (S,) int16
    current: Array  # (S,) int32, what a spike brings
    delay: Array  # (S,) uint8
    first_target: Array  # (N + 1,) int64
    target_core: Array  # (K,) int32
    target_axon: Array  # (K,) int32
    inputs: Array  # (k, 4) int32
    input_count: int
    outputs: int
    epoch: Array  # (C,) uint8
    x1_impulse: Array  # (C,) uint8
    x1_decay: Array  # (C,) int16
    y1_impulse: Array  # (C,) uint8
    y1_decay: Array  # (C,) int16
    a_plus: Array  # (C,) int8
    a_plus_exponent: Array  # (C,) int8
    a_minus: Array  # (C,) int8
    a_minus_exponent: Array  # (C,) int8
    seed: Array  # (C,) uint32


class Coeffs(NamedTuple):
    """What a tick reads; P compartments and B axons with what pads them."""

    compartments: Array  # (C + 1,) int64, where those of a core begin
    axons: Array  # (C + 1,) int64
    places: Array  # (C + 1,) int64, where the accumulators of a core begin
    late: Array  # (C,) int64: a core has late + 1 rows of accumulators, a power of two
    keep_u: Array  # (P,) int32, in 4096ths
    keep_v: Array  # (P,) int32
    bias: Array  # (P,) int32
    threshold: Array  # (P,) int32
    v_min: Array  # (P,) int32
    v_max: Array  # (P,) int32
    refractory: Array  # (P,) int32
    synapses: Array  # (B + 1,) int64, where those of an axon begin
    compartment: Array  # (S,) uint16, in its core
    delay: Array  # (S,) uint8
    targets: Array  # (P + 1,) int64, where those of a compartment begin
    to: Array  # (K,) int64: an axon of the chip, or ~pin
    hops: Array  # (K, 2) int32 of a spike
    input_first: Array  # (inputs + 1,) int64
    input_axon: Array  # (k,) int64
    input_delay: Array  # (k,) int64
    learns: Array  # (C,) bool
    plastic: Array  # (B,) bool
    exponent: Array  # (B,) int8
    spare: Array  # (B,) uint8: weights are multiples of 2^spare
    least: Array  # (B,) int16
    most: Array  # (B,) int16
    epoch: Array  # (C,) int64
    impulse: Array  # (C, 2) int64, of x1 and y1
    power: Array  # (C, 2, T + 1) int64: what t ticks leave of x1 and y1, in 2^-16
    rate: Array  # (C, 2) int64: a_plus and a_minus in 128ths of a weight
    seed: Array  # (C,) uint32
    room: int  # all compartments that are no padding


class State(NamedTuple):
    """What is remembered from tick to tick. Two names of one memory end in 8 and 64."""

    u: Array  # (P,) int32
    v: Array  # (P,) int32
    waits: Array  # (P,) int32: so many ticks is v held at 0
    acc: Array  # (Q,) int32, rows of accumulators: what arrives in tick n is in row n & late
    until: Array  # (C,) int64: after this tick the accumulators of a core are empty
    ring8: Array  # (R, B) uint8: row n % R counts the spikes of tick n for each axon
    ring64: Array  # (R, B/8) uint64
    weight: Array  # (S,) int16
    current: Array  # (S,) int32, what a spike adds
    x1: Array  # (B,) uint8
    tx: Array  # (B,) uint8: the tick of the epoch, from 1, in which an axon last had a spike; 0: in none
    y1: Array  # (P,) uint8
    ty: Array  # (P,) uint8
    quiet: Array  # (C,) bool: nothing will happen here before the next spike
    traced: Array  # (C,) bool: some trace is not 0, or some spike is in the epoch
    counters: Array  # (7,) int64, as `COUNTERS` names them
    fires: Array  # (P,) uint32, how often each compartment has fired; (0,) where nobody wants to know


class Scratch(NamedTuple):
    """Room to work in; nothing in it outlives a tick."""

    flags8: Array  # (P,) bool, who fires
    flags64: Array  # (P/8,) uint64
    pins: Array  # (ceil(outputs/64),) uint64


def _starts(first: Array, to: int) -> Array:
    """Return where cores begin if each takes a multiple of ``to``."""
    sizes = -(-np.diff(first) // to) * to
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _moved(first: Array, starts: Array) -> Array:
    """Return where each one of a core, one after the other, comes to lie."""
    each = np.arange(first[-1])
    core = np.searchsorted(first, each, side="right") - 1
    return np.asarray(starts[core] + each - first[core])


def _spread(values: Array, where: Array, size: int, kind: str, fill: int = 0) -> Array:
    """Return (size,) with ``values`` at ``where`` and ``fill`` elsewhere."""
    made = np.full(size, fill, kind)
    made[where] = values
    return made


def _rows(first: Array, where: Array, size: int) -> Array:
    """Return where the rows begin, (size + 1,), if row i of ``first`` becomes row ``where[i]``, others being empty."""
    lengths = np.zeros(size, np.int64)
    lengths[where] = np.diff(first)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _power_of_two(least: int) -> int:
    return 1 << max(0, int(least) - 1).bit_length()


def _late(p: Params) -> Array:
    """Return for each core one less than its rows of accumulators."""
    late = np.zeros(len(p.core_xy), np.int64)
    for core in range(len(late)):
        begin, end = p.first_synapse[p.first_axon[core]], p.first_synapse[p.first_axon[core + 1]]
        late[core] = _power_of_two(int(p.delay[begin:end].max(initial=0)) + 1) - 1
    return late


def _targets(p: Params, where: Array) -> tuple[Array, Array]:
    """Return the axon of the chip or ~pin of each target, and the hops to it, (K, 2) int32."""
    on_core = p.target_core >= 0
    core = np.where(on_core, p.target_core, 0)
    axon = np.where(on_core, p.first_axon[core] + p.target_axon, 0)
    to = ~p.target_axon.astype(np.int64)
    to[on_core] = where[axon[on_core]]
    source = np.repeat(np.arange(len(p.du)), np.diff(p.first_target))
    home = np.searchsorted(p.first_compartment, source, side="right") - 1
    far = np.abs(p.core_xy[core] - p.core_xy[home])
    return to, np.where(on_core[:, None], far, 0).astype(np.int32)


def powers(decay: int, ticks: int) -> Array:
    """Return what 0 .. ``ticks`` ticks of a decay leave of 1, in 2^-16."""
    left = [1 << FRACTION]
    for _ in range(ticks):
        left.append((left[-1] * (UNIT - decay) + UNIT // 2) // UNIT)
    return np.array(left, np.int64)


def _power_table(p: Params) -> Array:
    both = np.stack([p.x1_decay, p.y1_decay], axis=1)
    decays, which = np.unique(both, return_inverse=True)
    table = np.array([powers(int(decay), int(p.epoch.max())) for decay in decays], np.int64)
    return table[which.reshape(both.shape)]


def _rates(p: Params) -> Array:
    plus = p.a_plus.astype(np.int64) << (p.a_plus_exponent.astype(np.int64) + 7)
    minus = p.a_minus.astype(np.int64) << (p.a_minus_exponent.astype(np.int64) + 7)
    return np.stack([plus, minus], axis=1)


def _inputs(p: Params, where: Array) -> tuple[Array, Array, Array]:
    first = np.searchsorted(p.inputs[:, 0], np.arange(p.input_count + 1)).astype(np.int64)
    axon = where[p.first_axon[p.inputs[:, 1]] + p.inputs[:, 2]]
    return first, axon.astype(np.int64), p.inputs[:, 3].astype(np.int64)


def design(params: Params) -> Coeffs:
    """Return what a tick reads, copied from ``params``."""
    p = params
    starts, axons = _starts(p.first_compartment, 32), _starts(p.first_axon, 8)
    here, there = _moved(p.first_compartment, starts), _moved(p.first_axon, axons)
    size, count = int(starts[-1]), int(axons[-1])
    late = _late(p)
    to, hops = _targets(p, there)
    first, input_axon, input_delay = _inputs(p, there)
    learns = np.add.reduceat(np.append(p.plastic, False).astype(np.int64), p.first_axon[:-1]) > 0
    return Coeffs(
        compartments=starts,
        axons=axons,
        places=np.concatenate([[0], np.cumsum(np.diff(starts) * (late + 1))]).astype(np.int64),
        late=late,
        keep_u=_spread(UNIT - 1 - p.du.astype(np.int32), here, size, "i4"),
        keep_v=_spread(UNIT - p.dv.astype(np.int32), here, size, "i4"),
        bias=_spread(p.bias.astype(np.int32) << p.bias_exponent, here, size, "i4"),
        threshold=_spread(p.threshold.astype(np.int32) << 6, here, size, "i4"),
        v_min=_spread(p.v_min, here, size, "i4"),
        v_max=_spread(p.v_max, here, size, "i4"),
        refractory=_spread(p.refractory, here, size, "i4"),
        synapses=_rows(p.first_synapse, there, count),
        compartment=p.compartment.astype(np.uint16),
        delay=np.array(p.delay),
        targets=_rows(p.first_target, here, size),
        to=to,
        hops=hops,
        input_first=first,
        input_axon=input_axon,
        input_delay=input_delay,
        learns=learns & (np.diff(p.first_axon) > 0),
        plastic=_spread(p.plastic, there, count, "?"),
        exponent=_spread(p.weight_exponent, there, count, "i1"),
        spare=_spread(p.weight_spare, there, count, "u1"),
        least=_spread(p.weight_least, there, count, "i2"),
        most=_spread(p.weight_most, there, count, "i2"),
        epoch=p.epoch.astype(np.int64),
        impulse=np.stack([p.x1_impulse, p.y1_impulse], axis=1).astype(np.int64),
        power=_power_table(p),
        rate=_rates(p),
        seed=np.array(p.seed),
        room=len(p.du),
    )


def init(params: Params) -> State:
    """Return a chip before its first tick."""
    p = params
    size, count = int(_starts(p.first_compartment, 32)[-1]), int(_starts(p.first_axon, 8)[-1])
    late, widths = _late(p), np.diff(_starts(p.first_compartment, 32))
    rows = _power_of_two(max(2, int(p.inputs[:, 3].max(initial=0)) + 1))
    ring = np.zeros((rows, count), np.uint8)
    return State(
        u=np.zeros(size, np.int32),
        v=np.zeros(size, np.int32),
        waits=np.zeros(size, np.int32),
        acc=np.zeros(int((widths * (late + 1)).sum()), np.int32),
        until=np.full(len(late), -(2**62), np.int64),
        ring8=ring,
        ring64=ring.view(np.uint64),
        weight=np.array(p.weight),
        current=np.array(p.current),
        x1=np.zeros(count, np.uint8),
        tx=np.zeros(count, np.uint8),
        y1=np.zeros(size, np.uint8),
        ty=np.zeros(size, np.uint8),
        quiet=np.zeros(len(late), np.bool_),
        traced=np.zeros(len(late), np.bool_),
        counters=np.zeros(len(COUNTERS), np.int64),
        fires=np.zeros(0, np.uint32),
    )


def scratch(params: Params) -> Scratch:
    """Return room for one thread to work in."""
    flags = np.zeros(int(_starts(params.first_compartment, 32)[-1]), np.bool_)
    return Scratch(flags, flags.view(np.uint64), np.zeros(-(-params.outputs // 64), np.uint64))
