"""Target "loihi": a circuit onto Loihi cores.

A spike is a tick under way between neurons, so groups run later the further they are from the inputs, and what takes a
shorter way waits in the delays of its synapses, up to 62 ticks. Cores are filled one after the other, population by
population. An axon is one source onto the cells of one population on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spikestream.errors import ConfigError, ModelError
from spikestream.model.circuit import Circuit
from spikestream.model.compile.loihi_net import LoihiNet, LoihiReference
from spikestream.model.compile.loihi_quantise import group_of
from spikestream.model.compile.net import Array
from spikestream.model.compile.options import Progress, options_of
from spikestream.model.compile.place import hops, place
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.loihi_limits import DELAYS, MOST_AXONS, MOST_COMPARTMENTS, MOST_SYNAPSE_BITS, MOST_TARGETS
from spikestream.model.placement import MOST_CORES, PIN

EXACT = 1e-9
"""Weights that are off by less are not off."""
AXON_BITS, SYNAPSE_BITS = 74, 25
"""Of synapse memory, at most, with a delay and the number of the compartment."""


@dataclass(frozen=True, slots=True)
class LoihiOptions:
    """Of target "loihi"."""

    cores: int = 128
    active: float = (
        0.25  # the share of a cell's weights of one sign that may be heard at once without its current wrapping
    )
    hard_reset: bool = False  # cells that are reset by subtraction are reset to a value instead
    exact: bool = False  # whatever would be approximate is an error
    anneal_steps: int = 20_000  # swaps tried while cores are placed on the mesh
    seed: int = 0

    def __post_init__(self) -> None:
        for name, high in (("cores", MOST_CORES), ("anneal_steps", 2**31 - 1), ("seed", 2**31 - 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not (name == "cores") <= value <= high:
                text = f"{name} = {value!r} is out of range"
                raise ConfigError(text, key=name, value=value, allowed=f"{int(name == 'cores')} to {high:,}")
        if isinstance(self.active, bool) or not isinstance(self.active, int | float) or not 0 < self.active <= 1:
            text = f"active = {self.active!r} is out of range"
            raise ConfigError(text, key="active", value=self.active, allowed="above 0, to 1")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """All synapses: numbers of source and cell (of all groups), the cell's group, weight and its exponent, delay."""

    source: Array
    cell: Array
    group: Array
    weight: Array
    exponent: Array
    delay: Array


def loihi(circuit: Circuit, given: Mapping[str, Any], progress: Progress) -> tuple[LoihiPlacement, LoihiReference]:
    """Return the placement of a circuit, its notes included, and its integer reference.

    Raises `ModelError` for what cannot be, `ConfigError` for options.
    """
    options: LoihiOptions = options_of(LoihiOptions, given)
    progress("quantise", 0.0)
    groups, joins, populations = [], [], {}
    for cells in circuit.cells:
        group, own, told = group_of(circuit, cells, options.hard_reset, options.active)
        groups.append(group)
        joins += [replace(one, delay=one.delay + _late(circuit, one.source)) for one in own]
        populations[cells.name] = {"cells": cells.size, **told}
    if options.exact:
        _insist(populations)
    early = frozenset(name for name in circuit.outputs if circuit.place(name).late_spikes)
    net = _timed(LoihiNet(circuit.inputs, tuple(groups), tuple(joins), circuit.outputs, early))
    table = _table(net)
    progress("partition", 0.0)
    core = _partition(net, table, options)
    reference = LoihiReference(net)
    latency = {name: net.group(name).latency - (name in early) for name in net.outputs}
    notes = {"target": "loihi", "step_us": circuit.step_us, "latency_ticks": latency, "populations": populations}
    placement = _emit(net, table, core, notes, options, progress)
    progress("done", 1.0)
    return placement, reference


def _late(circuit: Circuit, source: str) -> int:
    """Return 1 for cells whose spikes are given a step late, which here is a step of delay."""
    return next((int(cells.late_spikes) for cells in circuit.cells if cells.name == source), 0)


def _insist(populations: Mapping[str, Any]) -> None:
    for name, note in populations.items():
        told = list(note["approximate"])
        told += [f"weights from '{k}' are off by {off:.1%}" for k, off in note["weight_error"].items() if off > EXACT]
        if told:
            raise ModelError(f"cells '{name}' do not fit exactly", details=told, remedy="exact=False")


def _timed(net: LoihiNet) -> LoihiNet:
    """Return the net with the least latencies there can be, longest ways by relaxation. Raises `ModelError`."""
    inputs = {name for name, _ in net.inputs}
    latency = dict.fromkeys([*inputs, *(one.name for one in net.groups)], 0)
    for _ in range(len(net.groups) + 1):
        changed = ""
        for join in net.joins:
            least = latency[join.source] + (join.source not in inputs) - join.delay
            if len(join.post) and least > latency[join.target]:
                latency[join.target], changed = least, join.target
        if not changed:
            return replace(net, groups=tuple(replace(one, latency=latency[one.name]) for one in net.groups))
    text = f"a loop through '{changed}' has fewer steps than neurons, and a spike is a tick under way between two"
    raise ModelError(text, remedy="give one of its links a longer delay")


def _table(net: LoihiNet) -> Table:
    """Return all synapses with their delays on the chip; raises `ModelError` where one is too long."""
    begins, first = net.begins(), sum(size for _, size in net.inputs)
    latency = {one.name: one.latency for one in net.groups}
    numbers = {one.name: k for k, one in enumerate(net.groups)}
    columns: list[list[Array]] = [[np.zeros(0, np.int64)] for _ in range(6)]
    for join in net.joins:
        wait = join.delay + latency[join.target] - (latency[join.source] + 1 if join.source in latency else 0)
        if len(join.post) and wait >= DELAYS:
            text = (
                f"spikes from '{join.source}' to '{join.target}' wait for {wait} ticks, and synapses for {DELAYS - 1}"
            )
            raise ModelError(text, remedy="delays, and ways from the inputs, that differ by less")
        size = len(join.post)
        own = [join.pre + begins[join.source], join.post + begins[join.target] - first]
        own += [np.full(size, numbers[join.target]), join.weight, np.full(size, join.exponent), np.full(size, wait)]
        for column, values in zip(columns, own, strict=True):
            column.append(values)
    return Table(*(np.concatenate(column) for column in columns))


def _partition(net: LoihiNet, table: Table, options: LoihiOptions) -> Array:
    """Return the core of each cell, (cells,). Raises `ModelError` where they are too many."""
    inputs = sum(size for _, size in net.inputs)
    cells = sum(one.size for one in net.groups)
    order = np.argsort(table.cell, kind="stable")
    rows = np.split(table.source[order], np.searchsorted(table.cell[order], np.arange(1, cells)))
    group = np.repeat(np.arange(len(net.groups)), [one.size for one in net.groups])
    reached = np.zeros(cells, np.int64)  # how many axons each has to reach
    for _ in range(cells + 2):
        core = _filled(rows, group, reached, options, net)
        mine = table.source >= inputs
        ways = np.unique(np.stack([table.source[mine] - inputs, core[table.cell[mine]], table.group[mine]]), axis=1)
        needed = np.bincount(ways[0], minlength=cells)
        if np.all(np.bincount(core, needed) <= MOST_TARGETS):
            return core
        reached = np.maximum(reached, needed)
    raise ModelError("cells reach more cores than a core has targets for", remedy="sparser weights")


def _filled(rows: list[Array], group: Array, reached: Array, options: LoihiOptions, net: LoihiNet) -> Array:
    """Return the core of each cell: the one that was begun last, while it has room."""
    core, now = np.zeros(len(rows), np.int64), -1
    axons: set[tuple[int, int]] = set()
    size = synapses = targets = 0
    for cell, sources in enumerate(rows):
        own = {(int(group[cell]), source) for source in sources.tolist()}
        bits = AXON_BITS * len(own) + SYNAPSE_BITS * len(sources)
        if len(own) > MOST_AXONS or bits > MOST_SYNAPSE_BITS:
            name = net.groups[group[cell]].name
            text = f"a cell of '{name}' hears {len(own):,} others, and a core has {MOST_AXONS:,} axons"
            raise ModelError(text, remedy="fewer or sparser inputs")
        together = axons | own
        full = AXON_BITS * len(together) + SYNAPSE_BITS * (synapses + len(sources)) > MOST_SYNAPSE_BITS
        full |= size == MOST_COMPARTMENTS or len(together) > MOST_AXONS or targets + reached[cell] > MOST_TARGETS
        if now < 0 or full:
            now, axons, size, synapses, targets = now + 1, set(), 0, 0, 0
            if now >= options.cores:
                text = f"the network needs more than the {options.cores:,} cores there are"
                raise ModelError(text, remedy=f"cores={2 * options.cores}, or smaller populations")
        core[cell] = now
        axons |= own
        size, synapses, targets = size + 1, synapses + len(sources), targets + int(reached[cell])
    return core


def _emit(
    net: LoihiNet, table: Table, core: Array, notes: Mapping[str, Any], options: LoihiOptions, progress: Progress
) -> LoihiPlacement:
    """Return the placement with ``notes`` and how far spikes travel."""
    inputs, cores = sum(size for _, size in net.inputs), int(core.max()) + 1
    where = np.arange(len(core)) - np.searchsorted(core, core)  # cores follow each other
    many = inputs + len(core)
    key = (core[table.cell] * len(net.groups) + table.group) * many + table.source
    axons, one, axon = np.unique(key, return_index=True, return_inverse=True)
    home, source = axons // many // len(net.groups), axons % many
    number = np.arange(len(axons)) - np.searchsorted(home, home)
    outside = source < inputs
    rows = np.stack([source, home, number, np.zeros_like(source)], axis=1)[outside]
    sender = source[~outside] - inputs
    targets = np.stack([core[sender], where[sender], home[~outside], number[~outside]], axis=1)
    pairs, counts = np.unique(targets[:, 0] * cores + targets[:, 2], return_counts=True)
    ways = np.stack([pairs // cores, pairs % cores, counts], axis=1)
    xy, grid, before = place(ways, cores, options.anneal_steps, options.seed, progress)
    pins = np.concatenate([np.zeros(0, np.int64), *(_cells_of(net, name) for name in net.outputs)])
    ends = np.stack([core[pins], where[pins], np.full_like(pins, PIN), np.arange(len(pins))], axis=1)
    every = {name: np.concatenate([getattr(one, name) for one in net.groups]) for name in COLUMNS}
    return LoihiPlacement.of(
        np.bincount(core, minlength=cores),
        np.bincount(home, minlength=cores),
        synapses=np.stack([home[axon], number[axon], where[table.cell], table.weight, table.delay], axis=1),
        targets=np.concatenate([targets, ends]),
        weight_exponent=table.exponent[one],
        inputs=rows[np.argsort(rows[:, 0], kind="stable")],
        input_count=inputs,
        outputs=len(pins),
        core_xy=xy,
        grid=grid,
        notes={**notes, "hops": {"before": before, "after": hops(ways, xy)}},
        **every,
    )


COLUMNS = ("du", "dv", "bias", "bias_exponent", "threshold", "v_min", "refractory")
"""What a group says of its compartments."""


def _cells_of(net: LoihiNet, name: str) -> Array:
    """Return the numbers of the cells of a group."""
    first = net.begins()[name] - sum(size for _, size in net.inputs)
    return np.arange(first, first + net.group(name).size)
