"""Where an AEDAT 2.0 header ends, and which camera it names."""

from __future__ import annotations

import numpy as np

from spikestream.errors import RecordingError

MAGIC = b"#!AER-DAT2."
END = b"#End Of ASCII Header"
CAP = 1 << 20  # jAER embeds its preferences as XML: a real DAVIS240C header has 175 kB
LOOKAHEAD = 32  # four records


class Header:
    """The text before the records, fed in any pieces.

    It ends after ``#End Of ASCII Header``, else before the first line that does not start with '#'. A record may start
    with that byte too (a DAVIS event with a stored y of 140..143), and jAER allows binary bytes in header lines. So a
    line that starts with control characters in it, or ends otherwise than the first line, is taken for records where
    the next four, read as records, are less than 2^24 µs apart.
    """

    def __init__(self) -> None:
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
        self._held += data[: CAP + LOOKAHEAD - before]
        if not MAGIC.startswith(self._held[: len(MAGIC)]):
            found = repr(bytes(self._held[: len(MAGIC)]))
            raise RecordingError("not AEDAT 2.0", offset=0, expected="#!AER-DAT2.0", found=found)
        while not self.done and self._step():
            pass
        if not self.done:
            if len(self._held) == CAP + LOOKAHEAD:
                expected = f"its end within {CAP:,} bytes"
                raise RecordingError("the header does not end", offset=self.length, expected=expected)
            return None
        early = bytes(self._held[self.length : before])
        self._held.clear()
        return early, data[max(0, self.length - before) :]

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
        window = bytes(held[start : start + LOOKAHEAD])
        if start and self._suspect(window[: stop - start] if stop else window):
            self.done = _are_records(window)
            if self.done or len(window) < LOOKAHEAD:
                return False
        if stop:
            self._take(bytes(held[start:stop]))
        return bool(stop)

    def _suspect(self, line: bytes) -> bool:
        return _control(line) or (line.endswith(b"\n") and not line.endswith(self._ending))

    def _take(self, line: bytes) -> None:
        text = line.rstrip()
        if not self.length:
            self._ending = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        if _control(line[:LOOKAHEAD]):
            self.odd.append(self.length)
        if text[1:].lstrip().startswith(b"AEChip:") and not self.chip:
            self.chip = text.partition(b":")[2].strip().decode("utf-8", "replace")
        self.length += len(line)
        self.done = text == END


def _control(line: bytes) -> bool:
    return any(byte < 0x20 and byte not in b"\t\r\n" for byte in line)


def _are_records(window: bytes) -> bool:
    if len(window) < LOOKAHEAD or not _control(window):
        return False
    stamps = np.frombuffer(window, ">u4")[1::2].astype(np.int64)
    return bool(np.all(np.abs(np.diff(stamps)) < 1 << 24))
