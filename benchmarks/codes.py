"""All codes side by side on the same interval: what they carry, what it costs in spikes, and what jitter leaves of it.

    python benchmarks/codes.py [--quick]

Counted: levels, bits and mean spikes of one interval and axon, the bits of a spike, and the most that a spike could
carry in slots used as often. Measured: the mutual information that is left, in bits, where every spike is moved by
normal jitter of a quarter of a slot and of a whole one, and thousands of values that one core encodes and reads in a
second.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from common import finish, table

import spikestream as ss
from spikestream.stages.codes import Code, most_bits

INTERVAL_US, SLOT_US = 64_000, 2_000
SLOTS = INTERVAL_US // SLOT_US
CODES: dict[str, tuple[Code, int]] = {
    "rate": (ss.RateCode(INTERVAL_US, SLOTS), SLOTS),
    "poisson": (ss.PoissonCode(INTERVAL_US, SLOTS), SLOTS),
    "first spike": (ss.FirstSpikeCode(INTERVAL_US, SLOT_US), SLOTS),
    "interval": (ss.IntervalCode(INTERVAL_US, SLOT_US), SLOTS),
    "phase": (ss.PhaseCode(INTERVAL_US, SLOT_US), SLOTS),
    "phase, 4 cycles": (ss.PhaseCode(INTERVAL_US, SLOT_US, period_us=INTERVAL_US // 4), SLOTS),
    "slots": (ss.SlotCode(INTERVAL_US, SLOT_US), SLOTS),
    "slots, guard": (ss.SlotCode(INTERVAL_US, SLOT_US // 2, guard_us=SLOT_US // 2), SLOTS - 1),
}
"""Each code with the number of slots it uses."""


def information(sent: np.ndarray, heard: np.ndarray) -> float:
    """Return the mutual information of two columns in bits, with Miller and Madow's correction."""

    def entropy(column: np.ndarray) -> float:
        counts = np.unique(column, return_counts=True)[1]
        q = counts / len(column)
        return float(-(q * np.log2(q)).sum() + (len(q) - 1) / (2 * len(column) * np.log(2)))

    numbers = [np.unique(column, return_inverse=True)[1].ravel() for column in (sent, heard)]
    return entropy(numbers[0]) + entropy(numbers[1]) - entropy(numbers[0] * (numbers[1].max() + 1) + numbers[1])


def messages(code: Code, rows: int) -> np.ndarray:
    """Return rows of random values on the levels of the code, all equally likely, (rows, 1, ...)."""
    rng = np.random.default_rng(1)
    if code.shape:
        return rng.integers(0, 2, (rows, 1, *code.shape)).astype(float)
    circle = isinstance(code, ss.PhaseCode)
    levels = round(0.5 / code.error) + (not circle) if code.error and code.jitter_us else SLOTS + 1
    return rng.integers(0, levels, (rows, 1)) / (levels if circle else levels - 1)


def left(code: Code, values: np.ndarray, sigma_us: float) -> float:
    """Return the bits of an interval that are read after jitter; of slots, as the sum over their bits."""
    spikes = code.encode(values)
    t = spikes.t + np.rint(np.random.default_rng(2).normal(0, sigma_us, len(spikes))).astype(np.int64)
    jittered = replace(spikes, t=np.clip(np.sort(t), spikes.start, spikes.stop - 1))
    heard = ss.CodeReadout(code, 1)(jittered).rows
    flat = (column.reshape(len(values), -1).T for column in (values, heard))
    return sum(information(a, b) for a, b in zip(*flat, strict=True))


def thousands_a_second(code: Code, rows: int) -> float:
    """Return thousands of values encoded and read in a second, 256 axons at once."""
    values = messages(code, rows * 256).reshape(rows, 256, *code.shape)
    begun = time.perf_counter()
    ss.CodeReadout(code, 256)(code.encode(values))
    return rows * 256 / (time.perf_counter() - begun) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer values: jitter columns are then off by more")
    rows = 10_000 if parser.parse_args().quick else 100_000
    print(f"interval {INTERVAL_US / 1000:g} ms, slot {SLOT_US / 1000:g} ms; bits and spikes of one interval and axon")
    heads = [
        "code",
        "bits",
        "spikes",
        "bits/spike",
        "at most",
        "exact to",
        "left at 1/4 slot",
        "at 1 slot",
        "k values/s",
    ]
    lines, figures = [heads], {}
    for name, (code, slots) in CODES.items():
        values = messages(code, rows)
        quarter, one = (left(code, values, SLOT_US * part) for part in (0.25, 1))
        bound = most_bits(slots, code.spikes()) / code.spikes()
        each, speed = code.bits_per_spike(), max(thousands_a_second(code, 20) for _ in range(3))
        counted = [f"{code.bits():.2f}", f"{code.spikes():.2f}", f"{each:.2f}", f"{bound:.2f}", f"{code.jitter_us} µs"]
        lines.append([name, *counted, f"{quarter:.2f}", f"{one:.2f}", f"{speed:,.0f}"])
        key = name.replace(", ", "_").replace(" ", "_")
        figures |= {f"{key}_bits_per_spike": each, f"{key}_bits_left_at_a_slot": one, f"{key}_k_values_per_s": speed}
    print(table(lines))
    finish({name: round(value, 3) for name, value in figures.items()}, {})


if __name__ == "__main__":
    main()
