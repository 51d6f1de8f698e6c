"""The two clients, against a real hub and against everything else that may answer at a port."""

from __future__ import annotations

import asyncio
import gc
import select
import socket
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from feedtools import Log
from hubtools import tiny
from wirebytes import PAGE, golden, maps, put
from wirecases import HELLO

from spikestream.cli import main
from spikestream.client import Client, blocking, subscribe, subscription
from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.tcp import Tcp
from spikestream.outputs.unix import Unix
from spikestream.service.hub import Hub
from spikestream.wire import BYE, error_frame, loss_frame

TOPIC = "main.network.spikes"
GREETED = HELLO.frame + golden()["sub-answer"]
RECOVERED = put({"op": "sub", "id": 1, "recovered": True, "first": {}})


class Program:
    """A hub in a thread of its own, as a program that publishes has it."""

    def __init__(self, *outputs, **options):
        self.options = {"epoch": "5eed"} | options
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.hub = self.do(self._start(outputs or (Tcp("127.0.0.1:0"),)))

    async def _start(self, outputs):
        hub = Hub(outputs, **self.options)
        await hub.start()
        return hub

    @property
    def url(self):
        return self.hub.outputs[0].url

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def publish(self, *numbers):
        async def all_of_them():
            for number in numbers:
                self.hub.publish(TOPIC, tiny(number))

        self.do(all_of_them())

    def close(self):
        self.do(self.hub.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(params=["tcp", "unix"])
def program(request, tmp_path):
    program = Program(Tcp("127.0.0.1:0") if request.param == "tcp" else Unix(str(tmp_path / "s.sock")))
    yield program
    program.close()


@contextmanager
def answering(*parts, heard=None, once=False):
    """Yield the URL of one who sends these bytes to the first who connects; None waits until that one has gone."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            if once:
                server.close()
            with connection:
                for part in parts:
                    if part is not None:
                        connection.sendall(part)
                        continue
                    while data := connection.recv(4096):
                        if heard is not None:
                            heard.append(data)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(4096):
                        pass

        host, port = server.getsockname()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://{host}:{port}"
        finally:
            thread.join(20)
            assert not thread.is_alive()


def listen_async(url, **options):
    """Return the messages the async client yields up to the end."""

    async def work():
        async with asyncio.timeout(20):
            return [message async for message in subscribe(url, **options)]

    return asyncio.run(work())


def listen_blocking(url, **options):
    """Return the messages the blocking client yields up to the end."""
    with Client(url, **options) as messages:
        return list(messages)


LISTEN = pytest.mark.parametrize("listen", [listen_async, listen_blocking])


# --- with a hub


def test_the_blocking_client_gets_everything_from_the_moment_it_is_built(program):
    program.publish(0, 1)
    with Client(program.url, name="me") as messages:
        program.publish(*range(2, 50))
        assert [next(messages).seq for _ in range(48)] == list(range(2, 50))
        count = messages.counts[TOPIC]
        assert (count.messages, count.rows, count.gaps, count.missing) == (48, 48, 0, 0)
        assert messages.hello.epoch == "5eed"
        (delivery,) = program.hub.ledger().subscribers
        assert delivery.client == "me"
        program.do(program.hub.aclose())
        assert list(messages) == []


def test_the_async_client_gets_everything_from_the_start_of_its_block(program):
    async def work():
        async with subscribe(program.url, [TOPIC], name="me") as messages:
            await asyncio.to_thread(program.publish, *range(50))
            assert [(await anext(messages)).seq for _ in range(50)] == list(range(50))
            await asyncio.to_thread(program.do, program.hub.aclose())
            assert [message async for message in messages] == []
            assert messages.counts[TOPIC].messages == 50
            assert messages.hello.srv.startswith("spikestream/")

    asyncio.run(work())


def test_only_what_was_asked_for_arrives(program):
    with Client(program.url, "left.>") as left, Client(program.url, ["main.*.spikes"], policy="latest") as main:
        program.publish(0)
        program.do(program.hub.aclose())
        assert (len(list(left)), len(list(main))) == (0, 1)


def test_leaving_says_bye(program):
    async def gone():
        while program.hub.subscribers:
            await asyncio.sleep(0)

    with Client(program.url):
        assert program.hub.subscribers == 1
    program.do(gone())

    async def leave():
        async with subscribe(program.url):
            assert program.hub.subscribers == 1

    asyncio.run(leave())
    program.do(gone())


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_breaking_off_an_async_loop_closes_the_connection(program):
    async def work():
        task = asyncio.create_task(first())
        while not program.hub.subscribers:
            await asyncio.sleep(0)
        await asyncio.to_thread(program.publish, 0, 1, 2)
        assert await task == 0
        gc.collect()
        while program.hub.subscribers:
            await asyncio.sleep(0)

    async def first():
        async for message in subscribe(program.url):
            return message.seq

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_step_that_took_too_long_may_be_taken_again(program):
    async def work():
        async with subscribe(program.url) as messages:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(messages), 0.01)
            await asyncio.to_thread(program.publish, 0)
            assert (await anext(messages)).seq == 0

    asyncio.run(work())


@LISTEN
def test_the_end_of_the_program_is_the_end_of_the_loop(program, listen):
    def end():
        program.do(program.hub.wait_subscribers(1))
        program.publish(*range(100))
        program.do(program.hub.drain())
        program.do(program.hub.aclose())

    ending = threading.Thread(target=end)
    ending.start()
    assert [message.seq for message in listen(program.url)] == list(range(100))
    ending.join()


def test_a_closed_client_ends(program):
    messages = Client(program.url)
    messages.close()
    messages.close()
    assert list(messages) == []

    async def work():
        stream = subscribe(program.url)
        await stream.aclose()
        return [message async for message in stream]

    assert asyncio.run(work()) == []


def test_the_client_in_the_specification_works(program, capsys):
    source = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names = {}
    exec(source, names)
    if program.url.startswith("unix"):
        return
    host, port = program.url.removeprefix("tcp://").split(":")
    reading = threading.Thread(target=names["read"], args=(host, int(port)))
    reading.start()
    program.do(program.hub.wait_subscribers(1))
    program.publish(0, 1)
    program.do(program.hub.aclose())
    reading.join(20)
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("greeted by spikestream/")
    assert rest == ["spikes main.network.spikes 1"] * 2


def leave_blocking(url):
    Client(url).close()


def leave_async(url):
    async def work():
        async with subscribe(url):
            pass

    asyncio.run(work())


@pytest.mark.parametrize("leave", [leave_blocking, leave_async])
def test_leaving_sends_a_bye(leave):
    heard = []
    with answering(GREETED, None, heard=heard) as url:
        leave(url)
    said = maps(b"".join(heard))
    assert [message.get("op") for message in said] == ["hello", "sub", None]
    assert said[-1] == {}


# --- with somebody else


def numbered(seq):
    return put(maps(golden()["spikes"])[0] | {"s": seq})


@LISTEN
def test_nobody_there(listen, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for url in (f"tcp://127.0.0.1:{port}", f"unix://{tmp_path}/none.sock"):
        with pytest.raises(ClientError, match=f"nobody answers at {url}") as caught:
            listen(url)
        assert f"--publish {url}" in caught.value.remedy


@LISTEN
@pytest.mark.parametrize("url", ["", "7077", "127.0.0.1:7077", "http://127.0.0.1:7077", "tcp://127.0.0.1", "unix://"])
def test_what_is_no_url(listen, url):
    with pytest.raises(ConfigError, match="is not a URL to subscribe to"):
        listen(url)


@LISTEN
def test_a_wrong_argument_is_found_before_anything_is_sent(listen):
    with pytest.raises(ConfigError, match="are not topics"):
        listen("tcp://127.0.0.1:1", topics=["a..b"])
    with pytest.raises(ConfigError, match="unknown policy"):
        listen("tcp://127.0.0.1:1", policy="newest")


@LISTEN
@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], "no spikestream server"),
        ([b""], "without a bye"),
        ([put({"op": "hello", "v": 7})], "speaks version 7"),
        ([error_frame("full", "all 256 places are taken")], "all 256 places are taken"),
        ([HELLO.frame[:50]], "without a bye"),
        ([HELLO.frame, error_frame("policy", "no such policy here")], "no such policy here"),
    ],
)
def test_who_does_not_greet_is_no_server(listen, parts, text):
    with answering(*parts) as url, pytest.raises(ClientError, match=text):
        listen(url)


@LISTEN
def test_who_says_nothing_is_not_waited_for(listen, monkeypatch):
    for client in (blocking, subscription):
        monkeypatch.setattr(client, "HANDSHAKE_S", 0.05)
    with answering(None) as url, pytest.raises(ClientError, match="says nothing") as caught:
        listen(url)
    assert "7077" in caught.value.remedy


@LISTEN
def test_a_server_that_ends_at_once_is_an_empty_stream(listen):
    with answering(HELLO.frame + BYE) as url:
        assert listen(url) == []


def collect_async(url):
    async def work():
        found = []
        try:
            async with asyncio.timeout(20), subscribe(url) as messages:
                async for message in messages:
                    found.append(message.seq)  # noqa: PERF401  # what came before an error has to be kept
        except ClientError as error:
            return found, error
        return found, None

    return asyncio.run(work())


def collect_blocking(url):
    found = []
    try:
        with Client(url) as messages:
            found.extend(message.seq for message in messages)
    except ClientError as error:
        return found, error
    return found, None


@pytest.mark.parametrize("collect", [collect_async, collect_blocking])
@pytest.mark.parametrize(
    ("frames", "seen", "text"),
    [
        ([numbered(3), numbered(4), BYE], [3, 4], ""),
        ([numbered(3), loss_frame(TOPIC, 4, 9, 2), numbered(9), BYE], [3, 4, 9], ""),
        ([numbered(3), numbered(5), BYE], [3], "no gap says why"),
        ([numbered(3), error_frame("slow", "too slow")], [3], "too slow"),
        ([numbered(3), numbered(4)[:20]], [3], "without a bye"),
        ([numbered(3), b"\xff\xff\xff\xff"], [3], "is larger than"),
        ([numbered(3), b"\x01\x00\x00\x00\xc1"], [3], "is not a message"),
    ],
)
def test_what_came_before_an_error_is_handed_out_first(collect, frames, seen, text):
    with answering(GREETED + b"".join(frames)) as url:
        found, error = collect(url)
    assert found == seen
    assert (error is None) == (text == "")
    assert text in str(error or "")


def test_a_gap_is_counted():
    with answering(GREETED + numbered(3) + loss_frame(TOPIC, 4, 9, 17) + numbered(9) + BYE) as url:
        messages = Client(url)
        assert [message.lost for message in messages] == [False, True, False]
        messages.close()
    count = messages.counts[TOPIC]
    assert (count.messages, count.rows, count.gaps, count.missing, count.missing_rows) == (2, 2, 1, 5, 17)


def test_the_blocking_client_needs_no_asyncio_and_neither_needs_numba():
    names = "asyncio", "numba", "aiohttp", "sounddevice"
    code = f"import sys, spikestream.client; sys.exit(' '.join(n for n in {names} if n in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- terms, and after a break


class Restarting:
    """Programs one after another at the same path, whose numbers go on where a log is kept."""

    def __init__(self, path, log=None):
        self.path, self.log, self.numbers, self.started = path, log, {}, 0
        self.start()

    def start(self):
        self.started += 1
        log, numbers = self.log, self.numbers if self.log else {}

        class Kept(Unix):
            def send(self, message):
                if log is not None:
                    log.append(message)
                super().send(message)

        epoch = "log" if log is not None else f"run{self.started}"
        self.program = Program(Kept(str(self.path)), epoch=epoch, past=log, numbers=numbers)

    def restart(self, *meanwhile):
        self.numbers = self.program.hub.numbers()
        self.program.close()
        self.start()
        self.program.publish(*meanwhile)


@pytest.mark.parametrize("kept", [True, False])
def test_the_blocking_client_goes_on_after_a_restart(tmp_path, kept):
    programs = Restarting(tmp_path / "s", Log((TOPIC,), 10**6) if kept else None)
    programs.program.publish(0, 1)
    with Client(programs.program.url, reconnect=20) as messages:
        programs.program.publish(2, 3)
        assert [next(messages).data["t"][0] for _ in range(2)] == [2, 3]
        for first in (10, 20):
            programs.restart(first, first + 1)
            found = [next(messages) for _ in range(2 if kept else 3)]
            assert [message.data["t"][0] for message in found if not message.lost] == [first, first + 1]
            whys = [(message.n, message.data["why"]) for message in found if message.lost]
            assert whys == ([] if kept else [(0, "reconnect")])
        count = messages.counts[TOPIC]
        assert (count.messages, count.missing, count.first) == ((6, 0, 2) if kept else (2, 0, 0))
        programs.program.publish(30)
        assert next(messages).data["t"][0] == 30
    programs.program.close()


def test_the_async_client_goes_on_after_a_restart(tmp_path):
    programs = Restarting(tmp_path / "s", Log((TOPIC,), 10**6))

    async def work():
        async with asyncio.timeout(20), subscribe(programs.program.url, reconnect=20) as messages:
            programs.program.publish(2)
            assert (await anext(messages)).seq == 0
            await asyncio.to_thread(programs.restart, 3, 4)
            assert [(await anext(messages)).seq for _ in range(2)] == [1, 2]
            await asyncio.to_thread(programs.restart, 5)
            assert (await anext(messages)).seq == 3
            assert messages.counts[TOPIC].messages == 4

    asyncio.run(work())
    programs.program.close()


def test_what_was_counted_outlives_tries_in_vain_and_a_reset_at_once_is_one_of_them(tmp_path, monkeypatch):
    connect = blocking.connect

    def late(place, seconds, context):
        """Connect as ever, and go on once the other end has said or done something."""
        made = connect(place, seconds, context)
        select.select([made], [], [], 20)
        return made

    monkeypatch.setattr(blocking, "connect", late)
    log = Log((TOPIC,), 10**6)
    first = Program(Tcp("127.0.0.1:0"), past=log)
    port = int(first.url.rpartition(":")[2])
    messages = Client(first.url, reconnect=20)
    first.publish(0, 1)
    assert [next(messages).seq for _ in range(2)] == [0, 1]
    first.close()
    second = []

    def come_back():
        with socket.create_server(("127.0.0.1", port)) as dying:
            connection, _ = dying.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        second.append(Program(Tcp(f"127.0.0.1:{port}"), past=log, numbers={TOPIC: 2}))
        second[0].publish(2)

    thread = threading.Thread(target=come_back)
    thread.start()
    try:
        numbers = [next(messages).seq]
    finally:
        thread.join(20)
        messages.close()
        second[0].close()
    assert (numbers, messages.counts[TOPIC].messages) == ([2], 3)


@LISTEN
def test_a_connection_that_breaks_is_made_again_and_what_was_missed_comes(listen, tmp_path, monkeypatch):
    log = Log((TOPIC,), 100)
    program = Program(Unix(str(tmp_path / "s")), past=log)
    program.publish(*range(5))
    cut = []

    async def cut_once(hub):
        for connection in tuple(hub.outputs[0]._connections):
            connection.abort()

    def publish_more():
        for first in (5, 10):
            program.do(program.hub.wait_subscribers(1))
            program.publish(*range(first, first + 5))
            if not cut:
                cut.append(True)
                program.do(cut_once(program.hub))
        program.do(program.hub.drain())
        program.close()

    thread = threading.Thread(target=publish_more)
    thread.start()
    found = listen(f"unix://{tmp_path / 's'}", since="all", reconnect=1.0)
    thread.join()
    assert [message.seq for message in found] == list(range(15))


@LISTEN
def test_who_does_not_come_back_in_time_is_an_end_or_an_error(listen, tmp_path):
    with answering(GREETED.replace(golden()["sub-answer"], RECOVERED) + numbered(0) + BYE, once=True) as url:
        assert [message.seq for message in listen(url, reconnect=0.1)] == [0]
    with (
        answering(GREETED.replace(golden()["sub-answer"], RECOVERED) + numbered(0), once=True) as url,
        pytest.raises(ClientError, match="without a bye"),
    ):
        listen(url, reconnect=0.1)


@LISTEN
def test_credit_is_given_back_for_what_was_handed_out(listen):
    program = Program(Tcp("127.0.0.1:0"))
    program.publish(*range(400))
    thread = threading.Thread(target=lambda: (program.do(program.hub.wait_subscribers(1)), program.close()))
    thread.start()
    found = listen(program.url, since="all", credit=3, policy="disconnect")
    thread.join()
    assert [message.seq for message in found][:1] == [0]
    assert sum(message.n for message in found) == 400


def test_rates_and_rows_are_counted_as_asked_for(program):
    with Client(program.url, max_rate=1, decimate=3) as messages:
        program.publish(*range(100))
        program.do(program.hub.aclose())
        assert [message.lost for message in messages] == [False, True]
    count = messages.counts[TOPIC]
    assert (count.messages, count.missing, count.left_out, count.left_out_rows) == (1, 0, 99, 99)


@pytest.mark.parametrize(
    ("since", "told"),
    [("all", "not all of that is kept"), ("0ld:7", "the epoch is 7f3a now"), ("7f3a:7", "not all of that is kept")],
)
def test_subscribe_tells_that_what_it_asked_for_is_not_there(since, told, capsys):
    for recovered in (False, True):
        answer = put({"op": "sub", "id": 1, "recovered": recovered, "first": {}})
        with answering(GREETED.replace(golden()["sub-answer"], answer) + BYE, once=True) as url:
            assert main(["subscribe", url, "--since", since]) == 0
        assert (told in capsys.readouterr().err) is not recovered
