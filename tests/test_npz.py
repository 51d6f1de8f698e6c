"""NPY and NPZ as NumPy writes them, in every layout of the field; what is refused, and why."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import evutils.io
import numpy as np
import pytest
from fuzz import mutations, taken
from goodfiles import GOOD
from plainformat import error_of

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.cli.info import as_text
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.reader import Reader
from spikestream.files.spikes import write_spikes

SIZE = (346, 260)


def scene(n: int = 5_000) -> np.ndarray:
    rng = np.random.default_rng(4)
    events = np.empty(n, EVENT)
    events["t"] = np.sort(rng.integers(10**15, 10**15 + 10**6, n))
    events["x"], events["y"] = rng.integers(0, SIZE[0], n), rng.integers(0, SIZE[1], n)
    events["p"] = rng.integers(0, 2, n)
    return events


def batch(events: np.ndarray, size=SIZE) -> Events:
    return Events(int(events["t"][0]), int(events["t"][-1]) + 1, events, size)


@pytest.mark.parametrize("n", [1, 65_536, 150_000])
def test_what_is_written_is_read_and_is_columns_to_numpy(tmp_path, n):
    events, path = scene(n), tmp_path / "a.npz"
    assert ss.write(path, batch(events)) == n
    back = ss.read(path)
    assert np.array_equal(back.data, events)
    assert back.size == SIZE
    with np.load(path) as packed:
        assert all(np.array_equal(packed[name], events[name]) for name in "txyp")
        assert [packed[name].dtype.str for name in "txyp"] == ["<i8", "<u2", "<u2", "|b1"]
        assert packed["size"].tolist() == list(SIZE)
    assert os.listdir(tmp_path) == ["a.npz"]


def test_the_edges_of_an_event_and_none_at_all(tmp_path):
    edges = np.array([(-(2**62), 0, 0, False), (0, 65_535, 65_535, True), (2**62 - 1, 0, 65_535, True)], EVENT)
    assert ss.write(tmp_path / "a.npz", Events(edges["t"][0], 2**62, edges, None)) == 3
    with Reader(tmp_path / "a.npz", time="keep") as reader:
        assert np.array_equal(np.concatenate(list(reader)), edges)
    assert ss.write(tmp_path / "b.npz", Events(0, 5, edges[:0], SIZE)) == 0
    assert (len(ss.read(tmp_path / "b.npz")), ss.read(tmp_path / "b.npz").size) == (0, SIZE)


def test_the_same_events_make_the_same_file(tmp_path):
    for name in ("a.npz", "b.npz"):
        ss.write(tmp_path / name, batch(scene(100)))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


TONIC = np.dtype([("x", "<i8"), ("y", "<i8"), ("t", "<i8"), ("p", "<i8")])
LAYOUTS = {
    "ours": lambda e: e,
    "tonic": lambda e: np.array([(x, y, t, p) for t, x, y, p in e.tolist()], TONIC),
    "big endian": lambda e: e.astype([("p", "u1"), ("t", ">i8"), ("y", ">u2"), ("x", ">u2")][::-1]),
    "rows xytp": lambda e: np.stack([e["x"], e["y"], e["t"], e["p"]], axis=1),
    "rows txyp as floats": lambda e: np.stack([e["t"], e["x"], e["y"], e["p"]], axis=1).astype(float),
    "rows by columns": lambda e: np.asfortranarray(np.stack([e["t"], e["x"], e["y"], e["p"]], axis=1)),
    "four rows": lambda e: np.stack([e["t"], e["x"], e["y"], e["p"]]),
    "four rows by columns": lambda e: np.asfortranarray(np.stack([e["t"], e["x"], e["y"], e["p"]])),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_in_every_layout(tmp_path, layout):
    events = scene(70_000)
    array = LAYOUTS[layout](events)
    if layout == "big endian":
        for name in "txyp":
            array[name] = events[name]
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "b.npz", array)
    np.savez_compressed(tmp_path / "c.npz", events=array)
    for name in ("a.npy", "b.npz", "c.npz"):
        assert np.array_equal(ss.read(tmp_path / name).data, events), name


@pytest.mark.parametrize("names", ["t x y p", "ts xs ys ps", "timestamp x_pos y_pos polarity", "t x y pol"])
def test_columns_by_the_names_of_others(tmp_path, names):
    events = scene()
    columns = {name: events[column] for name, column in zip(names.split(), "txyp", strict=True)}
    np.savez_compressed(tmp_path / "a.npz", **columns, width=640, height=480, note=np.array("hello"))
    back = ss.read(tmp_path / "a.npz")
    assert np.array_equal(back.data, events)
    assert back.size == (640, 480)


def test_what_evutils_writes_and_reads(tmp_path):
    events = scene()
    with evutils.io.EventWriter(str(tmp_path / "a.npz"), width=SIZE[0], height=SIZE[1]) as writer:
        array = np.zeros(len(events), [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
        for name in "txyp":
            array[name] = events[name]
        writer.write(array)
    assert np.array_equal(ss.read(tmp_path / "a.npz").data, events)


def test_options_say_what_values_cannot(tmp_path):
    rows = np.array([[1, 5, 1, 0], [2, 6, 0, 1]])
    np.save(tmp_path / "a.npy", rows)
    assert "the order of the four columns cannot be told" in error_of(tmp_path / "a.npy")
    with Reader(tmp_path / "a.npy", order="txyp", unit="ms") as reader:
        assert np.concatenate(list(reader)).tolist() == [(1_000, 5, 1, False), (2_000, 6, 0, True)]
    with pytest.raises(ConfigError, match="order = abc"):
        Reader(tmp_path / "a.npy", order="abc")
    with pytest.raises(ConfigError, match="no option 'topic'"):
        Reader(tmp_path / "a.npy", topic="/a")


def test_times_are_those_of_the_same_table_in_text(tmp_path):
    """The unit, and how t is rounded, are told by one rule, and what was taken for granted stands as a note."""
    for times, unit in (
        ([1_600_000_000_000_001_500, 1_600_000_000_000_002_500], "ns (whole numbers, counted since 1970)"),
        ([1_600_000_000_000_001, 1_600_000_000_000_002], "µs (whole numbers)"),
    ):
        np.savez(tmp_path / "a.npz", t=np.array(times), x=[1, 2], y=[3, 4], p=[0, 1])
        rows = "".join(f"{t},{x},{y},{p}\n" for t, x, y, p in zip(times, (1, 2), (3, 4), (0, 1), strict=True))
        (tmp_path / "a.csv").write_text(f"t,x,y,p\n{rows}")
        assert np.array_equal(ss.read(tmp_path / "a.npz").data, ss.read(tmp_path / "a.csv").data)
        assert ss.info(tmp_path / "a.npz").notes == (f"t in {unit}",)
        assert ss.info(tmp_path / "a.csv").notes[0].endswith(f"t in {unit}")
    assert ss.info(tmp_path / "a.npz", unit="us").notes == ()


def test_the_header_alone_says_how_many_events_there_are(tmp_path):
    ss.write(tmp_path / "a.npz", batch(scene(100)))
    np.save(tmp_path / "a.npy", scene(200))
    for name, count in (("a.npz", 100), ("a.npy", 200)):
        facts = ss.info(tmp_path / name, scan=False)
        assert (facts.events, facts.first_t, facts.problems) == (count, None, {})
        assert f"events      {count} (without --fast" in as_text(facts)
    assert ss.info(tmp_path / "a.npz").on_share == pytest.approx(scene(100)["p"].mean())


def other_files(folder: Path) -> dict[str, str]:
    """Make files of other things; return what each is called an error of."""
    write_spikes(folder / "spikes.npz", [], {"bands": 64})
    np.savez(folder / "placement.npz", format="spikestream placement 2", notes="{}")
    np.savez(folder / "model.npz", meta="{}", **{"network/weights": np.zeros(3)})
    np.savez(folder / "other.npz", a=np.zeros(3), b=np.zeros((2, 4)))
    np.savez(folder / "lengths.npz", t=np.zeros(3), x=np.zeros(3), y=np.zeros(2), p=np.zeros(3))
    np.savez(folder / "texts.npz", t=np.array(["a"]), x=np.zeros(1), y=np.zeros(1), p=np.zeros(1))
    np.save(folder / "line.npy", np.zeros(7))
    np.save(folder / "picture.npy", np.zeros((5, 6)))
    np.save(folder / "pickle.npy", np.array([{}], object), allow_pickle=True)
    np.savez(folder / "pickle.npz", events=np.array([{}], object))
    return {
        "spikes.npz": "this holds spikes of a cochlea",
        "placement.npz": "this holds a network placed on a chip",
        "model.npz": "this holds a saved model",
        "other.npz": "the arrays hold no events",
        "lengths.npz": "the arrays hold no events",
        "texts.npz": "column t holds no numbers",
        "line.npy": "the array holds no events",
        "picture.npy": "the array holds no events",
        "pickle.npy": "Python objects",
        "pickle.npz": "Python objects",
    }


def test_other_things_in_such_files_are_called_by_their_names(tmp_path):
    for name, what in other_files(tmp_path).items():
        assert re.search(what, error_of(tmp_path / name)), name


def test_a_pipe_is_refused_with_a_way_out(tmp_path):
    np.save(tmp_path / "a.npy", scene(10))
    code = "from spikestream.cli import main; import sys; sys.exit(main(['info', '-']))"
    with (tmp_path / "a.npy").open("rb") as file:
        done = subprocess.run([sys.executable, "-c", code], stdin=file, capture_output=True, text=True)
    assert done.returncode == 3
    assert "is read from a file, not from a pipe" in done.stderr


def packed(kind: int, flag: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        array = io.BytesIO()
        np.save(array, scene(10))
        archive.writestr("events.npy", array.getvalue())
    return file.getvalue()


def test_archives_that_numpy_does_not_make_are_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(packed(zipfile.ZIP_LZMA))
    assert "packed as NumPy packs nothing" in error_of(tmp_path / "a.npz")


@pytest.mark.parametrize("library", ["zlib-ng", "zlib"])
@pytest.mark.parametrize("packing", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("field", list("txyp"))
def test_a_byte_that_has_changed_is_never_read_in_silence(tmp_path, monkeypatch, library, packing, field):
    if library == "zlib":
        monkeypatch.setitem(sys.modules, "zlib_ng", None)
    events, path = scene(70_000), tmp_path / "a.npz"
    packing(path, **{name: events[name] for name in "txyp"})
    assert np.array_equal(ss.read(path).data, events)
    with zipfile.ZipFile(path) as packed:
        entry = packed.getinfo(f"{field}.npy")
    good = path.read_bytes()
    begin = entry.header_offset + 30 + len(entry.filename) + 20
    for at in (begin + 130, begin + entry.compress_size // 2, begin + entry.compress_size - 9):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(RecordingError, match=r"damaged|is no event"):
            ss.read(path)


def test_a_forged_length_asks_for_no_memory(tmp_path):
    np.save(tmp_path / "a.npy", scene(10))
    good = (tmp_path / "a.npy").read_bytes()
    for shape in (b"(10**9,), ", b"(-7,),    ", b"(9,),     ", b"(1<<60,), "):
        (tmp_path / "a.npy").write_bytes(re.sub(rb"\(10,\), +", shape.ljust(len(b"(10,), }")), good, count=1))
        assert re.search(r"not as long as its header says|header of an array", error_of(tmp_path / "a.npy")), shape


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_forged_length_of_the_header_asks_for_no_memory(tmp_path, name):
    """NumPy reads as many bytes as version 2 of its format says, of up to 4 GiB, before it looks at the number."""
    forged = io.BytesIO(b"\x93NUMPY\x02\x00" + (1 << 30).to_bytes(4, "little") + bytes(3_000))
    if name == "a.npz":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("events.npy", forged.getvalue())
    else:
        (tmp_path / name).write_bytes(forged.getvalue())
    error_of(tmp_path / name)
    tracemalloc.start()
    assert "header of an array is damaged" in error_of(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()


def test_a_cut_array_gives_what_came_before(tmp_path):
    ss.write(tmp_path / "a.npz", batch(scene(150_000)))
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    damaged[8 * 140_000] ^= 0xFF  # in t: the checksum of that column does not fit
    (tmp_path / "a.npz").write_bytes(damaged)
    got, error = taken(Reader(tmp_path / "a.npz"))
    assert "damaged after event 131,072" in error
    assert np.array_equal(np.array(got, EVENT)[:131_072], scene(150_000)[:131_072])


@pytest.mark.parametrize(("format", "number"), [("npy", 0), ("npy", 1), ("npy", 2), ("npz", 0), ("npz", 1)])
def test_mutated_files_raise_only_recording_errors(tmp_path, format, number):
    good, bad = GOOD[format].files()[number], tmp_path / "bad"
    refused = 0
    for data in mutations(good, 1_200, number):
        bad.write_bytes(data)
        try:
            with Reader(bad, format=format, time="keep") as reader:
                assert sum(map(len, reader)) <= len(good) * 1032 // 13
        except RecordingError:
            refused += 1
    assert 120 < refused < 1_200
