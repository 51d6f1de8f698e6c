"""Topics: dotted names, the patterns that ask for them, and what one subscriber has asked for."""

from __future__ import annotations

import re

POLICIES = ("drop_oldest", "latest", "disconnect", "block")
"""What happens to a subscriber that does not keep up; the first is the default."""

MAX_TOPIC = 255
_TOKEN = r"[A-Za-z0-9_-]+"
_TOPIC = re.compile(rf"{_TOKEN}\.{_TOKEN}\.{_TOKEN}")
_PATTERN = re.compile(rf"(?:{_TOKEN}|\*)(?:\.(?:{_TOKEN}|\*)){{0,15}}(?:\.>)?|>")


def is_topic(text: str) -> bool:
    """Return whether the text is a topic: ``<pipeline>.<stage>.<kind>`` of letters, digits, ``-`` and ``_``."""
    return len(text) <= MAX_TOPIC and _TOPIC.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """Return whether the text is a pattern: tokens, ``*`` for any one token, ``>`` at the end for the rest."""
    return len(text) <= MAX_TOPIC and _PATTERN.fullmatch(text) is not None


def matches(pattern: str, topic: str) -> bool:
    """Return whether a pattern asks for a topic; the lone ``*`` asks for everything."""
    if pattern == "*":
        return True
    wanted, tokens = pattern.split("."), topic.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))


class Interest:
    """What one subscriber has asked for; each topic is matched once, and remembered until the next change."""

    def __init__(self) -> None:
        self._subs: dict[int, tuple[tuple[str, ...], str]] = {}
        self._known: dict[str, str | None] = {}

    def __len__(self) -> int:
        return len(self._subs)

    def __contains__(self, number: int) -> bool:
        return number in self._subs

    @property
    def blocks(self) -> bool:
        """Return whether the publisher is asked to wait for this subscriber."""
        return any(policy == "block" for _, policy in self._subs.values())

    @property
    def key(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        """Return a value that is equal for subscribers who asked for the same things in the same order."""
        return tuple(self._subs.values())

    def add(self, number: int, topics: tuple[str, ...], policy: str) -> None:
        """Ask for topics under a number; where two subscriptions overlap, the older one's policy holds."""
        self._subs[number] = (topics, policy)
        self._known.clear()

    def remove(self, number: int) -> None:
        """Forget what was asked for under a number."""
        del self._subs[number]
        self._known.clear()

    def policy(self, topic: str) -> str | None:
        """Return the policy for a topic, None where nobody asked for it."""
        if topic not in self._known:
            self._known[topic] = next(
                (policy for topics, policy in self._subs.values() if any(matches(p, topic) for p in topics)), None
            )
        return self._known[topic]
