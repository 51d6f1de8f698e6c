"""AEDAT 4 with other people's programs as witnesses, and real recordings."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from aedat4_by_hand import decoded, encoded, random_events

from spikestream.batch import EVENT
from spikestream.errors import RecordingError
from spikestream.formats.aedat4 import Decoder, table_summary


def by_aedat(path: Path) -> np.ndarray:
    aedat = pytest.importorskip("aedat")
    return joined([packet["events"] for packet in aedat.Decoder(path) if "events" in packet], "t", "x", "y", "on")


def by_faery(path: Path) -> np.ndarray:
    faery = pytest.importorskip("faery")
    return joined(list(faery.events_stream_from_file(path)), "t", "x", "y", "p")


def by_dv(path: Path) -> np.ndarray:
    dv = pytest.importorskip("dv_processing")
    recording, parts = dv.io.MonoCameraRecording(str(path)), []
    while (store := recording.getNextEventBatch()) is not None:
        parts.append(store.numpy())
    return joined(parts, "timestamp", "x", "y", "polarity")


def joined(parts: list[np.ndarray], *names: str) -> np.ndarray:
    events = np.empty(sum(len(part) for part in parts), EVENT)
    for ours, theirs in zip(EVENT.names, names, strict=True):
        events[ours] = np.concatenate([part[theirs].ravel() for part in parts]) if parts else 0
    return events


@pytest.mark.parametrize("read", [by_aedat, by_faery, by_dv])
@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("n", [0, 1000, 150_000])
def test_others_read_what_we_write(tmp_path: Path, read: Callable, compression: str, indexed: bool, n: int):
    path = tmp_path / "ours.aedat4"
    path.write_bytes(encoded(random_events(n), indexed, compression=compression, sensor="CAM & <co>"))
    np.testing.assert_array_equal(read(path), random_events(n))


def test_dv_seeks_in_what_we_write(tmp_path: Path):
    dv = pytest.importorskip("dv_processing")
    events, path = random_events(150_000), tmp_path / "ours.aedat4"
    path.write_bytes(encoded(events, sensor="CAM"))
    recording = dv.io.MonoCameraRecording(str(path))
    t = events["t"]
    assert recording.getTimeRange() == (t[0], t[-1])
    assert tuple(recording.getEventResolution()) == (346, 260)
    part = recording.getEventsTimeRange(int(t[99_000]), int(t[101_000])).numpy()
    inside = events[(t >= t[99_000]) & (t < t[101_000])]
    np.testing.assert_array_equal(joined([part], "timestamp", "x", "y", "polarity"), inside)


@pytest.mark.parametrize("compression", [None, ("lz4", 1), ("zstd", 1)])
def test_we_read_what_faery_writes(tmp_path: Path, compression: tuple[str, int] | None):
    faery = pytest.importorskip("faery")
    events = random_events(10_000)
    theirs = events.astype(faery.EVENTS_DTYPE)
    stream = faery.events_stream_from_array(theirs, dimensions=(346, 260))
    stream.to_file(tmp_path / "theirs.aedat4", compression=compression)
    data, decoder = (tmp_path / "theirs.aedat4").read_bytes(), Decoder()
    np.testing.assert_array_equal(decoded(decoder, data, 4096), events)
    assert decoder.size == (346, 260)
    assert table_summary(data) == (10_000, events["t"][0], events["t"][-1])


@pytest.mark.parametrize("compression", [0, 1, 3])
def test_we_read_what_evutils_writes_without_an_identifier(tmp_path: Path, compression: int):
    io, types = pytest.importorskip("evutils.io"), pytest.importorskip("evutils.types")
    events, path = random_events(10_000), tmp_path / "theirs.aedat4"
    with io.EventWriter(path, width=346, height=260, compression=compression) as writer:
        writer.write(types.EventArray(**{name: events[name].copy() for name in "txyp"}))
    data, decoder = path.read_bytes(), Decoder()
    assert b"IOHE" not in data
    np.testing.assert_array_equal(decoded(decoder, data, 999), events)
    assert (decoder.size, decoder.warnings) == ((346, 260), [])
    with pytest.raises(RecordingError, match="of another kind"):
        decoded(Decoder(), data.replace(b'<node name="info">', b'<node name="more">'))


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "LZ4_HIGH", "ZSTD", "ZSTD_HIGH"])
def test_we_read_what_dv_writes(tmp_path: Path, compression: str):
    dv = pytest.importorskip("dv_processing")
    events = random_events(12_345)
    config = dv.io.MonoCameraWriter.Config("DVXplorer_X1")
    config.addEventStream((346, 260))
    config.addEventStream((640, 480), "second")
    config.addTriggerStream()
    config.compression = getattr(dv.CompressionType, compression)
    writer = dv.io.MonoCameraWriter(str(tmp_path / "theirs.aedat4"), config)
    for name, rows in (("events", events), ("second", events[:100])):
        store = dv.EventStore()
        for t, x, y, p in rows.tolist():
            store.push_back(t, x, y, p)
        writer.writeEvents(store, name)
    writer.writeTrigger(dv.Trigger(100, dv.TriggerType.EXTERNAL_SIGNAL_RISING_EDGE))
    del writer
    data, decoder = (tmp_path / "theirs.aedat4").read_bytes(), Decoder()
    np.testing.assert_array_equal(decoded(decoder, data, 1000), events)
    assert (decoder.size, decoder.sensor) == ((346, 260), "DVXplorer_X1")
    assert decoder.skipped == {"packets of other event streams": 1, "trigger": 1}
    assert table_summary(data) == (12_345, events["t"][0], events["t"][-1])
    assert table_summary(data, "second") == (100, events["t"][0], events["t"][99])
    np.testing.assert_array_equal(decoded(Decoder(stream="second"), data), events[:100])


REAL = {
    "davis346": (6_676, 1589163147368868, 1589163147538809, (346, 260), 0.5337, "DAVIS346_00000002"),
    "dvxplorer": (111_954, 1605537493718345, 1605537494308262, (320, 240), 0.4915, "DVXplorer_DXB00010"),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_recordings(data: Path, name: str):
    path, decoder = data / "events" / "aedat4" / f"{name}.aedat4", Decoder()
    events = decoded(decoder, path.read_bytes())
    count, first, last, size, share, sensor = REAL[name]
    assert (len(events), events["t"][0], events["t"][-1]) == (count, first, last)
    assert (decoder.size, decoder.sensor, decoder.warnings) == (size, sensor, [])
    assert events["p"].mean() == pytest.approx(share, abs=5e-5)
    np.testing.assert_array_equal(events, by_aedat(path))
    np.testing.assert_array_equal(events, by_faery(path))
    np.testing.assert_array_equal(events, by_dv(path))


@pytest.mark.realdata
def test_real_packets_by_stream(data: Path):
    folder, davis, dvx = data / "events" / "aedat4", Decoder(), Decoder()
    decoded(davis, (folder / "davis346.aedat4").read_bytes(), 10_000)
    decoded(dvx, (folder / "dvxplorer.aedat4").read_bytes(), 10_000)
    assert davis.packets == {0: 17, 1: 4, 2: 16, 3: 13}
    assert davis.skipped == {"frame": 4, "imu": 16, "trigger": 13}
    assert (dvx.packets, dvx.skipped) == ({0: 59, 2: 59}, {"imu": 59})


@pytest.mark.realdata
def test_a_real_recording_byte_by_byte(data: Path):
    whole = (data / "events" / "aedat4" / "davis346.aedat4").read_bytes()
    np.testing.assert_array_equal(decoded(Decoder(), whole, 1), decoded(Decoder(), whole))


@pytest.mark.realdata
def test_the_data_tables_of_real_recordings(data: Path):
    folder = data / "events" / "aedat4"
    with (
        open(folder / "dvxplorer.aedat4", "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert table_summary(mapped) == REAL["dvxplorer"][:3]
    assert table_summary((folder / "davis346.aedat4").read_bytes()) is None  # of a DV that did not count yet
