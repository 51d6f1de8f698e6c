"""The integer reference: a `Net` run as it stands, without cores, axons and ways between them.

A chip that holds the net gives the same spikes, each output later by its latency. Every group begins that many steps
before step 0, in silence: on the chip, tick 0 finds it there.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from spikestream.model.compile.net import HIGHEST, LOWEST, Array, Group, Join, Net, masked


class Reference:
    """What a chip that holds ``net`` computes."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.latency = np.concatenate([np.full(net.group(name).size, net.latency(name)) for name in net.outputs])
        """Of each output, (outputs,), ticks: so much later than here it spikes on the chip."""
        self._first = dict(zip(net.outputs, _begins([net.group(name).size for name in net.outputs]), strict=True))
        self._joins: dict[str, list[tuple[Join, Array]]] = defaultdict(list)
        for join in net.joins:
            values = masked(net.group(join.target).weights[join.post], join.mask)
            self._joins[join.source].append((join, values))

    def run(self, spikes: Array, steps: int) -> Array:
        """Return the spikes of the outputs (m, 2): step and number, in order, of steps 0 to ``steps`` - 1, from rest.

        ``spikes`` (k, 2) are step and number of what the inputs give, in order of steps; twice in a step counts once.
        """
        self._v = {one.name: one.v0.astype(np.int64) for one in self.net.groups}
        self._due: dict[tuple[int, str], Array] = {}  # what arrives: step, group
        made = [np.zeros((0, 2), np.int64)]
        edges = np.searchsorted(np.reshape(spikes, (-1, 2))[:, 0], np.arange(steps + 1))
        for step in range(-max(one.latency for one in self.net.groups), steps):
            given = spikes[edges[step] : edges[step + 1], 1] if step >= 0 else np.zeros(0, np.int64)
            fired = self._run(step, np.unique(given))
            made.append(np.stack([np.full(len(fired), step), fired], axis=1))
        found = np.concatenate(made)
        return np.asarray(found[found[:, 0] >= 0])

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
        for join, values in self._joins[name] if len(fired) else ():
            size = self.net.group(join.target).size
            drive = self._due.setdefault((step + join.delay, join.target), np.zeros(size, np.int64))
            for source in [0] if join.any else fired:
                row = slice(join.first[source], join.first[source + 1])
                drive[join.post[row]] += values[row]

    def _step(self, group: Group, step: int) -> Array:
        """Run one step of a group and return who fires."""
        drive = self._due.pop((step, group.name), 0)
        if step < -group.latency:
            return np.zeros(0, np.int64)
        v = np.clip(self._v[group.name] + drive, LOWEST, HIGHEST)
        v = np.clip(v + np.where(group.reversal, np.sign(v), 1) * group.leak, LOWEST, HIGHEST)
        fires = v >= group.threshold
        after = np.where(group.subtract, v - group.threshold, group.reset)
        self._v[group.name] = np.where(fires, after, np.maximum(v, -group.floor))
        return np.nonzero(fires)[0]


def _begins(sizes: list[int]) -> list[int]:
    return [sum(sizes[:k]) for k in range(len(sizes))]
