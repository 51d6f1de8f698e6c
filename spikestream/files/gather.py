"""A whole recording in one piece of memory, written once: decoders that can put their events where they stay."""

from __future__ import annotations

import numpy as np

from spikestream.batch import EVENT, Array
from spikestream.files.reader import Reader

EVENT_BYTES = 4
"""What an event takes in most recordings, or more. Room for too many costs nothing: what is not written to takes none.
"""
SPARE = 1 << 16


def gathered(reader: Reader) -> Array:
    """Return all events of a recording that has not been read from yet, (n,) EVENT."""
    room = _Room(reader)
    if hasattr(reader.decoder, "empty") and reader.time != "sort":  # which holds events back where they were made
        reader.decoder.empty = room.empty
    for events in reader:
        room.keep(events)
    return room.filled()


class _Room:
    """Memory that grows to the size a recording will have, guessed from what its first chunks have become."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._all = np.empty(_expected(reader) + SPARE, EVENT)
        self._used = 0
        self._known = (0, 0)  # so many bytes became so many events

    def empty(self, n: int) -> Array:
        """Return room for so many events (n,) EVENT, behind those that were kept."""
        if self._reader.consumed > self._known[0]:
            self._known = (self._reader.consumed, self._used)
        if self._used + n > len(self._all):
            self._grow(self._used + n)
        return self._all[self._used : self._used + n]

    def keep(self, events: Array) -> None:
        """Keep events: those that stand in the room they were made in stay there."""
        place = self.empty(len(events))
        if place.__array_interface__["data"] != events.__array_interface__["data"]:
            place[:] = events
        self._used += len(events)

    def filled(self) -> Array:
        """Return what was kept, and keep it no more: decoder and room hold each other until a collector comes by."""
        made, self._all = self._all, np.empty(0, EVENT)
        made.resize(self._used, refcheck=False)
        return made

    def _grow(self, least: int) -> None:
        read, events = self._known
        guess = events * (self._reader.bytes or 0) // max(1, read)
        larger = np.empty(max(least + least // 2, guess + guess // 8) + SPARE, EVENT)
        larger[: self._used] = self._all[: self._used]
        self._all = larger


def _expected(reader: Reader) -> int:
    """Return how many events there will be, as the recording says or as its size lets one guess."""
    size = reader.bytes or 0
    told = reader.container.summary() if reader.container is not None else None
    return size // EVENT_BYTES if told is None else min(told[0], size)  # what a damaged one says may be beyond measure
