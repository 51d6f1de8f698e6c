"""Data sets of tonic, on files made in tonic's own layouts: what is played, and that nothing is fetched unasked."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest
from dataset_cases import collected, nmnist_bytes, recorded
from inprocess import called
from small import run

from spikestream import checks
from spikestream.batch import EVENT
from spikestream.cli.base.settings import tables_of_sensor
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.datasets.tonic import BEYOND, OUTSIDE
from spikestream.sensors.base import open_sensor
from spikestream.sensors.datasets.tonic import Samples

tonic = pytest.importorskip("tonic", reason="tonic is not installed: pip install 'spikestream[datasets]'")
LEAST = 10_000
"""tonic takes a folder of N-MNIST with fewer recordings for an incomplete one."""
KINDS = 10
DAMAGED = 19
SPIKES = 400


def nmnist_folder(root, files, part="Train"):
    """Lay ``files`` out as tonic does, so often that it believes them to be all; return tonic's root."""
    home = root / "NMNIST"
    for k in range(LEAST):
        path = files[k % len(files)]
        place = home / part / f"{k % KINDS}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{k:05}.bin").symlink_to(path)
    (home / f"{part.lower()}.zip").touch()
    return root


@pytest.fixture(scope="module")
def nmnist(tmp_path_factory):
    root = tmp_path_factory.mktemp("tonic")
    files = []
    for k in range(20):
        files.append(root / f"{k}.bin")
        files[-1].write_bytes(b"1234567" if k == DAMAGED else nmnist_bytes(k))
    return nmnist_folder(root, files)


@pytest.fixture(scope="module")
def shd(tmp_path_factory):
    """Write two classes of sound: channels below 350 and above, of hundreds of spikes in 600 ms."""
    h5py = pytest.importorskip("h5py")
    home = tmp_path_factory.mktemp("sound") / "SHD"
    home.mkdir()
    for part, count in (("train", 40), ("test", 10)):
        rng = np.random.default_rng(count)
        with h5py.File(home / f"shd_{part}.h5", "w") as file:
            for name, kind in (("times", np.float16), ("units", np.uint16)):
                rows = file.create_dataset(f"spikes/{name}", (count,), dtype=h5py.vlen_dtype(kind))
                for k in range(count):
                    drawn = np.sort(rng.random(SPIKES)) * 0.6 if name == "times" else rng.integers(0, 350, SPIKES)
                    rows[k] = drawn.astype(kind) + (350 * (k % 2) if name == "units" else kind(0))
            file["labels"] = np.arange(count) % 2
            file["extra/keys"] = np.array([b"zero", b"one"])
            file["extra/speaker"] = np.zeros(count, np.int64)
        (home / f"shd_{part}.h5.zip").touch()
    return home.parent


@pytest.fixture
def dialled(monkeypatch):
    """Give the list of what was called on the network while no call came through."""
    made = []

    def refuse(self, address):
        made.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **more: refuse(None, asked))
    return made


def samples_of(sensor):
    data = np.concatenate([batch.data for batch in run(collected(sensor))])
    return [
        [(t - row.start, x, y, p) for t, x, y, p in data[(data["t"] >= row.start) & (data["t"] < row.stop)].tolist()]
        for row in sensor.rows
    ]


def test_recordings_of_tonic_are_played_event_by_event(nmnist):
    sensor = open_sensor(f"tonic://NMNIST?root={nmnist}&split=train&order=stored&take=12&skip=990&gap_ms=5")
    assert sensor.size == (34, 34)
    assert [(row.start, row.stop) for row in sensor.rows] == [(k * 325_000, k * 325_000 + 320_000) for k in range(12)]
    # tonic walks from class to class: 0 has the files 0, 10, ... 9,990, then 1 has 1, 11, ...
    files = [*range(9_900, 10_000, 10), 1, 11]
    assert [row.label for row in sensor.rows] == ["0"] * 10 + ["1"] * 2
    assert samples_of(sensor) == [recorded(k % 20) for k in files]


def test_its_classes_come_mixed(nmnist):
    sensor = open_sensor(f"tonic://NMNIST?root={nmnist}&split=train&take=100")
    shown = [row.label for row in sensor.rows]
    assert len(set(shown)) == KINDS
    assert max(map(shown.count, shown)) < 25
    again = open_sensor(f"tonic://NMNIST?root={nmnist}&split=train&take=40&skip=30&seed=4")
    assert [row.label for row in again.rows] == shown[30:70]
    drawn = open_sensor(f"tonic://NMNIST?root={nmnist}&split=train&take=40&skip=30&order=shuffled")
    assert sorted(row.label for row in drawn.rows) == sorted(shown[30:70]) != [row.label for row in drawn.rows]


def test_a_part_that_is_not_asked_for_need_not_be_there(nmnist):
    with pytest.raises(RecordingError, match="its part 'test', is not there") as caught:
        open_sensor(f"tonic://NMNIST?root={nmnist}")
    assert caught.value.expected.startswith("test.zip")


def test_options_of_the_class_are_handed_to_it(nmnist):
    uri = f"tonic://NMNIST?root={nmnist}&split=train&order=stored&take=2"
    whole, first = samples_of(open_sensor(uri)), samples_of(open_sensor(f"{uri}&first_saccade_only=true"))
    assert first == [[event for event in sample if event[0] < 100_000] for sample in whole] != whole
    with pytest.raises(ConfigError, match="first_saccade_only cannot be 'perhaps'"):
        open_sensor(f"{uri}&first_saccade_only=perhaps")
    with pytest.raises(ConfigError, match="has no option 'stabilise'") as caught:
        open_sensor(f"{uri}&stabilise=true")
    assert caught.value.nearest == "stabilize"


def test_channels_of_sound_are_axons(shd):
    uri = f"tonic://SHD?root={shd}&slot_ms=700"
    sensor = open_sensor(f"{uri}&order=stored&names=true")
    assert sensor.size == (700, 1)
    assert [(row.label, row.test) for row in sensor.rows] == [("zero", False), ("one", False)] * 20 + [
        ("zero", True),
        ("one", True),
    ] * 5
    for row, sample in zip(sensor.rows, samples_of(sensor), strict=True):
        assert len(sample) == SPIKES
        assert all(((x >= 350) == (row.label == "one"), y, p) == (True, 0, True) for _, x, y, p in sample)
    assert {row.label for row in open_sensor(uri).rows} == {"0", "1"}
    assert tables_of_sensor(uri)["address"] == {"polarity": "ignore"}


def test_a_classifier_learns_them(shd, tmp_path):
    uri = f"tonic://SHD?root={shd}&slot_ms=700"
    sets = ("--rule", "eprop", "--set", "classifier.hidden=30", "--set", "classifier.reset=true")
    sets += ("--set", "classifier.rate=5e-3")
    told = json.loads(called("train", uri, *sets, "--save", tmp_path / "m.npz", "--json", "--quiet").stdout)
    assert told["taught"] == 40
    assert told["held_out"]["accuracy"] == 1.0


@pytest.mark.realdata
def test_real_recordings_are_the_same_through_tonic_and_without(data, tmp_path):
    lines = (data / "nmnist" / "labels.csv").read_text().split()[1:31]
    nmnist_folder(tmp_path, [data / "nmnist" / "recordings" / line.split(",")[0] for line in lines])
    through = samples_of(open_sensor(f"tonic://NMNIST?root={tmp_path}&split=train&order=stored&take=3"))
    plain = samples_of(open_sensor(f"nmnist://{data}/nmnist?split=train&take=30"))
    assert through == [plain[0], plain[10], plain[20]]
    assert min(map(len, through)) > 1_000


def test_nothing_is_fetched_unless_it_is_asked_for(tmp_path, dialled):
    for name in tonic.datasets.__all__:
        with pytest.raises((RecordingError, ConfigError)) as caught:
            open_sensor(f"tonic://{name}?root={tmp_path}")
        assert caught.value.remedy or caught.value.allowed
    assert dialled == []
    with pytest.raises(RecordingError, match="NMNIST"):
        open_sensor(f"tonic://NMNIST?root={tmp_path}&download=true")
    assert dialled


def test_what_cannot_be_is_said_at_once(tmp_path, nmnist):
    for uri, said in {
        "tonic://NMNIST": "folder of tonic's data sets is not named",
        f"tonic://nmnist?root={nmnist}": "no data set 'nmnist'",
        f"tonic://DSEC?root={nmnist}": "no label each",
        f"tonic://NMNIST?root={nmnist}&download=1": "download cannot be '1'",
        f"tonic://NMNIST?root={nmnist}&split=train&order=random": "unknown order",
        f"tonic://NMNIST?root={nmnist}&split=valid": "is not there",
    }.items():
        with pytest.raises((ConfigError, RecordingError), match=said):
            open_sensor(uri)
    assert "download=true" in called("train", f"tonic://NMNIST?root={tmp_path}", "--rule", "eprop", code=3).stderr


def test_a_damaged_sample_is_one_error(nmnist):
    sensor = open_sensor(f"tonic://NMNIST?root={nmnist}&split=train&order=stored&skip=9000&take=2")
    with pytest.raises(RecordingError, match="sample 9,001 cannot be read"):
        run(collected(sensor))


# Any list of samples


def events(*rows, names=("t", "x", "y", "p"), kind=np.int64):
    return np.array(list(rows), [(name, kind) for name in names])


PLAIN = [(events((3, 1, 2, 1), (9, 3, 0, 0)), k % 2) for k in range(10)]


def test_a_list_of_samples_obeys_the_laws_of_a_sensor():
    for _, check in checks.sensor(lambda: Samples(PLAIN, size=(4, 4), slot_ms=5, gap_ms=1)):
        check()
    sensor = Samples(PLAIN, PLAIN[:2], size=(4, 4), slot_ms=5)
    assert [row.test for row in sensor.rows] == [False] * 10 + [True] * 2
    assert sorted(row.label for row in Samples(PLAIN, size=(4, 4)).rows if row.test) == ["0", "1"]


@pytest.mark.parametrize(
    ("sample", "played", "problems"),
    [
        (events((3, 1, 2, 1), (1, 0, 0, 0)), [(1, 0, 0, False), (3, 1, 2, True)], {}),
        (events((3, 65_537, 2, 1), (4, -1, 0, 0), (5, 3, 3, 1)), [(5, 3, 3, True)], {OUTSIDE: 2}),
        (events((2, 1, 1, 1), (4_999, 1, 1, 1), (5_000, 1, 1, 1)), [(2, 1, 1, 1), (4_999, 1, 1, 1)], {BEYOND: 1}),
        (events((10**12, 1, 1, 1), (10**12 + 7, 2, 1, 0)), [(0, 1, 1, True), (7, 2, 1, False)], {}),
        (events((-5, 1, 1, 1), (5, 1, 1, 1)), [(0, 1, 1, True), (10, 1, 1, True)], {}),
        (events((2, 1, 0, 1), kind=np.float64), [(2, 1, 0, True)], {}),
        (events((2, 3), names=("t", "x")), [(2, 3, 0, True)], {}),
        (events((2, 3, 1, -1), (3, 3, 1, 0), (4, 3, 1, 1)), [(2, 3, 1, False), (3, 3, 1, False), (4, 3, 1, True)], {}),
        (events((2, 3, 1), names=("x", "t", "p"), kind=np.uint64), [(3, 2, 0, True)], {}),
        (np.zeros(0, EVENT), [], {}),
    ],
)  # fmt: skip
def test_events_of_any_kind_are_taken_as_they_are_meant(sample, played, problems):
    sensor = Samples([(sample, "a")], size=(4, 4), slot_ms=5)
    assert samples_of(sensor) == [played]
    assert sensor.problems == problems


@pytest.mark.parametrize(
    "sample",
    [
        events((np.nan, 1, 1, 1), kind=np.float64),
        events((1e30, 1, 1, 1), kind=np.float64),
        events((2**63, 1, 1, 1), kind=np.uint64),
        np.array([(1, "x")], [("t", int), ("x", "U1")]),
        np.zeros((2, 2)),
        events((1, 2), names=("t", "y")),
        None,
    ],
)
def test_what_are_no_events_is_refused(sample):
    with pytest.raises(RecordingError, match="sample 0"):
        run(collected(Samples([(sample, 1)], size=(4, 4))))


@pytest.mark.parametrize("label", [None, 1.5, "", "two\nlines", np.zeros(3), {"boxes": 1}, "x" * 300])
def test_what_is_no_label_is_refused(label):
    with pytest.raises(RecordingError, match="has no label of its own"):
        Samples([(PLAIN[0][0], label)], size=(4, 4))


def test_a_list_that_breaks_is_one_error():
    class Broken:
        targets = ("a",)

        def __len__(self):
            return 1

        def __getitem__(self, index):
            raise KeyError("lost")

    with pytest.raises(RecordingError, match="sample 0 cannot be read: 'lost'"):
        run(collected(Samples(Broken(), size=(4, 4))))
