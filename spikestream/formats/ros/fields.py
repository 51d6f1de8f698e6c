"""The fields of a message, one after the other: as ROS 1 lays them out, or CDR, which aligns them to their size."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError

CDR_LITTLE, CDR_BIG = 1, 0
CDR_HEAD = 4


class Fields:
    """One message, read from its start; raises `RecordingError` where it is too short for what it should hold."""

    def __init__(self, data: memoryview, cdr: bool) -> None:
        self.data = data
        self.cdr = cdr
        self.at = 0
        self.order = "<"
        if cdr:
            if len(data) < CDR_HEAD or data[0] or data[1] not in (CDR_LITTLE, CDR_BIG):
                found = bytes(data[:CDR_HEAD]).hex(" ")
                raise RecordingError("a message is no plain CDR", expected="00 00 or 00 01", found=found)
            self.order = "<" if data[1] == CDR_LITTLE else ">"
            self.at = CDR_HEAD

    def take(self, count: int, align: int = 1) -> memoryview:
        """Return the next so many bytes, of numbers of ``align`` bytes."""
        if self.cdr:
            self.at += -(self.at - CDR_HEAD) % align
        if count > len(self.data) - self.at:
            raise RecordingError(
                "a message is too short for what it says",
                expected=f"{count:,} more bytes",
                found=f"{max(0, len(self.data) - self.at):,}",
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size: int) -> int:
        """Return an unsigned number of so many bytes."""
        return int.from_bytes(self.take(size, size), "little" if self.order == "<" else "big")

    def text(self) -> str:
        """Return a text; CDR ends it with a zero byte."""
        return bytes(self.take(self.number(4))).rstrip(b"\0").decode("utf8", "replace")

    def header(self) -> None:
        """Pass over a std_msgs/Header."""
        if not self.cdr:
            self.number(4)  # seq
        self.number(4)
        self.number(4)
        self.text()


EVENT = {"x": "u2", "y": "u2", "s": "u4", "ns": "u4", "p": "u1"}
"""An event of an array: 13 bytes as ROS 1 lays it out."""
PLACES = {0: ([0, 2, 4, 8, 12], 14), 2: ([0, 2, 6, 10, 14], 16)}
"""Where an event's fields lie in CDR, and where the next event begins: by where it begins itself, modulo 4."""


def event_array(fields: Fields) -> list[Array]:
    """Return arrays, one after the other, of the events {x, y, time, polarity} that stand next in a message."""
    count = fields.number(4)
    formats = [f"{fields.order}{kind}" for kind in EVENT.values()]
    if not fields.cdr:
        packed = np.dtype(list(zip(EVENT, formats, strict=True)))
        return [np.frombuffer(fields.take(packed.itemsize * count), packed)]
    parts = []
    while count:
        begins, step = PLACES[(fields.at - CDR_HEAD) % 4]
        run = 1 if step == PLACES[0][1] else count  # only the first can begin at a multiple of 4
        dtype = np.dtype({"names": list(EVENT), "formats": formats, "offsets": begins, "itemsize": step})
        last = begins[-1] + 1
        parts.append(np.frombuffer(bytes(fields.take(step * (run - 1) + last)) + bytes(step - last), dtype))
        count -= run
        if count:
            fields.take(step - last)
    return parts
