"""What formats of fixed records share: whole ones out of bytes in any pieces, and stamps of 32 bits that wrap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikestream.batch import LIMIT_US, Array
from spikestream.errors import RecordingError

WRAP = 1 << 32
SIZE = "--size WIDTHxHEIGHT (?size=WIDTHxHEIGHT in a sensor's URI)"
OUTSIDE = f"{SIZE}, or --filter crop:width=…,height=…"
"""What helps where events lie outside of the size that is stored with them."""
CHUNK = 65_536
"""Records handed on at a time, which bounds what is decoded at once: an array of them still fits a core's cache."""


class Records:
    """Whole records of ``width`` bytes, called a ``noun``, out of bytes in any pieces; ``rest`` is the start of one.

    They are handed on up to ``most`` at a time.
    """

    def __init__(self, width: int, noun: str = "record", most: int = CHUNK) -> None:
        self.width = width
        self.noun = noun
        self.most = most
        self.rest = b""

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        """Yield what is whole, up to ``most`` records at a time; to be iterated to its end before more is fed."""
        if self.rest:
            missing = -len(self.rest) % self.width
            early, data = memoryview(self.rest + bytes(data[:missing])), data[missing:]
            whole = len(early) - len(early) % self.width
            self.rest = bytes(early[whole:])
            yield from self._cut(early[:whole])
            if self.rest:
                return
        whole = len(data) - len(data) % self.width
        self.rest = bytes(data[whole:])
        yield from self._cut(data[:whole])

    def _cut(self, data: memoryview) -> Iterator[memoryview]:
        step = self.most * self.width
        return (data[at : at + step] for at in range(0, len(data), step))

    def finish(self, fed: int) -> None:
        """Say that no more bytes will come after the ``fed`` ones; raises `RecordingError` where a record is cut."""
        if self.rest:
            raise RecordingError(
                f"the recording is cut inside its last {self.noun}",
                offset=fed - len(self.rest),
                expected=f"{self.width} bytes",
                found=f"{len(self.rest)}",
                remedy="the events before it are read; for the others fetch the file again",
            )


def wraps_of(stamps: Array, wrap: int, last: int, wraps: int = 0) -> Array:
    """Return how often a clock that counts modulo ``wrap`` has wrapped at each of its stamps (n,) int64.

    Behind ``last`` and so many wraps: a step back of more than half of its range is one, and one as far forward takes
    one back.
    """
    steps, half = np.diff(stamps, prepend=last), wrap // 2
    counts = wraps + np.cumsum((steps < -half).astype(np.int64) - (steps > half))
    missing: Array = np.minimum(np.minimum.accumulate(counts), 0)  # before the first one there is none to be taken back
    return counts - missing


def wrapped(wraps_us: int) -> list[str]:
    """Return a note of how often the 32 bits of the stamps have wrapped, which made so many µs; none for never."""
    times = wraps_us // WRAP
    return (
        [f"the stamps wrapped {times:,} time{'s' if times > 1 else ''}: 32 bits of µs last 71.6 minutes"]
        if times
        else []
    )


class Stamps:
    """Stamps as 32 bits count them, as far as the usual rule gives them back: that of `wraps_of`.

    What fits are a first t below 2^32 µs, then no step of more than 2^31 µs, but for one forward below 2^32 µs, and
    none of 2^31 µs across a multiple of 2^32. Raises `RecordingError` for an event, by its number, that does not fit
    ``format``.
    """

    def __init__(self, format: str) -> None:
        self.format = format
        self.written = 0
        self._last = self._wraps = 0

    def of(self, events: Array) -> Array:
        """Return the stamps (n,) int64 of the next events (n,) EVENT."""
        t = events["t"]
        stamps: Array = t & (WRAP - 1)
        wraps = wraps_of(stamps, WRAP, self._last, self._wraps)
        expected = "a first t below 2^32 µs, then steps that a 32-bit stamp keeps"
        self.refuse(
            t >> 32 != wraps, events, expected, "--t0 zero, so that t starts at 0, --time sort, or write .aedat4"
        )
        if len(t):
            self._last, self._wraps = int(stamps[-1]), int(wraps[-1])
        self.written += len(t)
        return stamps

    def refuse(self, bad: Array, events: Array, expected: str, remedy: str) -> None:
        """Raise `RecordingError` for the first event that is bad."""
        refuse(bad, events, self.written, self.format, expected, remedy)


def refuse_outside(size: tuple[int, int], events: Array, written: int, format: str, remedy: str = OUTSIDE) -> None:
    """Raise `RecordingError` for the first event (n,) EVENT outside of a size: none is stored that is too small."""
    width, height = size
    if events["x"].max(initial=0) < width and events["y"].max(initial=0) < height:
        return
    outside = (events["x"] >= width) | (events["y"] >= height)
    refuse(outside, events, written, format, f"x < {width:,}, y < {height:,}", remedy)


def refuse_beyond(events: Array, written: int, format: str, least: int = -LIMIT_US) -> None:
    """Raise `RecordingError` for the first event (n,) EVENT of before ``least`` µs, or that nobody would read again."""
    t = events["t"]
    if t.min(initial=0) >= least and t.max(initial=0) < LIMIT_US:
        return
    expected = f"{'-2^62' if least else 0} <= t < 2^62 µs"
    refuse((t < least) | (t >= LIMIT_US), events, written, format, expected, "--t0 zero, so that t starts at 0")


def check_sides(size: tuple[int, int] | None, most: int, format: str, remedy: str = SIZE) -> None:
    """Raise `RecordingError` for a known size that the format cannot say, sides being 1 to ``most``."""
    if size is not None and not all(0 < side <= most for side in size):
        raise RecordingError(
            f"{format} cannot hold a sensor of that size",
            expected=f"1..{most:,}",
            found=f"{size[0]}x{size[1]}",
            remedy=remedy,
        )


def refuse(bad: Array, events: Array, written: int, format: str, expected: str, remedy: str) -> None:
    """Raise `RecordingError` for the first of the events (n,) EVENT that is bad, so many having been written before."""
    if not bad.any():
        return
    i = int(bad.argmax())
    t, x, y, _ = events[i].tolist()
    what, found = f"event {written + i:,} does not fit {format}", f"t {t}, x {x}, y {y}"
    raise RecordingError(what, expected=expected, found=found, remedy=remedy)
