"""The readout of a code: a stage that turns spikes back into values, one row for each interval that ends.

It answers NaN where it cannot know: an interval heard in part or not at all, or no codeword in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import itemgetter

import numpy as np

from spikestream.batch import Array, Batch, Decision, Decisions, Spikes, concat, cut, no_spikes
from spikestream.errors import ModelError, SpikestreamError
from spikestream.stages.base import Account, State, take_over
from spikestream.stages.codes.base import LATEST, Code, whole

MOST_VALUES = 1 << 24
"""In one answer, 128 MiB: a longer batch has to be cut."""
MOST_LOST = 1 << 58
"""In the answer to a gap, which takes no memory but has to be numbered."""
NOWHERE = -(2**63)


@dataclass(frozen=True, slots=True)
class Values:
    """What was read in ``[start, stop)`` µs: ``rows`` (k, axons, ...) float64, one for each interval that ended in it.

    Row i belongs to ``[first + i interval_us, first + (i+1) interval_us)``, which may begin before ``start``.
    """

    start: int
    stop: int
    first: int
    interval_us: int
    rows: Array

    def __len__(self) -> int:
        return len(self.rows)

    def decisions(self, names: Sequence[str]) -> Decisions:
        """Return one decision a row: the name of the largest value, of equals the first; None where none is above 0.

        ``names`` has one name an axon; confidence is the largest value's share of all known ones. Raises `ModelError`
        where names and values do not fit.
        """
        if self.rows.ndim != 2 or self.rows.shape[1] != len(names):
            raise ModelError(f"{len(names)} names do not fit rows of {self.rows.shape[1:]}")
        begins = (self.first + i * self.interval_us for i in range(len(self.rows)))
        made = (self._decide(at, row, names) for at, row in zip(begins, self.rows, strict=True))
        return Decisions(self.start, self.stop, tuple(made))

    def _decide(self, start: int, row: Array, names: Sequence[str]) -> Decision:
        known = [(name, float(value)) for name, value in zip(names, row, strict=True) if value == value]
        label, best = max(known, key=itemgetter(1), default=("", 0.0))
        stop = start + self.interval_us
        if best <= 0:
            return Decision(start, stop, None, 0.0, tuple(known))
        return Decision(start, stop, label, best / sum(value for _, value in known), tuple(known))


class CodeReadout:
    """Reads a code: called with `Spikes`, returns the `Values` of the intervals that end in the batch.

    ``account`` counts spikes taken and rows given. It remembers the spikes of the interval under way and no more. Cut
    its input anywhere, inside an interval too: the rows are the same bit for bit. Raises `ConfigError`.
    """

    def __init__(self, code: Code, axons: int) -> None:
        whole("axons", axons, most=2**31 - 1)
        self.code, self.axons = code, axons
        self.account = Account(conserves=False)
        self._now = NOWHERE  # the end of the last batch
        self._lost = False  # a part of the interval under way was not heard
        self._held: list[Spikes] = []  # of the interval under way

    def __call__(self, batch: Batch) -> Values:
        """Return the rows of the intervals that end by ``batch.stop``.

        Raises `ModelError` for spikes on other axons, `SpikestreamError` for other batches, for time left out without
        a `skip`, and for a batch of too many rows.
        """
        spikes = self._checked(batch)
        self._begin(batch.start)
        rows = self._read(spikes, batch.start // self.code.interval_us, batch.stop // self.code.interval_us)
        self._now = batch.stop
        self.account.taken += len(batch)
        return self._given(batch.start, batch.stop, rows)

    def skip(self, start: int, stop: int) -> Values:
        """Return a row of NaN for each interval that ends in the gap ``[start, stop)`` µs; one view, not one array."""
        count = self._count(start, stop, MOST_LOST)
        self._begin(start)
        if stop > start:
            self._lost, self._held = bool(stop % self.code.interval_us), []
        self._now = stop
        return self._given(start, stop, np.broadcast_to(np.nan, (count, self.axons, *self.code.shape)))

    def state(self) -> State:
        """Return copies of the time and of the spikes of the interval under way."""
        held = concat([no_spikes(0, 0), *self._held])
        own = {"now": np.int64(self._now), "lost": np.bool_(self._lost), "t": held.t, "axon": held.axon}
        return {key: np.array(value) for key, value in own.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit this readout."""
        taken = take_over(self.state(), state, growing=("t", "axon"))
        now, t, axon = int(taken["now"]), taken["t"], taken["axon"]
        inside = len(t) == len(axon) and np.all((now // self.code.interval_us * self.code.interval_us <= t) & (t < now))
        if now != NOWHERE and abs(now) > LATEST:
            raise ModelError("the saved state contradicts itself: a time no stream reaches")
        if not inside or np.any(np.diff(t) < 0) or np.any((axon < 0) | (axon >= self.axons)):
            raise ModelError("the saved state contradicts itself: spikes out of their interval, or on no axon")
        self._now, self._lost = now, bool(taken["lost"])
        self._held = [Spikes(int(t[0]), now, t, axon)] if len(t) else []

    def _checked(self, batch: Batch) -> Spikes:
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"a code is read from spikes, not {type(batch).__name__}")
        if len(batch) and not 0 <= batch.axon.min() <= batch.axon.max() < self.axons:
            raise ModelError(f"axons {batch.axon.min()}..{batch.axon.max()} do not fit a readout of {self.axons}")
        self._count(batch.start, batch.stop, MOST_VALUES)
        return batch

    def _count(self, start: int, stop: int, most: int) -> int:
        count = stop // self.code.interval_us - start // self.code.interval_us
        if count * self.axons * prod(self.code.shape) > most:
            text = f"in [{start}, {stop}) µs end {count:,} intervals of {self.axons:,} axons: too many for one answer"
            raise SpikestreamError(text, remedy="cut it into shorter batches")
        return count

    def _begin(self, start: int) -> None:
        if self._now == NOWHERE:
            self._now, self._lost = start, bool(start % self.code.interval_us)
        if start != self._now:
            text = f"a batch starts at {start} µs, the last one stopped at {self._now} µs"
            raise SpikestreamError(text, remedy="call skip(start, stop) for time of which nothing is known")

    def _read(self, batch: Spikes, first: int, last: int) -> Array:
        if last == first:
            self._hold(batch)
            return np.empty((0, self.axons, *self.code.shape))
        done, rest = cut(batch, last * self.code.interval_us)
        heard = concat([*self._held, done])
        row, at = np.divmod(heard.t - first * self.code.interval_us, self.code.interval_us)
        cell, cells = row * self.axons + heard.axon, (last - first) * self.axons
        rows = self.code.read(at, cell, cells).reshape(-1, self.axons, *self.code.shape)
        if self._lost:
            rows[0] = np.nan
        self._held, self._lost = [], False
        self._hold(rest)
        return rows

    def _hold(self, batch: Spikes) -> None:
        if len(batch):  # copies: the batch is not ours
            self._held.append(Spikes(batch.start, batch.stop, batch.t.copy(), batch.axon.copy()))

    def _given(self, start: int, stop: int, rows: Array) -> Values:
        self.account.given += len(rows)
        first = start // self.code.interval_us * self.code.interval_us
        return Values(start, stop, first, self.code.interval_us, rows)
