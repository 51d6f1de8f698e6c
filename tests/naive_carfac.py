"""A plain-Python twin of CARFAC, written from the published equations and not from the kernel.

Loops over bands from the base (the highest) down, as the cochlea and the literature do; poles by radius and angle; the
gain control as a recursion from a stage to the next slower one. What comes out is turned so that band 0 is the lowest.
"""

from __future__ import annotations

import math

ERB_Q = 1000 / (24.7 * 4.37)
BREAK_HZ = 165.3
DECIMATION = (8, 2, 2, 2)


def pole_frequencies(rate: float, step_erb: float) -> list[float]:
    poles, pole = [], 0.85 * rate / 2
    while pole > 30:
        poles.append(pole)
        pole -= step_erb * (BREAK_HZ + pole) / ERB_Q
    return poles


def conductance(x: float) -> float:
    z = max(0.0, x + 0.175)
    return z**3 / (z**3 + z**2 + 0.1)


class Band:
    """One stage of the cascade and its hair cells."""

    def __init__(self, rate: float, pole_hz: float, hair: str) -> None:
        theta = 2 * math.pi * pole_hz / rate
        compressed = math.pi * (theta / math.pi - 0.5 * (theta / math.pi) ** 3)
        zeta = 0.1 + 0.25 * ((BREAK_HZ + pole_hz) / ERB_Q / pole_hz - 0.1)
        self.a0, self.c0 = math.cos(theta), math.sin(theta)
        self.h = self.c0 * (math.sqrt(2) ** 2 - 1)
        self.r1 = 1 - 0.35 * compressed
        self.zr = compressed * (0.35 - zeta)
        self.rate, self.hair = rate, hair
        self.z1 = self.z2 = self.za = self.dzb = self.dg = self.coupler = 0.0
        self.zb, self.g = self.zr, self.exact_gain(1.0)
        self.rest()

    def exact_gain(self, u: float) -> float:
        r = self.r1 + self.zr * u
        return (1 - 2 * r * self.a0 + r * r) / (1 - 2 * r * self.a0 + self.h * r * self.c0 + r * r)

    def quadratic_gain(self, u: float) -> float:
        """Return the parabola through the gains at 0, 1/2 and 1, after Lagrange."""
        at = [(x, self.exact_gain(x)) for x in (0.0, 0.5, 1.0)]
        return sum(g * math.prod((u - y) / (x - y) for y, _ in at if y != x) for x, g in at)

    def rest(self) -> None:
        """Put the hair cells where silence keeps them: what flows out of each store flows in."""
        g_max, g_rest = conductance(10), conductance(0)
        if self.hair == "one_cap":
            self.out1, self.in1 = 1 / g_max / (0.0005 * self.rate), 1 / (0.010 * self.rate)
            self.v1 = self.in1 / (self.in1 + self.out1 * g_rest)
            current = g_rest * self.v1
            saturated = 1 / (2 / g_max + 0.010 / (0.0005 * g_max))
        else:
            self.out1, self.in1 = 1 / g_max / (0.0005 * self.rate), 1 / (0.0002 * self.rate)
            self.v1 = self.in1 / (self.in1 + self.out1 * g_rest)
            r1 = 0.0002 / (0.0005 * g_max)
            potential = r1 / (1 / g_max + r1)  # at the largest conductance
            self.out2, self.in2 = 1 / potential / (0.001 * self.rate), 1 / (0.010 * self.rate)
            self.v2 = self.in2 / (self.in2 + self.out2 * (1 - self.v1))
            current = (1 - self.v1) * self.v2
            saturated = 1 / (2 / potential + 0.010 / (0.001 * potential))
        self.scale = 1 / (saturated - current)
        self.rest_output = self.low1 = self.low2 = current * self.scale
        self.lp = 1 - math.exp(-1 / (0.000080 * self.rate))

    def move(self, x: float) -> float:
        """Take what came down the cascade, return what goes on."""
        self.g += self.dg
        self.zb += self.dzb
        undamping = 1 / (1 + (0.1 * (self.z2 - self.za) + 0.04) ** 2)
        r = self.r1 + self.zb * undamping
        self.za = self.z2
        z1, z2 = self.z1, self.z2
        self.z1 = r * (self.a0 * z1 - self.c0 * z2) + x
        self.z2 = r * (self.c0 * z1 + self.a0 * z2)
        return self.g * (x + self.h * self.z2)

    def hear(self, y: float) -> tuple[float, float]:
        """Return the displacement of the membrane and the neural activity."""
        bm = y - self.coupler
        self.coupler += 2 * math.pi * 20 / self.rate * bm
        if self.hair == "rectify":
            return bm, min(2.0, max(0.0, bm))
        g = conductance(bm)
        if self.hair == "one_cap":
            current = g * self.v1
            self.v1 += -self.out1 * current + self.in1 * (1 - self.v1)
            self.low1 += self.lp * (self.scale * current - self.low1)
            self.low2 += self.lp * (self.low1 - self.low2)
            return bm, self.low2 - self.rest_output
        self.v1 += -self.out1 * g * self.v1 + self.in1 * (1 - self.v1)
        current = (1 - self.v1) * self.v2
        self.v2 += -self.out2 * current + self.in2 * (1 - self.v2)
        self.low1 += self.lp * (self.scale * current - self.low1)
        return bm, self.low1 - self.rest_output


class Stage:
    """One stage of the gain control of one ear."""

    def __init__(self, rate: float, k: int, bands: int) -> None:
        times = 0.002 * 4**k * rate / math.prod(DECIMATION[: k + 1])
        apex, base = math.sqrt(2) ** k, 1.65 * math.sqrt(2) ** k
        mean, variance = (base - apex) / times, (apex**2 + base**2) / times
        square = variance + mean**2
        self.eps = 1 - math.exp(-1 / times)
        self.mix = 0.5 / times if k else 0.0
        self.five = 1 - square < 0.25
        if self.five:
            a, b = (square * 2 / 5 - mean * 2 / 3) / 2, (square * 2 / 5 + mean * 2 / 3) / 2
            self.fir = (a / 2, 1 - a - b, b / 2)
        else:
            a, b = (square - mean) / 2, (square + mean) / 2
            self.fir = (a, 1 - a - b, b)
        self.memory, self.heard, self.phase = [0.0] * bands, [0.0] * bands, 0

    def smooth(self) -> None:
        m, (a, c, b) = self.memory, self.fir
        left, right = [m[0], *m[:-1]], [*m[1:], m[-1]]
        if self.five:
            left = [x + y for x, y in zip(left, [m[0], m[1], *m[:-2]], strict=True)]
            right = [x + y for x, y in zip(right, [*m[2:], m[-1], m[-2]], strict=True)]
        self.memory = [a * x + c * y + b * z for x, y, z in zip(left, m, right, strict=True)]


class Ears:
    """Several ears that hear together, each with its own cascade."""

    def __init__(self, rate, ears=1, hair="two_cap", gain="quadratic", closed=True, step_erb=0.5) -> None:
        poles = pole_frequencies(rate, step_erb)
        self.gain, self.closed = gain, closed
        self.bands = [[Band(rate, pole, hair) for pole in poles] for _ in range(ears)]
        self.stages = [[Stage(rate, k, len(poles)) for k in range(4)] for _ in range(ears)]

    def run(self, sound: list[list[float]]) -> tuple[list[list[list[float]]], list[list[list[float]]]]:
        """Return membrane and neural activity, one value a sample, ear and band."""
        bm, nap = [], []
        for x in sound:
            pairs = [self.cascade(bands, v) for bands, v in zip(self.bands, x, strict=True)]
            bm.append([[d for d, _ in pair[::-1]] for pair in pairs])
            nap.append([[n for _, n in pair[::-1]] for pair in pairs])
            for stages, pair in zip(self.stages, pairs, strict=True):
                updated = self.adapt(stages, 0, [n / 15 for _, n in pair])
            if updated:
                self.couple()
                if self.closed:
                    self.close()
        return bm, nap

    def cascade(self, bands: list[Band], x: float) -> list[tuple[float, float]]:
        out = []
        for band in bands:
            x = band.move(x)
            out.append(band.hear(x))
        return out

    def adapt(self, stages: list[Stage], k: int, heard: list[float]) -> bool:
        stage = stages[k]
        stage.phase = (stage.phase + 1) % DECIMATION[k]
        stage.heard = [x + y for x, y in zip(stage.heard, heard, strict=True)]
        if stage.phase:
            return False
        mean = [x / DECIMATION[k] for x in stage.heard]
        stage.heard = [0.0] * len(mean)
        if k < 3:
            self.adapt(stages, k + 1, mean)
            mean = [x + 2 * y for x, y in zip(mean, stages[k + 1].memory, strict=True)]
        stage.memory = [m + stage.eps * (x - m) for m, x in zip(stage.memory, mean, strict=True)]
        stage.smooth()
        return True

    def couple(self) -> None:
        for same in zip(*self.stages, strict=True):
            if same[0].phase:
                return
            means = [sum(values) / len(same) for values in zip(*(stage.memory for stage in same), strict=True)]
            for stage in same:
                stage.memory = [m + stage.mix * (x - m) for m, x in zip(stage.memory, means, strict=True)]

    def close(self) -> None:
        for bands, stages in zip(self.bands, self.stages, strict=True):
            for band, memory in zip(bands, stages[0].memory, strict=True):
                u = 1 - memory
                gain = band.exact_gain(u) if self.gain == "exact" else band.quadratic_gain(u)
                band.dzb = (band.zr * u - band.zb) / 8
                band.dg = (gain - band.g) / 8
