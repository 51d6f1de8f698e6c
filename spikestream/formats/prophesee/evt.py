"""Prophesee RAW in: EVT 2.0, 2.1 and 3.0, with a header or, where the encoding is said, without."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty, Spare
from spikestream.formats.base.extent import Extent
from spikestream.formats.base.records import CHUNK, Records
from spikestream.formats.prophesee.header import Header

SIZES = ((640, 480), (1280, 720), (2048, 2048))
"""The usual sizes, and all that 11 bits can hold."""
_COUNTED = ("trigger", "other", "outside", "early")


class _Decoder:
    """Decode an encoding of words fed in any pieces; ``sensor`` and ``raw`` change nothing here.

    The size is ``size=``, else what the header says or the sensor has that its system ID names; where neither tells, it
    grows to the next usual one with a warning. Events outside of it, and those before the first time, are dropped and
    counted. `feed` reads the header at once but decodes when iterated, so ``size`` can be had without decoding.
    Bounds: 1 MiB of header, arrays of the events of ``most`` words, and nothing kept but a word's first bytes.
    """

    encoding = ""
    most = 1 << 15
    record: np.dtype[np.void]

    def __init__(self, sensor: str | None = None, size: tuple[int, int] | None = None, raw: bool = False) -> None:
        self.size = size
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.empty: Empty = Spare()
        self.tidy = False
        self.warnings: list[str] = []
        self._header = Header()
        self._asked = size
        self._extent: Extent
        self._state = self._begin()
        self._words = Records(self.record.itemsize, "word", self.most)
        self._fed = 0

    def _begin(self) -> Array:
        """Return the kernel's state before the first word."""
        raise NotImplementedError

    def _decode(self, records: Array, limits: tuple[int, int]) -> Iterator[Array]:
        """Yield the events of whole words."""
        raise NotImplementedError

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Return the arrays (n,) EVENT decoded from these bytes, to be iterated before more is fed.

        Raises `RecordingError` where the header does not end.
        """
        self._fed += len(data)
        if not self._header.done:
            parts = self._header.feed(data)
            if parts is None:
                return iter(())
            self._words.rest, data = parts
            self._take_header()
        return self._events(data)

    def _take_header(self) -> None:
        said = self._header.encoding()
        if said and said != self.encoding:
            self.warnings.append(f"the header says {said}; read as {self.encoding} all the same, as format= says")
        self.sensor = self._header.values.get("sensor_name") or self._header.values.get("plugin_name", "")
        self._extent = Extent(SIZES, self._asked or self._header.size(), self.warnings)
        self.size = self._extent.told()

    def _events(self, data: memoryview) -> Iterator[Array]:
        for part in self._words.feed(data):
            records = np.frombuffer(part, self.record)
            records.flags.writeable = False  # one type for the kernel, whatever buffer the bytes came in
            for events in self._decode(records, self._extent.limits):
                counts = zip(_COUNTED, self._state[-len(_COUNTED) :].tolist(), strict=True)
                self.skipped = {kind: count for kind, count in counts if count}
                if len(events):
                    self.size = self._extent.fit(events)
                    yield events

    def _checked(self, events: Array, untidy: int) -> Array:
        self.tidy = not untidy
        return events

    def finish(self) -> None:
        """Raise `RecordingError` where the header has no end, nothing was fed at all, or a word is cut."""
        if not self._fed:
            raise RecordingError("the recording is empty", expected="a header, or words", found="0 bytes")
        self._header.finish()
        self._words.finish(self._fed)


class Evt2(_Decoder):
    """EVT 2.0: see `_Decoder`."""

    encoding = "evt2"
    most = CHUNK
    record = np.dtype([("word", "<u4")])

    def _begin(self) -> Array:
        return np.zeros(9, np.int64)

    def _decode(self, records: Array, limits: tuple[int, int]) -> Iterator[Array]:
        from spikestream.kernels.evt2 import decode
        from spikestream.kernels.packed import PACKED

        out = self.empty(len(records))
        n = decode(records, *limits, self._state, out.view(PACKED))
        yield self._checked(out[:n], self._state[4])


class Evt21(_Decoder):
    """EVT 2.1, its halves in either order: see `_Decoder`."""

    encoding = "evt21"
    record = np.dtype([("low", "<u4"), ("high", "<u4")])
    legacy = np.dtype([("high", "<u4"), ("low", "<u4")])

    def _begin(self) -> Array:
        return np.zeros(9, np.int64)

    def _take_header(self) -> None:
        super()._take_header()
        self._legacy = "legacy" in (self._header.option("endianness"), self._header.values.get("endianness"))

    def _decode(self, records: Array, limits: tuple[int, int]) -> Iterator[Array]:
        from spikestream.kernels.evt21 import MOST, decode
        from spikestream.kernels.packed import PACKED

        if self._legacy:
            records = records.view(self.legacy)
        at = 0
        while at < len(records):
            out = self.empty(len(records) + MOST)
            at, n = decode(records, at, *limits, self._state, out.view(PACKED))
            yield self._checked(out[:n], self._state[4])


class Evt3(_Decoder):
    """EVT 3.0: see `_Decoder`."""

    encoding = "evt3"
    most = 1 << 17  # of which an event takes several
    record = np.dtype([("word", "<u2")])

    def _begin(self) -> Array:
        return np.array([-1, 0, 0, -1, *[0] * 8], np.int64)

    def _decode(self, records: Array, limits: tuple[int, int]) -> Iterator[Array]:
        from spikestream.kernels.evt3 import MOST, decode
        from spikestream.kernels.packed import PACKED

        at = 0
        while at < len(records):
            out = self.empty(len(records) + MOST)
            at, n = decode(records, at, *limits, self._state, out.view(PACKED))
            yield self._checked(out[:n], self._state[7])
