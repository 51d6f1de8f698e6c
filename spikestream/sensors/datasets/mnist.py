"""Images as Poisson spikes: MNIST and what has its layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from spikestream.batch import EVENT, Array
from spikestream.errors import ConfigError
from spikestream.files.datasets.mnist import read_images
from spikestream.files.datasets.samples import choose
from spikestream.sensors.datasets.base import EventSet, Slots
from spikestream.sensors.datasets.options import choice_of, microseconds, real, whole

FULL = 255
MOST_SPIKES = 1 << 22
"""Spikes of one image, expected; its memory is 54 MB."""


class Mnist(EventSet):
    """The images of a folder in its IDX files, each pixel a Poisson process of ``rate_hz`` where it is brightest.

    An image is shown for ``present_ms`` and followed by ``gap_ms`` of silence. Where it is expected to bring less than
    ``least_spikes`` or more than ``most_spikes`` (0: no such bound), all its rates are raised or lowered to bring so
    many. ``seed``, epoch and the number of the image in the set decide its spikes, and nothing else does. ``choice``
    are the options of `Choice`; ``together`` is how many samples a batch holds. All may be text. Raises
    `RecordingError` and `ConfigError`.
    """

    tables: Mapping[str, Mapping[str, Any]] = {"readout": {"windows": "marked"}, "address": {"polarity": "ignore"}}

    def __init__(
        self,
        location: str,
        *,
        present_ms: float | str = 100.0,
        gap_ms: float | str = 0.0,
        rate_hz: float | str = 127.5,
        least_spikes: float | str = 0.0,
        most_spikes: float | str = 0.0,
        together: int | str = 1,
        **choice: Any,
    ) -> None:
        from spikestream.kernels.poisson import init

        slots = Slots(microseconds("present_ms", present_ms), microseconds("gap_ms", gap_ms, 0))
        self._rate = real("rate_hz", rate_hz, 0.0, 1e6) / 1e6 / FULL  # per µs and unit of brightness
        least, most = (
            real(key, value, 0.0, MOST_SPIKES)
            for key, value in (("least_spikes", least_spikes), ("most_spikes", most_spikes))
        )
        if 0 < most < least:
            raise ConfigError(f"least_spikes = {least:g} is more than most_spikes", key="least_spikes", value=least)
        self._bounds = least, most or math.inf
        chosen = choice_of(choice)
        self._seed = chosen.seed
        images = read_images(location)
        count, height, width = images.pixels.shape
        self._pixels = images.pixels.reshape(count, height * width)
        labels = [str(label) for label in images.labels.tolist()]
        played = choose(labels, images.test, chosen)
        super().__init__(location, (width, height), played, labels, slots, whole("together", together, 1, 10_000))
        brightest = float(self._pixels.sum(axis=1, dtype=np.int64).max()) * self._rate * slots.shown_us
        if min(max(brightest, least), self._bounds[1]) > MOST_SPIKES:
            text = f"rate_hz = {rate_hz} makes {brightest:,.0f} spikes of one image"
            raise ConfigError(text, key="rate_hz", value=rate_hz, allowed=f"rates that make up to {MOST_SPIKES:,}")
        self._table = init(height * width)

    def _events(self, place: int, start: int) -> Array:
        from spikestream.kernels.poisson import draw

        index = int(self._played.index[place])
        grey, shown_us, (least, most) = self._pixels[index], self._slots.shown_us, self._bounds
        total = int(grey.sum(dtype=np.int64))
        natural = total * self._rate * shown_us
        mean = min(max(natural, least), most) if natural > 0 else 0.0
        rate = mean / (total * shown_us) if mean > 0 else 0.0
        key = (self._seed, int(self._played.epoch[place]), index)
        room = math.ceil(mean + 8 * math.sqrt(mean)) + 32
        while True:
            out = np.empty(room, EVENT)
            count = draw(self._table, grey, self.size[0], rate, shown_us, key, start, out)
            if count <= room:
                return out[:count].copy() if count < room // 2 else out[:count]
            room *= 2
