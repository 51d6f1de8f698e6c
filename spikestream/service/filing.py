"""A sensor's stream into a file: the sensor on the event loop, the file in a thread, a bounded queue between.

What is not live waits where the disk is slow; of a live sensor the oldest is dropped then, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from spikestream.batch import Batch, cut
from spikestream.errors import SpikestreamError
from spikestream.sensors.base import Counting, Sensor
from spikestream.service.channel import Channel
from spikestream.service.job import guarded

Result = TypeVar("Result")
BATCHES, ROWS = 256, 1 << 21
"""So much waits for the disk at the most: two million events are 27 MB."""
LATE_S = 1.0
"""So much longer than its stream time a live sensor is waited for."""


class Filing:
    """One sensor, called ``name`` in errors, for ``for_us`` µs of stream time, or until it ends or `end` is called.

    ``error`` is what the sensor failed with, None where it did not: the file is complete all the same.
    """

    def __init__(self, sensor: Sensor, name: str, for_us: int | None = None) -> None:
        self._sensor, self._for_us = guarded(sensor, name), for_us
        self.channel = Channel(BATCHES, ROWS)
        self.error: SpikestreamError | None = None
        self.gaps = self.gap_us = self.rows = 0
        self.start: int | None = None
        self.stop = 0
        self._pumping: asyncio.Task[None] | None = None

    async def run(self, keep: Callable[[Iterator[Batch]], Result]) -> Result:
        """Give the batches to ``keep``, in a thread of its own, and return what it returns; raises what it raises."""
        self._pumping = asyncio.create_task(self._pump())
        keeping = asyncio.create_task(asyncio.to_thread(keep, self._waiting()))
        try:
            await asyncio.wait({self._pumping, keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.end()  # the thread, where it has not failed, writes what waits
            with suppress(asyncio.CancelledError):
                await self._pumping
        return await keeping

    def end(self) -> None:
        """Take no more from the sensor."""
        if self._pumping is not None:
            self._pumping.cancel()

    def lost(self) -> dict[str, int]:
        """Return what is not in the file, by reason: rows, and µs of gaps."""
        intake: Any = self._sensor
        reasons = {"dropped, as the file was too slow": self.channel.dropped, "µs of gaps": self.gap_us}
        if isinstance(intake, Counting):
            reasons |= {f"dropped by the sensor: {why}": n for why, n in intake.intake()[3].items()}
        return {why: n for why, n in reasons.items() if n}

    def _waiting(self) -> Iterator[Batch]:
        while (got := self.channel.get()) is not None:
            yield got[0]

    async def _pump(self) -> None:
        timer = None
        try:
            async with aclosing(self._sensor.batches()) as batches:  # type: ignore[type-var]  # generators, all of them
                async for batch in batches:
                    if self.start is None:
                        self.start = self.stop = batch.start
                        if self._for_us is not None and self._sensor.live:
                            timer = asyncio.get_running_loop().call_later(self._for_us / 1e6 + LATE_S, self.end)
                    if await self._hand_over(batch):
                        return
        except SpikestreamError as error:
            self.error = error
        finally:
            if timer is not None:
                timer.cancel()
            self.channel.close()

    async def _hand_over(self, batch: Batch) -> bool:
        """Put a batch into the queue, as far as its time has come; return whether the time is over."""
        limit = None if self._for_us is None else (self.start or 0) + self._for_us
        if batch.start > self.stop:
            self.gaps += 1
            self.gap_us += batch.start - self.stop
        over = limit is not None and batch.stop >= limit
        if limit is not None and batch.stop > limit:
            if batch.start >= limit:
                return True
            batch = cut(batch, limit)[0]
        self.stop = batch.stop
        self.rows += len(batch)
        if self._sensor.live:
            self.channel.offer(batch)
        else:
            await self.channel.put(batch)
        return over
