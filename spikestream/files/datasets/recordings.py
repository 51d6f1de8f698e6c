"""Folders of event recordings with labels: N-MNIST as it is published, one folder a class, or beside a labels.csv."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass

import numpy as np

from spikestream.batch import EVENT, Array, is_label
from spikestream.errors import RecordingError
from spikestream.files.datasets.samples import check_folder
from spikestream.files.order import Order
from spikestream.files.regular import open_regular
from spikestream.formats.nmnist import Decoder

TABLE = "labels.csv"
HELD_OUT = 200
"""Where nothing else tells, so many of the last recordings are the test part, or a fifth where that is less."""
MOST_FILES = 1_000_000
MOST_BYTES = 1 << 26
"""Of one recording: it is held as a whole. N-MNIST has up to 36 kB, N-Caltech101 up to 5 MB."""
SUFFIXES = (".bin", ".bs2")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording of one sample: its ``path``, what it shows, and whether it is of the test part."""

    path: str
    label: str
    test: bool


def find_recordings(folder: str) -> list[Recorded]:
    """Return the recordings of a folder, those of the training part first.

    With a ``labels.csv`` (a header, then file and label in each line) they are in its order, in the folder itself or in
    ``recordings`` below it. Else there is one folder a class, in ``Train`` and ``Test`` or in the folder itself, and
    the order is that of the numbers in the names. Raises `RecordingError`.
    """
    check_folder(folder)
    try:
        if os.path.exists(os.path.join(folder, TABLE)):
            return _with_tests(_listed(folder))
        parts = {name.lower(): os.path.join(folder, name) for name in os.listdir(folder)}
        if "train" in parts:
            taught = _classes(parts["train"], False)
            return taught + (_classes(parts["test"], True) if "test" in parts else []) or _nothing(folder)
        return _with_tests(_classes(folder, False)) or _nothing(folder)
    except OSError as error:
        raise RecordingError(f"cannot be read: {error.strerror or error}", file=folder) from error


def read_recording(path: str, size: tuple[int, int], problems: dict[str, int]) -> Array:
    """Return the events (n,) EVENT, sorted, of one recording in 40-bit records of a sensor of this ``size``.

    Counts in ``problems`` what is ``outside`` of the size, and stamps that step back, as `Order` does; the latter are
    raised to the latest one before. Raises `RecordingError`.
    """
    decoder, order = Decoder(size=size), Order(problems=problems)
    try:
        with open_regular(path) as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise RecordingError("is too large to be one sample", expected=f"up to {MOST_BYTES:,} bytes")
        parts = [part for events in decoder.feed(memoryview(data)) for part in order.feed(events)]
        decoder.finish()
    except OSError as error:
        raise RecordingError(f"cannot be read: {error.strerror or error}", file=path) from error
    except RecordingError as error:
        error.file = error.file or path
        raise
    if outside := decoder.skipped.get("outside", 0):
        problems["outside"] = problems.get("outside", 0) + outside
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, EVENT), *parts])


def _with_tests(found: list[Recorded]) -> list[Recorded]:
    taught = len(found) - min(HELD_OUT, len(found) // 5)
    return [Recorded(one.path, one.label, place >= taught) for place, one in enumerate(found)]


def _nothing(folder: str) -> list[Recorded]:
    expected = f"{TABLE} and recordings, or folders Train and Test, or one folder a class"
    raise RecordingError("holds no labelled recordings", file=folder, expected=expected)


def _listed(folder: str) -> list[Recorded]:
    """Return what labels.csv lists; raises `RecordingError` with the line that is wrong, and `OSError`."""
    path = os.path.join(folder, TABLE)
    below = os.path.join(folder, "recordings")
    place = below if os.path.isdir(below) else folder
    try:
        with open_regular(path) as file:
            lines = list(csv.reader(file.read().decode("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"is no CSV: {error}", file=path) from error
    found = []
    for number, line in enumerate(lines[1:], 2):
        name, label = (cell.strip() for cell in line[:2]) if len(line) >= 2 else ("", "")
        if not is_label(label) or not name or name != os.path.basename(name) or "\0" in name:
            expected, seen = "the name of a file beside it, and a label", ",".join(line)[:200]
            raise RecordingError(f"line {number} is not understood", file=path, expected=expected, found=seen)
        found.append(Recorded(os.path.join(place, name), label, False))
    return found or _nothing(folder)


def _classes(folder: str, test: bool) -> list[Recorded]:
    """Return the recordings in the folders of ``folder``, each the label of what is in it, by their numbers."""
    found = []
    for label in sorted(os.listdir(folder)):
        inside = os.path.join(folder, label)
        if not is_label(label) or not os.path.isdir(inside):
            continue
        names = sorted(name for name in os.listdir(inside) if name.lower().endswith(SUFFIXES))
        found += [Recorded(os.path.join(inside, name), label, test) for name in names]
        if len(found) > MOST_FILES:
            raise RecordingError("holds too many recordings", file=folder, expected=f"up to {MOST_FILES:,}")
    return sorted(found, key=lambda one: _number(one.path))


def _number(path: str) -> tuple[int, str]:
    digits = re.search(r"(\d{1,18})\D*$", os.path.basename(path))
    return (int(digits[1]) if digits else 0), path
