"""The queue of one subscriber that does not keep up: bounded in bytes, and exact about what it dropped.

Law: of every topic a subscriber is offered, what it gets and the gaps it gets add up to the span of sequence numbers.
So a gap always goes out before the next message of its topic, and at the latest when the queue has run empty.

The queue has lanes: lane 0 moves whenever the connection takes something, any other is one subscription's that gives
credit, and moves only as far as that reaches. Between lanes that may move, what came first goes first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from spikestream.wire.flows import Flow
from spikestream.wire.losses import Loss, Losses
from spikestream.wire.outgoing import Outgoing
from spikestream.wire.past import Stored


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
    lane: int
    lead: tuple[Loss, ...] = ()
    """What is to be told as lost before it."""


_Lane = OrderedDict[int, _Queued | bytes]


class Backlog:
    """What one subscriber has still to get, in order, and what its connection has not yet handed to the kernel.

    Over ``limit`` bytes the oldest messages under policy drop_oldest go first, then those under latest (of which there
    is one a topic). Messages under disconnect and block are never dropped. ``wrap`` makes of a frame what the
    connection carries; what is pushed, and control frames, come as it carries them.
    """

    def __init__(self, limit: int, wrap: Callable[[bytes], bytes] = bytes) -> None:
        self.limit = limit
        self.wrap = wrap
        self.bytes = 0
        self.flows: dict[str, Flow] = {}
        self.gaps = 0
        self.credit: dict[int, int] = {}
        """How many messages may still go out, of the lanes that need leave for it."""
        self._lanes: dict[int, _Lane] = {0: OrderedDict()}
        self._old: OrderedDict[int, int] = OrderedDict()
        self._latest: dict[str, tuple[int, int]] = {}
        self._losses = Losses()
        self._lane_of: dict[str, int] = {}
        self._pushed = 0
        self._written = 0
        self._flying: deque[_Flying] = deque()

    def __bool__(self) -> bool:
        return bool(self._losses) or any(self._lanes.values())

    @property
    def written(self) -> int:
        """Return how many bytes were written to the connection so far."""
        return self._written

    @property
    def dropping(self) -> bool:
        """Return whether the subscriber has lost messages it was not told of yet."""
        return bool(self._losses)

    @property
    def ready(self) -> bool:
        """Return whether `take` would return something now."""
        return self._next_lane() is not None or bool(self._over())

    def open(self, lane: int, credit: int) -> None:
        """Add a lane that may move so many messages, and more as `credit` grows."""
        self.credit[lane] = credit

    def shut(self, lane: int) -> None:
        """Take a lane away that is empty, and has no losses left that were not told."""
        self.credit.pop(lane, None)
        self._lanes.pop(lane, None)

    def idle(self, lane: int) -> bool:
        """Return whether a lane is empty and may move."""
        return not self._lanes.get(lane) and self.credit.get(lane, 1) > 0

    def flow(self, topic: str) -> Flow:
        """Return this subscriber's account of a topic."""
        if topic not in self.flows:
            self.flows[topic] = Flow()
        return self.flows[topic]

    def push(self, message: Outgoing, policy: str) -> bool:
        """Queue a message; False where the subscriber is too far behind for its policy and has to go."""
        self._enter(_Queued(message.topic, message.seq, message.rows, message.frame, policy, 0))
        return self.trim((policy,))

    def add(
        self,
        message: Outgoing | Stored,
        policy: str,
        lane: int = 0,
        lead: tuple[Loss, ...] = (),
    ) -> None:
        """Queue a message in a lane, told of as lost before it what ``lead`` has; `trim` has to follow."""
        frame = self.wrap(message.frame)
        self._enter(_Queued(message.topic, message.seq, message.rows, frame, policy, lane, lead))

    def _enter(self, entry: _Queued) -> None:
        self.bytes += len(entry.frame)
        if entry.policy == "latest" and entry.topic in self._latest:
            self._replace(*self._latest[entry.topic], entry)
        else:
            self._append(entry)

    def trim(self, policies: Iterable[str]) -> bool:
        """Drop what is too much; False where that is more than may be dropped under the policies of what was added."""
        while self.bytes > self.limit and self._drop_one():
            pass
        # Under block the publisher waits after each batch, however large that was.
        return all(
            policy == "block" or self.bytes <= self.limit * (1 if policy == "disconnect" else 2) for policy in policies
        )

    def control(self, frame: bytes) -> None:
        """Queue a control frame, which nothing drops and nothing overtakes."""
        self._lanes[0][self._next()] = frame

    def take(self, room: int) -> list[bytes]:
        """Return the next frames, up to `room` bytes and one frame more, to be written to the connection now."""
        frames: list[bytes] = []
        while room > 0 and (lane := self._next_lane()) is not None:
            key, entry = self._lanes[lane].popitem(last=False)
            self._old.pop(key, None)
            taken = self._frames(key, entry)
            self._written += sum(map(len, taken))
            if isinstance(entry, _Queued):
                self._flying.append(_Flying(self._written, entry.topic, entry.rows))
                if lane in self.credit:
                    self.credit[lane] -= 1
            room -= len(taken[-1])
            frames += taken
        if self._losses and (over := self._over()):
            last = self._settle(over)
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

    def forget(self, now: Callable[[str], tuple[str, int] | None]) -> None:
        """Drop what is queued of topics whose (policy, lane) is another one `now`, and queue the gaps for it."""
        stale = {entry.topic for entry in self._entries() if (entry.policy, entry.lane) != now(entry.topic)}
        for lane in tuple(self._lanes.values()):
            for key, entry in list(lane.items()):
                if isinstance(entry, _Queued) and entry.topic in stale:
                    self._drop(entry.lane, key)
        over = [topic for topic in self._losses.topics() if topic in stale or now(topic) is None]
        for frame in self._settle(over):
            self.control(frame)

    def clear(self) -> None:
        """Drop everything that is queued."""
        for lane in self._lanes.values():
            for key in list(lane):
                entry = lane[key]
                if isinstance(entry, _Queued):
                    self._drop(entry.lane, key)
            lane.clear()

    def settle(self) -> list[bytes]:
        """Return the frames of all gaps that have not been told yet."""
        return self._settle(self._losses.topics())

    def accounts(self) -> dict[str, Flow]:
        """Return a copy of the account of every topic, with what is held counted from the queue and the buffer."""
        copies = {topic: flow.copy() for topic, flow in self.flows.items()}
        for entry in self._entries():
            copies.setdefault(entry.topic, Flow()).held.add(1, entry.rows)
        for message in self._flying:
            copies.setdefault(message.topic, Flow()).flying.add(1, message.rows)
        return copies

    def _entries(self) -> Iterable[_Queued]:
        return (entry for lane in self._lanes.values() for entry in lane.values() if isinstance(entry, _Queued))

    def _next(self) -> int:
        self._pushed += 1
        return self._pushed

    def _next_lane(self) -> int | None:
        """Return the lane whose turn it is, None where nothing may move."""
        if len(self._lanes) == 1:
            return 0 if self._lanes[0] else None
        heads = [(next(iter(queue)), lane) for lane, queue in self._lanes.items() if queue and self.credit.get(lane, 1)]
        return min(heads)[1] if heads else None

    def _over(self) -> list[str]:
        """Return the topics with losses and nothing more in the queue before which they would be told."""
        return [topic for topic in self._losses.topics() if not self._lanes.get(self._lane_of[topic])]

    def _append(self, entry: _Queued) -> None:
        key = self._next()
        self._lanes.setdefault(entry.lane, OrderedDict())[key] = entry
        if entry.policy == "latest":
            self._latest[entry.topic] = entry.lane, key
        elif entry.policy == "drop_oldest":
            self._old[key] = entry.lane

    def _replace(self, lane: int, key: int, entry: _Queued) -> None:
        # In its predecessor's place: at the end a topic faster than the queue would never get its turn.
        old = self._lanes[lane][key]
        self._lanes[lane][key] = entry
        assert isinstance(old, _Queued)
        self._lose(old)

    def _drop_one(self) -> bool:
        if self._old:
            key, lane = next(iter(self._old.items()))
            self._drop(lane, key)
            return True
        for lane, key in self._latest.values():
            self._drop(lane, key)
            return True
        return False

    def _drop(self, lane: int, key: int) -> None:
        entry = self._lanes[lane].pop(key)
        assert isinstance(entry, _Queued)
        self._old.pop(key, None)
        if self._latest.get(entry.topic) == (lane, key):
            del self._latest[entry.topic]
        self._lose(entry)

    def _lose(self, entry: _Queued) -> None:
        self.bytes -= len(entry.frame)
        self.flow(entry.topic).dropped.add(1, entry.rows)
        for loss in (*entry.lead, Loss(entry.topic, entry.seq, entry.seq + 1, entry.rows, "slow")):
            self._losses.add(loss)
        self._lane_of[entry.topic] = entry.lane

    def _frames(self, key: int, entry: _Queued | bytes) -> list[bytes]:
        if isinstance(entry, bytes):
            return [entry]
        if self._latest.get(entry.topic) == (entry.lane, key):
            del self._latest[entry.topic]
        self.bytes -= len(entry.frame)
        self.gaps += len(entry.lead)
        return [*self._settle([entry.topic]), *(self.wrap(loss.frame) for loss in entry.lead), entry.frame]

    def _settle(self, topics: Iterable[str]) -> list[bytes]:
        losses = [loss for topic in topics for loss in self._losses.pop(topic)]
        self.gaps += len(losses)
        return [self.wrap(loss.frame) for loss in losses]
