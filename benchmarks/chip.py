"""Chips of 1 to 4,096 cores at 20 Hz with 128 synapses an axon, beside other emulators and the limits of the machine.

    python benchmarks/chip.py [--quick]

Every neuron drives one axon of the chip, each axon once, with a delay of 1 to 15 ticks; half of the crossbar's bits
are set; leak 1, threshold 50, linear reset; weights +1 and -1, two types of axons each. Ours is `ss.Chip` on one batch
of silence a run: CPU seconds on one thread, those on the wall on two.

Peers, in the environments that `make peers` makes, run the same crossbars, potentials and targets with a delay of a
tick and a reset to 0, which is what all of them have: the same work a spike, and less of it. That it is the same is
seen by its spikes: with that delay and reset ours must give the very same ones, or the peer is not compared. They take
turns with ours, round by round, and medians are compared. They run 1 and 64 cores only: at 1,024 SANA-FE would keep an
object for each of 34 million synapses, nengo-loihi a million groups of axons, and a tick of either or of lava is a
second and more.

Limits: a row of the crossbar to add for each active axon and a pass over the neurons of a core, all in the caches; and
the bytes a tick must touch at the speed at which the machine reads memory.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import limits
import numpy as np
from common import finish, table
from numba import njit
from workloads import fingerprint

import spikestream as ss
from spikestream.batch import no_spikes
from spikestream.kernels.crossbar_loops import count_row, integrate_and_leak
from spikestream.model.crossbar import CrossbarPlacement

HERE = Path(__file__).resolve().parent
WAYS = ("nengoloihi cores", "nengoloihi whole", "lava whole", "sanafe cores")
"""Peers, and in which of the ways that their runners describe; the first of a peer's is the one compared."""
SIDE, THRESHOLD, LEAK, RATE_HZ = 256, 50, 1, 20
CORES = {1: 20_000, 64: 2_000, 1024: 200, 4096: 60}
"""How many ticks each number of cores runs, several times."""
PEER_TICKS = {1: 1_000, 64: 100}
LONGEST_S = 300
"""A peer that has not ended by then is not compared."""
TARGETS = {
    "c64_realtime_factor": 15.0,
    "c4096_two_threads_realtime_factor": 1 / 3,
    "c64_vs_lava": 90.0,
    "c64_vs_nengoloihi": 500.0,
}
TICK_US = 1_000
LINE, ROWS = 64, 16
"""Bytes of a line of the caches; rows of a ring."""


# The workload, and ours.


def workload(cores: int, seed: int = 1, *, as_peers: bool = False) -> CrossbarPlacement:
    """Return the chip that this file's head describes, with a delay of one and a reset to 0 `as_peers` have."""
    rng = np.random.default_rng(seed)
    goal = rng.permutation(cores * SIDE).reshape(cores, SIDE)
    delay = rng.integers(1, 16, (cores, SIDE))
    return CrossbarPlacement.of(
        cores,
        SIDE,
        SIDE,
        axon_type=np.tile(np.arange(SIDE) % 4, (cores, 1)),
        synapses=rng.integers(0, 256, (cores, SIDE, SIDE // 8), dtype=np.uint8),
        weights=np.tile(np.array([1, -1, 1, -1], np.int16), (cores, SIDE, 1)),
        leak=LEAK,
        threshold=THRESHOLD,
        floor=2**18 - 1,
        reset_mode=0 if as_peers else 1,
        v0=rng.integers(0, THRESHOLD, (cores, SIDE)),
        target_core=goal // SIDE,
        target_axon=goal % SIDE,
        delay=np.ones_like(delay) if as_peers else delay,
    )


def chip_of(cores: int, threads: int = 1) -> ss.Chip:
    """Return a chip that has run for a while."""
    chip = ss.Chip(workload(cores), threads=threads)
    chip.prepare()
    chip(no_spikes(0, ROWS * TICK_US))
    return chip


def rate_hz(chip: ss.Chip) -> float:
    """Return the mean rate of its neurons."""
    now = chip.counters
    return 1e6 / TICK_US * now["spikes"] / now["neuron_updates"]


def tick_us(chip: ss.Chip, ticks: int, clock: Callable[[], float] = time.process_time) -> float:
    """Return the µs of a tick, which follows what the chip has run already."""
    now = int(chip.state()["next"]) * TICK_US
    begun = clock()
    chip(no_spikes(now, now + ticks * TICK_US))
    return 1e6 * (clock() - begun) / ticks


def our_spikes(placement: CrossbarPlacement, length: int) -> tuple[int, str]:
    """Return how many spikes all neurons give, and their fingerprint, where each is under way for a tick."""
    chip, seen = ss.Chip(placement), []
    source = np.argsort((placement.target_core * SIDE + placement.target_axon).ravel())
    for tick in range(length):
        chip(no_spikes(tick * TICK_US, (tick + 1) * TICK_US))
        due = chip.state()["ring"][:, (tick + 1) % ROWS].reshape(-1).view(np.uint8)
        seen.append(np.sort(source[np.unpackbits(due, bitorder="little").astype(bool)]))
    neurons = np.concatenate(seen)
    return len(neurons), fingerprint(np.repeat(np.arange(length), [len(part) for part in seen]), neurons)


# Peers.


def save(path: Path, placement: CrossbarPlacement, length: int) -> None:
    """Write a chip as the runners read it."""
    bits = np.unpackbits(placement.synapses, axis=2, bitorder="little").astype(np.int8)
    sign = placement.weights[0, 0][placement.axon_type].astype(np.int8)
    target = (placement.target_core * SIDE + placement.target_axon).ravel()
    sizes = {"cores": placement.cores, "side": SIDE, "length": length, "dt_ms": TICK_US / 1_000}
    law = {"threshold": THRESHOLD, "leak": LEAK, "v0": placement.v0.ravel()}
    np.savez(path, matrix=bits * sign[:, :, None], target=target, **sizes, **law)


def peer(way: str, file: Path) -> dict[str, float]:
    """Run a peer in its environment; raises SubprocessError, OSError or ValueError where it fails or takes too long."""
    name, formulation = way.split()
    python = HERE.parent / ".peers" / name / "bin" / "python"
    command = [python, HERE / f"peer_{name}.py", formulation, file]
    one = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, env=one, **pipes) as process:
        try:
            out, complaints = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and those that it started
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, f"peer_{name}.py", out, complaints)
    answer: dict[str, float] = json.loads(out.strip().rpartition("\n")[2])
    return answer


def installed() -> list[str]:
    """Return the ways of the peers that are there, and name the others."""
    names = {way.split()[0] for way in WAYS}
    there = {name for name in names if (HERE.parent / ".peers" / name / "complete").exists()}
    for name in sorted(names - there):
        print(f"not compared: {name} is not in .peers/{name}; make peers puts it there where it can be installed")
    return [way for way in WAYS if way.split()[0] in there]


def race(chip: ss.Chip, ways: Sequence[str], rounds: int) -> tuple[list[float], dict[str, list[dict[str, float]]]]:
    """Let ours and the peers take turns; return µs a tick of ours and the answers of each peer that never failed."""
    cores, ours = chip.placement.cores, []
    answers: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chip.npz"
        save(file, workload(cores, as_peers=True), PEER_TICKS[cores])
        for _ in range(rounds):
            ours.append(tick_us(chip, CORES[cores]))
            for way in list(answers):
                try:
                    answers[way].append(peer(way, file))
                except (subprocess.SubprocessError, OSError, ValueError) as error:
                    said = (getattr(error, "stderr", None) or str(error)).strip().rpartition("\n")[2]
                    print(f"not compared: {way} fails on {cores} cores: {said}")
                    del answers[way]
    return ours, answers


def compare(cores: int, ways: Sequence[str], rounds: int) -> dict[str, float]:
    """Print how fast each is, and return by how much ours is faster where the spikes are the same."""
    chip = chip_of(cores)
    ours, answers = race(chip, ways, rounds)
    count, expected = our_spikes(workload(cores, as_peers=True), PEER_TICKS[cores])
    seconds, found = PEER_TICKS[cores] * TICK_US / 1e6, {}
    rows = [["", "µs a core and tick", "Hz", "spikes, delay of a tick", "ours is faster by"]]
    rows.append(["ours", f"{median(ours) / cores:,.3g}", f"{rate_hz(chip):.1f}", f"{count:,}", ""])
    for way, seen in answers.items():
        spent = median(1e6 * one["cpu_s"] / PEER_TICKS[cores] for one in seen)
        same = all(one["fingerprint"] == expected for one in seen)
        spikes, ratio = seen[0]["spikes"], spent / median(ours)
        row = [way, f"{spent / cores:,.3g}", f"{spikes / (cores * SIDE * seconds):.1f}"]
        rows.append([*row, f"{spikes:,}, {'the same' if same else 'others: does not count'}", f"{ratio:,.0f}"])
        if same:
            found.setdefault(f"c{cores}_vs_{way.split()[0]}", ratio)
    print(f"{cores} cores\n\n{table(rows)}\n")
    return found


# Limits.


@njit
def add_rows(count64: np.ndarray, rows: np.ndarray, table: np.ndarray, turns: int) -> None:
    for turn in range(turns):
        count_row(count64, rows[turn % len(rows)], table)


@njit
def pass_over(v, acc, flags, leak, threshold, low, turns):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    for _ in range(turns):
        integrate_and_leak(v, acc, flags, leak, threshold, low, np.int32(-(2**19)), np.int32(2**19 - 1))


def least_us() -> tuple[float, float]:
    """Return the µs to add one row of a crossbar and to pass once over the neurons of a core, all in the caches."""
    rng, turns = np.random.default_rng(0), 200_000
    rows = rng.integers(0, 256, (SIDE, SIDE // 8), dtype=np.uint8)
    count64, spread = np.zeros(SIDE // 8, np.uint64), rng.integers(0, 2**63, 256, dtype=np.uint64)
    row = limits.seconds(lambda: add_rows(count64, rows, spread, turns))
    v, acc, flags = np.zeros(SIDE, np.int32), np.zeros(SIDE, np.int32), np.zeros(SIDE, np.uint8)
    leak, threshold, low = np.zeros(SIDE, np.int16), np.full(SIDE, 50, np.int32), np.full(SIDE, -50, np.int32)
    once = limits.seconds(lambda: pass_over(v, acc, flags, leak, threshold, low, turns))
    return 1e6 * row / turns, 1e6 * once / turns


def read_gb_s(threads: int) -> float:
    """Return the GB/s at which so many threads read memory together, the best of some turns."""
    if threads == 1:
        return limits.memory()["read"]
    parts, best = [np.ones(16_000_000) for _ in range(threads)], 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(6):
            begun = time.perf_counter()
            list(pool.map(np.sum, parts))
            best = max(best, 1e-9 * sum(part.nbytes for part in parts) / (time.perf_counter() - begun))
    return best


def traffic_bytes() -> float:
    """Return the bytes a core touches in a tick: V twice, threshold, floor, leak, weights; four lines for a spike."""
    spikes = SIDE * RATE_HZ / 1_000
    return SIDE * (4 + 4 + 4 + 4 + 2 + 8) + spikes * LINE * (1 + 1 + 2) + 2 * LINE


def sizes(most: int, rounds: int) -> dict[str, float]:
    """Print how fast ours is at each number of cores, beside the limits, and return its figures."""
    row_us, pass_us = least_us()
    least = SIDE * RATE_HZ / 1_000 * row_us + pass_us
    rows = [["cores", "threads", "x real time", "µs a core and tick", "of the rows' limit", "of the memory's", "Hz"]]
    figures, reads = {}, {threads: read_gb_s(threads) for threads in (1, 2)}
    cases = [(cores, threads) for threads in reads for cores in CORES if threads == 1 or cores >= 1_024]
    for cores, threads in cases:
        if cores > most:
            continue
        chip, clock = chip_of(cores, threads), time.process_time if threads == 1 else time.perf_counter
        spent = median(tick_us(chip, CORES[cores], clock) for _ in range(rounds)) / cores
        key = f"c{cores}_" + ("two_threads_" if threads > 1 else "")
        figures[f"{key}realtime_factor"] = factor = TICK_US / (spent * cores)
        figures[f"{key}of_row_limit"] = of_rows = least / threads / spent
        of_memory = f"{1e-3 * traffic_bytes() / reads[threads] / spent:.0%}" if cores > 64 else "in the caches"
        row = [f"{cores:,}", str(threads), f"{factor:,.3g}", f"{spent:.3f}", f"{of_rows:.0%}", of_memory]
        rows.append([*row, f"{rate_hz(chip):.1f}"])
    print(f"a row is added in {1e3 * row_us:.0f} ns, a core's neurons are passed over in {1e3 * pass_us:.0f} ns")
    print(f"memory is read at {reads[1]:.1f} GB/s by one thread, at {reads[2]:.1f} GB/s by two\n\n{table(rows)}\n")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 64 cores, fewer rounds, no peers")
    quick = parser.parse_args().quick
    figures = sizes(64 if quick else max(CORES), 3 if quick else 7)
    if not quick:
        ways = installed()
        for cores in PEER_TICKS:
            figures |= compare(cores, ways, 3)
    finish(figures, TARGETS)


if __name__ == "__main__":
    main()
