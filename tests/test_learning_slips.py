"""What slips or malice may do to learning from data sets and saved models: one clear error, and nothing lost by it."""

from __future__ import annotations

import json
import os
import stat

import pytest
from cli import LOOKS
from dataset_cases import mnist_folder, nmnist_bytes, word_folder
from inprocess import called

from spikestream.errors import RecordingError
from spikestream.files.atomic import replacing

SETS = ("--set", "network.neurons=5", "--set", "classifier.hidden=5")
HEAD = "start_us,stop_us,label\n"


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Give a folder of images and a model that learned them."""
    folder = tmp_path_factory.mktemp("taught")
    mnist_folder(folder / "images")
    called("train", f"mnist://{folder}/images", "--rule", "eprop", *SETS, "--save", folder / "m.npz", "-q")
    return folder


def stated(taught, notes):
    (taught / "m.npz.json").write_bytes(notes if isinstance(notes, bytes) else json.dumps(notes).encode())
    plain = called("models", taught / "m.npz").stdout
    (row,) = json.loads(called("models", taught / "m.npz", "--json").stdout, parse_constant=pytest.fail)
    return row["accuracy"], plain


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.01, -0.1, "0.9", None, [1]])
def test_an_accuracy_that_none_can_be_is_not_shown(taught, value):
    accuracy, plain = stated(taught, {"held_out": {"accuracy": value}})
    assert accuracy is None
    assert "no accuracy stated" in plain


def test_notes_say_what_they_say_on_one_line(taught):
    accuracy, plain = stated(taught, {"held_out": {"accuracy": 0.5}, "measured_on": "\x1b[31mred\nnext" + "x" * 9_999})
    assert accuracy == 0.5
    assert "stated 50.0% on \\x1b[31mred next" in plain
    assert plain.count("\n") == 1
    assert len(plain) < 400


@pytest.mark.parametrize("notes", [b"", b"\xff\xfe", b"[" * 100_000, b"[1]", b'{"held_out": 7}', b'{"held_out": {}'])
def test_notes_that_are_none_are_passed_over(taught, notes):
    assert stated(taught, notes)[0] is None


def test_a_folder_without_models_says_so(tmp_path):
    assert "no model in" in called("models", tmp_path).stderr


def test_a_text_from_a_file_sends_nothing_to_the_terminal(tmp_path):
    (tmp_path / "l.csv").write_text(HEAD + "0,100000,\x1b[2Jred\n")
    told = called("train", LOOKS, "--rule", "eprop", *SETS, "--labels", tmp_path / "l.csv", code=3).stderr
    assert "\x1b" not in told
    assert "found 0,100000,\\x1b[2Jred" in told


@pytest.mark.parametrize("query", ["split=test", "skip=999", "split=test&take=2"])
def test_who_has_nothing_to_learn_from_is_told(taught, query):
    told = called("train", f"mnist://{taught}/images?{query}", "--rule", "eprop", *SETS, code=2).stderr
    assert "held out: there is nothing to learn" in told
    assert "spikestream eval" in told


@pytest.mark.parametrize("scheme", ["mnist", "saccades", "nmnist", "spoken"])
def test_a_folder_that_is_none_is_named(scheme, tmp_path):
    (tmp_path / "file").touch()
    for uri, said in {
        f"{scheme}://": "no folder is named",
        f"{scheme}://{tmp_path}/nowhere": "nowhere: there is no such folder",
        f"{scheme}://{tmp_path}/file": "file: is no folder",
    }.items():
        assert said in called("train", uri, "--rule", "eprop", code=3).stderr


def folder_of(scheme, folder):
    if scheme in ("mnist", "saccades"):
        return mnist_folder(folder / "images")
    if scheme == "spoken":
        return word_folder(folder / "words")
    for k in range(6):
        (folder / "events" / str(k % 2)).mkdir(parents=True, exist_ok=True)
        (folder / "events" / str(k % 2) / f"{k:05}.bin").write_bytes(nmnist_bytes(k))
    return folder / "events"


@pytest.mark.parametrize("scheme", ["mnist", "saccades", "nmnist", "spoken"])
@pytest.mark.parametrize("key", ["--from", "--to"])
def test_who_would_cut_a_data_set_is_told_how_its_samples_are_chosen(scheme, key, tmp_path):
    told = called("replay", f"{scheme}://{folder_of(scheme, tmp_path)}", key, "1s", code=2).stderr
    assert f"try: choose samples in its URI: {scheme}://" in told
    assert "?skip=100&take=50" in told


def test_a_model_that_never_learned_so_is_said_to_lack_it(taught, tmp_path):
    uri = f"mnist://{taught}/images"
    told = called("eval", uri, "--model", taught / "m.npz", "--set", "readout.kind=votes", code=6).stderr
    assert "does not fit: stage 'network': it has no 'network/weights'" in told


def test_nothing_takes_the_place_of_what_is_no_file(taught, tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for place in (pipe, link):
        with pytest.raises(RecordingError, match="no regular file"), replacing(place) as temporary:
            temporary.write_bytes(b"x")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    told = called("train", f"mnist://{taught}/images", "--rule", "eprop", *SETS, "--save", pipe, code=2).stderr
    assert "no regular file" in told
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(RecordingError, match="a folder"), replacing(tmp_path) as temporary:
        temporary.write_bytes(b"x")
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_damaged_model_is_one_error(taught):
    whole = (taught / "m.npz").read_bytes()
    for cut in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        (taught / "d.npz").write_bytes(whole[:cut])
        done = called("models", taught / "d.npz", code=6)
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
