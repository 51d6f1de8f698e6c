"""Another spikestream as a sensor: the same batches, exactly, whatever becomes of the line and of the other end."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
from broken import broken
from cli import LOOKS, command
from hubtools import LOCAL, TOPIC, events, serving
from inprocess import called
from live_cases import free_port, gaps, python, reached, rows, taking
from running import run

import spikestream as ss
from spikestream import checks
from spikestream.batch import Events, Spikes
from spikestream.errors import ClientError, ConfigError, DeviceError
from spikestream.outputs.tcp import Tcp as Output
from spikestream.sensors.base import open_sensor
from spikestream.sensors.wire import Tcp

PUBLISHER = """
import asyncio, secrets, sys
sys.path.insert(0, sys.argv[1])
from hubtools import TOPIC, events
from spikestream.outputs.tcp import Tcp
from spikestream.service.hub import Hub
async def main():
    hub, start = Hub([Tcp(f"127.0.0.1:{sys.argv[2]}")], epoch=secrets.token_hex(8)), 0
    await hub.start()
    print("there", flush=True)
    while True:
        hub.publish(TOPIC, events(start))
        start += 1_000
        await asyncio.sleep(0.002)
asyncio.run(main())
"""


@contextmanager
def publishing(port):
    """Run a publisher of a batch of 1,000 µs and as many events every 2 ms, from 0 on."""
    with python(PUBLISHER, __file__.rpartition("/")[0], port) as process:
        assert process.stdout.readline() == "there\n"
        yield process


@contextmanager
def replaying(folder):
    """Yield the URL at which the looks are published, all of them, once somebody has subscribed."""
    (folder / "all.toml").write_text("filter = []\n[network]\nneurons = 5\n")
    options = [
        "--config",
        folder / "all.toml",
        "--speed",
        "max",
        "--publish",
        "tcp://127.0.0.1:0",
        "--wait-subscribers",
        "1",
    ]
    run_it = command("replay", LOOKS, *options)
    with subprocess.Popen(run_it, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = next(line for line in process.stderr if "tcp://" in line)
            yield next(word for word in line.split() if word.startswith("tcp://"))
        finally:
            process.kill()


async def to_the_end(sensor):
    return [batch async for batch in sensor.batches()]


def test_what_another_program_replays_comes_batch_by_batch_and_ends_with_it(tmp_path):
    whole = ss.read(LOOKS)
    with replaying(tmp_path) as url:
        batches = run(to_the_end(open_sensor(f"{url}?size=34x34&bye=end")))
    assert rows(batches).tolist() == whole.data.tolist()
    assert (batches[0].start, batches[-1].stop) == (whole.start // 1_000 * 1_000, -(-whole.stop // 1_000) * 1_000)
    assert gaps(batches) == []
    assert {batch.size for batch in batches} == {(34, 34)}


def test_spikes_come_with_their_axons(tmp_path):
    whole = ss.read(LOOKS)
    expected = ss.Address(whole.size)(whole)
    with replaying(tmp_path) as url:
        batches = run(to_the_end(open_sensor(f"{url}?topic=main.address.spikes&axons=2312&bye=end")))
    assert all(isinstance(batch, Spikes) for batch in batches)
    for name in ("t", "axon"):
        assert np.concatenate([getattr(batch, name) for batch in batches]).tolist() == getattr(expected, name).tolist()


def test_a_publisher_that_is_killed_is_looked_for_and_its_new_time_comes_after_a_gap():
    port = free_port()
    sensor = Tcp(f"127.0.0.1:{port}", size="128x128", reconnect_s="30")

    async def work(process):
        async with taking(sensor) as batches:
            await reached(lambda: len(batches) > 30)
            process.kill()
            process.wait()
            before = len(batches)
            with publishing(port):  # it begins at 0 again, as another run of it would
                await reached(lambda: len(batches) > before + 30)
        return batches

    with publishing(port) as process:
        batches = run(work(process))
    (gap,) = gaps(batches)
    assert gap[1] - gap[0] < 1_000_000
    assert len(rows(batches)) == 1_000 * len(batches)
    assert sensor.stats()["repeated"] == 0


def test_it_goes_on_where_it_was_when_only_the_line_breaks():
    async def work():
        async with serving(Output(LOCAL)) as hub:
            sensor = Tcp(hub.outputs[0].url.removeprefix("tcp://"), size="128x128")
            async with taking(sensor) as batches:
                await reached(lambda: hub.outputs[0].subscribers == 1)
                for n in range(60):
                    hub.publish(TOPIC, events(n * 1_000))
                    if n in (20, 40):
                        await reached(lambda: len(batches) > 3)
                        for connection in list(hub.outputs[0]._connections):
                            connection.abort()
                await reached(lambda: len(batches) == 60)
            return sensor, batches

    sensor, batches = run(work())
    assert gaps(batches) == []
    assert rows(batches)["t"].tolist() == list(range(60_000))
    assert sensor.stats()["missing"] == 0


def test_what_the_publisher_had_to_drop_is_a_gap():
    async def work():
        async with serving(Output(LOCAL, queue_bytes=100_000)) as hub:
            sensor = Tcp(hub.outputs[0].url.removeprefix("tcp://"), size="128x128")
            async with taking(sensor) as batches:
                await reached(lambda: hub.outputs[0].subscribers == 1)
                for n in range(3_000):  # more than kernel and queue hold, in one turn of the loop
                    hub.publish(TOPIC, events(n * 1_000))
                await reached(lambda: batches and batches[-1].stop == 3_000_000)
            return sensor, batches

    sensor, batches = run(work())
    lost = sensor.stats()["missing"]
    assert lost > 0
    assert lost + len(batches) == 3_000
    assert sum(b - a for a, b in gaps(batches)) == 1_000 * lost
    assert sensor.intake() == ("publisher to sensor", 1_000 * len(batches), {"repeated": 0}, {"out of place": 0}, 0)


async def ended(**options):
    """Return the batches of a sensor whose publisher says goodbye after the first one."""
    async with serving(Output(LOCAL)) as hub:

        async def publish():
            await reached(lambda: hub.outputs[0].subscribers == 1)
            hub.publish(TOPIC, events(0))
            await hub.aclose()

        publishing = asyncio.ensure_future(publish())
        batches = await to_the_end(Tcp(hub.outputs[0].url.removeprefix("tcp://"), size="128x128", **options))
        await publishing
        return batches


def test_a_goodbye_is_for_the_daemons_policy_unless_it_is_the_end():
    with pytest.raises(DeviceError, match="goodbye"):
        run(ended(reconnect_s="0"))
    assert len(run(ended(bye="end"))) == 1


def test_events_of_another_size_are_none_of_ours():
    async def work():
        async with serving(Output(LOCAL)) as hub:
            sensor = Tcp(hub.outputs[0].url.removeprefix("tcp://"), size="128x128")
            async with taking(sensor) as batches:
                await reached(lambda: hub.outputs[0].subscribers == 1)
                hub.publish(TOPIC, Events(0, 1_000, events(0).data, (64, 64)))
                hub.publish(TOPIC, events(1_000))
                await reached(lambda: len(batches) == 1)
            return sensor.stats()

    assert run(work())["foreign"] == 1


def test_the_laws_are_kept():
    with publishing(port := free_port()):
        assert broken(checks.sensor(lambda: Tcp(f"127.0.0.1:{port}", size="128x128"), batches=10)) == set()


def test_who_asks_for_the_size_is_no_subscriber_and_loses_nothing(tmp_path):
    """The publisher waits for one subscriber, and sends all it has at once: nobody else may be taken for that one."""
    out = tmp_path / "got.aedat4"
    with replaying(tmp_path) as url:
        with ss.Client(url, ()) as client:
            sensor = open_sensor(f"{url}?bye=end")
            assert sensor.size == (34, 34)
            assert {one["topics"] for one in client.status()["subscribers"]} == {0}
            assert client.status()["pipelines"]["main"]["events_in"] == 0
        called("record", "--strict", f"{url}?bye=end", out)
    assert ss.read(out).data.tolist() == ss.read(LOOKS).data.tolist()


def test_a_size_is_told_only_of_what_is_published(tmp_path):
    with replaying(tmp_path) as url:
        for topic in ("other.filter.events", "main.sensor.events", "main.events"):
            with pytest.raises(ClientError, match=f"does not say what size {topic} has"):
                open_sensor(f"{url}?topic={topic}")


def test_a_publisher_that_nothing_can_be_asked_of_tells_no_size():
    with publishing(port := free_port()), pytest.raises(ClientError, match="size=640x480"):
        Tcp(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    "uri",
    [
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:1?topic=main.>",
        "tcp://127.0.0.1:1?topic=main.readout.decisions",
        "tcp://127.0.0.1:1?topic=main.address.spikes",
        "tcp://127.0.0.1:1?size=4",
        "unix:///nowhere?size=4x4&reconnect_s=-1",
        "ws://127.0.0.1:1?size=4x4&bye=never",
    ],
)
def test_odd_options_are_a_config_error(uri):
    with pytest.raises(ConfigError):
        open_sensor(uri)


def test_nobody_there_is_a_client_error():
    with pytest.raises(ClientError, match="nobody answers"):
        Tcp(f"127.0.0.1:{free_port()}")
