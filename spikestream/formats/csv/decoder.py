"""Rows of text in: what the columns are once, then the rows through the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NoReturn

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty, Spare
from spikestream.formats.base.columns import SHOWN, SIZES
from spikestream.formats.base.extent import Extent
from spikestream.formats.csv.columns import (
    NUMBER,
    POWERS,
    cells,
    checked_unit,
    ordered,
    written_otherwise,
)
from spikestream.formats.csv.head import Head, Table, understood

FEW = 8
"""So many rows have to do where what comes is live."""
CHUNK = 1 << 18
LONGEST = 1 << 16
NEAR = 256
LEAST = len("1,1,1,1\n")
SIDE = 1 << 16
EXPECTED = {
    "t": "a time, a number that fits 64 bits as µs",
    "x": f"x, a whole number from 0 to {SIDE - 1:,}",
    "y": f"y, a whole number from 0 to {SIDE - 1:,}",
    "p": "a polarity: 0 or 1, -1 or 1, false or true",
    "_": "a cell",
}


class Decoder:
    """Decode rows of text fed in any pieces; ``sensor`` and ``raw`` change nothing here.

    What the columns are is said by ``order`` ("txyp", "_" for one to leave out), else by a header, else told from up to
    128 rows; the unit of t by ``unit`` ("us", "ms", "s", "ns"), else by the header, else told likewise; a doubt is an
    error. The size is ``size=`` (width, height), else what the file says, else it grows to the next usual one with a
    warning. Events outside of it are dropped and counted. t is rounded to µs, half to even.

    Bounds: at most one event per 8 bytes, arrays of at most 41,000 events, and nothing kept but 64 KiB of the first
    lines, then an unfinished line of at most 64 KiB.
    """

    def __init__(
        self,
        sensor: str | None = None,
        size: tuple[int, int] | None = None,
        raw: bool = False,
        order: str | None = None,
        unit: str | None = None,
    ) -> None:
        self.size = size
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.empty: Empty = Spare()
        self.tidy = False
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._order, self._unit = order, checked_unit(unit)
        if order is not None:
            ordered(order, ",")
        self._extent: Extent
        self._asked = size
        self._head = Head()
        self._table: Table | None = None
        self._roles = np.empty(0, np.int64)
        self._state = np.array([0, 0, 0, 0, -1], np.int64)
        self._rest = b""
        self._fed = 0
        self._tried = (0, False)  # how many lines did not tell enough, and whether there was silence behind them

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Return the arrays (n,) EVENT decoded from these bytes, to be iterated before more is fed.

        Raises `RecordingError` where it is not clear what the columns are; after the events before it, for a bad row.
        """
        self._fed += len(data)
        if self._table is None:
            data = self._head.feed(data)
            if not self._head.done:
                return iter(())
            return chain(self._events(self._understand(self._head.lines)), self._later(data))
        return self._later(data)

    def settle(self, silent: bool, over: bool) -> Iterator[Array]:
        """Yield the events of the first whole lines before there are 128 of them: for what is live.

        As soon as the size and the columns are told, or, where the rows have to tell the columns, after eight of them,
        or fewer if there is a ``silent`` time behind them; and whatever is told if it is ``over``, which raises
        `RecordingError` where that is too little.
        """
        tried, self._tried = self._tried, (self._head.count, silent)
        if self._table is not None or not self._head.count or (tried == self._tried and not over):
            return
        try:
            table = understood(self._head.lines, self._order, self._unit)
        except RecordingError:
            if over:
                raise
            return
        sized = (self._asked or table.columns.size) is not None
        if table.rows and (over or (sized and (table.told or table.rows >= FEW or silent))):
            yield from self._events(self._taken(table))

    def last(self) -> Iterator[Array]:
        """Yield the events of the last line, and of a recording of a few lines all."""
        if self._table is None and self._fed:
            yield from self._events(self._understand(bytes(self._head.held)))
        if self._table is None:
            return
        if self._rest.strip() and self._table.columns.roles[-1] != "p":
            self.warnings.append("the last line has no line feed: it may be cut inside of its last number")
        yield from self._events(memoryview(b"\n"))

    def finish(self) -> None:
        """Raise `RecordingError` where nothing was fed; a cut row is a bad one."""
        if not self._fed:
            raise RecordingError("the recording is empty", offset=0, expected="rows of t, x, y and p")

    def _understand(self, lines: bytes) -> memoryview:
        return self._taken(understood(lines, self._order, self._unit))

    def _taken(self, table: Table) -> memoryview:
        """Settle what the columns are, and return the rows of the head."""
        self._table, columns = table, table.columns
        early = memoryview(bytes(self._head.held[table.start :]))
        self._head.held.clear()
        self._roles = np.array(["_txyp".index(role) for role in columns.roles], np.int64)
        self._state[3] = table.lines
        self._extent = Extent(SIZES, self._asked or columns.size, self.warnings)
        self.size = self._extent.told() if table.rows else self._extent.size
        unit = f"t in {SHOWN.get(table.unit, table.unit)}" + (f" ({table.unit_why})" if table.unit_why else "")
        self.notes = [f"columns {' '.join(columns.roles)}, {columns.why}; {unit}"]
        return early

    def _later(self, data: memoryview) -> Iterator[Array]:
        """Yield the events of bytes behind the head."""
        for piece in self._head.plain(data):
            yield from self._events(piece)

    def _events(self, data: memoryview) -> Iterator[Array]:
        at = 0
        if self._rest:
            at = _behind_first(data)
            early, self._rest = self._rest + bytes(data[: at or LONGEST + 1]), b""
            if at:
                yield from self._rows(memoryview(early))
            else:
                data, self._rest = data[len(data) :], early
        while stop := _behind_last(data[at : at + CHUNK]):
            yield from self._rows(data[at : at + stop])
            at += stop
        self._rest += bytes(data[at : at + CHUNK])
        if len(self._rest) > LONGEST:
            self._refuse_long(self._rest)

    def _rows(self, lines: memoryview) -> Iterator[Array]:
        from spikestream.kernels.csv import decode
        from spikestream.kernels.packed import PACKED, STEP_US

        assert self._table is not None
        separator, unit = ord(self._table.columns.separator), self._table.unit
        code = (separator, POWERS[unit], unit == "us" and bool(self._table.unit_why), LONGEST)
        text = np.frombuffer(lines, np.uint8)
        text.flags.writeable = False  # one type for the kernel, whatever buffer the bytes came in
        out = self.empty(len(lines) // LEAST + 1)
        used, n = decode(text, self._roles, (*code, *self._extent.limits, STEP_US), self._state, out.view(PACKED))
        _, untidy, outside, _, bad = self._state.tolist()
        self.tidy, self.skipped = not untidy, {"outside": outside} if outside else {}
        if n:
            self.size = self._extent.fit(out[:n])
            yield out[:n]
        if used < len(lines):
            line = bytes(lines[used : used + LONGEST + 1]).partition(b"\n")[0]
            self._refuse(line, bad) if bad >= 0 else self._refuse_long(line)

    def _refuse(self, line: bytes, bad: int) -> NoReturn:
        assert self._table is not None
        separator, roles, *_ = self._table.columns
        text = line.decode("utf-8", "replace").strip()
        found = cells(text, separator)
        what = f"line {self._state[3] + 1:,} is no event"
        why, remedy = written_otherwise(text)
        details = [why] if why else []
        if len(found) != len(roles):
            names = " ".join(roles)
            expected, shown = f"{len(roles)} columns: {names}", f"{len(found)}: {text[:80]!r}"
            raise RecordingError(what, expected=expected, found=shown, details=details, remedy=remedy)
        expected = EXPECTED[roles[bad]]
        if roles[bad] == "t" and self._table.unit_why and "." in found[bad] and NUMBER.fullmatch(found[bad]):
            expected, remedy = f"{expected}, as the rows before have", "--option unit=s, where t is in s"
        raise RecordingError(what, expected=expected, found=repr(found[bad][:40]), details=details, remedy=remedy)

    def _refuse_long(self, line: bytes) -> NoReturn:
        what = f"line {self._state[3] + 1:,} is longer than {LONGEST:,} bytes"
        raise RecordingError(what, expected="a row of numbers", found=repr(line[:40]))


def _behind_first(data: memoryview) -> int:
    """Return the place behind the first line feed, 0 where no line ends before it is too long."""
    return bytes(data[:NEAR]).find(b"\n") + 1 or bytes(data[: LONGEST + 1]).find(b"\n") + 1


def _behind_last(data: memoryview) -> int:
    """Return the place behind the last line feed, 0 where there is none."""
    near = max(0, len(data) - NEAR)
    found = bytes(data[near:]).rfind(b"\n") + 1
    return near + found if found else bytes(data).rfind(b"\n") + 1
