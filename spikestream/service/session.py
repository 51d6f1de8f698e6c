"""One run from a sensor to its subscribers: what `replay` and `run` have in common."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikestream import checkpoint
from spikestream.batch import Batch, Command, no_spikes
from spikestream.config import Config, build
from spikestream.errors import ConfigError
from spikestream.files.labels import LabelRow, read_labels
from spikestream.outputs.base import open_output
from spikestream.pipeline import Hop, Pipeline
from spikestream.sensors.base import Sensor, open_sensor, parse_uri
from spikestream.sensors.pace import Pace
from spikestream.sensors.record import Record, is_record
from spikestream.sensors.recording import Recording
from spikestream.service.engine import Engine, OutputHash
from spikestream.service.hub import Hub
from spikestream.service.record import Recorder
from spikestream.service.scoring import Scorer, commands_of, windows_of
from spikestream.wire import Stats

STATS_S = 1.0
PATIENCE_S = 10.0
"""How long a subscriber may take nothing, at the end, before it is given up."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: a configuration, and what belongs to one run only."""

    config: Config
    from_us: int | None = None
    to_us: int | None = None
    labels: str = ""
    model: str = ""
    save: str = ""
    record: str = ""
    wait_subscribers: int = 0


def warm_up() -> None:
    """Load, or on a new machine compile, the network's kernels, so that no batch of the stream waits for it."""
    from spikestream.stages.network import Network

    network = Network(1, 1)
    network(no_spikes(0, network.tick_us))


def _check(job: Job) -> None:
    """Refuse what could only fail at the end of the run."""
    if job.wait_subscribers < 0 or (job.wait_subscribers and not job.config.publish.urls):
        allowed = "a number, together with --publish URL"
        raise ConfigError("nobody can subscribe", key="--wait-subscribers", value=job.wait_subscribers, allowed=allowed)
    for path in (job.save, job.record):
        if path and not Path(path).absolute().parent.is_dir():
            raise ConfigError(f"cannot write {path}: there is no such folder", value=path)
    if job.save and job.save == job.record:
        raise ConfigError(f"{job.save} cannot be both the model and the record", value=job.save)


class Session:
    """A job, opened: sensor, pipeline, hub and engine. Raises whatever opening them raises."""

    def __init__(self, job: Job, on_outputs: Callable[[Mapping[str, Batch]], None] | None = None) -> None:
        self.job, config = job, job.config
        _check(job)
        self.rows = read_labels(job.labels) if job.labels else []
        self.sensor = self._open_sensor()
        self.pipeline = self._open_pipeline()
        self.scorer = self._open_scorer()
        self.hash = OutputHash()
        self.started = asyncio.Event()
        self._stopped = asyncio.Event()
        self.whole = False  # whether the sensor was read from its beginning to its end
        self.recorder = Recorder(job.record, self.pipeline.config) if job.record else None
        self.hub = Hub([open_output(url) for url in config.publish.urls], epoch=secrets.token_hex(8))
        self.engine = Engine(
            self.pipeline,
            Pace(self.sensor, config.sensor.speed),
            self.hub,
            name=config.publish.pipeline,
            commands=self._commands(),
            watch=[self.hash, self._score, *([self.recorder] if self.recorder else [])],
            on_outputs=on_outputs,
        )

    async def run(self) -> None:
        """Publish, wait for the subscribers asked for, run to the end, drain, save."""
        await self.hub.start()
        self.started.set()
        try:
            if self.recorder is not None:
                await self.recorder.start()
            await self._wait_subscribers()
            stats = asyncio.create_task(self._stats())
            try:
                await self.engine.run()
                self.whole = not self.engine.stopping and self.job.from_us is None and self.job.to_us is None
            finally:
                stats.cancel()
                self._publish_stats()
                await self.hub.drain(PATIENCE_S)
        finally:
            await self.hub.aclose()
            if self.recorder is not None:
                await self.recorder.aclose()
            if self.job.save and self.pipeline.now is not None:
                checkpoint.save(self.job.save, self.pipeline)

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
        if self.whole and isinstance(self.sensor, Recording):
            lost = self._lost_before()
            decoded = self.sensor.events + lost["outside the sensor"]
            hops.insert(0, Hop("decoder to sensor", decoded, self.sensor.sent, dropped=lost))
        return hops

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
            said.append(f"no labelled window was decided: labels {labels}, stream {stream}, both on the sensor's clock")
        return said

    def lost(self) -> int:
        """Return how many events, spikes and decisions were dropped or are missing, on the way to anyone."""
        return sum(sum(hop.dropped.values()) + abs(hop.missing()) for hop in self.hops())

    def summary(self) -> dict[str, Any]:
        """Return the figures of the run, as ``replay --json`` prints them."""
        account, progress = self.pipeline.stages["filter"].account, self.engine.progress
        dropped = sum(account.dropped.values()) + sum(self.pipeline.stages["address"].account.dropped.values())
        scores = self.scorer.results() if self.scorer else {}
        return {
            "events_in": self.engine.sensor.sent + sum(self._lost_before().values()),
            "events_filtered": sum(account.filtered.values()),
            "events_dropped": dropped + self.engine.channel.dropped + sum(self._lost_before().values()),
            "spikes_out": self.pipeline.made["network"],
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
        }

    def _open_sensor(self) -> Sensor:
        config, job = self.job.config, self.job
        if not config.sensor.uri:
            raise ConfigError("no sensor is named", key="sensor.uri", remedy="set sensor.uri, or name a recording")
        scheme, location, _ = parse_uri(config.sensor.uri)
        if scheme != "file" or is_record(location):
            if job.from_us is not None or job.to_us is not None:
                raise ConfigError("only an event file can be cut with --from and --to", key="--from", value=job.from_us)
            return Record(location) if scheme == "file" else open_sensor(config.sensor.uri)
        wanted = {
            "format": config.sensor.format,
            "sensor": config.sensor.layout,
            "size": config.sensor.size,
            "from_us": job.from_us,
            "to_us": job.to_us,
            "stop_us": self.rows[-1].stop if self.rows and job.to_us is None else None,
        }
        chosen = {key: value for key, value in wanted.items() if value not in ("", None)}
        lengths = {"length_us": config.batch.length_us, "grid_us": config.network.tick_us}
        return open_sensor(config.sensor.uri, time=config.sensor.time, **lengths, **chosen)

    def _open_pipeline(self) -> Pipeline:
        pipeline = build(self.job.config, self.sensor.size)
        if self.job.model:
            checkpoint.transfer(self.job.model, pipeline)
        return pipeline

    def _windows(self) -> list[LabelRow]:
        readout = self.job.config.readout
        return list(windows_of(self.rows, readout.window_us if readout.windows == "grid" else None))

    def _commands(self) -> list[Command]:
        config = self.job.config
        marked = config.readout.windows == "marked"
        commands = commands_of(self._windows(), mark=marked, teach=config.learn.enabled)
        return [*commands, *getattr(self.sensor, "commands", ())]

    def _open_scorer(self) -> Scorer | None:
        axons: int = self.pipeline.stages["address"].axons  # type: ignore[attr-defined]
        return Scorer(self._windows(), axons, self.job.config.learn.enabled) if self.job.labels else None

    def _score(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        if self.scorer is not None:
            self.scorer.observe(outputs["address"], outputs["readout"])

    async def _stats(self) -> None:
        while True:
            await asyncio.sleep(STATS_S)
            self._publish_stats()

    def _publish_stats(self) -> None:
        progress = self.engine.progress
        values = {
            "events_in": progress.rows,
            "spikes_out": self.pipeline.made["network"],
            "decisions": self.pipeline.made["readout"],
            "events_dropped": self.engine.channel.dropped,
            "realtime_factor": progress.realtime_factor(),
            "latency_ms": {"p50": progress.latency_ms(50), "p99": progress.latency_ms(99)},
        }
        start = progress.start or 0
        self.hub.publish(
            f"{self.job.config.publish.pipeline}.engine.stats", Stats(start, max(start, progress.stop), values)
        )
