"""ST-MNIST (.mat): what a skin of 10x10 taxels felt, as the array ``spiketrain`` of a MATLAB 5 file.

The array has 101 rows and a column for each moment: 100 taxels with 1 (ON: more pressure), -1 or 0, then the time in
seconds. Taxel a lies at x = a mod 10, y = a div 10. Time is rounded to µs. MATLAB stores by columns, so that moments
come one after the other. Sources: MathWorks' description of the MAT-file format; See et al. 2020, arXiv:2005.04319.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty, Format, Spare

MAGIC = b"MATLAB 5.0 MAT-file"
HEAD = 128
NAME = "spiketrain"
SIDE = 10
ROWS = SIDE * SIDE + 1
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""What values are stored as, by MATLAB's number of it: whole numbers in as few bytes as they fit into."""
MATRIX, COMPRESSED = 14, 15
COMPLEX = 0x800
PREFIX = 4096
"""A matrix says what it is in fewer bytes."""
PIECE = 1 << 18
"""Bytes inflated and decoded at a time."""
LATEST_S = 2**42


class Decoder:
    """Decode ST-MNIST fed in any pieces; ``sensor`` and ``raw`` change nothing here.

    Other variables are skipped and counted. Bounds: what 256 KiB of the array become, which are 32,768 numbers or, of
    values in single bytes, 262,144.
    """

    def __init__(self, sensor: str | None = None, size: tuple[int, int] | None = None, raw: bool = False) -> None:
        self.size: tuple[int, int] | None = size or (SIDE, SIDE)
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.empty: Empty = Spare()
        self._fed = 0
        self._rest = b""
        self._order = ""
        self._body = 0
        self._inflating: zlib._Decompress | None = None
        self._matrix: _Matrix | None = None
        self._found = False

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Yield arrays (n,) EVENT decoded from these bytes; raises `RecordingError` where the file is another."""
        for at in range(0, len(data), PIECE):
            yield from self._piece(data[at : at + PIECE])

    def _piece(self, data: memoryview) -> Iterator[Array]:
        self._fed += len(data)
        held = self._rest + bytes(data)
        while held:
            if self._body:
                part, held = held[: self._body], held[self._body :]
                self._body -= len(part)
                yield from self._part(part)
            elif len(held) < (8 if self._order else HEAD):
                break
            elif self._order:
                self._begin(held[:8])
                held = held[8:]
            else:
                self._take_header(held)
                held = held[HEAD:]
        self._rest = held

    def _take_header(self, head: bytes) -> None:
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if not head.startswith(MAGIC) or order is None:
            raise RecordingError("no MATLAB 5 file", offset=0, expected=repr(MAGIC), found=repr(head[:19]))
        self._order = order

    def _begin(self, tag: bytes) -> None:
        kind, self._body = (int(one) for one in np.frombuffer(tag, f"{self._order}u4"))
        if kind not in (MATRIX, COMPRESSED):
            raise RecordingError(
                "a variable is none that MATLAB writes",
                offset=self._fed,
                expected=f"{MATRIX} or {COMPRESSED}",
                found=f"{kind}",
            )
        self._matrix = _Matrix(self._order)
        self._inflating = zlib.decompressobj() if kind == COMPRESSED else None
        if kind == MATRIX:
            self._matrix.take(tag)

    def _part(self, part: bytes) -> Iterator[Array]:
        """Yield the events of a part of a variable."""
        while part or (self._inflating is not None and self._inflating.unconsumed_tail):
            plain, part = self._inflated(part)
            if not plain:
                return
            yield from self._values(plain)

    def _inflated(self, part: bytes) -> tuple[bytes, bytes]:
        """Return the next plain bytes, and what is not inflated yet."""
        if self._inflating is None:
            return part, b""
        try:
            plain = self._inflating.decompress(self._inflating.unconsumed_tail + part, PIECE)
        except zlib.error as error:
            raise RecordingError("a variable cannot be inflated: it is damaged", offset=self._fed) from error
        return plain, b""

    def _values(self, plain: bytes) -> Iterator[Array]:
        assert self._matrix is not None
        known = self._matrix.known
        columns = self._matrix.take(plain)
        if self._matrix.known and not known:
            wanted = self._matrix.name == NAME and not self._found
            self._found = self._found or wanted
            self._matrix.open(wanted)
            if not wanted:
                self.skipped["variable"] = self.skipped.get("variable", 0) + 1
            columns = self._matrix.take(b"")
        if len(columns):
            yield from self._events(columns)

    def _events(self, columns: Array) -> Iterator[Array]:
        taxels, seconds = columns[:, :-1], columns[:, -1].astype(np.float64)
        bad = ~((seconds >= 0) & (seconds < LATEST_S)) | ~((taxels == 0) | (taxels == 1) | (taxels == -1)).all(axis=1)
        good = int(bad.argmax()) if bad.any() else len(columns)
        moments, taxel = np.nonzero(taxels[:good])
        if len(moments):
            out = self.empty(len(moments))
            out["t"] = np.rint(seconds[moments] * 1e6)
            out["x"], out["y"] = taxel % SIDE, taxel // SIDE
            out["p"] = taxels[moments, taxel] > 0
            yield out
        if good < len(columns):
            what = "a moment of the spiketrain is none"
            raise RecordingError(what, offset=self._fed, expected="-1, 0 and 1, and a time in seconds")

    def finish(self) -> None:
        """Raise `RecordingError` where there was no spiketrain, or the file is cut."""
        if self._rest or self._body or not self._order:
            raise RecordingError(
                "the recording is cut short",
                offset=self._fed,
                expected=f"{self._body or HEAD:,} bytes more" if self._order else "a header",
            )
        if not self._found:
            what = f"the file holds no '{NAME}'"
            raise RecordingError(
                what, expected="an ST-MNIST recording", found=f"{self.skipped.get('variable', 0)} others"
            )
        if self._matrix is not None and self._matrix.left:
            raise RecordingError(
                "the spiketrain is cut short", offset=self._fed, expected=f"{self._matrix.left:,} bytes more"
            )


class _Matrix:
    """One variable: what it is, then its columns, or nothing where nobody wants them."""

    def __init__(self, order: str) -> None:
        self.name = ""
        self.known = False
        self.left = 0
        """Bytes of values that are still to come."""
        self._order = order
        self._held = b""
        self._dims: tuple[int, ...] = ()
        self._dtype = np.dtype("u1")
        self._wanted = False

    def take(self, data: bytes) -> Array:
        """Return the columns (n, 101) that these bytes complete."""
        none: Array = np.empty((0, ROWS), np.int8)
        if self.known and not self._wanted:
            return none
        self._held += data
        if not self.known:
            self._parse()
            return none
        width = ROWS * self._dtype.itemsize
        used = min(len(self._held), self.left) // width * width
        columns, self._held = self._held[:used], self._held[used:]
        self.left -= used
        return np.frombuffer(columns, self._dtype).reshape(-1, ROWS)

    def open(self, wanted: bool) -> None:
        """Say whether the values are wanted; raises `RecordingError` where they are no spiketrain."""
        self._wanted = wanted
        if not wanted:
            self._held, self.left = b"", 0
        elif len(self._dims) != 2 or self._dims[0] != ROWS or self.left != self._dims[1] * ROWS * self._dtype.itemsize:
            shape = " x ".join(map(str, self._dims))
            raise RecordingError(f"'{NAME}' is none of ST-MNIST", expected=f"{ROWS} rows of numbers", found=shape)

    def _parse(self) -> None:
        """Read what the matrix is, where enough of it is there."""
        at = 8
        parts: list[bytes] = []
        while len(parts) < 3:
            part = self._element(at)
            if part is None:
                self._wait()
                return
            parts.append(self._held[part[1] : part[1] + part[2]])
            at = part[3]
        values = self._element(at, whole=False)
        if values is None:
            self._wait()
            return
        kind, begin, self.left, _ = values
        self._dims = tuple(int(one) for one in np.frombuffer(parts[1][: len(parts[1]) // 4 * 4], f"{self._order}i4"))
        self.name = re.sub(r"[^\w]", "?", parts[2].decode("latin1"))
        flags = int.from_bytes(parts[0][:4], "little" if self._order == "<" else "big")
        if self.name == NAME and (kind not in NUMBERS or flags & COMPLEX):
            raise RecordingError(f"'{NAME}' holds no real numbers", found=f"type {kind}")
        self._dtype = np.dtype(f"{self._order}{NUMBERS.get(kind, 'u1')}")
        self._held = self._held[begin:]
        self.known = True

    def _wait(self) -> None:
        if len(self._held) > PREFIX:
            raise RecordingError("a variable does not say what it is", expected="flags, dimensions, a name")

    def _element(self, at: int, whole: bool = True) -> tuple[int, int, int, int] | None:
        """Return an element's kind, where its bytes begin, how many they are, and where the next one is.

        None where it, or with ``whole`` one of its bytes, is not there yet.
        """
        if len(self._held) < at + 8:
            return None
        kind, size = (int(one) for one in np.frombuffer(self._held[at : at + 8], f"{self._order}u4"))
        if kind >> 16:  # a small one, in the tag itself
            return kind & 0xFFFF, at + 4, min(kind >> 16, 4), at + 8
        end = at + 8 + size
        return None if whole and len(self._held) < end else (kind, at + 8, size, end + -size % 8)


def sniff(head: bytes) -> bool:
    """Return whether a file starts as a MATLAB 5 file does."""
    return head.startswith(MAGIC)


FORMAT = Format("mat", "ST-MNIST (.mat)", (".mat",), sniff, Decoder)
