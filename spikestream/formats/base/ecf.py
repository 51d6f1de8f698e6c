"""Pieces of Prophesee's ECF unpacked: what the room of files knows of the kernel that does it."""

from __future__ import annotations

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty


def unpacked(piece: Array, count: int, empty: Empty) -> Array:
    """Return the first ``count`` events (count,) EVENT of a piece (n,) uint8, in memory from ``empty``.

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
