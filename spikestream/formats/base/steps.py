"""How the events of a recording follow each other: what the room of files knows of the kernel that looks at it."""

from __future__ import annotations

from spikestream.batch import Array

STATE = ("seen", "last", "top", "backward", "future", "late", "outside", "worst", "worst_at")
"""What is known of the events so far: how many, the last and the latest stamp; steps back and far ahead, events behind
the latest stamp or outside of the size, counted; the largest step back (negative) and the event it leads to."""


def look(
    events: Array, size: tuple[int, int], limit_us: int, future_us: int, state: Array
) -> tuple[int, dict[str, int]]:
    """Go on through ``events`` (n,) EVENT; return how many stamps are legal, and what ``state`` (9,) int64 then holds.

    See `spikestream.kernels.order`, which tells what the arguments are.
    """
    from spikestream.kernels.order import look

    legal = look(events, size, limit_us, future_us, state)
    return legal, named(state)


def named(state: Array) -> dict[str, int]:
    """Return what a state holds, by name."""
    return dict(zip(STATE, state.tolist(), strict=True))


def settle(events: Array, seen: int, top: int, window_us: int, block: int, tops: Array) -> int:
    """Raise stamps of ``events`` (n,) EVENT to a window's edge; return how many, see `spikestream.kernels.order`."""
    from spikestream.kernels.order import settle

    return int(settle(events, seen, top, window_us, block, tops))


COUNTS = ("seen", "on", "first", "last", "origin", "divisor", "twins")
"""What is counted of the events: how many, how many are ON, the earliest and the latest stamp, the first one's and the
largest number that divides all the others' distances from it, and events with the stamp of the one before at their
pixel."""


def count(events: Array, pixels: Array, latest: Array, side: int, state: Array) -> None:
    """Go on counting through ``events`` (n,) EVENT; see `spikestream.kernels.tally`."""
    from spikestream.kernels.tally import count

    count(events, pixels, latest, side, state)
