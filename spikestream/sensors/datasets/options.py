"""Options of a data set as they come from a URI, as text, each refused with what is allowed instead."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from spikestream.errors import ConfigError
from spikestream.files.datasets.samples import Choice
from spikestream.files.options import check_options

MOST = 2**31 - 1
NUMBERS = {"skip": 0, "take": 1, "held_out": 0, "seed": 0, "epochs": 1}


def whole(key: str, value: int | str, least: int = 0, most: int = MOST) -> int:
    """Return a whole number of ``least`` to ``most``; raises `ConfigError`."""
    try:
        number = int(value) if len(str(value)) <= 20 else most + 1
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        text, allowed = f"{key} cannot be '{value}'", f"whole numbers, {least:,} to {most:,}"
        raise ConfigError(text, key=key, value=value, allowed=allowed)
    return number


def real(key: str, value: float | str, least: float, most: float) -> float:
    """Return a number of ``least`` to ``most``; raises `ConfigError`."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        text, allowed = f"{key} cannot be '{value}'", f"{least:g} to {most:,g}"
        raise ConfigError(text, key=key, value=value, allowed=allowed)
    return number


def microseconds(key: str, value: float | str, least_us: int = 1) -> int:
    """Return a time given in ms, of at most ten minutes, in whole µs; raises `ConfigError`."""
    time_us = real(key, value, least_us / 1_000, 600_000.0) * 1_000
    if abs(time_us - round(time_us)) > 1e-6:
        raise ConfigError(f"{key} = {value} ms is not a whole number of µs", key=key, value=value)
    return round(time_us)


def names(key: str, value: str) -> tuple[str, ...]:
    """Return the names of a list as ``0,3,george`` or ``0-4``, where both ends are numbers; raises `ConfigError`."""
    found: list[str] = []
    for part in str(value).split(","):
        ends = re.fullmatch(r"(\d{1,4})-(\d{1,4})", part.strip())
        found += map(str, range(int(ends[1]), int(ends[2]) + 1)) if ends else [part.strip()]
    if not all(found) or not found:
        raise ConfigError(f"{key} cannot be '{value}'", key=key, value=value, allowed="a list as 0,3 or 0-4")
    return tuple(dict.fromkeys(found))


def choice_of(options: Mapping[str, Any]) -> Choice:
    """Return the choice of samples that a URI's ``options`` make; raises `ConfigError`."""
    check_options("a data set", Choice, options)
    made: dict[str, Any] = {}
    for field in fields(Choice):
        value: Any = options.get(field.name)
        if value is None:
            continue
        if field.name in NUMBERS:
            value = whole(field.name, value, NUMBERS[field.name])
        made[field.name] = names("labels", value) if field.name == "labels" else value
    return Choice(**made)
