"""What ``info --plot`` shows: a sound as the cochlea hears it, or the events of each pixel, as text or as a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array
from spikestream.cli.base import Console, cochleagram
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.atomic import replacing
from spikestream.plots import band_counts, event_rate, need_matplotlib, panels, pixel_counts

if TYPE_CHECKING:
    from spikestream.files.info import RecordingInfo
    from spikestream.files.sound import SoundInfo

PICTURES = (".png", ".svg", ".pdf")
DPI = 150
FINE = 1_000
"""Columns of a picture in a file, and the most pixels either way."""
PARTS = 300
"""Parts of the time for which the rate of events is drawn."""
TALLEST = 60
"""Lines of a picture in the terminal."""
LOW, HIGH, HIGH_FROM = 16, 32, 40
"""Lines for a sound, and from how many lines of the terminal on there is room for the higher picture."""


@dataclass(frozen=True, slots=True)
class Image:
    """Counts (rows, columns), the lowest row first; of a sound, with the bands' frequencies and its length in µs.

    Of events, ``rates`` (2, parts) are those with OFF and with ON in the parts of ``[start, stop)`` µs.
    """

    cells: Array
    centres_hz: Array | None = None
    start: int = 0
    stop: int = 0
    rates: Array | None = None


def is_picture(path: str) -> bool:
    """Return whether a file of this name is one of the pictures that can be drawn."""
    return Path(path).suffix.lower() in PICTURES


def check_picture(path: str) -> None:
    """Raise `ConfigError` unless a picture can be drawn into a file of this name."""
    if not is_picture(path):
        raise ConfigError(f"no picture is drawn into '{path}'", key="--plot", value=path, allowed=", ".join(PICTURES))
    need_matplotlib()


def of_sound(console: Console, found: SoundInfo, columns: int | None) -> Image:
    """Return the spikes of a sound by band and time, as far as it can be read, in bounded memory.

    ``columns`` wide, or where None, as wide as the terminal has room for beside the names of the rows.
    """
    from spikestream.cli.base.hearing import BLOCK_US, ear, heard
    from spikestream.cli.base.report import say_if_cold
    from spikestream.files.sound import sounds

    cochlea, stop = ear(found.samplerate_hz), max(found.duration_us, 1)
    width = columns or max(_terminal().columns - _margin(cochlea.centres_hz), 1)
    cells = np.zeros((cochlea.bands, width), np.int64)
    say_if_cold(console)
    with suppress(RecordingError):  # the facts have told it
        for made in heard(cochlea, sounds(found.path, length_us=BLOCK_US)):
            cells += cochleagram.counts(made.t, made.axon, cochlea.bands, 0, stop, width)
    return Image(cells, cochlea.centres_hz, 0, stop)


def of_events(found: RecordingInfo, fine: bool, reading: dict[str, Any]) -> Image:
    """Return the events of each pixel, or group of pixels, ON and OFF together, and of each part of the time.

    Raises `ConfigError` without a size.
    """
    if found.size is None:
        text = "a picture needs the size of the sensor, which the recording does not tell"
        raise ConfigError(text, key="--size", remedy="--size WxH, e.g. --size 346x260")
    (width, height), columns = found.size, FINE if fine else _terminal().columns
    wide = min(width, columns)
    rows = min(height, FINE) if fine else max(min(height, TALLEST, wide * height // width // 2), 1)
    twice = not fine and columns >= 2 * width and height <= TALLEST  # a pixel is then two characters wide, one high
    cells = np.zeros((height if twice else rows, wide), np.int64)
    start, length_us = found.first_t or 0, found.duration_us or 1
    rates = np.zeros((2, PARTS), np.int64)
    for data in _within(found, reading):
        x, y = data["x"].astype(np.int64), data["y"].astype(np.int64)
        np.add.at(cells, (y * len(cells) // height, x * wide // width), 1)
        # Floats: parts times a length of years would not fit 64 bits.
        part = ((data["t"] - start) / length_us * PARTS).astype(np.int64).clip(0, PARTS - 1)
        for p in (0, 1):
            rates[p] += np.bincount(part[data["p"] == p], minlength=PARTS)
    image = np.repeat(cells, 2, axis=1)[::-1] if twice else cells[::-1]
    return Image(image, None, start, start + length_us, rates)


def lines(image: Image, shades: str) -> list[str]:
    """Return an image as lines of text, of a sound with frequencies and times."""
    if image.centres_hz is None:
        return cochleagram.picture(image.cells, len(image.cells), shades)
    names = cochleagram.names_of(image.centres_hz, _rows())
    return cochleagram.framed(cochleagram.picture(image.cells, _rows(), shades), names, 0, image.stop)


def save(path: str, image: Image, title: str) -> None:
    """Write an image to a file, whole or not at all; raises `RecordingError` where it cannot be written."""
    if image.centres_hz is not None:
        axes = band_counts(image.cells, image.centres_hz, (0, image.stop))
    elif image.rates is not None:
        shown, axes = panels(2)
        pixel_counts(image.cells, shown)
        event_rate(image.rates, (image.start, image.stop), axes)
        axes = shown
    axes.set_title(title)
    write_figure(path, axes.figure)


def write_figure(path: str, figure: Any) -> None:
    """Write a figure of matplotlib to a file, whole or not at all; raises `RecordingError` where it cannot be."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix[1:].lower(), dpi=DPI)


def _within(found: RecordingInfo, reading: dict[str, Any]) -> Iterator[Array]:
    """Yield a recording's events (n,) EVENT, as far as it can be read and they lie within its size."""
    from spikestream.files.reader import Reader

    assert found.size is not None
    width, height = found.size
    with suppress(RecordingError), Reader(found.path, **{**reading, "time": "keep"}) as reader:
        for data in reader:
            yield data[(data["x"] < width) & (data["y"] < height)]


def _terminal() -> os.terminal_size:
    return shutil.get_terminal_size()


def _rows() -> int:
    return HIGH if _terminal().lines >= HIGH_FROM else LOW


def _margin(centres_hz: Array) -> int:
    return max(map(len, cochleagram.names_of(centres_hz, _rows()))) + 2
