"""Learning rules in plain Python, from the papers: weight changes are sums over all spikes so far, no trace is kept.

One dense projection; `run` follows the order of a tick: rewards, what time does, input spikes (weights, then history),
output spikes (weights, then history, then what follows).
"""

from __future__ import annotations

import math


class Rule:
    """Weights ``w[i][j]``; ``pres[i]``, ``posts[j]``: the ticks of all spikes so far of input i and of neuron j."""

    def __init__(self, params, tick_ms, weights, first):
        self.p, self.tick_ms, self.first = params, tick_ms, first
        self.w = [[float(u) for u in row] for row in weights]
        self.pres = [[] for _ in self.w]
        self.posts = [[] for _ in self.w[0]]

    def begin(self, n, reward, learning):
        """Let tick n begin."""

    def on_pre(self, n, i, j):
        """Input i has spiked in tick n."""

    def on_post(self, n, i, j):
        """Neuron j fires in tick n."""

    def after_post(self, n, j):
        """Neuron j has fired in tick n, and all its weights have moved."""

    def faded(self, n, m, tau_ms):
        return math.exp(-(n - m) * self.tick_ms / tau_ms)

    def summed(self, n, spikes, tau_ms):
        """Sum what is left in tick n of 1 for each spike, or for the last one."""
        nearest = getattr(self.p, "pairing", "all") == "nearest"
        return math.fsum(self.faded(n, m, tau_ms) for m in (spikes[-1:] if nearest else spikes))

    def put(self, i, j, w):
        self.w[i][j] = min(max(w, self.p.w_min), self.p.w_max)

    def cells(self):
        return [(i, j) for i in range(len(self.w)) for j in range(len(self.w[0]))]


class Pair(Rule):
    def exponents(self):
        p = self.p
        return {"additive": (0, 0), "multiplicative": (1, 1), "power": (p.mu_plus, p.mu_minus)}[p.dependence]

    def share(self, i, j):
        return (self.w[i][j] - self.p.w_min) / (self.p.w_max - self.p.w_min)

    def on_pre(self, n, i, j):
        less = self.p.a_minus * self.share(i, j) ** self.exponents()[1]
        self.put(i, j, self.w[i][j] - less * self.summed(n, self.posts[j], self.p.tau_minus_ms))

    def on_post(self, n, i, j):
        more = self.p.a_plus * (1 - self.share(i, j)) ** self.exponents()[0]
        self.put(i, j, self.w[i][j] + more * self.summed(n, self.pres[i], self.p.tau_plus_ms))


class Triplet(Rule):
    def moved(self, n, one, other, tau_pair, tau_triplet, pair, triplet):
        """Sum over pairs with spikes of the other side, and triplets with an earlier spike of one's own as well."""
        nearest = self.p.pairing == "nearest"
        pairs = other[-1:] if nearest else other
        own = one[-1:] if nearest else one
        sums = [pair * self.faded(n, m, tau_pair) for m in pairs]
        sums += [triplet * self.faded(n, m, tau_pair) * self.faded(n, k, tau_triplet) for m in pairs for k in own]
        return math.fsum(sums)

    def on_pre(self, n, i, j):
        p = self.p
        less = self.moved(n, self.pres[i], self.posts[j], p.tau_minus_ms, p.tau_x_ms, p.a2_minus, p.a3_minus)
        self.put(i, j, self.w[i][j] - less)

    def on_post(self, n, i, j):
        p = self.p
        more = self.moved(n, self.posts[j], self.pres[i], p.tau_plus_ms, p.tau_y_ms, p.a2_plus, p.a3_plus)
        self.put(i, j, self.w[i][j] + more)


class Rstdp(Rule):
    """Eligibility and dopamine are lists of (tick, amount); Simpson's rule integrates their product over a tick."""

    STEPS = 20

    def __init__(self, *args):
        super().__init__(*args)
        self.earned = {cell: [] for cell in self.cells()}
        self.rewards = []

    def begin(self, n, reward, learning):
        for i, j in self.cells() if learning else ():
            self.put(i, j, self.w[i][j] + self.integral(n - 1, i, j))
        self.rewards.append((n, reward))

    def integral(self, n, i, j):
        """Integrate over the tick that begins with the spikes of tick n."""
        c = math.fsum(amount * self.faded(n, m, self.p.tau_c_ms) for m, amount in self.earned[i, j])
        d = math.fsum(amount * self.faded(n, m, self.p.tau_d_ms) for m, amount in self.rewards)
        times = [self.tick_ms * k / self.STEPS for k in range(self.STEPS + 1)]
        values = [
            c * math.exp(-t / self.p.tau_c_ms) * (d * math.exp(-t / self.p.tau_d_ms) + self.p.d_tonic) for t in times
        ]
        odd, even = math.fsum(values[1:-1:2]), math.fsum(values[2:-1:2])
        return (values[0] + 4 * odd + 2 * even + values[-1]) * self.tick_ms / 1000 / self.STEPS / 3

    def on_pre(self, n, i, j):
        self.earned[i, j].append((n, -self.p.a_minus * self.summed(n, self.posts[j], self.p.tau_minus_ms)))

    def on_post(self, n, i, j):
        self.earned[i, j].append((n, self.p.a_plus * self.summed(n, self.pres[i], self.p.tau_plus_ms)))


class Oja(Rule):
    def on_post(self, n, i, j):
        x, y = self.summed(n, self.pres[i], self.p.tau_ms), self.summed(n, self.posts[j], self.p.tau_ms)
        self.put(i, j, self.w[i][j] + self.p.eta * (x - y * self.w[i][j]))


class Antihebbian(Rule):
    """In the paper's terms g = -w is what inhibits: at a spike of i it grows by eta (y - alpha), of j by eta x."""

    def on_pre(self, n, i, j):
        alpha = 2 * self.p.rate_hz * self.p.tau_ms / 1000
        g = -self.w[i][j] + self.p.eta * (self.summed(n, self.posts[j], self.p.tau_ms) - alpha)
        self.put(i, j, -g)

    def on_post(self, n, i, j):
        g = -self.w[i][j] + self.p.eta * self.summed(n, self.pres[i], self.p.tau_ms)
        self.put(i, j, -g)


class Normalise(Rule):
    def begin(self, n, reward, learning):
        if not learning or n % round(self.p.every_ms / self.tick_ms):
            return
        for j in range(len(self.posts)):
            column = [row[j] for row in self.w]
            size = math.fsum(map(abs, column)) if self.p.norm == "sum" else math.hypot(*column)
            for i, u in enumerate(column):
                self.put(i, j, u * min(self.p.w_norm / size, 1000) if size else 0.0)


class Scaling(Rule):
    def begin(self, n, reward, learning):
        if not learning or n % round(self.p.every_ms / self.tick_ms):
            return
        for j, spikes in enumerate(self.posts):
            tau = self.p.tau_rate_ms
            rate = self.p.rate_hz * self.faded(n, self.first - 1, tau) + 1000 / tau * self.summed(n, spikes, tau)
            factor = max(0, 1 + self.p.beta * self.p.every_ms / 1000 * (self.p.rate_hz - rate))
            for i in range(len(self.w)):
                self.put(i, j, self.w[i][j] * factor)


class Centroid(Rule):
    def __init__(self, *args):
        super().__init__(*args)
        self.wins = [0] * len(self.posts)

    def on_post(self, n, i, j):
        p = self.p
        rate = p.rate_end + (p.rate_start - p.rate_end) / (1 + self.wins[j] / p.wins_half)
        age_ms = (n - self.pres[i][-1]) * self.tick_ms if self.pres[i] else math.inf
        x = math.exp(-age_ms / p.tau_plus_ms) if age_ms < round(14 * p.tau_plus_ms / self.tick_ms) * self.tick_ms else 0
        w = min(self.w[i][j], p.w_max)
        self.w[i][j] = w + rate * (x - w)

    def after_post(self, n, j):
        self.wins[j] += 1
        length = max(math.hypot(*(row[j] for row in self.w)), 1e-3)
        for row in self.w:
            row[j] *= self.p.w_norm / length


RULES = {
    "pair": Pair,
    "triplet": Triplet,
    "rstdp": Rstdp,
    "oja": Oja,
    "antihebbian": Antihebbian,
    "normalise": Normalise,
    "scaling": Scaling,
    "centroid": Centroid,
}


def run(name, params, tick_ms, weights, pre, post, ticks, rewards, learning):
    """Run ``ticks`` on spikes ``{tick: numbers}`` and rewards ``{tick: amount}``; return the weights after them."""
    rule = RULES[name](params, tick_ms, weights, ticks[0])
    for n in ticks:
        rule.begin(n, rewards.get(n, 0.0), learning(n))
        for i in pre.get(n, ()):
            for j in range(len(rule.posts)) if learning(n) else ():
                rule.on_pre(n, i, j)
            rule.pres[i].append(n)
        for j in post.get(n, ()):
            for i in range(len(rule.pres)) if learning(n) else ():
                rule.on_post(n, i, j)
            if learning(n):
                rule.after_post(n, j)
            rule.posts[j].append(n)
    return rule.w
