"""Run a chip on SANA-FE, in its environment of `make peers`: `chip.py` runs this.

    .peers/sanafe/bin/python benchmarks/peer_sanafe.py cores WORKLOAD.npz [--spikes FILE.npz]

Its TrueNorth architecture with simple timing, on one thread. A synapse is a connection of its own there, without
delay, and potentials begin at 0: each neuron gets its first potential as a bias in the first step, in place of the
leak. CPU seconds are those of `sim`, which also adds up energy and times.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import sanafe
from peer_common import arguments, load, report

FLOOR = -(2.0**18)
"""Below it a potential would be reset too; none gets there."""


def build(work: SimpleNamespace) -> sanafe.SpikingChip:
    """Return the chip, loaded."""
    arch, net = sanafe.load_truenorth(), sanafe.Network()
    law = {"threshold": float(work.threshold), "bias": float(work.leak)}
    law |= {"reset_mode": "hard", "reset": 0.0, "reverse_threshold": FLOOR}
    groups = []
    for core, place in zip(range(work.cores), arch.cores(), strict=False):
        groups.append(net.create_neuron_group(f"g{core:04}", work.side, model_attributes=law, log_spikes=True))
        for neuron in groups[-1].neurons:
            neuron.map_to_core(place)
    goal, axon = np.divmod(work.target.reshape(work.cores, work.side), work.side)
    for source in range(work.cores):
        for core in np.unique(goal[source]):
            pre = np.nonzero(goal[source] == core)[0]
            k, post = np.nonzero(work.matrix[core, axon[source, pre]])
            weights = work.matrix[core, axon[source, pre[k]], post].astype(float).tolist()
            pairs = list(zip(pre[k].tolist(), post.tolist(), strict=True))
            groups[source].connect_neurons_sparse(groups[core], {"weight": weights}, pairs)
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    return chip


def bias(chip: sanafe.SpikingChip, values: np.ndarray) -> None:
    """Set what each neuron gets in every step."""
    cells = [cell for group in sorted(chip.mapped_neuron_groups.items()) for cell in group[1]]
    for cell, value in zip(cells, values.tolist(), strict=True):
        cell.set_attributes(model_attributes={"bias": float(value)})


def main() -> None:
    options = arguments(__doc__, ("cores",))
    work = load(options.workload)
    chip = build(work)
    run = {"timing_model": "simple", "processing_threads": 1, "spike_trace": True}
    seen, cpu_s = [], 0.0
    for steps, values in ((1, work.v0 + work.leak), (work.length - 1, np.full(len(work.v0), work.leak))):
        bias(chip, values)
        begun = time.process_time()
        seen += chip.sim(steps, **run)["spike_trace"]
        cpu_s += time.process_time() - begun
    neurons = [int(one.group_name[1:]) * work.side + one.neuron_offset for part in seen for one in part]
    ticks = np.repeat(np.arange(work.length), [len(part) for part in seen])
    report(work, cpu_s, ticks, np.array(neurons, np.int64), options.spikes)


main()
