"""Words learned on the spot: each is asked for in turn, and what is heard then is taught by that name.

So is anything else, as `OTHER`: who has heard only two words takes whatever comes for one of them, and is sure of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from spikestream.batch import Decision, Label, is_label
from spikestream.errors import ConfigError

SHORTEST_US = 260_000
"""A voice lasts 200 ms longer than it is heard: what is shorter than this was a click."""
MOST_WORDS, MOST_EXAMPLES = 100, 1_000
OTHER = "other"
"""The name of what is none of the words."""


class Lessons:
    """Asks ``examples`` times for each of some words and for anything else; ``tell`` shows a line to who speaks.

    Raises `ConfigError` for what are no words.
    """

    def __init__(self, words: str, examples: int, tell: Callable[[str], None]) -> None:
        self.words = [word.strip() for word in words.split(",")]
        if not all(map(is_label, self.words)) or not len(set(self.words)) == len(self.words) <= MOST_WORDS:
            allowed = f"up to {MOST_WORDS} different words, as in yes,no"
            raise ConfigError(f"'{words:.80}' are no words to be taught", key="--teach", value=words, allowed=allowed)
        if not 1 <= examples <= MOST_EXAMPLES:
            allowed = f"1 to {MOST_EXAMPLES:,}"
            raise ConfigError(f"{examples} examples", key="--examples", value=examples, allowed=allowed)
        self._examples, self._tell = examples, tell
        self._due = [*self.words, *([] if OTHER in self.words else [OTHER])] * examples
        self._asked_us = 0  # when the first of those due was asked for
        self._begun = False

    @property
    def over(self) -> bool:
        """Return whether every word was heard as often as it was to be."""
        return not self._due

    def heard(self, rows: Sequence[Decision], now: int) -> list[Label]:
        """Take the windows decided up to stream time ``now`` µs, and return what they teach, in force from then on."""
        if not self._begun:
            self._begun = True
            self._ask(now)
        made = []
        for row in rows:
            if self.over or row.start < self._asked_us:
                continue  # it began before it was asked for
            if row.stop - row.start < SHORTEST_US:
                self._tell(f"too short to be a word. say: {_said(self._due[0])}")
                continue
            made.append(Label(now, row.start, row.stop, self._due.pop(0)))
            self._ask(now)
        return made

    def _ask(self, now: int) -> None:
        self._asked_us = now
        if self.over:
            self._tell(f"learned {', '.join(self.words)}: say what you like")
            return
        word = self._due[0]
        self._tell(f"say: {_said(word)}  ({self._examples + 1 - self._due.count(word)} of {self._examples})")

    def missing(self) -> str:
        """Return which words were heard less often than they were to be, "" for none."""
        left = Counter(self._due)
        return ", ".join(f"{word} {self._examples - left[word]} of {self._examples}" for word in left)


def _said(word: str) -> str:
    return "anything else" if word == OTHER else word
