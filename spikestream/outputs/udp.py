"""Events as UDP datagrams, for faery, AEStream, SpiNNaker's spif and event_stream: to one place, whoever is there.

Nobody tells whether they come. What is counted as sent is what the kernel has taken.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import Callable, Sequence

from spikestream.batch import Events
from spikestream.errors import ClientError, ConfigError, RecordingError, nearest
from spikestream.formats.datagrams import LAYOUTS, Layout, layout
from spikestream.outputs.base.due import Due, Published
from spikestream.outputs.base.query import patterns_of, query_of
from spikestream.units import address
from spikestream.wire import Delivery, Flow, Hello, Outgoing, matches

log = logging.getLogger(__name__)

DEFAULT = "127.0.0.1:9000"
EVENTS = "*.filter.events"
BUFFER_BYTES = 4 << 20
"""Asked of the kernel, which may give less."""


class Udp:
    """Sends the events of ``topics``, patterns with commas between, to ``HOST:PORT`` in a ``layout``.

    ``stamps=yes`` sends those of spif with stamps, which AEStream and spif do not expect. All of it is text from a URL.
    Raises `ConfigError`.
    """

    subscribers = 0
    """Nobody asks for anything."""
    blocked = False

    def __init__(self, location: str) -> None:
        place, _, query = location.partition("?")
        self._set(**query_of("udp", query, inspect.signature(self._set).parameters))
        self._host, self._port = address(place or DEFAULT, DEFAULT)
        self.url = f"udp://{self._host}:{self._port}"
        self._socket: socket.socket | None = None
        self._to: tuple[object, ...] = ()
        self._layout: Layout | None = None
        self._size: tuple[int, int] | None = None
        self._flows: dict[str, Flow] = {}
        self._due: Due | None = None
        self._told = False

    def _set(self, *, layout: str = "faery", topics: str = EVENTS, stamps: str = "no") -> None:
        for name, value, allowed in (("layout", layout, LAYOUTS), ("stamps", stamps, ("no", "yes"))):
            if value not in allowed:
                text = f"{name} = '{value}' is none of those there are"
                near = nearest(value, allowed)
                raise ConfigError(text, key=name, value=value, allowed=", ".join(allowed), nearest=near)
        self.layout, self._stamps = layout, stamps == "yes"
        self.patterns = patterns_of(topics)

    async def start(self, hello: Callable[[], Hello], published: Published) -> None:
        """Find the place; raises `ClientError` where there is no such host."""
        self._due = Due(published)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
            family, kind, _, _, self._to = found[0]
            self._socket = socket.socket(family, kind)
        except OSError as error:
            raise ClientError(f"datagrams cannot be sent to {self.url}: {error.strerror or error}") from error
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self._socket.setblocking(False)

    def send(self, message: Outgoing) -> None:
        """Send the events of a message and return at once; what the kernel does not take is dropped, and counted."""
        if not self._wants(message.topic):
            return
        batch, sent = message.batch, 0
        if isinstance(batch, Events):
            try:
                for datagram, count in self._as(batch).encode(batch.data):
                    sent += count if self._put(datagram) else 0
            except RecordingError as error:
                self._tell(f"{error.what}, expected {error.expected}")
        flow = self._flows.setdefault(message.topic, Flow())
        whole = sent == message.rows
        flow.sent.add(whole, sent)
        flow.dropped.add(not whole, message.rows - sent)

    async def ready(self) -> None:
        """Return at once."""

    async def drain(self, timeout_s: float) -> None:
        """Return at once: nothing waits."""

    async def aclose(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of the line, as if it were a subscriber."""
        if self._due is None:
            return []
        flows = {topic: flow.copy() for topic, flow in self._flows.items()}
        for topic, due in self._due.figures(self._wants).items():
            flows.setdefault(topic, Flow()).due = due
        return [Delivery(self.url, f"udp {self.layout}", flows)]

    def _wants(self, topic: str) -> bool:
        return topic.endswith(".events") and any(matches(pattern, topic) for pattern in self.patterns)

    def _as(self, batch: Events) -> Layout:
        if batch.size is None and self.layout == "es":
            raise RecordingError("the size of the sensor is not known", expected="one, for an Event Stream")
        if self._layout is None or batch.size != self._size:
            self._size = batch.size
            self._layout = layout(self.layout, batch.size or (1, 1), self._stamps)
        return self._layout

    def _put(self, datagram: bytes) -> bool:
        assert self._socket is not None, "the output is not started"
        try:
            self._socket.sendto(datagram, self._to)
        except BlockingIOError:
            self._tell("the kernel has no room for more datagrams")
            return False
        except OSError as error:
            self._tell(error.strerror or str(error))
            return False
        return True

    def _tell(self, what: str) -> None:
        """Say once what is dropped."""
        if not self._told:
            self._told = True
            log.warning("%s: events are dropped: %s", self.url, what)
