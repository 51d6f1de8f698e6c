"""What the two containers of messages share: records that say how long they are, chunks that are unpacked, counts."""

from __future__ import annotations

import bz2
import io
from collections.abc import Callable, Iterator
from typing import NamedTuple

import lz4.frame
import zstandard

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty, Spare
from spikestream.formats.ros.topics import Topics

MOST = 1 << 26
"""Bytes of one record that is looked at: a message, or a packed chunk."""
PIECE = 1 << 18
"""Bytes unpacked at a time."""
MOST_ZSTD = 1 << 27
"""Bytes that a Zstandard frame may ask its reader to hold."""
LARGER = 1024
"""How many times as large as it is packed a chunk may be: ten times is much, and a bomb has no end."""


class Head(NamedTuple):
    """What a record is, where its content begins, how long that is, and whether it is looked at."""

    kind: int
    begin: int
    size: int
    wanted: bool
    fields: dict[bytes, bytes]


class Record(NamedTuple):
    """A record that is looked at."""

    kind: int
    data: memoryview
    fields: dict[bytes, bytes]


class Cutter:
    """Whole records out of bytes in any pieces; ``head`` returns None where more bytes are needed."""

    def __init__(self, head: Callable[[memoryview], Head | None]) -> None:
        self.held = b""
        self.skip = 0
        self._head = head

    def feed(self, data: bytes) -> Iterator[Record]:
        """Yield the records that are whole now; raises `RecordingError` for one that is too long."""
        held = memoryview(self.held + data)
        at = 0
        while at < len(held):
            if self.skip:
                passed = min(self.skip, len(held) - at)
                self.skip -= passed
                at += passed
                continue
            head = self._head(held[at:])
            if head is None:
                break
            begin, end = at + head.begin, at + head.begin + head.size
            if not head.wanted:
                at, self.skip = begin, head.size
                continue
            if head.size > MOST:
                raise RecordingError(f"a record has {head.size:,} bytes", expected=f"at most {MOST:,}")
            if end > len(held):
                break
            at = end
            yield Record(head.kind, held[begin:end], head.fields)
        self.held = bytes(held[at:])

    @property
    def cut(self) -> bool:
        """Return whether a record is not whole yet."""
        return bool(self.held or self.skip)


def unpacked(data: memoryview, packing: str) -> Iterator[bytes]:
    """Yield what a chunk holds, in pieces of at most 256 KiB; raises `RecordingError` where it is damaged."""
    try:
        if packing in ("", "none"):
            yield from (bytes(data[at : at + PIECE]) for at in range(0, len(data), PIECE))
        elif packing in ("lz4", "bz2"):
            yield from _by_steps(lz4.frame.LZ4FrameDecompressor() if packing == "lz4" else bz2.BZ2Decompressor(), data)
        elif packing == "zstd":
            with zstandard.ZstdDecompressor(max_window_size=MOST_ZSTD).stream_reader(io.BytesIO(data)) as reader:
                while piece := reader.read(PIECE):
                    yield piece
        else:
            raise RecordingError(f"a chunk is packed with '{packing[:32]}'", expected="none, lz4, bz2 or zstd")
    except (OSError, RuntimeError, EOFError, zstandard.ZstdError, ValueError) as error:
        raise RecordingError("a chunk cannot be unpacked: it is damaged", details=[str(error)]) from error


def _by_steps(unpacker: lz4.frame.LZ4FrameDecompressor | bz2.BZ2Decompressor, data: memoryview) -> Iterator[bytes]:
    piece = unpacker.decompress(bytes(data), PIECE)
    while piece or not (unpacker.needs_input or unpacker.eof):
        yield piece
        piece = b"" if unpacker.eof else unpacker.decompress(b"", PIECE)
    if not unpacker.eof:
        raise EOFError("it ends too early")


class Recording:
    """A decoder of messages in records: what bags and MCAP share.

    ``topic`` is the one to read, by default the only one of events; ``size`` is that asked for, else what the messages
    say. Bounds: a chunk as it is packed and a message, each of at most 64 MiB, and the events of 65,536 words.
    """

    noun, magic = "", b""
    head: Callable[[memoryview], Head | None]

    def __init__(
        self,
        sensor: str | None = None,
        size: tuple[int, int] | None = None,
        raw: bool = False,
        topic: str | None = None,
    ) -> None:
        self.size = size
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.empty: Empty = Spare()
        self.topics = Topics(topic, size)
        self.cutter = Cutter(self.head)
        self._fed = 0
        self._begun = b""
        self.begin()

    def _tell(self) -> None:
        self.size, self.skipped, self.warnings = self.topics.told()

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Yield arrays (n,) EVENT decoded from these bytes; raises `RecordingError` after the good ones."""
        self._fed += len(data)
        try:
            for events in self._records(bytes(data)):
                self._tell()
                yield events
            self._tell()
        except RecordingError as error:
            error.offset = error.offset if error.offset is not None else self._fed - len(data)
            raise

    def _records(self, data: bytes) -> Iterator[Array]:
        missing = len(self.magic) - len(self._begun)
        self._begun += data[:missing]
        if self._begun != self.magic[: len(self._begun)]:
            raise RecordingError(f"no {self.noun}", offset=0, expected=repr(self.magic), found=repr(self._begun))
        for record in self.cutter.feed(data[missing:]):
            yield from self.record(record)

    def begin(self) -> None:
        """Make what a decoder keeps besides."""

    def record(self, record: Record) -> Iterator[Array]:
        """Yield the events of a record."""
        raise NotImplementedError

    def chunk(self, data: memoryview, packing: str) -> Iterator[Record]:
        """Yield the records of a chunk."""
        cutter, left = Cutter(self.head), LARGER * len(data) + PIECE
        for piece in unpacked(data, packing):
            left -= len(piece)
            if left < 0:
                raise RecordingError("a chunk unpacks to more than a chunk may", expected=f"{LARGER} times its size")
            yield from cutter.feed(piece)
        if cutter.cut:
            raise RecordingError("a chunk ends inside a record")

    def ended(self, whole: bool) -> None:
        """Raise `RecordingError` where the recording is not whole, or held no events' topic."""
        if self._begun != self.magic or not whole:
            raise RecordingError(
                f"the {self.noun} is cut short",
                offset=self._fed,
                remedy="the events before it are read; for the others fetch the file again",
            )
        self.topics.finish()
