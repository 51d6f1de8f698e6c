"""Rows of text to events with Python's own decimals, a cell at a time; and how tests feed a decoder with text."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np

from spikestream.batch import EVENT
from spikestream.formats.base import ended
from spikestream.formats.csv import Decoder

HEADER = "t,x,y,p\n"
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


def read(decoder: Decoder, text: str | bytes, step: int = 0, found: list[np.ndarray] | None = None) -> np.ndarray:
    """Feed in pieces of `step` bytes, 0 for one piece, and finish; return all events, put into `found` as they come."""
    data = text.encode() if isinstance(text, str) else text
    found = [] if found is None else found
    for at in range(0, len(data), step or max(1, len(data))):
        found.extend(decoder.feed(memoryview(data)[at : at + (step or len(data))]))
    found.extend(ended(decoder))
    return np.concatenate([np.empty(0, EVENT), *found])


def rows(*lines: str) -> str:
    return "".join(line + "\n" for line in lines)
