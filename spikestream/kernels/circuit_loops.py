"""The loops of a circuit over cells and weights: arrays and numbers in, nothing of the circuit around them.

`circuit` tells the law of a step. These are apart because a vector loop is only a vector loop where its arrays come as
arguments, and all numbers in them have the type of these arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.circuit_design import AT, CROSSING, LATE_RESET, LATE_SPIKES, OLD, SEVERAL, SUBTRACT


@compiled
def copy(target: Array, source: Array) -> None:
    """Write ``source`` into the beginning of ``target``."""
    for k in range(len(source)):
        target[k] = source[k]


@compiled
def listed(values_in: Array, ids: Array, values: Array) -> int:
    """Write what is not zero as addresses and values; return how much it is."""
    made = 0
    for j in range(len(values_in)):
        value = values_in[j]
        if value != 0:
            ids[made] = j
            values[made] = value
            made += 1
    return made


@compiled
def _add(x: Array, weights: Array, value: Any) -> None:
    for k in range(len(x)):
        x[k] += weights[k] * value


@compiled
def gather(x: Array, ids: Array, values: Array, first: Array, post: Array, weights: Array) -> None:
    """Add to ``x`` the rows of ``weights`` of all ``ids``, each times its value."""
    for e in range(len(ids)):
        begin, end, value = first[ids[e]], first[ids[e] + 1], values[e]
        if begin == end:
            continue
        j = np.int64(post[begin])
        if post[end - 1] - j == end - 1 - begin:  # neighbours all: no addresses are needed
            _add(x[j : j + end - begin], weights[begin:end], value)
        else:
            for k in range(begin, end):
                x[post[k]] += weights[k] * value


@compiled
def flow(x: Array, i: Array, decay: Array, gain: Array, flags: int) -> None:
    """Pass input through a current: ``x`` becomes what reaches the membrane."""
    old = flags & OLD != 0
    for j in range(len(x)):
        before = i[j]
        now = decay[j] * before + gain[j] * x[j]
        i[j] = now
        x[j] = before if old else now


@compiled
def integrate(v: Array, x: Array, decay: Array, gain: Array, drift: Array, floor: Array) -> None:
    """Decay and add what reaches the membrane."""
    for j in range(len(v)):
        v[j] = max(decay[j] * v[j] + gain[j] * x[j] + drift[j], floor[j])


@compiled
def fire(v: Array, threshold: Array, reset_to: Array, flags: int, ids: Array, values: Array) -> int:
    """Let cells fire that spike once and are reset at once; return how many did."""
    made, subtract, at = 0, flags & SUBTRACT != 0, flags & AT != 0
    for j in range(len(v)):
        u, top = v[j], threshold[j]
        if u > top or (at and u == top):
            ids[made] = j
            values[made] = 1
            v[j] = u - (top - reset_to[j]) if subtract else reset_to[j]
            made += 1
    return made


@compiled
def _crossed(was: Any, y: Any, decay: Any, drive: Any, top: Any, reset_to: Any, one: Any) -> Any:
    """Return v at a step's end where it was reset at the moment it crossed ``top``, ``drive`` being its slope."""
    if decay == one:
        return was + drive - (top - reset_to)
    goal = drive / (one - decay)
    rest = decay if was >= top or goal <= top else decay * (goal - was) / (goal - top)
    return goal - (goal - reset_to) * rest


@compiled
def fire_fully(
    cells: tuple[Array, Array, Array, Array, Array, Array],
    own: tuple[Array, Array, Array],
    was: Array,
    x: Array,
    flags: int,
    most: Any,
    ids: Array,
    values: Array,
) -> int:
    """Do what `fire` does for cells of any kind.

    ``cells`` = (decay, gain, drift, threshold, reset_to, refractory), ``own`` = (v, owed, left).
    """
    decay, gain, drift, threshold, reset_to, refractory = cells
    v, owed, left = own
    made, one = 0, v.dtype.type(1)
    for j in range(len(v)):
        u, top, low, spikes = v[j], threshold[j], reset_to[j], v.dtype.type(0)
        before = owed[j]
        if flags & LATE_RESET and before > 0:
            u = u - before * (top - low) if flags & SUBTRACT else low
        if left[j] > 0:
            left[j] -= 1
            u = low
        elif u > top or (flags & AT and u == top):
            spikes = min(np.floor(u / top), most) if flags & SEVERAL else one
            left[j] = refractory[j]
            if flags & CROSSING:
                u = _crossed(was[j], x[j], decay[j], gain[j] * x[j] + drift[j], top, low, one)
            elif not flags & LATE_RESET:
                u = u - spikes * (top - low) if flags & SUBTRACT else low
        v[j] = u
        owed[j] = spikes
        given = before if flags & LATE_SPIKES else spikes
        if given > 0:
            ids[made] = j
            values[made] = given
            made += 1
    return made
