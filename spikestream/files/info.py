"""What a recording holds, and what looks wrong with it."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.files.reader import Reader
from spikestream.files.sound import SoundInfo, is_sound, sound_info

MAP_SIDE = 4096
"""Pixels are counted up to here, either way: 64 MiB at the most, of which only the touched pages are ever real."""

HOT_TIMES = 20
HOT_SHARE = 0.01
"""A hot pixel has more than 20 times the events of the mean active pixel, and more than 1 % of all events."""


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """A recording's facts: stamps and duration in µs, ``size`` and coordinates in pixels, None where unknown.

    ``duration_us`` is the length of ``[first_t, last_t + 1)``, ``on_share`` the share of ON events, ``skipped`` what is
    no event, by kind. ``problems`` counts, by kind: steps ``backward`` and ``future`` (above 10 s), events ``outside``
    of the size, ``hot_pixels``, and ``damaged`` = 1 where the recording breaks off.
    """

    path: str
    format: str
    title: str
    sensor: str
    size: tuple[int, int] | None
    bytes: int | None
    events: int | None
    first_t: int | None
    last_t: int | None
    duration_us: int | None
    rate_hz: float | None
    on_share: float | None
    skipped: dict[str, int]
    problems: dict[str, int]
    warnings: tuple[str, ...]

    @property
    def suspicious(self) -> bool:
        """Return whether anything is wrong, or had to be guessed."""
        return bool(self.problems or self.warnings)


def info(path: str | os.PathLike[str], *, scan: bool = True, **reading: Any) -> RecordingInfo | SoundInfo:
    """Return a recording's facts from all of its events, in bounded memory, or with ``scan=False`` from its header.

    A sound file's facts, unless a ``format`` of events is named, are a `SoundInfo`.

    The header alone (and an AEDAT 4 file's table) is read without Numba and says None where it cannot know.
    ``reading`` goes to `Reader`; stamps are taken as stored. Raises `RecordingError` where there is nothing to tell.
    """
    if not reading.get("format") and is_sound(os.fspath(path)):
        return sound_info(path, scan=scan)
    reading["time"] = "keep"
    with Reader(path, **reading) as reader:
        tally = _Tally()
        warnings = _scan(reader, tally) if scan else _glance(reader, tally, reading.get("stream"))
        return _facts(reader, tally, [*reader.warnings, *warnings])


class _Tally:
    """What is counted on the way through the events."""

    def __init__(self) -> None:
        self.events: int | None = None
        self.on: int | None = None
        self.first: int | None = None
        self.last: int | None = None
        self.pixels = np.zeros(MAP_SIDE * MAP_SIDE, np.uint32)

    def add(self, events: Array) -> None:
        """Count events (n > 0,) EVENT."""
        t = events["t"]
        first, last = int(t.min()), int(t.max())
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)
        self.on = (self.on or 0) + int(np.count_nonzero(events["p"]))
        x, y = events["x"].astype(np.int64), events["y"].astype(np.int64)
        within = (x < MAP_SIDE) & (y < MAP_SIDE)
        np.add.at(self.pixels, (y * MAP_SIDE + x)[within], 1)

    def hot(self) -> list[tuple[int, int, int]]:
        """Return the hot pixels as (events, x, y), the hottest first."""
        active = np.flatnonzero(self.pixels)
        counts = self.pixels[active].astype(np.int64)
        if not len(active):
            return []
        hot = counts > max(HOT_TIMES * counts.mean(), HOT_SHARE * counts.sum())
        y, x = np.divmod(active[hot], MAP_SIDE)
        return sorted(zip(counts[hot].tolist(), x.tolist(), y.tolist(), strict=True), reverse=True)


def _scan(reader: Reader, tally: _Tally) -> list[str]:
    warnings = []
    try:
        for events in reader:
            if len(events):
                tally.add(events)
    except RecordingError as error:
        if not reader.events:
            raise
        reader.problems["damaged"] = 1
        warnings.append("; ".join([f"breaks off after {reader.events:,} events: {error.what}", *error.lines()]))
    tally.events = reader.events
    hot = tally.hot()
    if hot:
        reader.problems["hot_pixels"] = len(hot)
        shown = ", ".join(f"({x}, {y}) {n / reader.events:.1%}" for n, x, y in hot[:5])
        warnings.append(f"{len(hot):,} hot pixel{'s' if len(hot) > 1 else ''}: {shown}{', …' if len(hot) > 5 else ''}")
    return warnings


def _glance(reader: Reader, tally: _Tally, stream: str | None) -> list[str]:
    reader.header()
    summary: tuple[int, int | None, int | None] | None = None
    if reader.container is not None:
        summary = reader.container.summary()
    elif reader.format == "aedat4" and reader.bytes:
        summary = _table(reader.path, stream)
    if summary:
        tally.events, first, last = summary
        tally.first, tally.last = (first, last) if tally.events else (None, None)
    return []


def _table(path: str, stream: str | None) -> tuple[int, int, int] | None:
    from spikestream.formats.aedat4 import table_summary

    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return table_summary(data, stream)


def _facts(reader: Reader, tally: _Tally, warnings: list[str]) -> RecordingInfo:
    first, last = tally.first, tally.last
    duration = None if first is None or last is None else last + 1 - first
    return RecordingInfo(
        path=reader.path,
        format=reader.format,
        title=reader.title,
        sensor=reader.sensor,
        size=reader.size,
        bytes=reader.bytes,
        events=tally.events,
        first_t=first,
        last_t=last,
        duration_us=duration,
        rate_hz=tally.events * 1e6 / duration if tally.events is not None and duration else None,
        on_share=tally.on / tally.events if tally.on is not None and tally.events else None,
        skipped=dict(reader.skipped),
        problems=dict(reader.problems),
        warnings=tuple(warnings),
    )
