"""Whether two streams of events are the same, and where they part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from spikestream.batch import Array

NAMES = "txyp"


def difference(given: Iterable[Array], got: Iterable[Array]) -> str:
    """Return what is first not the same in two streams of arrays (n,) EVENT, however they are cut; "" for nothing.

    Memory: one array of each.
    """
    number = 0
    ours, theirs = _Pieces(given), _Pieces(got)
    while n := min(ours.there(), theirs.there()):
        one, other = ours.take(n), theirs.take(n)
        differs = np.zeros(n, bool)
        for name in NAMES:
            differs |= one[name] != other[name]
        if differs.any():
            i = int(differs.argmax())
            return f"event {number + i:,}: given {_shown(one[i])}, read {_shown(other[i])}"
        number += n
    if ours.there():
        return f"event {number:,} and all behind it are missing"
    return f"event {number:,} was not given: read {_shown(theirs.take(1)[0])}" if theirs.there() else ""


class _Pieces:
    def __init__(self, arrays: Iterable[Array]) -> None:
        self._arrays: Iterator[Array] = iter(arrays)
        self._rest: Array = np.empty(0)

    def there(self) -> int:
        """Return how many events are at hand, 0 at the end only."""
        while not len(self._rest) and (more := next(self._arrays, None)) is not None:
            self._rest = more
        return len(self._rest)

    def take(self, n: int) -> Array:
        taken, self._rest = self._rest[:n], self._rest[n:]
        return taken


def _shown(event: Array) -> str:
    t, x, y, p = event.tolist()
    return f"t {t}, x {x}, y {y}, {'ON' if p else 'OFF'}"
