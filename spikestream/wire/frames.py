"""Frames: a u32 little-endian length and one msgpack map; a length of 0 says bye."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgpack

from spikestream.errors import ClientError

PREFIX = struct.Struct("<I")
BYE = PREFIX.pack(0)

MAX_FRAME = 1 << 20
"""Larger batches travel as several messages of so many bytes, eight of which fit the default queue."""
MAX_FRAME_EVER = 16 << 20
"""What a server sends at most, for rows of one single µs, and a client accepts, whatever the server announces."""
MAX_CLIENT_FRAME = 64 << 10
"""What a server accepts at most from a client, and a client before the greeting."""
MAX_CONTAINERS = 1 << 16
"""Maps and arrays in one frame: an empty map is 1 byte on the wire and 64 in memory, so bytes alone do not bound it."""
MAX_DEPTH = 64
"""So deep they may lie in each other: what shows or walks through a message must not run out of stack."""

FROM_CLIENT = {"max_array_len": 256, "max_map_len": 256, "max_str_len": 1024, "max_bin_len": 0}
FROM_SERVER = {"max_array_len": 1 << 16, "max_map_len": 1 << 16, "max_str_len": 1 << 16, "max_bin_len": MAX_FRAME_EVER}

_Container = TypeVar("_Container")
_OF_THREAD = threading.local()


def frame(message: Mapping[str, Any]) -> bytes:
    """Return the message as one frame, its length in front."""
    # A packer of each thread: one takes a third of the time that making it does.
    packer = getattr(_OF_THREAD, "packer", None)
    if packer is None:
        packer = _OF_THREAD.packer = msgpack.Packer()
    payload: bytes = packer.pack(message)
    return PREFIX.pack(len(payload)) + payload


def unpack(payload: bytes, limits: Mapping[str, int]) -> dict[str, Any]:
    """Return the map in a payload, under strict limits; raises `ClientError` for anything else."""
    budget = _Budget()
    try:
        message = msgpack.unpackb(
            payload,
            strict_map_key=True,
            max_ext_len=0,
            object_hook=budget.spend_map,
            list_hook=budget.spend,
            ext_hook=_no_ext,
            **limits,
        )
    except ValueError as error:
        raise ClientError(f"a frame of {len(payload):,} bytes is not a message: {error}") from error
    if not isinstance(message, dict):
        raise ClientError(f"a frame holds {type(message).__name__}, not a map")
    # Only as many containers as levels can be too deep: nearly every message is spared the walk.
    if MAX_CONTAINERS - budget.left > MAX_DEPTH and _too_deep(message):
        raise ClientError(
            f"a frame of {len(payload):,} bytes holds more than {MAX_DEPTH} maps and arrays in each other"
        )
    return message


def _too_deep(message: dict[str, Any]) -> bool:
    level: list[Any] = [message]
    for _ in range(MAX_DEPTH):
        inner = (value for one in level for value in (one.values() if isinstance(one, dict) else one))
        level = [value for value in inner if isinstance(value, dict | list)]
    return bool(level)


def _no_ext(code: int, data: bytes) -> None:
    raise ValueError(f"an ext type ({code})")  # max_ext_len lets empty ones pass


class _Budget:
    """Counts the containers of one frame down, and refuses the one too many."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_CONTAINERS

    def spend(self, container: _Container) -> _Container:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"more than {MAX_CONTAINERS:,} maps and arrays")
        return container

    def spend_map(self, container: dict[str, Any]) -> dict[str, Any]:
        try:
            "".join(container)  # looks at every key in C: the library takes bytes for one, too
        except TypeError:
            raise ValueError("a key that is no text") from None
        return self.spend(container)


class FrameReader:
    """Bytes in any pieces in, payloads out; an empty payload is a bye.

    It holds at most ``limit`` + 4 bytes and the piece just fed; ``limit`` may change between two frames.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()

    @property
    def held(self) -> int:
        """Return the bytes of the frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, return an iterator over the complete payloads; it raises `ClientError` at an oversized frame."""
        self._buffer += data
        return self._payloads()

    def _payloads(self) -> Iterator[bytes]:
        while len(self._buffer) >= PREFIX.size:
            (length,) = PREFIX.unpack_from(self._buffer)
            if length > self.limit:
                raise ClientError(
                    f"a frame of {length:,} bytes is larger than the {self.limit:,} allowed here",
                    details=[f"first bytes: {bytes(self._buffer[:16])!r}"],
                )
            end = PREFIX.size + length
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                payload = bytes(view[PREFIX.size : end])
            del self._buffer[:end]
            yield payload
