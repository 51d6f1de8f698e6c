"""What a model amounts to: synapses counted, weights measured, memory added up, one projection after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikestream.model.network import Model
from spikestream.model.parts import Projection
from spikestream.model.patterns import set_options
from spikestream.model.values import Array, Values
from spikestream.model.wiring import Wires, wire

ROWS = 1024
"""Rows of a matrix that are added up at once, as float64."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A projection as it is wired; weights are those of synapses, a shared one counted for each that has it.

    ``options`` are those of the pattern that are no defaults; ``held`` is how it is held: dense, sparse or lateral.
    ``delays_ms`` are the shortest and the longest; ``weights_low``, ``weights_mean`` and ``weights_high`` are 0 where
    there is no synapse.
    """

    name: str
    source: str
    target: str
    connect: str
    options: Mapping[str, Any]
    receptor: str
    held: str
    synapses: int
    delays_ms: tuple[float, float]
    weights_low: float
    weights_mean: float
    weights_high: float
    rules: tuple[Mapping[str, Any], ...]
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A model as `spikestream model show` tells it; ``memory_bytes`` is that of weights and of what lists synapses."""

    tick_us: int
    seed: int
    dtype: str
    axons: int
    neurons: int
    outputs: tuple[str, ...]
    inputs: tuple[Mapping[str, Any], ...]
    populations: tuple[Mapping[str, Any], ...]
    projections: tuple[Connected, ...]
    synapses: int
    memory_bytes: int


def summarise(model: Model) -> Summary:
    """Wire each projection once and return what there is; raises `ConfigError` where one cannot be held."""
    projections = tuple(_connected(model, p) for p in model.projections)
    return Summary(
        tick_us=model.tick_us,
        seed=model.seed,
        dtype=model.dtype,
        axons=model.axons,
        neurons=sum(one.size for one in model.populations),
        outputs=tuple(model.outputs),
        inputs=tuple({"name": one.name, "size": one.size, "shape": one.shape} for one in model.inputs),
        populations=tuple(
            {
                "name": one.name,
                "size": one.size,
                "shape": one.shape,
                "neuron": one.neuron,
                "params": dict(one.params),
                "initial": {name: _told(value) for name, value in one.initial.items()},
            }
            for one in model.populations
        ),
        projections=projections,
        synapses=sum(row.synapses for row in projections),
        memory_bytes=sum(row.memory_bytes for row in projections),
    )


def _connected(model: Model, p: Projection) -> Connected:
    wires = wire(model, p)
    low, mean, high = _measured(wires)
    tick_ms = model.tick_us / 1000
    held = wires.weights.size * np.dtype(model.dtype).itemsize
    return Connected(
        name=p.name,
        source=p.source,
        target=p.target,
        connect=p.connect,
        options={name: _told(value) for name, value in set_options(p).items()},
        receptor=p.receptor,
        held=wires.kind,
        synapses=wires.synapses,
        delays_ms=(float(wires.delays[0]) * tick_ms, float(wires.delays[-1]) * tick_ms),
        weights_low=low,
        weights_mean=mean,
        weights_high=high,
        rules=tuple({"kind": rule.kind, **rule.params} for rule in p.rules),
        memory_bytes=held + wires.ptr.nbytes + wires.post.nbytes + wires.share.nbytes,
    )


def _measured(wires: Wires) -> tuple[float, float, float]:
    """Return the lowest weight of a synapse, the mean and the highest."""
    if not wires.synapses:
        return 0.0, 0.0, 0.0
    weights = wires.weights
    if not wires.share.size:
        return float(weights.min()), _sum(weights) / weights.size, float(weights.max())
    count = np.bincount(wires.share, minlength=weights.size)
    used = weights[count > 0]
    return float(used.min()), float(weights @ count) / len(wires.share), float(used.max())


def _sum(weights: Array) -> float:
    rows = weights.reshape(len(weights), -1)
    return math.fsum(float(rows[i : i + ROWS].sum(dtype=np.float64)) for i in range(0, len(rows), ROWS))


def _told(value: Any) -> Any:
    """Return a value for a reader: how many, where each is given."""
    return f"{value.array.size:,} given" if isinstance(value, Values) else value
