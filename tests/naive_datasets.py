"""Plain-Python twins of the kernels that make events of images, written from the equations at their heads."""

from __future__ import annotations

import math

M64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


class Generator:
    """splitmix64, started from (seed, epoch, sample)."""

    def __init__(self, seed, epoch, sample):
        self.state = mix((mix((seed << 32) + epoch) + sample * GOLDEN) & M64)

    def bits(self):
        self.state = (self.state + GOLDEN) & M64
        return mix(self.state)

    def uniform(self):
        return (self.bits() >> 11) / 2**53

    def below(self, most):
        return ((self.bits() >> 32) * most) >> 32


def poisson(buckets, grey, rate, stop, key):
    """Return [(t, pixel)]; ``buckets`` [(pixel, share, other)] is an alias table of ``grey``."""
    rng, total, t, made = Generator(*key), sum(grey), 0.0, []
    while True:
        t += -math.log(1 - rng.uniform()) / (rate * total)
        if t >= stop:
            return made
        pixel, share, other = buckets[rng.below(len(buckets))]
        made.append((int(t), pixel if rng.below(total) < share else other))


def blurred(image, sigma):
    """Return a function of whole coordinates: the image as 0..1, blurred by a Gaussian cut at three sigmas."""
    h, w = len(image), len(image[0])
    reach = math.ceil(3 * sigma)
    weight = [math.exp(-0.5 * (d / sigma) ** 2) if sigma else 1.0 for d in range(-reach, reach + 1)]
    weight = [one / sum(weight) for one in weight]

    def at(x, y):
        found = 0.0
        for i, a in enumerate(weight):
            for j, b in enumerate(weight):
                u, v = x - (j - reach), y - (i - reach)
                if 0 <= u < w and 0 <= v < h:
                    found += a * b * image[v][u] / 255
        return found

    return at


def between(at, x, y):
    """Return what lies at (x, y), read bilinearly."""
    ix, iy = math.floor(x), math.floor(y)
    fx, fy = x - ix, y - iy
    upper = (1 - fx) * at(ix, iy) + fx * at(ix + 1, iy)
    return (1 - fy) * upper + fy * ((1 - fx) * at(ix, iy + 1) + fx * at(ix + 1, iy + 1))


def corner(p, k):
    """Return where the image's corner is in step k."""
    x, y = p.points[0]
    for leg in range(len(p.starts_ms)):
        f = min(max((k - p.starts_ms[leg]) / p.lasts_ms[leg], 0), 1)
        f = f * f * (3 - 2 * f)
        x += f * (p.points[leg + 1][0] - p.points[leg][0])
        y += f * (p.points[leg + 1][1] - p.points[leg][1])
    return x, y


def normals(rng):
    radius = math.sqrt(-2 * math.log(1 - rng.uniform()))
    angle = 2 * math.pi * rng.uniform()
    return radius * math.cos(angle), radius * math.sin(angle)


def saccades(p, image, key):
    """Return [(t, x, y, p)] of an image, rows of 0..255, in logarithms as the equation has them."""
    rng = Generator(*key)
    shift = [min(max(p.jitter * one, -1.5), 1.5) for one in normals(rng)]
    at = blurred(image, p.blur)

    def light(x, y, k):
        left, above = corner(p, k)
        return between(at, x - left - shift[0], y - above - shift[1])

    return camera(p, light, (len(image[0]) + 6, len(image) + 6), p.steps, rng)


def scene(p, strokes, bright, size, key):
    """Return [(t, x, y, p)] of strokes (steps + 1, n, 5) that are so bright."""

    def light(x, y, k):
        return max([0.0, *(bright * min(max(one[4] + 0.5 - far(x, y, one), 0.0), 1.0) for one in strokes[k])])

    return camera(p, light, size, len(strokes) - 1, Generator(*key))


def far(x, y, stroke):
    """Return how far a point is from a line between two points."""
    x0, y0, x1, y1, _ = stroke
    length = math.hypot(x1 - x0, y1 - y0)
    if length == 0:
        return math.hypot(x - x0, y - y0)
    along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length
    if 0 < along < length:
        return abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / length
    return min(math.hypot(x - x0, y - y0), math.hypot(x - x1, y - y1))


def camera(p, light, size, steps, rng):
    """Return the events of a camera in whose field ``light(x, y, k)`` is the brightness after step k."""
    field = [(x, y) for y in range(size[1]) for x in range(size[0])]
    u = {pixel: light(*pixel, 0) for pixel in field}
    on, off, ref, last = {}, {}, {}, {}
    for pixel in field:
        a, b = normals(rng)
        on[pixel] = p.thr_on * max(0.2, 1 + p.mismatch * a)
        off[pixel] = p.thr_off * max(0.2, 1 + p.mismatch * b)
        ref[pixel] = math.log(u[pixel] + p.eps) + (rng.uniform() - 0.5) * (p.thr_on + p.thr_off) / 2
    none = math.log(1 - p.noise) if p.noise else 0.0
    first = rng.uniform()
    noisy = int(math.log(1 - first) / none) if p.noise else math.inf
    part = 1 - math.exp(-1 / p.tau_ms) if p.tau_ms else 1.0
    made = []
    for k in range(1, steps + 1):
        now = []
        for pixel in field:
            u[pixel] += (light(*pixel, k) - u[pixel]) * part
            seen = math.log(u[pixel] + p.eps)
            for _ in range(3):
                if seen - ref[pixel] > on[pixel]:
                    ref[pixel], dark = ref[pixel] + on[pixel], False
                elif ref[pixel] - seen > off[pixel]:
                    ref[pixel], dark = ref[pixel] - off[pixel], True
                else:
                    break
                if k - last.get(pixel, -(10**9)) >= p.refrac_ms:
                    last[pixel] = k
                    now.append(((k - 1) * 1000 + int(1000 * rng.uniform()), *pixel, dark))
        while noisy < k * len(field):
            dark = bool(rng.bits() >> 63)
            x, y = field[noisy - (k - 1) * len(field)]
            now.append(((k - 1) * 1000 + int(1000 * rng.uniform()), x, y, dark))
            noisy += 1 + int(math.log(1 - rng.uniform()) / none)
        made += sorted(now, key=lambda event: event[0])
    return made
