"""MCAP: records of a byte that says what they are, their length and their content, most of them in chunks.

Messages come in the order in which they were recorded; the summary at the end is not needed, so that a file that was
never closed is read as far as it goes. Messages of ROS 2 (cdr) and of ROS 1 (ros1) are read. Source: mcap.dev/spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.ros.records import Head, Record, Recording
from spikestream.formats.ros.topics import LONGEST

MAGIC = b"\x89MCAP0\r\n"
SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END = 3, 4, 5, 6, 15
READ = (SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END)


def head(data: memoryview) -> Head | None:
    """Return what a record is, None where that is not there yet."""
    if len(data) < 9:
        return None
    return Head(data[0], 9, int.from_bytes(data[1:9], "little"), data[0] in READ, {})


class _Parts:
    """The content of a record, from its start; raises `RecordingError` where it is too short."""

    def __init__(self, data: memoryview) -> None:
        self._rest = data

    def take(self, count: int) -> memoryview:
        part, self._rest = self._rest[:count], self._rest[count:]
        if len(part) < count:
            raise RecordingError("a record is too short", expected=f"{count:,} bytes", found=f"{len(part):,}")
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def text(self) -> str:
        return bytes(self.take(self.number(4))).decode("utf8", "replace")

    def rest(self) -> memoryview:
        return self._rest


class Decoder(Recording):
    """Decode an MCAP file fed in any pieces; ``sensor`` and ``raw`` change nothing: see `Recording`."""

    noun, magic, head = "MCAP file", MAGIC, staticmethod(head)

    def begin(self) -> None:
        """Know nothing yet of what the file holds."""
        self._schemas: dict[int, str] = {}
        self._ended = False

    def record(self, record: Record) -> Iterator[Array]:
        """Yield the events of a record."""
        parts = _Parts(record.data)
        if record.kind == CHUNK:
            parts.take(28)  # first and last time, size and checksum of the plain content
            packing = parts.text()
            for one in self.chunk(parts.take(parts.number(8)), packing):
                yield from self.record(one) if one.kind in (SCHEMA, CHANNEL, MESSAGE) else ()
        elif record.kind == SCHEMA:
            schema = parts.number(2)
            self._schemas[schema] = parts.text()[:LONGEST]
        elif record.kind == CHANNEL:
            number, schema, topic, encoding = parts.number(2), parts.number(2), parts.text(), parts.text()
            self.topics.add(number, topic, self._schemas.get(schema, ""), encoding)
        elif record.kind == MESSAGE:
            number = parts.number(2)
            parts.take(20)  # its number and two times
            yield from self.topics.events(number, parts.rest(), self.empty)
        else:
            self._ended = True

    def finish(self) -> None:
        """Raise `RecordingError` where the file is cut short, or has no topic of events."""
        self.ended(self._ended and self.cutter.held == MAGIC)


def sniff(data: bytes) -> bool:
    """Return whether a file starts as MCAP does."""
    return data.startswith(MAGIC)
