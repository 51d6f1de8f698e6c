"""Cores with their neurons and axons as the arrays of a placement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikestream.errors import ModelError
from spikestream.model.compile.net import Array, Net
from spikestream.model.compile.options import Options, Progress
from spikestream.model.compile.partition import Core
from spikestream.model.compile.place import hops, place
from spikestream.model.compile.units import Units
from spikestream.model.crossbar import RANC, CrossbarPlacement
from spikestream.model.placement import NOWHERE, PIN

MOST_BITS = 2**33
"""Of all crossbars: a gigabyte of memory."""


def emit(
    net: Net, units: Units, cores: Sequence[Core], options: Options, notes: Mapping[str, Any], progress: Progress
) -> CrossbarPlacement:
    """Return the placement with ``notes`` and how far spikes travel; raises `ModelError`."""
    if len(cores) * options.axons * options.neurons > MOST_BITS:
        text = f"{len(cores):,} cores of {options.axons:,} x {options.neurons:,} are too large a chip"
        raise ModelError(text, remedy="axons=256, neurons=256")
    places = [{axon: k for k, axon in enumerate(sorted(core.axons))} for core in cores]
    sits = [[neuron for neuron in sorted(core.copies) for _ in range(core.copies[neuron])] for core in cores]
    made = _neurons(net, units, sits, options)
    made |= _targets(units, sits, places, options)
    ways = _ways(made["target_core"], len(cores))
    xy, grid, before = place(ways, len(cores), options.anneal_steps, options.seed, progress)
    synapses = np.zeros((len(cores), options.axons, -(-options.neurons // 8)), np.uint8)
    axon_type = np.zeros((len(cores), options.axons), np.uint8)
    for c, (own, who) in enumerate(zip(places, sits, strict=True)):
        axon_type[c, : len(own)] = units.type[list(own)]
        names = np.sort(list(own))  # the places are in this order
        crossbar = np.zeros((options.axons, options.neurons), bool)
        for k, neuron in enumerate(who):
            if k and who[k - 1] == neuron:
                crossbar[:, k] = crossbar[:, k - 1]
            else:
                crossbar[np.searchsorted(names, units.of(neuron)), k] = True
        synapses[c] = np.packbits(crossbar, axis=1, bitorder="little")
    return CrossbarPlacement.of(
        len(cores),
        options.axons,
        options.neurons,
        synapses=synapses,
        law=options.law,
        core_xy=xy,
        grid=grid,
        axon_type=axon_type,
        inputs=_inputs(units, places),
        input_count=net.input_count,
        outputs=int((units.pin >= 0).sum()),
        notes={**notes, "hops": {"before": before, "after": hops(ways, xy)}},
        **made,
    )


def _neurons(net: Net, units: Units, sits: Sequence[Sequence[int]], options: Options) -> dict[str, Array]:
    """Return the parameters of all neurons; places without one never fire."""
    shape = (len(sits), options.neurons)
    names = ("leak", "threshold", "floor", "reset", "v0")
    every = {name: np.concatenate([getattr(one, name) for one in net.groups]) for name in names}
    every |= {"leak_reversal": np.concatenate([one.reversal for one in net.groups])}
    every |= {"reset_mode": np.concatenate([one.subtract.astype(np.int64) for one in net.groups])}
    weights = np.concatenate([one.weights for one in net.groups])
    made = {name: np.zeros(shape, np.int64) for name in every} | {"weights": np.zeros((*shape, 4), np.int64)}
    made["threshold"][...] = 2**18 - 1
    for c, who in enumerate(sits):
        for name, values in every.items():
            made[name][c, : len(who)] = values[list(who)]
        made["weights"][c, : len(who)] = weights[list(who)]
    made["leak_reversal"] = made["leak_reversal"].astype(bool)
    made["floor_clamps"] = np.full(shape, True)
    return _as_ranc(made) if options.law == RANC else made


def _as_ranc(made: dict[str, Array]) -> dict[str, Array]:
    """Return what RANC can do: a neuron below its floor goes to minus its reset, which is the same if both are 0."""
    others = (made["floor"] != 0) | (made["reset"] != 0) | made["leak_reversal"] | (made["reset_mode"] != 0)
    if np.any(others & (made["threshold"] < 2**18 - 1)):
        text = "neurons of RANC neither clamp V at a floor nor leak towards 0 from both sides"
        raise ModelError(text, remedy="cells without decay whose floor and reset are 0, or law='truenorth/1'")
    made["floor_clamps"] = np.zeros(made["floor"].shape, bool)
    return made


def _targets(
    units: Units, sits: Sequence[Sequence[int]], places: Sequence[dict[int, int]], options: Options
) -> dict[str, Array]:
    """Return where each copy of each neuron sends its spikes: first the output it is, then axons, core by core."""
    ends: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for neuron in np.nonzero(units.pin >= 0)[0].tolist():
        ends[neuron].append((PIN, int(units.pin[neuron]), 1))
    for core, own in enumerate(places):
        for axon, place_ in own.items():
            for neuron in units.senders(axon).tolist():
                ends[neuron].append((core, place_, int(units.ticks[axon])))
    shape = (len(sits), options.neurons)
    made = {"target_core": np.full(shape, NOWHERE), "target_axon": np.zeros(shape, np.int64)}
    made["delay"] = np.ones(shape, np.int64)
    for c, who in enumerate(sits):
        for k, neuron in enumerate(who):
            if ends[neuron]:
                made["target_core"][c, k], made["target_axon"][c, k], made["delay"][c, k] = ends[neuron].pop(0)
    assert not any(ends.values()), "a neuron has fewer copies than axons to reach"
    return made


def _ways(target: Array, cores: int) -> Array:
    """Return from core, to core and how many neurons send there, (k, 3)."""
    source = np.repeat(np.arange(cores), target.shape[1])[target.ravel() >= 0]
    pairs, counts = np.unique(source * cores + target[target >= 0], return_counts=True)
    return np.stack([pairs // cores, pairs % cores, counts], axis=1)


def _inputs(units: Units, places: Sequence[dict[int, int]]) -> Array:
    rows = [
        (int(units.source[axon]), core, place_, int(units.ticks[axon]))
        for core, own in enumerate(places)
        for axon, place_ in own.items()
        if units.source[axon] < units.inputs
    ]
    return np.array(sorted(rows), np.int32).reshape(-1, 4)
