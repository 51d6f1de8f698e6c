"""A file that does not tell its sensor's size: what is made of it lies within the size that is stored with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inprocess import called

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.aedat4 import Encoder, header
from spikestream.registry import load
from spikestream.stages.address import Address

GROW = ("aedat4", "npz", "h5")
REFUSE = ("aedat3", "es", "dat")
REMEDY = "try: --size WIDTHxHEIGHT (?size=WIDTHxHEIGHT in a sensor's URI)"


@pytest.fixture(scope="module")
def grow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70,000 events, all those of the first array in a corner."""
    path = tmp_path_factory.mktemp("grow") / "grow.npy"
    events = np.zeros(70_000, EVENT)
    events["t"] = np.arange(70_000) * 10
    events["x"], events["y"] = np.arange(70_000) % 200, np.arange(70_000) % 150
    events["x"][66_000:] += 399
    np.save(path, events)
    return path


@pytest.mark.parametrize("suffix", GROW)
def test_the_size_that_is_stored_is_the_last_one(grow: Path, suffix: str, tmp_path: Path):
    expected = np.load(grow)
    for name in ("converted", "recorded", "written"):
        path = tmp_path / f"{name}.{suffix}"
        if name == "converted":
            assert "640x480" in called("convert", grow, path, "--verify").stderr
        elif name == "recorded":
            called("record", f"file:{grow}", path, "-q")
        else:
            assert ss.write(path, ss.stream(grow)) == len(expected)
        back = ss.read(path)
        assert (back.size, ss.info(path).problems) == ((640, 480), {})
        assert back.data.tobytes() == expected.tobytes()


SMALLEST = {"npy": "34x34", "csv": "34x34", "hdf5": "34x34", "evt2": "640x480", "dat": "304x240"}


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.parametrize("growing", [False, True])
def test_a_guess_is_told_once_and_as_it_is_in_the_end(grow: Path, name: str, growing: bool, tmp_path: Path):
    """Also where the smallest size holds all events, and however often it grows on the way."""
    events, path = np.load(grow), tmp_path / "guess"
    events["x"], events["y"] = np.maximum.accumulate(events["x"]) if growing else events["x"] % 30, events["y"] % 30
    if name == "npy":
        with path.open("wb") as file:
            np.save(file, events)
    else:
        ss.write(path, Events(0, 700_000, events, None), format=name)
    guess = f"{'640x480' if growing else SMALLEST[name]} is the smallest usual one that holds the events so far"
    for verb, *more in (("info", "--check"), ("convert", tmp_path / "out.aedat4"), ("replay", "--speed", "max")):
        done = called(verb, path, *more, "--format", name, code=3 if verb == "info" else 0)
        said = done.stdout + done.stderr
        assert f"no sensor size is stored; {guess}" in said
        assert said.count("size is stored") == 1
    assert ss.info(path, format=name, size=(640, 480)).warnings == ()
    with pytest.warns(ss.RecordingWarning) as told:
        sizes = {batch.size for batch in ss.stream(path, format=name)}
    assert [str(one.message).count("size is stored") for one in told] == [1] * len(sizes)  # each size once


def test_a_guess_is_told_where_only_the_header_was_read(tmp_path: Path):
    path = tmp_path / "a.raw"
    path.write_bytes(b"% evt 2.0\n% end\n")
    (warning,) = ss.info(path, scan=False).warnings
    assert "no sensor size is stored; 640x480 is the smallest usual one" in warning
    path.write_bytes(b"% evt 2.0\n% geometry 640x480\n% end\n")
    assert ss.info(path, scan=False).warnings == ()


@pytest.mark.parametrize("suffix", REFUSE)
def test_a_format_that_stores_the_size_first_asks_for_it(grow: Path, suffix: str, tmp_path: Path):
    path = tmp_path / f"out.{suffix}"
    path.write_bytes(b"old")
    for verb, source in (("convert", grow), ("record", f"file:{grow}")):
        assert REMEDY in called(verb, source, path, "-f", "-q", code=3).stderr
        assert path.read_bytes() == b"old"
        assert [one.name for one in tmp_path.iterdir()] == [path.name]
    called("convert", grow, path, "-f", "-q", "--size", "640x480")
    assert (ss.info(path).size, ss.info(path).events) == ((640, 480), 70_000)
    called("record", f"file:{grow}?size=640x480", path, "-f", "-q")
    assert (ss.info(path).size, ss.info(path).events) == ((640, 480), 70_000)


@pytest.mark.parametrize("suffix", [*GROW, *REFUSE])
def test_a_size_that_is_told_stays(grow: Path, suffix: str, tmp_path: Path):
    path = tmp_path / f"out.{suffix}"
    assert REMEDY in called("convert", grow, path, "-q", "--size", "240x180", code=3).stderr
    with pytest.raises(RecordingError, match=r"x < 240, y < 180, found t 660000, x 399"):
        ss.write(path, ss.stream(grow), size=(240, 180))
    assert not path.exists()


def test_the_batches_of_a_stream_tell_the_size_as_it_grows(grow: Path):
    batches = list(ss.stream(grow))
    assert (batches[0].size, batches[-1].size) == ((240, 180), (640, 480))
    for batch in batches:
        assert not len(batch) or (batch.data["x"].max() < batch.size[0] and batch.data["y"].max() < batch.size[1])


def test_filters_say_what_would_let_the_rest_in(grow: Path, tmp_path: Path):
    path = tmp_path / "out.aedat4"
    said = called("convert", grow, path, "--filter", "crop:width=100,height=100").stderr
    assert "filtered: 4,000 outside of the size that was known before them; --size WIDTHxHEIGHT says which" in said
    said = called("convert", grow, path, "-f", "--filter", "crop:width=600,height=100", code=2).stderr
    assert "allowed: up to 240" in said
    assert "try: --size WIDTHxHEIGHT" in said
    said = called("convert", grow, path, "-f", "--size", "640x480", "--filter", "crop:width=600,height=180").stderr
    assert "outside" not in said
    assert (ss.info(path).size, ss.info(path).events) == ((600, 180), 70_000)


SIDE = st.integers(1, 32_768)


@given(first=st.tuples(SIDE, SIDE), more=st.tuples(SIDE, SIDE), name=st.sampled_from(["", "a&b", "DAVIS346"]))
def test_a_header_has_room_for_any_larger_size(first, more, name):
    size = max(first[0], more[0]), max(first[1], more[1])
    small, large = header.build("lz4", first, name), header.build("lz4", size, name, first, 1_234_567)
    assert len(large) == len(small)
    told = header.parse(memoryview(large)[18:])
    assert (told.streams[0].size, told.end, told.streams[0].source) == (size, 1_234_567, name)


def test_dv_is_told_the_last_size(tmp_path: Path):
    dv = pytest.importorskip("dv_processing")
    path = tmp_path / "grown.aedat4"
    events = np.zeros(2, EVENT)
    events["t"], events["x"] = [5, 6], [0, 1279]
    assert ss.write(path, [Events(5, 6, events[:1], (9, 9)), Events(6, 7, events[1:], (1280, 720))]) == 2
    recording = dv.io.MonoCameraRecording(str(path))
    assert recording.getEventResolution() == (1280, 720)
    found = [recording.getNextEventBatch() for _ in events]
    assert [(e.timestamp(), e.x()) for part in found for e in part] == [(5, 0), (6, 1279)]


@pytest.mark.parametrize(
    ("x", "y", "size"),
    [(1279, 799, (1280, 800)), (1919, 1079, (1920, 1080)), (2047, 0, (2048, 2048)), (2048, 0, (65_536, 65_536))],
)
def test_usual_sizes_of_larger_cameras(x: int, y: int, size: tuple[int, int], tmp_path: Path):
    path, es = tmp_path / "hd.csv", tmp_path / "hd.es"
    path.write_text(f"t,x,y,p\n1,{x},3,1\n5,7,{y},0\n")
    assert ss.read(path).size == size
    if size[0] < 65_536:
        called("convert", path, es, "-q")
        assert ss.info(es).size == size


@pytest.mark.parametrize(
    ("name", "most"), [("es", 65_535), ("aedat4", 32_768), ("dat", 16_384), ("evt2", 2_048), ("evt3", 2_048)]
)
def test_a_size_that_a_format_cannot_say_is_refused(name: str, most: int, tmp_path: Path):
    events = np.zeros(1, EVENT)
    path = tmp_path / "out"
    for size in ((most + 1, 9), (9, most + 1), (65_536, 65_536)):
        with pytest.raises(RecordingError, match="cannot hold a sensor of that size") as caught:
            ss.write(path, Events(0, 1, events, size), format=name)
        assert "--size WIDTHxHEIGHT" in caught.value.remedy
    events["x"], events["y"] = most - 1, 8
    assert ss.write(path, Events(0, 1, events, (most, 9)), format=name) == 1
    assert ss.read(path, format=name).data.tobytes() == events.tobytes()
    with pytest.raises(RecordingError, match="cannot hold a sensor of that size"):
        load("formats", name).encoder(size=(0, 9))


def test_a_remedy_that_is_followed_works(tmp_path: Path):
    wide, out = tmp_path / "wide.csv", tmp_path / "out"
    wide.write_text("t,x,y,p\n1,2500,3,1\n5,7,799,0\n")
    for name in ("es", "aedat4", "dat"):
        said = called("convert", wide, out, "--as", name, "-f", "-q", code=3).stderr
        assert "try: --size WIDTHxHEIGHT" in said
        called("convert", wide, out, "--as", name, "-f", "-q", "--size", "2501x800")
        assert ss.read(out, format=name).size == (2501, 800)


def test_an_address_names_the_size_first():
    with pytest.raises(ConfigError, match="65536x65536 pixels cannot be addressed") as caught:
        Address((65_536, 65_536))
    assert caught.value.remedy.startswith("--size WIDTHxHEIGHT")


def test_an_encoder_does_not_grow_beyond_its_format():
    encoder = Encoder(size=(9, 9))
    with pytest.raises(RecordingError, match="cannot hold a sensor of that size"):
        encoder.grow((65_536, 65_536))
