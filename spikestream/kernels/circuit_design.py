"""What a circuit is in memory: all cells in a row, all weights in a row, and rings of what sources gave lately.

Sources are numbered inputs first, then groups of cells. Of each a ring keeps as many steps as its longest delay asks
for: in step n what source s gave stands in slot n modulo depth, as addresses and values, zeros left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array

CURRENT, OLD, AT, SEVERAL, SPIKING = 1, 2, 4, 8, 16
SUBTRACT, CROSSING, LATE_RESET, LATE_SPIKES, REFRACTORY = 32, 64, 128, 256, 512
"""Bits of what a group of cells does; a reset that is neither of two is one to a value."""
LABORIOUS = SEVERAL | CROSSING | LATE_RESET | LATE_SPIKES | REFRACTORY
"""What asks for more than one comparison and one reset."""
NUMBERS = ("decay", "gain", "drift", "bias", "threshold", "reset_to", "floor", "v0", "current_decay", "current_gain")
"""What each cell has one of, by name."""


@dataclass(frozen=True)
class Params:
    """N cells in G groups behind I inputs in H groups, L links with k weights, by target in the order of the cells."""

    flags: Array  # (G,) int64
    input_sizes: Array  # (H,) int64
    cell_sizes: Array  # (G,) int64
    decay: Array  # (N,) float64, as all of these but one
    gain: Array
    drift: Array
    bias: Array
    threshold: Array
    reset_to: Array
    floor: Array
    v0: Array
    current_decay: Array
    current_gain: Array
    refractory: Array  # (N,) int32, steps
    link_source: Array  # (L,) int64
    link_target: Array  # (L,) int64, ascending, of groups of cells
    link_delay: Array  # (L,) int64, steps
    link_first: tuple[Array, ...]  # for each link (source + 1,) int64, where a row begins in its post and weights
    post: tuple[Array, ...]  # for each link int32, addresses in its target
    weights: tuple[Array, ...]  # for each link float64
    outputs: Array  # (O,) int64, groups of cells
    most: int  # spikes of a cell in a step
    dtype: Any  # float64 or float32


class Coeffs(NamedTuple):
    """What a step reads; numbers of cells are in the dtype of the circuit."""

    flags: Array  # (G,) int64
    start: Array  # (G + 1,) int64, the first cell of a group
    decay: Array  # (N,)
    gain: Array
    drift: Array
    bias: Array
    threshold: Array
    reset_to: Array
    floor: Array
    current_decay: Array
    current_gain: Array
    refractory: Array  # (N,) int32
    links: Array  # (G + 1,) int64, the first link onto a group
    link_source: Array  # (L,) int64
    link_delay: Array  # (L,) int64
    link_rows: Array  # (L,) int64, where its rows begin in first
    first: Array  # where a row begins in post and weights, int64
    post: Array  # (k,) int32, numbers of cells
    weights: Array  # (k,)
    size: Array  # (S,) int64, of a source
    depth: Array  # (S,) int64, steps its ring keeps
    slot: Array  # (S,) int64, its first slot in counts
    place: Array  # (S,) int64, where its ring begins
    outputs: Array  # (O,) int64, sources
    output_first: Array  # (O,) int64, the number of its first output
    most: Any  # spikes of a cell in a step


class State(NamedTuple):
    """What is remembered from step to step."""

    step: Array  # (1,) int64, how many have been run
    v: Array  # (N,)
    i: Array  # (N,), 0 where there is no current
    owed: Array  # (N,): spikes of the last step, where their reset or they themselves are late
    left: Array  # (N,) int32, refractory steps that are left
    counts: Array  # int32, how much stands in each slot of a ring
    ids: Array  # int32, the rings: addresses
    values: Array  # and values


class Scratch(NamedTuple):
    """Room to work in; nothing in it outlives a step."""

    given: Array  # (I,) what the inputs give in this step
    x: Array  # (N,)
    was: Array  # (N,) v before this step, where a reset asks for it


def _depth(p: Params) -> Array:
    """Return how many steps the ring of each source keeps."""
    depth = np.ones(len(p.input_sizes) + len(p.cell_sizes), np.int64)
    np.maximum.at(depth, p.link_source, p.link_delay + 1)
    return depth


def waiting(p: Params) -> int:
    """Return how many values all rings together hold."""
    return int(np.dot(_depth(p), np.concatenate([p.input_sizes, p.cell_sizes])))


def _begin(sizes: Array) -> Array:
    """Return where parts of these sizes begin, and where the last one ends, int64."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def _joined(parts: tuple[Array, ...], kind: Any) -> Array:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind)


def design(params: Params) -> Coeffs:
    """Return what a step reads, copied from ``params``."""
    p, start = params, _begin(params.cell_sizes)
    weights = _begin(np.array([len(one) for one in p.post], np.int64))
    size, depth = np.concatenate([p.input_sizes, p.cell_sizes]), _depth(p)
    return Coeffs(
        flags=np.array(p.flags, np.int64),
        start=start,
        **{name: np.array(getattr(p, name), p.dtype) for name in NUMBERS if name != "v0"},
        refractory=np.array(p.refractory, np.int32),
        links=np.searchsorted(p.link_target, np.arange(len(p.flags) + 1)).astype(np.int64),
        link_source=np.array(p.link_source, np.int64),
        link_delay=np.array(p.link_delay, np.int64),
        link_rows=_begin(np.array([len(one) for one in p.link_first], np.int64))[:-1],
        first=_joined(tuple(f + w for f, w in zip(p.link_first, weights, strict=False)), np.int64),
        post=_joined(tuple(q + start[g] for q, g in zip(p.post, p.link_target, strict=True)), np.int32),
        weights=_joined(p.weights, p.dtype),
        size=size,
        depth=depth,
        slot=_begin(depth)[:-1],
        place=_begin(size * depth)[:-1],
        outputs=p.outputs + len(p.input_sizes),
        output_first=_begin(p.cell_sizes[p.outputs])[:-1],
        most=np.dtype(p.dtype).type(p.most),
    )


def init(params: Params) -> State:
    """Return a circuit before its first step: no current, and nothing under way."""
    cells, ring = int(params.cell_sizes.sum()), waiting(params)
    return State(
        step=np.zeros(1, np.int64),
        v=np.array(params.v0, params.dtype),
        i=np.zeros(cells, params.dtype),
        owed=np.zeros(cells, params.dtype),
        left=np.zeros(cells, np.int32),
        counts=np.zeros(int(_depth(params).sum()), np.int32),
        ids=np.zeros(ring, np.int32),
        values=np.zeros(ring, params.dtype),
    )


def scratch(params: Params) -> Scratch:
    """Return room for one thread to work in."""
    cells = int(params.cell_sizes.sum())
    return Scratch(*(np.zeros(n, params.dtype) for n in (int(params.input_sizes.sum()), cells, cells)))
