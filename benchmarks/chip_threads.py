"""Chips of many cores on one thread and on two, at 20 Hz, and with parameters that cores share or have of their own.

    python benchmarks/chip_threads.py [--quick]

The chips are those of `benchmarks/chip.py`. A tick is timed by the clock on the wall, over batches of silence that
alternate between the contestants; the median of the rounds is told. "own parameters" is one thread on a chip whose
cores have one different weight, threshold, floor and leak each, so that nothing of them can be kept once for all.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from chip import TICK_US, workload
from common import finish, medians, table

import spikestream as ss
from spikestream.batch import no_spikes
from spikestream.model.crossbar import CrossbarPlacement

CORES = {16: 4_000, 64: 1_000, 256: 250, 1024: 60, 4096: 20}
"""How many ticks each number of cores runs at once."""
TARGETS = {"c4096_two_threads_realtime_factor": 1 / 3}


def of_their_own(placement: CrossbarPlacement) -> CrossbarPlacement:
    """Return the chip with one neuron of each core a little different from all others."""
    core = np.arange(placement.cores)
    neuron, more = core % placement.neurons, 1 + core // placement.neurons
    changed = {name: np.array(getattr(placement, name)) for name in ("threshold", "floor", "leak")}
    for array in changed.values():
        array[core, neuron] -= more
    weights = np.array(placement.weights)
    weights[core, neuron, 0] += more
    return replace(placement, weights=weights, **changed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="up to 256 cores, fewer rounds")
    quick = parser.parse_args().quick
    rows = [["cores", "one thread, ms a tick", "two threads", "own parameters", "gain", "x real time on two"]]
    figures: dict[str, float] = {}
    for cores, ticks in CORES.items():
        if quick and cores > 256:
            continue
        placement = workload(cores)
        chips = {"one": ss.Chip(placement), "two": ss.Chip(placement, threads=2)}
        chips["own"] = ss.Chip(of_their_own(placement))
        now = dict.fromkeys(chips, 0)

        def tick_ms(name: str, chips: dict[str, ss.Chip] = chips, now: dict[str, int] = now, n: int = ticks) -> float:
            begun = time.perf_counter()
            chips[name](no_spikes(now[name] * TICK_US, (now[name] + n) * TICK_US))
            now[name] += n
            return 1e3 * (time.perf_counter() - begun) / n

        for name in chips:  # for practice
            tick_ms(name)
        found = medians(5 if quick else 15, {name: lambda name=name: tick_ms(name) for name in chips})
        figures[f"c{cores}_two_threads_gain"] = found["one"] / found["two"]
        figures[f"c{cores}_two_threads_realtime_factor"] = TICK_US / 1e3 / found["two"]
        figures[f"c{cores}_own_parameters_vs_shared"] = found["one"] / found["own"]
        times = [f"{found[name]:.3g}" for name in ("one", "two", "own")]
        rows.append([f"{cores:,}", *times, f"{found['one'] / found['two']:.2f}", f"{1 / found['two']:.3g}"])
    print(f"{table(rows)}\n")
    finish(figures, TARGETS)


if __name__ == "__main__":
    main()
