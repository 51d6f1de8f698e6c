"""What has gone through an engine so far, and how long it took, hop by hop.

    sensor --ingest--> channel --channel--> pipeline: stage, stage, ... --publish--> hub

``total`` is from the sensor, or from the channel where that does not know, to the hub.

Law: nobody but the engine looks at a clock, before and after a stage; what it sees changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic_ns

import numpy as np

LATENCIES = 100_000
"""The last so many batches give the latency percentiles."""


_DECADES: tuple[int, ...] = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
EDGES_NS = (*(factor * decade for decade in _DECADES for factor in (1, 2, 5)), 10_000_000_000)
"""10 µs to 10 s in steps of 1, 2, 5: at most one more is in between."""
LATELY = 1_000
"""What is told of late is of so many batches at least, and of twice as many at most."""


class Histogram:
    """Counts durations by how long they were, of all time and of late; `add` it is what a worker does."""

    def __init__(self) -> None:
        self.counts = [0] * (len(EDGES_NS) + 1)
        """How many lasted at most each of the edges and more than the one before; the last is for the rest."""
        self.sum_ns = self.count = 0
        self._lately = [0] * len(self.counts)
        self._before = [0] * len(self.counts)

    def add(self, ns: int) -> None:
        """Count a duration, ns."""
        at = bisect_left(EDGES_NS, ns)
        self.counts[at] += 1
        self._lately[at] += 1
        self.sum_ns += ns
        self.count += 1
        if not self.count % LATELY:
            self._before, self._lately = self._lately, [0] * len(self.counts)

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of late, ms, as if durations were even between two edges; 0 where there are none."""
        counts = [one + other for one, other in zip(self._before, self._lately, strict=True)]
        left = sum(counts) * percent / 100
        for at, count in enumerate(counts):
            if count and left <= count:
                low = EDGES_NS[at - 1] if at else 0
                high = EDGES_NS[min(at, len(EDGES_NS) - 1)]
                return (low + (high - low) * left / count) / 1e6
            left -= count
        return 0.0


class Waterfall:
    """Where time goes between a sensor and its subscribers: a histogram for each hop, in the order of the hops."""

    def __init__(self, stages: Iterable[str]) -> None:
        self._stages = tuple(stages)
        self.hops = {name: Histogram() for name in ("ingest", "channel", *self._stages, "publish", "total")}
        self._spent = dict.fromkeys(self._stages, 0)
        self._mark_ns = 0

    def begin(self, waited_ns: int) -> int:
        """Begin a batch that has waited so long, in the worker; return the time on the monotonic clock, ns."""
        self.hops["channel"].add(waited_ns)
        self._mark_ns = monotonic_ns()
        return self._mark_ns

    def after(self, stage: str) -> None:
        """Hear that a stage has returned."""
        now_ns = monotonic_ns()
        self._spent[stage] += now_ns - self._mark_ns
        self._mark_ns = now_ns

    def end(self) -> int:
        """End a batch: each stage has had all its pieces; return when that was."""
        for stage in self._stages:
            self.hops[stage].add(self._spent[stage])
            self._spent[stage] = 0
        return self._mark_ns

    def told(self) -> dict[str, dict[str, float]]:
        """Return p50 and p99 of each hop of late, ms, those that were never measured left out."""
        return {
            name: {"p50": round(hop.percentile_ms(50), 3), "p99": round(hop.percentile_ms(99), 3)}
            for name, hop in self.hops.items()
            if hop.count
        }


class Latencies:
    """The last ``LATENCIES`` durations, ns; `append` one is what a worker does. Its memory does not grow."""

    def __init__(self) -> None:
        self._ns = np.zeros(LATENCIES, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, LATENCIES)

    def append(self, ns: int) -> None:
        """Take a duration, and forget the oldest."""
        self._ns[self._count % LATENCIES] = ns
        self._count += 1

    def percentile_ms(self, percent: float, last: int) -> float:
        """Return a percentile of the ``last`` durations, ms; 0 where there are none."""
        count = self._count
        held = min(count, LATENCIES, last)
        if not held:
            return 0.0
        return float(np.percentile(self._ns[np.arange(count - held, count) % LATENCIES], percent)) / 1e6


@dataclass(slots=True)
class Progress:
    """What has gone through so far; written by the worker, read by whoever shows it."""

    started_ns: int = 0
    ended_ns: int = 0
    start: int | None = None
    stop: int = 0
    rows: int = 0
    made: dict[str, int] = field(default_factory=dict)
    latencies: Latencies = field(default_factory=Latencies)

    def realtime_factor(self) -> float:
        """Return stream seconds per second."""
        wall_ns = max(1, (self.ended_ns or monotonic_ns()) - self.started_ns)
        return (self.stop - (self.start or 0)) * 1000 / wall_ns

    def latency_ms(self, percent: float, last: int = LATENCIES) -> float:
        """Return a percentile of the time from a batch's arrival to its publication, in ms, of the ``last`` batches."""
        return self.latencies.percentile_ms(percent, last)
