"""How fast learning is, sample by sample on the same samples: e-prop beside PyTorch, STDP beside BindsNET.

    python benchmarks/learning_speed.py [--quick] [--data FOLDER]

Samples are MNIST images as Poisson spikes, of its IDX files in ../shared/data/digits or the folder of `--data`. E-prop:
`ss.Classifier(784, 10, hidden=200)` decides each sample and learns its label, without a store; PyTorch runs the same
network, loss and Adam as a loop that autograd unrolls (`peer_torch.py`). STDP: `ss.Network(784, 400)`, and the network
of Diehl & Cook that BindsNET ships (`peer_bindsnet_digits.py`). One thread each; CPU seconds; what compiles is run once
before. Ours and the peers take turns, round by round, and medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import finish, medians, table

import spikestream as ss

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("SPIKESTREAM_DATA", HERE.parent.parent / "shared" / "data")) / "digits"
TICKS, TICK_US, AXONS, HIDDEN, NEURONS = 100, 1_000, 784, 200, 400
TARGETS = {"eprop_vs_torch": 10.0, "stdp_vs_bindsnet": 200.0}


def samples(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Return ``count`` samples as the runners of peers read them: tick and axon of each spike, bounds, labels."""
    from spikestream.sensors.base import open_sensor

    sensor = open_sensor(f"mnist://{folder}?split=train&take={count}&present_ms={TICKS}&rate_hz=63.75")
    pixels = ss.Address((28, 28), polarity=False)
    batches = [pixels(batch) for batch in collected(sensor)]
    t, axon = (np.concatenate([getattr(one, name) for one in batches]) for name in ("t", "axon"))
    starts = np.array([row.start for row in sensor.rows])
    bounds = np.append(np.searchsorted(t, starts), len(t))
    tick = (t - np.repeat(starts, np.diff(bounds))) // TICK_US
    return {
        "tick": tick.astype(np.int32),
        "axon": axon.astype(np.int32),
        "bounds": bounds,
        "labels": np.array([int(row.label) for row in sensor.rows]),
        **{name: np.array(value) for name, value in (("ticks", TICKS), ("axons", AXONS), ("classes", 10))},
    }


def collected(sensor: object) -> list[ss.Events]:
    """Return all batches of a sensor."""
    import asyncio

    async def gather() -> list[ss.Events]:
        return [batch async for batch in sensor.batches()]  # type: ignore[attr-defined]

    return asyncio.run(gather())


def stream(work: dict[str, np.ndarray]) -> list[ss.Spikes]:
    """Return the samples one after the other in stream time."""
    made, length = [], TICKS * TICK_US
    for k, (first, last) in enumerate(zip(work["bounds"], work["bounds"][1:], strict=False)):
        t = work["tick"][first:last].astype(np.int64) * TICK_US + k * length
        made.append(ss.Spikes(k * length, (k + 1) * length, t, work["axon"][first:last]))
    return made


def eprop(work: dict[str, np.ndarray]) -> Callable[[], float]:
    """Return what has a new classifier decide and learn all samples, and returns CPU seconds a sample."""
    batches, labels = stream(work), [str(label) for label in work["labels"]]

    def run() -> float:
        stage = ss.Classifier(AXONS, 10, hidden=HIDDEN, window_us=TICKS * TICK_US, reset=True, store=0, replays=0)
        begun = time.process_time()
        for batch, label in zip(batches, labels, strict=True):
            stage(batch)
            stage.command(ss.Label(batch.stop, batch.start, batch.stop, label))
        return (time.process_time() - begun) / len(batches)

    return run


def stdp(work: dict[str, np.ndarray]) -> Callable[[], float]:
    """Return what has a new network learn all samples, and returns CPU seconds a sample."""
    batches = stream(work)

    def run() -> float:
        network = ss.Network(AXONS, NEURONS)
        begun = time.process_time()
        for batch in batches:
            network(batch)
        return (time.process_time() - begun) / len(batches)

    return run


def for_torch(work: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Return the first ``count`` samples as `peer_torch.py` reads them."""
    last = int(work["bounds"][count])
    part = {**work, "tick": work["tick"][:last], "axon": work["axon"][:last]}
    return {**part, "bounds": work["bounds"][: count + 1], "labels": work["labels"][:count]}


def for_bindsnet(work: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Return the first ``count`` samples as `peer_bindsnet_digits.py` reads them."""
    part = for_torch(work, count)
    ticks = part["tick"] + np.repeat(np.arange(count) * TICKS, np.diff(part["bounds"]))
    facts = {"image_ticks": TICKS, "length": count * TICKS, "dt_ms": TICK_US / 1000}
    return {"ticks": ticks, "inputs": part["axon"], "weights": np.zeros((AXONS, NEURONS)), **facts}


PEERS = {
    "eprop": (["peer_torch.py"], for_torch, 100),
    "stdp": (["peer_bindsnet_digits.py", "learn"], for_bindsnet, 10),
}
"""What runs a peer, what it reads, and of how many samples."""


def peer(name: str, work: dict[str, np.ndarray], folder: Path) -> Callable[[], float]:
    """Return what has a peer learn the first samples, and returns CPU seconds a sample."""
    (script, *arguments), made, count = PEERS[name]
    file = folder / f"{name}.npz"
    np.savez(file, **made(work, count))
    python = HERE.parent / ".peers" / "bindsnet" / "bin" / "python"
    command = [str(python), str(HERE / script), *arguments, str(file)]

    def run() -> float:
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(json.loads(ended.stdout.splitlines()[-1])["cpu_s"]) / count

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples, one round")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the IDX files of MNIST")
    options = parser.parse_args()
    work = samples(options.data, 300 if options.quick else 1_000)
    contestants = {"eprop": eprop(work), "stdp": stdp(work)}
    for warm in contestants.values():
        warm()
    with tempfile.TemporaryDirectory() as folder:
        if (HERE.parent / ".peers" / "bindsnet" / "complete").exists():
            contestants |= {f"{name} peer": peer(name, work, Path(folder)) for name in PEERS}
        else:
            print("not compared: bindsnet, which brings PyTorch, is not in .peers/bindsnet; make peers puts it there")
        found = medians(1 if options.quick else 3, contestants)
    print(table([("what", "ms a sample"), *((name, f"{1e3 * cpu_s:.2f}") for name, cpu_s in found.items())]))
    figures = {f"{name}_samples_per_s": 1 / found[name] for name in ("eprop", "stdp")}
    figures |= {f"{name}_peer_samples_per_s": 1 / found[f"{name} peer"] for name in PEERS if f"{name} peer" in found}
    ratios = {"eprop_vs_torch": "eprop", "stdp_vs_bindsnet": "stdp"}
    figures |= {key: found[f"{name} peer"] / found[name] for key, name in ratios.items() if f"{name} peer" in found}
    finish(figures, TARGETS)


if __name__ == "__main__":
    main()
