"""The subscribers of soak.py: each reads the bytes of the wire by itself, and keeps an account of every number.

Law: nothing of `spikestream.wire` counts here. What the daemon says it sent and dropped is compared with what arrived.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

LENGTH = struct.Struct("<I")
BYE = LENGTH.pack(0)
READ_BYTES = 256 << 10
SPIKES = "address.spikes"


class Wrong(Exception):
    """What must not be."""


@dataclass
class Topic:
    """What came of one topic: messages, and by gaps, numbers that were lost or left out; ``t1`` is where it has got to.

    ``holes`` are µs of stream time between two messages that follow each other.
    """

    first: int
    next: int
    messages: int = 0
    rows: int = 0
    gaps: int = 0
    missing: int = 0
    left_out: int = 0
    t1: int | None = None
    holes: int = 0


@dataclass
class Account:
    """What came over one connection; raises `Wrong` for a number or a row too many or too few."""

    periods_us: Mapping[str, int]
    topics: dict[str, Topic] = field(default_factory=dict)

    def gap(self, said: Mapping[str, Any]) -> None:
        """Take a gap that is about this subscriber's numbers."""
        start, stop = said["from"], said["to"]
        one = self.topics.setdefault(said["c"], Topic(start, start))
        if start != one.next or stop <= start or said["n"] != stop - start:
            raise Wrong(f"{said['c']}: a gap {start}..{stop} of {said['n']} where {one.next} is due")
        one.next, one.t1 = stop, None
        one.gaps += 1
        if said["why"] == "rate":
            one.left_out += said["n"]
        else:
            one.missing += said["n"]

    def message(self, said: Mapping[str, Any]) -> None:
        """Take a message."""
        topic, seq, start, stop = said["c"], said["s"], said["t0"], said["t1"]
        one = self.topics.setdefault(topic, Topic(seq, seq))
        if seq != one.next:
            raise Wrong(f"{topic}: number {seq} where {one.next} is due")
        one.next += 1
        one.messages += 1
        one.rows += said["n"]
        if topic.endswith(SPIKES):
            period = self.periods_us[topic.partition(".")[0]]
            rows, due = said.get("of", said["n"]), -(-stop // period) - -(-start // period)
            if rows != due:
                raise Wrong(f"{topic}: {rows} rows in [{start}, {stop}) µs, where the sensor made {due}")
            if one.t1 is not None and start < one.t1:
                raise Wrong(f"{topic}: a message begins at {start} µs, the one before ended at {one.t1}")
            one.holes += 0 if one.t1 is None else start - one.t1
            one.t1 = stop

    def sums(self) -> dict[str, int]:
        """Return what a daemon's status has to say of it."""
        every = self.topics.values()
        return {
            "sent": sum(one.messages for one in every),
            "rows": sum(one.rows for one in every),
            "dropped": sum(one.missing for one in every),
            "gaps": sum(one.gaps for one in every),
        }


class Subscriber:
    """One connection, not blocking; `read` is for when there is something to read.

    ``ended`` is "" while it lasts, then "bye", the code of an error, or "cut" where there was neither.
    """

    def __init__(self, url: str, name: str, sub: Mapping[str, Any], periods_us: Mapping[str, int], habit: str) -> None:
        self.name, self.habit, self.ended = name, habit, ""
        self.terms = {"policy": "drop_oldest", **sub}
        self.account = Account(periods_us)
        self.deaf_until = 0.0
        self.since = time.monotonic()
        self._asked = {"op": "sub", "id": 1, "topics": [">"], **self.terms}
        self._credit, self._owed = self._asked.get("credit", 0), 0
        self._buffer = bytearray()
        kind, _, place = url.partition("://")
        host, _, port = place.rpartition(":")
        self.socket = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        if habit == "stall":  # so that it is not the kernel that keeps what it does not read
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self.socket.connect(place if kind == "unix" else (host, int(port)))
        self.socket.setblocking(False)

    def fileno(self) -> int:
        """Return its descriptor."""
        return self.socket.fileno()

    def read(self) -> None:
        """Take what has come; raises `Wrong`."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end("cut")
            return
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= LENGTH.size and not self.ended:
            (size,) = LENGTH.unpack_from(self._buffer, at)
            if not size:
                self._end("bye")
            elif len(self._buffer) - at - LENGTH.size < size:
                break
            else:
                with memoryview(self._buffer) as view:
                    said = msgpack.unpackb(view[at + LENGTH.size : at + LENGTH.size + size])
                self._take(said)
            at += LENGTH.size + size
        del self._buffer[:at]
        self._pay()

    def leave(self) -> None:
        """Say bye; the daemon still tells what will not come."""
        self.deaf_until = 0.0
        self._say(BYE)

    def vanish(self) -> None:
        """Go without a word."""
        self._end("cut")

    def live(self, now: float, chance: random.Random) -> None:
        """Do what its habit is: who stalls reads nothing for seconds, again and again."""
        if self.habit == "stall" and now >= self.deaf_until + 1.0:
            self.deaf_until = now + chance.uniform(0.5, 3.0)

    def _take(self, said: dict[str, Any]) -> None:
        op = said.get("op")
        if op == "hello":
            self._say(_frame({"op": "hello", "v": [1], "client": self.name}), _frame(self._asked))
        elif op == "error":
            self._end(said["code"])
        elif op is None and said["k"] == "gap" and "from" in said:
            self.account.gap(said)
        elif op is None:
            self.account.message(said)
            self._owed += 1

    def _pay(self) -> None:
        if self._credit and self._owed and not self.ended:
            self._say(_frame({"op": "ack", "id": 1, "n": self._owed}))
            self._owed = 0

    def _say(self, *frames: bytes) -> None:
        try:
            self.socket.sendall(b"".join(frames))
        except OSError:
            self._end("cut")

    def _end(self, how: str) -> None:
        self.ended = self.ended or how
        self.socket.close()


def _frame(said: Mapping[str, Any]) -> bytes:
    data: bytes = msgpack.packb(said)
    return LENGTH.pack(len(data)) + data
