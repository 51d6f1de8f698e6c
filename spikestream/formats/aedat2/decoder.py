"""AEDAT 2.0 and 1.0 in: the header as text, the records through the kernel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.aedat2.cameras import CAMERAS, CHOICE, OTHERWISE, camera, of_chip
from spikestream.formats.aedat2.header import V1, V2, Header
from spikestream.formats.base import Empty, Spare
from spikestream.formats.base.records import Records, wrapped

GUESS = 256


class Decoder:
    """Decode an AEDAT 2.0 recording fed in any pieces; only DVS events come out, the rest is counted in ``skipped``.

    The camera is ``sensor=``, else the header's AEChip, else guessed from the first 256 addresses with a warning; an
    unknown AEChip, and a file too short for a guess, are errors that say what to choose. Events outside of ``size=``
    (width, height), else of the camera, are dropped and counted. Both axes are turned to the origin top left of the
    camera, which has ``size`` pixels only where ``sensor=`` says how its addresses are laid out and the header does not
    name that very camera; ``raw=True`` leaves them as stored. Stamps count modulo 2^32: a step back of more than
    2^31 µs is a wrap, and one as far forward behind it is late.

    `feed` reads the header at once but decodes when iterated, so ``sensor`` and ``size`` can be had without decoding.
    Bounds: at most one event per 8 bytes, arrays of at most 65,536 events, and nothing kept but 1 MiB of header, then
    2 KiB of records while guessing, then the first 7 bytes of a record.
    """

    version = V2

    def __init__(
        self,
        sensor: str | None = None,
        size: tuple[int, int] | None = None,
        raw: bool = False,
        polarity: str = "jaer",
    ) -> None:
        self.size = size
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.empty: Empty = Spare()
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._header = Header(self.version)
        self._polarity = polarity
        self._turn = not raw
        self._state = np.zeros(7, np.int64)
        self._code: tuple[int, ...] = ()
        self._records = Records(self.version.width)
        self._fed = 0
        if sensor is not None:
            self._use(sensor, itself=False)

    def _use(self, sensor: str, *, itself: bool = True) -> None:
        """Read as that camera does, which this one is ``itself``, or lays out its addresses as."""
        layout = camera(sensor, self._polarity)
        self.sensor, self.size = of_chip(sensor), self.size or layout.size
        code = layout.code(layout.size if itself else self.size, self.size)
        self._code = (8 * (4 - self.version.address), *code)
        self.notes = [OTHERWISE[self._polarity]] if self.sensor == "dvs128" else []

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Return the arrays (n,) EVENT decoded from these bytes, to be iterated before more is fed.

        Raises `RecordingError` where this is another format, its header does not end, or its camera is not known.
        """
        self._fed += len(data)
        if self._header.done:
            return self._events(data)
        parts = self._header.feed(data)
        if parts is None:
            return iter(())
        self._records.rest, data = parts
        self._take_header()
        return self._events(data)

    def _take_header(self) -> None:
        chip, known = self._header.chip[:80], of_chip(self._header.chip)
        for at in self._header.odd[:1]:
            self.warnings.append(f"the header line at byte {at:,} holds control characters; taken for text")
        if self.sensor and chip and known != self.sensor:
            self.warnings.append(f"the header names {chip}; read as {self.sensor} all the same, as sensor= says")
        elif known:
            self._use(known)
        elif not self.sensor and chip:
            raise RecordingError(
                f"the header names a camera whose addresses are not known here: {chip!r}",
                expected=", ".join(CAMERAS),
                remedy=f"{CHOICE} if it lays out its addresses as one of these, --size WIDTHxHEIGHT for its size",
            )

    def _events(self, data: memoryview) -> Iterator[Array]:
        if not self._code:
            enough = GUESS * self.version.width
            missing = enough - len(self._records.rest)
            self._records.rest += bytes(data[:missing])
            data = data[missing:]
            if len(self._records.rest) < enough:
                return
            self._guess()
        from spikestream.kernels.aedat2 import STATE, decode

        for part in self._records.feed(data):
            records = np.frombuffer(part, self.version.record)
            records.flags.writeable = False  # one type for the kernel, whatever buffer the bytes came in
            out = self.empty(len(records))
            n = decode(records, self._code, self._turn, self._state, out)
            counts = zip(STATE[3:], self._state[3:].tolist(), strict=True)
            self.skipped = {kind: count for kind, count in counts if count}
            if n:
                yield out[:n]

    def _fitting(self) -> str:
        whole = len(self._records.rest) // self.version.width * self.version.width
        words = np.frombuffer(self._records.rest[:whole], ">u4")[::2].astype(np.int64)
        return next((name for name, layout in CAMERAS.items() if layout.fits(words)), "")

    def _guess(self) -> None:
        fitting = self._fitting()
        if not fitting:
            what = "the header names no camera, and the addresses fit none that is known here"
            raise RecordingError(what, remedy=CHOICE)
        self._use(fitting)
        self.warnings.append(
            f"the header names no camera (AEChip): read as {fitting}, the smallest that the first {GUESS} addresses "
            f"fit; {CHOICE} says which it is"
        )

    def finish(self) -> None:
        """Raise `RecordingError` where the header has no end, a record is cut, or there was too little for a guess."""
        if not self._header.done:
            what = "the recording ends inside its header" if self._fed else "the recording is empty"
            remedy = "fetch or export it again: it holds no events"
            raise RecordingError(what, offset=self._fed, expected="records after the header", remedy=remedy)
        if not self._code:
            found = f"{len(self._records.rest) // self.version.width} records, where a guess needs {GUESS}"
            guess = f" (guess from the addresses: {self._fitting() or 'none'})"
            what = "the header names no camera (AEChip), and where x and y are differs from camera to camera"
            raise RecordingError(what, found=found, remedy=CHOICE + guess)
        self.notes += wrapped(int(self._state[2]))
        self._records.finish(self._fed)


class EarlyDecoder(Decoder):
    """Decode an AEDAT 1.0 recording as `Decoder` does 2.0: addresses of 16 bits, a header or none, all of a DVS128.

    A camera is never guessed: an AEChip that is no DVS128's and, without ``sensor=``, none at all are errors.
    Bounds: at most one event per 6 bytes, arrays of at most 65,536 events, and nothing kept but 1 MiB of header, then
    the first 5 bytes of a record.
    """

    version = V1

    def _use(self, sensor: str, *, itself: bool = True) -> None:
        if camera(sensor, self._polarity) is not camera("dvs128", self._polarity):
            what = f"'{sensor}' has no addresses of 16 bits, as AEDAT 1.0 has"
            raise ConfigError(what, key="sensor", value=sensor, allowed="dvs128")
        super()._use(sensor, itself=itself)

    def _take_header(self) -> None:
        chip = self._header.chip[:80]
        if not self.sensor and of_chip(self._header.chip) != "dvs128":
            raise RecordingError(
                "the header names a camera whose AEDAT 1.0 addresses are not known here"
                if chip
                else "AEDAT 1.0 does not say which camera it is of",
                expected="a DVS128",
                found=repr(chip) if chip else "",
                remedy="--sensor dvs128, if it is one; sound of a NAS: --format nas",
            )
        super()._take_header()
