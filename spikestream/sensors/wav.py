"""Sound files as a sensor: WAV, FLAC and what libsndfile reads besides, block by block."""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, BinaryIO

from spikestream.batch import Sound
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.regular import open_regular

if TYPE_CHECKING:
    import soundfile

TURN = 8
"""Batches between two turns of the event loop."""
ENDLESS = (0, 0xFFFFFFFF)
"""Sizes that a recorder writes into a header which it means to mend later."""


def is_sound(path: str) -> bool:
    """Return whether a file begins like sound: WAV (RIFF, RF64), FLAC, Ogg or AIFF."""
    try:
        with open_regular(path) as file:
            head = file.read(12)
    except OSError:
        return False
    riff = head[:4] in (b"RIFF", b"RF64", b"RIFX") and head[8:12] == b"WAVE"
    return riff or head[:4] in (b"fLaC", b"OggS") or (head[:4] == b"FORM" and head[8:11] == b"AIF")


class Wav:
    """A sound file in batches of ``length_us`` µs; sample n is at ``n * 10^6 // samplerate`` µs, the first at 0.

    Several channels stay several. Raises `RecordingError`; for a WAV file that is shorter than its header says, or
    damaged, after all samples before that.
    """

    live = False
    size = None

    def __init__(self, location: str, *, length_us: int | str = 10_000) -> None:
        self.location = location
        self.sent = 0
        self._length = _whole(length_us)
        with _open(location) as file:
            self.samplerate_hz: int = file.samplerate
            self.channels: int = file.channels

    async def batches(self, start: int = 0) -> AsyncIterator[Sound]:
        """Yield the batches that end after ``start`` µs, from the first whole sample there on."""
        short = _missing_bytes(self.location)
        fs, done = self.samplerate_hz, 0
        with _open(self.location) as file:
            if start > 0:
                done = min(-(-start * fs // 1_000_000), file.frames)
                file.seek(done)
            for number in itertools.count():
                if number % TURN == 0:
                    await asyncio.sleep(0)
                begin = done * 1_000_000 // fs
                upto = -(-((begin // self._length + 1) * self._length) * fs // 1_000_000)
                samples = _read(file, upto - done, self.location)
                if not len(samples):
                    break
                done += len(samples)
                self.sent += len(samples)
                yield Sound(begin, done * 1_000_000 // fs, samples)
        if short:
            raise RecordingError(
                "the sound ends early",
                file=self.location,
                expected=f"{short:,} bytes more",
                found="the end of the file",
            )


def _open(location: str) -> soundfile.SoundFile:
    import soundfile

    try:
        open_regular(location).close()
        return soundfile.SoundFile(location)
    except OSError as error:
        raise RecordingError(f"cannot be read: {error.strerror or error}", file=location) from error
    except soundfile.SoundFileError as error:
        reason = str(error).rpartition(": ")[2]
        raise RecordingError(f"is no sound file that can be read: {reason}", file=location) from error


def _read(file: soundfile.SoundFile, count: int, location: str) -> Any:
    import soundfile

    try:
        return file.read(count, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise RecordingError(f"the sound is damaged: {error}", file=location) from error


def _missing_bytes(location: str) -> int:
    """Return how many bytes a WAV file lacks of what its header promises: libsndfile would not say."""
    with open_regular(location) as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        size = _find_data(file)
        here, end = file.tell(), os.fstat(file.fileno()).st_size
        return max(0, here + size - end) if size not in ENDLESS else 0


def _find_data(file: BinaryIO) -> int:
    """Move to the samples of a WAV file and return their size in bytes, 0 where there are none."""
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            return int(size)
        file.seek(size + size % 2, os.SEEK_CUR)
    return 0


def _whole(length_us: int | str) -> int:
    try:
        length = int(length_us)
    except ValueError:
        length = 0
    if length < 1:
        raise ConfigError(f"'{length_us}' is not a length", key="length_us", value=length_us, allowed="1 or more µs")
    return length
