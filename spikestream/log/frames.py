"""Frames as they stand in a segment: the wire's own, looked at no further than to where their rows begin.

Beside what was published a segment holds frames that a subscriber would pass over, maps with an ``op``: ``log`` (what
the segment begins with), ``mark`` (numbers that may have been used up), ``index`` and ``foot`` (what was in it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgpack

from spikestream.errors import ClientError
from spikestream.wire.frames import BYE, FROM_SERVER, MAX_FRAME_EVER, PREFIX, unpack

HEAD = 512
"""Bytes in which everything stands that a frame says before its rows; a topic has at most 255."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a frame says of itself: a message, or (``op``) what a segment says of itself, or the bye (neither).

    It takes the bytes ``[at, end)`` of the file, its length included.
    """

    at: int
    end: int
    op: str = ""
    topic: str = ""
    seq: int = 0
    t_ns: int = 0
    rows: int = 0


def look(payload: bytes, at: int, end: int) -> Looked | None:
    """Return what the frame with this payload, or the first `HEAD` bytes of it, says; None where it is none."""
    if not payload:
        return Looked(at, end)
    try:
        fields = _fields(payload)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    op, topic, seq = fields.get("op"), fields.get("c"), fields.get("s")
    if type(op) is str:
        return Looked(at, end, op=op)
    if type(topic) is str and fields.get("k") == "gap" and "from" in fields:
        return Looked(at, end, op="gap", topic=topic)
    t_ns, rows = fields.get("t"), fields.get("n")
    if type(topic) is not str or type(seq) is not int or type(t_ns) is not int or type(rows) is not int:
        return None
    return Looked(at, end, topic=topic, seq=seq, t_ns=t_ns, rows=rows)


def _fields(payload: bytes) -> dict[str, Any]:
    unpacker = msgpack.Unpacker(max_buffer_size=HEAD, max_ext_len=0)
    unpacker.feed(payload[:HEAD])
    fields: dict[str, Any] = {}
    for _ in range(min(unpacker.read_map_header(), 7)):  # k, c, s, t, t0, t1, n; or an op, whose rest may be long
        key = unpacker.unpack()
        if key == "d":
            break
        fields[key] = unpacker.unpack()
        if key == "op":
            break
    return fields


def scan(file: BinaryIO, start: int, size: int) -> Iterator[Looked]:
    """Yield the frames of ``[start, size)`` up to the first that is not whole or makes no sense.

    A bye that is not the end is such a one: it is what a lost write leaves, a stretch of zeros.
    """
    at = start
    file.seek(at)
    while len(prefix := file.read(PREFIX.size)) == PREFIX.size:
        (length,) = PREFIX.unpack(prefix)
        end = at + PREFIX.size + length
        if length > MAX_FRAME_EVER or end > size or (not length and end < size):
            return
        seen = look(file.read(min(length, HEAD)), at, end)
        if seen is None:
            return
        yield seen
        file.seek(end)
        at = end


def split(chunk: bytes, offset: int) -> Iterator[tuple[Looked, bytes]]:
    """Yield each frame of a chunk of whole frames that begins at ``offset`` of its file, and its bytes."""
    at = 0
    while at + PREFIX.size <= len(chunk):
        end = at + PREFIX.size + PREFIX.unpack_from(chunk, at)[0]
        seen = look(chunk[at + PREFIX.size : min(end, at + PREFIX.size + HEAD)], offset + at, offset + end)
        if seen is None or end > len(chunk):
            return
        yield seen, chunk[at:end]
        at = end


def read_op(file: BinaryIO, seen: Looked) -> dict[str, Any]:
    """Return the map of a frame of a segment about itself; raises `ClientError` where it is none."""
    file.seek(seen.at + PREFIX.size)
    return unpack(file.read(seen.end - seen.at - PREFIX.size), FROM_SERVER)


def numbers_in(message: Mapping[str, Any], key: str = "next") -> dict[str, int]:
    """Return a map from topics to numbers; raises `ClientError` where it is none."""
    found = message.get(key)
    if not isinstance(found, dict) or not all(type(k) is str and type(v) is int for k, v in found.items()):
        raise ClientError(f"a segment without numbers by topic under '{key}'")
    return found


__all__ = ["BYE", "HEAD", "Looked", "look", "numbers_in", "read_op", "scan", "split"]
