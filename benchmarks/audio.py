"""The filterbank and the whole cochlea, beside other people's filterbanks, and what a readout makes of their spikes.

    python benchmarks/audio.py [--quick] [--data FOLDER]

Speed: seconds of sound per second of one core, 16 kHz mono in float32, on 60 s of spoken digits (or, without them, of
noise in syllables). Ours works in blocks: of 4,096 samples, as a file is read, and of 256, as live sound comes; the
others take the file whole, or its first seconds where they are slow, some in environments that `make peers` makes. The
ratios are those of files. CARFAC has no peer: its authors' code is in no package registry.
Accuracy: ten random splits of the spoken digits, presented as one stream with a random gain of ±10 dB each; logistic
regression on ten bins of spike counts, and on ten bins of log energies of the same bank and the same stream.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from common import finish, medians, table

import spikestream as ss
from spikestream.kernels import carfac, gammatone

RATE = 16_000
FILE, LIVE = 4_096, 256
BINS = 10
PEERS = Path(__file__).resolve().parent.parent / ".peers"
ELSEWHERE = {
    "toolbox": ("python_auditory_toolbox", 60),
    "brian2hears": ("brian2hears", 3),
    "lyon": ("lyon (86 bands)", 3),
}
"""Peers in environments of their own, and how many seconds each hears: two are hardly faster than sound."""
Bank = Callable[[np.ndarray], object]


def digits(folder: Path) -> list[tuple[np.ndarray, str]]:
    """Return (samples at 16 kHz, digit) of every recording, none where there are none."""
    import soundfile
    import soxr

    found = []
    for path in sorted((folder / "speech" / "recordings").glob("*.wav")):
        samples, rate = soundfile.read(path)
        found.append((soxr.resample(samples, rate, RATE).astype(np.float32), path.name[0]))
    return found


def syllables(seconds: float) -> np.ndarray:
    """Return noise that swells four times a second."""
    n = int(seconds * RATE)
    envelope = np.clip(np.sin(2 * np.pi * 4 * np.arange(n) / RATE), 0, 1)
    return (0.1 * np.random.default_rng(0).standard_normal(n) * envelope).astype(np.float32)


# Speed.


def our_bank(bands: int, block: int) -> Bank:
    params = gammatone.Params(RATE, bands)
    coeffs, state, out = gammatone.design(params), gammatone.init(), np.empty((block, bands), np.float32)

    def run(sound: np.ndarray) -> None:
        for at in range(0, len(sound), block):
            part = sound[at : at + block]
            gammatone.run(coeffs, state, part, out[: len(part)])

    return run


def our_ear(bands: int, block: int) -> Bank:
    def run(sound: np.ndarray) -> int:
        ear, spikes = ss.Cochlea(RATE, bands), 0
        for at in range(0, len(sound), block):
            part = sound[at : at + block, np.newaxis]
            spikes += len(ear(ss.Sound(at * 125 // 2, (at + len(part)) * 125 // 2, part)))
        return spikes

    return run


def our_carfac(bands: int, block: int) -> Bank:
    params = carfac.Params(step_erb=carfac.erb_step(carfac.Params(), RATE, bands))
    coeffs = carfac.design(params, RATE)
    state, out = carfac.init(coeffs), np.empty((2, block, 1, bands), np.float32)

    def run(sound: np.ndarray) -> None:
        for at in range(0, len(sound), block):
            part = sound[at : at + block, np.newaxis]
            carfac.run(coeffs, state, part, out[0, : len(part)], out[1, : len(part)])

    return run


def peers(bands: int) -> dict[str, Bank]:
    """Return the filterbanks of others that are installed here."""
    centres = gammatone.Params(RATE, bands).centres_hz
    found: dict[str, Bank] = {}
    try:
        from gammatone.filters import erb_filterbank, make_erb_filters

        coefficients = make_erb_filters(RATE, centres)
        found["gammatone (detly)"] = lambda sound: erb_filterbank(sound, coefficients)
    except ImportError as error:
        print(f"not compared: {error}")
    try:
        from scipy import signal

        filters = [signal.gammatone(centre, "iir", fs=RATE) for centre in centres]
        found["scipy.signal.gammatone"] = lambda sound: [signal.lfilter(b, a, sound) for b, a in filters]
        sections = [slaney_sections(centre) for centre in centres]
        found["scipy.signal.sosfilt"] = lambda sound: [signal.sosfilt(sos, sound) for sos in sections]
    except ImportError as error:
        print(f"not compared: {error}")
    return found


def elsewhere(sound: np.ndarray, folder: Path) -> dict[str, Callable[[int], float]]:
    """Return what times the filterbanks that `make peers` has put into environments of their own, given the bands."""
    found: dict[str, Callable[[int], float]] = {}
    for peer, (name, seconds) in ELSEWHERE.items():
        np.save(folder / f"{peer}.npy", sound[: seconds * RATE])
        run = hears(peer, folder)
        try:
            run(64)
            found[name] = run
        except OSError:
            print(f"not compared: {name} is not in .peers/{peer}; make peers puts it there where it can be installed")
        except subprocess.CalledProcessError as error:
            print(f"not compared: {name} fails: {error.stderr.strip().rpartition(chr(10))[2]}")
    return found


def hears(peer: str, folder: Path) -> Callable[[int], float]:
    command = [PEERS / peer / "bin" / "python", Path(__file__).with_name("peer_hears.py"), peer, str(RATE)]

    def factor(bands: int) -> float:
        np.save(folder / "centres.npy", gammatone.Params(RATE, bands).centres_hz)
        files = [folder / f"{peer}.npy", folder / "centres.npy"]
        return float(subprocess.run([*command, *files], check=True, capture_output=True, text=True).stdout)

    return factor


def slaney_sections(centre: float) -> np.ndarray:
    """Return a band as second-order sections for scipy."""
    from spikestream.kernels import slaney

    coeffs = slaney.design(slaney.Params(RATE, (centre,)))
    rows = [[1, a[0], 0, 1, coeffs.poles[0, 0], coeffs.poles[1, 0]] for a in coeffs.zeros]
    rows[0][:2] = [float(coeffs.gain[0]), float(coeffs.gain[0] * coeffs.zeros[0, 0])]
    return np.array(rows)


def speed(sound: np.ndarray, rounds: int) -> dict[str, float]:
    """Print the table of speeds and return its ratios."""
    figures, rows = {}, [["", "64 bands", "128 bands"]]
    factors: dict[int, dict[str, float]] = {}
    folder = tempfile.TemporaryDirectory()
    away = elsewhere(sound, Path(folder.name))
    for bands in (64, 128):
        makers = {"bank": our_bank, "cochlea, to spikes": our_ear, "CARFAC": our_carfac}
        ours = {f"{what}, blocks of {n:,}": make(bands, n) for what, make in makers.items() for n in (FILE, LIVE)}
        inside = peers(bands)
        for run in [*ours.values(), *inside.values()]:
            run(sound[:RATE])  # compile, and load what is lazy
        others = {name: timed(run, sound) for name, run in inside.items()}
        others |= {name: partial(run, bands) for name, run in away.items()}
        found = medians(rounds, {name: timed(run, sound) for name, run in ours.items()} | others)
        best = max((found[name] for name in others), default=float("nan"))
        figures[f"bank_{bands}_vs_fastest_peer"] = found[f"bank, blocks of {FILE:,}"] / best
        figures[f"cochlea_{bands}_vs_fastest_filterbank"] = found[f"cochlea, to spikes, blocks of {FILE:,}"] / best
        figures[f"cochlea_{bands}_live_realtime_factor"] = found[f"cochlea, to spikes, blocks of {LIVE}"]
        figures[f"carfac_{bands}_realtime_factor"] = found[f"CARFAC, blocks of {FILE:,}"]
        factors[bands] = found
    rows += [[name, *(f"{factors[bands].get(name, 0):,.0f} x" for bands in (64, 128))] for name in factors[64]]
    print(f"seconds of sound per second, {len(sound) / RATE:.0f} s of sound, median of {rounds}\n\n{table(rows)}\n")
    return figures


def timed(run: Bank, sound: np.ndarray) -> Callable[[], float]:
    def factor() -> float:
        begun = time.process_time()
        run(sound)
        return len(sound) / RATE / (time.process_time() - begun)

    return factor


# What the spikes carry.


def accuracy(recordings: list[tuple[np.ndarray, str]], splits: int) -> dict[str, float]:
    """Print and return the accuracies of spike counts and of log energies, as means over random splits."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(recordings))
    gains = 10 ** (rng.uniform(-10, 10, len(recordings)) / 20)
    parts = [np.float32(0.5 * gain) * recordings[i][0] for i, gain in zip(order, gains, strict=True)]
    labels = np.array([recordings[i][1] for i in order])
    stream = np.clip(np.concatenate(parts), -1, 1)
    edges = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    counts, per_band_hz = spike_counts(stream, edges)
    energies = log_energies(stream, edges)
    scores = {"spike counts": score(counts, labels, splits), "log energies": score(energies, labels, splits)}
    rows = [
        ["ten bins of", "accuracy", "spread"],
        *([n, f"{np.mean(s):.2%}", f"{np.std(s):.2%}"] for n, s in scores.items()),
    ]
    print(
        f"{len(labels):,} spoken digits, {splits} splits, {per_band_hz:.0f} spikes a band and second\n\n{table(rows)}\n"
    )
    return {
        "digits_spike_counts": float(np.mean(scores["spike counts"])),
        "digits_log_energies": float(np.mean(scores["log energies"])),
        "digits_spikes_minus_energies": float(np.mean(scores["spike counts"]) - np.mean(scores["log energies"])),
        "digits_100_over_spikes_per_band_hz": 100 / per_band_hz,
    }


def spike_counts(stream: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, float]:
    """Return counts (recordings, bins x axons) of the cochlea with its defaults, and spikes a band and second."""
    ear = ss.Cochlea(RATE)
    made = [
        ear(ss.Sound(at * 125 // 2, (at + len(block)) * 125 // 2, block[:, np.newaxis]))
        for at in range(0, len(stream), RATE)
        if len(block := stream[at : at + RATE])
    ]
    t, axon = np.concatenate([one.t for one in made]), np.concatenate([one.axon for one in made])
    counts = np.zeros((len(edges) - 1, BINS, ear.axons), np.float32)
    places = np.searchsorted(t, edges * 125 // 2)
    for row, (begin, end) in enumerate(itertools.pairwise(places)):
        start, stop = edges[row] * 125 // 2, edges[row + 1] * 125 // 2
        bins = np.minimum((t[begin:end] - start) * BINS // (stop - start), BINS - 1)
        np.add.at(counts[row], (bins, axon[begin:end]), 1)
    return counts.reshape(len(counts), -1), len(t) / (len(stream) / RATE) / ear.bands


def log_energies(stream: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return log energies (recordings, bins x bands) of the bank alone."""
    params = gammatone.Params(RATE)
    coeffs, state, rows = gammatone.design(params), gammatone.init(), []
    for begin, end in itertools.pairwise(edges):
        out = np.empty((end - begin, params.bands), np.float32)
        gammatone.run(coeffs, state, stream[begin:end], out)
        rows.append(np.log([(part.astype(np.float64) ** 2).mean(axis=0) + 1e-9 for part in np.array_split(out, BINS)]))
    return np.array(rows).reshape(len(rows), -1)


def score(features: np.ndarray, labels: np.ndarray, splits: int) -> list[float]:
    """Return the accuracy on a fifth of the recordings after training on the rest, split by split."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = []
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(labels))
        test, train = np.split(order, [len(order) // 5])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        found.append(float(model.fit(features[train], labels[train]).score(features[test], labels[test])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less sound, fewer rounds and splits")
    default = os.environ.get("SPIKESTREAM_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", default=default, help="folder that holds speech/recordings/*.wav")
    options = parser.parse_args()
    recordings = digits(Path(options.data))
    seconds = 10 if options.quick else 60
    sound = np.concatenate([part for part, _ in recordings]) if recordings else syllables(seconds)
    figures = speed(sound[: seconds * RATE], 2 if options.quick else 5)
    if recordings:
        figures |= accuracy(recordings, 2 if options.quick else 10)
    else:
        print(f"no spoken digits at {options.data}: their accuracies are left out")
    targets = {
        "bank_64_vs_fastest_peer": 20.0,
        "bank_128_vs_fastest_peer": 10.0,
        "cochlea_64_vs_fastest_filterbank": 8.0,
        "carfac_64_realtime_factor": 150.0,
        "digits_spikes_minus_energies": -0.01,
        "digits_100_over_spikes_per_band_hz": 1.0,
    }
    finish(figures, targets)


if __name__ == "__main__":
    main()
