"""A recording as one piece, or as contiguous batches of stream time.

Law: where the stream starts, where it ends and where its gaps lie follow from the events alone, never from the length
of the batches nor from the pieces the events came in. A mark (the start and end of a selection, the end of the window
that the last event falls into) is an event without content: time is known to run up to it.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any
from warnings import warn

import numpy as np

from spikestream.batch import EVENT, Array, Events
from spikestream.errors import ConfigError, RecordingError, RecordingWarning
from spikestream.files.gather import gathered
from spikestream.files.reader import Reader

SILENCE_US = 60_000_000
"""Nothing for longer than this is a gap, or one forged stamp would make billions of empty batches."""

REST_US = 1_000_000
"""So much of the silence before a gap is still heard."""

MAX_EVENTS = 4_194_304
"""A batch of more is cut, at a border between two stamps: 52 MiB of events."""

_NOTHING = np.empty(0, EVENT)


def read(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    sensor: str | None = None,
    raw: bool = False,
    time: str = "clamp",
    from_us: int | None = None,
    to_us: int | None = None,
    **reading: Any,
) -> Events:
    """Return a whole recording as one batch ``[first t, last t + 1)`` µs, ``[0, 0)`` where it is empty.

    ``format`` is told by the content where it is None, ``sensor`` and ``size`` (width, height) by the header; ``raw``
    leaves x and y as stored. ``time`` says what becomes of an event that is earlier than one before it: it is moved to
    the time of that one (``clamp``), left out (``drop``), put where it belongs if it is at most 100 ms late (``sort``)
    or an error (``fail``). ``from_us`` and ``to_us`` (µs after the first event) select a part; ``reading`` are options
    of the format. Warns of what was guessed or is wrong (`RecordingWarning`); raises `RecordingError`, `ConfigError`.
    """
    with Reader(path, format=format, sensor=sensor, raw=raw, time=time, **reading) as reader:
        _check_order(reader)
        if from_us is None and to_us is None:
            data = gathered(reader)
        else:
            cutting = {"length_us": REST_US, "grid_us": 1, "from_us": from_us, "to_us": to_us}
            data = np.concatenate([_NOTHING, *(batch.data for batch in stream_of(reader, **cutting))])
        _warn(reader.warnings, reader)
    if not len(data):
        return Events(0, 0, _NOTHING, reader.size)
    return Events(int(data["t"][0]), int(data["t"][-1]) + 1, data, reader.size)


def stream(
    path: str | os.PathLike[str],
    *,
    length_us: int = 10_000,
    grid_us: int = 1_000,
    from_us: int | None = None,
    to_us: int | None = None,
    **reading: Any,
) -> Iterator[Events]:
    """Yield a recording as batches of ``length_us`` µs, in memory of one chunk and one batch.

    A batch covers ``[start, stop)``, cut at the absolute multiples of ``length_us``; the first starts at a multiple of
    ``grid_us``, and after a silence of more than a minute the next starts later than the last one stopped. ``from_us``,
    ``to_us``, ``reading``, warnings and errors are those of `read`.
    """
    with Reader(path, **reading) as reader:
        told: list[str] = []
        for batch in stream_of(reader, length_us=length_us, grid_us=grid_us, from_us=from_us, to_us=to_us):
            told += _warn(reader.decoder.warnings, reader, told)
            yield batch
        _warn(reader.warnings, reader, told)


def _warn(warnings: Sequence[str], reader: Reader, told: Sequence[str] = ()) -> list[str]:
    """Warn whoever called the caller of what is not told yet, and return that."""
    new = [text for text in warnings if text not in told]
    for text in new:
        warn(f"{reader.name}: {text}", RecordingWarning, stacklevel=3)
    return new


def stream_of(reader: Reader, **cutting: Any) -> Iterator[Events]:
    """Return the batches of an open recording, gaps counted in its ``problems``; ``cutting`` as in `batches`.

    Its first events are decoded at once. Raises `ConfigError` for the time policy ``keep``, and as `batches`.
    """
    _check_order(reader)
    reader.leap(cutting.get("from_us") or 0)
    return _sized(reader, batches(reader, size=reader.size, problems=reader.problems, **cutting))


def _sized(reader: Reader, made: Iterable[Events]) -> Iterator[Events]:
    """Yield the batches with the size as it is known by then: where the file does not tell it, it grows."""
    for batch in made:
        yield batch if batch.size == reader.size else replace(batch, size=reader.size)


def batches(
    chunks: Iterable[Array],
    *,
    length_us: int,
    grid_us: int,
    size: tuple[int, int] | None,
    from_us: int | None = None,
    to_us: int | None = None,
    windows: Sequence[tuple[int, int]] = (),
    problems: dict[str, int] | None = None,
) -> Iterator[Events]:
    """Return the batches of sorted arrays (n,) EVENT, cut at the absolute multiples of ``length_us`` µs.

    The stream starts at the last multiple of ``grid_us`` up to the first event and ends at the first one after the last
    event. ``from_us`` and ``to_us`` select ``[t0 + from_us, t0 + to_us)``, t0 being the first event's stamp; the stream
    then starts and, where the recording reaches so far, ends with the selection. The last of the ``windows``, [start,
    stop) µs of stream time in order, that begins no later than the last event is run to its end, within the selection,
    unless that is more than `SILENCE_US` away; of those behind it nothing was recorded. A silence above `SILENCE_US`
    becomes a gap (the next batch starts after the last one's stop), counted as ``gaps`` in ``problems``. A batch never
    holds more than `MAX_EVENTS`.
    Raises `ConfigError` at once; `RecordingError` where more events than that share one stamp; one of ``chunks`` comes
    out after all events before it.
    """
    _check(length_us, grid_us, from_us or 0, to_us)
    line = _Line(length_us, grid_us, size, {} if problems is None else problems)
    return _cut(chunks, line, from_us or 0, to_us, windows)


def _cut(
    chunks: Iterable[Array], line: _Line, from_us: int, to_us: int | None, windows: Sequence[tuple[int, int]]
) -> Iterator[Events]:
    damage: list[RecordingError] = []
    low = high = last = stop = None
    for data in _until_damage(chunks, damage):
        if not len(data):
            continue
        t = np.ascontiguousarray(data["t"])
        if low is None:
            low = int(t[0]) + from_us
            high = None if to_us is None else int(t[0]) + to_us
            line.begin(low)
        i, j = bisect_left(t, low), len(t) if high is None else bisect_left(t, high)
        if i < j:
            yield from line.add(t[i:j], data[i:j])
        if j < len(t):
            stop = high
            break
        last = int(t[-1])
    else:
        stop = _under_way(windows, last, high)
    if stop is not None and not damage:
        yield from line.mark(stop - 1)
    yield from line.finish()
    if damage:
        raise damage[0]


def _under_way(windows: Sequence[tuple[int, int]], last: int | None, high: int | None) -> int | None:
    """Return where the window ends that the last event falls into, at ``high`` at most; None where there is none."""
    begun = 0 if last is None else bisect_right(windows, last, key=lambda window: window[0])
    if last is None or not begun or not last < (stop := windows[begun - 1][1]) <= last + SILENCE_US:
        return None
    return stop if high is None else min(high, stop)


class _Line:
    """Where the stream stands: the batch being filled, and the last stamp or mark."""

    def __init__(self, length_us: int, grid_us: int, size: tuple[int, int] | None, problems: dict[str, int]) -> None:
        self.length_us = length_us
        self.grid_us = grid_us
        self.size = size
        self.problems = problems
        self.start = 0
        self.low, self.last = 0, -1
        self.held: list[Array] = []
        self.count = 0

    def begin(self, low: int) -> None:
        """Start the stream at the grid point before ``low`` µs."""
        self.start, self.low, self.last = self._floor(low), low, low - 1

    def add(self, t: Array, data: Array) -> Iterator[Events]:
        """Take events (n > 0,) with their stamps in a contiguous column; yield the batches they complete."""
        breaks: list[int] = []
        if t[-1] - t[0] > SILENCE_US:
            breaks = (np.flatnonzero(np.diff(t) > SILENCE_US) + 1).tolist()
        for i, j in pairwise([0, *breaks, len(t)]):
            yield from self._cross(int(t[i]))
            yield from self._fill(t[i:j], data[i:j])
            self.last = int(t[j - 1])

    def mark(self, time: int) -> Iterator[Events]:
        """Let time be known up to ``time`` µs."""
        if time > self.last:
            yield from self._cross(time)
            self.last = time

    def finish(self) -> Iterator[Events]:
        """Yield what is left, up to the grid point after the last event or mark."""
        if self.last >= self.low:
            yield from self._reach(self._ceil(self.last + 1))

    def _cross(self, time: int) -> Iterator[Events]:
        rest = self._ceil(self.last + 1) + self._ceil(REST_US)
        begin = self._floor(time)
        if time - self.last > SILENCE_US and begin > rest:
            yield from self._reach(rest)
            self.start = begin
            self.problems["gaps"] = self.problems.get("gaps", 0) + 1

    def _fill(self, t: Array, data: Array) -> Iterator[Events]:
        while len(t):
            stop = self._edge()
            k = bisect_left(t, stop) if t[-1] >= stop else len(t)
            if self.count + k > MAX_EVENTS:
                data = np.concatenate([*self.held, data])
                t = np.ascontiguousarray(data["t"])
                self.held, self.count = [], 0
                stop = int(t[MAX_EVENTS])
                k = _border(t, stop)
            elif k == len(t):
                self.held.append(data)
                self.count += k
                return
            yield self._close(stop, data[:k])
            t, data = t[k:], data[k:]

    def _reach(self, time: int) -> Iterator[Events]:
        while self.start < time:
            yield self._close(min(self._edge(), time), _NOTHING)

    def _close(self, stop: int, data: Array) -> Events:
        if self.held:
            data = np.concatenate([*self.held, data])
            self.held, self.count = [], 0
        batch = Events(self.start, stop, data, self.size)
        self.start = stop
        return batch

    def _edge(self) -> int:
        return (self.start // self.length_us + 1) * self.length_us

    def _floor(self, time: int) -> int:
        return time // self.grid_us * self.grid_us

    def _ceil(self, time: int) -> int:
        return -(-time // self.grid_us) * self.grid_us


def _border(t: Array, stop: int) -> int:
    k = bisect_left(t, stop)
    if not k:
        raise RecordingError(f"time stands still: more than {MAX_EVENTS:,} events at {stop} µs")
    return k


def _until_damage(chunks: Iterable[Array], damage: list[RecordingError]) -> Iterator[Array]:
    try:
        yield from chunks
    except RecordingError as error:
        damage.append(error)


def _check_order(reader: Reader) -> None:
    if reader.time == "keep":
        raise ConfigError(
            "a stream needs its events in time order", key="time", value="keep", allowed="clamp, sort, drop, fail"
        )


def _check(length_us: int, grid_us: int, from_us: int, to_us: int | None) -> None:
    for key, given in (("length_us", length_us), ("grid_us", grid_us), ("from_us", from_us), ("to_us", to_us or 0)):
        if not isinstance(given, int | np.integer):
            raise ConfigError(f"{key} = {given!r} is no time", key=key, value=given, allowed="whole numbers of µs")
    for key, value in (("length_us", length_us), ("grid_us", grid_us)):
        if value < 1:
            raise ConfigError(f"{key} = {value} is no length of time", key=key, value=value, allowed="1 µs and more")
    if from_us < 0:
        raise ConfigError("a selection starts at the first event or later", key="from_us", value=from_us, allowed="0..")
    if to_us is not None and to_us <= from_us:
        raise ConfigError(f"the selection {from_us}..{to_us} µs is empty", key="to_us", value=to_us)
