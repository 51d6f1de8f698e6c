"""A real PulseAudio server without hardware: what is played into its null sink can be recorded from its monitor."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

PATIENCE_S = 60
RATE = 16_000
PROGRAMS = ("pulseaudio", "pactl", "paplay")


class SoundServer:
    """A server in a folder of its own; ``env`` is the environment in which PortAudio finds it, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "HOME": str(folder), "PULSE_RUNTIME_PATH": str(folder / "pa")}
        self.env |= {"PULSE_SERVER": f"unix:{folder}/pa/native", "COLUMNS": "100"}
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "pa").mkdir(mode=0o700)

    def start(self, *modules: str) -> None:
        load = [
            f"module-native-protocol-unix auth-anonymous=1 socket={self.folder}/pa/native",
            f"module-null-sink sink_name=mic rate={RATE} channels=1 format=s16le",
            *modules,
        ]
        options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-target=stderr"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["pulseaudio", *options, *(part for one in load for part in ("-L", one))], env=self.env, stderr=log
            )
        wait_for(lambda: self._control("info") == 0, "pulseaudio", self.folder / "log")
        assert self._control("set-default-sink", "mic") == self._control("set-default-source", "mic.monitor") == 0

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        (self.folder / "pa" / "native").unlink(missing_ok=True)

    def signal(self, number: int) -> None:
        """Send it a signal, such as one to stop for a while."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(number)

    def play(self, path: Path) -> None:
        subprocess.run(["paplay", path], env=self.env, check=True, timeout=PATIENCE_S)

    def _control(self, *args: str) -> int:
        return subprocess.run(["pactl", *args], env=self.env, capture_output=True, timeout=PATIENCE_S).returncode


@pytest.fixture
def sound_server() -> Iterator[SoundServer]:
    """Give a running server; skip where the programs are missing."""
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        pytest.skip(f"{', '.join(missing)} missing: apt install pulseaudio pulseaudio-utils libasound2-plugins")
    # Not in tmp_path: the path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="ss-") as folder:
        server = SoundServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


class Listening:
    """A command line at work in a process of its own, with what it has said so far."""

    def __init__(self, server: SoundServer, line: Sequence[object]) -> None:
        folder = Path(tempfile.mkdtemp(dir=server.folder))
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen([str(part) for part in line], env=server.env, stdout=out, stderr=err)

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def until(self, text: str) -> None:
        """Wait until it has said something on stderr."""
        wait_for(lambda: text in self.stderr or self.process.poll() is not None, f"'{text}'", self._err)
        assert text in self.stderr, self.stderr

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def listening(server: SoundServer, *line: object, until: str = "listening to") -> Iterator[Listening]:
    """Give a process that listens, once it has said so: until then a device may lose what is played."""
    one = Listening(server, line)
    try:
        one.until(until)
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def wait_for(there, what: str, log: Path | None = None) -> None:
    """Wait until something is true, at most for a minute."""
    for _ in range(PATIENCE_S * 20):
        if there():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}" + (f": {log.read_text()[-2000:]}" if log else ""))


def clip(path: Path, samples: np.ndarray, lead_s: float = 0.5, rate: int = RATE) -> np.ndarray:
    """Write samples (n,) in [-1, 1] as 16 bits, with silence before and after, and return these (n,) int16."""
    silence = np.zeros(int(lead_s * rate))
    whole = np.rint(np.concatenate([silence, samples, silence]) * 32_767).astype(np.int16)
    soundfile.write(path, whole, rate, subtype="PCM_16")
    return whole


def find(needle: np.ndarray, haystack: np.ndarray) -> int:
    """Return where the samples ``needle`` occur in ``haystack``; they must occur exactly once."""
    windows = np.lib.stride_tricks.sliding_window_view(haystack, len(needle))
    places = np.flatnonzero((windows == needle).all(axis=1))
    assert len(places) == 1, f"{len(places)} places"
    return int(places[0])
