"""What the socket outputs share: subscribers in groups, each of which gets one write per loop turn.

Law: nothing here waits for a subscriber while publishing. Whoever reads gets every message at once; whoever does not is
served from a queue of its own, by the policy it chose, and is told exactly what it lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from spikestream.outputs.base.due import Published
from spikestream.outputs.base.subscriber import HIGH_WATER, LOW_WATER, Subscriber
from spikestream.wire import BYE, Ask, Delivery, Flow, Hello, Outgoing, nobody

log = logging.getLogger(__name__)

QUEUE_BYTES = 8 << 20
MAX_CONNECTIONS = 256
HANDSHAKE_S = 5.0
CLOSING_S = 1.0
"""How long all connections together may take to hand over their last bytes when the output closes."""
TURN_BYTES = 256 << 10
"""Messages of one loop turn are written at its end, or as soon as there are this many bytes of them."""
KEEP_GONE = 256
"""Accounts of subscribers that have gone, of which the last ones are kept."""


class Group:
    """Subscribers who asked for the same things, and what they are to get at the end of this loop turn."""

    def __init__(self) -> None:
        self.members: dict[Subscriber, None] = {}
        self.turn: list[Outgoing] = []

    def wants(self, topic: str) -> bool:
        """Return whether its members asked for a topic."""
        return next(iter(self.members)).session.interest.policy(topic) is not None

    def flush(self) -> None:
        """Join what this turn brought, once, and hand the same bytes to every member."""
        if not self.turn:
            return
        turn, self.turn = self.turn, []
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
        self.url = ""
        self.ask: Ask = nobody
        self.queue_bytes = queue_bytes
        self.max_connections = max_connections
        self.handshake_s = handshake_s
        self.changed = asyncio.Event()
        """Set whenever a connection has taken something, or leaves."""
        self._connections: dict[Subscriber, None] = {}
        self._gone: deque[Delivery] = deque()
        self._long_gone: dict[str, Flow] = {}
        self._groups: dict[object, Group] = {}
        self._routes: dict[str, tuple[Group, ...]] = {}
        self._turn_bytes = 0
        self._scheduled = False
        self._closing = False
        self._server: asyncio.Server | None = None

    async def listen(self, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        """Open the socket and return its server; every connection gets a `protocol()` of its own."""
        raise NotImplementedError

    @property
    def subscribers(self) -> int:
        """Return how many connections have at least one subscription."""
        return sum(len(group.members) for group in self._groups.values())

    @property
    def blocked(self) -> bool:
        """Return whether a subscriber with policy block is full."""
        return any(connection.full for connection in self._connections)

    async def start(self, hello: Callable[[], Hello], published: Published) -> None:
        """Listen; whoever connects is greeted with `hello()`. Raises `ConfigError` or `ClientError`."""
        self._server = await self.listen(lambda: Subscriber(self, hello, published))

    def send(self, message: Outgoing) -> None:
        """Hand a message to whoever asked for its topic, at the end of this loop turn; never waits."""
        groups = self._routes.get(message.topic)
        if groups is None:
            groups = tuple(group for group in self._groups.values() if group.wants(message.topic))
            self._routes[message.topic] = groups
        if not groups:
            return
        for group in groups:
            group.turn.append(message)
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

    def join(self, subscriber: Subscriber) -> str:
        """Count a new connection in, and return why it has to go again, "" where it may stay."""
        self._connections[subscriber] = None
        if self._closing:
            return "the server is closing"
        if len(self._connections) > self.max_connections:
            return f"all {self.max_connections} places for subscribers are taken"
        return ""

    def regroup(self, subscriber: Subscriber) -> None:
        """Move a subscriber to those who asked for the same; call `flush` before what it asked for changes."""
        self.leave(subscriber)
        interest = subscriber.session.interest
        if interest:
            self._groups.setdefault(interest.key, Group()).members[subscriber] = None

    def leave(self, subscriber: Subscriber) -> None:
        """Send a subscriber nothing more."""
        for key, group in tuple(self._groups.items()):
            if subscriber in group.members:
                del group.members[subscriber]
                if not group.members:
                    del self._groups[key]
        self._routes.clear()
        self.changed.set()

    def remove(self, subscriber: Subscriber) -> None:
        """Forget a connection that has gone, all but its account."""
        del self._connections[subscriber]
        self.leave(subscriber)
        delivery = subscriber.delivery()
        if delivery.flows:
            self._gone.append(delivery)
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
        if self._server is None:
            return
        server, self._server = self._server, None
        self._closing = True
        server.close()
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
        await server.wait_closed()

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of every subscriber, those that have gone long ago summed up in the first."""
        self.flush()
        earlier = {topic: flow.copy() for topic, flow in self._long_gone.items()}
        summed = [Delivery("earlier subscribers", "", earlier)] if earlier else []
        return [*summed, *self._gone, *(connection.delivery() for connection in self._connections)]

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self.changed.clear()
            await self.changed.wait()
