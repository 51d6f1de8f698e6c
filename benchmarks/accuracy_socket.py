"""A new class taught over a socket while the stream runs: how soon it is known, and what the others lose by it.

    python benchmarks/accuracy_socket.py [--data FOLDER] [--model FILE] [--speed 4] [--seed 0]

A model that knows the digits 0 to 8 (of 5,000 images, with config/digits.toml, unless ``--model`` names one) plays a
stream of images of MNIST, 100 ms each, as `spikestream replay --publish` does: those of `REST` held-out images that
show 0 to 8; `SHOTS` images of 9 among as many of the others; then all of the `REST`. A client in this process hears
the decisions, and teaches every 9 of the middle part as it goes by, `EXAMPLES` of them, over the socket. Nothing else
is taught.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import finish

import spikestream as ss
from spikestream.batch import Events
from spikestream.files.labels import LabelRow
from spikestream.sensors.datasets.mnist import Mnist

HERE = Path(__file__).resolve().parent
COMMAND = Path(sys.executable).with_name("spikestream")
DATA = Path(os.environ.get("SPIKESTREAM_DATA", HERE.parent.parent / "shared" / "data"))
SHOWN_US = 100_000
NEW, EXAMPLES = "9", 20
SHOTS, REST = 20, 1_500
TARGETS = {
    "socket_new_recall_percent": 80.0,
    "socket_seconds_margin": 0.0,
    "socket_false_names_margin_percent": 0.0,
    "socket_old_classes_change_points": -3.0,
}


def played(sensor: Mnist) -> list[tuple[Events, str]]:
    """Return the images of a data set as (events, label)."""

    async def all_of() -> list[Events]:
        return [batch async for batch in sensor.batches()]

    return list(zip(asyncio.run(all_of()), (row.label for row in sensor.rows), strict=True))


def stream(folder: Path, seed: int, path: Path) -> list[LabelRow]:
    """Write the recording, and return what it shows; rows of the middle part are not ``test``."""
    images = str(folder / "digits")
    held = {"split": "test", "seed": seed}
    rest = played(Mnist(images, take=REST, **held))
    old = [image for image in rest if image[1] != NEW]
    new = played(Mnist(images, split="train", labels=NEW, skip=100 * seed, take=SHOTS, seed=seed))
    among = played(Mnist(images, split="train", labels="0-8", skip=20_000 + SHOTS * seed, take=SHOTS, seed=seed))
    middle = [image for pair in zip(new, among, strict=True) for image in pair]
    rows, parts = [], []
    for place, (batch, label) in enumerate([*old, *middle, *rest]):
        start = place * SHOWN_US
        data = batch.data.copy()
        data["t"] += start - batch.start
        parts.append(data)
        rows.append(LabelRow(start, start + SHOWN_US, label, not len(old) <= place < len(old) + len(middle)))
    stop = rows[-1].stop
    ss.write(path, Events(0, stop, np.concatenate(parts), (28, 28)))
    return rows


def decisions(url: str, truth: dict[int, LabelRow], taught: list[int]) -> Iterator[tuple[LabelRow, str | None]]:
    """Yield what each image shows and was called, and teach the new ones; publication times go to ``taught``, in ns."""
    with ss.Client(url, ["main.readout.decisions"]) as client:
        for message in client:
            for decision in message.data:
                row = truth.get(decision.start)
                if row is None:
                    continue
                yield row, decision.label
                if row.label == NEW and not row.test and len(taught) < EXAMPLES:
                    client.teach(NEW, window=(row.start, row.stop))
                    taught.append(message.published_ns)


def measured(folder: Path, model: str, speed: float, seed: int) -> dict[str, float]:
    """Run the stream and return its figures."""
    with tempfile.TemporaryDirectory() as scratch:
        recording, url = Path(scratch) / "digits.aedat4", f"unix://{scratch}/s"
        rows = stream(folder, seed, recording)
        sets = ("readout.windows=grid", f"readout.window_us={SHOWN_US}", "learn.enabled=true")
        command = [str(COMMAND), "replay", str(recording), "--model", model, "--publish", url, "--speed", str(speed)]
        command += ["--wait-subscribers", "1", "--quiet", "--json", *(f"--set={one}" for one in sets)]
        taught: list[int] = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            while not Path(f"{scratch}/s").exists() and process.poll() is None:
                pass
            answers = list(decisions(url, {row.start: row for row in rows}, taught))
            process.communicate()
        if process.returncode:
            raise SystemExit(f"replay ended with {process.returncode}")
    return figures(answers, rows, taught)


def figures(answers: Sequence[tuple[LabelRow, str | None]], rows: Sequence[LabelRow], taught: Sequence[int]) -> Any:
    """Return recall and precision from what was decided before the first lesson and after the last."""
    first = next(row.start for row in rows if not row.test)
    before = [(row.label, said) for row, said in answers if row.start < first]
    after = [(row.label, said) for row, said in answers if row.start > first and row.test]
    old = [(label, said) for label, said in after if label != NEW]
    new = [(label, said) for label, said in after if label == NEW]
    seconds = (taught[-1] - taught[0]) / 1e9

    def right(pairs: Sequence[tuple[str, str | None]]) -> float:
        return 100 * float(np.mean([label == said for label, said in pairs]))

    false = 100 * float(np.mean([said == NEW for _, said in old]))
    return {
        "socket_examples": len(taught),
        "socket_seconds": seconds,
        "socket_seconds_margin": 10 - seconds,
        "socket_new_recall_percent": right(new),
        "socket_false_names_percent": false,
        "socket_false_names_margin_percent": 5 - false,
        "socket_old_before_percent": right(before),
        "socket_old_after_percent": right(old),
        "socket_old_classes_change_points": right(old) - right(before),
    }


def trained(folder: Path, seed: int, path: str) -> str:
    """Train a model on the digits 0 to 8, save it, and return its path."""
    source = f"mnist://{folder / 'digits'}?split=train&labels=0-8&take=5000"
    config = HERE.parent / "config" / "digits.toml"
    command = [str(COMMAND), "train", source, "--config", str(config), "--seed", str(seed), "--save", path, "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def socket(folder: Path, seed: int, speed: float = 4.0, model: str = "") -> dict[str, float]:
    """Return the figures of one seed."""
    with tempfile.TemporaryDirectory() as scratch:
        return measured(folder, model or trained(folder, seed, f"{scratch}/nine.npz"), speed, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds digits/")
    parser.add_argument("--model", default="", help="a model that knows 0 to 8 and nothing else")
    parser.add_argument("--speed", type=float, default=4.0, help="times real time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the same")
    options = parser.parse_args()
    finish(socket(options.data.resolve(), options.seed, options.speed, options.model), TARGETS)


if __name__ == "__main__":
    main()
