"""How good learning is: every figure held out, in one pass unless said, beside batch learners on the same spikes.

    python benchmarks/accuracy.py [--quick] [--data FOLDER] [--seeds 3] [--only PART ...]

Parts, each through the commands a user has (`spikestream train`, `eval`) with the configuration named in brackets:

    stdp       MNIST as Poisson spikes, 100, 400 and 1,600 neurons that earn labels (config/digits_stdp.toml), and 400
               without the reset between images
    digits     MNIST as Poisson spikes, supervised online (config/digits.toml)
    nmnist     trained on simulated saccades over MNIST images, tested on real N-MNIST recordings, then learning those
               online (config/nmnist.toml)
    chip       the digits on emulated chips: how much the hidden neurons lose there, frozen, on the same images; edges
               before them and the readout behind them stay on the host (config/digits_chip.toml)
    incremental  the digits 0 to 4, then 5 to 9, of 10,000 images each, with what config/digits.toml keeps in store;
               beside it the same learner taught as many of all ten mixed: what is lost against that is forgotten, the
               rest is that ten digits are harder than five
    socket     a new digit taught over a socket while the stream runs: see accuracy_socket.py
    speech     spoken digits: see accuracy_speech.py (config/words.toml)
    layers     the digits under one hidden layer, of 200 or 300 neurons, and under two, of 200 and 100
    features   what stands between pixels and what reads them: nothing, edges drawn by hand (config/digits.toml), maps
               learned by spikes, of all places or each (config/digits_maps.toml), under a classifier of 200
               hidden neurons and under a readout alone; beside them the spikes of 400 neurons that nobody taught
               (config/digits_stdp.toml), by votes and under a readout; and edges and maps on the real N-MNIST
               recordings alone (config/nmnist.toml)

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

import accuracy_socket
import accuracy_speech
from common import finish, table

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config"
DATA = Path(os.environ.get("SPIKESTREAM_DATA", HERE.parent.parent / "shared" / "data"))
COMMAND = Path(sys.executable).with_name("spikestream")
STDP_NEURONS = {100: 87.0, 400: 92.0, 1_600: 94.0}
UNRESET = (
    *("network.reset=false", "network.tau_m_ms=30", "network.v_thresh=12", "network.inhibition=7"),
    *("network.theta_plus=1", "learn.tau_plus_ms=20", "learn.lesson_ms=100"),
)
"""What a stream needs that nobody cuts into windows, as docs/learning-stdp.md tells."""
STDP_SETS = {100: ("network.inhibition=22", "learn.rate_end=0.005"), 1_600: ("learn.rate_end=0.005",)}
"""What differs from the configuration, as that tells."""
FRONTS = {
    "maps": ("digits_maps.toml",),
    "edges": ("digits.toml",),
    "pixels": ("digits.toml", "features.kind=none"),
    "local_maps": ("digits_maps.toml", "features.share=false", "features.maps=16"),
}
"""What stands before a classifier: a configuration, and what differs from it."""
READERS = {"classifier": "classifier.hidden=200", "readout": "classifier.hidden=0"}
NMNIST_MAPS = ("features.kind=stdp", "features.maps=32", "features.pool=3", "features.rate_end=0.02")
ON_NEURONS = (
    *("readout.kind=classifier", "classifier.reads=network", "classifier.hidden=0", "classifier.reset=true"),
    *("classifier.tau_out_ms=[150.0]", "classifier.confidence_min=0", "classifier.evidence_min=0"),
    *("classifier.rate=5e-3", "classifier.rate_end=5e-4", "classifier.rate_half=5000"),
    *("classifier.store=0", "classifier.replays=0"),
)
"""A readout taught on the spikes of neurons that nobody taught."""
TARGETS = {
    **accuracy_socket.TARGETS,
    **accuracy_speech.TARGETS,
    **{f"stdp_{neurons}_percent": goal for neurons, goal in STDP_NEURONS.items()},
    "digits_percent": 98.0,
    "incremental_old_classes_change_points": -5.0,
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
    for seed in range(options.seeds):
        sets = ("network.neurons=100",) if options.quick else ()
        _taught(found, "stdp_without_reset", source, "digits_stdp.toml", (*sets, *UNRESET), seed)


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


def features(options: argparse.Namespace, found: Found) -> None:
    """What stands between pixels and what reads them: drawn by hand, or learned by spikes."""
    images = f"mnist://{options.data / 'digits'}"
    images += f"?take={3_000 if options.quick else options.images}" if options.quick or options.images else "?split=all"
    real = f"nmnist://{options.data / 'nmnist'}"
    for seed in range(options.seeds):
        for front, (config, *sets) in FRONTS.items():
            for reader, own in READERS.items():
                _taught(found, f"features_{front}_{reader}", images, config, (*sets, own), seed)
        _taught(found, "features_neurons_votes", f"{images}&present_ms=150", "digits_stdp.toml", (), seed)
        _taught(found, "features_neurons_readout", f"{images}&present_ms=150", "digits_stdp.toml", ON_NEURONS, seed)
        for front, more in (("edges", ()), ("maps", NMNIST_MAPS)):
            _taught(found, f"features_nmnist_{front}", real, "nmnist.toml", more, seed)


def layers(options: argparse.Namespace, found: Found) -> None:
    """One hidden layer or two, with as many neurons."""
    images = f"mnist://{options.data / 'digits'}"
    images += f"?take={3_000 if options.quick else options.images}" if options.quick or options.images else "?split=all"
    for seed in range(options.seeds):
        for name, hidden in (("200", "200"), ("300", "300"), ("200_100", "[200, 100]")):
            _taught(found, f"layers_{name}", images, "digits.toml", (f"classifier.hidden={hidden}",), seed)


def _taught(found: Found, name: str, source: str, config: str, sets: Sequence[str], seed: int) -> None:
    """Add what a configuration reaches on the held-out windows of a source, and how fast it learned the others."""
    more = [f"--set={one}" for one in sets]
    figures = told("train", source, "--config", str(CONFIG / config), *more, "--seed", str(seed))
    found.add(f"{name}_percent", percent(figures["held_out"]))
    found.add(f"{name}_windows_per_s", figures["windows_per_s"])
    print(f"{name}: {found.seeds[f'{name}_percent'][-1]:.2f}", flush=True)


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


def incremental(options: argparse.Namespace, found: Found) -> None:
    """Five classes, then five others; and all ten mixed."""
    images = f"mnist://{options.data / 'digits'}"
    few, config = 500 if options.quick else 10_000, str(CONFIG / "digits.toml")
    with tempfile.TemporaryDirectory() as folder:
        first, second, mixed = (str(Path(folder) / f"{name}.npz") for name in ("first", "second", "mixed"))

        def right(labels: str, model: str) -> float:
            return percent(told("eval", f"{images}?split=test&labels={labels}", "--model", model))

        for seed in range(options.seeds):
            one, own = f"{images}?split=train&take={few}&labels=", ("--seed", str(seed), "--save")
            told("train", one + "0-4", "--config", config, *own, first)
            told("train", one + "5-9", "--model", first, *own, second)
            told("train", f"{images}?split=train&take={2 * few}", "--config", config, *own, mixed)
            before, after = right("0-4", first), right("0-4", second)
            found.add("incremental_old_before_percent", before)
            found.add("incremental_old_after_percent", after)
            found.add("incremental_old_classes_change_points", after - before)
            found.add("incremental_new_percent", right("5-9", second))
            found.add("incremental_mixed_old_percent", right("0-4", mixed))
            found.add("incremental_mixed_new_percent", right("5-9", mixed))


def socket(options: argparse.Namespace, found: Found) -> None:
    """A digit that nobody knew, taught while the stream runs."""
    for seed in range(options.seeds):
        for name, value in accuracy_socket.socket(options.data, seed).items():
            found.add(name, value)


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
    "incremental": incremental,
    "socket": socket,
    "speech": speech,
    "features": features,
    "layers": layers,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small parts of the data, one seed")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with digits/, nmnist/ and speech/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts only")
    parser.add_argument(
        "--images", type=int, default=0, help="training images for the parts features and layers, 0 for all"
    )
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
