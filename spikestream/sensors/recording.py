"""A recording as a sensor: it never runs ahead of whoever listens, and ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from spikestream.batch import Events, cut
from spikestream.errors import ConfigError, RecordingError, nearest
from spikestream.files.reader import Reader
from spikestream.files.stream import stream_of
from spikestream.sensors.base.aside import aside
from spikestream.units import pixels

TURN = 8
"""Batches between two turns of the event loop."""

_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Recording:
    """A file, or standard input as ``-``, as batches of ``length_us`` µs; lengths, marks and selection as in `batches`.

    ``reading`` goes to `Reader`: format, sensor, size, raw, time and the format's own options. Values may be text, as
    they come from a URI. The first events are decoded at once, so that ``size`` is known. Raises `RecordingError` and
    `ConfigError`.
    """

    live = False

    def __init__(
        self,
        location: str,
        *,
        length_us: int | str = 10_000,
        grid_us: int | str = 1_000,
        from_us: int | str | None = None,
        to_us: int | str | None = None,
        windows: Sequence[tuple[int, int]] | str = (),
        **reading: Any,
    ) -> None:
        self.location = location
        self.sent = 0
        self._cutting = {
            "length_us": _whole("length_us", length_us),
            "grid_us": _whole("grid_us", grid_us),
            "from_us": _whole("from_us", from_us),
            "to_us": _whole("to_us", to_us),
            "windows": _told(windows),
        }
        self._reading = {name: _typed(name, value) for name, value in reading.items()}
        self._reader, self._stream = self._open()
        self._fresh = True
        self.size = self._reader.size

    @property
    def format(self) -> str:
        """Return the registered name of the recording's format."""
        return self._reader.format

    @property
    def sensor(self) -> str:
        """Return the name of the camera, "" where unknown."""
        return self._reader.sensor

    @property
    def events(self) -> int:
        """Return how many events were decoded so far, before the time policy and the selection."""
        return self._reader.events

    @property
    def problems(self) -> dict[str, int]:
        """Return what was wrong so far, counted by kind, as `Reader` and `batches` do."""
        return self._reader.problems

    @property
    def untold(self) -> dict[str, int]:
        """Return the ``problems`` that no warning tells of."""
        return self._reader.untold

    @property
    def skipped(self) -> dict[str, int]:
        """Return what was read so far and is not an event, counted by kind."""
        return self._reader.skipped

    @property
    def warnings(self) -> list[str]:
        """Return what the listener should know, one line each."""
        return self._reader.warnings

    async def batches(self, start: int = 0) -> AsyncIterator[Events]:
        """Yield the batches that end after ``start`` µs, all for 0, the first cut there; every call starts anew.

        Raises `RecordingError` after all events before the damage, and for a second call on standard input.
        """
        self._rewind()
        with self._reader:
            async for batch in self._taken():
                if start and batch.stop <= start:
                    continue
                rest = cut(batch, start)[1] if start and start > batch.start else batch
                self.sent += len(rest)
                yield rest

    async def _taken(self) -> AsyncIterator[Events]:
        if self.location == "-":  # whoever writes to it may take their time, and the loop is everybody's
            async for batch in aside(self._stream):
                yield batch
            return
        for number, batch in enumerate(self._stream):
            if number % TURN == 0:
                await asyncio.sleep(0)
            yield batch

    def _rewind(self) -> None:
        if not self._fresh:
            if self.location == "-":
                raise RecordingError("can be read only once", file=self._reader.name)
            self._reader, self._stream = self._open()
        self._fresh = False

    def _open(self) -> tuple[Reader, Iterator[Events]]:
        reader = Reader(self.location, **self._reading)
        try:
            return reader, stream_of(reader, **self._cutting)
        except BaseException:
            reader.close()
            raise


def _whole(name: str, value: int | str | None) -> int | None:
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        raise ConfigError(f"'{value}' is not a number of µs", key=name, value=value, allowed="a whole number") from None


def _told(windows: Sequence[tuple[int, int]] | str) -> Sequence[tuple[int, int]]:
    if isinstance(windows, str):
        raise ConfigError("windows are no option of a URI", key="windows", value=windows, allowed="--labels FILE")
    return windows


def _typed(name: str, value: Any) -> Any:
    if not isinstance(value, str) or name not in ("size", "raw"):
        return value
    if name == "size":
        return pixels(value)
    if value not in _BOOLS:
        raise ConfigError(
            f"'{value}' is neither true nor false",
            key=name,
            value=value,
            allowed=", ".join(_BOOLS),
            nearest=nearest(value, _BOOLS),
        )
    return _BOOLS[value]
