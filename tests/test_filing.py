"""`record`: what a sensor gives is in the file, until it ends, fails or is told to stop; what is lost is counted."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli import LOOKS, PATIENCE_S, ROOT, command, spikestream
from inprocess import called
from plainformat import install
from running import run
from soundserver import sound_server

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.errors import DeviceError, RecordingError
from spikestream.service.filing import BATCHES, LIVE_BATCHES, ROWS, Filing

__all__ = ["sound_server"]

SENSOR = """
import asyncio
import numpy as np
from spikestream.batch import EVENT, Events, Spikes

class Ticker:
    '''An event a millisecond, in batches of 10 ms; of a live one they come in real time.'''
    size, live = (34, 34), True

    def __init__(self, location, *, batches="5", fail="", start="0", gap="0", live="", spikes="", told="yes"):
        self.count, self.fail, self.start, self.gap = int(batches), fail, int(start), int(gap)
        self.live, self.spikes, self.sent, self.told = bool(live), spikes, 0, told == "yes"

    async def batches(self, start=0):
        try:
            for k in range(self.count):
                if self.live:
                    await asyncio.sleep(0.01)
                t = self.start + 10_000 * k + (self.gap if k > 1 else 0)
                data = np.zeros(10, EVENT)
                data["t"], data["x"] = t + 1_000 * np.arange(10), k % 34
                self.sent += 10
                if self.spikes:
                    yield Spikes(t, t + 10_000, data["t"].copy(), np.zeros(10, np.int32))
                else:
                    yield Events(t, t + 10_000, data, self.size)
                if self.told:
                    print("gave", k, flush=True)
            if self.fail:
                raise OSError(self.fail)
        finally:
            if self.told:
                print("closed", flush=True)
"""


@pytest.fixture
def ticker(tmp_path_factory, monkeypatch):
    """Install a sensor as a plugin for one test, in this process and in those it starts."""
    site = tmp_path_factory.mktemp("site")
    install(site, "ticker", "[spikestream.sensors]\nticker = ticker:Ticker\n")
    (site / "ticker.py").write_text(SENSOR)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    yield site
    sys.modules.pop("ticker", None)


def stamps(path: Path) -> list[int]:
    return ss.read(path).data["t"].tolist()


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# Into files.


@pytest.mark.parametrize("name", ["x.aedat4", "x.bin", "x.es"])
def test_all_that_a_sensor_gives_is_in_the_file(name, ticker, tmp_path):
    done = called("record", "ticker://?batches=7", tmp_path / name)
    assert f"{tmp_path / name}: 70 events, 70 ms" in done.stdout
    assert stamps(tmp_path / name) == list(range(0, 70_000, 1_000))
    assert files(tmp_path) == [name]
    assert "warning" not in done.stderr


def test_a_recording_is_a_sensor_too(tmp_path):
    called("record", LOOKS, tmp_path / "x.aedat4")
    assert np.array_equal(ss.read(tmp_path / "x.aedat4").data, ss.read(LOOKS).data)


def test_what_is_read_is_not_written_over(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("t,x,y,p\n" + "".join(f"{t},3,4,1\n" for t in range(0, 50_000, 10)))
    before = path.read_bytes()
    os.symlink(path, tmp_path / "soft.csv")
    os.link(path, tmp_path / "hard.csv")
    (tmp_path / "folder").mkdir()
    for uri in (path, f"file:{path}?size=9x9", f"file://{path}", tmp_path / "folder" / ".." / "x.csv"):
        for target in (path, tmp_path / "soft.csv", tmp_path / "hard.csv"):
            said = called("record", "-f", uri, target, "--for", "1ms", code=2).stderr
            assert "what is read cannot be written over" in said
    soundfile.write(tmp_path / "x.wav", np.zeros(16_000), 16_000)
    for uri in (tmp_path / "x.wav", f"wav:{tmp_path / 'x.wav'}"):
        assert "written over" in called("record", "-f", uri, tmp_path / "x.wav", code=2).stderr
    assert path.read_bytes() == before
    assert files(tmp_path) == ["folder", "hard.csv", "soft.csv", "x.csv", "x.wav"]
    called("record", "-f", path, tmp_path / "y.csv", "--for", "1ms")


@pytest.mark.parametrize(("length", "last"), [("35ms", 34_000), ("40ms", 39_000), ("34001us", 34_000), ("1h", 99_000)])
def test_it_ends_when_the_time_is_over(length, last, ticker, tmp_path):
    done = called("record", "ticker://?batches=10", tmp_path / "x.aedat4", "--for", length)
    assert stamps(tmp_path / "x.aedat4") == list(range(0, last + 1, 1_000))
    assert done.stdout.count("closed") == 1


def test_a_format_that_cannot_hold_the_stamps_says_what_helps_and_it_does(ticker, tmp_path):
    uri = f"ticker://?start={1 << 50}&batches=20"
    done = called("record", uri, tmp_path / "x.bin", code=3)
    assert "--t0 zero" in done.stderr
    assert "closed" in done.stdout
    assert not files(tmp_path)
    called("record", uri, tmp_path / "x.bin", "--t0", "zero")
    assert stamps(tmp_path / "x.bin") == list(range(0, 200_000, 1_000))


def test_what_came_before_a_sensor_failed_is_in_the_file(ticker, tmp_path):
    done = called("record", "ticker://?fail=unplugged", tmp_path / "x.aedat4", code=4)
    assert "50 events" in done.stdout
    assert "sensor 'ticker://?fail=unplugged' failed: unplugged" in done.stderr
    assert stamps(tmp_path / "x.aedat4") == list(range(0, 50_000, 1_000))


def test_gaps_are_told_and_strict_is_strict(ticker, tmp_path):
    done = called("record", "ticker://?gap=123000", tmp_path / "x.aedat4")
    assert "warning: 123,000 µs of gaps" in done.stderr
    assert len(stamps(tmp_path / "x.aedat4")) == 50
    called("record", "ticker://?gap=123000", tmp_path / "y.aedat4", "--strict", code=7)
    called("record", "ticker://", tmp_path / "z.aedat4", "--strict")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_file_is_whole(number, ticker, tmp_path):
    args = command("record", "ticker://?batches=100000&live=yes", tmp_path / "x.aedat4")
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "gave 5\n":
            assert process.poll() is None
        assert [name for name in files(tmp_path) if not name.startswith(".")] == []
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (128 + number, "")
    assert files(tmp_path) == ["x.aedat4"]
    got = stamps(tmp_path / "x.aedat4")
    assert len(got) >= 60
    assert got == list(range(0, 1_000 * len(got), 1_000))
    assert f"{len(got):,} events" in out


def test_a_recording_is_whole_where_its_terminal_closes(ticker, tmp_path):
    args = command("record", "ticker://?batches=100000&live=yes&told=no", tmp_path / "x.aedat4")
    main, terminal = os.openpty()
    own = {"stdin": terminal, "stdout": terminal, "stderr": terminal, "start_new_session": True}
    with subprocess.Popen(args, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **own) as process:
        os.close(terminal)
        shown = b""
        while not re.search(rb"\d m?s, \d", shown):  # its progress
            shown += os.read(main, 4_096)
        os.close(main)
        assert process.wait(PATIENCE_S) == 129
    assert files(tmp_path) == ["x.aedat4"]
    got = stamps(tmp_path / "x.aedat4")
    assert got == list(range(0, 1_000 * len(got), 1_000))


def test_a_live_sensor_that_falls_silent_is_not_waited_for(ticker, tmp_path):
    (ticker / "ticker.py").write_text(
        SENSOR.replace("if self.fail:", "await asyncio.sleep(3_600)\n            if self.fail:")
    )
    spikestream("record", "ticker://?live=yes", tmp_path / "x.aedat4", "--for", "100ms")
    assert len(stamps(tmp_path / "x.aedat4")) == 50


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["ticker://", "x.wav"], 2, "events cannot be recorded as '.wav'"),
        (["ticker://", "x.aedat9"], 2, "no format"),
        (["ticker://", "x.raw"], 2, "--as evt2"),
        (["ticker://", "x.aedat4", "--t0", "now"], 2, "keep, zero"),
        (["ticker://", "x.aedat4", "--for", "long"], 2, "long"),
        (["ticker://", "there"], 2, "is there already"),
        (["tikcer://", "x.aedat4"], 4, "did you mean 'ticker'?"),
        (["ticker://?spikes=1", "x.aedat4"], 3, "a sensor of spikes cannot be recorded as events"),
        (["missing.aedat4", "x.aedat4"], 3, "no such file"),
        (["ticker://", "nowhere/x.aedat4"], 3, "cannot be written"),
    ],
)
def test_what_makes_no_sense_says_so_and_writes_nothing(args, code, words, ticker, tmp_path):
    (tmp_path / "there").write_bytes(b"older")
    assert words in called("record", *args, code=code, cwd=tmp_path).stderr
    assert files(tmp_path) == ["there"]


# Sound.


def test_sound_becomes_a_sound_file(tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", rng.uniform(-0.5, 0.5, (8_000, 2)), 16_000, "FLOAT")
    called("record", f"wav:{tmp_path / 'a.wav'}", tmp_path / "b.wav", "--for", "250ms")
    one, other = (soundfile.read(tmp_path / name, dtype="float32") for name in ("a.wav", "b.wav"))
    assert np.array_equal(other[0], one[0][:4_000])
    assert other[1] == 16_000
    called("record", tmp_path / "a.wav", tmp_path / "b.wav", "--for", "250ms", "-f")  # as in a configuration
    assert np.array_equal(soundfile.read(tmp_path / "b.wav", dtype="float32")[0], one[0][:4_000])
    assert "sound cannot" in called("record", f"wav:{tmp_path / 'a.wav'}", tmp_path / "c.aedat4", code=2).stderr
    assert files(tmp_path) == ["a.wav", "b.wav"]


def test_a_microphone_is_recorded(sound_server, tmp_path):
    args = command("record", "microphone:", tmp_path / "x.wav", "--for", "300ms")
    done = subprocess.run(args, env=sound_server.env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    samples, rate = soundfile.read(tmp_path / "x.wav")
    assert (rate, len(samples)) == (16_000, 4_800)
    assert "4,800 samples, 300 ms" in done.stdout


# Bounded, and counted.


class Burst:
    """So many batches of so many events, as fast as they are taken."""

    size = (4, 4)

    def __init__(self, batches: int, live: bool, rows: int = 2) -> None:
        self.count, self.live, self.rows, self.sent, self.closed = batches, live, rows, 0, False

    async def batches(self, start=0):
        try:
            for k in range(self.count):
                data = np.zeros(self.rows, EVENT)
                data["t"] = k
                self.sent += self.rows
                yield Events(k, k + 1, data, self.size)
                await asyncio.sleep(0)
        finally:
            self.closed = True


def kept_late(sensor: Burst, enough: int):
    """Return the filing of a sensor, what was sent when the file began to be written, and what it was given."""
    filing, go = Filing(sensor, "burst"), threading.Event()

    def keep(batches):
        first = next(batches)
        go.wait(20)
        return [first, *batches]

    async def work():
        keeping = asyncio.create_task(filing.run(keep))
        while sensor.sent < enough:
            await asyncio.sleep(0)
        for _ in range(1_000):
            await asyncio.sleep(0)
        held = sensor.sent
        go.set()
        return held, await keeping

    held, kept = run(work())
    assert sensor.closed
    return filing, held, kept


def test_a_slow_file_loses_what_a_live_sensor_gives_beyond_two_million_events_and_counts_it():
    count, rows = 600, ROWS // 256
    sensor = Burst(count, live=True, rows=rows)
    filing, _, kept = kept_late(sensor, count * rows)
    got = sum(map(len, kept))
    assert got == ROWS + rows
    assert filing.lost() == {"dropped, as the file was too slow": sensor.sent - got}
    assert kept[-1].stop == count  # the oldest are dropped


def test_however_short_its_batches_are_nothing_of_a_live_sensor_is_lost_while_the_writer_is_imported():
    sensor = Burst(20_000, live=True)
    filing, held, kept = kept_late(sensor, 2 * 20_000)
    assert sum(map(len, kept)) == held == sensor.sent
    assert filing.lost() == {}


def test_a_recording_waits_for_a_slow_file():
    sensor = Burst(4 * BATCHES, live=False)
    filing, held, kept = kept_late(sensor, 2 * BATCHES)
    assert held <= 2 * (BATCHES + 3)
    assert sum(map(len, kept)) == sensor.sent == 8 * BATCHES
    assert filing.lost() == {}


def test_what_may_wait_is_what_is_said():
    text = " ".join((ROOT / "docs" / "cli.md").read_text().split())
    assert f"of {LIVE_BATCHES:,} batches" in text
    assert (ROWS >> 20, "the oldest of two million events" in text) == (2, True)


def test_a_file_that_fails_ends_the_sensor():
    sensor = Burst(1 << 40, live=False)

    def keep(batches):
        next(batches)
        raise RecordingError("the disk is full")

    with pytest.raises(RecordingError, match="the disk is full"):
        run(Filing(sensor, "burst").run(keep))
    assert sensor.closed


class Holder(Burst):
    """Holds its last batch back until it is asked for what it holds."""

    def __init__(self, begin: int) -> None:
        super().__init__(3, live=True)
        self.begin, self.waits = begin, asyncio.Event()

    async def batches(self, start=0):
        async for batch in super().batches(start):
            yield batch
        self.waits.set()
        await asyncio.sleep(3_600)

    def rest(self):
        yield Events(self.begin, self.begin + 10, np.zeros(0, EVENT), self.size)
        raise OSError("gone")

    def intake(self):
        return "there to here", 7, {}, {"odd": 1}, 0


@pytest.mark.parametrize(("begin", "stop", "error"), [(3, 13, "'holder' failed: gone"), (2, 3, "before 3 µs")])
def test_what_a_plugin_holds_is_asked_for_and_held_to_the_laws(begin, stop, error):
    async def work():
        sensor = Holder(begin)
        filing = Filing(sensor, "holder")
        task = asyncio.create_task(filing.run(list))
        await asyncio.wait_for(sensor.waits.wait(), PATIENCE_S)
        filing.end()
        return filing, await task

    filing, kept = run(work())
    assert kept[-1].stop == filing.stop == stop
    assert error in str(filing.error)
    assert filing.lost() == {"dropped by the sensor: odd": 1}


def test_an_error_of_the_sensor_is_kept_for_when_the_file_is_whole():
    class Broken(Burst):
        async def batches(self, start=0):
            async for batch in super().batches(start):
                yield batch
            raise DeviceError("gone")

    filing = Filing(Broken(3, live=True), "broken")
    assert run(filing.run(lambda batches: sum(map(len, batches)))) == 6
    assert str(filing.error) == "gone"


def test_a_long_recording_takes_no_more_memory(tmp_path):
    peaks = []
    for seconds in (10, 240):
        code = (
            "import re, sys\nfrom spikestream.cli import main\nassert main(sys.argv[1:]) == 0\n"
            "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) // 1024)"
        )
        uri = f"synth://gestures?seconds={seconds}"
        args = [sys.executable, "-c", code, "record", uri, str(tmp_path / f"{seconds}.aedat3")]
        done = subprocess.run(args, capture_output=True, text=True, timeout=PATIENCE_S)
        peaks.append(int(done.stdout.split()[-1]))
    assert (tmp_path / "240.aedat3").stat().st_size > 8_000_000
    assert peaks[1] - peaks[0] < 20, peaks
