"""A lane: one job, opened on a hub. Its sensor, its pipeline, what watches it, and the engine that runs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from spikestream import checkpoint
from spikestream.batch import Batch, Command, Setting, Window
from spikestream.building import build
from spikestream.errors import ConfigError
from spikestream.files.labels import LabelRow, read_labels
from spikestream.pipeline import Hop, Pipeline
from spikestream.sensors.base import Counting, Resumable, Sensor, Telling
from spikestream.sensors.microphone import Microphone
from spikestream.sensors.pace import Pace
from spikestream.sensors.record import Record
from spikestream.service.beside import Beside
from spikestream.service.commands import Planned, known_commands, label_windows, labelled, marker
from spikestream.service.engine import Engine
from spikestream.service.hub import Hub
from spikestream.service.job import Job, check, guarded, sensor_of
from spikestream.service.keeping import Keeper
from spikestream.service.placing import is_saved, placement_of
from spikestream.service.record import Recorder
from spikestream.service.record_wav import WavRecorder
from spikestream.service.scoring import Scorer
from spikestream.service.teaching import Teacher
from spikestream.service.trust import TrustWatch
from spikestream.service.watching import OutputHash
from spikestream.wire import Stats

log = logging.getLogger(__name__)

STATS_S = 1.0
SETTLING, SETTLING_S = 5, 0.002
RECENT = 1_000
"""So many batches give the latencies that are published while it runs."""


class Lane:
    """A job, opened: sensor, pipeline and engine, which publishes on ``hub``. Raises whatever opening them raises.

    Where another lane of its name has run before, that one has reached ``last``, and this one goes on from ``start``:
    what was to be done earlier is done.
    """

    def __init__(
        self,
        job: Job,
        hub: Hub,
        on_outputs: Callable[[Mapping[str, Batch]], None] | None = None,
        last: int | None = None,
        start: int | None = None,
    ) -> None:
        self.job, self.hub, config = job, hub, job.config
        self.name = config.publish.pipeline
        check(job)
        self.rows = read_labels(job.labels) if job.labels else []
        self.sensor = sensor_of(job, self.rows)
        if not job.labels:
            self.rows = self.sensor.labels if isinstance(self.sensor, Record) else labelled(self.sensor)
        self.pipeline = self._open_pipeline()
        self.scorer = self._open_scorer()
        self.trust = TrustWatch(config, self.pipeline.stages["readout"])
        if self.scorer is not None:
            self.scorer.watchers.append(self.trust.judged)
        self.beside = self._open_beside() if job.beside else None
        self.hash = OutputHash()
        self.facts: dict[str, Any] = {}
        """What else is published of it, with its figures."""
        self.changed: dict[str, bool | int | float | str] = {}
        """Settings that were made while it ran: they outlive a pipeline that is built anew."""
        self._rate = Rate()
        self.recorder = self._open_recorder() if job.record else None
        self._on_outputs = on_outputs
        marks = marker(config, self.sensor, self.pipeline.config.sensor.samplerate_hz)
        planned = self._plan(job.at)
        self._mark = lambda batch: (*planned(batch), *marks(batch))
        self.engine = self._open_engine(self._known(start), last, start)
        self.teacher = Teacher(self.engine)
        self.keeper = Keeper(job, hub, self.pipeline, lambda: self.engine, self.sensor)

    async def begin(self) -> None:
        """Open the record and begin to save every so often; `end` has to follow."""
        self._keeping = asyncio.create_task(self.keeper.run())
        if self.recorder is not None:
            await self.recorder.start()

    async def work(self) -> None:
        """Run to the end of the sensor or until `stop`; raises what sensor, pipeline or outputs raise."""
        stats = asyncio.create_task(self._stats())
        try:
            if await self.keeper.take_up():
                await self.engine.run()
        except BaseException:
            await self.keeper.release()
            raise
        finally:
            stats.cancel()

    def again(self, start: int | None) -> None:
        """Open the sensor anew and go on at ``start`` µs, with the pipeline as it is; raises what opening raises."""
        sensor = sensor_of(self.job, self.rows)
        if _shape(sensor) != _shape(self.sensor):
            raise ConfigError(
                "the sensor has another size than before", key="sensor.uri", value=self.job.config.sensor.uri
            )
        self.sensor, paused = sensor, self.engine.paused
        self.engine = self._open_engine(self.engine.commands_left(), self.engine.reached, start)
        self.teacher.engine = self.engine
        if paused:
            self.engine.pause()

    @property
    def ends(self) -> list[Callable[[], Awaitable[None]]]:
        """Return the steps that end it, in order: each is to be tried whatever becomes of the others."""
        self.keeper.close()
        steps: list[Callable[[], Awaitable[None]]] = [lambda: self._keeping]
        if self.recorder is not None:
            steps.append(self.recorder.aclose)
        if self.job.save and self.pipeline.now is not None and self.keeper.ours:
            steps.append(self.keeper.save)
        return [*steps, self.keeper.release]

    def stop(self) -> None:
        """Take nothing more from the sensor."""
        self.keeper.stop()
        self.engine.stop()

    def hold(self, hold: bool) -> None:
        """Take nothing from the sensor for a while, or go on."""
        (self.engine.pause if hold else self.engine.resume)()

    @property
    def state(self) -> str:
        """Return what it is doing: running, standing by for its stream, paused, or what its supervisor says."""
        state: str = self.facts.get("state", "running")
        if state == "running" and self.keeper.waits:
            return "standby"
        return "paused" if state == "running" and self.engine.paused else state

    @property
    def uri(self) -> str:
        """Return the URI of its sensor."""
        return self.job.config.sensor.uri

    def problems(self) -> list[str]:
        """Return one line for every hop of the ledger that does not close."""
        return [f"{hop}" for hop in self.hops() if hop.missing()]

    async def still_hops(self) -> list[Hop]:
        """Return the ledger as it is while no batch is on its way, [] where one takes long or broke a stage."""
        async with self.engine.still() as still:
            if not still or not self.engine.sound:
                return []
            hops = self.hops()
            for _ in range(SETTLING):
                if not any(hop.missing() for hop in hops):
                    break
                await asyncio.sleep(SETTLING_S)  # a device counts in a thread of its own
                hops = self.hops()
            return hops

    def hops(self) -> list[Hop]:
        """Return the loss ledger from the sensor on."""
        hops = self.engine.hops()
        if isinstance(self.sensor, Microphone):
            lost, held = {"ring full": self.sensor.dropped}, self.sensor.held
            hops.insert(0, Hop("device to sensor", self.sensor.captured, self.sensor.taken, dropped=lost, held=held))
        if isinstance(self.sensor, Counting):
            name, came, filtered, dropped, held = self.sensor.intake()
            hops.insert(0, Hop(name, came, self.sensor.sent, filtered, dropped, held))
        if self.recorder is not None:
            hops.append(Hop("pipeline to record", self.pipeline.taken, self.recorder.rows, held=self.recorder.held))
        return hops

    @property
    def core(self) -> str:
        """Return the name of the stage that thinks: network or chip, or else a readout that hears the senses itself."""
        return next((name for name in ("chip", "network") if name in self.pipeline.stages), "readout")

    def _spikes_out(self) -> int:
        """Return how many spikes the stage that thinks made; those of a classifier never leave it."""
        own: int | None = getattr(self.pipeline.stages[self.core], "spikes", None)
        return self.pipeline.made[self.core] if own is None else own

    def _open_pipeline(self) -> Pipeline:
        config = self.job.config
        placement = placement_of(config)
        pipeline = build(config, self.sensor.size, getattr(self.sensor, "samplerate_hz", 0), placement=placement)
        if self.job.model:
            checkpoint.transfer(self.job.model, pipeline)
        elif config.chip.model and is_saved(config.chip.model):  # the labels its neurons have earned
            checkpoint.transfer(config.chip.model, pipeline)
        elif isinstance(self.sensor, Record) and self.sensor.state:
            checkpoint.restore(self.sensor.state, pipeline)
        return pipeline

    def _plan(self, at: Sequence[tuple[int, str, bool | int | float | str]]) -> Planned:
        """Return what hands over the settings of a job; raises `ConfigError` where one cannot be made."""
        # Their own times count from a start that is not known yet, and that what the network holds already is before.
        first = (self.pipeline.now or 0) + 1
        self.pipeline.check(*(Setting(first + after, key, value) for after, key, value in at))
        return Planned(at)

    def _open_recorder(self) -> Recorder | WavRecorder:
        rate: int = getattr(self.sensor, "samplerate_hz", 0)
        if rate and self.job.record.lower().endswith(".wav"):
            return WavRecorder(self.job.record, rate, getattr(self.sensor, "pcm16", False))
        fresh = not self.job.model and not getattr(self.sensor, "state", b"")
        state = b"" if fresh else checkpoint.dumped(self.pipeline)
        return Recorder(self.job.record, self.pipeline.config, state, self.rows)

    @property
    def senses(self) -> str:
        """Return the name of the stage whose spikes the network hears."""
        return "hear" if "hear" in self.pipeline.stages else "address"

    def windows(self) -> list[LabelRow]:
        """Return the windows that are judged, in order."""
        return label_windows(self.job.config, self.rows)

    def _open_scorer(self) -> Scorer | None:
        axons: int = self.pipeline.stages[self.senses].axons  # type: ignore[attr-defined]
        return Scorer(self.windows(), axons, self.job.config.learn.enabled) if self.rows else None

    def _open_beside(self) -> Beside:
        return Beside(self.job.model, self.pipeline, self.senses, self._open_scorer())

    def _score(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        if self.scorer is not None:
            self.scorer.observe(outputs[self.senses], outputs["readout"])

    def _known(self, start: int | None) -> list[Command]:
        """Return the commands that are known before it runs, as far as their time is still to come."""
        windows = self.windows() if self.job.labels or labelled(self.sensor) else None
        known = known_commands(self.job.config, self.sensor, windows)
        return known if start is None else [one for one in known if _until(one) >= start]

    def _open_engine(self, commands: Sequence[Command], last: int | None, start: int | None) -> Engine:
        config = self.job.config
        source = guarded(self.sensor, config.sensor.uri)
        watch = (self.hash, self._score, self.trust, self.beside, self.recorder)
        return Engine(
            self.pipeline,
            source if source.live or isinstance(self.sensor, Resumable) else Pace(source, config.sensor.speed),
            self.hub,
            name=self.name,
            commands=commands,
            mark=self._mark,
            watch=[one for one in watch if one is not None],
            on_outputs=self._on_outputs,
            last=last,
            start=start,
        )

    async def _stats(self) -> None:
        while True:
            await asyncio.sleep(STATS_S)
            self.publish_stats()

    def figures(self) -> dict[str, Any]:
        """Return its figures as they are published."""
        progress = self.engine.progress
        return {
            "events_in": progress.rows,
            "events_per_s": self._rate.now(progress.rows),
            "spikes_out": self._spikes_out(),
            "decisions": self.pipeline.made["readout"],
            "events_dropped": self.engine.channel.dropped,
            "realtime_factor": progress.realtime_factor(),
            "latency_ms": {"p50": progress.latency_ms(50, RECENT), "p99": progress.latency_ms(99, RECENT)},
            "waterfall_ms": self.engine.waterfall.told(),
            **self.facts,
        }

    def publish_stats(self) -> None:
        """Publish its figures as they are now."""
        self._publish("engine.stats", self.figures())
        if self.trust.trust.judged:
            self._publish("trust.stats", self.trust.stats())
        if isinstance(self.sensor, Telling):
            self._publish("sensor.stats", self.sensor.stats())

    def _publish(self, topic: str, values: Mapping[str, Any]) -> None:
        stop = self.engine.reached or 0
        start = self.engine.progress.start
        self.hub.publish(f"{self.name}.{topic}", Stats(min(stop, stop if start is None else start), stop, values))


class Rate:
    """Says how fast a count grows, over about the last second."""

    def __init__(self) -> None:
        self._looks = [(monotonic(), 0)]

    def now(self, count: int) -> float:
        """Return the count's growth per second."""
        now = monotonic()
        if now - self._looks[-1][0] >= STATS_S / 2:
            self._looks = [*self._looks[-2:], (now, count)]
        since, before = self._looks[0]
        return max(0, count - before) / max(1e-3, now - since)


def _shape(sensor: Sensor) -> tuple[object, ...]:
    return sensor.size, getattr(sensor, "samplerate_hz", 0), getattr(sensor, "channels", 1)


def _until(command: Command) -> int:
    """Return the stream time from which on a command has nothing more to say."""
    return command.stop if isinstance(command, Window) else command.t
