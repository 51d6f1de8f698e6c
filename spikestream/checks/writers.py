"""The laws of what writes a format: events come back as they were, and what nobody would read again is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from spikestream.batch import EVENT, LIMIT_US, Array, Events
from spikestream.checks.base import Check, Law, same_array, suite
from spikestream.errors import RecordingError
from spikestream.files.write import write_as
from spikestream.formats.base import Format, ended

SMALL, LARGE = (16, 12), (320, 240)
COUNT = 400


def writer(format: Format, folder: Path, **options: Any) -> Iterator[Check]:
    """Yield the checks of what writes a format, which is also read.

    Files are written into ``folder``; ``options`` are the format's own for writing.
    """
    return suite("writer", LAWS, format, folder, options)


def _events(size: tuple[int, int]) -> Array:
    """Return events from t = 0 on, in order, all over a sensor and in its corners."""
    rng, events = np.random.default_rng(1), np.zeros(COUNT, EVENT)
    events["t"] = np.cumsum(rng.integers(0, 20, COUNT))
    for name, side in zip("xy", size, strict=True):
        events[name] = rng.integers(0, side, COUNT)
        events[name][-1] = side - 1
    events["p"] = rng.random(COUNT) < 0.5
    return events


def _batch(events: Array, size: tuple[int, int]) -> Events:
    return Events(int(events["t"][0]), int(events["t"][-1]) + 1, events, size)


def _read(format: Format, path: Path) -> tuple[Array, tuple[int, int] | None]:
    if format.container is not None:
        with closing(format.container(str(path))) as opened:
            parts = list(opened.events())
            return np.concatenate([np.empty(0, EVENT), *parts]), opened.size
    made: Any = format.reads()
    parts = [part.copy() for part in chain(made.feed(memoryview(path.read_bytes())), ended(made))]
    return np.concatenate([np.empty(0, EVENT), *parts]), made.size


def _wrong(format: Format, path: Path, events: Array) -> str:
    """Return what is wrong with what was written, "" where it is these events and its size holds them."""
    found, size = _read(format, path)
    width, height = size or (1 << 16, 1 << 16)
    outside = int(np.count_nonzero((events["x"] >= width) | (events["y"] >= height)))
    if outside:
        return f"the size that is stored is {width}x{height}, and {outside} of the events lie outside of it"
    return "" if same_array(found, events) else f"{len(events)} events were written, {len(found)} or others are read"


def _not_the_same(format: Format, folder: Path, options: dict[str, Any]) -> str:
    events, path = _events(SMALL), folder / "small"
    half = len(events) // 2
    batches = [_batch(events[:half], SMALL), _batch(events[half:], SMALL)]
    count = write_as(path, format, batches, SMALL, **options)
    return _wrong(format, path, events) or ("" if count == len(events) else f"{count} are said to be written")


def _stored_too_small(format: Format, folder: Path, options: dict[str, Any]) -> str:
    for x, y in ((SMALL[0], 0), (0, SMALL[1]), (LARGE[0] - 1, LARGE[1] - 1)):
        events, path = _events(SMALL), folder / f"told{x}x{y}"
        events["x"][-1], events["y"][-1] = x, y
        if seen := _refused(format, path, [_batch(events, SMALL)], events, False, options):
            return f"told {SMALL[0]}x{SMALL[1]}, an event at {x}, {y}: {seen}"
    return ""


def _does_not_grow(format: Format, folder: Path, options: dict[str, Any]) -> str:
    small, large = _events(SMALL), _events(LARGE)
    large["t"] += int(small["t"][-1])
    batches = [_batch(small, SMALL), _batch(large, LARGE)]
    return _refused(format, folder / "grown", batches, np.concatenate([small, large]), True, options)


def _refused(
    format: Format, path: Path, batches: list[Events], events: Array, grows: bool, options: dict[str, Any]
) -> str:
    try:
        write_as(path, format, batches, SMALL, grows=grows, **options)
    except RecordingError as error:
        return "" if error.remedy and not path.exists() else f"it is refused without a remedy: {error}"
    return _wrong(format, path, events)


def _beyond_time(format: Format, folder: Path, options: dict[str, Any]) -> str:
    """A reader's stream time holds -2^62 <= t < 2^62 µs."""
    for t in (-LIMIT_US - 1, LIMIT_US):
        events, path = _events(SMALL)[:1], folder / f"time{t}"
        events["t"] = t
        try:
            write_as(path, format, [_batch(events, SMALL)], SMALL, **options)
        except RecordingError as error:
            if error.remedy and not path.exists():
                continue
            return f"t = {t} is refused without a remedy: {error}"
        return f"t = {t} is written, and no reader takes it"
    return ""


LAWS = (
    Law(
        "reads back", "events within the size are read back as they were, in whatever batches they came", _not_the_same
    ),
    Law(
        "told size",
        "an event outside of the size is refused with a remedy, or no such size is stored",
        _stored_too_small,
    ),
    Law(
        "growing size",
        "where the batches' size grows, the last one is stored, or it is refused with a remedy",
        _does_not_grow,
    ),
    Law("stream time", "an event of before -2^62 µs, or from 2^62 µs on, is refused with a remedy", _beyond_time),
)
