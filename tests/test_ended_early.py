"""A verb that a signal ends leaves no half file, says which signal it was, and tells the truth of what it made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from cli import PATIENCE_S, command
from inprocess import called

import spikestream as ss
from spikestream.files.labels import read_labels
from spikestream.sensors.datasets.synthetic import Synthetic

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
ROWS = b"t,x,y,p\n" + b"".join(b"%d,3,4,1\n" % t for t in range(50_000))


def begun(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a file is being written there."""
    while not any(name.startswith(".") for name in os.listdir(folder)):
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("suffix", ["csv", "aedat4", "h5"])
def test_a_signal_ends_convert_and_the_older_file_stays_alone(suffix: str, number: int, tmp_path: Path):
    path = tmp_path / f"out.{suffix}"
    path.write_bytes(b"older")
    args = command("convert", "-", path, "--format", "csv", "-f", "-q")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(args, **pipes) as process:
        process.stdin.write(ROWS)  # and more may come: it stays open
        process.stdin.flush()
        begun(tmp_path, process)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 128 + number
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"older"


def test_convert_under_nohup_goes_on_when_the_terminal_closes(tmp_path: Path):
    args = ["nohup", *command("convert", "-", tmp_path / "out.csv", "--format", "csv", "-q")]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdin.write(ROWS)
        process.stdin.flush()
        begun(tmp_path, process)
        process.send_signal(signal.SIGHUP)
        process.stdin.write(b"60000,3,4,1\n")
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
    assert ss.read(tmp_path / "out.csv").data["t"][-1] == 60_000


TWICE = """
import asyncio, os, signal, sys
from spikestream.cli.base import ended_by, run_until_signalled

stopped, me = asyncio.Event(), os.getpid()

async def main():
    os.kill(me, signal.SIGHUP)
    await stopped.wait()
    os.kill(me, signal.SIGHUP)
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    print("drained")

number = run_until_signalled(main(), stopped.set)
os.kill(me, signal.SIGHUP)
print("saved")
sys.exit(ended_by(number))
"""


def test_of_a_terminal_that_closes_shell_and_kernel_tell_and_that_cuts_nothing_short():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (129, "drained\nsaved\n", "")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_synth_and_its_sidecar_tells_how_to_make_it_again(number: int, tmp_path: Path):
    args = command("synth", "bars", tmp_path / "x.aedat4", "--for", "20000s", "--seed", "3", "--size", "16x16")
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        begun(tmp_path, process)
        while not any(one.stat().st_size > 100_000 for one in tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 128 + number
    assert sorted(os.listdir(tmp_path)) == ["x.aedat4", "x.aedat4.json", "x.csv"]
    told = json.loads((tmp_path / "x.aedat4.json").read_text())
    origin = told["origin"].partition("synth://bars?")[2]
    seconds = dict(parse_qsl(origin))["seconds"]
    sensor = Synthetic("bars", **dict(parse_qsl(origin)))
    assert read_labels(tmp_path / "x.csv") == sensor.rows
    assert ss.read(tmp_path / "x.aedat4").data["t"][-1] < float(seconds) * 1e6 == sensor.rows[-1].stop
    called("synth", "bars", tmp_path / "again.aedat4", "--for", f"{seconds}s", "--seed", "3", "--size", "16x16")
    assert told["sha256"] == sha256((tmp_path / "again.aedat4").read_bytes()).hexdigest()


def test_labels_and_sidecar_are_two_files(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    for labels in ("x.aedat4.json", "sub/../x.aedat4.json", "./x.aedat4", "sub/../x.aedat4"):
        said = called("synth", "bars", "x.aedat4", "--labels", labels, "--for", "1s", code=2, cwd=tmp_path).stderr
        assert "cannot be one file" in said
        assert os.listdir(tmp_path) == ["sub"]


def test_labels_that_have_no_place_are_told_of_before_the_recording_is_written(tmp_path: Path):
    path = tmp_path / "x.aedat4"
    path.write_bytes(b"older")
    said = called("synth", "bars", path, "-f", "--labels", tmp_path / "none" / "l.csv", "--for", "1s", code=3).stderr
    assert "there is no folder" in said
    assert "mkdir -p" in said
    assert path.read_bytes() == b"older"


@pytest.mark.parametrize("suffix", ["csv", "npz", "h5"])
def test_a_name_may_be_as_long_as_names_are(suffix: str, tmp_path: Path):
    (tmp_path / "rows.csv").write_bytes(ROWS[:2_000].rpartition(b"\n")[0] + b"\n")
    path = tmp_path / f"{'µ' * ((255 - 4) // 2)}.{suffix}"
    assert len(path.name.encode()) > 250
    called("convert", tmp_path / "rows.csv", path, "-q")
    assert ss.write(path, ss.read(tmp_path / "rows.csv")) == ss.info(path).events
