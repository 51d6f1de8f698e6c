"""JSON of other chips' tools: read whole, and each value asked for by name, kind and range."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ModelError
from spikestream.files.regular import open_regular

REPEATED = "core"
"""A key that NSCS writes once per core, all in one object: its values are read into a list."""


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a file whole; raises `ModelError` where it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise ModelError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error


def parse(data: bytes, what: str) -> Any:
    """Return what JSON text says; raises `ModelError`."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:  # a wrong byte, a wrong letter, a number too long, nested too deep
        raise ModelError(f"{what} is no JSON: {error}") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return what a JSON file says; raises `ModelError`."""
    return parse(read_bytes(path), os.fspath(path))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key == REPEATED:
            made.setdefault(key, []).append(value)
        else:
            made[key] = value
    return made


class Table:
    """A JSON object with the path by which errors name it."""

    def __init__(self, where: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise ModelError(f"{where} is no object of keys and values")
        self.where, self.value = where, value

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def get(self, key: str) -> Any:
        """Return a value that must be there."""
        if key not in self.value:
            raise ModelError(f"{self.where} has no '{key}'")
        return self.value[key]

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number from ``low`` to ``high``; true and false are 1 and 0."""
        value = default if default is not None and key not in self.value else self.get(key)
        if not isinstance(value, int) or not low <= value <= high:
            raise ModelError(f"{self.where}.{key} is {value!r:.40}, not a whole number from {low:,} to {high:,}")
        return int(value)

    def wholes(self, key: str, most: int, low: int, high: int) -> NDArray[Any]:
        """Return up to ``most`` whole numbers from ``low`` to ``high``, int64."""
        return wholes(f"{self.where}.{key}", self.get(key), most, low, high)

    def pair(self, key: str, low: int, high: int) -> tuple[int, int]:
        """Return two whole numbers from ``low`` to ``high``."""
        both = self.wholes(key, 2, low, high)
        if len(both) != 2:
            raise ModelError(f"{self.where}.{key} is not two numbers")
        return int(both[0]), int(both[1])

    def rows(self, key: str, most: int) -> Iterator[tuple[str, Any]]:
        """Yield up to ``most`` entries of a list, each with the path that names it."""
        found = self.get(key)
        if not isinstance(found, list) or len(found) > most:
            raise ModelError(f"{self.where}.{key} is no list of up to {most:,} entries")
        yield from ((f"{self.where}.{key}[{k}]", one) for k, one in enumerate(found))


def wholes(where: str, value: Any, most: int, low: int, high: int) -> NDArray[Any]:
    """Return a list of up to ``most`` whole numbers from ``low`` to ``high``, int64; raises `ModelError`."""
    if isinstance(value, list) and len(value) <= most and all(type(one) is int and low <= one <= high for one in value):
        return np.array(value, np.int64)
    raise ModelError(f"{where} is not up to {most:,} whole numbers from {low:,} to {high:,}")


def sibling(path: str | os.PathLike[str], name: str) -> Path | None:
    """Return the file ``name`` in the folder of ``path``, None where there is none."""
    beside = Path(path).with_name(name)
    return beside if beside.is_file() else None
