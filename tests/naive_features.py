"""Naive twins of the features: plain loops over (t, axon), written from docs/features.md and not from the kernels.

Sums of 32-bit floats depend on their order, and patterns are equal often, so numbers are 32 bits wide here as well.
"""

from __future__ import annotations

import math

import numpy as np

F = np.float32
Spike = tuple[int, int]
Shape = tuple[int, int, int]


def patterns(kinds, size, directions, wavelength, sigma, aspect):
    """Return one table {(dy, dx): weight} for each pattern."""
    half, tables = size // 2, []
    for kind in ("edges", "bars"):
        if kinds not in (kind, "both"):
            continue
        for step in range(directions if kind == "edges" else directions // 2):
            angle, raw = 2 * math.pi * step / directions, {}
            wave = math.sin if kind == "edges" else math.cos
            for dy in range(-half, half + 1):
                for dx in range(-half, half + 1):
                    u = dx * math.cos(angle) + dy * math.sin(angle)
                    v = dy * math.cos(angle) - dx * math.sin(angle)
                    bell = math.exp(-(u**2 + aspect**2 * v**2) / (2 * sigma**2))
                    raw[dy, dx] = bell * wave(2 * math.pi * u / wavelength)
            mean = sum(raw.values()) / len(raw)
            positive = sum(max(0, w - mean) for w in raw.values())
            tables.append({place: (w - mean) / positive for place, w in raw.items()})
    return tables


def sides(shape: Shape, pool: int, stride: int) -> Shape:
    """Return the shape of the units over planes of pixels: the first that reaches the last pixel is the last."""
    counts = []
    for side in shape[1:]:
        n = 1
        while (n - 1) * stride + pool < side:
            n += 1
        counts.append(n)
    return shape[0], counts[0], counts[1]


class Pooling:
    """Units that rest after what they pass."""

    def __init__(self, shape: Shape, pool: int, stride: int, rest: int) -> None:
        self.shape, self.pool, self.stride, self.rest = sides(shape, pool, stride), pool, stride, rest
        self.last: dict[tuple[int, int, int], int] = {}

    def passed(self, t: int, plane: int, y: int, x: int) -> list[Spike]:
        out = []
        _, height, width = self.shape
        for row in range(height):
            for column in range(width):
                inside = 0 <= y - row * self.stride < self.pool and 0 <= x - column * self.stride < self.pool
                unit = plane, row, column
                if inside and (unit not in self.last or t - self.last[unit] >= self.rest):
                    self.last[unit] = t
                    out.append((t, (plane * height + row) * width + column))
        return out


def place_of(axon: int, shape: Shape) -> tuple[int, int, int]:
    _, height, width = shape
    return axon // (height * width), axon // width % height, axon % width


def pool(spikes: list[Spike], shape: Shape, pool: int, stride: int, rest_us: int) -> list[Spike]:
    units = Pooling(shape, pool, stride, rest_us)
    return [out for t, axon in spikes for out in units.passed(t, *place_of(axon, shape))]


def edges(spikes: list[Spike], shape: Shape, w, tick_us, tau_ms, floor, pool, stride, rest_ms) -> list[Spike]:
    """Return what fires, for patterns ``w`` (size, size, M) in thresholds; stamps are the last µs of ticks."""
    size, _, count = w.shape
    half, (planes, height, width) = size // 2, shape
    units = Pooling((planes * count, height, width), pool, stride, round(rest_ms * 1000 / tick_us))
    v: dict[tuple[int, int, int], list[F]] = {}
    since: dict[tuple[int, int, int], int] = {}
    out = []
    for tick in sorted({t // tick_us for t, _ in spikes}):
        heard: list[tuple[int, int, int]] = []
        for axon in [axon for t, axon in spikes if t // tick_us == tick]:
            plane, y, x = place_of(axon, shape)
            for dy in range(-half, half + 1):
                for dx in range(-half, half + 1):
                    at = plane, y - dy, x - dx
                    if not (0 <= at[1] < height and 0 <= at[2] < width):
                        continue
                    if at not in heard:
                        heard.append(at)
                        fade = F(math.exp(-(tick - since.get(at, tick)) * tick_us / 1000 / tau_ms))
                        v[at] = [one * fade for one in v.get(at, [F(0)] * count)]
                        since[at] = tick
                    v[at] = [one + w[dy + half, dx + half, m] for m, one in enumerate(v[at])]
        for at in heard:
            v[at] = [max(one, F(floor)) for one in v[at]]
            best = max(range(count), key=lambda m: v[at][m])
            if v[at][best] > 1:
                v[at] = [F(0)] * count
                passed = units.passed(tick, at[0] * count + best, at[1], at[2])
                out += [((tick + 1) * tick_us - 1, unit) for _, unit in passed]
    return out


def surface(spikes: list[Spike], shape: Shape, w, tau_ms, least, pool, stride, rest_us) -> list[Spike]:
    """Return what the surfaces show, for patterns ``w`` (size, size, M) of length 1."""
    size, _, count = w.shape
    half, (planes, height, width) = size // 2, shape
    units = Pooling((planes * count, height, width), pool, stride, rest_us)
    last: dict[tuple[int, int, int], int] = {}
    out = []
    for t, axon in spikes:
        plane, y, x = place_of(axon, shape)
        last[plane, y, x] = t
        score, square = [F(0)] * count, F(0)
        for dy in range(-half, half + 1):
            for dx in range(-half, half + 1):
                ago = t - last.get((plane, y + dy, x + dx), -(10**19))
                if ago >= 5000 * tau_ms:
                    continue
                value = np.exp(-F(ago) * F(1 / (1000 * tau_ms)))
                square += value * value
                score = [one + w[dy + half, dx + half, m] * value for m, one in enumerate(score)]
        best = max(range(count), key=lambda m: score[m])
        if score[best] > F(least) * np.sqrt(square):
            out += units.passed(t, plane * count + best, y, x)
    return out


class Maps:
    """Learned feature maps, written from the equations of docs/features.md; ``weights`` (sets, inputs, maps) at first.

    A set of kernels is a list of dictionaries {(plane, dy, dx): weight}, one for each map.
    """

    def __init__(self, shape: Shape, weights, o) -> None:
        self.shape, self.o, self.size = shape, o, o["size"]
        _, self.rows, self.columns = sides(shape, o["size"], o["step"])
        inputs = [(p, y, x) for p in range(shape[0]) for y in range(self.size) for x in range(self.size)]
        self.w = [
            [{i: one[n, m] for n, i in enumerate(inputs)} for m in range(o["maps"])] for one in np.array(weights, F)
        ]
        self.theta = [[F(0)] * o["maps"] for _ in self.w]
        self.lessons = [[0] * o["maps"] for _ in self.w]
        self.units = Pooling(
            (o["maps"], self.rows, self.columns), o["pool"], o["stride"], round(o["rest_ms"] * 1000 / o["tick_us"])
        )
        self.v: dict[tuple[int, int], list[F]] = {}
        self.since: dict[tuple[int, int], int] = {}
        self.heard: dict[tuple[int, int, int], int] = {}
        self.last_lesson: dict[tuple, int] = {}

    def set_of(self, at) -> int:
        return 0 if self.o["share"] else at[0] * self.columns + at[1]

    def ms(self, ticks: int) -> float:
        return ticks * self.o["tick_us"] / 1000

    def run(self, spikes: list[Spike], learns) -> list[Spike]:
        """Return what comes out; ``learns(tick)`` tells whether a tick may learn."""
        tick_us, out = self.o["tick_us"], []
        for tick in sorted({t // tick_us for t, _ in spikes}):
            out += self.tick(tick, [axon for t, axon in spikes if t // tick_us == tick], learns(tick))
        return out

    def tick(self, tick: int, axons: list[int], learning: bool) -> list[Spike]:
        o, out, heard = self.o, [], []
        gain = F(o["gain"] / (math.sqrt(self.shape[0] * self.size * self.size) / 2))
        for axon in axons:
            plane, y, x = place_of(axon, self.shape)
            self.heard[plane, y, x] = tick
            for row in range(self.rows):
                for column in range(self.columns):
                    dy, dx, at = y - row * o["step"], x - column * o["step"], (row, column)
                    if not (0 <= dy < self.size and 0 <= dx < self.size):
                        continue
                    if at not in heard:
                        heard.append(at)
                        fade = F(math.exp(-self.ms(tick - self.since.get(at, tick)) / o["tau_ms"]))
                        self.v[at] = [one * fade for one in self.v.get(at, [F(0)] * o["maps"])]
                        self.since[at] = tick
                    kernels = self.w[self.set_of(at)]
                    self.v[at] = [
                        one + gain * kernel[plane, dy, dx] for one, kernel in zip(self.v[at], kernels, strict=True)
                    ]
        for at in heard:
            theta = self.theta[self.set_of(at)]
            self.v[at] = [max(one, F(o["floor"])) for one in self.v[at]]
            above = [one - t for one, t in zip(self.v[at], theta, strict=True)]
            best = max(range(o["maps"]), key=lambda m: above[m])
            if above[best] > 1:
                self.v[at] = [F(0)] * o["maps"]
                if learning:
                    self.lesson(tick, at, best)
                passed = self.units.passed(tick, best, *at)
                out += [((tick + 1) * o["tick_us"] - 1, unit) for _, unit in passed]
        return out

    def lesson(self, tick: int, at, m: int) -> None:
        o, own = self.o, self.set_of(at)
        wait = round(o["lesson_ms"] * 1000 / o["tick_us"])
        if any(tick - self.last_lesson.get(who, -(10**18)) < wait for who in (at, (own, m, "map"))):
            return
        self.last_lesson[at] = self.last_lesson[own, m, "map"] = tick
        had, kernel = F(self.lessons[own][m]), self.w[own][m]
        rise = F(o["theta_plus"]) / (F(1) + had / F(o["theta_half"]))
        self.theta[own] = [t - rise / F(o["maps"]) for t in self.theta[own]]
        self.theta[own][m] += rise
        first, last = F(o["rate_start"]), F(o["rate_end"])
        rate = last + (first - last) / (F(1) + had / F(o["lessons_half"]))
        self.lessons[own][m] += 1
        x = {i: self.trace(tick, at, i) for i in kernel}
        total = F(0)
        for one in x.values():
            total += one
        mean, square = F(o["balance"]) * total / F(len(x)), F(0)
        for i, w in kernel.items():
            kernel[i] = w + rate * ((x[i] - mean) - w)
            square += kernel[i] * kernel[i]
        scale = F(1) / max(np.sqrt(square), F(1e-3))
        self.w[own][m] = {i: w * scale for i, w in kernel.items()}

    def trace(self, tick: int, at, i) -> F:
        plane, dy, dx = i
        pixel = plane, at[0] * self.o["step"] + dy, at[1] * self.o["step"] + dx
        if pixel not in self.heard:
            return F(0)
        age = self.ms(tick - self.heard[pixel])
        return F(math.exp(-age / self.o["tau_plus_ms"])) if age < 14 * self.o["tau_plus_ms"] else F(0)
