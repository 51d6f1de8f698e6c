"""The classifier in plain Python and double precision, from the equations: microsecond by microsecond, no shortcut.

The windows are those of the naive readout. A network is lists of numbers; an eligibility trace is a number per synapse
and tick, and the gradients are summed as they are written, not gathered by update.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import naive

from spikestream.batch import Decision, Label, Window

MASK = 2**64 - 1


def random_number(seed, count, below):
    """Return the ``count``-th number of splitmix64, scaled to 0 .. below - 1."""
    z = (seed * 0xD1342543DE82EF95 + (count + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return ((z ^ (z >> 31)) * below) >> 64


@dataclass
class Net:
    """Weights as nested lists: w[axon][neuron of the first layer], v[time constant][neuron][class], b[class].

    r[neuron][neuron] has a number for every two neurons, of which only those that `joined` tells count; or it is [].
    """

    w: list
    r: list
    v: list
    b: list
    decay_m: list
    beta: list
    back: list  # [neuron][class], [] where feedback is symmetric
    decay_a: float
    decay_x: float
    decay_out: list
    update: int
    rate: float
    rate_end: float
    rate_half: float
    rate_out: float
    sizes: tuple = ()  # of the layers, where there are several
    recurrent: bool = True  # whether neurons of a layer hear each other
    soft: bool = True  # whether a neuron that fires loses its threshold only
    live: int = 0
    steps: int = 0
    margin: float = 1.0  # the least distance from a threshold that was ever met

    def __post_init__(self):
        def zeros(nested):
            return [zeros(one) for one in nested] if isinstance(nested, list) else 0.0

        self.layer = [k for k, size in enumerate(self.sizes or (len(self.beta),)) for _ in range(size)]
        self.moments = {name: (zeros(getattr(self, name)), zeros(getattr(self, name))) for name in ("w", "r", "v", "b")}

    @property
    def sources(self):
        """Return how many the readout hears: the hidden neurons, or where there are none the inputs."""
        return len(self.beta) or len(self.w)

    def joined(self, j):
        """Return who among the hidden neurons hears neuron ``j``."""
        above = [i for i in range(len(self.layer)) if self.layer[i] == self.layer[j] + 1]
        return [i for i in range(len(self.layer)) if self.recurrent and self.layer[i] == self.layer[j]] + above

    def readouts(self):
        """Return for each layer the sources that its readout hears."""
        if not self.layer:
            return [list(range(self.sources))]
        return [[j for j in range(self.sources) if self.layer[j] == k] for k in range(max(self.layer) + 1)]

    def rest(self):
        hidden = len(self.beta)
        return {
            "v": [0.0] * hidden,
            "a": [0.0] * hidden,
            "z": [0] * hidden,
            "o": [[0.0] * self.sources for _ in self.decay_out],
        }

    def tick(self, m, axons):
        """Run one tick, and return the surrogate derivative of each neuron."""
        hidden = range(len(self.beta))
        psi = []
        fired_before = m["z"]
        m["z"] = [0 for _ in hidden]
        for j in hidden:
            m["v"][j] *= self.decay_m[j]
            if self.layer[j] == 0:
                m["v"][j] += sum(self.w[i][j] for i in axons)
            if self.r:
                m["v"][j] += sum(self.r[i][j] for i in hidden if fired_before[i] and j in self.joined(i))
            threshold = 1 + self.beta[j] * m["a"][j]
            self.margin = min(self.margin, abs(m["v"][j] - threshold))
            psi.append(0.3 * max(0.0, 1 - abs(m["v"][j] - threshold)))
            m["a"][j] *= self.decay_a
            if m["v"][j] > threshold:
                m["z"][j] = 1
                m["v"][j] = m["v"][j] - threshold if self.soft else 0.0
                m["a"][j] += 1
            m["v"][j] = max(m["v"][j], -2.0)
        for q, decay in enumerate(self.decay_out):
            for j in range(self.sources):
                m["o"][q][j] = m["o"][q][j] * decay + (m["z"][j] if self.beta else axons.count(j))
        return psi

    def silence(self, m):
        """Let a tick pass in which nobody listened."""
        hidden = range(len(self.beta))
        for j in hidden:
            m["v"][j] *= self.decay_m[j]
            m["a"][j] *= self.decay_a
            m["z"][j] = 0
        for q, decay in enumerate(self.decay_out):
            m["o"][q] = [one * decay for one in m["o"][q]]

    def softmax(self, m, sources):
        outs = range(len(self.decay_out))
        y = [
            self.b[k] + sum(self.v[q][j][k] * m["o"][q][j] for q in outs for j in sources if m["o"][q][j] > 1e-3)
            for k in range(self.live)
        ]
        top = max(y)
        e = [math.exp(one - top) for one in y]
        return [one / sum(e) for one in e]

    def loss(self, ticks, spikes, target, memory=None):
        """Return the ramp-weighted cross entropy of a window, ``spikes`` as (tick, axon)."""
        m, total = memory or self.rest(), 0.0
        for now in range(ticks):
            self.tick(m, [i for at, i in spikes if at == now])
            if (now + 1) % self.update == 0 or now + 1 == ticks:
                for sources in self.readouts():
                    total -= (now + 1) / ticks * math.log(self.softmax(m, sources)[target])
        return total

    def gradients(self, ticks, spikes, target, m):
        hidden, outs = range(len(self.beta)), range(len(self.decay_out))
        x = [0.0] * len(self.w)
        xr = [0.0] * len(self.beta)
        psi_sum, since = [0.0] * len(self.beta), 0
        gw = [[0.0] * len(self.w[0]) for _ in self.w]
        gr = [[0.0] * len(self.beta) for _ in self.r]
        gv = [[[0.0] * len(self.b) for _ in range(self.sources)] for _ in outs]
        gb = [0.0] * len(self.b)
        ew = [[[0.0] * len(self.w[0]) for _ in self.w] for _ in outs]  # eligibilities, filtered as the readout does
        er = [[[0.0] * len(self.beta) for _ in self.r] for _ in outs]
        for now in range(ticks):
            axons = [i for at, i in spikes if at == now]
            x = [one * self.decay_x + axons.count(i) for i, one in enumerate(x)]
            xr = [one * self.decay_x + m["z"][j] for j, one in enumerate(xr)]  # who fired in the tick before
            psi = self.tick(m, axons)
            psi_sum, since = [a + b for a, b in zip(psi_sum, psi, strict=True)], since + 1
            if (now + 1) % self.update and now + 1 < ticks:
                continue
            errors = {}  # of each source
            for sources in self.readouts():
                s = self.softmax(m, sources)
                error = [(now + 1) / ticks * (s[k] - (k == target)) for k in range(self.live)]
                errors |= dict.fromkeys(sources, error)
                for k in range(self.live):
                    gb[k] += error[k]
                    for q in outs:
                        for j in sources:
                            gv[q][j][k] += error[k] * (m["o"][q][j] if m["o"][q][j] > 1e-3 else 0)
            for j in hidden:
                for q in outs:
                    told = self.back[j] if self.back else self.v[q][j]
                    signal = sum(told[k] * errors[j][k] for k in range(self.live))
                    kept = self.decay_out[q] ** since
                    for i, one in enumerate(x if self.layer[j] == 0 else ()):
                        ew[q][i][j] = ew[q][i][j] * kept + psi_sum[j] / since * (one if one > 0.01 else 0)
                        gw[i][j] += signal * ew[q][i][j]
                    for i in range(len(self.r)):
                        er[q][i][j] = er[q][i][j] * kept + psi_sum[j] / since * (xr[i] if xr[i] > 0.01 else 0)
                        gr[i][j] += signal * er[q][i][j]
            psi_sum, since = [0.0] * len(self.beta), 0
        return gw, gr, gv, gb

    def learn(self, ticks, spikes, target, m):
        if not ticks:
            return
        gw, gr, gv, gb = self.gradients(ticks, spikes, target, m)
        rate = self.rate_end + (self.rate - self.rate_end) / (1 + self.steps / self.rate_half)
        self.steps += 1

        def adapt(name, where, g, by):
            weights, (mean, square) = getattr(self, name), self.moments[name]
            for place in where[:-1]:
                weights, mean, square = weights[place], mean[place], square[place]
            last = where[-1]
            mean[last] = 0.9 * mean[last] + 0.1 * g
            square[last] = 0.999 * square[last] + 0.001 * g * g
            top, bottom = mean[last] / (1 - 0.9**self.steps), square[last] / (1 - 0.999**self.steps)
            weights[last] -= by * top / (math.sqrt(bottom) + 1e-5)

        for i in {i for at, i in spikes if at < ticks}:
            for j in range(len(self.w[0])):
                adapt("w", (i, j), gw[i][j], rate)
        for i in range(len(self.r)):
            for j in self.joined(i):
                adapt("r", (i, j), gr[i][j], rate)
        for k in range(self.live):
            adapt("b", (k,), gb[k], rate * self.rate_out)
            for q in range(len(self.decay_out)):
                for j in range(self.sources):
                    adapt("v", (q, j, k), gv[q][j][k], rate * self.rate_out)


def copied(memory):
    return {key: [row[:] if isinstance(row, list) else row for row in value] for key, value in memory.items()}


@dataclass
class Classifier(naive.Readout):
    """A classifier; call `moment`, then `microsecond`, for every µs, as with the naive readout."""

    net: Net = None
    tick_us: int = 1
    reset: bool = False
    evidence_min: float = 1.0
    confidence_min: float = 0.0
    room: int = 0
    replays: int = 0
    few: int = 500
    recent: int = 0
    most_spikes: int = 10_000
    seed: int = 0
    names: list = field(default_factory=list)
    taught: list = field(default_factory=list)
    store: list = field(default_factory=list)  # (class, ticks, spikes)
    drawn: int = 0
    learned: dict = field(default_factory=dict)  # of each class of late

    def __post_init__(self):
        super().__post_init__()
        self.memory = self.net.rest()
        self.held, self.listened = [], False  # of the tick under way
        self.opened = None  # when the window under way was first heard
        self.forget()

    def forget(self):
        self.age, self.count, self.noted, self.at_start = 0, 0, [], None
        self.sums, self.weight = [0.0] * len(self.net.b), 0.0

    def moment(self, now, arriving):
        if now % self.tick_us == 0:
            self.tick_ends(now)
        super().moment(now, arriving)

    def microsecond(self, now, spikes):
        if self.window(now) is not None and not self.heard:
            self.opened = now
            self.forget()
            if self.reset:
                self.memory = self.net.rest()
        super().microsecond(now, spikes)
        self.held += spikes
        self.listened = True

    def tick_ends(self, now):
        held, self.held = self.held, []
        listened, self.listened = self.listened, False
        mine = self.heard and self.opened <= now - self.tick_us
        if self.reset and not mine:
            return
        if not listened:
            self.net.silence(self.memory)
            return
        if mine and self.at_start is None:
            self.memory["o"] = self.net.rest()["o"]
            self.at_start = copied(self.memory)
        self.net.tick(self.memory, held)
        if not mine:
            return
        self.noted += [(self.age, i) for i in held]
        self.age += 1
        self.count += len(held)
        if self.net.live and self.age % self.net.update == 0:
            self.read()

    def read(self):
        readouts = self.net.readouts()
        self.weight += self.age
        for sources in readouts:
            for k, share in enumerate(self.net.softmax(self.memory, sources)):
                self.sums[k] += self.age * share / len(readouts)

    def end(self, window):
        if self.heard:
            self.decide(window)
            spikes, ticks = self.noted, self.age
            if len(spikes) > self.most_spikes:
                ticks = min(ticks, spikes[self.most_spikes][0] + 1)
                spikes = spikes[: self.most_spikes]
            self.past = [*self.past, (window, (ticks, spikes, self.at_start))][-self.kept :]
        self.heard = False

    def decide(self, window: Window) -> None:
        if self.net.live and self.age % self.net.update:
            self.read()
        if not self.weight:
            self.decisions.append(Decision(window.start, window.stop, None, 0.0, (), float(self.count)))
            return
        shares = [self.sums[k] / self.weight for k in range(self.net.live)]
        taught = [min(self.few or 1, n) for n in self.taught]
        if len(set(taught)) > 1:
            raised = [share * (max(taught) / n) ** 0.5 for share, n in zip(shares, taught, strict=True)]
            shares = [one / sum(raised) for one in raised]
        best = max(range(len(shares)), key=shares.__getitem__)
        known = self.count >= self.evidence_min and shares[best] >= self.confidence_min
        named = tuple(zip(self.names, shares, strict=True))
        label = self.names[best] if known else None
        self.decisions.append(Decision(window.start, window.stop, label, shares[best], named, float(self.count)))

    def learn(self, label: Label) -> None:
        covered = [kept for window, kept in self.past if label.start <= window.start and window.stop <= label.stop]
        if not covered:
            self.unmatched += 1
            return
        if label.label not in self.names:
            self.names.append(label.label)
            self.taught.append(0)
            self.net.live += 1
        k = self.names.index(label.label)
        for ticks, spikes, memory in covered:
            self.taught[k] += 1
            self.net.learn(ticks, spikes, k, copied(memory) if memory else self.net.rest())
            self.count_step(k)
            replays = self.replays
            if replays and self.taught[k] * 10 < max(self.taught):  # a class that is new beside the others
                replays = max(replays, min(len(self.names) - 1, 32))
            for _ in range(replays if self.store else 0):
                other, long, old = self.chosen()
                self.net.learn(long, old, other, self.net.rest())
                self.count_step(other)
            self.offer(k, ticks, spikes)

    def count_step(self, k):
        self.learned = {c: 0.99 * count for c, count in {k: 0.0, **self.learned}.items()}
        self.learned[k] += 1

    def random(self, below):
        self.drawn += 1
        return random_number(self.seed, self.drawn, below)

    def chosen(self):
        least = min(self.learned[one[0]] for one in self.store)
        k = min(one[0] for one in self.store if self.learned[one[0]] == least)
        of_it = [one for one in self.store if one[0] == k]
        if not self.recent:
            return of_it[self.random(len(of_it))]
        at = self.random(2 * len(of_it))
        latest_first = of_it[::-1][: self.recent]
        return of_it[at] if at < len(of_it) else latest_first[at % len(latest_first)]

    def offer(self, k, ticks, spikes):
        new = (k, ticks, spikes)
        if len(self.store) < self.room:
            self.store.append(new)
        elif self.room:
            sizes = {c: sum(one[0] == c for one in self.store) for c in sorted({one[0] for one in self.store})}
            most = max(sizes.values())
            if sizes.get(k, 0) == most:
                at = self.random(self.taught[k])
                if at < most:
                    self.replace(k, at, new)
            else:
                largest = [c for c, size in sizes.items() if size == most]
                c = largest[self.random(len(largest))]
                self.replace(c, self.random(most), new)

    def replace(self, c, nth, new):
        places = [place for place, one in enumerate(self.store) if one[0] == c]
        self.store = self.store[: places[nth]] + self.store[places[nth] + 1 :] + [new]
