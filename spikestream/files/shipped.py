"""What ships with the package beside its code: where it lies, and models that go by a name instead of a path."""

from __future__ import annotations

import os
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
NAME = re.compile(r"[A-Za-z0-9_-]+")


def folder(name: str) -> Path | None:
    """Return a folder such as ``config/models``, of the installed package or of its source tree; None without one."""
    for place in (PACKAGE / "share" / name, PACKAGE.parent / name):
        if place.is_dir():
            return place
    return None


def models() -> dict[str, Path]:
    """Return the models that ship with the package, by name."""
    place = folder("config/models")
    return {path.stem: path for path in sorted(place.glob("*.npz"))} if place else {}


def model_path(name: str | os.PathLike[str]) -> str:
    """Return the path of a model: of a shipped one that goes by this name, unless there is a file of that name."""
    text = os.fspath(name)
    if not NAME.fullmatch(text) or os.path.exists(text):
        return text
    return os.fspath(models().get(text, text))
