"""What runs the ticks of an emulated chip, whichever kind it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from spikestream.batch import Array
from spikestream.model.placement import Placement
from spikestream.stages.base import State

ROOM = 1 << 16
"""Output spikes collected before a kernel comes up for air, at least."""


class Engine(Protocol):
    """Runs ticks: the stage cuts time into them, and hands over what each is to hear."""

    def run(self, ticks: tuple[int, int, int], t: Array, axon: Array) -> tuple[int, Array, Array, int]:
        """Run ``(first, stop, tick_us)`` on the spikes ``t`` (n,) int64 µs of the inputs ``axon`` (n,).

        Returns the tick that runs next, earlier than ``stop`` where there was no room for more spikes out, the ticks
        and outputs of the spikes out, and how many spikes in were heard.
        """
        ...

    def stand_still(self, ticks: int) -> None:
        """Let time pass without running: spikes under way keep their distance to the tick that runs next."""
        ...

    @property
    def v(self) -> Array:
        """Return a copy of the potentials."""
        ...

    def state(self) -> State:
        """Return all arrays that matter; they may alias what the engine goes on with."""
        ...

    def absurd(self, taken: State) -> str:
        """Return what in a state of the right shapes can never have been here, "" where all is well."""
        ...

    def restore(self, taken: Mapping[str, Array]) -> None:
        """Take over a state that is not absurd."""
        ...


def by_input(placement: Placement) -> tuple[Array, Array]:
    """Return where the targets of each input begin (inputs + 1,), and the targets (k, 3): core, axon, delay."""
    first = np.searchsorted(placement.inputs[:, 0], np.arange(placement.input_count + 1))
    return first.astype(np.int64), np.array(placement.inputs[:, 1:], order="C")
