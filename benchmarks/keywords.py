"""A scripted hour of words, other words, noises and silence, as a sound file, and what teaches the words before it.

    python benchmarks/keywords.py FOLDER [--data DATA] [--words 4,7,8] [--minutes 60] [--seed 0]

writes FOLDER/teach.wav with teach.csv, and FOLDER/hour.wav with hour.csv, from the spoken digits in DATA. Taught are
recordings 5 and up, every digit by its name, and noises, at the share the hour has of them, as "noise"; `UNHEARD`
digits are left out. The hour has recordings 0-4 alone, which nobody is taught; each comes many times, at levels of its
own, on a floor of noise that rises and falls. What is written depends on the seed and on DATA only.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 8_000
UNHEARD: tuple[str, ...] = ()
"""Digits that are no words and are heard in the hour for the first time."""
NO_WORD = "noise"
SHARES = {"word": 0.25, "digit": 0.45, "noise": 0.3}
"""Of what the hour is made, in items; about ten in a minute."""
FLOOR_DB, GAIN_DB = (20.0, 32.0), (-10.0, 10.0)
"""Levels of the noise throughout, where a sine of full scale has 100 dB, and gains of what is said."""


@dataclass(frozen=True, slots=True)
class Item:
    """``[start, stop)`` samples of a stream; ``label`` "" for noise."""

    start: int
    stop: int
    label: str


def recordings(data: Path, low: int, high: int) -> dict[str, list[Path]]:
    """Return by digit the recordings numbered ``low`` to ``high``, the last not included."""
    found: dict[str, list[Path]] = {str(digit): [] for digit in range(10)}
    for path in sorted((data / "speech" / "recordings").glob("*.wav")):
        digit, _, number = path.stem.split("_")
        if low <= int(number) < high:
            found[digit].append(path)
    return found


def noise(rng: np.random.Generator) -> np.ndarray:
    """Return a noise of 30 to 800 ms: a click, a hiss, a hum or a sweep, none of it a voice."""
    n = int(RATE * rng.uniform(0.03, 0.8))
    t = np.arange(n) / RATE
    kind = rng.integers(4)
    if kind == 0:
        sound = rng.standard_normal(n) * np.exp(-t / 0.01)
    elif kind == 1:
        sound = np.convolve(rng.standard_normal(n), rng.standard_normal(8), "same")
    elif kind == 2:
        sound = sum(np.sin(2 * np.pi * k * rng.uniform(50, 400) * t) / k for k in range(1, 5))
    else:
        sound = np.sin(2 * np.pi * (rng.uniform(200, 1_000) * t + rng.uniform(-1_500, 1_500) * t**2))
    edge = np.minimum(1, np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.005 * RATE))
    return 0.1 * sound * edge / max(1e-9, float(np.abs(sound).max()))


def stream(rng: np.random.Generator, parts: Iterator[tuple[np.ndarray, str, float]]) -> tuple[np.ndarray, list[Item]]:
    """Return parts (sound, label, s of pause behind it) one after the other on a floor of noise, and where they are."""
    rows, sounds, now = [], [np.zeros(RATE)], RATE
    for sound, label, pause_s in parts:
        sounds += [0.5 * 10 ** (rng.uniform(*GAIN_DB) / 20) * sound, np.zeros(int(pause_s * RATE))]
        rows.append(Item(now, now + len(sound), label))
        now += len(sounds[-2]) + len(sounds[-1])
    made = np.concatenate(sounds)
    points = np.arange(0, len(made) + 30 * RATE, 30 * RATE)
    level_db = np.interp(np.arange(len(made)), points, rng.uniform(*FLOOR_DB, len(points)))
    made += rng.standard_normal(len(made)) * 10 ** ((level_db - 100) / 20) / np.sqrt(2)
    return np.clip(made, -1, 1).astype(np.float32), rows


def lessons(data: Path, seed: int) -> tuple[np.ndarray, list[Item]]:
    """Return what teaches: every recording once, in random order, among noises of which there are as many as later."""
    rng = np.random.default_rng([seed, 1])
    found = recordings(data, 5, 1_000)
    said: list[tuple[Path | None, str]] = [
        (path, name) for name in found if name not in UNHEARD for path in found[name]
    ]
    said += [(None, NO_WORD)] * round(len(said) * SHARES["noise"] / (1 - SHARES["noise"]))
    order = rng.permutation(len(said))
    return stream(rng, ((_sound(rng, said[i][0]), said[i][1], 0.5) for i in order))


def hour(data: Path, words: Sequence[str], minutes: float, seed: int) -> tuple[np.ndarray, list[Item]]:
    """Return the scripted hour; words have their labels, other digits and noises "" and are to be called nothing."""
    rng = np.random.default_rng([seed, 2])
    found = recordings(data, 0, 5)
    digits = [digit for digit in found if digit not in words]

    def parts() -> Iterator[tuple[np.ndarray, str, float]]:
        seconds = 1.0
        while seconds < 60 * minutes - 12:
            kind = rng.choice(list(SHARES), p=list(SHARES.values()))
            digit = str(rng.choice(list(words) if kind == "word" else digits))
            path = None if kind == "noise" else found[digit][rng.integers(len(found[digit]))]
            sound, pause_s = _sound(rng, path), float(rng.uniform(0.6, 10.5))
            seconds += len(sound) / RATE + pause_s
            yield sound, digit if kind == "word" else "", pause_s

    return stream(rng, parts())


def write(folder: Path, name: str, made: tuple[np.ndarray, Sequence[Item]]) -> None:
    """Write a stream as a sound file of 16 bits, and a label file whose rows reach 300 ms behind what was said."""
    samples, rows = made
    soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="PCM_16")
    with open(folder / f"{name}.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["start_us", "stop_us", "label", "split"])
        lines.writerows(
            [item.start * 125, item.stop * 125 + 300_000, item.label, "train"] for item in rows if item.label
        )


def _sound(rng: np.random.Generator, path: Path | None) -> np.ndarray:
    if path is None:
        return noise(rng)
    sound: np.ndarray = soundfile.read(path)[0]
    return sound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    default = os.environ.get("SPIKESTREAM_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="folder that holds speech/recordings/*.wav")
    parser.add_argument("--words", default="4,7,8")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    words = options.words.split(",")
    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder, "teach", lessons(options.data, options.seed))
    write(options.folder, "hour", hour(options.data, words, options.minutes, options.seed))


if __name__ == "__main__":
    main()
