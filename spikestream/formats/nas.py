"""Sound of a Neuromorphic Auditory Sensor (NAS), a cochlea on an FPGA: `.aedat`, mostly without any header.

A record is a big-endian address of 2 or 4 bytes and a big-endian stamp of 4 bytes. The file says neither that width,
nor how long a tick is, nor how many bands there are; the ``sensor`` layout does:

    LAYOUT = ("mono" | "stereo") BANDS ":" ("jaer" | "usbaermini2" | WIDTH ":" TICK)

BANDS is 1 to 2,048, WIDTH 2 or 4 bytes, TICK 0.001 to 100 µs with up to three decimals. What jAER recorded is ``4:1``,
a USBAERmini2 ``2:0.2``: ``stereo64:jaer``, ``mono32:usbaermini2``, ``stereo64:4:0.08``.

The sensor is a cascade of low-passes and numbers its bands from the highest down; here band 0 is the lowest, unless
``raw``. Source: pyNAVIS's loaders and settings (Dominguez-Morales et al. 2021).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

import numpy as np

from spikestream.batch import EVENT, Array
from spikestream.errors import ConfigError, RecordingError, nearest
from spikestream.formats.base import Format, no_magic

SIDES = {"mono": 1, "stereo": 2}
RECORDERS = {"jaer": (4, "1"), "usbaermini2": (2, "0.2")}
USUAL = (16, 32, 64, 128, 256, 512)
MOST_BANDS = 2_048
"""No address then starts with the byte '#', so a header is told from records by its first byte."""
GRAMMAR = re.compile(r"(mono|stereo)(\d{1,4}):(?:(jaer|usbaermini2)|([24]):(\d{1,3}(?:\.\d{1,3})?))", re.ASCII)
UNSAID = "stereo512:jaer"
"""Stands for a layout that was not said while the first records are gathered, from which those that fit are told."""
ALLOWED = "mono|stereo, 1 to 2,048 bands, then :jaer, :usbaermini2, or :BYTES:TICK_US as in mono32:2:0.2"
USUALLY = "stereo64:jaer"
UNFIT = "its records fit no usual layout: is this sound of a NAS at all?"
END = b"#End Of ASCII Header"
CAP = 1 << 20
CHUNK = 32_768
TRIAL = 256
FEW = 4
ONE_IN = 4
"""Of the first 256 records up to 3, or a quarter, may be damaged; more than that is another layout."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a NAS recording does not say of itself; ``width`` in bytes of an address, ``tick`` in µs."""

    name: str
    sides: int
    bands: int
    width: int
    tick: Fraction

    @property
    def record(self) -> int:
        """Return the bytes of one record."""
        return self.width + 4

    @property
    def addresses(self) -> int:
        """Return how many addresses spikes may have."""
        return 2 * self.bands * self.sides

    def columns(self, data: bytes | memoryview) -> tuple[Array, Array]:
        """Return the addresses and the stamps (n,) int64 of whole records."""
        records = np.frombuffer(data, [("address", f">u{self.width}"), ("stamp", ">u4")])
        return records["address"].astype(np.int64), records["stamp"].astype(np.int64)

    def odd(self, addresses: Array, stamps: Array) -> tuple[Array, Array]:
        """Return of each record (n,) bool whether its address is none, and whether its stamp steps back."""
        steps = np.diff(stamps, prepend=stamps[:1])
        return (addresses >= self.addresses) & (addresses >> 15 != 1), (steps < 0) & (steps >= -(1 << 31))


def layout_of(text: str) -> Layout:
    """Return the layout a text like ``stereo64:jaer`` stands for; raises `ConfigError`."""
    found = GRAMMAR.fullmatch(text.strip().lower())
    bands = int(found[2]) if found else 0
    width, tick = (RECORDERS[found[3]] if found[3] else (int(found[4]), found[5])) if found else (0, "0")
    if not found or not 1 <= bands <= MOST_BANDS or not 0 < Fraction(tick) <= 100:
        known = [f"{word}{bands}:{recorder}" for word in SIDES for bands in USUAL for recorder in RECORDERS]
        near = nearest(text.lower(), known)
        raise ConfigError(f"'{text}' is no NAS layout", key="sensor", value=text, allowed=ALLOWED, nearest=near)
    return Layout(found[0], SIDES[found[1]], bands, width, Fraction(tick))


class Decoder:
    """Decode the spikes of a NAS fed in any pieces: x = band, 0 the lowest, y = side, 0 left, p True = positive half.

    ``sensor`` is the layout, see the head of this file; without one the first records are looked at, and a
    `RecordingError` names those that fit. ``raw=True`` numbers the bands as stored, 0 the highest. Stamps
    are µs, rounded down. ``skipped`` counts localisation events (``mso``, ``lso``) and addresses the layout does not
    have (``outside``). Of the first 256 records those are held back that stand where a layout has proved wrong so far;
    if it still is after them, that is a `RecordingError`. Bounds: at most one event per 6 bytes, arrays of at most
    32,768 events, and nothing kept but these records and a record's first 7 bytes.
    """

    def __init__(self, sensor: str | None = None, size: tuple[int, int] | None = None, raw: bool = False) -> None:
        self._said = bool(sensor)
        self._layout = layout = layout_of(sensor or UNSAID)
        self.size: tuple[int, int] | None = (layout.bands, layout.sides) if self._said else None
        if self._said and size not in (None, self.size):
            allowed = f"{layout.bands}x{layout.sides}, bands and sides of {layout.name}"
            raise ConfigError("the layout of a NAS says its size", key="size", value=size, allowed=allowed)
        self.sensor = layout.name if self._said else ""
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self._code = (layout.bands, layout.sides, layout.tick.numerator, layout.tick.denominator)
        self._turn = not raw
        self._state = np.zeros(8, np.int64)
        self._in_header = True
        self._line = b""
        self._header = 0
        self._head = b""
        self._released = 0
        self._rest = b""
        self._fed = 0

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Yield arrays (n,) EVENT decoded from these bytes; raises `RecordingError` where the layout does not fit."""
        self._fed += len(data)
        data = self._after_header(data)
        record = self._layout.record
        if self._rest:
            missing = record - len(self._rest)
            self._rest += bytes(data[:missing])
            data = data[missing:]
            if len(self._rest) < record:
                return
            yield from self._records(memoryview(self._rest))
        whole = len(data) - len(data) % record
        self._rest = bytes(data[whole:])
        yield from self._records(data[:whole])

    def _after_header(self, data: memoryview) -> memoryview:
        """Return what follows the lines that start with '#', or the one that says it is the last."""
        text, at = bytes(data) if self._in_header else b"", 0
        while self._in_header and at < len(text):
            if not self._line and text[at] != ord("#"):
                self._in_header = False
                break
            stop = text.find(b"\n", at) + 1 or len(text)
            self._line = (self._line + text[at : min(stop, at + 32)])[:32]
            self._header += stop - at
            if self._header > CAP:
                raise RecordingError("the header does not end", offset=CAP, expected=f"its end within {CAP:,} bytes")
            if text[stop - 1] == ord("\n"):
                self._in_header = self._line.rstrip() != END
                self._line = b""
            at = stop
        return data[at:]

    def _records(self, data: memoryview) -> Iterator[Array]:
        missing = TRIAL * self._layout.record - len(self._head)
        if missing and len(data):
            yield from self._on_trial(data[:missing])
        for at in range(missing, len(data), CHUNK * self._layout.record):
            yield from self._spikes(*self._layout.columns(data[at : at + CHUNK * self._layout.record]))

    def _on_trial(self, data: memoryview) -> Iterator[Array]:
        self._head += bytes(data)
        if not self._said:
            if len(self._head) == TRIAL * self._layout.record:
                self._refuse_unsaid()
            return
        addresses, stamps = self._layout.columns(self._head)
        odd = np.cumsum(np.logical_or(*self._layout.odd(addresses, stamps)))
        fits = (odd < FEW) | (ONE_IN * odd <= np.arange(1, len(odd) + 1))
        first, self._released = self._released, int(np.flatnonzero(fits)[-1]) + 1
        yield from self._spikes(addresses[first : self._released], stamps[first : self._released])
        if len(odd) == TRIAL:
            self._refuse_misfit()

    def _spikes(self, addresses: Array, stamps: Array) -> Iterator[Array]:
        from spikestream.kernels.nas import STATE, decode

        out = np.empty(len(addresses), EVENT)
        n = decode(addresses, stamps, self._code, self._turn, self._state, out)
        counts = zip(STATE[2:5], self._state[2:5].tolist(), strict=True)
        self.skipped = {kind: count for kind, count in counts if count}
        if n:
            yield out[:n]

    def _refuse_unsaid(self) -> NoReturn:
        fitting = _fitting(self._head, RECORDERS)
        raise RecordingError(
            "a NAS recording does not say how many bands it has and how it counts time",
            expected=f"a layout: {ALLOWED}",
            details=[f"its records fit {' or '.join(fitting)}" if fitting else UNFIT],
            remedy=f"--sensor {'|'.join(fitting)}" if fitting else "leave --format nas out, to see what else it may be",
        )

    def _refuse_misfit(self) -> None:
        """Raise `RecordingError` where records are held back because the layout does not fit them."""
        if self._released * self._layout.record == len(self._head):
            return
        addresses, stamps = self._layout.columns(self._head)
        outside, back = map(np.count_nonzero, self._layout.odd(addresses, stamps))
        own = self.sensor.partition(":")[2]
        other = (name for name, (width, _) in RECORDERS.items() if width != self._layout.width)
        fitting = " or ".join(_fitting(self._head, (own, *other)))
        raise RecordingError(
            f"the records do not fit the layout {self.sensor}",
            offset=self._header,
            expected=f"addresses up to {self._layout.addresses - 1} and time that runs forward",
            found=f"{outside} other addresses and {back} steps back in {len(addresses)} records",
            details=[f"its records fit {fitting}" if fitting else UNFIT],
            remedy="--sensor " + fitting.replace(" or ", "|") if fitting else "",
        )

    def finish(self) -> None:
        """Raise `RecordingError` where there are no records, the layout does not fit them, or the last one is cut."""
        self._look_back()
        if self._in_header:
            what = "the recording ends inside its header" if self._fed else "the recording is empty"
            raise RecordingError(what, offset=self._fed, expected="records", remedy="fetch or record it again")
        if not self._said:
            self._refuse_unsaid()
        self._refuse_misfit()
        if self._rest:
            raise RecordingError(
                "the recording is cut inside its last record",
                offset=self._fed - len(self._rest),
                expected=f"{self._layout.record} bytes",
                found=f"{len(self._rest)}",
                remedy="the spikes before it are read; for the others fetch the file again",
            )

    def _look_back(self) -> None:
        """Warn where the addresses, seen to the end, speak for more or fewer bands or sides."""
        outside, spikes, top, beyond = self._state[4:].tolist()
        name = self.sensor.partition(":")[0]
        if 100 * outside > spikes + outside:
            fitting = " or ".join(_holding(beyond)) or "no usual layout"
            text = f"{outside:,} of {spikes + outside:,} addresses are outside of {name}, up to {beyond}"
            self.warnings.append(f"{text}: {fitting} holds them")
        elif spikes >= TRIAL and (smaller := _holding(top, self._layout.addresses // 2)):
            fitting = " or ".join(smaller)
            self.warnings.append(f"no address is above {top}, not half of what {name} has: {fitting} holds them all")


def _holding(top: int, most: int = 4 * USUAL[-1]) -> list[str]:
    """Return the usual mono and stereo layouts of the fewest addresses, up to ``most``, that have address ``top``."""
    sizes = sorted({2 * sides * bands for sides in SIDES.values() for bands in USUAL})
    size = next((size for size in sizes if top < size <= most), 0)
    return [f"{word}{bands}" for word, sides in SIDES.items() for bands in USUAL if 2 * sides * bands == size]


def _fitting(head: bytes, ends: Iterable[str]) -> list[str]:
    """Return the usual layouts that the first records fit, of the first of these ends of their names with any."""
    for end in ends:
        largest = layout_of(f"stereo{USUAL[-1]}:{end}")
        addresses, stamps = largest.columns(head[: len(head) - len(head) % largest.record])
        outside, back = largest.odd(addresses, stamps)
        legal = addresses[~outside & (addresses >> 15 == 0)]
        if len(legal) and ONE_IN * np.count_nonzero(outside | back) <= len(addresses):
            return [f"{name}:{end}" for name in _holding(int(legal.max()))]
    return []


def hint(head: bytes, name: str) -> str:
    """Return that a file without a header may be sound, where its name is one of such files, and how to read it."""
    fitting = _fitting(head[: TRIAL * layout_of(UNSAID).record], RECORDERS)
    what = f"it may be sound of a NAS: spikestream info {name} --format nas --sensor {(fitting or [USUALLY])[0]}"
    others = f", or {' or '.join(fitting[1:])}" if fitting[1:] else ""
    return what + others if name.lower().endswith(".aedat") else ""


FORMAT = Format("nas", "NAS sound", (), no_magic, Decoder, hint=hint)
