"""Events to rows of text."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Array


class Encoder:
    """Encode events as rows t,x,y,p below a line that says so: t in µs, p 0 or 1. Every event fits; no size is kept."""

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        self._head = b"t,x,y,p\n"

    def feed(self, events: Array) -> bytes:
        """Return the rows of these events (n,) EVENT, the header before the first of them."""
        if not len(events):
            return self.finish()
        from spikestream.kernels.csv import ROW_BYTES, encode

        out = np.empty(ROW_BYTES * len(events), np.uint8)
        n = encode(events, out)
        return self.finish() + out[:n].tobytes()

    def finish(self) -> bytes:
        """Return the header where nothing was written yet, else nothing: the format has no tail."""
        head, self._head = self._head, b""
        return head
