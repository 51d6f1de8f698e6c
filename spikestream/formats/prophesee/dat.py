"""Prophesee DAT in and out: a header of text, two bytes that say what follows, and records of 8 bytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty, Spare
from spikestream.formats.base.extent import Extent
from spikestream.formats.base.records import OUTSIDE, SIZE, Records, Stamps, check_sides, refuse_outside, wrapped
from spikestream.formats.prophesee.header import Header

RECORD = np.dtype([("stamp", "<u4"), ("word", "<u4")])
BYTES = 8
SIZES = ((304, 240), (640, 480), (1280, 720), (1 << 14, 1 << 14))
"""ATIS, the later sensors, and all that 14 bits can hold."""
KINDS = {0x00: "Event2d", 0x0C: "EventCD"}
STARTS = tuple(bytes([kind, BYTES]) for kind in KINDS)
"""What stands between the header and the records."""
TRIGGERS = 0x0E
SIDE = 1 << 14
LAYOUTS = {1: (9, 8, 17), 2: (14, 14, 28)}
"""By the version in the header: bits of x, bits of y, and the bit of the polarity."""


class Decoder:
    """Decode a DAT recording fed in any pieces; ``sensor`` and ``raw`` change nothing here.

    The size is ``size=``, else the header's Width and Height; where these are not there, it grows to the next usual one
    with a warning. Events outside of it are dropped and counted. Stamps count modulo 2^32: a step back of more than
    2^31 µs is a wrap, and one as far forward behind it is late. Bounds: 1 MiB of header, arrays of at most 65,536
    events, and a record's first 7 bytes.
    """

    def __init__(self, sensor: str | None = None, size: tuple[int, int] | None = None, raw: bool = False) -> None:
        self.size = size
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.empty: Empty = Spare()
        self.tidy = False
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._header = Header()
        self._kind = b""
        self._asked = size
        self._extent: Extent
        self._layout = LAYOUTS[2]
        self._state = np.zeros(5, np.int64)
        self._records = Records(BYTES)
        self._early = b""
        self._fed = 0

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Return the arrays (n,) EVENT decoded from these bytes, to be iterated before more is fed.

        Raises `RecordingError` where the header does not end, or says that something else follows.
        """
        self._fed += len(data)
        if not self._header.done:
            parts = self._header.feed(data)
            if parts is None:
                return iter(())
            self._early, data = parts
            self._take_header()
        if len(self._kind) < 2:
            data = memoryview(self._early + bytes(data))
            self._kind, self._early, data = bytes(data[:2]), bytes(data[:2]), data[2:]
            if len(self._kind) < 2:
                return iter(())
            self._check_kind()
        return self._events(data)

    def _take_header(self) -> None:
        version = self._header.values.get("version", "2")
        if version not in ("1", "2"):
            self.warnings.append(f"the header says version {version[:20]}; read as version 2")
        self._layout = LAYOUTS[1 if version == "1" else 2]
        self._extent = Extent(SIZES, self._asked or self._header.size(), self.warnings)
        self.size = self._extent.told()

    def _check_kind(self) -> None:
        kind, size = self._kind
        if kind == TRIGGERS:
            raise RecordingError("this DAT file holds external triggers, and no events", offset=self._header.length)
        if kind not in KINDS or size != BYTES:
            expected = " or ".join(f"0x{known:02X} ({name})" for known, name in KINDS.items())
            raise RecordingError(
                "this DAT file holds something else than events",
                offset=self._header.length,
                expected=f"{expected}, of {BYTES} bytes",
                found=f"0x{kind:02X}, of {size} bytes",
            )

    def _events(self, data: memoryview) -> Iterator[Array]:
        from spikestream.kernels.dat import decode
        from spikestream.kernels.packed import PACKED

        for part in self._records.feed(data):
            records = np.frombuffer(part, RECORD)
            records.flags.writeable = False  # one type for the kernel, whatever buffer the bytes came in
            out = self.empty(len(records))
            events = out[: decode(records, (*self._extent.limits, *self._layout), self._state, out.view(PACKED))]
            *_, untidy, outside = self._state.tolist()
            self.tidy, self.skipped = not untidy, {"outside": outside} if outside else {}
            if len(events):
                self.size = self._extent.fit(events)
                yield events

    def finish(self) -> None:
        """Raise `RecordingError` where the header has no end, nothing was fed, or a record is cut."""
        self._header.finish()
        if len(self._kind) < 2:
            what = "the recording ends before its first record" if self._fed else "the recording is empty"
            raise RecordingError(what, offset=self._fed, expected="a header, the kind and size of records")
        self.notes = wrapped(int(self._state[2]))
        self._records.finish(self._fed)


class Encoder:
    """Encode events with x and y below 16,384, and within the size, as EventCD, version 2; for t see `Stamps`."""

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        check_sides(size, SIDE, "DAT", f"{SIZE}, or write .aedat4")
        lines = ["Data file containing CD events", "Version 2"]
        lines += [f"Height {size[1]}", f"Width {size[0]}"] if size else []
        self._head = "".join(f"% {line}\n" for line in lines).encode() + bytes((0x0C, BYTES))
        self._size = size or (SIDE, SIDE)
        self._stamps = Stamps("DAT")

    def feed(self, events: Array) -> bytes:
        """Return 8 bytes for each event (n,) EVENT; raises `RecordingError` for one the format cannot hold."""
        x, y = events["x"].astype(np.uint32), events["y"].astype(np.uint32)
        refuse_outside(self._size, events, self._stamps.written, "DAT", f"{OUTSIDE}, or write .aedat4")
        records = np.empty(len(events), RECORD)
        records["stamp"] = self._stamps.of(events)
        records["word"] = x | y << np.uint32(14) | events["p"].astype(np.uint32) << np.uint32(28)
        return self.finish() + records.tobytes()

    def finish(self) -> bytes:
        """Return the header where nothing was written yet, else nothing: the format has no tail."""
        head, self._head = self._head, b""
        return head
