"""WebSocket: the same messages as everywhere, made once; who gets one, and what it may send."""

from __future__ import annotations

import asyncio
from random import Random

import msgpack
import pytest
import websockets
from hubtools import KIB, LOCAL, TOPIC, account, events, fill, run, serving, tiny, turns
from webtools import BINARY, CLOSE, PING, TEXT, RawWeb, answered, asking, frame_in, masked
from wirebytes import Raw, golden, span

from spikestream.batch import Decision, Decisions
from spikestream.client import Client, subscribe
from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.tcp import Tcp
from spikestream.outputs.websocket import Line, WebSocket
from spikestream.service.hub import Hub
from spikestream.wire import Stats, web

SPIKES = "main.network.spikes"
HELLO = {"op": "hello", "v": [1]}
SUB = {"op": "sub", "id": 1, "topics": ["*"]}


# --- the bytes


def test_a_message_has_the_bytes_of_the_specification():
    assert web.message(golden()["spikes"]) == golden()["ws-spikes"]
    assert web.messages(golden()["events"]) == golden()["ws-events"]
    assert web.close_frame() == web.messages(golden()["bye"]) == golden()["ws-bye"]
    assert masked(golden()["client-hello"][4:], mask=b"\x01\x02\x03\x04") == golden()["ws-client-hello"]
    opened(line := Line(()))
    assert list(line.receive(golden()["ws-client-hello"])) == [golden()["client-hello"]]


@pytest.mark.parametrize("length", [1, 125, 126, 65_535, 65_536, 1 << 20])
def test_a_message_of_any_length_is_what_a_reader_by_hand_takes(length):
    payload = Random(length).randbytes(length)
    made = web.message(length.to_bytes(4, "little") + payload)
    assert frame_in(made) == (BINARY, payload, len(made))
    assert frame_in(made[:-1]) is None


def test_tcp_and_websocket_carry_the_same_messages_in_the_same_order():
    async def work():
        clock = iter(range(10**18, 10**18 + 1_000))
        outputs = [Tcp(LOCAL), WebSocket(LOCAL)]
        hub = Hub(outputs, epoch="5eed", now_ns=lambda: next(clock))
        await hub.start()
        tcp = await Raw(outputs[0].url).subscribe("*")
        webs = [await RawWeb(outputs[1].url).subscribe("*") for _ in range(2)]
        for seq in range(3):
            hub.publish(SPIKES, tiny(seq))
            hub.publish(TOPIC, events(seq * 200_000, 150_000))
            hub.publish("main.engine.stats", Stats(seq, seq + 1, {"n": seq}))
            hub.publish("main.readout.decisions", Decisions(seq, seq + 1, (Decision(0, seq + 1, None, 0.0),)))
        reading = [asyncio.create_task(raw.read_all()) for raw in (tcp, *webs)]
        await hub.drain(20)
        await hub.aclose()
        one, two, three = [await task for task in reading]
        assert one == two == three
        assert len(one) == 3 * 5 + 1
        assert one[-1] == {}
        assert [raw.codes for raw in webs] == [[1000], [1000]]
        assert hub.ledger().problems() == []

    run(work())


class Counting(WebSocket):
    """A listener that counts how often a message is made."""

    made = 0

    def dressed(self, message):
        self.made += 1
        return super().dressed(message)


@pytest.mark.parametrize("terms", [{"credit": 9}, {"decimate": 2}, {"since": "all"}, {"since": "all", "credit": 9}])
def test_terms_are_those_of_every_other_connection(terms):
    async def work():
        async with serving(WebSocket(LOCAL)) as hub:
            for seq in range(2):
                hub.publish(TOPIC, events(seq * 1_000, count=1))
            web = await RawWeb(hub.outputs[0].url).subscribe("*", **terms)
            for seq in range(2, 4):
                hub.publish(TOPIC, events(seq * 1_000, count=1))
            begins = 0 if "since" in terms else 2
            assert [(await web.read())["s"] for _ in range(begins, 4)] == list(range(begins, 4))
            web.close()

    run(work())


def test_a_message_is_made_once_for_all_and_only_if_somebody_wants_it():
    async def work():
        output = Counting(LOCAL)
        async with serving(output) as hub:
            raws = [await RawWeb(output.url).subscribe(topic) for topic in ("*", "*", "main.>", SPIKES)]
            hub.publish("left.network.spikes", tiny(0))
            hub.publish(SPIKES, tiny(0))
            assert output.made == 2
            assert [(await raw.read())["c"] for raw in raws[:2]] == ["left.network.spikes"] * 2
            assert [(await raw.read())["c"] for raw in raws] == [SPIKES] * 4
            for raw in raws[:2]:
                raw.close()
            while hub.subscribers > 2:
                await turns()
            hub.publish("left.network.spikes", tiny(1))
            assert output.made == 2

    run(work())


# --- who gets one


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426, "no request for a WebSocket"),
        (asking(Upgrade=None), 426, "no request for a WebSocket"),
        (asking(Sec_WebSocket_Version="8"), 400, "no request for a WebSocket"),
        (asking(Sec_WebSocket_Key="short"), 400, "no request for a WebSocket"),
        (asking(Sec_WebSocket_Protocol=None), 400, "ssp.v1"),
        (asking(Sec_WebSocket_Protocol="chat, ssp.v2"), 400, "ssp.v1"),
        (asking("/admin"), 404, "nothing else"),
        (asking(Origin="https://evil.example"), 403, "publish.origins"),
        (asking(Origin="null"), 403, "publish.origins"),
        (asking(Origin="http://localhost.evil.example"), 403, "publish.origins"),
        (asking(Origin="http://127.0.0.1@evil.example"), 403, "publish.origins"),
        (asking(Origin="http://[::1"), 403, "publish.origins"),
        (asking(Origin="file://localhost"), 403, "publish.origins"),
        (asking(Origin="http://localhost\r\nOrigin: http://evil.example"), 403, "publish.origins"),
        (asking(Cookie="x" * 9_000), 431, "8,192 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 3_000, 431, "8,192 bytes"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "no HTTP request"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 405, ""),
    ],
)
def test_who_does_not_ask_as_it_should_is_answered_and_nobody_else_feels_it(request_, status, text):
    async def work():
        async with serving(WebSocket(LOCAL)) as hub:
            url = hub.outputs[0].url
            raw = await RawWeb(url).subscribe("*")
            came = await answered(url, request_)
            told = came.split(b"\r\n")[0].decode()
            assert told.split()[1] in (str(status), "400"), told
            assert b"\r\nConnection: close\r\n" in came
            assert text in came.decode() or told.split()[1] != str(status)
            hub.publish(SPIKES, tiny(0))
            assert (await raw.read())["s"] == 0
            assert len(hub.outputs[0]._connections) == 1

    run(work())


@pytest.mark.parametrize(
    "origin",
    [None, "http://localhost", "http://127.0.0.1:7078", "https://[::1]:8443", "https://Lab.example", "null"],
)
def test_pages_of_this_machine_and_those_that_are_listed_get_in(origin):
    async def work():
        async with serving(WebSocket(LOCAL, origins=["https://lab.example", "null"])) as hub:
            raw = await RawWeb(hub.outputs[0].url).connect(asking(Origin=origin))
            assert (await raw.read())["op"] == "hello"

    run(work())


@pytest.mark.parametrize("origin", ["lab.example", "https://lab.example/", "https://lab.example/x", "*", ""])
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(ConfigError, match="is not an origin"):
        WebSocket(LOCAL, origins=[origin])


def test_there_are_so_many_places_and_time_to_take_them():
    async def work():
        async with serving(WebSocket(LOCAL, max_connections=1, handshake_s=0.2)) as hub:
            url = hub.outputs[0].url
            silent = asyncio.create_task(answered(url, b"GET / HTTP/1.1\r\n"))
            await turns()
            assert (await answered(url, asking())).startswith(b"HTTP/1.1 503 ")
            assert (await silent).startswith(b"HTTP/1.1 503 ")
            late = await RawWeb(url).connect()
            hello, error, bye = await late.read_all()
            assert (hello["op"], error["code"], bye, late.codes) == ("hello", "timeout", {}, [1008])

    run(work())


# --- what it may send


def opened(line):
    """Open a line and forget what it says."""
    assert list(line.receive(asking())) == [b""]
    assert line.to_send().startswith(b"HTTP/1.1 101 ")
    return line


def taken(data, size=None):
    """Return the frames that a line finds in bytes that come in pieces of a size, and what it answers."""
    line, frames, said = opened(Line(())), [], b""
    size = size or len(data)
    for at in range(0, len(data), size):
        for frame in line.receive(data[at : at + size]):
            said += line.to_send()
            frames += [frame] if frame else []
    return frames, said


@pytest.mark.parametrize("size", [1, 7, 1_024, None])
def test_fragments_pings_and_long_messages_come_out_whole_however_they_are_cut(size):
    long = Random(3).randbytes(60_000)
    data = b"".join(
        [
            masked(b"one"),
            masked(b"tw", fin=False),
            masked(b"hm", PING),
            masked(b"", 0, fin=False),
            masked(b"o", 0),
            masked(b"", 10),
            masked(long[:40_000], fin=False),
            masked(long[40_000:], 0),
        ]
    )
    frames, said = taken(data, size)
    assert frames == [len(part).to_bytes(4, "little") + part for part in (b"one", b"two", long)]
    assert said == b"\x8a\x02hm"


def test_of_many_small_frames_a_few_are_parsed_at_a_time():
    line = opened(Line(()))
    frames = line.receive(masked(b"", PING) * 5_000)
    for _ in range(200):  # as many as anybody may send in a second
        assert next(frames) == b""
        assert len(line._events) < 50
    assert line.to_send() == b"\x8a\x00" * 200


def test_an_upgrade_and_what_follows_it_may_come_at_once_or_byte_by_byte():
    data = asking() + masked(b"one") + masked(b"two")
    for size in (1, 50, len(data)):
        line = Line(())
        found = [one for at in range(0, len(data), size) for one in line.receive(data[at : at + size])]
        assert [one[4:] for one in found] == [b"", b"one", b"two"]


@pytest.mark.parametrize(
    ("noise", "text"),
    [
        (b"\x82\x03one", "mask"),
        (masked(b"one")[:1].replace(b"\x82", b"\xc2") + masked(b"one")[1:], "reserved"),
        (masked(b"x", 3), "opcode"),
        (masked(b"x", 0), "continuation"),
        (masked(b"x", fin=False) + masked(b"y"), "continuation"),
        (masked(b"x" * 126, PING), "control frame"),
        (masked(b"x", PING, fin=False), "control frame"),
        (masked(b"one", TEXT), "binary"),
        (b"\x82\xff" + (2**63 - 1).to_bytes(8, "big") + bytes(4), "65536|65,536|exceeds|too big|limit"),
        (b"\x82\xff" + (2**64 - 1).to_bytes(8, "big") + bytes(4), ""),
        (masked(bytes(65_537)), "65536|exceeds|limit"),
        (masked(bytes(40_000), fin=False) + masked(bytes(40_000), 0), "exceeds|limit"),
        (masked(b"\x03", CLOSE), ""),
    ],
)
def test_what_is_no_lawful_frame_is_refused(noise, text):
    line = opened(Line(()))
    with pytest.raises(ClientError, match=f"(?i){text}"):
        list(line.receive(noise))

    async def work():
        async with serving(WebSocket(LOCAL)) as hub:
            raw, good = await RawWeb(hub.outputs[0].url).connect(), await RawWeb(hub.outputs[0].url).subscribe("*")
            await raw.send(HELLO)
            await raw.send_bytes(noise)
            *_, error, bye = await raw.read_all()
            assert (error["op"], error["code"], bye, raw.codes) == ("error", "frame", {}, [1002])
            hub.publish(SPIKES, tiny(0))
            assert (await good.read())["s"] == 0

    run(work())


def test_a_rule_of_ours_that_is_broken_closes_with_another_code():
    async def work():
        async with serving(WebSocket(LOCAL)) as hub:
            for wrong in (msgpack.packb({"op": "dance"}), b"", b"\xc1"):
                raw = await RawWeb(hub.outputs[0].url).connect()
                await raw.send_bytes(masked(wrong))
                _, error, bye = await raw.read_all()
                assert (error["op"], bye, raw.codes) == ("error", {}, [1008])

    run(work())


def test_who_closes_gets_what_was_published_and_a_close_frame():
    async def work():
        async with serving(WebSocket(LOCAL)) as hub:
            raw = await RawWeb(hub.outputs[0].url).subscribe("*")
            hub.publish(SPIKES, tiny(0))
            await raw.send_bytes(masked(b"\x03\xe8", CLOSE))
            found = await raw.read_all()
            assert [m.get("s", m) for m in found] == [0, {}]
            assert raw.codes == [1000]
            assert account(hub) == (1, 1, 0, 0)

    run(work())


@pytest.mark.parametrize("policy", ["drop_oldest", "latest"])
def test_a_stalled_websocket_finds_exact_gaps_and_its_neighbour_everything(policy):
    async def work():
        async with serving(WebSocket(LOCAL, queue_bytes=64 * KIB)) as hub:
            url = hub.outputs[0].url
            stalled = await RawWeb(url, small=True).subscribe("*", policy=policy)
            async with subscribe(url) as messages:
                reading = asyncio.create_task(_all(messages))
                seq = await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
                for more in range(seq, seq + 200):
                    hub.publish(TOPIC, events(more * 1_000))
                    await turns(2)
                late = asyncio.create_task(stalled.read_all())
                await hub.drain(20)
                await hub.aclose()
                numbers = await reading
            assert numbers == list(range(seq + 200))
            first, following, got, lost = span(await late)[TOPIC]
            assert (first, following, got + lost) == (0, seq + 200, (seq + 200) * 1_000)
            assert lost > 0
            assert stalled.codes == [1000]
            assert hub.ledger().problems() == []

    run(work())


async def _all(messages):
    return [message.seq async for message in messages]


# --- other people's clients, and ours


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_the_websockets_library_understands_it(compression):
    async def work():
        async with serving(WebSocket(LOCAL)) as hub:
            url = hub.outputs[0].url
            async with websockets.connect(url, subprotocols=["ssp.v1"], compression=compression) as peer:
                assert peer.subprotocol == "ssp.v1"
                assert msgpack.unpackb(await peer.recv())["op"] == "hello"
                await peer.send(msgpack.packb(HELLO))
                await peer.send([msgpack.packb(SUB)[:5], msgpack.packb(SUB)[5:]])  # in fragments
                assert msgpack.unpackb(await peer.recv()) == {"op": "sub", "id": 1}
                await (await peer.ping(b"still there?"))
                for seq in range(10):
                    hub.publish(TOPIC, events(seq * 90_000, 90_000))  # more than a frame holds
                    assert [msgpack.unpackb(await peer.recv())["s"] for _ in range(2)] == [2 * seq, 2 * seq + 1]
                closing = asyncio.create_task(hub.aclose())
                with pytest.raises(websockets.ConnectionClosedOK):
                    await peer.recv()
                await closing
                assert (peer.close_code, hub.ledger().problems()) == (1000, [])

    run(work())


def test_our_client_understands_the_websockets_library():
    """The server is theirs: our client masks, answers pings, puts fragments together and says bye."""

    async def serve(peer):
        await peer.send([golden()["hello"][4:20], golden()["hello"][20:]])
        hello, sub = msgpack.unpackb(await peer.recv()), msgpack.unpackb(await peer.recv())
        assert (hello["op"], sub["op"]) == ("hello", "sub")
        await peer.send(golden()["sub-answer"][4:])
        await (await peer.ping(b"still there?"))
        await peer.send(golden()["spikes"][4:])

    async def work():
        async with websockets.serve(serve, "127.0.0.1", 0, subprotocols=["ssp.v1"]) as server:
            host, port = server.sockets[0].getsockname()
            async with subscribe(f"ws://{host}:{port}") as messages:
                assert [message.n async for message in messages] == [1]

            def blocking():
                with Client(f"ws://{host}:{port}/") as client:
                    return [message.n for message in client]

            assert await asyncio.to_thread(blocking) == [1]

    run(work())


@pytest.mark.parametrize(
    ("say", "text"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nno\x1b[m", "opens no WebSocket: HTTP 403"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "opens no WebSocket: HTTP 200"),
        (
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "WebSocket",
        ),
        (golden()["hello"], "does not speak WebSocket"),
        (b"", "does not speak WebSocket"),
    ],
)
def test_our_client_tells_what_is_no_websocket_of_ours(say, text):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(say)
        writer.close()

    async def work():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ClientError, match=text) as caught:
                async with subscribe(f"ws://127.0.0.1:{port}"):
                    pass
            assert "\x1b" not in str(caught.value)

    run(work())
