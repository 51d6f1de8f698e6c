"""Small data sets in folders, made by hand: bytes of IDX files, 40-bit records, words as tones."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import soundfile

from spikestream.sensors.datasets.mnist import Mnist
from spikestream.sensors.datasets.nmnist import Nmnist
from spikestream.sensors.datasets.saccades import Saccades
from spikestream.sensors.datasets.spoken import Spoken

RATE = 8_000


def idx(array, *, shape=None, kind=8):
    shape = array.shape if shape is None else shape
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def images_of(count, size=(5, 4), seed=0):
    """Return images (count, height, width): a class is a row that is bright, a few more pixels are at random."""
    rng = np.random.default_rng(seed)
    made = np.zeros((count, size[1], size[0]), np.uint8)
    for k in range(count):
        made[k, k % size[1]] = 255
        made[k, rng.integers(size[1]), rng.integers(size[0])] = 100
    return made


def mnist_folder(folder, count=24, tests=0, zipped=True, size=(5, 4), labels=None):
    folder.mkdir(exist_ok=True)
    for part, n, seed in (("train", count, 0), ("t10k", tests, 1)):
        if not n:
            continue
        pixels = images_of(n, size, seed)
        names = (np.arange(n) % size[1]).astype(np.uint8) if labels is None or part != "train" else labels
        for stem, data in ((f"{part}-images-idx3-ubyte", idx(pixels)), (f"{part}-labels-idx1-ubyte", idx(names))):
            path = folder / (stem + ".gz" * zipped)
            path.write_bytes(gzip.compress(data, 1) if zipped else data)
    return folder


def record(t, x, y, p):
    return bytes([x, y, (t >> 16) | (p << 7), (t >> 8) & 255, t & 255])


def recorded(k):
    """Return the events of recording k: so many times three, the last one 300 ms in."""
    return [(1_000 * j + k, (j + k) % 34, j % 34, j % 2) for j in range(3 * k)] + [(300_000 + k, 3, 4, 1)]


def nmnist_bytes(k):
    return b"".join(record(*event) for event in recorded(k))


def word_folder(folder, labels=("no", "yes"), speakers=("ann", "bob"), numbers=range(3), rate=RATE):
    """Write words whose length and tone tell which one it is: samples = 100 (1 + place)."""
    folder.mkdir(exist_ok=True)
    place = 0
    for number in numbers:
        for speaker in speakers:
            for label in labels:
                place += 1
                tone = 0.25 * np.sin(2 * np.pi * 500 * np.arange(100 * place) / rate)
                soundfile.write(folder / f"{label}_{speaker}_{number}.wav", tone, rate, subtype="FLOAT")
    return folder


SENSORS = {"mnist": Mnist, "saccades": Saccades, "nmnist": Nmnist, "spoken": Spoken}


def opened(scheme, folder, **options):
    """Return a sensor with its options as text, as they come from a URI; to look for its name would take longer."""
    return SENSORS[scheme](str(folder), **{key: str(value) for key, value in options.items()})


async def collected(sensor, start=0):
    return [batch async for batch in sensor.batches(start)]
