"""Events to AEDAT 3.1: packets of at most 65,536 polarity events, a new one where 31-bit time overflows."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.aedat3.decoder import EVENT_BYTES, PACKET, PIECE, POLARITY
from spikestream.formats.aedat3.header import END, SIZES, device
from spikestream.formats.base.records import refuse_beyond, refuse_outside

TITLE = "AEDAT 3.1"
COORDINATES = 1 << 15


class Encoder:
    """Encode events as AEDAT 3.1 of one source, named after the camera ``sensor``, with ``size`` where that differs.

    Domain: 0 <= t < 2^62 µs, x and y within the size and below 32,768. The header's start time is 1970: a codec knows
    no clock, readers want the line.
    """

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        name = sensor or next((camera.upper() for camera, known in SIZES.items() if known == size), "spikestream")
        if not (name.isascii() and name.isprintable()):
            raise RecordingError("the sensor's name has characters that the header cannot hold", found=repr(name))
        if size is not None and device(name)[1] != size:
            name += f" {size[0]}x{size[1]}"
        lines = ("#!AER-DAT3.1", "#Format: RAW", f"#Source 1: {name}", "#Start-Time: 1970-01-01 00:00:00 (TZ+0000)")
        self._head = "".join(line + "\r\n" for line in (*lines, END.decode())).encode()
        width, height = device(name)[1] or (COORDINATES, COORDINATES)
        self._size = min(width, COORDINATES), min(height, COORDINATES)
        self._written = 0

    def feed(self, events: Array) -> bytes:
        """Return the packets of these events (n,) EVENT; raises `RecordingError` for one the format cannot hold."""
        refuse_outside(self._size, events, self._written, TITLE)
        refuse_beyond(events, self._written, TITLE, 0)
        overflows = events["t"] >> 31
        edges = np.flatnonzero(overflows[1:] != overflows[:-1]) + 1
        parts = [self.finish()]
        for first, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(events)], strict=True):
            parts += [_packet(events[i : min(i + PIECE, stop)]) for i in range(first, stop, PIECE)]
        self._written += len(events)
        return b"".join(parts)

    def finish(self) -> bytes:
        """Return the header where nothing was fed, else nothing: the format has no tail."""
        head, self._head = self._head, b""
        return head


def _packet(events: Array) -> bytes:
    """Return one packet of events whose stamps share their overflows of 31 bits."""
    n, t = len(events), events["t"]
    rows = np.empty((n, 2), "<u4")
    rows[:, 0] = events["x"].astype(np.uint32) << 17 | events["y"].astype(np.uint32) << 2 | events["p"] * 2 + 1
    rows[:, 1] = t & (1 << 31) - 1
    return PACKET.pack(POLARITY, 1, EVENT_BYTES, 4, int(t[0]) >> 31, n, n, n) + rows.tobytes()
