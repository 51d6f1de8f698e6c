"""The latest spikes of an input or a population, in a ring, from which projections fetch those whose delay is over.

``start[k & MASK]`` is how many spikes the source made before tick k; spike number e is ``ids[e & (len(ids) - 1)]``.
"""

from __future__ import annotations

from typing import NamedTuple

from spikestream.kernels import Array, compiled

RING = 128
"""Ticks that a ring remembers, a power of two: more than the longest delay, and one."""
MASK = RING - 1


class Source(NamedTuple):
    """The latest spikes of an input or a population."""

    ids: Array  # (2**k,) int32
    start: Array  # (RING,) int64
    offset: Array  # (2,) int64: its first axon, or number going out, and one more than its last


@compiled
def hear(source: Source, t: Array, axon: Array, first: int, end: int, n: int) -> int:
    """Take the spikes of an input from number ``first`` up to time ``end`` µs as those of tick n; return the next."""
    low, high = source.offset[0], source.offset[1]
    room, made, e = len(source.ids) - 1, source.start[n & MASK], first
    while e < len(t) and t[e] < end:
        if low <= axon[e] < high:
            source.ids[made & room] = axon[e] - low
            made += 1
        e += 1
    source.start[(n + 1) & MASK] = made
    return e


@compiled
def keep(source: Source, fired: Array, count: int, n: int) -> None:
    """Take what a population fired in tick n."""
    room, made = len(source.ids) - 1, source.start[n & MASK]
    for f in range(count):
        source.ids[(made + f) & room] = fired[f]
    source.start[(n + 1) & MASK] = made + count


@compiled
def publish(source: Source, fired: Array, count: int, n: int, out_tick: Array, out_neuron: Array, made: int) -> int:
    """Write what a population fired in tick n behind the ``made`` spikes that went out; return how many there are."""
    for f in range(count):
        out_tick[made + f] = n
        out_neuron[made + f] = source.offset[0] + fired[f]
    return made + count


@compiled
def lateral(weight: float, into: Array, source: Source, m: int, kept: Array) -> None:
    """Add to every neuron ``weight`` times the number of others that fired in tick m."""
    first, stop = source.start[m & MASK], source.start[(m + 1) & MASK]
    if first == stop:
        return
    ids, room = source.ids, len(source.ids) - 1
    more, own = into.dtype.type(weight * (stop - first)), into.dtype.type(weight * (stop - first - 1))
    for e in range(first, stop):
        j = ids[e & room]
        kept[j] = into[j] + own
    for j in range(len(into)):
        into[j] += more
    for e in range(first, stop):
        into[ids[e & room]] = kept[ids[e & room]]
