"""What runs the ticks of an emulated chip, whichever kind it is."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from spikestream.batch import Array
from spikestream.model.placement import Placement
from spikestream.stages import ticked

ROOM = 1 << 16
"""Output spikes collected before a kernel comes up for air, at least."""


class Engine(ticked.Engine, Protocol):
    """Runs ticks, counts what happens, and may learn."""

    learning: bool
    """Whether plastic weights change; a core that cannot learn does not look at it."""

    @property
    def weights(self) -> Array:
        """Return a copy of the weights."""
        ...

    @property
    def counters(self) -> dict[str, int]:
        """Return what was counted since the first tick, by name."""
        ...

    def watch(self) -> None:
        """Count from now on how often each neuron fires."""
        ...

    @property
    def fires(self) -> Array:
        """Return how often each neuron fired since `watch`, as `v` has them."""
        ...


def by_input(placement: Placement) -> tuple[Array, Array]:
    """Return where the targets of each input begin (inputs + 1,), and the targets (k, 3): core, axon, delay."""
    first = np.searchsorted(placement.inputs[:, 0], np.arange(placement.input_count + 1))
    return first.astype(np.int64), np.array(placement.inputs[:, 1:], order="C")
