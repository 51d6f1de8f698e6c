"""AEDAT 4: DV's event structs of 16 bytes (i64 t, i16 x, i16 y, u8 polarity, 3 bytes of padding) to packed events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.packed import STEP_US

STRUCT = np.dtype({"names": ["t", "xy", "p"], "formats": ["<i8", "<u4", "u1"], "offsets": [0, 8, 12], "itemsize": 16})
"""One event as stored; x and y are signed in the format but never negative in a good file."""
WIDTH = STRUCT.itemsize
ABOVE = 1 << 15 | 1 << 31
"""The signs of x and y."""


@njit(cache=True, nogil=True)
def decode(stored: NDArray[Any], width: int, height: int, at: int, tidy: bool, events: NDArray[Any]) -> bool:
    """Copy ``stored`` (n,) STRUCT into ``events`` PACKED from ``at`` on; return whether those up to there are tidy.

    See `spikestream.kernels.packed`; ``tidy``: whether those before ``at`` are.
    """
    return _copied(stored, 0, 1, len(stored), width, height, at, tidy, events)


@njit(cache=True, nogil=True)
def alike(
    words: NDArray[np.uint32],
    stored: NDArray[Any],
    at: int,
    end: int,
    stream: int,
    head: NDArray[np.uint32],
    size: tuple[int, int],
    filled: int,
    tidy: bool,
    events: NDArray[Any],
) -> tuple[int, int, int, bool, int]:
    """Copy the events of the plain packets from byte ``at`` on, as long as each is whole, has room and looks alike.

    ``words`` uint32 and ``stored`` STRUCT have an element at every byte; packets end before ``end``. Alike are those of
    ``stream`` whose buffers begin with ``head``, the vector's length behind it; ``events`` PACKED has ``filled`` ones.
    Returns the next packet's byte, how many packets there were, how many events there are now, whether they are tidy,
    and how many events there is no room for in the next, if that is why it stopped.
    """
    packets, before, wanting = 0, 16 + 4 * len(head), 0
    while at + before <= end:
        packet_bytes: Any = np.int64(words[at + 4])
        n: Any = np.int64(words[at + before - 4])
        if at + 8 + packet_bytes > end:
            break
        same = 0 <= 8 + packet_bytes - before - WIDTH * n < WIDTH  # whole, and with nothing of note behind it
        same &= words[at] == stream and np.int64(words[at + 8]) + 4 == packet_bytes
        for i in range(len(head)):
            same &= words[at + 12 + 4 * i] == head[i]
        if not same:
            break
        if filled + n > len(events):
            wanting = n
            break
        tidy = _copied(stored, at + before, WIDTH, n, size[0], size[1], filled, tidy, events)
        filled += n
        packets += 1
        at += 8 + packet_bytes
    return at, packets, filled, tidy, wanting


@njit(cache=True, nogil=True)
def _copied(
    stored: NDArray[Any],
    first: int,
    step: int,
    count: int,
    width: int,
    height: int,
    at: int,
    tidy: bool,
    events: NDArray[Any],
) -> bool:
    """Copy every ``step``-th of ``stored``, ``count`` of them from ``first`` on; see `decode`."""
    n, place = np.uint64(at), np.uint64(first)
    last = events[at - 1]["t"] if at else stored[first]["t"] if count else 0
    # Both coordinates at once: each, taken from the largest, leaves the bit above it as it is, unless it is larger.
    largest = np.uint32(((width - 1) | (height - 1) << 16 | ABOVE) & 0xFFFFFFFF)
    farthest, inside = np.uint64(0), np.uint32(ABOVE)
    for _ in range(count):
        one, event = stored[place], events[n]
        t, xy = one["t"], one["xy"]
        farthest = max(farthest, np.uint64(t - last))  # of a step back, too
        inside &= (largest - xy) & ~xy
        last = t
        event["t"] = t
        event["xy"] = xy
        event["p"] = one["p"] != 0
        n += np.uint64(1)
        place += np.uint64(step)
    return bool(tidy and farthest <= np.uint64(STEP_US) and inside == np.uint32(ABOVE))
