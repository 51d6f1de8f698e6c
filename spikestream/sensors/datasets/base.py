"""What all data sets of events are as sensors: one sample after the other, each in a slot of stream time of its own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np

from spikestream.batch import LIMIT_US, Array, Events, cut
from spikestream.errors import ConfigError
from spikestream.files.datasets.samples import Played
from spikestream.files.labels import LabelRow

TURN = 8
"""Batches between two turns of the event loop."""


class Slots:
    """Stream time cut into slots of ``shown_us + gap_us`` µs from 0 on: slot k begins with sample k."""

    def __init__(self, shown_us: int, gap_us: int) -> None:
        self.shown_us, self.length_us = shown_us, shown_us + gap_us

    def rows(self, played: Played, labels: Sequence[str]) -> list[LabelRow]:
        """Return the windows of the samples played, by the ``labels`` of all samples; raises `ConfigError`."""
        if len(played) * self.length_us > LIMIT_US:
            raise ConfigError("stream time cannot hold so many samples", key="epochs", value=len(played))
        starts = range(0, len(played) * self.length_us, self.length_us)
        rows = zip(starts, played.index.tolist(), played.test.tolist(), strict=True)
        return [LabelRow(start, start + self.shown_us, labels[index], test) for start, index, test in rows]


class EventSet(ABC):
    """Samples of events in slots, one batch for each ``together`` of them.

    ``rows`` are the windows of all samples, in stream time, known before it runs; ``tables`` the settings that go with
    such a sensor unless others are made. A subclass gives the events of one sample.
    """

    live = False
    tables: Mapping[str, Mapping[str, Any]] = {"readout": {"windows": "marked"}}

    def __init__(
        self, location: str, size: tuple[int, int], played: Played, labels: Sequence[str], slots: Slots, together: int
    ) -> None:
        self.location, self.size, self.sent = location, size, 0
        self.problems: dict[str, int] = {}
        """What was wrong so far, counted by kind."""
        self.rows = slots.rows(played, labels)
        self._played, self._slots, self._together = played, slots, together

    async def batches(self, start: int = 0) -> AsyncIterator[Events]:
        """Yield the batches that end after ``start`` µs, the first cut there."""
        length, count = self._slots.length_us, len(self._played)
        first = max(0, start) // length // self._together * self._together
        for number, place in enumerate(range(first, count, self._together)):
            if number % TURN == 0:
                await asyncio.sleep(0)
            batch = self._batch(place, min(place + self._together, count))
            if start >= batch.stop:
                continue
            rest = cut(batch, start)[1] if start > batch.start else batch
            self.sent += len(rest)
            yield rest

    def _batch(self, first: int, last: int) -> Events:
        """Return the samples in the slots ``first`` to ``last`` - 1."""
        length = self._slots.length_us
        parts = [self._events(place, place * length) for place in range(first, last)]
        data = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return Events(first * length, last * length, data, self.size)

    @abstractmethod
    def _events(self, place: int, start: int) -> Array:
        """Return the events (n,) EVENT of the sample in a slot that starts at ``start`` µs, a new array."""
