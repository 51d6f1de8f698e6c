"""What a subscriber asked not to get: messages above a rate, bytes above a rate, all but every nth row.

The rates are of the time of publication that each message carries, so a replay is thinned as the live stream was, and
nothing here looks at a clock. Of a decimated topic row i is kept where i is a multiple of n, counted from where the
subscription begins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikestream.batch import EVENT, SPIKE
from spikestream.wire.frames import FROM_SERVER, PREFIX, frame, unpack
from spikestream.wire.outgoing import Outgoing
from spikestream.wire.past import Stored
from spikestream.wire.terms import Terms

BURST_S = 0.25
"""What was not used of a rate may be used later, but no more of it than of so many seconds."""
_ROWS = {"events": EVENT, "spikes": SPIKE}


class Thinned(NamedTuple):
    """A message as a subscriber gets it: so many rows, in this frame."""

    rows: int
    frame: bytes


class _Bucket:
    """So many a second of publication time, what is not used kept for a moment; time that goes back stands still."""

    __slots__ = ("depth", "level", "rate", "t_ns")

    def __init__(self, rate: float, least: float) -> None:
        self.rate = rate
        self.depth = self.level = max(least, rate * BURST_S)
        self.t_ns: int | None = None

    def pour(self, t_ns: int) -> float:
        """Return what may be used at a time."""
        if self.t_ns is not None and t_ns > self.t_ns:
            self.level = min(self.depth, self.level + self.rate * (t_ns - self.t_ns) / 1e9)
        self.t_ns = t_ns
        return self.level


class Thinner:
    """What the terms of one subscription leave of its messages; it has a memory of each topic."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._rates: dict[str, _Bucket] = {}
        self._bytes = _Bucket(terms.max_bytes, 1) if terms.max_bytes else None
        self._seen: dict[str, int] = {}

    def __call__(self, message: Outgoing | Stored) -> Thinned | None:
        """Return what is left of a message, None for nothing."""
        skip = self._skip(message)
        rate = self._rate(message.topic)
        if rate is not None and rate.pour(message.t_ns) < 1:
            return None
        left = Thinned(message.rows, message.frame) if skip is None else _decimated(message, self._terms.decimate, skip)
        # A message larger than what is left of the bytes still passes, on credit: it would never fit otherwise.
        if self._bytes is not None and self._bytes.pour(message.t_ns) <= 0:
            return None
        if self._bytes is not None:
            self._bytes.level -= len(left.frame)
        if rate is not None:
            rate.level -= 1
        return left

    def _rate(self, topic: str) -> _Bucket | None:
        if not self._terms.max_rate:
            return None
        if topic not in self._rates:
            self._rates[topic] = _Bucket(self._terms.max_rate, 1)
        return self._rates[topic]

    def _skip(self, message: Outgoing | Stored) -> int | None:
        """Return how many rows come before the first that is kept, None where all are."""
        n = self._terms.decimate
        if n == 1 or message.topic.rpartition(".")[2] not in _ROWS:
            return None
        seen = self._seen.get(message.topic, 0)
        self._seen[message.topic] = (seen + message.rows) % n
        return -seen % n


def _decimated(message: Outgoing | Stored, n: int, skip: int) -> Thinned:
    """Return a message with every nth of its rows, the same but for ``n``, ``d`` and how many there were, ``of``."""
    fields = unpack(message.frame[PREFIX.size :], FROM_SERVER)
    rows = np.frombuffer(fields["d"], _ROWS[fields["k"]])[skip::n]
    fields |= {"n": len(rows), "d": rows.tobytes(), "of": message.rows}
    return Thinned(len(rows), frame(fields))
