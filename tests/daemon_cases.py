"""Daemons on sensors that tests steer: one that fails as told, and one that gives a batch when it is told to."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import pytest
from small import SIZE, config, noise

from spikestream.files.write import write
from spikestream.service.daemon import Daemon
from spikestream.service.job import Job

STEP = 10_000
SENSORS = """
import asyncio
from small import SIZE, noise

class Flaky:
    '''Gives so many batches, then fails, and so on: as often as told to; then it ends.'''

    size = SIZE

    def __init__(self, location="", good="3", fails="1000000", live="yes"):
        self.good, self.fails, self.live, self.sent = int(good), int(fails), live == "yes", 0
        self.name = location
        opened.append(location)

    async def batches(self, start=0):
        self.start = start
        for at in range(start, start + 10_000 * self.good, 10_000):
            await asyncio.sleep(0)
            batch = noise(at, at + 10_000, seed=len(opened))
            self.sent += len(batch)
            given.append(batch)
            yield batch
        if opened.count(self.name) <= self.fails:
            raise OSError("the cable is out")


class Steps:
    '''Gives a batch when it is told to.'''

    size = SIZE

    def __init__(self, location="", live="yes"):
        self.live, self.sent, self.given = live == "yes", 0, asyncio.Queue()
        steps[location] = self

    async def batches(self, start=0):
        while (batch := await self.given.get()) is not None:
            self.sent += len(batch)
            yield batch

opened, given, steps = [], [], {}
"""
QUICK = {"base_s": 1e-3, "cap_s": 2e-3}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The module of the sensors, installed for as long as the test runs."""
    folder = tmp_path / "plugin"
    meta = folder / "steered-1.0.dist-info"
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: steered\nVersion: 1.0\n")
    points = "flaky = steered_sensors:Flaky\nsteps = steered_sensors:Steps\n"
    (meta / "entry_points.txt").write_text(f"[spikestream.sensors]\n{points}")
    (folder / "steered_sensors.py").write_text(SENSORS)
    monkeypatch.syspath_prepend(folder)
    yield __import__("steered_sensors")
    del sys.modules["steered_sensors"]


def job(name, uri, *, save="", record="", every_s=60.0, **sections):
    """Return what a daemon does with the small pipeline on this sensor."""
    sensor = {"uri": str(uri), "speed": "max", **sections.pop("sensor", {})}
    shared = {"pipeline": name, **sections.pop("publish", {})}
    made = config(sensor=sensor, publish=shared, restart={**QUICK, **sections.pop("restart", {})}, **sections)
    return Job(made, save=save, save_every_s=every_s, record=record, blocking=False)


def recording(tmp_path, name="a", stop=100_000):
    path = tmp_path / f"{name}.aedat4"
    write(path, noise(0, stop, seed=len(name)), size=SIZE)
    return path


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


class Steered:
    """A daemon at work, whose pipelines go on when told to."""

    def __init__(self, daemon, plugin):
        self.daemon, self.plugin = daemon, plugin
        self.now: dict[str, int] = {}

    @property
    def url(self):
        return self.daemon.hub.outputs[0].url

    def lane(self, name="main"):
        return self.daemon.supervisors[name].lane

    def give(self, name="main"):
        """Let the sensor give its next batch."""
        now = self.now.get(name, 0)
        self.plugin.steps[name].given.put_nowait(noise(now, now + STEP, seed=now))
        self.now[name] = now + STEP

    async def step(self, count=1, name="main"):
        for _ in range(count):
            self.give(name)
        await until(lambda: self.lane(name).engine.progress.stop == self.now[name])


@asynccontextmanager
async def steered(plugin, tmp_path, *names, **sections):
    """Yield a daemon of such pipelines, that publishes at a socket; at the end it is stopped."""
    options = {key: sections.pop(key) for key in ("save", "record") if key in sections}
    live = sections.pop("live", "yes")
    sections.setdefault("publish", {}).setdefault("urls", [f"unix://{tmp_path}/s"])
    jobs = {name: job(name, f"steps://{name}?live={live}", **options, **sections) for name in names or ("main",)}
    made = Steered(Daemon(jobs), plugin)
    running = asyncio.create_task(made.daemon.run())
    await made.daemon.started.wait()
    try:
        yield made
    finally:
        made.daemon.stop()
        await running
