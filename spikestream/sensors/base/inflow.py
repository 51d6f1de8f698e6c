"""A live sensor whose events come as bytes of a format, from a socket or a pipe, through the decoder of recordings.

    bytes --decoder--> events --timeline--> batches

Stamps are the sensor's own. Bytes that are not what the format says end it, and so does the other end: to try again is
the daemon's business, which has a policy for it. Memory is what the decoder says that it holds at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from time import monotonic, monotonic_ns
from typing import Any

from spikestream.batch import Array, Events
from spikestream.errors import DeviceError, RecordingError, SpikestreamError
from spikestream.formats.base import Decoder
from spikestream.sensors.base.choices import size_of
from spikestream.sensors.base.timeline import Timeline

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""So long the other end may take until what it sends has told the size."""
SILENT_S = 0.2
"""After so long without a byte what has come has to tell what it is."""
READ_BYTES = 256 << 10
TURN = 64
"""Batches between two turns of the event loop, which is everybody's."""


class Inflow:
    """What `Dv` and `Stdin` are: built once the size is known, which `_look` sees to."""

    live = True

    def __init__(self, url: str, decoder: Decoder, length_us: int, slack_us: int) -> None:
        self.url = url
        self.size: tuple[int, int] | None = None
        self.sent = self.bytes = 0
        self._decoder = decoder
        self._length_us, self._slack_us = length_us, slack_us
        self._heard_s = monotonic()
        self._early: list[Array] = []
        self._arriving: Iterator[Array] = iter(())  # what has been read, as far as it has not been taken
        self._due: Iterator[Events] = iter(())  # the batches it completes
        self._timeline: Timeline

    def intake(self) -> tuple[str, int, dict[str, int], dict[str, int], int]:
        """Return the hop before it, in events: see `Counting`."""
        return "decoder to sensor", *self._timeline.intake()

    def stats(self) -> dict[str, Any]:
        """Return its figures as they are published; ``skipped`` counts what came and is no event, by kind."""
        told = {"url": self.url, "bytes": self.bytes, "skipped": dict(self._decoder.skipped)}
        return {**told, **self._timeline.stats()}

    def _look(self, read: Callable[[float], bytes], size: tuple[int, int] | None, why: str) -> None:
        """Read until what comes tells the size, or has an event; ``size`` is the one to use if it is not None.

        ``read`` waits so many seconds for bytes and returns none at their end; ``why`` is what to say where nobody
        tells a size. Raises `ConfigError` and `DeviceError`.
        """
        until, ended = monotonic() + LOOK_S, False
        with suppress(TimeoutError):
            while not (ended or self._decoder.size or self._early):
                data = read(max(1e-3, until - monotonic()))
                self._early += self._decoded(data)
                ended = not data
        if not (self._decoder.size or self._early):
            self._early += self._decoded(b"", over=True)
        if not (self._decoder.size or self._early):
            when = "has ended before it has said" if ended else f"has not said within {LOOK_S:g} s"
            raise DeviceError(f"{self.url} {when} what it sends", remedy=f"see that it sends events; {why}")
        found = size or self._decoder.size
        self.size = found or size_of("", why)
        for warning in self._decoder.warnings if size is None else ():
            log.warning("%s: %s", self.url, warning)
        self._timeline = Timeline(self.size, length_us=self._length_us, slack_us=self._slack_us)

    def _decoded(self, data: bytes, over: bool = False) -> Iterator[Array]:
        """Yield the events of bytes, or of none for a while; all there are if it is ``over``."""
        self.bytes += len(data)
        self._heard_s = monotonic() if data else self._heard_s
        try:
            yield from self._decoder.feed(memoryview(data))
            if hasattr(self._decoder, "settle"):
                yield from self._decoder.settle(monotonic() - self._heard_s > SILENT_S, over)
        except RecordingError as error:
            raise DeviceError(f"{self.url} does not send what it should: {error}") from error

    async def _flow(self, read: Callable[[int], Awaitable[bytes]], start: int) -> AsyncIterator[Events]:
        """Yield the batches of what ``read`` returns, up to its end or, before it raises, to what ends it."""
        self._timeline.begin(start)
        self._arriving, ended = iter(self._early), False
        try:
            while not ended:
                self._due = self._complete()
                for number, batch in enumerate(self._due):
                    yield self._sent(batch)
                    if number % TURN == TURN - 1:
                        await asyncio.sleep(0)
                ended = await self._ended(read)
            for batch in self._complete():
                yield self._sent(batch)
        except SpikestreamError:
            for batch in self._timeline.finish():
                yield self._sent(batch)
            raise
        for batch in self._timeline.finish():
            yield self._sent(batch)

    def rest(self) -> Iterator[Events]:
        """Yield what is held, to whoever has ended the batches; raises `DeviceError` for what leaves a doubt."""
        trouble: DeviceError | None = None
        try:
            yield from map(self._sent, self._due)
            self._arriving = self._decoded(b"", over=True)
            yield from map(self._sent, self._complete())
        except DeviceError as error:
            trouble = error
        yield from map(self._sent, self._timeline.finish())
        if trouble is not None:
            raise trouble

    def _complete(self) -> Iterator[Events]:
        """Yield the batches that are complete with what has come."""
        for events in self._arriving:
            yield from self._timeline.take(events, _clock_us())
        yield from self._timeline.silent(_clock_us())

    async def _ended(self, read: Callable[[int], Awaitable[bytes]]) -> bool:
        """Read what comes, for as long as a batch takes, and return whether nothing more will come."""
        data: bytes | None = None
        try:
            async with asyncio.timeout(self._length_us / 1e6):
                data = await read(READ_BYTES)
        except TimeoutError:
            pass
        except OSError as error:
            raise DeviceError(f"{self.url} has gone: {error.strerror or error}") from error
        if data == b"":
            self._arriving = self._decoder.last() if hasattr(self._decoder, "last") else iter(())
        else:
            self._arriving = self._decoded(data or b"")
        return data == b""

    def _sent(self, batch: Events) -> Events:
        self.sent += len(batch)
        return batch


def _clock_us() -> int:
    return monotonic_ns() // 1_000
