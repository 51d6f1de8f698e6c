"""One run from a sensor to its subscribers, alone on a hub of its own: what `replay`, `listen` and `demo` do."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from spikestream import checkpoint
from spikestream.batch import Batch
from spikestream.config import Config
from spikestream.outputs.base import Output, open_output
from spikestream.pipeline import Hop
from spikestream.sensors.microphone import Microphone
from spikestream.sensors.recording import Recording
from spikestream.service.control import Control, Scene
from spikestream.service.desk import Desk
from spikestream.service.ending import taken
from spikestream.service.fit import Fit
from spikestream.service.hub import Hub
from spikestream.service.job import Job
from spikestream.service.lane import Lane
from spikestream.service.log import open_log
from spikestream.service.placing import latency_of
from spikestream.service.tended import Tended
from spikestream.service.warming import warm_up
from spikestream.wire import POLICIES

__all__ = ["Session", "warm_up"]

PATIENCE_S = 10.0
"""How long a subscriber may take nothing, at the end, before it is given up."""


def open_hub(config: Config, blocking: bool, logged: bool) -> tuple[Hub, Desk]:
    """Return a hub that publishes where a configuration says, not started, and its desk; raises what opening it raises.

    ``blocking`` is whether a subscriber may make a run wait for it; ``logged``, for a daemon, whether the log of the
    configuration keeps what is published, and lets epoch and numbers go on, and an output that fails is opened again.
    """
    desk = Desk()
    policies = POLICIES if blocking else tuple(policy for policy in POLICIES if policy != "block")
    opening = [partial(open_output, url, **asdict(config.publish)) for url in config.publish.urls]
    # Where a run is one recording's, what cannot be written ends it; a daemon goes on.
    outputs: list[Output] = [Tended(make) if logged else make() for make in opening]
    log, publish = open_log(config.log) if logged else None, config.publish
    common: dict[str, Any] = {"policies": policies, "desk": desk, "ring_bytes": publish.ring_bytes}
    common["ring_total_bytes"] = publish.ring_total_bytes
    if log is None:
        return Hub(outputs, epoch=secrets.token_hex(8), **common), desk
    # The log first: its disk knows of a topic before anybody gets its first number.
    return Hub([log, *outputs], epoch=log.epoch, past=log, numbers=log.numbers, **common), desk


class Session(Lane):
    """A job, opened, with a hub of its own. Raises whatever opening them raises."""

    def __init__(self, job: Job, on_outputs: Callable[[Mapping[str, Batch]], None] | None = None) -> None:
        hub, self.desk = open_hub(job.config, job.blocking, logged=False)
        super().__init__(job, hub, on_outputs)
        self.started = asyncio.Event()
        self._stopped = asyncio.Event()
        self.whole = False  # whether the sensor was read from its beginning to its end
        self.control = Control(self.desk, Scene(hub, lambda: {self.name: self}, job.config.control.folder))

    async def run(self) -> None:
        """Publish, wait for the subscribers asked for, run to the end, drain, save; every end is tried."""
        await self.hub.start()
        self.started.set()
        try:
            await self.begin()
            await self._wait_subscribers()
            await self.work()
            self.whole = not self.engine.stopping and self.job.from_us is None and self.job.to_us is None
            if (fit := self._fit()) is not None and fit.none:
                raise fit.error(self.job.labels)
        except BaseException:
            await self._end()
            raise
        if (error := await self._end()) is not None:
            raise error

    async def _end(self) -> BaseException | None:
        """Drain, part, close and save; return the first error."""
        return await taken([self.desk.aclose, self._part, self.hub.aclose, *self.ends])

    async def _part(self) -> None:
        try:
            self.publish_stats()
        finally:
            await self.hub.drain(PATIENCE_S)

    def stop(self) -> None:
        """Take nothing more from the sensor, and wait for no more subscribers."""
        self._stopped.set()
        super().stop()

    async def _wait_subscribers(self) -> None:
        """Return when as many subscribers as the job asks for are there, or when told to stop."""
        if not self.job.wait_subscribers:
            return
        waits = [self.hub.wait_subscribers(self.job.wait_subscribers), self._stopped.wait()]
        _, late = await asyncio.wait([asyncio.ensure_future(wait) for wait in waits], return_when="FIRST_COMPLETED")
        for wait in late:
            wait.cancel()

    def hops(self) -> list[Hop]:
        """Return the loss ledger: of a recording read to its end from the decoder on, else from the sensor on."""
        hops = super().hops()
        if self._from_the_decoder() and isinstance(self.sensor, Recording):
            lost = self._lost_before()
            decoded = self.sensor.events + lost["outside the sensor"]
            hops.insert(0, Hop("decoder to sensor", decoded, self.sensor.sent, dropped=lost))
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
        progress, fit = self.engine.progress, self._fit()
        if progress.start is not None and not progress.rows:
            said.append("there was not a single event in what was played")
        if fit is not None and fit.none:
            return said  # that is an error, which says so
        if fit is not None and (warning := fit.warning()):
            said.append(warning)
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

    def _fit(self) -> Fit | None:
        """Return how a label file fits the recording, once all of that was run; a live stream may begin at any time."""
        progress, windows = self.engine.progress, self.windows() if self.whole and self.job.labels else []
        if self.sensor.live or progress.start is None or not windows:
            return None
        return Fit(windows, progress.start, progress.stop, self.uri)

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
