"""The synapses of a projection as arrays, deterministic by seed.

Each projection has draws of its own, by the model's seed, its own seed and its name: adding one changes no other. Which
synapses there are, their weights and their delays are drawn apart, so that none of these changes another either.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from spikestream.model.delays import Ticks, delay_ticks
from spikestream.model.network import MOST_LISTED, Model, check_count, is_matrix, least_ticks
from spikestream.model.parts import Population, Projection, Source
from spikestream.model.pattern import NONE, Synapses
from spikestream.model.patterns import PATTERNS
from spikestream.model.values import Array, Values, fill

STRUCTURE, WEIGHTS, DELAYS, INITIAL = range(4)


class Wires(NamedTuple):
    """Synapses of one projection, as ``kind`` "dense", "sparse" or "lateral".

    Dense: ``weights`` (sources, targets) of the model's dtype in C order, and one delay. Sparse: rows of groups, group
    g = source * len(delays) + k for the delay ``delays[k]``; its synapses are [ptr[g], ptr[g + 1]), ascending in
    ``post``, those between the same two as they were listed. ``weights`` (m,) float64, or where ``share`` is not empty,
    those of the kernels, of which synapse k has weights[share[k]]. Lateral: ``weights`` (1,) float64 to all others.
    """

    kind: str
    sources: int
    targets: int
    delays: Array  # (d,) int64 ticks, distinct, ascending
    weights: Array
    ptr: Array  # (sources * d + 1,) int64 of sparse, else empty
    post: Array  # (m,) int32 of sparse, else empty
    share: Array  # (m,) int32 where weights are shared, else empty

    @property
    def synapses(self) -> int:
        """Return how many synapses there are."""
        if self.kind == "sparse":
            return len(self.post)
        return self.sources * (self.targets - (self.kind == "lateral"))


def wire(model: Model, projection: Projection) -> Wires:
    """Return the synapses of a projection of this model; raises `ConfigError` where they are too many."""
    p = projection
    source, target = model.place(p.source), model.place(p.target)
    ticks = delay_ticks(p, model.tick_us, least_ticks(source))
    if isinstance(ticks, np.ndarray) and ticks.size and ticks.min() == ticks.max():
        ticks = int(ticks.flat[0])
    if p.connect == "lateral":
        assert isinstance(ticks, int)
        weights = np.array([p.weights], np.float64)
        return Wires("lateral", source.size, target.size, np.array([ticks]), weights, _no_rows(), NONE, NONE)
    if is_matrix(p, several=not isinstance(ticks, int)):
        weights = _matrix(model, p, (source.size, target.size))
        return Wires("dense", source.size, target.size, np.array([ticks]), weights, _no_rows(), NONE, NONE)
    return _sparse(model, p, source, target, ticks)


def initial_state(model: Model, population: Population) -> dict[str, Array]:
    """Return the fields of state that a population begins with, each (size,) float64, drawn by the model's seed."""
    made = {}
    for name, value in population.initial.items():
        if isinstance(value, Values):
            made[name] = value.array.astype(np.float64)
        else:
            rng = _generator(model.seed, INITIAL, _crc(population.name), _crc(name))
            made[name] = fill(np.empty(population.size), value, rng)
    return made


def _sparse(model: Model, p: Projection, source: Source, target: Source, ticks: Ticks) -> Wires:
    pattern = PATTERNS[p.connect]
    found = pattern.synapses(p, source, target, _draws(model, p, STRUCTURE))
    check_count(p, len(found.pre), MOST_LISTED)
    order = np.argsort(found.pre.astype(np.int64) * target.size + found.post, kind="stable")
    found = Synapses(*(side[order] if side.size else side for side in found))
    delays, delay = _delays(model, p, found, order, ticks)
    shared = pattern.shared(p, source, target)
    weights = _listed_weights(model, p, found, order, shared)
    group = found.pre.astype(np.int64) * len(delays) + delay
    rows = np.argsort(group, kind="stable")
    ptr = np.zeros(source.size * len(delays) + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=len(ptr) - 1), out=ptr[1:])
    share = found.share[rows] if shared else NONE
    own = weights if shared else weights[rows]
    return Wires("sparse", source.size, target.size, delays, own, ptr, found.post[rows], share)


def _matrix(model: Model, p: Projection, shape: tuple[int, int]) -> Array:
    """Return the weights of all pairs."""
    if isinstance(p.weights, Values):
        return np.array(p.weights.array, model.dtype, order="C")
    return fill(np.empty(shape, model.dtype), p.weights, _draws(model, p, WEIGHTS))


def _listed_weights(model: Model, p: Projection, found: Synapses, order: Array, shared: int) -> Array:
    """Return the weights of the kernels, or of the synapses that were found, which ``order`` has sorted."""
    if not isinstance(p.weights, Values):
        return fill(np.empty(shared or len(order)), p.weights, _draws(model, p, WEIGHTS))
    given = p.weights.array.ravel() if shared else _picked(p.weights.array, found, order)
    return given.astype(np.float64)


def _delays(model: Model, p: Projection, found: Synapses, order: Array, ticks: Ticks) -> tuple[Array, Array]:
    """Return the distinct delays, ascending, and which of them each synapse has."""
    if isinstance(ticks, int):
        return np.array([ticks]), np.zeros(len(order), np.int64)
    if isinstance(ticks, tuple):
        each = _draws(model, p, DELAYS).integers(*ticks, len(order), endpoint=True)
    else:
        each = _picked(ticks, found, order)
    if not len(each):
        return np.array([least_ticks(model.place(p.source))]), each
    delays, delay = np.unique(each, return_inverse=True)
    return delays, delay.ravel()


def _picked(given: Array, found: Synapses, order: Array) -> Array:
    """Return the given numbers of synapses: those at [source, target], or as they were listed."""
    return np.asarray(given[found.pre, found.post] if given.ndim == 2 else given[order])


def _no_rows() -> Array:
    return np.zeros(0, np.int64)


def _crc(name: str) -> int:
    return zlib.crc32(name.encode())


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def _draws(model: Model, p: Projection, what: int) -> np.random.Generator:
    return _generator(model.seed, what, _crc(p.name), p.seed)
