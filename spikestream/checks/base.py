"""What the suites share: a law in words with its check, and how batches are compared, shifted and spoiled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np

from spikestream.batch import EVENT, Array, Batch, Decision, Decisions, Events, Sound, Spikes, check, concat
from spikestream.errors import PluginError, SpikestreamError

Check: TypeAlias = tuple[str, Callable[[], None]]
"""A law's name, and what raises `PluginError` where the law is broken."""


@dataclass(frozen=True, slots=True)
class Law:
    """One law: ``breach`` returns what was seen against it, "" where it holds; anything it raises breaks it too."""

    name: str
    words: str
    breach: Callable[..., str]


def suite(kind: str, laws: Iterable[Law], *args: object) -> Iterator[Check]:
    """Yield one named check per law; ``args`` are what each ``breach`` is called with."""
    for law in laws:
        yield law.name, partial(_judge, kind, law, args)


def _judge(kind: str, law: Law, args: tuple[object, ...]) -> None:
    words = f"the {kind} breaks the law '{law.name}': {law.words}"
    try:
        seen = law.breach(*args)
    except Exception as error:
        raise PluginError(words, details=[f"it raised {type(error).__name__}: {error}"]) from error
    if seen:
        raise PluginError(words, details=[seen])


def arrays(batch: Batch) -> tuple[Array, ...]:
    """Return the arrays that hold a batch's content."""
    if isinstance(batch, Events):
        return (batch.data,)
    if isinstance(batch, Spikes):
        return batch.t, batch.axon
    return (batch.samples,) if isinstance(batch, Sound) else ()


def show(batch: Batch) -> str:
    """Return a batch in a few words, e.g. ``3 spikes in [0, 1000)``."""
    return f"{len(batch)} {type(batch).__name__.lower()} in [{batch.start}, {batch.stop})"


def same_array(a: Array, b: Array) -> bool:
    """Return whether two arrays are equal bit for bit, type and shape included."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def same(a: Batch, b: Batch) -> bool:
    """Return whether two batches are equal bit for bit."""
    return (
        (type(a), a.start, a.stop) == (type(b), b.start, b.stop)
        and all(map(same_array, arrays(a), arrays(b)))
        and all(getattr(a, name, None) == getattr(b, name, None) for name in ("rows", "size"))
    )


def difference(expected: Sequence[Batch], seen: Sequence[Batch]) -> str:
    """Return the first difference of two rows of batches in words, "" where there is none."""
    for i, (a, b) in enumerate(zip(expected, seen, strict=False)):
        if not same(a, b):
            return f"batch {i}: {show(a)} expected, {show(b)} seen" + (
                ", of other content" if show(a) == show(b) else ""
            )
    return "" if len(expected) == len(seen) else f"{len(expected)} batches expected, {len(seen)} seen"


def malformed(batch: object) -> str:
    """Return why a batch is not what `spikestream.batch` says it is, "" where it is."""
    if not isinstance(batch, Events | Sound | Spikes | Decisions):
        return f"{type(batch).__name__} is no batch"
    if {type(batch.start), type(batch.stop)} != {int}:
        return f"{show(batch)}: start is {type(batch.start).__name__}, stop {type(batch.stop).__name__}, not int"
    if wrong := _wrong_arrays(batch):
        return f"{show(batch)}: {wrong}"
    try:
        check(batch)
    except SpikestreamError as error:
        return str(error)
    return ""


def _wrong_arrays(batch: Batch) -> str:
    if isinstance(batch, Events):
        right = batch.data.dtype == EVENT and batch.data.ndim == 1
        return "" if right else f"data is {_form(batch.data)}, not (n,) EVENT"
    if isinstance(batch, Sound):
        right = batch.samples.dtype == np.float32 and batch.samples.ndim == 2
        return "" if right else f"samples are {_form(batch.samples)}, not (n, channels) float32"
    if isinstance(batch, Decisions):
        right = isinstance(batch.rows, tuple) and all(isinstance(row, Decision) for row in batch.rows)
        return "" if right else "rows is no tuple of Decision"
    right = batch.t.dtype == np.int64 and batch.axon.dtype == np.int32 and batch.t.shape == batch.axon.shape
    return (
        "" if right and batch.t.ndim == 1 else f"t is {_form(batch.t)}, axon {_form(batch.axon)}, not (n,) int64, int32"
    )


def _form(array: Array) -> str:
    return f"{array.shape} {array.dtype}"


def joined(batches: Sequence[Batch]) -> Batch:
    """Return batches of one kind that follow one another as one."""
    return cast(Batch, concat(cast(Any, batches)))


def shifted(batch: Batch, by: int) -> Batch:
    """Return a copy of a batch, ``by`` µs later."""
    moved = copy.deepcopy(replace(batch, start=batch.start + by, stop=batch.stop + by))
    if isinstance(moved, Events):
        moved.data["t"] += by
    elif isinstance(moved, Spikes):
        np.add(moved.t, by, out=moved.t)
    elif isinstance(moved, Decisions):
        rows = tuple(replace(row, start=row.start + by, stop=row.stop + by) for row in moved.rows)
        return replace(moved, rows=rows)
    return moved


def spoil(*places: Array) -> None:
    """Overwrite arrays, as their owner may once he has them back."""
    for array in places:
        if array.flags.writeable:
            array[...] = np.frombuffer(b"\x01" * array.dtype.itemsize, array.dtype).reshape(())
