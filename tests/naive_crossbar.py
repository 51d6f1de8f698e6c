"""The chip in plain Python integers, neuron by neuron, written from the law of a tick and not from the kernel.

A set of axons is an integer with a bit for each, so that thousands of chips take seconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
LEAK, THRESHOLD = 1 << 16, (1 << 16) + 1
NAMES = (
    "weights random_weights leak random_leak leak_reversal threshold threshold_bits floor floor_clamps reset reset_mode"
    " target_core target_axon delay"
)


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def key_of(seed, core, tick):
    return mix(mix((seed * 2**32 + core) & MASK) + GOLDEN * tick & MASK)


def number(key, neuron, use):
    return mix(key + GOLDEN * (neuron * 2**32 + use) & MASK)


def sgn(x):
    return (x > 0) - (x < 0)


def bits_of(x):
    return [k for k in range(x.bit_length()) if x >> k & 1]


def as_integers(flags):
    """Return rows of flags as integers, the first flag in the lowest bit."""
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(flags, axis=1, bitorder="little")]


class Chip:
    """A chip that holds ``placement``; `tick` runs one, on the inputs that spike in it, and returns its outputs."""

    def __init__(self, placement):
        self.p = p = placement
        self.exact = p.law == "truenorth/1"  # V of 20 bits that saturate; else of 32 that wrap
        bits = np.unpackbits(p.synapses, axis=2, count=p.neurons, bitorder="little").astype(bool)
        self.own = []
        for c in range(p.cores):
            wired = zip(*(as_integers(bits[c].T & (p.axon_type[c] == g)) for g in range(4)), strict=True)
            self.own.append(list(zip(wired, *(getattr(p, name)[c].tolist() for name in NAMES.split()), strict=True)))
        self.v = p.v0.tolist()
        self.seed = p.seed.tolist()
        self.xy = p.core_xy.tolist()
        self.targets = {}
        for i, core, axon, delay in p.inputs.tolist():
            self.targets.setdefault(i, []).append((core, axon, delay))
        self.under_way = defaultdict(int)  # by tick and core: axons
        self.seen = Counter()  # what has happened, for tests that want everything to
        self.fired = [0] * p.cores
        names = "synaptic_operations axon_events neuron_updates spikes hops_x hops_y dropped"
        self.counters = dict.fromkeys(names.split(), 0)

    def tick(self, t, inputs):
        for i in inputs:
            for core, axon, delay in self.targets.get(i, ()):
                self.under_way[t + delay, core] |= 1 << axon
        pins, count = set(), self.counters
        for core in range(self.p.cores):
            active = self.under_way.pop((t, core), 0)
            key = key_of(self.seed[core], core, t)
            count["axon_events"] += active.bit_count()
            for j, own in enumerate(self.own[core]):
                count["neuron_updates"] += 1
                if self.neuron(core, j, key, active, own):
                    self.fired[core] += 1
                    count["spikes"] += 1
                    self.send(t, core, own[-3:], pins)
        return sorted(pins)

    def send(self, t, core, goal, pins):
        """Send a spike on its way; it is heard in a later tick."""
        target, axon, delay = goal
        there = self.p.bus_xy if target == -2 else self.xy[target]
        if target >= 0:
            self.under_way[t + delay, target] |= 1 << axon
            self.seen["delay", delay] += 1
        elif target == -2:
            pins.add(axon)
        if target == -1:
            self.counters["dropped"] += 1
        elif tuple(there) != (-1, -1):
            self.counters["hops_x"] += abs(there[0] - self.xy[core][0])
            self.counters["hops_y"] += abs(there[1] - self.xy[core][1])

    def waiting(self):
        """Return the (tick, core, axon) of what is under way."""
        return {(tick, core, axon) for (tick, core), axons in self.under_way.items() for axon in bits_of(axons)}

    def kept(self, v):
        """Return V as its register keeps it."""
        if self.exact:
            if -(2**19) <= v < 2**19:
                return v
            self.seen["saturated", sgn(v)] += 1
            return -(2**19) if v < 0 else 2**19 - 1
        return (v + 2**31) % 2**32 - 2**31

    def drawn(self, s, rho):
        return sgn(s) if abs(s) >= rho else 0

    def neuron(self, core, j, key, active, own):
        """Run one neuron; return whether it fires."""
        wired, s, b, leak, random_leak, reversal, alpha, bits, beta, clamps, r, gamma, *_ = own
        total, seen = 0, self.seen
        for g in range(4):
            on = active & wired[g]
            if on:
                self.counters["synaptic_operations"] += on.bit_count()
                seen["type", g] += 1
                if b[g]:
                    for i in bits_of(on):
                        moved = self.drawn(s[g], number(key, j, i) >> 56)
                        seen["random synapse", moved] += 1
                        total += moved
                else:
                    total += s[g] * on.bit_count()
        v = self.kept(self.v[core][j] + total)
        if random_leak:
            leak = self.drawn(leak, number(key, j, LEAK) >> 56)
            seen["random leak", leak] += 1
        if reversal:
            seen["leak mode", sgn(leak), sgn(v)] += 1
            leak *= sgn(v)
        v = self.kept(v + leak)
        eta = number(key, j, THRESHOLD) >> (64 - bits) if bits else 0
        fires, self.v[core][j] = self.fire(v, alpha, beta, eta, clamps, r, gamma)
        return fires

    def fire(self, v, alpha, beta, eta, clamps, r, gamma):
        """Return whether it fires, and V after that."""
        if v >= alpha + eta:
            self.seen["up", gamma, clamps, eta > 0] += 1
            return True, self.kept([r, v - (alpha + eta), v][gamma])
        lowest = -beta if clamps else -(beta + eta)
        if v < lowest or (self.p.floor_included and v == lowest):
            self.seen["down", gamma, clamps, eta > 0] += 1
            return False, self.kept(-beta if clamps else [-r, v + (beta + eta), v][gamma])
        return False, v
