"""Pace wraps the sensor: the same batches, handed out as stream time would bring them, faster or slower by a factor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from spikestream.batch import Batch
from spikestream.errors import ConfigError
from spikestream.sensors.base import Sensor

GAP_S = 1.0
"""No gap is waited for longer than this, however long it was."""


class Pace:
    """Hand out each batch of ``sensor`` when its stop is due, ``speed`` times as fast as stream time.

    ``speed`` is a factor above 0, or None or "max" for no waiting at all. The schedule is absolute, from the first
    batch on, so that lateness does not add up; a gap moves it. ``clock`` returns seconds and ``sleep`` waits for some.
    """

    def __init__(
        self,
        sensor: Sensor,
        speed: float | str | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.sensor = sensor
        self.speed = _factor(speed)
        self._clock = clock
        self._sleep = sleep
        self.sent = 0
        self.held = 0  # rows of the batch that waits for its time
        self._paused_s = 0.0

    @property
    def size(self) -> tuple[int, int] | None:
        """Return the sensor's size in pixels."""
        return self.sensor.size

    @property
    def live(self) -> bool:
        """Return whether the sensor is live."""
        return self.sensor.live

    def paused(self, seconds: float) -> None:
        """Move the schedule: so long nobody took anything."""
        self._paused_s += seconds

    async def batches(self, start: int = 0) -> AsyncIterator[Batch]:
        """Yield the sensor's batches from ``start`` µs on, each when it is due."""
        if self.speed is None:
            async for batch in self.sensor.batches(start):
                self.sent += len(batch)
                yield batch
            return
        scale = 1e-6 / self.speed
        begun, origin, now = 0.0, None, 0
        async for batch in self.sensor.batches(start):
            if origin is None:
                begun, origin, now = self._clock(), batch.start, batch.start
            begun += self._paused_s - max(0.0, (batch.start - now) * scale - GAP_S)
            self._paused_s = 0.0
            delay = begun + (batch.stop - origin) * scale - self._clock()
            if delay > 0:
                self.held = len(batch)
                await self._sleep(delay)
                self.held = 0
            now = batch.stop
            self.sent += len(batch)
            yield batch


def _factor(speed: float | str | None) -> float | None:
    if speed is None or speed == "max":
        return None
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise ConfigError(f"'{speed}' is not a speed", key="speed", value=speed, allowed="max, or a factor above 0")
    return factor
