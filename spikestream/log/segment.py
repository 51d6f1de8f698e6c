"""One segment: a file of frames exactly as they were published, that begins like a wire stream and ends with a bye.

    hello · log {n, next} · messages, gaps, marks, sums … · index {next, blocks} · foot {at} · bye

``hello`` and ``log`` say which epoch it belongs to and which numbers come next, ``sum`` that what was written since the
last one is whole, ``index`` what is where, in blocks of about a mebibyte. A segment whose process died has no end: what
is whole of it is found by reading it: all up to the last sum that is right.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from spikestream.errors import ClientError
from spikestream.files.regular import open_regular
from spikestream.log.frames import BYE, Looked, numbers_in, read_op, scan
from spikestream.wire import Hello
from spikestream.wire.frames import PREFIX, frame

SUFFIX = ".ssp"
BLOCK = 1 << 20
"""Bytes after which a new block begins."""
VERSION = 1
_FOOT = len(frame({"op": "foot", "at": bytes(8), "crc": bytes(4)}))


@dataclass(slots=True)
class Block:
    """The frames ``[at, end)`` of a segment: the first and last number by topic, and when they were published."""

    at: int
    end: int
    t_ns: int = 0
    """The latest publication in it."""
    topics: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, topic: str, seq: int, t_ns: int) -> None:
        """Take note of a message."""
        first, _ = self.topics.get(topic, (seq, seq))
        self.topics[topic] = (first, seq)
        self.t_ns = max(self.t_ns, t_ns)


@dataclass(slots=True)
class Segment:
    """What is known of a segment. ``next`` has the number by topic with which whoever goes on after it may begin."""

    path: Path
    number: int
    epoch: str
    started_ns: int
    blocks: list[Block] = field(default_factory=list)
    next: dict[str, int] = field(default_factory=dict)
    size: int = 0
    ended: bool = False

    def note(self, topic: str, seq: int, t_ns: int, at: int, end: int) -> None:
        """Take note of a message that stands at ``[at, end)``."""
        if not self.blocks or at - self.blocks[-1].at >= BLOCK:
            self.blocks.append(Block(at, at))
        block = self.blocks[-1]
        block.add(topic, seq, t_ns)
        block.end = end

    def first(self, topic: str) -> int | None:
        """Return the first number of a topic in it, None where there is none."""
        return next((block.topics[topic][0] for block in self.blocks if topic in block.topics), None)

    def lasts(self) -> dict[str, int]:
        """Return the last number by topic in it."""
        return {topic: last for block in self.blocks for topic, (_, last) in block.topics.items()}


def name_of(number: int) -> str:
    """Return the file name of a segment."""
    return f"{number:012d}{SUFFIX}"


def number_of(path: Path) -> int | None:
    """Return the number a file name says, None for a name that is no segment's."""
    digits = path.name.removesuffix(SUFFIX)
    return int(digits) if path.name == f"{digits}{SUFFIX}" and len(digits) == 12 and digits.isdecimal() else None


def listed(folder: Path) -> list[Path]:
    """Return the files of a folder that are called like segments, in order; raises `OSError`."""
    return sorted(path for path in folder.iterdir() if number_of(path) is not None)


def is_begun_only(path: Path) -> bool:
    """Return whether a process died over the very first bytes of a file: there is no message in it."""
    with open(path, "rb") as file:
        size, begins = os.fstat(file.fileno()).st_size, file.read(64)
        if not begins:
            return True
        at = max((seen.end for seen in scan(file, 0, size) if seen.op == "hello"), default=0)
        file.seek(at)
        (length,) = PREFIX.unpack(file.read(PREFIX.size).ljust(PREFIX.size, b"\0"))
        return b"\xa2op\xa5hello" in begins and size - at < PREFIX.size + length


def bytes_of(path: Path) -> Iterator[bytes]:
    """Yield the frames of a segment one by one, a bye at its end if it has one; raises `OSError`."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        for seen in scan(file, 0, size):
            file.seek(seen.at)
            yield file.read(seen.end - seen.at)


def head(hello: Hello, number: int, numbers: Mapping[str, int]) -> bytes:
    """Return the bytes a segment begins with."""
    return hello.frame + frame({"op": "log", "v": VERSION, "n": number, "next": dict(numbers)})


def mark(numbers: Mapping[str, int]) -> bytes:
    """Return the frame that says which numbers may be used up before the next mark."""
    return frame({"op": "mark", "next": dict(numbers)})


def checksum(data: bytes) -> bytes:
    """Return the frame, of fixed size, that follows what was written at once and says whether it is whole."""
    return frame({"op": "sum", "crc": _crc(data)})


def tail(at: int, blocks: Sequence[Block], numbers: Mapping[str, int]) -> bytes:
    """Return the bytes that end a segment whose last frame ended at ``at``."""
    rows = [[block.at, block.end, block.t_ns, {t: list(span) for t, span in block.topics.items()}] for block in blocks]
    index = frame({"op": "index", "next": dict(numbers), "blocks": rows})
    return index + frame({"op": "foot", "at": at.to_bytes(8, "little"), "crc": _crc(index)}) + BYE


def opened(path: Path) -> tuple[Segment, BinaryIO]:
    """Return a segment, its index read or made by reading all of it, and the file; raises `OSError`, `ClientError`.

    ``size`` is where its last whole frame ends: what comes behind that was being written when the process died.
    """
    file = open_regular(path)
    try:
        size = os.fstat(file.fileno()).st_size
        segment, start = _begun(path, file, size)
        if not _indexed(segment, file, size):
            _read_through(segment, file, start, size)
    except BaseException:
        file.close()
        raise
    return segment, file


def _begun(path: Path, file: BinaryIO, size: int) -> tuple[Segment, int]:
    frames = scan(file, 0, size)
    ops: list[tuple[dict[str, Any], Looked]] = []
    for seen in frames:
        if seen.op not in ("hello", "log"):
            break
        ops.append((read_op(file, seen), seen))
        if len(ops) == 2:
            break
    if [message.get("op") for message, _ in ops] != ["hello", "log"]:
        raise ClientError("it does not begin like a segment of a log")
    (hello, _), (begun, last) = ops
    if begun.get("v") != VERSION:
        raise ClientError(f"it has version {begun.get('v')!r}, not {VERSION}")
    epoch, now_ns = hello.get("epoch"), hello.get("now_ns")
    if type(epoch) is not str or type(now_ns) is not int:
        raise ClientError("its greeting lacks epoch or time")
    number = number_of(path)
    return Segment(path, number or 0, epoch, now_ns, next=numbers_in(begun), size=last.end), last.end


def _indexed(segment: Segment, file: BinaryIO, size: int) -> bool:
    """Read the index of a segment that has been ended; return whether it has one."""
    foot_at = size - _FOOT - len(BYE)
    if foot_at < segment.size:
        return False
    found = list(scan(file, foot_at, size))
    if [seen.op for seen in found] != ["foot", ""] or found[-1].end != size:
        return False
    try:
        foot = read_op(file, found[0])
        at = int.from_bytes(bytes(foot["at"]), "little")
        if at > foot_at or _crc(_bytes(file, at, foot_at)) != foot["crc"]:
            return False
        index = read_op(file, Looked(at, foot_at))
        segment.blocks = [_block(row) for row in index["blocks"]] if index.get("op") == "index" else []
        segment.next = numbers_in(index)
    except (ClientError, KeyError, TypeError, ValueError, OverflowError):
        segment.blocks = []
        return False
    segment.size, segment.ended = size, True
    return True


def _block(row: Any) -> Block:
    at, end, t_ns, topics = row
    if not all(type(value) is int and value >= 0 for value in (at, end, t_ns)) or at > end:
        raise ValueError("a block that cannot be")
    return Block(at, end, t_ns, {str(topic): (int(first), int(last)) for topic, (first, last) in topics.items()})


def _read_through(segment: Segment, file: BinaryIO, start: int, size: int) -> None:
    loose: list[Looked] = []
    begun = start
    for seen in scan(file, start, size):
        if seen.op in ("index", "foot") or not (seen.op or seen.topic):
            break
        if seen.op != "sum":
            loose.append(seen)
        elif _bytes(file, seen.at, seen.end) == checksum(_bytes(file, begun, seen.at)):
            _take(segment, file, loose)
            segment.size = begun = seen.end
            loose = []
        else:
            break


def _take(segment: Segment, file: BinaryIO, frames: Iterable[Looked]) -> None:
    for seen in frames:
        if seen.op == "mark":
            marked = numbers_in(read_op(file, seen))
            segment.next |= {topic: max(number, segment.next.get(topic, 0)) for topic, number in marked.items()}
        elif not seen.op:
            segment.note(seen.topic, seen.seq, seen.t_ns, seen.at, seen.end)
            segment.next[seen.topic] = max(seen.seq + 1, segment.next.get(seen.topic, 0))
        segment.size = seen.end


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _bytes(file: BinaryIO, at: int, end: int) -> bytes:
    return os.pread(file.fileno(), end - at, at)
