"""A supervisor: one pipeline of a daemon, run again after it has failed, while the others go on.

Law: what fails is told and counted, and then tried again, later and later. Where the sensor has failed the pipeline
goes on as it is, with a gap; where a stage has, its memory is not to be trusted, and the last checkpoint is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import monotonic

from spikestream.batch import Setting
from spikestream.checkpoint import newest
from spikestream.errors import RecordingError, SpikestreamError
from spikestream.sensors.base import Resumable
from spikestream.service.backoff import Backoff
from spikestream.service.ending import taken
from spikestream.service.hub import Hub
from spikestream.service.job import Job
from spikestream.service.lane import Lane

log = logging.getLogger(__name__)

FINAL = ("ended", "failed")
"""States that nothing follows."""


class Supervisor:
    """A pipeline of a daemon, opened; `run` is its life. Raises whatever opening it raises.

    ``restarts`` counts the tries after the first, ``lost`` the events or samples that failures have cost.
    """

    def __init__(self, job: Job, hub: Hub, backoff: Backoff | None = None) -> None:
        self.job, self.hub = job, hub
        self.name = job.config.publish.pipeline
        self.lane = Lane(job, hub)
        self.state = "ready"
        self.restarts = self.lost = 0
        self.error: BaseException | None = None
        """The last failure, also where it has long been overcome."""
        self._backoff = backoff or Backoff(job.config.restart)
        self._stopping = asyncio.Event()
        self._since: tuple[int, float] | None = None  # the stream time it has reached, and when that was
        self._tell()

    @property
    def ended(self) -> bool:
        """Return whether it is at its end, by itself or by a failure."""
        return self.state in FINAL

    @property
    def up(self) -> bool:
        """Return whether its sensor is there: it runs, or is paused."""
        return self.state == "running"

    def stop(self) -> None:
        """Take nothing more from the sensor, and try nothing again."""
        self._stopping.set()
        self.lane.stop()

    async def run(self) -> BaseException | None:
        """Run until the sensor ends, `stop` is called or trying again is in vain; return the first error of its end."""
        error: BaseException | None = None
        try:
            await self.lane.begin()
            error = await self._live()
        except BaseException:
            self._become("failed")
            await taken(self._last_steps())
            raise
        self._become("ended" if error is None else "failed")
        late = await taken(self._last_steps())
        return error or late

    def _last_steps(self) -> list[Callable[[], Awaitable[None]]]:
        async def part() -> None:
            self.lane.publish_stats()

        return [part, *self.lane.ends]

    async def _live(self) -> BaseException | None:
        """Run, and after each failure again; return the error that was the last one."""
        open_first = False
        while True:
            began = monotonic()
            error = await self._tried(open_first)
            if error is None:
                return None
            self.error = error
            if self._in_vain(error):
                log.error("%s: %s", self.name, error)
                return error
            if self._stopping.is_set():
                log.warning("%s has failed, and was to end: %s", self.name, error)
                return None
            wait_s = self._backoff.after(monotonic() - began)
            log.warning("%s has failed, and is tried again in %.2g s: %s", self.name, wait_s, error)
            self._become("waiting")
            self.lane.publish_stats()
            try:
                await asyncio.wait_for(self._stopping.wait(), wait_s)
                return None
            except TimeoutError:
                self.restarts += 1
                open_first = True

    async def _tried(self, open_first: bool) -> BaseException | None:
        """Return what one try ended with, None where the sensor has ended or it was stopped."""
        try:
            if open_first:
                await self._reopen()
            if self._stopping.is_set():  # meanwhile, and what was told to stop was what had failed
                self.lane.stop()
            self._become("running")
            await self.lane.work()
        except Exception as error:  # of a plugin's sensor or stage, say: whatever it is, the others go on
            engine = self.lane.engine
            if self.state == "running":
                self.lost += 0 if isinstance(self.lane.sensor, Resumable) else engine.lost()  # they will come again
                if engine.progress.start is not None:
                    self._since = engine.progress.stop, monotonic()
            return error
        return None

    async def _reopen(self) -> None:
        """Open what has failed: the sensor alone, or the whole pipeline from its last checkpoint."""
        lane, engine = self.lane, self.lane.engine
        start, kept = None, isinstance(lane.sensor, Resumable)
        if self._since is not None and not kept:  # of what is live, all that has passed since is a gap
            away_us = round((monotonic() - self._since[1]) * 1e6) if lane.sensor.live else 0
            start = self._since[0] + away_us
        if engine.sound and not kept:  # of what is kept, all comes again that is not saved
            await asyncio.to_thread(lane.again, start)
            return
        saved = (newest(self.job.save) if self.job.save else "") or self.job.model
        job = replace(self.job, model=saved, record="")
        made = await asyncio.to_thread(Lane, job, self.hub, None, engine.reached, start)
        if lane.recorder is not None:
            log.warning("%s: the record ends here: what follows begins with %s", self.name, saved or "nothing learned")
        log.warning("%s goes on with %s", self.name, f"what {saved} has learned" if saved else "nothing learned")
        await taken(lane.ends)
        made.changed, self.lane = lane.changed, made
        for key, value in made.changed.items():
            made.engine.command(Setting(start or 0, key, value))
        if lane.engine.paused:
            made.engine.pause()
        await made.begin()
        self._tell()

    def _in_vain(self, error: BaseException) -> bool:
        """Return whether trying again would end the same way: bytes of a recording do not change."""
        if self.job.config.restart.policy == "never":
            return True
        return isinstance(error, RecordingError) and not self.lane.sensor.live

    def _become(self, state: str) -> None:
        self.state = state
        self._tell()

    def _tell(self) -> None:
        """Put what has become of it among the figures that its lane publishes."""
        error = self.error
        what = error.what if isinstance(error, SpikestreamError) else f"{type(error).__name__}: {error}"
        facts = {"state": self.state, "restarts": self.restarts, "events_lost": self.lost}
        self.lane.facts = facts | ({"error": what} if error is not None else {})
