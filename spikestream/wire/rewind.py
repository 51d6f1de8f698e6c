"""Where a subscription begins that asks for what was published before, and the way from there into the present.

Law: of every topic it covers, what `pull` returns goes on without a hole that it does not name, and without a double,
however much is published and let go meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from spikestream.wire.past import Past, Stored
from spikestream.wire.terms import Since


@dataclass(frozen=True, slots=True)
class Start:
    """Where a subscription begins, by topic: ``first`` is the first number that can be had, ``due`` the one asked for.

    ``recovered`` says that nothing is missing before ``first``; what is between the two is told as lost, for ``why``.
    """

    due: Mapping[str, int]
    first: Mapping[str, int]
    recovered: bool
    why: str = "log"


def begin(since: Since, epoch: str, numbers: Mapping[str, int], past: Past | None) -> Start:
    """Return where a subscription begins; ``numbers`` has the next number of every topic it is for."""
    kept = {topic: at for topic in numbers if past and (at := past.first(topic)) is not None}
    oldest = {topic: min(kept.get(topic, number), number) for topic, number in numbers.items()}
    if since is None or since == "now":
        return Start(numbers, numbers, True)
    if isinstance(since, Mapping) and "t_ns" in since:
        found = {topic: _at(since["t_ns"], topic, numbers, past) for topic in numbers}
        whole = all(oldest[topic] == 0 or found[topic][1] for topic in numbers)
        starts = {topic: at for topic, (at, _) in found.items()}
        return Start(starts, starts, whole)
    same = since == "all" or (isinstance(since, Mapping) and since["epoch"] == epoch)
    asked = {topic: _asked(since, topic) if same else 0 for topic in numbers}
    # A number nobody has published yet is not of this count, whatever the epoch says: what comes is all there is.
    ahead = [topic for topic in numbers if asked[topic] > numbers[topic]]
    due = {topic: min(asked[topic], number) for topic, number in numbers.items()}
    first = {topic: max(due[topic], oldest[topic]) for topic in numbers}
    return Start(due, first, same and not ahead and first == due, "log" if same else "reconnect")


def _asked(since: Any, topic: str) -> int:
    seq = 0 if since == "all" else since["seq"]
    return int(seq.get(topic, 0) if isinstance(seq, Mapping) else seq)


def _at(t_ns: int, topic: str, numbers: Mapping[str, int], past: Past | None) -> tuple[int, bool]:
    """Return the first number published at a time or later, and whether an older one is kept: none is missing then."""
    if past is None or (first := past.first(topic)) is None:
        return numbers[topic], False
    found = next(past.read(lambda one: first if one == topic else None, t_ns), None)
    at = found.seq if found is not None else numbers[topic]
    return at, at > first


class Step(NamedTuple):
    """The next message, and the number of its topic that was due: the numbers between them are lost."""

    due: int
    message: Stored


class Rewind:
    """The way of one subscription from where it begins to what is newest; ``next`` has the number due by topic."""

    def __init__(self, past: Past, start: Start) -> None:
        self.next = dict(start.due)
        self.first = dict(start.first)
        self.why = start.why
        self._past = past
        self._steps: Iterator[Stored] | None = None
        self._lost: set[str] = set()

    def cover(self, topic: str, seq: int) -> bool:
        """Take on a topic that begins now with a number, and return whether it can be had from here."""
        if topic not in self.next and self._past.first(topic) is not None:
            self.next[topic] = self.first[topic] = seq
            self._steps = None
        return topic in self.next

    def leave(self, topic: str) -> int | None:
        """Cover a topic no more, and return the number that was due."""
        self._steps = None
        return self.next.pop(topic, None)

    def pull(self) -> Step | None:
        """Return the next message that is kept, None where everything is read; it may be asked again later."""
        begun = False
        while True:
            if self._steps is None:
                if begun:
                    return None
                begun, self._steps = True, self._past.read(self.next.get)
            message = next(self._steps, None)
            if message is None:
                self._steps = None
                continue
            due = self.next[message.topic]
            if message.seq > due and message.topic not in self._lost:
                # One past may have let it go, and another have it still.
                self._lost.add(message.topic)
                self._steps, begun = None, False
            elif message.seq >= due:
                self._lost.discard(message.topic)
                self.next[message.topic] = message.seq + 1
                return Step(due, message)
