"""A chip of Loihi cores in plain Python integers, written from the law of a tick and not from the kernel."""

from __future__ import annotations

from collections import Counter, defaultdict

from naive_crossbar import key_of, number

PRE, POST, WEIGHT = 2**20, 2**20 + 2, 2**20 + 4


def drawn(seed, core, tick, which, use, bits):
    return number(key_of(seed, core, tick), which, use) >> (64 - bits)


def dec(x, d):
    left = abs(x) * (4096 - d) >> 12
    return -left if x < 0 else left


def wrapped(u):
    """Return u in (-2^23, 2^23]."""
    u %= 2**24
    return u - 2**24 if u > 2**23 else u


def current(weight, exponent):
    shifted = weight * 2**exponent if exponent >= 0 else weight // 2**-exponent  # // rounds down, as a shift does
    return max(-(2**21) + 64, min(2**21 - 64, shifted * 64))


class Trace:
    """A trace of 7 bits; times are ticks of the epoch, from 1."""

    def __init__(self):
        self.value, self.time = 0, 0

    def spike(self, impulse, tick):
        if self.time:
            self.value = min(127, self.value + impulse)
        self.time = tick

    def at(self, t, impulse, left, rho, after):
        """Return the trace in tick t; ``left[k]`` is what k ticks leave of 2^16."""
        if not self.time or t < self.time:
            return (self.value * left[t] + rho) // 2**16
        peak = min(127, (self.value * left[self.time] + rho) // 2**16 + impulse)
        return (peak * left[t - self.time] + after) // 2**16


class Core:
    def __init__(self, p, c):
        self.number, self.seed = c, int(p.seed[c])
        a, b = int(p.first_compartment[c]), int(p.first_compartment[c + 1])
        names = "du dv bias bias_exponent threshold v_min v_max refractory"
        columns = {name: getattr(p, name)[a:b].tolist() for name in names.split()}
        self.own = [{name: column[j] for name, column in columns.items()} for j in range(b - a)]
        self.u, self.v, self.r = [0] * (b - a), [0] * (b - a), [0] * (b - a)
        begins = p.first_target.tolist()
        targets = list(zip(p.target_core.tolist(), p.target_axon.tolist(), strict=True))
        self.targets = [targets[begins[a + j] : begins[a + j + 1]] for j in range(b - a)]
        first, last = int(p.first_axon[c]), int(p.first_axon[c + 1])
        names = "weight_exponent weight_bits weight_sign plastic"
        columns = {name: getattr(p, name)[first:last].tolist() for name in names.split()}
        self.axons = [{name: column[i] for name, column in columns.items()} for i in range(last - first)]
        begins = p.first_synapse.tolist()
        self.origin = begins[first]
        rows = [list(row) for row in zip(p.compartment.tolist(), p.weight.tolist(), p.delay.tolist(), strict=True)]
        self.synapses = [rows[begins[first + i] : begins[first + i + 1]] for i in range(last - first)]
        names = "epoch x1_impulse y1_impulse a_plus a_plus_exponent a_minus a_minus_exponent"
        self.rule = {name: int(getattr(p, name)[c]) for name in names.split()}
        self.left = [[2**16], [2**16]]
        for left, decay in zip(self.left, (int(p.x1_decay[c]), int(p.y1_decay[c])), strict=True):
            for _ in range(self.rule["epoch"]):
                left.append((left[-1] * (4096 - decay) + 2048) // 4096)
        self.x, self.y = [Trace() for _ in self.axons], [Trace() for _ in self.own]
        self.coming = defaultdict(int)  # (tick, compartment): current

    @property
    def learns(self):
        return any(axon["plastic"] for axon in self.axons)


class Chip:
    """A chip that holds ``placement``; `tick` runs one, on the inputs that spike in it, and returns its outputs."""

    def __init__(self, placement):
        self.p = placement
        self.cores = [Core(placement, c) for c in range(placement.cores)]
        self.targets = defaultdict(list)
        for i, core, axon, delay in placement.inputs.tolist():
            self.targets[i].append((core, axon, delay))
        self.under_way = Counter()  # (tick, core, axon): spikes
        self.seen = Counter()  # what has happened, for tests that want everything to
        self.learning = True

    @property
    def u(self):
        return [u for core in self.cores for u in core.u]

    @property
    def v(self):
        return [v for core in self.cores for v in core.v]

    @property
    def weights(self):
        return [weight for core in self.cores for row in core.synapses for _, weight, _ in row]

    def tick(self, n, inputs):
        for i in inputs:
            for core, axon, delay in self.targets[i]:
                self.under_way[n + delay, core, axon] += 1
        pins = set()
        for core in self.cores:
            self.receive(core, n)
            for j, own in enumerate(core.own):
                if self.compartment(core, j, own, core.coming.pop((n, j), 0)):
                    self.seen["spikes"] += 1
                    self.seen["dropped"] += not core.targets[j]
                    if core.learns:
                        core.y[j].spike(core.rule["y1_impulse"], n % core.rule["epoch"] + 1)
                    for to, axon in core.targets[j]:
                        if to == -2:
                            pins.add(axon)
                        else:
                            self.under_way[n + 1, to, axon] += 1
                            self.hop(core.number, to)
            if core.learns and (n + 1) % core.rule["epoch"] == 0:
                self.learn(core, n)
        self.under_way = Counter({key: many for key, many in self.under_way.items() if key[0] > n})
        return sorted(pins)

    def hop(self, home, to):
        (x, y), (far_x, far_y) = self.p.core_xy[home].tolist(), self.p.core_xy[to].tolist()
        self.seen["hops_x"] += abs(far_x - x)
        self.seen["hops_y"] += abs(far_y - y)

    def receive(self, core, n):
        for i, axon in enumerate(core.axons):
            many = self.under_way[n, core.number, i]
            if not many:
                continue
            self.seen["events"] += many
            self.seen["several"] += many > 1
            for j, weight, delay in core.synapses[i]:
                self.seen["operations"] += many
                self.seen["delay", delay] += 1
                self.seen["exponent", axon["weight_exponent"]] += 1
                self.seen["limit"] += abs(current(weight, axon["weight_exponent"])) == 2**21 - 64
                core.coming[n + delay, j] += many * current(weight, axon["weight_exponent"])
            if axon["plastic"]:
                core.x[i].spike(core.rule["x1_impulse"], n % core.rule["epoch"] + 1)

    def compartment(self, core, j, own, arrives):
        """Run one compartment; return whether it fires."""
        u = dec(core.u[j], own["du"] + 1) + arrives
        self.seen["wrap up"] += u > 2**23
        self.seen["wrap down"] += u <= -(2**23)
        core.u[j] = u = wrapped(u)
        bias = own["bias"] << own["bias_exponent"]
        self.seen["bias", (bias > 0) - (bias < 0)] += 1
        v = dec(core.v[j], own["dv"]) + u + bias
        self.seen["low"] += v < own["v_min"]
        self.seen["high"] += v > own["v_max"]
        v = max(own["v_min"], min(own["v_max"], v))
        if core.r[j] > 0:
            self.seen["held"] += v != 0
            v = 0
        fires = v > own["threshold"] << 6
        if fires:
            v, core.r[j] = 0, own["refractory"]
            self.seen["refractory", min(own["refractory"], 3)] += 1
        core.v[j], core.r[j] = v, max(core.r[j] - 1, 0)
        return fires

    def learn(self, core, n):
        rule, draw = core.rule, lambda which, use, bits=16: drawn(core.seed, core.number, n, which, use, bits)

        def x_at(i, t):
            return core.x[i].at(t, rule["x1_impulse"], core.left[0], draw(i, PRE), draw(i, PRE + 1))

        def y_at(j, t):
            return core.y[j].at(t, rule["y1_impulse"], core.left[1], draw(j, POST), draw(j, POST + 1))

        k = -1
        for i, axon in enumerate(core.axons):
            for synapse in core.synapses[i]:
                k += 1
                j, weight, _ = synapse
                pre, post = core.x[i].time, core.y[j].time
                if not axon["plastic"] or not self.learning or not (pre or post):
                    continue
                gain = rule["a_plus"] * 2 ** (7 + rule["a_plus_exponent"]) * x_at(i, post) if post else 0
                loss = rule["a_minus"] * 2 ** (7 + rule["a_minus_exponent"]) * y_at(j, pre) if pre else 0
                synapse[1] = self.moved(weight, gain - loss, axon, lambda bits, k=k: draw(k, WEIGHT, bits))
        for traces, read in ((core.x, x_at), (core.y, y_at)):
            for i, trace in enumerate(traces):
                if traces is core.y or core.axons[i]["plastic"]:
                    trace.value, trace.time = read(i, rule["epoch"]), 0

    def moved(self, weight, change, axon, rho):
        """Return a weight after ``change`` 128ths of one."""
        sign, bits = axon["weight_sign"], axon["weight_bits"]
        step = 2 ** (9 - bits if sign == 0 else 8 - bits)
        width = 7 + step.bit_length() - 1
        new = (weight * 128 + change + rho(width)) // 2**width * step
        least, most = (0 if sign > 0 else -256), (0 if sign < 0 else 256 - step)
        kept = max(least, min(most, new))
        self.seen["saturated", sign] += kept != new
        self.seen["gain" if kept > weight else "loss" if kept < weight else "same"] += 1
        self.seen["step", step] += kept != weight
        return kept
