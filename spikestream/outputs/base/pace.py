"""A pace: so much a second, and some more after a quiet time."""

from __future__ import annotations


class Pace:
    """Something that fills up at ``per_second`` to at most ``burst``, and is spent; times are in s of any one clock."""

    __slots__ = ("_at", "_left", "burst", "per_second")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self.per_second = per_second
        self.burst = burst
        self._left = burst
        self._at = now

    def spend(self, cost: float, now: float) -> bool:
        """Take ``cost`` where something is left, which may then owe a part of it; return whether there was."""
        self._left = min(self.burst, self._left + (now - self._at) * self.per_second)
        self._at = now
        if self._left <= 0:
            return False
        self._left -= cost
        return True

    def refund(self, cost: float) -> None:
        """Give back what was taken for nothing."""
        self._left = min(self.burst, self._left + cost)
