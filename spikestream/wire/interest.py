"""What one subscriber has asked for: its subscriptions, and which of them a topic belongs to."""

from __future__ import annotations

from spikestream.wire.terms import Terms
from spikestream.wire.topics import matches


class Interest:
    """What one subscriber has asked for; each topic is matched once, and remembered until the next change."""

    def __init__(self) -> None:
        self._subs: dict[int, tuple[tuple[str, ...], Terms]] = {}
        self._known: dict[str, int | None] = {}

    def __len__(self) -> int:
        return len(self._subs)

    def __contains__(self, number: int) -> bool:
        return number in self._subs

    @property
    def patterns(self) -> int:
        """Return how many patterns there are in all that was asked for."""
        return sum(len(topics) for topics, _ in self._subs.values())

    @property
    def blocks(self) -> bool:
        """Return whether the publisher is asked to wait for this subscriber."""
        return any(terms.policy == "block" for _, terms in self._subs.values())

    @property
    def plain(self) -> bool:
        """Return whether all it asks for are topics and policies."""
        return all(terms.plain for _, terms in self._subs.values())

    @property
    def key(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        """Return a value that is equal for subscribers who asked for the same topics under the same policies."""
        return tuple((topics, terms.policy) for topics, terms in self._subs.values())

    def add(self, number: int, topics: tuple[str, ...], terms: Terms) -> None:
        """Ask for topics under a number; where two subscriptions overlap, the terms of the older one hold."""
        self._subs[number] = (topics, terms)
        self._known.clear()

    def remove(self, number: int) -> None:
        """Forget what was asked for under a number."""
        del self._subs[number]
        self._known.clear()

    def terms(self, number: int) -> Terms:
        """Return the terms of a subscription."""
        return self._subs[number][1]

    def owner(self, topic: str) -> int | None:
        """Return the number of the subscription that a topic belongs to, None where nobody asked for it."""
        if topic not in self._known:
            owners = (number for number, (topics, _) in self._subs.items() if any(matches(p, topic) for p in topics))
            self._known[topic] = next(owners, None)
        return self._known[topic]

    def policy(self, topic: str) -> str | None:
        """Return the policy for a topic, None where nobody asked for it."""
        number = self.owner(topic)
        return None if number is None else self._subs[number][1].policy
