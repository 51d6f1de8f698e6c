"""The text lines at the head of an AEDAT 3 file: version, cameras, and where the packets begin."""

from __future__ import annotations

import re
from typing import NamedTuple

from spikestream.errors import ConfigError, RecordingError, nearest

MAGIC = b"#!AER-DAT3."
END = b"#!END-HEADER"
HEADER_LIMIT = 1 << 20
SIZES = {
    "dvs128": (128, 128),
    "edvs": (128, 128),
    "davis128": (128, 128),
    "davis208": (208, 192),
    "davis240": (240, 180),
    "davis346": (346, 260),
    "davis640": (640, 480),
}
"""Pixels of the cameras whose name starts so."""


class Layout(NamedTuple):
    """Where a version's polarity event holds y and x, and whether its row 0 is the bottom one."""

    x_shift: int
    y_shift: int
    y_mask: int
    bottom: bool


LAYOUTS = {b"3.1": Layout(17, 2, 0x7FFF, bottom=False), b"3.0": Layout(18, 4, 0x3FFF, bottom=True)}


class Header:
    """The text lines before the packets, in any pieces.

    They end after ``#!END-HEADER``; where 3.0 leaves that out, at the first line that does not start with '#'.
    """

    def __init__(self) -> None:
        self.done = False
        self.version = b""
        self.sources: dict[int, str] = {}
        self._held = bytearray()
        self._line = 0
        self._seen = 0

    def feed(self, data: memoryview) -> memoryview | None:
        """Take bytes and return those after the header, None while it goes on; raises `RecordingError`."""
        before = len(self._held)
        self._held += data[: HEADER_LIMIT + 1 - before]
        if self._held[: len(MAGIC)] != MAGIC[: len(self._held)]:
            self._refuse(bytes(self._held[: len(MAGIC)]))
        while not self.done and self._next():
            pass
        if not self.done:
            if len(self._held) > HEADER_LIMIT:
                raise RecordingError("the header does not end", expected=f"{END.decode()} in {HEADER_LIMIT:,} bytes")
            return None
        self._held.clear()
        return data[self._line - before :]

    def finish(self) -> bool:
        """Return whether the header is whole, now that no more bytes will come."""
        return self.done or (self.version == b"3.0" and self._line == len(self._held))

    def _next(self) -> bool:
        """Consume one line; False where its end has not come yet."""
        start = self._line
        if start == len(self._held):
            return False
        if self._held[start] != ord("#"):
            if self.version != b"3.0":
                found = repr(bytes(self._held[start : start + 16]))
                raise RecordingError("the header has no end", offset=start, expected=END.decode(), found=found)
            self.done = True
            return False
        end = self._held.find(b"\n", self._seen) + 1
        self._seen = end or len(self._held)
        if not end:
            return False
        self._take(bytes(self._held[start:end]).strip(), start)
        self._line = end
        return True

    def _take(self, line: bytes, start: int) -> None:
        if start == 0:
            self.version = line.removeprefix(b"#!AER-DAT")
            if self.version not in LAYOUTS:
                self._refuse(line)
        elif line.startswith(b"#Format:") and line.split(b":", 1)[1].strip() != b"RAW":
            found = repr(line.split(b":", 1)[1].strip()[:40])
            raise RecordingError("the packets are compressed", offset=start, expected="#Format: RAW", found=found)
        elif source := re.fullmatch(rb"#Source (-?\d{1,5}):\s*(.*)", line):
            self.sources.setdefault(int(source[1]), source[2].decode("utf-8", "replace"))
        self.done = line == END

    def _refuse(self, found: bytes) -> None:
        expected = " or ".join(f"#!AER-DAT{version.decode()}" for version in LAYOUTS)
        raise RecordingError("not AEDAT 3", offset=0, expected=expected, found=repr(found[:40]))


def device(text: str) -> tuple[str, tuple[int, int] | None]:
    """Return the name and the size in pixels that a ``#Source`` line tells, the size None where it does not."""
    name, _, last = text.rpartition(" ")
    stated = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", last)
    if stated:
        return name, (int(stated[1]), int(stated[2]))
    return text, next((size for name, size in SIZES.items() if text.lower().startswith(name)), None)


def known(sensor: str) -> tuple[int, int]:
    """Return the size in pixels of the camera ``sensor``; raises `ConfigError` where it is not known."""
    size = device(sensor)[1]
    if size is None:
        close = nearest(sensor.lower(), SIZES)
        what, allowed = f"unknown sensor '{sensor}'", ", ".join(SIZES)
        raise ConfigError(
            what, key="sensor", value=sensor, allowed=allowed, nearest=close, remedy="--size WIDTHxHEIGHT"
        )
    return size
