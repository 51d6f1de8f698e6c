"""What a subscriber did not get and was not told of yet, topic by topic, in the order of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from spikestream.wire.frames import frame


class Loss(NamedTuple):
    """The messages ``[start, stop)`` of a topic do not come, and ``why``; ``rows`` in them, None where nobody knows."""

    topic: str
    start: int
    stop: int
    rows: int | None
    why: str

    @property
    def frame(self) -> bytes:
        """Return the frame that stands for them."""
        rows = {} if self.rows is None else {"rows": self.rows}
        head: Mapping[str, Any] = {"k": "gap", "c": self.topic, "from": self.start, "to": self.stop}
        return frame({**head, "n": self.stop - self.start, "why": self.why} | rows)


def loss_frame(topic: str, start: int, stop: int, rows: int | None, why: str = "slow") -> bytes:
    """Return the frame that stands for the messages ``[start, stop)`` of a topic, which held so many rows."""
    return Loss(topic, start, stop, rows, why).frame


class Losses:
    """Losses of several topics; of one topic those that follow each other for the same reason are one."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, list[Loss]] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, loss: Loss) -> None:
        """Take note of a loss that comes after all others of its topic."""
        losses = self._open.setdefault(loss.topic, [])
        last = losses[-1] if losses else None
        # Where the rows are not known of one, they are not known of both.
        if last is not None and (last.stop, last.why) == (loss.start, loss.why):
            rows = None if last.rows is None or loss.rows is None else last.rows + loss.rows
            losses[-1] = Loss(loss.topic, last.start, loss.stop, rows, loss.why)
        else:
            losses.append(loss)

    def pop(self, topic: str) -> tuple[Loss, ...]:
        """Return the losses of a topic, and forget them: they are about to be told."""
        return tuple(self._open.pop(topic, ()))

    def topics(self) -> tuple[str, ...]:
        """Return the topics that have any."""
        return tuple(self._open)
