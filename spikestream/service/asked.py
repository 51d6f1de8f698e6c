"""What belongs to a request, taken key by key under its type: whatever is missing, wrong or unknown is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikestream.errors import ConfigError
from spikestream.wire import Refusal

MOST_TEXT = 1_024
"""Characters of a text: a frame of a client holds no longer one."""


def refusal(error: ConfigError) -> Refusal:
    """Return what to answer, in one line, where a setting or a configuration that was sent cannot be."""
    return Refusal("value", "; ".join([error.what, *error.lines()]))


class Asked:
    """The fields of one request; take them all, then `end`."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)
        self._known: list[str] = []

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text, or the default where there is none."""
        value = self._taken(key, default)
        if type(value) is not str or not value.isprintable() or len(value) > MOST_TEXT:
            raise Refusal(
                "value", f"'{key}' is a text of up to {MOST_TEXT:,} characters that can be printed on one line"
            )
        return value

    def flag(self, key: str) -> bool:
        """Return what is true or false."""
        value = self._taken(key, None)
        if type(value) is not bool:
            raise Refusal("value", f"'{key}' is true or false")
        return value

    def value(self, key: str) -> bool | int | float | str:
        """Return the value of a setting."""
        value = self._taken(key, None)
        if type(value) in (bool, str) or (type(value) is int and abs(value) < 2**63):
            return value  # type: ignore[no-any-return]
        if type(value) is float and math.isfinite(value):
            return value
        raise Refusal("value", f"'{key}' is true, false, a number or a text")

    def lines(self, key: str) -> str:
        """Return a long text, given as one or as a list of its lines; "" where there is none."""
        value = self._taken(key, "")
        parts = value if type(value) is list else [value]
        if not all(type(part) is str for part in parts):
            raise Refusal("value", f"'{key}' is a text, or a list of its lines")
        return "\n".join(parts)

    def end(self) -> None:
        """Refuse what nobody has taken."""
        if unknown := sorted(str(key) for key in self._fields if key not in self._known):
            known = ", ".join(self._known) or "none"
            raise Refusal("key", f"unknown key '{unknown[0]:.80}'; known: {known}")

    def _taken(self, key: str, default: Any) -> Any:
        self._known.append(key)
        value = self._fields.get(key, default)
        if value is None:
            raise Refusal("value", f"'{key}' is missing")
        return value


def below(folder: str, name: str) -> str:
    """Return the path of a file by its name below a folder, wherever links lead; raises `Refusal`."""
    if not folder:
        raise Refusal("folder", "no files may be named here: control.folder is not set")
    top = Path(folder).resolve()
    path = (top / name).resolve()
    if not name or path == top or not path.is_relative_to(top):
        raise Refusal("folder", f"{name!r:.80} is not below the folder of control.folder")
    return str(path)
