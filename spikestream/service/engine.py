"""The engine: a sensor on the event loop, a bounded channel, one thread for the pipeline, the hub back on the loop.

    sensor --put/offer--> channel --get--> worker thread: pipeline --hand over--> loop: hub

A recording waits for a slow pipeline and the pipeline for a subscriber that asked to block; a live sensor drops its
oldest batches and counts them. Every hop is counted at both ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic_ns
from typing import Protocol

import numpy as np

from spikestream.batch import SPIKE, Batch, Command, Decisions, Sound, Spikes, Window, no_events
from spikestream.pipeline import Hop, Pipeline
from spikestream.sensors.base import Sensor
from spikestream.sensors.pace import Pace
from spikestream.service.channel import Channel
from spikestream.service.hub import Hub
from spikestream.wire import Gap, kind_of

HANDED_OVER = 8
"""Results that may wait for the loop before the worker waits."""
LATENCIES = 100_000
"""The last so many batches give the latency percentiles."""
LIVE_US, LIVE_BATCHES = 4_000_000, 1 << 13
"""So much stream time of a live sensor may wait for a slow pipeline, in so many batches at most."""


class Watcher(Protocol):
    """Whoever looks at each batch and what became of it, in the worker thread and in stream order."""

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Take one batch, the commands that came with it, and every stage's output for it."""
        ...


class OutputHash:
    """SHA-256 over all spikes and decisions that the stages behind `address` made, however they were cut."""

    def __init__(self) -> None:
        self._hashes: dict[str, hashlib._Hash] = {}

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Add the outputs of one batch."""
        for name, made in outputs.items():
            if name != "address" and isinstance(made, Spikes | Decisions):
                self._hashes.setdefault(name, hashlib.sha256()).update(_canonical(made))

    def hexdigest(self) -> str:
        """Return the hash of the hashes of all stages, by name."""
        total = hashlib.sha256()
        for name in sorted(self._hashes):
            total.update(f"{name} {self._hashes[name].hexdigest()}\n".encode())
        return total.hexdigest()


def _canonical(made: Spikes | Decisions) -> bytes:
    if isinstance(made, Decisions):
        return "".join(f"{row!r}\n" for row in made.rows).encode()
    table = np.empty(len(made), SPIKE)
    table["t"], table["axon"] = made.t, made.axon
    return table.tobytes()


@dataclass(slots=True)
class Progress:
    """What has gone through so far; written by the worker, read by whoever shows it."""

    started_ns: int = 0
    ended_ns: int = 0
    start: int | None = None
    stop: int = 0
    rows: int = 0
    made: dict[str, int] = field(default_factory=dict)
    latencies_ns: deque[int] = field(default_factory=lambda: deque(maxlen=LATENCIES))

    def realtime_factor(self) -> float:
        """Return stream seconds per second."""
        wall_ns = max(1, (self.ended_ns or monotonic_ns()) - self.started_ns)
        return (self.stop - (self.start or 0)) * 1000 / wall_ns

    def latency_ms(self, percent: float, last: int = LATENCIES) -> float:
        """Return a percentile of the time from a batch's arrival to its publication, in ms, of the ``last`` batches."""
        if not self.latencies_ns:
            return 0.0
        return float(np.percentile(list(itertools.islice(reversed(self.latencies_ns), last)), percent)) / 1e6


class Engine:
    """Runs one pipeline on one sensor until the sensor ends or `stop` is called.

    ``commands`` have stream times; `command` adds more while it runs, and ``mark`` those that follow from a batch,
    within it. ``mark`` and ``watch`` are called in the worker thread, ``on_outputs`` on the loop after publication.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sensor: Sensor,
        hub: Hub | None = None,
        *,
        name: str = "main",
        commands: Iterable[Command] = (),
        mark: Callable[[Batch], Sequence[Command]] = lambda batch: (),
        watch: Iterable[Watcher] = (),
        on_outputs: Callable[[Mapping[str, Batch]], None] | None = None,
    ) -> None:
        self.pipeline, self.sensor, self.hub, self.name = pipeline, sensor, hub, name
        self.progress = Progress()
        # A recording waits, so a little is enough; of a live sensor, what is not taken in time is lost.
        self.channel = Channel(LIVE_BATCHES, span_us=LIVE_US) if sensor.live else Channel()
        self._mark = mark
        self._watch = list(watch)
        self._on_outputs = on_outputs
        self._order = itertools.count()
        self._commands = [(command.t, next(self._order), command) for command in commands]
        heapq.heapify(self._commands)
        self._lock = threading.Lock()
        self._busy = threading.Lock()
        self._slots = threading.Semaphore(HANDED_OVER)
        self.stopping = False
        self._pump: asyncio.Task[None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    def command(self, command: Command) -> None:
        """Add a command; one whose time has passed takes effect at the start of the next batch."""
        with self._lock:
            heapq.heappush(self._commands, (command.t, next(self._order), command))

    def watch(self, watcher: Watcher) -> None:
        """Add a watcher, before it runs."""
        self._watch.append(watcher)

    async def between(self, call: Callable[[], None]) -> None:
        """Run ``call`` in a thread while no batch is in the pipeline; the sensor goes on filling the channel."""

        def alone() -> None:
            with self._busy:
                call()

        await asyncio.to_thread(alone)

    def stop(self) -> None:
        """Take nothing more from the sensor; what was taken is still run and published, and nobody is waited for."""
        self.stopping = True
        if self._pump is not None:
            self._pump.cancel()
        if self._waiting is not None:
            self._waiting.cancel()

    async def run(self) -> None:
        """Run to the end; raises what the sensor raised, after everything before it was run and published."""
        loop = asyncio.get_running_loop()
        results: asyncio.Queue[tuple[Batch, dict[str, Batch], int] | None] = asyncio.Queue()

        def hand_over(result: tuple[Batch, dict[str, Batch], int] | None) -> None:
            loop.call_soon_threadsafe(results.put_nowait, result)

        self.progress.started_ns = monotonic_ns()
        self._pump = asyncio.create_task(self._take())
        self._pump.add_done_callback(lambda _: self.channel.close())
        if self.stopping:
            self._pump.cancel()
        worker = asyncio.create_task(asyncio.to_thread(self._work, hand_over))
        try:
            await self._publish_all(results)
            await worker
            await asyncio.gather(self._pump, return_exceptions=True)
        finally:
            self._pump.cancel()
            # Where publishing failed, the worker must not wait for it; the channel holds fewer batches than that.
            self._slots.release(1 << 10)
            # The caller saves the pipeline next: until the worker has ended, it is not still.
            await asyncio.gather(self._pump, worker, return_exceptions=True)
            self.progress.ended_ns = monotonic_ns()
        if not self._pump.cancelled() and (error := self._pump.exception()) is not None:
            raise error

    def hops(self) -> list[Hop]:
        """Return the loss ledger from the sensor to the last subscriber."""
        channel, made, source = self.channel, self.pipeline.made, self.sensor
        hops = []
        if isinstance(source, Pace):
            hops.append(Hop("sensor to pace", source.sensor.sent, source.sent, held=source.held))
        hops += [
            Hop("sensor to channel", source.sent, channel.taken),
            Hop("channel", channel.taken, channel.given, dropped={"overrun": channel.dropped}, held=channel.waiting),
            Hop("channel to pipeline", channel.given, self.pipeline.taken),
            *self.pipeline.hops(),
        ]
        if self.hub is None:
            return hops
        ledger = self.hub.ledger()
        for name, rows in made.items():
            topics = [topic for topic in ledger.published if topic.split(".")[1] == name]
            published = sum(ledger.published[topic].rows for topic in topics)
            left_out = sum(ledger.left_out[topic] for topic in topics)
            hops.append(Hop(f"{name} to hub", rows, published, dropped={"frame": left_out}))
        for one in ledger.subscribers:
            for topic, flow in one.flows.items():
                lost, held = {"slow or gone": flow.dropped.rows}, flow.held.rows + flow.flying.rows
                hops.append(Hop(f"{topic} to {one.peer}", flow.due.rows, flow.sent.rows, dropped=lost, held=held))
        return hops

    async def _take(self) -> None:
        """Bring batches from the sensor to the channel."""
        async for batch in self.sensor.batches():
            came_ns: int = getattr(self.sensor, "came_ns", 0)  # a device may know better when it came
            if self.sensor.live:
                self.channel.offer(batch, came_ns)
            else:
                await self.channel.put(batch, came_ns)
            if self.stopping:
                break

    def _work(self, hand_over: Callable[[tuple[Batch, dict[str, Batch], int] | None], None]) -> None:
        """Run the pipeline on every batch of the channel: the body of the worker thread."""
        try:
            while (item := self.channel.get()) is not None:
                self._run(*item, hand_over)
            if self.pipeline.now is not None and self._due(self.pipeline.now, peek=True):
                now = self.pipeline.now
                self._run(no_events(now, now), monotonic_ns(), hand_over)
        finally:
            self.channel.close()
            hand_over(None)

    def _run(self, batch: Batch, came_ns: int, hand_over: Callable[..., None]) -> None:
        now = self.pipeline.now
        commands = [made for command in self._due(batch.stop) if (made := _in_time(command, now, batch.start))]
        commands += self._mark(batch)
        with self._busy:
            outputs = self.pipeline(batch, commands)
        for watch in self._watch:
            watch(batch, commands, outputs)
        if self.progress.start is None:
            self.progress.start = batch.start
        self.progress.stop = batch.stop
        self.progress.rows += len(batch)
        self._slots.acquire()
        hand_over((batch, outputs, came_ns))

    def _due(self, stop: int, peek: bool = False) -> list[Command]:
        with self._lock:
            if peek:
                return [command for t, _, command in self._commands[:1] if t <= stop]
            due = []
            while self._commands and self._commands[0][0] <= stop:
                due.append(heapq.heappop(self._commands)[2])
            return due

    async def _publish_all(self, results: asyncio.Queue[tuple[Batch, dict[str, Batch], int] | None]) -> None:
        last: int | None = None
        while (result := await results.get()) is not None:
            batch, outputs, came_ns = result
            try:
                if self.hub is not None:
                    self._publish(self.hub, batch, outputs, last)
                    await self._ready(self.hub)
                self.progress.latencies_ns.append(monotonic_ns() - came_ns)
                last = batch.stop
                if self._on_outputs is not None:
                    self._on_outputs(outputs)
            finally:
                self._slots.release()

    async def _ready(self, hub: Hub) -> None:
        """Wait for subscribers that asked for it, until they have room or until `stop`."""
        if self.stopping or not hub.blocked:
            return
        self._waiting = asyncio.ensure_future(hub.ready())
        try:
            await asyncio.wait([self._waiting])
        finally:
            self._waiting.cancel()
            self._waiting = None

    def _publish(self, hub: Hub, batch: Batch, outputs: Mapping[str, Batch], last: int | None) -> None:
        if last is not None and batch.start > last:
            hub.publish(f"{self.name}.sensor.gap", Gap(last, batch.start))
        for stage, made in outputs.items():
            if not isinstance(made, Sound):
                hub.publish(f"{self.name}.{stage}.{kind_of(made)}", made)


def _in_time(command: Command, now: int | None, start: int) -> Command | None:
    """Return the command as it takes effect: one that comes too late at ``now``, so that a record of it says the same.

    A mark that is wholly past, or wholly before the ``start`` of the whole stream, is None.
    """
    if now is None:
        return None if isinstance(command, Window) and command.stop <= start else command
    if command.t >= now:
        return command
    if isinstance(command, Window):
        return replace(command, start=now) if command.stop > now else None
    return replace(command, t=now)
