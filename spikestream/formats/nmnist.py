"""N-MNIST and N-Caltech101 `.bin`, slayer `.bs2`: 40-bit records without header, size, magic or checksum.

Origin top left, as stored. 23 bits of µs: a recording may last 8.39 s, unless it holds overflow records (see kernel).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty, Format, Spare, no_magic
from spikestream.formats.base.extent import Extent
from spikestream.formats.base.records import Records, refuse

RECORD = np.dtype([(name, "u1") for name in ("x", "y", "p", "middle", "low")])
BYTES = 5
SIZES = ((34, 34), (128, 128), (240, 180), (256, 256))
"""N-MNIST, DVS128 gestures, N-Caltech101, and all that a byte can hold: the usual sizes, smallest first."""
LIMIT_US = 1 << 23
OVERFLOW_Y = 240


class Decoder:
    """Decode 40-bit records fed in any pieces; ``sensor`` and ``raw`` change nothing here.

    The format stores no size. Without ``size=`` it starts as N-MNIST's 34x34 and grows, before the events that need it
    are yielded, to the next usual size that holds them, with a warning. With ``size=``, events outside of it are
    dropped and counted. Bounds: at most one event per 5 bytes, arrays of at most 65,536 events, nothing kept but a
    record's first 4 bytes.
    """

    def __init__(self, sensor: str | None = None, size: tuple[int, int] | None = None, raw: bool = False) -> None:
        self.warnings: list[str] = []
        self._extent = Extent(SIZES, size, self.warnings, own=True)
        self.size: tuple[int, int] | None = self._extent.size
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.empty: Empty = Spare()
        self._state = np.zeros(5, np.int64)
        self._records = Records(BYTES)
        self._fed = 0

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Yield arrays (n,) EVENT decoded from these bytes; any bytes decode."""
        self._fed += len(data)
        for part in self._records.feed(data):
            yield from self._decode(part)

    def _decode(self, data: memoryview) -> Iterator[Array]:
        from spikestream.kernels.nmnist import STATE, decode

        records = np.frombuffer(data, RECORD)
        records.flags.writeable = False  # one type for the kernel, whatever buffer the bytes came in
        out = self.empty(len(records))
        n = decode(records, *self._extent.limits, self._state, out)
        counts = dict(zip(STATE, self._state.tolist(), strict=True))
        self.skipped = {kind: counts[kind] for kind in ("overflow", "outside") if counts[kind]}
        if n:
            self.size = self._extent.grow(counts["max_x"], counts["max_y"])
            yield out[:n]

    def finish(self) -> None:
        """Raise `RecordingError` where a record is cut or nothing was fed at all."""
        if not self._fed:
            raise RecordingError("the recording is empty", expected="records of 5 bytes", found="0 bytes")
        self._records.finish(self._fed)


class Encoder:
    """Encode events, at least one, with x and y up to 255, y other than 240, and 0 <= t < 2^23 µs, without the size."""

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        self._written = 0
        self._first: int | None = None

    def feed(self, events: Array) -> bytes:
        """Return 5 bytes for each event (n,) EVENT; raises `RecordingError` for one the format cannot hold."""
        t, x, y = events["t"], events["x"], events["y"]
        self._first = int(t[0]) if self._first is None and len(t) else self._first
        self._refuse((t < 0) | (t >= LIMIT_US), events, f"0 <= t < {LIMIT_US:,} µs", self._shorter(t))
        self._refuse(
            (x > 255) | (y > 255), events, "x and y <= 255", "write .aedat4, or --filter crop:width=…,height=…"
        )
        self._refuse(y == OVERFLOW_Y, events, "y other than 240, which means a time overflow", "write .aedat4")
        out = np.empty((len(events), BYTES), np.uint8)
        out[:, 0], out[:, 1] = x, y
        out[:, 2] = (t >> 16) | (events["p"].astype(np.int64) << 7)
        out[:, 3], out[:, 4] = (t >> 8) & 0xFF, t & 0xFF
        self._written += len(events)
        return out.tobytes()

    def _shorter(self, t: Array) -> str:
        """Return what makes events at these times fit: another beginning, or fewer of them."""
        if self._first is not None and int(t.max(initial=0)) - self._first >= LIMIT_US:
            seconds = LIMIT_US // 1_000_000
            return f"--t0 zero and --to {seconds}s, or --for {seconds}s of record, or write .aedat4"
        return "--t0 zero, or write .aedat4"

    def _refuse(self, bad: Array, events: Array, expected: str, remedy: str) -> None:
        refuse(bad, events, self._written, "an N-MNIST .bin", expected, remedy)

    def finish(self) -> bytes:
        """Return nothing: the format has no tail. Raises `RecordingError` where there is nothing else either."""
        if not self._written:
            what = "a recording without events would be a .bin of no bytes, which nobody reads"
            raise RecordingError(what, remedy="write .aedat4")
        return b""


FORMAT = Format("bin", "N-MNIST 40-bit records", (".bin", ".bs2"), no_magic, Decoder, Encoder)
