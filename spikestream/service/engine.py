"""The engine: a sensor on the event loop, a bounded channel, one thread for the pipeline, the hub back on the loop.

    sensor --put/offer--> channel --get--> worker thread: pipeline --hand over--> loop: hub

A recording waits for a slow pipeline and the pipeline for a subscriber that asked to block; a live sensor drops its
oldest batches and counts them. Every hop is counted at both ends.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from time import monotonic_ns, time_ns
from typing import TypeAlias

from spikestream.batch import Batch, Command, Decisions, Sound, moved, no_events
from spikestream.pipeline import Hop, Pipeline
from spikestream.sensors.base import Sensor
from spikestream.sensors.pace import Pace
from spikestream.service.channel import Channel
from spikestream.service.commands import in_time
from spikestream.service.hub import Hub, Ledger
from spikestream.service.ledger import hops_to_subscribers, published_of
from spikestream.service.progress import Progress, Waterfall
from spikestream.service.stillness import Stillness
from spikestream.service.thread import in_thread
from spikestream.service.watching import Watcher
from spikestream.wire import Gap, kind_of

HANDED_OVER = 8
"""Results that may wait for the loop before the worker waits."""
SECOND_US = 1_000_000
LIVE_US, LIVE_BATCHES = 4_000_000, 1 << 13
"""So much stream time of a live sensor may wait for a slow pipeline, in so many batches at most."""


_Result: TypeAlias = tuple[Batch, dict[str, Batch], int, int]
"""A batch, what became of it, when it came and when the pipeline was through with it, on the monotonic clock in ns."""


class Engine:
    """Runs one pipeline on one sensor until the sensor ends or `stop` is called.

    ``commands`` have stream times; `command` adds more while it runs, and ``mark`` those that follow from a batch,
    within it. ``mark`` and ``watch`` are called in the worker thread, ``on_outputs`` on the loop after publication.
    ``last`` is the stream time up to which another engine has published, and ``start`` where this one begins: a sensor
    that would begin earlier is moved there, by whole seconds. None for whatever the sensor gives.
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
        last: int | None = None,
        start: int | None = None,
    ) -> None:
        self.pipeline, self.sensor, self.hub, self.name = pipeline, sensor, hub, name
        self.progress = Progress()
        self.waterfall = Waterfall(pipeline.stages)
        pipeline.after = self.waterfall.after
        self.sound = True
        """Whether the pipeline is whole: no batch is in it, and none broke it."""
        self.passed_by = 0
        self._got = self._run_rows = 0  # rows that the worker has taken, and those it is through with
        self._handed: Counter[str] = Counter()  # rows of each stage that the worker has handed over,
        self._told: Counter[str] = Counter()  # and of those, what was published
        self.held = 0
        self._last, self._start = last, start
        self._going = asyncio.Event()
        self._going.set()
        self._before: tuple[int, Mapping[str, int], Ledger | None] | None = None
        # A recording waits, so a little is enough; of a live sensor, what is not taken in time is lost.
        self.channel = Channel(LIVE_BATCHES, span_us=LIVE_US) if sensor.live else Channel()
        self._mark = mark
        self._watch = list(watch)
        self._on_outputs = on_outputs
        self._order = itertools.count()
        self._commands = [(command.t, next(self._order), command) for command in commands]
        heapq.heapify(self._commands)
        self._lock = threading.Lock()
        self._stillness = Stillness()
        self._slots = threading.Semaphore(HANDED_OVER)
        self.stopping = False
        self._pump: asyncio.Task[None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    def command(self, command: Command) -> None:
        """Add a command; one whose time has passed takes effect at the start of the next batch."""
        with self._lock:
            heapq.heappush(self._commands, (command.t, next(self._order), command))

    def commands_left(self) -> list[Command]:
        """Return the commands whose time has not come."""
        with self._lock:
            return [command for _, _, command in sorted(self._commands, key=lambda one: one[:2])]

    def pause(self) -> None:
        """Take nothing more from the sensor until `resume`; of a live one everything is dropped and counted."""
        self._going.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._going.set()

    @property
    def reached(self) -> int | None:
        """Return the stream time, µs, up to which it has run, or another engine before it; None where none has."""
        return self._last if self.progress.start is None else self.progress.stop

    @property
    def paused(self) -> bool:
        """Return whether it waits for `resume`."""
        return not self._going.is_set()

    def lost(self) -> int:
        """Return how many events or samples the sensor gave that never came through, once it has ended with an error.

        Those dropped while it ran are not among them.
        """
        source = self.sensor.sensor if isinstance(self.sensor, Pace) else self.sensor
        return source.sent - self.progress.rows - self.channel.dropped - self.passed_by

    def watch(self, watcher: Watcher) -> None:
        """Add a watcher, before it runs."""
        self._watch.append(watcher)

    async def between(self, call: Callable[[], None]) -> None:
        """Run ``call`` in a thread while no batch is in the pipeline; the sensor goes on filling the channel."""

        def alone() -> None:
            with self._stillness.alone():
                call()

        await asyncio.to_thread(alone)

    def still(self) -> AbstractAsyncContextManager[bool]:
        """Keep the next batch from going into the pipeline for as long as this holds: figures stand still.

        Yields whether it does: not where a batch takes longer than anybody who asks for figures should wait.
        """
        # What has left the channel may not have been counted yet; after that the worker waits for its turn.
        return self._stillness.still(lambda: self._got == self.channel.given)

    def stop(self) -> None:
        """Take nothing more from the sensor; what was taken is still run and published, and nobody is waited for."""
        self.stopping = True
        if self._pump is not None:
            self._pump.cancel()
        if self._waiting is not None:
            self._waiting.cancel()

    async def run(self) -> None:
        """Run to the end; raises what the sensor raised, after everything before it was run and published."""
        self._earlier()
        loop = asyncio.get_running_loop()
        results: asyncio.Queue[_Result | None] = asyncio.Queue()

        def hand_over(result: _Result | None) -> None:
            loop.call_soon_threadsafe(results.put_nowait, result)

        self.progress.started_ns = monotonic_ns()
        self._pump = asyncio.create_task(self._take())
        self._pump.add_done_callback(lambda _: self.channel.close())
        if self.stopping:
            self._pump.cancel()
        worker = in_thread(lambda: self._work(hand_over))
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

    def _earlier(self) -> tuple[int, Mapping[str, int], Ledger | None]:
        """Return what another engine has run of this pipeline, and published under its name, before this one runs.

        It is asked for on the loop and not when the engine is built, in whatever thread: outputs are the loop's alone.
        """
        if self._before is None:
            hub, pipeline = self.hub, self.pipeline
            told = hub.ledger() if hub is not None and hub.published() else None
            self._before = pipeline.taken, dict(pipeline.made), told
        return self._before

    def hops(self) -> list[Hop]:
        """Return the loss ledger from the sensor to the last subscriber."""
        channel, source = self.channel, self.sensor
        hops = []
        if isinstance(source, Pace):
            hops.append(Hop("sensor to pace", source.sensor.sent, source.sent, held=source.held))
        passed_by = {"paused": self.passed_by}
        taken, made_before, before = self._earlier()
        under_way = 0 if self.progress.ended_ns else 1  # at the end nothing is: what has not arrived is missing
        working = under_way * (self._got - self._run_rows)
        hops += [
            Hop("sensor to channel", source.sent, channel.taken, dropped=passed_by, held=self.held),
            Hop("channel", channel.taken, channel.given, dropped={"overrun": channel.dropped}, held=channel.waiting),
            Hop("channel to pipeline", channel.given, self.pipeline.taken - taken, held=working),
            *self.pipeline.hops(),
        ]
        if self.hub is None:
            return hops
        ledger = self.hub.ledger()
        for name, rows in self.pipeline.made.items():
            published, left_out = published_of(ledger, self.name, name)
            if before is not None:
                earlier = published_of(before, self.name, name)
                published, left_out = published - earlier[0], left_out - earlier[1]
            held = under_way * (self._handed[name] - self._told[name])
            made = rows - made_before[name]
            hops.append(Hop(f"{name} to hub", made, published, dropped={"frame": left_out}, held=held))
        return [*hops, *hops_to_subscribers(self.name, ledger)]

    async def _take(self) -> None:
        """Bring batches from the sensor to the channel."""
        by: int | None = None
        async for batch in self.sensor.batches(self._start or 0):
            came_ns: int = getattr(self.sensor, "came_ns", 0)  # a device may know better when it came
            if came_ns:
                self.waterfall.hops["ingest"].add(monotonic_ns() - came_ns)
            if by is None:  # whole seconds, in which every sensor has a whole number of samples
                by = -(-max(0, (self._start or batch.start) - batch.start) // SECOND_US) * SECOND_US
            placed = moved(batch, by) if by else batch
            if self.paused and not self.stopping and not await self._go_on(placed):
                continue
            if self.sensor.live:
                self.channel.offer(placed, came_ns)
            else:
                await self._put(placed, came_ns)
            if self.stopping:
                break

    async def _put(self, batch: Batch, came_ns: int = 0) -> None:
        self.held = len(batch)
        try:
            await self.channel.put(batch, came_ns)
        finally:
            self.held = 0

    async def _go_on(self, batch: Batch) -> bool:
        """Return whether a batch that came while it is paused is to be run: of a recording, when it goes on."""
        if self.sensor.live:
            self.passed_by += len(batch)
            return False
        began_ns, self.held = monotonic_ns(), len(batch)
        try:
            await self._going.wait()
        except asyncio.CancelledError:
            await self._put(batch)
            raise
        finally:
            self.held = 0
        if isinstance(self.sensor, Pace):
            self.sensor.paused((monotonic_ns() - began_ns) / 1e9)
        return True

    def _work(self, hand_over: Callable[[_Result | None], None]) -> None:
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
        self._got += len(batch)
        now = self.pipeline.now
        commands = [made for command in self._due(batch.stop) if (made := in_time(command, now, batch.start))]
        commands += self._mark(batch)
        with self._stillness.batch():
            self.sound = False
            self.waterfall.begin(self.channel.waited_ns)
            outputs = self.pipeline(batch, commands)
            through_ns = self.waterfall.end()
            self.sound = True
            self._run_rows += len(batch)
            self._handed.update({name: len(made) for name, made in outputs.items()})
            for watch in self._watch:
                watch(batch, commands, outputs)
        if self.progress.start is None:
            self.progress.start = batch.start
        self.progress.stop = batch.stop
        self.progress.rows += len(batch)
        self._slots.acquire()
        hand_over((batch, outputs, came_ns, through_ns))

    def _due(self, stop: int, peek: bool = False) -> list[Command]:
        with self._lock:
            if peek:
                return [command for t, _, command in self._commands[:1] if t <= stop]
            due = []
            while self._commands and self._commands[0][0] <= stop:
                due.append(heapq.heappop(self._commands)[2])
            return due

    async def _publish_all(self, results: asyncio.Queue[_Result | None]) -> None:
        last = self._last
        while (result := await results.get()) is not None:
            batch, outputs, came_ns, through_ns = result
            try:
                if self.hub is not None:
                    self._publish(self.hub, batch, outputs, last, _unix(came_ns, through_ns))
                    self._told.update({name: len(made) for name, made in outputs.items()})
                    await self._ready(self.hub)
                now_ns = monotonic_ns()
                self.progress.latencies.append(now_ns - came_ns)
                self.waterfall.hops["publish"].add(now_ns - through_ns)
                self.waterfall.hops["total"].add(now_ns - came_ns)
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

    def _publish(
        self, hub: Hub, batch: Batch, outputs: Mapping[str, Batch], last: int | None, at: tuple[int, ...]
    ) -> None:
        if last is not None and batch.start > last:
            hub.publish(f"{self.name}.sensor.gap", Gap(last, batch.start))
        for stage, made in outputs.items():
            if not isinstance(made, Sound):
                decided = isinstance(made, Decisions) and made.rows
                hub.publish(f"{self.name}.{stage}.{kind_of(made)}", made, at if decided else ())


def _unix(*monotonic: int) -> tuple[int, ...]:
    """Return times of the monotonic clock as unix ns."""
    behind_ns = time_ns() - monotonic_ns()
    return tuple(one + behind_ns for one in monotonic)
