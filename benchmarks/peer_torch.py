"""Train a spiking classifier by backpropagation through time in PyTorch: `learning_speed.py` runs this.

    .peers/bindsnet/bin/python benchmarks/peer_torch.py SAMPLES.npz

The network of `spikestream.kernels.eprop`, LIF neurons with soft reset, a leaky readout, softmax and a triangular
surrogate derivative, as a loop over ticks that autograd unrolls; sample by sample, Adam, one thread. CPU seconds are
those of the loop over samples, with decisions made before each step.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

HIDDEN, TAU_M_MS, TAU_OUT_MS, UPDATE = 200, 20.0, 60.0, 20


class Fire(torch.autograd.Function):
    """A step forward, 0.3 max(0, 1 - |u|) backward."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(u)
        return (u > 0).float()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (u,) = ctx.saved_tensors
        return gradient * 0.3 * torch.clamp(1 - u.abs(), min=0)


def forward(spikes: torch.Tensor, w: torch.Tensor, v: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
    """Return the readout after every `UPDATE` ticks of ``spikes`` (ticks, axons)."""
    decay_m, decay_out = float(np.exp(-1 / TAU_M_MS)), float(np.exp(-1 / TAU_OUT_MS))
    current = spikes @ w
    membrane, trace = torch.zeros(w.shape[1]), torch.zeros(w.shape[1])
    read = []
    for tick in range(len(spikes)):
        membrane = membrane * decay_m + current[tick]
        fired = Fire.apply(membrane - 1)
        membrane = torch.clamp(membrane - fired, min=-2)
        trace = trace * decay_out + fired
        if (tick + 1) % UPDATE == 0:
            read.append(trace @ v + b)
    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with np.load(options.samples) as file:
        work = {key: file[key] for key in file.files}
    ticks, axons, classes = int(work["ticks"]), int(work["axons"]), int(work["classes"])
    w = (torch.randn(axons, HIDDEN) * 0.1).requires_grad_()
    v, b = (torch.zeros(HIDDEN, classes)).requires_grad_(), torch.zeros(classes, requires_grad=True)
    adam = torch.optim.Adam([{"params": [w], "lr": 5e-4}, {"params": [v, b], "lr": 1e-3}])
    right = 0
    begun = time.process_time()
    for k, label in enumerate(work["labels"]):
        first, last = work["bounds"][k : k + 2]
        spikes = torch.zeros(ticks, axons)
        spikes[torch.from_numpy(work["tick"][first:last]).long(), torch.from_numpy(work["axon"][first:last]).long()] = 1
        read = forward(spikes, w, v, b)
        ramps = torch.arange(1, len(read) + 1) / len(read)
        evidence = sum(ramp * torch.softmax(y, 0) for ramp, y in zip(ramps, read, strict=True))
        right += int(evidence.argmax()) == int(label)
        truth = torch.tensor(int(label))
        loss = sum(ramp * torch.nn.functional.cross_entropy(y, truth) for ramp, y in zip(ramps, read, strict=True))
        adam.zero_grad()
        loss.backward()
        adam.step()
    cpu_s = time.process_time() - begun
    print(json.dumps({"cpu_s": cpu_s, "samples": len(work["labels"]), "right": right}))


main()
