"""Outputs of a daemon that fail: alone, told of, and opened again; what they were not given is accounted for."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import contextmanager

import aiohttp
import pytest
from daemon_cases import plugin, steered, until
from hubtools import TOPIC, events, run, serving, turns
from test_http import samples
from wirebytes import Raw, span

from spikestream.cli.status import lines
from spikestream.client import subscribe
from spikestream.config.sections import RestartConfig
from spikestream.errors import ClientError
from spikestream.outputs.file import File
from spikestream.outputs.tcp import Tcp
from spikestream.outputs.unix import Unix
from spikestream.service import tended
from spikestream.service.backoff import Backoff
from spikestream.service.tended import Tended
from spikestream.wire import ClientSession

__all__ = ["plugin"]
QUICK = RestartConfig(base_s=1e-3, cap_s=2e-3)


@contextmanager
def full_disk():
    """Let no file grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def again(make):
    """Return an output that is opened again at once."""
    return Tended(make, Backoff(QUICK))


def read(path):
    """Return the count of the only topic in a file of the wire."""
    session = ClientSession()
    session.subscribe([">"])
    list(session.receive(path.read_bytes()))
    return session.counts[TOPIC]


def total(hub):
    """Return due, sent and dropped messages of all accounts together, none of which may be out."""
    ledger = hub.ledger()
    assert ledger.problems() == []
    flows = [flow for one in ledger.subscribers for flow in one.flows.values()]
    return tuple(sum(getattr(flow, name).messages for flow in flows) for name in ("due", "sent", "dropped"))


def test_a_full_disk_costs_the_file_what_came_meanwhile_and_nothing_else(tmp_path, caplog):
    path = tmp_path / "x.ssp"

    async def work():
        async with serving(again(lambda: File(str(path))), Unix(str(tmp_path / "s"))) as hub:
            file, _ = hub.outputs
            there = await Raw(hub.outputs[1].url).subscribe(">")
            for seq in range(3):
                hub.publish(TOPIC, events(seq * 1_000))
            with full_disk():
                for seq in range(3, 7):
                    hub.publish(TOPIC, events(seq * 1_000))
                assert not file.up
                assert "cannot be written" in file.status()["error"]
                await until(lambda: file.failures >= 3)
            await until(lambda: file.up)
            for seq in range(7, 9):
                hub.publish(TOPIC, events(seq * 1_000))
            await turns()
            assert total(hub) == (18, 9 + 5, 4)
            reading = asyncio.create_task(there.read_all())
        assert span(await reading)[TOPIC] == (0, 9, 9_000, 0)

    run(work())
    assert (read(path).first, read(path).next, read(path).rows) == (7, 9, 2_000)
    kept = (tmp_path / "x.ssp.part-1").read_bytes()
    session = ClientSession()
    session.subscribe([">"])
    assert [message.seq for message in session.receive(kept) if hasattr(message, "seq")] == [0, 1, 2]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.ssp", "x.ssp.part-1"]
    assert caplog.text.count("has failed") == 1
    assert "is back; 3 messages were published meanwhile" in caplog.text


def test_pipelines_go_on_while_an_output_is_down(tmp_path, plugin, monkeypatch):
    monkeypatch.setattr(tended, "RETRY", QUICK)
    url = f"unix://{tmp_path}/s"
    publish, http = {"urls": [url, f"file://{tmp_path}/x.ssp"]}, {"url": "http://127.0.0.1:0"}

    async def told(made):
        async with subscribe(url, ()) as asking:
            status = await asking.status()
        async with aiohttp.ClientSession(made.daemon.http.url) as client, client.get("/metrics") as answer:
            return status, samples(await answer.text())

    async def work():
        async with steered(plugin, tmp_path, "left", "right", publish=publish, http=http) as made:
            file = made.daemon.hub.outputs[1]
            await made.step(name="left")
            with full_disk():
                await made.step(2, name="left")
                await made.step(2, name="right")
                await until(lambda: file.failures >= 2)
                status, metrics = await told(made)
                place = (("url", file.url),)
                assert [one["up"] for one in status["outputs"]] == [True, False]
                assert "cannot be written" in status["outputs"][1]["error"]
                assert any("down after" in line for line in lines(status))
                assert metrics["spikestream_output_up", place] == 0
                assert metrics["spikestream_output_failures_total", place] >= 2
            await until(lambda: file.up)
            await made.step(name="right")
            status, metrics = await told(made)
            assert metrics["spikestream_output_up", place] == 1
            assert any("back after" in line for line in lines(status))
            assert [one.restarts for one in made.daemon.supervisors.values()] == [0, 0]
        assert made.daemon.problems() == []

    run(work())


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_port_that_died_is_opened_again(kind, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    path = tmp_path / "s"

    async def work():
        output = again(lambda: Tcp(place) if kind == "tcp" else Unix(str(path)))
        async with serving(output) as hub:
            there = await Raw(output.url).subscribe(">")
            hub.publish(TOPIC, events(0))
            if kind == "tcp":
                output._life.output._door._sockets[0].shutdown(socket.SHUT_RDWR)
            else:
                path.unlink()
                output._life.output.beat()
            await until(lambda: output._life.output.broken)
            hub.publish(TOPIC, events(1_000))
            await until(lambda: output.up)
            assert output.failures == 1
            seen = await there.read_all()
            assert span(seen)[TOPIC][0] == 0, "who was there was told goodbye"
            assert seen[-1] == {}
            late = await Raw(output.url).subscribe(">")
            hub.publish(TOPIC, events(2_000))
            assert (await late.read())["s"] == 2
            assert hub.ledger().problems() == []
            late.close()

    run(work())


class Mad(File):
    """A plugin's output, which fails by an error of its own, and for a while cannot be opened."""

    tries = 0

    async def start(self, hello, published):
        Mad.tries += 1
        if 1 < Mad.tries < 4:
            raise ZeroDivisionError("by itself")
        await super().start(hello, published)

    def send(self, message):
        if message.seq in (1, 4):
            raise ZeroDivisionError("by itself")
        super().send(message)


def test_whatever_an_output_raises_it_fails_alone(tmp_path, caplog):
    Mad.tries = 0

    async def work():
        async with serving(again(lambda: Mad(str(tmp_path / "x.ssp")))) as hub:
            (output,) = hub.outputs
            for seq in range(3):
                hub.publish(TOPIC, events(seq * 1_000))
            await until(lambda: output.up)
            hub.publish(TOPIC, events(3_000))
            assert (output.failures, Mad.tries) == (3, 4)
            assert output.status()["error"] == "ZeroDivisionError: by itself"
            assert total(hub) == (4, 2, 2)
            hub.publish(TOPIC, events(4_000))
            await until(lambda: output.up)
            assert total(hub) == (5, 2, 3)

    run(work())
    assert caplog.text.count("has failed, and is tried again: by itself") == 2, "tries that end the same are told once"


def test_what_cannot_be_opened_at_first_is_an_error(tmp_path):
    async def work():
        with pytest.raises(ClientError, match="cannot listen"):
            async with serving(again(lambda: Unix(str(tmp_path / "no" / "s")))):
                pass

    run(work())


def test_one_that_is_down_at_the_end_keeps_nobody(tmp_path):
    async def work():
        async with serving(again(lambda: File(str(tmp_path / "x.ssp")))) as hub:
            hub.publish(TOPIC, events(0))
            with full_disk():
                hub.publish(TOPIC, events(1_000))
                await hub.drain()
                await hub.aclose()
            assert total(hub) == (2, 1, 1)

    run(work())
