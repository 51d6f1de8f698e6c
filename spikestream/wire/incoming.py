"""What a subscriber gets: data messages decoded and checked, and the gaps that stand for what it lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikestream import batch as flow
from spikestream.batch import EVENT, SPIKE, Array, Decision, Decisions, Events, Sound, Spikes
from spikestream.errors import ClientError, SpikestreamError
from spikestream.wire.outgoing import DTYPES

TIME_LIMIT = 2**62
"""Stream times beyond ± this many µs are refused, so that sums and differences of two fit int64."""
MOST_CHANNELS = 1_024


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """What a subscriber gets. Arrays are read-only.

    ``data`` is EVENT (n,), SPIKE (n,), float32 (n, channels), a tuple of decisions, or a dict (stats, gap, and weights:
    layer, rev and the array as values). A message
    about lost messages (`lost`) has the first lost number as ``seq``, their count as ``n``, and no times: 0. ``of`` is
    how many rows a message had before it was decimated on request.
    """

    kind: str
    topic: str
    seq: int
    published_ns: int
    start: int
    stop: int
    n: int
    data: Any
    size: tuple[int, int] | None = None
    of: int | None = None
    at: tuple[int, int] | None = None
    """Of decisions, when the batch they were made in came in, and when the pipeline was through with it, unix ns."""

    @property
    def lost(self) -> bool:
        """Return whether this stands for messages that this subscriber lost."""
        return self.kind == "gap" and "from" in self.data

    def batch(self) -> Events | Sound | Spikes | Decisions:
        """Return the content as it was published; raises `ClientError` for stats and gaps, which are no batches."""
        if self.kind == "events":
            return Events(self.start, self.stop, self.data, self.size)
        if self.kind == "spikes":
            t, axon = np.ascontiguousarray(self.data["t"]), np.ascontiguousarray(self.data["axon"])
            return Spikes(self.start, self.stop, t, axon)
        if self.kind == "sound":
            return Sound(self.start, self.stop, self.data)
        if self.kind == "decisions":
            return Decisions(self.start, self.stop, self.data)
        raise ClientError(f"a message of kind '{self.kind}' holds no batch")


def decode(fields: Mapping[str, Any]) -> Message:
    """Return a data message from its map; raises `ClientError` where a key is missing or wrong.

    Unknown keys are ignored. Of an unknown kind, ``data`` is what the message holds under ``d``.
    """
    kind, topic = _text(fields, "k"), _text(fields, "c")
    if kind == "gap" and "from" in fields:
        return _lost(topic, fields)
    start, stop = _time(fields, "t0"), _time(fields, "t1")
    if start > stop:
        raise ClientError(f"a message runs backwards: [{start}, {stop})")
    n = _count(fields, "n")
    content = DECODERS[kind](fields, n) if kind in DECODERS else fields.get("d")
    size = _size(fields) if kind == "events" else None
    of = _count(fields, "of") if "of" in fields else None
    if of is not None and of < n:
        raise ClientError(f"a message has {n} rows of {of}")
    made = _count(fields, "s"), _count(fields, "t")
    message = Message(kind, topic, *made, start, stop, n, content, size, of, _made_at(fields))
    if kind in ("events", "spikes"):
        _lawful(message)
    return message


def _made_at(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the two times of key ``at``, None where they are not there."""
    at = fields.get("at")
    if at is None:
        return None
    if type(at) is not list or len(at) != 2 or not all(type(one) is int and 0 <= one < 2**63 for one in at):
        raise ClientError("'at' is not two times in unix ns")
    return at[0], at[1]


def _lost(topic: str, fields: Mapping[str, Any]) -> Message:
    start, stop, n = (_count(fields, key) for key in ("from", "to", "n"))
    rows = _count(fields, "rows") if "rows" in fields else None
    if stop - start != n or n < 1:
        raise ClientError(f"a gap from {start} to {stop} cannot stand for {n} messages")
    return Message("gap", topic, start, 0, 0, 0, n, {"from": start, "to": stop, "rows": rows, "why": _why(fields)})


def _lawful(message: Message) -> None:
    try:
        flow.check(message.batch())
    except SpikestreamError as error:
        raise ClientError(f"message {message.seq} of {message.topic}: {error.what}") from error


def _rows(fields: Mapping[str, Any], n: int, row: np.dtype[Any]) -> Array:
    data = fields.get("d")
    if type(data) is not bytes or len(data) != n * row.itemsize:
        raise ClientError(f"a message of {n} rows must hold {n * row.itemsize} bytes of data")
    return np.frombuffer(data, row)


def _events(fields: Mapping[str, Any], n: int) -> Array:
    rows = _rows(fields, n, EVENT)
    if n and rows["p"].view(np.uint8).max() > 1:
        raise ClientError("a polarity is neither 0 nor 1")
    return rows


def _spikes(fields: Mapping[str, Any], n: int) -> Array:
    rows = _rows(fields, n, SPIKE)
    if n and rows["axon"].min() < 0:
        raise ClientError("an axon is negative")
    return rows


def _sound(fields: Mapping[str, Any], n: int) -> Array:
    channels = fields.get("channels")
    if type(channels) is not int or not 1 <= channels <= MOST_CHANNELS:
        raise ClientError(f"sound without a number of channels from 1 to {MOST_CHANNELS:,}")
    samples = _rows(fields, n, np.dtype(("<f4", (channels,))))
    if not np.isfinite(samples).all():
        raise ClientError("sound that is not finite")
    return samples


def _decisions(fields: Mapping[str, Any], n: int) -> tuple[Decision, ...]:
    rows = fields.get("d")
    if type(rows) is not list or len(rows) != n or not all(type(row) is dict for row in rows):
        raise ClientError(f"a message of {n} decisions must hold {n} maps")
    return tuple(_decision(row) for row in rows)


def _decision(row: Mapping[str, Any]) -> Decision:
    label, scores = row.get("label"), row.get("scores")
    if "label" not in row or not (label is None or type(label) is str) or type(scores) is not dict:
        raise ClientError("a decision needs a label or nil, and a map of scores")
    if not all(type(name) is str for name in scores):
        raise ClientError("a decision's scores are named by texts")
    marks = tuple((name, _number(scores, name)) for name in scores)
    start, stop = _time(row, "start"), _time(row, "stop")
    return Decision(start, stop, label, _number(row, "confidence"), marks, _number(row, "evidence"))


def _weights(fields: Mapping[str, Any], n: int) -> dict[str, Any]:
    shape, dtype, layer = fields.get("shape"), fields.get("dtype"), fields.get("layer")
    if type(dtype) is not str or dtype not in DTYPES or type(layer) is not str:
        raise ClientError(f"weights need a text under 'layer' and one of {', '.join(DTYPES)} under 'dtype'")
    if type(shape) is not list or not 1 <= len(shape) <= 8 or not all(type(s) is int and 0 <= s <= n for s in shape):
        raise ClientError("the shape of weights is not 1 to 8 sizes")
    if math.prod(shape) != n:
        raise ClientError(f"weights of shape {shape} are not {n}")
    values = _rows(fields, n, DTYPES[dtype]).reshape(shape)
    return {"layer": layer, "rev": _count(fields, "rev"), "values": values}


def _stats(fields: Mapping[str, Any], n: int) -> dict[str, Any]:
    if type(fields.get("d")) is not dict:
        raise ClientError("stats hold no map")
    return dict(fields["d"])


def _gap(fields: Mapping[str, Any], n: int) -> dict[str, Any]:
    return {"why": _why(fields)}


DECODERS: dict[str, Callable[[Mapping[str, Any], int], Any]] = {
    "events": _events,
    "spikes": _spikes,
    "sound": _sound,
    "decisions": _decisions,
    "weights": _weights,
    "stats": _stats,
    "gap": _gap,
}


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if type(value) is not str:
        raise ClientError(f"a message without a text under '{key}'")
    return value


def _why(fields: Mapping[str, Any]) -> str:
    return _text(fields, "why")


def _count(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key)
    if type(value) is not int or value < 0:
        raise ClientError(f"a message without a count under '{key}'")
    return value


def _time(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key)
    if type(value) is not int or abs(value) > TIME_LIMIT:
        raise ClientError(f"a message without a stream time under '{key}'")
    return value


def _number(fields: Mapping[str, Any], key: str) -> float:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClientError(f"a message without a number under '{key}'")
    return float(value)


def _size(fields: Mapping[str, Any]) -> tuple[int, int] | None:
    size = fields.get("size")
    if size is None:
        return None
    if type(size) is not list or len(size) != 2 or not all(type(side) is int and 0 < side <= 65536 for side in size):
        raise ClientError("a sensor size is not two numbers of pixels")
    return size[0], size[1]
