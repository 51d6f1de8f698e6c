"""What a pipeline has learned, kept: saved every so often while it runs, and taken up where another left off.

Where the sensor's stream is kept elsewhere (`Resumable`), a checkpoint holds how far it was taken, and only who has the
stream at the moment saves and takes up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from spikestream import checkpoint
from spikestream.errors import SpikestreamError
from spikestream.pipeline import Pipeline
from spikestream.sensors.base import Resumable, Sensor
from spikestream.service.engine import Engine
from spikestream.service.hub import Hub
from spikestream.service.job import Job

log = logging.getLogger(__name__)

SOURCE = "source"
"""The mark of a checkpoint that says how far the stream of the sensor was taken."""


class Keeper:
    """Saves the pipeline that ``engine`` runs to where its job says; ``engine`` returns the one there is now."""

    def __init__(self, job: Job, hub: Hub, pipeline: Pipeline, engine: Callable[[], Engine], sensor: Sensor) -> None:
        self._job, self._hub, self._pipeline, self._engine = job, hub, pipeline, engine
        self._resumable = sensor if isinstance(sensor, Resumable) else None
        self._closing = asyncio.Event()
        self._claiming: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def ours(self) -> bool:
        """Return whether nobody else may be saving there: the stream is ours, where others may have it."""
        return self._resumable is None or self._resumable.owned

    @property
    def waits(self) -> bool:
        """Return whether another has the stream, and this one stands by."""
        return self._claiming is not None and not self._claiming.done()

    async def take_up(self) -> bool:
        """Return whether the stream is ours now, and the pipeline where its last checkpoint is; false after `stop`."""
        if self._resumable is None:
            return True
        if not self._stopped:
            self._claiming = asyncio.create_task(self._resumable.claim())
            await asyncio.wait([self._claiming])
        if self._stopped or self._claiming is None:
            return False
        self._claiming.result()
        saved = await asyncio.to_thread(checkpoint.newest, self._job.save) if self._job.save else ""
        marks = await asyncio.to_thread(checkpoint.marks_of, saved) if saved else {}
        if await self._resumable.resume(marks.get(SOURCE)):
            await asyncio.to_thread(checkpoint.go_on, saved, self._pipeline)
            log.info("goes on where %s left off, at %d µs", saved, self._pipeline.now)
        return True

    def stop(self) -> None:
        """Wait for no stream that others have."""
        self._stopped = True
        if self._claiming is not None:
            self._claiming.cancel()

    async def release(self) -> None:
        """Let others have the stream."""
        if self._resumable is not None:
            await self._resumable.release()

    def close(self) -> None:
        """Save no more by itself."""
        self._closing.set()

    async def run(self) -> None:
        """Save every so often, until closed; where that fails, say so and try again the next time."""
        every_s = self._job.save_every_s
        while self._job.save and every_s is not None:
            try:
                await asyncio.wait_for(self._closing.wait(), every_s)
                return
            except TimeoutError:
                pass
            try:
                await self._autosave()
            except SpikestreamError as error:
                log.warning("not saved, tried again in %g s: %s", every_s, error)

    async def save(self) -> None:
        """Save the pipeline, which is still."""
        if self._engine().sound:
            moment = self.moment()
            moment.write(self._job.save, self._job.keep)  # not in a thread: a second signal shall not cut it short
            await self._tell(moment)
        else:
            log.warning("%s: not saved: a stage has failed in the middle of a batch", self._engine().name)

    async def _autosave(self) -> None:
        """Save while it runs: only the copy keeps the pipeline waiting, the disk takes its time afterwards."""
        moments: list[checkpoint.Moment] = []

        def copy() -> None:
            if self._pipeline.now is not None and self._engine().sound and self.ours:
                moments.append(self.moment())

        await self._engine().between(copy)
        for moment in moments:
            await asyncio.to_thread(moment.write, self._job.save, self._job.keep)
            await self._tell(moment)

    async def _tell(self, moment: checkpoint.Moment) -> None:
        """Tell a sensor that waits for it that a moment is on the disk."""
        if self._resumable is not None and SOURCE in moment.marks:
            await self._resumable.saved(moment.marks[SOURCE])

    def moment(self) -> checkpoint.Moment:
        """Return a copy of what the pipeline remembers, with the numbers of what was published by then."""
        marks: dict[str, Any] = {"epoch": self._hub.epoch, "numbers": dict(self._hub.numbers())}
        now = self._pipeline.now
        place = self._resumable.position(now) if self._resumable is not None and now is not None else None
        if place is not None:
            marks[SOURCE] = place
        return checkpoint.moment(self._pipeline, marks)
