"""The newest messages in memory, so many bytes of each topic, and how a ring and a log are read as one past."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from spikestream.wire.past import Past, Stored

RING_BYTES, ALL_BYTES = 64 << 20, 256 << 20
"""What is kept by default of each topic, and of all topics together."""
KEEPING = 300
"""Bytes of memory that a message takes beside its frame (measured: 293); an empty batch's frame has a hundred."""
SPARE = 64
"""Where all together are too many, the largest topic lets go of such a part of the limit: it is looked for seldom."""


_Kept = tuple[int, int, int, bytes, int]
"""Place among all messages, time of publication, rows, frame, latest publication so far.

A plain tuple of these costs no collection of garbage. The last of them never goes back, whatever the clock does, and
reaches a time with the first message published then or later.
"""


class _Run:
    """The messages of one topic that are kept, by number: a run without holes."""

    __slots__ = ("bytes", "first", "kept", "latest_ns")

    def __init__(self, first: int) -> None:
        self.first = first
        self.bytes = 0
        self.latest_ns = 0
        self.kept: dict[int, _Kept] = {}

    def trim(self, limit: int) -> None:
        while self.bytes > limit and self.kept:
            self.bytes -= len(self.kept.pop(self.first)[3]) + KEEPING
            self.first += 1


class Ring:
    """A `Past` in memory: the newest messages, of each topic at most ``limit`` bytes, of all together ``whole``.

    Where all together are too many, it is the topic with most bytes that lets go: a slow one is not crowded out.
    """

    def __init__(self, limit: int = RING_BYTES, whole: int = ALL_BYTES) -> None:
        self.limit, self.whole = limit, whole
        self.bytes = 0
        """What it takes of memory."""
        self._runs: dict[str, _Run] = {}
        self._published = 0

    def append(self, topic: str, seq: int, t_ns: int, rows: int, frame: bytes) -> None:
        """Keep a message, the next of its topic, and let go of the oldest beyond the limits."""
        run = self._runs.get(topic)
        if run is None:
            run = self._runs[topic] = _Run(seq)
        self._published += 1
        run.latest_ns = max(run.latest_ns, t_ns)
        run.kept[seq] = self._published, t_ns, rows, frame, run.latest_ns
        run.bytes += len(frame) + KEEPING
        self.bytes += len(frame) + KEEPING
        if run.bytes > self.limit:
            self._trim(run, self.limit)
        while self.bytes > self.whole:
            largest = max(self._runs.values(), key=lambda one: one.bytes)
            self._trim(largest, largest.bytes - self.whole // SPARE - 1)

    def _trim(self, run: _Run, limit: int) -> None:
        before = run.bytes
        run.trim(limit)
        self.bytes += run.bytes - before

    def first(self, topic: str) -> int | None:
        """Return the oldest number of a topic that is still kept, None where none is."""
        run = self._runs.get(topic)
        return run.first if run is not None and run.kept else None

    def read(self, seq_of: Callable[[str], int | None], t_ns: int = 0) -> Iterator[Stored]:
        """Yield what is kept, as `Past.read` says."""
        due = {topic: start for topic in self._runs if (start := seq_of(topic)) is not None}
        while True:
            for topic, at in due.items():
                due[topic] = self._at(topic, at, t_ns)
            found = [(kept[0], topic) for topic, at in due.items() if (kept := self._runs[topic].kept.get(at))]
            if not found:
                return
            topic = min(found)[1]
            seq = due[topic]
            _, published_ns, rows, frame, _ = self._runs[topic].kept[seq]
            due[topic] = seq + 1
            yield Stored(topic, seq, published_ns, rows, frame)

    def _at(self, topic: str, at: int, t_ns: int) -> int:
        """Return the first number from one on that is kept and was published at a time or later."""
        run = self._runs[topic]
        at = max(at, run.first)
        later = range(at, run.first + len(run.kept))
        if later and run.kept[at][4] < t_ns:
            at += bisect_left(later, t_ns, key=lambda seq: run.kept[seq][4])
        while (kept := run.kept.get(at)) is not None and kept[1] < t_ns:
            at += 1
        return at


class Shelf:
    """Several pasts as one, the quickest first: a topic is read from the first of them that reaches back far enough."""

    def __init__(self, pasts: Sequence[Past]) -> None:
        self._pasts = tuple(pasts)

    def first(self, topic: str) -> int | None:
        """Return the oldest number of a topic that any of them keeps, None where none does."""
        return min((at for past in self._pasts if (at := past.first(topic)) is not None), default=None)

    def read(self, seq_of: Callable[[str], int | None], t_ns: int = 0) -> Iterator[Stored]:
        """Yield what is kept, as `Past.read` says; between topics of different pasts the time of publication decides.

        What one of them lets go meanwhile is a hole, even where another has it: read again from there.
        """
        starts: dict[str, int | None] = {}

        def due(past: Past) -> Callable[[str], int | None]:
            def start(topic: str) -> int | None:
                if topic not in starts:
                    starts[topic] = seq_of(topic)
                at = starts[topic]
                return at if at is not None and self._source(topic, at) is past else None

            return start

        reads = [past.read(due(past), t_ns) for past in self._pasts]
        yield from heapq.merge(*reads, key=lambda message: message.t_ns)

    def _source(self, topic: str, at: int) -> Past:
        """Return the past to read a topic from: the first that has the number, or else whatever reaches back most."""
        firsts = [(first, past) for past in self._pasts if (first := past.first(topic)) is not None]
        for first, past in firsts:
            if first <= at:
                return past
        return min(firsts, key=lambda one: one[0])[1] if firsts else self._pasts[0]
