"""From a circuit to a net in whole numbers: weights onto axon types, membranes onto a leak, both scaled per neuron."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spikestream.errors import ModelError
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.compile.codes import Rows, nearest
from spikestream.model.compile.lateral import TOLD, lateral_of, spared
from spikestream.model.compile.membrane import Membrane, membrane
from spikestream.model.compile.net import TYPES, Array, Group, Join, Net, masked
from spikestream.model.compile.options import Options, Progress
from spikestream.model.compile.plan import Plan, plan_of
from spikestream.model.compile.scale import factors, group_of

MOST_SYNAPSES = 1 << 26
MOST_PADDED = 1 << 27
"""Of the cells of a population times the synapses of the one that has most."""
MOST_CELLS = 4096
MOST_WEIGHT = 1e100
"""So that squares of weights are numbers."""


def check_size(circuit: Circuit) -> None:
    """Raise `ModelError` where a circuit is more than can be compiled."""
    if (count := sum(len(link.post) for link in circuit.links)) > MOST_SYNAPSES:
        raise ModelError(f"a circuit of {count:,} synapses is too large", remedy=f"up to {MOST_SYNAPSES:,}")
    for link in circuit.links:
        if np.abs(link.weights).max(initial=0.0) > MOST_WEIGHT:
            raise ModelError(f"{link!r} has weights beyond {MOST_WEIGHT:g}", remedy="weights in a smaller unit")
    if len(circuit.cells) > MOST_CELLS:
        raise ModelError(
            f"{len(circuit.cells):,} populations are too many", remedy=f"up to {MOST_CELLS:,}, larger ones"
        )
    for cells in circuit.cells:
        counts = np.zeros(cells.size, np.int64)
        for link in circuit.links:
            if link.target == cells.name:
                counts += np.bincount(link.post, minlength=cells.size)
        if (most := int(counts.max(initial=0))) * cells.size > MOST_PADDED:
            text = f"cells '{cells.name}' are {cells.size:,}, one of which has {most:,} synapses"
            raise ModelError(text, remedy="smaller populations, of which each has about as many synapses")


def prompt(circuit: Circuit) -> Circuit:
    """Return the circuit whose cells give their spikes at once, where they gave them a step later, to links then."""
    late = {one.name for one in circuit.cells if one.late_spikes}
    cells = tuple(replace(one, late_spikes=False) for one in circuit.cells)
    links = tuple(replace(one, delay=one.delay + 1) if one.source in late else one for one in circuit.links)
    return replace(circuit, cells=cells, links=links)


def quantise(circuit: Circuit, options: Options, notes: dict[str, Any], progress: Progress) -> Net:
    """Return the net of a circuit; ``notes`` get what each of its cells misses. Raises `ModelError`."""
    groups, joins = [], []
    for k, cells in enumerate(circuit.cells):
        progress("quantise", k / len(circuit.cells))
        group, own = _cells(circuit, cells, options, notes)
        groups.append(group)
        joins += own
    return Net(circuit.inputs, tuple(groups), tuple(joins), circuit.outputs)


def _cells(circuit: Circuit, cells: Cells, options: Options, notes: dict[str, Any]) -> tuple[Group, list[Join]]:
    made = membrane(cells, options.leak_at)
    links, lateral = lateral_of(cells, _merged([link for link in circuit.links if link.target == cells.name]), options)
    if lateral is not None:
        links.append(lateral.link)
    values = [link.weights * made.gain[link.post] for link in links]
    spread = [Rows.of(link.post, value, cells.size) for link, value in zip(links, values, strict=True)]
    rows = [one for one, _ in spread]
    whole = len(links) - 1 if lateral is not None else -1
    plan = plan_of(rows, cells.name, options, whole) if links else None
    numbers = plan.numbers if plan else np.zeros((cells.size, TYPES))
    factor = factors(made, numbers)
    group = group_of(cells.name, made, numbers, factor)
    late = int(cells.has_current and cells.old_current)  # a current that does not last is heard a step later
    joins, errors, dropped = [], dict[str, float](), 0
    for k, (link, (own, at), value) in enumerate(zip(links, spread, values, strict=True)):
        assert plan is not None
        kept = plan.kept[k].ravel()[at]
        join = _join(link, Rows(own.values * plan.kept[k], plan.kept[k]), at, group, factor, plan.types[k], late)
        reached = _reached(link, join, group, factor)
        total = float((value**2).sum())
        error = (float(((value - reached) ** 2).sum()) / total) ** 0.5 if total else 0.0
        errors[link.source] = max(error, errors.get(link.source, 0.0))
        dropped += int((~kept).sum())
        joins.append(join)
    if lateral is not None:
        joins[-1] = replace(joins[-1], any=True)
        mask = np.zeros(group.size, np.uint8)
        mask[joins[-1].post] = joins[-1].mask
        group = spared(group, mask) if lateral.spares else group
    note = {**_note(made, plan, group, factor), "weight_error": errors, "left_out": dropped}
    note["approximate"] += [TOLD] if lateral is not None else []
    notes[cells.name] = note
    return group, joins


def _merged(links: Sequence[Link]) -> list[Link]:
    """Return links of which no two have the same source and delay: on a chip their spikes would be one."""
    by_way: dict[tuple[str, int], list[Link]] = {}
    for link in links:
        by_way.setdefault((link.source, link.delay), []).append(link)
    return [_sum(own) for own in by_way.values()]


def _sum(links: Sequence[Link]) -> Link:
    if len(links) == 1:
        return links[0]
    one = links[0]
    pre = np.concatenate([np.repeat(np.arange(len(link.first) - 1), np.diff(link.first)) for link in links])
    post = np.concatenate([link.post for link in links])
    places, which = np.unique(np.stack([pre, post], axis=1), axis=0, return_inverse=True)
    weights = np.bincount(which.ravel(), np.concatenate([link.weights for link in links]))
    first = np.searchsorted(places[:, 0], np.arange(len(one.first)))
    return Link(one.source, one.target, first, places[:, 1], weights, one.delay)


def _join(link: Link, rows: Rows, at: Array, group: Group, factor: Array, types: Sequence[int], late: int) -> Join:
    """Return the synapses of a link on their axons; those that come to nothing are left out."""
    sets = nearest(rows.values * factor[:, None], group.weights[:, types].astype(float)).ravel()[at]
    mask = np.zeros(len(sets), np.uint8)
    for k, one in enumerate(types):
        mask |= ((sets >> k) & 1) << one
    kept = mask != 0
    pre = np.repeat(np.arange(len(link.first) - 1), np.diff(link.first))[kept]
    first = np.searchsorted(pre, np.arange(len(link.first)))
    return Join(link.source, link.target, link.delay + late, first, link.post[kept], mask[kept])


def _reached(link: Link, join: Join, group: Group, factor: Array) -> Array:
    """Return what each weight of a link has become, in the cells' units."""
    made = np.zeros(len(link.post))
    width = group.size
    whole = np.repeat(np.arange(len(link.first) - 1), np.diff(link.first)) * width + link.post
    kept = join.pre * width + join.post
    made[np.searchsorted(whole, kept)] = masked(group.weights[join.post], join.mask) / factor[join.post]
    return made


def _note(made: Membrane, plan: Plan | None, group: Group, factor: Array) -> dict[str, Any]:
    slip = np.abs(group.threshold - made.threshold * factor) / np.maximum(np.abs(made.threshold * factor), 1)
    return {
        "neurons": group.size,
        "threshold_error": 0.0 if made.forgets.any() else float(slip.max(initial=0.0)),
        "axons_per_input": [len(types) for types in plan.types] if plan else [],
        "leak_mismatch": dict(made.mismatch),
        "approximate": list(made.approximate),
    }
