"""Run a chip on the emulator of nengo-loihi, in its environment of `make peers`: `chip.py` runs this.

    .peers/nengoloihi/bin/python benchmarks/peer_nengoloihi.py cores|whole WORKLOAD.npz [--spikes FILE.npz]

cores: a core is a block of one synapse group, its crossbar as weights, and sends to every core by an axon group of its
own, as nengo-loihi builds connections between blocks; with 64 cores most of the time goes into those 4,096 groups.
whole: all cores in one block, of more neurons than a core of a Loihi holds; nengo-loihi would refuse to build it.
A neuron is an integrator with a bias of 1 that is reset to 0. All in int32, as after its discretisation. It has one
delay, a step, and each axon has weights of its own instead of four types. CPU seconds are those of `step`.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.emulator.interface import EmulatorInterface
from peer_common import arguments, load, report

FAR = 2**23 - 1
"""No floor is nearer, and no ceiling."""


def block(work: SimpleNamespace, cores: np.ndarray) -> LoihiBlock:
    """Return a block of some cores without what it sends."""
    size = len(cores) * work.side
    made, synapse = LoihiBlock(size), Synapse(size)
    cells = made.compartment
    cells.decay_u = np.full(size, 4095, np.int32)  # all of it: the current is the input of its step
    cells.decay_v = np.zeros(size, np.int32)
    cells.scale_u = cells.scale_v = False
    cells.vth = np.full(size, work.threshold - 1, np.int32)  # it fires above, not at it
    cells.bias = np.full(size, work.leak, np.int32)
    cells.vmin, cells.vmax = -FAR, FAR
    rows, index = [], []
    for place, core in enumerate(cores):
        for row in work.matrix[core].astype(np.int32):
            rows.append(row[row != 0])
            index.append(np.nonzero(row)[0] + place * work.side)
    synapse._set_weights_indices(rows, index, weight_dtype=np.int32)
    made.add_synapse(synapse)
    return made


def connect(work: SimpleNamespace, blocks: list[LoihiBlock]) -> None:
    """Let every neuron drive its axon."""
    goal, axon = np.divmod(work.target.reshape(len(blocks), -1), blocks[0].n_neurons)
    for source, made in enumerate(blocks):
        for target in np.unique(goal[source]):
            sent = goal[source] == target
            group = Axon(int(sent.sum()))
            group.target = blocks[target].synapses[0]
            group.set_compartment_axon_map(np.where(sent, axon[source], -1))
            made.add_axon(group)


def main() -> None:
    options = arguments(__doc__, ("cores", "whole"))
    work = load(options.workload)
    parts = work.cores if options.formulation == "cores" else 1
    blocks = [block(work, cores) for cores in np.split(np.arange(work.cores), parts)]
    connect(work, blocks)
    chip = EmulatorInterface(SimpleNamespace(blocks=blocks, inputs=[], probes=[], dt=1e-3), seed=1)
    chip.compartment.voltage[:] = work.v0
    seen, cpu_s = [], 0.0
    for _ in range(work.length):
        begun = time.process_time()
        chip.step()
        cpu_s += time.process_time() - begun
        seen.append(np.nonzero(chip.compartment.spiked)[0])
    ticks = np.repeat(np.arange(work.length), [len(part) for part in seen])
    report(work, cpu_s, ticks, np.concatenate(seen), options.spikes)


main()
