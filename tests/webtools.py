"""A WebSocket seen without any library: the request, frames by hand, and a subscriber that reads only when told to."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Self

import msgpack
from wirebytes import Raw

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455, section 1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def asking(path: str = "/", **headers: str | None) -> bytes:
    """Return a request for a WebSocket; a header that is None is left out."""
    fields = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "ssp.v1",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


def masked(data: bytes, opcode: int = BINARY, *, fin: bool = True, mask: bytes = b"\x0f\xf0\x55\xaa") -> bytes:
    """Return a client's frame."""
    length = len(data)
    first = bytes([(0x80 if fin else 0) | opcode])
    if length < 126:
        head = first + bytes([0x80 | length])
    elif length < 65_536:
        head = first + b"\xfe" + struct.pack(">H", length)
    else:
        head = first + b"\xff" + struct.pack(">Q", length)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def frame_in(data: bytes) -> tuple[int, bytes, int] | None:
    """Return (opcode, payload, where it ends) of a server's first frame, None where it is not whole."""
    if len(data) < 2:
        return None
    assert data[0] & 0x70 == 0, "reserved bits"
    assert data[0] & 0x80, "a server's message is one frame"
    assert not data[1] & 0x80, "a server's frame is not masked"
    length, at = data[1], 2
    if length == 126:
        length, at = struct.unpack_from(">H", data, 2)[0] if len(data) >= 4 else 1 << 62, 4
    elif length == 127:
        length, at = struct.unpack_from(">Q", data, 2)[0] if len(data) >= 10 else 1 << 62, 10
    return (data[0] & 0x0F, data[at : at + length], at + length) if len(data) >= at + length else None


class RawWeb(Raw):
    """A subscriber over a WebSocket; the close frame of the server is a bye if its code is 1000."""

    def __init__(self, url: str, small: bool = False) -> None:
        super().__init__(url, small)
        self.codes: list[int] = []
        self.pongs: list[bytes] = []

    async def connect(self, request: bytes | None = None) -> Self:
        await super().connect()
        await super().send_bytes(asking() if request is None else request)
        while b"\r\n\r\n" not in self.buffer:
            assert await self._fill(), f"no answer: {self.buffer!r}"
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0].startswith("HTTP/1.1 101 "), lines
        assert {"Sec-WebSocket-Protocol: ssp.v1", f"Sec-WebSocket-Accept: {ACCEPT}"} <= set(lines), lines
        assert not [line for line in lines if line.startswith("Sec-WebSocket-Extensions")]
        return self

    async def send(self, *messages: dict[str, Any]) -> None:
        await self.send_bytes(b"".join(masked(msgpack.packb(message)) for message in messages))

    async def read(self) -> dict[str, Any]:
        while True:
            while (found := frame_in(self.buffer)) is None:
                assert await self._fill(), "the connection ended"
            opcode, payload, end = found
            self.buffer = self.buffer[end:]
            if opcode == CLOSE:
                self.codes.append(int.from_bytes(payload[:2]))
                return {}
            if opcode == PONG:
                self.pongs.append(payload)
                continue
            assert opcode == BINARY
            return msgpack.unpackb(payload)

    async def read_all(self) -> list[dict[str, Any]]:
        found = await self.read_what_came()
        assert not self.buffer
        self.socket.close()
        return found


async def answered(url: str, request: bytes) -> bytes:
    """Return all that comes back for some bytes, to the end of the connection."""
    host, _, port = url.partition("://")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
