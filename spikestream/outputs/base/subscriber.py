"""One connection: greeted, heard, and handed messages as fast as it takes them."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from spikestream.errors import ClientError
from spikestream.outputs.base.due import Due, Published
from spikestream.wire import (
    BYE,
    POLICIES,
    Backlog,
    Bye,
    Delivery,
    Flow,
    Hello,
    Outgoing,
    Ping,
    Reply,
    Request,
    ServerEvent,
    ServerSession,
    Unsub,
    Welcome,
    error_frame,
)

if TYPE_CHECKING:
    from spikestream.outputs.base.listener import Listener

log = logging.getLogger(__name__)

HIGH_WATER, LOW_WATER = 256 << 10, 64 << 10
"""Bytes in a connection's own buffer above which it counts as slow, and below which it takes more."""
REQUESTS = 200
"""So many requests of one connection are answered in a second."""
PARTING_S = 5.0
"""How long a connection that is being closed may take to hand over its last bytes."""


class Subscriber(asyncio.Protocol):
    """One connection of a listener, with its queue and its account."""

    def __init__(self, listener: Listener, hello: Callable[[], Hello], published: Published) -> None:
        self.session = ServerSession(hello().caps)
        self.due = Due(published)
        self.backlog = Backlog(listener.queue_bytes)
        self.peer = ""
        self.closing = False
        self._listener = listener
        self._hello = hello
        self._paused = False
        self._warned = False
        self._aborted = False
        self._asked: deque[float] = deque(maxlen=REQUESTS)
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    @property
    def busy(self) -> bool:
        """Return whether something is still to be handed to the kernel."""
        return not self.closing and (self._paused or bool(self.backlog))

    @property
    def unsent(self) -> int:
        """Return the bytes still to be handed to the kernel."""
        return self.backlog.bytes + self._transport.get_write_buffer_size()

    @property
    def full(self) -> bool:
        """Return whether the publisher has to wait for this one."""
        return self.backlog.bytes >= self.backlog.limit and self.session.interest.blocks and not self.closing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or refuse where there are too many; the answer has to come in time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer = _peer(transport)
        self.set_water(HIGH_WATER, LOW_WATER)
        refusal = self._listener.join(self)
        if refusal:
            self.close(error_frame("full", refusal))
            return
        self._write(self._hello().frame)
        self._timer = asyncio.get_running_loop().call_later(self._listener.handshake_s, self._too_late)

    def data_received(self, data: bytes) -> None:
        """Do what the client asks for; one that breaks the rules is told so, and cut."""
        if self.closing:
            return
        # What was published before a change of mind goes out by the old one.
        self._listener.flush()
        self.due.change(self._wants)
        try:
            for event in self.session.receive(data):
                self._heed_pace()
                self._obey(event)
        except ClientError as error:
            self._cut(error.what, self.session.to_send())

    def _wants(self, topic: str) -> bool:
        return self.session.interest.policy(topic) is not None

    def _heed_pace(self) -> None:
        """Refuse more requests a second than anybody needs: each costs the loop's time, which is everybody's."""
        now = asyncio.get_running_loop().time()
        if len(self._asked) == REQUESTS and now - self._asked[0] < 1:
            raise self.session.fail("flood", f"more than {REQUESTS} requests in a second")
        self._asked.append(now)

    def _obey(self, event: ServerEvent) -> None:
        if isinstance(event, Bye):
            self.close(self.session.to_send())
            return
        if isinstance(event, Welcome):
            self._stop_timer()
        elif isinstance(event, Ping):
            self._reply(event.pong(self._hello().now_ns))
        elif isinstance(event, Request):
            self._listener.ask(event, self._answer)
        else:
            if isinstance(event, Unsub):
                self.backlog.forget(self.session.interest.policy)
            self._listener.regroup(self)
        self._reply(self.session.to_send())

    def _answer(self, reply: Reply) -> None:
        self.session.answer(reply)
        self._reply(self.session.to_send())

    def _reply(self, data: bytes) -> None:
        if not data or self.closing:
            return
        if self.backlog:
            self.backlog.control(data)
        else:
            self._write(data)
        if self._paused:
            # It asks and does not read the answers: no more of them until it does.
            self._transport.pause_reading()

    def deliver(self, turn: Sequence[Outgoing], sums: Mapping[str, tuple[int, int]], joined: bytes) -> None:
        """Write the messages of one loop turn at once, or queue them one by one where the connection is slow.

        `sums` has messages and rows by topic, `joined` all their frames.
        """
        if self.closing:
            return
        if self._transport.is_closing():  # the other end is gone, and we shall hear of it in a moment
            for topic, (messages, rows) in sums.items():
                self.backlog.flow(topic).dropped.add(messages, rows)
        elif self.busy:
            self._queue(turn)
        else:
            self._transport.write(joined)
            self.backlog.flew(turn, sums, len(joined), self._not_taken())

    def _write(self, data: bytes) -> None:
        """Write what is no message."""
        if not self._transport.is_closing():
            self._transport.write(data)
            self.backlog.wrote(len(data))

    def _queue(self, turn: Sequence[Outgoing]) -> None:
        policy = self.session.interest.policy
        kept = [self.backlog.push(message, policy(message.topic) or POLICIES[0]) for message in turn]
        if self.backlog.dropping and not self._warned:
            self._warned = True
            log.warning("subscriber %s is slow: it is losing messages, as its policy says", self.peer)
        if not all(kept):
            what = f"more than {self.backlog.limit:,} bytes are waiting, and its policy lets none be dropped"
            self._cut(what, error_frame("slow", what))

    def pause_writing(self) -> None:
        """Queue from now on: the connection's buffer is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on, in a moment: a write from here that finds the connection broken would end it twice."""
        self._paused = False
        asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Hand over what was queued, as long as the connection takes it."""
        while self.backlog and not self._paused and not self._transport.is_closing():
            self._transport.write(b"".join(self.backlog.take(HIGH_WATER)))
        self.backlog.landed(self._not_taken())
        if not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()
        self._listener.changed.set()

    def _not_taken(self) -> int:
        """Return how many bytes the kernel has not taken; of a connection that is closing nobody knows, so all."""
        return sys.maxsize if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def set_water(self, high: int, low: int) -> None:
        """Set the bytes above which the connection counts as slow, and below which it takes more again."""
        self._transport.set_write_buffer_limits(high, low)

    def _too_late(self) -> None:
        self.session.fail("timeout", f"no hello within {self._listener.handshake_s:g} s")
        self._cut("it did not answer the greeting", self.session.to_send())

    def _cut(self, what: str, last: bytes) -> None:
        log.warning("subscriber %s is cut: %s", self.peer, what)
        self.close(last)

    def close(self, last: bytes) -> None:
        """Give up what is queued, tell the client which messages that were, and part with `last`."""
        self._listener.flush()
        if self.closing:
            return
        self.closing = True
        self._stop_timer()
        self.due.end(self._wants)
        self.backlog.landed(self._not_taken())
        self.backlog.clear()
        self._write(b"".join([*self.backlog.settle(), last]))
        self._transport.close()
        self._timer = asyncio.get_running_loop().call_later(PARTING_S, self.abort)
        self._listener.leave(self)

    def abort(self) -> None:
        """Part at once; what is still in the connection's buffer is dropped."""
        self._aborted = True
        self._transport.abort()

    def eof_received(self) -> None:
        """Take a closed half for a closed whole."""
        self.close(BYE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the account: what was still queued, or cut off in the connection's buffer, is dropped."""
        if not self.closing:
            self._listener.flush()
            self.due.end(self._wants)
        self.closing = True
        self._stop_timer()
        self.backlog.clear()
        if exc is None and not self._aborted:
            self.backlog.landed(0)
        self.backlog.crashed()
        self._listener.remove(self)
        if lost := sum(flow.dropped.messages for flow in self.backlog.flows.values()):
            log.warning("subscriber %s: %d messages replaced by %d gap markers", self.peer, lost, self.backlog.gaps)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def delivery(self) -> Delivery:
        """Return a copy of this subscriber's account."""
        self.backlog.landed(self._not_taken())
        flows = self.backlog.accounts()
        for topic, due in self.due.figures(self._wants).items():
            flows.setdefault(topic, Flow()).due = due
        return Delivery(self.peer, self.session.client, flows, self.backlog.gaps)


def _peer(transport: asyncio.Transport) -> str:
    sock = transport.get_extra_info("socket")
    if sock.family == socket.AF_UNIX:
        return f"unix#{sock.fileno()}"
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = transport.get_extra_info("peername")[:2]
    return f"{host}:{port}"
