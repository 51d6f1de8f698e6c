"""Small good recordings of every format that comes with the package: what tests and `make fuzz` damage."""

from __future__ import annotations

import io
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aedat2bytes
import aedat3_by_hand
import aedat4_by_hand
import h5py
import hdf5files
import naive_ecf
import nasbytes
import numpy as np
import rosfiles
import scipy.io
from naive_evt import words_of

from spikestream.batch import EVENT, Events
from spikestream.files import write
from spikestream.formats.aedat2 import Encoder as Aedat2
from spikestream.formats.csv import Encoder as Csv
from spikestream.formats.es import Encoder as Es
from spikestream.formats.nmnist import Encoder as Nmnist
from spikestream.formats.prophesee import DAT, EVT2, EVT3

MIB = 1 << 20
SIZE = (240, 180)


@dataclass(frozen=True, slots=True)
class Good:
    """Good files of one format."""

    files: Callable[[], list[bytes]]
    memory: int
    """The bytes a reader may hold at most, whatever it is given, with one array of its own and one it gave away."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the reader has to be told."""
    length: int = 1 << 11
    """The bytes that a search by coverage may use, more where the smallest good file is longer."""


def scene(n: int, step: int = 9) -> np.ndarray:
    """Return events at all moments, on a few rows of neighbours and anywhere else."""
    rng = np.random.default_rng(n)
    events = np.empty(n, EVENT)
    events["t"] = 5_000 + np.cumsum(rng.choice([0, 0, 1, step, 100 * step], n))
    events["x"], events["y"] = rng.integers(0, SIZE[0], n), rng.integers(0, SIZE[1], n)
    events["x"][: n // 2], events["y"][: n // 2] = np.arange(n // 2) % SIZE[0], 7
    events["p"] = rng.integers(0, 2, n)
    return events


def batch(events: np.ndarray) -> Events:
    return Events(int(events["t"][0]), int(events["t"][-1]) + 1, events, SIZE)


def aedat1() -> list[bytes]:
    body = np.empty(64, [("address", ">u2"), ("stamp", ">i4")])
    body["address"], body["stamp"] = np.arange(0x2300, 0x2340), 40 * np.arange(64)
    version = b"#!AER-DAT1.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"
    return [head + body.tobytes() for head in (version + aedat2bytes.END, b"# no version\n", b"")]


def aedat2() -> list[bytes]:
    davis, records = aedat2bytes.davis, aedat2bytes.records
    body = Aedat2(sensor="davis240").feed(aedat2bytes.scene("davis240", 24)).partition(aedat2bytes.END)[2]
    long_body = Aedat2(sensor="davis346").feed(aedat2bytes.scene("davis346", 280)).partition(aedat2bytes.END)[2]
    return [
        aedat2bytes.header("davis240") + body,
        aedat2bytes.header("davis240", b"") + records(*((davis(5 * i, 140 + i % 4, 1), i) for i in range(20))),
        Aedat2(sensor="dvs128").feed(aedat2bytes.scene("dvs128", 30)),
        aedat2bytes.NO_CHIP + long_body,
    ]


def aedat3() -> list[bytes]:
    by_hand = aedat3_by_hand
    events = np.array([(2**31 - 9 + t, t, t, t % 2) for t in range(18)], EVENT)
    old = by_hand.head("#Source 1: DVS128", version="3.0", end=b"") + by_hand.packet(by_hand.event30(1, 2, 3, 1) * 9)
    written = [by_hand.encode(events, size=(346, 260)), by_hand.encode(events)]
    return [by_hand.head() + by_hand.MIXED, *written, old]


def aedat4() -> list[bytes]:
    hand = aedat4_by_hand
    streams = (hand.stream_xml(0, "EVTS"), hand.stream_xml(1, "FRME"))
    bodies = [[(5, 1, 2, 1), (6, 3, 4, 0)], [(t, t, t, t % 2) for t in range(20)]]
    packets = [(0, hand.event_body(bodies[0])), (1, b"frame"), (0, hand.event_body(bodies[1])), (3, b"?")]
    end = len(hand.file(packets, streams=streams))
    made = [hand.file(packets, streams=streams, compression=c, position=p) for c in range(5) for p in (-1, end)]
    return made + [hand.encoded(hand.random_events(60), compression=c) for c in ("none", "lz4", "zstd")]


def bins() -> list[bytes]:
    sizes = (40, 540)
    return [Nmnist().feed(np.array([(9 * i, i % 34, 7 * i % 34, i % 2) for i in range(n)], EVENT)) for n in sizes]


def csv() -> list[bytes]:
    header, _, rows = Csv().feed(scene(60)).partition(b"\n")
    seconds = b"".join(b"%.6f %d %d %d\n" % (t / 1e6, x, y, p) for t, x, y, p in scene(60).tolist())
    return [header + b"\n" + rows, b"# t x y p\n" + rows.replace(b",", b" "), rows, seconds]


def evt2() -> list[bytes]:
    return [EVT2.encoder(size=SIZE).feed(scene(60)), EVT2.encoder().feed(scene(60))]


def evt21() -> list[bytes]:
    rng = np.random.default_rng(5)
    head = b"% evt 2.1\n% geometry 640x480\n% end\n"
    return [head + words_of([0, 1, 8, 10], 64, 80, rng).tobytes(), words_of([0, 1, 8], 64, 50, rng).tobytes()]


def evt3() -> list[bytes]:
    vectors = words_of([0, 2, 3, 4, 5, 6, 8], 16, 200, np.random.default_rng(5)).tobytes()
    return [EVT3.encoder(size=SIZE).feed(scene(60)), b"% evt 3.0\n% system_ID 48\n" + vectors]


def dat() -> list[bytes]:
    return [DAT.encoder(size=SIZE).feed(scene(60)), DAT.encoder().feed(scene(60))]


def es() -> list[bytes]:
    made = Es(size=SIZE).feed(scene(80))
    return [made, made[:15] + b"\x02" + made[16:], bytes(300)]  # DVS, ATIS, and what has no header


def nas() -> list[bytes]:
    return [nasbytes.sound(60), b"#!AER-DAT2.0\r\n# recorded by jAER\r\n#End Of ASCII Header\r\n" + nasbytes.sound(360)]


def mat() -> list[bytes]:
    return [spiketrain(200, True), spiketrain(4, False)]


def spiketrain(n: int, compressed: bool) -> bytes:
    """Return n moments of a touch as ST-MNIST stores them."""
    rng, array, file = np.random.default_rng(2), np.zeros((101, n)), io.BytesIO()
    array[:100] = rng.choice([0] * 9 + [1, -1], (100, n))
    array[100] = np.sort(rng.random(n))
    scipy.io.savemat(file, {"spiketrain": array}, do_compression=compressed)
    return b"MATLAB 5.0 MAT-file".ljust(124) + file.getvalue()[124:]  # which else begins with today's date


def npy() -> list[bytes]:
    columns = np.stack([scene(60)[name].astype(np.int64) for name in "txyp"], axis=1)
    return [_npy(scene(60)), _npy(columns), _npy(np.asfortranarray(columns.astype(np.float64)))]


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz() -> list[bytes]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # as np.savez_compressed, at one date
        archive.writestr(zipfile.ZipInfo("events.npy"), _npy(scene(120)), zipfile.ZIP_DEFLATED)
    return [_of_files(lambda folder: _written(folder / "a.npz")), file.getvalue()]


def _written(path: Path, n: int = 60) -> Path:
    write.write(path, batch(scene(n)))
    return path


def _of_files(make: Callable[[Path], Path]) -> bytes:
    with TemporaryDirectory() as folder:
        return make(Path(folder)).read_bytes()


def hdf5() -> list[bytes]:
    events = scene(60)

    def columns(folder: Path) -> Path:
        types = {"t": "u4", "x": "u2", "y": "u2", "p": "u1"}
        with h5py.File(folder / "a.h5", "w", libver="latest") as file:
            for name, kind in types.items():
                file.create_dataset(f"events/{name}", data=events[name].astype(kind), compression="gzip", chunks=(30,))
        return folder / "a.h5"

    def rows(folder: Path) -> Path:
        with h5py.File(folder / "a.h5", "w", libver="latest") as file:
            file.create_dataset("CD/events", data=hdf5files.cd(events[:20]), chunks=(16,))
        return folder / "a.h5"

    def ecf(folder: Path) -> Path:
        return hdf5files.prophesee(folder / "a.h5", hdf5files.scene(300), 128, (*naive_ecf.WAYS, None))

    def small_ecf(folder: Path) -> Path:
        return hdf5files.prophesee(folder / "a.h5", hdf5files.scene(60), 12, (*naive_ecf.WAYS, None), "latest")

    return [_of_files(make) for make in (ecf, columns, rows, small_ecf)]


def _messages() -> dict[str, list[Any]]:
    from test_ros import arrays, caer_cmp, evt3, packets

    words = evt3(scene(300))
    datas = [words[at : at + 100] for at in range(0, len(words), 100)]
    few = arrays(scene(12))
    return {
        "arrays": few,
        "evt3": packets(datas, "evt3"),
        "libcaer_cmp": packets([caer_cmp(scene(300), 0)], "libcaer_cmp"),
    }


def _ros(suffix: str, *kinds: str, packing: str | None = None) -> list[bytes]:
    made = _messages()
    return [
        _of_files(lambda folder, kind=kind: rosfiles.write(folder / f"a{suffix}", made[kind], packing))
        for kind in kinds
    ]


def bag() -> list[bytes]:
    return _ros(".bag", "arrays", "evt3") + _ros(".bag", "arrays", packing="BZ2")


def mcap() -> list[bytes]:
    return _ros(".mcap", "arrays", "libcaer_cmp")


def db3() -> list[bytes]:
    return [
        _of_files(lambda folder, data=data: _of_small_pages(folder / "a", data))
        for data in _ros(".db3", "arrays", "evt3")
    ]


def _of_small_pages(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = DELETE")
        file.execute("PRAGMA page_size = 512")
        file.execute("VACUUM")
    return path


GOOD: dict[str, Good] = {
    "aedat1": Good(aedat1, 4 * MIB, {"sensor": "dvs128"}),
    "aedat2": Good(aedat2, 4 * MIB),
    "aedat3": Good(aedat3, 4 * MIB),
    "aedat4": Good(aedat4, (1 + 50 + 64 + 128) * MIB),
    "bin": Good(bins, 4 * MIB),
    "csv": Good(csv, 4 * MIB),
    "dat": Good(dat, 4 * MIB),
    "es": Good(es, 4 * MIB),
    "evt2": Good(evt2, 4 * MIB),
    "evt21": Good(evt21, 12 * MIB),
    "evt3": Good(evt3, 12 * MIB),
    "nas": Good(nas, 4 * MIB, {"sensor": "stereo16:jaer"}),
    "npy": Good(npy, 8 * MIB, length=1 << 13),
    "npz": Good(npz, 8 * MIB, length=1 << 13),
    "hdf5": Good(hdf5, (64 + 64 + 8) * MIB, length=1 << 13),
    "mat": Good(mat, 4 * MIB, length=1 << 13),
    "bag": Good(bag, (64 + 64 + 12) * MIB, length=1 << 13),
    "mcap": Good(mcap, (64 + 64 + 12) * MIB, length=1 << 13),
    "db3": Good(db3, (64 + 12) * MIB, length=1 << 13),
}
"""By registered name, all formats that come with the package."""
