"""What a chip of crossbar cores is made of in memory, and how its parameters become that.

Bit rows of synapses are bytes, so that a table of 256 turns a byte into eight counters of a byte each and one addition
counts eight neurons. All per-neuron arrays are padded to whole groups of 32 with neurons that never do anything. What
many cores have alike, weights above all, is kept once: a large chip costs by the memory that a tick walks over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spikestream.kernels import Array

ROWS = 16
"""Of the ring of spikes under way; a delay is up to 15 ticks."""
TYPES = 4
LOW_20, HIGH_20 = -(2**19), 2**19 - 1
LOW_32, HIGH_32 = -(2**31), 2**31 - 1
PLAIN, TURNING, RANDOM = 0, 1, 2
"""Kinds of cores: nothing drawn; the same with leaks that turn with the sign of V; something drawn."""
NOWHERE, PIN = -1, -2
"""Targets that are no core."""
CLAMPS = 4
"""Bit of a mode beside the reset mode 0, 1, 2: V is held at the floor."""
SHARED = ("weights", "chances", "leak", "turns", "leak_draws", "threshold", "threshold_bits", "low")
WEIGHTS, CHANCES, LEAK, TURNS, LEAK_DRAWS, THRESHOLD, BITS, LOW = range(len(SHARED))
COUNTERS = ("synaptic_operations", "axon_events", "neuron_updates", "spikes", "hops_x", "hops_y", "dropped")
OPERATIONS, EVENTS, UPDATES, SPIKES, HOPS_X, HOPS_Y, DROPPED = range(len(COUNTERS))
PINS, BUSY = 2, 3
"""Places of `Post.sent` beside those of the two halves of the chip."""
LINE = 16
"""int64 in two lines of a cache: what two threads write is so far apart."""


@dataclass(frozen=True)
class Params:
    """C cores of A axons and N neurons; names as in `spikestream.model.placement.Placement`, where each is told."""

    axon_type: Array  # (C, A) uint8
    synapses: Array  # (C, A, ceil(N/8)) uint8, the first neuron in the lowest bit
    weights: Array  # (C, N, 4) int16
    random_weights: Array  # (C, N, 4) bool
    leak: Array  # (C, N) int16
    random_leak: Array  # (C, N) bool
    leak_reversal: Array  # (C, N) bool
    threshold: Array  # (C, N) int32
    threshold_bits: Array  # (C, N) uint8
    floor: Array  # (C, N) int32
    floor_clamps: Array  # (C, N) bool
    reset: Array  # (C, N) int32
    reset_mode: Array  # (C, N) uint8
    v0: Array  # (C, N) int32
    target_core: Array  # (C, N) int32, NOWHERE or PIN
    target_axon: Array  # (C, N) int32
    delay: Array  # (C, N) uint8
    seed: Array  # (C,) uint32
    saturates: bool  # at 20 bits; else V wraps at 32
    floor_included: bool  # V at the floor counts as below it
    outputs: int
    core_xy: Array  # (C, 2) int32
    bus_xy: tuple[int, int]


class Coeffs(NamedTuple):
    """What a tick reads; P is N padded to a multiple of 32. Arrays (K, ...) hold what K kinds of cores have alike."""

    kind: Array  # (C,) uint8
    still: Array  # (C,) bool: without input nothing moves but what crosses a threshold
    rows: Array  # (C, A, P/8) uint8
    axons: Array  # (C, A) uint16: 4 times the synapses of an axon, plus its type
    own: Array  # (C, 8) int32: which of each of `SHARED` a core has
    weights: Array  # (K, 4, P) int16, 0 where they are drawn
    chances: Array  # (K, 4, P) int16, 0 where they are not
    draws: Array  # (C, 4) bool: some weight of that type is drawn
    leak: Array  # (K, P) int16
    turns: Array  # (K, P) bool
    leak_draws: Array  # (K, P) bool
    threshold: Array  # (K, P) int32
    threshold_bits: Array  # (K, P) uint8
    low: Array  # (K, P) int32: below it V is below the floor
    records: Array  # (C, 2 P) int64: where a spike goes, as `_targets` says, and what comes after it, as `_after` says
    seed: Array  # (C,) uint32
    table: Array  # (256,) uint64: the bits of a byte as bytes of 0 and 1
    least: np.int32
    most: np.int32
    included: int  # V at the floor is below it: floor = included - low
    neurons: int  # C N


class State(NamedTuple):
    """What is remembered from tick to tick."""

    v: Array  # (C, P) int32
    ring: Array  # (16, C, ceil(A/64)) uint64: row t % 16 holds the axons that are active in tick t
    quiet: Array  # (C,) bool: nothing will happen here before the next input
    counters: Array  # (7,) int64, as `COUNTERS` names them
    fires: Array  # (C, P) uint32, how often each neuron has fired; (0, 0) where nobody wants to know


class Scratch(NamedTuple):
    """Room for one thread to work in; nothing in it outlives a tick. Two names of one memory end in 8 and 64."""

    acc: Array  # (P,) int32
    count8: Array  # (4, P) uint8
    count64: Array  # (4, P/8) uint64
    flags8: Array  # (P,) bool
    flags64: Array  # (P/8,) uint64
    found: Array  # (P,) int32, who is flagged
    pins: Array  # (ceil(outputs/64),) uint64


class Post(NamedTuple):
    """What T threads hand to each other. Two of them take turns in two ticks: one reads what the other has written."""

    fired: Array  # (T, T, 3, n) int64: by thread and turn, where spikes go: to cores of either half, and elsewhere
    sent: Array  # (T, T, LINE) int64: how many of each, and whether anything went on
    counts: Array  # (T, LINE) int64: `COUNTERS` since the run began


def _whole(neurons: int) -> int:
    return -(-neurons // 32) * 32


def _padded(array: Array, neurons: int, fill: int) -> Array:
    """Return a copy (C, neurons) of an array (C, N)."""
    made = np.full((len(array), neurons), fill, array.dtype)
    made[:, : array.shape[1]] = array
    return made


def _by_type(array: Array, neurons: int) -> Array:
    """Return (C, 4, neurons) of (C, N, 4)."""
    made = np.zeros((len(array), TYPES, neurons), np.int16)
    made[:, :, : array.shape[1]] = array.transpose(0, 2, 1)
    return made


def _rows(synapses: Array, width: int) -> Array:
    """Return a copy (C, A, width) of bit rows."""
    made = np.zeros((*synapses.shape[:2], width), np.uint8)
    made[:, :, : synapses.shape[2]] = synapses
    return made


def _kinds(p: Params) -> Array:
    """Return the kind of each core: what it has no use for costs it nothing."""
    drawn = p.random_weights.any(axis=(1, 2)) | p.random_leak.any(axis=1) | (p.threshold_bits > 0).any(axis=1)
    turning = p.leak_reversal.any(axis=1)
    return np.where(drawn, RANDOM, np.where(turning, TURNING, PLAIN)).astype(np.uint8)


def _targets(p: Params) -> Array:
    """Return (C, N) int64: core 2^32 + axon 2^8 + delay, NOWHERE, or ~(pin 2^8 + 255) for a pin."""
    core, axon = p.target_core.astype(np.int64), p.target_axon.astype(np.int64)
    to = (core << 32) + (axon << 8) + p.delay
    return np.where(core >= 0, to, np.where(core == PIN, ~((axon << 8) + 255), NOWHERE))


def _hops(p: Params) -> Array:
    """Return (2, C, N) int64: how far a spike goes along x and y; outputs that sit nowhere are no way off."""
    here = np.asarray(p.core_xy, np.int64)[:, None]
    bus = np.where(min(p.bus_xy) < 0, here, np.array(p.bus_xy))
    there = np.where((p.target_core == PIN)[:, :, None], bus, p.core_xy[np.maximum(p.target_core, 0)])
    return np.asarray(np.where(p.target_core == NOWHERE, 0, np.moveaxis(np.abs(there - here), 2, 0)))


def _after(p: Params) -> Array:
    """Return (C, N) int64: hops along x in 12 bits and along y in 12, reset in 32, mode and CLAMPS in 8."""
    mode = (p.reset_mode + CLAMPS * p.floor_clamps).astype(np.int64)
    x, y = _hops(p)
    return np.asarray((x << 52) | (y << 40) | ((p.reset.astype(np.int64) & 0xFFFFFFFF) << 8) | mode)


def _records(p: Params, neurons: int) -> Array:
    """Return what only a neuron that crosses needs, side by side: one look into memory."""
    both = np.stack([_padded(_targets(p), neurons, NOWHERE), _padded(_after(p), neurons, 0)], axis=2)
    return both.reshape(len(both), 2 * neurons)


def _axons(p: Params) -> Array:
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
    synapses = bits[p.synapses].sum(axis=2, dtype=np.uint16)
    return np.asarray((synapses << 2) | p.axon_type, np.uint16)


def _once(arrays: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Return (C, arrays) which of the different rows of each array is whose, and those rows."""
    kept, own = {}, []
    for name, array in arrays.items():
        numbers: dict[bytes, int] = {}
        which = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in array], np.int32)
        own.append(which)
        kept[name] = np.ascontiguousarray(array[np.unique(which, return_index=True)[1]])
    return np.ascontiguousarray(np.stack(own, axis=1)), kept


def _shared(p: Params, neurons: int) -> dict[str, Array]:
    """Return the arrays of `SHARED`, of every core its own."""
    drawn = p.random_weights.astype(bool)
    low = -p.floor.astype(np.int64) + int(p.floor_included)
    return {
        "weights": _by_type(np.where(drawn, 0, p.weights), neurons),
        "chances": _by_type(np.where(drawn, p.weights, 0), neurons),
        "leak": _padded(p.leak, neurons, 0),
        "turns": _padded(p.leak_reversal, neurons, False),
        "leak_draws": _padded(p.random_leak, neurons, False),
        "threshold": _padded(p.threshold, neurons, HIGH_32),
        "threshold_bits": _padded(p.threshold_bits, neurons, 0),
        "low": _padded(low.astype(np.int32), neurons, LOW_32),
    }


def design(params: Params) -> Coeffs:
    """Return what a tick reads, copied from ``params``."""
    p, neurons = params, _whole(params.leak.shape[1])
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    kind = _kinds(p)
    own, kept = _once(_shared(p, neurons))
    return Coeffs(
        kind=kind,
        still=(kind == PLAIN) & ~p.leak.any(axis=1),
        rows=_rows(p.synapses, neurons // 8),
        axons=_axons(p),
        own=own,
        draws=np.asarray(p.random_weights.any(axis=1)),
        records=_records(p, neurons),
        seed=np.array(p.seed),
        table=np.ascontiguousarray(bits).view(np.uint64).ravel(),
        least=np.int32(LOW_20 if p.saturates else LOW_32),
        most=np.int32(HIGH_20 if p.saturates else HIGH_32),
        included=int(p.floor_included),
        neurons=p.leak.size,
        **kept,
    )


def init(params: Params) -> State:
    """Return a chip before its first tick."""
    cores, axons = params.axon_type.shape
    return State(
        v=_padded(params.v0, _whole(params.leak.shape[1]), 0),
        ring=np.zeros((ROWS, cores, -(-axons // 64)), np.uint64),
        quiet=np.zeros(cores, np.bool_),
        counters=np.zeros(len(COUNTERS), np.int64),
        fires=np.zeros((0, 0), np.uint32),
    )


def scratch(params: Params) -> Scratch:
    """Return room for one thread to work in."""
    neurons = _whole(params.leak.shape[1])
    count, flags = np.zeros((TYPES, neurons), np.uint8), np.zeros(neurons, np.bool_)
    return Scratch(
        acc=np.zeros(neurons, np.int32),
        count8=count,
        count64=count.view(np.uint64),
        flags8=flags,
        flags64=flags.view(np.uint64),
        found=np.zeros(neurons, np.int32),
        pins=np.zeros(-(-params.outputs // 64), np.uint64),
    )


def post(params: Params, threads: int) -> Post:
    """Return where 1 or 2 threads lay down their spikes."""
    cores = -(-len(params.seed) // threads)
    fired = np.zeros((threads, threads, 3, cores * _whole(params.leak.shape[1])), np.int64)
    sent = np.zeros((threads, threads, LINE), np.int64)
    return Post(fired=fired, sent=sent, counts=np.zeros((threads, LINE), np.int64))


def alone(post: Post) -> Post:
    """Return the same memory for one thread."""
    return Post(fired=post.fired.reshape(1, 1, 3, -1), sent=post.sent[:1, :1], counts=post.counts[:1])
