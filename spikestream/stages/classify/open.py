"""What the classifier notes of the window under way, so that a label can have it run once more."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikestream.batch import Array
from spikestream.kernels.eprop import Memory
from spikestream.stages.base import State
from spikestream.stages.classify.samples import Sample, absurd, axon_type, packed, unpacked


class Notes:
    """The first ``most[1]`` spikes of a window, up to its tick ``most[0]``; of a longer one, its length as well."""

    def __init__(self, axons: int, most: tuple[int, int]) -> None:
        self._axons, self._kind, self._most = axons, axon_type(axons), most
        self.begin(None)

    def begin(self, memory: Memory | None) -> None:
        """Begin with a window whose network has this memory, None for one at rest."""
        self.age = 0  # ticks run in the window
        self.heard = 0  # spikes in
        self.memory = memory
        self._limit = self._most[0]  # the tick from which on nothing is noted
        self._kept = 0
        self._parts: list[tuple[Array, Array]] = []

    def add(self, tick: Array, axon: Array, ticks: int) -> None:
        """Note the spikes ``tick`` (n,), counted from the window's first, of the ``ticks`` ticks run next."""
        self.age += ticks
        self.heard += len(tick)
        room = min(int(np.searchsorted(tick, self._limit)), self._most[1] - self._kept)
        if room < len(tick):
            self._limit = min(self._limit, int(tick[room]) + 1)
        if room:
            self._kept += room
            self._parts.append((tick[:room].astype(np.int32), axon[:room].astype(self._kind)))

    def sample(self) -> Sample:
        """Return what was noted."""
        none = np.zeros(0, np.int32), np.zeros(0, self._kind)
        tick, axon = (np.concatenate(column) for column in zip(none, *self._parts, strict=True))
        return Sample(min(self.age, self._limit), tick, axon, self.memory)

    def state(self) -> State:
        """Return copies of what was noted."""
        noted = packed("open", [self.sample()], self._axons)
        return {**noted, "open_facts": np.array([self.age, self.heard, self._limit], np.int64)}

    def absurd(self, taken: Mapping[str, Array]) -> str:
        """Return what in a saved state can never have been, "" where all is well."""
        age, heard, limit = taken["open_facts"].tolist()
        if len(taken["open_ticks"]) != 1 or min(age, heard, limit) < 0 or limit > self._most[0]:
            return "a window under way that cannot be"
        if taken["open_ticks"][0] != min(age, limit) or len(taken["open_tick"]) > heard:
            return "a window under way that is longer or shorter than it is"
        return absurd("open", taken, self._axons, (1, *self._most))

    def restore(self, taken: Mapping[str, Array], memory: Memory | None) -> None:
        """Take over what `state` returned, and the memory the network had when the window began."""
        (sample,) = unpacked("open", taken)
        self.begin(memory)
        self.age, self.heard, self._limit = taken["open_facts"].tolist()
        self._kept = len(sample.tick)
        self._parts = [(sample.tick, sample.axon)] if self._kept else []
