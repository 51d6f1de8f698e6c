"""The spikes of a window as the classifier keeps them, and many of these as plain arrays of a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spikestream.batch import Array
from spikestream.kernels.eprop import Memory
from spikestream.stages.base import State


@dataclass(frozen=True, slots=True)
class Sample:
    """Ticks ``[0, ticks)`` of a window with the spikes of ``axon`` in the ticks ``tick`` (n,) int32, sorted.

    ``memory`` is that of the network when they began, None for one at rest.
    """

    ticks: int
    tick: Array
    axon: Array
    memory: Memory | None = None

    @property
    def nbytes(self) -> int:
        """Return how many bytes its arrays take."""
        return sum(array.nbytes for array in (self.tick, self.axon, *(self.memory or ())))


def axon_type(axons: int) -> type[np.uint16] | type[np.int32]:
    """Return the type in which axons are kept: the smaller one where it has room for them."""
    return np.uint16 if axons <= 2**16 else np.int32


def packed(name: str, samples: Sequence[Sample], axons: int) -> State:
    """Return samples, but not their memories, as arrays whose names begin with ``name``."""
    kind = axon_type(axons)
    return {
        f"{name}_ticks": np.array([one.ticks for one in samples], np.int64),
        f"{name}_spikes": np.array([len(one.tick) for one in samples], np.int64),
        f"{name}_tick": np.concatenate([np.zeros(0, np.int32), *(one.tick for one in samples)]),
        f"{name}_axon": np.concatenate([np.zeros(0, kind), *(one.axon for one in samples)]),
    }


def unpacked(name: str, taken: Mapping[str, Array]) -> list[Sample]:
    """Return the samples that `packed` packed, in a state that `absurd` finds nothing in."""
    ends = np.cumsum(taken[f"{name}_spikes"])[:-1]
    ticks, axons = np.split(taken[f"{name}_tick"], ends), np.split(taken[f"{name}_axon"], ends)
    rows = zip(taken[f"{name}_ticks"].tolist(), ticks, axons, strict=False)  # split makes one part of no samples
    return [Sample(length, tick.copy(), axon.copy()) for length, tick, axon in rows]


def absurd(name: str, taken: Mapping[str, Array], axons: int, most: tuple[int, int, int]) -> str:
    """Return what in packed samples can never have been, "" where all is well.

    ``most`` = (samples, ticks of one, spikes of one) there can be.
    """
    ticks, spikes = taken[f"{name}_ticks"], taken[f"{name}_spikes"]
    tick, axon = taken[f"{name}_tick"], taken[f"{name}_axon"]
    if len(ticks) != len(spikes) or len(tick) != len(axon):
        return f"of '{name}' some is missing"
    if len(ticks) > most[0] or np.any((ticks < 0) | (ticks > most[1])) or np.any((spikes < 0) | (spikes > most[2])):
        return f"more in '{name}' than is kept"
    if spikes.sum() != len(tick) or np.any((axon < 0) | (axon >= axons)):
        return f"spikes of '{name}' on no axon, or too few"
    owner = np.repeat(np.arange(len(ticks)), spikes)
    jumps_back = (np.diff(tick) < 0) & (np.diff(owner) == 0)
    return (
        f"spikes of '{name}' out of their time"
        if np.any((tick < 0) | (tick >= ticks[owner]) | np.append(jumps_back, False)[: len(tick)])
        else ""
    )
