"""The queue of one subscriber that does not keep up: bounded in bytes, and exact about what it dropped.

Law: of every topic a subscriber is offered, what it gets and the gaps it gets add up to the span of sequence numbers.
So a gap always goes out before the next message of its topic, and at the latest when the queue has run empty.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from spikestream.wire.outgoing import Outgoing, loss_frame


@dataclass(slots=True)
class Tally:
    """Messages, and the events, spikes or decisions in them."""

    messages: int = 0
    rows: int = 0

    def add(self, messages: int, rows: int) -> None:
        """Count some more."""
        self.messages += messages
        self.rows += rows


@dataclass(slots=True)
class Flow:
    """One topic to one subscriber, each figure counted where it happens: due == sent + dropped + held + flying."""

    due: Tally = field(default_factory=Tally)
    """What was published while the subscriber had asked for it, by the publisher's figures and not by the output's."""
    sent: Tally = field(default_factory=Tally)
    """What the kernel has taken; the connection's own buffer is not the kernel."""
    dropped: Tally = field(default_factory=Tally)
    held: Tally = field(default_factory=Tally)
    """What is in the queue, counted from the queue itself when it is asked for."""
    flying: Tally = field(default_factory=Tally)
    """What is in the connection's buffer, counted from there when it is asked for."""

    def copy(self) -> Flow:
        """Return a copy of what was counted, nothing of it held."""
        return Flow(replace(self.due), replace(self.sent), replace(self.dropped))

    def add(self, other: Flow) -> None:
        """Count another's figures in."""
        for mine, theirs in ((self.due, other.due), (self.sent, other.sent), (self.dropped, other.dropped)):
            mine.add(theirs.messages, theirs.rows)

    def imbalance(self) -> int:
        """Return the rows that are missing (positive) or too many (negative), 0 where the account closes."""
        return self.due.rows - self.sent.rows - self.dropped.rows - self.held.rows - self.flying.rows


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one subscriber was due and got, topic by topic; ``gaps`` are the gap messages it was sent."""

    peer: str
    client: str
    flows: Mapping[str, Flow]
    gaps: int = 0


class _Flying(NamedTuple):
    """A message in the connection's buffer; ``end`` is how many bytes were handed over up to its last one."""

    end: int
    topic: str
    rows: int


class _Queued(NamedTuple):
    topic: str
    seq: int
    rows: int
    frame: bytes
    policy: str


class _Loss:
    """The messages ``[start, stop)`` of a topic are lost, with so many rows."""

    __slots__ = ("rows", "start", "stop", "topic")

    def __init__(self, lost: _Queued) -> None:
        self.topic, self.start, self.stop, self.rows = lost.topic, lost.seq, lost.seq, 0

    def add(self, lost: _Queued) -> None:
        self.stop, self.rows = lost.seq + 1, self.rows + lost.rows

    @property
    def frame(self) -> bytes:
        return loss_frame(self.topic, self.start, self.stop, self.rows)


class Backlog:
    """What one subscriber has still to get, in order, and what its connection has not yet handed to the kernel.

    Over ``limit`` bytes the oldest messages under policy drop_oldest go first, then those under latest (of which there
    is one a topic). Messages under disconnect and block are never dropped.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.flows: dict[str, Flow] = {}
        self.gaps = 0
        self._queue: OrderedDict[int, _Queued | bytes] = OrderedDict()
        self._old: deque[int] = deque()
        self._latest: dict[str, int] = {}
        self._losses: dict[str, _Loss] = {}
        self._pushed = 0
        self._written = 0
        self._flying: deque[_Flying] = deque()

    def __bool__(self) -> bool:
        return bool(self._queue or self._losses)

    @property
    def dropping(self) -> bool:
        """Return whether the subscriber has lost messages it was not told of yet."""
        return bool(self._losses)

    def flow(self, topic: str) -> Flow:
        """Return this subscriber's account of a topic."""
        if topic not in self.flows:
            self.flows[topic] = Flow()
        return self.flows[topic]

    def push(self, message: Outgoing, policy: str) -> bool:
        """Queue a message; False where the subscriber is too far behind for its policy and has to go."""
        entry = _Queued(message.topic, message.seq, message.rows, message.frame, policy)
        self.bytes += len(entry.frame)
        if policy == "latest" and entry.topic in self._latest:
            self._replace(self._latest[entry.topic], entry)
        else:
            self._append(entry)
        while self.bytes > self.limit and self._drop_one():
            pass
        # Under block the publisher waits after each batch, however large that was.
        return policy == "block" or self.bytes <= self.limit * (1 if policy == "disconnect" else 2)

    def control(self, frame: bytes) -> None:
        """Queue a control frame, which nothing drops and nothing overtakes."""
        self._queue[self._next()] = frame

    def take(self, room: int) -> list[bytes]:
        """Return the next frames, up to `room` bytes and one frame more, to be written to the connection now."""
        frames: list[bytes] = []
        while self._queue and room > 0:
            key, entry = self._queue.popitem(last=False)
            while self._old and self._old[0] <= key:
                self._old.popleft()
            taken = self._frames(key, entry)
            self._written += sum(map(len, taken))
            if isinstance(entry, _Queued):
                self._flying.append(_Flying(self._written, entry.topic, entry.rows))
            room -= len(taken[-1])
            frames += taken
        if not self._queue:
            last = self.settle()
            self._written += sum(map(len, last))
            frames += last
        return frames

    def wrote(self, size: int) -> None:
        """Take note of bytes written to the connection past the queue, none of them of a message."""
        self._written += size

    def flew(self, turn: Sequence[Outgoing], sums: Mapping[str, tuple[int, int]], size: int, unsent: int) -> None:
        """Take note of messages written to the connection past the queue; `unsent` bytes are in its buffer now."""
        if not unsent and not self._flying:
            self._written += size
            for topic, (messages, rows) in sums.items():
                self.flow(topic).sent.add(messages, rows)
            return
        for message in turn:
            self._written += len(message.frame)
            self._flying.append(_Flying(self._written, message.topic, message.rows))
        self.landed(unsent)

    def landed(self, unsent: int) -> None:
        """Count as sent what the kernel has: all that was written but the last ``unsent`` bytes."""
        while self._flying and self._flying[0].end <= self._written - unsent:
            message = self._flying.popleft()
            self.flow(message.topic).sent.add(1, message.rows)

    def crashed(self) -> None:
        """Count as dropped what is in the connection's buffer: the connection is gone."""
        while self._flying:
            message = self._flying.popleft()
            self.flow(message.topic).dropped.add(1, message.rows)

    def forget(self, policy_now: Callable[[str], str | None]) -> None:
        """Drop what is queued of topics whose policy is another one now, and queue the gaps that stand for it."""
        stale = {entry.topic for entry in self._entries() if entry.policy != policy_now(entry.topic)}
        for key, entry in list(self._queue.items()):
            if isinstance(entry, _Queued) and entry.topic in stale:
                self._drop(key)
        over = [topic for topic in self._losses if topic in stale or policy_now(topic) is None]
        for frame in self._settle(over):
            self.control(frame)

    def clear(self) -> None:
        """Drop everything that is queued."""
        for key in list(self._queue):
            if isinstance(self._queue[key], _Queued):
                self._drop(key)
        self._queue.clear()

    def settle(self) -> list[bytes]:
        """Return the frames of all gaps that have not been told yet."""
        return self._settle(list(self._losses))

    def accounts(self) -> dict[str, Flow]:
        """Return a copy of the account of every topic, with what is held counted from the queue and the buffer."""
        copies = {topic: flow.copy() for topic, flow in self.flows.items()}
        for entry in self._entries():
            copies.setdefault(entry.topic, Flow()).held.add(1, entry.rows)
        for message in self._flying:
            copies.setdefault(message.topic, Flow()).flying.add(1, message.rows)
        return copies

    def _entries(self) -> Iterable[_Queued]:
        return (entry for entry in self._queue.values() if isinstance(entry, _Queued))

    def _next(self) -> int:
        self._pushed += 1
        return self._pushed

    def _append(self, entry: _Queued) -> None:
        key = self._next()
        self._queue[key] = entry
        if entry.policy == "latest":
            self._latest[entry.topic] = key
        elif entry.policy == "drop_oldest":
            self._old.append(key)

    def _replace(self, key: int, entry: _Queued) -> None:
        # In its predecessor's place: at the end a topic faster than the queue would never get its turn.
        old = self._queue[key]
        self._queue[key] = entry
        assert isinstance(old, _Queued)
        self._lose(old)

    def _drop_one(self) -> bool:
        while self._old:
            key = self._old.popleft()
            if key in self._queue:
                self._drop(key)
                return True
        for key in self._latest.values():
            self._drop(key)
            return True
        return False

    def _drop(self, key: int) -> None:
        entry = self._queue.pop(key)
        assert isinstance(entry, _Queued)
        if self._latest.get(entry.topic) == key:
            del self._latest[entry.topic]
        self._lose(entry)

    def _lose(self, entry: _Queued) -> None:
        self.bytes -= len(entry.frame)
        self.flow(entry.topic).dropped.add(1, entry.rows)
        if entry.topic not in self._losses:
            self._losses[entry.topic] = _Loss(entry)
        self._losses[entry.topic].add(entry)

    def _frames(self, key: int, entry: _Queued | bytes) -> list[bytes]:
        if isinstance(entry, bytes):
            return [entry]
        if self._latest.get(entry.topic) == key:
            del self._latest[entry.topic]
        self.bytes -= len(entry.frame)
        return [*self._settle([entry.topic]), entry.frame]

    def _settle(self, topics: Iterable[str]) -> list[bytes]:
        losses = [self._losses.pop(topic) for topic in topics if topic in self._losses]
        self.gaps += len(losses)
        return [loss.frame for loss in losses]
