"""The time-slot code: in each slot of the interval a spike or none, one bit each.

Layout of an interval, g = guard, w = slot, both in µs; what is left over at the end is guard too::

    | g |  w: bit 0  | g |  w: bit 1  | g | ... |  w: last bit  | g |

A 1 is a spike in the middle of its slot. A spike in a guard may belong to either side: the bits beside it are not known
(NaN) unless they have a spike of their own. So less than half a slot of jitter changes nothing, and up to a guard more
makes bits unknown but never wrong.

Source: MacKay & McCulloch, Bull. Math. Biophys. 14 (1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikestream.batch import Array
from spikestream.errors import SpikestreamError
from spikestream.stages.codes.base import MOST_SPIKES, Code, most_bits, whole


@dataclass(frozen=True, slots=True)
class SlotCode(Code):
    """Bits in slots of ``slot_us`` with ``guard_us`` between them and at both ends. Raises `ConfigError`."""

    slot_us: int = 1000
    guard_us: int = 0

    def __post_init__(self) -> None:
        whole("interval_us", self.interval_us)
        whole("slot_us", self.slot_us)
        whole("guard_us", self.guard_us, least=0, most=max(0, (self.interval_us - self.slot_us) // 2))
        whole("slots in an interval", self.slots, most=MOST_SPIKES)

    @property
    def slots(self) -> int:
        """Return the bits an interval holds."""
        return (self.interval_us - self.guard_us) // (self.slot_us + self.guard_us)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (slots,): a value of this code is a row of bits."""
        return (self.slots,)

    @property
    def jitter_us(self) -> int:
        """Return just below half a slot; ``guard_us`` more is told as unknown."""
        return (self.slot_us - 1) // 2

    @property
    def error(self) -> float:
        """Return 0: bits are exact."""
        return 0.0

    def bits(self) -> float:
        """Return the number of slots."""
        return float(self.slots)

    def spikes(self) -> float:
        """Return half of the slots."""
        return self.slots / 2

    def bits_per_spike(self, density: float = 0.5) -> float:
        """Return the bits a spike carries where bits are 1 with probability ``density``: the rarer, the more."""
        if not 0 < density <= 1:
            raise SpikestreamError(f"density = {density} is out of range", remedy="choose it above 0 and up to 1")
        return most_bits(self.slots, self.slots * density) / (self.slots * density)

    def place(self, values: Array, first: int) -> tuple[Array, Array]:
        """Return the middle of each slot whose bit is nearer to 1."""
        cell, slot = np.nonzero(values.reshape(-1, self.slots) > 0.5)
        return cell, self.guard_us + slot * (self.slot_us + self.guard_us) + self.slot_us // 2

    def read(self, at: Array, cell: Array, cells: int) -> Array:
        """Return bits, NaN beside a spike in a guard."""
        bits = np.zeros((cells, self.slots))
        slot, within = np.divmod(at - self.guard_us, self.slot_us + self.guard_us)
        hit = (within < self.slot_us) & (slot < self.slots)
        between, before = cell[~hit], np.minimum(slot[~hit], self.slots - 1)
        for beside in (before, before + 1):
            there = (beside >= 0) & (beside < self.slots)
            bits[between[there], beside[there]] = np.nan
        bits[cell[hit], slot[hit]] = 1.0
        return bits

    def bits_of(self, data: bytes, axons: int = 1) -> Array:
        """Return bytes as rows for `encode`, (k, axons, slots) uint8: first bit first, 0 in what the last row has over.

        Axon 0 takes the first ``slots`` bits of a row, axon 1 the next ones. Raises `ConfigError`.
        """
        whole("axons", axons, most=2**31 - 1)
        bits = np.unpackbits(np.frombuffer(data, np.uint8))
        row = axons * self.slots
        return np.pad(bits, (0, -len(bits) % row)).reshape(-1, axons, self.slots)

    def bytes_of(self, rows: Array, size: int) -> bytes:
        """Return the first ``size`` bytes of rows of bits; raises `SpikestreamError` where bits are missing or NaN."""
        whole("size", size, least=0)
        bits = np.asarray(rows, np.float64).ravel()[: 8 * size]
        if len(bits) < 8 * size:
            raise SpikestreamError(f"{size} bytes need {8 * size} bits, there are {len(bits)}")
        unknown = np.flatnonzero(np.isnan(bits))
        if len(unknown):
            raise SpikestreamError(f"{len(unknown)} bits are not known, the first of them in byte {unknown[0] // 8}")
        return np.packbits(bits > 0.5).tobytes()
