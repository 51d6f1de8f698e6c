"""What a packet holds, packed and unpacked: nothing, LZ4 frames or Zstandard frames around a size-prefixed FlatBuffer.

The FlatBuffer's own size prefix tells how much is allocated, once it has been checked: the LZ4 frames of DV do not tell
their size, and what a frame tells need not be true.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import lz4.frame
import numpy as np
import zstandard

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.aedat4.flatbuffer import SMALLEST

UNPACKED_LIMIT = 128 << 20
WINDOW_LIMIT = 128 << 20
EIGHT = np.dtype("<u8")
HEAD = struct.Struct("<ii")
RUN_BYTES, RUN_PACKETS = 600_000, 64
"""How much is unpacked at a time: it stays in the nearer cache until it has been decoded."""
USUAL_RATIO = 4
"""What events hardly ever shrink to less than."""
NAMES = {0: "none", 1: "lz4", 2: "lz4", 3: "zstd", 4: "zstd"}
"""Compression by its number in the header; "high" kinds unpack like the others."""
NUMBERS = {"none": 0, "lz4": 1, "zstd": 3}


class Plain:
    """Bytes with a number of 32 bits and an event at every one of them, as kernels read packets."""

    def __init__(self, data: memoryview) -> None:
        from spikestream.kernels.aedat4 import STRUCT

        self.words = _at_every_byte(data, np.dtype("<u4"))
        self.stored = _at_every_byte(data, STRUCT)
        self.words.flags.writeable = self.stored.flags.writeable = False


class Run(NamedTuple):
    """The first bytes of ``plain``: packets as if they had not been packed; where they had, the bytes behind each."""

    plain: Plain
    bytes: int
    ends: Array | None


class Runs:
    """What unpacks many packets of one recording at a time, for as long as nothing about them is wrong or unusual.

    What to say of a packet that is, is `Unpacker`'s. The memory is the same every time.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._bytes = np.empty(RUN_BYTES, np.uint8)
        self._eights = _at_every_byte(self._bytes.data, EIGHT)
        self._plain = Plain(self._bytes.data)
        self._ends = np.empty(RUN_PACKETS, np.int64)
        self._reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT).stream_reader

    def __call__(self, packed: memoryview, stream: int, most: int) -> Run:
        """Return the packets of ``stream`` that these bytes begin with, up to ``most`` <= `RUN_PACKETS`, and room."""
        if self._kind == "none":
            return Run(Plain(packed), len(packed), None)
        unpacked = self._lz4 if self._kind == "lz4" else self._zstd
        count, filled = unpacked(packed, stream, most)
        return Run(self._plain, filled, self._ends[:count])

    def _lz4(self, packed: memoryview, stream: int, most: int) -> tuple[int, int]:
        from spikestream.kernels.lz4 import packets

        stored, eights = np.frombuffer(packed, np.uint8), _at_every_byte(packed, EIGHT)
        stored.flags.writeable = eights.flags.writeable = False  # one type for the kernel, whatever the bytes came in
        count, filled = packets(stored, eights, stream, most, self._bytes, self._eights, self._ends)
        return count, filled

    def _zstd(self, packed: memoryview, stream: int, most: int) -> tuple[int, int]:
        plain, at, filled, count, last = self._bytes.data, 0, 0, 0, 0
        while count < most and at + 8 <= len(packed) and filled + last + last // 4 < RUN_BYTES:
            found, size = HEAD.unpack_from(packed, at)
            end, begin = at + 8 + size, filled + 8
            if found != stream or not 0 < size <= len(packed) - at - 8:
                break
            reader = self._reader(packed[at + 8 : end])
            try:
                stop = begin + reader.readinto(plain[begin:])
                over = not reader.read(1)
            except zstandard.ZstdError:
                break
            if not over:
                break
            HEAD.pack_into(plain, filled, stream, stop - begin)
            self._ends[count] = end
            at, last, filled, count = end, stop - filled, stop, count + 1
        return count, filled


def _at_every_byte(data: memoryview, dtype: np.dtype[Any]) -> Array:
    """Return bytes (n,) as values (n - size + 1,) that begin at every one of them."""
    return np.ndarray(max(0, len(data) - dtype.itemsize + 1), dtype, data, strides=(1,))


class Unpacker:
    """What unpacks the packets of one recording of a ``kind``: made once, as making it takes as long as a packet.

    A packet may grow to a few times its size, which those before it tell; one that grows to more is unpacked twice.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._ratio: float = USUAL_RATIO
        self._context: object = None
        self._zstd = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT) if kind == "zstd" else None

    def __call__(self, packet: memoryview) -> memoryview:
        """Return the FlatBuffer in a packet, without its size prefix.

        Raises `RecordingError` where it is damaged, or larger than `UNPACKED_LIMIT`; memory is spent for what the
        packets before it tell, and for more once the prefix has been checked.
        """
        try:
            body = self._unpacked(packet)
        except (RuntimeError, ValueError, zstandard.ZstdError) as error:
            what = f"a packet is not the {self._kind} frame it should be"
            raise RecordingError(what, details=[str(error)]) from error
        self._ratio = 1.25 * (len(body) + 4) / len(packet)
        return body

    def _unpacked(self, packet: memoryview) -> memoryview:
        if self._kind == "lz4":
            return self._lz4(packet, int(self._ratio * len(packet)))
        if self._zstd is None:
            return _plain(packet)
        reader = self._zstd.stream_reader(packet)
        size = _size(reader.read(4))
        body = np.empty(size, np.uint8).data
        filled = reader.readinto(body)
        return _exact(body[:filled], size, not reader.read(1))

    def _lz4(self, packet: memoryview, usual: int) -> memoryview:
        # Unpacked from its first byte to its last into one piece of memory: in steps it takes twice the time.
        whole, ended = self._lz4_once(packet, min(max(usual, 4), UNPACKED_LIMIT + 4))
        size = _size(whole[:4])
        if not ended and len(whole) < 4 + size:
            whole, ended = self._lz4_once(packet, 4 + size)
        return _exact(whole[4 : 4 + size], size, ended and len(whole) == 4 + size)

    def _lz4_once(self, packet: memoryview, most: int) -> tuple[memoryview, bool]:
        """Return up to so many bytes, and whether they are all, with a right checksum where the frame has one."""
        context, self._context = self._context or lz4.frame.create_decompression_context(), None
        whole, used, ended = lz4.frame.decompress_chunk(context, packet, max_length=most)
        over = ended
        if not ended and len(whole) == most:  # the checksum is seen only by asking for more
            more, _, over = lz4.frame.decompress_chunk(context, packet[used:], max_length=1)
            ended = over and not more
        if over:  # else it would go on in the midst of this frame
            self._context = context
        return memoryview(whole), ended


def pack(kind: str, packet: bytes) -> bytes:
    """Return a packet's bytes, compressed, with a checksum over its content where the kind has one."""
    if kind == "lz4":
        packed: bytes = lz4.frame.compress(packet, content_checksum=True)
        return packed
    if kind == "zstd":
        return zstandard.ZstdCompressor(write_checksum=True).compress(packet)
    return packet


def _size(prefix: bytes | memoryview) -> int:
    if len(prefix) < 4:
        raise RecordingError("a packet ends inside its size prefix", expected="4 bytes", found=f"{len(prefix)}")
    size: int = struct.unpack("<I", prefix)[0]
    if not SMALLEST <= size <= UNPACKED_LIMIT:
        allowed = f"{SMALLEST}..{UNPACKED_LIMIT:,} bytes"
        raise RecordingError("a packet has an impossible unpacked size", expected=allowed, found=f"{size:,}")
    return size


def _exact(body: memoryview, size: int, ended: bool) -> memoryview:
    """Return the body if it is whole and nothing follows it: a checksum is seen only at the true end of a frame."""
    if len(body) < size:
        raise RecordingError("a packet is shorter than it says", expected=f"{size:,} bytes", found=f"{len(body):,}")
    if not ended:
        raise RecordingError("a packet does not end where it says", expected=f"{size:,} bytes")
    return body


def _plain(packet: memoryview) -> memoryview:
    size = _size(packet[:4])
    return _exact(packet[4 : 4 + size], size, len(packet) == 4 + size)
