"""Where the header of AEDAT 2.0 or 1.0 ends, and which camera it names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikestream.errors import RecordingError

ANY = b"#!AER-DAT"
END = b"#End Of ASCII Header"
CAP = 1 << 20  # jAER embeds its preferences as XML: a real DAVIS240C header has 175 kB


class Version(NamedTuple):
    """A version of the format; ``bare`` is one whose files may lack the line that says so, or any header."""

    title: str
    magic: bytes
    address: int
    """Bytes of an address, big-endian as the four of the stamp that follow it."""
    bare: bool = False

    @property
    def width(self) -> int:
        """Return the bytes of a record."""
        return self.address + 4

    @property
    def record(self) -> np.dtype[np.void]:
        """Return a record as the kernel takes it, which swaps the bytes."""
        return np.dtype([("word", f"<u{self.address}"), ("stamp", "<u4")])

    @property
    def lookahead(self) -> int:
        """Return the bytes of the four records that a doubtful line is read as."""
        return 4 * self.width


V1 = Version("AEDAT 1.0", ANY + b"1.", address=2, bare=True)
V2 = Version("AEDAT 2.0", ANY + b"2.", address=4)


class Header:
    """The text before the records, fed in any pieces.

    It ends after ``#End Of ASCII Header``, else before the first line that does not start with '#'. A record may start
    with that byte too (a DAVIS event with a stored y of 140..143), and jAER allows binary bytes in header lines. So a
    line that starts with control characters in it, or ends otherwise than the first line, is taken for records where
    the next four, read as records, are less than 2^24 µs apart.
    """

    def __init__(self, version: Version = V2) -> None:
        self.version = version
        self.done = False
        self.chip = ""
        self.length = 0
        self.odd: list[int] = []
        """Offsets of lines that hold control characters and were taken for text."""
        self._held = bytearray()
        self._seen = 0
        self._ending = b""

    def feed(self, data: memoryview) -> tuple[bytes, memoryview] | None:
        """Take bytes; return which of before and which of now belong to the records, None while the header goes on."""
        before = len(self._held)
        most = CAP + self.version.lookahead
        self._held += data[: most - before]
        self._check_magic()
        while not self.done and self._step():
            pass
        if not self.done:
            if len(self._held) == most:
                expected = f"its end within {CAP:,} bytes"
                raise RecordingError("the header does not end", offset=self.length, expected=expected)
            return None
        early = bytes(self._held[self.length : before])
        self._held.clear()
        return early, data[max(0, self.length - before) :]

    def _check_magic(self) -> None:
        title, magic, _, bare = self.version
        start = bytes(self._held[: len(magic)])
        if not magic.startswith(start) and not (bare and not start.startswith(ANY)):
            raise RecordingError(f"not {title}", offset=0, expected=f"{magic.decode()}0", found=repr(start))

    def _step(self) -> bool:
        """Consume one line; False where more bytes are needed or the records begin."""
        held, start = self._held, self.length
        if start == len(held):
            return False
        if held[start] != ord("#"):
            self.done = True
            return False
        stop = held.find(b"\n", max(start, self._seen)) + 1
        self._seen = 0 if stop else len(held)
        window = bytes(held[start : start + self.version.lookahead])
        if (start or self.version.bare) and self._suspect(window[: stop - start] if stop else window):
            self.done = self._are_records(window)
            if self.done or len(window) < self.version.lookahead:
                return False
        if stop:
            self._take(bytes(held[start:stop]))
        return bool(stop)

    def _suspect(self, line: bytes) -> bool:
        return _control(line) or (line.endswith(b"\n") and not line.endswith(self._ending))

    def _are_records(self, window: bytes) -> bool:
        if len(window) < self.version.lookahead or not _control(window):
            return False
        records = np.frombuffer(window, [("address", f">u{self.version.address}"), ("stamp", ">u4")])
        return bool(np.all(np.abs(np.diff(records["stamp"].astype(np.int64))) < 1 << 24))

    def _take(self, line: bytes) -> None:
        text = line.rstrip()
        if not self.length:
            self._ending = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        if _control(line[: self.version.lookahead]):
            self.odd.append(self.length)
        if text[1:].lstrip().startswith(b"AEChip:") and not self.chip:
            self.chip = text.partition(b":")[2].strip().decode("utf-8", "replace")
        self.length += len(line)
        self.done = text == END


def _control(line: bytes) -> bool:
    return any(byte < 0x20 and byte not in b"\t\r\n" for byte in line)
