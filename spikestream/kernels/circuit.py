"""A circuit of leaky cells in discrete steps, in float64 or float32: groups in their order, spikes by events.

Order inside step n, group by group; what a letter means is told in `spikestream.model.circuit`:

    inputs    what they give in step n is put into their rings
    input     x = bias, plus for each link onto the group, in the order of its links, and each source that gave
              something in step n - delay, in the order of addresses: weight · value
    current   i' = current_decay i + current_gain x;  x = i', or the old i;  without a current x stays
    membrane  v = max(decay v + gain x + drift, floor)
    late      where spikes of step n - 1 are still to be reset: v = reset_to, or v - spikes (threshold - reset_to)
    fire      left > 0: v = reset_to, left one less; else v > threshold, or >= threshold: spikes = 1, or
              min(floor(v / threshold), most), and left = refractory
    reset     v = reset_to; v - spikes (threshold - reset_to); or, where v was reset at the moment it crossed, with
              w = (gain x + drift) / (1 - decay):  v = w - (w - reset_to) decay (w - v before) / (w - threshold);
              without the quotient where v was above the threshold before, or w is not; as by subtraction with decay 1
    given     spikes, or those of step n - 1, or v, are put into the group's ring

The sums are in this order in either precision, so a step of the same input is the same, bit for bit.

Sources: the neuron equations of NIR (Pedersen et al., Nature Communications 15 (2024), table 1), discretised; the reset
at the moment of crossing solves the membrane equation for a constant input.
"""

from __future__ import annotations

from numba import njit

from spikestream.kernels import FAST, Array, compiled
from spikestream.kernels.circuit_design import (
    CROSSING,
    CURRENT,
    LABORIOUS,
    SPIKING,
    Coeffs,
    Params,
    Scratch,
    State,
    design,
    init,
    scratch,
    waiting,
)
from spikestream.kernels.circuit_loops import copy, fire, fire_fully, flow, gather, integrate, listed

__all__ = ["Coeffs", "Params", "Scratch", "State", "design", "init", "run", "run_values", "scratch", "step", "waiting"]


inlined = njit(**FAST, inline="always")


@inlined
def _slot(c: Coeffs, source: int, n: int) -> tuple[int, int]:
    """Return where what a source gave in step n is counted, and where it stands."""
    turn = n % c.depth[source]
    return c.slot[source] + turn, c.place[source] + turn * c.size[source]


@inlined
def _inputs(c: Coeffs, s: State, b: Scratch, n: int) -> int:
    """Take what the inputs give in step n; return how many sources they are."""
    sources, begin = len(c.size) - len(c.flags), 0
    for source in range(sources):
        slot, at = _slot(c, source, n)
        end = begin + c.size[source]
        s.counts[slot] = listed(b.given[begin:end], s.ids[at:], s.values[at:])
        begin = end
    b.given[:] = 0
    return sources


@inlined
def _heard(c: Coeffs, s: State, b: Scratch, g: int, n: int) -> None:
    """Sum up what reaches a group in step n."""
    j, k = c.start[g], c.start[g + 1]
    copy(b.x[j:k], c.bias[j:k])
    for link in range(c.links[g], c.links[g + 1]):
        source = c.link_source[link]
        slot, at = _slot(c, source, n - c.link_delay[link])
        end = at + s.counts[slot]
        gather(b.x, s.ids[at:end], s.values[at:end], c.first[c.link_rows[link] :], c.post, c.weights)


@inlined
def _group(c: Coeffs, s: State, b: Scratch, g: int, n: int, source: int) -> None:
    """Run a group on what it has heard."""
    flags, j, k = c.flags[g], c.start[g], c.start[g + 1]
    x, v = b.x[j:k], s.v[j:k]
    slot, at = _slot(c, source, n)
    ids, values = s.ids[at : at + c.size[source]], s.values[at : at + c.size[source]]
    if flags & CURRENT:
        flow(x, s.i[j:k], c.current_decay[j:k], c.current_gain[j:k], flags)
    if flags & CROSSING:
        copy(b.was[j:k], v)
    integrate(v, x, c.decay[j:k], c.gain[j:k], c.drift[j:k], c.floor[j:k])
    top, low = c.threshold[j:k], c.reset_to[j:k]
    if not flags & SPIKING:
        s.counts[slot] = listed(v, ids, values)
    elif flags & LABORIOUS:
        cells = (c.decay[j:k], c.gain[j:k], c.drift[j:k], top, low, c.refractory[j:k])
        own = (v, s.owed[j:k], s.left[j:k])
        s.counts[slot] = fire_fully(cells, own, b.was[j:k], x, flags, c.most, ids, values)
    else:
        s.counts[slot] = fire(v, top, low, flags, ids, values)


@inlined
def step(c: Coeffs, s: State, b: Scratch) -> None:
    """Run the next step on ``b.given``, which is empty afterwards."""
    n = s.step[0]
    first = _inputs(c, s, b, n)
    for g in range(len(c.flags)):
        _heard(c, s, b, g, n)
        _group(c, s, b, g, n, first + g)
    s.step[0] = n + 1


@inlined
def _due(c: Coeffs, s: State, n: int) -> int:
    """Return how many spikes the outputs gave in step n."""
    total = 0
    for source in c.outputs:
        slot, at = _slot(c, source, n)
        for e in range(at, at + s.counts[slot]):
            total += int(s.values[e])
    return total


@inlined
def _emit(c: Coeffs, s: State, n: int, tick: int, out_tick: Array, out_pin: Array, made: int) -> int:
    """Write the spikes that the outputs gave in step n behind the ``made`` there are; return how many there are."""
    for o in range(len(c.outputs)):
        slot, at = _slot(c, c.outputs[o], n)
        for e in range(at, at + s.counts[slot]):
            for _ in range(int(s.values[e])):
                out_tick[made] = tick
                out_pin[made] = c.output_first[o] + s.ids[e]
                made += 1
    return made


@compiled
def run(
    c: Coeffs,
    s: State,
    b: Scratch,
    ticks: tuple[int, int, int],
    t: Array,
    axon: Array,
    out_tick: Array,
    out_pin: Array,
    owed: int,
) -> tuple[int, int, int, int]:
    """Run ticks ``[first, stop)`` of ``ticks = (first, stop, tick_us)``, a step each, on spikes sorted by ``t`` µs.

    It ends early where what a tick gave does not fit into ``out_tick`` and ``out_pin``. Returns (the tick that is next,
    spikes out, spikes in, spikes of the tick before that it owes): give the last back, with room for so many.
    """
    n, stop, tick_us = ticks
    made, e = 0, 0
    while made + owed <= len(out_tick):
        if owed > 0:
            made = _emit(c, s, s.step[0] - 1, n - 1, out_tick, out_pin, made)
            owed = 0
        if n >= stop:
            break
        end = (n + 1) * tick_us
        while e < len(t) and t[e] < end:
            b.given[axon[e]] += 1
            e += 1
        step(c, s, b)
        n += 1
        owed = _due(c, s, s.step[0] - 1)
    return n, made, e, owed


@inlined
def _written(c: Coeffs, s: State, source: int, row: Array) -> None:
    """Write into a row of zeros what a source gave in the latest step."""
    slot, at = _slot(c, source, s.step[0] - 1)
    for e in range(at, at + s.counts[slot]):
        row[s.ids[e]] = s.values[e]


@compiled
def run_values(
    c: Coeffs, s: State, b: Scratch, values: Array, out: Array, groups: Array, v: Array, given: Array
) -> None:
    """Run a step on each row of ``values`` (steps, I); write ``out`` (steps, outputs), which is zeros.

    Of the groups of cells in ``groups`` (m,) int64 it writes, side by side, v after each step and what they gave; both
    are (steps, cells of these groups), ``given`` of zeros.
    """
    inputs = len(c.size) - len(c.flags)
    for row in range(len(values)):
        copy(b.given, values[row])
        step(c, s, b)
        for o in range(len(c.outputs)):
            _written(c, s, c.outputs[o], out[row, c.output_first[o] :])
        at = 0
        for g in groups:
            size = c.size[inputs + g]
            copy(v[row, at:], s.v[c.start[g] : c.start[g + 1]])
            _written(c, s, inputs + g, given[row, at:])
            at += size
