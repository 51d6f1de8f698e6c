"""A timed net as neurons and the axons they need: an axon is a source, how late its spikes come, and a type."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spikestream.model.compile.net import TYPES, Array, Net

LATE = 16
"""Delays in an axon's number."""


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """n neurons, numbered through the groups, and k axons; sources are inputs, then neurons, then whole groups."""

    group: Array  # (n,) int64, the number of each neuron's group
    own: Array  # (n,) int64, its number there
    pin: Array  # (n,) int64, the output it is, -1 for none
    alive: Array  # (n,) bool: it is an output, or something hears it that is alive
    source: Array  # (k,) int64, of each axon
    ticks: Array  # (k,) int64, how long its spikes are under way
    type: Array  # (k,) int64
    first: Array  # (n + 1,) int64: neuron u is on axons[first[u]:first[u + 1]], ascending
    axons: Array  # int64
    inputs: int
    groups: tuple[Array, ...]  # the neurons of each group, any of which may make an axon active

    def senders(self, axon: int) -> Array:
        """Return the neurons that send to an axon, none where an input does."""
        number = int(self.source[axon]) - self.inputs
        if number >= len(self.pin):
            return self.groups[number - len(self.pin)]
        return np.arange(number, number + 1) if number >= 0 else np.zeros(0, np.int64)

    def of(self, neuron: int) -> Array:
        """Return the axons a neuron is on."""
        return np.asarray(self.axons[self.first[neuron] : self.first[neuron + 1]])


def units_of(net: Net) -> Units:
    """Return neurons and axons of a timed net."""
    sizes = [one.size for one in net.groups]
    begins, count = net.begins(), net.input_count
    neuron, code = _synapses(net, begins)
    codes, axon = np.unique(code, return_inverse=True)
    order = np.lexsort((axon, neuron))
    first = np.searchsorted(neuron[order], np.arange(sum(sizes) + 1))
    source = codes // (LATE * TYPES)
    edges = np.cumsum([0, *sizes])
    groups = tuple(np.arange(*pair) for pair in pairwise(edges.tolist()))
    pin = np.full(sum(sizes), -1)
    number = 0
    for name in net.outputs:
        size, begin = net.group(name).size, begins[name] - count
        pin[begin : begin + size] = np.arange(number, number + size)
        number += size
    return Units(
        group=np.repeat(np.arange(len(sizes)), sizes),
        own=np.concatenate([np.arange(size) for size in sizes]),
        pin=pin,
        alive=_alive(pin >= 0, source[axon] - count, neuron, groups),
        source=source,
        ticks=codes // TYPES % LATE,
        type=codes % TYPES,
        first=first,
        axons=axon[order],
        inputs=count,
        groups=groups,
    )


def _synapses(net: Net, begins: dict[str, int]) -> tuple[Array, Array]:
    """Return neuron and axon of each synapse, an axon as source, ticks and type in one number."""
    neurons, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    names = [one.name for one in net.groups]
    every = net.input_count + sum(one.size for one in net.groups)
    for join in net.joins:
        source, target = join.pre + begins[join.source], join.post + (begins[join.target] - net.input_count)
        if join.any:
            source = np.full(len(target), every + names.index(join.source))
        for kind in range(TYPES):
            on = (join.mask >> kind) & 1 == 1
            neurons.append(target[on])
            codes.append((source[on] * LATE + net.ticks(join)) * TYPES + kind)
    return np.concatenate(neurons), np.concatenate(codes)


def _alive(outputs: Array, source: Array, target: Array, groups: tuple[Array, ...]) -> Array:
    """Return which neurons matter to an output; synapses come from ``source``, below 0 from an input."""
    alive = outputs.copy()
    while True:
        heard = np.unique(source[alive[target] & (source >= 0)])
        whole = [groups[number - len(alive)] for number in heard if number >= len(alive)]
        heard = np.concatenate([heard[heard < len(alive)], *whole])
        if alive[heard].all():
            return np.asarray(alive)
        alive[heard] = True
