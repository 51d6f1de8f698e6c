"""What a subscriber is due, by the publisher's figures: the upper end of its hop in the loss ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spikestream.wire import Published, Tally

__all__ = ["Due", "Published"]


class Due:
    """Adds up what was published while somebody had asked for it, and so is blind to what an output does with it."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._past: dict[str, Tally] = {}
        self._since = self._now()
        self._open = True

    def figures(self, wanted: Callable[[str], bool]) -> dict[str, Tally]:
        """Return what is due by topic, where ``wanted`` tells what has been asked for since the last change."""
        total = {topic: replace(tally) for topic, tally in self._past.items()}
        for topic, tally in self._published().items() if self._open else ():
            if wanted(topic):
                since = self._since.get(topic, Tally())
                due = total.setdefault(topic, Tally())
                due.add(tally.messages - since.messages, tally.rows - since.rows)
        return total

    def change(self, wanted: Callable[[str], bool]) -> None:
        """Close the account of what was ``wanted`` until now: something else will be from here on."""
        self._past, self._since = self.figures(wanted), self._now()

    def end(self, wanted: Callable[[str], bool]) -> None:
        """Close the account: nothing more will be due."""
        self.change(wanted)
        self._open = False

    def _now(self) -> dict[str, Tally]:
        return {topic: replace(tally) for topic, tally in self._published().items()}
