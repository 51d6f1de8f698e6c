"""What a pattern of connections has to tell, and the commonest of them: every source to every target.

A `Synapses` holds a row for each: source, target, and where weights are shared, which of them. All draws are made by a
generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from spikestream.model.checks import flag_of
from spikestream.model.values import Array

if TYPE_CHECKING:
    from spikestream.model.parts import Projection, Source

NONE = np.zeros(0, np.int32)
NONE.flags.writeable = False


class Option(NamedTuple):
    """An option of a pattern: ``read`` checks it by its key and returns it; raises `ConfigError`."""

    read: Callable[[str, Any], Any]
    default: Any = None
    needed: bool = False


class Synapses(NamedTuple):
    """Synapses in the order of their definition: (m,) int32 each, ``share`` empty where each has its own weight."""

    pre: Array
    post: Array
    share: Array = NONE


class Pattern:
    """Every source to every target: what a pattern has to tell, and the commonest of them."""

    options: ClassVar[Mapping[str, Option]] = {"self_connections": Option(flag_of, True)}

    def fits(self, p: Projection, source: Source, target: Source) -> None:
        """Raise `ConfigError` where this source and target cannot be connected so."""

    def most(self, p: Projection, source: Source, target: Source) -> int:
        """Return how many synapses there can be at most."""
        return source.size * target.size

    def weights_shape(self, p: Projection, source: Source, target: Source) -> tuple[int, ...]:
        """Return the shape of weights that are each given, () where they cannot be."""
        return (source.size, target.size)

    def delays_shape(self, p: Projection, source: Source, target: Source) -> tuple[int, ...]:
        """Return the shape of delays that are each given, () where they cannot be."""
        return self.weights_shape(p, source, target)

    def shared(self, p: Projection, source: Source, target: Source) -> int:
        """Return how many weights are shared by the synapses, 0 where each has its own."""
        return 0

    def synapses(self, p: Projection, source: Source, target: Source, rng: np.random.Generator) -> Synapses:
        """Return the synapses; ``rng`` draws where the pattern is random."""
        pre = np.repeat(np.arange(source.size, dtype=np.int32), target.size)
        post = np.tile(np.arange(target.size, dtype=np.int32), source.size)
        return without_self(p, pre, post)


def without_self(p: Projection, pre: Array, post: Array) -> Synapses:
    """Return synapses, those of a neuron on itself only where the projection wants them."""
    if p.self_connections or p.source != p.target:
        return Synapses(pre, post)
    others = pre != post
    return Synapses(pre[others], post[others])
