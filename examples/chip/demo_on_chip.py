"""The network of the demo, learned from the shipped recording, compiled onto chips and set beside its float form.

    python examples/chip/demo_on_chip.py                      about a minute
    python examples/chip/demo_on_chip.py --target truenorth   one kind of chip only

The network learns as in `spikestream demo`, then it is frozen. Float network, circuit, each chip and its integer
reference see the last part of what it learned from, by which a readout of each is taught, and then what was held out.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import spikestream as ss
from spikestream.batch import Array, first_at
from spikestream.compiling import compile_with_reference
from spikestream.files.labels import LabelRow, read_labels
from spikestream.model.compile import TARGETS

RECORDINGS = Path(__file__).resolve().parents[2] / "recordings"
OPTIONS = {"truenorth": {"fan_in": "prune"}}
"""578 inputs are more than a core has axons: the strongest stay, as they matter to whom a neuron looks like."""
TAUGHT = 200
"""Looks by which the readouts are taught."""


def part(spikes: ss.Spikes, start: int, stop: int) -> ss.Spikes:
    """Return the spikes of an interval, µs."""
    own = slice(first_at(spikes.t, start), first_at(spikes.t, stop))
    return ss.Spikes(start, stop, spikes.t[own].copy(), spikes.axon[own].copy())


def learned(looks: list[LabelRow], **network: int) -> tuple[ss.Network, ss.Spikes]:
    """Return the network of the demo after it has learned, frozen and at rest, and the spikes of the recording.

    ``network`` are keys of its section that differ from the demo's.
    """
    events = ss.read(RECORDINGS / "looks.aedat4")
    stages, fresh = (ss.build({"network": network}, size=events.size).stages for _ in range(2))
    spikes = stages["address"](stages["filter"](events))
    stages["network"](part(spikes, 0, next(row.start for row in looks if row.test)))
    made, knows = fresh["network"], stages["network"].state()
    made.restore({**made.state(), **{key: knows[key] for key in made.LEARNED}})
    made.learning = False
    return made, spikes


def accuracy(spikes: ss.Spikes, neurons: int, looks: list[LabelRow]) -> float:
    """Return the share of held-out looks that a readout decides rightly, taught by the others."""
    readout, right = ss.Readout(neurons, window_us=100_000, kept=1), []
    for row in looks:
        (decision,) = readout(part(spikes, row.start, row.stop)).rows
        if row.test:
            right.append(decision.label == row.label)
        else:
            readout.command(ss.Label(row.stop, row.start, row.stop, row.label, 0.0))
    return float(np.mean(right))


def on_chip(circuit: object, target: str, spikes: ss.Spikes) -> ss.Spikes:
    """Return what the outputs of a compiled chip give, which must be its reference; what it takes is printed."""
    started = time.perf_counter()
    placement, reference = compile_with_reference(circuit, target, **OPTIONS.get(target, {}))
    compiled_s = time.perf_counter() - started
    out = ss.Chip(placement)(spikes)
    first, stop = spikes.start // 1000, spikes.stop // 1000
    rows = np.stack([spikes.t // 1000 - first, spikes.axon], axis=1)
    wanted = reference.run(rows, stop - first)
    found = steps_of(out, reference.latency, first, stop)
    assert np.array_equal(found, wanted), "the chip is not its integer reference"
    told = placement.report()
    print(
        f"{target}: compiled in {compiled_s:.0f} s onto {told['cores']} cores, {told['neurons']:,} neurons with copies"
    )
    print(f"  chip and integer reference: {len(wanted):,} spikes in {stop - first:,} ticks, all the same")
    for name, own in told.get("populations", {}).items():
        for line in own["approximate"]:
            print(f"  approximate in '{name}': {line}")
    late = reference.latency[out.axon] * 1000
    return ss.Spikes(spikes.start, spikes.stop, np.maximum(out.t - late, spikes.start), out.axon)


def steps_of(out: ss.Spikes, latency: Array, first: int, stop: int) -> Array:
    """Return a chip's spikes as steps and numbers, latencies taken away."""
    made = np.stack([out.t // 1000 - first - latency[out.axon], out.axon.astype(np.int64)], axis=1)
    made = made[(made[:, 0] >= 0) & (made[:, 0] < stop - first)]
    return made[np.lexsort((made[:, 1], made[:, 0]))]


def main() -> None:
    """Learn, compile, run, compare."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--target", choices=sorted(TARGETS), help="one kind of chip only")
    asked = options.parse_args().target
    looks = read_labels(RECORDINGS / "looks.csv")
    network, spikes = learned(looks)
    looks = [row for row in looks if not row.test][-TAUGHT:] + [row for row in looks if row.test]
    spikes = part(spikes, looks[0].start, looks[-1].stop)
    circuit = network.circuit()
    found = {"float network": network(spikes), "float circuit": ss.Simulator(circuit)(spikes)}
    for target in [asked] if asked else sorted(TARGETS):
        found[target] = on_chip(circuit, target, spikes)
    print(f"\nheld-out accuracy, of {sum(row.test for row in looks)} looks:")
    for name, out in found.items():
        print(f"  {name:14} {accuracy(out, network.neurons, looks):.1%}   {len(out):,} spikes")


if __name__ == "__main__":
    main()
