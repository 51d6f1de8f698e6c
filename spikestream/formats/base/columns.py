"""Events in columns of other people's names, orders, types and units, made into ours.

What a file does not say is told from its first rows where these leave no doubt, and then told to the reader as a
note or a warning; otherwise it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from spikestream.batch import LIMIT_US, Array
from spikestream.errors import ConfigError, RecordingError, nearest
from spikestream.formats.base import Empty
from spikestream.formats.base.extent import Extent

PLAIN = {
    "t": ("t", "ts", "time", "timestamp", "timestamps", "times"),
    "x": ("x", "xs", "x_pos", "x_coordinate", "col"),
    "y": ("y", "ys", "y_pos", "y_coordinate", "row"),
    "p": ("p", "ps", "pol", "pols", "polarity", "polarities", "on", "is_on"),
}
NAMES = {
    column: (*names, *(f"{whose}_{name}" for whose in ("event", "events") for name in names))
    for column, names in PLAIN.items()
}
"""What the columns are called in files of the field."""
UNITS = {"ns": (1, 1_000), "us": (1, 1), "ms": (1_000, 1), "s": (1_000_000, 1)}
"""Microseconds of one, as a fraction."""
SHOWN = {"us": "µs"}
NANOSECONDS = range(10**18, 42 * 10**17)
"""What counts in ns since 1970 in the years 2001 to 2103; as µs these were 30,000 years and more."""
SIZES = (
    *((34, 34), (128, 128), (240, 180), (304, 240), (320, 240), (346, 260), (640, 480)),
    *((1280, 720), (1280, 800), (1920, 1080), (2048, 2048), (65536, 65536)),
)
"""Usual sizes, and all that an event can hold."""
ORDER = "--option order=xytp, as the columns of the array stand; what has names needs such a p before it is read"
OPTIONS = {
    "order": "the columns of a plain array, such as txyp or xytp",
    "unit": "the unit of time: ns, us, ms or s",
}


def named(names: Iterable[str]) -> dict[str, str] | None:
    """Return what t, x, y and p are called among these names, None where one of them is missing."""
    by_case = {name.lower(): name for name in names}
    found = {}
    for column, known in NAMES.items():
        name = next((one for one in known if one in by_case), None)
        if name is None:
            return None
        found[column] = by_case[name]
    return found


def whole_unit(first: int) -> tuple[str, str]:
    """Return the unit of time that whole numbers have, of which this is the first, and why.

    They are µs, as everywhere in the field, or ns where they count since 1970.
    """
    return ("ns", "whole numbers, counted since 1970") if first in NANOSECONDS else ("us", "whole numbers")


def check_order(order: str | None) -> None:
    """Raise `ConfigError` for what is no order of the four columns."""
    if order is not None and sorted(order) != sorted("txyp"):
        allowed = "t, x, y and p, each once, such as txyp or xytp"
        raise ConfigError(f"order = {order} names no four columns", key="order", value=order, allowed=allowed)


def told_order(rows: Array) -> str:
    """Return the order that the first rows (n, 4) of an array leave no doubt of, as such as ``xytp``.

    p is the only column of two values as polarities are, t the only other one that never steps back; x comes before
    y. Raises `RecordingError` where that is not so.
    """
    columns = range(4)
    p = [
        i for i in columns if len(rows) and any(np.isin(rows[:, i], values).all() for values in ((-1, 0, 1), (0, 255)))
    ]
    t = [i for i in columns if i not in p and np.all(rows[1:, i] >= rows[:-1, i])]
    if len(p) != 1 or len(t) != 1:
        raise RecordingError(
            "the order of the four columns cannot be told from their values",
            expected="one of polarities, one of times that never steps back",
            found=f"{len(p)} and {len(t)}",
            remedy="--option order=txyp or --option order=xytp, as it is",
        )
    rest = iter("xy")
    return "".join("p" if i in p else "t" if i in t else next(rest) for i in columns)


class Columns:
    """Arrays of t, x, y, p of any type into events (n,) EVENT, of one recording.

    ``unit`` is that of t; where it is None, it is told from the first rows: whole numbers as `whole_unit` does, others
    are seconds where they have fractions, and fractions that only come later an error. t is rounded to µs, half to
    even. Polarities are 0 and 1, -1 and 1, 0 and 255, or truth values. ``size``, where it is known, stays; else it
    grows with the events. ``warnings`` collects what had to be guessed, ``notes`` what was taken for granted.
    """

    def __init__(self, warnings: list[str], size: tuple[int, int] | None, unit: str | None) -> None:
        if unit is not None and unit not in UNITS:
            allowed, close = ", ".join(UNITS), nearest(unit, UNITS)
            raise ConfigError(f"unknown unit '{unit}'", key="unit", value=unit, allowed=allowed, nearest=close)
        self.warnings = warnings
        self.notes: list[str] = []
        self.done = 0
        """How many rows were taken so far."""
        self.unit = unit
        """The unit of t, None where it is not known and there were no events yet."""
        self._whole = False  # whether the unit was told from t that are stored as fractions and have none
        self._on = 0  # what stands for ON, 1 or 255, once one has come
        self._known = size
        self._extent = Extent(SIZES, size, warnings)

    @property
    def size(self) -> tuple[int, int] | None:
        """Return the size, None where it is not known and there were no events yet."""
        return self._extent.size if self._known or self.done else None

    def events(self, columns: Mapping[str, Array], empty: Empty, base_us: int = 0) -> Iterator[Array]:
        """Yield the events of columns t, x, y, p, each (n,), times after ``base_us`` µs, in memory from ``empty``.

        Raises `RecordingError`, after the good ones, for the first that is none.
        """
        t, x, y, p = (columns[name] for name in "txyp")
        for name, column in zip("txyp", (t, x, y, p), strict=True):
            if column.dtype.kind not in "biuf" or column.ndim != 1:
                what = f"column {name} holds no numbers"
                raise RecordingError(what, expected="a number a row", found=f"{column.dtype} of shape {column.shape}")
        if not len(t):
            return
        unit = self._told_unit(t) if self.unit is None else self.unit
        self.unit = unit
        whole = _whole(t) if self._whole else len(t)
        stored, t = t, _micros(t, unit, base_us)
        sound = min(whole, _legal(t, -LIMIT_US, LIMIT_US - 1), _legal(x, 0, 0xFFFF), _legal(y, 0, 0xFFFF))
        good = min(sound, self._polarities(p))
        if good:
            out = empty(good)
            out["t"], out["x"], out["y"], out["p"] = t[:good], x[:good], y[:good], p[:good] > 0
            yield from self.ready(out)
        if good < sound:
            raise RecordingError(
                f"row {self.done:,} is no event: its p is no polarity",
                expected="0 and 1, -1 and 1, 0 and 255, or false and true",
                found=f"p {p[good]}" + (f" in a column with {self._on}" if self._on else ""),
                details=["a column of other values is mostly not p, but another one"],
                remedy=ORDER,
            )
        if good < len(t) and good == whole:
            raise RecordingError(
                f"row {self.done:,} is no event: its t has a fraction",
                expected=f"whole numbers, as the rows before have, which were taken as {SHOWN.get(unit, unit)}",
                found=f"t {stored[good]}",
                remedy="--option unit=s, where t is in s",
            )
        if good < len(t):
            raise RecordingError(
                f"row {self.done:,} is no event",
                expected="-2^62 <= t < 2^62 µs, whole x and y of 0 to 65,535",
                found=f"t {t[good]}, x {x[good]}, y {y[good]}",
            )

    def ready(self, events: Array) -> Iterator[Array]:
        """Yield events (n > 0,) EVENT as they are, and make room for them in the size."""
        self._extent.fit(events)
        self.done += len(events)
        yield events

    def _polarities(self, p: Array) -> int:
        """Return how many values come before the first that is no polarity beside those before it."""
        if p.dtype.kind == "b":
            return len(p)
        low, high = p.min(), p.max()
        on = self._on or (255 if high == 255 else 1)
        legal = (-1, 0, 1) if on == 1 else (0, 255)
        plain = on == 1 and low >= -1 and high <= 1 and (p.dtype.kind != "f" or np.all(p == np.rint(p)))
        if not plain and (bad := ~np.isin(p, legal)).any():
            first = int(bad.argmax())
            self._on = self._on or (on if np.any(p[:first] == on) else 0)
            return first
        self._on = on if high == on else self._on
        return len(p)

    def _told_unit(self, t: Array) -> str:
        """Return the unit that the first rows tell, and take note of why."""
        if t.dtype.kind != "f":
            unit, why = whole_unit(int(t[0]))
            self.notes.append(f"t in {SHOWN.get(unit, unit)} ({why})")
            return unit
        finite = t[np.isfinite(t)]
        self._whole = _whole(t) == len(t)
        unit = whole_unit(int(finite[0]) if len(finite) else 0)[0] if self._whole else "s"
        why = "none" if self._whole else "fractions"
        self.warnings.append(f"t is stored as a fraction and has {why}: taken as {unit}; --option unit= says otherwise")
        return unit


def _micros(t: Array, unit: str, base_us: int) -> Array:
    """Return stamps (n,) in µs, rounded half to even, as whole numbers where they fit into such."""
    times, parts = UNITS[unit]
    if t.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            micros: Array = np.rint(t.astype(np.float64) * times / parts) + base_us
        return micros
    if parts > 1:
        t = _rounded(t if t.dtype == np.uint64 else t.astype(np.int64), parts)
    if t.dtype == np.uint64 and int(t.max()) >= LIMIT_US:
        return t
    if times == 1 and not base_us:
        return t
    if abs(int(t.min())) > (bound := (LIMIT_US - abs(base_us)) // times) or abs(int(t.max())) > bound:
        return t.astype(np.float64) * times
    return t.astype(np.int64) * times + base_us


def _rounded(t: Array, parts: int) -> Array:
    """Return whole numbers (n,) divided by an even number, to the nearest one, of two the even one."""
    micros, rest = np.divmod(t, parts)
    micros += (rest > parts // 2) | ((rest == parts // 2) & (micros & 1 == 1))
    return micros


def _whole(t: Array) -> int:
    """Return how many values come before the first that has a fraction."""
    bad = np.isfinite(t) & (t != np.rint(t))
    return int(bad.argmax()) if bad.any() else len(t)


def _legal(column: Array, low: int, high: int) -> int:
    """Return how many values come before the first that is no whole number of low..high."""
    if column.dtype.kind == "b" or (column.dtype.kind == "u" and int(np.iinfo(column.dtype).max) <= high):
        return len(column)
    if column.dtype.kind in "iu" and column.dtype.itemsize < 8 and low < 0:
        return len(column)
    if low <= column.min() and column.max() <= high and (column.dtype.kind != "f" or np.all(column == np.rint(column))):
        return len(column)
    bad = ~((column >= low) & (column <= high))
    if column.dtype.kind == "f":
        bad |= column != np.rint(column)
    return int(bad.argmax()) if bad.any() else len(column)


def split(rows: Array, order: Sequence[str]) -> dict[str, Array]:
    """Return rows (n, 4) as columns by name."""
    return {name: rows[:, i] for i, name in enumerate(order)}
