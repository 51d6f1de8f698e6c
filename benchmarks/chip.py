"""Chips of 1 to 4,096 cores at 20 Hz with 128 synapses an axon, on one thread, beside the limits of the machine.

    python benchmarks/chip.py [--quick]

Every neuron drives one axon of the chip, each axon once, with a delay of 1 to 15 ticks; half of the crossbar's bits
are set; leak 1, threshold 50, linear reset; weights +1 and -1, two types of axons each. Ours is `ss.Chip` on one batch
of silence a run, CPU seconds, the fastest of some runs. Bounds beside it: one core alone, whose memory is in the
caches, and the bytes a tick must touch at the speed at which one core of the machine reads memory. No other emulator
is compared yet.
"""

from __future__ import annotations

import argparse
import time

import limits
import numpy as np
from common import finish, table

import spikestream as ss
from spikestream.batch import no_spikes
from spikestream.model.crossbar import CrossbarPlacement

SIDE = 256
CORES = {1: 20_000, 64: 2_000, 1024: 200, 4096: 60}
"""How many ticks each number of cores runs, several times."""
TARGETS = {"c64_realtime_factor": 15.0}
TICK_US = 1_000
LINE = 64


def workload(cores: int, seed: int = 1) -> CrossbarPlacement:
    """Return the chip that this file's head describes."""
    rng = np.random.default_rng(seed)
    goal = rng.permutation(cores * SIDE).reshape(cores, SIDE)
    return CrossbarPlacement.of(
        cores,
        SIDE,
        SIDE,
        axon_type=np.tile(np.arange(SIDE) % 4, (cores, 1)),
        synapses=rng.integers(0, 256, (cores, SIDE, SIDE // 8), dtype=np.uint8),
        weights=np.tile(np.array([1, -1, 1, -1], np.int16), (cores, SIDE, 1)),
        leak=1,
        threshold=50,
        floor=2**18 - 1,
        reset_mode=1,
        v0=rng.integers(0, 50, (cores, SIDE)),
        target_core=goal // SIDE,
        target_axon=goal % SIDE,
        delay=rng.integers(1, 16, (cores, SIDE)),
    )


def rate_hz(chip: ss.Chip) -> float:
    """Return the rate of a neuron from what is under way: a spike is there for its delay, 8 ticks in the mean."""
    bits = int(np.unpackbits(chip.state()["ring"].view(np.uint8)).sum())
    return 1e6 / TICK_US * bits / chip.placement.delay.sum()


def tick_us(chip: ss.Chip, ticks: int, rounds: int) -> float:
    """Return the CPU µs of a tick, the fastest of some rounds after one for practice."""
    found, now = [], 0
    for _ in range(rounds + 1):
        begun = time.process_time()
        chip(no_spikes(now * TICK_US, (now + ticks) * TICK_US))
        found.append(1e6 * (time.process_time() - begun) / ticks)
        now += ticks
    return min(found[1:])


def traffic_bytes() -> float:
    """Return the bytes a core touches in a tick: V twice, threshold, floor, leak, weights; four lines for a spike."""
    spikes = SIDE * 20 / 1_000
    return SIDE * (4 + 4 + 4 + 4 + 2 + 8) + spikes * LINE * (1 + 1 + 2) + 2 * LINE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 64 cores, fewer rounds")
    quick = parser.parse_args().quick
    read = limits.memory()["read"]
    rows = [["cores", "x real time", "µs a core and tick", "of one core alone", "of the memory's limit", "Hz"]]
    figures: dict[str, float] = {}
    alone = 0.0
    for cores, ticks in CORES.items():
        if quick and cores > 64:
            continue
        chip = ss.Chip(workload(cores))
        chip.prepare()
        spent = tick_us(chip, ticks, 3 if quick else 7) / cores
        alone = alone or spent
        figures[f"c{cores}_realtime_factor"] = TICK_US / (spent * cores)
        figures[f"c{cores}_core_ticks_per_us"] = 1 / spent
        bound = 1e-3 * traffic_bytes() / read
        share = [f"{alone / spent:.0%}", f"{bound / spent:.0%}" if cores > 64 else "in the caches"]
        rows.append([f"{cores:,}", f"{TICK_US / (spent * cores):,.3g}", f"{spent:.3f}", *share, f"{rate_hz(chip):.1f}"])
    print(f"one core of the machine reads {read:.1f} GB/s\n\n{table(rows)}\n")
    finish(figures, TARGETS)


if __name__ == "__main__":
    main()
