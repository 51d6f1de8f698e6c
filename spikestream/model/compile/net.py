"""A network in whole numbers: what a circuit has become once a crossbar chip can compute it, wherever it will sit.

Order inside step n, groups in their order; names as in `spikestream.model.placement`:

    input   V += sum over joins of w · s(n - delay), w the sum of the target's ``weights`` of the types in ``mask``
    leak    V += leak, or leak · sgn(V) with ``reversal``;  V keeps to 20 bits after each of the two lines
    fire    V >= threshold: a spike, and V = reset, or with ``subtract`` V - threshold
    floor   otherwise V < -floor: V = -floor

A join with delay 0 is heard in the same step, so its source comes before its target. On the chip a group does in tick
n + latency what it does here in step n; joins arrive ``delay`` + the difference of latencies after they left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

CELLS, RELAYS = "cells", "relays"
"""What a group stands for: cells of the circuit, or spikes that are passed on."""
TYPES = 4
BITS = np.array([bin(code).count("1") for code in range(1 << TYPES)])
"""How many types there are in a mask."""
LOWEST, HIGHEST = -(2**19), 2**19 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Neurons of one kind; all arrays (size,) but ``weights``."""

    name: str
    weights: Array  # (size, 4) int64, by axon type
    leak: Array  # int64
    reversal: Array  # bool
    threshold: Array  # int64
    floor: Array  # int64, the negative threshold is minus this
    reset: Array  # int64
    subtract: Array  # bool
    v0: Array  # int64
    kind: str = CELLS
    latency: int = 0  # ticks after the step they belong to

    @property
    def size(self) -> int:
        """Return how many neurons there are."""
        return len(self.leak)


@dataclass(frozen=True, slots=True, eq=False)
class Join:
    """Synapses from an input or a group onto a group, row by row of the source (CSR), heard ``delay`` steps later."""

    source: str
    target: str
    delay: int
    first: Array  # (source + 1,) int64
    post: Array  # (k,) int32
    mask: Array  # (k,) uint8, bit g: it sits on an axon of type g; none is 0
    any: bool = False  # the one row is heard, once, when any of the source's neurons fires

    @property
    def pre(self) -> Array:
        """Return the source of each synapse, (k,) int64."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))


@dataclass(frozen=True, slots=True, eq=False)
class Net:
    """Inputs (name, size), groups, joins; ``outputs`` are groups, numbered one after the other as inputs are."""

    inputs: tuple[tuple[str, int], ...]
    groups: tuple[Group, ...]
    joins: tuple[Join, ...]
    outputs: tuple[str, ...]

    @property
    def input_count(self) -> int:
        """Return how many inputs there are."""
        return sum(size for _, size in self.inputs)

    def group(self, name: str) -> Group:
        """Return the group of a name."""
        return next(one for one in self.groups if one.name == name)

    def latency(self, name: str) -> int:
        """Return the latency of an input or a group, ticks."""
        return 0 if any(name == own for own, _ in self.inputs) else self.group(name).latency

    def ticks(self, join: Join) -> int:
        """Return how long a spike of a join is under way on the chip, ticks."""
        return join.delay + self.latency(join.target) - self.latency(join.source)

    def begins(self) -> dict[str, int]:
        """Return the number of the first neuron of each source: inputs from 0 on, then groups."""
        numbers, begin = {}, 0
        for name, size in [*self.inputs, *((one.name, one.size) for one in self.groups)]:
            numbers[name] = begin
            begin += size
        return numbers


def masked(weights: Array, mask: Array) -> Array:
    """Return the weight of synapses (k,) that sit on axons of the types in ``mask`` (k,); ``weights`` are (k, 4)."""
    bits = (mask[:, None] >> np.arange(TYPES)) & 1
    return np.asarray((weights * bits).sum(axis=1))


def identity(size: int) -> tuple[Array, Array, Array]:
    """Return the rows of a join from each of ``size`` sources to its own target, on axons of type 0."""
    return np.arange(size + 1), np.arange(size, dtype=np.int32), np.ones(size, np.uint8)


def relays(name: str, size: int) -> Group:
    """Return neurons that spike when their one axon, of type 0, does."""
    zeros = np.zeros(size, np.int64)
    weights = np.zeros((size, TYPES), np.int64)
    weights[:, 0] = 1
    flags = np.zeros(size, bool)
    return Group(name, weights, zeros, flags, zeros + 1, zeros, zeros, flags, zeros, RELAYS)
