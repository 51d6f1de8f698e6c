"""`record` of live sensors: whatever comes, it goes on, and what came is in the file or counted."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import resource
import signal
import socket
import subprocess
import termios
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from cli import PATIENCE_S, spikestream, start
from inprocess import called
from live_cases import by_hand, free_port, rows, stream_of, taking
from running import run
from test_dv import on_the_line, serving

import spikestream as ss
from spikestream.sensors.base.inflow import TURN
from spikestream.sensors.base.timeline import FAR_US
from spikestream.sensors.dv import Dv
from spikestream.sensors.udp import Udp
from spikestream.service.filing import Filing


@contextmanager
def recording(target: Path, *args: object, most_bytes: int = 0, **options: object):
    """Yield what sends datagrams to a process that records them, and the process, once it listens.

    A file of it has no more than ``most_bytes``, where they are said: then its disk is full.
    """

    def limited() -> None:
        if most_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    port = free_port(socket.SOCK_DGRAM)
    query = "&".join(f"{name}={value}" for name, value in {"size": "320x240", **options}.items())
    with (
        start("record", f"udp://127.0.0.1:{port}?{query}", target, *args, preexec_fn=limited) as process,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        try:
            while not _waiting(port):
                assert process.poll() is None, process.communicate()

            def send(events) -> int:
                sender.sendto(by_hand("faery", events), ("127.0.0.1", port))
                return port

            yield send, process
        finally:
            process.kill()


def _waiting(port: int) -> list[str]:
    """Return what waits for those who listen at a port, without being there for a moment oneself."""
    rows = (line.split() for line in Path("/proc/net/udp").read_text().splitlines())
    return [row[4] for row in rows if row[1] == f"0100007F:{port:04X}"]


def drained(port: int) -> None:
    """Return when all datagrams that were sent to a port have been read."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if all(queues.endswith(":00000000") for queues in _waiting(port)):
            return
    raise TimeoutError


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a process that ends; its standard input ends after it."""
    process.wait(PATIENCE_S)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in err
    return process.returncode, out, err


# Stamps that leap.


def test_a_datagram_with_a_forged_stamp_stops_nothing(tmp_path):
    forged, events = stream_of(2), stream_of(400, step_us=1_000)
    forged["t"] = 0, 1 << 60
    with recording(tmp_path / "x.csv", "--for", "100ms", slack_us=10_000_000) as (send, process):
        for k in range(0, 400, 10):
            send(forged)
            send(events[k : k + 10])
        code, _, err = ended(process)
    assert code == 0, err
    got = ss.read(tmp_path / "x.csv").data
    assert got.tolist() == events[: len(got)].tolist()
    assert len(got) > 20
    assert "dropped by the sensor: of another time" in err


def test_a_stamp_with_a_bit_turned_over_costs_that_event_alone(tmp_path):
    events = stream_of(2_000)
    bad = events.copy()
    bad["t"][700] ^= 1 << 58
    with serving(on_the_line(bad)) as port:
        done = spikestream("record", f"dv://127.0.0.1:{port}", tmp_path / "x.csv", code=4)
    assert ss.read(tmp_path / "x.csv").data.tolist() == np.delete(events, 700).tolist()
    assert "1 dropped by the sensor: of another time" in done.stderr


def test_a_text_whose_first_stamp_is_of_another_time_is_recorded_with_a_gap(tmp_path):
    (tmp_path / "in.csv").write_text("t,x,y,p\n0,1,1,1\n1700000000000000,2,2,1\n1700000000000500,2,2,1\n")
    with subprocess.Popen(["cat", tmp_path / "in.csv"], stdout=subprocess.PIPE) as cat:
        done = spikestream("record", "stdin://?format=csv&size=4x4", tmp_path / "x.csv", stdin=cat.stdout)
    assert ss.read(tmp_path / "x.csv").data["t"].tolist() == [0, 1_700_000_000_000_000, 1_700_000_000_000_500]
    assert "µs of gaps" in done.stderr
    assert "too slow" not in done.stderr


def test_the_loop_goes_round_while_an_array_with_many_leaps_is_taken():
    events, seen = stream_of(900), [0]
    events["t"] = np.arange(900) * (FAR_US + 1)

    async def work() -> None:
        async with taking(Dv(f"127.0.0.1:{port}")) as batches, asyncio.timeout(PATIENCE_S):
            while len(rows(batches)) < 899:
                await asyncio.sleep(0)
                seen.append(len(batches))

    with serving(on_the_line(events), close=False) as port:
        run(work())
    assert max(np.diff(seen)) <= TURN


# What cannot be written.


def test_what_a_format_cannot_hold_ends_a_recording_and_what_came_before_is_its_file(tmp_path):
    events = stream_of(900, first=8_380_000, step_us=100, size=(34, 34))  # 8,388,608 µs are too many
    with recording(tmp_path / "x.bin", size="34x34", slack_us=10_000_000) as (send, process):
        for k in range(0, 900, 10):
            send(events[k : k + 10])
        code, _, err = ended(process)
    got = ss.read(tmp_path / "x.bin").data
    assert (code, os.listdir(tmp_path)) == (3, ["x.bin"])
    assert len(got) > 20
    assert got.tolist() == events[: len(got)].tolist()
    assert f"the {len(got):,} events before are in the file" in err
    assert "error: " in err
    assert "does not fit an N-MNIST .bin" in err


def test_where_the_disk_is_full_what_was_written_is_kept_as_a_part(tmp_path):
    events = stream_of(10_000)
    (tmp_path / "x.csv").write_text("older")
    with recording(tmp_path / "x.csv", "-f", most_bytes=30_000, slack_us=10_000_000) as (send, process):
        for k in range(0, 10_000, 100):
            send(events[k : k + 100])
        code, _, err = ended(process)
    assert code == 3
    assert sorted(os.listdir(tmp_path)) == ["x.csv", "x.csv.part"]
    assert (tmp_path / "x.csv").read_text() == "older"
    assert "x.csv: cannot be written: File too large" in err
    assert "what was written before is kept as" in err
    called("convert", tmp_path / "x.csv.part", tmp_path / "y.csv", "--partial")
    got = ss.read(tmp_path / "y.csv").data
    assert len(got) > 1_000
    assert got.tolist() == events[: len(got)].tolist()


# What waits for its time.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("length_us", [10_000, 1_000_000])
def test_what_came_before_a_signal_is_in_the_file(number, length_us, tmp_path):
    events = stream_of(1_500, step_us=1_000)
    with recording(tmp_path / "x.csv", "--strict", length_us=length_us, slack_us=10_000_000) as (send, process):
        for k in range(0, 1_500, 100):
            port = send(events[k : k + 100])
        drained(port)
        process.send_signal(number)
        code, out, err = ended(process)
    assert (code, err) == (128 + number, "")
    assert ss.read(tmp_path / "x.csv").data.tolist() == events.tolist()
    assert "1,500 events" in out


def test_what_came_before_the_end_by_the_clock_is_in_the_file_as_far_as_its_time_has_come(tmp_path):
    events = stream_of(100, step_us=1_000)
    events["t"] = 1_000_000 + 1_000 * np.arange(100)
    with recording(tmp_path / "x.csv", "--for", "70ms", length_us=50_000, slack_us=10_000_000) as (send, process):
        send(events[:60])
        send(events[60:])
        code, _, err = ended(process)
    assert (code, err) == (0, "")
    assert ss.read(tmp_path / "x.csv").data.tolist() == events[:69].tolist()  # time begins a hold_us before them


def test_the_account_of_a_recording_that_is_ended_closes(tmp_path):
    """Of each kind: what came is what was sent and left out, and nothing waits."""
    events = stream_of(3_000)
    events["x"][::7] = 400

    async def kept(sensor, came) -> int:
        filing = Filing(sensor, "it")
        task = asyncio.create_task(filing.run(lambda batches: sum(map(len, batches))))
        async with asyncio.timeout(PATIENCE_S):
            while came(sensor) < len(events):
                await asyncio.sleep(0.001)
        filing.end()
        count = await task
        assert filing.lost() == {"dropped by the sensor: outside": 429}
        return count

    sensor = Udp("127.0.0.1:0", size="320x240", slack_us=10_000_000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for k in range(0, 3_000, 100):
            sender.sendto(by_hand("faery", events[k : k + 100]), ("127.0.0.1", int(sensor.url.rpartition(":")[2])))
    sensors = [sensor]
    with serving(on_the_line(events, size=(640, 480)), close=False) as port:
        sensors.append(Dv(f"127.0.0.1:{port}", size="320x240", slack_us=10_000_000))
        for sensor in sensors:
            count = run(kept(sensor, lambda one: one.intake()[1]))
            assert count == sensor.sent == 3_000 - 429
            assert sensor.intake()[1:] == (3_000, {}, {"outside": 429, "of another time": 0}, 0)


# Rows of text.


def typed(process: subprocess.Popen, text: str) -> None:
    """Write to a process, and return when it has read that."""
    process.stdin.write(text)
    process.stdin.flush()
    left = array.array("i", [1])
    while left[0]:
        fcntl.ioctl(process.stdin, termios.FIONREAD, left)
        assert process.poll() is None


def rows_of(events) -> str:
    return "".join(f"{t},{x},{y},{int(p)}\n" for t, x, y, p in events.tolist())


@pytest.mark.parametrize("header", ["t,x,y,p\n", ""])
@pytest.mark.parametrize("count", [3, 40])
def test_rows_that_came_before_a_signal_are_in_the_file(header, count, tmp_path):
    events = stream_of(count, first=1_000_000)
    uri = "stdin://?format=csv&size=320x240&slack_us=10000000"
    with start("record", uri, tmp_path / "x.csv", "--strict", stdin=subprocess.PIPE) as process:
        typed(process, header + rows_of(events) + "12345")  # half a row is none
        process.send_signal(signal.SIGINT)
        code, _, err = ended(process)
    assert (code, err) == (130, "")
    assert ss.read(tmp_path / "x.csv").data.tolist() == events.tolist()


def test_rows_that_leave_a_doubt_when_a_signal_comes_are_told_of(tmp_path):
    uri = "stdin://?format=csv&size=320x240"
    with start("record", uri, tmp_path / "x.csv", stdin=subprocess.PIPE) as process:
        typed(process, "1,2,3,1\n2,3,3,0\n")
        process.send_signal(signal.SIGINT)
        code, _, err = ended(process)
    assert code == 130
    assert "the rows fit" in err
    assert os.listdir(tmp_path) == []


def test_a_table_whose_size_nobody_tells_is_taken_as_large_as_its_first_rows_and_that_is_told(tmp_path):
    rows = subprocess.run(["printf", "t,x,y,p\n1,2,3,1\n5,200,30,0\n"], stdout=subprocess.PIPE, check=True)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        cat.stdin.write(rows.stdout)
        cat.stdin.close()
        done = spikestream("record", "stdin://?format=csv", tmp_path / "x.csv", stdin=cat.stdout)
    assert ss.read(tmp_path / "x.csv").data["t"].tolist() == [1, 5]
    assert "no sensor size is stored" in done.stderr
