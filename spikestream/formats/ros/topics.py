"""Which of a recording's topics is read: the one that holds events, or the one that is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty
from spikestream.formats.ros.messages import Messages, is_events

OPTIONS = {"topic": "the topic to read, where several hold events"}
SHOWN = 8
MOST, LONGEST = 4_096, 256
"""Topics of one recording, and letters of their names and types."""


class Topics:
    """The topics of one recording, by the number it gives to each, and the messages of the one that is read."""

    def __init__(self, topic: str | None, size: tuple[int, int] | None) -> None:
        self.asked = topic
        self.messages = Messages(size)
        self.others = 0
        """Messages of other topics so far."""
        self._kinds: dict[str, str] = {}
        self._read: dict[int, bool] = {}
        self._cdr = False

    def add(self, number: int, topic: str, kind: str, encoding: str) -> None:
        """Take note of a topic, its type of message, and what they are serialised as, ``ros1`` or ``cdr``.

        Raises `RecordingError` where it is a second one of events and none was asked for.
        """
        if max(len(topic), len(kind)) > LONGEST or max(len(self._kinds), len(self._read)) >= MOST:
            expected = f"at most {MOST:,}, with names of at most {LONGEST} letters"
            raise RecordingError("the recording names too many topics, or too long ones", expected=expected)
        self._kinds[topic] = kind
        wanted = is_events(kind) and self.asked in (None, topic)
        there = sorted(name for name, one in self._kinds.items() if is_events(one))
        if wanted and len(there) > 1 and self.asked is None:
            raise RecordingError(
                "several topics hold events, and one has to be chosen",
                details=[f"{name}: {self._kinds[name]}" for name in there[:SHOWN]],
                remedy=f"--option topic={there[0]}",
            )
        if wanted and encoding not in ("ros1", "cdr"):
            what = f"the messages of {topic} are in '{encoding[:32]}'"
            raise RecordingError(what, expected="ros1 or cdr")
        self._read[number] = wanted
        self._cdr = encoding == "cdr" if wanted else self._cdr

    def events(self, number: int, data: memoryview, empty: Empty) -> Iterator[Array]:
        """Yield the events of a message; of a topic that is not read there are none."""
        if number not in self._read:
            raise RecordingError(f"a message is of topic {number}, which the recording does not name")
        if self._read[number]:
            kind = self._kinds[self.name()]
            return self.messages.events(data, kind, self._cdr, empty)
        self.others += 1
        return iter(())

    def name(self) -> str:
        """Return the topic that is read, "" where none is there."""
        there = [name for name, kind in self._kinds.items() if is_events(kind) and self.asked in (None, name)]
        return there[0] if there else ""

    def told(self) -> tuple[tuple[int, int] | None, dict[str, int], list[str]]:
        """Return the size, what was skipped, and what the reader of the events should know, as far as it is known."""
        lost, several = self.messages.lost, "s are" if self.messages.lost > 1 else " is"
        missing = [f"{lost:,} message{several} missing, as the numbers of the others tell"] if lost else []
        others = {"other message": self.others} if self.others else {}
        return self.messages.size, self.messages.counts | others, missing

    def finish(self) -> None:
        """Raise `RecordingError` where the topic asked for was not there, or none of events."""
        if self.name():
            return
        known = [f"{name}: {kind}" for name, kind in sorted(self._kinds.items())]
        more = [f"and {len(known) - SHOWN:,} more"] if len(known) > SHOWN else []
        what = f"there are no events of topic {self.asked}" if self.asked else "no topic holds events"
        raise RecordingError(what, details=[*known[:SHOWN], *more] or ["it holds no topic at all"])
