"""Pace: stream time on a clock that only the test moves."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from plainformat import at, collect, joined, plain, save, spans

from spikestream.batch import Events
from spikestream.errors import ConfigError
from spikestream.sensors.pace import GAP_S, Pace
from spikestream.sensors.recording import Recording

__all__ = ["plain"]


class Clock:
    """A clock that only sleeping moves, but for what each batch is said to cost."""

    def __init__(self, late: float = 0.0, drift: float = 0.0):
        self.now, self.late, self.drift = 1000.0, late, drift
        self.sleeps = []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds + self.drift


class Given:
    live, size, sent = True, (3, 4), 42

    def __init__(self, *spans):
        self.given = [Events(start, stop, at([start]), (3, 4)) for start, stop in spans]

    async def batches(self, start=0):
        for batch in self.given:
            if batch.start >= start:
                yield batch


def paced(sensor, speed, clock, cost=0.0, start=0):
    """Return what came out and when, each batch taking its listener `cost` seconds."""
    times = []

    async def run():
        got = []
        async for batch in Pace(sensor, speed, clock=clock, sleep=clock.sleep).batches(start):
            times.append(round(clock.now - 1000.0, 9))
            clock.now += cost
            got.append(batch)
        return got

    return asyncio.run(run()), times


EPOCH = 1_589_163_147_368_868


def test_a_batch_is_due_at_its_stop():
    sensor = Given(*((EPOCH + n * 10_000, EPOCH + n * 10_000 + 10_000) for n in range(5)))
    assert paced(sensor, 1, Clock())[1] == [0.01, 0.02, 0.03, 0.04, 0.05]
    assert paced(sensor, "2", Clock())[1] == [0.005, 0.01, 0.015, 0.02, 0.025]
    assert paced(sensor, 0.5, Clock())[1] == [0.02, 0.04, 0.06, 0.08, 0.1]
    assert paced(sensor, 1, Clock(), start=EPOCH + 20_000)[1] == [0.01, 0.02, 0.03]


def test_lateness_does_not_add_up():
    spans = [(n * 10_000, n * 10_000 + 10_000) for n in range(1000)]
    clock = Clock(drift=0.003)  # every sleep oversleeps
    assert paced(Given(*spans), 1, clock)[1][-1] == pytest.approx(10.003)
    assert paced(Given(*spans), 1, Clock(), cost=0.009)[1][-1] == pytest.approx(10.0)
    slow = Clock()
    assert paced(Given(*spans), 1, slow, cost=0.02)[1][-1] == pytest.approx(0.01 + 999 * 0.02)
    assert len(slow.sleeps) == 1


def test_a_gap_moves_the_schedule_instead_of_being_slept_through():
    hour = 3_600_000_000
    spans = [(0, 10_000), (500_000, 510_000), (hour, hour + 10_000), (hour + 10_000, hour + 20_000)]
    assert paced(Given(*spans), 1, Clock())[1] == [0.01, 0.51, 0.51 + GAP_S + 0.01, 0.51 + GAP_S + 0.02]
    ten = paced(Given(*spans), 10, Clock())[1]
    assert ten == pytest.approx([0.001, 0.051, 0.051 + GAP_S + 0.001, 0.051 + GAP_S + 0.002])


@pytest.mark.parametrize("speed", [None, "max"])
def test_as_fast_as_possible_never_sleeps(speed):
    clock = Clock()
    spans = [(0, 10_000), (10**12, 10**12 + 10)]
    assert paced(Given(*spans), speed, clock)[1] == [0, 0]
    assert clock.sleeps == []


def test_pace_changes_no_batch_and_lets_the_sensor_through(plain, tmp_path):
    path = str(save(tmp_path / "a.plain", at(range(0, 100_000, 3))))
    pace = Pace(Given((0, 1), (1, 2)), "max")
    assert (pace.live, pace.size, pace.sent) == (True, (3, 4), 0)
    assert len(collect(pace, limit=1)) == 1
    assert pace.sent == 1  # its own count of what it handed out, not the sensor's
    direct = collect(Recording(path))
    for speed in (0.5, 3, 1000, "max"):
        got, _ = paced(Recording(path), speed, Clock())
        assert spans(got) == spans(direct)
        assert np.array_equal(joined(got), joined(direct))


@pytest.mark.parametrize("speed", [0, -1, "fast", float("nan"), float("inf"), ""])
def test_a_speed_is_a_factor_above_zero(speed):
    with pytest.raises(ConfigError, match="is not a speed"):
        Pace(Given(), speed)
