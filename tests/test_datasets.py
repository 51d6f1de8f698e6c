"""Data sets in folders: what is in them, which part of it is played, and that a damaged one is one clear error."""

from __future__ import annotations

import gzip
import tracemalloc

import numpy as np
import pytest
from dataset_cases import idx, images_of, mnist_folder, nmnist_bytes, record, recorded, word_folder
from hypothesis import given
from hypothesis import strategies as st

from spikestream.errors import ConfigError, RecordingError
from spikestream.files.datasets.idx import read_idx
from spikestream.files.datasets.mnist import read_images
from spikestream.files.datasets.recordings import find_recordings, read_recording
from spikestream.files.datasets.samples import Choice, choose
from spikestream.files.datasets.speech import find_words

# IDX


@pytest.mark.parametrize("zipped", [False, True])
def test_an_idx_file_gives_back_its_bytes(zipped, tmp_path):
    images = images_of(7)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(idx(images)) if zipped else idx(images))
    assert np.array_equal(read_idx(str(path), 3), images)


IMAGES = idx(images_of(7))
DAMAGE = {
    "empty": (b"", "is no IDX file"),
    "labels": (idx(np.zeros(7, np.uint8)), "is no IDX file of images"),
    "floats": (idx(images_of(7), kind=0x0D), "is no IDX file"),
    "header": (IMAGES[:9], "breaks off in its header"),
    "short": (IMAGES[:-1], "does not hold what its header says"),
    "long": (IMAGES + b"\0", "does not hold what its header says"),
    "huge": (idx(images_of(1), shape=(2**32 - 1,) * 3), "promises too much"),
    "cut": (gzip.compress(IMAGES)[:-20], "damaged gzip"),
    "flipped": (gzip.compress(IMAGES)[:30] + b"\xff\xff\xff" + gzip.compress(IMAGES)[33:], "damaged gzip"),
    "checksum": (gzip.compress(IMAGES)[:-8] + bytes(8), "damaged gzip"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_idx_file_is_one_clear_error(name, tmp_path):
    data, words = DAMAGE[name]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=words) as caught:
        read_idx(str(path), 3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_header_that_lies_takes_no_memory(zipped, tmp_path):
    data = idx(images_of(3), shape=(1_000, 1_000, 1_000))
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(data) if zipped else data)
    tracemalloc.start()
    with pytest.raises(RecordingError, match="does not hold"):
        read_idx(str(path), 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_bomb_is_read_no_further_than_promised(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx(images_of(3)) + bytes(64 << 20)))
    tracemalloc.start()
    with pytest.raises(RecordingError, match="does not hold"):
        read_idx(str(path), 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


# Images


def test_the_test_files_are_the_test_part(tmp_path):
    found = read_images(str(mnist_folder(tmp_path, 12, tests=5)))
    assert np.array_equal(found.pixels, np.concatenate([images_of(12), images_of(5, seed=1)]))
    assert found.test.tolist() == [False] * 12 + [True] * 5


def test_without_test_files_the_last_sixth_is_the_test_part(tmp_path):
    assert read_images(str(mnist_folder(tmp_path, 12, zipped=False))).test.tolist() == [False] * 10 + [True] * 2


def broken_folder(folder, name):
    mnist_folder(folder, 6, tests=3, zipped=False)
    if name == "no images":
        (folder / "train-images-idx3-ubyte").unlink()
    elif name == "no labels":
        (folder / "train-labels-idx1-ubyte").unlink()
    elif name == "counts":
        (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(5, np.uint8)))
    elif name == "sizes":
        (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images_of(3, (6, 4))))
    elif name == "none":
        (folder / "train-images-idx3-ubyte").write_bytes(idx(images_of(0)))
        (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(0, np.uint8)))
    elif name == "a folder":
        (folder / "train-images-idx3-ubyte").unlink()
        (folder / "train-images-idx3-ubyte").mkdir()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no images", "has no file train-images-idx3-ubyte"),
        ("no labels", "has no file train-labels-idx1-ubyte"),
        ("counts", "are not as many"),
        ("sizes", "another size"),
        ("none", "cannot be shown"),
        ("a folder", "it is a folder"),
    ],
)
def test_a_folder_that_contradicts_itself_is_one_clear_error(name, words, tmp_path):
    broken_folder(tmp_path, name)
    with pytest.raises(RecordingError, match=words):
        read_images(str(tmp_path))


# What is played

LABELS = [str(k % 3) for k in range(20)]
TEST = np.arange(20) >= 14


@pytest.mark.parametrize(
    ("choice", "index", "tests"),
    [
        (Choice(), list(range(20)), 6),
        (Choice(split="train"), list(range(14)), 0),
        (Choice(split="test"), list(range(14, 20)), 6),
        (Choice(split="test", skip=1, take=2), [15, 16], 2),
        (Choice(take=8), [*range(8), 14, 15], 2),
        (Choice(take=1), [0, 14], 1),
        (Choice(skip=12, held_out=0), [12, 13], 0),
        (Choice(skip=2, take=3, held_out=4), [2, 3, 4, 14, 15, 16, 17], 4),
        (Choice(labels=("1",), take=2), [1, 4, 16], 1),
        (Choice(take=2, epochs=3, held_out=1), [0, 1, 0, 1, 0, 1, 14], 1),
    ],
)
def test_a_choice_is_what_it_says(choice, index, tests):
    played = choose(LABELS, TEST, choice)
    assert played.index.tolist() == index
    assert played.test.tolist() == [False] * (len(index) - tests) + [True] * tests


@given(seed=st.integers(0, 2**31 - 1), skip=st.integers(0, 10), take=st.integers(1, 20))
def test_shuffling_changes_the_order_and_nothing_else(seed, skip, take):
    plain = choose(LABELS, TEST, Choice(skip=skip, take=take, epochs=2))
    mixed = choose(LABELS, TEST, Choice(skip=skip, take=take, epochs=2, order="shuffled", seed=seed))
    assert np.array_equal(plain.test, mixed.test)
    assert np.array_equal(plain.epoch, mixed.epoch)
    for epoch in (0, 1):
        taught = [one.index[(one.epoch == epoch) & ~one.test] for one in (plain, mixed)]
        assert sorted(taught[0]) == sorted(taught[1])
    assert np.array_equal(plain.index[plain.test], mixed.index[mixed.test])


def test_each_epoch_has_an_order_of_its_own():
    labels, test = ["x"] * 50, np.zeros(50, bool)
    played = choose(labels, test, Choice(order="shuffled", epochs=2))
    assert played.index[:50].tolist() != played.index[50:].tolist()
    assert played.index[:50].tolist() != list(range(50))


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(split="tests"), "did you mean 'test'"),
        (Choice(order="random"), "unknown order"),
        (Choice(skip=14, held_out=0), "nothing is left"),
        (Choice(labels=("7",)), "labels 7"),
        (Choice(epochs=2_000_000), "more than 10,000,000"),
    ],
)
def test_a_choice_of_nothing_is_refused(choice, words):
    with pytest.raises(ConfigError, match=words):
        choose(LABELS, TEST, choice)


# Event recordings


def test_a_table_lists_recordings_in_its_order(tmp_path):
    (tmp_path / "recordings").mkdir()
    (tmp_path / "labels.csv").write_text("file,digit\nb.bin,5\na.bin,0\n" + "a.bin,1\n" * 8)
    found = find_recordings(str(tmp_path))
    assert [(one.path, one.label) for one in found[:2]] == [
        (str(tmp_path / "recordings" / "b.bin"), "5"),
        (str(tmp_path / "recordings" / "a.bin"), "0"),
    ]
    assert [one.test for one in found] == [False] * 8 + [True] * 2


@pytest.mark.parametrize("tested", [False, True])
def test_folders_are_classes_and_numbers_the_order(tested, tmp_path):
    for place in ["Train", "Test"] if tested else ["."]:
        for label, number in (("3", 2), ("3", 10), ("7", 1)):
            (tmp_path / place / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / place / label / f"{number:05}.bin").write_bytes(nmnist_bytes(1))
    found = find_recordings(str(tmp_path))
    names = [(one.label, one.path[-9:-4], one.test) for one in found]
    once = [("7", "00001", False), ("3", "00002", False), ("3", "00010", False)]
    assert names == (once + [(*row[:2], True) for row in once] if tested else once)


def test_a_recording_holds_its_events_and_counts_what_is_wrong(tmp_path):
    path = tmp_path / "x.bin"
    rows = [*recorded(3), (299_000, 5, 6, 0)]
    path.write_bytes(b"".join(record(*row) for row in rows) + record(300_500, 40, 2, 1))
    problems: dict[str, int] = {}
    found = read_recording(str(path), (34, 34), problems)
    assert found.tolist() == [(*row[:3], bool(row[3])) for row in recorded(3)] + [(300_003, 5, 6, False)]
    assert problems == {"outside": 1, "backward": 1, "clamped": 1}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "holds no labelled recordings"),
        ("file,digit\n", "holds no labelled recordings"),
        ("file,digit\n../secret.bin,5\n", "line 2 is not understood"),
        ("file,digit\n/etc/passwd,5\n", "line 2 is not understood"),
        ("file,digit\na.bin\n", "line 2 is not understood"),
        ("file,digit\na.bin,5\nb.bin,\x07\n", "line 3 is not understood"),
        ("file,digit\n..,5\n", None),
    ],
)
def test_a_table_that_makes_no_sense_is_one_clear_error(table, words, tmp_path):
    (tmp_path / "labels.csv").write_text(table)
    if words is None:  # the name is one, and what it names is no file
        (one,) = find_recordings(str(tmp_path))
        with pytest.raises(RecordingError, match="it is a folder"):
            read_recording(one.path, (34, 34), {})
        return
    with pytest.raises(RecordingError, match=words):
        find_recordings(str(tmp_path))


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_what_is_no_folder_of_samples_is_one_clear_error(name, tmp_path):
    place = tmp_path / name
    if name == "empty":
        place.mkdir()
    elif name == "file":
        place.write_bytes(b"x")
    for find in (find_recordings, find_words, read_images):
        with pytest.raises(RecordingError) as caught:
            find(str(place))
        assert str(place) in str(caught.value)


@pytest.mark.parametrize(("data", "words"), [(b"", "is empty"), (b"abcdefg", "is cut"), (None, "cannot be read")])
def test_a_damaged_recording_is_named(data, words, tmp_path):
    path = tmp_path / "x.bin"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(RecordingError, match=words) as caught:
        read_recording(str(path), (34, 34), {})
    assert "x.bin" in str(caught.value)


# Words


def test_words_are_known_by_their_names(tmp_path):
    word_folder(tmp_path / "recordings", numbers=[10, 2])
    (tmp_path / "recordings" / "readme.wav.txt").write_text("not one")
    found = find_words(str(tmp_path))
    assert [(word.label, word.speaker, word.number) for word in found] == [
        (label, speaker, number) for number in (2, 10) for speaker in ("ann", "bob") for label in ("no", "yes")
    ]
