"""The parts of a model: inputs, populations of neurons, projections of synapses, and the rules by which those learn.

Each part checks itself when it is made; what needs its neighbours is checked by the `Model` they are put into. Neurons,
rules and their parameters are plugins' and known to whoever runs the model, so only their form is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spikestream.errors import ConfigError, nearest
from spikestream.model.checks import (
    MOST_SEED,
    choice_of,
    name_of,
    params_of,
    refused,
    text_of,
    whole_of,
)
from spikestream.model.patterns import OPTIONS, PATTERNS
from spikestream.model.values import Value, Values, value_of

MOST_SIZE = 2**24
"""Axons of an input, or neurons of a population."""
NEURON_KEYS = ("size", "shape", "neuron", "initial")
"""Keys of a population's table that are no parameters of its neuron."""


@dataclass(frozen=True, slots=True)
class Input:
    """Axons from outside: ``size`` of them, or ``shape`` (channels, height, width), address (c·H + y)·W + x.

    Of a part with a shape, ``size`` is told by it; one without has the shape ().
    """

    name: str
    size: int = 0
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        name_of("inputs", self.name)
        _put(self, **_extent(f"inputs.{self.name}", self.size, self.shape))


@dataclass(frozen=True, slots=True)
class Population:
    """Neurons of one kind, with that kind's parameters; ``initial`` are fields of its state to begin with.

    ``initial`` values are a number for all, [low, high] uniform by seed, or an array (size,).
    """

    name: str
    size: int = 0
    shape: tuple[int, ...] = ()
    neuron: str = "lif"
    params: Mapping[str, Any] = field(default_factory=dict)
    initial: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name_of("populations", self.name)
        key = f"populations.{self.name}"
        _put(self, **_extent(key, self.size, self.shape))
        text_of(f"{key}.neuron", self.neuron)
        if not isinstance(self.initial, Mapping):
            raise refused(f"{key}.initial", self.initial, "a table of fields and values")
        given = {name: _start(f"{key}.initial", name, value, self.size) for name, value in self.initial.items()}
        _put(self, params=params_of(key, self.params, NEURON_KEYS), initial=given)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by which the synapses of a projection learn, with its parameters."""

    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text_of("rules.kind", self.kind)
        _put(self, params=params_of(f"rules.{self.kind}", self.params, ("kind",)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Synapses from an input or a population onto a population, in a pattern.

    ``weights`` and ``delay_ms`` are a number, [low, high] uniform by seed, or arrays, of which docs/model.md tells the
    shape; without ``delay_ms``, spikes of an input arrive in their own tick, those of a population in the next one.
    ``receptor`` "" is the neuron's first. Fields from ``probability`` on are options of patterns, None where of others.
    """

    name: str = field(kw_only=False)
    source: str = field(kw_only=False)
    target: str = field(kw_only=False)
    weights: Any
    delay_ms: Any = None
    receptor: str = ""
    connect: str = "all"
    rules: Sequence[Rule] = ()
    seed: int = 0
    probability: Any = None
    self_connections: Any = None
    radius: Any = None
    kernel: Any = None
    stride: Any = None
    padding: Any = None
    pre: Any = None
    post: Any = None

    def __post_init__(self) -> None:
        key = f"projections.{name_of('projections', self.name)}"
        for field_name in ("source", "target"):
            name_of(f"{key}.{field_name}", getattr(self, field_name))
        text_of(f"{key}.receptor", self.receptor, empty=True)
        choice_of(f"{key}.connect", self.connect, PATTERNS)
        _put(
            self,
            weights=value_of(f"{key}.weights", self.weights),
            delay_ms=None if self.delay_ms is None else value_of(f"{key}.delay_ms", self.delay_ms),
            rules=_rules(f"{key}.rules", self.rules),
            seed=whole_of(f"{key}.seed", self.seed, 0, MOST_SEED),
            **_options(key, self),
        )


Source = Input | Population


def _put(part: object, **values: object) -> None:
    """Set fields of a frozen part while it is made."""
    for name, value in values.items():
        object.__setattr__(part, name, value)


def _extent(key: str, size: object, shape: object) -> dict[str, Any]:
    """Return size and shape, of which one may be missing."""
    if not isinstance(shape, list | tuple) or len(shape) not in (0, 3):
        raise refused(f"{key}.shape", shape, "[channels, height, width]")
    if not shape:
        return {"size": whole_of(f"{key}.size", size, 1, MOST_SIZE), "shape": ()}
    sides = tuple(whole_of(f"{key}.shape", side, 1, MOST_SIZE) for side in shape)
    product = sides[0] * sides[1] * sides[2]
    if product > MOST_SIZE:
        raise refused(f"{key}.shape", shape, f"up to {MOST_SIZE:,} places")
    if size not in (0, product):
        raise refused(f"{key}.size", size, f"{product}, as its shape {list(sides)} has")
    return {"size": product, "shape": sides}


def _start(key: str, name: object, given: object, size: int) -> Value:
    path = f"{key}.{name_of(key, name)}"
    value = value_of(path, given)
    if isinstance(value, Values) and value.array.shape != (size,):
        raise ConfigError(
            f"{path} has shape {value.array.shape}", key=path, value=value.array.shape, allowed=f"({size},)"
        )
    return value


def _rules(key: str, given: object) -> tuple[Rule, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(rule, Rule) for rule in given):
        raise refused(key, given, "a list of rules")
    return tuple(given)


def _options(key: str, projection: Projection) -> dict[str, Any]:
    """Return the options of the projection's pattern, defaults included, and refuse those of others."""
    own = PATTERNS[projection.connect].options
    for name in OPTIONS:
        if getattr(projection, name) is not None and name not in own:
            text = f"'{name}' is no option of the pattern '{projection.connect}'"
            raise ConfigError(text, key=f"{key}.{name}", allowed=", ".join(own) or "none", nearest=nearest(name, own))
    made = {}
    for name, option in own.items():
        value = getattr(projection, name)
        if value is None and option.needed:
            raise ConfigError(f"the pattern '{projection.connect}' needs '{name}'", key=f"{key}.{name}")
        made[name] = option.read(f"{key}.{name}", option.default if value is None else value)
    return made
