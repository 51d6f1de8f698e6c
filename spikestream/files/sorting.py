"""Late events put where they belong, in a window that is bounded in time and in events.

Law: an event comes out at its own stamp, or, where that is behind the window, at the window's edge; all of them in the
order of those stamps, equal ones as they were stored. The edge follows from the events before, never from the pieces
they came in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from spikestream.batch import Array
from spikestream.formats.base.steps import settle

WINDOW_US = 100_000
"""So much later may an event come than one with a later stamp."""
BLOCK = 1 << 16
BLOCKS = 16
"""So many blocks of events are waited for at the most, whatever their stamps: a million, in 14 MB."""
NONE = -(2**62)


class Sorter:
    """Events held back until none can come that belongs before them."""

    def __init__(self) -> None:
        self._held: deque[Array] = deque()
        self._tops = np.full(BLOCKS + 1, NONE, np.int64)  # the latest stamp before each of the last blocks

    def feed(self, events: Array, seen: int, top: int, late: bool) -> tuple[int, Iterator[Array]]:
        """Take events (n > 0,) EVENT; return how many were behind the window, and the arrays that are ready now.

        ``seen`` events came before them, the latest with stamp ``top``; ``late`` tells whether any of these steps back
        behind that or behind one of their own.
        """
        clamped = 0
        if late:
            clamped, events = self._settled(events, seen, top)
            all_ = np.concatenate([*self._held, events])
            all_ = all_[np.argsort(np.ascontiguousarray(all_["t"]), kind="stable")]
            self._held.clear()
            self._held.append(all_)
            top = int(all_["t"][-1])
        else:
            for block in range(-(-seen // BLOCK), -(-(seen + len(events)) // BLOCK)):
                at = block * BLOCK - seen
                self._tops[block % len(self._tops)] = events["t"][at - 1] if at else top
            self._held.append(events)
            top = int(events["t"][-1])
        oldest = self._tops[((seen + len(events)) // BLOCK + 1) % len(self._tops)]
        return clamped, self._ready(max(top - WINDOW_US, int(oldest)))

    def finish(self) -> Iterator[Array]:
        """Yield what is left."""
        while self._held:
            yield self._held.popleft()

    def _settled(self, events: Array, seen: int, top: int) -> tuple[int, Array]:
        events = events.copy()
        return settle(events, seen, top, WINDOW_US, BLOCK, self._tops), events

    def _ready(self, edge: int) -> Iterator[Array]:
        while self._held:
            t = self._held[0]["t"]
            if t[-1] > edge:
                ready = int(np.searchsorted(t, edge, "right"))
                if ready:
                    yield self._held[0][:ready]
                    self._held[0] = self._held[0][ready:]
                return
            yield self._held.popleft()
