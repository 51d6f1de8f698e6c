"""The server's end of a connection: it greets first, then obeys what the client may ask for, and nothing else."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from spikestream.errors import ClientError, ConfigError
from spikestream.wire.frames import BYE, FROM_CLIENT, MAX_CLIENT_FRAME, MAX_FRAME_EVER, FrameReader, frame, unpack
from spikestream.wire.interest import Interest
from spikestream.wire.requests import MAX_OPEN, Reply, Request, is_do
from spikestream.wire.terms import KEYS, Terms, terms
from spikestream.wire.topics import POLICIES, is_pattern

VERSION = 1
MAX_SUBS = 64
"""Subscriptions of one connection."""
MAX_PATTERNS = 256
"""Topics in all subscriptions of one connection."""
MAX_FRAMES_S = 200
"""Frames of one connection that are answered in a second, those that give credit back not counted."""
LIMITS = {"frame": MAX_CLIENT_FRAME, "subs": MAX_SUBS, "requests": MAX_OPEN, "frames_s": MAX_FRAMES_S}
"""What a server takes of one client."""
TOKEN = "token"
"""In ``caps``: the client's hello has to bring one."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The server's greeting.

    ``epoch`` is another text after every start: sequence numbers of two epochs have nothing to do with each other.
    ``clock`` says what stream time is: ``sensor`` (the recording's or device's own), ``monotonic`` or ``unix``.
    ``caps`` are the policies there are to choose from, what else a subscription may ask for, and what may be requested;
    ``limits`` what the server takes of one client.
    """

    srv: str
    epoch: str
    now_ns: int
    clock: str = "sensor"
    caps: tuple[str, ...] = POLICIES
    max_frame: int = MAX_FRAME_EVER
    limits: Mapping[str, int] = field(default_factory=lambda: dict(LIMITS))

    @property
    def frame(self) -> bytes:
        """Return the greeting's frame."""
        return frame({"op": "hello", "v": VERSION} | asdict(self))


@dataclass(frozen=True, slots=True)
class Welcome:
    """The client has answered the greeting."""

    client: str


@dataclass(frozen=True, slots=True)
class Sub:
    """The client asks for topics."""

    id: int
    topics: tuple[str, ...]
    terms: Terms

    @property
    def policy(self) -> str:
        """Return what happens where it does not keep up."""
        return self.terms.policy


@dataclass(frozen=True, slots=True)
class Unsub:
    """The client takes a subscription back."""

    id: int


@dataclass(frozen=True, slots=True)
class Ack:
    """The client has room for ``n`` more messages of a subscription."""

    id: int
    n: int


@dataclass(frozen=True, slots=True)
class Ping:
    """The client asks what time it is; ``t`` goes back to it unchanged."""

    t: int

    def pong(self, now_ns: int) -> bytes:
        """Return the frame that answers it."""
        return frame({"op": "pong", "t": self.t, "now_ns": now_ns})


@dataclass(frozen=True, slots=True)
class Bye:
    """The client leaves."""


ServerEvent: TypeAlias = Welcome | Sub | Unsub | Ack | Ping | Request | Bye


def ping_frame(now_ns: int) -> bytes:
    """Return the frame that a server sends where there is nothing else to send; nobody has to answer it."""
    return frame({"op": "ping", "now_ns": now_ns})


def error_frame(code: str, what: str) -> bytes:
    """Return the frame that tells a client why its connection is about to be closed."""
    return frame({"op": "error", "code": code, "what": what})


class ServerSession:
    """Bytes of one client in, what it asks for out; `to_send` has the replies. ``caps`` are those of the greeting.

    ``changing`` is called before what the client is interested in changes. Where ``token`` is not empty nobody is
    welcome without it, and ``denied`` tells that somebody came with another. After a `ClientError` the session is over:
    send what `to_send` returns, and close.
    """

    def __init__(
        self, caps: Sequence[str] = POLICIES, changing: Callable[[], None] = lambda: None, token: str = ""
    ) -> None:
        self.policies = tuple(cap for cap in caps if cap in POLICIES)
        self.interest = Interest()
        self.open: set[int] = set()
        """The requests that have not been answered yet."""
        self.client = ""
        self._changing = changing
        self.welcomed = False
        self.over = False
        self.denied = False
        self._token = token.encode()
        self._reader = FrameReader(MAX_CLIENT_FRAME)
        self._out = bytearray()

    def to_send(self) -> bytes:
        """Return the bytes to be sent now, and forget them."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> Iterator[ServerEvent]:
        """Yield what the client wants, one frame at a time; raises `ClientError` where it breaks the rules."""
        if self.over:
            return
        try:
            for payload in self._reader.feed(data):
                event = self._event(payload)
                yield event
                if isinstance(event, Bye):
                    return
        except _Refused as refused:
            raise self.fail(refused.code, refused.what) from None
        except ClientError as error:
            raise self.fail("frame", error.what) from error

    def answer(self, reply: Reply) -> None:
        """Queue the answer to a request that is open; once the session is over there is nobody to tell."""
        self.open.discard(reply.id)
        if not self.over:
            self._out += reply.frame

    def subscribed(self, number: int, recovered: bool, first: Mapping[str, int]) -> None:
        """Queue the answer to a subscription that has asked for a beginning."""
        self._out += frame({"op": "sub", "id": number, "recovered": recovered, "first": dict(first)})

    def fail(self, code: str, what: str) -> ClientError:
        """End the session: queue the error frame for the client and return the error."""
        self.over = True
        self._out += error_frame(code, what)
        return ClientError(what)

    def _event(self, payload: bytes) -> ServerEvent:
        if not payload:
            self.over = True
            self._out += BYE
            return Bye()
        message = unpack(payload, FROM_CLIENT)
        op = message.pop("op", None)
        if not isinstance(op, str) or op not in _OPS:
            raise _Refused("op", f"unknown op {op!r:.80}; known: {', '.join(_OPS)}")
        known, handle = _OPS[op]
        if unknown := sorted(str(key) for key in message if key not in known):
            raise _Refused("key", f"unknown key '{unknown[0]:.80}' in '{op}'; known: {', '.join(known)}")
        if self.welcomed == (op == "hello"):
            raise _Refused("order", "hello comes first, and once")
        return handle(self, message)

    def _hello(self, message: Mapping[str, Any]) -> Welcome:
        versions, client = message.get("v"), message.get("client", "")
        if type(versions) is not list or not all(type(v) is int for v in versions) or type(client) is not str:
            raise _Refused("value", "hello needs a list of versions 'v', and a text 'client' if any")
        if VERSION not in versions:
            raise _Refused("version", f"this server speaks version {VERSION}, the client {versions}")
        self._check(message.get("token"))
        self.client = client
        self.welcomed = True
        return Welcome(client)

    def _check(self, token: object) -> None:
        """Refuse who does not know the token; where none is wanted any is as good as none."""
        if token is not None and type(token) is not str:
            raise _Refused("value", "a token is a text")
        if not self._token:
            return
        if not token:
            raise _Refused(TOKEN, "nobody is let in here without a token")
        if not hmac.compare_digest(str(token).encode(), self._token):
            self.denied = True
            raise _Refused(TOKEN, "this is not the token")

    def _sub(self, message: Mapping[str, Any]) -> Sub:
        number, topics = _id(message), message.get("topics")
        if type(topics) is not list or not topics or not all(type(t) is str and is_pattern(t) for t in topics):
            raise _Refused("topic", "sub needs a list of topics like main.network.spikes, main.*.spikes, main.> or *")
        try:
            asked = terms(message, self.policies)
        except ConfigError as error:
            if error.key == "policy":
                what = f"policy {error.value!r:.80} is not to be had here; there are: {error.allowed}"
                raise _Refused("policy", what) from None
            raise _Refused("value", f"{error.what:.200}; allowed: {error.allowed}") from None
        if number in self.interest or len(self.interest) >= MAX_SUBS:
            raise _Refused("id", f"id {number} is in use, or this connection has {MAX_SUBS} subscriptions")
        if self.interest.patterns + len(topics) > MAX_PATTERNS:
            raise _Refused("topic", f"the subscriptions of this connection hold more than {MAX_PATTERNS} topics")
        self._changing()
        self.interest.add(number, tuple(topics), asked)
        if asked.since is None:
            self._out += frame({"op": "sub", "id": number})
        return Sub(number, tuple(topics), asked)

    def _unsub(self, message: Mapping[str, Any]) -> Unsub:
        number = _id(message)
        if number not in self.interest:
            raise _Refused("id", f"no subscription has the id {number}")
        self._changing()
        self.interest.remove(number)
        self._out += frame({"op": "unsub", "id": number})
        return Unsub(number)

    def _ack(self, message: Mapping[str, Any]) -> Ack:
        number, n = _id(message), message.get("n")
        if number not in self.interest or not self.interest.terms(number).credit:
            raise _Refused("id", f"no subscription that gives credit has the id {number}")
        if type(n) is not int or n < 1:
            raise _Refused("value", "ack needs a number 'n' of messages, 1 or more")
        return Ack(number, n)

    def _ping(self, message: Mapping[str, Any]) -> Ping:
        t = message.get("t")
        if type(t) is not int:
            raise _Refused("value", "ping needs a number 't'")
        return Ping(t)

    def _req(self, message: Mapping[str, Any]) -> Request:
        number, do, content = _id(message), message.get("do"), message.get("d", {})
        if not is_do(do) or type(content) is not dict:
            raise _Refused("value", "req needs a name 'do' such as teach, and a map 'd' if any")
        if number in self.open:
            raise _Refused("id", f"the request {number} has not been answered yet")
        if len(self.open) >= MAX_OPEN:
            raise _Refused("flood", f"{MAX_OPEN} requests of this connection wait for their answers")
        self.open.add(number)
        return Request(number, str(do), content)


class _Refused(Exception):
    """A rule is broken; the code goes to the client."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code
        self.what = what


def _id(message: Mapping[str, Any]) -> int:
    number = message.get("id")
    if type(number) is not int or not 0 <= number < 2**32:
        raise _Refused("id", "an id is a number from 0 to 4294967295")
    return number


_OPS: dict[str, tuple[tuple[str, ...], Callable[[ServerSession, Mapping[str, Any]], ServerEvent]]] = {
    "hello": (("v", "client", "token"), ServerSession._hello),
    "sub": (("id", "topics", *KEYS), ServerSession._sub),
    "unsub": (("id",), ServerSession._unsub),
    "ack": (("id", "n"), ServerSession._ack),
    "ping": (("t",), ServerSession._ping),
    "req": (("id", "do", "d"), ServerSession._req),
}
