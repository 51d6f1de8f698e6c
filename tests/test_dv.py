"""AEDAT 4 by TCP with dv-processing itself at the other end, killed and started again; and what is none of it."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from broken import broken
from live_cases import SIZE, free_port, gaps, of, python, reached, rows, stream_of, taking
from running import run

from spikestream import checks
from spikestream.errors import ConfigError, DeviceError
from spikestream.formats.aedat4.encoder import Encoder
from spikestream.formats.aedat4.header import MAGIC
from spikestream.sensors import dv as module
from spikestream.sensors.base import open_sensor
from spikestream.sensors.dv import Dv

WRITER = """
import sys, time
import dv_processing as dv, numpy as np
events, place = np.load(sys.argv[1]), sys.argv[2]
stream = dv.io.Stream.EventStream(3, "events", "CAM", (320, 240))
writer = dv.io.NetworkWriter(*(("127.0.0.1", int(place)) if place.isdigit() else (dv.Path(place),)), stream)
print("there")
while writer.getClientCount() == 0:
    time.sleep(0.001)
for at in range(0, len(events), 400):
    store = dv.EventStore()
    for t, x, y, p in events[at : at + 400].tolist():
        store.push_back(t, x, y, p)
    writer.writeEvents(store)
    time.sleep(0.01)
sys.stdin.read()
"""


@contextmanager
def sending(events, folder, place):
    """Run dv-processing's writer, which sends to the first who connects, and then waits to be killed."""
    np.save(folder / "events.npy", events)
    with python(WRITER, folder / "events.npy", place) as process:
        assert process.stdout.readline() == "there\n"
        yield process


@contextmanager
def serving(*parts: bytes, close: bool = True, pause_s: float = 0.0):
    """Yield the port of a server that sends these bytes to whoever connects, and pauses before each part."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def send(one):
            with one, suppress(OSError):
                for part in parts:
                    over.wait(pause_s)
                    one.sendall(part)
                if not close:
                    over.wait(30)

        def serve():
            with suppress(OSError):
                while True:
                    one, _ = server.accept()
                    threading.Thread(target=send, args=[one], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        over.set()
        server.shutdown(socket.SHUT_RDWR)


def on_the_line(events, compression="none", size=SIZE) -> bytes:
    encoder = Encoder(size=size, compression=compression)
    return (encoder.feed(events) + encoder.finish()).removeprefix(MAGIC)


async def to_the_end(sensor, batches, look=lambda: None):
    """Take all batches of a sensor, and look at each."""
    async for batch in sensor.batches():
        batches.append(batch)
        look()


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_what_dv_processing_sends_comes_event_by_event(way, tmp_path):
    events = stream_of(8_000, first=1_700_000_000_000_000)
    place = free_port() if way == "tcp" else tmp_path / "socket"
    with sending(events, tmp_path, place):
        sensor = Dv(f"127.0.0.1:{place}" if way == "tcp" else str(place), slack_us=1_000_000)
        assert sensor.size == SIZE
        batches = run(of(sensor, len(events)))
    assert rows(batches).tolist() == events.tolist()
    assert gaps(batches) == []
    assert sensor.intake() == ("decoder to sensor", 8_000, {}, {"outside": 0, "of another time": 0}, 0)


def test_time_goes_on_while_the_other_end_says_nothing(tmp_path):
    events = stream_of(400)

    async def work(sensor):
        async with taking(sensor) as batches:
            await reached(lambda: batches and batches[-1].stop > events["t"][-1] + 300_000)
        return batches

    with sending(events, tmp_path, port := free_port()):
        batches = run(work(Dv(f"127.0.0.1:{port}")))
    assert rows(batches).tolist() == events.tolist()
    assert gaps(batches) == []


def test_one_that_is_killed_is_a_device_that_has_gone_and_can_be_opened_again(tmp_path):
    events = stream_of(100_000)
    port = free_port()

    async def until_it_dies(sensor, process):
        batches = []
        with pytest.raises(DeviceError, match=f"dv://127.0.0.1:{port} has"):
            await to_the_end(sensor, batches, lambda: len(rows(batches)) > 2_000 and process.kill())
        return batches

    for _ in range(2):
        with sending(events, tmp_path, port) as process:
            batches = run(until_it_dies(Dv(f"127.0.0.1:{port}", slack_us=1_000_000), process))
        came = rows(batches)
        assert came.tolist() == events[: len(came)].tolist()
    with pytest.raises(DeviceError, match="NetworkWriter"):
        Dv(f"127.0.0.1:{port}")


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_it_is_read_however_it_is_cut_and_packed(compression):
    events = stream_of(500)
    line = on_the_line(events, compression)
    with serving(*(line[at : at + 97] for at in range(0, len(line), 97)), close=False) as port:
        assert rows(run(of(Dv(f"127.0.0.1:{port}"), 500))).tolist() == events.tolist()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([b""], "has ended before"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "impossible size"),
        ([struct.pack("<I", 0xFFFFFFF0) + b"IOHE"], "impossible size"),
        ([struct.pack("<I", 60) + bytes(60)], "of another kind"),
        ([on_the_line(stream_of(5))[:300]], "has ended before"),
    ],
)
def test_who_sends_something_else_is_told_apart_at_once(parts, said):
    with serving(*parts) as port, pytest.raises(DeviceError, match=said):
        Dv(f"127.0.0.1:{port}")


@pytest.mark.parametrize("parts", [[], [on_the_line(stream_of(5))[:100]]])
def test_who_says_nothing_or_not_enough_is_not_waited_for_longer_than_stated(parts, monkeypatch):
    monkeypatch.setattr("spikestream.sensors.base.inflow.LOOK_S", 0.2)
    with serving(*parts, close=False) as port, pytest.raises(DeviceError, match=r"has not said within 0\.2 s"):
        Dv(f"127.0.0.1:{port}")


def test_who_sends_a_byte_now_and_then_is_not_waited_for_any_longer(monkeypatch):
    monkeypatch.setattr("spikestream.sensors.base.inflow.LOOK_S", 0.3)
    line = on_the_line(stream_of(5))
    slow = (line[at : at + 40] for at in range(0, len(line), 40))
    with serving(*slow, pause_s=0.1) as port, pytest.raises(DeviceError, match="has not said within"):
        Dv(f"127.0.0.1:{port}")


def test_a_packet_that_lies_ends_it_after_all_that_came_before():
    events = stream_of(40_000)
    batches = []

    async def work(sensor):
        with pytest.raises(DeviceError, match="impossible size"):
            await to_the_end(sensor, batches)

    with serving(on_the_line(events), struct.pack("<ii", 0, 0x7FFFFFFF), close=False) as port:
        run(work(Dv(f"127.0.0.1:{port}")))
    assert rows(batches).tolist() == events.tolist()


def test_whatever_is_on_the_line_it_is_events_or_one_of_our_errors():
    events = stream_of(60)
    rng = random.Random(4)
    good = on_the_line(events)

    async def work(port):
        try:
            sensor = await asyncio.to_thread(Dv, f"127.0.0.1:{port}")
            async for _ in sensor.batches():
                pass
        except (DeviceError, ConfigError):
            return True
        return False

    for _ in range(40):
        line = bytearray(good)
        for _ in range(rng.randrange(1, 5)):
            line[rng.randrange(len(line))] = rng.randrange(256)
        with serving(bytes(line[: rng.randrange(len(line)) if rng.random() < 0.3 else None])) as port:
            assert run(work(port))


def test_it_keeps_the_laws_of_a_sensor():
    events = stream_of(4_000)
    with serving(on_the_line(events), close=False) as port:
        assert broken(checks.sensor(lambda: Dv(f"127.0.0.1:{port}"), batches=10)) == set()


def test_a_stream_is_chosen_by_its_number_or_name_and_a_size_may_be_told():
    with serving(on_the_line(stream_of(50)), close=False) as port:
        assert open_sensor(f"dv://127.0.0.1:{port}?stream=0&size=400x300").size == (400, 300)
        with pytest.raises(ConfigError, match="no event stream"):
            open_sensor(f"dv://127.0.0.1:{port}?stream=7")


@pytest.mark.parametrize(
    "uri", ["dv://127.0.0.1", "dv://127.0.0.1:1?size=4", "dv://127.0.0.1:1?length_us=0", "dv://a b:1"]
)
def test_odd_options_are_a_config_error(uri):
    with pytest.raises(ConfigError):
        open_sensor(uri)


def test_a_host_that_is_gone_without_a_word_is_asked_whether_it_is_there():
    with serving(on_the_line(stream_of(50)), close=False) as port:
        sensor = Dv(f"127.0.0.1:{port}")
        assert sensor._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sensor._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == module.IDLE_S
        sensor._socket.close()
