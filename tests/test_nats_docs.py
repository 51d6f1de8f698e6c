"""The two hosts of docs/scale.md: their configurations and the reader run as they stand there."""

from __future__ import annotations

import asyncio
import re

from cli import ROOT
from daemon_cases import recording
from hubtools import run
from nats_cases import serving

from spikestream import checkpoint
from spikestream.config import read_pipelines
from spikestream.service.daemon import Daemon
from spikestream.service.defaults import base_of
from spikestream.service.job import daemon_job

PAGE = (ROOT / "docs" / "scale.md").read_text()


def configs(tmp_path, number, **changed):
    """Return the configurations of a block of the page, with some words of it changed."""
    text = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[number]
    for old, new in changed.items():
        text = text.replace(old, new)
    path = tmp_path / f"{number}.toml"
    path.write_text(text)
    return read_pipelines(str(path), (), base_of)


def test_the_page_runs(tmp_path):
    (reader,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(compile(reader, "scale.md", "exec"), names)

    async def work(place):
        told = []

        async def listen():
            async for topic, decision in names["decisions"](place):
                told.append((topic, decision["stop"]))

        listening = asyncio.create_task(listen())
        here = {"10.0.0.1:4222": place, "/srv/spikestream": str(tmp_path), "lobby.aedat4": str(recording(tmp_path))}
        sensor = Daemon({name: daemon_job(one) for name, one in configs(tmp_path, 0, **here).items()})
        await sensor.run()
        worker = Daemon({name: daemon_job(one) for name, one in configs(tmp_path, 1, **here).items()})
        running = asyncio.create_task(worker.run())
        while len(told) < 1:
            await asyncio.sleep(0.01)
        worker.stop()
        await running
        listening.cancel()
        return told, worker.problems() + sensor.problems()

    with serving(tmp_path) as server:
        told, problems = run(work(server.place))
    assert told == [("lobby.readout.decisions", 100_000)]
    assert problems == []
    assert checkpoint.marks_of(tmp_path / "lobby.npz")["now"] == 100_000
    assert {"lobby", "yard"} == set(configs(tmp_path, 2))


def test_every_option_is_on_the_page():
    import inspect

    from spikestream.outputs.nats import Nats
    from spikestream.sensors.nats import nats

    options = {*inspect.signature(Nats("host")._set).parameters, *inspect.signature(nats).parameters} - {"location"}
    assert not [name for name in options if f"`{name}`" not in PAGE]
