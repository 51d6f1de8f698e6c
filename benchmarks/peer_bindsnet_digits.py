"""Run digits on BindsNET's Diehl & Cook network, in its environment of `make peers`; constants and weights are its own.

    .peers/bindsnet/bin/python benchmarks/peer_bindsnet_digits.py learn WORKLOAD.npz [--spikes FILE.npz]

WORKLOAD.npz holds ``ticks`` and ``inputs`` (spikes,) of images one after the other, ``image_ticks`` of each, ``length``
of all in ticks of ``dt_ms``, and ``weights`` (axons, neurons), of which only the shape counts. DiehlAndCook2015 as in
BindsNET's example eth_mnist.py: learning on, its state reset after each image, one thread, no gradient. CPU seconds are
those of Network.run, without what makes tensors of spikes.
"""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import torch
from bindsnet.models import DiehlAndCook2015
from bindsnet.network.monitors import Monitor
from peer_common import arguments, load, report


def main() -> None:
    options = arguments(__doc__, ("learn",))
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    work = load(options.workload)
    network = DiehlAndCook2015(n_inpt=work.axons, n_neurons=work.neurons, dt=work.dt_ms, theta_plus=0.05)
    monitor = Monitor(network.layers["Ae"], ["s"], time=work.image_ticks)
    network.add_monitor(monitor, "spikes")
    edges = np.searchsorted(work.ticks, np.arange(0, work.length + 1, work.image_ticks))
    cpu_s, ticks, neurons = 0.0, [], []
    for image, (first, stop) in enumerate(pairwise(edges)):
        begin = image * work.image_ticks
        spikes = torch.zeros(work.image_ticks, 1, work.axons)
        spikes[torch.tensor(work.ticks[first:stop] - begin).long(), 0, torch.tensor(work.inputs[first:stop]).long()] = 1
        begun = time.process_time()
        network.run({"X": spikes}, time=round(work.image_ticks * work.dt_ms))
        cpu_s += time.process_time() - begun
        found = torch.nonzero(monitor.get("s").reshape(work.image_ticks, work.neurons), as_tuple=True)
        ticks.append(found[0].numpy() + begin)
        neurons.append(found[1].numpy())
        network.reset_state_variables()
    report(work, cpu_s, np.concatenate(ticks), np.concatenate(neurons), options.spikes)


main()
