"""Cores onto the mesh: simulated annealing on the hops between cores that talk to each other.

Where a core sits changes nothing but how far its spikes travel. Hops are counted as if each neuron fired once. Swaps of
two places are tried, a fixed number of them; one that costs hops is taken with probability exp(-cost / temperature).
"""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np

from spikestream.model.compile.net import Array
from spikestream.model.compile.options import Progress

OFTEN = 1000
COLDEST = 0.01
"""Of the temperature at the start, that at the end."""


def place(ways: Array, cores: int, steps: int, seed: int, progress: Progress) -> tuple[Array, tuple[int, int], int]:
    """Return where each core sits (C, 2) int32, the mesh (columns, rows), and the hops there were at first.

    ``ways`` (k, 3) are from core, to core, and how many neurons send there.
    """
    columns = math.ceil(math.sqrt(cores))
    rows = -(-cores // columns)
    places = columns * rows
    spot = np.arange(cores)
    before = hops(ways, _xy(spot, columns))
    if cores > 2 and before:
        spot = _annealed(_beside(ways, cores), (columns, places), steps, seed, progress)
    after = hops(ways, _xy(spot, columns))
    return _xy(spot if after <= before else np.arange(cores), columns), (columns, rows), before


def hops(ways: Array, xy: Array) -> int:
    """Return the hops of one spike of every neuron."""
    apart = np.abs(xy[ways[:, 0]] - xy[ways[:, 1]]).sum(axis=1)
    return int((apart * ways[:, 2]).sum())


def _xy(spot: Array, columns: int) -> Array:
    """Return columns and rows: every second row runs backwards, so that neighbours in number are neighbours."""
    x, y = spot % columns, spot // columns
    return np.stack([np.where(y % 2, columns - 1 - x, x), y], axis=1).astype(np.int32)


def _beside(ways: Array, cores: int) -> list[tuple[Array, Array]]:
    """Return for each core the others it talks to, and how many neurons do in both directions."""
    both = np.concatenate([ways, ways[:, [1, 0, 2]]])
    both = both[both[:, 0] != both[:, 1]]
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    edges = np.searchsorted(both[:, 0], np.arange(cores + 1))
    return [(both[a:b, 1], both[a:b, 2]) for a, b in pairwise(edges.tolist())]


def _annealed(
    beside: list[tuple[Array, Array]], mesh: tuple[int, int], steps: int, seed: int, progress: Progress
) -> Array:
    """Return the place of each core."""
    columns, places = mesh
    cores = len(beside)
    xy, spots = _xy(np.arange(places), columns), np.arange(places)  # spots[:cores] are the cores'
    at = xy[:cores].copy()
    holds = np.where(spots < cores, spots, -1)
    draw = random.Random(seed)
    hot = max(1.0, float(np.mean([count.sum() for _, count in beside])))
    cooling = COLDEST ** (1 / max(steps, 1))
    best, cost, least = spots[:cores].copy(), 0, 0
    for step in range(steps):
        if step % OFTEN == 0:
            progress("place", step / steps)
        hot *= cooling
        core, spot = draw.randrange(cores), draw.randrange(places)
        old, other = spots[core], holds[spot]
        if spot == old:
            continue
        worse = _moved(beside[core], at, xy[spot], core, other)
        if other >= 0:
            worse += _moved(beside[other], at, xy[old], other, core)
        if worse <= 0 or draw.random() < math.exp(-worse / hot):
            spots[core], holds[spot], holds[old], at[core] = spot, core, other, xy[spot]
            if other >= 0:
                spots[other], at[other] = old, xy[old]
            cost += worse
            if cost < least:
                best, least = spots[:cores].copy(), cost
    return best


def _moved(beside: tuple[Array, Array], at: Array, to: Array, core: int, other: int) -> int:
    """Return how many hops more it takes if ``core`` sits at ``to``; its way to ``other``, who swaps, stays."""
    who, count = beside
    others = at[who]
    apart = np.abs(others - to).sum(axis=1) - np.abs(others - at[core]).sum(axis=1)
    apart[who == other] = 0
    return int((apart * count).sum())
