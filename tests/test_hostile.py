"""Attacks on a listener, each beside a subscriber that gets everything; what the server holds is then what it was."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import struct
import time
import tracemalloc
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random

import msgpack
import pytest
from fuzz import mutations
from hubtools import LOCAL, run, serving, tiny, turns
from test_wire_damage import HOSTILE
from webtools import PING, RawWeb, asking, masked
from wirebytes import Raw, golden, put

from spikestream.errors import ClientError
from spikestream.outputs.base import door as doors
from spikestream.outputs.base import listener as listeners
from spikestream.outputs.base import turns as turns_room
from spikestream.outputs.base.pace import Pace
from spikestream.outputs.base.turns import Turns
from spikestream.outputs.tcp import Tcp
from spikestream.outputs.unix import Unix
from spikestream.outputs.websocket import Line, Refusal, WebSocket
from spikestream.wire import ServerSession

SECRET = "correct-horse-battery-staple"
SPIKES = "main.network.spikes"
HELLO = {"op": "hello", "v": [1]}
SUB = {"op": "sub", "id": 1, "topics": ["*"]}


def held(hub):
    """Return what the server holds: connections, tasks, descriptors, waiting, entering."""
    (output,) = hub.outputs
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    door = output._door
    tasks = len(asyncio.all_tasks())
    return len(output._connections), len(output._unproven), len(door._entering), dict(door._inside), tasks, descriptors


@asynccontextmanager
async def beside(output, token=""):
    """Yield a hub, its URL and the class of its raw clients, beside a subscriber that gets all that is published."""
    async with serving(output) as hub:
        make = RawWeb if isinstance(output, WebSocket) else Raw
        good = await make(output.url).connect()
        await good.read()
        await good.send(HELLO | ({"token": token} if token else {}), SUB)
        assert await good.read() == {"op": "sub", "id": 1}
        await turns()
        before = held(hub)
        stop = asyncio.Event()

        async def publish():
            count = 0
            while not stop.is_set() or count < 50:
                hub.publish(SPIKES, tiny(count))
                count += 1
                await asyncio.sleep(0.002)
            return count

        async def read():
            seen = []
            while (message := await good.read()) != {}:
                seen.append(message["s"])
            return seen

        publishing, reading = asyncio.create_task(publish()), asyncio.create_task(read())
        yield hub, output.url, make
        stop.set()
        count = await publishing
        while held(hub)[:4] != before[:4]:
            await asyncio.sleep(0.01)
        assert await hub.drain(10) is None
        assert held(hub)[4:] == (before[4] + 1, before[5]), "tasks or descriptors are left over"  # one reads
        await hub.aclose()
        assert await reading == list(range(count))
        assert hub.ledger().problems() == []


async def visit(url, data, pause=0.0):
    """Connect, send bytes, in two parts with a pause between, and return what comes back until the end."""
    host, _, port = url.partition("://")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        half = len(data) // 2 if pause else len(data)
        for part in (data[:half], data[half:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        return await reader.read()
    except (ConnectionError, OSError):
        return b""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class Slow:
    """A past that takes 20 ms of the processor to look into."""

    def first(self, topic):
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return None

    def read(self, seq_of, t_ns=0):
        return iter(())


def test_what_takes_the_loops_time_is_paid_for(monkeypatch):
    monkeypatch.setattr(turns_room, "PER_SECOND", 0.0)

    async def work():
        async with serving(Tcp(LOCAL), past=Slow()) as hub:
            hub.publish(SPIKES, tiny(0))
            await Raw(hub.outputs[0].url).subscribe("*")
            left = hub.outputs[0].turns._pace._left
            late = await Raw(hub.outputs[0].url).subscribe("*", since={"t_ns": 1})
            assert hub.outputs[0].turns._pace._left < left - 10
            late.close()

    run(work())


BOTH = pytest.mark.parametrize("make", [Tcp, WebSocket])


@BOTH
def test_more_idle_connections_than_may_be_silent(make):
    async def work():
        async with beside(make(LOCAL, handshake_s=1.0)) as (hub, url, raw):
            visits = [asyncio.create_task(visit(url, b"")) for _ in range(120)]  # as many as the kernel keeps
            await asyncio.sleep(0.6)
            assert len(hub.outputs[0]._unproven) <= listeners.UNPROVEN
            assert len(hub.outputs[0]._connections) <= listeners.UNPROVEN + 2
            late = await raw(url).subscribe("*")  # whoever means it gets in
            late.close()
            await asyncio.gather(*visits)

    run(work())


def test_the_oldest_that_has_said_nothing_goes_for_the_next_one(monkeypatch):
    async def work():
        async with serving(Tcp(LOCAL, max_connections=3)) as hub:
            url, listener = hub.outputs[0].url, hub.outputs[0]
            idle = [await Raw(url).connect() for _ in range(3)]
            for one in idle:
                await one.read()
            (refusal,) = await (await Raw(url).connect()).read_all()
            assert refusal["code"] == "full", "nobody goes before it had a moment to answer"
            for subscriber in listener._unproven:
                listener._unproven[subscriber] -= 1
            second = await Raw(url).subscribe("*")
            assert await idle[0].read_what_came() == []
            assert hub.subscribers == 1
            await idle[1].send(HELLO)
            await turns()
            assert len(listener._unproven) == 1
            second.close()

    run(work())


SLOW = {
    "a hello that never ends": (Tcp, golden()["client-hello"][:-1]),
    "a frame that never ends": (Tcp, struct.pack("<I", 60_000) + b"\x81"),
    "a request that never ends": (WebSocket, b"GET / HTTP/1.1\r\nHost: x\r\nA: "),
    "a web frame that never ends": (WebSocket, asking() + b"\x82\xfe\xea\x60" + bytes(10)),
}


@pytest.mark.parametrize("name", SLOW)
def test_slow_ones_are_given_so_much_time_and_no_more(name):
    make, data = SLOW[name]

    async def work():
        async with beside(make(LOCAL, handshake_s=0.3)) as (_, url, _raw):
            await asyncio.gather(*(visit(url, data, 0.2) for _ in range(10)))

    run(work())


@BOTH
def test_half_open_and_reset_connections_leave_nothing_behind(make):
    async def work():
        async with beside(make(LOCAL)) as (_, url, _raw):
            host, _, port = url.partition("://")[2].rpartition(":")
            for step in range(40):
                sock = socket.create_connection((host, int(port)))
                if step % 4 == 1:
                    sock.shutdown(socket.SHUT_WR)
                elif step % 4 == 2:  # a reset in place of an end
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif step % 4 == 3:
                    sock.sendall(golden()["client-hello"] if make is Tcp else asking())
                await asyncio.sleep(0.005)
                sock.close()

    run(work())


@pytest.mark.parametrize("name", [*HOSTILE, "huge length"])
def test_hostile_frames_end_the_connection_that_sent_them(name):
    payload = HOSTILE.get(name, b"")

    async def work():
        data = put(HELLO) + (len(payload) or 2**32 - 1).to_bytes(4, "little") + payload
        async with beside(Tcp(LOCAL)) as (_, url, _raw):
            assert b"error" in await visit(url, data)

    run(work())


BOMBS = {
    "empty fragments": masked(b"", fin=False) + masked(b"", 0, fin=False) * 5_000,
    "fragments of a byte": masked(b"x", fin=False) + masked(b"x", 0, fin=False) * 5_000,
    "pings": masked(b"x" * 125, PING) * 5_000,
    "pongs": masked(b"", 10) * 5_000,
    "empty messages": masked(b"") * 5_000,
    "masked garbage": masked(Random(5).randbytes(60_000)),
    "garbage": Random(6).randbytes(100_000),
    "more fragments than a message holds": masked(bytes(30_000), fin=False) + masked(bytes(30_000), 0, fin=False) * 50,
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("known", [False, True])
def test_bombs_of_web_frames_do_not_go_off(name, known):
    hello = masked(msgpack.packb(HELLO)) if known else b""

    async def work():
        async with beside(WebSocket(LOCAL)) as (_, url, _raw):
            came = await visit(url, asking() + hello + BOMBS[name])
            assert came.count(b"\x8a\x7d") <= 250, "so many pings are answered in a second, and no more"

    run(work())


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
        b"GET /" + b"a" * 500_000,
        asking(Cookie="c" * 500_000),
        b"\0" * 500_000,
        b"\r\n" * 200_000,
        asking(Content_Length="1000000000"),
        asking(Transfer_Encoding="chunked") + b"ffffffff\r\n",
    ],
)
def test_bombs_of_headers_do_not_go_off(request_):
    async def work():
        async with beside(WebSocket(LOCAL)) as (_, url, _raw):
            came = await visit(url, request_)
            assert came[:9] in (b"", b"HTTP/1.1 ")

    run(work())


FLOODS = {
    "subscriptions that come and go": (SUB, {"op": "unsub", "id": 1}),
    "pings": ({"op": "ping", "t": 1},),
    "requests": ({"op": "req", "id": 1, "do": "teach"},),
}


@BOTH
@pytest.mark.parametrize("name", FLOODS)
def test_floods_are_cut_or_wait_and_others_come_in_between(make, name):
    async def work():
        async with beside(make(LOCAL)) as (_, url, raw):
            flooders = [await raw(url).connect() for _ in range(20)]
            for one in flooders:
                await one.send(HELLO, *FLOODS[name] * 400)
            late = await raw(url).subscribe("*")
            late.close()
            *_, error, _ = [*await flooders[0].read_what_came(), {}]
            assert error.get("code", "flood") == "flood"
            for one in flooders:
                one.close()

    run(work())


def test_one_that_trickles_single_bytes_is_heard_no_more_often_than_others():
    async def work():
        async with beside(Tcp(LOCAL)) as (_, url, raw):
            trickler = await raw(url).connect()
            await trickler.read()
            for byte in put(HELLO) + put(SUB):
                await trickler.send_bytes(bytes([byte]))
                await asyncio.sleep(0)
            assert await trickler.read() == {"op": "sub", "id": 1}
            trickler.close()

    run(work())


def test_many_topics_in_many_subscriptions_are_bounded():
    async def work():
        async with beside(Tcp(LOCAL)) as (_, url, raw):
            greedy = await raw(url).connect()
            topics = [f"main.{'x' * 200}{i}.spikes" for i in range(128)]
            await greedy.send(HELLO, *({**SUB, "id": i, "topics": topics} for i in range(3)))
            *_, error = await greedy.read_all()
            assert (error["code"], "256 topics" in error["what"]) == ("topic", True)

    run(work())


def test_guesses_at_the_token_get_nobody_in_and_lock_nobody_out(tmp_path):
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o600)

    async def work():
        async with beside(Tcp(LOCAL, token_file=str(file)), SECRET) as (hub, url, raw):
            guesses = [put({**HELLO, "token": f"guess-number-{i:06}"}) + put(SUB) for i in range(60)]
            visits = [asyncio.create_task(visit(url, guess)) for guess in guesses]
            await asyncio.sleep(0.05)
            assert hub.subscribers == 1
            known = await raw(url).connect()
            await known.read()
            await known.send({**HELLO, "token": SECRET}, SUB)
            assert await known.read() == {"op": "sub", "id": 1}
            known.close()
            for came in await asyncio.gather(*visits):
                assert b"token" in came
                assert b"\xa2op\xa3sub" not in came

    run(work())


def test_mutated_sessions_of_a_hundred_thousand_frames_get_nobody_in():
    """Frames for TCP and for WebSocket, damaged: every one is understood or refused, and none brings the token."""
    names = ("client-hello", "token-hello", "sub", "req", "ping", "unsub", "bye")
    plain = b"".join(golden()[name] for name in names)
    web = asking() + b"".join(masked(golden()[name][4:]) for name in names)
    frames = 0
    for data in mutations(plain, 9_000, seed=21):
        session = ServerSession(token=SECRET)
        with suppress(ClientError):
            for _ in session.receive(data):
                pass
        frames += len(names)
        assert not session.welcomed
    for data in mutations(web, 5_500, seed=22):
        session, line = ServerSession(token=SECRET), Line(())
        with suppress(ClientError):
            for frame in line.receive(data):
                for _ in session.receive(frame):
                    pass
        frames += len(names)
        assert not session.welcomed
    assert frames > 100_000


def test_a_request_in_any_pieces_and_shape_is_taken_or_refused():
    taken, opened, answers = 0, 0, set()
    for case, data in enumerate(mutations(asking(), 2_000, seed=23)):
        line = Line(())
        try:
            for piece in (data[: case % len(data)], data[case % len(data) :]) if data else ():
                list(line.receive(piece))
        except Refusal as refusal:
            answers.add(refusal.answer[:10])
        except ClientError:
            opened += line.open
        taken += line.open
    assert answers == {b"HTTP/1.1 4"}
    assert 0 < opened <= taken < 2_000


def test_attackers_leave_no_memory_behind(tmp_path):
    """Two thousand connections in waves, each with a different end; the memory after them is that before."""
    path = tmp_path / "s.sock"
    ends = (b"", golden()["client-hello"], b"\xff" * 50, put(HELLO) + put(SUB), put(HELLO) + b"\x10\0\0\0")

    async def wave(size):
        for i in range(size):
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect(str(path))
                sock.send(ends[i % len(ends)])
            await asyncio.sleep(0)
            sock.close()

    async def work():
        output = Unix(str(path))
        async with serving(output) as hub:
            output._door._pace = Pace(1e9, 1e9, 0)  # the pace is tested below
            output.turns._pace = Pace(1e9, 1e9, 0)
            for round_ in range(3):
                await wave(600)
                while output._connections or output._door._entering:
                    await asyncio.sleep(0.01)
                gc.collect()
                if round_ == 0:
                    tracemalloc.start()
                    first = tracemalloc.get_traced_memory()[0]
            grown = tracemalloc.get_traced_memory()[0] - first
            tracemalloc.stop()
            assert grown < 300_000
            assert hub.subscribers == 0

    with_logging = logging.getLogger("spikestream")
    level = with_logging.level
    with_logging.setLevel(logging.ERROR)
    try:
        run(work())
    finally:
        with_logging.setLevel(level)


# --- pace


def test_a_pace_is_so_much_a_second_and_some_more_after_a_quiet_time():
    pace = Pace(10.0, 5.0, now=0.0)
    assert [pace.spend(1, 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert not pace.spend(1, 0.0)
    assert [pace.spend(1, 0.15) for _ in range(3)] == [True, True, False]
    assert [pace.spend(1, 100.0) for _ in range(6)] == [True] * 5 + [False]
    for second in range(1, 11):
        count = sum(pace.spend(1, 100 + second + i / 1_000) for i in range(1_000))
        assert 9 <= count <= 15


class Talker:
    """One who asks for so many things, and takes note when it is heard."""

    def __init__(self, name, turns_, things, heard):
        self.name, self.turns, self.things, self.heard = name, turns_, things, heard

    def hear(self, *, one=False):
        while self.things:
            self.things -= 1
            self.heard.append(self.name)
            if not self.turns.afford(1) or one:
                self.turns.hold(self)
                return


def test_who_asks_little_is_heard_between_those_who_ask_much():
    async def work():
        shared, heard = Turns(), []
        shared._pace = Pace(1_000.0, 10.0, asyncio.get_running_loop().time())
        for talker in (Talker("loud", shared, 100, heard), Talker("quiet", shared, 2, heard)):
            talker.hear()
        while len(heard) < 102:
            await asyncio.sleep(0.01)
        assert heard[:10] == ["loud"] * 10
        assert heard.index("quiet") < 15
        assert heard.count("loud") == 100
        shared.close()
        tired = Turns()
        tired._pace = Pace(0.0, 1.0, asyncio.get_running_loop().time())
        tired.afford(5)
        asked = len(heard)
        tired.hold(Talker("early", tired, 9, heard))
        tired._hear()
        assert len(heard) == asked, "there is no time"
        tired._pace.refund(4.5)
        tired._hear()
        assert heard[asked:] == ["early"], "one thing at a time"
        tired.close()
        rested = Turns()
        assert rested.afford(1)
        rested.hold(Talker("first", rested, 1, heard))
        assert not rested.afford(1), "nobody goes before who waits"
        rested.close()

    run(work())


def test_connections_are_let_in_at_a_pace_and_the_rest_waits_in_the_kernel():
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            door = hub.outputs[0]._door
            door._pace = Pace(50.0, 5.0, asyncio.get_running_loop().time())
            raws = [await Raw(hub.outputs[0].url).connect() for _ in range(12)]
            await turns(50)
            assert len(hub.outputs[0]._connections) < 12
            for raw in raws:  # nobody is lost
                assert (await raw.read())["op"] == "hello"

    run(work())


def test_an_address_beyond_this_machine_gets_its_share(monkeypatch):
    async def work():
        monkeypatch.setattr("spikestream.outputs.base.door.LOCAL", ("none",))
        async with serving(Tcp(LOCAL, max_connections=8)) as hub:
            url = hub.outputs[0].url
            first = [await Raw(url).connect() for _ in range(2)]
            for raw in first:
                assert (await raw.read())["op"] == "hello"
            third = await Raw(url).connect()
            assert await third.read_what_came() == []
            first[0].close()
            while len(hub.outputs[0]._connections) > 1:
                await asyncio.sleep(0.01)
            fourth = await Raw(url).connect()
            assert (await fourth.read())["op"] == "hello"

    run(work())


def test_the_door_goes_on_after_the_descriptors_ran_out(monkeypatch, caplog):
    class Broken:
        """A listening socket whose first accept fails."""

        def __init__(self, sock):
            self.sock, self.failures = sock, 1

        def accept(self):
            if self.failures:
                self.failures -= 1
                raise OSError(24, "Too many open files")
            return self.sock.accept()

        def __getattr__(self, name):
            return getattr(self.sock, name)

    async def work():
        monkeypatch.setattr("spikestream.outputs.base.door.OUT_OF_FILES_S", 0.05)
        async with serving(Tcp(LOCAL)) as hub:
            output = hub.outputs[0]
            door = output._door
            for sock in door._sockets:
                asyncio.get_running_loop().remove_reader(sock.fileno())
            door._sockets = tuple(map(Broken, door._sockets))
            door.open()
            raw = await Raw(output.url).subscribe("*")
            raw.close()

    with caplog.at_level(logging.WARNING):
        run(work())
    assert "Too many open files" in caplog.text


def test_without_descriptors_the_door_is_left_alone_for_a_while(monkeypatch, caplog):
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            door, asked = hub.outputs[0]._door, []

            class Full:
                def accept(self):
                    asked.append(1)
                    raise OSError(24, "Too many open files")

            door._accept(Full())
            with closing(socket.create_connection(door._sockets[0].getsockname())):
                await turns(100)
                assert not door._inside, "who knocks meanwhile waits in the kernel"
            assert len(asked) == 1

    run(work())


def test_of_one_host_so_many_are_let_in_and_of_many_hosts_not_all_remembered(monkeypatch):
    monkeypatch.setattr(doors, "HOST_BURST", 3.0)
    monkeypatch.setattr(doors, "HOST_PER_SECOND", 0.0)
    monkeypatch.setattr(doors, "MOST_HOSTS", 4)

    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            seen = [await Raw(hub.outputs[0].url).subscribe("*") for _ in range(3)]
            late = await Raw(hub.outputs[0].url).connect()
            assert await late.read_all() == []
            door = hub.outputs[0]._door
            for host in range(20):
                door._welcome(f"192.0.2.{host}")
            assert len(door._paces) <= 4
            for one in seen:
                one.close()

    run(work())


def test_the_log_tells_of_some_and_counts_the_others(caplog):
    with caplog.at_level(logging.WARNING):
        output = Tcp(LOCAL)
        for i in range(500):
            output.complain("somebody", f"number {i}")
        assert 20 <= len(caplog.records) <= 60
        output._complaints = Pace(1.0, 1.0, 0.0)
        output.complain("somebody", "the last")
    assert "others before it)" in caplog.records[-1].getMessage()
