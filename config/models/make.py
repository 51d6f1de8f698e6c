"""Make the models that ship with spikestream: each trained by a command on recordings that ship with it.

    python config/models/make.py [--out FOLDER]

``looks`` tells the four kinds of things in recordings/looks.aedat4 apart (recordings/make.py). It is taught the train
rows once, one by one, by STDP and labels, and measured on the test rows, which it has never seen. Same recording, same
model. All of it is CC0-1.0.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import spikestream as ss
from spikestream import checkpoint
from spikestream.cli import main as spikestream
from spikestream.cli.base.catalogue import write_notes
from spikestream.config.sections import SensorConfig

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = "config/models/looks.npz"
# One plane of axons and 140 neurons keep the file small; with both polarities and the default of 200 it is no better.
COMMAND = (
    "train recordings/looks.aedat4 --labels recordings/looks.csv --rule stdp"
    " --set address.polarity=ignore --set network.neurons=140"
)


def looks(out: Path) -> None:
    """Train the model ``looks`` and write it, with its notes, into a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        trained = Path(scratch) / "trained.npz"
        if code := spikestream([*COMMAND.split(), "--quiet", "--save", str(trained)]):
            raise SystemExit(code)
        notes: dict[str, Any] = json.loads(Path(f"{trained}.json").read_text())
        config = checkpoint.config_of(trained)
        # As a new run begins with it: what belongs to the last moment of its training would only make it larger.
        pipeline = ss.build(config)
        checkpoint.transfer(trained, pipeline)
    sensor = SensorConfig(size=config.sensor.size)
    pipeline.config = replace(pipeline.config, sensor=sensor)
    path = out / "looks.npz"
    ss.save(path, pipeline)
    told = {
        "what": "four kinds of things, four looks a kind, as a simulated DVS of 34x34 pixels sees them",
        "origin": f"python {HERE.replace('looks.npz', 'make.py')}: spikestream {COMMAND}",
        "licence": "CC0-1.0",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "measured_on": "the test rows of recordings/looks.csv",
    }
    write_notes(str(path), {**told, **notes, "state_sha256": checkpoint.state_sha256(pipeline)})


def main() -> None:
    """Make all models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    looks(out)


if __name__ == "__main__":
    main()
