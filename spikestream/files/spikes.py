"""Spikes, of a cochlea or of a chip, as an NPZ file that NumPy reads: `t`, `axon`, and what they are."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from spikestream.batch import Array, Spikes
from spikestream.errors import RecordingError
from spikestream.files.atomic import replacing
from spikestream.files.npy import add, add_column
from spikestream.files.regular import open_regular

COLUMNS: dict[str, np.dtype[Any]] = {"t": np.dtype("<i8"), "axon": np.dtype("<i4")}


def write_spikes(path: str | os.PathLike[str], batches: Iterable[Spikes], facts: Mapping[str, Any]) -> int:
    """Write batches one after the other, in memory of one of them, and return how many spikes were written.

    The file holds ``t`` (n,) int64 µs, ``axon`` (n,) int32, ``start`` and ``stop`` in µs, and ``facts`` as arrays. It
    appears whole or not at all. Raises `RecordingError` where it cannot be written.
    """
    count, start, stop = 0, None, 0
    with replacing(path) as temporary, ExitStack() as stack:
        # An NPY array begins with its length, which is known at the end only.
        held = {name: stack.enter_context(TemporaryFile(dir=Path(path).parent)) for name in COLUMNS}
        for batch in batches:
            for name, dtype in COLUMNS.items():
                held[name].write(getattr(batch, name).astype(dtype).tobytes())
            count += len(batch)
            start, stop = batch.start if start is None else start, batch.stop
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, dtype in COLUMNS.items():
                add_column(packed, name, dtype, held[name], count, zipfile.ZIP_DEFLATED)
            for name, value in {"start": start or 0, "stop": stop, **facts}.items():
                add(packed, name, np.asarray(value))
    return count


def read_spikes(path: str | os.PathLike[str]) -> Spikes:
    """Return the spikes of a file that `write_spikes` wrote; raises `RecordingError`."""
    name = os.fspath(path)
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as packed:
            # Deflate makes at most a thousand bytes of one.
            if sum(entry.file_size for entry in packed.zip.infolist()) > 1032 * os.fstat(file.fileno()).st_size:
                raise ValueError("it would unpack to more than it is")
            start, stop = int(packed["start"]), int(packed["stop"])
            t, axon = (_fitting(packed[name], dtype) for name, dtype in COLUMNS.items())
    except OSError as error:
        raise RecordingError(f"cannot be read: {error.strerror or error}", file=name) from error
    except Exception as error:  # zipfile and numpy know no end of ways to trip over a damaged byte
        raise RecordingError(
            "is no file of spikes, or is damaged", file=name, expected="t, axon, start, stop"
        ) from error
    sorted_inside = t.ndim == 1 and t.shape == axon.shape and bool(np.all(np.diff(t) >= 0))
    if not sorted_inside or start > stop or (len(t) and not start <= t[0] <= t[-1] < stop):
        raise RecordingError("holds spikes out of order or outside of their interval", file=name)
    return Spikes(start, stop, t, axon)


def _fitting(numbers: Array, dtype: Any) -> Array:
    """Return whole numbers of another type; raises `ValueError` for what does not fit it."""
    if numbers.dtype.kind not in "iu" or (numbers.size and not _within(numbers, np.iinfo(dtype))):
        raise ValueError(f"{numbers.dtype} is not {dtype}")
    return numbers.astype(dtype)


def _within(numbers: Array, limits: Any) -> bool:
    return bool(limits.min <= int(numbers.min()) and int(numbers.max()) <= limits.max)
