"""What a chip of crossbar cores is made of in memory, and how its parameters become that.

Bit rows of synapses are bytes, so that a table of 256 turns a byte into eight counters of a byte each and one addition
counts eight neurons. All per-neuron arrays are padded to whole groups of 32 with neurons that never do anything.
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


class Coeffs(NamedTuple):
    """What a tick reads; P is N padded to a multiple of 32."""

    kind: Array  # (C,) uint8
    still: Array  # (C,) bool: without input nothing moves but what crosses a threshold
    rows: Array  # (C, A, P/8) uint8
    axon_type: Array  # (C, A) uint8
    weights: Array  # (C, 4, P) int16, 0 where they are drawn
    chances: Array  # (C, 4, P) int16, 0 where they are not
    draws: Array  # (C, 4) bool: some weight of that type is drawn
    leak: Array  # (C, P) int16
    turns: Array  # (C, P) bool
    leak_draws: Array  # (C, P) bool
    threshold: Array  # (C, P) int32
    threshold_bits: Array  # (C, P) uint8
    low: Array  # (C, P) int32: below it V is below the floor
    records: Array  # (C, 2 P) int64: where a spike goes, as `_targets` says; reset 2^8 + reset mode, plus CLAMPS
    seed: Array  # (C,) uint32
    table: Array  # (256,) uint64: the bits of a byte as bytes of 0 and 1
    least: np.int32
    most: np.int32
    included: int  # V at the floor is below it: floor = included - low


class State(NamedTuple):
    """What is remembered from tick to tick."""

    v: Array  # (C, P) int32
    ring: Array  # (C, 16, ceil(A/64)) uint64: row t % 16 holds the axons that are active in tick t
    quiet: Array  # (C,) bool: nothing will happen here before the next input


class Scratch(NamedTuple):
    """Room to work in; nothing in it outlives a tick. Two names of one memory end in 8 and 64."""

    acc: Array  # (P,) int32
    count8: Array  # (4, P) uint8
    count64: Array  # (4, P/8) uint64
    flags8: Array  # (P,) bool
    flags64: Array  # (P/8,) uint64
    found: Array  # (P,) int32, who is flagged
    fired: Array  # (C P,) int64, where the spikes of the whole chip go
    pins: Array  # (ceil(outputs/64),) uint64


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


def _records(p: Params, neurons: int) -> Array:
    """Return what only a neuron that crosses needs, side by side: one look into memory."""
    mode = p.reset_mode + CLAMPS * p.floor_clamps
    after = (p.reset.astype(np.int64) << 8) + mode.astype(np.int64)
    both = np.stack([_padded(_targets(p), neurons, NOWHERE), _padded(after, neurons, 0)], axis=2)
    return both.reshape(len(both), 2 * neurons)


def design(params: Params) -> Coeffs:
    """Return what a tick reads, copied from ``params``."""
    p, neurons = params, _whole(params.leak.shape[1])
    drawn = p.random_weights.astype(bool)
    low = -p.floor.astype(np.int64) + int(p.floor_included)
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    kind = _kinds(p)
    return Coeffs(
        kind=kind,
        still=(kind == PLAIN) & ~p.leak.any(axis=1),
        rows=_rows(p.synapses, neurons // 8),
        axon_type=np.array(p.axon_type),
        weights=_by_type(np.where(drawn, 0, p.weights), neurons),
        chances=_by_type(np.where(drawn, p.weights, 0), neurons),
        draws=np.asarray(drawn.any(axis=1)),
        leak=_padded(p.leak, neurons, 0),
        turns=_padded(p.leak_reversal, neurons, False),
        leak_draws=_padded(p.random_leak, neurons, False),
        threshold=_padded(p.threshold, neurons, HIGH_32),
        threshold_bits=_padded(p.threshold_bits, neurons, 0),
        low=_padded(low.astype(np.int32), neurons, LOW_32),
        records=_records(p, neurons),
        seed=np.array(p.seed),
        table=np.ascontiguousarray(bits).view(np.uint64).ravel(),
        least=np.int32(LOW_20 if p.saturates else LOW_32),
        most=np.int32(HIGH_20 if p.saturates else HIGH_32),
        included=int(p.floor_included),
    )


def init(params: Params) -> State:
    """Return a chip before its first tick."""
    cores, axons = params.axon_type.shape
    return State(
        v=_padded(params.v0, _whole(params.leak.shape[1]), 0),
        ring=np.zeros((cores, ROWS, -(-axons // 64)), np.uint64),
        quiet=np.zeros(cores, np.bool_),
    )


def scratch(params: Params) -> Scratch:
    """Return room for one thread to work in."""
    cores, neurons = len(params.seed), _whole(params.leak.shape[1])
    count, flags = np.zeros((TYPES, neurons), np.uint8), np.zeros(neurons, np.bool_)
    return Scratch(
        acc=np.zeros(neurons, np.int32),
        count8=count,
        count64=count.view(np.uint64),
        flags8=flags,
        flags64=flags.view(np.uint64),
        found=np.zeros(neurons, np.int32),
        fired=np.zeros(cores * neurons, np.int64),
        pins=np.zeros(-(-params.outputs // 64), np.uint64),
    )
