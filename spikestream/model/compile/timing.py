"""When each group of a net runs on the chip, so that all that is heard together in the net is heard together there.

A spike is a tick under way between neurons, at least; an input's may be none. So groups run later the further they are
from the inputs: latencies are the longest ways, and what takes a shorter way waits, up to 15 ticks in a spike's own
delay, beyond that in relays. Round a loop latencies cancel out: a loop must have as many steps as it has neurons in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from spikestream.errors import ModelError
from spikestream.model.compile.net import Join, Net, identity, relays

MOST_TICKS = 15
MOST_RELAYS = 64
"""One after the other: a delay of about a thousand ticks."""


def timed(net: Net, split: Iterable[str] = ()) -> Net:
    """Return the net with latencies, splitters for the groups in ``split``, and relays. Raises `ModelError`."""
    for name in split:
        net = _with_splitters(net, name)
    net = _with_latencies(net)
    while late := _too_late(net):
        net = _with_relays(net, late)
    return _started(net)


def _with_splitters(net: Net, name: str) -> Net:
    """Return the net in which all that a group sends goes through neurons that do nothing but pass it on."""
    return _passed_on(net, name, f"{name} splitters", [join for join in net.joins if join.source == name], 0)


def _passed_on(net: Net, name: str, through: str, moved: list[Join], latency: int) -> Net:
    sizes = dict(net.inputs) | {one.name: one.size for one in net.groups}
    made = replace(relays(through, sizes[name]), latency=latency)
    joins = [replace(join, source=through) if join in moved else join for join in net.joins]
    joins.append(Join(name, through, 0, *identity(sizes[name])))
    names = [one.name for one in net.groups]
    place = names.index(name) + 1 if name in names else 0
    groups = (*net.groups[:place], made, *net.groups[place:])
    return replace(net, groups=groups, joins=tuple(joins))


def _with_latencies(net: Net) -> Net:
    """Return the net with the least latencies there can be, longest ways by relaxation."""
    inputs = {name for name, _ in net.inputs}
    latency = dict.fromkeys([*inputs, *(one.name for one in net.groups)], 0)
    last: dict[str, Join] = {}
    changed = ""
    for _ in range(len(net.groups) + 1):
        changed = ""
        for join in net.joins:
            if not len(join.post):
                continue
            least = latency[join.source] + (0 if join.source in inputs else 1) - join.delay
            if least > latency[join.target]:
                latency[join.target], last[join.target], changed = least, join, join.target
        if not changed:
            return replace(net, groups=tuple(replace(one, latency=latency[one.name]) for one in net.groups))
    raise _loop(last, changed, len(net.groups))


def _loop(last: dict[str, Join], name: str, count: int) -> ModelError:
    """Return the error of a loop that would have to be faster than spikes are."""
    for _ in range(count):
        name = last[name].source
    way, steps, at = [name], 0, name
    while True:
        join = last[at]
        steps, at = steps + join.delay, join.source
        way.append(at)
        if at == name:
            break
    text = f"the loop {' <- '.join(way)} takes {steps} steps, and spikes on a chip need {len(way) - 1} ticks for it"
    return ModelError(text, remedy=f"give one of its links a delay that is longer by {len(way) - 1 - steps}")


def _too_late(net: Net) -> Join | None:
    """Return a join whose spikes are under way for too long, of those of a source the one that is soonest."""
    late = [join for join in net.joins if len(join.post) and net.ticks(join) > MOST_TICKS]
    return min(late, key=lambda join: (join.source, net.ticks(join)), default=None)


def _with_relays(net: Net, late: Join) -> Net:
    """Return the net in which what a source sends too late to arrive by itself goes through relays."""
    hops = -(-net.ticks(late) // MOST_TICKS)
    if hops > MOST_RELAYS:
        text = f"spikes from '{late.source}' to '{late.target}' wait for {net.ticks(late):,} ticks"
        raise ModelError(text, remedy=f"delays that differ by less than {MOST_RELAYS * MOST_TICKS} steps")
    moved = [join for join in net.joins if join.source == late.source and net.ticks(join) > MOST_TICKS]
    number = sum(one.name.startswith(f"{late.source} relays") for one in net.groups) + 1
    latency = net.latency(late.source) + MOST_TICKS
    return _passed_on(net, late.source, f"{late.source} relays {number}", moved, latency)


def _started(net: Net) -> Net:
    """Return the net whose leaks that go one way find V where it should be when the first step comes."""
    groups = []
    for one in net.groups:
        # They run from tick 0 on, ``latency`` ticks before their first step. Where that would fire or meet the floor,
        # they do, as the reference does.
        early = one.v0 - one.latency * one.leak
        fits = (early < one.threshold) & (early >= -one.floor) & (one.v0 < one.threshold) & ~one.reversal
        groups.append(replace(one, v0=np.where(fits, early, one.v0)))
    return replace(net, groups=tuple(groups))
