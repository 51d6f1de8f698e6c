"""The learning network beside Brian 2, NEST and BindsNET on the same spikes, and beside the limits of this machine.

    python benchmarks/network.py [--quick] [--seed N]

Speed: simulated seconds per CPU second of one thread, run only (nothing compiled, built or connected), medians of
interleaved rounds. Ours is `ss.Network` in float32, handed batches of a second, as a file is read, and of 10 ms, as
live events come; cutting them into ticks and collecting the output is within its time. Peers run in the environments
that `make peers` makes, each in the ways that its runner `peer_NAME.py` describes, and record spikes too.
A ratio counts only where the numbers of output spikes agree within 1 %, or where the peer cannot do what we do: NEST
has no threshold that adapts and its delays are dendritic; BindsNET hands spikes on a step later. Of the ways to say a
workload in Brian 2, the fastest that counts is compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import limits
import numpy as np
from common import finish, table
from workloads import Cuba, Workload, save, w1, w1c, w2, w3

import spikestream as ss
from spikestream.batch import no_spikes
from spikestream.model import Model, Population, Projection

HERE = Path(__file__).resolve().parent
OURS = "ours"
FILE_MS, LIVE_MS = 1_000, 10
EXCUSED = {"nest", "bindsnet"}
"""Their numbers of spikes may differ where synapses learn, for the reasons above; they are printed."""
TARGETS = {
    "w1_400_vs_brian2": 14.0,
    "w1_400_vs_nest": 90.0,
    "w1_400_vs_bindsnet": 1_500.0,
    "w1_1600_vs_brian2": 20.0,
    "w1c_400_vs_brian2": 10.0,
    "w2_10k_vs_brian2": 200.0,
    "w2_10k_vs_nest": 100.0,
    "w2_1m_realtime_factor": 1.2,
    "w2_1m_of_row_update_limit": 0.7,
    "w2_1m_two_threads_realtime_factor": 1.8,
    "w2_1m_two_threads_1000us_over_tick_p99": 1.0,
    "w2_100k_200us_over_tick_p99": 1.0,
    "w3_vs_brian2": 3.0,
    "w3_vs_nest": 20.0,
}


@dataclass(frozen=True)
class Run:
    """CPU seconds of so many simulated ones, and how many spikes came out."""

    cpu_s: float
    seconds: float
    spikes: int

    @property
    def factor(self) -> float:
        return self.seconds / self.cpu_s


# Ours.


def batches(work: Workload, length_ms: float) -> list[ss.Spikes]:
    """Return the input of a workload as batches; an event stands at the start of its tick."""
    tick_us = round(work.params.dt_ms * 1000)
    t, stop = work.ticks * np.int64(tick_us), work.length * tick_us
    edges = [*range(0, stop, round(length_ms * 1000)), stop]
    at = np.searchsorted(t, edges)
    parts = zip(edges, edges[1:], at, at[1:], strict=False)
    return [ss.Spikes(start, end, t[i:j], work.inputs[i:j]) for start, end, i, j in parts]


def network(work: Workload, threads: int = 1) -> ss.Network:
    options = dict(vars(work.params))
    tick_us = round(options.pop("dt_ms") * 1000)
    more = {"threads": threads, "init_weights": work.weights}
    return ss.Network(work.axons, work.neurons, rule="pair", tick_us=tick_us, **more, **options)


def ours(work: Workload, length_ms: float, threads: int = 1) -> Run:
    """Run ours; with two threads the time is that on the wall, which is what a second core is for."""
    parts, net = batches(work, length_ms), network(work, threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    begun = clock()
    out = [net(part) for part in parts]
    return Run(clock() - begun, work.seconds, sum(len(part) for part in out))


def cuba_model(work: Cuba, dtype: str = "float64") -> Model:
    """Return W3 as a model: one population, its excitatory and its inhibitory synapses onto a receptor each."""
    keys = ("v_rest", "v_thresh", "v_reset", "tau_m_ms", "tau_refrac_ms")
    params = {key: getattr(work, key) for key in keys} | {"tau_syn_e_ms": work.tau_e_ms, "tau_syn_i_ms": work.tau_i_ms}
    cells = Population("cells", work.neurons, neuron="cubalif", params=params, initial={"v": work.v0})
    excites, synapses = work.pre < work.excitatory, []
    for receptor, weight, own in (("excitatory", work.w_e, excites), ("inhibitory", work.w_i, ~excites)):
        pairs = {"connect": "pairs", "pre": work.pre[own], "post": work.post[own]}
        synapses.append(Projection(receptor, "cells", "cells", receptor=receptor, weights=weight, **pairs))
    return Model([], [cells], synapses, tick_us=round(work.dt_ms * 1000), dtype=dtype)


def ours_cuba(work: Cuba) -> Run:
    net = ss.Network.from_model(cuba_model(work))
    net.prepare()
    begun = time.process_time()
    out = net(no_spikes(0, round(work.seconds * 1e6)))
    return Run(time.process_time() - begun, work.seconds, len(out))


def tick_p99_us(work: Workload, threads: int = 1) -> float:
    """Return the 99th percentile of a tick's own CPU time, one tick a batch, once it has run for a while.

    With two threads it is that of the one that called, which runs one half and waits for the other.
    """
    net, spent = network(work, threads), []
    for part in batches(work, work.params.dt_ms):
        begun = time.thread_time_ns()
        net(part)
        spent.append(time.thread_time_ns() - begun)
    return float(np.percentile(spent[len(spent) // 10 :], 99)) / 1000


def our_runs(work: Workload | Cuba) -> dict[str, Callable[[], Run]]:
    """Return what runs ours, compiled; nothing where it cannot run this."""
    if isinstance(work, Cuba):
        return {OURS: partial(ours_cuba, work)}
    ours(work.first(20), LIVE_MS)
    return {OURS: partial(ours, work, FILE_MS), f"{OURS}, 10 ms": partial(ours, work, LIVE_MS)}


# Others.


def peer(name: str, formulation: str, file: Path) -> Run:
    """Run a peer in its environment; raises CalledProcessError where it fails."""
    python = HERE.parent / ".peers" / name / "bin" / "python"
    command = [python, HERE / f"peer_{name}.py", formulation, file]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    answer = json.loads(said.rpartition("\n")[2])
    return Run(answer["cpu_s"], answer["seconds"], answer["spikes"])


def missing() -> set[str]:
    """Return the peers that are not installed here, and say so."""
    found = {
        name for name in ("brian2", "nest", "bindsnet") if not (HERE.parent / ".peers" / name / "complete").exists()
    }
    for name in sorted(found):
        print(f"not compared: {name} is not in .peers/{name}; make peers puts it there where it can be installed")
    return found


def piece(work: Workload | Cuba, name: str) -> Workload | Cuba:
    """Return what a peer runs: BindsNET, hundreds of times slower than the others, only the beginning."""
    if isinstance(work, Workload) and name == "bindsnet":
        return work.first(1_000 if work.params.inhibition else 100)
    return work


def their_runs(work: Workload | Cuba, ways: Sequence[str], folder: Path) -> dict[str, Callable[[], Run]]:
    """Return what runs each "peer formulation" of `ways`."""
    found: dict[str, Callable[[], Run]] = {}
    for way in ways:
        name, formulation = way.split()
        file = folder / f"{name}.npz"
        save(file, piece(work, name))
        found[way] = partial(peer, name, formulation, file)
    return found


# Both.


def race(runs: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, Run]:
    """Run all in turn, `rounds` times, and return the run of median speed of each: load then hits all alike."""
    seen: dict[str, list[Run]] = {}
    for name in [*runs] * rounds:
        try:
            run = runs[name]()
        except subprocess.CalledProcessError as error:
            print(f"not compared: {name} fails: {error.stderr.strip().rpartition(chr(10))[2]}")
        else:
            seen.setdefault(name, []).append(run)
    return {name: sorted(found, key=lambda run: run.factor)[len(found) // 2] for name, found in seen.items()}


def compare(key: str, work: Workload | Cuba, ways: Sequence[str], rounds: int) -> dict[str, float]:
    """Print how fast each runs the workload, and return the ratios that count."""
    own = our_runs(work)
    with tempfile.TemporaryDirectory() as folder:
        found = race(own | their_runs(work, ways, Path(folder)), rounds)
    rows, ratios = [["", "x real time", "spikes", "ours has", "ours is faster by"]], {}
    for name, run in found.items():
        system = name.split()[0]
        row = [name, f"{run.factor:,.3g}", f"{run.spikes:,}", "", ""]
        if own and name not in own:
            spikes = found[OURS].spikes if piece(work, system) is work else ours(piece(work, system), FILE_MS).spikes
            ratio = found[OURS].factor / run.factor
            counts = (isinstance(work, Workload) and system in EXCUSED) or abs(run.spikes - spikes) <= 0.01 * spikes
            row[3:] = [f"{spikes:,}", f"{ratio:,.1f}" + ("" if counts else ", does not count")]
            if counts:
                ratios[f"{key}_vs_{system}"] = min(ratio, ratios.get(f"{key}_vs_{system}", ratio))
        rows.append(row)
    print(f"{work.name}, {work.seconds:g} s\n\n{table(rows)}\n")
    return ratios


def camera(rates: Sequence[int], update_us: Mapping[str, float], rounds: int, seed: int) -> dict[str, float]:
    """Print how ours keeps up with W2, and return its share of the limit and its latency."""
    rows, figures = [["events/s", "threads", "x real time", "µs an event", "of the limit", "tick p99"]], {}
    for rate, key, size, most_us in ((100_000, "w2_100k", "9.2", 200), (1_000_000, "w2_1m", "131", 1_000)):
        if rate not in rates:
            continue
        work = w2(rate, 2 + seed, 7 + seed)
        run = race({OURS: our_runs(work)[OURS]}, rounds)[OURS]
        event_us, p99 = 1e6 * run.cpu_s / len(work.ticks), tick_p99_us(work)
        figures[f"{key}_realtime_factor"] = run.factor
        figures[f"{key}_of_row_update_limit"] = update_us[size] / event_us
        figures[f"{key}_{most_us}us_over_tick_p99"] = most_us / p99
        share = f"{update_us[size] / event_us:.0%}"
        rows.append([f"{rate:,}", "1", f"{run.factor:,.3g}", f"{event_us:.3f}", share, f"{p99:,.0f} µs"])
        both = race({OURS: partial(ours, work, FILE_MS, 2)}, rounds)[OURS]
        p99 = tick_p99_us(work, 2)
        figures[f"{key}_two_threads_realtime_factor"] = both.factor
        figures[f"{key}_two_threads_{most_us}us_over_tick_p99"] = most_us / p99
        rows.append([f"{rate:,}", "2", f"{both.factor:,.3g}", "", "", f"{p99:,.0f} µs"])
    print(f"ours alone, 1,000 learning neurons; on two threads by the wall clock\n\n{table(rows)}\n")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer workloads, formulations and rounds")
    parser.add_argument("--seed", type=int, default=0, help="other spikes and weights of the same kind")
    options = parser.parse_args()
    rounds, seed = (1, options.seed) if options.quick else (3, options.seed)
    absent = missing()
    brian = ["brian2 exact"] if options.quick else ["brian2 canon", "brian2 expert", "brian2 exact"]
    others = ["nest learn", "bindsnet learn"]
    cases: dict[str, tuple[Workload | Cuba, list[str]]] = {
        "w1_400": (w1(400, 1 + seed, 7 + seed), [*brian, *others]),
        "w1c_400": (w1c(400, 1 + seed, 7 + seed), [*brian, *others]),
        "w2_10k": (w2(10_000, 2 + seed, 7 + seed).first(500), [*brian, *others]),
    }
    if not options.quick:
        cases["w1_100"] = (w1(100, 1 + seed, 7 + seed), [*brian, *others])
        cases["w1_1600"] = (w1(1_600, 1 + seed, 7 + seed), [*brian, *others])
        cases["w2_100k"] = (w2(100_000, 2 + seed, 7 + seed).first(500), ["brian2 exact", "nest learn"])
        cases["w3"] = (w3(3 + seed), ["brian2 canon", "nest cuba"])
    figures: dict[str, float] = {}
    for key, (work, ways) in cases.items():
        figures |= compare(key, work, [way for way in ways if way.split()[0] not in absent], rounds)
    figures |= camera((100_000,) if options.quick else (100_000, 1_000_000), limits.show(), rounds, seed)
    finish(figures, TARGETS)


if __name__ == "__main__":
    main()
