"""One run from a sensor to its subscribers: what `replay` and `run` have in common."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spikestream import checkpoint
from spikestream.batch import Batch, Command, Setting, Sound
from spikestream.building import build, ear_of
from spikestream.config import Config
from spikestream.errors import SpikestreamError
from spikestream.files.labels import LabelRow, read_labels
from spikestream.outputs.base import open_output
from spikestream.pipeline import Hop, Pipeline
from spikestream.sensors.microphone import Microphone
from spikestream.sensors.pace import Pace
from spikestream.sensors.record import Record
from spikestream.sensors.recording import Recording
from spikestream.service.beside import Beside
from spikestream.service.commands import Planned, known_commands, label_windows, labelled, marker
from spikestream.service.desk import Desk
from spikestream.service.engine import Engine, OutputHash
from spikestream.service.hub import Hub
from spikestream.service.job import Job, check, guarded, sensor_of
from spikestream.service.placing import is_saved, latency_of, placement_of
from spikestream.service.record import Recorder
from spikestream.service.record_wav import WavRecorder
from spikestream.service.scoring import Scorer
from spikestream.service.teaching import Teacher
from spikestream.service.trust import TrustWatch
from spikestream.wire import POLICIES, Stats

log = logging.getLogger(__name__)

STATS_S = 1.0
RECENT = 1_000
"""So many batches give the latencies that are published while it runs."""
PATIENCE_S = 10.0
"""How long a subscriber may take nothing, at the end, before it is given up."""


def warm_up(session: Session) -> None:
    """Load, or on a new machine compile, the kernels of a session's network or chip, and ear: no batch shall wait."""
    for name in {session.core, "readout"}:
        if hasattr(session.pipeline.stages[name], "prepare"):
            session.pipeline.stages[name].prepare()  # type: ignore[attr-defined]
    if "hear" in session.pipeline.stages:
        config: Config = session.pipeline.config
        rate, channels = config.sensor.samplerate_hz, getattr(session.sensor, "channels", 1)
        silence = Sound(0, 10_000, np.zeros((rate // 100, channels), np.float32))
        try:
            ear_of(config)(silence)
        except SpikestreamError as error:  # it will say so again, of real sound
            log.debug("warming up: %s", error)


class Session:
    """A job, opened: sensor, pipeline, hub and engine. Raises whatever opening them raises."""

    def __init__(self, job: Job, on_outputs: Callable[[Mapping[str, Batch]], None] | None = None) -> None:
        self.job, config = job, job.config
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
        self.started = asyncio.Event()
        self._stopped = asyncio.Event()
        self.whole = False  # whether the sensor was read from its beginning to its end
        self._closing = asyncio.Event()
        self.recorder = self._open_recorder() if job.record else None
        policies = POLICIES if job.blocking else tuple(policy for policy in POLICIES if policy != "block")
        outputs = [open_output(url) for url in config.publish.urls]
        self.desk = Desk()
        self.hub = Hub(outputs, epoch=secrets.token_hex(8), policies=policies, desk=self.desk)
        windows = self.windows()
        marks = marker(config, self.sensor, self.pipeline.config.sensor.samplerate_hz)
        planned = self._plan(job.at)
        source = guarded(self.sensor, config.sensor.uri)
        self.engine = Engine(
            self.pipeline,
            source if source.live else Pace(source, config.sensor.speed),
            self.hub,
            name=config.publish.pipeline,
            commands=known_commands(config, self.sensor, windows if job.labels or labelled(self.sensor) else None),
            mark=lambda batch: (*planned(batch), *marks(batch)),
            watch=[one for one in (self.hash, self._score, self.trust, self.beside, self.recorder) if one is not None],
            on_outputs=on_outputs,
        )
        self.desk.add("teach", Teacher(self.engine))

    async def run(self) -> None:
        """Publish, wait for the subscribers asked for, run to the end, drain, save; every end is tried."""
        await self.hub.start()
        self.started.set()
        tasks = [asyncio.create_task(self._stats())]
        keeper = asyncio.create_task(self._keep())
        try:
            if self.recorder is not None:
                await self.recorder.start()
            await self._wait_subscribers()
            await self.engine.run()
            self.whole = not self.engine.stopping and self.job.from_us is None and self.job.to_us is None
        except BaseException:
            await self._end(tasks, keeper)
            raise
        if (error := await self._end(tasks, keeper)) is not None:
            raise error

    async def _end(self, tasks: Sequence[asyncio.Task[None]], keeper: asyncio.Task[None]) -> BaseException | None:
        """Drain, part, close and save, each whatever became of the others; return the first error.

        Being cancelled, by a second signal, ends the step under way and none of those after it.
        """
        for task in tasks:
            task.cancel()
        self._closing.set()
        steps: list[Callable[[], Awaitable[None]]] = [self.desk.aclose, self._part, self.hub.aclose, lambda: keeper]
        if self.recorder is not None:
            steps.append(self.recorder.aclose)
        if self.job.save and self.pipeline.now is not None:
            steps.append(self._save)
        errors: list[BaseException] = []
        for step in steps:
            try:
                await step()
            except asyncio.CancelledError as error:
                errors.append(error)
            except Exception as error:  # of a plugin's output, say: the model is saved all the same
                log.warning("at the end: %s", error)
                errors.append(error)
        return errors[0] if errors else None

    async def _part(self) -> None:
        try:
            self._publish_stats()
        finally:
            await self.hub.drain(PATIENCE_S)

    async def _save(self) -> None:
        checkpoint.save(self.job.save, self.pipeline)

    async def _keep(self) -> None:
        """Save the model every so often, until the end; where that fails, say so and try again the next time."""
        while self.job.save and self.job.save_every_s is not None:
            try:
                await asyncio.wait_for(self._closing.wait(), self.job.save_every_s)
                return
            except TimeoutError:
                pass
            if self.pipeline.now is None:
                continue
            try:
                await self.engine.between(lambda: checkpoint.save(self.job.save, self.pipeline))
            except SpikestreamError as error:
                log.warning("not saved, tried again in %g s: %s", self.job.save_every_s, error)

    def stop(self) -> None:
        """Take nothing more from the sensor, and wait for no more subscribers."""
        self._stopped.set()
        self.engine.stop()

    async def _wait_subscribers(self) -> None:
        """Return when as many subscribers as the job asks for are there, or when told to stop."""
        if not self.job.wait_subscribers:
            return
        waits = [self.hub.wait_subscribers(self.job.wait_subscribers), self._stopped.wait()]
        _, late = await asyncio.wait([asyncio.ensure_future(wait) for wait in waits], return_when="FIRST_COMPLETED")
        for wait in late:
            wait.cancel()

    def problems(self) -> list[str]:
        """Return one line for every hop of the ledger that does not close."""
        return [f"{hop}" for hop in self.hops() if hop.missing()]

    def hops(self) -> list[Hop]:
        """Return the loss ledger: of a recording read to its end from the decoder on, else from the sensor on."""
        hops = self.engine.hops()
        if self._from_the_decoder() and isinstance(self.sensor, Recording):
            lost = self._lost_before()
            decoded = self.sensor.events + lost["outside the sensor"]
            hops.insert(0, Hop("decoder to sensor", decoded, self.sensor.sent, dropped=lost))
        if isinstance(self.sensor, Microphone):
            lost, held = {"ring full": self.sensor.dropped}, self.sensor.held
            hops.insert(0, Hop("device to sensor", self.sensor.captured, self.sensor.taken, dropped=lost, held=held))
        if self.recorder is not None:
            hops.append(Hop("pipeline to record", self.pipeline.taken, self.recorder.rows))
        return hops

    def _from_the_decoder(self) -> bool:
        """Return whether everything the decoder gave was to be played."""
        return self.whole and isinstance(self.sensor, Recording)

    def _lost_before(self) -> dict[str, int]:
        """Return what a recording's decoder and time policy dropped, by reason."""
        if not isinstance(self.sensor, Recording):
            return {}
        outside, late = self.sensor.skipped.get("outside", 0), self.sensor.problems.get("dropped", 0)
        return {"outside the sensor": outside, "backward time": late}

    def warnings(self) -> list[str]:
        """Return what the listener should know of the run, one line each."""
        said = [*getattr(self.sensor, "warnings", [])]
        said += [f"{count:,} events dropped: {reason}" for reason, count in self._lost_before().items() if count]
        progress = self.engine.progress
        if progress.start is not None and not progress.rows:
            said.append("there was not a single event in what was played")
        if progress.start is not None and self.scorer is not None and not self.scorer.decided:
            labels = f"{self.rows[0].start:,}..{self.rows[-1].stop:,} µs" if self.rows else "none"
            stream = f"{progress.start:,}..{progress.stop:,} µs"
            if self.job.config.readout.windows == "voice":
                said.append("what voices mark is not measured against labels: for that set readout.windows=marked")
            else:
                said.append(
                    f"no labelled window was decided: labels {labels}, stream {stream}, both on the sensor's clock"
                )
        return said

    def lost(self) -> int:
        """Return how many events, spikes and decisions were dropped or are missing, on the way to anyone."""
        hops = sum(sum(hop.dropped.values()) + abs(hop.missing()) for hop in self.hops())
        if isinstance(self.sensor, Microphone):  # what never came here is in no hop
            hops += self.sensor.vanished + self.sensor.overflows
        return hops + (0 if self._from_the_decoder() else sum(self._lost_before().values()))

    def summary(self) -> dict[str, Any]:
        """Return the figures of the run, as ``replay --json`` prints them."""
        progress, accounts = self.engine.progress, [stage.account for stage in self.pipeline.stages.values()]
        dropped = sum(sum(account.dropped.values()) for account in accounts)
        scores = self.scorer.results() if self.scorer else {}
        return {
            "events_in": self.engine.sensor.sent + sum(self._lost_before().values()),
            "events_filtered": sum(sum(account.filtered.values()) for account in accounts),
            "events_dropped": dropped + self.engine.channel.dropped + sum(self._lost_before().values()),
            "spikes_out": self._spikes_out(),
            "decisions": self.pipeline.made["readout"],
            "accuracy": scores.get("accuracy"),
            "prequential_accuracy": scores.get("prequential_accuracy"),
            "chance": scores.get("chance"),
            "baseline_accuracy": scores.get("baseline_accuracy"),
            "realtime_factor": round(progress.realtime_factor(), 3),
            "latency_ms": {"p50": round(progress.latency_ms(50), 3), "p99": round(progress.latency_ms(99), 3)},
            "duration_us": progress.stop - (progress.start or 0),
            "state_sha256": checkpoint.state_sha256(self.pipeline),
            "output_sha256": self.hash.hexdigest(),
            **({"chip": self._chip_facts()} if self.core == "chip" else {}),
            **(self.beside.summary() if self.beside else {}),
        }

    def _chip_facts(self) -> dict[str, Any]:
        """Return what the chip is, how late its outputs are, and what it counted."""
        chip: Any = self.pipeline.stages["chip"]
        late = latency_of(chip.placement)
        late_ms = None if late is None else late * chip.tick_us / 1000
        facts = {"law": chip.placement.law, "cores": chip.placement.cores}
        return {**facts, "latency_ticks": late, "latency_ms": late_ms, "counters": dict(chip.counters)}

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
        return next((name for name in ("even", "hear") if name in self.pipeline.stages), "address")

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

    async def _stats(self) -> None:
        while True:
            await asyncio.sleep(STATS_S)
            self._publish_stats()

    def _publish_stats(self) -> None:
        progress = self.engine.progress
        values = {
            "events_in": progress.rows,
            "spikes_out": self._spikes_out(),
            "decisions": self.pipeline.made["readout"],
            "events_dropped": self.engine.channel.dropped,
            "realtime_factor": progress.realtime_factor(),
            "latency_ms": {"p50": progress.latency_ms(50, RECENT), "p99": progress.latency_ms(99, RECENT)},
        }
        self._publish("engine.stats", values)
        if self.trust.trust.judged:
            self._publish("trust.stats", self.trust.stats())
        if isinstance(self.sensor, Microphone):
            self._publish("sensor.stats", self.sensor.stats())

    def _publish(self, topic: str, values: Mapping[str, Any]) -> None:
        start = self.engine.progress.start or 0
        stop = max(start, self.engine.progress.stop)
        self.hub.publish(f"{self.job.config.publish.pipeline}.{topic}", Stats(start, stop, values))
