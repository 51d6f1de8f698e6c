"""What a recording holds, and what looks wrong with it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from spikestream.errors import RecordingError
from spikestream.files.reader import Reader
from spikestream.files.sound import SoundInfo, is_sound, sound_info
from spikestream.files.tally import Tally

Watch: TypeAlias = Callable[[int, int | None], object]


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """A recording's facts: stamps and duration in µs, ``size`` and coordinates in pixels, None where unknown.

    ``duration_us`` is the length of ``[first_t, last_t + 1)``, ``on_share`` the share of ON events, ``skipped`` what is
    no event, by kind. ``problems`` counts, by kind: steps ``backward`` and ``future`` (above 10 s), events ``outside``
    of the size, ``hot_pixels``, ``time_unit`` = 1 where the stamps do not look like µs, and ``damaged`` = 1 where the
    recording breaks off. ``notes`` say what was taken for granted, such as the order of columns: nothing is wrong.
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
    notes: tuple[str, ...] = ()

    @property
    def suspicious(self) -> bool:
        """Return whether anything is wrong, or had to be guessed."""
        return bool(self.problems or self.warnings)


def info(
    path: str | os.PathLike[str], *, scan: bool = True, watch: Watch | None = None, **reading: Any
) -> RecordingInfo | SoundInfo:
    """Return a recording's facts from all of its events, in bounded memory, or with ``scan=False`` from its header.

    A sound file's facts, unless a ``format`` of events is named, are a `SoundInfo`.

    The header alone (and an AEDAT 4 file's table) is read without Numba and says None where it cannot know.
    ``watch`` is called along the way with the bytes read so far and those of the whole file, None where nobody knows.
    ``reading`` goes to `Reader`; stamps are taken as stored. Raises `RecordingError` where there is nothing to tell.
    """
    if not reading.get("format") and is_sound(os.fspath(path)):
        return sound_info(path, scan=scan)
    reading["time"] = "keep"
    with Reader(path, **reading) as reader:
        seen = _Seen()
        warnings = _scan(reader, seen, watch) if scan else _glance(reader, seen, reading.get("stream"))
        return _facts(reader, seen, [*reader.warnings, *warnings])


@dataclass
class _Seen:
    """What is known of the events, None where they were not looked at."""

    events: int | None = None
    on: int | None = None
    first: int | None = None
    last: int | None = None


def _scan(reader: Reader, seen: _Seen, watch: Watch | None) -> list[str]:
    warnings, tally = [], Tally()
    try:
        for events in reader:
            tally.add(events)
            if watch is not None:
                watch(reader.consumed, reader.bytes)
    except RecordingError as error:
        if not reader.events:
            raise
        reader.problems["damaged"] = 1
        told = [f"breaks off after {reader.events:,} events: {error.what}", *error.lines()]
        warnings.append("; ".join([*told, *([f"try: {error.remedy}"] if error.remedy else [])]))
    counts = tally.counts
    seen.events = reader.events
    if counts["seen"]:
        seen.on, seen.first, seen.last = counts["on"], counts["first"], counts["last"]
    hot, clock = tally.hot(), tally.clock()
    if clock:
        reader.problems["time_unit"] = 1
        warnings.append(clock)
    if hot:
        reader.problems["hot_pixels"] = len(hot)
        shown = ", ".join(f"({x}, {y}) {n / reader.events:.1%}" for n, x, y in hot[:5])
        warnings.append(f"{len(hot):,} hot pixel{'s' if len(hot) > 1 else ''}: {shown}{', …' if len(hot) > 5 else ''}")
    return warnings


def _glance(reader: Reader, seen: _Seen, stream: str | None) -> list[str]:
    reader.header()
    summary: tuple[int, int | None, int | None] | None = None
    if reader.container is not None:
        summary = reader.container.summary()
    elif reader.format == "aedat4" and reader.bytes:
        summary = _table(reader.path, stream)
    if summary:
        seen.events, first, last = summary
        seen.first, seen.last = (first, last) if seen.events else (None, None)
    return []


def _table(path: str, stream: str | None) -> tuple[int, int, int] | None:
    from spikestream.formats.aedat4 import table_summary

    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return table_summary(data, stream)


def _facts(reader: Reader, seen: _Seen, warnings: list[str]) -> RecordingInfo:
    first, last = seen.first, seen.last
    duration = None if first is None or last is None else last + 1 - first
    return RecordingInfo(
        path=reader.path,
        format=reader.format,
        title=reader.title,
        sensor=reader.sensor,
        size=reader.size,
        bytes=reader.bytes,
        events=seen.events,
        first_t=first,
        last_t=last,
        duration_us=duration,
        rate_hz=seen.events * 1e6 / duration if seen.events is not None and duration else None,
        on_share=seen.on / seen.events if seen.on is not None and seen.events else None,
        skipped=dict(reader.skipped),
        problems=dict(reader.problems),
        warnings=tuple(warnings),
        notes=tuple(reader.notes),
    )
