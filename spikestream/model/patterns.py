"""The patterns by which a projection connects, by the names they have in a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spikestream.errors import ConfigError
from spikestream.model.checks import flag_of, number_of, refused
from spikestream.model.fields import Conv, Local
from spikestream.model.pattern import Option, Pattern, Synapses, without_self
from spikestream.model.values import Array, indices_of

if TYPE_CHECKING:
    from spikestream.model.parts import Projection, Source

MOST_PAIRS = 2**32
"""Of source and target, for each of which the pattern "random" draws."""
DRAWN_AT_ONCE = 1 << 22


class OneToOne(Pattern):
    """Each source to the target of the same number."""

    options: ClassVar[Mapping[str, Option]] = {}

    def fits(self, p: Projection, source: Source, target: Source) -> None:
        """Refuse unless both have as many."""
        if source.size != target.size:
            text = f"'{source.name}' has {source.size:,} and '{target.name}' {target.size:,}: not one to one"
            raise ConfigError(text, key=f"projections.{p.name}.connect", value=p.connect, allowed="equal sizes")

    def most(self, p: Projection, source: Source, target: Source) -> int:
        """Return how many there are."""
        return target.size

    def weights_shape(self, p: Projection, source: Source, target: Source) -> tuple[int, ...]:
        """Return (size,)."""
        return (target.size,)

    def synapses(self, p: Projection, source: Source, target: Source, rng: np.random.Generator) -> Synapses:
        """Return a synapse for each number."""
        number = np.arange(target.size, dtype=np.int32)
        return Synapses(number, number.copy())


class Random(Pattern):
    """Each source to each target with the same probability."""

    options: ClassVar[Mapping[str, Option]] = {
        "probability": Option(lambda key, value: number_of(key, value, 0, 1), needed=True),
        "self_connections": Option(flag_of, True),
    }

    def fits(self, p: Projection, source: Source, target: Source) -> None:
        """Refuse where the draws alone would take minutes."""
        if source.size * target.size > MOST_PAIRS:
            text = f"{source.size:,} x {target.size:,} pairs are too many to draw for"
            raise ConfigError(text, key=f"projections.{p.name}.connect", value=p.connect, allowed=f"{MOST_PAIRS:,}")

    def most(self, p: Projection, source: Source, target: Source) -> int:
        """Return six standard deviations above what is expected."""
        pairs, share = source.size * target.size, p.probability
        expected = pairs * share
        return min(pairs, int(expected + 6 * (expected * (1 - share)) ** 0.5) + 1)

    def synapses(self, p: Projection, source: Source, target: Source, rng: np.random.Generator) -> Synapses:
        """Return those whose draw, in the order of sources and then targets, lies below the probability."""
        rows = max(1, DRAWN_AT_ONCE // target.size)
        pre, post = [], []
        for first in range(0, source.size, rows):
            count = min(rows, source.size - first)
            chosen = np.flatnonzero(rng.random(count * target.size) < p.probability)
            pre.append((first + chosen // target.size).astype(np.int32))
            post.append((chosen % target.size).astype(np.int32))
        return without_self(p, np.concatenate(pre), np.concatenate(post))


class Pairs(Pattern):
    """Those that ``pre`` and ``post`` list."""

    options: ClassVar[Mapping[str, Option]] = {
        "pre": Option(indices_of, needed=True),
        "post": Option(indices_of, needed=True),
    }

    def fits(self, p: Projection, source: Source, target: Source) -> None:
        """Refuse lists of different lengths and numbers that are not there."""
        if len(p.pre.array) != len(p.post.array):
            text = f"{len(p.pre.array):,} sources and {len(p.post.array):,} targets make no pairs"
            raise ConfigError(text, key=f"projections.{p.name}.post", allowed="as many as in pre")
        for name, side in (("pre", source), ("post", target)):
            numbers: Array = getattr(p, name).array
            if numbers.size and int(numbers.max()) >= side.size:
                text = f"'{side.name}' has no number {int(numbers.max()):,}"
                raise ConfigError(text, key=f"projections.{p.name}.{name}", allowed=f"0 to {side.size - 1:,}")

    def most(self, p: Projection, source: Source, target: Source) -> int:
        """Return how many are listed."""
        return len(p.pre.array)

    def weights_shape(self, p: Projection, source: Source, target: Source) -> tuple[int, ...]:
        """Return (pairs,)."""
        return (len(p.pre.array),)

    def synapses(self, p: Projection, source: Source, target: Source, rng: np.random.Generator) -> Synapses:
        """Return the lists."""
        return Synapses(p.pre.array.astype(np.int32), p.post.array.astype(np.int32))


class Lateral(Pattern):
    """Each neuron to all others of its population, with one weight that is held once."""

    options: ClassVar[Mapping[str, Option]] = {}

    def fits(self, p: Projection, source: Source, target: Source) -> None:
        """Refuse two populations, rules, and more than one weight or delay."""
        key = f"projections.{p.name}"
        if source.name != target.name:
            raise refused(f"{key}.source", p.source, f"'{p.target}': lateral connects a population with itself")
        if p.rules:
            raise ConfigError("a lateral weight does not learn", key=f"{key}.rules", allowed="none")
        for name in ("weights", "delay_ms"):
            value = getattr(p, name)
            if value is not None and not isinstance(value, float):
                raise refused(f"{key}.{name}", value, "a number")

    def most(self, p: Projection, source: Source, target: Source) -> int:
        """Return how many there are, though none is listed."""
        return target.size * (target.size - 1)

    def weights_shape(self, p: Projection, source: Source, target: Source) -> tuple[int, ...]:
        """Return (): there is one."""
        return ()


PATTERNS: Mapping[str, Pattern] = {
    "all": Pattern(),
    "one_to_one": OneToOne(),
    "random": Random(),
    "local": Local(),
    "conv": Conv(),
    "lateral": Lateral(),
    "pairs": Pairs(),
}


def set_options(p: Projection) -> dict[str, Any]:
    """Return the options of a projection's pattern that have not their defaults."""
    own = {name: (option, getattr(p, name)) for name, option in PATTERNS[p.connect].options.items()}
    return {
        name: value
        for name, (option, value) in own.items()
        if option.needed or value != option.read(name, option.default)
    }


OPTIONS = tuple(dict.fromkeys(name for pattern in PATTERNS.values() for name in pattern.options))
