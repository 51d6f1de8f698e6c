"""Cells and weights of a circuit in the whole numbers of Loihi cores.

v is counted from ``reset_to``, where a chip resets to, and in a unit of each cell's own: as large as thresholds, biases
and weights, and what may arrive at once, allow. All weights from one source onto one population share an exponent, 0 to
7. A cell whose weights are multiples of one number has them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spikestream.errors import ModelError
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.compile.loihi_net import LoihiGroup, LoihiJoin
from spikestream.model.compile.net import Array
from spikestream.model.loihi_limits import V_LIMIT

STEP = 64
"""Thresholds are multiples of it, and currents."""
MOST_THRESHOLD, MOST_BIAS, MOST_WEIGHT = (2**17 - 1) * STEP, 4095 * 2**7, 255
NEAR = 1e-6
PARTS = 12
"""Into so many the least weight of a cell is divided, at most, to find what all are multiples of."""
DEPTH = 16
"""So many thresholds below its reset v may fall where a cell has no floor."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Cells in numbers of their own, v counted from ``reset_to``; arrays (size,)."""

    threshold: Array
    push: Array  # a step
    current_decay: Array  # 0 without a current
    gain: Array  # what a weight moves u by
    depth: Array  # how far v may fall


def group_of(
    circuit: Circuit, cells: Cells, hard_reset: bool, active: float
) -> tuple[LoihiGroup, list[LoihiJoin], dict[str, Any]]:
    """Return the compartments of cells, all joins onto them, and what that misses. Raises `ModelError`.

    ``active`` is the share of a cell's weights of one sign that may be heard at once without its current wrapping.
    """
    _refuse(cells, hard_reset)
    links = [link for link in circuit.links if link.target == cells.name and len(link.post)]
    sources = list(dict.fromkeys(link.source for link in links))
    wanted = _wanted(cells)
    post = np.concatenate([np.zeros(0, np.int64), *(link.post for link in links)]).astype(np.int64)
    value = np.concatenate([np.zeros(0), *(link.weights for link in links)]) * wanted.gain[post]
    part = np.repeat([sources.index(link.source) for link in links], [len(link.post) for link in links]).astype(
        np.int64
    )
    decays = np.clip(np.round(4096 * (1 - wanted.current_decay)) - 1, 0, 4095), np.round(4096 * (1 - cells.decay))
    du, dv = decays[0].astype(np.int64), np.clip(decays[1], 0, 4095).astype(np.int64)
    unit, lattice, weight, exponent = _best(wanted, (part, post, value), len(sources), active * 4096 / (du + 1))
    threshold = np.minimum(unit * wanted.threshold / STEP, 2**17 - 1)
    exact = lattice & (cells.decay == 1) & (not cells.has_current) & cells.at_threshold
    whole = np.where(exact, np.ceil(threshold - NEAR) - 1, np.floor(threshold + NEAR)).astype(np.int64)
    bias, bias_exponent = _bias(np.round(unit * wanted.push).astype(np.int64))
    made = LoihiGroup(
        name=cells.name,
        du=du,
        dv=dv,
        bias=bias,
        bias_exponent=bias_exponent,
        threshold=np.maximum(whole, 0),
        v_min=np.maximum(np.ceil(unit * (cells.floor - cells.reset_to)), -V_LIMIT).astype(np.int64),
        refractory=np.maximum(cells.refractory.astype(np.int64), int(cells.late_reset)) + 1,
    )
    joins, begin = [], 0
    errors: dict[str, float] = {}
    for link in links:
        stop, up = begin + len(link.post), int(exponent[sources.index(link.source)])
        joins.append(_join(link, cells, weight[begin:stop], up))
        off = weight[begin:stop] * float(STEP << up) / unit[post[begin:stop]] - value[begin:stop]
        scale = float(np.sqrt(np.mean(value[begin:stop] ** 2)))
        error = float(np.sqrt(np.mean(off**2))) / scale if scale else 0.0
        errors[link.source] = max(errors.get(link.source, 0.0), error)
        begin = stop
    told = _told(cells, wanted, du, dv, hard_reset)
    exponents = dict(zip(sources, exponent.tolist(), strict=True))
    return made, joins, {"exponents": exponents, "weight_error": errors, "approximate": told}


def _refuse(cells: Cells, hard_reset: bool) -> None:
    """Raise `ModelError` for cells that no compartment can be."""
    name = f"cells '{cells.name}'"
    if not cells.spiking:
        raise ModelError(f"{name} give values, and a chip gives spikes", remedy="spiking cells as outputs")
    if cells.several:
        raise ModelError(f"{name} give several spikes a step, and a compartment gives one")
    if cells.reset != "value" and not hard_reset:
        text = f"{name} are reset by '{cells.reset}', and a compartment is reset to a value"
        raise ModelError(text, remedy="hard_reset=True, which resets them to reset_to, or train with such a reset")
    if np.any((cells.decay < 0) | (cells.decay > 1)) or (
        cells.has_current and np.any((cells.current_decay < 0) | (cells.current_decay > 4095 / 4096))
    ):
        raise ModelError(f"{name}: decays are not within 0 .. 1, that of the current 4095/4096")
    if np.any(cells.threshold <= cells.reset_to):
        raise ModelError(f"{name} are reset to their threshold or above it")
    if np.any(cells.floor > cells.reset_to):
        raise ModelError(f"{name} have a floor above what they are reset to")
    if np.any(cells.refractory > 63 - int(cells.late_reset)):
        raise ModelError(f"{name} are refractory for more than 63 steps")


def _wanted(cells: Cells) -> Wanted:
    decay = np.zeros(cells.size) if cells.current_decay is None else cells.current_decay
    gain = cells.gain * (1.0 if cells.current_gain is None else cells.current_gain)
    push = gain * cells.bias / (1 - decay) + cells.drift - (1 - cells.decay) * cells.reset_to
    threshold, floor = cells.threshold - cells.reset_to, cells.reset_to - cells.floor
    return Wanted(threshold, push, decay, gain, np.where(np.isfinite(floor), floor, DEPTH * threshold))


def _told(cells: Cells, wanted: Wanted, du: Array, dv: Array, hard_reset: bool) -> list[str]:
    """Return what is only nearly as it should be."""
    told = []
    for name, off in (
        ("v", np.abs(1 - dv / 4096 - cells.decay)),
        ("the current", np.abs(1 - (du + 1) / 4096 - wanted.current_decay)),
    ):
        if off.max() > 1e-9:
            told.append(f"the decay of {name} is off by up to {off.max():.1g}")
    if cells.has_current and np.any(cells.bias != 0):
        told.append("the bias of a current is what it becomes in the end, from the beginning")
    if np.any(cells.v0 != cells.reset_to):
        told.append("v begins at reset_to")
    if cells.reset != "value" and hard_reset:
        told.append(f"reset to reset_to instead of by '{cells.reset}'")
    return told


def _best(
    wanted: Wanted, synapses: tuple[Array, Array, Array], parts: int, reach: Array
) -> tuple[Array, Array, Array, Array]:
    """Return the units (size,), which cells have exact weights, all mantissas, and exponents (parts,).

    ``synapses`` are part (source), cell and value of each; ``reach`` (size,) is how far a current adds up, times the
    share that is active at once.
    """
    part, post, value = synapses
    most, quanta = np.zeros(len(reach)), _quanta(post, value, len(reach))
    np.maximum.at(most, post, np.abs(value))
    room = _room(wanted, post, value, reach)
    tried = []
    for highest in range(8):
        step = float(STEP << highest)
        unit = np.minimum(room, np.divide(MOST_WEIGHT * step, most, out=room.copy(), where=most > 0))
        unit, lattice = _rounded(unit, step, quanta, wanted.threshold)
        largest = np.zeros(parts)
        np.maximum.at(largest, part, np.abs(unit[post] * value))
        exponent = np.ceil(np.log2(np.maximum(largest / (STEP * (MOST_WEIGHT + NEAR)), 1))).astype(np.int64)
        steps = float(STEP) * (1 << exponent[part])
        weight = np.clip(np.round(unit[post] * value / steps), -256, 255).astype(np.int64)
        off = weight * steps / unit[post] - value
        tried.append((float(np.sum(off**2)), highest, unit, lattice, weight, exponent))
    lowest = min(row[0] for row in tried)
    # Where they are as good, the larger: decays round by whole numbers.
    return max((row for row in tried if row[0] <= 1.1 * lowest + 1e-18), key=lambda row: row[1])[2:]


def _room(wanted: Wanted, post: Array, value: Array, reach: Array) -> Array:
    """Return how large the units may be, (size,), for thresholds, biases, and what may arrive at once."""
    both = np.zeros((2, len(reach)))
    for side, own in zip(both, (np.maximum(value, 0), np.maximum(-value, 0)), strict=True):
        np.add.at(side, post, own)
    room = np.full(len(reach), float(MOST_THRESHOLD))
    for bound, by in (
        (MOST_THRESHOLD, wanted.threshold),
        (MOST_BIAS, np.abs(wanted.push)),
        (V_LIMIT, wanted.depth),
        (V_LIMIT, both.max(axis=0) * reach),
    ):
        np.minimum(room, np.divide(bound, by, out=room.copy(), where=(by > 0) & np.isfinite(by)), out=room)
    return room


def _quanta(post: Array, value: Array, size: int) -> tuple[Array, Array]:
    """Return numbers of which all weights of a cell are multiples, (size,), and for which cells there is one."""
    least = np.full(size, np.inf)
    np.minimum.at(least, post[value != 0], np.abs(value[value != 0]))
    least[~np.isfinite(least)] = 1.0
    quantum, found = least.copy(), np.zeros(size, bool)
    for parts in range(1, PARTS + 1):
        whole = np.ones(size, bool)
        times = value * parts / least[post]
        np.logical_and.at(whole, post, np.abs(times - np.round(times)) < NEAR)
        quantum = np.where(whole & ~found, least / parts, quantum)
        found |= whole
    return quantum, found


def _rounded(unit: Array, step: float, quanta: tuple[Array, Array], threshold: Array) -> tuple[Array, Array]:
    """Return units, no larger, in which all weights of a cell are whole, or its threshold; and where weights are."""
    quantum, whole = quanta
    many = np.floor(unit * quantum / step + NEAR)
    lattice = whole & (many >= 1)
    steps = np.floor(unit * np.where(np.isfinite(threshold), threshold, 0) / STEP)
    by_threshold = np.where(steps >= 1, STEP * steps / np.where(np.isfinite(threshold), threshold, 1), unit)
    return np.where(lattice, many * step / quantum, by_threshold), lattice


def _bias(value: Array) -> tuple[Array, Array]:
    """Return mantissas of 12 bits and a sign, and exponents, nearest to ``value`` (size,) int64."""
    exponent = np.zeros(len(value), np.int64)
    for up in range(1, 8):
        exponent[np.abs(value) > 4095 << (up - 1)] = up
    return np.clip(np.round(value / (1 << exponent)), -4095, 4095).astype(np.int64), exponent


def _join(link: Link, cells: Cells, weight: Array, exponent: int) -> LoihiJoin:
    """Return the synapses of a link; weights that have become 0 are none."""
    kept = np.concatenate([[0], np.cumsum(weight != 0)])[link.first]
    chosen = weight != 0
    delay = link.delay + int(cells.has_current and cells.old_current)
    return LoihiJoin(
        link.source, link.target, delay, kept, link.post[chosen].astype(np.int64), weight[chosen], exponent
    )
