"""Topics: dotted names, and the patterns that ask for them."""

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
