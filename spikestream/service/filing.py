"""A sensor's stream into a file: the sensor on the event loop, the file in a thread, a bounded queue between.

What is not live waits where the disk is slow; of a live sensor the oldest is dropped then, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from spikestream.batch import Batch, cut
from spikestream.errors import DeviceError, SpikestreamError
from spikestream.sensors.base import Counting, Holding, Sensor, Telling
from spikestream.service.channel import Channel
from spikestream.service.job import guarded

Result = TypeVar("Result")
BATCHES, ROWS = 256, 1 << 21
"""So much waits for the disk at the most: two million events are 27 MB."""
LIVE_BATCHES = 1 << 16
"""Of a live sensor so many: a minute of the shortest ones, in which any writer has been imported, and 32 MB."""
LATE_S = 1.0
"""So much longer than its stream time a live sensor is waited for."""
BEGIN_S = 5.0
"""So long at the least it may take until something comes: a microphone takes two seconds to begin."""


class _NothingCame(Exception):
    """Ends the writing of a file before it has begun."""


class Filing:
    """One sensor, called ``name`` in errors, for ``for_us`` µs of stream time, or until it ends or `end` is called.

    A live one has no stream time while it is silent: for it the time is up by the clock as well. ``error`` is what the
    sensor failed with, or that nothing came of a live one, None otherwise. The file is complete all the same, and there
    is none where the error came before everything else.
    """

    def __init__(self, sensor: Sensor, name: str, for_us: int | None = None) -> None:
        self._sensor, self._name, self._for_us = guarded(sensor, name), name, for_us
        self._own: Any = sensor  # which may count, and tell
        self.channel = Channel(LIVE_BATCHES if sensor.live else BATCHES, ROWS)
        self.error: SpikestreamError | None = None
        self.gaps = self.gap_us = self.rows = 0
        self.start: int | None = None
        self.stop = 0
        self._pumping: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, keep: Callable[[Iterator[Batch]], Result]) -> Result | None:
        """Give the batches to ``keep``, in a thread of its own, and return what it returns; raises what it raises.

        None where there was nothing to be kept, as `error` tells.
        """
        self._pumping = asyncio.create_task(self._pump())
        keeping = asyncio.create_task(asyncio.to_thread(keep, self._waiting()))
        try:
            await asyncio.wait({self._pumping, keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.end()  # the thread, where it has not failed, writes what waits
            with suppress(asyncio.CancelledError):
                await self._pumping
        with suppress(_NothingCame):
            return await keeping
        return None

    def end(self) -> None:
        """Take no more from the sensor."""
        if self._pumping is not None:
            self._pumping.cancel()

    def lost(self) -> dict[str, int]:
        """Return what is not in the file, by reason: rows, and µs of gaps."""
        reasons = {"dropped, as the file was too slow": self.channel.dropped, "µs of gaps": self.gap_us}
        if isinstance(self._own, Counting):
            reasons |= {f"dropped by the sensor: {why}": n for why, n in self._own.intake()[3].items()}
        return {why: n for why, n in reasons.items() if n}

    def _waiting(self) -> Iterator[Batch]:
        while (got := self.channel.get()) is not None:
            yield got[0]
        if self.start is None and self.error is not None:
            raise _NothingCame

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        self._allow(max(BEGIN_S, (self._for_us or 0) / 1e6))
        try:
            async with aclosing(self._sensor.batches()) as batches:  # type: ignore[type-var]  # generators, all of them
                async for batch in batches:
                    if await self._hand_over(batch):
                        return
        except SpikestreamError as error:
            self.error = error
        except asyncio.CancelledError:
            self._hand_over_rest()
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self.start is None and self._sensor.live and self.error is None:
                self.error = self._silence(loop.time() - begun_s)
            self.channel.close()

    def _hand_over_rest(self) -> None:
        """Put what the sensor holds into the queue: it had come before the end."""
        try:
            for batch in self._sensor.rest() if isinstance(self._sensor, Holding) else ():
                if (taken := self._in_time(batch)) is not None:
                    self.channel.offer(taken)
        except SpikestreamError as error:
            self.error = error

    def _allow(self, seconds: float) -> None:
        """Let a live sensor whose time is limited go on for so long from now on by the clock."""
        if self._timer is not None:
            self._timer.cancel()
        if self._for_us is not None and self._sensor.live:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.end)

    def _silence(self, seconds: float) -> DeviceError:
        figures = self._own.stats() if isinstance(self._own, Telling) else {}
        reasons = [reason for reason in figures.values() if isinstance(reason, dict)]
        others = [
            f"{count:,} {why}"
            for reason in reasons
            for why, count in reason.items()
            if isinstance(count, int) and count
        ]
        likely = f"what came is not what the sensor takes: {', '.join(others)}"
        remedy = "see what is sent, and the options of the sensor in docs/live.md"
        if not others:
            likely = "nobody sends there yet, or sends to another place"
            remedy = "start what sends, then record again; 'spikestream devices' lists what is plugged in here"
        return DeviceError(f"nothing came from {self._name} in {seconds:.0f} s", details=[likely], remedy=remedy)

    async def _hand_over(self, batch: Batch) -> bool:
        """Put a batch into the queue, as far as its time has come; return whether the time is over."""
        if self.start is None:
            self._allow((self._for_us or 0) / 1e6 + LATE_S)
        taken = self._in_time(batch)
        if taken is not None and self._sensor.live:
            self.channel.offer(taken)
        elif taken is not None:
            await self.channel.put(taken)
        return self._for_us is not None and batch.stop >= (self.start or 0) + self._for_us

    def _in_time(self, batch: Batch) -> Batch | None:
        """Return the part of a batch whose time has come, counted, None where it has none."""
        if self.start is None:
            self.start = self.stop = batch.start
        limit = None if self._for_us is None else self.start + self._for_us
        if batch.start > self.stop:
            self.gaps += 1
            self.gap_us += batch.start - self.stop
        if limit is not None and batch.stop > limit:
            if batch.start >= limit:
                return None
            batch = cut(batch, limit)[0]
        self.stop = batch.stop
        self.rows += len(batch)
        return batch
