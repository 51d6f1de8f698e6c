"""Spoken words, learned online from a cochlea's spikes: one pass, strange voices, new words, an hour of keywords.

    python benchmarks/accuracy_speech.py [--quick] [--data FOLDER]

All of it runs through the public pipeline with config/words.toml, and each answer is frozen before its label is used.
Words come as one stream at levels of their own, shuffled by the seed; the ear's gain control sees no future.

four speakers   recordings 5 and up of each speaker and digit once, then recordings 0-4 with learning off; beside it, on
                the same spikes in ten bins and on ten bins of log energies: logistic regression, 3-NN, SVM, a small MLP
a new speaker   three speakers once; the fourth with learning off; 100 words of the fourth, ten of each; then the others
new words       digits 0-4 once, then digits 5-9; the first five before and after
keywords        an hour of benchmarks/keywords.py, in windows of voice activity
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keywords
import numpy as np
from common import finish, table

import spikestream as ss
from spikestream.batch import Batch, Command, Decision, Label, Setting, Sound, Spikes, Window, first_at
from spikestream.building import ear_of, with_sensor
from spikestream.config import read_config
from spikestream.files.labels import LabelRow
from spikestream.kernels import gammatone
from spikestream.sensors.datasets.spoken import Spoken
from spikestream.sensors.voice import Voice

CONFIG = Path(__file__).resolve().parent.parent / "config" / "words.toml"
GAIN_DB = "-16:4"
BINS = 10
SPEAKERS = ("george", "jackson", "lucas", "nicolas")
SHOTS = (5, 10, 15, 20, 25, 30, 35, 40, 45, 49)
"""Recordings that teach a new speaker: ten of each digit, from first to last, for voices change on the way."""
REST = ",".join(str(number) for number in range(50) if number not in SHOTS)
WORDS = ("4", "7", "8")
KEYWORD_CONFIDENCE = 0.8


@dataclass
class Run:
    """A pipeline that goes from one part of a data set to the next in one stream."""

    seed: int
    data: Path
    options: dict[str, object] = field(default_factory=dict)
    spikes: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    taught: int = 0

    def __post_init__(self) -> None:
        config = read_config(CONFIG)
        config = replace(config, classifier=replace(config.classifier, seed=self.seed, **self.options))
        self.pipeline = ss.build(config, samplerate_hz=keywords.RATE)
        self.now = 0

    def hear(self, learn: bool, keep: bool = False, **choice: object) -> float:
        """Play words that ``choice`` names, teach them or not; return the share that was right before its label."""
        folder = self.data / "speech" / "recordings"
        sensor = Spoken(str(folder), order="shuffled", seed=self.seed, gain_db=GAIN_DB, **choice)
        rows = [row for row in sensor.rows if keep or row.test is not learn]
        self.taught += len(rows) if learn else 0
        right = [
            answer.label == row.label for row, answer in zip(rows, self._answers(sensor, rows, learn), strict=True)
        ]
        return float(np.mean(right))

    def _answers(self, sensor: Spoken, rows: Sequence[LabelRow], learn: bool) -> Iterator[Decision]:
        begun = self.now
        waiting: list[Command] = [Setting(begun, "learn.enabled", learn)]
        for row in rows:
            start, stop = begun + row.start, begun + row.stop
            waiting += [Window(start, stop), *([Label(stop, start, stop, row.label)] if learn else [])]
        for batch in played(sensor):
            moved = Sound(begun + batch.start, begun + batch.stop, batch.samples)
            due = [command for command in waiting if command.t < moved.stop]
            waiting = waiting[len(due) :]
            outputs = self.pipeline(moved, due)
            yield from outputs["readout"].rows
            self.now = moved.stop


def played(sensor: Spoken) -> Iterator[Sound]:
    """Yield the batches of a sensor."""
    batches = sensor.batches()
    with asyncio.Runner() as loop:
        while True:
            try:
                yield loop.run(anext(batches))  # type: ignore[arg-type]
            except StopAsyncIteration:
                return


def four_speakers(data: Path, seeds: Sequence[int], few: dict[str, object]) -> dict[str, list[float]]:
    """Return accuracy and samples/s of one pass, seed by seed."""
    found: dict[str, list[float]] = {"accuracy": [], "prequential": [], "per_s": [], "store_mb": []}
    for seed in seeds:
        run = Run(seed, data)
        begun = time.process_time()
        found["prequential"].append(run.hear(True, split="train", **few))
        found["per_s"].append(run.taught / (time.process_time() - begun))
        found["accuracy"].append(run.hear(False, split="test"))
        found["store_mb"].append(run.pipeline.stages["readout"].memory_bytes() / 1e6)
    return found


def new_speaker(data: Path, seeds: Sequence[int], few: dict[str, object]) -> dict[str, list[list[float]]]:
    """Return by speaker, seed by seed: frozen, after 100 words, and the others before and after."""
    found: dict[str, list[list[float]]] = {}
    for speaker in SPEAKERS:
        others = ",".join(name for name in SPEAKERS if name != speaker)
        for seed in seeds:
            run = Run(seed, data)
            run.hear(True, split="train", speakers=others, **few)
            old = {"split": "test", "speakers": others}
            figures = [run.hear(False, split="test", speakers=speaker, test="0-49"), 0.0, run.hear(False, **old), 0.0]
            rest = {"speakers": speaker, "test": REST}
            run.hear(True, split="train", **rest)
            figures[1], figures[3] = run.hear(False, split="test", **rest), run.hear(False, **old)
            found.setdefault(speaker, []).append(figures)
    return found


def new_words(data: Path, seeds: Sequence[int], few: dict[str, object]) -> dict[str, list[float]]:
    """Return accuracies of digits 0-4 before and after 5-9 are learned, and of 5-9, seed by seed."""
    found: dict[str, list[float]] = {"before": [], "after": [], "new": []}
    for seed in seeds:
        run = Run(seed, data)
        run.hear(True, split="train", labels="0-4", **few)
        found["before"].append(run.hear(False, split="test", labels="0-4"))
        run.hear(True, split="train", labels="5-9", **few)
        found["after"].append(run.hear(False, split="test", labels="0-4"))
        found["new"].append(run.hear(False, split="test", labels="5-9"))
    return found


# Keywords.


def sounds(path: Path) -> Iterator[Sound]:
    """Yield a sound file in blocks of 100 ms."""
    yield from ss.sounds(path, length_us=100_000)


def spotted(data: Path, seed: int, minutes: float) -> dict[str, float]:
    """Teach the words, hear the hour; return recall, false alarms, and how many words and other windows there were."""
    config = read_config(CONFIG)
    own = replace(config.classifier, seed=seed, confidence_min=KEYWORD_CONFIDENCE)
    config = replace(config, classifier=own, readout=replace(config.readout, windows="voice"))
    config = replace(config, hear=replace(config.hear, even=0.0))  # there are noises between the words
    pipeline = ss.build(config, samplerate_hz=keywords.RATE)
    with tempfile.TemporaryDirectory() as folder:
        made = {"teach": keywords.lessons(data, seed), "hour": keywords.hour(data, WORDS, minutes, seed)}
        for name, one in made.items():
            keywords.write(Path(folder), name, one)
        labels = [Label(*told) for told in lessons_told(made["teach"][1])]
        list(voiced(pipeline, sounds(Path(folder) / "teach.wav"), labels, 0))
        start = ((pipeline.now or 0) // 1_000_000 + 1) * 1_000_000
        off: list[Command] = [Setting(start, "learn.enabled", False)]
        answers = list(voiced(pipeline, sounds(Path(folder) / "hour.wav"), off, start))
    return counted(answers, made["hour"][1], start)


def lessons_told(items: Sequence[keywords.Item]) -> Iterator[tuple[int, int, int, str]]:
    """Yield (t, start, stop, label) of each item: what is heard until 300 ms behind it has its name."""
    for item in items:
        stop = item.stop * 125 + 300_000
        yield stop, item.start * 125, stop, item.label


def voiced(pipeline: ss.Pipeline, batches: Iterator[Sound], told: Sequence[Command], offset: int) -> Iterator[Decision]:
    """Yield the decisions of a pipeline in windows of voice activity, ``offset`` µs on in its stream."""
    ear, waiting = Voice(keywords.RATE), list(told)
    for batch in batches:
        moved = Sound(offset + batch.start, offset + batch.stop, batch.samples)
        due = [command for command in waiting if command.t < moved.stop]
        waiting = waiting[len(due) :]
        yield from pipeline(moved, [*due, *ear(moved)])["readout"].rows


def counted(answers: Sequence[Decision], items: Sequence[keywords.Item], offset: int) -> dict[str, float]:
    """Return recall of the words, false alarms, and the numbers of words and of answers."""
    words = [(offset + i.start * 125, offset + i.stop * 125 + 300_000, i.label) for i in items if i.label]
    called = [answer for answer in answers if answer.label in WORDS]
    hits = {at for at, word in enumerate(words) for one in called if _inside(one, word) and one.label == word[2]}
    false = sum(not any(_inside(one, word) and one.label == word[2] for word in words) for one in called)
    return {"recall": len(hits) / len(words), "false_alarms": false, "words": len(words), "answers": len(answers)}


def _inside(answer: Decision, word: tuple[int, int, str]) -> bool:
    return answer.start < word[1] and word[0] < answer.stop


# Baselines.


def baselines(data: Path, seed: int) -> dict[str, dict[str, float]]:
    """Return the accuracy of batch learners on the same words, as counts of the same spikes and as log energies."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    train, test = (features(data, seed, split) for split in ("train", "test"))
    learners = {
        "logistic regression": lambda: LogisticRegression(C=0.01, max_iter=100),
        "3-NN": lambda: KNeighborsClassifier(3),
        "SVM": lambda: SVC(C=10),
        "MLP, 100 hidden": lambda: MLPClassifier(100, random_state=seed, max_iter=60),
    }
    found: dict[str, dict[str, float]] = {}
    for what in ("spikes", "log energies"):
        for name, make in learners.items():
            model = make_pipeline(StandardScaler(), make()).fit(train[what], train["labels"])
            found.setdefault(name, {})[what] = float(model.score(test[what], test["labels"]))
    return found


def features(data: Path, seed: int, split: str) -> dict[str, np.ndarray]:
    """Return square roots of spike counts and log energies, each (n, BINS x ...), and the labels (n,)."""
    config = read_config(CONFIG)
    folder = str(data / "speech" / "recordings")
    sensor = Spoken(folder, order="shuffled", seed=seed, gain_db=GAIN_DB, split=split)
    ear = ear_of(with_sensor(config, None, sensor.samplerate_hz))
    params = gammatone.Params(sensor.samplerate_hz, config.hear.bands)
    coeffs, state = gammatone.design(params), gammatone.init()
    counts, energies = [], []
    for row, batch in zip(sensor.rows, played(sensor), strict=True):
        counts.append(_counts(ear(batch), row, ear.axons))
        out = np.empty((len(batch.samples), params.bands), np.float32)
        gammatone.run(coeffs, state, batch.samples[:, 0].copy(), out)
        word = out[: (row.stop - row.start) * sensor.samplerate_hz // 1_000_000].astype(np.float64)
        energies.append(np.log([(part**2).mean(axis=0) + 1e-9 for part in np.array_split(word, BINS)]).ravel())
    labels = np.array([row.label for row in sensor.rows])
    return {"spikes": np.array(counts), "log energies": np.array(energies), "labels": labels}


def _counts(heard: Batch, row: LabelRow, axons: int) -> np.ndarray:
    assert isinstance(heard, Spikes)
    stop = first_at(heard.t, row.stop)
    bins = (heard.t[:stop] - row.start) * BINS // (row.stop - row.start)
    return np.sqrt(np.bincount(bins * axons + heard.axon[:stop], minlength=BINS * axons))


# The table.


def spoken(data: Path, quick: bool = False, seeds: Sequence[int] = (0, 1, 2)) -> dict[str, float]:
    """Print all figures and return those that have targets; ``quick`` takes one seed, a quarter of the words."""
    seeds, few = (seeds[:1], {"take": 450}) if quick else (seeds, {})
    one = four_speakers(data, seeds, few)
    rows = [["one pass over four speakers", *(f"seed {seed}" for seed in seeds), "mean"]]
    kinds = ("accuracy", "prequential")
    rows += [[kind, *(f"{value:.1%}" for value in one[kind]), f"{np.mean(one[kind]):.2%}"] for kind in kinds]
    print(f"{table(rows)}\n{np.mean(one['per_s']):,.0f} samples/s, memory {np.max(one['store_mb']):.1f} MB\n")
    if not quick:
        batch = baselines(data, seeds[0])
        heads = ["spikes", "log energies"]
        lines = [[name, *(f"{scores[what]:.1%}" for what in heads)] for name, scores in batch.items()]
        print(table([["batch, ten bins of", *heads], *lines]), "\n")
    folds = new_speaker(data, seeds, few)
    heads = ["a new speaker", "frozen", "after 100 words", "others before", "others after"]
    means = {name: np.mean(values, axis=0) for name, values in folds.items()}
    total = np.mean(list(means.values()), axis=0)
    lines = [[name, *(f"{value:.1%}" for value in values)] for name, values in {**means, "mean": total}.items()]
    print(table([heads, *lines]), "\n")
    words = new_words(data, seeds, few)
    lost = np.array(words["before"]) - np.array(words["after"])
    lines = [[name, *(f"{value:.1%}" for value in values)] for name, values in {**words, "lost": lost}.items()]
    print(table([["0-4, then 5-9", *(f"seed {seed}" for seed in seeds)], *lines]), "\n")
    hours = [spotted(data, seed, 10 if quick else 60) for seed in seeds]
    for seed, found in zip(seeds, hours, strict=True):
        text = f"recall {found['recall']:.1%} of {found['words']} words, {found['false_alarms']:.0f} false alarms"
        print(f"keywords, seed {seed}: {text} in {found['answers']} windows")
    return {
        "speech_one_pass": float(np.mean(one["accuracy"])),
        "speech_new_speaker_frozen": float(total[0]),
        "speech_new_speaker_after_100": float(total[1]),
        "speech_old_speakers_change": float(total[3] - total[2]),
        "speech_old_words_change": -float(np.mean(lost)),
        "keywords_recall": float(np.mean([found["recall"] for found in hours])),
        "keywords_minus_false_alarms": -float(max(found["false_alarms"] for found in hours)),
    }


TARGETS = {
    "speech_one_pass": 0.97,
    "speech_new_speaker_frozen": 0.75,
    "speech_new_speaker_after_100": 0.95,
    "speech_old_speakers_change": -0.02,
    "speech_old_words_change": -0.05,
    "keywords_recall": 0.9,
    "keywords_minus_false_alarms": -1.0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, a quarter of the words, ten minutes")
    default = os.environ.get("SPIKESTREAM_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="folder that holds speech/recordings/*.wav")
    options = parser.parse_args()
    finish(spoken(options.data, options.quick), TARGETS)


if __name__ == "__main__":
    main()
