"""The segment log: what was published, in files of frames exactly as they were on the wire, to be had again.

    hub --send--> queue, bounded --thread--> FOLDER/000000000001.ssp, …2.ssp, …   ^ oldest deleted by bytes and age

A log outlives its process: epoch and numbers go on, also after a ``kill -9`` at any moment, which costs what the kernel
had not been handed yet; what a machine loses that loses power is what was written in the last ``sync_s`` seconds. After
a crash numbers go on behind any that may have been used, and a gap says so. See docs/state.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from spikestream.log.frames import split
from spikestream.log.place import Limits, Place
from spikestream.log.segment import Block, Segment
from spikestream.log.writing import Writer
from spikestream.wire import Delivery, Flow, Hello, Outgoing, Stored, Tally, matches

__all__ = ["Limits", "SegmentLog"]

QUEUE_BYTES = 16 << 20
"""What may wait for the disk."""


class SegmentLog:
    """A folder that takes messages as an output of the hub does, and gives them back: a `spikestream.wire.Past`.

    Where it lost messages, since its disk took none for long, and after a crash, it has holes: `read` goes on behind
    them. ``wanted`` tells which topics are kept. ``strict`` is for a recorder: who sends waits for the disk, and gets
    its error. Raises what `Place` raises.
    """

    def __init__(
        self,
        folder: str | Path,
        limits: Limits | None = None,
        *,
        wanted: Callable[[str], bool] = lambda topic: True,
        sync_s: float = 1.0,
        queue_bytes: int = QUEUE_BYTES,
        strict: bool = False,
    ) -> None:
        self._place = Place(folder, limits or Limits())
        self._writer = Writer(self._place, sync_s, queue_bytes, strict)
        self.url = f"log://{folder}"
        self.epoch = self._place.epoch
        self.numbers: Mapping[str, int] = dict(self._place.numbers)
        self._wanted = wanted
        self._known: dict[str, bool] = {}
        self._published: Callable[[], Mapping[str, Tally]] = dict
        self._open = True

    @classmethod
    def of(cls, folder: str, kinds: Sequence[str], topics: Sequence[str], limits: Limits, sync_s: float) -> SegmentLog:
        """Return the log of messages of these kinds under topics that match one of these patterns."""

        def wanted(topic: str) -> bool:
            return topic.rpartition(".")[2] in kinds and any(matches(pattern, topic) for pattern in topics)

        return cls(folder, limits, wanted=wanted, sync_s=sync_s)

    # An output.

    subscribers = 0
    blocked = False

    async def start(self, hello: Callable[[], Hello], published: Callable[[], Mapping[str, Tally]]) -> None:
        """Begin to write."""
        self._published = published
        self._writer.start()

    def send(self, message: Outgoing) -> None:
        """Queue a message and return at once; a strict log may wait, and raises `RecordingError`."""
        self._writer.seen(message.topic, message.seq)
        if self.keeps(message.topic):
            self._writer.put(Stored(message.topic, message.seq, message.t_ns, message.rows, message.frame))

    async def ready(self) -> None:
        """Return at once."""

    async def drain(self, timeout_s: float) -> None:
        """Return when all is with the kernel, or nothing was taken for so long."""
        await asyncio.to_thread(self._writer.wait, timeout_s)

    async def aclose(self) -> None:
        """Write what is queued and end the segment, so that the next start need not look for its end."""
        if self._open:
            self._open = False
            await asyncio.to_thread(self._writer.close)
            if self._writer.strict:
                self._writer.check()

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of the log, as if it were a subscriber."""
        with self._writer.changed:
            flows = {topic: flow.copy() for topic, flow in self._writer.flows.items()}
            for one in self._writer.waiting():
                flows.setdefault(one.topic, Flow()).held.add(1, one.rows)
        for topic, tally in self._published().items():
            if self.keeps(topic):
                flows.setdefault(topic, Flow()).due = Tally(tally.messages, tally.rows)
        return [Delivery(self.url, "log", flows)]

    def keeps(self, topic: str) -> bool:
        """Return whether a topic is kept."""
        if topic not in self._known:
            self._known[topic] = self._wanted(topic)
        return self._known[topic]

    # The past.

    def first(self, topic: str) -> int | None:
        """Return the oldest number of a topic that is kept, None where none is."""
        with self._writer.changed:
            for segment in self._place.segments:
                if (number := segment.first(topic)) is not None:
                    return number
            return next((one.seq for one in self._writer.waiting() if one.topic == topic), None)

    def read(self, seq_of: Callable[[str], int | None], t_ns: int = 0) -> Iterator[Stored]:
        """Yield what is kept, in the order of publication, of the topics whose ``seq_of`` is not None.

        Of each only numbers from ``seq_of`` on, published at ``t_ns`` or later. It may be stepped through slowly, while
        more is written and the oldest deleted.
        """
        return _Reading(self._place, self._writer, seq_of, t_ns).messages()


def _bytes(path: Path, at: int, end: int) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(file, end - at, at)
    finally:
        os.close(file)


class _Reading:
    """One way through a log, from a block to the next; ``_from`` has the number by topic that is due next."""

    def __init__(self, place: Place, writer: Writer, seq_of: Callable[[str], int | None], t_ns: int) -> None:
        self._place, self._writer, self._seq_of, self._t_ns = place, writer, seq_of, t_ns
        self._from: dict[str, int | None] = {}
        self._at = (0, 0)  # the segment by its number, and the place in it that was read last

    def messages(self) -> Iterator[Stored]:
        """Yield what is on the disk, then what is on its way there, until there is nothing new."""
        while True:
            # Asked for first: what is written while the disk is read would else be seen in neither place.
            waiting, found = self._writer.waiting(), False
            while (chunk := self._next_chunk()) is not None:
                for message in chunk:
                    if self._take(message):
                        found = True
                        yield message
            for message in waiting:
                if self._take(message):
                    found = True
                    yield message
            if not found:
                return

    def _due(self, topic: str) -> int | None:
        if topic not in self._from:
            self._from[topic] = self._seq_of(topic)
        return self._from[topic]

    def _take(self, message: Stored) -> bool:
        due = self._due(message.topic)
        if due is None or message.seq < due or message.t_ns < self._t_ns:
            return False
        self._from[message.topic] = message.seq + 1
        return True

    def _next_chunk(self) -> Iterator[Stored] | None:
        """Return the messages of the next block in which there may be one that is wanted, None behind the last."""
        with self._writer.changed:
            found = self._next_block()
        if found is None:
            return None
        segment, at, end = found
        self._at = (segment.number, end)
        try:
            data = _bytes(segment.path, at, end)
        except FileNotFoundError:  # let go meanwhile
            return iter(())
        except OSError as error:  # whoever reads is told of a hole, and the loop goes on
            self._place.unreadable(segment, error)
            self._at = (segment.number + 1, 0)
            return iter(())
        # Looked at one by one: the loop would wait a tenth of a second for a block of small messages.
        return (
            Stored(seen.topic, seen.seq, seen.t_ns, seen.rows, frame)
            for seen, frame in split(data, at)
            if not seen.op and seen.topic
        )

    def _next_block(self) -> tuple[Segment, int, int] | None:
        number, place = self._at
        for segment in self._place.segments:
            if segment.number < number:
                continue
            for block in segment.blocks:
                at = max(block.at, place if segment.number == number else 0)
                if block.end > at and self._wants(block):
                    return segment, at, block.end
        return None

    def _wants(self, block: Block) -> bool:
        if block.t_ns < self._t_ns:
            return False
        return any((due := self._due(topic)) is not None and last >= due for topic, (_, last) in block.topics.items())
