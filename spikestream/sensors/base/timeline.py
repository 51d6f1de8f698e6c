"""Stream time of a live sensor whose events have stamps of a clock of its own, which goes on while nothing comes.

Sans IO: whoever calls tells what this machine's monotonic clock says. Laws:

* Stream time is the sensor's own time. Only a clock that begins anew is moved, by whole seconds, to where time is then.
* How late stamps are is told by those that were least late in the last seconds; so far, less ``slack_us``, time has
  passed where nothing comes. Where something comes it has passed up to the newest stamp, less ``hold_us``: what
  overtook each other on its way within that is put in order.
* What still comes too late is not lost but late: its stamp is raised to where time is, and counted.
* Batches end at the multiples of ``length_us``, but before a gap.
* Whatever the stamps are, an array costs work and batches in proportion to its events: where they leap, nobody lived
  through the time between, and it is a gap or they are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from spikestream.batch import EVENT, Array, Events, first_at
from spikestream.sensors.base import LONGEST_US

SECOND_US = 1_000_000
FAR_US = 60 * SECOND_US
"""A stamp so far ahead of all others is of another clock, or forged."""
BACK_US = SECOND_US
"""And so is one so far behind."""
LIMIT_US = 1 << 61
"""Stamps beyond are nobody's: years 71,000 and so on."""
LEAPS = 1_000
"""In an array with more leaps there is no time at all; so many cost a tenth of a second."""
RECENT_US = 10 * SECOND_US
"""The least delay is looked for in twice this time, within which no two clocks drift apart by what matters."""
GRID_US = 1_000
MOST = 1 << 20
"""So many events may wait for their time: then time is where they are."""

_NOTHING = np.empty(0, EVENT)


class Timeline:
    """Events of a live sensor of ``size`` in, batches out.

    ``doubts`` is how many arrays in a row have to be of another clock before it is believed that the clock begins anew;
    until then they are dropped, and so are arrays inside of which stamps leap; with 0 such an array is taken leap by
    leap. Counts of rows: ``came == given + waiting + outside + strange``, and of these ``late`` were late. ``resets``
    counts clocks that began anew.
    """

    def __init__(
        self, size: tuple[int, int], *, length_us: int, hold_us: int = 0, slack_us: int = 100_000, doubts: int = 0
    ) -> None:
        self.size = size
        self.came = self.given = self.outside = self.strange = self.late = self.resets = 0
        self._length, self._hold, self._slack, self._doubts = length_us, hold_us, slack_us, doubts
        self._shift: int | None = None
        self._now = 0  # the stop of the last batch
        self._at_least = 0
        self._top = 0  # the newest stamp
        self._waiting: list[Array] = []
        self._rows = 0  # in them
        self._odd = 0
        self._ahead: int | None = None  # by how much the newest stamps are ahead of the machine's clock, of late,
        self._before: int | None = None  # and in the time before
        self._turned_us = 0

    @property
    def waiting(self) -> int:
        """Return how many events wait for their time to pass."""
        return sum(map(len, self._waiting))

    def intake(self) -> tuple[int, dict[str, int], dict[str, int], int]:
        """Return the rows that came, those filtered and dropped, by reason, and those held: see `Counting`."""
        return self.came, {}, {"outside": self.outside, "of another time": self.strange}, self.waiting

    def stats(self) -> dict[str, int]:
        """Return its counts as they are published."""
        names = ("came", "outside", "strange", "late", "resets")
        return {name: getattr(self, name) for name in names}

    def begin(self, start: int) -> None:
        """Begin no earlier than ``start`` µs."""
        self._at_least = start

    def run(self, start: int, clock_us: int) -> None:
        """Begin at ``start`` µs, and let stamps be those of the machine's clock, which says ``clock_us``."""
        self._now = self._top = start
        self._shift = self._ahead = start - clock_us
        self._turned_us = clock_us

    def take(self, events: Array, clock_us: int, *, lost: bool = False) -> Iterator[Events]:
        """Take events (n,) EVENT that are there at ``clock_us``; yield the batches they complete.

        ``lost`` says that something is missing before them: a gap.
        """
        if not len(events):
            return
        t = np.ascontiguousarray(events["t"])
        low, high = int(t.min()), int(t.max())
        parts = [(0, len(t))]
        if low < -LIMIT_US or high > LIMIT_US:
            parts = []
        elif high - low > FAR_US:
            parts = self._parts(t)
        self._leave_out(len(events) - sum(end - begin for begin, end in parts))
        for begin, end in parts:
            yield from self._take(events[begin:end], t[begin:end], clock_us, lost)
            lost = False

    def silent(self, clock_us: int) -> Iterator[Events]:
        """Yield the batches that are complete at ``clock_us``."""
        if self._shift is None:
            return
        passed = max(self._top - self._hold, self._passed(clock_us) - self._slack)
        yield from self._up_to(passed // self._length * self._length)
        if self._rows > MOST:
            yield from self._up_to(self._top + 1)

    def finish(self) -> Iterator[Events]:
        """Yield all that waits: nothing more will come."""
        if self._shift is not None:
            yield from self._up_to(self._top + 1)

    def _parts(self, t: Array) -> list[tuple[int, int]]:
        """Return the parts of an array between which stamps leap, without those from which they leap back at once."""
        edges = [0, *(np.flatnonzero(np.abs(np.diff(t)) > FAR_US) + 1).tolist(), len(t)]
        leaps = len(edges) - 2
        if leaps > (0 if self._doubts else LEAPS):
            return []
        parts: list[tuple[int, int]] = []
        last = None if self._shift is None else self._top - self._shift
        for begin, end in pairwise(edges):
            away = last is not None and not _goes_on(last, int(t[begin]))
            if last is not None and away and end < len(t) and _goes_on(last, int(t[end])):
                continue  # a bit of a stamp has turned over, or it was forged
            parts.append((begin, end))
            last = int(t[end - 1])
        return parts

    def _take(self, events: Array, t: Array, clock_us: int, lost: bool) -> Iterator[Events]:
        """Take events whose stamps do not leap from one to the next."""
        low, high = int(t.min()), int(t.max())
        if self._shift is None:
            self._anchor(low, self._at_least)
        elif self._elsewhere(high + self._shift, clock_us):
            self._odd += 1
            if self._odd <= self._doubts:
                self._leave_out(len(events))
                return
            yield from self._up_to(self._top + 1)
            self._anchor(low, max(self._now, self._passed(clock_us)))
            self.resets += 1
        elif lost:
            yield from self._up_to(self._top + 1)
            self._now = max(self._now, low + self._shift)
        self._odd = 0
        self._keep(events, t)
        self._top = max(self._top, high + (self._shift or 0))
        self._heed(self._top - clock_us, clock_us)
        yield from self.silent(clock_us)

    def _elsewhere(self, newest: int, clock_us: int) -> bool:
        """Return whether a stamp is of a clock that has stood still, began anew, or never was this one."""
        ahead = newest - max(self._top, self._passed(clock_us))
        return ahead > FAR_US or newest < max(self._top, self._now) - BACK_US

    def _anchor(self, low: int, least: int) -> None:
        """Let stamps from ``low`` on be of a clock that begins, in stream time no earlier than ``least``."""
        self._shift = -(-max(0, least - low) // SECOND_US) * SECOND_US
        first = low + self._shift
        self._now = max((first - self._hold) // GRID_US * GRID_US, least)  # one before it may still come
        self._top = first
        self._ahead = self._before = None

    def _passed(self, clock_us: int) -> int:
        """Return up to where the sensor's clock has run at least."""
        known = [ahead for ahead in (self._ahead, self._before) if ahead is not None]
        return clock_us + max(known) if known else self._now

    def _heed(self, ahead: int, clock_us: int) -> None:
        if self._ahead is None or clock_us - self._turned_us > RECENT_US:
            self._before, self._ahead, self._turned_us = self._ahead, ahead, clock_us
        else:
            self._ahead = max(self._ahead, ahead)

    def _leave_out(self, count: int) -> None:
        self.came += count
        self.strange += count

    def _keep(self, events: Array, t: Array) -> None:
        width, height = self.size
        inside = (events["x"] < width) & (events["y"] < height)
        kept = events.copy() if inside.all() else events[inside]
        self.came += len(events)
        self.outside += len(events) - len(kept)
        if not len(kept):
            return
        kept["t"] += self._shift or 0
        late = kept["t"] < self._now
        if late.any():
            self.late += int(np.count_nonzero(late))
            kept["t"][late] = self._now
            self._top = max(self._top, self._now)  # or it would be beyond all there is
        self._waiting.append(kept)
        self._rows += len(kept)

    def _up_to(self, stop: int) -> Iterator[Events]:
        """Yield all that is before ``stop`` µs, in order."""
        if self._now >= stop:
            return
        data = np.concatenate(self._waiting or [_NOTHING])
        t = np.ascontiguousarray(data["t"])
        if np.any(t[1:] < t[:-1]):
            data = data[np.argsort(t, kind="stable")]
            t = np.ascontiguousarray(data["t"])
        at = 0
        while self._now < stop:
            begin, self._now = self._now, min(stop, self._now + LONGEST_US)
            k = first_at(t, self._now)
            self._waiting, self._rows = ([data[k:]] if k < len(data) else []), len(data) - k
            self.given += k - at
            part = data[at:k] if k - at == len(data) else data[at:k].copy()  # a view would keep what waits, too
            yield Events(begin, self._now, part, self.size)
            at = k


def _goes_on(last: int, stamp: int) -> bool:
    """Return whether a stamp may come behind another of the same clock."""
    return -BACK_US <= stamp - last <= FAR_US
