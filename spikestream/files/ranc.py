"""Networks of the RANC ecosystem as its simulator reads them: ``input.json`` with ``config.json`` beside it.

A packet of tick k with `destination_tick` d is heard in tick k + d of ours, as a spike of input
``core · axons + axon``; cores are numbered in the order of the file. What RANC prints in output row r came out in our
tick r - 1. `ranc_mem` reads and writes the memory images of the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spikestream.batch import Array, Spikes
from spikestream.errors import ModelError
from spikestream.files.atomic import replacing
from spikestream.files.chipjson import Table, read_json, sibling, wholes
from spikestream.model.crossbar import RANC, CrossbarPlacement
from spikestream.model.placement import MOST_PINS, NOWHERE, PIN

WIDE = 2**31 - 2
SIDE, MOST = 4_096, 16_384
LATEST_TICK = 14
PARAMETERS = {
    # ours: RANC's
    "leak": "leak",
    "threshold": "positive_threshold",
    "reset": "reset_potential",
    "reset_mode": "reset_mode",
    "v0": "current_potential",
}


def read_ranc(path: str | os.PathLike[str]) -> CrossbarPlacement:
    """Return the network of an ``input.json``; ``config.json`` in its folder, if there, gives sizes and reset type.

    Raises `ModelError`.
    """
    beside = sibling(path, "config.json")
    return from_ranc(read_json(path), read_json(beside) if beside else {}, os.fspath(path))


def from_ranc(tables: Any, config: Any, where: str = "input") -> CrossbarPlacement:
    """Return the network of an input of RANC's simulator with its configuration; raises `ModelError`."""
    given, sizes = Table(where, tables), Table("config", config)
    cores = [Table(name, one) for name, one in given.rows("cores", MOST)]
    if not cores:
        raise ModelError(f"{where} has no cores")
    bus = Table(f"{where}.output_bus", given.get("output_bus"))
    bus_xy, outputs = bus.pair("coordinates", 0, SIDE - 1), bus.whole("num_outputs", 0, MOST_PINS)
    places = np.array([core.pair("coordinates", 0, SIDE - 1) for core in cores])
    far = np.vstack([places, bus_xy]).max(axis=0) + 1
    grid = tuple(sizes.whole(f"num_cores_{side}", 1, SIDE, int(far[k])) for k, side in enumerate("xy"))
    axons = sizes.whole("num_axons", 1, SIDE, max(1, *(_length(core, "axons") for core in cores)))
    neurons = sizes.whole("num_neurons", 1, SIDE, max(1, *(_length(core, "neurons") for core in cores)))
    last = sizes.whole("max_tick_offset", 1, 2**31, 16) - 1
    made = _empty(len(cores), axons, neurons)
    at = {tuple(place): number for number, place in enumerate(places.tolist())}
    for number, core in enumerate(cores):
        _fill(made, number, core, (axons, neurons))
        for j, (name, one) in enumerate(core.rows("neurons", neurons)):
            own = Table(name, one)
            target = _target(own, places[number], grid, {**at, bus_xy: PIN})
            most = outputs if target == PIN else axons
            made["target_core"][number, j] = target
            made["target_axon"][number, j] = own.whole("destination_axon", 0, most - 1)
            made["delay"][number, j] = 1 + own.whole("destination_tick", 0, min(LATEST_TICK, last))
    odd: dict[str, Any] = {
        "floor_included": bool(sizes.whole("neuron_reset_type", 0, 1, 0)),
        "grid": grid,
        "bus_xy": bus_xy,
    }
    return CrossbarPlacement.of(len(cores), axons, neurons, law=RANC, core_xy=places, outputs=outputs, **odd, **made)


def _length(core: Table, key: str) -> int:
    found = core.get(key)
    return len(found) if isinstance(found, list) else 0


def _empty(cores: int, axons: int, neurons: int) -> dict[str, Array]:
    """Return arrays of neurons that are not in the file: RANC gives them a threshold of 1, which they never reach."""
    shape = (cores, neurons)
    made = {name: np.zeros(shape, np.int64) for name in (*PARAMETERS, "floor", "target_axon")}
    made |= {name: np.ones(shape, np.int64) for name in ("threshold", "delay")}
    made |= {"target_core": np.full(shape, NOWHERE)}
    made |= {"weights": np.zeros((*shape, 4), np.int64), "axon_type": np.zeros((cores, axons), np.int64)}
    return made | {"crossbar": np.zeros((cores, axons, neurons), bool)}


def _fill(made: Mapping[str, Array], number: int, core: Table, sizes: tuple[int, int]) -> None:
    """Write one core's types, connections and parameters of neurons."""
    axons, neurons = sizes
    types = core.wholes("axons", axons, 0, 3)
    made["axon_type"][number, : len(types)] = types
    for j, (name, row) in enumerate(core.rows("connections", neurons)):
        found = wholes(name, row, axons, 0, 1)
        made["crossbar"][number, : len(found), j] = found
    for j, (name, one) in enumerate(core.rows("neurons", neurons)):
        own = Table(name, one)
        weights = own.wholes("weights", 4, -32_768, 32_767)
        made["weights"][number, j, : len(weights)] = weights
        for ours, theirs in PARAMETERS.items():
            made[ours][number, j] = own.whole(theirs, -WIDE, WIDE)
        made["floor"][number, j] = -own.whole("negative_threshold", -WIDE, WIDE)


def _target(own: Table, place: Array, grid: tuple[int, ...], at: Mapping[Any, int]) -> int:
    """Return the core, or PIN, that an offset leads to; a place of the mesh without a core never does anything."""
    x, y = (int(a) + b for a, b in zip(place, own.pair("destination_core_offset", -SIDE, SIDE), strict=True))
    if not (0 <= x < grid[0] and 0 <= y < grid[1]):
        raise ModelError(f"{own.where}.destination_core_offset leaves the mesh of {grid[0]} x {grid[1]}")
    return at.get((x, y), NOWHERE)


def read_packets(path: str | os.PathLike[str], placement: CrossbarPlacement, *, tick_us: int = 1000) -> Spikes:
    """Return the packets of an ``input.json`` as spikes of the placement's inputs; raises `ModelError`.

    Packets to places without a core do nothing in RANC, and are left out.
    """
    at = {tuple(place): number for number, place in enumerate(placement.core_xy.tolist())}
    given, rows, stop = Table(os.fspath(path), read_json(path)), [], 0
    for k, (name, packets) in enumerate(given.rows("packets", 2**31)):
        stop = k + 1
        for where, one in Table(name, {"packets": packets}).rows("packets", 2**31):
            packet = Table(where, one)
            place = packet.pair("destination_core", 0, SIDE - 1)
            if place == placement.bus_xy:
                raise ModelError(f"{where} goes straight to the output bus, which is no input of the chip")
            axon = packet.whole("destination_axon", 0, placement.axons - 1)
            tick = k + packet.whole("destination_tick", 0, LATEST_TICK)
            if place in at:
                rows.append((tick, at[place] * placement.axons + axon))
    table = np.array(sorted(rows), np.int64).reshape(-1, 2)
    stop = max(stop, int(table[-1, 0]) + 1) if len(table) else stop
    return Spikes(0, stop * tick_us, table[:, 0] * tick_us, table[:, 1].astype(np.int32))


def write_ranc(
    path: str | os.PathLike[str], placement: CrossbarPlacement, spikes: Spikes | None = None, *, tick_us: int = 1000
) -> None:
    """Write a network as ``path`` with ``config.json`` beside it, with ``spikes`` of its inputs as packets.

    A neuron whose spikes go nowhere aims at a place of the mesh without a core. Raises `ModelError` where RANC has no
    word for something: another law, or inputs that are not one axon each.
    """
    _check(placement)
    offsets, grid = offsets_of(placement)
    config = {"num_neurons": placement.neurons, "num_axons": placement.axons, "num_cores_x": grid[0]}
    config |= {"num_cores_y": grid[1], "num_weights": 4, "max_tick_offset": 16}
    config |= {"neuron_reset_type": int(placement.floor_included)}
    bus = {"coordinates": list(bus_of(placement, grid)), "num_outputs": placement.outputs}
    cores = [_core(placement, c, offsets[c]) for c in range(placement.cores)]
    tables = {"packets": _packets(placement, spikes, tick_us), "output_bus": bus, "cores": cores}
    for target, value in ((Path(path), tables), (Path(path).with_name("config.json"), config)):
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(value))


def _check(p: CrossbarPlacement) -> None:
    if p.law != RANC:
        raise ModelError(f"RANC cannot run a chip of law '{p.law}'")
    plain = CrossbarPlacement.of(p.cores, p.axons, p.neurons, law=RANC).inputs
    if not np.array_equal(p.inputs, plain):
        raise ModelError("RANC's packets name axons: inputs that are not one axon each cannot be written")


def bus_of(p: CrossbarPlacement, grid: tuple[int, int]) -> tuple[int, int]:
    """Return where the outputs sit, or some place for a chip that has none."""
    return p.bus_xy if p.bus_xy != (-1, -1) else (grid[0] - 1, grid[1] - 1)


def offsets_of(p: CrossbarPlacement) -> tuple[Array, tuple[int, int]]:
    """Return the offsets (C, N, 2) that lead to each target, and the mesh, larger by a row where it had no room."""
    columns, rows = p.grid
    taken = {*map(tuple, p.core_xy.tolist()), p.bus_xy}
    nowhere = np.any(p.target_core == NOWHERE) or p.bus_xy == (-1, -1)
    free = next(((x, y) for y in range(rows) for x in range(columns) if (x, y) not in taken), None)
    if nowhere and (free is None or p.bus_xy == (-1, -1)):
        rows, free = rows + 1, (0, rows)
        columns = max(columns, 2)  # beside that place, one for outputs that the chip does not have
    places = np.vstack([p.core_xy, bus_of(p, (columns, rows)), free or (0, 0)])
    to = np.where(p.target_core >= 0, p.target_core, np.where(p.target_core == PIN, p.cores, p.cores + 1))
    return places[to] - p.core_xy[:, None], (columns, rows)


def _core(p: CrossbarPlacement, c: int, offsets: Array) -> dict[str, Any]:
    names = {theirs: getattr(p, ours)[c].tolist() for ours, theirs in PARAMETERS.items()}
    columns: dict[str, list[Any]] = {
        **names,
        "negative_threshold": (-p.floor[c].astype(np.int64)).tolist(),
        "weights": p.weights[c].tolist(),
        "destination_core_offset": offsets.tolist(),
        "destination_axon": np.where(p.target_core[c] == NOWHERE, 0, p.target_axon[c]).tolist(),
        "destination_tick": (p.delay[c].astype(int) - 1).tolist(),
    }
    neurons = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    bits = np.unpackbits(p.synapses[c], axis=1, count=p.neurons, bitorder="little")
    place = p.core_xy[c].tolist()
    return {"axons": p.axon_type[c].tolist(), "neurons": neurons, "connections": bits.T.tolist(), "coordinates": place}


def _packets(p: CrossbarPlacement, spikes: Spikes | None, tick_us: int) -> list[list[dict[str, Any]]]:
    if spikes is None:
        return []
    first, stop = spikes.start // tick_us, -(-spikes.stop // tick_us)
    made: list[list[dict[str, Any]]] = [[] for _ in range(stop - first)]
    for t, axon in zip((spikes.t // tick_us - first).tolist(), spikes.axon.tolist(), strict=True):
        core = p.core_xy[axon // p.axons].tolist()
        made[t].append({"destination_core": core, "destination_axon": axon % p.axons, "destination_tick": 0})
    return made
