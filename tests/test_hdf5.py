"""HDF5 in every layout of the field, written by h5py: its events, what is refused, and damage."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import evlib
import goodfiles
import h5py
import hdf5files
import hdf5plugin
import naive_ecf
import numpy as np
import pytest
from fuzz import taken
from hdf5files import SIZE, columns, scene
from plainformat import error_of, whole

import spikestream as ss
from spikestream.errors import RecordingError
from spikestream.files.reader import Reader
from spikestream.formats.base import chunks


@pytest.mark.parametrize("chunk", [16_384, 1_000])
def test_prophesees_files_packed_in_all_ways(tmp_path, chunk):
    events = scene(50_001)
    ways = (*naive_ecf.WAYS, None)
    path = hdf5files.prophesee(tmp_path / "a.hdf5", events, chunk, ways, geometry="640x480", sensor_name="IMX636")
    with Reader(path) as reader:
        assert np.array_equal(whole(reader), events)
        assert (reader.size, reader.sensor, reader.warnings, reader.skipped) == (SIZE, "IMX636", [], {})
    assert ss.info(path, scan=False).events == 50_001


def test_evlib_reads_the_same_from_a_file_of_ecf(tmp_path):
    events = scene(20_000)
    path = hdf5files.prophesee(tmp_path / "a.h5", events, format="EVT3;height=480;width=640")
    theirs = evlib.load_events(str(path)).collect()
    ours = ss.read(path)
    assert ours.size == SIZE
    for name, column in (("x", "x"), ("y", "y"), ("p", "polarity")):
        assert np.array_equal(
            ours.data[name], theirs[column].to_numpy() > 0 if name == "p" else theirs[column].to_numpy()
        )
    assert np.array_equal(ours.data["t"], theirs["t"].to_numpy().astype("m8[us]").astype(np.int64))


def test_dsec(tmp_path):
    events = scene(start=17)
    more = {"t_offset": 49_599_300_523, "ms_to_idx": np.arange(40, dtype="u8")}
    path = columns(
        tmp_path / "events.h5", events, "t x y p", "events", more, **hdf5plugin.Blosc(cname="zstd"), chunks=True
    )
    got = ss.read(path).data
    assert np.array_equal(got["t"], events["t"] + 49_599_300_523)
    assert all(np.array_equal(got[name], events[name]) for name in "xyp")


@pytest.mark.parametrize(
    ("names", "group", "packing"),
    [
        ("t x y p", "/", {}),
        ("ts xs ys ps", "events", {"compression": "gzip", "chunks": (777,)}),
        ("timestamps x y polarity", "deep/in/the/file", {"compression": "lzf", "shuffle": True, "fletcher32": True}),
        ("t x y p", "events", {**hdf5plugin.Zstd(), "chunks": (50_000,)}),
        ("t x y p", "events", {**hdf5plugin.Bitshuffle()}),
    ],
)
def test_columns_by_any_name_and_packing(tmp_path, names, group, packing):
    path = columns(tmp_path / "a.h5", scene(start=3), names, group, **packing)
    assert np.array_equal(ss.read(path).data, scene(start=3))


def test_one_dataset_of_rows_or_of_fields(tmp_path):
    events = scene(start=3)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        rows = np.stack([events["t"], events["x"], events["y"], events["p"]], axis=1)
        file.create_dataset("events", data=rows.astype("u4"), chunks=(5_000, 2))
        file.attrs.update(width=640, height=480)
    with h5py.File(tmp_path / "fields.h5", "w") as file:
        file["data/events"] = hdf5files.cd(events)
        file["data/width"], file["data/height"] = 640, 480
    for name in ("rows.h5", "fields.h5"):
        got = ss.read(tmp_path / name)
        assert np.array_equal(got.data, events), name
        assert got.size == SIZE


FIELDS = {
    "prophesee": hdf5files.CD,
    "packed": np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<i2")]),
    "others": np.dtype([("polarity", "i1"), ("ts", ">u8"), ("x", "<u4"), ("y", ">u2")]),
}


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize(
    "packing",
    [
        {"chunks": (1_000,)},
        {"chunks": (16_384,), "compression": "gzip"},
        {"chunks": (999,), "shuffle": True},
        {"chunks": (16_384,), "compression": "gzip", "shuffle": True},
        {"chunks": (16_384,), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (70_000,), "compression": "gzip", "shuffle": True},
    ],
)
def test_fields_in_every_packing(tmp_path, fields, packing):
    events, dtype = scene(100_001, start=3), FIELDS[fields]
    rows = np.zeros(len(events), dtype)
    for name, column in zip(sorted(dtype.names, key=lambda name: "txyp".index(name[0])), "txyp", strict=True):
        rows[name] = events[column]
    minus = rows["p" if "p" in dtype.names else "polarity"]
    minus[minus == 0] = -1
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("CD/events", data=rows, **packing)
    assert np.array_equal(ss.read(tmp_path / "a.h5").data, events)
    assert np.array_equal(whole(Reader(tmp_path / "a.h5", unit="ms"))["t"], events["t"] * 1_000)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["CD/t_offset"] = 7
    got = whole(Reader(tmp_path / "a.h5"))
    assert np.array_equal(got["t"], events["t"] + 7)
    assert all(np.array_equal(got[name], events[name]) for name in "xyp")


@pytest.mark.parametrize(
    "packing", [{}, {"chunks": (256,)}, {"chunks": (999,), "shuffle": True}, {"chunks": (40_000,)}]
)
@pytest.mark.parametrize("zeros", [300, 50_000, 65_536])
@pytest.mark.parametrize("apart", [False, True])
def test_the_unit_of_fractions_does_not_depend_on_how_the_file_is_chunked(tmp_path, packing, zeros, apart):
    rows = np.zeros(70_000, [("t", "f8"), ("x", "u2"), ("y", "u2"), ("p", "i1")])
    rows["t"][zeros:] = np.linspace(0.25, 1, len(rows) - zeros)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "txyp" if apart else [""]:
            file.create_dataset(f"events/{name or 'all'}", data=rows[name] if name else rows, **packing)
    got, error = taken(Reader(tmp_path / "a.h5"))
    if zeros < 65_536:
        assert (len(got), got[-1][0], error) == (70_000, 1_000_000, "")
        return
    assert (len(got), got[-1][0]) == (65_536, 0)
    assert "row 65,536 is no event: its t has a fraction" in error
    assert "--option unit=s" in error


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("packing", [{}, {"chunks": (1_000,), "compression": "gzip", "shuffle": True}])
def test_nanoseconds_since_1970_are_told_where_the_layout_says_no_unit(tmp_path, fields, packing):
    """They are by the first row, however it is stored; times of Prophesee's and of DSEC's files are µs."""
    ns, dtype = 1_600_000_000_000_000_000, FIELDS[fields]
    rows = np.zeros(3_000, dtype)
    rows["ts" if "ts" in dtype.names else "t"] = ns + np.arange(3_000) * 1_500
    for place, first, notes in (
        ("events", ns // 1_000, ("t in ns (whole numbers, counted since 1970)",)),
        ("CD/events", ns, ()),
    ):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset(place, data=rows, **packing)
        assert ss.read(tmp_path / "a.h5").data["t"][0] == first
        assert ss.info(tmp_path / "a.h5").notes == notes
    times = {"t": np.array([ns]), "x": [1], "y": [1], "p": [1], "t_offset": 7}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in times.items():
            file[f"events/{name}"] = values
    assert ss.read(tmp_path / "a.h5").data["t"].tolist() == [ns + 7]
    assert ss.info(tmp_path / "a.h5").notes == ()


@pytest.fixture(params=["zlib_ng", "zlib"])
def inflater(request, monkeypatch):
    """Both of what inflates: Python's own does where the other is not installed."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "zlib_ng", None)
    assert type(chunks._inflating()[0]).__module__ == request.param


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        (zlib.compress(bytes(15_999)), "a chunk has another size"),
        (zlib.compress(bytes(1 << 26)), "a chunk has another size"),
        (zlib.compress(bytes(16_000))[:-20], "a chunk has another size"),
        (zlib.compress(bytes(16_000))[:-1] + b"?", "a chunk cannot be inflated"),
        (b"no such thing", "a chunk cannot be inflated"),
    ],
)
def test_damaged_chunks_of_fields_are_refused(tmp_path, stored, what, inflater):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("CD/events", data=hdf5files.cd(scene(3_000)), chunks=(1_000,), compression="gzip")
        data.id.write_direct_chunk((1_000,), stored)
    rows, error = taken(Reader(tmp_path / "a.h5"))
    assert rows == scene(3_000)[:1_000].tolist()
    assert what in error


def test_a_bomb_is_inflated_as_far_as_its_chunk(inflater):
    bomb = memoryview(zlib.compress(bytes(1 << 26)))
    tracemalloc.start()
    with pytest.raises(RecordingError, match="another size"):
        chunks.unfiltered(bomb, [chunks.DEFLATE], 16_000)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_of_two_cameras_one_has_to_be_chosen(tmp_path):
    events = scene(start=3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for side, part in (("left", events[:100]), ("right", events[100:])):
            for name in "txyp":
                file[f"prophesee/{side}/{name}"] = part[name]
    said = error_of(tmp_path / "a.h5")
    assert "several places" in said
    assert "/prophesee/left, /prophesee/right" in said
    assert "--option group=/prophesee/left" in said
    assert np.array_equal(whole(Reader(tmp_path / "a.h5", group="prophesee/right")), events[100:])
    assert "there are no events in 'davis'" in error_of(tmp_path / "a.h5", group="davis")


def hostile(folder: Path) -> dict[str, str]:
    """Make files that ask for what is not theirs, or too much; return what each is refused for."""
    (folder / "outside.bin").write_bytes(bytes(800))

    def made(name: str, fill) -> None:
        with h5py.File(folder / name, "w") as file:
            for column in "xyp":
                file[f"events/{column}"] = np.zeros(100, "u2")
            fill(file)

    made(
        "external.h5",
        lambda f: f.create_dataset("events/t", (100,), "i8", external=[(str(folder / "outside.bin"), 0, 800)]),
    )
    made("unwritten.h5", lambda f: f.create_dataset("events/t", (100,), "i8", chunks=(10,)))
    made(
        "link.h5", lambda f: f["events"].__setitem__("t", h5py.ExternalLink(str(folder / "unwritten.h5"), "/events/x"))
    )
    made("texts.h5", lambda f: f["events"].__setitem__("t", np.array([b"a"] * 100)))
    made("lengths.h5", lambda f: f["events"].__setitem__("t", np.zeros(99)))
    with h5py.File(folder / "huge.h5", "w") as file:
        for column in "txyp":
            file.create_dataset(f"events/{column}", (1 << 50,), "u2", chunks=(1 << 20,))
    with h5py.File(folder / "chunk.h5", "w") as file:
        for column in "txyp":
            data = file.create_dataset(f"events/{column}", (1 << 26,), "u8", chunks=(1 << 26,), compression="gzip")
            data.id.write_direct_chunk((0,), b"bomb")
    with h5py.File(folder / "nothing.h5", "w") as file:
        file["weights"] = np.zeros((3, 4))
    return {
        "external.h5": "has its values in another file",
        "unwritten.h5": "is not all there",
        "link.h5": "nothing in the file looks like events",
        "texts.h5": "nothing in the file looks like events",
        "lengths.h5": "nothing in the file looks like events",
        "huge.h5": "is not all there",
        "chunk.h5": "has chunks of more than",
        "nothing.h5": "nothing in the file looks like events",
    }


def test_what_is_elsewhere_or_too_much_is_refused(tmp_path):
    for name, what in hostile(tmp_path).items():
        assert what in error_of(tmp_path / name), name


def test_a_piece_of_ecf_with_other_counts_is_refused(tmp_path):
    path = hdf5files.prophesee(tmp_path / "a.h5", scene(3_000), 1_000)
    with h5py.File(path, "r+") as file:
        data = file["CD/events"].id
        data.write_direct_chunk((1_000,), naive_ecf.encode(scene(10), "packed"))
    rows, error = taken(Reader(path))
    assert rows == scene(3_000)[:1_000].tolist()
    assert "expected 1,000 events, found 10" in error


def survived(good: list[bytes], folder: Path, cases: int) -> int:
    """Return how many of so many mutations of each file were refused.

    They are read in one process here, which a crash or a hang would end: the reader of the files has one for each.
    """
    for number, data in enumerate(good):
        (folder / f"good{number}").write_bytes(data)
    code = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from fuzz import mutations
from spikestream.errors import RecordingError
from spikestream.files.containers.hdf5_reading import read
resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
folder, refused = Path({str(folder)!r}), 0
for number, good in enumerate(sorted(folder.glob("good*"))):
    for data in mutations(good.read_bytes(), {cases}, seed=number):
        (folder / "bad").write_bytes(data)
        try:
            for facts, block in read(str(folder / "bad"), None):
                assert len(block) < 1 << 24
        except RecordingError:
            refused += 1
print(refused)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_mutated_files_raise_only_recording_errors(tmp_path):
    assert 300 < survived(goodfiles.hdf5(), tmp_path, 600) < 2_400


@pytest.mark.realdata
def test_a_real_file_mutated(data: Path, tmp_path: Path):
    assert 300 < survived([(data / "events/hdf5/event.hdf5").read_bytes()], tmp_path, 2_000) < 2_000


@pytest.mark.realdata
def test_a_real_file(data: Path):
    got, facts = ss.read(data / "events/hdf5/event.hdf5"), ss.info(data / "events/hdf5/event.hdf5")
    assert (len(got), got.data["t"].min(), got.data["t"].max()) == (17, 0, 5_748)
    assert (got.data["x"].max(), got.data["y"].max(), facts.on_share) == (145, 181, 0.0)
    assert "taken as s" in facts.warnings[0]
