"""Images as an event camera sees them that looks around: MNIST made to something like N-MNIST."""

from __future__ import annotations

from typing import Any

from spikestream.batch import Array
from spikestream.errors import ConfigError
from spikestream.files.datasets.mnist import read_images
from spikestream.files.datasets.samples import choose
from spikestream.sensors.datasets.base import EventSet, Slots
from spikestream.sensors.datasets.camera import Camera
from spikestream.sensors.datasets.options import choice_of, microseconds, real, whole

LARGEST = 256
"""Pixels a side of an image: a field of 262x262, with events by the hundred thousand."""


class Saccades(EventSet):
    """The images of a folder in its IDX files, seen by a simulated camera whose field is 6 pixels wider and higher.

    Each is looked at for 305 ms, in three saccades, from the beginning of a slot of ``slot_ms`` on, with ``gap_ms``
    behind. ``thr_on``, ``thr_off``, ``eps``, ``mismatch``, ``noise``, ``blur`` (pixels) and ``jitter`` (pixels) are
    those of `spikestream.kernels.saccades`, where they are not given. ``seed``, epoch and the number of the image
    decide its events. ``choice`` are the options of `Choice`; ``together`` is how many samples a batch holds. All may
    be text. Raises `RecordingError` and `ConfigError`.
    """

    def __init__(
        self,
        location: str,
        *,
        slot_ms: float | str = 320.0,
        gap_ms: float | str = 0.0,
        thr_on: float | str | None = None,
        thr_off: float | str | None = None,
        eps: float | str | None = None,
        mismatch: float | str | None = None,
        noise: float | str | None = None,
        blur: float | str | None = None,
        jitter: float | str | None = None,
        together: int | str = 1,
        **choice: Any,
    ) -> None:
        from spikestream.kernels.saccades import MARGIN, Params

        given: dict[str, Any] = {"thr_on": thr_on, "thr_off": thr_off, "eps": eps, "mismatch": mismatch, "noise": noise}
        given |= {"blur": blur, "jitter": jitter}
        camera: dict[str, Any] = {k: real(k, value, *BOUNDS[k]) for k, value in given.items() if value is not None}
        params = Params(**camera)
        slots = Slots(microseconds("slot_ms", slot_ms), microseconds("gap_ms", gap_ms, 0))
        if slots.shown_us < params.steps * 1_000:
            text = f"the three saccades take {params.steps} ms, more than slot_ms = {slots.shown_us / 1_000:g}"
            raise ConfigError(text, key="slot_ms", value=slot_ms, allowed=f"{params.steps} or more")
        chosen = choice_of(choice)
        self._seed = chosen.seed
        images = read_images(location)
        height, width = images.pixels.shape[1:]
        if max(height, width) > LARGEST:
            text, allowed = f"the images have {width}x{height} pixels", f"up to {LARGEST} a side"
            raise ConfigError(text, key="saccades", value=location, allowed=allowed)
        self._pixels = images.pixels
        labels = [str(label) for label in images.labels.tolist()]
        size, played = (width + MARGIN, height + MARGIN), choose(labels, images.test, chosen)
        super().__init__(location, size, played, labels, slots, whole("together", together, 1, 10_000))
        self._camera = Camera(size, **camera)

    def _events(self, place: int, start: int) -> Array:
        index = int(self._played.index[place])
        return self._camera.looking(self._pixels[index], (self._seed, int(self._played.epoch[place]), index), start)


BOUNDS = {
    "thr_on": (0.02, 10.0),
    "thr_off": (0.02, 10.0),
    "eps": (1e-3, 100.0),
    "mismatch": (0.0, 1.0),
    "noise": (0.0, 0.1),
    "blur": (0.0, 2.5),
    "jitter": (0.0, 1.0),
}
"""What a camera may be like."""
