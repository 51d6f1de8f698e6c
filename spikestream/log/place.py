"""The folder of a log: who writes there, which segments there are, which are let go, and which one is being written."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from spikestream import __version__
from spikestream.errors import ClientError, ConfigError, RecordingError
from spikestream.files.generations import set_aside, sync_folder
from spikestream.log.segment import Segment, head, is_begun_only, listed, name_of, opened, tail
from spikestream.wire import Hello

log = logging.getLogger(__name__)

LOCK = "lock"
"""The file that the process holds locked which writes into the folder."""


PARTS = 8
"""A segment is written in so many parts or more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a log keeps, and in what pieces: bytes in all (0: no limit), age in s (0: no limit), bytes a segment."""

    max_bytes: int = 0
    max_age_s: float = 0.0
    segment_bytes: int = 64 << 20


class Place:
    """A folder of segments that this process, and no other, may write into.

    It takes up what is there: what a process that was killed left half written is cut off and the rest ended; what is
    no segment is set aside. ``numbers`` are those to go on with. Raises `ConfigError` where another process writes
    there, `RecordingError` for a place nothing can be written to.
    """

    def __init__(self, folder: str | Path, limits: Limits) -> None:
        self.folder, self.limits = Path(folder), limits
        self.segments: list[Segment] = []
        self.repaired = False
        self._unreadable: set[Path] = set()
        self._file: int | None = None
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = self._locked()
            self._take_up()
        except OSError as error:
            file = str(error.filename or folder)
            raise RecordingError(f"cannot be written: {error.strerror}", file=file) from error
        last = self.segments[-1] if self.segments else None
        self.epoch = last.epoch if last else secrets.token_hex(8)
        self.numbers = dict(last.next) if last else {}
        # A segment found at the start is as old as the clock says; from then on the clock may jump as it likes.
        self._started_s = time.monotonic()
        self._age_s = {one.path: max(0.0, time.time() - one.path.stat().st_mtime) for one in self.segments}

    @property
    def writing(self) -> Segment | None:
        """Return the segment that is being written."""
        return self.segments[-1] if self._file is not None else None

    def open(self, numbers: Mapping[str, int]) -> int:
        """Begin a segment with the numbers that may be used up before its first mark; return its file."""
        number = self.segments[-1].number + 1 if self.segments else 1
        path, now_ns = self.folder / name_of(number), time.time_ns()
        start = head(Hello(f"spikestream/{__version__}", self.epoch, now_ns, caps=()), number, numbers)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            written = os.write(file, start)
            if written < len(start):
                raise OSError(errno.ENOSPC, "No space left on device")
            os.fdatasync(file)
            sync_folder(self.folder)
        except BaseException:
            os.close(file)
            os.unlink(path)
            raise
        self._file = file
        self._began_s = time.monotonic()
        self.segments = [*self.segments, Segment(path, number, self.epoch, now_ns, next=dict(numbers), size=len(start))]
        return file

    def end(self, numbers: Mapping[str, int]) -> None:
        """End the segment that is being written; where there is no room for that, the next start does it."""
        segment, file = self.writing, self._file
        if segment is None or file is None:
            return
        self._file = None
        self._age_s[segment.path] = self._started_s - time.monotonic()
        try:
            _finish(file, segment, numbers)
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, segment.size)
        finally:
            os.close(file)

    def is_due(self) -> bool:
        """Return whether the segment that is being written is large or old enough to be ended."""
        segment, age_s = self.writing, self.limits.max_age_s
        old = age_s > 0 and segment is not None and time.monotonic() - self._began_s > max(1.0, age_s / 8)
        return segment is not None and bool(segment.blocks) and (segment.size >= self.limits.segment_bytes or old)

    def let_go(self) -> None:
        """Delete the oldest segments that are too many or too old, but never the one that is being written."""
        # What is being written may grow to the size of a segment, and by what is written at once.
        growing = self.limits.segment_bytes * (PARTS + 1) // PARTS
        total, gone = sum(one.size for one in self.segments) + growing, 0
        for segment in self.segments[:-1]:
            much = 0 < self.limits.max_bytes < total
            old = 0 < self.limits.max_age_s < self._age_s.get(segment.path, 0.0) + time.monotonic() - self._started_s
            if not (much or old):
                break
            try:
                segment.path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s cannot be deleted: %s", segment.path, error.strerror)
                break
            total -= segment.size
            gone += 1
        self.segments = self.segments[gone:]

    def unreadable(self, segment: Segment, error: OSError) -> None:
        """Say once of a segment that it cannot be read."""
        if segment.path not in self._unreadable:
            self._unreadable.add(segment.path)
            log.warning("%s cannot be read: %s; what is in it counts as lost", segment.path, error.strerror)

    def aclose(self) -> None:
        """Let another process have the folder."""
        os.close(self._lock)

    def _locked(self) -> int:
        lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            text = f"another process writes into {self.folder}"
            raise ConfigError(text, value=str(self.folder), allowed="a folder of its own for each process") from error
        return lock

    def _take_up(self) -> None:
        for path in listed(self.folder):
            try:
                segment, file = opened(path)
            except (ClientError, OSError) as error:
                self._refuse(path, error)
                continue
            file.close()
            self.segments.append(segment)
        for stray in [one for one in self.segments if one.epoch != self.segments[-1].epoch]:
            aside = set_aside(stray.path)
            log.warning("%s is of another log, whose numbers are others; it is kept as %s", stray.path, aside)
            self.segments.remove(stray)
        for segment in self.segments:
            if not segment.ended:
                self.repaired |= segment is self.segments[-1]
                _repair(segment)

    def _refuse(self, path: Path, error: ClientError | OSError) -> None:
        """Set aside what is no segment; of one that was only just begun there is nothing to keep."""
        if isinstance(error, OSError):
            raise error
        if path == listed(self.folder)[-1] and is_begun_only(path):
            path.unlink()
        else:
            log.warning("%s is no segment of a log: %s; it is kept as %s", path, error.what, set_aside(path))


def _repair(segment: Segment) -> None:
    """Cut off what a process was writing when it died, and end the segment for it."""
    file = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        torn = os.fstat(file).st_size - segment.size
        os.ftruncate(file, segment.size)
        log.info("%s was not ended; %d bytes of a message half written are cut off", segment.path, torn)
        try:
            _finish(file, segment, segment.next)
        except OSError:  # no room for it; it can be read without
            os.ftruncate(file, segment.size)
    finally:
        os.close(file)


def _finish(file: int, segment: Segment, numbers: Mapping[str, int]) -> None:
    end = tail(segment.size, segment.blocks, numbers)
    if os.pwrite(file, end, segment.size) < len(end):
        raise OSError(errno.ENOSPC, "No space left on device")
    os.fdatasync(file)
    segment.next, segment.size, segment.ended = dict(numbers), segment.size + len(end), True
