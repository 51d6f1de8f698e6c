"""A guard around somebody else's sensor: its batches obey the laws, and its errors are ours."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from spikestream.batch import Batch, Events, Sound, Spikes, check
from spikestream.errors import DeviceError, PluginError, SpikestreamError
from spikestream.sensors.base import LONGEST_US, Holding, Sensor

log = logging.getLogger(__name__)


class Guard:
    """Hands on the batches of ``sensor``; ``name`` is what it is called in errors.

    Raises `PluginError` for a batch that breaks a law of `spikestream.batch` or an exception of its own, and
    `DeviceError` where the operating system refused it something; what came before is whole.
    """

    def __init__(self, sensor: Sensor, name: str) -> None:
        self.sensor = sensor
        self.name = name
        self._now: int | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Return the sensor's size in pixels."""
        return self.sensor.size

    @property
    def live(self) -> bool:
        """Return whether the sensor is live."""
        return self.sensor.live

    @property
    def sent(self) -> int:
        """Return how much the sensor says it has handed out."""
        return self.sensor.sent

    async def batches(self, start: int = 0) -> AsyncIterator[Batch]:
        """Yield the sensor's batches from ``start`` µs on."""
        self._now = None
        with self._errors():
            async for batch in self.sensor.batches(start):
                yield self._lawful(batch)

    def rest(self) -> Iterator[Batch]:
        """Yield what the sensor holds, where it does so."""
        if isinstance(self.sensor, Holding):
            with self._errors():
                for batch in self.sensor.rest():
                    yield self._lawful(batch)

    def _lawful(self, batch: Batch) -> Batch:
        if wrong := _unlawful(batch, self._now):
            raise PluginError(f"sensor '{self.name}' breaks a law of batches: {wrong}")
        self._now = batch.stop
        return batch

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Let whatever the sensor raises be one of ours."""
        try:
            yield
        except SpikestreamError:
            raise
        except OSError as error:
            raise DeviceError(f"sensor '{self.name}' failed: {error}") from error
        except Exception as error:
            log.debug("sensor %s", self.name, exc_info=True)
            raise PluginError(f"sensor '{self.name}' failed: {type(error).__name__}: {error}") from error


def _unlawful(batch: object, now: int | None) -> str:
    """Return which law a batch breaks, "" where it breaks none; ``now`` is the last stop."""
    if not isinstance(batch, Events | Spikes | Sound):
        return f"it yielded {type(batch).__name__}, not a batch of events, spikes or sound"
    try:
        check(batch)
    except (SpikestreamError, AttributeError, TypeError, ValueError, IndexError) as error:
        return str(error)
    if now is not None and batch.start < now:
        return f"a batch starts at {batch.start} µs, before {now} µs, where the last one stopped"
    if batch.stop - batch.start > LONGEST_US:
        return f"a batch covers {batch.stop - batch.start:,} µs, more than an hour"
    return ""
