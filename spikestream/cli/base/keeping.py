"""What of an endless stream is kept for a picture at its end: the last spikes, or counts that grow coarser."""

from __future__ import annotations

from collections import deque

import numpy as np

from spikestream.batch import Array, Spikes, first_at

COLUMNS, FINEST_US = 2_048, 1_000
"""Two columns of counts become one whenever the stream is longer than there is room for."""


class Last:
    """The last ``most`` spikes of a stream, and no older ones than ``within_us`` µs before its end."""

    def __init__(self, most: int, within_us: int = 2**62) -> None:
        self._most, self._within_us = most, within_us
        self._parts: deque[tuple[Array, Array]] = deque()
        self._count = 0
        self._stop = 0
        self._start: int | None = None

    def add(self, spikes: Spikes) -> None:
        """Take the next batch."""
        self._start, self._stop = spikes.start if self._start is None else self._start, spikes.stop
        if len(spikes):
            # Copies: a view would keep the whole batch, however long.
            self._parts.append((spikes.t[-self._most :].copy(), spikes.axon[-self._most :].copy()))
            self._count += len(self._parts[-1][0])
        while self._parts and self._all_old(self._parts[0][0]):
            self._count -= len(self._parts.popleft()[0])

    def spikes(self) -> Spikes:
        """Return them, from the first one that is kept on; where all are, from the start of the stream on."""
        empty = np.empty(0, np.int64), np.empty(0, np.int32)
        t, axon = (np.concatenate(column) for column in zip(empty, *self._parts, strict=True))
        first = max(len(t) - self._most, first_at(t, self._oldest()), 0)
        start = max(self._start or 0, self._oldest())
        if len(t) - first == self._most:
            start = int(t[first])
        return Spikes(start, max(start, self._stop), t[first:], axon[first:])

    def _oldest(self) -> int:
        return self._stop - self._within_us

    def _all_old(self, t: Array) -> bool:
        return self._count - len(t) >= self._most or int(t[-1]) < self._oldest()


class Bands:
    """Spikes counted by band and time, in columns that grow longer as the stream does."""

    def __init__(self, bands: int) -> None:
        self.cells = np.zeros((bands, COLUMNS), np.int64)
        self.width_us = FINEST_US
        self.start: int | None = None
        self.stop = 0

    def add(self, spikes: Spikes) -> None:
        """Count the next batch."""
        self.start, self.stop = spikes.start if self.start is None else self.start, spikes.stop
        while self.stop - self.start > COLUMNS * self.width_us:
            pairs = self.cells[:, ::2] + self.cells[:, 1::2]
            self.cells = np.hstack([pairs, np.zeros_like(pairs)])
            self.width_us *= 2
        np.add.at(self.cells, (spikes.axon % len(self.cells), (spikes.t - self.start) // self.width_us), 1)

    def seen(self) -> tuple[Array, tuple[int, int]]:
        """Return the counts (bands, columns) as far as there was a stream, and their interval in µs."""
        start = self.start or 0
        columns = max(1, -(-(self.stop - start) // self.width_us))
        return self.cells[:, :columns], (start, start + columns * self.width_us)
