"""The laws of a sensor: what it says of itself, and what its batches may look like."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, cast

import numpy as np

from spikestream.batch import Batch, Events, Sound, Spikes, cut
from spikestream.checks.base import Check, Law, difference, joined, malformed, same, show, suite

_PATIENCE_S = 30.0
"""Silence is a batch too: a sensor that gives none for so long has stopped the stream's time."""


@dataclass(slots=True)
class _Taken:
    sensor: Any
    handed: list[Batch] = field(default_factory=list)
    copies: list[Batch] = field(default_factory=list)


Make = Callable[[], Any]


def sensor(make: Make, *, batches: int = 50) -> Iterator[Check]:
    """Yield the checks of a sensor.

    ``make`` returns a fresh sensor each time, at the same point of its stream; of each, at most ``batches`` batches are
    taken, so that a sensor without an end can be checked. A live sensor may give something else each time.
    """
    return suite("sensor", LAWS, make, batches)


def _take(make: Make, count: int, start: int | None = None) -> _Taken:
    return asyncio.run(_taking(make, count, start))


async def _taking(make: Make, count: int, start: int | None) -> _Taken:
    taken = _Taken(make())
    stream = taken.sensor.batches() if start is None else taken.sensor.batches(start=start)
    try:
        while len(taken.handed) < count:
            async with asyncio.timeout(_PATIENCE_S):
                batch = await anext(stream, None)
            if batch is None:
                break
            taken.handed.append(batch)
            taken.copies.append(copy.deepcopy(batch))
    finally:
        if hasattr(stream, "aclose"):
            await stream.aclose()
    return taken


def _undeclared(make: Make, count: int) -> str:
    live = getattr(_take(make, count).sensor, "live", "missing")
    return "" if isinstance(live, bool) else f"live is {live}"


def _ill_formed(make: Make, count: int) -> str:
    batches = _take(make, count).copies
    kinds = {type(batch).__name__ for batch in batches}
    return next(filter(None, map(malformed, batches)), "") or (
        "" if len(kinds) <= 1 else f"it gives {' and '.join(sorted(kinds))}"
    )


def _not_contiguous(make: Make, count: int) -> str:
    batches = _take(make, count).copies
    for a, b in pairwise(batches):
        if b.start < a.stop:
            return f"{show(a)} is followed by {show(b)}"
    return ""


def _standing_still(make: Make, count: int) -> str:
    return next((show(b) for b in _take(make, count).copies if b.start == b.stop), "")


def _reused(make: Make, count: int) -> str:
    taken = _take(make, count)
    changed = [show(c) for b, c in zip(taken.handed, taken.copies, strict=True) if not same(b, c)]
    return f"{changed[0]} changed after it was handed out" if changed else ""


def _outside(make: Make, count: int) -> str:
    taken = _take(make, count)
    for batch in taken.copies:
        if seen := _out_of_place(taken.sensor, batch):
            return f"{show(batch)}: {seen}"
    return ""


def _out_of_place(source: Any, batch: Batch) -> str:
    if isinstance(batch, Events):
        size = getattr(source, "size", None)
        if size is None or batch.size != size:
            return f"the sensor's size is {size}, the batch's {batch.size}"
        beyond = (batch.data["x"] >= size[0]) | (batch.data["y"] >= size[1])
        return f"{np.count_nonzero(beyond)} events outside {size[0]}x{size[1]}" if np.any(beyond) else ""
    if isinstance(batch, Spikes):
        axons = getattr(source, "axons", None)
        if axons is None:
            return "the sensor's axons are not known"
        beyond = (batch.axon < 0) | (batch.axon >= axons)
        return f"{np.count_nonzero(beyond)} spikes outside of {axons} axons" if np.any(beyond) else ""
    return ""


def _miscounted(make: Make, count: int) -> str:
    taken = _take(make, count)
    handed = sum(map(len, taken.copies))
    sent = getattr(taken.sensor, "sent", handed)
    return "" if sent == handed else f"sent is {sent}, {handed} were handed out"


def _different(make: Make, count: int) -> str:
    first, second = _take(make, count), _take(make, count)
    return "" if first.sensor.live else difference(first.copies, second.copies)


def _restarted_elsewhere(make: Make, count: int) -> str:
    full = _take(make, count)
    if not full.copies:
        return ""
    rest = full.copies[len(full.copies) // 2 :]
    inside = not isinstance(rest[0], Sound)  # sound has no stamps to be cut at: it restarts at the border of a batch
    at = (rest[0].start + rest[0].stop) // 2 if inside else rest[0].start
    seen = _take(make, len(rest), start=at).copies
    if early := next((batch for batch in seen if batch.start < at), None):
        return f"asked to start at {at}, it gave {show(early)}"
    if full.sensor.live:
        return ""
    if not seen:
        return f"from {at} on it gave nothing"
    until = min(rest[-1].stop, seen[-1].stop)
    expected, found = _between(rest, at, until), _between(seen, at, until)
    return "" if same(expected, found) else f"from {at} on: {show(expected)} the first time, then {show(found)}"


def _between(batches: list[Batch], at: int, until: int) -> Batch:
    whole: Any = joined(batches)
    if not isinstance(whole, Sound):
        whole = cut(whole, max(at, whole.start))[1]
        whole = cut(whole, until)[0]
    return cast(Batch, replace(whole, start=at, stop=until))


LAWS = (
    Law("declared", "a sensor says whether it is live, and gives its batches by batches(start=0)", _undeclared),
    Law(
        "well formed",
        "every batch is of one kind, has the types of spikestream.batch, is sorted, and start <= t < stop",
        _ill_formed,
    ),
    Law(
        "contiguous",
        "a batch starts where the one before stopped, or later where data was lost, never earlier",
        _not_contiguous,
    ),
    Law("time advances", "a batch covers more than no time: start < stop", _standing_still),
    Law("given away", "an array that was handed out is never written again", _reused),
    Law("in place", "size (of events) or axons (of spikes) is known, and nothing lies outside of it", _outside),
    Law("counted", "sent counts what was handed out: events, spikes or samples", _miscounted),
    Law("repeatable", "a sensor that is not live gives the same again", _different),
    Law(
        "restartable",
        "batches(start=t) gives what comes from stream time t on, nothing earlier, and not live: the same",
        _restarted_elsewhere,
    ),
)
