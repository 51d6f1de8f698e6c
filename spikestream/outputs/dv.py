"""Events for DV and programs with dv-processing: AEDAT 4 over TCP, as its `NetworkReader` takes it.

That is a recording without its first line, from the moment on at which somebody connects. The size of the sensor is in
its header, so who connects before a batch has told it waits. There is neither token nor TLS: it is open to who gets
there. A slow client loses the oldest packets, counted here; the line has no way to tell it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from spikestream.batch import Events
from spikestream.errors import ClientError, ConfigError, RecordingError
from spikestream.formats.aedat4 import FORMAT
from spikestream.formats.aedat4.header import MAGIC
from spikestream.formats.base import Encoder
from spikestream.outputs.base.due import Due, Published
from spikestream.outputs.base.places import place_of
from spikestream.outputs.base.query import patterns_of, query_of
from spikestream.wire import Backlog, Delivery, Flow, Hello, Outgoing, matches

log = logging.getLogger(__name__)

DEFAULT = "127.0.0.1:7777"
EVENTS = "*.filter.events"
CLIENTS = 10
"""As many as dv-processing's own writer serves."""
QUEUE_BYTES = 8 << 20
HIGH_WATER, LOW_WATER = 256 << 10, 64 << 10
REMEMBERED = 16
CLOSING_S = 1.0


class Dv:
    """Listens at ``HOST:PORT``, an address of this machine; beyond itself only with ``open=yes``.

    ``topics`` are patterns with commas between, whose events become one stream; each client may have ``queue_bytes``
    waiting. All of it is text from a URL. Raises `ConfigError`.
    """

    blocked = False

    def __init__(self, location: str) -> None:
        place, _, query = location.partition("?")
        self._place = place_of("dv", place, DEFAULT)
        self.url = self._place.at(self._place.port)
        self._set(**query_of("dv", query, inspect.signature(self._set).parameters))
        self._server: asyncio.Server | None = None
        self._published: Published = dict
        self._clients: set[_Client] = set()
        self._gone: deque[Delivery] = deque(maxlen=REMEMBERED)
        self._size: tuple[int, int] | None = None
        self.head = b""
        """What a client gets first, b"" while no batch has told the size."""
        self.moved = asyncio.Event()
        self._told = False

    def _set(self, *, topics: str = EVENTS, open: str = "no", queue_bytes: str = str(QUEUE_BYTES)) -> None:
        if open not in ("no", "yes"):
            raise ConfigError(f"open = '{open}' is neither yes nor no", key="open", value=open, allowed="yes, no")
        if not self._place.loopback and open == "no":
            raise ConfigError(
                f"{self.url} would let anybody on the network see what is seen, and DV's line has no token",
                value=self.url,
                allowed="127.0.0.1:PORT, [::1]:PORT, localhost:PORT; any with ?open=yes",
                remedy=f"dv://127.0.0.1:{self._place.port}, and `ssh -L` on the other machine",
            )
        if not (queue_bytes.isascii() and queue_bytes.isdigit() and int(queue_bytes) > 0):
            raise ConfigError(f"'{queue_bytes}' is no number of bytes", key="queue_bytes", value=queue_bytes)
        self.queue_bytes = int(queue_bytes)
        self.patterns = patterns_of(topics)

    @property
    def subscribers(self) -> int:
        """Return how many clients there are."""
        return len(self._clients)

    async def start(self, hello: Callable[[], Hello], published: Published) -> None:
        """Listen; raises `ClientError` where the port cannot be had."""
        self._published = published
        host, port = self._place.host, self._place.port
        try:
            self._server = await asyncio.get_running_loop().create_server(lambda: _Client(self), host, port)
        except OSError as error:
            raise ClientError(f"cannot listen on port {port} of {host}: {error.strerror or error}") from error
        self.url = self._place.at(self._server.sockets[0].getsockname()[1])

    def send(self, message: Outgoing) -> None:
        """Queue the events of a message for every client, and return at once."""
        if not (self.wants(message.topic) and isinstance(message.batch, Events)):
            return
        packet = self._packet(message.batch)
        for client in tuple(self._clients):
            client.push(message, packet)

    async def ready(self) -> None:
        """Return at once."""

    async def drain(self, timeout_s: float) -> None:
        """Return when every client has everything, or nobody has taken anything for ``timeout_s`` seconds."""
        while any(client.busy for client in self._clients):
            self.moved.clear()
            try:
                await asyncio.wait_for(self.moved.wait(), timeout_s)
            except TimeoutError:
                return

    async def aclose(self) -> None:
        """Part with everybody, and give the port back."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for client in tuple(self._clients):
            client.close()
        until = asyncio.get_running_loop().time() + CLOSING_S
        while self._clients and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
        for client in tuple(self._clients):
            client.abort()
        await server.wait_closed()

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of every client, and of the last ones that have gone."""
        return [*(client.delivery() for client in self._clients), *self._gone]

    def join(self, client: _Client) -> Due | None:
        """Take a client in, and return what it is due from now on; None where there are too many."""
        if len(self._clients) >= CLIENTS or self._server is None:
            return None
        self._clients.add(client)
        return Due(self._published)

    def leave(self, client: _Client) -> None:
        """Let a client go, and remember its account."""
        if client in self._clients:
            self._clients.remove(client)
            self._gone.append(replace(client.delivery(), left=True))
        self.moved.set()

    def wants(self, topic: str) -> bool:
        """Return whether what is published under a topic goes out here."""
        return topic.endswith(".events") and any(matches(pattern, topic) for pattern in self.patterns)

    def _packet(self, batch: Events) -> bytes:
        """Return the packet of a batch, b"" where it has none."""
        try:
            if self._size is None and batch.size is not None:
                self.head = _encoder(batch.size).finish().removeprefix(MAGIC)
                self._size = batch.size
            if self._size is None or batch.size != self._size:
                text = "the size of the sensor is another one, or not known"
                raise RecordingError(text, expected=str(self._size), found=str(batch.size))
            # One of its own for each batch: an encoder remembers all packets, for the table at the end of a file.
            return _encoder(self._size).feed(batch.data)[len(MAGIC) + len(self.head) :] if len(batch) else b""
        except RecordingError as error:
            if len(batch) and not self._told:
                self._told = True
                log.warning("%s: events are dropped: %s", self.url, error)
            return b""


def _encoder(size: tuple[int, int]) -> Encoder:
    assert FORMAT.encoder is not None
    return FORMAT.encoder(size=size, compression="none")


class _Client(asyncio.Protocol):
    """One connection, with its queue and its account."""

    def __init__(self, output: Dv) -> None:
        self._output = output
        self._backlog = Backlog(output.queue_bytes, wrap=lambda frame: b"")  # the line knows no gaps
        self._due: Due | None = None
        self._begun = self._paused = False
        self._peer = ""
        self._transport: asyncio.Transport

    @property
    def busy(self) -> bool:
        """Return whether something is still to be handed to the kernel."""
        return bool(self._backlog) or self._transport.get_write_buffer_size() > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take part, or go where there are too many."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer = "{}:{}".format(*(transport.get_extra_info("peername") or ("gone", 0))[:2])
        self._due = self._output.join(self)
        if self._due is None:
            log.warning("%s: %s is one too many", self._output.url, self._peer)
            transport.abort()
            return
        self._go_on()

    def push(self, message: Outgoing, packet: bytes) -> None:
        """Queue the packet of a message; without one its events are dropped."""
        if not packet:
            flow = self._backlog.flow(message.topic)
            (flow.dropped if message.rows else flow.left_out).add(1, message.rows)
            return
        packed = Outgoing(message.topic, message.kind, message.seq, message.t_ns, message.batch, packet)
        self._backlog.push(packed, "drop_oldest")
        self._go_on()

    def pause_writing(self) -> None:
        """Queue from now on."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the account: what waited, or was in the connection's buffer, is dropped."""
        if self._due is None:
            return
        if exc is None:
            self._backlog.landed(0)
        self._backlog.crashed()
        self._backlog.clear()
        self._due.end(self._output.wants)
        self._output.leave(self)

    def close(self) -> None:
        """Part once what is in the connection's buffer is handed over; what waits is dropped."""
        self._backlog.clear()
        self._transport.close()

    def abort(self) -> None:
        """Part at once."""
        self._transport.abort()

    def delivery(self) -> Delivery:
        """Return a copy of the account."""
        self._backlog.landed(self._transport.get_write_buffer_size())
        flows = self._backlog.accounts()
        if self._due is not None:
            for topic, due in self._due.figures(self._output.wants).items():
                flows.setdefault(topic, Flow()).due = due
        return Delivery(self._peer, "dv", flows)

    def _go_on(self) -> None:
        if self._output.head and not self._begun:
            self._begun = True
            self._transport.write(self._output.head)
            self._backlog.wrote(len(self._output.head))
        while self._begun and self._backlog and not (self._paused or self._transport.is_closing()):
            self._transport.write(b"".join(self._backlog.take(HIGH_WATER)))
        self._backlog.landed(self._transport.get_write_buffer_size())
        self._output.moved.set()
