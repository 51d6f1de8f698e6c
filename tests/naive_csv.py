"""Rows of text to events with Python's own decimals, a cell at a time."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np

from spikestream.batch import EVENT

WIDE = Context(prec=400, Emax=10**6, Emin=-(10**6))
FACTORS = {"s": 6, "ms": 3, "us": 0, "ns": -3}


def to_us(text: str, unit: str = "us") -> int:
    """Round a number to whole µs, half to even."""
    value = Decimal(text).scaleb(FACTORS[unit], WIDE)
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN, context=WIDE))


def decode(text: str, order: str = "txyp", unit: str = "us", separator: str | None = None) -> np.ndarray:
    """Decode rows that are all well, comments and blank lines left out."""
    found = []
    for line in text.splitlines():
        if not line.strip() or line.strip()[0] in "#%":
            continue
        row = dict(zip(order, (cell.strip() for cell in line.strip().split(separator)), strict=True))
        on = row["p"].lower() == "true" if row["p"].isalpha() else Decimal(row["p"]) == 1
        found.append((to_us(row["t"], unit), int(Decimal(row["x"])), int(Decimal(row["y"])), on))
    return np.array(found, EVENT)
