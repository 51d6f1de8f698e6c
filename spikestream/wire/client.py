"""The subscriber's end of a connection: it answers the greeting, asks for topics, and counts what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from spikestream.errors import ClientError, ConfigError, nearest
from spikestream.wire.frames import (
    BYE,
    FROM_CLIENT,
    FROM_SERVER,
    MAX_CLIENT_FRAME,
    MAX_FRAME_EVER,
    PREFIX,
    FrameReader,
    frame,
    unpack,
)
from spikestream.wire.incoming import DECODERS, Message, decode
from spikestream.wire.requests import MAX_OPEN, Reply, Request, replied
from spikestream.wire.server import VERSION, Hello
from spikestream.wire.topics import POLICIES, Interest, is_pattern


@dataclass(slots=True)
class Count:
    """What arrived of one topic: messages, their rows, gap messages, and the messages these stand for."""

    messages: int = 0
    rows: int = 0
    gaps: int = 0
    missing: int = 0
    missing_rows: int = 0
    first: int = 0
    """The sequence number the count begins with; messages + missing == next - first."""
    next: int = 0


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The server has taken a subscription: what is published from now on arrives."""

    id: int


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The server has let a subscription go: nothing of it follows."""

    id: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The server's clock at the time it saw the ping sent with ``t``."""

    t: int
    now_ns: int


ClientEvent: TypeAlias = Hello | Subscribed | Unsubscribed | Pong | Reply | Message


class ClientSession:
    """Bytes of a server in, messages out; `to_send` has what to answer, nothing before the server has greeted.

    Every hole in the numbers of a topic must be named by a gap; one that is not raises `ClientError`.
    """

    def __init__(self, name: str = "") -> None:
        self.hello: Hello | None = None
        self.ended = False
        self.interest = Interest()
        self.counts: dict[str, Count] = {}
        self._open: dict[str, Count] = {}
        self._name = name
        self._reader = FrameReader(MAX_CLIENT_FRAME)
        self._out = bytearray()
        self._ids = 0
        self._asked: set[int] = set()

    def subscribe(self, topics: Sequence[str], policy: str = POLICIES[0]) -> int:
        """Ask for topics, and return the number of the subscription; raises `ConfigError` for what no server takes."""
        wrong = [topic for topic in topics if not is_pattern(topic)]
        if wrong or not topics:
            allowed = "a list of such as main.network.spikes, main.*.spikes, main.> or *"
            raise ConfigError(f"{wrong or topics!r} are not topics", key="topics", value=topics, allowed=allowed)
        if policy not in POLICIES:
            close = nearest(str(policy), POLICIES)
            raise ConfigError(
                f"unknown policy '{policy}'", key="policy", value=policy, allowed=", ".join(POLICIES), nearest=close
            )
        self._ids += 1
        self.interest.add(self._ids, tuple(topics), policy)
        self._out += frame({"op": "sub", "id": self._ids, "topics": list(topics), "policy": policy})
        return self._ids

    def unsubscribe(self, number: int) -> None:
        """Take a subscription back; what was on its way still arrives."""
        self._out += frame({"op": "unsub", "id": number})

    def ping(self, t: int) -> None:
        """Ask for the server's clock; `t` comes back with the answer."""
        self._out += frame({"op": "ping", "t": t})

    def request(self, do: str, d: Mapping[str, Any]) -> int:
        """Ask for something to be done, and return the number that its `Reply` will have.

        Raises `ConfigError` for what no server takes, `ClientError` where this one does no such thing or as many
        requests are open as there may be.
        """
        if self.hello is not None and do not in self.hello.caps:
            remedy = "a running `spikestream run`, `replay` or `listen` of this release does"
            raise ClientError(f"the server does not know how to {do}", remedy=remedy)
        if len(self._asked) >= MAX_OPEN:
            raise ClientError(f"{MAX_OPEN} requests wait for their answers", remedy="wait for one of them")
        self._ids += 1
        made = Request(self._ids, do, d)
        try:
            asked = made.frame
            unpack(asked[PREFIX.size :], FROM_CLIENT)
            if len(asked) > MAX_CLIENT_FRAME:
                raise ValueError(f"it takes {len(asked):,} bytes")
        except (ValueError, TypeError, OverflowError, ClientError) as error:  # larger than it may be, or no msgpack
            text = f"what belongs to the request cannot be sent: {error}"
            raise ConfigError(text, key="d", allowed="16 keys, texts of up to 1,024 bytes") from error
        self._out += asked
        self._asked.add(made.id)
        return made.id

    def bye(self) -> None:
        """Take leave; the server answers with a bye of its own."""
        self._out += BYE

    def to_send(self) -> bytes:
        """Return the bytes to be sent now, and forget them."""
        if self.hello is None:
            return b""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> Iterator[ClientEvent]:
        """Yield what arrived, one frame at a time; raises `ClientError` where the server breaks the rules.

        The empty `data` of a closed connection is an error unless the server has said bye.
        """
        if not data and not self.ended:
            raise ClientError("the server went away without a bye", remedy="connect again; what it sent since is lost")
        try:
            for payload in self._reader.feed(data):
                if self.ended:
                    return
                event = self._event(payload)
                if event is not None:
                    yield event
        except ClientError as error:
            if self.hello is None and not error.remedy:
                raise _stranger(error) from error
            raise

    def _event(self, payload: bytes) -> ClientEvent | None:
        if not payload:
            self.ended = True
            return None
        message = unpack(payload, FROM_SERVER)
        op = message.get("op")
        if op == "error":
            raise _refusal(message)
        if self.hello is None:
            return self._hello(message)
        if op is None:
            return self._data(message)
        return self._reply(op, message)

    def _hello(self, message: Mapping[str, Any]) -> Hello:
        if message.get("op") != "hello":
            raise ClientError("the other end does not greet as a spikestream server does")
        if message.get("v") != VERSION:
            raise ClientError(
                f"the server speaks version {message.get('v')!r} of the protocol, this client {VERSION}",
                remedy="use the same release of spikestream on both ends",
            )
        self.hello = _greeting(message)
        self._reader.limit = self.hello.max_frame
        self._out[:0] = frame({"op": "hello", "v": [VERSION], "client": self._name})
        return self.hello

    def _reply(self, op: object, message: Mapping[str, Any]) -> ClientEvent | None:
        if op == "pong":
            return Pong(_number(message, "t"), _number(message, "now_ns"))
        if op == "sub":
            return Subscribed(_number(message, "id"))
        if op == "rep":
            return self._answer(replied(message))
        if op != "unsub":
            return None
        number = _number(message, "id")
        if number in self.interest:
            self.interest.remove(number)
        # A topic nobody asks for any more may go on uncounted; asked for again, its count begins anew.
        self._open = {topic: count for topic, count in self._open.items() if self.interest.policy(topic)}
        return Unsubscribed(number)

    def _answer(self, reply: Reply) -> Reply:
        if reply.id not in self._asked:
            raise ClientError(f"the server answers the request {reply.id}, which nobody made")
        self._asked.remove(reply.id)
        return reply

    def _data(self, fields: Mapping[str, Any]) -> Message | None:
        message = decode(fields)
        if self.interest.policy(message.topic) is None:
            raise ClientError(f"the server sends {message.topic}, which nobody asked for")
        self._count(message)
        return message if message.kind in DECODERS else None

    def _count(self, message: Message) -> None:
        topic = message.topic
        if topic not in self._open:
            self._open[topic] = self.counts[topic] = Count(first=message.seq, next=message.seq)
        count = self._open[topic]
        if message.seq != count.next:
            raise ClientError(
                f"{topic} goes on with number {message.seq} where {count.next} is due, and no gap says why",
                remedy="report it: the server has lost or repeated messages without saying so",
            )
        if message.lost:
            count.gaps += 1
            count.missing += message.n
            count.missing_rows += message.data["rows"]
            count.next += message.n
        else:
            count.messages += 1
            count.rows += message.n
            count.next += 1


def _refusal(message: Mapping[str, Any]) -> ClientError:
    code = str(message.get("code"))
    return ClientError(
        f"the server has closed the connection: {message.get('what')}",
        details=[f"code: {code}"],
        remedy=_REMEDIES.get(code, "compare both ends with docs/wire.md"),
    )


_REMEDIES = {
    "full": "end another subscriber first",
    "slow": "read faster, ask for fewer topics, or use policy drop_oldest",
    "version": "use the same release of spikestream on both ends",
}


def _stranger(error: ClientError) -> ClientError:
    return ClientError(
        "the other end is no spikestream server",
        details=[error.what, *error.details],
        remedy="check the port: the wire is at 7077, the browser's page at 7078",
    )


def _greeting(message: Mapping[str, Any]) -> Hello:
    srv, epoch, clock, caps = (message.get(key) for key in ("srv", "epoch", "clock", "caps"))
    if not (isinstance(srv, str) and isinstance(epoch, str) and isinstance(clock, str) and isinstance(caps, list)):
        raise ClientError("the server's greeting lacks srv, epoch, clock or caps")
    max_frame = _number(message, "max_frame")
    if not 0 < max_frame <= MAX_FRAME_EVER:
        raise ClientError(f"the server announces frames of {max_frame:,} bytes; at most {MAX_FRAME_EVER:,} are taken")
    return Hello(srv, epoch, _number(message, "now_ns"), clock, tuple(map(str, caps)), max_frame)


def _number(message: Mapping[str, Any], key: str) -> int:
    value = message.get(key)
    if type(value) is not int:
        raise ClientError(f"the server's '{message.get('op')}' lacks a number under '{key}'")
    return value
