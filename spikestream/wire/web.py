"""SSP/1 over WebSocket: a binary message is one frame without its length, and the close frame is the bye."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from spikestream.wire.frames import PREFIX

SUBPROTOCOL = "ssp.v1"
NORMAL, BROKEN, REFUSED = 1000, 1002, 1008
"""Why a WebSocket is closed: a bye, bytes that are no WebSocket, a rule of SSP/1 that was broken."""
_BINARY, _CLOSE, _PONG = 0x82, 0x88, 0x8A
_SHORT, _MIDDLE, _LONG = struct.Struct(">BB"), struct.Struct(">BBH"), struct.Struct(">BBQ")


def head(length: int) -> bytes:
    """Return the header of a server's binary message of so many bytes."""
    if length < 126:
        return _SHORT.pack(_BINARY, length)
    return _MIDDLE.pack(_BINARY, 126, length) if length < 1 << 16 else _LONG.pack(_BINARY, 127, length)


def close_frame(code: int = NORMAL) -> bytes:
    """Return a server's close frame."""
    return _MIDDLE.pack(_CLOSE, 2, code)


def pong(data: bytes) -> bytes:
    """Return a server's answer to a ping that held so much, at most 125 bytes."""
    return _SHORT.pack(_PONG, len(data)) + data


def message(frame: bytes) -> bytes:
    """Return a frame, its length in front, as the message a server sends in its place."""
    with memoryview(frame) as view:
        return b"".join((head(len(frame) - PREFIX.size), view[PREFIX.size :]))


def payloads(frames: bytes) -> Iterator[bytes]:
    """Yield the payload of each of some whole frames in a row; an empty one is a bye."""
    at = 0
    while at < len(frames):
        (length,) = PREFIX.unpack_from(frames, at)
        at += PREFIX.size + length
        yield frames[at - length : at]


def messages(frames: bytes) -> bytes:
    """Return some whole frames in a row as the messages a server sends in their place."""
    return b"".join(head(len(one)) + one if one else close_frame() for one in payloads(frames))


_NOTHING = PREFIX.pack(1) + b"\xc0"


def framed(payload: bytes) -> bytes:
    """Return what a message holds as a frame; an empty one is no bye here, but a nil, which nobody takes for a map."""
    return PREFIX.pack(len(payload)) + payload if payload else _NOTHING
