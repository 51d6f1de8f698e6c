"""Neurons that need more axons than a core has: their weakest inputs are summed by neurons of their own, or refused.

The strongest inputs stay. Of the rest each sign goes to parts that sum it up: neurons without leak, which spike when
they have gathered a portion, keep what is left over, and so move their neuron by that portion, up or down. In the long
run nothing is missed but what the leak would have taken meanwhile; at any time a part holds back less than a portion,
and one that gathers more than a portion a step lags behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spikestream.errors import ModelError
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.compile.lateral import lateral_of
from spikestream.model.compile.net import BITS, Array, Net
from spikestream.model.compile.options import Options

PORTION = 1 / 8
"""Of the way from reset to threshold, at least the largest weight: what a part gathers before it spikes."""
TYPES_OF_PARTS = 2
"""Axons for an input that is summed in parts, and for one that stays, unless options say."""
TOLD = "the weakest inputs are summed in parts that spike"


@dataclass(slots=True, eq=False)
class _Synapses:
    """What cells hear of links that may be divided, one by one, and where each synapse is to go: part -1 stays."""

    link: Array
    pre: Array
    post: Array
    weight: Array
    part: Array


def divided(circuit: Circuit, options: Options) -> tuple[Circuit, dict[str, int]]:
    """Return the circuit in which all fit, and how many parts the cells of a name have; raises `ModelError`."""
    made: dict[str, int] = {}
    for cells in circuit.cells:
        links = [link for link in circuit.links if link.target == cells.name]
        plain, lateral = lateral_of(cells, links, options)
        room = options.axons - (lateral is not None)
        counts = np.zeros(cells.size, np.int64)
        for link in plain:
            counts += np.bincount(link.post, minlength=cells.size)
        most = int(counts.max(initial=0)) * (options.types(cells.name) or 1)
        if most <= room or options.fan_in == "prune":
            continue
        if options.fan_in == "refuse":
            raise _too_many(cells.name, most, options)
        circuit, made[cells.name] = _divided(circuit, cells, plain, room, options)
    return circuit, made


def _too_many(name: str, most: int, options: Options) -> ModelError:
    text = f"a neuron of '{name}' needs {most:,} axons or more, and a core has {options.axons:,}"
    remedy = "fewer inputs (pool or downsample), fan_in='prune' (the strongest only), or fan_in='split'"
    return ModelError(text, remedy=remedy)


def _divided(circuit: Circuit, cells: Cells, links: Sequence[Link], room: int, options: Options) -> tuple[Circuit, int]:
    own = [link for link in links if link.source != cells.name]  # a loop has no time for parts
    types = min(options.types(cells.name) or TYPES_OF_PARTS, options.axons)
    fixed = sum((np.bincount(x.post, minlength=cells.size) for x in links if x not in own), np.zeros(cells.size, int))
    synapses = _listed(own)
    count = _share_out(synapses, room - types * fixed, types, options.axons // types)
    if count < 0:
        raise _too_many(cells.name, int(room + 1), options)
    name = f"{cells.name} parts"
    sign, parent = np.ones(count), np.zeros(count, np.int64)
    inside = synapses.part >= 0
    sign[synapses.part[inside]] = np.sign(synapses.weight[inside])
    parent[synapses.part[inside]] = synapses.post[inside]
    largest = np.zeros(count)
    np.maximum.at(largest, synapses.part[inside], np.abs(synapses.weight[inside]))
    way = PORTION * (cells.threshold - cells.reset_to) / np.where(cells.gain == 0, 1, cells.gain)
    portion = np.maximum(largest, np.abs(way[parent]))
    parts = Cells(name, (count,), decay=1.0, threshold=portion, reset="subtract", at_threshold=True)
    changed = [_direct(link, synapses, k, cells.size) for k, link in enumerate(own)]
    changed += [_summed(link, synapses, k, name) for k, link in enumerate(own)]
    changed.append(Link(name, cells.name, np.arange(count + 1), parent, sign * portion))
    others = [link for link in circuit.links if link not in own]
    place = [one.name for one in circuit.cells].index(cells.name)
    every = (*circuit.cells[:place], parts, *circuit.cells[place:])
    return Circuit(circuit.inputs, every, (*others, *changed), circuit.outputs, circuit.step_us), count


def _listed(links: Sequence[Link]) -> _Synapses:
    pre = [np.repeat(np.arange(len(link.first) - 1), np.diff(link.first)) for link in links]
    number = np.repeat(np.arange(len(links)), [len(link.post) for link in links])
    post = np.concatenate([link.post for link in links]).astype(np.int64)
    weight = np.concatenate([link.weights for link in links])
    return _Synapses(number, np.concatenate(pre), post, weight, np.full(len(number), -1))


def _share_out(synapses: _Synapses, room: Array, types: int, width: int) -> int:
    """Say which part each synapse goes to, of up to ``width`` synapses; return how many, -1 where they do not fit.

    Neuron j has ``room[j]`` axons for its synapses, ``types`` each, and its parts, one each.
    """
    count = 0
    order = np.lexsort((-np.abs(synapses.weight), synapses.post))
    begins = np.searchsorted(synapses.post[order], np.arange(len(room) + 1))
    for j, left in enumerate(room):
        mine = order[begins[j] : begins[j + 1]]
        if len(mine) * types <= left:
            continue
        stay = max(0, int(left) // types)
        while stay >= 0 and _parts_of(synapses.weight[mine[stay:]], width) > left - stay * types:
            stay -= 1
        if stay < 0:
            return -1
        for rest in (mine[stay:][synapses.weight[mine[stay:]] > 0], mine[stay:][synapses.weight[mine[stay:]] < 0]):
            rest = np.sort(rest)  # neighbours are likely to be heard by other parts as well
            synapses.part[rest] = count + np.arange(len(rest)) // width
            count += -(-len(rest) // width)
    return count


def _parts_of(weights: Array, width: int) -> int:
    up, down = int((weights > 0).sum()), int((weights < 0).sum())
    return -(-up // width) - (-down // width)


def _direct(link: Link, synapses: _Synapses, number: int, size: int) -> Link:
    here = (synapses.link == number) & (synapses.part < 0)
    return _link(link, link.target, synapses.pre[here], synapses.post[here], synapses.weight[here])


def _summed(link: Link, synapses: _Synapses, number: int, name: str) -> Link:
    here = (synapses.link == number) & (synapses.part >= 0)
    return _link(link, name, synapses.pre[here], synapses.part[here], np.abs(synapses.weight[here]))


def _link(link: Link, target: str, pre: Array, post: Array, weight: Array) -> Link:
    order = np.lexsort((post, pre))
    first = np.searchsorted(pre[order], np.arange(len(link.first)))
    return Link(link.source, target, first, post[order], weight[order], link.delay)


def check_fan_in(net: Net, options: Options) -> None:
    """Raise `ModelError` where a neuron needs more axons than a core has."""
    for group in net.groups:
        counts = np.zeros(group.size)
        for join in net.joins:
            if join.target == group.name:
                counts += np.bincount(join.post, BITS[join.mask], group.size)
        if (most := int(counts.max(initial=0))) > options.axons:
            raise _too_many(group.name, most, options)
