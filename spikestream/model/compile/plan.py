"""Which links onto cells share axon types, and how many types each of them gets: four there are in all.

Links are tried together on the same types, each on types of its own, and those that need but one type on their own with
the others together. What misses no more than the tolerance with the fewest axons is taken, else what misses least, of
what fits a core; where nothing fits, what needs the fewest axons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from spikestream.model.compile.codes import SAME, Rows, exact_types, fit, nearest
from spikestream.model.compile.net import BITS, TYPES, Array
from spikestream.model.compile.options import Options

Groups = tuple[tuple[int, ...], ...]
"""Numbers of links, those that share types together."""
Fits = dict[tuple[int, tuple[int, ...], tuple[int, ...]], Array]
"""Numbers that were fitted, by how many for which links, and for what is left out how many axons each link takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What links onto J cells sit on: ``numbers`` (J, 4) in the cells' units, and the types of each link."""

    numbers: Array
    types: tuple[tuple[int, ...], ...]  # of each link
    kept: tuple[Array, ...]  # of each link (J, m) bool: weights that are not left out
    missed: float  # relative rms, the mean over links
    axons: int  # of the neuron that needs most


def plan_of(links: Sequence[Rows], name: str, options: Options, whole: int = -1) -> Plan:
    """Return the best plan for the links onto the cells ``name``; nothing is left out of link ``whole``."""
    need = [exact_types(rows) for rows in links]
    fixed, plans = options.types(name), []
    fits: Fits = {}
    if sum(need) <= TYPES and max(need, default=0) <= (fixed or TYPES):  # nothing is missed, unless it does not fit
        plans.append(_plan(links, tuple((k,) for k in range(len(links))), need, fits, (options, whole)))
        if plans[0].axons <= options.axons and plans[0].missed <= SAME:
            return plans[0]
    for groups in _groupings(len(links), need):
        most = [_most(links, group, fixed) for group in groups]
        counts = [own for own in product(*(range(1, count + 1) for count in most)) if sum(own) <= TYPES]
        plans += [_plan(links, groups, own, fits, (options, whole)) for own in counts]
    return _best(plans, options)


def _groupings(count: int, need: Sequence[int]) -> Iterator[Groups]:
    every, alone = tuple(range(count)), tuple(k for k in range(count) if need[k] == 1)
    if count <= TYPES:
        yield tuple((k,) for k in every)
    rest = tuple(k for k in every if k not in alone)
    if len(rest) > 1 and 0 < len(alone) < TYPES:
        yield (*((k,) for k in alone), rest)
    if count > 1:
        yield (every,)


def _together(links: Sequence[Rows], group: Sequence[int]) -> Rows:
    parts = [links[k] for k in group]
    return Rows(np.concatenate([p.values for p in parts], axis=1), np.concatenate([p.there for p in parts], axis=1))


def _most(links: Sequence[Rows], group: Sequence[int], fixed: int) -> int:
    """Return the most types worth trying for a group."""
    exact = exact_types(_together(links, group))
    return min(exact, fixed or TYPES, TYPES)


def _plan(
    links: Sequence[Rows],
    groups: Groups,
    counts: Sequence[int],
    fits: Fits,
    asked: tuple[Options, int],
) -> Plan:
    numbers = np.zeros((len(links[0].values), TYPES))
    types: list[tuple[int, ...]] = [()] * len(links)
    begin, missed, axons = 0, [], np.zeros(len(numbers), np.int64)
    cost = [next(n for group, n in zip(groups, counts, strict=True) if k in group) for k in range(len(links))]
    kept = _kept(links, cost, *asked)
    full = all(own is rows.there for rows, own in zip(links, kept, strict=True))
    left = [Rows(rows.values * own, own) for rows, own in zip(links, kept, strict=True)]
    for group, count in zip(groups, counts, strict=True):
        own = tuple(range(begin, begin + count))
        key = (count, group, () if full else tuple(cost))
        if key not in fits:
            fits[key] = fit(_together(left, group), count)[0]
        numbers[:, own] = fits[key]
        for k in group:
            types[k] = own
            sets = nearest(left[k].values, numbers[:, own])
            axons += (BITS[sets] * kept[k]).sum(axis=1)
            missed.append(_missed(links[k], numbers[:, own], sets))
        begin += count
    return Plan(numbers, tuple(types), kept, float(np.sqrt(np.mean(missed))), int(axons.max(initial=0)))


def _kept(links: Sequence[Rows], cost: Sequence[int], options: Options, whole: int) -> tuple[Array, ...]:
    """Return the weights that are not left out: where that is allowed, the strongest for the axons they take."""
    widths = [rows.values.shape[1] for rows in links]
    there = np.concatenate([rows.there for rows in links], axis=1)
    price = np.repeat(cost, widths) * there
    if options.fan_in != "prune" or np.all(price.sum(axis=1) <= options.axons):
        return tuple(rows.there for rows in links)
    worth = np.concatenate([rows.values for rows in links], axis=1) ** 2 / np.repeat(cost, widths)
    worth[:, np.repeat([k == whole for k in range(len(links))], widths)] = np.inf
    order = np.argsort(-worth, axis=1, kind="stable")
    paid = np.cumsum(np.take_along_axis(price, order, axis=1), axis=1) <= options.axons
    kept = np.zeros(there.shape, bool)
    np.put_along_axis(kept, order, paid, axis=1)
    return tuple(np.split(kept & there, np.cumsum(widths)[:-1], axis=1))


def _missed(rows: Rows, numbers: Array, sets: Array) -> float:
    bits = (sets[..., None] >> np.arange(numbers.shape[1])) & 1
    off = (rows.values - np.einsum("jmn,jn->jm", bits, numbers)) * rows.there
    total = float((rows.values**2).sum())
    return float((off**2).sum()) / total if total else 0.0


def _best(plans: Sequence[Plan], options: Options) -> Plan:
    fitting = [one for one in plans if one.axons <= options.axons]
    if not fitting:
        return min(plans, key=lambda one: (one.axons, one.missed))
    good = [one for one in fitting if one.missed <= options.tolerance]
    if good:
        return min(good, key=lambda one: (one.axons, one.missed))
    return min(fitting, key=lambda one: (one.missed, one.axons))
