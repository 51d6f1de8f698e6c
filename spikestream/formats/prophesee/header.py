"""The text in front of Prophesee's recordings: lines of ``% key value``, and what they say of encoding and sensor.

Sources: Prophesee's pages on RAW and DAT files; OpenEB's HAL, for the encoding and the sensor of a system ID.
"""

from __future__ import annotations

import re

from spikestream.errors import RecordingError

CAP, LINE = 1 << 20, 4096
"""Bytes of a header, and of one of its lines, at the most."""
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f]")
_EVT3 = {0x28, 0x1E, 0x2E, 0x30, 0x31, 0x32}
_SIZES = dict.fromkeys((0x15, 0x17, 0x19, 0x1C, 0x1D, 0x21, 0x22, 0x23, 0x28, 0x29), (640, 480))
_SIZES |= dict.fromkeys((0x1A, 0x1E, 0x1F, 0x27, 0x2E, 0x30, 0x31, 0x32), (1280, 720))
"""Width and height in pixels of the sensors with these system IDs."""
_NAMES = {"evt2": "evt2", "evt21": "evt21", "evt3": "evt3", "2.0": "evt2", "2.1": "evt21", "3.0": "evt3"}


class Header:
    """A header, fed in any pieces; ``values`` has its lines by key, in lower case.

    It ends behind a line ``% end``, else before the first line that does not start with a percent sign and a space. A
    word of data may start with these two bytes as well: a line with control characters in it, or of more than 4 KiB,
    is data.
    """

    def __init__(self) -> None:
        self.done = False
        self.values: dict[str, str] = {}
        self.length = 0
        self._held = bytearray()

    def feed(self, data: memoryview) -> tuple[bytes, memoryview] | None:
        """Take bytes; return which of before and which of now are data, None while the header goes on."""
        before = len(self._held)
        self._held += data[: CAP + LINE - before]
        while not self.done and self._step():
            pass
        if not self.done:
            if len(self._held) >= CAP:
                expected = f"its end within {CAP:,} bytes"
                raise RecordingError("the header does not end", offset=self.length, expected=expected)
            return None
        early = bytes(self._held[self.length : before])
        self._held.clear()
        return early, data[max(0, self.length - before) :]

    def finish(self) -> None:
        """Say that no more bytes will come; raises `RecordingError` where they end inside a line."""
        if not self.done and self.length < len(self._held):
            what = "the recording ends inside its header"
            raise RecordingError(what, offset=len(self._held), remedy="fetch or export it again: it holds no events")

    def _step(self) -> bool:
        """Consume one line; False where more bytes are needed or the data begins."""
        held, start = self._held, self.length
        if not held.startswith(b"% ", start):
            self.done = not b"% ".startswith(held[start:])
            return False
        stop = held.find(b"\n", start, start + LINE) + 1
        if not stop:
            self.done = len(held) - start >= LINE or _is_data(held[start:])
            return False
        if _is_data(held[start:stop]):
            self.done = True
            return False
        key, _, value = held[start + 2 : stop].decode("utf-8", "replace").strip().partition(" ")
        self.values.setdefault(key.lower(), value.strip())
        self.length = stop
        self.done = key == "end"
        return not self.done

    def encoding(self) -> str:
        """Return evt2, evt21, evt3 or dat, or "" where the lines so far tell of none of them."""
        said = self.values.get("format", "").partition(";")[0].lower() or self.values.get("evt", "")
        if said:
            return _NAMES.get(said, "")
        if "system_id" in self.values:
            return "evt3" if _number(self.values["system_id"]) in _EVT3 else "evt2"
        return "dat" if self.values.get("data", "").startswith("file ") or "version" in self.values else ""

    def bare(self) -> bool:
        """Return whether the header is over and has no line that a RAW file is known by."""
        return self.done and not self.values.keys() & {"format", "evt", "system_id"}

    def option(self, name: str) -> str:
        """Return an option in the line that names the format, such as ``height`` in ``EVT3;height=720``, else ""."""
        options = (option.partition("=") for option in self.values.get("format", "").split(";")[1:])
        return next((value for key, _, value in options if key.strip().lower() == name), "")

    def size(self) -> tuple[int, int] | None:
        """Return (width, height) in pixels, None where the header does not tell it."""
        geometry = self.values.get("geometry", "").partition("x")
        for width, height in (
            (self.option("width"), self.option("height")),
            (geometry[0], geometry[2]),
            (self.values.get("width", ""), self.values.get("height", "")),
        ):
            if (found := (_number(width), _number(height))) > (0, 0) and 0 < found[1] <= 1 << 14 >= found[0]:
                return found
        return _SIZES.get(_number(self.values.get("system_id", "")))


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def _is_data(line: bytes | bytearray) -> bool:
    return _CONTROL.search(line) is not None
