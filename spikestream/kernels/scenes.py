"""Things that move, as an event camera sees them: bright strokes before a dark ground.

A stroke is a line with round ends, (x0, y0, x1, y1, radius) in pixels; where it is, I = light, fading to 0 over the
pixel at its edge; where several are, the brightest counts. Everything else, from the equation of a pixel to the
generator, is that of `spikestream.kernels.saccades` with tau = 0 and without its optics; p = 0 is brighter, as there.
"""

from __future__ import annotations

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.crossbar_random import key_of
from spikestream.kernels.saccades import Coeffs, State, begin, first_noise, sense


@compiled
def _draw(c: Coeffs, s: State, strokes: Array, light: float) -> None:
    """Let every pixel see the strokes (n, 5)."""
    s.seen[...] = c.eps
    high, wide = s.seen.shape
    for k in range(len(strokes)):
        x0, y0, x1, y1, radius = strokes[k, 0], strokes[k, 1], strokes[k, 2], strokes[k, 3], strokes[k, 4]
        dx, dy, reach = x1 - x0, y1 - y0, radius + 0.5
        length = dx * dx + dy * dy
        top, bottom = int(max(0.0, np.ceil(min(y0, y1) - reach))), int(min(high - 1.0, np.floor(max(y0, y1) + reach)))
        left, right = int(max(0.0, np.ceil(min(x0, x1) - reach))), int(min(wide - 1.0, np.floor(max(x0, x1) + reach)))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                along = ((x - x0) * dx + (y - y0) * dy) / length if length > 0.0 else 0.0
                along = min(max(along, 0.0), 1.0)
                px, py = x - x0 - along * dx, y - y0 - along * dy
                bright = min(max(reach - np.sqrt(px * px + py * py), 0.0), 1.0) * light + c.eps
                s.seen[y, x] = max(s.seen[y, x], bright)


@compiled
def run(c: Coeffs, s: State, strokes: Array, light: float, key: tuple[int, int, int], start: int, out: Array) -> int:
    """Write the events of one scene into ``out`` (m,) EVENT and return how many there are, m + 1 for too many.

    ``strokes`` (steps + 1, n, 5): where they are before the first step of 1 ms, and after each; ``key`` is (seed,
    epoch, sample); stamps count from ``start`` µs.
    """
    _draw(c, s, strokes[0], light)
    state, noisy = first_noise(c, begin(c, s, key_of(key[0], key[1], key[2])))
    n = 0
    for k in range(1, len(strokes)):
        _draw(c, s, strokes[k], light)
        state, noisy, n = sense(c, s, k, start + (k - 1) * 1_000, state, noisy, n, out)
        if n > len(out):
            break
    return n
