"""How a chip is used, core by core: who sits where, and what given counts of spikes mean for cores and mesh.

Spikes go along x first, then along y. Nothing is run here: counts of spikes go in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikestream.errors import ConfigError
from spikestream.model.crossbar import CrossbarPlacement, unpacked
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.placement import NOWHERE, PIN, Array, Placement


@dataclass(frozen=True, slots=True)
class Routes:
    """Ways of spikes: of a source, onto an axon of a core (or PIN, or NOWHERE), which has so many synapses."""

    source: Array  # (k,) int64
    start: Array  # (k,) int64, the core it comes from
    core: Array  # (k,) int64
    synapses: Array  # (k,) int64


@dataclass(frozen=True, slots=True)
class Load:
    """What cores hold and do, C of them, and what goes over links of the mesh, X columns and Y rows; counts int64."""

    neurons: Array  # (C,), of crossbars those with a synapse
    axons: Array  # (C,), likewise
    spikes: Array  # (C,), that came to axons, from inputs too
    operations: Array  # (C,), synapses that they met; two spikes for one axon in one tick count twice here
    across: Array  # (Y, X - 1), spikes over the link between (x, y) and (x + 1, y), either way
    down: Array  # (Y - 1, X), likewise (x, y) and (x, y + 1)


def load_of(placement: Placement, fires: Array, heard: Array) -> Load:
    """Return the load of a chip whose neurons fired as ``fires`` says, whose inputs had ``heard`` spikes.

    ``fires`` as `Chip.fires` has it, ``heard`` (inputs,). Raises `ConfigError` where they do not fit.
    """
    routes, neurons, axons = _routes(placement)
    counts = np.ravel(fires)
    if len(heard) != placement.input_count or (len(routes.source) and routes.source.max() >= len(counts)):
        text = f"{len(counts)} neurons and {len(heard)} inputs are not those of this chip"
        raise ConfigError(text, key="fires", allowed="what its Chip.fires is, and a count for each input")
    onto, given = _inputs(placement)
    counts = counts[routes.source]
    spikes, operations = np.zeros((2, placement.cores), np.int64)
    for routed, count in ((routes, counts), (onto, heard[given])):
        here = routed.core >= 0
        np.add.at(spikes, routed.core[here], count[here])
        np.add.at(operations, routed.core[here], (count * routed.synapses)[here])
    return Load(neurons, axons, spikes, operations, *_links(placement, routes, counts))


def _routes(placement: Placement) -> tuple[Routes, Array, Array]:
    """Return the ways of all neurons, and how many neurons and axons each core uses."""
    if isinstance(placement, CrossbarPlacement):
        return _routes_of_crossbars(placement)
    if isinstance(placement, LoihiPlacement):
        return _routes_of_loihi(placement)
    raise ConfigError(f"the load of a {type(placement).__name__} is not known", key="placement")


def _routes_of_crossbars(p: CrossbarPlacement) -> tuple[Routes, Array, Array]:
    bits = unpacked(p)
    core, fan = p.target_core.ravel().astype(np.int64), bits.sum(axis=2)
    synapses = np.where(core >= 0, fan[np.maximum(core, 0), np.where(core >= 0, p.target_axon.ravel(), 0)], 0)
    start = np.repeat(np.arange(p.cores), p.neurons)
    routes = Routes(np.arange(len(core)), start, core, synapses)
    return routes, bits.any(axis=1).sum(axis=1), (fan > 0).sum(axis=1)


def _routes_of_loihi(p: LoihiPlacement) -> tuple[Routes, Array, Array]:
    source = np.repeat(np.arange(p.neurons), np.diff(p.first_target))
    sits = np.repeat(np.arange(p.cores), np.diff(p.first_compartment))
    core = p.target_core.astype(np.int64)
    axon = np.where(core >= 0, p.first_axon[np.maximum(core, 0)] + p.target_axon, 0)
    fan = np.diff(p.first_synapse)
    synapses = fan[axon] if len(fan) else np.zeros(len(axon), np.int64)
    routes = Routes(source, sits[source], core, np.where(core >= 0, synapses, 0))
    return routes, np.diff(p.first_compartment), np.diff(p.first_axon)


def _inputs(placement: Placement) -> tuple[Routes, Array]:
    """Return the ways of inputs, which are no way on the mesh, and which input each is of."""
    given, core, axon, _ = placement.inputs.astype(np.int64).T
    if isinstance(placement, LoihiPlacement):
        synapses = np.diff(placement.first_synapse)[placement.first_axon[core] + axon]
    else:
        assert isinstance(placement, CrossbarPlacement)
        synapses = unpacked(placement).sum(axis=2)[core, axon]
    return Routes(given, core, core, synapses), given


def _links(placement: Placement, routes: Routes, counts: Array) -> tuple[Array, Array]:
    """Return how many spikes went over each link; outputs that sit nowhere are no way off."""
    columns, rows = placement.grid
    bus = np.array(getattr(placement, "bus_xy", (-1, -1)))
    begin = placement.core_xy[routes.start].astype(np.int64)
    end = placement.core_xy[np.maximum(routes.core, 0)].astype(np.int64)
    end = np.where((routes.core == PIN)[:, None], bus if bus.min() >= 0 else begin, end)
    gone = (routes.core != NOWHERE) & (counts > 0)
    (x0, y0), (x1, y1), count = begin[gone].T, end[gone].T, counts[gone]
    across, down = np.zeros((rows, columns + 1), np.int64), np.zeros((rows + 1, columns), np.int64)
    np.add.at(across, (y0, np.minimum(x0, x1)), count)
    np.add.at(across, (y0, np.maximum(x0, x1)), -count)
    np.add.at(down, (np.minimum(y0, y1), x1), count)
    np.add.at(down, (np.maximum(y0, y1), x1), -count)
    return across.cumsum(axis=1)[:, : columns - 1], down.cumsum(axis=0)[: rows - 1]
