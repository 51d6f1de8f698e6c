"""The latest spikes of an input or a population: as a ring for the kernel, and as plain lists to be remembered."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Array
from spikestream.kernels.ring import MASK, RING
from spikestream.stages.base import State


class Recent:
    """The spikes of the last ``reach`` ticks, of an input whose axons begin at ``offset`` or of a population.

    The ring is as large as what one call of the kernel may add; what is remembered does not depend on that.
    """

    def __init__(self, reach: int, offset: int, size: int, fires: bool) -> None:
        self._reach, self._size = reach, size
        room = size * (reach + 2) if fires else 0
        self._ids = np.zeros(_power(room), np.int32)
        self._start = np.zeros(RING, np.int64)
        self._offset = np.array([offset, offset + size], np.int64)
        self._fires = fires

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """Return what the kernel works on; see `spikestream.kernels.compose.Source`."""
        return self._ids, self._start, self._offset

    def make_room(self, now: int, coming: int) -> None:
        """See that the ring of an input holds ``coming`` spikes more."""
        if self._fires:
            return
        counts = self._counts(now)
        needed = int(counts.sum()) + coming
        if needed > len(self._ids):
            self._put(now, self._recent(counts, now), counts, needed)

    def forget(self) -> None:
        """Let no spike be under way."""
        self._start[:] = 0

    def state(self, now: int | None) -> State:
        """Return the spikes and how many there are of each of the last ``reach`` ticks before ``now``."""
        counts = np.zeros(self._reach, np.int64) if now is None else self._counts(now)
        return {"recent": self._recent(counts, now or 0), "counts": counts}

    def restore(self, now: int, taken: State) -> None:
        """Take over what `state` returned."""
        self._put(now, taken["recent"], taken["counts"], len(taken["recent"]))

    def absurd(self, taken: State) -> str:
        """Return what in it can never have been, "" where all is well."""
        recent, counts = taken["recent"], taken["counts"]
        if np.any(counts < 0) or np.any(counts > len(recent)) or counts.sum() != len(recent):
            return "more or fewer spikes than it counted"
        if np.any((recent < 0) | (recent >= self._size)):
            return "spikes of no neuron"
        if self._fires and np.any(counts > self._size):
            return "more spikes in a tick than neurons"
        return ""

    def _counts(self, now: int) -> Array:
        return np.asarray(np.diff(self._start[np.arange(now - self._reach, now + 1) & MASK]))

    def _recent(self, counts: Array, now: int) -> Array:
        stop = int(self._start[now & MASK])
        return np.asarray(self._ids[np.arange(stop - int(counts.sum()), stop) & (len(self._ids) - 1)])

    def _put(self, now: int, recent: Array, counts: Array, room: int) -> None:
        if room > len(self._ids):
            self._ids = np.zeros(_power(room), np.int32)
        self._start[:] = 0
        self._ids[: len(recent)] = recent
        self._start[np.arange(now - self._reach, now + 1) & MASK] = np.concatenate([[0], np.cumsum(counts)])


def _power(room: int) -> int:
    return 1 << max(0, room - 1).bit_length()
