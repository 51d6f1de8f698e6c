"""What a packet holds, packed and unpacked: nothing, LZ4 frames or Zstandard frames around a size-prefixed FlatBuffer.

The FlatBuffer's own size prefix tells how much is allocated, once it has been checked: the LZ4 frames of DV do not tell
their size, and what a frame tells need not be true.
"""

from __future__ import annotations

import struct

import lz4.frame
import numpy as np
import zstandard

from spikestream.errors import RecordingError
from spikestream.formats.aedat4.flatbuffer import SMALLEST

UNPACKED_LIMIT = 128 << 20
WINDOW_LIMIT = 128 << 20
USUAL_RATIO = 4
"""What events hardly ever shrink to less than."""
NAMES = {0: "none", 1: "lz4", 2: "lz4", 3: "zstd", 4: "zstd"}
"""Compression by its number in the header; "high" kinds unpack like the others."""
NUMBERS = {"none": 0, "lz4": 1, "zstd": 3}


def unpack(kind: str, packet: memoryview, ratio: float = USUAL_RATIO) -> memoryview:
    """Return the FlatBuffer in a packet, without its size prefix; ``ratio``: to how many times its size it may grow.

    One that grows to more is unpacked twice. Raises `RecordingError` where it is damaged, or larger than
    `UNPACKED_LIMIT`; memory is spent for what ``ratio`` says, and for more once the prefix has been checked.
    """
    try:
        if kind == "lz4":
            return _lz4(packet, int(ratio * len(packet)))
        return {"none": _plain, "zstd": _zstd}[kind](packet)
    except (RuntimeError, ValueError, zstandard.ZstdError) as error:
        raise RecordingError(f"a packet is not the {kind} frame it should be", details=[str(error)]) from error


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


def _lz4(packet: memoryview, usual: int) -> memoryview:
    # Unpacked from its first byte to its last into one piece of memory: in steps it takes twice the time.
    whole, ended = _lz4_once(packet, min(max(usual, 4), UNPACKED_LIMIT + 4))
    size = _size(whole[:4])
    if not ended and len(whole) < 4 + size:
        whole, ended = _lz4_once(packet, 4 + size)
    return _exact(whole[4 : 4 + size], size, ended and len(whole) == 4 + size)


def _lz4_once(packet: memoryview, most: int) -> tuple[memoryview, bool]:
    """Return up to so many bytes, and whether they are all, with a right checksum where the frame has one."""
    context = lz4.frame.create_decompression_context()
    whole, used, ended = lz4.frame.decompress_chunk(context, packet, max_length=most)
    if not ended and len(whole) == most:  # the checksum is seen only by asking for more
        more, _, ended = lz4.frame.decompress_chunk(context, packet[used:], max_length=1)
        ended = ended and not more
    return memoryview(whole), ended


def _zstd(packet: memoryview) -> memoryview:
    reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT).stream_reader(packet)
    size = _size(reader.read(4))
    body = np.empty(size, np.uint8).data
    filled = reader.readinto(body)
    return _exact(body[:filled], size, not reader.read(1))
