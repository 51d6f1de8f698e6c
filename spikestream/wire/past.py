"""What was published before: the interface under which a ring in memory and a log on disk are read alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol


class Stored(NamedTuple):
    """One published message as it is kept; ``frame`` is what went out, byte for byte, its length in front.

    ``t_ns`` is when it was published (unix ns), ``rows`` the events, spikes or decisions in it.
    """

    topic: str
    seq: int
    t_ns: int
    rows: int
    frame: bytes


class Past(Protocol):
    """Messages kept after they were published: of each topic a run of numbers without holes, up to the newest.

    All calls come from the loop's own thread, between two publications. What `read` returns may be stepped through
    slowly, while more is published and the oldest is let go: it goes on with what is kept by then, yields what was
    published meanwhile too, and ends where nothing newer is kept. A step must not take long: the loop waits for it.
    """

    def first(self, topic: str) -> int | None:
        """Return the oldest number of a topic that is still kept, None where none is."""
        ...

    def read(self, seq_of: Callable[[str], int | None], t_ns: int = 0) -> Iterator[Stored]:
        """Yield what is kept, in the order of publication, of the topics whose ``seq_of`` is not None.

        Of each only numbers from ``seq_of`` on, published at ``t_ns`` or later. ``seq_of`` is asked once a topic.
        """
        ...
