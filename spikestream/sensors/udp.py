"""Events that come as UDP datagrams, in the layouts that faery, AEStream, SpiNNaker's spif and event_stream send.

    socket --as many as there are--> layout --events--> timeline --batches

What the kernel had no room for is counted by it, and is a gap at its place. Datagrams that are none of the layout are
counted by reason, and so are those that come twice. Law: whatever anybody sends costs no more than reading it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from time import monotonic_ns
from typing import Any

from spikestream.batch import Array, Events
from spikestream.errors import ConfigError, DeviceError, RecordingError
from spikestream.formats.datagrams import LAYOUTS, layout
from spikestream.sensors.base.choices import ip_of, one_of, size_of, whole
from spikestream.sensors.base.timeline import Timeline
from spikestream.units import address

log = logging.getLogger(__name__)

BUFFER_BYTES = 8 << 20
"""Asked of the kernel, which may give less."""
AT_ONCE = 256
"""Datagrams between two turns of the event loop, which is everybody's."""
BREATH_S = 0.001
"""Datagrams that come within so long are read together."""
LARGEST = 65_536
OVERFLOWS = 40
"""SO_RXQ_OVFL of Linux, which Python does not name: the kernel tells how many datagrams it has dropped."""
REMEMBERED, REMEMBERED_US = 64, 50_000
"""A datagram like one of the last so many, within so long, has come twice; later somebody has sent it twice."""
DOUBTS = 2
DEFAULT = "127.0.0.1:9000"


class Udp:
    """Events of datagrams sent to ``HOST:PORT``, an address of this machine, by default of itself alone.

    ``layout`` is one of faery, faery32, spif and es, ``size`` the sensor's, WIDTHxHEIGHT; ``peer`` an address, others
    than which are not listened to. Batches are of ``length_us`` µs or more. Stamps may overtake each other by
    ``hold_us``; after ``slack_us`` without any, time goes on without them. Raises `ConfigError`, and `DeviceError` for
    a port that cannot be had; the address is in ``url``, with the port that port 0 has become.
    """

    live = True

    def __init__(
        self,
        location: str = DEFAULT,
        *,
        layout: str = "faery",
        size: str = "",
        peer: str = "",
        length_us: int | str = 10_000,
        hold_us: int | str = 1_000,
        slack_us: int | str = 100_000,
    ) -> None:
        self.layout = one_of("layout", layout, LAYOUTS)
        self.size = size_of(size, "datagrams do not tell it")
        self._peer = ip_of("peer", peer) if peer else None
        self._length_us = whole("length_us", length_us, 1_000, 1_000_000)
        self._hold_us = whole("hold_us", hold_us, 0, 1_000_000)
        self._slack_us = whole("slack_us", slack_us, 0, 10_000_000)
        self._place = address(location or DEFAULT, DEFAULT)
        self._socket = self._bound()
        self.url = f"udp://{self._place[0]}:{self._place[1]}"
        self.sent = self.datagrams = self.lost = 0
        self.malformed: Counter[str] = Counter()
        """Datagrams that are none of the layout, by reason; those from elsewhere are ``stranger``."""
        self.repeated = 0
        self._overflows = 0
        self._gap = False  # whether something is missing before the next datagram
        self._seen: OrderedDict[bytes, int] = OrderedDict()  # datagrams, and when they came
        self._timeline = self._fresh(stamped=True)
        self._kind: bool | None = None  # whether events have stamps, once one has come

    def intake(self) -> tuple[str, int, dict[str, int], dict[str, int], int]:
        """Return the hop before it, in events: see `Counting`."""
        return "network to sensor", *self._timeline.intake()

    def stats(self) -> dict[str, Any]:
        """Return its figures as they are published: ``lost``, ``malformed`` and ``repeated`` count datagrams."""
        told = {name: getattr(self, name) for name in ("url", "layout", "datagrams", "lost", "repeated")}
        return {**told, "malformed": dict(self.malformed), **self._timeline.stats()}

    async def batches(self, start: int = 0) -> AsyncIterator[Events]:
        """Yield what comes from now on, at ``start`` µs or later."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        if self._socket.fileno() < 0:
            self._socket = self._bound()
        self._timeline.begin(start)
        try:
            while True:
                news.clear()
                loop.add_reader(self._socket, news.set)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._length_us / 1e6):
                        await news.wait()
                loop.remove_reader(self._socket)
                for batch in self._read(start):
                    yield self._sent(batch)
                await asyncio.sleep(BREATH_S)
        finally:
            loop.remove_reader(self._socket)
            self._socket.close()

    def rest(self) -> Iterator[Events]:
        """Yield what is held, to whoever has ended the batches."""
        yield from map(self._sent, self._timeline.finish())

    def _sent(self, batch: Events) -> Events:
        self.sent += len(batch)
        return batch

    def _fresh(self, stamped: bool) -> Timeline:
        assert self.size is not None
        self._decoder = layout(self.layout, self.size)
        if not stamped:
            return Timeline(self.size, length_us=self._length_us, slack_us=0)
        held = {"hold_us": self._hold_us, "slack_us": self._slack_us}
        return Timeline(self.size, length_us=self._length_us, doubts=DOUBTS, **held)

    def _bound(self) -> socket.socket:
        host, port = self._place
        sock = None
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            with suppress(OSError):  # elsewhere than on Linux
                sock.setsockopt(socket.SOL_SOCKET, OVERFLOWS, 1)
            sock.bind((host, port))
        except OSError as error:
            if sock is not None:
                sock.close()
            if isinstance(error, socket.gaierror):
                text = f"'{host}' is no address of this machine"
                raise ConfigError(text, key="sensor.uri", value=host, allowed="127.0.0.1, 0.0.0.0 for all") from error
            text = f"cannot listen to datagrams at {host}:{port}: {error.strerror}"
            remedies = {
                errno.EADDRINUSE: f"ss -ulpn 'sport = :{port}' tells who does",
                errno.EADDRNOTAVAIL: "an address of this machine, which 'ip -brief address' lists, or 0.0.0.0 for all",
                errno.EACCES: "a port from 1024 on",
            }
            raise DeviceError(text, remedy=remedies.get(error.errno or 0, "")) from error
        sock.setblocking(False)
        self._place = host, sock.getsockname()[1]
        return sock

    def _read(self, start: int) -> Iterator[Events]:
        """Yield the batches that are complete once all that has come is read."""
        for _ in range(AT_ONCE):
            try:
                datagram, told, _, sender = self._socket.recvmsg(LARGEST, socket.CMSG_SPACE(4))
            except BlockingIOError:
                break
            except OSError as error:
                raise DeviceError(f"{self.url} cannot be listened to any more: {error.strerror}") from error
            self.datagrams += 1
            self._count_lost(told)
            events = self._events(datagram, sender[0])
            if events is not None and len(events):
                yield from self._placed(events, start)
        yield from self._timeline.silent(monotonic_ns() // 1_000)

    def _count_lost(self, told: list[tuple[int, int, bytes]]) -> None:
        """Count the datagrams that the kernel has dropped before this one."""
        for level, kind, data in told:
            if (level, kind) == (socket.SOL_SOCKET, OVERFLOWS):
                overflows: int = struct.unpack("I", data[:4])[0]
                self.lost += (overflows - self._overflows) % (1 << 32)
                self._gap |= overflows != self._overflows
                self._overflows = overflows

    def _events(self, datagram: bytes, sender: str) -> Array | None:
        if self._strange(sender):
            self.malformed["stranger"] += 1
            return None
        try:
            events = self._decoder.decode(datagram)
        except RecordingError as error:
            if not self.malformed:
                log.warning("%s: a datagram from %s is none of %s: %s", self.url, sender, self.layout, error)
            self.malformed[error.what] += 1
            return None
        if not self._decoder.stamped:
            return events
        if self._again(datagram):
            self.repeated += 1
            return None
        return events

    def _strange(self, sender: str) -> bool:
        """Return whether this is another address than the peer's, which may be said without its zone, as in %eth0."""
        if self._peer is None:
            return False
        return self._peer not in (ip_of("sender", sender), ip_of("sender", sender.partition("%")[0]))

    def _again(self, datagram: bytes) -> bool:
        """Return whether a datagram has come twice."""
        clock_us = monotonic_ns() // 1_000
        before_us = self._seen.pop(datagram, None)
        self._seen[datagram] = clock_us
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return before_us is not None and clock_us - before_us < REMEMBERED_US

    def _placed(self, events: Array, start: int) -> Iterator[Events]:
        clock_us = monotonic_ns() // 1_000
        stamped = self._decoder.stamped
        if self._kind is None:
            self._kind = stamped
            if not stamped:  # they are as old as they look
                self._timeline = self._fresh(stamped=False)
                self._timeline.run(start, clock_us)
        if stamped != self._kind:
            self.malformed["with a stamp" if stamped else "without a stamp"] += 1
            return
        if not stamped:
            events["t"] = clock_us
        lost, self._gap = self._gap, False
        yield from self._timeline.take(events, clock_us, lost=lost)
