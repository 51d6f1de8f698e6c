"""IDX files, the layout of MNIST and its relatives: bytes in one to four dimensions, plain or gzipped.

Layout, big-endian: two zero bytes, 0x08 (unsigned bytes), the number of dimensions, their lengths as uint32, the bytes.
Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits, "File formats".
"""

from __future__ import annotations

import gzip
import os
import zlib
from math import prod
from typing import IO

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.files.regular import open_regular

MOST_BYTES = 1 << 30
"""A larger one is a slip or a lie: all of MNIST is 47 MB, all of EMNIST 640 MB."""
CHUNK = 1 << 20
BYTES = b"\x00\x00\x08"
REMEDY = "fetch the file again"


def read_idx(path: str, dimensions: int) -> Array:
    """Return the bytes of an IDX file as an array uint8 of so many ``dimensions``; memory never exceeds what it holds.

    Raises `RecordingError` for a file that cannot be read, is no such IDX file, or holds less or more than it says.
    """
    try:
        with open_regular(path) as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if zipped:
                with gzip.open(raw) as file:
                    return _read(file, path, dimensions)
            return _read(raw, path, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        text = f"is a damaged gzip file: {error}"
        raise RecordingError(text, file=path, remedy=REMEDY) from error
    except OSError as error:
        raise RecordingError(f"cannot be read: {error.strerror or error}", file=path) from error


def _read(file: IO[bytes] | gzip.GzipFile, path: str, dimensions: int) -> Array:
    shape = _shape(file, path, dimensions)
    promised = prod(shape)
    if promised > MOST_BYTES:
        found = " x ".join(f"{length:,}" for length in shape)
        raise RecordingError("promises too much", file=path, expected=f"up to {MOST_BYTES:,} bytes", found=found)
    data = bytearray()  # grows with what is really there, whatever the header says
    while len(data) <= promised and (piece := file.read(min(CHUNK, promised + 1 - len(data)))):
        data += piece
    if len(data) != promised:
        found = f"{len(data):,}" if len(data) < promised else "more"
        text = "does not hold what its header says"
        raise RecordingError(text, file=path, expected=f"{promised:,} bytes behind it", found=found, remedy=REMEDY)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(file: IO[bytes] | gzip.GzipFile, path: str, dimensions: int) -> tuple[int, ...]:
    magic = BYTES + bytes([dimensions])
    head = file.read(4 + 4 * dimensions)
    if head[:4] != magic:
        expected, found = f"{magic.hex(' ')} (bytes in {dimensions} dimensions)", head[:4].hex(" ") or "nothing"
        text = f"is no IDX file of {'images' if dimensions == 3 else 'labels'}"
        raise RecordingError(text, file=path, offset=0, expected=expected, found=found)
    if len(head) < 4 + 4 * dimensions:
        raise RecordingError("breaks off in its header", file=path, offset=len(head), remedy=REMEDY)
    return tuple(int(length) for length in np.frombuffer(head, ">u4", offset=4))


def find_idx(folder: str, stem: str) -> str | None:
    """Return the path of ``stem``, as in ``train-images-idx3-ubyte``, plain or gzipped, None where it is not there."""
    for name in (stem, stem.replace("-idx", ".idx")):
        for path in (os.path.join(folder, name), os.path.join(folder, f"{name}.gz")):
            if os.path.exists(path):
                return path
    return None
