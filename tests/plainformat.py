"""A recording format of the tests' own, found as a plugin: a line with the size, then events as they lie in memory.

It stores any stamp and any coordinate, so that the files room can be shown what no decent codec would write.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from spikestream.batch import EVENT, Events
from spikestream.errors import RecordingError
from spikestream.files.reader import Reader
from spikestream.formats.base import Format


class Decoder:
    def __init__(self, sensor=None, size=None, raw=False, tint="blue"):
        self.size, self.sensor, self.skipped = size, sensor or "", {}
        self.warnings = [] if tint == "blue" else [f"tinted {tint}"]
        self._head, self._rest = b"", b""

    def feed(self, data: memoryview) -> Iterator[np.ndarray]:
        data = bytes(data)
        if not self._head.endswith(b"\n"):
            line, newline, data = (self._head + data).partition(b"\n")
            self._head = line + newline
            if newline and not self.size:
                self.size = tuple(int(n) for n in line[6:].split(b"x")) if line[6:] else None
        return self._events(data)

    def _events(self, data: bytes) -> Iterator[np.ndarray]:
        data = self._rest + data
        whole = len(data) // EVENT.itemsize * EVENT.itemsize
        self._rest = data[whole:]
        yield np.frombuffer(data[:whole], EVENT).copy()

    def finish(self) -> None:
        if self._rest:
            raise RecordingError("cut inside an event", expected="13 bytes", found=str(len(self._rest)))


class Encoder:
    def __init__(self, size=None, sensor=None):
        self._head = b"PLAIN %dx%d\n" % size if size else b"PLAIN \n"

    def feed(self, events: np.ndarray) -> bytes:
        if np.any(events["x"] == 666):
            raise RecordingError("x = 666 cannot be written")
        head, self._head = self._head, b""
        return head + events.tobytes()

    def finish(self) -> bytes:
        return self._head


class Liar(Encoder):
    """Turns the polarity of the last event it is given at a time."""

    def feed(self, events: np.ndarray) -> bytes:
        events = events.copy()
        events["p"][-1:] ^= True
        return super().feed(events)


def _sniff(head: bytes) -> bool:
    return head.startswith(b"PLAIN ")


FORMAT = Format("plain", "Plain events", (".plain", ".both"), _sniff, Decoder, Encoder, {"tint": "a colour"})
MUTE = Format("mute", "Read-only events", (".mute", ".plain"), lambda head: False, Decoder)
LIAR = Format("liar", "Events, nearly", (".liar",), lambda head: False, Decoder, Liar)
TWIN = Format("twin", "Plain events again", (".both",), lambda head: False, Decoder, Encoder)

ENTRIES = """[spikestream.formats]
plain = plainformat:FORMAT
mute = plainformat:MUTE
twin = plainformat:TWIN
liar = plainformat:LIAR
"""


def install(site: Path, distribution: str, entries: str) -> None:
    """Install a distribution of these entry points into a folder of the search path."""
    info = site / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)


@pytest.fixture
def plain(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the format as a plugin for one test; return the folder it is installed in."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, "plainformat", ENTRIES)
    monkeypatch.syspath_prepend(folder)
    return folder


def events(rows: Sequence[tuple[int, int, int, bool]]) -> np.ndarray:
    return np.array(rows, EVENT)


def at(times: Sequence[int]) -> np.ndarray:
    """Return events at these times, told apart by x."""
    data = np.zeros(len(times), EVENT)
    data["t"] = times
    data["x"] = np.arange(len(times)) % 600
    return data


def save(path: Path, data: np.ndarray, size: str = "640x480", tail: bytes = b"") -> Path:
    path.write_bytes(b"PLAIN " + size.encode() + b"\n" + data.tobytes() + tail)
    return path


def open_files() -> set[str]:
    """Return the names of the files this process has open."""
    folder = "/proc/self/fd"
    return {os.readlink(f"{folder}/{name}") for name in os.listdir(folder) if os.path.lexists(f"{folder}/{name}")}


def python(code: str, site: Path, *args: object, **more) -> subprocess.CompletedProcess[str]:
    """Run a program with the format installed, in a process of its own."""
    paths = [str(site), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], env=environment, capture_output=True, **more)


def whole(reader: Reader) -> np.ndarray:
    return np.concatenate([np.empty(0, EVENT), *reader])


def error_of(path: object, **options) -> str:
    """Return the text of the error that reading this recording ends with."""
    with pytest.raises(RecordingError) as caught:
        whole(Reader(path, **options))
    return str(caught.value)


def collect(sensor, start=0, limit=None) -> list[Events]:
    async def run():
        got = []
        batches = sensor.batches(start)
        async for batch in batches:
            got.append(batch)
            if len(got) == limit:
                break
        await batches.aclose()
        return got

    return asyncio.run(run())


def joined(batches) -> np.ndarray:
    return np.concatenate([batch.data for batch in batches])


def spans(batches) -> list[tuple[int, int]]:
    return [(batch.start, batch.stop) for batch in batches]


REAL = {
    "aedat2/davis240c_boxes.aedat": ("aedat2", 162_771, 294_976_755, 297_049_406, (240, 180), 0.5096),
    "aedat4/davis346.aedat4": ("aedat4", 6_676, 1589163147368868, 1589163147538809, (346, 260), 0.5337),
    "aedat4/dvxplorer.aedat4": ("aedat4", 111_954, 1605537493718345, 1605537494308262, (320, 240), 0.4915),
    "bin/nmnist.bin": ("bin", 4_325, 654, 311_175, (34, 34), 0.496),
}
