"""What the hub publishes, as bytes: data messages, and the gaps the server tells a slow subscriber of.

Keys in this order: k (kind), c (topic), s (sequence number), t (publish time, unix ns), t0 and t1 (start and stop, µs),
n (rows), d (data). Two messages are called gap: time the sensor lost is published like any data (it has ``s``, ``t0``,
``t1``); messages this subscriber lost are told by the server in between (it has ``from``, ``to``, and no ``s``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from spikestream import batch as flow
from spikestream.batch import EVENT, SPIKE, Array, Decision, Decisions, Events, Sound, Spikes
from spikestream.errors import SpikestreamError
from spikestream.wire.frames import MAX_FRAME, MAX_FRAME_EVER, frame

_HEAD = 1024
"""Bytes of a frame kept free for everything but the rows; a topic has at most 255."""
DTYPES = {name: np.dtype(name).newbyteorder("<") for name in ("float32", "float64", "int8", "int16", "int32", "uint8")}
"""What weights may be, by name."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Time ``[start, stop)`` µs of which the source knows nothing."""

    start: int
    stop: int
    why: str = "sensor"

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures about ``[start, stop)`` µs: names to numbers, texts, lists and maps of such."""

    start: int
    stop: int
    values: Mapping[str, Any]

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What a layer has learned by ``stop`` µs; ``rev`` counts its changes, ``values`` is of one of `DTYPES`."""

    start: int
    stop: int
    layer: str
    rev: int
    values: Array

    def __len__(self) -> int:
        return int(self.values.size)


Payload: TypeAlias = Events | Sound | Spikes | Decisions | Weights | Stats | Gap
_KINDS: dict[type, str] = {
    Events: "events",
    Sound: "sound",
    Spikes: "spikes",
    Decisions: "decisions",
    Weights: "weights",
    Stats: "stats",
    Gap: "gap",
}


def kind_of(batch: Payload) -> str:
    """Return the kind under which a batch is published; raises `SpikestreamError` where it never is."""
    try:
        return _KINDS[type(batch)]
    except KeyError:
        raise SpikestreamError(f"{type(batch).__name__} is not published") from None


@dataclass(slots=True)
class Outgoing:
    """One message on its way to every output: the same number, the same bytes for all of them."""

    topic: str
    kind: str
    seq: int
    t_ns: int
    batch: Payload
    _frame: bytes | None = field(default=None, repr=False)
    at: tuple[int, ...] = ()
    """When what it was made of came in, and when it was made, unix ns; () where nobody knows."""

    @property
    def rows(self) -> int:
        """Return the number of events, spikes or decisions in it."""
        return len(self.batch)

    @property
    def frame(self) -> bytes:
        """Return the frame, its length in front; encoded once, when somebody first wants it."""
        if self._frame is None:
            self._frame = frame(self._fields())
        return self._frame

    def _fields(self) -> dict[str, Any]:
        batch = self.batch
        fields: dict[str, Any] = {"k": self.kind, "c": self.topic, "s": self.seq, "t": self.t_ns}
        fields["t0"], fields["t1"], fields["n"] = int(batch.start), int(batch.stop), len(batch)
        fields.update(_TAILS[type(batch)](batch))
        if self.at:
            fields["at"] = list(self.at)
        return fields


def _events(batch: Events) -> dict[str, Any]:
    data = batch.data if batch.data.dtype == EVENT else batch.data.astype(EVENT)
    size = {"size": [int(side) for side in batch.size]} if batch.size else {}
    return {"d": data.tobytes()} | size


def _spikes(batch: Spikes) -> dict[str, Any]:
    rows = np.empty(len(batch.t), SPIKE)
    rows["t"], rows["axon"] = batch.t, batch.axon
    return {"d": rows.tobytes()}


def _sound(batch: Sound) -> dict[str, Any]:
    return {"d": batch.samples.astype("<f4", copy=False).tobytes(), "channels": batch.samples.shape[1]}


def _weights(batch: Weights) -> dict[str, Any]:
    values, dtype = batch.values, batch.values.dtype.name
    data = np.ascontiguousarray(values, DTYPES[dtype]).tobytes()
    shape = [int(size) for size in values.shape]
    return {"d": data, "layer": batch.layer, "shape": shape, "dtype": dtype, "rev": int(batch.rev)}


def _row(decision: Decision) -> dict[str, Any]:
    return {
        "start": int(decision.start),
        "stop": int(decision.stop),
        "label": decision.label,
        "confidence": float(decision.confidence),
        "scores": {name: float(score) for name, score in decision.scores},
        "evidence": float(decision.evidence),
    }


_TAILS: dict[type, Callable[[Any], dict[str, Any]]] = {
    Events: _events,
    Sound: _sound,
    Spikes: _spikes,
    Decisions: lambda batch: {"d": [_row(decision) for decision in batch.rows]},
    Weights: _weights,
    Stats: lambda batch: {"d": dict(batch.values)},
    Gap: lambda batch: {"why": batch.why},
}
"""What a batch has behind the keys that all have."""


def pieces(batch: Payload, max_frame: int = MAX_FRAME, ever: int = MAX_FRAME_EVER) -> Iterable[tuple[Payload, int]]:
    """Return the batch in contiguous pieces that each fit a frame, and how many rows had to be left out of each.

    Nearly always that is the batch itself, and 0. Rows of one single µs stay together, in a frame of up to ``ever``
    bytes; what does not even fit that is left out.
    """
    if type(batch) in _FLAT and len(batch) * EVENT.itemsize <= max_frame - _HEAD:
        return ((batch, 0),)
    return _pieces(batch, max_frame, ever)


_FLAT = (Events, Spikes)
"""What has rows of a fixed size, those of events being the larger ones."""


def _pieces(batch: Payload, max_frame: int, ever: int) -> Iterator[tuple[Payload, int]]:
    if isinstance(batch, Weights):
        fits = batch.values.nbytes <= ever - _HEAD
        yield (batch, 0) if fits else (replace(batch, values=batch.values.ravel()[:0]), len(batch))
        return
    if isinstance(batch, Sound):
        yield from ((piece, 0) for piece in _pieces_of_sound(batch, max_frame - _HEAD))
        return
    while not isinstance(batch, Stats | Gap):
        most, hardly = ((limit - _HEAD) // _row_bytes(batch) for limit in (max_frame, ever))
        if len(batch) <= most:
            break
        t = flow.stamps(batch)
        at = int(t[most])
        if t[0] == at:
            at += 1  # there is nothing to cut at before the µs is over
        piece, batch = flow.cut(batch, at)
        left = max(0, len(piece) - hardly)
        yield _first(piece, hardly), left
        if not len(batch) and batch.start == batch.stop:
            return
    yield batch, 0


def _pieces_of_sound(batch: Sound, most_bytes: int) -> Iterator[Sound]:
    """Yield the sound in pieces of so many bytes; each stops at the time its last sample does."""
    n, most = len(batch), max(1, most_bytes // (4 * batch.samples.shape[1]))
    start = batch.start
    for at in range(most, n, most):
        stop = batch.start + at * (batch.stop - batch.start) // n
        yield Sound(start, stop, batch.samples[at - most : at])
        start = stop
    yield Sound(start, batch.stop, batch.samples[(max(n, 1) - 1) // most * most :])


def _first(batch: Events | Spikes | Decisions, rows: int) -> Events | Spikes | Decisions:
    """Return the batch with its first ``rows`` rows only."""
    if isinstance(batch, Events):
        return replace(batch, data=batch.data[:rows])
    if isinstance(batch, Spikes):
        return replace(batch, t=batch.t[:rows], axon=batch.axon[:rows])
    return replace(batch, rows=batch.rows[:rows])


def _row_bytes(batch: Events | Spikes | Decisions) -> int:
    if isinstance(batch, Events):
        return EVENT.itemsize
    return SPIKE.itemsize if isinstance(batch, Spikes) else max(map(_decision_bytes, batch.rows), default=1)


def _decision_bytes(row: Decision) -> int:
    # Upper bounds of msgpack: 4 bytes a character, 5 a string's head, 9 a number; 96 are the keys and the rest.
    return 96 + 4 * len(row.label or "") + sum(14 + 4 * len(name) for name, _ in row.scores)
