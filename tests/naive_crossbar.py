"""The chip in plain Python integers, neuron by neuron, written from the law of a tick and not from the kernel."""

from __future__ import annotations

from collections import Counter

import numpy as np

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
LEAK, THRESHOLD = 1 << 16, (1 << 16) + 1


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def number(seed, core, tick, neuron, use):
    key = mix(mix((seed * 2**32 + core) & MASK) + GOLDEN * tick & MASK)
    return mix(key + GOLDEN * (neuron * 2**32 + use) & MASK)


def sgn(x):
    return (x > 0) - (x < 0)


class Chip:
    """A chip that holds ``placement``; `tick` runs one, on the inputs that spike in it, and returns its outputs."""

    def __init__(self, placement):
        self.p = p = placement
        self.exact = p.law == "truenorth/1"  # V of 20 bits that saturate; else of 32 that wrap
        bits = np.unpackbits(p.synapses, axis=2, count=p.neurons, bitorder="little")
        self.synapses = [[set(np.nonzero(bits[c, :, j])[0].tolist()) for j in range(p.neurons)] for c in range(p.cores)]
        self.type = p.axon_type.tolist()
        names = "leak random_leak leak_reversal threshold threshold_bits floor floor_clamps reset reset_mode"
        columns = {name: getattr(p, name).tolist() for name in f"{names} target_core target_axon delay".split()}
        self.own = [
            [{name: rows[c][j] for name, rows in columns.items()} for j in range(p.neurons)] for c in range(p.cores)
        ]
        self.s, self.b = p.weights.tolist(), p.random_weights.tolist()
        self.v = p.v0.tolist()
        self.seed = p.seed.tolist()
        self.targets = {}
        for i, core, axon, delay in p.inputs.tolist():
            self.targets.setdefault(i, []).append((core, axon, delay))
        self.under_way = set()  # (tick, core, axon)
        self.seen = Counter()  # what has happened, for tests that want everything to

    def tick(self, t, inputs):
        for i in inputs:
            self.under_way |= {(t + delay, core, axon) for core, axon, delay in self.targets.get(i, ())}
        pins, sent = set(), set()
        for core in range(self.p.cores):
            active = {axon for tick, where, axon in self.under_way if (tick, where) == (t, core)}
            for j in range(self.p.neurons):
                if self.neuron(t, core, j, active):
                    target, axon, delay = (self.own[core][j][k] for k in ("target_core", "target_axon", "delay"))
                    self.seen["spikes"] += 1
                    self.seen["delay", delay] += target >= 0
                    if target >= 0:
                        sent.add((t + delay, target, axon))
                    elif target == -2:
                        pins.add(axon)
        self.under_way = {one for one in self.under_way if one[0] != t} | sent
        return sorted(pins)

    def kept(self, v):
        """Return V as its register keeps it."""
        if self.exact:
            within = max(-(2**19), min(2**19 - 1, v))
            self.seen["saturated"] += within != v
            return within
        return (v + 2**31) % 2**32 - 2**31

    def drawn(self, s, rho):
        return sgn(s) if abs(s) >= rho else 0

    def neuron(self, t, core, j, active):
        """Run one neuron; return whether it fires."""
        o, seed, v, total = self.own[core][j], self.seed[core], self.v[core][j], 0
        for i in active & self.synapses[core][j]:
            g = self.type[core][i]
            s = self.s[core][j][g]
            if self.b[core][j][g]:
                s = self.drawn(s, number(seed, core, t, j, i) >> 56)
                self.seen["random synapse", s] += 1
            total += s
            self.seen["type", g] += 1
        v = self.kept(v + total)
        leak = o["leak"]
        if o["random_leak"]:
            leak = self.drawn(leak, number(seed, core, t, j, LEAK) >> 56)
            self.seen["random leak", leak] += 1
        if o["leak_reversal"]:
            self.seen["leak mode", sgn(leak), sgn(v)] += 1
            leak *= sgn(v)
        v = self.kept(v + leak)
        eta = number(seed, core, t, j, THRESHOLD) >> (64 - o["threshold_bits"]) if o["threshold_bits"] else 0
        self.seen["eta"] += eta > 0
        fires, self.v[core][j] = self.fire(v, eta, o)
        return fires

    def fire(self, v, eta, o):
        """Return whether it fires, and V after that."""
        gamma, r, alpha, beta = o["reset_mode"], o["reset"], o["threshold"], o["floor"]
        if v >= alpha + eta:
            self.seen["up", gamma, o["floor_clamps"]] += 1
            return True, self.kept([r, v - (alpha + eta), v][gamma])
        lowest = -beta if o["floor_clamps"] else -(beta + eta)
        if v < lowest or (self.p.floor_included and v == lowest):
            self.seen["down", gamma, o["floor_clamps"]] += 1
            return False, self.kept(-beta if o["floor_clamps"] else [-r, v + (beta + eta), v][gamma])
        return False, v
