"""Events of DV or of a program with dv-processing: AEDAT 4 over TCP or a Unix socket, as its `NetworkWriter` sends it.

That is a recording without its first line: the header with its length in front, then packets, of any compression.
Source: dv-processing 2.0.4, looked at on the line.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

from spikestream.batch import Events
from spikestream.errors import DeviceError
from spikestream.formats.aedat4 import Decoder
from spikestream.formats.aedat4.header import MAGIC
from spikestream.sensors.base.choices import whole
from spikestream.sensors.base.inflow import LOOK_S, READ_BYTES, Inflow
from spikestream.units import address, pixels

DEFAULT = "127.0.0.1:7777"
IDLE_S, EVERY_S, TRIES = 5, 2, 3
"""A host that is gone without a word is asked after so long, so often, and so many times whether it is there."""


class Dv(Inflow):
    """The event stream that ``HOST:PORT``, or ``/PATH`` of a Unix socket, sends; ``stream`` names one of several.

    ``size``, WIDTHxHEIGHT, where the other end does not tell. Where nothing has come for ``slack_us``, time goes on
    without. Raises `ConfigError`, and `DeviceError` where nobody is there, who is there sends something else, or goes.
    """

    def __init__(
        self,
        location: str = DEFAULT,
        *,
        size: str = "",
        stream: str = "",
        length_us: int | str = 10_000,
        slack_us: int | str = 200_000,
    ) -> None:
        lengths = whole("length_us", length_us, 1_000, 1_000_000), whole("slack_us", slack_us, 0, 10_000_000)
        told = pixels(size) if size else None
        decoder = Decoder(stream=stream or None)
        self._place = location if location.startswith("/") else address(location or DEFAULT, DEFAULT)
        place = self._place if isinstance(self._place, str) else "{}:{}".format(*self._place)
        super().__init__(f"dv://{place}", decoder, *lengths)
        list(decoder.feed(memoryview(MAGIC)))
        self._socket = self._connected()
        try:
            self._look(self._read, told, "its header does not tell it")
        except BaseException:
            self._socket.close()
            raise

    async def batches(self, start: int = 0) -> AsyncIterator[Events]:
        """Yield what comes from now on, at ``start`` µs or later; raises `DeviceError` when the other end goes."""
        self._socket.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=self._socket, limit=READ_BYTES)
        try:
            async for batch in self._flow(reader.read, start):
                yield batch
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        raise DeviceError(f"{self.url} has ended the connection", remedy="it has ended, or takes no more clients")

    def _connected(self) -> socket.socket:
        try:
            if isinstance(self._place, str):
                one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                one.settimeout(LOOK_S)
                one.connect(self._place)
                return one
            one = socket.create_connection(self._place, LOOK_S)
        except (OSError, UnicodeError) as error:  # a host name of odd characters never reaches the resolver
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            remedy = "start what sends: dv_processing.io.NetworkWriter, a DV output module"
            raise DeviceError(f"nobody sends at {self.url}: {why}", remedy=remedy) from error
        for name, value in (("KEEPIDLE", IDLE_S), ("KEEPINTVL", EVERY_S), ("KEEPCNT", TRIES)):
            if hasattr(socket, f"TCP_{name}"):  # not everywhere
                one.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"), value)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return one

    def _read(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(READ_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise DeviceError(f"{self.url} has gone: {error.strerror or error}") from error
