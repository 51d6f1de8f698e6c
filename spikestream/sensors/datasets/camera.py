"""A simulated event camera: what the kernels need kept between one picture and the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spikestream.batch import EVENT, Array

Key = tuple[int, int, int]


class Camera:
    """A camera of ``size`` pixels, for images of size ``image``; ``params`` as in `spikestream.kernels.saccades`."""

    def __init__(self, size: tuple[int, int], **params: Any) -> None:
        from spikestream.kernels.saccades import MARGIN, Params, design, init

        self.image = (size[0] - MARGIN, size[1] - MARGIN)
        self._coeffs, self._state = design(Params(**params)), init(*self.image)
        self._room = 16 * self.image[0] * self.image[1]

    def looking(self, grey: Array, key: Key, start: int) -> Array:
        """Return the events (n,) EVENT of a look at a still image (height, width) uint8, in three saccades."""
        from spikestream.kernels.saccades import run

        flat, width = grey.reshape(-1), grey.shape[1]
        return self._seen(lambda out: run(self._coeffs, self._state, flat, width, key, start, out))

    def watching(self, strokes: Array, light: float, key: Key, start: int) -> Array:
        """Return the events (n,) EVENT of strokes that move, see `spikestream.kernels.scenes`."""
        from spikestream.kernels.scenes import run

        return self._seen(lambda out: run(self._coeffs, self._state, strokes, light, key, start, out))

    def _seen(self, run: Callable[[Array], int]) -> Array:
        while True:
            out = np.empty(self._room, EVENT)
            count = run(out)
            if count <= self._room:
                return out[:count].copy()
            self._room *= 2
