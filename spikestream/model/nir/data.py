"""What a NIR graph did, as NIR records it: of each node its observables, on a grid of time or as events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ModelError

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Gridded:
    """Values of each step, (samples, steps, neurons), bool for spikes; ``step_s`` is how long a step is, in seconds."""

    data: Array
    step_s: float

    def __repr__(self) -> str:
        return f"Gridded({self.data.shape}, step_s={self.step_s:g})"

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", _numbers("data", self.data, 3))
        object.__setattr__(self, "step_s", _number("step_s", self.step_s))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Happened:
    """Events (samples, events): which neuron, -1 for none; when, in seconds, inf for none; with what value, if any."""

    idx: Array
    time_s: Array
    neurons: int
    duration_s: float
    value: Array | None = None

    def __repr__(self) -> str:
        return f"Happened({int(np.sum(self.idx >= 0)):,} events, {self.neurons:,} neurons, {self.duration_s:g} s)"

    def __post_init__(self) -> None:
        for name in ("idx", "time_s", "value"):
            if name != "value" or self.value is not None:
                object.__setattr__(self, name, _numbers(name, getattr(self, name), 2))
                if getattr(self, name).shape != self.idx.shape:
                    raise ModelError(f"{name} is not of one shape with idx, {self.idx.shape}")
        object.__setattr__(self, "neurons", int(_number("neurons", self.neurons)))
        object.__setattr__(self, "duration_s", _number("duration_s", self.duration_s))
        if self.idx.dtype.kind not in "iu" or np.any((self.idx < -1) | (self.idx >= self.neurons)):
            raise ModelError(f"idx is -1 or one of {self.neurons:,} neurons")


Observables: TypeAlias = Mapping[str, Gridded | Happened]


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """Of each node of a graph, by name, its observables by name; of a graph within it an `Activity`."""

    nodes: Mapping[str, Activity | Observables]

    def __post_init__(self) -> None:
        kept = {k: node if isinstance(node, Activity) else _observables(k, node) for k, node in self.nodes.items()}
        object.__setattr__(self, "nodes", MappingProxyType(kept))


def _observables(node: str, found: Any) -> Observables:
    for name, one in dict(found).items():
        if not isinstance(one, (Gridded, Happened)):
            raise ModelError(f"'{name}' of node '{node}' is Gridded or Happened, found {type(one).__name__}")
    return MappingProxyType(dict(found))


def _numbers(name: str, value: Any, axes: int) -> Array:
    made = np.array(value)
    if made.ndim != axes or made.dtype.kind not in "biuf":
        raise ModelError(f"{name} is an array of numbers of {axes} axes, found {made.shape} of {made.dtype}")
    made.flags.writeable = False
    return made


def _number(name: str, value: Any) -> float:
    try:
        made = float(value)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} is a number, found {value!r:.60}") from error
    if not 0 <= made < np.inf:
        raise ModelError(f"{name} is a number from 0 on, found {made:g}")
    return made
