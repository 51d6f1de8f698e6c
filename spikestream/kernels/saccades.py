"""An image as an event camera sees it that looks around: three saccades over a still picture, as N-MNIST was recorded.

Equation, per pixel of the field and step of 1 ms, I(k) the brightness there when the image has moved to path(k):

    u(k) = u(k-1) + (I(k) - u(k-1)) (1 - exp(-1 / tau)),   tau in ms: the pixel's own slowness; u = I for tau = 0
    L(k) = ln(u(k) + eps)
    brighter where L - ref > on, darker where ref - L > off;   then ref <- ref + on, or ref - off

at most three times a step. An event is written unless the pixel had one less than ``refrac`` steps ago; ref moves all
the same. Each pixel has thresholds of its own, on = thr_on (1 + mismatch N(0, 1)) and off likewise, at least a fifth of
the mean, and begins with ref = L(0) + U(-1/2, 1/2) (thr_on + thr_off) / 2. Stamps are drawn within the step's
millisecond. Noise: any pixel, in any step, with probability ``noise``, of either polarity. As in N-MNIST p = 0 is
brighter. Events of a step are sorted by stamp, then by the order they were made: row by row, brighter ones of a pixel
before darker ones, noise last.

I(k) is the image (28x28 for MNIST) blurred by a Gaussian and read between its pixels bilinearly; around it all is dark.
As the defaults are, maps of events (6 times, 2 polarities) agree with those of the real recordings of the same images
by r = 0.83 on the average; path, thresholds, eps and blur were fitted to the first 60 of those.

No logarithm is taken: exp(ref + on) and exp(ref - off) are kept, and compared with u + eps.

Order of numbers from the generator: two for how far the image is off the path; three for each pixel in rows (its
thresholds by Box and Muller's transform, of which both are used, and where ref begins); one for how many pixels the
first noise is away; then for each event one, for each noise event three (polarity, stamp, how far to the next).
Generator as in `spikestream.kernels.poisson`, started from (seed, epoch, sample).

Sources: G. Orchard et al., Converting static image datasets to spiking neuromorphic datasets using saccades, Front.
Neurosci. 9:437 (2015); pixel model after Lichtsteiner, Posch, Delbruck, IEEE JSSC 43 (2008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.crossbar_random import GOLDEN, key_of, mix
from spikestream.kernels.poisson import uniform

MARGIN = 6
"""The field is so much wider and higher than the image: 34x34 for 28x28."""
BORDER = 10
"""Dark pixels around the image on all sides,"""
REACH = (-2.0, 8.0)
"""so that its corner may lie within this, before it is moved off the path by up to `FARTHEST`; it is kept there."""
EACH = 3
LEAST = 0.2
FARTHEST = 1.5


@dataclass(frozen=True, slots=True)
class Params:
    """The camera: thresholds in units of ln brightness, ``blur`` in pixels, ``tau_ms`` of a pixel, ``refrac_ms`` whole.

    ``jitter`` is by how many pixels, in each direction N(0, 1) of it, an image is off the path.

    ``points`` (x, y) are where the image's upper left corner is before, between and after the saccades, in pixels of
    the field; ``starts_ms`` and ``lasts_ms`` when each saccade begins and how long it takes; ``steps`` of 1 ms in all.
    """

    thr_on: float = 0.165
    thr_off: float = 0.175
    eps: float = 0.44
    mismatch: float = 0.05
    noise: float = 5e-5
    jitter: float = 0.0
    blur: float = 0.4
    tau_ms: float = 0.0
    refrac_ms: int = 3
    points: tuple[tuple[float, float], ...] = ((0.3, 1.3), (2.0, 6.8), (5.9, 1.3), (0.3, 1.2))
    starts_ms: tuple[float, ...] = (10.7, 107.2, 218.0)
    lasts_ms: tuple[float, ...] = (74.0, 86.3, 80.0)
    steps: int = 305


class Coeffs(NamedTuple):
    """What every image has in common: ``path`` (steps + 1, 2) x and y, the ``blur``'s weights, and scalars."""

    path: Array
    blur: Array
    thr_on: float
    thr_off: float
    eps: float
    mismatch: float
    noise: float
    jitter: float
    slow: float
    refrac: int


class State(NamedTuple):
    """Scratch for one image at a time, float64 over the field (h, w) but for ``last``, int64: step of the last event.

    ``canvas`` holds the blurred image with its border, ``seen`` is u + eps, ``high`` and ``low`` its thresholds,
    ``up`` and ``down`` the factors by which they move.
    """

    canvas: Array
    half: Array
    seen: Array
    high: Array
    low: Array
    up: Array
    down: Array
    last: Array
    shift: Array


def design(params: Params) -> Coeffs:
    """Return the coefficients."""
    reach = math.ceil(3 * params.blur)
    weights = [math.exp(-0.5 * (d / params.blur) ** 2) if params.blur else 1.0 for d in range(-reach, reach + 1)]
    blur = np.array(weights) / sum(weights)
    slow = 1.0 if params.tau_ms == 0 else 1 - math.exp(-1 / params.tau_ms)
    p = params
    return Coeffs(_path(p), blur, p.thr_on, p.thr_off, p.eps, p.mismatch, p.noise, p.jitter, slow, p.refrac_ms)


def _path(params: Params) -> Array:
    """Return where the image's corner is (steps + 1, 2): slow, fast and slow again within each saccade."""
    made = np.tile(np.array(params.points[0], float), (params.steps + 1, 1))
    for leg, (start, last) in enumerate(zip(params.starts_ms, params.lasts_ms, strict=True)):
        gone = np.clip((np.arange(params.steps + 1) - start) / last, 0, 1)
        step = np.subtract(params.points[leg + 1], params.points[leg])
        made += (gone * gone * (3 - 2 * gone))[:, np.newaxis] * step
    kept: Array = np.clip(made, *REACH)
    return kept


def init(width: int, height: int) -> State:
    """Return room for images of so many pixels."""
    canvas = np.zeros((2, height + 2 * BORDER, width + 2 * BORDER))
    field = np.zeros((5, height + MARGIN, width + MARGIN))
    seen, high, low, up, down = field
    return State(canvas[0], canvas[1], seen, high, low, up, down, np.zeros(seen.shape, np.int64), np.zeros(2))


@compiled
def _blurred(blur: Array, state: State, grey: Array, width: int) -> None:
    """Put an image (n,) uint8 on the canvas, 255 as 1, blurred along x, then along y."""
    canvas, half = state.canvas, state.half
    height, reach = len(grey) // width, len(blur) // 2
    canvas[...] = 0.0
    half[...] = 0.0
    for k in range(len(grey)):
        if grey[k]:
            y, x = k // width + BORDER, k % width + BORDER
            for d in range(len(blur)):
                if 0 <= x + d - reach < half.shape[1]:
                    half[y, x + d - reach] += blur[d] * (np.float64(grey[k]) / 255.0)
    for y in range(BORDER, BORDER + height):
        for d in range(len(blur)):
            if 0 <= y + d - reach < canvas.shape[0]:
                for x in range(canvas.shape[1]):
                    canvas[y + d - reach, x] += blur[d] * half[y, x]


@compiled
def _look(c: Coeffs, s: State, k: int, slow: float) -> None:
    """Let every pixel see the image where it is in step k."""
    left, above = c.path[k, 0] + s.shift[0], c.path[k, 1] + s.shift[1]
    # A pixel of the field at (x, y) looks at (x - left, y - above) of the image.
    ix, iy = np.int64(np.floor(-left)), np.int64(np.floor(-above))
    fx, fy = -left - ix, -above - iy
    a, b, d, e = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
    height, width = s.seen.shape
    begin, end = ix + BORDER, ix + BORDER + width
    for y in range(height):
        # Slices, each from its own beginning: only so does the loop below become one of vectors.
        row, seen = y + iy + BORDER, s.seen[y]
        upper, above_right = s.canvas[row, begin:end], s.canvas[row, begin + 1 : end + 1]
        lower, below_right = s.canvas[row + 1, begin:end], s.canvas[row + 1, begin + 1 : end + 1]
        for x in range(width):
            now = a * upper[x] + b * above_right[x] + d * lower[x] + e * below_right[x]
            seen[x] += (now + c.eps - seen[x]) * slow


@compiled
def _crossings(seen: Array, top: Array, floor: Array) -> int:
    """Return how many pixels of a row have left what their thresholds enclose: mostly none, and that is known soon."""
    count = 0
    for x in range(len(seen)):
        count += int(seen[x] > top[x]) + int(seen[x] < floor[x])
    return count


@compiled
def _moved(c: Coeffs, s: State, state: Any) -> Any:
    """Decide how far this image is off the path, at most `FARTHEST`; return the state of the generator."""
    state += GOLDEN
    radius = c.jitter * np.sqrt(-2.0 * np.log(1.0 - uniform(state)))
    state += GOLDEN
    angle = 2.0 * np.pi * uniform(state)
    s.shift[0] = min(max(radius * np.cos(angle), -FARTHEST), FARTHEST)
    s.shift[1] = min(max(radius * np.sin(angle), -FARTHEST), FARTHEST)
    return state


@compiled
def begin(c: Coeffs, s: State, state: Any) -> Any:
    """Give every pixel its thresholds; return the state of the generator."""
    height, width = s.seen.shape
    half = 0.5 * (c.thr_on + c.thr_off)
    for y in range(height):
        for x in range(width):
            state += GOLDEN
            radius = np.sqrt(-2.0 * np.log(1.0 - uniform(state)))
            state += GOLDEN
            angle = 2.0 * np.pi * uniform(state)
            on = c.thr_on * max(LEAST, 1.0 + c.mismatch * radius * np.cos(angle))
            off = c.thr_off * max(LEAST, 1.0 + c.mismatch * radius * np.sin(angle))
            state += GOLDEN
            ref = np.log(s.seen[y, x]) + (uniform(state) - 0.5) * half
            s.up[y, x], s.down[y, x] = np.exp(on), np.exp(-off)
            s.high[y, x], s.low[y, x] = np.exp(ref + on), np.exp(ref - off)
            s.last[y, x] = -(1 << 40)
    return state


@compiled
def _put(out: Array, first: int, n: int, t: int, x: int, y: int, p: bool) -> int:
    """Write an event behind those of its step that are not later; return how many there are now."""
    at = n
    while at > first and out[at - 1]["t"] > t:
        earlier = out[at - 1]
        later = out[at]
        later["t"] = earlier["t"]
        later["x"] = earlier["x"]
        later["y"] = earlier["y"]
        later["p"] = earlier["p"]
        at -= 1
    event = out[at]
    event["t"] = t
    event["x"] = x
    event["y"] = y
    event["p"] = p
    return n + 1


@compiled
def first_noise(c: Coeffs, state: Any) -> tuple[Any, Any]:
    """Return the state of the generator, and how many pixels, step by step, the first noise is away."""
    state += GOLDEN
    if c.noise <= 0.0:
        return state, np.int64(1 << 62)
    return state, np.int64(np.log(1.0 - uniform(state)) / np.log(1.0 - c.noise))


@compiled
def sense(c: Coeffs, s: State, k: int, start: int, state: Any, noisy: Any, n: int, out: Array) -> tuple[Any, Any, int]:
    """Write the events of step ``k``, from ``start`` µs on, behind the ``n`` in ``out``, of what ``s.seen`` is now.

    Returns the state of the generator, how far the next noise is from the first pixel of step 1, and how many events
    there are, one more than ``out`` has room for where these are too many.
    """
    high, wide = s.seen.shape
    pixels, first = high * wide, n
    for y in range(high):
        seen, top, floor = s.seen[y], s.high[y], s.low[y]
        if not _crossings(seen, top, floor):
            continue
        for x in range(wide):
            if floor[x] <= seen[x] <= top[x]:
                continue
            if n + EACH > len(out):
                return state, noisy, len(out) + 1
            for _ in range(EACH):
                brighter = seen[x] > top[x]
                if not brighter and not seen[x] < floor[x]:
                    break
                factor = s.up[y, x] if brighter else s.down[y, x]
                top[x] *= factor
                floor[x] *= factor
                if k - s.last[y, x] >= c.refrac:
                    s.last[y, x] = k
                    state += GOLDEN
                    n = _put(out, first, n, start + np.int64(uniform(state) * 1_000), x, y, not brighter)
    while noisy < k * pixels:
        if n == len(out):
            return state, noisy, n + 1
        at = noisy - (k - 1) * pixels
        state += GOLDEN
        dark = mix(state) >> np.uint64(63) == np.uint64(1)
        state += GOLDEN
        n = _put(out, first, n, start + np.int64(uniform(state) * 1_000), at % wide, at // wide, dark)
        state += GOLDEN
        noisy += 1 + np.int64(np.log(1.0 - uniform(state)) / np.log(1.0 - c.noise))
    return state, noisy, n


@compiled
def run(c: Coeffs, s: State, grey: Array, width: int, key: tuple[int, int, int], start: int, out: Array) -> int:
    """Write the events of one image into ``out`` (m,) EVENT and return how many there are, m + 1 for too many.

    ``grey`` (n,) uint8 in rows of ``width``; ``key`` is (seed, epoch, sample); stamps count from ``start`` µs.
    """
    _blurred(c.blur, s, grey, width)
    state = _moved(c, s, key_of(key[0], key[1], key[2]))
    s.seen[...] = 0.0
    _look(c, s, 0, 1.0)
    state, noisy = first_noise(c, begin(c, s, state))
    n = 0
    for k in range(1, len(c.path)):
        _look(c, s, k, c.slow)
        state, noisy, n = sense(c, s, k, start + (k - 1) * 1_000, state, noisy, n, out)
        if n > len(out):
            break
    return n
