"""What one subscriber gets whose subscriptions have terms: history first, no more than it gives credit for, thinned.

Messages in, frames to be written out; no socket and no clock. The law of `Backlog` holds for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from spikestream.wire.backlog import Backlog
from spikestream.wire.flows import Flow, Tally
from spikestream.wire.losses import Loss, Losses
from spikestream.wire.outgoing import Outgoing
from spikestream.wire.past import Past, Stored
from spikestream.wire.rewind import Rewind, begin
from spikestream.wire.ring import Shelf
from spikestream.wire.server import Ack, ServerSession, Sub, Unsub
from spikestream.wire.thinning import Thinner

STEPS = 256
"""So many old messages are looked at before somebody else has a turn, whatever is left of them."""

Numbers = Callable[[], Mapping[str, int]]
Published = Callable[[], Mapping[str, Tally]]
"""The next number, and what was published so far, by topic, as the publisher has it."""


class _Way:
    """A subscription on its way to what is newest, and what is known of the messages it has not read yet."""

    def __init__(self, rewind: Rewind, numbers: Mapping[str, int], published: Mapping[str, Tally]) -> None:
        self.rewind = rewind
        self._since = {topic: (numbers[topic], _copy(published.get(topic))) for topic in rewind.next}

    @property
    def topics(self) -> Collection[str]:
        """Return what it is or was about."""
        return self._since.keys()

    def cover(self, topic: str, seq: int, published: Tally) -> bool:
        """Take on a topic that belongs to it from a number on, with what was published before; see `Rewind.cover`."""
        covered = self.rewind.cover(topic, seq)
        if covered:
            self._since.setdefault(topic, (seq, _copy(published)))
        return covered

    def read(self, topic: str, seq: int, rows: int) -> bool:
        """Take note of a message read, and return whether it was published before the subscription was made."""
        number, before = self._since[topic]
        if seq >= number:
            before.add(1, rows)
        return seq < number

    def past(self, loss: Loss) -> int:
        """Return how many of the messages lost were published before the subscription was made."""
        return max(0, min(loss.stop, self._since[loss.topic][0]) - loss.start)

    def rest(self, topic: str, published: Tally) -> Tally:
        """Return what was published since and has not been read."""
        before = self._since[topic][1]
        return Tally(published.messages - before.messages, published.rows - before.rows)


class Feed:
    """The subscriptions of one connection that ask for more than topics; `torn` is where one may lose nothing and has.

    ``past``, ``numbers`` and ``published`` are those of the publisher, ``epoch`` that of its numbers.
    """

    def __init__(
        self,
        session: ServerSession,
        backlog: Backlog,
        epoch: str,
        numbers: Numbers,
        published: Published,
        past: Past | None = None,
    ) -> None:
        self.torn = False
        self._session = session
        self._backlog = backlog
        self._epoch = epoch
        self._numbers = numbers
        self._published = published
        self._past: Past = past if past is not None else Shelf(())
        self._ways: dict[int, _Way] = {}
        self._thinners: dict[int, Thinner] = {}
        self._skipped = Losses()
        self._earlier: dict[str, Tally] = {}

    @property
    def plain(self) -> bool:
        """Return whether there is nothing to it: every message may be written as it comes."""
        return not (self._ways or self._skipped) and self._session.interest.plain

    @property
    def behind(self) -> int:
        """Return how many messages are still to be read from the past."""
        numbers = self._numbers() if self._ways else {}
        return sum(numbers[topic] - at for way in self._ways.values() for topic, at in way.rewind.next.items())

    @property
    def rewinding(self) -> bool:
        """Return whether old messages are still to be read."""
        return bool(self._ways)

    @property
    def ready(self) -> bool:
        """Return whether `more` may have something now."""
        return self._backlog.ready or any(self._backlog.idle(self._lane(number)) for number in self._ways)

    def subscribe(self, sub: Sub) -> None:
        """Begin a subscription that the session has taken, and answer it where it asked for a beginning."""
        if sub.terms.credit:
            self._backlog.open(self._lane(sub.id), sub.terms.credit)
        if sub.terms.thins:
            self._thinners[sub.id] = Thinner(sub.terms)
        if sub.terms.since is None:
            return
        owner = self._session.interest.owner
        numbers = {topic: number for topic, number in self._numbers().items() if owner(topic) == sub.id}
        start = begin(sub.terms.since, self._epoch, numbers, self._past)
        self._session.subscribed(sub.id, start.recovered, start.first)
        if any(start.due[topic] < number for topic, number in numbers.items()):
            way = self._ways[sub.id] = _Way(Rewind(self._past, start), numbers, self._published())
            for topic in [topic for topic in numbers if self._past.first(topic) is None]:
                self._hole(sub.id, way, topic, start.due[topic], numbers[topic])
                way.rewind.leave(topic)

    def unsubscribe(self, unsub: Unsub) -> None:
        """End a subscription that the session has let go; what it did not get is told before the answer."""
        interest, numbers, published = self._session.interest, self._numbers(), self._published()
        self._backlog.forget(lambda topic: self._queue(interest.owner(topic)))
        self._abandon(unsub.id)
        self._thinners.pop(unsub.id, None)
        over = [topic for topic in self._skipped.topics() if interest.owner(topic) not in self._thinners]
        for frame in self._tell(over):
            self._backlog.control(frame)
        self._backlog.shut(_lane(unsub.id))
        for number, way in self._ways.items():
            for topic in numbers:
                if interest.owner(topic) == number:
                    way.cover(topic, numbers[topic], published.get(topic, Tally()))

    def acknowledge(self, ack: Ack) -> None:
        """Give credit back; raises `ClientError`, the session's end, where that is more than was used."""
        left = self._backlog.credit[_lane(ack.id)]
        if ack.n > self._session.interest.terms(ack.id).credit - left:
            raise self._session.fail("value", f"ack of {ack.n:,} messages, more than are under way")
        self._backlog.credit[_lane(ack.id)] = left + ack.n

    def offer(self, turn: Sequence[Outgoing], room: int) -> tuple[list[bytes], bool]:
        """Return what is to be written of the messages just published, as far as there is room, and queue the rest.

        And whether that is lawful: not where too much is queued that may not be dropped.
        """
        frames: list[bytes] = []
        policies = set()
        for message in turn:
            number = self._session.interest.owner(message.topic)
            if number is None:
                continue
            way = self._ways.get(number)
            if way is not None and way.cover(message.topic, message.seq, Tally()):
                continue
            policies.add(self._push(number, message))
            taken = self._backlog.take(room)
            room -= sum(map(len, taken))
            frames += taken
        return frames, self._backlog.trim(policies)

    def more(self, room: int) -> list[bytes]:
        """Return what is to be written next, of the queue and of the past: up to `room` bytes and a frame more."""
        frames = self._backlog.take(room)
        room -= sum(map(len, frames))
        steps = STEPS
        for number, way in tuple(self._ways.items()):
            while steps and room > 0 and self._backlog.idle(self._lane(number)):
                steps -= 1
                step = way.rewind.pull()
                if step is None:
                    frames += self._caught_up(number, way)
                    break
                topic, seq = step.message.topic, step.message.seq
                self._hole(number, way, topic, step.due, seq)
                if way.read(topic, seq, step.message.rows):
                    self._earlier.setdefault(topic, Tally()).add(1, step.message.rows)
                self._push(number, step.message)
                taken = self._backlog.take(room)
                room -= sum(map(len, taken))
                frames += taken
        return frames

    def end(self) -> list[bytes]:
        """Give up what is queued and was not read, and return the gaps that stand for it."""
        self._backlog.clear()
        for number in tuple(self._ways):
            self._abandon(number)
        return [*self._backlog.settle(), *self._tell(self._skipped.topics())]

    def account(self, flows: dict[str, Flow]) -> None:
        """Add what was and is to be read from the past to an account, topic by topic."""
        for topic, earlier in self._earlier.items():
            flows.setdefault(topic, Flow()).due.add(earlier.messages, earlier.rows)
        published = self._published() if self._ways else {}
        for way in self._ways.values():
            for topic in way.rewind.next:
                rest = way.rest(topic, published.get(topic, Tally()))
                flows.setdefault(topic, Flow()).held.add(rest.messages, rest.rows)

    def _lane(self, number: int) -> int:
        return _lane(number) if self._session.interest.terms(number).credit else 0

    def _queue(self, number: int | None) -> tuple[str, int] | None:
        """Return policy and lane of a subscription, None of none."""
        return None if number is None else (self._session.interest.terms(number).policy, self._lane(number))

    def _push(self, number: int, message: Outgoing | Stored) -> str:
        """Queue what a subscription's terms leave of a message, and return its policy."""
        policy, topic, thinner = self._session.interest.terms(number).policy, message.topic, self._thinners.get(number)
        if thinner is not None:
            left = thinner(message)
            missing = message.rows - (left.rows if left is not None else 0)
            self._backlog.flow(topic).left_out.add(left is None, missing)
            if left is None:
                self._skipped.add(Loss(topic, message.seq, message.seq + 1, message.rows, "rate"))
                return policy
            message = Stored(topic, message.seq, message.t_ns, left.rows, left.frame)
        self._backlog.add(message, policy, self._lane(number), self._skipped.pop(topic))
        return policy

    def _hole(self, number: int, way: _Way, topic: str, due: int, stop: int) -> None:
        """Take note that the messages ``[due, stop)`` of a topic are kept no more."""
        first = min(max(way.rewind.first.get(topic, due), due), stop)
        for start, end, why in ((due, first, way.rewind.why), (first, stop, "log")):
            if start < end:
                self._lost(way, Loss(topic, start, end, None, why))
        if first < stop and self._session.interest.terms(number).policy == "disconnect":
            self.torn = True

    def _lost(self, way: _Way, loss: Loss) -> None:
        self._skipped.add(loss)
        earlier = way.past(loss)
        self._earlier.setdefault(loss.topic, Tally()).add(earlier, 0)
        self._backlog.flow(loss.topic).dropped.add(earlier, 0)

    def _caught_up(self, number: int, way: _Way) -> list[bytes]:
        """Go over to what comes; what nobody has kept between the last message and now is lost."""
        numbers, published = self._numbers(), self._published()
        for topic, due in way.rewind.next.items():
            self._hole(number, way, topic, due, numbers[topic])
            rest = way.rest(topic, published.get(topic, Tally()))
            self._backlog.flow(topic).dropped.add(rest.messages, rest.rows)
        del self._ways[number]
        frames = self._tell(topic for topic in self._skipped.topics() if topic in way.topics)
        self._backlog.wrote(sum(map(len, frames)))
        return frames

    def _abandon(self, number: int) -> None:
        """End the way of a subscription where it is."""
        way = self._ways.pop(number, None)
        if way is None:
            return
        numbers, published = self._numbers(), self._published()
        for topic, due in way.rewind.next.items():
            if due < numbers[topic]:
                self._lost(way, Loss(topic, due, numbers[topic], None, "slow"))
            rest = way.rest(topic, published.get(topic, Tally()))
            self._backlog.flow(topic).dropped.add(rest.messages, rest.rows)

    def _tell(self, topics: Iterable[str]) -> list[bytes]:
        losses = [loss for topic in tuple(topics) for loss in self._skipped.pop(topic)]
        self._backlog.gaps += len(losses)
        return [self._backlog.wrap(loss.frame) for loss in losses]


def _lane(number: int) -> int:
    """Return the lane of a subscription that gives credit; lane 0 is that of all others."""
    return number + 1


def _copy(tally: Tally | None) -> Tally:
    return Tally(tally.messages, tally.rows) if tally is not None else Tally()
