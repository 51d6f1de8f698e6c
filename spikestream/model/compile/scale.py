"""From a cell's own units to whole numbers of the chip's widths: one factor for each neuron.

All of a neuron's numbers are multiplied by one factor and rounded. Factors are tried that make the smallest number of a
weight 1, 2, 3 .. 255, as far as everything keeps to its width; the one that rounds least is taken, the smallest of
equals: where weights, leak, reset and floor are multiples of one unit, nothing is rounded at all.
"""

from __future__ import annotations

import numpy as np

from spikestream.model.compile.membrane import Membrane
from spikestream.model.compile.net import CELLS, LOWEST, Array, Group

WEIGHT, LEAK, LEVEL, RESET = 255, 255, 2**18 - 1, 2**19 - 1
"""The most a weight, a leak, a threshold or floor, and a reset can be on a TrueNorth."""
EVEN = 1e-9
"""Nearer than this to a whole number, relative to it, is that number: thresholds are compared with sums of weights."""
AT_ONCE = 1 << 15


def factors(m: Membrane, numbers: Array) -> Array:
    """Return the factor of each neuron (J,) whose types' numbers are ``numbers`` (J, 4), in a cell's own units."""
    step = AT_ONCE // WEIGHT
    parts = [_factors(m, numbers, slice(k, k + step)) for k in range(0, len(numbers), step)]
    return np.concatenate(parts)


def _factors(m: Membrane, numbers: Array, own: slice) -> Array:
    size = np.abs(numbers[own])
    unit = np.where(size > 0, size, np.inf).min(axis=1)
    unit = np.where(np.isfinite(unit), unit, np.where(m.threshold[own] == 0, 1.0, np.abs(m.threshold[own])))
    most = np.full(len(unit), np.inf)
    kept = [(size.max(axis=1), WEIGHT), (np.abs(m.start[own]), RESET)]
    away = np.abs(np.where(m.forgets[own], m.threshold[own] - m.leak[own], m.leak[own]))
    kept += [(away, LEAK - 1), (np.where(m.forgets[own], 0, np.abs(m.threshold[own])), LEVEL - 1)]
    kept += [(np.where(np.isfinite(m.floor[own]), -m.floor[own], 0), LEVEL - 1), (np.abs(m.reset[own]), RESET)]
    for value, width in kept:
        with np.errstate(divide="ignore"):
            most = np.minimum(most, width / np.where(value > 0, value, 0))
    # Where not even the smallest weight gets to 1 within the widths, the largest factor there may be is the best.
    tried = np.minimum(np.arange(1, WEIGHT + 1) / unit[:, None], most[:, None])
    found = np.zeros(tried.shape)
    columns = [numbers[own], np.where(m.forgets[own], 0, m.leak[own])[:, None]]
    plain = ~m.forgets[own] & np.isfinite(m.floor[own])
    columns += [np.where(m.forgets[own], 0, m.reset[own])[:, None], np.where(plain, m.floor[own], 0)[:, None]]
    columns += [np.where(m.subtract & ~m.forgets[own], m.threshold[own], 0)[:, None]]
    columns += [np.where(m.forgets[own], 0, m.start[own])[:, None]]
    for value in np.concatenate(columns, axis=1).T:
        whole = value[:, None] * tried
        off = np.abs(whole - np.round(whole))
        found = np.maximum(found, np.where(off < EVEN * np.maximum(1, np.abs(whole)), 0, off / tried))
    best = np.argmin(np.round(found / unit[:, None], 12), axis=1)
    return np.asarray(tried[np.arange(len(tried)), best])


def rounded(value: Array) -> Array:
    """Return the nearest whole numbers, int64."""
    return np.round(value).astype(np.int64)


def lowest(value: Array, at: bool) -> Array:
    """Return the smallest whole numbers that reach ``value``, or with ``at`` False that lie above it."""
    near = np.round(value)
    value = np.where(np.abs(value - near) <= EVEN * np.maximum(1, np.abs(near)), near, value)
    return (np.ceil(value) if at else np.floor(value) + 1).astype(np.int64)


def group_of(name: str, m: Membrane, numbers: Array, factor: Array) -> Group:
    """Return the neurons of a membrane in whole numbers; ``numbers`` (J, 4) are in the cell's own units."""
    q = factor
    threshold, leak = lowest(m.threshold * q, m.at_threshold), rounded(m.leak * q)
    floor = np.where(np.isfinite(m.floor), np.minimum(-m.floor * q, LEVEL), LEVEL)
    floor, start = rounded(floor), rounded(m.start * q)
    if m.subtract:
        # What is taken away is the threshold itself: V is counted from 1 below, where firing means to lie above it.
        threshold, less = rounded(m.threshold * q), 0 if m.at_threshold else 1
        floor, start = np.minimum(floor + less, LEVEL), start - less
    away = lowest((m.threshold - m.leak) * q, m.at_threshold)
    return Group(
        name=name,
        weights=rounded(numbers * q[:, None]),
        leak=np.clip(np.where(m.forgets, 1 - away, leak), -LEAK, LEAK),
        reversal=m.reversal & ~m.forgets,
        threshold=np.clip(np.where(m.forgets, 1, threshold), 0, LEVEL),
        floor=np.where(m.forgets, 0, floor),
        reset=np.clip(np.where(m.forgets, 0, rounded(m.reset * q)), -RESET, RESET),
        subtract=m.subtract & ~m.forgets,
        v0=np.clip(np.where(m.forgets, 0, start), LOWEST, RESET),
        kind=CELLS,
    )
