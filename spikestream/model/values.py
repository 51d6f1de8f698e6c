"""Numbers that neurons or synapses begin with: one for all, uniform by seed, or each given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ConfigError
from spikestream.model.checks import is_number, refused

Array = NDArray[Any]
FORMS = "a number, [low, high], a nested list, or {values = [...]}"
MOST_GIVEN = 2**29
LARGEST = float(np.finfo(np.float32).max)
"""So that no number is infinite in a network of either dtype."""
BLOCK = 1 << 20
"""So many are drawn at once as float64, before they become numbers of the array's own dtype."""


class Uniform(NamedTuple):
    """Drawn uniformly from [low, high) by seed."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Each given: ``array`` of any shape, read only. Equal to others where all numbers are."""

    array: Array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Values) and np.array_equal(self.array, other.array)


Value = float | Uniform | Values


def value_of(key: str, given: object) -> Value:
    """Return what a key holds; raises `ConfigError` unless it is finite numbers in one of the `FORMS`.

    A flat list of two is a range, not two numbers; arrays of numpy are always each given.
    """
    if isinstance(given, Values | np.ndarray):
        return _each(key, given.array if isinstance(given, Values) else given)
    if isinstance(given, Mapping):
        if list(given) != ["values"]:
            raise refused(key, given, FORMS)
        return _each(key, given["values"])
    if _fits(given):
        return float(given)  # type: ignore[arg-type]  # a number, as just found
    if not isinstance(given, list | tuple) or not given:
        raise refused(key, given, FORMS)
    if isinstance(given[0], list | tuple | np.ndarray):
        return _each(key, given)
    if len(given) != 2 or not all(_fits(item) for item in given):
        raise refused(key, given, FORMS)
    low, high = (float(item) for item in given)
    if low > high:
        raise ConfigError(f"{key} begins above its end", key=key, value=given, allowed="[low, high], low first")
    return Uniform(low, high)


def plain(value: Value) -> Any:
    """Return a value as TOML has it, which `value_of` takes back."""
    if isinstance(value, Values):
        numbers = value.array.tolist()
        return numbers if value.array.ndim > 1 else {"values": numbers}
    return list(value) if isinstance(value, Uniform) else value


def indices_of(key: str, given: object) -> Values:
    """Return a list of whole numbers from 0 on, (n,) int64; raises `ConfigError`."""
    array = given.array if isinstance(given, Values) else np.asarray(given) if _is_row(given) else None
    if array is not None and array.ndim == 1 and not array.size:
        array = array.astype(np.int64)
    if array is None or array.ndim != 1 or array.dtype.kind not in "iu":
        raise refused(key, given, "a list of whole numbers")
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < 2**31:
        raise refused(key, given, "a list of whole numbers from 0 on")
    return _frozen(array.astype(np.int64))


def _fits(given: Any) -> bool:
    return is_number(given) and abs(given) <= LARGEST


def _is_row(given: object) -> bool:
    if isinstance(given, np.ndarray):
        return True
    whole = (int, np.integer)
    return isinstance(given, list | tuple) and all(isinstance(n, whole) and not isinstance(n, bool) for n in given)


def _each(key: str, given: object) -> Values:
    """Return numbers that are each given; those of numpy keep their dtype where it is a float's."""
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RecursionError) as error:  # rows of different lengths, nested too deep
        raise refused(key, given, "rows of equal length") from error
    if array.dtype.kind not in "fiu" or array.size > MOST_GIVEN:
        raise refused(key, given, f"up to {MOST_GIVEN:,} numbers")
    if array.ndim == 0 or not (np.abs(array) <= LARGEST).all():
        raise refused(key, given, f"lists of numbers up to {LARGEST:g}")
    return _frozen(array.astype(array.dtype if array.dtype in (np.float32, np.float64) else np.float64))


def _frozen(array: Array) -> Values:
    array.flags.writeable = False
    return Values(array)


def fill(out: Array, value: float | Uniform, rng: np.random.Generator) -> Array:
    """Fill an array of floats, in C order, with a number or by a draw for each; return it.

    The draws are those of float64 whatever the array's dtype, and need little memory besides it.
    """
    if not isinstance(value, Uniform):
        out.fill(value)
        return out
    flat = out.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        part[...] = value.low + (value.high - value.low) * rng.random(part.size)
    return out
