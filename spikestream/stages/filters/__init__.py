"""The filter stage: events go through a row of filters, and every event that does not come out is counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from spikestream.batch import Array, Batch, Events, no_events
from spikestream.errors import ConfigError, nearest
from spikestream.stages.base import Account, State, known_size, take_over
from spikestream.stages.filters.base import Filter, Size
from spikestream.stages.filters.kinds import KINDS
from spikestream.stages.filters.options import parse_filter

__all__ = ["KINDS", "Filters", "parse_filter"]

LOSSY = ("rate_limit",)
"""Kinds that lose good events because there are too many; the others remove what nobody wants."""


def _known(size: Size | None) -> Size:
    size = known_size(size)
    if not all(1 <= side <= 65_536 for side in size):
        raise ConfigError(
            f"a sensor cannot have {size[0]}x{size[1]} pixels",
            key="sensor.size",
            value=size,
            allowed="1 to 65,536 a side",
        )
    return size


def _listed(rows: object) -> list[Mapping[str, object]]:
    """Return the rows as a list; raises `ConfigError` where they are none."""
    if isinstance(rows, Iterable) and not isinstance(rows, str | Mapping):
        listed = list(rows)
        if all(isinstance(row, Mapping) for row in listed):
            return listed
    allowed = "a list of mappings, as [{'kind': 'refractory', 'period_ms': 2.0}]"
    raise ConfigError(f"{rows!r} are no rows of filters", key="filter", value=rows, allowed=allowed)


def _build(row: Mapping[str, object], size: Size) -> tuple[str, Filter]:
    name = row.get("kind")
    if not isinstance(name, str):
        raise ConfigError("a filter needs a 'kind'", key="filter.kind", value=name, allowed=", ".join(KINDS))
    if name not in KINDS:
        close = nearest(name, KINDS)
        raise ConfigError(
            f"unknown filter '{name}'", key="filter.kind", value=name, allowed=", ".join(KINDS), nearest=close
        )
    return name, KINDS[name].build(name, row, size)


class Filters:
    """A row of filters as one stage; each feeds the next, ``size`` (width, height) is the size going out.

    Each row is a mapping ``{"kind": …, option: value, …}``, see docs/filters.md. Raises `ConfigError` for a row that
    is not understood and where the ``size`` coming in is not known.
    """

    def __init__(self, rows: Sequence[Mapping[str, object]] = (), size: Size | None = None) -> None:
        self.size = self._size_in = _known(size)
        self._filters: list[tuple[str, Filter]] = []
        self.account = Account(dropped={"outside": 0})
        for row in _listed(rows):
            kind, made = _build(row, self.size)
            self._filters.append((kind, made))
            self._counts(kind)[kind] = 0
            self.size = made.size

    def __call__(self, batch: Batch) -> Events:
        """Return the events of `batch` that pass every filter, over the same interval."""
        if not isinstance(batch, Events):
            raise ConfigError(f"filters take events, not {type(batch).__name__.lower()}", key="filter")
        self.account.taken += len(batch.data)
        data = self._inside(batch.data)
        for kind, one in self._filters:
            passed = one(data)
            self._counts(kind)[kind] += len(data) - len(passed)
            data = passed
        self.account.given += len(data)
        return Events(batch.start, batch.stop, data, self.size)

    def skip(self, start: int, stop: int) -> Events:
        """Return silence over the gap ``[start, stop)`` µs; memory is kept, time has simply passed."""
        return no_events(start, stop, self.size)

    def state(self) -> State:
        """Return copies of what the filters remember, as ``<place in the row>.<kind>.<name>``."""
        return {name: array.copy() for name, array in self._memory().items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it is that of other filters or another size."""
        memory = self._memory()
        for name, array in take_over(memory, state).items():
            memory[name][...] = array

    def _memory(self) -> dict[str, Array]:
        return {
            f"{place}.{kind}.{name}": array
            for place, (kind, one) in enumerate(self._filters)
            for name, array in one.memory.items()
        }

    def _counts(self, kind: str) -> dict[str, int]:
        return self.account.dropped if kind in LOSSY else self.account.filtered

    def _inside(self, data: Array) -> Array:
        width, height = self._size_in
        inside = (data["x"] < width) & (data["y"] < height)
        outside = len(data) - int(np.count_nonzero(inside))
        self.account.dropped["outside"] += outside
        return np.compress(inside, data) if outside else data
