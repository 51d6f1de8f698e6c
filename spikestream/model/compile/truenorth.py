"""Target "truenorth": a circuit onto crossbar cores, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikestream.errors import ModelError
from spikestream.model.circuit import Circuit
from spikestream.model.compile.emit import emit
from spikestream.model.compile.fan_in import TOLD, check_fan_in, divided
from spikestream.model.compile.integer import Reference
from spikestream.model.compile.membrane import refuse
from spikestream.model.compile.net import RELAYS, Net
from spikestream.model.compile.options import Options, Progress, options_of
from spikestream.model.compile.partition import Core, partition
from spikestream.model.compile.quantise import check_size, prompt, quantise
from spikestream.model.compile.timing import timed
from spikestream.model.compile.units import Units, units_of
from spikestream.model.crossbar import CrossbarPlacement

EXACT = 1e-9
"""Weights that are off by less are not off."""


def truenorth(circuit: Circuit, given: Mapping[str, Any], progress: Progress) -> tuple[CrossbarPlacement, Reference]:
    """Return the placement of a circuit, its notes included, and its integer reference.

    Raises `ModelError` for what cannot be, `ConfigError` for options.
    """
    options: Options = options_of(Options, given)
    populations: dict[str, Any] = {}
    check_size(circuit)
    for cells in circuit.cells:
        refuse(cells)
    late = {name for name in circuit.outputs if circuit.place(name).late_spikes}
    circuit, parts = divided(prompt(circuit), options)
    whole = quantise(circuit, options, populations, progress)
    check_fan_in(whole, options)
    for name, count in parts.items():
        populations[name]["parts"] = count
        populations[name]["approximate"].append(TOLD)
    if options.exact:
        _insist(populations)
    asked: list[str] = []
    while True:
        net = timed(whole, asked)
        units = units_of(net)
        made = partition(net, units, options, asked, progress)
        if not made.split:
            break
        asked.append(made.split)
    latency = {name: net.latency(name) - (name in late) for name in net.outputs}
    notes = {
        "target": "truenorth",
        "step_us": circuit.step_us,
        "latency_ticks": latency,
        **_counts(net, units, made.cores, populations),
        "populations": populations,
    }
    placement = emit(net, units, made.cores, options, notes, progress)
    progress("done", 1.0)
    return placement, Reference(net)


def _insist(populations: Mapping[str, Any]) -> None:
    for name, note in populations.items():
        told = list(note["approximate"])
        told += [f"weights from '{k}' are off by {off:.1%}" for k, off in note["weight_error"].items() if off > EXACT]
        if told:
            raise ModelError(f"cells '{name}' do not fit exactly", details=told, remedy="exact=False")


def _counts(net: Net, units: Units, cores: list[Core], populations: Mapping[str, Any]) -> dict[str, Any]:
    parts = sum(note.get("parts", 0) for note in populations.values())
    used, sitting = sum(core.neurons for core in cores), int(units.alive.sum())
    passing = sum(one.size for one in net.groups if one.kind == RELAYS)
    copies = {neuron: count for core in cores for neuron, count in core.copies.items()}
    return {
        "agreement": None,  # known where there are samples
        "duplicates": used - len(copies),
        "relays": passing,
        "parts": parts,
        "unheard": len(units.alive) - sitting,
    }
