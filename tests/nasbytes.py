"""NAS recordings for tests: bytes written from the specification, and a naive decoder of columns."""

from __future__ import annotations

import struct

import numpy as np
from naive_clock import unwrapped

from spikestream.batch import EVENT


def records(rows, width: int = 4) -> bytes:
    """Return the bytes of rows (address, tick)."""
    return b"".join(struct.pack(">HI" if width == 2 else ">II", *row) for row in rows)


def sound(n: int, *, sides: int = 2, bands: int = 16, width: int = 4, seed: int = 1) -> bytes:
    """Return n spikes all over the layout in some milliseconds, with two localisation events every 16 records."""
    rng = np.random.default_rng(seed)
    addresses = rng.integers(0, 2 * bands * sides, n)
    addresses[5::16] = 0x8002
    addresses[11::16] = 0xC002
    ticks = np.cumsum(rng.integers(0, 90, n))
    return records(zip(addresses.tolist(), ticks.tolist(), strict=True), width)


def naive(data: bytes, *, sides: int, bands: int, width: int, tick: tuple[int, int], raw: bool = False) -> np.ndarray:
    """Return the spikes (n,) EVENT of whole records without a header; ``tick`` is the µs of a count as a fraction."""
    table = np.frombuffer(data, np.uint8).astype(np.int64).reshape(-1, width + 4)
    addresses = sum(table[:, i] << 8 * (width - 1 - i) for i in range(width))
    stamps = sum(table[:, width + i] << 8 * (3 - i) for i in range(4))
    ticks = np.array(unwrapped(stamps.tolist()))
    spikes = addresses < 2 * bands * sides
    addresses, ticks = addresses[spikes], ticks[spikes]
    found = np.empty(len(addresses), EVENT)
    found["t"] = ticks * tick[0] // tick[1]
    side, rest = np.divmod(addresses, 2 * bands)
    band, sign = np.divmod(rest, 2)
    found["x"], found["y"], found["p"] = band if raw else bands - 1 - band, side, sign == 0
    return found
