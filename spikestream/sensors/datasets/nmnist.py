"""Event recordings with labels as a sensor: N-MNIST and folders like it, one recording after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikestream.batch import Array, first_at
from spikestream.files.datasets.recordings import find_recordings, read_recording
from spikestream.files.datasets.samples import choose
from spikestream.sensors.datasets.base import EventSet, Slots
from spikestream.sensors.datasets.options import choice_of, microseconds, whole
from spikestream.units import pixels

BEYOND = "beyond slot_ms"


class Nmnist(EventSet):
    """The recordings of a folder, each from the beginning of a slot of ``slot_ms`` on and followed by ``gap_ms``.

    Stamps count from the slot's start as they do in the file from 0. Events beyond the slot are dropped and counted in
    ``problems``, as are those outside of ``size``. ``choice`` are the options of `Choice`; ``together`` is how
    many recordings a batch holds. All may be text. Raises `RecordingError` and `ConfigError`.
    """

    def __init__(
        self,
        location: str,
        *,
        slot_ms: float | str = 320.0,
        gap_ms: float | str = 0.0,
        size: str = "34x34",
        together: int | str = 1,
        **choice: Any,
    ) -> None:
        slots = Slots(microseconds("slot_ms", slot_ms), microseconds("gap_ms", gap_ms, 0))
        chosen = choice_of(choice)
        recorded = find_recordings(location)
        self._paths = [one.path for one in recorded]
        labels = [one.label for one in recorded]
        played = choose(labels, np.array([one.test for one in recorded], bool), chosen)
        super().__init__(location, pixels(size), played, labels, slots, whole("together", together, 1, 10_000))

    def _events(self, place: int, start: int) -> Array:
        found = read_recording(self._paths[int(self._played.index[place])], self.size, self.problems)
        kept = found[: first_at(found["t"], self._slots.shown_us)]
        if len(kept) < len(found):
            self.problems[BEYOND] = self.problems.get(BEYOND, 0) + len(found) - len(kept)
        kept["t"] += start
        return kept
