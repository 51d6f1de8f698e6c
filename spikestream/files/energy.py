"""Coefficients of energy from the shipped file, or from one of the user's."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from spikestream.errors import ConfigError, nearest
from spikestream.files.regular import open_regular
from spikestream.model.energy import Coefficients

MOST_BYTES = 1 << 20
"""A longer file is no table of coefficients."""


def read_coefficients(name: str, path: str | os.PathLike[str] | None = None) -> Coefficients:
    """Return the table ``name`` of a TOML file, or of the shipped one; raises `ConfigError`."""
    where = shipped() if path is None else path
    tables = _tables(where)
    if name not in tables:
        text = f"there are no coefficients of energy '{name}' in {os.fspath(where)}"
        raise ConfigError(text, key=str(name), allowed=", ".join(tables), nearest=nearest(str(name), tables))
    return Coefficients.from_tables(name, tables[name])


def shipped() -> Path:
    """Return the path of the shipped coefficients; raises `ConfigError` where they are missing."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "share" / "config", package.parent / "config"):
        if (folder / "energy.toml").is_file():
            return folder / "energy.toml"
    text = "the shipped coefficients of energy are missing"
    raise ConfigError(text, key=str(package), remedy="install spikestream again, or name a file of your own")


def _tables(path: str | os.PathLike[str]) -> dict[str, Any]:
    name = os.fspath(path)
    try:
        with open_regular(path) as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ConfigError(f"{name} is no table of coefficients: more than {MOST_BYTES:,} bytes", key=name)
        return tomllib.loads(text.decode())
    except OSError as error:
        raise ConfigError(f"cannot read the coefficients of energy {name}: {error.strerror}", key=name) from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, too many digits, nested too deep
        raise ConfigError(f"{name} is not TOML: {error}", key=name) from error
