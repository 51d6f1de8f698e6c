"""`record` of a live sensor that says nothing: it ends with its time, tells so, and no file is left."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest
from inprocess import called
from live_cases import SIZE, by_hand, free_port, python, stream_of
from plainformat import install
from test_dv import on_the_line, serving

import spikestream as ss
from spikestream.service import filing

SILENT_HUB = """
import asyncio, sys
from spikestream.outputs.tcp import Tcp
from spikestream.service.hub import Hub
async def main():
    hub = Hub([Tcp(f"127.0.0.1:{sys.argv[1]}")], epoch="5eed")
    await hub.start()
    print("there", flush=True)
    await asyncio.sleep(3_600)
asyncio.run(main())
"""
MUTE = """
import asyncio, os
class Mute:
    size, live, sent = (34, 34), True, 0
    def __init__(self, location, *, signal):
        self.signal = int(signal)
    async def batches(self, start=0):
        os.kill(os.getpid(), self.signal)
        await asyncio.sleep(3_600)
        yield
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Let a sensor begin within half a second."""
    monkeypatch.setattr(filing, "BEGIN_S", 0.5)


def udp() -> str:
    return f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}?size=320x240"


def refused(uri: str, folder: Path, *more: object) -> str:
    """Return what ``record`` says of a sensor from which nothing comes."""
    done = called("record", uri, folder / "x.aedat4", "--for", "100ms", *more, code=4)
    assert f"error: nothing came from {uri} in " in done.stderr
    assert done.stdout == ""
    return done.stderr


def test_datagrams_that_nobody_sends(tmp_path):
    said = refused(udp(), tmp_path)
    assert "nobody sends there yet" in said
    assert "try: start what sends" in said
    assert os.listdir(tmp_path) == []


def test_a_camera_that_sends_its_header_and_no_event(tmp_path):
    with serving(on_the_line(stream_of(0)), close=False) as port:
        refused(f"dv://127.0.0.1:{port}", tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_publisher_that_publishes_nothing(tmp_path):
    port = free_port()
    with python(SILENT_HUB, port) as process:
        assert process.stdout.readline() == "there\n"
        refused(f"tcp://127.0.0.1:{port}?size=320x240", tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_was_there_before_stays(tmp_path):
    (tmp_path / "x.aedat4").write_bytes(b"older")
    refused(udp(), tmp_path, "-f")
    assert (tmp_path / "x.aedat4").read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["x.aedat4"]


def test_datagrams_of_another_layout_are_told_of(tmp_path):
    uri, over = udp(), threading.Event()
    port = int(uri.partition("?")[0].rpartition(":")[2])

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not over.wait(0.01):
                sender.sendto(by_hand("faery", stream_of(10)) + b"more", ("127.0.0.1", port))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        said = refused(uri, tmp_path)
    finally:
        over.set()
        thread.join()
    assert "what came is not what the sensor takes: " in said
    assert " cut\n" in said
    assert "nobody sends" not in said
    assert os.listdir(tmp_path) == []


def test_one_that_fails_before_it_sends_is_the_error_and_leaves_no_file(tmp_path):
    with serving(on_the_line(stream_of(0))) as port:
        done = called("record", f"dv://127.0.0.1:{port}", tmp_path / "x.aedat4", code=4)
    assert f"dv://127.0.0.1:{port} has ended the connection" in done.stderr
    assert "nothing came" not in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_waiting_and_writes_nothing(number, monkeypatch, tmp_path):
    site, folder = tmp_path / "site", tmp_path / "folder"
    site.mkdir()
    install(site, "mute", "[spikestream.sensors]\nmute = mute:Mute\n")
    (site / "mute.py").write_text(MUTE)
    folder.mkdir()
    monkeypatch.syspath_prepend(site)
    done = called("record", f"mute://?signal={int(number)}", folder / "x.aedat4", code=128 + number)
    assert "warning: nothing came from mute://" in done.stderr
    assert "x.aedat4 was not written" in done.stderr
    assert os.listdir(folder) == []


def test_what_falls_silent_ends_by_the_clock_and_what_came_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(filing, "BEGIN_S", 3_600)
    events = stream_of(400, size=SIZE)
    with serving(on_the_line(events), close=False) as port:
        called("record", f"dv://127.0.0.1:{port}?slack_us=10000000", tmp_path / "x.aedat4", "--for", "100ms")
    assert ss.read(tmp_path / "x.aedat4").data.tolist() == events.tolist()  # also what waited for its time


def test_one_that_takes_longer_to_begin_than_it_is_recorded_is_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(filing, "BEGIN_S", 3_600)
    data = on_the_line(stream_of(2_000, size=SIZE))
    header = 4 + int.from_bytes(data[:4], "little")
    with serving(data[:header], data[header:], close=False, pause_s=0.3) as port:
        done = called("record", f"dv://127.0.0.1:{port}", tmp_path / "x.aedat4", "--for", "50ms")
    assert "events, 50 ms" in done.stdout
