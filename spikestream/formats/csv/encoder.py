"""Events to rows of text."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Array
from spikestream.formats.base.records import refuse_beyond


class Encoder:
    """Encode events of -2^62 <= t < 2^62 µs as rows t,x,y,p below a line that says so, p 0 or 1. No size is kept."""

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        self._head = b"t,x,y,p\n"
        self._written = 0

    def feed(self, events: Array) -> bytes:
        """Return the rows of these events (n,) EVENT, the header before the first of them.

        Raises `RecordingError` for one that nobody would read again.
        """
        if not len(events):
            return self.finish()
        refuse_beyond(events, self._written, "CSV")
        self._written += len(events)
        from spikestream.kernels.csv import ROW_BYTES, encode

        out = np.empty(ROW_BYTES * len(events), np.uint8)
        n = encode(events, out)
        return self.finish() + out[:n].tobytes()

    def finish(self) -> bytes:
        """Return the header where nothing was written yet, else nothing: the format has no tail."""
        head, self._head = self._head, b""
        return head
