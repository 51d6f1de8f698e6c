"""Neurons onto cores: greedily by shared axons, with as many copies of each as it has axons to reach.

A neuron's spikes go to one axon. What has to reach more is there several times: copies sit on the same axons, get the
same spikes and so give the same, at the cost of a neuron each. Groups are packed from the outputs to the inputs: how
many copies a neuron needs is known once everything that hears it has its cores. Groups in a loop are packed together,
again and again until the copies suffice. Where copies need more cores than neurons that pass on spikes would, those are
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from spikestream.errors import ModelError
from spikestream.model.compile.net import RELAYS, Array, Net
from spikestream.model.compile.options import Options, Progress
from spikestream.model.compile.units import Units

MOST_TURNS = 100


@dataclass(slots=True, eq=False)
class Core:
    """What sits on a core: neurons with the number of their copies, and axons."""

    copies: dict[int, int] = field(default_factory=dict)
    axons: set[int] = field(default_factory=set)

    @property
    def neurons(self) -> int:
        """Return how many neurons there are, copies included."""
        return sum(self.copies.values())


@dataclass(slots=True, eq=False)
class Partition:
    """Cores, or the name of a group that is better passed on by splitters."""

    cores: list[Core]
    split: str = ""


def partition(net: Net, units: Units, options: Options, asked: Iterable[str], progress: Progress) -> Partition:
    """Return the cores; raises `ModelError` where they are too many."""
    orders, done = _loops(net), 0
    cores: list[Core] = []
    for members, recurrent in orders:
        progress("partition", done / len(units.alive))
        who = np.nonzero(np.isin(units.group, members) & units.alive)[0]
        done += len(who)
        outside = (_reaching(units, cores) + (units.pin >= 0))[who]
        copies = np.maximum(outside, 1)
        made = _settled(net, units, who, outside, options) if recurrent else pack(units, who, copies, options)
        name = net.groups[members[0]].name
        if not recurrent and name not in asked and _worth_splitting(net, units, who, copies, made, options):
            return Partition([], name)
        cores += made
        _check_count(net, cores, members, options)
    return Partition(_trimmed(units, _merged(cores, options)))


def _check_count(net: Net, cores: Sequence[Core], members: Sequence[int], options: Options) -> None:
    if len(cores) > options.cores:
        names = ", ".join(net.groups[k].name for k in members)
        text = f"with '{names}' the network needs more than the {options.cores:,} cores there are"
        raise ModelError(text, remedy=f"cores={2 * options.cores}, fewer axons_per_input, or smaller populations")


def _loops(net: Net) -> list[tuple[list[int], bool]]:
    """Return numbers of groups, those of a loop together, from the outputs to the inputs, and whether they loop."""
    numbers = {one.name: k for k, one in enumerate(net.groups)}
    reach = np.zeros((len(numbers), len(numbers)), bool)
    for join in net.joins:
        if join.source in numbers and len(join.post):
            reach[numbers[join.source], numbers[join.target]] = True
    for k in range(len(reach)):
        reach |= reach[:, k, None] & reach[k]
    both, made, seen = reach & reach.T, [], set()
    # What reaches another reaches all that this one does, and itself: more, unless both are of one loop.
    below = (reach | np.eye(len(reach), dtype=bool)).sum(axis=1)
    for k in np.argsort(below, kind="stable"):
        if int(k) not in seen:
            members = [int(k), *(int(m) for m in np.nonzero(both[k])[0] if m != k)]
            seen |= set(members)
            made.append((sorted(members), bool(reach[k, k])))
    return made


def _reaching(units: Units, cores: Sequence[Core]) -> Array:
    """Return how many axons on ``cores`` each neuron has to reach, (n,)."""
    reached = np.zeros(len(units.pin), np.int64)
    for core in cores:
        source = units.source[list(core.axons)] - units.inputs
        np.add.at(reached, source[(source >= 0) & (source < len(reached))], 1)
        for number in source[source >= len(reached)]:
            reached[units.groups[number - len(reached)]] += 1
    return reached


def _settled(net: Net, units: Units, who: Array, outside: Array, options: Options) -> list[Core]:
    """Return cores of neurons that reach each other and ``outside`` (m,) more, with copies enough."""
    copies = np.maximum(outside, 1)
    for _ in range(MOST_TURNS):
        cores = pack(units, who, copies, options)
        needed = outside + _reaching(units, cores)[who]
        if np.all(needed <= copies):
            return cores
        copies = np.maximum(copies, needed)
        if len(cores) > options.cores:
            break
    names = ", ".join(sorted({net.groups[k].name for k in units.group[who]}))
    text = f"the loop through '{names}' finds no end: each core more needs more copies of its neurons"
    raise ModelError(text, remedy="sparser recurrent weights, fewer axons_per_input, or smaller populations")


def pack(units: Units, who: Array, copies: Array, options: Options) -> list[Core]:
    """Return cores of the neurons ``who`` (m,), ascending, each with its ``copies`` (m,)."""
    by_axon = _by_axon(units, who)
    left, cores = copies.copy(), []
    need = np.diff(units.first)[who]
    while np.any(left > 0):
        core, shared, at = Core(), np.zeros(len(who), np.int64), int(np.argmax(left > 0))
        while True:
            room = options.neurons - core.neurons
            own = units.of(who[at])
            core.copies[int(who[at])] = core.copies.get(int(who[at]), 0) + min(room, int(left[at]))
            left[at] -= min(room, int(left[at]))
            for axon in set(own.tolist()) - core.axons:
                shared[by_axon[axon]] += 1
                core.axons.add(axon)
            # The one that brings fewest new axons; if it does not fit, none does.
            at = int(np.argmin(np.where(left > 0, need - shared, np.iinfo(np.int64).max)))
            new = need[at] - shared[at]
            if left[at] == 0 or core.neurons == options.neurons or len(core.axons) + new > options.axons:
                break
        cores.append(core)
        if len(cores) > options.cores:
            break
    return cores


def _by_axon(units: Units, who: Array) -> dict[int, Array]:
    """Return which places of ``who`` are on each axon."""
    place = np.repeat(np.arange(len(who)), np.diff(units.first)[who])
    axon = np.concatenate([units.of(neuron) for neuron in who]) if len(who) else np.zeros(0, np.int64)
    order = np.argsort(axon, kind="stable")
    names, begins = np.unique(axon[order], return_index=True)
    return dict(zip(names.tolist(), np.split(place[order], begins[1:]), strict=True)) if len(names) else {}


def _worth_splitting(
    net: Net, units: Units, who: Array, copies: Array, packed: Sequence[Core], options: Options
) -> bool:
    """Return whether splitters would take fewer cores than copies: those of its own sources count as well."""
    if not len(who) or net.groups[units.group[who[0]]].kind == RELAYS or not np.any(copies > 1):
        return False
    plain = pack(units, who, np.ones_like(copies), options)
    more = len(packed) - len(plain)
    if more <= 0:
        return False
    heard = [int((units.source[list(core.axons)] >= units.inputs).sum()) for core in packed]
    by_copies = len(packed) + more * float(np.mean(heard)) / options.neurons
    return len(plain) + -(-int(copies.sum()) // options.neurons) + len(who) / options.neurons < by_copies


def _merged(cores: Sequence[Core], options: Options) -> list[Core]:
    """Return the cores with those put together that fit into one, the fullest first."""
    made: list[Core] = []
    for core in sorted(cores, key=lambda one: (-len(one.axons), -one.neurons)):
        for other in made[-64:]:
            if core.neurons + other.neurons <= options.neurons and len(core.axons | other.axons) <= options.axons:
                other.axons |= core.axons
                for neuron, count in core.copies.items():
                    other.copies[neuron] = other.copies.get(neuron, 0) + count
                break
        else:
            made.append(Core(dict(core.copies), set(core.axons)))
    return made


def _trimmed(units: Units, cores: list[Core]) -> list[Core]:
    """Return the cores without copies that have nowhere to go since cores were put together."""
    while True:
        left, before = _reaching(units, cores) + (units.pin >= 0), sum(core.neurons for core in cores)
        for core in cores:
            for neuron, count in list(core.copies.items()):
                kept = min(count, int(left[neuron]))
                left[neuron] -= kept
                core.copies[neuron] = kept
            core.copies = {neuron: count for neuron, count in core.copies.items() if count}
            core.axons = set().union(*(units.of(neuron).tolist() for neuron in core.copies))
        cores = [core for core in cores if core.copies]
        if sum(core.neurons for core in cores) == before:
            return cores
