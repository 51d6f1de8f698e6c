"""Weights as sums of few numbers: which axon types an input sits on, and what each neuron makes of a type.

An input that sits on n axons of n types gives neuron j any sum of some of its numbers s_j^0 .. s_j^(n-1). Where the
weights onto each neuron have no more than n values, those are the numbers. Otherwise the numbers start from patterns
such as (a, -a), (a, 2a, 4a, -8a) and (a, -a, b, -b), a on a grid, and weights and numbers take turns: each weight takes
the nearest sum, then the numbers are fitted to the weights by least squares. The best of all is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikestream.model.compile.net import BITS, TYPES, Array

PATTERNS: dict[int, tuple[tuple[float, ...], ...]] = {
    1: ((1,), (-1,)),
    2: ((1, -1), (1, 2), (-1, -2), (1, -2), (2, -1)),
    3: ((1, 2, 4), (1, 2, -4), (-1, -2, 4), (-1, -2, -4), (1, 2, -1), (1, -1, -2)),
    4: ((1, 2, 4, 8), (1, 2, 4, -8), (-1, -2, -4, 8), (-1, -2, -4, -8), (1, -1, 2, -2), (1, -1, 3, -3), (1, 2, 4, -1)),
}
GRID = (1.0, 0.8, 0.6, 0.45, 0.3)
"""Of the largest weight: what the largest sum of a pattern begins as."""
LOOKED_AT, TRIED, TURNS = 96, 3, 5
"""Weights of a neuron on which starts are compared, starts that are followed up, and for how many turns."""
AT_ONCE = 1 << 17
"""Weights looked at in one go."""
SAME = 1e-12
"""Two numbers closer than this part of the largest are one."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Weights onto J neurons, padded to the same number; where they come from does not matter here."""

    values: Array  # (J, m) float64, 0 where there is none
    there: Array  # (J, m) bool

    @classmethod
    def of(cls, target: Array, weights: Array, size: int) -> tuple[Rows, Array]:
        """Return the rows of ``size`` neurons, and where each weight (k,) is in them: j m + place."""
        order = np.argsort(target, kind="stable")
        counts = np.bincount(target, minlength=size)
        width = max(1, int(counts.max(initial=0)))
        begins = np.cumsum(counts) - counts
        at = np.empty(len(target), np.int64)
        at[order] = target[order] * width + np.arange(len(target)) - begins[target[order]]
        values, there = np.zeros(size * width), np.zeros(size * width, bool)
        values[at], there[at] = weights, True
        return cls(values.reshape(size, width), there.reshape(size, width)), at


def sums(numbers: Array) -> Array:
    """Return (J, 2^n): what each set of the numbers (J, n) adds up to; bit g of a set is number g."""
    bits = (np.arange(1 << numbers.shape[1])[:, None] >> np.arange(numbers.shape[1])) & 1
    return np.asarray(numbers @ bits.T)


def nearest(values: Array, numbers: Array) -> Array:
    """Return (J, m) uint8: the set whose sum is nearest to each of the ``values`` (J, m), of equal sums the fewest."""
    levels = sums(numbers)
    order = np.lexsort((np.broadcast_to(BITS[: levels.shape[1]], levels.shape), levels), axis=1)
    levels = np.take_along_axis(levels, order, axis=1)
    middle = (levels[:, 1:] + levels[:, :-1]) / 2
    place = np.zeros(values.shape, np.uint8)
    for k in range(middle.shape[1]):
        place += values > middle[:, k, None]
    fresh = np.append(np.full((len(levels), 1), True), np.diff(levels) > 0, axis=1)
    first = np.maximum.accumulate(np.where(fresh, np.arange(levels.shape[1]), 0), axis=1)
    codes = np.take_along_axis(order, first, axis=1).astype(np.uint8)
    return np.asarray(np.take_along_axis(codes, place.astype(np.intp), axis=1))


def squares(rows: Rows, numbers: Array) -> Array:
    """Return (J,): the sum of squares of what the weights miss."""
    reached = np.take_along_axis(sums(numbers), nearest(rows.values, numbers).astype(np.int64), axis=1)
    return np.asarray(((rows.values - reached) ** 2 * rows.there).sum(axis=1))


def fit(rows: Rows, n: int) -> tuple[Array, Array]:
    """Return the numbers (J, n) by which the weights are best reached with n types, and what they miss (J,)."""
    step = max(1, AT_ONCE // rows.values.shape[1])
    parts = []
    for begin in range(0, len(rows.values), step):
        own = slice(begin, begin + step)
        parts.append(_fit(Rows(rows.values[own], rows.there[own]), n))
    numbers, missed = zip(*parts, strict=True)
    return np.concatenate(numbers), np.concatenate(missed)


def _fit(rows: Rows, n: int) -> tuple[Array, Array]:
    numbers, missed = _distinct(rows, n)
    open_ = np.nonzero(missed > 0)[0]
    if len(open_):
        numbers[open_], missed[open_] = _best(Rows(rows.values[open_], rows.there[open_]), n)
    return numbers, missed


def _distinct(rows: Rows, n: int) -> tuple[Array, Array]:
    """Return the values themselves where a neuron has no more than n; infinity is missed where it has more."""
    numbers, missed = np.zeros((len(rows.values), n)), np.zeros(len(rows.values))
    ordered = np.sort(rows.values, axis=1)
    for j, row in enumerate(ordered):
        near = SAME * max(abs(row[0]), abs(row[-1]))
        values = row[np.append(True, np.diff(row) > near)]
        values = values[np.abs(values) > near]
        if len(values) > n:
            missed[j] = np.inf
        else:
            numbers[j, : len(values)] = values
    return numbers, missed


def _starts(rows: Rows, n: int) -> list[Array]:
    """Return numbers (J, n) to begin with."""
    size = np.abs(rows.values)
    most, least = size.max(axis=1), np.where(size > 0, size, np.inf).min(axis=1)
    made = []
    for pattern in np.array(PATTERNS[n], float):
        top = np.abs(sums(pattern[None])).max()
        made += [scale[:, None] * pattern for scale in (least, *(most * part / top for part in GRID))]
    return made


def _best(rows: Rows, n: int) -> tuple[Array, Array]:
    starts = np.array(_starts(rows, n))
    # All are looked at on some of the weights, in their order; the best of them on all.
    width = rows.values.shape[1]
    some = np.linspace(0, width - 1, min(width, LOOKED_AT)).astype(int)
    sample = np.sort(np.where(rows.there, rows.values, 0), axis=1)[:, some]
    every = np.tile(sample, (len(starts), 1))
    seen = squares(Rows(every, np.ones(every.shape, bool)), starts.reshape(-1, n)).reshape(len(starts), -1)
    best, numbers = np.full(len(rows.values), np.inf), np.zeros((len(rows.values), n))
    for rank in np.argsort(seen, axis=0, kind="stable")[:TRIED]:
        tried = _turns(rows, starts[rank, np.arange(len(rank))])
        missed = squares(rows, tried)
        better = missed < best
        numbers[better], best[better] = tried[better], missed[better]
    return numbers, best


def _turns(rows: Rows, numbers: Array) -> Array:
    """Return the numbers after weights and numbers have taken turns."""
    n = numbers.shape[1]
    for _ in range(TURNS):
        sets = nearest(rows.values, numbers)
        bits = ((sets[..., None] >> np.arange(n)) & 1).astype(float) * rows.there[..., None]
        square = bits.transpose(0, 2, 1) @ bits
        unused = square.diagonal(axis1=1, axis2=2) == 0
        # What no weight uses stays as it is; a little of what there is keeps dependent numbers apart.
        square = square + np.eye(n) * (unused + 1e-9)[:, :, None]
        side = np.einsum("jmn,jm->jn", bits, rows.values) + np.where(unused, numbers, 1e-9 * numbers)
        numbers = np.linalg.solve(square, side[..., None])[..., 0]
    return numbers


def exact_types(rows: Rows) -> int:
    """Return with how many types no weight misses anything, TYPES + 1 where no number of them is found."""
    total = (rows.values**2).sum()
    for n in range(1, TYPES + 1):
        missed = _distinct(rows, n)[1]
        for start in _starts(rows, n)[:: len(GRID) + 1]:  # those whose unit is the smallest weight
            open_ = missed > 0
            missed[open_] = squares(Rows(rows.values[open_], rows.there[open_]), start[open_])
            missed[missed <= SAME**2 * total] = 0
        if not missed.any():
            return n
    return TYPES + 1
