"""Bags of ROS 1, format 2.0: records of header fields and data, most of them in chunks.

Messages come in the order in which they were recorded; the index is not needed, so that a bag that was never closed is
read as far as it goes. Source: the page on the format of bags, wiki.ros.org/Bags/Format/2.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.ros.records import Head, Record, Recording

MAGIC = b"#ROSBAG V2.0\n"
MESSAGE, BAG, CHUNK, CONNECTION = 2, 3, 5, 7
READ = (MESSAGE, BAG, CHUNK, CONNECTION)
MOST_FIELDS = 1 << 20


def head(data: memoryview) -> Head | None:
    """Return what a record is, None where its fields are not there yet; raises `RecordingError`."""
    length = _number(data[:4])
    if length is None:
        return None
    if length > MOST_FIELDS:
        raise RecordingError(f"the fields of a record have {length:,} bytes", expected=f"at most {MOST_FIELDS:,}")
    size = _number(data[4 + length : 8 + length])
    if size is None:
        return None
    fields = _fields(data[4 : 4 + length])
    kind = fields.get(b"op", b"")
    if len(kind) != 1:
        raise RecordingError("a record does not say what it is", expected="op, of one byte", found=f"{len(kind)}")
    return Head(kind[0], 8 + length, size, kind[0] in READ, fields)


def _number(data: memoryview) -> int | None:
    return int.from_bytes(data, "little") if len(data) == 4 else None


def _fields(data: memoryview) -> dict[bytes, bytes]:
    found, at = {}, 0
    while at < len(data):
        length = _number(data[at : at + 4])
        field = bytes(data[at + 4 : at + 4 + (length or 0)])
        name, equals, value = field.partition(b"=")
        if not length or len(field) < length or not equals:
            raise RecordingError("the fields of a record are damaged", expected="a length, then name=value")
        found[name] = value
        at += 4 + length
    return found


class Decoder(Recording):
    """Decode a bag fed in any pieces; ``sensor`` and ``raw`` change nothing: see `Recording`."""

    noun, magic, head = "bag of ROS 1", MAGIC, staticmethod(head)

    def record(self, record: Record) -> Iterator[Array]:
        """Yield the events of a record."""
        if record.kind == CHUNK:
            packing = record.fields.get(b"compression", b"").decode("latin1")
            for one in self.chunk(record.data, packing):
                yield from self.record(one) if one.kind != CHUNK else ()
        elif record.kind == CONNECTION:
            self._connection(record)
        elif record.kind == MESSAGE:
            yield from self.topics.events(_connection_of(record), record.data, self.empty)
        elif record.fields.get(b"encryptor"):
            raise RecordingError("the bag is encrypted", remedy="decrypt it first")

    def _connection(self, record: Record) -> None:
        inner = _fields(record.data)
        topic = record.fields.get(b"topic", inner.get(b"topic", b"")).decode("utf8", "replace")
        kind = inner.get(b"type", b"").decode("utf8", "replace")
        self.topics.add(_connection_of(record), topic, kind, "ros1")

    def finish(self) -> None:
        """Raise `RecordingError` where the bag is cut short, or has no topic of events."""
        self.ended(not self.cutter.cut)


def _connection_of(record: Record) -> int:
    value = record.fields.get(b"conn", b"")
    if len(value) != 4:
        raise RecordingError("a record does not say of which connection it is", expected="conn, of four bytes")
    return int.from_bytes(value, "little")


def sniff(data: bytes) -> bool:
    """Return whether a file starts as a bag of ROS 1 does."""
    return data.startswith(MAGIC)
