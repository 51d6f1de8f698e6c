"""A network of LIF neurons and pair STDP in plain Python, one dict of synapses a projection, written from the law.

Order in tick n: voltages decay; traces decay; spikes arrive, delays ascending: v_j += w, then w -= a_minus y_j, then
x_i += 1; refractory neurons are clamped; those above threshold fire; for each, w += a_plus x_i, then y_j += 1.
"""

from __future__ import annotations

import math
from collections import defaultdict

TAU_M, V_THRESH, V_RESET = 20.0, 15.0, 0.0


class Population:
    def __init__(self, size, refrac):
        self.v = [0.0] * size
        self.fired_at = [-(10**18)] * size
        self.refrac = refrac
        self.history = defaultdict(list)  # tick: neurons

    def decay(self, tick_ms):
        self.v = [v * math.exp(-tick_ms / TAU_M) for v in self.v]

    def fire(self, n):
        for j in range(len(self.v)):
            if n - self.fired_at[j] <= self.refrac:
                self.v[j] = V_RESET
            if self.v[j] > V_THRESH:
                self.v[j] = V_RESET
                self.fired_at[j] = n
                self.history[n].append(j)


class Projection:
    """Synapses [pre, post, weight, delay]; ``rule`` is (a_plus, a_minus, tau_plus, tau_minus, w_max) or None."""

    def __init__(self, synapses, rule):
        self.synapses = [list(one) for one in synapses]
        self.rule = rule
        self.x = defaultdict(float)  # (pre, delay)
        self.y = defaultdict(float)

    def arrive(self, n, history, v, tick_ms, learning):
        if self.rule:
            self.x = defaultdict(float, {k: u * math.exp(-tick_ms / self.rule[2]) for k, u in self.x.items()})
            self.y = defaultdict(float, {k: u * math.exp(-tick_ms / self.rule[3]) for k, u in self.y.items()})
        for delay in sorted({one[3] for one in self.synapses}):
            for i in history[n - delay]:
                for one in self.synapses:
                    if one[0] == i and one[3] == delay:
                        v[one[1]] += one[2]
                        if self.rule and learning:
                            one[2] = max(one[2] - self.rule[1] * self.y[one[1]], 0.0)
                self.x[i, delay] += 1

    def learn(self, fired, learning):
        for j in fired if self.rule else ():
            for one in self.synapses:
                if one[1] == j and learning:
                    one[2] = min(one[2] + self.rule[0] * self.x[one[0], one[3]], self.rule[4])
            self.y[j] += 1


def run(ticks, inputs, populations, projections, tick_ms, learning=lambda n: True):
    """Return spikes (tick, population, neuron) of inputs {name: {tick: [axon]}} over (source, target, Projection)."""
    spikes = []
    histories = {name: defaultdict(list, events) for name, events in inputs.items()}
    histories |= {name: one.history for name, one in populations.items()}
    for n in ticks:
        for one in populations.values():
            one.decay(tick_ms)
        for source, target, one in projections:
            one.arrive(n, histories[source], populations[target].v, tick_ms, learning(n))
        for name, one in populations.items():
            one.fire(n)
            spikes += [(n, name, j) for j in one.history[n]]
        for _, target, one in projections:
            one.learn(populations[target].history[n], learning(n))
    return spikes
