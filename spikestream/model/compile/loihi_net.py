"""A network in the whole numbers of Loihi cores, wherever it will sit, and the reference that runs it as it stands.

Order inside step n, groups in their order; names as in `spikestream.model.loihi`; dec as in `kernels.loihi`:

    current   u = dec(u, du + 1) + sum over joins of current · s(n - delay), modulo 2^24
    membrane  v = dec(v, dv) + u + bias, held within v_min .. v_max; 0 where r > 0
    fire      v > threshold: a spike, v = 0, r = refractory;  then r = max(r - 1, 0)

A chip that holds the net gives the same spikes, each output later by its latency. Every group begins that many steps
before step 0, in silence: on the chip, tick 0 finds it there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikestream.model.compile.net import Array
from spikestream.model.loihi_limits import current_of


@dataclass(frozen=True, slots=True, eq=False)
class LoihiGroup:
    """Compartments of one kind; all arrays (size,) int64."""

    name: str
    du: Array
    dv: Array
    bias: Array
    bias_exponent: Array
    threshold: Array
    v_min: Array
    refractory: Array
    latency: int = 0  # ticks after the step they belong to

    @property
    def size(self) -> int:
        """Return how many compartments there are."""
        return len(self.du)


@dataclass(frozen=True, slots=True, eq=False)
class LoihiJoin:
    """Synapses from an input or a group onto a group, row by row of the source (CSR), heard ``delay`` steps later."""

    source: str
    target: str
    delay: int
    first: Array  # (source + 1,) int64
    post: Array  # (k,) int64
    weight: Array  # (k,) int64, mantissas
    exponent: int  # of all of them

    @property
    def pre(self) -> Array:
        """Return the source of each synapse, (k,) int64."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))


@dataclass(frozen=True, slots=True, eq=False)
class LoihiNet:
    """Inputs (name, size), groups, joins; ``outputs`` are groups, numbered one after the other as inputs are."""

    inputs: tuple[tuple[str, int], ...]
    groups: tuple[LoihiGroup, ...]
    joins: tuple[LoihiJoin, ...]
    outputs: tuple[str, ...]
    early: frozenset[str]  # outputs that give a step before the circuit says so

    def group(self, name: str) -> LoihiGroup:
        """Return the group of a name."""
        return next(one for one in self.groups if one.name == name)

    def begins(self) -> dict[str, int]:
        """Return the number of the first of each source: inputs from 0 on, then groups."""
        numbers, begin = {}, 0
        for name, size in [*self.inputs, *((one.name, one.size) for one in self.groups)]:
            numbers[name] = begin
            begin += size
        return numbers


class LoihiReference:
    """What a chip that holds ``net`` computes."""

    def __init__(self, net: LoihiNet) -> None:
        self.net = net
        late = [net.group(name).latency - (name in net.early) for name in net.outputs]
        sizes = [net.group(name).size for name in net.outputs]
        self.latency = np.repeat(late, sizes)
        """Of each output, (outputs,), ticks: so much later than here it spikes on the chip."""
        self._first = dict(zip(net.outputs, np.cumsum([0, *sizes]).tolist(), strict=False))
        self._joins = [
            (join, current_of(join.weight, np.full(len(join.post), join.exponent)).astype(np.int64))
            for join in net.joins
        ]

    def run(self, spikes: Array, steps: int) -> Array:
        """Return the spikes of the outputs (m, 2): step and number, in order, of steps 0 to ``steps`` - 1, from rest.

        ``spikes`` (k, 2) are step and number of what the inputs give, in order of steps; twice in a step counts twice.
        """
        self._state = {one.name: np.zeros((3, one.size), np.int64) for one in self.net.groups}
        self._due: dict[tuple[int, str], Array] = {}
        edges = np.searchsorted(np.reshape(spikes, (-1, 2))[:, 0], np.arange(steps + 1))
        made = [np.zeros((0, 2), np.int64)]
        early = max((one.latency for one in self.net.groups), default=0)
        for step in range(-early, steps):
            given = spikes[edges[step] : edges[step + 1], 1] if step >= 0 else np.zeros(0, np.int64)
            fired = self._run(step, given)
            made.append(np.stack([np.full(len(fired), step), fired], axis=1))
        # What gives a step early here gives it in the step before: a step is put on.
        late = np.array([name in self.net.early for name in self.net.outputs], np.int64)
        late = np.repeat(late, [self.net.group(name).size for name in self.net.outputs])
        found = np.concatenate(made)
        found[:, 0] += late[found[:, 1]]
        found = found[np.lexsort((found[:, 1], found[:, 0]))]
        return np.asarray(found[(found[:, 0] >= 0) & (found[:, 0] < steps)])

    def _run(self, step: int, given: Array) -> Array:
        """Run one step of everything and return the numbers of the outputs that fire, ascending."""
        begins, fires = self.net.begins(), [np.zeros(0, np.int64)]
        for name, size in self.net.inputs:
            mine = given[(given >= begins[name]) & (given < begins[name] + size)]
            self._send(name, mine - begins[name], step)
        for group in self.net.groups:
            fired = self._step(group, step)
            self._send(group.name, fired, step)
            if group.name in self._first:
                fires.append(fired + self._first[group.name])
        return np.sort(np.concatenate(fires))

    def _send(self, name: str, fired: Array, step: int) -> None:
        for join, currents in self._joins if len(fired) else ():
            if join.source == name:
                size = self.net.group(join.target).size
                drive = self._due.setdefault((step + join.delay, join.target), np.zeros(size, np.int64))
                for source in fired:
                    row = slice(join.first[source], join.first[source + 1])
                    np.add.at(drive, join.post[row], currents[row])

    def _step(self, group: LoihiGroup, step: int) -> Array:
        """Run one step of a group and return who fires."""
        drive = self._due.pop((step, group.name), 0)
        if step < -group.latency:
            return np.zeros(0, np.int64)
        u, v, waits = self._state[group.name]
        u[...] = (_left(u, group.du + 1) + drive + 2**23 - 1) % 2**24 - 2**23 + 1
        new = np.clip(_left(v, group.dv) + u + (group.bias << group.bias_exponent), group.v_min, 2**23 - 1)
        new[waits > 0] = 0
        fires = new > group.threshold << 6
        v[...] = np.where(fires, 0, new)
        waits[...] = np.maximum(np.where(fires, group.refractory, waits) - 1, 0)
        return np.nonzero(fires)[0]


def _left(x: Array, d: Array) -> Array:
    return np.asarray(np.sign(x) * (np.abs(x) * (4096 - d) >> 12))
