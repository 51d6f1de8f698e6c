"""Data sets through the whole system: their windows are decided, held out or taught, and nothing is told too early."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dataset_cases import mnist_folder, word_folder
from inprocess import called

from spikestream.batch import Label, Setting, Window
from spikestream.building import build
from spikestream.config import from_tables
from spikestream.errors import ConfigError
from spikestream.service.job import Job
from spikestream.service.session import Session

QUICK = ("--speed", "max", "--set", "network.neurons=8", "--jsonl", "--quiet")


def replayed(uri, *args):
    """Return the decisions, and the object at the end."""
    *rows, summary = map(json.loads, called("replay", uri, *QUICK, *args).stdout.splitlines())
    return rows, summary


def spans(rows):
    return [(row["start"], row["stop"]) for row in rows]


def test_a_replay_decides_every_sample_and_tells_both_accuracies(tmp_path):
    rows, summary = replayed(f"mnist://{mnist_folder(tmp_path, 48)}?rate_hz=400&present_ms=50&gap_ms=10")
    assert spans(rows) == [(60_000 * k, 60_000 * k + 50_000) for k in range(48)]
    assert summary["decisions"] == 48
    assert all(summary[key] is not None for key in ("accuracy", "prequential_accuracy", "baseline_accuracy"))
    assert summary["chance"] == 0.25
    assert summary["baseline_accuracy"] == 1.0  # a class is a row: 40 of them taught, 8 held out


def test_windows_are_those_that_are_set_where_they_are_set(tmp_path):
    uri = f"mnist://{mnist_folder(tmp_path, 12)}?present_ms=50"
    rows, _ = replayed(uri, "--set", "readout.windows=grid", "--set", "readout.window_us=25000")
    assert spans(rows) == [(25_000 * k, 25_000 * k + 25_000) for k in range(24)]


def test_a_label_file_wins_over_the_labels_of_the_set(tmp_path):
    folder = mnist_folder(tmp_path / "set", 12)
    (tmp_path / "labels.csv").write_text("start_us,stop_us,label,split\n0,100000,dog,train\n500000,600000,cat,test\n")
    rows, summary = replayed(f"mnist://{folder}", "--labels", tmp_path / "labels.csv")
    assert spans(rows) == [(0, 100_000), (500_000, 600_000)]
    assert summary["chance"] == 1.0


def test_no_label_is_used_before_its_window_is_decided(tmp_path):
    names = (np.arange(24) % 4).astype(np.uint8)
    changed = names.copy()
    changed[9] = 7
    made = []
    for place, labels in enumerate((names, changed)):
        folder = mnist_folder(tmp_path / str(place), 24, labels=labels)
        made.append(replayed(f"mnist://{folder}?rate_hz=400")[0])
    assert made[0][:10] == made[1][:10]
    assert made[0][10:] != made[1][10:]


def test_test_labels_change_no_decision(tmp_path):
    names = (np.arange(24) % 4).astype(np.uint8)
    changed = np.where(np.arange(24) >= 20, 9, names).astype(np.uint8)
    made = []
    for place, labels in enumerate((names, changed)):
        folder = mnist_folder(tmp_path / str(place), 24, labels=labels)
        made.append(replayed(f"mnist://{folder}?rate_hz=400"))
    assert made[0][0] == made[1][0]
    assert made[0][1]["state_sha256"] == made[1][1]["state_sha256"]
    assert made[1][1]["accuracy"] == 0.0


def test_commands_mark_all_teach_the_training_part_and_freeze_the_rest(tmp_path):
    uri = f"mnist://{mnist_folder(tmp_path, 12)}"
    tables = {
        "sensor": {"uri": uri, "speed": "max"},
        "readout": {"windows": "marked"},
        "address": {"polarity": "ignore"},
    }
    session = Session(Job(from_tables(tables)))
    commands = [command for _, _, command in sorted(session.engine._commands)]
    assert sum(isinstance(command, Window) for command in commands) == 12
    told = [command for command in commands if isinstance(command, Label)]
    assert [(one.t, one.start, one.label) for one in told] == [
        (100_000 * k + 100_000, 100_000 * k, str(k % 4)) for k in range(10)
    ]
    assert [one for one in commands if isinstance(one, Setting)] == [Setting(1_000_000, "learn.enabled", False)]
    assert session.pipeline.stages["address"].axons == 20


def test_a_batch_of_many_samples_gives_the_same_result(tmp_path):
    uri = f"mnist://{mnist_folder(tmp_path, 24)}?rate_hz=400"
    (one, other) = (replayed(f"{uri}&together={count}") for count in (1, 7))
    assert one[0] == other[0]
    assert [one[1][key] == other[1][key] for key in ("state_sha256", "output_sha256")] == [True, True]


def test_words_are_heard_and_decided(tmp_path):
    folder = word_folder(tmp_path / "words", numbers=range(6))
    rows, summary = replayed(f"spoken://{folder}?test=5&gap_ms=60", "--set", "hear.bands=8")
    assert len(rows) == 24
    assert summary["accuracy"] is not None
    assert summary["prequential_accuracy"] is not None


def test_a_model_is_trained_and_then_held_to_the_test_part(tmp_path):
    folder = mnist_folder(tmp_path / "set", 48)
    replayed(f"mnist://{folder}?split=train&rate_hz=400", "--save", tmp_path / "m.npz")
    rows, summary = replayed(f"mnist://{folder}?split=test&rate_hz=400", "--model", tmp_path / "m.npz", "--no-learn")
    assert spans(rows) == [(100_000 * k, 100_000 * k + 100_000) for k in range(8)]
    assert summary["prequential_accuracy"] is None
    assert summary["chance"] == 0.25


@pytest.mark.parametrize(("query", "words"), [("?split=tset", "did you mean 'test'"), ("?tke=3", "no option 'tke'")])
def test_a_slip_in_the_query_is_one_clear_error(query, words, tmp_path):
    done = called("replay", f"mnist://{mnist_folder(tmp_path, 12)}{query}", code=2)
    assert words in done.stderr


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path):
    assert "there is no such folder" in called("replay", f"mnist://{tmp_path}/nowhere", code=3).stderr


# Polarity


def test_polarity_may_be_ignored():
    for polarity, axons in (("split", 32), ("ignore", 16)):
        stages = build(from_tables({"sensor": {"size": "4x4"}, "address": {"polarity": polarity}})).stages
        assert stages["address"].axons == stages["network"].axons == axons


def test_another_polarity_is_refused():
    with pytest.raises(ConfigError, match=r"address\.polarity"):
        from_tables({"address": {"polarity": "both"}})
