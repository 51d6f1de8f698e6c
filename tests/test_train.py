"""`spikestream train`, `eval` and `models`: the code path of `replay`, its figures, and what is refused."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import sys

import numpy as np
import pytest
from cli import LABELS, LOOKS, ROOT
from inprocess import called

import spikestream as ss
from spikestream import checkpoint
from spikestream.batch import Events
from spikestream.cli.train import in_epoch
from spikestream.errors import ModelError
from spikestream.files import shipped

SMALL = ("--set", "network.neurons=40", "--set", "address.polarity=ignore", "--set", "batch.length_us=100000")
SAME = ("accuracy", "chance", "baseline_accuracy")


def rows_of(first, last):
    with LABELS.open() as file:
        return list(csv.DictReader(file))[first:last]


def label_file(path, *parts, test=0, rename=None):
    """Write label rows from..to of the looks, the last ``test`` of them held out."""
    rows = [row for first, last in parts for row in rows_of(first, last)]
    lines = ["start_us,stop_us,label,split"]
    for number, row in enumerate(rows):
        split = "test" if number >= len(rows) - test else "train"
        label = rename(number, row["label"]) if rename else row["label"]
        lines.append(f"{row['start_us']},{row['stop_us']},{label},{split}")
    path.write_text("\n".join(lines) + "\n")
    return path


def told(verb, *args):
    return json.loads(called(verb, *args, "--json", "-q").stdout)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The recording's first hundred windows."""
    events = ss.read(LOOKS)
    last = int(rows_of(99, 100)[0]["stop_us"])
    path = tmp_path_factory.mktemp("few") / "few.aedat4"
    ss.write(path, Events(events.start, last, events.data[events.data["t"] < last], events.size), size=events.size)
    return path


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """80 windows of the looks, 20 of them held out."""
    return label_file(tmp_path_factory.mktemp("some") / "some.csv", (0, 80), test=20)


@pytest.fixture(scope="module")
def model(some, few):
    """What they taught, and the figures."""
    path = some.with_name("model.npz")
    return path, told("train", few, "--labels", some, *SMALL, "--seed", 3, "--save", path)


# It is a replay


def test_training_is_a_replay(some, few, model):
    path, figures = model
    again = told("replay", few, "--labels", some, *SMALL, "--set", "network.seed=3", "--speed", "max")
    assert figures["state_sha256"] == again["state_sha256"]
    assert figures["prequential_accuracy"] == again["prequential_accuracy"]
    assert {key: figures["held_out"][key] for key in SAME} == {key: again[key] for key in SAME}
    assert (figures["taught"], figures["held_out"]["windows"], figures["finished"]) == (60, 20, True)
    assert np.mean(figures["prequential_by_quarter"]) == pytest.approx(figures["prequential_accuracy"])
    assert 0.25 <= figures["prequential_chance"] < 0.5
    assert figures["prequential_baseline"] is not None
    assert checkpoint.state_sha256(ss.load(path)) == figures["state_sha256"]


def test_notes_stand_beside_the_model_and_hold_no_time(model):
    path, figures = model
    notes = json.loads(path.with_name("model.npz.json").read_text())
    assert notes == {key: value for key, value in figures.items() if key != "windows_per_s"}


def test_several_sources_and_epochs_go_on_with_what_was_learned(few, tmp_path):
    one, two = label_file(tmp_path / "1.csv", (0, 25)), label_file(tmp_path / "2.csv", (25, 50))
    step, whole = tmp_path / "step.npz", tmp_path / "whole.npz"
    prequential = []
    for number, labels in enumerate((one, two, one, two)):
        before = ("--model", step) if number else ()
        last = told("replay", few, "--labels", labels, "--speed", "max", *SMALL, *before, "--save", step)
        prequential.append(last["prequential_accuracy"])
    figures = told("train", few, few, "--labels", one, "--labels", two, *SMALL, "--epochs", 2, "--save", whole)
    assert figures["state_sha256"] == last["state_sha256"]
    assert figures["taught"] == 50
    assert figures["prequential_accuracy"] == pytest.approx(np.mean(prequential[:2]))  # later epochs have seen it all
    assert np.mean(prequential[2:]) != np.mean(prequential[:2])
    assert figures["accuracy_by_epoch"] == [None, None]


def test_what_later_labels_say_changes_nothing_before_them(few, tmp_path):
    turned = label_file(
        tmp_path / "turned.csv", (0, 60), rename=lambda n, label: label if n < 45 else chr(ord(label) + 1)
    )
    plain = label_file(tmp_path / "plain.csv", (0, 60))
    one, other = (told("train", few, "--labels", labels, *SMALL) for labels in (plain, turned))
    assert one["prequential_by_quarter"][:3] == other["prequential_by_quarter"][:3]
    assert one["state_sha256"] != other["state_sha256"]


@pytest.mark.parametrize("rule", ["stdp", "none", "eprop"])
def test_labels_that_mean_nothing_are_not_predicted_by_any_rule(rule, few, tmp_path):
    drawn = np.random.default_rng(0).integers(0, 2, 100)
    labels = label_file(tmp_path / "noise.csv", (0, 100), test=40, rename=lambda n, label: "ab"[drawn[n]])
    own = ("--set", "classifier.hidden=20") if rule == "eprop" else ()
    figures = told("train", few, "--labels", labels, "--rule", rule, *SMALL, *own)
    assert figures["rule"] == rule
    # 60 and 40 windows: four standard errors of a guess among two are 0.26 and 0.32
    assert figures["prequential_accuracy"] < 0.5 + 0.26
    assert abs(figures["held_out"]["accuracy"] - 0.5) < 0.32


# Evaluation


def test_evaluation_is_a_frozen_replay_of_the_held_out_rows(some, few, model, tmp_path):
    path, trained = model
    figures = told("eval", few, "--labels", some, "--model", path)
    assert figures["windows"] == 20
    assert {key: figures[key] for key in ("chance", "baseline_accuracy")} == {
        key: trained["held_out"][key] for key in ("chance", "baseline_accuracy")
    }
    every = told("eval", few, "--labels", some, "--model", path, "--split", "all")
    frozen = told("replay", few, "--labels", some, "--model", path, "--no-learn", "--speed", "max")
    assert every["windows"] == 80
    assert {key: every[key] for key in SAME} == {key: frozen[key] for key in SAME}
    twice = told("eval", few, few, "--labels", some, "--labels", some, "--model", path)
    assert (twice["windows"], twice["accuracy"]) == (40, figures["accuracy"])


def test_a_report_is_the_same_bytes_again_and_adds_up(some, few, model, tmp_path):
    path, _ = model
    for folder in ("1", "2"):
        args = (few, "--labels", some, "--model", path, "--report", tmp_path / folder, "--baseline", "--bins", 2)
        figures = told("eval", *args)
    files = {p.name: p.read_bytes() for p in (tmp_path / "1").iterdir()}
    assert set(files) == {"report.json", "classes.csv", "confusion.png", "manifest.json"}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "2").iterdir()}
    report, manifest = json.loads(files["report.json"]), json.loads(files["manifest.json"])
    assert {key: report[key] for key in figures} == figures
    matrix = np.array(report["confusion"])
    assert matrix.sum() == report["windows"] == 20
    assert np.trace(matrix) == round(report["accuracy"] * 20)
    table = list(csv.DictReader(files["classes.csv"].decode().splitlines()))
    assert [row["label"] for row in table] == report["classes"]
    assert [int(row["count"]) for row in table] == matrix.sum(axis=1).tolist()
    for row, line in zip(table, matrix.tolist(), strict=True):
        assert row["recall"] == (f"{int(row['right']) / sum(line):.6f}" if sum(line) else "")
    assert set(report["baselines"]["accuracy"]) >= {"logistic regression", "linear SVM"}
    assert report["baselines"]["fitted"] == 60
    assert manifest["sources"] == [str(few)]
    assert manifest["config"]["learn"]["enabled"] is False
    assert {"spikestream", "numpy", "numba", "python"} <= set(manifest["versions"])
    assert manifest["model_state_sha256"] == checkpoint.digest(checkpoint.learned(ss.load(path)))
    assert "date" not in manifest
    told("eval", *args[:5], "--report", tmp_path / "3", "--date", "today")
    assert json.loads((tmp_path / "3" / "manifest.json").read_text())["date"] == "today"


def test_people_are_told_the_same(some, few, model):
    path, _ = model
    done = called("eval", few, "--labels", some, "--model", path)
    assert "nearest centroid" in done.stdout
    assert "precision" in done.stdout
    done = called("train", few, "--labels", some, *SMALL, "--epochs", 2)
    assert "by quarter" in done.stdout
    assert "by epoch" in done.stdout


# Models


def test_the_shipped_models_are_listed_and_go_by_their_names(few, tmp_path):
    (row,) = json.loads(called("models", "--json").stdout)
    assert (row["name"], row["rule"], row["classes"]) == ("looks", "stdp", list("abcd"))
    assert row["accuracy"] > 0.95
    notes = json.loads(shipped.models()["looks"].with_name("looks.npz.json").read_text())
    assert notes["sha256"] == hashlib.sha256(shipped.models()["looks"].read_bytes()).hexdigest()
    assert row["size"] == shipped.models()["looks"].stat().st_size < 200_000
    assert "looks" in called("models").stdout
    figures = told(
        "eval", few, "--labels", label_file(tmp_path / "l.csv", (0, 80)), "--model", "looks", "--split", "all"
    )
    assert figures["accuracy"] > 0.9  # it was taught these rows: what it is worth, the next test measures
    assert ss.load("looks").stages["network"].neurons == 140
    (tmp_path / "looks").write_bytes(b"a file of that name comes first")
    called("replay", LOOKS, "--model", "looks", code=6, cwd=tmp_path)


def test_the_committed_model_is_what_its_script_makes(tmp_path):
    spec = importlib.util.spec_from_file_location("models_make", ROOT / "config" / "models" / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    make.looks(tmp_path)
    ours, theirs = ss.load(tmp_path / "looks.npz"), ss.load(shipped.models()["looks"])
    assert checkpoint.state_sha256(ours) == checkpoint.state_sha256(theirs)
    assert ours.config == theirs.config
    notes = json.loads(shipped.models()["looks"].with_name("looks.npz.json").read_text())
    made = json.loads((tmp_path / "looks.npz.json").read_text())
    assert {key: made[key] for key in made if key != "sha256"} == {key: notes[key] for key in notes if key != "sha256"}


def test_models_lists_folders_and_files_and_doubts_notes(model, tmp_path):
    path, figures = model
    (row,) = json.loads(called("models", path, "--json").stdout)
    assert row["accuracy"] == figures["held_out"]["accuracy"]
    copy = tmp_path / "copy.npz"
    copy.write_bytes(path.read_bytes())
    (tmp_path / "no.npz").write_bytes(b"no model")
    for notes in (b"", b"{", b"[1]", b'{"held_out": 3}', b'{"held_out": {"accuracy": "high"}}', b"\xff"):
        copy.with_name("copy.npz.json").write_bytes(notes)
        (row,) = json.loads(called("models", tmp_path, "--json").stdout)
        assert row["accuracy"] is None
    assert "no.npz" in called("models", tmp_path).stderr
    called("models", tmp_path / "no.npz", code=6)


# What is refused


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("train", LOOKS, "--rule", "epropp"), 2, "eprop"),
        (("train", LOOKS, "--epochs", 0), 2, "epochs"),
        (("train", LOOKS, LOOKS, "--labels", LABELS), 2, "1 label files do not go with 2 sources"),
        (("train", LOOKS, "--rule", "none"), 2, "no labels"),
        (("train", "nowhere.aedat4"), 3, "nowhere.aedat4"),
        (("train", LOOKS, "--labels", LABELS, "--save", "/nowhere/m.npz"), 2, "no such folder"),
        (("train", LOOKS, "--labels", LABELS, "--seed", -1), 2, "seed"),
        (("train", LOOKS, "--labels", LABELS, "--set", "learn.enabled=false"), 2, "train learns"),
        (("train", LOOKS, "--model", "lookz"), 6, "lookz"),
        (("eval", LOOKS, "--model", "looks"), 2, "no labels"),
        (("eval", "FEW", "--labels", "TRAIN", "--model", "looks"), 2, "held-out row"),
        (("eval", LOOKS, "--labels", LABELS, "--model", "looks", "--baseline", "--split", "all"), 2, "--split test"),
        (("eval", LOOKS, "--labels", LABELS, "--model", "looks", "--baseline", "--bins", 0), 2, "bins"),
        (("eval", LOOKS, "--labels", LABELS, "--model", "looks", "--report", "/dev/null/x"), 2, "folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_one_clear_error(args, code, said, few, tmp_path):
    train_only = label_file(tmp_path / "train.csv", (0, 5))
    named = {"TRAIN": train_only, "FEW": few}
    done = called(*(named.get(arg, arg) for arg in args), code=code)
    assert said in done.stderr
    assert done.stderr.count("error: ") == 1


def test_that_nothing_is_measured_or_kept_is_told(few, some, tmp_path):
    said = called("train", few, "--rule", "stdp", *SMALL).stderr
    assert "warning: without --save FILE what is learned is gone" in said
    assert "warning: without labels nothing is measured" in said
    said = called("train", few, "--labels", some, *SMALL, "--save", tmp_path / "m.npz").stderr
    assert "warning: without" not in said


def test_without_scikit_learn_baselines_say_what_to_install(some, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    done = called("eval", LOOKS, "--labels", some, "--model", "looks", "--baseline", code=2)
    assert "spikestream[baselines]" in done.stderr


def test_a_model_that_does_not_fit_says_so(few, model):
    path, _ = model
    done = called("eval", few, "--labels", LABELS, "--model", path, "--set", "network.neurons=7", code=6)
    assert "does not fit" in done.stderr
    with pytest.raises(ModelError, match="spikestream models"):
        ss.load("nothing-of-that-name")


# Data sets


@pytest.mark.parametrize(
    ("uri", "seed", "epoch", "made"),
    [
        ("mnist:///x?take=5", None, 1, "mnist:///x?take=5"),
        ("mnist:///x?take=5", None, 3, "mnist:///x?take=5&seed=2"),
        ("mnist:///x", 7, 1, "mnist:///x?seed=7"),
        ("mnist:///x?seed=4", None, 2, "mnist:///x?seed=5"),
        ("mnist:///x?seed=4", 7, 2, "mnist:///x?seed=8"),
        ("mnist:///x?seed=much", None, 2, "mnist:///x?seed=much"),
        (str(LOOKS), 7, 2, str(LOOKS)),
    ],
)
def test_each_epoch_of_a_data_set_has_a_seed_of_its_own(uri, seed, epoch, made):
    assert in_epoch(uri, seed, epoch) == made


@pytest.mark.realdata
def test_a_data_set_is_trained_on_and_evaluated_like_a_recording(data, tmp_path):
    uri = f"mnist://{data / 'digits'}?take=60&held_out=20&labels=0,1"
    model = tmp_path / "m.npz"
    own = ("--set", "classifier.hidden=20", "--set", "classifier.rate=0.003")
    figures = told("train", uri, "--rule", "eprop", "--epochs", 2, "--save", model, *own)
    assert (figures["taught"], figures["held_out"]["windows"]) == (60, 20)
    assert figures["held_out"]["accuracy"] > 0.8
    again = told("eval", uri, "--model", model, "--baseline", "--bins", 1)
    assert again["windows"] == 20
    assert again["accuracy"] > 0.8
    assert again["baselines"]["accuracy"]["logistic regression"] > 0.9
