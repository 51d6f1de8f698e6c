"""Events as others take them: faery and event_stream by UDP, dv-processing by TCP, all of them the real ones."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
from broken import broken
from hubtools import serving
from live_cases import SIZE, free_port, python, reached, rows, stream_of, taking
from running import run

from spikestream import checks
from spikestream.batch import EVENT, Events, Spikes
from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base import open_output
from spikestream.outputs.dv import CLIENTS, Dv
from spikestream.outputs.udp import Udp
from spikestream.sensors.dv import Dv as DvSensor
from spikestream.sensors.udp import Udp as UdpSensor

TOPIC = "main.filter.events"
FAERY = """
import json, sys
from faery import udp_decoder
stream = iter(udp_decoder.Decoder((320, 240), ("127.0.0.1", int(sys.argv[1])), format=sys.argv[2]))
first = True
print("there")
count = 0
while count < int(sys.argv[3]):
    events = next(stream)
    count += len(events)
    print(json.dumps([[int(e[n]) for n in ("t", "x", "y", "on")] for e in events]))
"""
EVENT_STREAM = """
import json, sys
import event_stream
decoder, count = event_stream.UdpDecoder(int(sys.argv[1])), 0
print("there")
while count < int(sys.argv[3]):
    events = next(decoder)
    count += len(events)
    print(json.dumps([[int(e[n]) for n in ("t", "x", "y", "on")] for e in events]))
"""
READER = """
import json, sys, time
import dv_processing as dv
reader = dv.io.NetworkReader("127.0.0.1", int(sys.argv[1]))
print(json.dumps([list(reader.getEventResolution()), reader.getCameraName()]))
count = 0
while count < int(sys.argv[2]) and reader.isRunning():
    store = reader.getNextEventBatch()
    if store is None or store.isEmpty():
        time.sleep(0.001)
        continue
    count += store.size()
    print(json.dumps([[e.timestamp(), e.x(), e.y(), int(e.polarity())] for e in store]))
"""


def batches_of(events, length=10_000):
    """Return the events in batches of ``length`` µs."""
    first = int(events["t"][0]) // length
    edges = np.searchsorted(events["t"], range((first + 1) * length, int(events["t"][-1]) + length, length))
    parts = np.split(events, edges)
    return [Events((first + n) * length, (first + n + 1) * length, part, SIZE) for n, part in enumerate(parts)]


async def publish(hub, events, pause_s=0.002):
    for batch in batches_of(events):
        hub.publish(TOPIC, batch)
        await asyncio.sleep(pause_s)


def told(process, count) -> list:
    """Return the first so many events that a program prints."""
    found = []
    while len(found) < count:
        line = process.stdout.readline()
        assert line, f"it has ended after {len(found)} events"
        found += json.loads(line)
    return found


def bound(port) -> bool:
    """Return whether somebody listens to datagrams at a port."""
    with open("/proc/net/udp") as table:
        return any(line.split()[1].endswith(f":{port:04X}") for line in table.readlines()[1:])


def closes(hub) -> None:
    assert list(hub.ledger().problems()) == []


@pytest.mark.parametrize(
    ("layout", "program", "theirs"),
    [
        ("faery", FAERY, "t64_x16_y16_on8"),
        ("faery32", FAERY, "t32_x16_y15_on1"),
        ("es", EVENT_STREAM, ""),
    ],
)
def test_other_peoples_programs_receive_what_is_sent(layout, program, theirs):
    events = stream_of(6_000)
    port = free_port(socket.SOCK_DGRAM)

    async def work(process):
        assert process.stdout.readline() == "there\n"
        collecting = asyncio.ensure_future(asyncio.to_thread(told, process, len(events)))
        await reached(lambda: bound(port))
        async with serving(Udp(f"127.0.0.1:{port}?layout={layout}")) as hub:
            await publish(hub, events)
            found = await collecting
            closes(hub)
            (delivery,) = hub.outputs[0].deliveries()
            return found, delivery.flows[TOPIC]

    with python(program, port, theirs, len(events)) as process:
        found, flow = run(work(process))
    expected = events.copy()
    if layout == "es":  # event_stream has y as it is stored, from the bottom
        expected["y"] = SIZE[1] - 1 - expected["y"]
    assert found == [[t, x, y, int(p)] for t, x, y, p in expected.tolist()]
    assert (flow.sent.rows, flow.dropped.rows) == (6_000, 0)


@pytest.mark.parametrize("layout", ["faery", "faery32", "spif", "spif&stamps=yes", "es"])
def test_our_own_sensor_receives_what_is_sent(layout):
    events = stream_of(6_000)

    async def work():
        sensor = UdpSensor("127.0.0.1:0", layout=layout.partition("&")[0], size="320x240", slack_us=1_000_000)
        async with (
            taking(sensor) as batches,
            serving(Udp(f"{sensor.url.removeprefix('udp://')}?layout={layout}")) as hub,
        ):
            await publish(hub, events)
            await reached(lambda: len(rows(batches)) == 6_000)
        return rows(batches)

    came = run(work())
    assert came[["x", "y", "p"]].tolist() == events[["x", "y", "p"]].tolist()
    if layout != "spif":
        assert came["t"].tolist() == events["t"].tolist()


def test_spif_is_sent_words_as_aestream_expects_them():
    async def work():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            async with serving(Udp(f"127.0.0.1:{receiver.getsockname()[1]}?layout=spif")) as hub:
                data = np.array([(1_000, 5, 7, True), (1_001, 300, 200, False)], EVENT)
                hub.publish(TOPIC, Events(0, 2_000, data, SIZE))
                return receiver.recv(1_000)

    assert run(work()) == struct.pack("<II", 0x8000_0000 | 5 << 16 | 1 << 15 | 7, 0x8000_0000 | 300 << 16 | 200)


def test_dv_processing_receives_what_is_published_and_so_does_our_sensor():
    events = stream_of(6_000, first=1_700_000_000_000_000)

    async def work():
        async with serving(Dv("127.0.0.1:0")) as hub:
            output = hub.outputs[0]
            hub.publish(TOPIC, Events(0, 1_000, events[:0], SIZE))  # it tells the size
            port = output.url.rpartition(":")[2]
            with python(READER, port, len(events)) as process:
                head = json.loads(await asyncio.to_thread(process.stdout.readline))
                sensor = await asyncio.to_thread(DvSensor, f"127.0.0.1:{port}", slack_us=1_000_000)
                collecting = asyncio.ensure_future(asyncio.to_thread(told, process, len(events)))
                async with taking(sensor) as batches:
                    await reached(lambda: output.subscribers == 2)
                    await publish(hub, events)
                    theirs = await collecting
                    await reached(lambda: len(rows(batches)) >= 5_900)
                closes(hub)
        return head, theirs, rows(batches)

    head, theirs, ours = run(work())
    assert head == [[320, 240], "spikestream"]
    assert theirs == [[t, x, y, int(p)] for t, x, y, p in events.tolist()]
    assert ours.tolist() == events[: len(ours)].tolist()


def test_who_connects_before_the_size_is_known_waits_for_it():
    async def work():
        async with serving(Dv("127.0.0.1:0")) as hub:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(hub.outputs[0].url.rpartition(":")[2]))
            await reached(lambda: hub.outputs[0].subscribers == 1)
            hub.publish(TOPIC, batches_of(stream_of(50))[0])
            assert (await reader.readexactly(12))[8:] == b"IOHE"
            writer.close()
            await reached(lambda: hub.outputs[0].subscribers == 0)
            closes(hub)

    run(work())


@contextmanager
def stalled(port):
    """Connect, and read nothing."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        one.connect(("127.0.0.1", port))
        yield one


def test_a_client_that_reads_nothing_loses_the_oldest_and_slows_nobody():
    events = stream_of(500_000, step_us=4)

    async def work():
        async with serving(Dv("127.0.0.1:0?queue_bytes=300000")) as hub:
            output = hub.outputs[0]
            hub.publish(TOPIC, Events(0, 1_000, events[:0], SIZE))
            port = int(output.url.rpartition(":")[2])
            with stalled(port):
                sensor = await asyncio.to_thread(DvSensor, f"127.0.0.1:{port}", slack_us=1_000_000)
                async with taking(sensor) as batches:
                    await reached(lambda: output.subscribers == 2)
                    await publish(hub, events)
                    await reached(lambda: len(rows(batches)) >= 499_000)
                closes(hub)
                lost = [delivery.flows[TOPIC].dropped.rows for delivery in output.deliveries()]
                await reached(lambda: output.subscribers == 1)
            await reached(lambda: output.subscribers == 0)
            closes(hub)
        return lost, rows(batches)

    lost, ours = run(work())
    assert max(lost) > 50_000
    assert ours.tolist() == events[: len(ours)].tolist()


def test_no_more_clients_are_served_than_stated_and_what_they_say_is_not_heard():
    async def work():
        async with serving(Dv("127.0.0.1:0")) as hub:
            output = hub.outputs[0]
            port = int(output.url.rpartition(":")[2])
            open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS + 3)]
            await reached(lambda: output.subscribers == CLIENTS)
            open_ones[0][1].write(b"GET / HTTP/1.1\r\n\r\n" * 1_000)
            for reader, _ in open_ones[CLIENTS:]:
                assert await reader.read(1) == b""
            hub.publish(TOPIC, batches_of(stream_of(50))[0])
            assert len(await open_ones[0][0].readexactly(12)) == 12
            for _, writer in open_ones:
                writer.close()

    run(work())


@pytest.mark.parametrize("make", [Dv, Udp])
def test_what_does_not_fit_is_dropped_and_counted(make, caplog):
    early = stream_of(10)
    early["t"] -= 2_000_000

    async def work():
        async with serving(make("127.0.0.1:0" if make is Dv else "127.0.0.1:9")) as hub:
            output = hub.outputs[0]
            if make is Dv:
                hub.publish(TOPIC, Events(0, 1_000, early[:0], SIZE))
                await asyncio.open_connection("127.0.0.1", int(output.url.rpartition(":")[2]))
                await reached(lambda: output.subscribers == 1)
            hub.publish(TOPIC, Events(-2_000_000, 0, early, SIZE))
            hub.publish("main.address.spikes", Spikes(0, 1, np.array([0]), np.array([0], np.int32)))
            closes(hub)
            (delivery,) = output.deliveries()
            return delivery.flows

    flows = run(work())
    assert list(flows) == [TOPIC]
    assert flows[TOPIC].dropped.rows == 10
    assert "events are dropped" in caplog.text


def test_one_line_of_dv_has_one_size_and_an_account_that_does_not_grow():
    async def work():
        async with serving(Dv("127.0.0.1:0")) as hub:
            output = hub.outputs[0]
            reader, writer = await asyncio.open_connection("127.0.0.1", int(output.url.rpartition(":")[2]))
            await reached(lambda: output.subscribers == 1)
            hub.publish(TOPIC, Events(0, 1_000, stream_of(1), SIZE))
            hub.publish(TOPIC, Events(1_000, 2_000, stream_of(7), (64, 64)))
            tracemalloc.start()
            for n in range(2, 4_000):
                hub.publish(TOPIC, Events(n * 1_000, n * 1_000 + 1_000, stream_of(1)[: n % 2], SIZE))
                if n == 2_000:
                    before = tracemalloc.get_traced_memory()[0]
                if n % 100 == 0:
                    await reader.read(1 << 20)
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            (delivery,) = output.deliveries()
            writer.close()
            await reached(lambda: output.subscribers == 0)
            closes(hub)
        return delivery.flows[TOPIC], grown

    flow, grown = run(work())
    assert flow.dropped.rows == 7
    assert grown < 200_000


@pytest.mark.parametrize("url", ["dv://127.0.0.1:0", "udp://127.0.0.1:9", "udp://127.0.0.1:9?layout=es"])
def test_they_keep_the_laws_of_an_output(url):
    assert broken(checks.output(lambda: open_output(url))) == set()


@pytest.mark.parametrize(
    "url",
    [
        "dv://0.0.0.0:0",
        "dv://127.0.0.1",
        "dv://127.0.0.1:0?open=maybe",
        "dv://127.0.0.1:0?topics=a..b",
        "dv://127.0.0.1:0?queue_bytes=-1",
        "dv://127.0.0.1:0?colour=red",
        "udp://127.0.0.1",
        "udp://127.0.0.1:9?layout=dvs",
        "udp://127.0.0.1:9?stamps=perhaps",
        "udp://127.0.0.1:9?topics=",
    ],
)
def test_odd_options_are_a_config_error(url):
    with pytest.raises(ConfigError):
        open_output(url)


def test_a_listener_of_dv_is_open_to_others_only_where_that_is_said():
    async def work():
        async with serving(Dv("0.0.0.0:0?open=yes")) as hub:
            return hub.outputs[0].url

    assert run(work()).startswith("dv://0.0.0.0:")


@pytest.mark.parametrize("output", [lambda: Udp("no.such.host.invalid:9"), lambda: Dv("192.0.2.1:0?open=yes")])
def test_a_place_that_cannot_be_had_is_a_client_error(output):
    async def work():
        async with serving(output()):
            pass

    with pytest.raises(ClientError):
        run(work())
