"""The corpus: of every format some small files, most of them damaged, that together reach all its lines."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
LARGEST = 8192
"""Bytes of one of its files."""


def keep(name: str, folder: Path) -> None:
    pass
