"""What parts of a model may be: names, whole numbers, texts and parameters, each refused by its key."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from spikestream.errors import ConfigError, nearest

MOST_SEED = 2**63 - 1
NAME = "letters, digits and _, up to 64"
PARAMETER = "a finite number, true, false, or a text"


def refused(key: str, value: object, allowed: str, near: str = "") -> ConfigError:
    """Return the error for a value that a key cannot have."""
    text = f"{key} cannot be {reprlib.repr(value)}"
    return ConfigError(text, key=key, value=value, allowed=allowed, nearest=near)


def is_number(value: object) -> bool:
    """Return whether this is a finite number, of Python or of numpy; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an int with more digits than a float can hold
        return False


def name_of(key: str, value: object) -> str:
    """Return a name; raises `ConfigError`."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_]{1,64}", value):
        return value
    raise refused(key, value, NAME)


def text_of(key: str, value: object, *, empty: bool = False) -> str:
    """Return a text that can be printed, not an empty one unless ``empty``; raises `ConfigError`."""
    if isinstance(value, str) and (value or empty) and value.isprintable():
        return value
    raise refused(key, value, "a text")


def whole_of(key: str, value: object, low: int, high: int) -> int:
    """Return a whole number from ``low`` to ``high``; raises `ConfigError`."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and low <= value <= high:
        return int(value)
    raise refused(key, value, f"a whole number from {low:,} to {high:,}")


def number_of(key: str, value: object, low: float, high: float) -> float:
    """Return a number from ``low`` to ``high``; raises `ConfigError`."""
    if is_number(value) and low <= float(value) <= high:  # type: ignore[arg-type]  # a number, as just found
        return float(value)  # type: ignore[arg-type]
    raise refused(key, value, f"a number from {low:,} to {high:,}")


def flag_of(key: str, value: object) -> bool:
    """Return true or false; raises `ConfigError`."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise refused(key, value, "true, false")


def choice_of(key: str, value: object, known: Collection[str]) -> str:
    """Return one of the known words; raises `ConfigError` with the nearest."""
    if isinstance(value, str) and value in known:
        return value
    raise refused(key, value, ", ".join(known), nearest(str(value), known))


def params_of(key: str, given: object, reserved: Iterable[str] = ()) -> dict[str, Any]:
    """Return a copy of a mapping from names to numbers, flags or texts, of Python; raises `ConfigError`."""
    if not isinstance(given, Mapping):
        raise refused(key, given, "a table of names and values")
    for name in given:
        name_of(f"{key}.{reprlib.repr(name)}", name)
        if name in reserved:
            raise ConfigError(f"'{name}' is no parameter but a key of its own", key=f"{key}.{name}", value=name)
    return {name: _plain(f"{key}.{name}", value) for name, value in given.items()}


def _plain(key: str, value: object) -> bool | int | float | str:
    if isinstance(value, str):
        return text_of(key, value, empty=True)
    if isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer) and abs(int(value)) < 2**63:
        return int(value)
    if isinstance(value, float | np.floating) and is_number(value):
        return float(value)
    raise refused(key, value, PARAMETER)


def known_keys(where: str, given: object, known: Collection[str]) -> Mapping[str, Any]:
    """Return a table of which all keys are known; raises `ConfigError` with the nearest key."""
    if not isinstance(given, Mapping):
        raise refused(where, given, "a table")
    for key in given:
        if key not in known:
            path = f"{where}.{key}" if where else str(key)
            near = nearest(str(key), known)
            near = f"{where}.{near}" if where and near else near
            allowed = ", ".join(known)
            raise ConfigError(f"unknown key '{path}'", key=path, value=given[key], allowed=allowed, nearest=near)
    return given
