"""Where a hub can be reached, who is let in, and what becomes of those who do not behave."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys

import pytest
from hubtools import LOCAL, account, room_for, run, serving, tiny, turns
from wirebytes import Raw, put, span

from spikestream.batch import no_events
from spikestream.errors import ClientError, ConfigError, PluginError, RecordingError, SpikestreamError
from spikestream.outputs.base import open_output
from spikestream.outputs.file import File
from spikestream.outputs.tcp import Tcp
from spikestream.outputs.unix import Unix
from spikestream.service.hub import Hub

# --- connections


def test_a_bye_ends_every_connection_and_nobody_else_is_let_in():
    async def work():
        async with serving() as hub:
            url = hub.outputs[0].url
            raw, silent = await Raw(url).subscribe("*"), await Raw(url).connect()
            await silent.read()
            await hub.aclose()
            assert await raw.read_all() == [{}]
            assert await silent.read_all() == [{}]
            with pytest.raises(ConnectionRefusedError):
                await Raw(url).connect()

    run(work())


def test_a_client_that_says_bye_is_answered_and_forgotten():
    async def work():
        async with serving() as hub:
            raw = await Raw(hub.outputs[0].url).subscribe("*")
            hub.publish("main.network.spikes", tiny(0))
            await raw.send_bytes(bytes(4))
            assert [m.get("s", m) for m in await raw.read_all()] == [0, {}]
            assert hub.subscribers == 0
            hub.publish("main.network.spikes", tiny(1))
            assert account(hub) == (1, 1, 0, 0)

    run(work())


def test_who_does_not_answer_the_greeting_is_cut():
    async def work():
        async with serving(Tcp(LOCAL, handshake_s=0.05)) as hub:
            silent = await Raw(hub.outputs[0].url).connect()
            hello, error = await silent.read_all()
            assert (hello["op"], error["op"], error["code"]) == ("hello", "error", "timeout")
            quick = await Raw(hub.outputs[0].url).subscribe("*")
            other = await Raw(hub.outputs[0].url).connect()
            assert len(await other.read_all()) == 2
            hub.publish("main.network.spikes", tiny(0))
            assert (await quick.read())["s"] == 0, "the time limit is for the greeting only"

    run(work())


def test_there_are_so_many_places_and_no_more():
    async def work():
        async with serving(Tcp(LOCAL, max_connections=2)) as hub:
            url = hub.outputs[0].url
            first, _second = await Raw(url).subscribe("*"), await Raw(url).connect()
            (refusal,) = await (await Raw(url).connect()).read_all()
            assert (refusal["op"], refusal["code"]) == ("error", "full")
            first.close()
            while hub.subscribers:
                await asyncio.sleep(0)
            await turns()
            third = await Raw(url).subscribe("*")
            third.close()

    run(work())


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n", put({"op": "sub", "id": 1, "topics": ["*"]}), b"\x01\0\0\0\xc1"]
)
def test_noise_is_answered_with_an_error_and_hurts_nobody(noise, caplog):
    async def work():
        async with serving() as hub:
            raw = await Raw(hub.outputs[0].url).subscribe("*")
            noisy = await Raw(hub.outputs[0].url).connect()
            await noisy.send_bytes(noise)
            assert (await noisy.read_all())[-1]["op"] == "error"
            hub.publish("main.network.spikes", tiny(0))
            assert (await raw.read())["s"] == 0

    with caplog.at_level(logging.WARNING):
        run(work())
    assert [record for record in caplog.records if "is cut" in record.getMessage()]


def test_the_hub_waits_for_subscribers():
    async def work():
        async with serving() as hub:
            waiting = asyncio.create_task(hub.wait_subscribers(2))
            first = await Raw(hub.outputs[0].url).subscribe("*")
            await turns()
            assert not waiting.done()
            second = await Raw(hub.outputs[0].url).subscribe("nobody.sends.this")
            await waiting
            first.close()
            second.close()

    run(work())


def test_what_cannot_be_published_is_refused():
    hub = Hub([], epoch="5eed")
    for topic in ("main", "main.*.events", "main.filter.events.x"):
        with pytest.raises(ConfigError, match="is not a topic"):
            hub.publish(topic, no_events(0, 1))
    with pytest.raises(ConfigError, match="is for spikes, not events"):
        hub.publish("main.filter.spikes", no_events(0, 1))
    with pytest.raises(SpikestreamError, match="int is not published"):
        hub.publish("main.filter.events", 5)
    assert all(tally.messages == 0 for tally in hub.ledger().published.values())


# --- places


@pytest.mark.parametrize("location", ["0.0.0.0:7077", "192.168.1.5:7077", "[::]:7077", "example.org:7077", ":7077"])
def test_tcp_stays_at_home(location):
    with pytest.raises(ConfigError, match="only loopback addresses") as caught:
        Tcp(location)
    assert "tcp://127.0.0.1:7077" in caught.value.remedy


@pytest.mark.parametrize("location", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1"])
def test_an_address_needs_a_port(location):
    with pytest.raises(ConfigError):
        Tcp(location)


def test_a_port_in_use_is_named_with_its_owner():
    async def work():
        async with serving() as hub:
            port = hub.outputs[0].url.rpartition(":")[2]
            assert int(port) > 0
            second = Hub([Tcp(LOCAL), Tcp(f"127.0.0.1:{port}")], epoch="5eed")
            with pytest.raises(ClientError, match=rf"^port {port} on 127.0.0.1 is in use") as caught:
                await second.start()
            assert caught.value.exit_code == 5
            assert caught.value.remedy == "subscribe to it, or pass --publish tcp://127.0.0.1:0"
            if sys.platform == "linux":
                assert f" by pid {os.getpid()} (" in caught.value.what
            assert second.outputs[0].url != Tcp(LOCAL).url
            with pytest.raises(ConnectionRefusedError):
                await Raw(second.outputs[0].url).connect()

    run(work())


def test_a_unix_socket_is_for_its_owner_and_is_removed(tmp_path):
    path = tmp_path / "s.sock"

    async def work():
        async with serving(Unix(str(path))) as hub:
            assert path.stat().st_mode & 0o777 == 0o600
            raw = await Raw(hub.outputs[0].url).subscribe("*")
            with pytest.raises(ClientError, match="somebody listens"):
                await Hub([Unix(str(path))], epoch="5eed").start()
            hub.publish("main.network.spikes", tiny(0))
            assert (await raw.read())["s"] == 0
        assert not path.exists()

    run(work())


def test_a_socket_left_behind_is_replaced_and_anything_else_is_not(tmp_path):
    left, file = tmp_path / "left.sock", tmp_path / "notes.txt"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(left))
    file.write_text("mine")

    async def work():
        async with serving(Unix(str(left))) as hub:
            raw = await Raw(hub.outputs[0].url).subscribe("*")
            raw.close()
        with pytest.raises(ClientError, match="is no socket"):
            await Hub([Unix(str(file))], epoch="5eed").start()
        with pytest.raises(ClientError, match="cannot listen"):
            await Hub([Unix(str(tmp_path / "no" / "folder"))], epoch="5eed").start()
        with pytest.raises(ClientError, match="cannot listen"):
            await Hub([Unix(str(tmp_path / ("long" * 40)))], epoch="5eed").start()

    run(work())
    assert file.read_text() == "mine"


def test_a_socket_that_was_replaced_is_not_removed(tmp_path):
    path = tmp_path / "s.sock"

    async def work():
        async with serving(Unix(str(path))):
            path.unlink()
            path.write_text("somebody else's")

    run(work())
    assert path.read_text() == "somebody else's"


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    async def work():
        with pytest.raises(SpikestreamError, match="cannot be written"):
            await Hub([File(str(tmp_path / "no" / "x.ssp"))], epoch="5eed").start()

    run(work())


def test_a_file_takes_the_place_of_no_pipe_and_no_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    async def work():
        with pytest.raises(RecordingError, match="no regular file"):
            await Hub([File(str(tmp_path / "pipe"))], epoch="5eed").start()

    run(work())
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()


class Full(File):
    """A file on a disk that takes no more."""

    def send(self, message):
        raise RecordingError("cannot be written: No space left on device", file="x.ssp")


def test_an_output_that_fails_takes_no_other_down(tmp_path):
    async def work():
        hub = Hub([Full(str(tmp_path / "x.ssp")), Tcp(LOCAL)], epoch="5eed")
        await hub.start()
        raw = await Raw(hub.outputs[1].url).subscribe("*")
        for seq in range(3):
            with pytest.raises(RecordingError, match="No space left"):
                hub.publish("main.network.spikes", tiny(seq))
        await hub.aclose()
        assert span(await raw.read_all())["main.network.spikes"] == (0, 3, 3, 0)

    run(work())


def test_a_full_disk_is_told_and_what_was_written_is_kept(tmp_path):
    async def work():
        hub = Hub([File(str(tmp_path / "x.ssp"))], epoch="5eed")
        await hub.start()
        hub.publish("main.network.spikes", tiny(0))
        with (
            room_for(tmp_path / "x.ssp.part", more=10),
            pytest.raises(RecordingError, match=r"x\.ssp: cannot be written"),
        ):
            hub.publish("main.network.spikes", tiny(1))
        await hub.aclose()
        await hub.aclose()
        assert [path.name for path in tmp_path.iterdir()] == ["x.ssp.part"]

    run(work())


def test_a_file_that_was_never_completed_is_not_written_over(tmp_path):
    async def work(text):
        hub = Hub([File(str(tmp_path / "x.ssp"))], epoch="5eed")
        await hub.start()
        hub.publish("main.network.spikes", tiny(0))
        with pytest.raises(RecordingError, match="another process is writing it"):
            await File(str(tmp_path / "x.ssp")).start(hub.hello, hub.published)
        await hub.aclose()

    for n in range(1, 3):
        (tmp_path / "x.ssp.part").write_text(f"killed {n}")
        run(work(n))
        assert (tmp_path / f"x.ssp.part-{n}").read_text() == f"killed {n}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.ssp", "x.ssp.part-1", "x.ssp.part-2"]


def test_a_url_names_its_output():
    assert isinstance(open_output("tcp://127.0.0.1:0", queue_bytes=1 << 20), Tcp)
    assert isinstance(open_output("unix:///tmp/x.sock"), Unix)
    assert isinstance(open_output("file://x.ssp"), File)
    assert open_output("tcp://").url == "tcp://127.0.0.1:7077"
    with pytest.raises(ConfigError, match="is not a URL"):
        open_output("127.0.0.1:7077")
    with pytest.raises(PluginError, match="unknown output 'tpc'; did you mean 'tcp'"):
        open_output("tpc://127.0.0.1:7077")
    for url in ("unix://", "file://"):
        with pytest.raises(ConfigError, match="needs a path"):
            open_output(url)
