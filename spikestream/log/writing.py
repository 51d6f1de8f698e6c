"""The thread that writes a log: it takes what is queued, a disk may keep it waiting, and nobody waits for it."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from spikestream.errors import RecordingError
from spikestream.log.place import PARTS, Place
from spikestream.log.segment import checksum, mark
from spikestream.wire import Flow, Stored, loss_frame

log = logging.getLogger(__name__)

AT_ONCE = 1 << 20
"""Bytes handed to the kernel in one call, and one message more."""
RETRY_S = 1.0
"""How long a disk that took nothing is left alone."""
MARK_S = 1.0
"""How long the first message of a topic waits until its mark is written."""
SPARE = 1 << 16
"""Numbers of a topic that a mark declares used up ahead of time; whoever goes on after a crash begins behind them."""


@dataclass(slots=True)
class _Hole:
    """Messages ``[start, stop)`` of a topic that the log does not hold, and their rows."""

    start: int
    stop: int
    rows: int
    why: str

    def frame(self, topic: str) -> bytes:
        return loss_frame(topic, self.start, self.stop, self.rows, self.why)


class _Item(NamedTuple):
    before: bytes
    """Frames about the log itself, or the gap in front of the message."""
    message: Stored | None


class Writer:
    """Writes messages into a place from a thread of its own, until `close`.

    At most ``most_bytes`` wait in memory; what comes then is left out and counted, and a gap is written in its place.
    ``strict``: the one who puts waits instead, and gets the first error of the disk as a `RecordingError`.
    """

    def __init__(self, place: Place, sync_s: float, most_bytes: int, strict: bool = False) -> None:
        self.place, self.strict = place, strict
        self.flows: dict[str, Flow] = {}
        self.changed = threading.Condition()
        """Held by whoever looks at the queue, the flows or the segments' index."""
        self._sync_s, self._most = sync_s, most_bytes
        self._at_once = min(AT_ONCE, place.limits.segment_bytes // PARTS)
        self._queue: deque[_Item] = deque()
        self._flying: list[_Item] = []
        self._bytes = 0
        self._holes: dict[str, _Hole] = {}
        self._next = dict(place.numbers)
        self._reserved = dict(place.numbers)
        self._stored = {t: last + 1 for one in place.segments for t, last in one.lasts().items()}
        self._restarted = place.repaired
        self._closing = False
        self._error: OSError | None = None
        self._lost = 0
        self._dirty_s: float | None = None
        self._file = -1
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        """Begin to write: before anything is published the disk knows which numbers may be used up by it."""
        if not self.strict:
            self._reserved = {topic: number + SPARE for topic, number in self._next.items()}
            try:
                self._file = self.place.open(self._reserved)
                self.place.let_go()
            except OSError as error:
                log.warning("log %s: cannot be written: %s", self.place.folder, error.strerror)
                self._error = error
        self._thread.start()

    def seen(self, topic: str, seq: int) -> None:
        """Take note of a number that has been given, of a topic that is not written too: nobody shall give it again.

        The first of a new topic waits until the disk knows of it, but not long for a disk that takes nothing.
        """
        self._next[topic] = seq + 1
        if seq + 1 > self._reserved.get(topic, 0) - SPARE // 2:
            with self.changed:
                new, self._reserved[topic] = topic not in self._reserved, seq + 1 + SPARE
                self._append(_Item(mark({topic: seq + 1 + SPARE}), None))
                if new and not self.strict:
                    self.changed.wait_for(lambda: not self._bytes or self._error is not None, MARK_S)

    def put(self, message: Stored) -> None:
        """Queue a message, or leave it out where too much is queued."""
        with self.changed:
            if self.strict:
                self.changed.wait_for(lambda: self._bytes < self._most or self._error is not None)
                self.check()
            elif self._bytes + len(message.frame) > self._most:
                self._lose([message], "log")
                return
            self._append(_Item(self._gap_before(message), message))

    def check(self) -> None:
        """Raise the disk's error, once it had one, as a `RecordingError`."""
        if self._error is not None:
            text = f"cannot be written: {self._error.strerror}"
            raise RecordingError(text, file=str(self.place.folder)) from self._error

    def waiting(self) -> list[Stored]:
        """Return the messages that are not on the disk yet."""
        with self.changed:
            return [item.message for item in (*self._flying, *self._queue) if item.message is not None]

    def wait(self, timeout_s: float) -> None:
        """Return when everything is written, or when nothing was for so long."""
        with self.changed:
            while self._bytes and self._thread.is_alive():
                before = self._bytes
                if not self.changed.wait(timeout_s) or (self._error is not None and self._bytes >= before):
                    return

    def close(self) -> None:
        """Write what is queued, end the segment with the numbers that come next, and let the place go."""
        with self.changed:
            self._closing = True
            self.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        with self.changed:
            self._lose([item.message for item in (*self._flying, *self._queue) if item.message is not None], "log")
            self._queue.clear()
            self._flying = []
            self.place.end(self._next)
        self.place.aclose()

    def _append(self, item: _Item) -> None:
        self._queue.append(item)
        self._bytes += _size(item)
        self.changed.notify_all()

    def _gap_before(self, message: Stored) -> bytes:
        """Return the frame that stands for the numbers missing before a message, b"" where none are."""
        topic, due = message.topic, self._stored.get(message.topic)
        self._stored[topic] = message.seq + 1
        hole = self._holes.pop(topic, None)
        if due is None or due >= message.seq:
            return b""
        why = "restart" if self._restarted and hole is None else "log"
        return _Hole(due, message.seq, hole.rows if hole else 0, why).frame(topic)

    def _lose(self, messages: Iterable[Stored], why: str) -> None:
        for one in messages:
            self.flows.setdefault(one.topic, Flow()).dropped.add(1, one.rows)
            hole = self._holes.setdefault(one.topic, _Hole(one.seq, one.seq, 0, why))
            hole.stop, hole.rows = one.seq + 1, hole.rows + one.rows
            self._lost += 1

    def _run(self) -> None:
        """Write until told to end: the body of the thread."""
        while self._wait_for_work():
            try:
                self._write_some()
                self._sync_if_due()
            except OSError as error:
                if self._failed(error):
                    return

    def _wait_for_work(self) -> bool:
        """Return when there is something to write or to sync, False when there is nothing and nothing will come."""
        with self.changed:
            if not self._flying:
                left = None if self._dirty_s is None else max(0.0, self._dirty_s + self._sync_s - monotonic())
                self.changed.wait_for(lambda: bool(self._queue) or self._closing, left)
                size = 0
                while self._queue and size < self._at_once:
                    item = self._queue.popleft()
                    size += _size(item)
                    self._flying.append(item)
            return bool(self._flying) or not self._closing

    def _write_some(self) -> None:
        if not self._flying:
            return
        # None of this under the lock: the loop must not wait for a disk.
        if self.place.is_due():
            self.place.end(self._reserved)
        if self.place.writing is None:
            self._file = self.place.open(self._reserved)
            self.place.let_go()
        segment = self.place.writing
        assert segment is not None
        try:
            # At its own offset: after an error the same bytes are written again, over what there is of them.
            data = b"".join(part for item in self._flying for part in _parts(item))
            _write_all(self._file, data + checksum(data), segment.size)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, segment.size)
            raise
        self._committed()

    def _committed(self) -> None:
        """Take note of what has been written, and let those know who wait for it."""
        segment = self.place.writing
        assert segment is not None
        with self.changed:
            for item in self._flying:
                segment.size += len(item.before)
                if item.message is not None:
                    at, segment.size = segment.size, segment.size + len(item.message.frame)
                    segment.note(item.message.topic, item.message.seq, item.message.t_ns, at, segment.size)
                    self.flows.setdefault(item.message.topic, Flow()).sent.add(1, item.message.rows)
                self._bytes -= _size(item)
            segment.size += len(checksum(b""))
            self._flying = []
            if self._error is not None:
                log.warning("log %s: is written again; %d messages were left out", self.place.folder, self._lost)
            self._error, self._lost = None, 0
            self.changed.notify_all()
        self._dirty_s = monotonic() if self._dirty_s is None else self._dirty_s

    def _sync_if_due(self) -> None:
        if self._dirty_s is not None and monotonic() - self._dirty_s >= self._sync_s:
            self._dirty_s = None
            if self.place.writing is not None:
                os.fdatasync(self._file)

    def _failed(self, error: OSError) -> bool:
        """Say once that the disk takes nothing, and wait; return whether to give up."""
        with self.changed:
            if self._error is None and not self.strict:
                text = "log %s: cannot be written: %s; what is published meanwhile may be left out"
                log.warning(text, self.place.folder, error.strerror)
            self._error = error
            self.changed.notify_all()
            if not self.strict:
                self.changed.wait_for(lambda: self._closing, RETRY_S)
            return self.strict or self._closing


def _parts(item: _Item) -> tuple[bytes, ...]:
    return (item.before,) if item.message is None else (item.before, item.message.frame)


def _size(item: _Item) -> int:
    return sum(map(len, _parts(item)))


def _write_all(file: int, data: bytes, offset: int) -> None:
    with memoryview(data) as view:
        at = 0
        while at < len(view):
            written = os.pwrite(file, view[at:], offset + at)
            if not written:
                raise OSError(errno.ENOSPC, "No space left on device")
            at += written
