"""The start of a table: comments, the size of the sensor, the header, and the first rows."""

from __future__ import annotations

import re
from typing import NamedTuple

from spikestream.errors import RecordingError
from spikestream.formats.csv.columns import (
    NUMBER,
    Columns,
    cells,
    guessed,
    guessed_unit,
    is_row,
    named,
    ordered,
    say_order,
    separator_of,
    written_otherwise,
)

ROWS = 128
MOST = 1 << 16
BOM = b"\xef\xbb\xbf"
COMMENTS = ("#", "%")
BOX = re.compile(r"([1-9]\d{0,4})[ \t,;]+([1-9]\d{0,4})", re.ASCII)
"""Width and height, as the first line of a text for E2VID."""


class Head:
    """The first 128 lines that are no comments, or 64 KiB, in any pieces; ``count`` is how many have come."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.done = False
        self.count = 0
        self._at = 0

    def feed(self, data: memoryview) -> memoryview:
        """Take bytes, and return those that come after the head."""
        taken = data[: MOST - len(self.held)]
        self.held += taken
        while self.count < ROWS and (stop := self.held.find(b"\n", self._at)) >= 0:
            self.count += not _is_none(self.held[self._at : stop].decode("utf-8", "replace").strip())
            self._at = stop + 1
        self.done = self.count >= ROWS or len(self.held) >= MOST
        if self.done and not self._at:
            raise RecordingError(f"line 1 is longer than {MOST:,} bytes", expected="rows of t, x, y and p")
        if self.done and not self.count:
            raise RecordingError(
                f"the first {MOST:,} bytes are comments",
                expected="a header or rows of t, x, y and p among them",
                remedy="take comments out: grep -v '^[#%]' FILE > ROWS.csv",
            )
        return data[len(taken) :]

    @property
    def lines(self) -> bytes:
        """Return the whole lines of the head, whatever else has come with them."""
        return bytes(self.held[: self._at])


class Table(NamedTuple):
    """What the head of a table tells: its columns, and the byte and number of the line its rows begin after."""

    columns: Columns
    unit: str
    unit_why: str
    start: int
    lines: int
    rows: int
    told: bool
    """Whether the columns and the unit are those whatever rows follow: the head says them, or the user."""


def understood(head: bytes, order: str | None, unit: str | None) -> Table:
    """Return what whole lines tell beside ``order`` and ``unit``, where these are said; raises `RecordingError`."""
    start, lines, size, header, remark = len(BOM) if head.startswith(BOM) else 0, 0, None, "", ""
    rows: list[str] = []
    at = start
    for line in head[start:].split(b"\n"):
        text = line.decode("utf-8", "replace").strip()
        at += len(line) + 1
        if _is_none(text):
            remark = text if not rows and _names(text[1:]) else remark
        elif not (rows or header or size) and (box := BOX.fullmatch(text)):
            size = int(box[1]), int(box[2])
        elif not rows and not header and not is_row(text):
            header = text
        else:
            rows.append(text)
            continue
        if not rows:
            start, lines = min(at, len(head)), lines + 1
    names = header or remark.lstrip("#% \t")
    columns = _columns(names, rows, order)
    if size or columns.size:
        columns = columns._replace(size=size or columns.size)
    unit = unit or columns.unit
    times = _times(columns, rows) if unit is None else []
    found, why = guessed_unit(times) if unit is None else (unit, "")
    told = bool(names or order) and (not why or found != "s")
    return Table(columns, found, why, start, lines, len(rows), told)


def looks_like(head: bytes) -> bool:
    """Return whether the first bytes of a file are a table's: a header that names t, x, y and p, or rows of four."""
    if b"\0" in head or not head.strip():
        return False
    whole, _, _ = head.rpartition(b"\n") if head.count(b"\n") else (head, b"", b"")
    remark = ""
    for line in whole.removeprefix(BOM).split(b"\n"):
        text = line.decode("utf-8", "replace").strip()
        if _is_none(text):
            remark = remark or (text if _names(text[1:]) else "")
        elif not BOX.fullmatch(text):
            return _names(text) or (is_row(text) and (len(cells(text, separator_of(text))) == 4 or bool(remark)))
    return bool(remark)


def _is_none(text: str) -> bool:
    return not text or text.startswith(COMMENTS)


def _names(text: str) -> bool:
    try:
        return named(text.strip()) is not None
    except RecordingError:
        return True


def _columns(header: str, rows: list[str], order: str | None) -> Columns:
    separator = separator_of(rows[0] if rows else header)
    if order is not None:
        return ordered(order, separator)
    parted = [cells(row, separator) for row in rows if is_row(row)]
    if header:
        columns = named(header)
        if columns is None:
            what, expected = "the header does not name t, x, y and p", "a header such as t,x,y,p"
            why, remedy = written_otherwise(header)
            details = [why] if why else []
            remedy = remedy or say_order(header, parted)
            raise RecordingError(what, expected=expected, found=repr(header[:80]), details=details, remedy=remedy)
        return columns._replace(separator=separator)
    if not rows:
        raise RecordingError("the recording is empty: there are no rows in it", expected="rows of t, x, y and p")
    return guessed([row for row in parted if len(row) == len(parted[0])], separator)


def _times(columns: Columns, rows: list[str]) -> list[str]:
    k = columns.roles.index("t")
    parted = (cells(row, columns.separator) for row in rows)
    return [row[k] for row in parted if len(row) == len(columns.roles) and NUMBER.fullmatch(row[k])]
