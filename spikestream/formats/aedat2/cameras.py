"""How each camera lays out its address words in AEDAT 2.0 and 1.0. Source: jAER's DVS128, DVS640 and DavisChip."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, RecordingError, nearest
from spikestream.formats.base.records import SIZE


class Camera(NamedTuple):
    """``size`` (width, height) in pixels; ``x``, ``y``: shift and mask; ``p``: mask and its value for ON."""

    chip: str
    """The Java class a header names."""
    size: tuple[int, int]
    x: tuple[int, int]
    y: tuple[int, int]
    p: tuple[int, int]
    special: int
    """Bits that mark an external input and the like."""
    used: int
    """Bits that may be set at all."""
    davis: bool = False
    """Whether bit 31 marks words that carry APS or IMU samples."""

    def code(self, own: tuple[int, int], size: tuple[int, int]) -> tuple[int, ...]:
        """Return the plain numbers the kernel takes, for a sensor of ``own`` pixels of which ``size`` are wanted."""
        return (*own, *size, *self.x, *self.y, *self.p, self.special, int(self.davis))

    def fits(self, words: Array) -> bool:
        """Return whether all these address words (n,) int64 could be this camera's."""
        if self.davis:
            imu, special = words & 0x80000C00 == 0x80000C00, words & 0x80000400 == 0x400
            words = words[~(imu | special)]  # an APS sample carries its pixel where an event does
        x, y = (words >> self.x[0]) & self.x[1], (words >> self.y[0]) & self.y[1]
        return not np.any((words & ~self.used != 0) | (x >= self.size[0]) | (y >= self.size[1]))


def _dvs(chip: str, size: tuple[int, int], x: tuple[int, int], y: tuple[int, int], on: int) -> Camera:
    special = 0x80008000 if size == (128, 128) else 0
    used = special & 0xFFFF | y[1] << y[0] | x[1] << x[0] | 1
    return Camera(f"ch.unizh.ini.jaer.chip.retina.{chip}", size, x, y, (1, on), special, used)


def _davis(chip: str, size: tuple[int, int]) -> Camera:
    x, y, p = (12, 0x3FF), (22, 0x1FF), (1 << 11, 1 << 11)
    return Camera(f"eu.seebetter.ini.chips.davis.{chip}", size, x, y, p, 1 << 10, 0xFFFFFFFF, davis=True)


CAMERAS = {
    "dvs128": _dvs("DVS128", (128, 128), (1, 0x7F), (8, 0x7F), on=0),
    "dvs640": _dvs("DVS640", (640, 480), (1, 0x3FF), (11, 0x3FF), on=1),
    "davis240": _davis("DAVIS240C", (240, 180)),
    "davis346": _davis("Davis346blue", (346, 260)),
    "davis640": _davis("Davis640", (640, 480)),
}
"""By the name ``sensor=`` takes; of two that fit some addresses the earlier one is the better guess."""
INIVATION = CAMERAS["dvs128"]._replace(p=(1, 1))
CHOICE = "--sensor " + "|".join(CAMERAS)
OTHERWISE = {
    "jaer": "a DVS128's bit 0 = 0 is read as ON, as jAER does; polarity=inivation reads 1 as ON",
    "inivation": "a DVS128's bit 0 = 1 is read as ON, as polarity=inivation says; jAER itself reads 0 as ON",
}
"""What is said of each way to read a DVS128's polarity."""
POLARITIES = tuple(OTHERWISE)


def of_chip(chip: str) -> str:
    """Return the name of the camera a Java class (or a name like it) stands for, "" where it is none of these."""
    name = chip.rpartition(".")[2].lower()
    if name in ("dvs128", "tmpdiff128"):  # DVS128andCochleaAMS1b is another thing
        return "dvs128"
    return next((known for known in CAMERAS if known != "dvs128" and name.startswith(known)), "")


def camera(sensor: str, polarity: str) -> Camera:
    """Return the camera of a name; raises `ConfigError` for an unknown name or polarity."""
    name = of_chip(sensor)
    if not name:
        near = nearest(sensor.lower(), CAMERAS)
        raise ConfigError(
            f"unknown sensor '{sensor}'", key="sensor", value=sensor, allowed=", ".join(CAMERAS), nearest=near
        )
    if polarity not in POLARITIES:
        allowed = ", ".join(POLARITIES)
        raise ConfigError(f"unknown polarity '{polarity}'", key="polarity", value=polarity, allowed=allowed)
    return INIVATION if name == "dvs128" and polarity == "inivation" else CAMERAS[name]


def smallest(size: tuple[int, int] | None) -> str:
    """Return the name of the smallest camera that holds ``size`` (width, height); raises `RecordingError`."""
    if size is None:
        raise RecordingError(
            "AEDAT 2.0 is written for one camera, and neither it nor the size is known",
            remedy=f"{CHOICE}, or {SIZE}",
        )
    for name in ("dvs128", "davis240", "davis346", "davis640"):
        if size[0] <= CAMERAS[name].size[0] and size[1] <= CAMERAS[name].size[1]:
            return name
    raise RecordingError(
        f"no AEDAT 2.0 camera has {size[0]}x{size[1]} pixels", remedy=f"write .aedat4, or {SIZE} where it is smaller"
    )
