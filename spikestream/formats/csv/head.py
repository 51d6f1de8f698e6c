"""The start of a table: comments, the size of the sensor, the header, and the first rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
COMMENT_BYTES = tuple(sign.encode() for sign in COMMENTS)
WIDE = re.compile(rb"(\xff\xfe|\xfe\xff)|([^\0]\0){2}|(\0[^\0]){2}")
WIDE_CODES = ("UTF-16", "UTF-16LE", "UTF-16BE")
"""What text of two bytes a character begins with, and what iconv calls it."""
LF_FOR_CR = bytes.maketrans(b"\r", b"\n")
BOX = re.compile(r"([1-9]\d{0,4})[ \t,;]+([1-9]\d{0,4})", re.ASCII)
"""Width and height, as the first line of a text for E2VID."""


class Head:
    """The first 128 lines that are no comments, or 64 KiB, in any pieces; ``count`` is how many have come.

    Where the first line ends with CR alone, all do: `plain` makes them end with LF, and ``held`` has been made so.
    """

    def __init__(self) -> None:
        self.held = bytearray()
        self.done = False
        self.count = 0
        self._at = 0
        self._cr: bool | None = None  # None while no line has ended

    def plain(self, data: memoryview) -> Iterator[memoryview]:
        """Yield the bytes with LF at the end of each line, in pieces where that takes memory."""
        if not self._cr:
            yield data
            return
        for at in range(0, len(data), MOST):
            yield memoryview(bytes(data[at : at + MOST]).translate(LF_FOR_CR))

    def feed(self, data: memoryview) -> memoryview:
        """Take bytes, and return those that come after the head."""
        taken = data[: MOST - len(self.held)]
        self.held += b"".join(self.plain(taken))
        if self._cr is None:
            self._cr = _ends_with_cr(self.held)
            self.held = self.held.translate(LF_FOR_CR) if self._cr else self.held
        while self.count < ROWS and (stop := self.held.find(b"\n", self._at)) >= 0:
            self.count += not _is_none(self.held[self._at : stop].decode("utf-8", "replace").strip())
            self._at = stop + 1
        self.done = self.count >= ROWS or len(self.held) >= MOST
        if self.done and not self._at:
            _refuse_wide(self.held)
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
    _refuse_wide(head)
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


def with_lf(head: bytes) -> bytes:
    """Return the first bytes of a table with LF at the end of each line."""
    return head.translate(LF_FOR_CR) if _ends_with_cr(head) else head


def wide(head: bytes) -> tuple[str, str]:
    """Return why text of two bytes a character is not read, and what makes it plain; else "" twice."""
    code = _wide_code(head)
    if not code:
        return "", ""
    return f"the text is in {code}", f"iconv -f {code} -t UTF-8 FILE > plain.csv, and read plain.csv"


def looks_like(head: bytes) -> bool:
    """Return whether the first bytes of a file are a table's: a header that names t, x, y and p, or rows of four."""
    if code := _wide_code(head):
        head = head.decode(code, "replace").encode()  # a table it is, and the decoder says why it is not read
    if b"\0" in head or not head.strip():
        return False
    head = with_lf(head)
    whole, _, _ = head.rpartition(b"\n") if head.count(b"\n") else (head, b"", b"")
    remark = ""
    for line in whole.removeprefix(BOM).split(b"\n"):
        text = line.decode("utf-8", "replace").strip()
        if _is_none(text):
            remark = remark or (text if _names(text[1:]) else "")
        elif not BOX.fullmatch(text):
            return _names(text) or (is_row(text) and (len(cells(text, separator_of(text))) == 4 or bool(remark)))
    return bool(remark)


def _ends_with_cr(text: bytes | bytearray) -> bool | None:
    """Return whether the first line that is no comment ends with CR alone, None where that is not to be seen yet."""
    at = 0
    while text.startswith(COMMENT_BYTES, at) and (lf := text.find(b"\n", at)) >= 0:
        at = lf + 1  # a comment may hold what it likes
    lf, cr = text.find(b"\n", at), text.find(b"\r", at)
    if cr < 0 or 0 <= lf < cr:
        return None if lf < 0 else False
    after = text[cr:].lstrip(b"\r")
    return not after.startswith(b"\n") if after else None


def _wide_code(head: bytes) -> str:
    found = WIDE.match(head)
    return WIDE_CODES[found.lastindex - 1] if found and found.lastindex else ""


def _refuse_wide(head: bytes | bytearray) -> None:
    why, remedy = wide(bytes(head[:4]))
    if why:
        raise RecordingError(f"{why}, which is not read", expected="UTF-8, as ASCII is", remedy=remedy)


def _is_none(text: str) -> bool:
    return not text or text.startswith(COMMENTS)


def _names(text: str) -> bool:
    try:
        return named(text.strip()) is not None
    except RecordingError:
        return True


def _columns(header: str, rows: list[str], order: str | None) -> Columns:
    separator = separator_of(rows[0] if rows else header)
    if order is not None and header and not rows and not _names(header):
        what = "there are no rows in it, and what is in their place is no header either"
        why, remedy = written_otherwise(header)
        details = [why] if why else []
        raise RecordingError(
            what, expected="rows of t, x, y and p", found=repr(header[:80]), details=details, remedy=remedy
        )
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
