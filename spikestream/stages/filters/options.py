"""Options of filters: what each may be, read from a mapping of the configuration or from a command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from spikestream.errors import ConfigError, nearest


class Check(NamedTuple):
    """``allowed`` in words; ``read`` returns the value as the filter takes it, None where it is not allowed."""

    allowed: str
    read: Callable[[object], Any]


def number(low: float, high: float, unit: str) -> Check:
    """Allow a number from `low` to `high`, read as float."""

    def read(value: object) -> float | None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return float(value) if fits else None  # type: ignore[arg-type]  # a number, as just found

    return Check(f"a number from {low:,} to {high:,} {unit}", read)


def whole(low: int, high: int) -> Check:
    """Allow a whole number from `low` to `high`."""

    def read(value: object) -> int | None:
        return value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None

    return Check(f"a whole number from {low:,} to {high:,}", read)


def choice(*names: str) -> Check:
    """Allow one of these words."""
    return Check(", ".join(names), lambda value: value if value in names else None)


def either(one: Check, other: Check) -> Check:
    """Allow what `one` or `other` allows."""

    def read(value: object) -> Any:
        taken = one.read(value)
        return other.read(value) if taken is None else taken

    return Check(f"{one.allowed}, or {other.allowed}", read)


def _pair(value: object) -> tuple[int, int] | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    x, y = (COORDINATE.read(v) for v in value)
    return None if x is None or y is None else (x, y)


def _pairs(value: object) -> tuple[tuple[int, int], ...] | None:
    if not isinstance(value, list | tuple):
        return None
    pairs = [_pair(v) for v in value]
    return None if None in pairs else tuple(pair for pair in pairs if pair is not None)


COORDINATE = whole(0, 65_535)
EXTENT = whole(1, 65_536)
FLAG = Check("true, false", lambda value: value if isinstance(value, bool) else None)
PIXELS = Check("a list of pixels [x, y]", _pairs)


def read_options(kind: str, options: type[Any], checks: Mapping[str, Check], row: Mapping[str, object]) -> Any:
    """Return the `options` dataclass of a filter filled from `row`; raises `ConfigError` naming the option."""
    values: dict[str, object] = {}
    for name, value in row.items():
        if name == "kind":
            continue
        if name not in checks:
            raise ConfigError(
                f"filter '{kind}' has no option '{name}'",
                key=f"filter.{kind}.{name}",
                value=value,
                allowed=", ".join(checks),
                nearest=nearest(str(name), checks),
            )
        values[name] = checks[name].read(value)
        if values[name] is None:
            raise refused(kind, name, value, checks[name].allowed)
    for field in fields(options):
        if field.default is MISSING and field.name not in values:
            text = f"filter '{kind}' needs the option '{field.name}'"
            raise ConfigError(text, key=f"filter.{kind}.{field.name}", allowed=checks[field.name].allowed)
    return options(**values)


LARGER = "--size WIDTHxHEIGHT, or sensor.size, where the sensor is larger"


def refused(kind: str, name: str, value: object, allowed: str, remedy: str = "") -> ConfigError:
    """Return the error for a value that an option cannot have."""
    text = f"filter '{kind}': {name} cannot be {value!r}"
    return ConfigError(text, key=f"filter.{kind}.{name}", value=value, allowed=allowed, remedy=remedy)


def _value(text: str) -> object:
    """Return what a word of the command line means: a number, a flag, pixels as 3x4+10x2, else the word itself."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"[0-9]{1,5}x[0-9]{1,5}(\+[0-9]{1,5}x[0-9]{1,5})*", text):
        return [[int(v) for v in pixel.split("x")] for pixel in text.split("+")]
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False}.get(text, text)


def parse_filter(text: str) -> dict[str, object]:
    """Return the row for `Filters` that ``refractory:period_ms=1`` or ``crop:x=10,y=10,width=64,height=64`` means.

    Only the form is read here, kinds and options are checked by `Filters`; raises `ConfigError`.
    """
    kind, _, rest = text.strip().partition(":")
    row: dict[str, object] = {"kind": kind.strip()}
    for part in rest.split(",") if rest else []:
        name, equals, value = (word.strip() for word in part.partition("="))
        if not name or not equals or not value:
            raise ConfigError(f"filter '{text}': '{part}' is not an option", value=text, allowed="KIND:OPTION=VALUE,…")
        if name in row:
            raise ConfigError(f"filter '{text}' gives '{name}' twice", key=f"filter.{row['kind']}.{name}", value=text)
        row[name] = _value(value)
    return row
