"""Each law of a sensor bites: a lawful one, broken in one place, breaks just the laws it should."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from broken import broken

from spikestream import checks
from spikestream.batch import EVENT, Events, Spikes, no_spikes


class Ticker:
    """A lawful sensor without an end: one event a millisecond, in batches of 2 ms."""

    live = False

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = (4, 4)
        self.axons = 4
        self.sent = 0

    def make(self, start: int, stop: int) -> Any:
        times = range(-(-start // 1_000), -(-stop // 1_000))
        return Events(start, stop, np.array([(k * 1_000, k % 4, 1, k % 2) for k in times], EVENT), self.size)

    async def batches(self, start: int = 0) -> Any:
        while True:
            batch = self.make(start, start + 2_000)
            self.sent += len(batch)
            yield batch
            start += 2_000
            await asyncio.sleep(0)


class Undeclared(Ticker):
    live = None  # type: ignore[assignment]


class EventAtStop(Ticker):
    def make(self, start: int, stop: int) -> Any:
        late = np.array([(stop, 0, 0, 0)], EVENT)
        return Events(start, stop, late, self.size)


class Unsorted(Ticker):
    def make(self, start: int, stop: int) -> Any:
        return replace(super().make(start, stop), data=np.array([(start + 1, 0, 0, 0), (start, 0, 0, 0)], EVENT))


class NumpyInterval(Ticker):
    def make(self, start: int, stop: int) -> Any:
        return replace(super().make(start, stop), stop=np.int64(stop))


class NoBatch(Ticker):
    def make(self, start: int, stop: int) -> Any:
        return (start, stop)


class TwoKinds(Ticker):
    def make(self, start: int, stop: int) -> Any:
        return no_spikes(start, stop) if start % 4_000 else super().make(start, stop)


class Overlapping(Ticker):
    async def batches(self, start: int = 0) -> Any:
        async for batch in super().batches(start):
            yield replace(batch, start=batch.start - (batch.start > start))


class Standing(Ticker):
    async def batches(self, start: int = 0) -> Any:
        async for batch in super().batches(start):
            yield batch
            yield replace(batch, start=batch.stop, data=batch.data[:0])


class Reusing(Ticker):
    scratch = np.zeros(2, EVENT)

    def make(self, start: int, stop: int) -> Any:
        batch = super().make(start, stop)
        self.scratch[: len(batch)] = batch.data
        return replace(batch, data=self.scratch[: len(batch)])


class NoSize(Ticker):
    def __init__(self) -> None:
        super().__init__()
        self.size = None


class TooFar(Ticker):
    def __init__(self) -> None:
        super().__init__()
        self.size = (3, 4)


class TooFarAnAxon(Ticker):
    def make(self, start: int, stop: int) -> Any:
        t = super().make(start, stop).data["t"].copy()
        return Spikes(start, stop, t, np.full(len(t), 4, np.int32))


class NoAxons(TooFarAnAxon):
    axons = property(lambda self: None, lambda self, value: None)  # type: ignore[assignment]


class Miscounting(Ticker):
    def make(self, start: int, stop: int) -> Any:
        self.sent += 1
        return super().make(start, stop)


class Whimsical(Ticker):
    whim = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.x = next(self.whim) % 4

    def make(self, start: int, stop: int) -> Any:
        batch = super().make(start, stop)
        batch.data["x"] = self.x
        return batch


class FromTheStart(Ticker):
    async def batches(self, start: int = 0) -> Any:
        async for batch in super().batches():
            yield batch


class Elsewhere(Ticker):
    async def batches(self, start: int = 0) -> Any:
        first = start
        async for batch in super().batches(start):
            if first:
                batch.data["y"] = 2
            yield batch


class Ending(Ticker):
    async def batches(self, start: int = 0) -> Any:
        if start:
            return
        async for batch in super().batches(start):
            yield batch


class Crashing(Ticker):
    def make(self, start: int, stop: int) -> Any:
        if start > 20_000:
            raise KeyError(start)
        return super().make(start, stop)


SENSOR_LAWS = {name for name, _ in checks.sensor(Ticker)}
SENSORS = [
    (Undeclared, {"declared"}),
    (EventAtStop, {"well formed", "restartable"}),
    (Unsorted, {"well formed", "restartable"}),
    (NumpyInterval, {"well formed"}),
    (NoBatch, SENSOR_LAWS - {"declared", "in place", "counted"}),
    (TwoKinds, {"well formed", "restartable"}),
    (Overlapping, {"contiguous"}),
    (Standing, {"time advances"}),
    (Reusing, {"given away"}),
    (NoSize, {"in place"}),
    (TooFar, {"in place"}),
    (TooFarAnAxon, {"in place"}),
    (NoAxons, {"in place"}),
    (Miscounting, {"counted"}),
    (Whimsical, {"repeatable", "restartable"}),
    (FromTheStart, {"restartable"}),
    (Elsewhere, {"restartable"}),
    (Ending, {"restartable"}),
    (Crashing, SENSOR_LAWS),
]


def test_a_lawful_sensor_passes():
    assert broken(checks.sensor(Ticker)) == set()
    assert len(SENSOR_LAWS) == len(list(checks.sensor(Ticker)))


@pytest.mark.parametrize(("make", "laws"), SENSORS)
def test_laws_of_sensors_bite(make: Callable[[], Any], laws: set[str]):
    assert broken(checks.sensor(make)) == laws


def test_every_law_of_sensors_is_shown_to_bite():
    assert set.union(*(laws for make, laws in SENSORS if make not in (NoBatch, Crashing))) == SENSOR_LAWS
