"""Neurons in plain Python, one number at a time, written from their equations: when each fired is a list of ticks."""

from __future__ import annotations

import math


class Neuron:
    """One neuron with the options ``p`` of its kernel; `tick` returns whether it fires in tick n."""

    def __init__(self, p, tick_us):
        self.p, self.tick_ms = p, tick_us / 1000
        self.fired = []
        self.held = False

    def tick(self, n, drive, adapting):
        """Run tick n on one number a receptor."""
        self.decay(adapting)
        self.receive(drive)
        resting = bool(self.fired) and n - self.fired[-1] <= round(self.p.tau_refrac_ms / self.tick_ms)
        self.held = self.held and resting
        if self.held:
            self.v = self.p.v_reset
        if resting or not self.above():
            return False
        self.reset(adapting)
        self.fired.append(n)
        self.held = self.p.reset == "value"
        return True

    def left(self, tau_ms):
        return math.exp(-self.tick_ms / tau_ms)

    def towards(self, value, end, tau_ms):
        return end + (value - end) * self.left(tau_ms)


class Lif(Neuron):
    def __init__(self, p, tick_us):
        super().__init__(p, tick_us)
        self.v, self.theta = p.v_rest, 0.0

    def decay(self, adapting):
        self.v = self.towards(self.v, self.p.v_rest, self.p.tau_m_ms)
        if adapting:
            self.theta = self.towards(self.theta, 0.0, self.p.tau_theta_ms)

    def receive(self, drive):
        self.v += drive[0]

    def threshold(self):
        return self.p.v_thresh + self.theta

    def above(self):
        return self.v > self.threshold()

    def reset(self, adapting):
        if self.p.reset == "value":
            self.v = self.p.v_reset
        else:
            self.v -= self.threshold() - self.p.v_reset
        if adapting:
            self.theta += self.p.theta_plus


class Alif(Lif):
    def __init__(self, p, tick_us):
        super().__init__(p, tick_us)
        self.a = 0.0

    def decay(self, adapting):
        self.v = self.towards(self.v, self.p.v_rest, self.p.tau_m_ms)
        self.a = self.towards(self.a, 0.0, self.p.tau_a_ms)

    def threshold(self):
        return self.p.v_thresh + self.p.beta * self.a

    def reset(self, adapting):
        self.v = self.p.v_reset if self.p.reset == "value" else self.v - (self.p.v_thresh - self.p.v_reset)
        self.a += 1


class CubaLif(Neuron):
    def __init__(self, p, tick_us):
        super().__init__(p, tick_us)
        self.v, self.excitatory, self.inhibitory = p.v_rest, 0.0, 0.0

    def response(self, tau_syn_ms):
        """Return the voltage that a current of 1 has made after one tick, by the difference of two exponentials."""
        m, s = self.p.tau_m_ms, tau_syn_ms
        if m == s:
            return self.tick_ms / m * self.left(m)
        return s / (s - m) * (self.left(s) - self.left(m))

    def decay(self, adapting):
        e, i = self.excitatory, self.inhibitory
        pushed = e * self.response(self.p.tau_syn_e_ms) + i * self.response(self.p.tau_syn_i_ms)
        self.v = self.towards(self.v, self.p.v_rest, self.p.tau_m_ms) + pushed
        self.currents()

    def currents(self):
        self.excitatory *= self.left(self.p.tau_syn_e_ms)
        self.inhibitory *= self.left(self.p.tau_syn_i_ms)

    def receive(self, drive):
        self.excitatory += drive[0]
        self.inhibitory += drive[1]

    def above(self):
        return self.v >= self.p.v_thresh

    def reset(self, adapting):
        self.v = self.p.v_reset if self.p.reset == "value" else self.v - (self.p.v_thresh - self.p.v_reset)


class CobaLif(CubaLif):
    def mean(self, conductance, tau_ms):
        return max(conductance, 0.0) * tau_ms / self.tick_ms * (1 - self.left(tau_ms))

    def decay(self, adapting):
        e, i = self.mean(self.excitatory, self.p.tau_syn_e_ms), self.mean(self.inhibitory, self.p.tau_syn_i_ms)
        end = (self.p.v_rest + e * self.p.e_rev_e + i * self.p.e_rev_i) / (1 + e + i)
        self.v = self.towards(self.v, end, self.p.tau_m_ms / (1 + e + i))
        self.currents()


class Izhikevich:
    """The loop of figure 2 of the paper for ticks of 1 ms, its steps halved or doubled for others."""

    def __init__(self, p, tick_us):
        self.p, self.tick_ms = p, tick_us / 1000
        self.v, self.u = p.v_init, p.b * p.v_init

    def tick(self, n, drive, adapting):
        steps = math.ceil(self.tick_ms / 0.5)
        for _ in range(steps):
            if steps <= 2 or self.v < 30:
                change = 0.04 * (self.v * self.v) + 5 * self.v + 140 - self.u + drive[0]
                self.v += self.tick_ms / steps * change
        self.u += self.tick_ms * self.p.a * (self.p.b * self.v - self.u)
        if self.v < 30:
            return False
        self.v, self.u = self.p.c, self.u + self.p.d
        return True


def izhikevich_2003(a, b, c, d, currents):
    """Return the ms in which v passes 30, by the published lines for one neuron; those note it one ms later."""
    v, firings = -65.0, []
    u = b * v
    for t, current in enumerate([*currents, 0.0]):
        if v >= 30:
            firings.append(t - 1)
            v, u = c, u + d
        v = v + 0.5 * (0.04 * (v * v) + 5 * v + 140 - u + current)
        v = v + 0.5 * (0.04 * (v * v) + 5 * v + 140 - u + current)
        u = u + a * (b * v - u)
    return firings


TWINS = {"lif": Lif, "alif": Alif, "cubalif": CubaLif, "cobalif": CobaLif, "izhikevich": Izhikevich}


def run(kind, p, tick_us, first, drive, adapting):
    """Run a twin for each neuron on ``drive`` [tick][receptor][neuron]; return them and who fired in each tick."""
    neurons = [TWINS[kind](p, tick_us) for _ in range(len(drive[0][0]))]
    fired = [[] for _ in drive]
    for k, row in enumerate(drive):
        for j, neuron in enumerate(neurons):
            if neuron.tick(first + k, [float(one[j]) for one in row], adapting[k]):
                fired[k].append(j)
    return neurons, fired
