"""The recorder of sound alone: what the microphone heard, as a WAV file that any program plays.

Samples are kept to the bit: as 16-bit numbers where they are such, else as float32. A gap becomes silence of its
length, so that time stays true; marks and configuration are not kept, which a record of `spikestream.service.record`
has.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from spikestream.batch import Array, Batch, Command, Sound
from spikestream.errors import RecordingError
from spikestream.files.atomic import replacing

if TYPE_CHECKING:
    import soundfile

log = logging.getLogger(__name__)

MOST_BYTES = (1 << 32) - (1 << 16)
"""A WAV file counts its bytes in 32 bits."""
NEXT_TO_NOTHING = 1 << 16
"""A disk with fewer free bytes is full: libsndfile says "System error." only."""
SILENCE = 1 << 16
"""Samples of silence written at once."""


def is_pcm16(batch: Batch) -> bool:
    """Return whether all samples of a batch are whole numbers of 1/32768 that 16 bits hold."""
    if not isinstance(batch, Sound):
        return False
    scaled = batch.samples * np.float32(32_768)
    return bool(np.all((scaled == np.rint(scaled)) & (scaled >= -32_768) & (scaled < 32_768)))


def _is_full(path: str) -> bool:
    disk = os.statvfs(os.path.dirname(os.path.abspath(path)))
    return disk.f_bavail * disk.f_frsize < NEXT_TO_NOTHING


class WavRecorder:
    """Writes ``path``, which appears under its name when it is complete; a watcher of the engine.

    ``pcm16`` tells whether all samples are whole numbers of 1/32768.
    """

    def __init__(self, path: str, samplerate_hz: int, pcm16: bool) -> None:
        self.path, self.rows, self.held = path, 0, 0
        self._rate, self._pcm16 = samplerate_hz, pcm16
        self._stack = ExitStack()
        self._file: soundfile.SoundFile | None = None
        self._error: RecordingError | None = None
        self._left = MOST_BYTES
        self._now = 0

    async def start(self) -> None:
        """Do nothing: the file is begun with the first sound, whose channels are known then."""

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Write one batch, behind the silence that stands for a gap before it."""
        if not isinstance(batch, Sound):
            raise RecordingError("only sound can be recorded as a WAV file", file=self.path)
        channels = batch.samples.shape[1]
        if self._file is None:
            self._file, self._now = self._open(channels), batch.start
        missing = round((batch.start - self._now) * self._rate / 1e6)
        for at in range(0, missing, SILENCE):
            self._write(np.zeros((min(SILENCE, missing - at), channels), np.float32))
        self._write(batch.samples)
        self.rows += len(batch)
        self._now = batch.stop

    async def aclose(self) -> None:
        """Give the file its name, now that it is complete; after an error what there is of it becomes a ``.part``."""
        import soundfile

        if self._file is not None:
            try:
                self._file.close()
            except soundfile.SoundFileError as error:
                self._error = self._error or RecordingError(f"cannot be written: {error}", file=self.path)
            self._file = None
        failed = self._error
        self._stack.__exit__(type(failed) if failed else None, failed, None)

    def _open(self, channels: int) -> soundfile.SoundFile:
        import soundfile

        part = self._stack.enter_context(replacing(self.path, keep=True))
        subtype = "PCM_16" if self._pcm16 else "FLOAT"
        try:
            return soundfile.SoundFile(part, "w", self._rate, channels, subtype, format="WAV")
        except (OSError, soundfile.SoundFileError) as error:
            raise RecordingError(f"cannot be written: {error}", file=self.path) from error

    def _write(self, samples: Array) -> None:
        import soundfile

        assert self._file is not None, "written before it is open"
        self._left -= samples.size * (2 if self._pcm16 else 4)
        if self._left < 0:
            remedy = "--record FILE.rec, which has no limit"
            self._error = RecordingError("a WAV file holds 4 GB at most", file=self.path, remedy=remedy)
            raise self._error
        # Rounded here: libsndfile would scale by 32767. A device that came back with another rate may give a whole 1.
        data = np.rint(samples * 32_768).clip(-32_768, 32_767).astype(np.int16) if self._pcm16 else samples
        try:
            self._file.write(data)
            self._file.flush()
        except (soundfile.SoundFileError, OSError) as error:
            reason = "the disk is full" if _is_full(self.path) else str(error)
            self._error = RecordingError(f"cannot be written: {reason}", file=self.path)
            raise self._error from error
