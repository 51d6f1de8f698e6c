"""Standard input: what a slow program writes comes as it is written, and the loop is never kept waiting for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from cli import command
from live_cases import SIZE, free_port, stream_of

import spikestream as ss
from spikestream.formats.prophesee import DAT
from spikestream.sensors.base.inflow import SILENT_S

EVENTS = stream_of(600, step_us=300)
LIVE = """
import asyncio, json, sys
from spikestream.sensors.base import open_sensor
async def main():
    sensor, ticks = open_sensor(sys.argv[1]), 0
    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1
    ticking = asyncio.create_task(tick())
    try:
        async for batch in sensor.batches():
            print(json.dumps([batch.start, batch.stop, batch.data["t"].tolist(), ticks]), flush=True)
    except Exception as error:
        print(json.dumps(repr(error)))
    ticking.cancel()
asyncio.run(main())
"""


def encoded(*parts) -> list[bytes]:
    encoder = DAT.encoder(size=SIZE)
    return [encoder.feed(part) for part in parts]


def reading(uri: str, **options) -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", LIVE, uri], **{**pipes, **options})


def write(process, data: bytes) -> None:
    process.stdin.write(data)
    process.stdin.flush()


def until(process, done) -> list:
    """Return what the process prints up to where ``done`` of a line holds."""
    lines = []
    while not lines or not done(lines[-1]):
        line = process.stdout.readline()
        assert line, f"it has ended after {lines}"
        lines.append(json.loads(line))
    return lines


@pytest.mark.parametrize("uri", ["file:-?format=dat", "stdin://?format=dat"])
def test_events_come_while_the_rest_is_still_to_be_written(uri):
    first, second = encoded(EVENTS[:300], EVENTS[300:])
    with reading(uri) as process:
        write(process, first)
        early = until(process, lambda line: line[1] > EVENTS["t"][200])
        write(process, second)
        process.stdin.close()
        rest = [json.loads(line) for line in process.stdout]
    came = [t for line in early + rest for t in line[2]]
    assert came == EVENTS["t"].tolist()
    assert all(a[1] == b[0] for a, b in zip([*early, *rest][:-1], [*early, *rest][1:], strict=True))


def test_live_time_goes_on_while_nothing_is_written():
    (first,) = encoded(EVENTS[:300])
    with reading("stdin://?format=dat&length_us=2000") as process:
        write(process, first)
        lines = until(process, lambda line: line[1] > EVENTS["t"][299] + 300_000)
        process.stdin.close()
        process.stdout.read()
    assert [t for line in lines for t in line[2]] == EVENTS["t"][:300].tolist()
    assert lines[-1][3] > lines[0][3]  # and the loop goes round


def test_what_is_cut_at_its_end_is_told_after_all_that_came():
    (whole,) = encoded(EVENTS)
    with reading("stdin://?format=dat") as process:
        write(process, whole[:-3])
        process.stdin.close()
        lines = [json.loads(line) for line in process.stdout]
    assert "RecordingError" in lines.pop()
    assert [t for line in lines for t in line[2]] == EVENTS["t"][:-1].tolist()


def test_a_last_row_of_text_that_nothing_ends_comes_too():
    with reading("stdin://?format=csv&size=4x4") as process:
        write(process, b"t,x,y,p\n10,1,2,1\n20,3,0,0")
        process.stdin.close()
        lines = [json.loads(line) for line in process.stdout]
    assert [t for line in lines for t in line[2]] == [10, 20]


def lines_of(rows, order="txyp") -> list[bytes]:
    columns = {"t": rows["t"], "x": rows["x"], "y": rows["y"], "p": rows["p"].astype(int)}
    return ["{},{},{},{}\n".format(*row).encode() for row in zip(*(columns[name] for name in order), strict=True)]


@pytest.mark.parametrize(
    ("options", "header", "order"),
    [
        ("&size=320x240", b"# a comment\nt,x,y,p\n", "txyp"),
        ("&size=320x240", b"p,t [us],x,y\n", "ptxy"),
        ("", b"t,x@320,y@240,on\n", "txyp"),
        ("&size=320x240&order=xypt", b"", "xypt"),
    ],
)
def test_each_row_of_a_table_whose_columns_are_told_comes_before_the_next_is_written(options, header, order):
    events = EVENTS[:6].copy()
    events["t"] = 1_000_000 * np.arange(1, 7)  # ahead of all time that passes here
    texts = lines_of(events, order)
    with reading(f"stdin://?format=csv&slack_us=0{options}") as process:
        write(process, header + texts[0])
        came = [t for line in until(process, lambda line: line[2]) for t in line[2]]
        for text in texts[1:]:
            write(process, text)
            came += [t for line in until(process, lambda line: line[2]) for t in line[2]]
        assert came == events["t"].tolist()
        process.stdin.close()


@pytest.mark.parametrize("header", [b"", b"t [s],x,y,p\n"])
def test_rows_that_have_to_tell_the_columns_come_once_there_are_few(header):
    """Seconds with a point, which one row leaves open; with a header that tells the unit the first row has to do."""
    events = EVENTS[:40].copy()
    events["t"][8:] += 10_000_000  # ahead of all time that passes here
    texts = [b"%.6f,%d,%d,%d\n" % (t / 1e6, x, y, p) for t, x, y, p in events.tolist()]
    with reading("stdin://?format=csv&size=320x240") as process:
        write(process, header + b"".join(texts[:8]))
        came = [t for line in until(process, lambda line: line[1] > EVENTS["t"][7]) for t in line[2]]
        assert came == EVENTS["t"][:8].tolist()
        write(process, b"".join(texts[8:]))
        process.stdin.close()
        came += [t for line in process.stdout for t in json.loads(line)[2]]
    assert came == events["t"].tolist()


def test_fewer_rows_come_when_there_is_silence_behind_them_and_half_a_row_waits():
    with reading("stdin://?format=csv&size=320x240") as process:
        write(process, b"70000 9 5 1\n70100 3 4 0\n9000000 8")
        came = [t for line in until(process, lambda line: line[1] > 70_100) for t in line[2]]
        assert came == [70_000, 70_100]
        write(process, b" 1 0\n")
        process.stdin.close()
        came += [t for line in process.stdout for t in json.loads(line)[2]]
    assert came == [70_000, 70_100, 9_000_000]


def test_rows_that_leave_a_doubt_are_waited_for_and_told_of_in_the_end():
    """Whether x or t comes first the first rows do not tell, nor does the silence behind them."""
    with reading("stdin://?format=csv&size=320x240") as process:
        write(process, b"1 2 3 1\n2 3 3 0\n")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4 * SILENT_S)
        write(process, b"100000 2 3 1\n")
        process.stdin.close()
        lines = [json.loads(line) for line in process.stdout]
    assert [t for line in lines for t in line[2]] == [1, 2, 100_000]


def test_what_is_none_of_the_format_is_told():
    with reading("stdin://?format=es&size=4x4") as process:
        write(process, b"Event Stream" + bytes(30))
        process.stdin.close()
        assert "does not send what it should" in process.stdout.read().decode()


def test_a_file_is_no_live_input(tmp_path):
    (tmp_path / "x.dat").write_bytes(encoded(EVENTS)[0])
    with (tmp_path / "x.dat").open("rb") as file, reading("stdin://?format=dat", stdin=file) as process:
        assert "standard input is a file" in process.stdout.read().decode()


@pytest.mark.parametrize(
    "options", ["", "?format=nothing", "?format=dat&size=4", "?format=dat&colour=red", "?format=hdf5"]
)
def test_odd_options_are_told_before_anything_is_read(options):
    with reading(f"stdin://{options}", stderr=subprocess.PIPE) as process:
        told = process.stderr.read().decode()
    assert "ConfigError" in told or "PluginError" in told


def test_a_daemon_answers_while_its_input_is_silent_and_ends_when_it_is_told_to(tmp_path):
    port = free_port()
    (tmp_path / "d.toml").write_text(
        f'[sensor]\nuri = "-"\nformat = "dat"\n[publish]\nurls = ["tcp://127.0.0.1:{port}"]\n'
    )
    (first,) = encoded(EVENTS[:300])
    run = command("run", tmp_path / "d.toml")
    with subprocess.Popen(run, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as daemon:
        write(daemon, first)
        assert b"publishing" in daemon.stderr.readline()
        client = ss.Client(f"tcp://127.0.0.1:{port}", ["main.filter.events"], since="all")
        came = np.empty(0, np.int64)
        for message in client:
            came = np.append(came, message.data["t"])
            if message.stop > EVENTS["t"][200]:
                break
        client.close()
        assert came.tolist() == EVENTS["t"][: len(came)].tolist()
        assert len(came) > 200
        os.kill(daemon.pid, 15)
        assert daemon.wait(30) == 0
