"""Scenes that a seed makes up, seen by a simulated camera, with labels: bars, digits, spinner, gestures."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, nearest
from spikestream.files.datasets.samples import choose
from spikestream.sensors.datasets.base import EventSet, Slots
from spikestream.sensors.datasets.camera import Camera
from spikestream.sensors.datasets.options import choice_of, real, whole
from spikestream.sensors.datasets.synthetic.glyphs import STROKES, draw
from spikestream.sensors.datasets.synthetic.scenes import SCENES
from spikestream.units import pixels

DIGITS = "digits"
KINDS = (*SCENES, DIGITS)
SLOT_MS = 320
"""Of a digit, as of the images of `Saccades`."""
SMALLEST, LARGEST = 16, 512
HELD_OUT = 4
"""The last quarter of the samples, rounded down, is the test part, as of label files without a column for it."""
LIGHT = (0.5, 1.0)


class Synthetic(EventSet):
    """``seconds`` of a scene, sample by sample, by a camera of ``size`` pixels, each with ``noise_hz`` of noise.

    ``location`` is one of `KINDS`. Every class comes once before one comes again. ``seed``, epoch and the number of a
    sample decide what is in it. ``choice`` are the options of `Choice`; ``together`` is how many samples a batch holds.
    All may be text. Raises `ConfigError`.
    """

    def __init__(
        self,
        location: str,
        *,
        seconds: float | str = 10.0,
        size: tuple[int, int] | str = (34, 34),
        noise_hz: float | str = 0.5,
        together: int | str = 1,
        **choice: Any,
    ) -> None:
        if location not in KINDS:
            text, near = f"there is no scene '{location}'", nearest(location, KINDS)
            raise ConfigError(text, key="synth", value=location, allowed=", ".join(KINDS), nearest=near)
        wide, high = pixels(size) if isinstance(size, str) else size
        if not (SMALLEST <= wide <= LARGEST and SMALLEST <= high <= LARGEST):
            text, allowed = f"a scene cannot have {wide}x{high} pixels", f"{SMALLEST} to {LARGEST} a side"
            raise ConfigError(text, key="size", value=size, allowed=allowed)
        self.kind, self._scene, chosen = location, SCENES.get(location), choice_of(choice)
        slots = Slots((self._scene.steps if self._scene else SLOT_MS) * 1_000, 0)
        count = max(1, round(real("seconds", seconds, 0.001, 1e6) * 1e6) // slots.length_us)
        self._seed = chosen.seed
        self._labels = _in_turn(self._scene.labels if self._scene else tuple(STROKES), count, chosen.seed)
        played = choose(self._labels, np.arange(count) >= count - count // HELD_OUT, chosen)
        super().__init__(location, (wide, high), played, self._labels, slots, whole("together", together, 1, 10_000))
        noise = real("noise_hz", noise_hz, 0.0, 100.0) / 1_000
        self._camera = Camera((wide, high), noise=noise, **({"jitter": 0.3} if self._scene is None else {}))

    def _events(self, place: int, start: int) -> Array:
        index, epoch = int(self._played.index[place]), int(self._played.epoch[place])
        key, label = (self._seed, epoch, index), self._labels[index]
        rng = np.random.default_rng(key)
        if self._scene is None:
            made = self._camera.looking(draw(label, self._camera.image, rng), key, start)
        else:
            strokes = self._scene.move(label, self.size, rng, self._scene.steps)
            made = self._camera.watching(strokes, rng.uniform(*LIGHT), key, start)
        made["p"] ^= True  # brighter is 0 there, as in N-MNIST
        return made


def _in_turn(labels: tuple[str, ...], count: int, seed: int) -> list[str]:
    """Return so many labels, in rounds in which each comes once, in an order of its own."""
    rng = np.random.default_rng(seed)
    rounds = -(-count // len(labels))
    return [labels[i] for _ in range(rounds) for i in rng.permutation(len(labels)).tolist()][:count]
