"""What ``emulate`` tells of a run on a chip: one object of JSON values, and the same for people."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spikestream.errors import ModelError
from spikestream.model.energy import estimate, lines
from spikestream.model.metrics import of_placement
from spikestream.service.placing import latency_in
from spikestream.units import show_count, show_us

if TYPE_CHECKING:
    from spikestream.cli.base.emulation import Emulation
    from spikestream.model.energy import Coefficients
    from spikestream.model.placement import Placement

BUSIEST = 5
"""Outputs that are named."""


def as_json(
    model: str, target: str | None, placement: Placement, emulation: Emulation, coefficients: Coefficients
) -> dict[str, Any]:
    """Return all that is known of a run, as ``emulate --json`` prints it."""
    tick_us, ticks, given = emulation.chip.tick_us, emulation.ticks, emulation.given
    counters = emulation.chip.counters
    return {
        "model": model,
        "target": target,
        "chip": placement.report(),
        "input": emulation.stimulus.name,
        "ticks": ticks,
        "tick_us": tick_us,
        "duration_us": ticks * tick_us,
        "wall_s": round(emulation.wall_ns / 1e9, 6),
        "realtime_factor": round(emulation.realtime_factor(), 3),
        "spikes_in": int(emulation.heard.sum()),
        "spikes_out": int(given.sum()),
        "spikes_by_output": given.tolist(),
        "output_sha256": emulation.hash.hexdigest(),
        "counters": dict(counters),
        "energy": estimate(counters, ticks, placement.cores, tick_us, coefficients),
        "neurobench": _neurobench(placement, counters, ticks),
    }


def _neurobench(placement: Placement, counters: Mapping[str, int], ticks: int) -> dict[str, Any] | None:
    """Return the metrics of NeuroBench, None for a chip that has none."""
    with suppress(ModelError):
        return of_placement(placement, counters, ticks)
    return None


def as_text(facts: Mapping[str, Any]) -> str:
    """Return what `as_json` made, for people."""
    chip, tick_us = facts["chip"], facts["tick_us"]
    told = {
        "chip": _chip(chip),
        "holds": f"{chip['neurons']:,} neurons, {chip['axons']:,} axons, {chip['synapses']:,} synapses in use",
        "ends": f"{chip['inputs']:,} inputs, {chip['outputs']:,} outputs",
        **_compiled(facts),
        "input": f"{facts['input']}: {facts['spikes_in']:,} spikes",
        "ran": f"{facts['ticks']:,} ticks of {show_us(tick_us)}, {show_us(facts['duration_us'])}: "
        f"{facts['realtime_factor']:.4g} x real time",
        "output": f"{facts['spikes_out']:,} spikes{_busiest(facts['spikes_by_output'], facts['duration_us'])}",
        "counted": ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in facts["counters"].items()),
    }
    rows = [f"  {name:11} {text}" for name, text in told.items()]
    return "\n".join([facts["model"], *rows, *(f"  {line}" for line in lines(facts["energy"]))])


def _chip(chip: Mapping[str, Any]) -> str:
    columns, rows = chip["grid"]
    cores = "1 core" if chip["cores"] == 1 else f"{chip['cores']:,} cores"
    return f"law {chip['law']}, {cores} on a mesh of {columns} x {rows}"


def _compiled(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what the compiler noted: latency, and what each population of the network misses."""
    notes, told = facts["chip"], {}
    latency = latency_in(notes)
    if latency is not None:
        ticks = "1 tick" if latency == 1 else f"{latency:,} ticks"
        told["latency"] = f"{ticks}, {show_us(latency * facts['tick_us'])}"
    populations = notes.get("populations")
    for name, one in populations.items() if isinstance(populations, Mapping) else ():
        if isinstance(one, Mapping):
            told[f"'{name}'"] = "; ".join([*_missed(one.get("weight_error")), *map(str, one.get("approximate") or ())])
    return told


def _missed(error: Any) -> list[str]:
    """Return how far weights are from what they should be: one number, or one for each source."""
    if isinstance(error, Mapping):
        return [", ".join(f"weights from {source} off by {part:.2%}" for source, part in error.items())]
    return [] if error is None else [f"weights off by {error:.2%}"]


def _busiest(counts: list[int], duration_us: int) -> str:
    """Return how often outputs spiked on the average, and which of them most."""
    if not any(counts):
        return ""
    seconds = max(duration_us, 1) / 1e6
    order = sorted(range(len(counts)), key=lambda pin: -counts[pin])[:BUSIEST]
    named = ", ".join(f"{pin} ({show_count(counts[pin]).strip()})" for pin in order if counts[pin])
    return f", {show_count(sum(counts) / len(counts) / seconds)}Hz each; most: {named}"
