"""A NIR graph run node by node in plain NumPy, every node by its equation: what folding must not change."""

from __future__ import annotations

import numpy as np


def walked(nodes, edges, cut):
    """Return the nodes turned around from how a walk in depth leaves them, from those that nothing leads to on."""
    left, seen = [], set()

    def walk(name):
        seen.add(name)
        for source, target in edges:
            if source == name and source not in cut and target not in seen:
                walk(target)
        left.append(name)

    led = {target for source, target in edges if source not in cut}
    for name in [n for n in nodes if n not in led] + [n for n in nodes if n in led]:
        if name not in seen:
            walk(name)
    return left[::-1]


class Run:
    """Steps of ``graph``, of nodes that all take and give ``size`` values, by Euler with steps of ``dt``."""

    def __init__(self, graph, size, dt):
        self.nodes, self.edges, self.size, self.dt = dict(graph.nodes), graph.edges, size, dt
        self.past = {name: [] for name in self.nodes}  # what has reached it
        self.given = {name: [] for name in self.nodes}
        self.v, self.i = ({name: np.zeros(size) for name in self.nodes} for _ in range(2))
        self.cut = {n for n, node in self.nodes.items() if node.kind == "Delay" and self.late(node).min() >= 1}
        self.order = walked(self.nodes, self.edges, self.cut)
        self.rank = {name: k for k, name in enumerate(self.order)}

    def late(self, node):
        return np.rint(np.broadcast_to(node.params["delay"], self.size) / self.dt).astype(int)

    def step(self, x):
        now = {name: self.waited(name) for name in self.cut}
        for name in self.order:
            into = np.array(x, float) if self.nodes[name].kind == "Input" else self.heard(name, now)
            self.past[name].append(into)
            if name not in self.cut:
                now[name] = self.waited(name) if self.nodes[name].kind == "Delay" else self.gives(name, into)
        for name, value in now.items():
            self.given[name].append(value)
        return [now[name] for name, node in self.nodes.items() if node.kind == "Output"]

    def waited(self, name):
        n = len(self.given[name])
        late = self.late(self.nodes[name])
        return np.array([self.past[name][n - k][j] if n >= k else 0.0 for j, k in enumerate(late)])

    def heard(self, name, now):
        total = np.zeros(self.size)
        for source, target in self.edges:
            if target == name:
                back = source not in self.cut and self.rank[source] >= self.rank[name]
                before = self.given[source][-1] if self.given[source] else 0.0
                total = total + (before if back else now[source])
        return total

    def gives(self, name, x):
        node = self.nodes[name]
        p = {key: np.asarray(value, float) for key, value in node.params.items() if isinstance(value, np.ndarray)}
        if node.kind in ("Input", "Output", "Flatten"):
            return x
        if node.kind in ("Affine", "Linear"):
            return p["weight"] @ x + p.get("bias", 0.0)
        if node.kind == "Scale":
            return p["scale"] * x
        if node.kind == "Threshold":
            return (x > p["threshold"]) * 1.0
        return self.neuron(name, node.kind, p, x)

    def neuron(self, name, kind, p, x):
        if kind.startswith("Cuba"):
            self.i[name] = x = self.i[name] + self.dt / p["tau_syn"] * (p["w_in"] * x - self.i[name])
        v = self.v[name]
        if kind in ("I", "IF"):
            v = v + p["r"] * x
        else:
            v = v + self.dt / p["tau_mem" if kind.startswith("Cuba") else "tau"] * (p["v_leak"] - v + p["r"] * x)
        if kind not in ("IF", "LIF", "CubaLIF"):
            self.v[name] = v
            return v
        spikes = v > p["v_threshold"]
        self.v[name] = np.where(spikes, p["v_reset"], v)
        return spikes * 1.0
