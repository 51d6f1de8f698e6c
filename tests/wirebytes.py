"""The wire seen without our own code: the bytes of docs/wire.md, a reader of frames, and a plain subscriber."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from functools import cache
from pathlib import Path
from typing import Any, Self

import msgpack

PAGE = Path(__file__).resolve().parent.parent / "docs" / "wire.md"


@cache
def golden() -> dict[str, bytes]:
    """Return every block of bytes of the specification by its name."""
    blocks = re.findall(r"^```hex ([\w-]+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return {name: bytes.fromhex("".join(line.split("#")[0] for line in body.splitlines())) for name, body in blocks}


def put(message: dict[str, Any]) -> bytes:
    payload = msgpack.packb(message)
    return struct.pack("<I", len(payload)) + payload


def maps(data: bytes) -> list[dict[str, Any]]:
    """Return the maps in a row of whole frames; a bye is the empty map."""
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        found.append(msgpack.unpackb(data[at + 4 : at + 4 + length]) if length else {})
        at += 4 + length
    assert at == len(data)
    return found


def span(messages: list[dict[str, Any]]) -> dict[str, tuple[int, int, int, int]]:
    """Return (first number, next number, rows received, rows lost) by topic; the law of gaps holds, or this fails."""
    topics: dict[str, tuple[int, int, int, int]] = {}
    for message in messages:
        if "k" not in message:
            continue
        lost = "from" in message
        number = message["from"] if lost else message["s"]
        first, due, got, gone = topics.get(message["c"], (number, number, 0, 0))
        assert number == due, f"{message['c']}: {number} where {due} is due"
        if lost:
            assert message["to"] - message["from"] == message["n"] > 0
            topics[message["c"]] = first, message["to"], got, gone + message.get("rows", 0)
        else:
            topics[message["c"]] = first, due + 1, got + message["n"], gone
    return topics


class Raw:
    """A subscriber of sockets and msgpack alone; it reads only when told to."""

    def __init__(self, url: str, small: bool = False) -> None:
        self.url = url
        family = socket.AF_UNIX if url.startswith("unix://") else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        if small:  # else the kernel itself takes megabytes for us
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        self.buffer = b""
        self.ended = False

    async def connect(self) -> Self:
        location = self.url.partition("://")[2]
        host, _, port = location.rpartition(":")
        address = location if self.socket.family == socket.AF_UNIX else (host, int(port))
        await asyncio.get_running_loop().sock_connect(self.socket, address)
        return self

    async def subscribe(self, *topics: str, policy: str = "drop_oldest", **terms: Any) -> Self:
        await self.connect()
        assert (await self.read())["op"] == "hello"
        asked = {"op": "sub", "id": 1, "topics": list(topics), "policy": policy} | terms
        await self.send({"op": "hello", "v": [1]}, asked)
        self.answer = await self.read()
        assert (self.answer["op"], self.answer["id"]) == ("sub", 1)
        return self

    async def send(self, *messages: dict[str, Any]) -> None:
        await self.send_bytes(b"".join(map(put, messages)))

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def _fill(self) -> bool:
        try:
            data = await asyncio.get_running_loop().sock_recv(self.socket, 64 << 10)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        self.ended = not data
        return bool(data)

    async def read(self) -> dict[str, Any]:
        """Return the next message that is not a server's ping; the empty map is a bye."""
        while (message := await self._next()).get("op") == "ping":
            pass
        return message

    async def _next(self) -> dict[str, Any]:
        while len(self.buffer) < 4 or len(self.buffer) < 4 + struct.unpack_from("<I", self.buffer)[0]:
            assert await self._fill(), "the connection ended"
        end = 4 + struct.unpack_from("<I", self.buffer)[0]
        frame, self.buffer = self.buffer[:end], self.buffer[end:]
        return maps(frame)[0]

    async def read_all(self) -> list[dict[str, Any]]:
        """Return all messages to the end of the connection."""
        parts = [self.buffer]
        self.buffer = b""
        while await self._fill():
            parts.append(self.buffer)
            self.buffer = b""
        self.socket.close()
        return [message for message in maps(b"".join(parts)) if message.get("op") != "ping"]

    async def read_what_came(self) -> list[dict[str, Any]]:
        """Return the whole messages of a connection that broke."""
        found = []
        try:
            while True:
                found.append(await self.read())
        except AssertionError:
            return found

    def close(self) -> None:
        self.socket.close()

    def __del__(self) -> None:
        self.socket.close()
