"""One connection, handed messages as fast as it takes them: its queue, its account and its end."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from spikestream.outputs.base.due import Due
from spikestream.wire import (
    BYE,
    POLICIES,
    Backlog,
    Delivery,
    Feed,
    Flow,
    Hello,
    Outgoing,
    Published,
    ServerSession,
    error_frame,
    ping_frame,
)

if TYPE_CHECKING:
    from spikestream.outputs.base.listener import Listener

log = logging.getLogger(__name__)

HIGH_WATER, LOW_WATER = 256 << 10, 64 << 10
"""Bytes in a connection's own buffer above which it counts as slow, and below which it takes more."""
PARTING_S = 5.0
"""How long a connection that is being closed may take to hand over its last bytes."""


class Connection(asyncio.Protocol):
    """One connection of a listener, with its queue and its account; what it asks for is heard by a `Subscriber`."""

    def __init__(self, listener: Listener, hello: Callable[[], Hello], published: Published) -> None:
        greeting = hello()
        self.session = ServerSession(greeting.caps, self._changing, listener.token)
        self.due = Due(published)
        self.backlog = Backlog(listener.queue_bytes, listener.wrap)
        past, numbers = listener.past, listener.numbers
        self.feed = Feed(self.session, self.backlog, greeting.epoch, numbers, published, past)
        self.peer = ""
        self.host = ""
        self.closing = False
        self._listener = listener
        self._hello = hello
        self._paused = False
        self._warned = False
        self._going_on = False
        self._heard = False
        """Whether it has said something since the last beat."""
        self._held = False
        """Whether nothing more is read from it for now."""
        self._last = (0, 0)
        self._silent = 0
        self._aborted = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    @property
    def busy(self) -> bool:
        """Return whether something is still to be handed to the kernel."""
        return not self.closing and (self._paused or bool(self.backlog) or self.feed.rewinding)

    @property
    def unsent(self) -> int:
        """Return the bytes still to be handed to the kernel, and how many old messages are still to be read."""
        return self.backlog.bytes + self._transport.get_write_buffer_size() + self.feed.behind

    @property
    def full(self) -> bool:
        """Return whether the publisher has to wait for this one."""
        full = self.backlog.bytes >= self.backlog.limit or self.feed.rewinding
        return full and self.session.interest.blocks and not self.closing

    def _changing(self) -> None:
        """Close the account of what was asked for: what was published before goes out by the old one."""
        self._listener.flush()
        self.due.change(self._wants)

    def _wants(self, topic: str) -> bool:
        return self.session.interest.policy(topic) is not None

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

    def offer(self, turn: Sequence[Outgoing]) -> None:
        """Write or queue the messages of one loop turn, as the terms of its subscriptions say."""
        if self.closing:
            return
        if self._transport.is_closing():
            self.feed.offer(turn, 0)  # what is not past is queued, and all of it dropped in a moment
            return
        frames, lawful = self.feed.offer(turn, 0 if self._paused else HIGH_WATER)
        self._put(frames)
        self._judge(lawful)

    def _put(self, frames: Sequence[bytes]) -> None:
        """Write what the queue has taken note of."""
        if frames:
            self._transport.write(b"".join(frames))
            self.backlog.landed(self._not_taken())

    def _write(self, data: bytes) -> None:
        """Write what is no message."""
        if not self._transport.is_closing():
            self._transport.write(data)
            self.backlog.wrote(len(data))

    def _queue(self, turn: Sequence[Outgoing]) -> None:
        policy = self.session.interest.policy
        kept = [self.backlog.push(message, policy(message.topic) or POLICIES[0]) for message in turn]
        self._judge(all(kept))

    def _judge(self, lawful: bool) -> None:
        """Say that it is slow, and cut it where its policy lets nothing be dropped."""
        if self.backlog.dropping and not self._warned:
            self._warned = True
            log.warning("subscriber %s is slow: it is losing messages, as its policy says", self.peer)
        if self.feed.torn:
            what = "what it asked for is kept no more, and its policy lets none be lost"
            self._cut(what, error_frame("slow", what))
        elif not lawful:
            what = f"more than {self.backlog.limit:,} bytes are waiting, and its policy lets none be dropped"
            self._cut(what, error_frame("slow", what))

    def beat(self, most: int) -> None:
        """Send a ping where nothing was sent since the last beat; part with a queue that stood still for too many."""
        if self.closing or not self.session.welcomed:
            return
        written, unsent = self.backlog.written, self._transport.get_write_buffer_size()
        still = not self._heard and self._last == (written, unsent)
        stuck = still and self._paused and (self.backlog.dropping or self.backlog.bytes >= self.backlog.limit)
        self._silent = self._silent + 1 if stuck else 0
        if self._silent >= most and not self.session.interest.blocks:
            what = "its queue is full, and it has taken nothing and said nothing for too long"
            self._cut(what, error_frame("slow", what))
        elif self._last[0] == written and not self.busy:
            self._write(self._listener.wrap(ping_frame(self._hello().now_ns)))
        self._heard, self._last = False, (self.backlog.written, self._transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        """Queue from now on: the connection's buffer is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on, in a moment: a write from here that finds the connection broken would end it twice."""
        self._paused = False
        self._go_on()

    def _hand_over(self) -> None:
        """Hand over what was queued and what is past, as long as the connection takes it."""
        if self.feed.rewinding:
            self._listener.flush()  # what of it is in this turn would else come again, once all is read
        while not (self._paused or self.closing or self._transport.is_closing()) and self.feed.ready:
            self._put(self.feed.more(HIGH_WATER))
            if self.feed.torn:
                self._judge(lawful=False)
            elif self.feed.rewinding:  # a step at a time: the loop is everybody's
                self._go_on()
                break
            else:
                self._listener.settle(self)
        self.backlog.landed(self._not_taken())
        if not self._paused and not self._held and not self._transport.is_closing():
            self._transport.resume_reading()
        self._listener.changed.set()

    def _go_on(self) -> None:
        """Hand over more once everybody else has had a turn."""
        if not self._going_on:
            self._going_on = True
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        self._going_on = False
        self._hand_over()

    def _not_taken(self) -> int:
        """Return how many bytes the kernel has not taken; of a connection that is closing nobody knows, so all."""
        return sys.maxsize if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def set_water(self, high: int, low: int) -> None:
        """Set the bytes above which the connection counts as slow, and below which it takes more again."""
        self._transport.set_write_buffer_limits(high, low)

    def _cut(self, what: str, last: bytes) -> None:
        self._listener.complain(self.peer, what)
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
        self._write(b"".join([*self.feed.end(), self._parting(last)]))
        if self.backlog.credit and self._transport.can_write_eof() and not self._transport.is_closing():
            # Credit that still comes in would make the kernel throw away what this end has sent and nobody has read.
            try:
                self._transport.write_eof()
            except OSError:  # the other end has broken off, and we have not heard of it yet
                self.abort()
        else:
            self._transport.close()
        self._timer = asyncio.get_running_loop().call_later(PARTING_S, self.abort)
        self._listener.leave(self)

    def _parting(self, last: bytes) -> bytes:
        """Return the last bytes, a bye or an error, as the connection carries them."""
        return self._listener.wrap(last)

    def abort(self) -> None:
        """Part at once; what is still in the connection's buffer is dropped."""
        self.backlog.landed(self._not_taken())
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
        self.feed.end()
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
        self.feed.account(flows)
        return Delivery(self.peer, self.session.client, flows, self.backlog.gaps)
