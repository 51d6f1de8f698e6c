"""What one connection asks for: it is greeted, heard when there is time for it, and told what it did wrong."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterator
from time import thread_time
from typing import TYPE_CHECKING

from spikestream.errors import ClientError
from spikestream.outputs.base.connection import HIGH_WATER, LOW_WATER, Connection
from spikestream.wire import (
    MAX_FRAMES_S,
    Ack,
    Bye,
    Hello,
    Ping,
    Published,
    Reply,
    Request,
    ServerEvent,
    Sub,
    Unsub,
    Welcome,
    error_frame,
)

if TYPE_CHECKING:
    from spikestream.outputs.base.listener import Listener

PATIENCE_S, WRONG_TOKEN_S = 5.0, 1.0
"""Who asks for more than there is time for is cut after so long; a wrong token is answered so late."""
READ, CREDIT, LITTLE, MUCH = 0.02, 0.01, 0.5, 1.0
"""What reading from a connection, credit, a ping, and all else it may ask for count in the listener's pace."""
COUNTS_ONE_S = 0.002
"""Or else so much of the loop's time counts as 1: where a subscription begins in a long past may take some finding."""


class Subscriber(Connection):
    """A connection of a listener that is heard."""

    def __init__(self, listener: Listener, hello: Callable[[], Hello], published: Published) -> None:
        super().__init__(listener, hello, published)
        self._asked: deque[float] = deque(maxlen=MAX_FRAMES_S)
        self._unheard = bytearray()
        self._held_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or refuse where there are too many; the answer has to come in time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer, self.host = _peer(transport)
        self.set_water(HIGH_WATER, LOW_WATER)
        refusal = self._listener.join(self)
        if refusal:
            self.close(error_frame("full", refusal))
            return
        self._timer = asyncio.get_running_loop().call_later(self._listener.handshake_s, self._too_late)
        self._greet()

    def _greet(self) -> None:
        """Say hello."""
        self._write(self._listener.wrap(self._hello().frame))

    def data_received(self, data: bytes) -> None:
        """Do what the client asks for, when there is time for it; one that breaks the rules is told so, and cut."""
        if self.closing or self.session.over:
            return
        self._heard = True
        self._unheard += data
        if not self._held and self._listener.turns.afford(READ):
            self.hear()
        elif not self._held:
            self._hold()

    def hear(self, *, one: bool = False) -> None:
        """Do what was asked for so far, or ``one`` thing of it; what there is no time for waits for its turn."""
        self._held = False
        if self.closing:
            return
        data, self._unheard = bytes(self._unheard), bytearray()
        try:
            for event in self._requests(data):
                if not isinstance(event, Ack):  # of which there are no more than messages
                    self._heed_pace()
                begun_s = thread_time()
                self._obey(event)
                if self._transport.is_closing():
                    return
                cost = max(_cost(event), (thread_time() - begun_s) / COUNTS_ONE_S)
                if not self._listener.turns.afford(cost) or one:
                    self._hold()
                    self._lose_patience()
                    return
        except ClientError as error:
            self._refuse(error)
            return
        self._held_since = 0.0
        if not self._paused:
            self._transport.resume_reading()

    def _requests(self, data: bytes) -> Iterator[ServerEvent | None]:
        """Yield what is asked for, that of earlier bytes first; None for what costs time and asks for nothing."""
        return self.session.receive(data)

    def _hold(self) -> None:
        """Read nothing more until the listener has time for it."""
        self._held = True
        self._held_since = self._held_since or asyncio.get_running_loop().time()
        self._transport.pause_reading()
        self._listener.turns.hold(self)

    def _lose_patience(self) -> None:
        """Refuse one that may be gone already, and has left more to do than is ever done."""
        if asyncio.get_running_loop().time() - self._held_since > PATIENCE_S:
            raise self.session.fail("flood", f"it asks for more than there is time for, for {PATIENCE_S:g} s already")

    def _refuse(self, error: ClientError) -> None:
        """Cut one that broke a rule; who guesses at the token learns late that it was wrong."""
        if not self.session.denied:
            self._cut(error.what, self.session.to_send())
            return
        self._stop_timer()
        self._transport.pause_reading()
        later = asyncio.get_running_loop().call_later
        self._timer = later(WRONG_TOKEN_S, self._cut, error.what, self.session.to_send())

    def _heed_pace(self) -> None:
        """Refuse more requests a second than anybody needs: each costs the loop's time, which is everybody's."""
        now = asyncio.get_running_loop().time()
        if len(self._asked) == MAX_FRAMES_S and now - self._asked[0] < 1:
            raise self.session.fail("flood", f"more than {MAX_FRAMES_S} requests in a second")
        self._asked.append(now)

    def _obey(self, event: ServerEvent | None) -> None:
        if isinstance(event, Bye):
            self.close(self.session.to_send())
            return
        if event is None:
            return
        if isinstance(event, Welcome):
            self._stop_timer()
            self._listener.prove(self)
        elif isinstance(event, Ping):
            self._reply(event.pong(self._hello().now_ns))
        elif isinstance(event, Request):
            self._listener.ask(event, self._answer)
        elif isinstance(event, Ack):
            self.feed.acknowledge(event)
            self._hand_over()
        else:
            self._heed(event)
        self._reply(self.session.to_send())
        if isinstance(event, Sub):
            self._hand_over()

    def _heed(self, event: Sub | Unsub) -> None:
        if isinstance(event, Sub):
            self.feed.subscribe(event)
        else:
            self.feed.unsubscribe(event)
        self._listener.regroup(self)

    def _answer(self, reply: Reply) -> None:
        self.session.answer(reply)
        self._reply(self.session.to_send())

    def _reply(self, frames: bytes) -> None:
        self._say(self._listener.wrap(frames))

    def _say(self, data: bytes) -> None:
        if not data or self.closing:
            return
        if self.backlog:
            self.backlog.control(data)
            self._hand_over()
        else:
            self._write(data)
        if self._paused:
            # It asks and does not read the answers: no more of them until it does.
            self._transport.pause_reading()

    def _too_late(self) -> None:
        self.session.fail("timeout", f"no hello within {self._listener.handshake_s:g} s")
        self._cut("it did not answer the greeting", self.session.to_send())


def _cost(event: ServerEvent | None) -> float:
    """Return what it counts to have done this; a hello has been paid for at the door, credit costs next to nothing."""
    if isinstance(event, Welcome | Ack):
        return 0.0 if isinstance(event, Welcome) else CREDIT
    return LITTLE if event is None or isinstance(event, Ping) else MUCH


def _peer(transport: asyncio.Transport) -> tuple[str, str]:
    """Return how to call the other end, and its host, "" on a Unix socket."""
    sock = transport.get_extra_info("socket")
    if sock.family == socket.AF_UNIX:
        return f"unix#{sock.fileno()}", ""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = (transport.get_extra_info("peername") or ("gone", 0))[:2]
    return f"{host}:{port}", str(host)
