"""MNIST and its relatives: a folder with images and labels as pairs of IDX files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.files.datasets.idx import find_idx, read_idx
from spikestream.files.datasets.samples import check_folder

TRAIN, TEST = "train", "t10k"
HELD_OUT = 10_000
"""Without test files, so many of the last training images are the test part, or a sixth where that is less."""
LARGEST = 1_024
"""Pixels a side."""
IMAGES, LABELS = "-images-idx3-ubyte", "-labels-idx1-ubyte"


@dataclass(frozen=True, slots=True)
class Images:
    """Grey images ``pixels`` (n, height, width) uint8, 255 the brightest, ``labels`` (n,) uint8, ``test`` (n,) bool."""

    pixels: Array
    labels: Array
    test: Array

    def __len__(self) -> int:
        return len(self.labels)


def read_images(folder: str) -> Images:
    """Return the images of a folder: training images first, then those of the test files.

    Where it has no test files the last 10,000 training images, at most a sixth, are the test part. Raises
    `RecordingError`.
    """
    check_folder(folder)
    pixels, labels = _pair(folder, TRAIN)
    tests = min(HELD_OUT, len(labels) // 6)
    test = np.arange(len(labels)) >= len(labels) - tests
    if find_idx(folder, TEST + IMAGES) is None:
        return Images(pixels, labels, test)
    more, names = _pair(folder, TEST)
    if more.shape[1:] != pixels.shape[1:]:
        sizes = [f"{images.shape[2]}x{images.shape[1]}" for images in (pixels, more)]
        text = "the test images have another size than the training images"
        raise RecordingError(text, file=folder, expected=sizes[0], found=sizes[1])
    parts = np.repeat([False, True], [len(labels), len(names)])
    return Images(np.concatenate([pixels, more]), np.concatenate([labels, names]), parts)


def _pair(folder: str, part: str) -> tuple[Array, Array]:
    pixels = read_idx(_path(folder, part + IMAGES), 3)
    labels = read_idx(_path(folder, part + LABELS), 1)
    count, height, width = pixels.shape
    if count != len(labels):
        text = f"the {part} images and labels are not as many"
        raise RecordingError(text, file=folder, expected=f"{count:,} labels", found=f"{len(labels):,}")
    if not count or not (0 < height <= LARGEST and 0 < width <= LARGEST):
        text, found = f"the {part} images cannot be shown", f"{count:,} of {width:,}x{height:,}"
        raise RecordingError(text, file=folder, expected=f"images of 1 to {LARGEST:,} pixels a side", found=found)
    return pixels, labels


def _path(folder: str, stem: str) -> str:
    path = find_idx(folder, stem)
    if path is None:
        text = f"has no file {stem}, plain or .gz"
        raise RecordingError(text, file=folder, remedy="name the folder that holds the IDX files of MNIST")
    return path
