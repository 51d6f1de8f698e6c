"""The dense twin of the pair-STDP network in float64, written from the law of a tick: no rings, nothing deferred."""

from __future__ import annotations

import math

import numpy as np


class Pair:
    """A network at rest with these weights (axons, neurons); ``params`` has the names of the kernel's options."""

    def __init__(self, params, tick_us, weights):
        self.p, self.tick_ms = params, tick_us / 1000
        self.w = np.array(weights, np.float64)
        axons, neurons = self.w.shape
        self.v, self.theta, self.y = (np.zeros(neurons) for _ in range(3))
        self.x = np.zeros(axons)
        self.past = []  # of each tick, which neurons fired; the latest last

    def fading(self, tau_ms):
        return math.exp(-self.tick_ms / tau_ms)

    def tick(self, axons, learning=True):
        """Run one tick on the axons that spike in it, in order; return the neurons that fire."""
        self.decay(learning)
        for i in axons:
            self.v = self.v + self.w[i]
            if learning:
                self.w[i] = np.maximum(self.w[i] - self.p.a_minus * self.y, 0)
            self.x[i] += 1
        self.inhibit()
        self.clamp()
        fired = np.nonzero(self.v > self.p.v_thresh + self.theta)[0]
        for j in fired:
            self.fire(j, learning)
        self.past.append(fired)
        return fired.tolist()

    def decay(self, learning):
        self.v = self.v * self.fading(self.p.tau_m_ms)
        self.x = self.x * self.fading(self.p.tau_plus_ms)
        self.y = self.y * self.fading(self.p.tau_minus_ms)
        if learning:
            self.theta = self.theta * self.fading(self.p.tau_theta_ms)

    def inhibit(self):
        if self.past and len(self.past[-1]):
            rivals = np.full(len(self.v), len(self.past[-1]))
            rivals[self.past[-1]] -= 1
            self.v = self.v - self.p.inhibition * rivals

    def clamp(self):
        ticks = round(self.p.tau_refrac_ms / self.tick_ms)
        for fired in self.past[max(0, len(self.past) - ticks) :]:
            self.v[fired] = self.p.v_reset

    def fire(self, j, learning):
        self.v[j] = self.p.v_reset
        self.y[j] += 1
        if learning:
            self.theta[j] += self.p.theta_plus
            self.w[:, j] = np.minimum(self.w[:, j] + self.p.a_plus * self.x, self.p.w_max)
