"""Event Stream (.es) 2.0: DVS and ATIS events in; DVS out. Generic, display and colour streams hold no events.

The specification names no origin. Its authors' own programs (sepia, faery) put y = 0 at the bottom: rows are turned to
the origin top left, and ``raw=True`` leaves them as stored. Time starts at 0. Sources: the specification of Event
Stream; faery for the origin.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty, Format, Spare
from spikestream.formats.base.records import check_sides, refuse, refuse_outside

MAGIC = b"Event Stream"
KINDS = ("generic", "DVS", "ATIS", "display", "colour")
BITS = {"DVS": 1, "ATIS": 2}
"""Kinds that hold events, and the bits of an event's first byte that are no time."""
HEAD, SIZED = 16, 20
BYTES = 5
CHUNK = 1 << 18
LONGEST_US = 1 << 30
LONGEST_SIDE = (1 << 16) - 1


class Decoder:
    """Decode an Event Stream fed in any pieces; only events come out, the rest is counted in ``skipped``.

    ``size=`` (width, height) replaces what the header says; events outside of it are dropped and counted. ``sensor``
    changes nothing. `feed` reads the header at once but decodes when iterated. Bounds: at most one event per 5 bytes,
    arrays of at most 52,000 events, and nothing kept but an event's first 4 bytes.
    """

    def __init__(self, sensor: str | None = None, size: tuple[int, int] | None = None, raw: bool = False) -> None:
        self.size = size
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.empty: Empty = Spare()
        self.tidy = False
        self._kind = ""
        self._rows = 0
        self._raw = raw
        self._state = np.zeros(5, np.int64)
        self._rest = b""
        self._fed = 0

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Return the arrays (n,) EVENT decoded from these bytes, to be iterated before more is fed.

        Raises `RecordingError` where this is no Event Stream, or one without events.
        """
        self._fed += len(data)
        if self._kind:
            return self._events(data)
        held = self._rest + bytes(data[: SIZED - len(self._rest)])
        data = data[SIZED - len(self._rest) :]
        self._rest = held
        if len(held) >= HEAD or not MAGIC.startswith(held[: len(MAGIC)]):
            self._check(held)
        if len(held) < SIZED:
            return iter(())
        self._take_header(held)
        return self._events(data)

    def _check(self, head: bytes) -> None:
        if not head.startswith(MAGIC):
            raise RecordingError("not an Event Stream", offset=0, expected=repr(MAGIC), found=repr(head[: len(MAGIC)]))
        kind = KINDS[head[15]] if head[15] < len(KINDS) else f"unknown ({head[15]})"
        if kind not in BITS:
            raise RecordingError(
                f"this Event Stream is of the kind {kind}, which holds no events with a polarity",
                offset=15,
                expected="DVS (1) or ATIS (2)",
                found=f"{head[15]}",
            )

    def _take_header(self, head: bytes) -> None:
        if head[12] != 2:
            self.warnings.append(f"the header says version {head[12]}.{head[13]}.{head[14]}; read as version 2")
        width, self._rows = (int.from_bytes(head[at : at + 2], "little") for at in (16, 18))
        self.size = self.size or (width, self._rows)
        self._kind = KINDS[head[15]]
        self._rest = b""

    def _events(self, data: memoryview) -> Iterator[Array]:
        for at in range(0, len(data), CHUNK):
            piece = np.frombuffer(self._rest + bytes(data[at : at + CHUNK]), np.uint8)
            used, events = self._decoded(piece)
            self._rest = piece[used:].tobytes()
            if len(events):
                yield events

    def _decoded(self, piece: Array) -> tuple[int, Array]:
        from spikestream.kernels.es import STATE, decode
        from spikestream.kernels.packed import PACKED, STEP_US

        assert self.size is not None
        out = self.empty(len(piece) // BYTES)
        layout = (*self.size, BITS[self._kind], 0 if self._raw else self._rows)
        used, n = decode(piece, layout, STEP_US, self._state, out.view(PACKED))
        counts = zip(STATE[3:], self._state[3:].tolist(), strict=True)
        self.skipped = {kind: count for kind, count in counts if count}
        self.tidy = not self._state[2]
        return used, out[:n]

    def finish(self) -> None:
        """Raise `RecordingError` where the header is not whole, or an event is cut."""
        if not self._kind:
            what = "the recording ends inside its header" if self._fed else "the recording is empty"
            raise RecordingError(what, offset=self._fed, expected=f"{SIZED} bytes", found=f"{self._fed}")
        if self._rest:
            raise RecordingError(
                "the recording is cut inside its last event",
                offset=self._fed - len(self._rest),
                expected=f"{BYTES} bytes",
                found=f"{len(self._rest)}",
                remedy="the events before it are read; for the others fetch the file again",
            )


class Encoder:
    """Encode DVS events in time order, the first one and each step below 2^30 µs, x and y within the ``size``.

    Time is stored in steps from 0, of which long ones take a byte for every 127 µs.
    """

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        if size is None:
            raise RecordingError("an Event Stream has a size, and it is not known", remedy="--size WIDTHxHEIGHT")
        check_sides(size, LONGEST_SIDE, "an Event Stream")
        self._size = size
        self._last = self._written = 0
        width, height = (side.to_bytes(2, "little") for side in size)
        self._head = MAGIC + bytes((2, 0, 0, KINDS.index("DVS"))) + width + height

    def feed(self, events: Array) -> bytes:
        """Return 5 bytes for each event (n,) EVENT, and the time; raises `RecordingError` for what does not fit."""
        if not len(events):
            return self.finish()
        from spikestream.kernels.es import encode

        refuse_outside(self._size, events, self._written, "an Event Stream")
        steps = np.diff(events["t"], prepend=self._last)
        expected = f"steps from 0 on of 0 to {LONGEST_US - 1:,} µs"
        self._refuse(steps < 0, events, expected, "--time sort, and --t0 zero, so that t starts at 0")
        late = self._written == 0 and steps[0] >= LONGEST_US and not (steps[1:] >= LONGEST_US).any()
        remedy = "--t0 zero, so that t starts at 0" if late else "write .aedat4: no silence of an .es is so long"
        self._refuse(steps >= LONGEST_US, events, expected, remedy)
        out = np.empty(BYTES * len(events) + int(steps.sum()) // 127 + 1, np.uint8)
        n = encode(events, self._last, self._size[1], out)
        self._last = int(events["t"][-1])
        self._written += len(events)
        return self.finish() + out[:n].tobytes()

    def _refuse(self, bad: Array, events: Array, expected: str, remedy: str) -> None:
        refuse(bad, events, self._written, "an Event Stream", expected, remedy)

    def finish(self) -> bytes:
        """Return the header where nothing was written yet, else nothing: the format has no tail."""
        head, self._head = self._head, b""
        return head


def sniff(head: bytes) -> bool:
    """Return whether a file starts as an Event Stream does."""
    return head.startswith(MAGIC)


FORMAT = Format("es", "Event Stream (.es)", (".es",), sniff, Decoder, Encoder)
