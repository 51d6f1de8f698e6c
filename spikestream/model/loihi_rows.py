"""A placement of Loihi cores from rows of synapses and targets in any order, and what it has where nothing is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikestream.errors import ModelError
from spikestream.model.loihi_limits import AXONS, COMPARTMENTS, CORES, LOIHI, MIXED, MOST_AXONS, MOST_COMPARTMENTS
from spikestream.model.placement import MOST_CORES, Array


def filled(compartments: Any, axons: Any, synapses: Any, targets: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return all fields of a placement by name: see `spikestream.model.loihi.LoihiPlacement.of`."""
    first, first_axon = _firsts(compartments, axons)
    made = {**_plain(first, first_axon), **_synapse_rows(synapses, first_axon), **_target_rows(targets, first), **given}
    if "weight_bits" not in given:
        made["weight_bits"] = np.where(_whole("weight_sign", made["weight_sign"]) == MIXED, 9, 8)
    for names, size in ((COMPARTMENTS, first[-1]), (AXONS, first_axon[-1]), (CORES, len(first) - 1)):
        for name in names:
            array = _whole(name, made[name])
            made[name] = np.full(size, array) if array.ndim == 0 else array
    return made


def _whole(name: str, values: Any) -> Array:
    """Return an array of whole numbers."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise ModelError(f"{name} of a placement is no table of numbers: {error}") from error
    if array.dtype.kind not in "biu" and array.size:
        raise ModelError(f"{name} of a placement is {array.dtype}{array.shape}, not whole numbers")
    return array


def _firsts(compartments: Any, axons: Any) -> tuple[Array, Array]:
    """Return where compartments and axons of each core begin."""
    own, ways = _whole("compartments", compartments), _whole("axons", axons)
    named = (("compartments", own, MOST_COMPARTMENTS), ("axons", ways, MOST_AXONS))
    cores, firsts = max(sizes.size for _, sizes, _ in named), []
    for name, sizes, most in named:
        if sizes.ndim > 1 or sizes.size not in (1, cores) or not 1 <= cores <= MOST_CORES:
            raise ModelError(f"{name} of a placement are a number, or one for each of 1 to {MOST_CORES:,} cores")
        if np.any((sizes < 0) | (sizes > most)):
            raise ModelError(f"a core of {sizes.min():,} .. {sizes.max():,} {name} cannot be: up to {most:,}")
        firsts.append(np.concatenate([[0], np.cumsum(np.broadcast_to(sizes, cores))]).astype(np.int64))
    return firsts[0], firsts[1]


def _plain(first: Array, first_axon: Array) -> dict[str, Any]:
    """Return what a placement of such cores is without anything else."""
    cores, axons = len(first) - 1, int(first_axon[-1])
    side, across = min(cores, 64), np.arange(cores)
    core = np.repeat(across, np.diff(first_axon))
    rows = [np.arange(axons), core, np.arange(axons) - first_axon[core], np.zeros(axons, np.int64)]
    defaults = {name: row[1] for table in (COMPARTMENTS, AXONS, CORES) for name, row in table.items()}
    mesh = {"grid": (side, -(-cores // side)), "core_xy": np.stack([across % side, across // side], axis=1)}
    outside = {"inputs": np.stack(rows, axis=1), "input_count": axons, "outputs": 0}
    return {"law": LOIHI, "first_compartment": first, "first_axon": first_axon, **mesh, **outside, **defaults}


def _table(name: str, rows: Any, widths: tuple[int, ...]) -> Array:
    """Return rows of whole numbers, as wide as the last of ``widths``."""
    table = _whole(name, rows)
    if table.size == 0:
        return np.zeros((0, widths[-1]), np.int64)
    if table.ndim != 2 or table.shape[1] not in widths:
        raise ModelError(f"{name} of a placement are of shape {table.shape}, not rows of {widths[-1]} numbers")
    whole = table.astype(np.int64, copy=False)
    spare = widths[-1] - table.shape[1]
    return np.pad(whole, ((0, 0), (0, spare))) if spare else whole


def _by_owner(name: str, table: Array, first: Array) -> tuple[Array, Array]:
    """Return where rows of core and number begin for each of the chip, and the rows in that order."""
    if np.any((table[:, 0] < 0) | (table[:, 0] >= len(first) - 1)) or np.any(table[:, 1] < 0):
        raise ModelError(f"{name} of a placement are on a core that there is not")
    if np.any(table[:, 1] >= np.diff(first)[table[:, 0]]):
        raise ModelError(f"{name} of a placement begin at what their core does not have")
    owner = first[table[:, 0]] + table[:, 1]
    order = np.argsort(owner, kind="stable")
    return np.searchsorted(owner[order], np.arange(first[-1] + 1)).astype(np.int64), table[order]


def _synapse_rows(synapses: Any, first_axon: Array) -> dict[str, Array]:
    first, rows = _by_owner("synapses", _table("synapses", synapses, (4, 5)), first_axon)
    return {"first_synapse": first, "compartment": rows[:, 2], "weight": rows[:, 3], "delay": rows[:, 4]}


def _target_rows(targets: Any, first: Array) -> dict[str, Array]:
    begin, rows = _by_owner("targets", _table("targets", targets, (4,)), first)
    return {"first_target": begin, "target_core": rows[:, 2], "target_axon": rows[:, 3]}
