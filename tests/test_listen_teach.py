"""Words learned on the spot: who speaks is asked, and then understood, by this run and by the model it saves."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import soxr
from cli import command
from inprocess import called
from soundserver import RATE, clip, listening, sound_server, wait_for  # noqa: F401

import spikestream as ss
from spikestream.batch import Decision, Label, Sound
from spikestream.cli.base.lessons import Lessons
from spikestream.errors import ConfigError
from spikestream.sensors.record import Record

SHA = ("state_sha256", "output_sha256")


def heard(start, stop):
    return Decision(start, stop, None, 0.0)


# Who is asked for what, and when.


def test_each_word_is_asked_for_in_turn_and_what_is_heard_then_is_taught():
    said: list[str] = []
    lessons = Lessons("yes, no", 2, said.append)
    assert lessons.heard([], 1_000) == []
    assert said == ["say: yes  (1 of 2)"]
    made = []
    for number in range(6):
        start = 1_000_000 * (number + 1)
        made += lessons.heard([heard(start, start + 400_000)], start + 500_000)
    assert made[:2] == [
        Label(1_500_000, 1_000_000, 1_400_000, "yes"),
        Label(2_500_000, 2_000_000, 2_400_000, "no"),
    ]
    assert [label.label for label in made] == ["yes", "no", "other"] * 2
    assert said[1:6] == [
        "say: no  (1 of 2)",
        "say: anything else  (1 of 2)",
        "say: yes  (2 of 2)",
        "say: no  (2 of 2)",
        "say: anything else  (2 of 2)",
    ]
    assert said[6].startswith("learned yes, no")
    assert (lessons.over, lessons.missing()) == (True, "")
    assert lessons.heard([heard(9_000_000, 9_900_000)], 9_900_000) == []


def test_what_began_before_it_was_asked_for_and_clicks_are_not_taught():
    said: list[str] = []
    lessons = Lessons("yes", 1, said.append)
    assert lessons.heard([heard(0, 900_000)], 1_000_000) == []
    assert lessons.heard([heard(999_999, 1_500_000)], 1_500_000) == []
    assert lessons.heard([heard(2_000_000, 2_210_000)], 2_300_000) == []
    assert said[-1] == "too short to be a word. say: yes"
    assert (lessons.over, lessons.missing()) == (False, "yes 0 of 1, other 0 of 1")
    assert len(lessons.heard([heard(3_000_000, 3_300_000), heard(3_400_000, 3_800_000)], 3_900_000)) == 1


def test_two_words_in_one_batch_are_not_both_answers():
    lessons = Lessons("yes,no", 1, lambda text: None)
    lessons.heard([], 0)
    made = lessons.heard([heard(100_000, 500_000), heard(600_000, 990_000)], 1_000_000)
    assert [label.label for label in made] == ["yes"]  # "no" was asked for only then


@pytest.mark.parametrize("words", ["", ",", "yes,", "yes,yes", "a\nb", "x" * 257, ",".join(map(str, range(101)))])
def test_what_are_no_words(words):
    with pytest.raises(ConfigError, match="no words"):
        Lessons(words, 1, print)


@pytest.mark.parametrize("examples", [0, -1, 1_001])
def test_how_often(examples):
    with pytest.raises(ConfigError, match="examples"):
        Lessons("yes", examples, print)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--no-learn"], "learning is off"),
        (["--set", "readout.windows=grid"], "what voices mark"),
        (["--examples", "0"], "0 examples"),
        (["--set", "readout.kind=classifier", "--set", "classifier.anytime_us=50000"], "only at its end"),
    ],
)
def test_where_nothing_can_be_taught_is_told_before_anything_begins(args, text):
    assert text in called("listen", "--teach", "yes,no", *args, code=2).stderr


# With a real sound server.


@pytest.fixture
def warm():
    """Compile here what the other process would take too long to compile."""
    ss.Cochlea(RATE)(Sound(0, 10_000, np.zeros((RATE // 100, 1), np.float32)))
    ss.Classifier(4).prepare()


def tone(hz, seed):
    """Return a hum of almost that frequency."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(0.4 * RATE)) / RATE
    return 0.2 * np.sin(2 * np.pi * hz * rng.uniform(0.95, 1.05) * t) + rng.normal(0, 0.002, len(t))


def taught(server, folder, words, samples_of, examples, rounds, *more):
    """Teach words to `listen`, then say all again; return its rows, its summary and the names in that order."""
    line = command("listen", "--teach", ",".join(words), "--examples", examples, "--jsonl", *more)
    with listening(server, *line) as ear:
        for number in range(1, examples + 1):
            for word in (*words, None):
                ear.until(f"say: {word or 'anything else'}  ({number} of {examples})")
                clip(folder / "word.wav", samples_of(word, number), lead_s=0.1)
                server.play(folder / "word.wav")
        ear.until(f"learned {', '.join(words)}")
        told = []
        for number in range(examples + 1, examples + 1 + rounds):
            for word in (*words, None):
                before = len(ear.stdout.splitlines())
                clip(folder / "word.wav", samples_of(word, number), lead_s=0.1)
                server.play(folder / "word.wav")
                wait_for(lambda before=before: len(ear.stdout.splitlines()) > before, "a decision")
                told.append(word)
        assert ear.end() == 143
    *rows, summary = map(json.loads, ear.stdout.splitlines())
    return rows, summary, told


def test_hums_are_learned_on_the_spot_and_the_model_knows_them(sound_server, warm, tmp_path):  # noqa: F811
    hums = {"low": 300, "high": 2_500, None: 1_000}
    model, record = tmp_path / "hums.npz", tmp_path / "r"
    more = ("--save", model, "--record", record)
    rows, summary, told = taught(
        sound_server, tmp_path, ["low", "high"], lambda word, n: tone(hums[word], n), 2, 1, *more
    )
    assert [row["label"] for row in rows[-len(told) :]] == told
    assert rows[0]["label"] is None
    again = json.loads(called("replay", record, "--speed", "max", "--json").stdout)
    assert {key: again[key] for key in SHA} == {key: summary[key] for key in SHA}
    assert [c.label for c in Record(str(record)).commands if isinstance(c, Label)] == ["low", "high", "other"] * 2

    parts = [tone(hums[word], 20 + n) for n, word in enumerate(["high", "low", "high"])]
    clip(tmp_path / "hour.wav", np.concatenate([x for part in parts for x in (part, np.zeros(RATE // 2))]))
    line = (
        "replay",
        tmp_path / "hour.wav",
        "--model",
        model,
        "--set",
        "readout.windows=voice",
        "--no-learn",
        "--jsonl",
    )
    told = [json.loads(row)["label"] for row in called(*line, "--speed", "max").stdout.splitlines()[:-1]]
    assert told == ["high", "low", "high"]

    with listening(sound_server, *command("listen", "--model", model, "--no-learn")) as ear:
        clip(tmp_path / "word.wav", tone(300, 30), lead_s=0.1)
        sound_server.play(tmp_path / "word.wav")
        wait_for(lambda: " low " in ear.stdout, "a word")
        assert ear.end() == 143


@pytest.mark.realdata
def test_spoken_words_are_learned_on_the_spot(sound_server, warm, data, tmp_path):  # noqa: F811
    digits = {"six": 6, "nine": 9}

    def spoken(word, number):
        digit = digits.get(word, number % 5)
        samples, rate = soundfile.read(data / "speech" / "recordings" / f"{digit}_jackson_{number}.wav")
        return np.clip(soxr.resample(samples, rate, RATE), -1, 1)

    rows, _, told = taught(
        sound_server, tmp_path, list(digits), spoken, 5, 2
    )  # then 6 and 7 of each, and digits 1 and 2
    right = [row["label"] == word for row, word in zip(rows[-len(told) :], told, strict=True)]
    assert sum(right) >= 4


def test_lessons_that_were_broken_off_are_told(sound_server, warm):  # noqa: F811
    with listening(sound_server, *command("listen", "--teach", "yes,no")) as ear:
        ear.until("say: yes  (1 of 5)")
        assert ear.end() == 143
    assert "not all was taught: yes 0 of 5, no 0 of 5, other 0 of 5" in ear.stderr
