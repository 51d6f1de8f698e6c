"""Which column of a table is what: as its header, its user or its first rows say."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise, permutations
from typing import NamedTuple, NoReturn

from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.base.columns import NAMES, whole_unit

POWERS = {"s": 6, "ms": 3, "us": 0, "ns": -3}
"""How many powers of ten lie between a unit of time and µs."""
WORDS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    "us": ("us", "µs", "μs", "usec", "usecs", "microsecond", "microseconds"),
    "ns": ("ns", "nsec", "nsecs", "nanosecond", "nanoseconds"),
}
"""What headers call the units of time."""
TIME_IN = re.compile(rf"({'|'.join(NAMES['t'])})[ _]*[\[(_ ](\w+)[\])]?")
"""A name of t with its unit behind it."""
SIZE = re.compile(r"([xy])@([1-9]\d{0,4})")
"""How faery's headers tell the size of the sensor."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
SWITCH = re.compile(r"true|false|[+-]?[01](\.0*)?(e[+-]?0+)?", re.ASCII | re.IGNORECASE)
MOST = 10
"""So many columns are tried in every order."""
UNIT = "--option unit=us, or s, ms or ns"


class Columns(NamedTuple):
    """What the columns hold: ``roles`` has a letter for each, t, x, y, p or _; ``unit`` of t, perhaps not said."""

    separator: str
    """A comma, a semicolon, or a space for any white space."""
    roles: str
    unit: str | None
    why: str
    size: tuple[int, int] | None = None


def separator_of(line: str) -> str:
    """Return what separates the cells of a line."""
    return next((one for one in ";," if one in line), " ")


def cells(line: str, separator: str) -> list[str]:
    """Return the cells of a line."""
    return line.split() if separator == " " else [cell.strip() for cell in line.split(separator)]


def is_row(line: str) -> bool:
    """Return whether a line has numbers and truth values in all its cells."""
    return all(NUMBER.fullmatch(cell) or SWITCH.fullmatch(cell) for cell in cells(line, separator_of(line)))


def written_otherwise(line: str) -> tuple[str, str]:
    """Return why a line that is no row would be one if it were written otherwise, and what does so; else "" twice."""
    for why, remedy, other in (
        ("its numbers stand in quotes", r"""tr -d \"\'""", line.replace('"', "").replace("'", "")),
        ("its numbers have a comma for a point", "tr , .", line.replace(",", ".")),
        ("its columns are separated by '|'", "tr '|' ,", line.replace("|", ",")),
    ):
        if other != line and is_row(other) and len(cells(other, separator_of(other))) >= len("txyp"):
            return why, f"{remedy} < FILE > plain.csv, and read plain.csv"
    return "", ""


def named(line: str) -> Columns | None:
    """Return what a header line says, None where it does not name t, x, y and p; raises `RecordingError` for two."""
    separator = separator_of(line)
    roles, unit, sides = "", None, {"x": 0, "y": 0}
    for cell in cells(line, separator):
        name = cell.strip("\"'").strip().lower()
        if side := SIZE.fullmatch(name):
            name = side[1]
            sides[name] = int(side[2])
        timed = TIME_IN.fullmatch(name)
        told = next((one for one, words in WORDS.items() if timed and timed[2] in words), None)
        unit = unit or told
        roles += "t" if told else next((role for role, names in NAMES.items() if name in names), "_")
    for role in "txyp":
        if roles.count(role) > 1:
            what = f"the header has {roles.count(role)} columns that may be {role}"
            raise RecordingError(what, found=repr(line[:80]), remedy=say_order(line, []))
    if not set("txyp") <= set(roles):
        return None
    size = (sides["x"], sides["y"]) if all(sides.values()) else None
    return Columns(separator, roles, unit, "as its header names them", size)


def ordered(order: str, separator: str) -> Columns:
    """Return the columns that an option says; raises `ConfigError`."""
    roles = order.strip().lower()
    if sorted(roles.replace("_", "")) != sorted("txyp"):
        allowed = "t, x, y and p once each, and _ for a column to leave out: txyp, xypt, _txyp"
        raise ConfigError(f"'{order}' is no order of columns", key="order", value=order, allowed=allowed)
    return Columns(separator, roles, None, f"as order={order} says")


def order_told(line: str) -> str:
    """Return the order that the words in a header's names speak for, "" where they leave a doubt."""
    roles = ""
    for cell in cells(line, separator_of(line)):
        words = set(re.split(r"[^a-z]+", cell.lower()))
        found = [role for role, names in NAMES.items() if words & {*names}]
        roles += found[0] if len(found) == 1 else "_"
    return roles if sorted(roles.replace("_", "")) == sorted("txyp") else ""


def say_order(header: str, rows: list[list[str]]) -> str:
    """Return what says the columns of a table: an order that its header or its first rows fit, where there is one.

    "" for fewer than four columns, of which no order makes events.
    """
    width = len(rows[0]) if rows else len(cells(header, separator_of(header)))
    if width < len("txyp"):
        return ""
    even = [row for row in rows if len(row) == width]
    told = order_told(header)
    found = [told] if told else fitting(even) if even else []
    if not found:
        return f"--option order=ORDER, {width} letters: t, x, y, p, and _ for a column to leave out"
    several = f", or another of the {len(found)} orders that the first rows fit" if len(found) > 1 else ""
    return f"--option order={found[0]}{several}"


def checked_unit(unit: str | None) -> str | None:
    """Return a unit of time as it is called here; raises `ConfigError`."""
    known = None if unit is None else unit.strip().lower().replace("µ", "u").replace("μ", "u")
    if known is not None and known not in POWERS:
        raise ConfigError(f"'{unit}' is no unit of time", key="unit", value=unit, allowed=", ".join(POWERS))
    return known


def guessed(rows: list[list[str]], separator: str) -> Columns:
    """Return what the only reading of rows without a header is; raises `RecordingError` where there are several.

    See `fitting`.
    """
    if len(rows[0]) != 4:
        what = "a table without a header has four columns, or their order has to be said"
        _refuse(what if len(rows[0]) > 4 else "a table of events has four columns or more", rows, separator)
    found = fitting(rows)
    if len(found) != 1:
        what = f"the rows fit {' and '.join(found)}" if found else "the rows fit no order of t, x, y and p"
        _refuse(f"there is no header, and {what}", rows, separator)
    return Columns(separator, found[0], None, "the one order the first rows fit, x before y")


def fitting(rows: list[list[str]]) -> list[str]:
    """Return the orders of columns that rows of one length fit, such as txyp or _xytp; of very many columns none.

    t never steps back, x and y are whole and below 65,536, x comes first, p has two values at most.
    """
    width = len(rows[0])
    table = [[None if cell[-1:].isalpha() else Decimal(cell) for cell in row] for row in rows]
    fits: dict[str, list[bool]] = {"t": [], "x": [], "p": []}
    for column in zip(*table, strict=True):
        numbers = [value for value in column if value is not None]
        whole = len(numbers) == len(column) and all(value == value.to_integral_value() for value in numbers)
        steps_on = all(a <= b for a, b in pairwise(numbers))
        fits["t"].append(len(numbers) == len(column) and steps_on)
        fits["x"].append(whole and all(0 <= value < 65_536 for value in numbers))
        values = set(numbers)
        fits["p"].append(values <= {0, 1} or values <= {-1, 1})
    fits["y"] = fits["x"]
    found = []
    for places in permutations(range(width), len("txyp")) if width <= MOST else ():
        if places[1] < places[2] and all(fits[role][k] for role, k in zip("txyp", places, strict=True)):
            roles = dict(zip(places, "txyp", strict=True))
            found.append("".join(roles.get(k, "_") for k in range(width)))
    return found


def guessed_unit(times: list[str]) -> tuple[str, str]:
    """Return the unit of time that t has, and why; raises `RecordingError` where it may be one or another.

    Of whole numbers see `whole_unit`. Numbers with a point are s where they have more than three places, as ms of an
    event camera have not, and where less than one lies between two events, as of µs would not.
    """
    if all(text.lstrip("+-").isdigit() for text in times):
        return whole_unit(int(Decimal(times[0])) if times else 0)  # no int(text): it refuses 4,301 digits
    values = [Decimal(text) for text in times]
    places = max(_places(value) for value in values)
    step = (max(values) - min(values)) / max(1, len(values) - 1)
    if len(values) > 1 and places > 3 and step < 1:
        return "s", "with a point, a fraction of a second apart"
    found = ", ".join(times[:3]) + (", …" if len(times) > 3 else "")
    raise RecordingError("the unit of t is not said, and its numbers leave it open", found=found, remedy=UNIT)


def _places(value: Decimal) -> int:
    """Return how many places behind the point a number has, but for noise that a float would have made."""
    if abs(value) >= 10**18:
        return 0
    exponent = value.quantize(Decimal("1e-9")).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _refuse(what: str, rows: list[list[str]], separator: str) -> NoReturn:
    raise RecordingError(
        what,
        expected="a header such as t,x,y,p, or rows that leave no doubt",
        found=repr(separator.join(rows[0])[:80]),
        remedy=say_order("", rows),
    )
