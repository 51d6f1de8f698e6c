"""What the socket outputs share: subscribers in groups, each of which gets one write per loop turn.

Law: nothing here waits for a subscriber while publishing. Whoever reads gets every message at once; whoever does not is
served from a queue of its own, by the policy it chose, and is told exactly what it lost.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base.connection import HIGH_WATER, LOW_WATER, Connection
from spikestream.outputs.base.door import UNPROVEN, Door
from spikestream.outputs.base.due import Published
from spikestream.outputs.base.pace import Pace
from spikestream.outputs.base.subscriber import Subscriber
from spikestream.outputs.base.turns import Turns
from spikestream.wire import BYE, TOKEN, Ask, Delivery, Flow, Hello, Numbers, Outgoing, Past, nobody

if TYPE_CHECKING:
    import ssl

log = logging.getLogger(__name__)

QUEUE_BYTES, LEAST_QUEUE, MOST_QUEUE = 8 << 20, 1 << 10, 1 << 32
MAX_CONNECTIONS, MOST_CONNECTIONS = 256, 1 << 16
HANDSHAKE_S, MOST_HANDSHAKE_S = 5.0, 60.0
BACKLOG = 128
"""Connections that the kernel keeps until they are accepted."""
CLOSING_S = 1.0
"""How long all connections together may take to hand over their last bytes when the output closes."""
BEAT_S = 5.0
"""So often the server looks after every connection: one with nothing to read gets a ping, one that has died is cut."""
SILENT_BEATS = 6
"""So many times in a row a connection may have taken nothing and said nothing while its queue is full."""
TURN_BYTES = 256 << 10
"""Messages of one loop turn are written at its end, or as soon as there are this many bytes of them."""
KEEP_GONE = 256
"""Accounts of subscribers that have gone, of which the last ones are kept."""
MOST_TOLD = 300
COMPLAINTS, COMPLAINTS_BURST = 1.0, 30.0
"""Lines a second, and at once after a quiet time, that are logged about clients that break rules."""
UNPROVEN_S = 0.25
"""Of those that have not said hello yet the oldest goes for the next one, once it has had so long."""


def _within(key: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        name = f"publish.{key}"
        raise ConfigError(
            f"{name} = {value!r} is out of range", key=name, value=value, allowed=f"{least:,} to {most:,}"
        )


class Group:
    """Subscribers who asked for the same things, and what they are to get at the end of this loop turn."""

    def __init__(self, plain: bool = True) -> None:
        self.members: dict[Connection, None] = {}
        self.turn: list[Outgoing] = []
        self.plain = plain
        """Whether all that its members asked for are topics and policies: they get the same bytes."""

    def wants(self, topic: str) -> bool:
        """Return whether its members asked for a topic."""
        return next(iter(self.members)).session.interest.policy(topic) is not None

    def flush(self) -> None:
        """Join what this turn brought, once, and hand the same bytes to every member."""
        if not self.turn:
            return
        turn, self.turn = self.turn, []
        if not self.plain:
            for member in tuple(self.members):
                member.offer(turn)
            return
        sums: dict[str, tuple[int, int]] = {}
        for message in turn:
            messages, rows = sums.get(message.topic, (0, 0))
            sums[message.topic] = messages + 1, rows + message.rows
        joined = b"".join([message.frame for message in turn])
        for member in tuple(self.members):
            member.deliver(turn, sums, joined)


class Listener:
    """An output whose subscribers connect to a stream socket; `listen` is what a kind of socket adds to it.

    ``queue_bytes`` bounds what one slow subscriber keeps in memory; its connection's own buffer adds at most 2 MiB.
    """

    def __init__(self, *, queue_bytes: int, max_connections: int, handshake_s: float) -> None:
        _within("queue_bytes", queue_bytes, LEAST_QUEUE, MOST_QUEUE)
        _within("max_connections", max_connections, 1, MOST_CONNECTIONS)
        _within("handshake_s", handshake_s, 0, MOST_HANDSHAKE_S)
        self.url = ""
        self.ask: Ask = nobody
        self.past: Past | None = None
        self.numbers: Numbers = dict
        self.broken: ClientError | None = None  # why nobody can connect any more: another one has to take its place
        self.token = ""
        """What a client has to know; "" for nothing."""
        self.tls: ssl.SSLContext | None = None
        self.queue_bytes = queue_bytes
        self.max_connections = max_connections
        self.handshake_s = handshake_s
        self.changed = asyncio.Event()
        """Set whenever a connection has taken something, or leaves."""
        self._connections: dict[Connection, None] = {}
        self._gone: deque[Delivery] = deque()
        self._long_gone: dict[str, Flow] = {}
        self._groups: dict[object, Group] = {}
        self._routes: dict[str, tuple[Group, ...]] = {}
        self._turn_bytes = 0
        self._scheduled = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self.turns: Turns
        self._door: Door | None = None
        self._unproven: dict[Connection, float] = {}
        self._complaints = Pace(COMPLAINTS, COMPLAINTS_BURST, time.monotonic())
        self._unsaid = 0

    async def listen(self) -> Sequence[socket.socket]:
        """Return the sockets that listen, not blocking."""
        raise NotImplementedError

    def subscriber(self, hello: Callable[[], Hello], published: Published) -> Subscriber:
        """Return what serves one connection."""
        return Subscriber(self, hello, published)

    def wrap(self, frames: bytes) -> bytes:
        """Return whole frames in a row as this kind of connection carries them."""
        return frames

    def dressed(self, message: Outgoing) -> Outgoing:
        """Return a message whose ``frame`` is what this kind of connection carries: one for all subscribers."""
        return message

    @property
    def subscribers(self) -> int:
        """Return how many connections have at least one subscription."""
        # A copy, which takes one step: other threads may ask while this one's loop changes the groups.
        return sum(len(group.members) for group in tuple(self._groups.values()))

    @property
    def blocked(self) -> bool:
        """Return whether a subscriber with policy block is full."""
        return any(connection.full for connection in self._connections)

    async def start(self, hello: Callable[[], Hello], published: Published) -> None:
        """Listen; whoever connects is greeted with `hello()`. Raises `ConfigError` or `ClientError`."""
        self.turns = Turns()

        def greeting() -> Hello:
            made = hello()
            return replace(made, caps=(*made.caps, TOKEN)) if self.token else made

        self._door = Door(
            await self.listen(),
            lambda: self.subscriber(greeting, published),
            places=self.max_connections,
            tls=self.tls,
            handshake_s=self.handshake_s,
            dead=self._broke,
        )
        self._door.open()
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self.beat)

    def _broke(self, error: OSError) -> None:
        self.broken = ClientError(f"nobody can connect at {self.url} any more: {error.strerror}")

    def beat(self) -> None:
        """Look after every connection, and again in a moment."""
        self.flush()
        for connection in tuple(self._connections):
            connection.beat(SILENT_BEATS)
        self._stop_timer()
        if not self._closing:
            self._timer = asyncio.get_running_loop().call_later(BEAT_S, self.beat)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def send(self, message: Outgoing) -> None:
        """Hand a message to whoever asked for its topic, at the end of this loop turn; never waits."""
        groups = self._routes.get(message.topic)
        if groups is None:
            groups = tuple(group for group in self._groups.values() if group.wants(message.topic))
            self._routes[message.topic] = groups
        if not groups:
            return
        dressed = self.dressed(message)
        for group in groups:
            group.turn.append(dressed if group.plain else message)
        self._turn_bytes += len(message.frame)
        if self._turn_bytes >= TURN_BYTES:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write what was sent in this loop turn now."""
        self._turn_bytes = 0
        for group in tuple(self._groups.values()):
            group.flush()

    def join(self, subscriber: Connection) -> str:
        """Count a new connection in, and return why it has to go again, "" where it may stay."""
        self._connections[subscriber] = None
        if self._closing:
            return "the server is closing"
        now = asyncio.get_running_loop().time()
        crowded = len(self._connections) > self.max_connections
        if (crowded or len(self._unproven) >= UNPROVEN) and not self._make_room(now):
            return f"all {self.max_connections} places for subscribers are taken"
        self._unproven[subscriber] = now
        return ""

    def _make_room(self, now: float) -> bool:
        """Part with who has been silent longest, if that is long enough for anybody who means to say hello."""
        oldest = next(iter(self._unproven), None)
        if oldest is None or now - self._unproven[oldest] < UNPROVEN_S:
            return False
        self.prove(oldest)
        oldest.abort()
        return True

    def prove(self, subscriber: Connection) -> None:
        """Take note that a connection has said hello, or has gone."""
        self._unproven.pop(subscriber, None)

    def complain(self, peer: str, what: str) -> None:
        """Log that a client is cut, unless that has been logged of many others in the last seconds."""
        if not self._complaints.spend(1.0, time.monotonic()):
            self._unsaid += 1
            return
        # What a client sent may be in the text, and must not look like a line of ours.
        told = "".join(character if character.isprintable() else "?" for character in what[:MOST_TOLD])
        others = f" (and {self._unsaid:,} others before it)" if self._unsaid else ""
        log.warning("subscriber %s is cut: %s%s", peer, told, others)
        self._unsaid = 0

    def regroup(self, subscriber: Connection) -> None:
        """Move a subscriber to those who asked for the same; call `flush` before what it asked for changes."""
        self.leave(subscriber)
        interest, plain = subscriber.session.interest, subscriber.feed.plain
        if interest:
            key = interest.key if plain else subscriber
            self._groups.setdefault(key, Group(plain)).members[subscriber] = None

    def settle(self, subscriber: Connection) -> None:
        """Let a subscriber get what all others get, where nothing of its own is left to be considered."""
        if subscriber.feed.plain and subscriber in self._groups:
            self.flush()
            self.regroup(subscriber)

    def leave(self, subscriber: Connection) -> None:
        """Send a subscriber nothing more."""
        for key, group in tuple(self._groups.items()):
            if subscriber in group.members:
                del group.members[subscriber]
                if not group.members:
                    del self._groups[key]
        self._routes.clear()
        self.changed.set()

    def remove(self, subscriber: Connection) -> None:
        """Forget a connection that has gone, all but its account."""
        del self._connections[subscriber]
        self.prove(subscriber)
        self.leave(subscriber)
        if self._door is not None:
            self._door.left(subscriber.host)
        delivery = subscriber.delivery()
        if delivery.flows:
            self._gone.append(replace(delivery, left=True))
        if len(self._gone) > KEEP_GONE:
            for topic, flow in self._gone.popleft().flows.items():
                self._long_gone.setdefault(topic, Flow()).add(flow)

    async def ready(self) -> None:
        """Return at once, unless a subscriber with policy block is full: then when it has room."""
        await self._until(lambda: not self.blocked)

    async def drain(self, timeout_s: float) -> None:
        """Return when the kernel has everything, or when nobody has taken anything for `timeout_s` seconds."""
        self.flush()
        waiting = tuple(self._connections)
        for connection in waiting:
            connection.set_water(0, 0)
        left = self._unsent()
        while any(c.busy for c in self._connections):
            try:
                async with asyncio.timeout(timeout_s):
                    await self._until(lambda: not any(c.busy for c in self._connections))
            except TimeoutError:
                before, left = left, self._unsent()
                if left >= before:
                    late = ", ".join(c.peer for c in self._connections if c.busy)
                    log.warning("these subscribers have read nothing for %g s: %s", timeout_s, late)
                    break
        for connection in waiting:
            connection.set_water(HIGH_WATER, LOW_WATER)

    def _unsent(self) -> int:
        return sum(connection.unsent for connection in self._connections)

    async def aclose(self) -> None:
        """Tell every subscriber what it will not get, say bye, and stop listening; takes at most about a second."""
        if self._door is None or self._closing:
            return
        self._closing = True
        self._stop_timer()
        self._door.close()
        self.turns.close()
        self.flush()
        for connection in tuple(self._connections):
            connection.close(BYE)
        try:
            async with asyncio.timeout(CLOSING_S):
                await self._until(lambda: not self._connections)
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort()
            await self._until(lambda: not self._connections)
        await self._door.wait_closed()

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of every subscriber, those that have gone long ago summed up in the first."""
        self.flush()
        earlier = {topic: flow.copy() for topic, flow in self._long_gone.items()}
        summed = [Delivery("earlier subscribers", "", earlier, left=True)] if earlier else []
        return [*summed, *self._gone, *(connection.delivery() for connection in self._connections)]

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self.changed.clear()
            await self.changed.wait()
