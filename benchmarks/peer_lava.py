"""Run a chip on lava-nc, in its environment of `make peers`: `chip.py` runs this.

    .peers/lava/bin/python benchmarks/peer_lava.py whole WORKLOAD.npz [--spikes FILE.npz]

One process of all neurons (LIF) and one of all synapses (Sparse), the models that are bit-accurate for Loihi: the fewer
its processes, the faster it is. Weights are +2 and -2, since signed ones are even there, and threshold and bias are
doubled. Reset to 0, delays of its own, a step each way. Its processes run side by side, so its time is the lesser of
that on the wall and the CPU seconds of all of them. Spikes are counted in a second run (by an
extractor: its monitors take minutes).
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.extractor import Extractor, PyLoihiExtractorModel
from lava.proc.lif.process import LIF
from lava.proc.sparse.process import Sparse
from peer_common import arguments, load, report
from scipy.sparse import csr_matrix

STEP = 128
"""Of a potential there, for a weight of 2 and for 2 in the threshold."""
PRACTICE = 5
"""Steps before those that count: the first one scales the weights."""


def build(work: SimpleNamespace) -> LIF:
    """Return the neurons, connected."""
    core, i, j = np.nonzero(work.matrix)
    source = np.argsort(work.target)  # which neuron drives an axon
    pairs = core * work.side + j, source[core * work.side + i]
    size = work.cores * work.side
    weights = csr_matrix((2 * work.matrix[core, i, j].astype(np.int32), pairs), (size, size))
    bias = {"bias_mant": 2 * work.leak, "bias_exp": 6}
    cells = LIF(shape=(size,), du=4095, dv=0, vth=2 * work.threshold - 1, v=STEP * work.v0.astype(np.int64), **bias)
    synapses = Sparse(weights=weights)
    cells.s_out.connect(synapses.s_in)
    synapses.a_out.connect(cells.a_in)
    return cells


def used_s() -> float:
    """Return the CPU seconds of this process and of those that it started."""
    ticks = 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def timed(work: SimpleNamespace) -> float:
    """Return the seconds of all steps."""
    cells = build(work)
    cells.run(RunSteps(PRACTICE), Loihi2SimCfg(select_tag="fixed_pt"))
    begun, cpu_begun = time.perf_counter(), used_s()
    cells.run(RunSteps(work.length), Loihi2SimCfg(select_tag="fixed_pt"))
    spent = min(time.perf_counter() - begun, used_s() - cpu_begun)
    cells.stop()
    return spent


def counted(work: SimpleNamespace) -> tuple[np.ndarray, np.ndarray]:
    """Return tick and neuron of every spike."""
    cells, ear = build(work), Extractor((work.cores * work.side,), buffer_size=work.length)
    cells.s_out.connect(ear.in_port)
    models = {Extractor: PyLoihiExtractorModel}
    cells.run(RunSteps(work.length), Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models))
    found = np.stack([ear.receive() for _ in range(work.length)])
    cells.stop()
    return np.nonzero(found)


def main() -> None:
    options = arguments(__doc__, ("whole",))
    work = load(options.workload)
    report(work, timed(work), *counted(work), options.spikes)


if __name__ == "__main__":
    main()
