"""A clock that counts modulo some power of two, undone one stamp at a time, from what a late event is."""

from __future__ import annotations

from collections.abc import Iterable


def unwrapped(stamps: Iterable[int], turn: int = 2**32) -> list[int]:
    """Return of each stamp the time, 0 or later, that is nearest to the last one's; of two as near, in its own turn."""
    times, last = [], 0
    for stamp in stamps:
        turns = range(max(last // turn - 1, 0), last // turn + 2)
        ranked = [(abs(k * turn + stamp - last), k != last // turn, k * turn + stamp) for k in turns]
        last = min(ranked)[2]
        times.append(last)
    return times
