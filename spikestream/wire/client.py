"""The subscriber's end of a connection: it answers the greeting, asks for topics, and counts what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from spikestream.errors import ClientError, ConfigError
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
from spikestream.wire.interest import Interest
from spikestream.wire.requests import MAX_OPEN, Reply, Request, replied
from spikestream.wire.server import TOKEN, VERSION, Hello
from spikestream.wire.terms import PLAIN, Terms, terms
from spikestream.wire.topics import is_pattern, is_topic


@dataclass(slots=True)
class Count:
    """What arrived of one topic: messages, their rows, gap messages, and the messages these stand for.

    ``left_out`` are those that the terms of the subscription leave out, with ``left_out_rows``, those of messages that
    came with some of their rows only among them.
    """

    messages: int = 0
    rows: int = 0
    gaps: int = 0
    missing: int = 0
    missing_rows: int = 0
    first: int = 0
    """The sequence number the count begins with; messages + missing + left_out == next - first."""
    next: int = 0
    left_out: int = 0
    left_out_rows: int = 0


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The server has taken a subscription: what is published from now on arrives, or from ``first`` on, by topic.

    Where it asked for a beginning, ``recovered`` says that nothing is missing before these numbers.
    """

    id: int
    recovered: bool | None = None
    first: Mapping[str, int] = field(default_factory=dict)


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


class Broken(ClientError):
    """The connection ended without a bye: the next one may go on where it was."""


class ClientSession:
    """Bytes of a server in, messages out; `to_send` has what to answer, nothing before the server has greeted.

    Every hole in the numbers of a topic must be named by a gap; one that is not raises `ClientError`. Where the
    server's numbers are those of the session ``before``, the counts of that one go on. ``token`` is told only to a
    server that asks for one.
    """

    def __init__(self, name: str = "", before: ClientSession | None = None, token: str = "") -> None:
        self.hello: Hello | None = None
        self.ended = False
        self.interest = Interest()
        # One that nobody greeted was a try in vain: what it was to go on with is still what counts.
        self._before: ClientSession | None = before._before if before is not None and before.hello is None else before
        self.counts: dict[str, Count] = self._before.counts if self._before is not None else {}
        self._open: dict[str, Count] = {}
        self._name = name
        self._token = token
        self._reader = FrameReader(MAX_CLIENT_FRAME)
        self._out = bytearray()
        self._ids = 0
        self._asked: set[int] = set()

    def subscribe(self, topics: Sequence[str], asked: Terms = PLAIN) -> int:
        """Ask for topics on some terms, and return the number of the subscription.

        Raises `ConfigError` for what no server takes.
        """
        wrong = [topic for topic in topics if not is_pattern(topic)]
        if wrong or not topics:
            allowed = "a list of such as main.network.spikes, main.*.spikes, main.> or *"
            raise ConfigError(f"{wrong or topics!r} are not topics", key="topics", value=topics, allowed=allowed)
        fields = asked.fields()
        terms(fields)
        made = frame({"op": "sub", "id": self._ids + 1, "topics": list(topics)} | fields)
        if len(made) > MAX_CLIENT_FRAME:
            text = f"what is asked for takes {len(made):,} bytes"
            raise ConfigError(text, key="topics", allowed=f"{MAX_CLIENT_FRAME:,} bytes")
        self._ids += 1
        self.interest.add(self._ids, tuple(topics), asked)
        self._out += made
        return self._ids

    def acknowledge(self, topic: str, n: int = 1) -> None:
        """Give credit back for so many messages of a topic; of one whose subscription gives none, nothing happens."""
        number = self.interest.owner(topic)
        if number is not None and self.interest.terms(number).credit:
            self._out += frame({"op": "ack", "id": number, "n": n})

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
            raise ConfigError(text, key="d", allowed="256 keys, texts of up to 1,024 bytes") from error
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
            raise Broken("the server went away without a bye", remedy="connect again; what it sent since is lost")
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
        before, self._before = self._before, None
        if before is not None and before.hello is not None and before.hello.epoch == self.hello.epoch:
            self._open = before._open
        else:
            self.counts = {}
        self._out[:0] = frame({"op": "hello", "v": [VERSION], "client": self._name} | self._proof(self.hello))
        return self.hello

    def _proof(self, hello: Hello) -> dict[str, str]:
        if TOKEN not in hello.caps:
            return {}
        if not self._token:
            raise ClientError("the server lets nobody in without a token", remedy=_REMEDIES[TOKEN])
        return {"token": self._token}

    def _reply(self, op: object, message: Mapping[str, Any]) -> ClientEvent | None:
        if op == "pong":
            return Pong(_number(message, "t"), _number(message, "now_ns"))
        if op == "sub":
            return self._subscribed(message)
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

    def _subscribed(self, message: Mapping[str, Any]) -> Subscribed:
        number = _number(message, "id")
        if "recovered" not in message:
            return Subscribed(number)
        recovered, first = message["recovered"], message.get("first")
        if type(recovered) is not bool or type(first) is not dict or not all(map(_counts, first.items())):
            raise ClientError("the server's answer to a subscription does not say where it begins")
        # What comes next of a topic that was further already belongs to another count.
        self._open = {topic: count for topic, count in self._open.items() if count.next <= first.get(topic, count.next)}
        return Subscribed(number, recovered, first)

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
        if message.lost and message.data["why"] == "rate":
            count.left_out += message.n
            count.left_out_rows += message.data["rows"] or 0
            count.next += message.n
        elif message.lost:
            count.gaps += 1
            count.missing += message.n
            count.missing_rows += message.data["rows"] or 0
            count.next += message.n
        else:
            count.messages += 1
            count.rows += message.n
            count.left_out_rows += 0 if message.of is None else message.of - message.n
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
    "policy": "take one of those; only a replay lets its subscribers block it",
    "slow": "read faster, ask for fewer topics, or use policy drop_oldest",
    "token": "give its token by --token-file FILE, or set SPIKESTREAM_TOKEN_FILE=FILE",
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
    limits = message.get("limits")
    given = limits if isinstance(limits, dict) else {}
    known = {key: value for key, value in given.items() if type(value) is int}
    return Hello(srv, epoch, _number(message, "now_ns"), clock, tuple(map(str, caps)), max_frame, known)


def _counts(item: tuple[Any, Any]) -> bool:
    topic, number = item
    return is_topic(topic) and type(number) is int and number >= 0


def _number(message: Mapping[str, Any], key: str) -> int:
    value = message.get(key)
    if type(value) is not int:
        raise ClientError(f"the server's '{message.get('op')}' lacks a number under '{key}'")
    return value
