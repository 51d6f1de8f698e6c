"""Events that another program writes to standard input as it has them, of any format that is read as it comes.

A recording that is piped in is ``-``. This is for what is live: time goes on while nothing comes, and nobody waits.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from spikestream.batch import Events
from spikestream.errors import ConfigError, DeviceError, RecordingError
from spikestream.files.options import check_options
from spikestream.formats.base import Format
from spikestream.registry import load
from spikestream.sensors.base.choices import whole
from spikestream.sensors.base.inflow import READ_BYTES, Inflow
from spikestream.units import pixels

DESCRIPTOR = 0


class Stdin(Inflow):
    """Events of ``format`` from standard input, which has to be a pipe, a socket or a terminal; ended with it.

    ``size``, WIDTHxHEIGHT, where the format does not tell, and further ``options`` of the format. Where nothing has
    come for ``slack_us``, time goes on without. Raises `ConfigError`, `DeviceError` for bytes that are none of the
    format, and `RecordingError` where it ends inside an event.
    """

    def __init__(
        self,
        location: str = "",
        *,
        format: str = "",
        size: str = "",
        length_us: int | str = 10_000,
        slack_us: int | str = 200_000,
        **options: Any,
    ) -> None:
        lengths = whole("length_us", length_us, 1_000, 1_000_000), whole("slack_us", slack_us, 0, 10_000_000)
        if not format:
            raise ConfigError("the format is not known", key="format", allowed="stdin://?format=NAME")
        made: Format = load("formats", format)
        if made.decoder is None:
            text = f"{made.title} is read from a file, not from a pipe"
            raise ConfigError(text, key="format", value=format, remedy="write it to a file first")
        told = pixels(size) if size else None
        keywords = {"size": told, **options}
        check_options(f"format '{format}'", made.decoder, keywords, also=("format", "length_us", "slack_us"))
        super().__init__("stdin://", made.decoder(**keywords), *lengths)
        self._look(_read, told, "give it one: size=WIDTHxHEIGHT")

    async def batches(self, start: int = 0) -> AsyncIterator[Events]:
        """Yield what comes from now on, at ``start`` µs or later, up to the end of standard input."""
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(READ_BYTES)
        pipe = os.fdopen(os.dup(DESCRIPTOR), "rb", 0)
        blocking = os.get_blocking(DESCRIPTOR)
        try:
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.connect_read_pipe(lambda: protocol, pipe)
        except ValueError:
            pipe.close()
            raise ConfigError(
                "standard input is a file", key="sensor.uri", remedy="read it as the recording -"
            ) from None
        try:
            async for batch in self._flow(reader.read, start):
                yield batch
        finally:
            transport.close()
            with suppress(OSError):  # it may be another program's too, which knows nothing of this
                os.set_blocking(DESCRIPTOR, blocking)
        try:
            self._decoder.finish()
        except RecordingError as error:
            error.file = "standard input"
            raise


def _read(seconds: float) -> bytes:
    if not select.select([DESCRIPTOR], [], [], seconds)[0]:
        raise TimeoutError
    try:
        return os.read(DESCRIPTOR, READ_BYTES)
    except OSError as error:
        raise DeviceError(f"standard input cannot be read: {error.strerror}") from error
