"""What flows: batches of stream time, and the commands and marks that travel beside them.

Law: a batch covers the half-open interval ``[start, stop)`` of stream time in int64 microseconds; its content is sorted
by time, lies inside the interval, and may be empty. Silence is information: time advances by ``stop``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import RecordingError, SpikestreamError

EVENT = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
"""One event at the edge: µs, pixels, True = ON (brighter). Packed: 13 bytes, in memory as on the wire."""

SPIKE = np.dtype([("t", "<i8"), ("axon", "<i4")])
"""One spike as stored on the wire and hashed. Packed, 12 bytes."""

Array: TypeAlias = NDArray[Any]

LIMIT_US = 2**62
"""Stamps outside of [-2^62, 2^62) are neither read nor written: the difference of any two others fits int64."""
LONGEST_LABEL = 256
"""Characters of a label: it goes out with every decision."""
MOST_REWARD = 1e6


@dataclass(frozen=True, slots=True)
class Events:
    """Events of a pixel sensor: ``data`` (n,) EVENT, ``size`` (width, height) in pixels or None where unknown.

    Other fields t, x, y, p of whole numbers are made EVENT; raises `RecordingError` for what cannot be.
    """

    start: int
    stop: int
    data: Array
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        kind = getattr(self.data, "dtype", None)
        if kind is not EVENT and kind != EVENT:
            object.__setattr__(self, "data", _as_event(self.data))

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Sound:
    """Sound: ``samples`` (n, channels) float32 in [-1, 1]; the rate is known by the sensor."""

    start: int
    stop: int
    samples: Array

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, slots=True)
class Spikes:
    """Spikes: ``t`` (n,) int64 µs, ``axon`` (n,) int32, the number of the axon or neuron."""

    start: int
    stop: int
    t: Array
    axon: Array

    def __len__(self) -> int:
        return len(self.t)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was seen in ``[start, stop)``: label (None = unknown), confidence 0..1, scores, evidence in spikes."""

    start: int
    stop: int
    label: str | None
    confidence: float
    scores: tuple[tuple[str, float], ...] = ()
    evidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions that became final in ``[start, stop)``; their own windows may start earlier."""

    start: int
    stop: int
    rows: tuple[Decision, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)


Batch: TypeAlias = Events | Sound | Spikes | Decisions
AnyBatch = TypeVar("AnyBatch", bound=Events | Sound | Spikes | Decisions)


@dataclass(frozen=True, slots=True)
class Label:
    """At stream time ``t`` µs a teacher says what ``[start, stop)`` showed; ``reward`` is for reward-driven rules."""

    t: int
    start: int
    stop: int
    label: str
    reward: float = 0.0


@dataclass(frozen=True, slots=True)
class Setting:
    """From stream time ``t`` µs on, the configuration key ``key`` (``section.name``) has this value."""

    t: int
    key: str
    value: bool | int | float | str


@dataclass(frozen=True, slots=True)
class Window:
    """A sensor's mark: ``[start, stop)`` belongs together and wants one decision."""

    start: int
    stop: int

    @property
    def t(self) -> int:
        """Return the stream time at which the mark takes effect: its start."""
        return self.start


Command: TypeAlias = Label | Setting | Window


def is_label(text: object) -> bool:
    """Return whether this may be a label: a text that can be printed on one line."""
    return isinstance(text, str) and 0 < len(text) <= LONGEST_LABEL and text.isprintable()


def no_events(start: int, stop: int, size: tuple[int, int] | None = None) -> Events:
    """Return a silent batch of events over ``[start, stop)`` µs."""
    return Events(start, stop, np.empty(0, EVENT), size)


def no_spikes(start: int, stop: int) -> Spikes:
    """Return a silent batch of spikes over ``[start, stop)`` µs."""
    return Spikes(start, stop, np.empty(0, np.int64), np.empty(0, np.int32))


def first_at(t: Array, time: int) -> int:
    """Return the index of the first stamp >= ``time`` in the sorted column ``t``.

    Bisection by hand: ``np.searchsorted`` would copy a strided column of a structured array on every call.
    """
    return bisect_left(t, time)


def cut(batch: AnyBatch, at: int) -> tuple[AnyBatch, AnyBatch]:
    """Return the batch as ``[start, at)`` and ``[at, stop)``.

    A decision is final once time has passed its window, so one whose window stops at ``at`` stays on the left.
    """
    if not batch.start <= at <= batch.stop:
        raise ValueError(f"cannot cut [{batch.start}, {batch.stop}) at {at}")
    if isinstance(batch, Events):
        i = first_at(batch.data["t"], at)
        return replace(batch, stop=at, data=batch.data[:i]), replace(batch, start=at, data=batch.data[i:])
    if isinstance(batch, Spikes):
        i = first_at(batch.t, at)
        return (
            replace(batch, stop=at, t=batch.t[:i], axon=batch.axon[:i]),
            replace(batch, start=at, t=batch.t[i:], axon=batch.axon[i:]),
        )
    if isinstance(batch, Sound):
        raise ValueError("sound is cut by its sensor, which knows the sample rate")
    left = tuple(row for row in batch.rows if row.stop <= at)
    return replace(batch, stop=at, rows=left), replace(batch, start=at, rows=batch.rows[len(left) :])


def concat(batches: Sequence[AnyBatch]) -> AnyBatch:
    """Return contiguous batches of one kind as one; at least one batch."""
    first, last = batches[0], batches[-1]
    if len(batches) == 1:
        return first
    parts: Sequence[Any] = batches
    if isinstance(first, Events):
        return replace(first, stop=last.stop, data=np.concatenate([part.data for part in parts]))
    if isinstance(first, Sound):
        return replace(first, stop=last.stop, samples=np.concatenate([part.samples for part in parts]))
    if isinstance(first, Spikes):
        t, axon = (np.concatenate([getattr(part, name) for part in parts]) for name in ("t", "axon"))
        return replace(first, stop=last.stop, t=t, axon=axon)
    return replace(first, stop=last.stop, rows=tuple(row for part in parts for row in part.rows))


def moved(batch: AnyBatch, by: int) -> AnyBatch:
    """Return the batch ``by`` µs later."""
    times: dict[str, Any] = {"start": batch.start + by, "stop": batch.stop + by}
    if isinstance(batch, Events):
        data = batch.data.copy()
        data["t"] += by
        return replace(batch, data=data, **times)
    if isinstance(batch, Spikes):
        return replace(batch, t=batch.t + by, **times)
    if isinstance(batch, Sound):
        return replace(batch, **times)
    rows = tuple(replace(row, start=row.start + by, stop=row.stop + by) for row in batch.rows)
    return replace(batch, rows=rows, **times)


def stamps(batch: Batch) -> Array:
    """Return the time stamps (n,) int64 µs of what the batch holds (of a decision: its window's last µs)."""
    if isinstance(batch, Events):
        return batch.data["t"]
    if isinstance(batch, Spikes):
        return batch.t
    if isinstance(batch, Decisions):
        return np.array([row.stop - 1 for row in batch.rows], np.int64)
    return np.empty(0, np.int64)


def check(batch: Batch) -> None:
    """Raise `SpikestreamError` unless the batch obeys the law at the head of this file."""
    if batch.start > batch.stop:
        raise SpikestreamError(f"batch runs backwards: [{batch.start}, {batch.stop})")
    t = stamps(batch)
    if not len(t):
        return
    if np.any(t[1:] < t[:-1]):
        raise SpikestreamError(f"batch [{batch.start}, {batch.stop}) is not sorted by time")
    if t[0] < batch.start or t[-1] >= batch.stop:
        raise SpikestreamError(f"batch [{batch.start}, {batch.stop}) holds stamps {t[0]}..{t[-1]} outside of it")


def by_fields(found: object) -> tuple[Array, Array, Array, Array]:
    """Return t, x and y (n,) int64 and p (n,) bool of events in fields of any order and type, as tonic has them.

    Without y they are of row 0, without p ON. Raises `RecordingError` for what are no events: a t with fractions, which
    is not in µs, or a p of other values than 0 and 1, -1 and 1, or 0 and 255.
    """
    names = getattr(getattr(found, "dtype", None), "names", None) or ()
    if isinstance(found, np.ndarray) and found.ndim == 2 and 1 in found.shape:  # a column of MATLAB's
        found = found.ravel()
    if not isinstance(found, np.ndarray) or found.ndim != 1 or not {"t", "x"} <= set(names):
        kind = f"an array of {found.dtype}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
        raise RecordingError(
            "these are no events",
            expected="an array with fields t, x, and perhaps y and p",
            found=", ".join(names) or kind,
            remedy=f"the .data of the {type(found).__name__}" if isinstance(found, Events) else "",
        )
    t, x = _whole(found, "t"), _whole(found, "x")
    y = _whole(found, "y") if "y" in names else np.zeros(len(t), np.int64)
    p = _whole(found, "p") if "p" in names else np.ones(len(t), np.int64)
    if len(p) and not (-1 <= p.min() <= p.max() <= 1 or np.all((p == 0) | (p == 255))):
        expected = "0 and 1, -1 and 1, or 0 and 255"
        raise RecordingError("p is no polarity", expected=expected, found=f"{p.min()} to {p.max()}")
    return t, x, y, p > 0


def _as_event(found: Array) -> Array:
    """Return events in other fields as EVENT (n,); raises `RecordingError` where they hold what EVENT cannot."""
    names = getattr(getattr(found, "dtype", None), "names", None) or ()
    if names and not {*"txyp"} <= {*names}:
        raise RecordingError("these are no events", expected="fields t, x, y and p", found=", ".join(names))
    t, x, y, p = by_fields(found)
    for name, column in (("x", x), ("y", y)):
        if len(column) and not 0 <= column.min() <= column.max() <= 0xFFFF:
            low, high = column.min(), column.max()
            raise RecordingError(f"{name} is no pixel", expected="0 to 65,535", found=f"{low} to {high}")
    made = np.empty(len(t), EVENT)
    made["t"], made["x"], made["y"], made["p"] = t, x, y, p
    return made


def _whole(found: Array, name: str) -> Array:
    """Return a column as int64, whatever type its whole numbers have; raises `RecordingError` for others."""
    column = found[name]
    if column.dtype.kind in "uib" and column.dtype != np.uint64:
        return column.astype(np.int64)
    if column.dtype.kind not in "fu" or not np.all(np.abs(column.astype(np.float64)) < 2.0**62):
        raise RecordingError(f"{name} holds no numbers of events", found=str(column.dtype))
    if not np.all(column == np.floor(column)):
        remedy = "np.rint(t) of µs, np.rint(t * 1e6) of s, first" if name == "t" else ""
        raise RecordingError(f"{name} holds fractions", expected="whole µs" if name == "t" else "", remedy=remedy)
    return column.astype(np.int64)
