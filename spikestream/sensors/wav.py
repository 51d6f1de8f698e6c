"""Sound files as a sensor: WAV, FLAC and what libsndfile reads besides, block by block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing

from spikestream.batch import Sound
from spikestream.errors import ConfigError
from spikestream.files.sound import open_sound, sounds

TURN = 8
"""Batches between two turns of the event loop."""


class Wav:
    """A sound file in batches of ``length_us`` µs; sample n is at ``n * 10^6 // samplerate`` µs, the first at 0.

    ``from_us`` and ``to_us`` select the samples of ``[from_us, to_us)``, which keep their stamps. All three may be
    text, as they come from a URI. Several channels stay several. Raises `ConfigError`, and `RecordingError`; for a file
    that is shorter than its header says, or damaged, after all samples before that.
    """

    live = False
    size = None

    def __init__(
        self,
        location: str,
        *,
        length_us: int | str = 10_000,
        from_us: int | str | None = None,
        to_us: int | str | None = None,
    ) -> None:
        self.location = location
        self.sent = 0
        self._length = _whole("length_us", length_us, 1)
        self._from = _whole("from_us", 0 if from_us is None else from_us, 0)
        self._to = None if to_us is None else _whole("to_us", to_us, 0)
        if self._to is not None and self._to <= self._from:
            raise ConfigError(f"the selection {self._from}..{self._to} µs is empty", key="to_us", value=self._to)
        with open_sound(location) as file:
            self.samplerate_hz: int = file.samplerate
            self.channels: int = file.channels

    async def batches(self, start: int = 0) -> AsyncIterator[Sound]:
        """Yield the batches of the selection that end after ``start`` µs, from the first whole sample there on."""
        begin = max(start, self._from)
        with closing(sounds(self.location, length_us=self._length, from_us=begin, to_us=self._to)) as found:
            for number, batch in enumerate(found):
                if number % TURN == 0:
                    await asyncio.sleep(0)
                self.sent += len(batch)
                yield batch


def _whole(name: str, value: int | str, least: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        allowed = f"{least} or more µs"
        raise ConfigError(f"'{value}' is not a time in whole µs", key=name, value=value, allowed=allowed)
    return number
