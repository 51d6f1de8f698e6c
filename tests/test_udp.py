"""Events that come as datagrams: from faery's own sender, lost, repeated, out of order, or hostile."""

from __future__ import annotations

import asyncio
import random
import socket
import struct

import event_stream
import numpy as np
import pytest
from broken import broken
from live_cases import SIZE, by_hand, gaps, of, python, reached, rows, stream_of, taking, until
from running import run

from spikestream import checks
from spikestream.errors import ConfigError, DeviceError
from spikestream.sensors.base import open_sensor
from spikestream.sensors.udp import Udp

FAERY = """
import sys, time
import faery, numpy as np
from faery import udp_encoder
events, port, format = np.load(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
packed = np.empty(len(events), faery.EVENTS_DTYPE)
for theirs, ours in zip(("t", "x", "y", "on"), ("t", "x", "y", "p")):
    packed[theirs] = events[ours]
def stream():
    for at in range(0, len(packed), 400):
        yield packed[at : at + 400]
        time.sleep(0.01)
udp_encoder.encode(stream(), ("127.0.0.1", port), format=format)
"""


class Sender:
    """Sends datagrams to a sensor."""

    def __init__(self, sensor: Udp) -> None:
        self.to = sensor.url.removeprefix("udp://").rpartition(":")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __call__(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.socket.sendto(datagram, (self.to[0], int(self.to[2])))


def at_port(**options) -> Udp:
    """Return a sensor at a free port, which has patience with senders that keep no pace and with a slow machine."""
    return Udp("127.0.0.1:0", **{"size": "320x240", "slack_us": 1_000_000, **options})


@pytest.mark.parametrize(("name", "theirs"), [("faery", "t64_x16_y16_on8"), ("faery32", "t32_x16_y15_on1")])
def test_what_faery_sends_comes_event_by_event(name, theirs, tmp_path):
    events = stream_of(8_000)
    np.save(tmp_path / "events.npy", events)
    sensor = at_port(layout=name)
    with python(FAERY, tmp_path / "events.npy", sensor.url.rpartition(":")[2], theirs):
        batches = run(of(sensor, len(events)))
    assert rows(batches).tolist() == events.tolist()
    assert gaps(batches) == []
    assert (sensor.sent, sensor.lost, sensor.repeated, dict(sensor.malformed)) == (8_000, 0, 0, {})
    assert sensor.intake()[1:] == (8_000, {}, {"outside": 0, "of another time": 0}, 0)


def test_what_event_stream_writes_is_read_as_a_datagram(tmp_path):
    """The stream is made by event_stream itself; only the time in front of it is ours."""
    events = stream_of(200)
    theirs = np.empty(200, event_stream.dvs_dtype)
    theirs["t"], theirs["x"], theirs["on"] = events["t"] - events["t"][0], events["x"], events["p"]
    theirs["y"] = SIZE[1] - 1 - events["y"]
    with event_stream.Encoder(str(tmp_path / "x.es"), "dvs", *SIZE) as encoder:
        encoder.write(theirs)
    datagram = struct.pack("<Q", int(events["t"][0])) + (tmp_path / "x.es").read_bytes()
    sensor = at_port(layout="es")
    Sender(sensor)(datagram)
    assert rows(run(of(sensor, 200))).tolist() == events.tolist()


def test_words_without_stamps_are_as_old_as_they_are_here():
    sensor = at_port(layout="spif")
    events = stream_of(200)

    async def work():
        send, batches = Sender(sensor), []
        stream = sensor.batches()
        send(by_hand("spif", events[:100]))
        await until(stream, lambda: sum(map(len, batches)) == 100, batches)
        await until(stream, lambda: batches[-1].stop > 60_000, batches)  # in silence
        send(by_hand("spif", events[100:]))
        await until(stream, lambda: sum(map(len, batches)) == 200, batches)
        await stream.aclose()
        return batches

    batches = run(work())
    assert rows(batches)[["x", "y", "p"]].tolist() == events[["x", "y", "p"]].tolist()
    assert len(set(rows(batches)["t"].tolist())) == 2
    assert batches[0].start == 0
    assert gaps(batches) == []


def test_a_sender_that_changes_its_mind_about_stamps_is_malformed_from_then_on():
    sensor = at_port(layout="spif")
    events = stream_of(20)

    async def work():
        send, batches = Sender(sensor), []
        stream = sensor.batches()
        send(by_hand("spif-stamped", events), by_hand("spif", events))
        await until(stream, lambda: sensor.datagrams == 2 and sum(map(len, batches)) == 20, batches)
        await stream.aclose()
        return batches

    assert rows(run(work())).tolist() == events.tolist()
    assert dict(sensor.malformed) == {"without a stamp": 1}


def end_of(events) -> bytes:
    """Return a datagram that comes so late that all of these are complete."""
    last = events[-1:].copy()
    last["t"] += 20_000
    return by_hand("faery", last)


def test_lost_repeated_and_overtaken_datagrams():
    events = stream_of(1_000)
    parts = [by_hand("faery", part) for part in np.split(events, 100)]
    order = [n ^ 1 for n in range(100)]  # each overtakes the one before it
    order.remove(50)  # and one never comes: nothing in faery's layout would tell
    sensor = at_port(hold_us="3000")

    async def work():
        async with taking(sensor) as batches:
            send = Sender(sensor)
            for n in order:
                send(parts[n], *([parts[n - 2]] if n > 60 else []))  # and some come twice
            send(end_of(events))
            await reached(lambda: len(rows(batches)) >= 990)
        return batches

    batches = run(work())
    kept = np.concatenate([events[:500], events[510:]])
    assert rows(batches).tolist() == kept.tolist()
    assert sensor.repeated == 39
    assert sensor.stats()["late"] == 0


def test_what_the_kernel_had_no_room_for_is_counted_and_a_gap():
    sensor = at_port()
    sensor._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    events = stream_of(40_000)
    datagrams = [by_hand("faery", part) for part in np.split(events, 400)]

    async def work():
        send = Sender(sensor)
        send(*datagrams[:300])  # nobody reads yet, and the kernel has room for a few
        async with taking(sensor) as batches:
            await reached(lambda: sensor.datagrams > 0)
            for datagram in datagrams[300:]:  # the kernel tells with one that it had room for
                await asyncio.sleep(0.005)
                send(datagram)
            send(end_of(events))
            await reached(lambda: len(rows(batches)) == 100 * (sensor.datagrams - 1))
        return batches

    batches = run(work())
    kept = sensor.datagrams - 101
    assert sensor.lost == 300 - kept > 250
    assert gaps(batches) == [(int(events["t"][100 * kept - 1]) + 1, int(events["t"][30_000]))]
    assert rows(batches).tolist() == [*events[: 100 * kept].tolist(), *events[30_000:].tolist()]


def test_a_hostile_sender_costs_no_more_than_reading_it_and_stops_nobody():
    events = stream_of(2_000)
    good = [by_hand("faery", part) for part in np.split(events, 40)]
    rng = random.Random(3)
    forged, outside = events[:50].copy(), events[-50:].copy()
    forged["t"] = 1 << 60
    outside["x"] = 60_000
    bad = [b"", b"\0", rng.randbytes(60_000), rng.randbytes(26), by_hand("faery", forged), b"\xff" * 65_000]
    sensor = at_port()

    async def work():
        async with taking(sensor) as batches:
            send = Sender(sensor)
            for n, datagram in enumerate(good):
                send(datagram, bad[n % len(bad)])
                await reached(lambda n=n: sensor.datagrams == 2 * n + 2)
            send(by_hand("faery", outside), end_of(events))
            await reached(lambda: len(rows(batches)) == 2_000)
        return batches

    batches = run(work())
    assert rows(batches).tolist() == events.tolist()
    told = sensor.stats()
    assert told["malformed"]["cut"] > 10
    assert told["malformed"]["no such events"] > 10
    assert told["strange"] > 0
    assert (told["outside"], told["resets"]) == (50, 0)


def test_a_sender_that_is_killed_and_comes_back_is_heard_again(tmp_path):
    events = stream_of(100_000, first=50_000_000, step_us=1_000)
    np.save(tmp_path / "events.npy", events)
    sensor = at_port(slack_us=100_000)
    port = sensor.url.rpartition(":")[2]

    async def work():
        async with taking(sensor) as batches:
            for heard in (2_000, 5_000):
                with python(FAERY, tmp_path / "events.npy", port, "t64_x16_y16_on8"):
                    await reached(lambda heard=heard: len(rows(batches)) > heard)
                await reached(lambda end=batches[-1].stop: batches[-1].stop > end + 200_000)  # in silence
        return batches

    batches = run(work())
    told = sensor.stats()
    assert (told["resets"], told["strange"], told["malformed"]) == (1, 200, {})
    (gap,) = gaps(batches)
    before = sum(len(batch) for batch in batches if batch.stop <= gap[0])
    assert rows(batches)[:before].tolist() == events[:before].tolist()
    again = rows(batches)[before:]  # the same stamps again: a clock that begins anew, of which two were not believed
    by = int(again["t"][0] - events["t"][200])
    assert by % 1_000_000 == 0
    assert (again["t"] - by).tolist() == events["t"][200 : 200 + len(again)].tolist()


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.9"])
def test_only_the_peer_is_listened_to_where_one_is_named(peer):
    sensor = at_port(peer=peer)

    async def work():
        send, stream = Sender(sensor), sensor.batches()
        stop = asyncio.get_running_loop().time() + 30
        send(by_hand("faery", stream_of(100)))
        taking = asyncio.ensure_future(anext(stream))
        while not sensor.datagrams and asyncio.get_running_loop().time() < stop:
            await asyncio.sleep(0.01)
        if peer == "127.0.0.1":
            await taking
        else:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        await stream.aclose()

    run(work())
    assert sensor.malformed["stranger"] == (peer != "127.0.0.1")
    assert sensor.stats()["came"] == (100 if peer == "127.0.0.1" else 0)


@pytest.mark.parametrize(
    ("place", "peer", "target", "heard"),
    [
        ("[::1]:0", "0:0:0:0:0:0:0:1", "::1", True),
        ("[::]:0", "127.0.0.1", "127.0.0.1", True),
        ("[::]:0", "::ffff:127.0.0.1", "127.0.0.1", True),
        ("[::]:0", "::FFFF:7F00:1", "127.0.0.1", True),
        ("[::]:0", "127.0.0.9", "127.0.0.1", False),
        ("127.0.0.1:0", "::ffff:127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1:0", "::1", "127.0.0.1", False),
    ],
)
def test_a_peer_is_an_address_however_it_is_written(place, peer, target, heard):
    try:
        sensor = Udp(place, size="320x240", peer=peer)
    except DeviceError as error:
        pytest.skip(str(error))  # a machine without IPv6
    port = int(sensor.url.rpartition(":")[2])

    async def work():
        stream = sensor.batches()
        taking = asyncio.ensure_future(anext(stream))
        with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(by_hand("faery", stream_of(100)), (target, port))
        async with asyncio.timeout(30):
            while not sensor.datagrams:
                await asyncio.sleep(0.01)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        await stream.aclose()

    run(work())
    assert sensor.malformed == ({} if heard else {"stranger": 1})
    assert sensor.stats()["came"] == (100 if heard else 0)


@pytest.mark.parametrize("peer", ["localhost", "camera.lan", "bogus!", "127.0.0.1:9000", "[::1]", "127.0.0.0/8", "1"])
def test_a_peer_that_is_no_address_is_refused(peer):
    with pytest.raises(ConfigError, match=r"peer = .* is no IP address[^$]*and no name") as error:
        Udp("127.0.0.1:0", size="320x240", peer=peer)
    assert (error.value.key, error.value.value) == ("peer", peer)


def test_it_keeps_the_laws_of_a_sensor_while_somebody_sends():
    sensor = at_port()
    port = int(sensor.url.rpartition(":")[2])
    sensor._socket.close()
    send = """
import socket, struct, sys, time
to, begun = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), time.monotonic()
while True:
    t = int((time.monotonic() - begun) * 1e6)
    to.sendto(b"".join(struct.pack("<QHHB", t + k, k, k, k % 2) for k in range(10)), ("127.0.0.1", int(sys.argv[1])))
    time.sleep(0.002)
"""
    with python(send, port):
        made = [0]

        def make():
            made[0] += 1
            return Udp(f"127.0.0.1:{port}", size="320x240", length_us="2000")

        assert broken(checks.sensor(make, batches=10)) == set()
    assert made[0] > 5


def test_it_is_bound_to_this_machine_unless_told_otherwise():
    for location, host in (
        ("", "127.0.0.1"),
        (":0", "127.0.0.1"),
        ("localhost:0", "127.0.0.1"),
        ("0.0.0.0:0", "0.0.0.0"),
    ):
        try:
            sensor = Udp(location, size="4x4")
        except DeviceError:
            assert location == ""  # the default port may be taken here
            continue
        assert sensor._socket.getsockname()[0] == host
        sensor._socket.close()


@pytest.mark.parametrize(
    "uri",
    [
        "udp://127.0.0.1:0",
        "udp://127.0.0.1:0?size=0x3",
        "udp://127.0.0.1:0?size=4x4&layout=dvs",
        "udp://127.0.0.1:0?size=4x4&length_us=1",
        "udp://127.0.0.1:0?size=4x4&hold_us=-1",
        "udp://127.0.0.1:70000?size=4x4",
        "udp://127.0.0.1?size=4x4",
        "udp://no.such.host.invalid:0?size=4x4",
        "udp://127.0.0.1:0?size=4x4&slack=5",
    ],
)
def test_odd_options_are_a_config_error(uri):
    with pytest.raises(ConfigError):
        open_sensor(uri)


def test_a_port_that_is_taken_is_a_device_error_that_says_how_to_find_out_by_whom():
    sensor = at_port()
    with pytest.raises(DeviceError, match="ss -ulpn"):
        Udp(sensor.url.removeprefix("udp://"), size="4x4")
    sensor._socket.close()


def test_an_address_of_another_machine_is_not_said_to_be_taken():
    with pytest.raises(DeviceError, match="ip -brief address") as caught:
        Udp("192.0.2.1:9000", size="320x240")  # of documentation, RFC 5737
    assert "ss -ulpn" not in str(caught.value)
