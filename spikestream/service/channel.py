"""The bounded queue between a sensor on the event loop and the one thread that runs the pipeline."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from time import monotonic_ns

from spikestream.batch import Batch


class Channel:
    """At most ``batches`` batches, ``rows`` events and ``span_us`` µs of stream time wait, or one batch of any size.

    `put` makes a recording wait for room; `offer` never waits, drops the oldest instead and counts it: the pipeline
    sees a gap. Counts of rows: ``taken == given + dropped + waiting``.
    """

    def __init__(self, batches: int = 64, rows: int = 1 << 20, span_us: int = 1 << 62) -> None:
        self.taken = self.given = self.dropped = 0
        self._limits = (batches, rows, span_us)
        self._queue: deque[tuple[Batch, int, int]] = deque()  # with when it came, and when it was put here
        self.waited_ns = 0  # of the batch that `get` returned last
        self._rows = 0
        self._closed = False
        self._change = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Return the rows that wait, counted from the queue itself."""
        with self._change:
            return sum(len(batch) for batch, *_ in self._queue)

    async def put(self, batch: Batch, came_ns: int = 0) -> None:
        """Hand a batch over, waiting for room first; where the wait is cancelled it is handed over all the same.

        ``came_ns`` is when it came, by the monotonic clock; 0 for now.
        """
        self._loop = asyncio.get_running_loop()
        try:
            while self._full(batch):
                self._room.clear()
                if self._full(batch):  # room may have come between the look and the clearing
                    await self._room.wait()
        finally:
            self._add(batch, came_ns)

    def offer(self, batch: Batch, came_ns: int = 0) -> None:
        """Hand a batch over at once, dropping the oldest ones where there is no room."""
        with self._change:
            while self._queue and self._full(batch):
                old, *_ = self._queue.popleft()
                self._rows -= len(old)
                self.dropped += len(old)
        self._add(batch, came_ns)

    def close(self) -> None:
        """Say that nothing more will come."""
        with self._change:
            self._closed = True
            self._change.notify()

    def get(self) -> tuple[Batch, int] | None:
        """Return the oldest batch and the monotonic ns it came at, None after the last; blocks the calling thread."""
        with self._change:
            while not self._queue:
                if self._closed:
                    return None
                self._change.wait()
            batch, came_ns, put_ns = self._queue.popleft()
            self.waited_ns = monotonic_ns() - put_ns
            self._rows -= len(batch)
            self.given += len(batch)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._room.set)
        return batch, came_ns

    def _full(self, batch: Batch) -> bool:
        batches, rows, span_us = self._limits
        if not self._queue:
            return False
        late = batch.stop - self._queue[0][0].start > span_us
        return late or len(self._queue) >= batches or self._rows + len(batch) > rows

    def _add(self, batch: Batch, came_ns: int) -> None:
        with self._change:
            now_ns = monotonic_ns()
            self._queue.append((batch, came_ns or now_ns, now_ns))
            self._rows += len(batch)
            self.taken += len(batch)
            self._change.notify()
