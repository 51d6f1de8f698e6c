"""What is wrong with the order and the places of events, in one pass over them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def look(events: NDArray[Any], size: tuple[int, int], limit_us: int, future_us: int, state: NDArray[np.int64]) -> int:
    """Go through ``events`` (n,) EVENT up to the first stamp outside of [-limit, limit) µs; return how many that are.

    ``size`` is (width, height) in pixels; a step of more than ``future_us`` µs is one far ahead. ``state`` (9,) int64
    holds what `spikestream.formats.base.steps` names.
    """
    width, height = size
    seen, last, top = state[0], state[1], state[2]
    if last == top and _goes_on(events, width, height, top, limit_us, future_us):
        state[0], state[1], state[2] = seen + len(events), events[-1]["t"], events[-1]["t"]
        return len(events)
    backward, future, late, outside, worst, worst_at = 0, 0, 0, 0, state[7], state[8]
    n = len(events)
    for i in range(n):
        event = events[i]
        t = event["t"]
        if t < -limit_us or t >= limit_us:
            n = i
            break
        step = t - last if seen + i else 0
        if step < 0:
            backward += 1
            if step < worst:
                worst, worst_at = step, seen + i
        elif step > future_us:
            future += 1
        last = t
        if t < top:
            late += 1
        else:
            top = t
        outside += event["x"] >= width or event["y"] >= height
    state[0], state[1], state[2], state[7], state[8] = seen + n, last, top, worst, worst_at
    state[3] += backward
    state[4] += future
    state[5] += late
    state[6] += outside
    return n


@njit(cache=True, nogil=True)
def _goes_on(events: NDArray[Any], width: int, height: int, last: int, limit_us: int, future_us: int) -> bool:
    """Return whether nothing is wrong with ``events``, which follow one at ``last`` µs: as usual, and soon told."""
    farthest, columns, rows = np.uint64(0), np.int64(0), np.int64(0)
    for i in range(len(events)):
        event = events[i]
        farthest = max(farthest, np.uint64(event["t"] - last))  # of a step back, too
        columns, rows = max(columns, np.int64(event["x"])), max(rows, np.int64(event["y"]))
        last = event["t"]
    return bool(farthest <= np.uint64(future_us) and last < limit_us and columns < width and rows < height)


@njit(cache=True, nogil=True)
def settle(events: NDArray[Any], seen: int, top: int, window_us: int, block: int, tops: NDArray[np.int64]) -> int:
    """Raise the stamps of ``events`` (n,) EVENT to the edge of the window where they are behind it; return how many.

    The edge is ``window_us`` µs before the latest stamp so far, ``top`` before the first of these, or where the latest
    stamp stood ``len(tops) - 1`` blocks of events before the one this event is in, if that is later. ``tops`` is a ring
    of the latest stamps before each block; ``seen`` events came before these.
    """
    clamped = 0
    for i in range(len(events)):
        number = (seen + i) // block
        if (seen + i) % block == 0:
            tops[number % len(tops)] = top
        edge = max(top - window_us, tops[(number + 1) % len(tops)])
        event = events[i]
        if event["t"] < edge:
            event["t"] = edge
            clamped += 1
        top = max(top, event["t"])
    return clamped
