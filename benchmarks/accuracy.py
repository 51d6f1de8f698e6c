"""How good learning is: every figure held out, in one pass unless said, beside batch learners on the same spikes.

    python benchmarks/accuracy.py [--quick] [--data FOLDER] [--seeds 3] [--only PART ...]

Parts, each through the commands a user has (`spikestream train`, `eval`) with the configuration named in brackets:

    stdp       MNIST as Poisson spikes, 100, 400 and 1,600 neurons that earn labels (config/digits_stdp.toml)
    digits     MNIST as Poisson spikes, supervised online (config/digits.toml)
    nmnist     trained on simulated saccades over MNIST images, tested on real N-MNIST recordings, then learning those
               online (config/nmnist.toml)
    chip       the digits on emulated chips: how much the hidden neurons lose there, frozen, on the same images; edges
               before them and the readout behind them stay on the host (config/digits_chip.toml)
    speech     spoken digits: see accuracy_speech.py (config/words.toml)

FOLDER has what is in ../shared/data: digits/ with the IDX files of MNIST (held out are t10k-* where they are, else the
last 10,000 training images), nmnist/ and speech/recordings/. A figure is the mean over seeds, beside it stands its
spread, from the lowest seed to the highest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import accuracy_speech
from common import finish, table

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config"
DATA = Path(os.environ.get("SPIKESTREAM_DATA", HERE.parent.parent / "shared" / "data"))
COMMAND = Path(sys.executable).with_name("spikestream")
STDP_NEURONS = {100: 87.0, 400: 92.0, 1_600: 94.0}
STDP_SETS = {100: ("network.inhibition=22", "learn.rate_end=0.005"), 1_600: ("learn.rate_end=0.005",)}
"""What differs from the configuration, as that tells."""
TARGETS = {
    **accuracy_speech.TARGETS,
    **{f"stdp_{neurons}_percent": goal for neurons, goal in STDP_NEURONS.items()},
    "digits_percent": 98.0,
    "nmnist_simulated_to_real_percent": 93.0,
    "nmnist_online_percent": 96.0,
    "chip_truenorth_gain_points": -3.0,
    "chip_loihi_gain_points": -1.0,
}


@dataclass
class Found:
    """Figures by name: one for each seed, and of batch learners one."""

    seeds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.seeds.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        return {name: round(mean(values), 4) for name, values in self.seeds.items()}

    def rows(self) -> list[tuple[str, ...]]:
        spread = [(name, mean(v), min(v), max(v), len(v)) for name, v in self.seeds.items()]
        lines = [(name, f"{m:.2f}", f"{low:.2f} to {high:.2f}", str(n)) for name, m, low, high, n in spread]
        return [("figure", "mean", "lowest to highest", "seeds"), *lines]


def told(verb: str, *arguments: str) -> dict[str, Any]:
    """Run a verb of spikestream and return the JSON object it ends with."""
    ended = subprocess.run(
        [str(COMMAND), verb, *arguments, "--json", "--quiet"], stdout=subprocess.PIPE, check=True, text=True
    )
    made: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return made


def percent(figures: dict[str, Any]) -> float:
    """Return the accuracy of the held-out windows of `train` or `eval`, in percent."""
    return 100 * float(figures["accuracy"])


def stdp(options: argparse.Namespace, found: Found) -> None:
    """Unsupervised: neurons earn labels."""
    source = f"mnist://{options.data / 'digits'}?present_ms=150" + ("&take=3000" if options.quick else "")
    for neurons in [100] if options.quick else STDP_NEURONS:
        for seed in range(options.seeds):
            sets = [f"--set={one}" for one in (f"network.neurons={neurons}", *STDP_SETS.get(neurons, ()))]
            told_ = told("train", source, "--config", str(CONFIG / "digits_stdp.toml"), *sets, "--seed", str(seed))
            found.add(f"stdp_{neurons}_percent", percent(told_["held_out"]))
            found.add(f"stdp_{neurons}_windows_per_s", told_["windows_per_s"])


def digits(options: argparse.Namespace, found: Found) -> None:
    """Supervised online, and batch learners on the same spikes."""
    source = f"mnist://{options.data / 'digits'}" + ("?take=3000" if options.quick else "")
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "digits.npz")
        for seed in range(options.seeds):
            arguments = ("--config", str(CONFIG / "digits.toml"), "--seed", str(seed), "--save", model)
            figures = told("train", source, *arguments)
            found.add("digits_percent", percent(figures["held_out"]))
            found.add("digits_windows_per_s", figures["windows_per_s"])
        baselines(source, model, "digits", found)


def nmnist(options: argparse.Namespace, found: Found) -> None:
    """Simulated recordings first, then real ones: frozen, and learning online."""
    images, real = options.data / "digits", f"nmnist://{options.data / 'nmnist'}"
    # The real recordings show the first 1,000 training images: none of them is simulated.
    simulated = f"saccades://{images}?split=train&skip=1000&take={500 if options.quick else 12_000}&jitter=0.3"
    with tempfile.TemporaryDirectory() as folder:
        model, taught = (str(Path(folder) / f"{name}.npz") for name in ("simulated", "real"))
        for seed in range(options.seeds):
            config = ("--config", str(CONFIG / "nmnist.toml"), "--seed", str(seed))
            figures = told("train", simulated, *config, "--save", model)
            found.add("nmnist_simulated_windows_per_s", figures["windows_per_s"])
            found.add(
                "nmnist_simulated_to_real_percent", percent(told("eval", real, "--model", model, "--split", "all"))
            )
            figures = told("train", real, "--model", model, "--save", taught)
            found.add("nmnist_online_prequential_percent", 100 * figures["prequential_accuracy"])
            found.add("nmnist_online_percent", percent(figures["held_out"]))
        baselines(real, taught, "nmnist", found)


def chip(options: argparse.Namespace, found: Found) -> None:
    """The hidden neurons on chips, beside their float form on the same images."""
    images = f"mnist://{options.data / 'digits'}?gap_ms=50"
    taught = f"{images}&split=train&take={2_000 if options.quick else 50_000}"
    shown = f"{images}&split=test&take={100 if options.quick else 1_000}"
    with tempfile.TemporaryDirectory() as folder:
        model, placement = (str(Path(folder) / f"{name}.npz") for name in ("digits", "chip"))
        for seed in range(options.seeds):
            told("train", taught, "--config", str(CONFIG / "digits_chip.toml"), "--seed", str(seed), "--save", model)
            exact = percent(told("eval", shown, "--model", model))
            found.add("chip_float_percent", exact)
            for target in ("truenorth", "loihi"):
                report = told("emulate", model, "--target", target, "--save", placement)
                found.add(f"chip_{target}_cores", report["chip"]["cores"])
                frozen = (
                    "--model",
                    model,
                    "--placement",
                    placement,
                    "--target",
                    "chip",
                    "--no-learn",
                    "--speed",
                    "max",
                )
                found.add(f"chip_{target}_percent", percent(told("replay", shown, *frozen)))
                found.add(f"chip_{target}_gain_points", found.seeds[f"chip_{target}_percent"][-1] - exact)


def speech(options: argparse.Namespace, found: Found) -> None:
    """Spoken words: its figures are means over seeds, speakers and folds already."""
    for name, value in accuracy_speech.spoken(options.data, options.quick, range(options.seeds)).items():
        found.add(name, value)


def baselines(source: str, model: str, name: str, found: Found) -> None:
    """Add what batch learners reach on the same spikes, fitted on the train rows of a source."""
    figures = told("eval", source, "--model", model, "--baseline")
    found.add(f"{name}_nearest_centroid_percent", 100 * figures["baseline_accuracy"])
    for learner, share in figures["baselines"]["accuracy"].items():
        found.add(f"{name}_{learner.replace(' ', '_')}_percent", 100 * share)


PARTS: dict[str, Callable[[argparse.Namespace, Found], None]] = {
    "stdp": stdp,
    "digits": digits,
    "nmnist": nmnist,
    "chip": chip,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small parts of the data, one seed")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with digits/, nmnist/ and speech/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts only")
    options = parser.parse_args(arguments)
    options.seeds = 1 if options.quick else options.seeds
    options.data = options.data.resolve()
    found = Found()
    for name in options.only:
        PARTS[name](options, found)
        print(table(found.rows()), flush=True)
    finish(found.means(), TARGETS)


if __name__ == "__main__":
    main()
