"""Chunks of HDF5 unpacked as they are stored: by Prophesee's ECF, or by deflate and shuffle, and bounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty

DEFLATE, SHUFFLE, ECF = 1, 2, 36_559
PLAIN = {"t": np.dtype("<i8"), "x": np.dtype("<u2"), "y": np.dtype("<u2"), "p": np.dtype("<i2")}
"""The fields of Prophesee's events."""


def of_ecf(piece: Array, count: int, empty: Empty) -> Array:
    """Return the first ``count`` events (count,) EVENT of a piece of ECF (n,) uint8, in memory from ``empty``.

    Raises `RecordingError` where it is damaged, or holds fewer.
    """
    from spikestream.kernels.ecf import MANY, MOST, decode
    from spikestream.kernels.packed import PACKED

    piece.flags.writeable = False  # one type for the kernel, whatever buffer the bytes came in
    out = empty(MOST)
    found = decode(piece, out.view(PACKED))
    if not 0 < count <= found:
        whys = {MANY: f"more than {MOST:,}"} | ({found: f"{found:,}"} if found >= 0 else {})
        what = "a piece of ECF is damaged"
        raise RecordingError(what, expected=f"{count:,} events", found=whys.get(found, "it is cut short"))
    return out[:count]


def unfiltered(stored: memoryview, filters: list[int], expected: int) -> tuple[Array, bool]:
    """Return the ``expected`` bytes of a chunk, and whether they are still shuffled; raises `RecordingError`."""
    found: bytes | memoryview = stored
    if DEFLATE in filters:
        inflate, failed = _inflating()
        try:
            found = inflate.decompress(stored, expected + 1)
        except failed as error:
            raise RecordingError("a chunk cannot be inflated: it is damaged") from error
    if len(found) != expected:
        raise RecordingError("a chunk has another size", expected=f"{expected:,} bytes", found=f"{len(found):,}")
    return np.frombuffer(found, np.uint8), SHUFFLE in filters


def _inflating() -> tuple[Any, Any]:
    """Return what inflates one chunk, and the error it raises: zlib-ng takes a third of zlib's time, where it is."""
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        import zlib

        return zlib.decompressobj(), zlib.error
    return zlib_ng.decompressobj(), zlib_ng.error


def rows(plain: Array, shuffled: bool, dtype: np.dtype[Any], count: int) -> Array:
    """Return the first rows (count,) of a chunk's bytes."""
    if shuffled:
        plain = np.ascontiguousarray(plain.reshape(dtype.itemsize, -1)[:, :count].T).reshape(-1)
    return plain[: count * dtype.itemsize].view(dtype)


def of_planes(plain: Array, dtype: np.dtype[Any], names: dict[str, str], count: int, empty: Empty) -> Array:
    """Return the first events (count,) EVENT of shuffled bytes, whose fields are `PLAIN`."""
    from spikestream.kernels.packed import PACKED
    from spikestream.kernels.shuffled import decode

    assert dtype.fields is not None
    t, x, y, p = (int(dtype.fields[names[column]][1]) for column in "txyp")
    plain.flags.writeable = False
    out = empty(count)
    decode(plain.reshape(dtype.itemsize, -1), (t, x, y, p), out.view(PACKED))
    return out
