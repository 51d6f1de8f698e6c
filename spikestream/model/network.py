"""A whole network as it is described: inputs, populations and projections that fit each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spikestream.errors import ConfigError, nearest
from spikestream.model.checks import MOST_SEED, choice_of, refused, whole_of
from spikestream.model.delays import delay_ticks, most_kinds
from spikestream.model.parts import Input, Population, Projection, Source
from spikestream.model.patterns import PATTERNS
from spikestream.model.tables import parts_from_tables, tables_of_parts
from spikestream.model.values import Values

HOUR_US = 3_600_000_000
DTYPES = ("float32", "float64")
MOST_LISTED = 2**25
"""Synapses of a projection that are listed one by one."""
MOST_DENSE = 2**29
"""Synapses of a projection that are a matrix."""


@dataclass(frozen=True, slots=True)
class Model:
    """Inputs, populations and projections, in an order that counts: axons are numbered through all inputs.

    ``outputs`` are the populations whose spikes come out, in the order of their numbers; by default all.
    """

    inputs: Sequence[Input]
    populations: Sequence[Population]
    projections: Sequence[Projection] = ()
    tick_us: int = 1000
    seed: int = 0
    outputs: Sequence[str] = ()
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, kind in (("inputs", Input), ("populations", Population), ("projections", Projection)):
            object.__setattr__(self, name, _parts(name, getattr(self, name), kind))
        object.__setattr__(self, "tick_us", whole_of("tick_us", self.tick_us, 1, HOUR_US))
        object.__setattr__(self, "seed", whole_of("seed", self.seed, 0, MOST_SEED))
        choice_of("dtype", self.dtype, DTYPES)
        if not self.populations:
            raise ConfigError("a model needs a population", key="populations", allowed="[populations.NAME] and more")
        _check_names(self)
        object.__setattr__(self, "outputs", _outputs(self))
        for projection in self.projections:
            _check_projection(self, projection)

    @property
    def axons(self) -> int:
        """Return how many axons all inputs have; those of an input follow those of the inputs before it."""
        return sum(one.size for one in self.inputs)

    def place(self, name: str) -> Source:
        """Return the input or population of a name; raises `ConfigError`."""
        for one in _places(self):
            if one.name == name:
                return one
        raise ConfigError(f"there is no input or population '{name}'", key=name, nearest=nearest(name, _names(self)))

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Model:
        """Return the model of nested tables as TOML gives them (docs/model.md); raises `ConfigError`."""
        return cls(**parts_from_tables(tables))

    def to_tables(self) -> dict[str, Any]:
        """Return nested tables of plain numbers, texts and lists, which `from_tables` takes back exactly."""
        plain = {"tick_us": self.tick_us, "seed": self.seed, "dtype": self.dtype, "outputs": list(self.outputs)}
        return {**plain, **tables_of_parts(self.inputs, self.populations, self.projections)}


def _places(model: Model) -> list[Source]:
    return [*model.inputs, *model.populations]


def _names(model: Model) -> list[str]:
    return [one.name for one in _places(model)]


def _parts(name: str, given: object, kind: type) -> tuple[Any, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(part, kind) for part in given):
        raise refused(name, given, f"a list of {kind.__name__}")
    return tuple(given)


def _check_names(model: Model) -> None:
    connecting = [p.name for p in model.projections]
    for names, where in ((_names(model), "inputs and populations"), (connecting, "projections")):
        (name, count) = (Counter(names).most_common(1) or [("", 0)])[0]
        if count > 1:
            raise ConfigError(f"{count} of the {where} are named '{name}'", key=name, value=name)


def _outputs(model: Model) -> tuple[str, ...]:
    """Return the names of the populations that are heard."""
    known, given = [one.name for one in model.populations], model.outputs
    if not isinstance(given, list | tuple):
        raise refused("outputs", given, "a list of populations")
    for name in given:
        choice_of("outputs", name, known)
    if len(set(given)) < len(given):
        raise refused("outputs", given, "each population once")
    return tuple(given) or tuple(known)


def _check_projection(model: Model, p: Projection) -> None:
    """Refuse a projection whose ends, shapes, delays or size do not fit."""
    key, targets = f"projections.{p.name}", [one.name for one in model.populations]
    choice_of(f"{key}.source", p.source, _names(model))
    choice_of(f"{key}.target", p.target, targets)
    source, target, pattern = model.place(p.source), model.place(p.target), PATTERNS[p.connect]
    pattern.fits(p, source, target)
    _check_shape(f"{key}.weights", p.weights, pattern.weights_shape(p, source, target))
    _check_shape(f"{key}.delay_ms", p.delay_ms, pattern.delays_shape(p, source, target))
    delays = delay_ticks(p, model.tick_us, least_ticks(source))
    several = not isinstance(delays, int)
    if p.connect == "lateral":
        return
    matrix = is_matrix(p, several)
    check_count(p, pattern.most(p, source, target), MOST_DENSE if matrix else MOST_LISTED)
    kinds = most_kinds(delays)
    if not matrix and source.size * kinds > MOST_LISTED:
        text = f"{source.size:,} sources with {kinds} delays are too many"
        raise ConfigError(text, key=f"{key}.delay_ms", allowed=f"sources x delays up to {MOST_LISTED:,}")


def least_ticks(source: Source) -> int:
    """Return the shortest delay from a source: what a population fires is heard in the next tick at the earliest."""
    return 0 if isinstance(source, Input) else 1


def is_matrix(p: Projection, several: bool) -> bool:
    """Return whether a projection is held as a matrix: every pair, and not ``several`` delays."""
    alone = not p.self_connections and p.source == p.target
    return p.connect == "all" and not alone and not several


def check_count(p: Projection, count: int, most: int) -> None:
    """Raise `ConfigError` where a projection has more synapses than can be held."""
    if count > most:
        text = f"projection '{p.name}' has up to {count:,} synapses"
        remedy = "fewer neurons, or another pattern"
        raise ConfigError(text, key=f"projections.{p.name}.connect", value=count, allowed=f"{most:,}", remedy=remedy)


def _check_shape(key: str, value: object, wanted: tuple[int, ...]) -> None:
    if isinstance(value, Values) and value.array.shape != wanted:
        allowed = f"shape {wanted}" if wanted else "a number, or [low, high]"
        raise ConfigError(f"{key} has shape {value.array.shape}", key=key, value=value.array.shape, allowed=allowed)
