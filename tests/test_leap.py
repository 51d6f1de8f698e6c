"""Beginning in the middle of a recording that has an index: the same events as reading up to there, undecoded."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hdf5files import columns
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.batch import EVENT, Events
from spikestream.files import reader as readers
from spikestream.files.containers import hdf5
from spikestream.files.reader import Reader
from spikestream.files.stream import stream_of
from spikestream.files.write import write
from spikestream.formats.aedat4 import Encoder, header

N, PACKET = 60_000, 500


def recording(path, gap_at=None, compression="none"):
    """Write 60,000 events in packets of 500; after one of them nothing comes for an hour."""
    rng = np.random.default_rng(7)
    data = np.zeros(N, EVENT)
    data["t"] = 1_700_000_000_000_000 + np.cumsum(rng.integers(0, 40, N))
    data["x"], data["y"], data["p"] = rng.integers(0, 346, N), rng.integers(0, 260, N), rng.integers(0, 2, N)
    if gap_at is not None:
        data["t"][gap_at:] += 3_600_000_000
    encoder = Encoder(size=(346, 260), compression=compression)
    parts = [encoder.feed(data[at : at + PACKET]) for at in range(0, N, PACKET)]
    raw = bytearray(b"".join([*parts, encoder.finish()]))
    tail, offset, place = encoder.index()
    raw += tail
    raw[offset : offset + len(place)] = place
    path.write_bytes(raw)
    return data


def played(path, from_us, *, leaping=True, **options):
    """Return the batches from there on, how many events were decoded, and what was wrong."""
    with Reader(path, **options) as reader:
        if not leaping:
            reader.leap = lambda from_us: reader.peek()
        batches = list(stream_of(reader, length_us=10_000, grid_us=1_000, from_us=from_us))
        return batches, reader.events, dict(reader.problems)


def same(left, right):
    return [(b.start, b.stop, b.data.tobytes()) for b in left] == [(b.start, b.stop, b.data.tobytes()) for b in right]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(readers, "CHUNK", 4096)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("policy", ["clamp", "drop", "fail", "sort"])
def test_what_comes_is_what_would_have_come(tmp_path, compression, policy):
    path = tmp_path / "x.aedat4"
    data = recording(path, gap_at=30_000, compression=compression)
    duration = int(data["t"][-1] - data["t"][0])
    for from_us in (0, 1, 500_000, 3_600_000_000, duration - 1, duration, duration + 1, 10**12):
        got, decoded, problems = played(path, from_us, time=policy)
        wanted, _, expected = played(path, from_us, time=policy, leaping=False)
        assert same(got, wanted)
        assert problems.get("gaps") == expected.get("gaps")
        if from_us >= 3_600_000_000:
            assert (decoded < N / 2 + 5_000) == (policy in ("clamp", "drop"))
        if from_us >= duration - 1:
            assert problems.get("future") == (None if policy in ("clamp", "drop") else 1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), from_us=st.integers(0, 2_000_000))
def test_an_index_that_is_damaged_loses_nothing_that_is_there(tmp_path_factory, seed, from_us):
    path = tmp_path_factory.mktemp("damaged") / "x.aedat4"
    recording(path)
    raw = bytearray(path.read_bytes())
    start = 18 + header.body_size(memoryview(raw)[:18])
    rng = np.random.default_rng(seed)
    for at in rng.integers(header.parse(memoryview(raw)[18:start]).end, len(raw), 2):
        raw[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(raw)
    assert same(played(path, from_us)[0], played(path, from_us, leaping=False)[0])


def laid_out(path, events, layout, lie=0):
    """Write a file of Prophesee's layout, or DSEC's, whose index is ``lie`` rows off from 0.3 s on."""
    if layout == "prophesee":
        write(path, Events(int(events["t"][0]), int(events["t"][-1]) + 1, events, (346, 260)))
        with h5py.File(path, "r+") as file:
            file["CD/indexes"][150:] = [(max(0, id + lie), ts) for id, ts in file["CD/indexes"][150:].tolist()]
        return
    t = events["t"] - events["t"][0]
    rows = np.searchsorted(t, np.arange(int(t[-1]) // 1_000 + 2) * 1_000).astype("<u8")
    rows[300:] += np.uint64(lie)
    more = {"t_offset": int(events["t"][0]), "ms_to_idx": rows}
    stored = events.copy()
    stored["t"] = t
    columns(path, stored, "t x y p", "events", more, chunks=(4_096,))


@pytest.mark.parametrize("layout", ["prophesee", "dsec"])
@pytest.mark.parametrize("lie", [0, 30_000])
def test_hdf5_leaps_by_the_index_of_its_layout(tmp_path, monkeypatch, layout, lie):
    monkeypatch.setattr(hdf5, "WORTH", 1)
    rng = np.random.default_rng(3)
    events = np.zeros(200_000, EVENT)
    events["t"] = 5_000_000 + np.cumsum(rng.integers(0, 9, len(events)))
    events["x"], events["p"] = rng.integers(0, 346, len(events)), rng.integers(0, 2, len(events))
    laid_out(tmp_path / "x.h5", events, layout, lie)
    for from_us in (0, 1, 299_000, 400_000, 790_000, 10**9):
        got, decoded, _ = played(tmp_path / "x.h5", from_us)
        wanted, whole, _ = played(tmp_path / "x.h5", from_us, leaping=False)
        assert same(got, wanted)
        if from_us == 790_000 and not lie:
            assert decoded < whole * 0.9


def test_convert_leaps_too(tmp_path):
    data = recording(tmp_path / "x.aedat4")
    with Reader(tmp_path / "x.aedat4") as reader:
        reader.leap(1_000_000)
        events = np.concatenate(list(reader))
    late = data[data["t"] >= data["t"][0] + 1_000_000]
    assert np.array_equal(events[-len(late) :], late)
    assert len(events) < len(late) + 3 * PACKET + 5_000
    assert reader.events == len(events)


def test_files_without_an_index_and_pipes_are_read_through(tmp_path):
    events = np.zeros(50_000, EVENT)
    events["t"] = np.arange(50_000) * 10
    write(tmp_path / "x.dat", Events(0, 500_000, events, (346, 260)))
    got, decoded, _ = played(tmp_path / "x.dat", 400_000)
    assert (sum(map(len, got)), decoded) == (10_000, 50_000)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["dvxplorer", "davis346"])
def test_real_recordings_leap_by_their_own_table(data, name):
    path = data / "events" / "aedat4" / f"{name}.aedat4"
    for from_us in (0, 50_000, 100_000, 400_000):
        got, decoded, _ = played(path, from_us)
        wanted, whole, _ = played(path, from_us, leaping=False)
        assert same(got, wanted)
        assert decoded <= whole
    assert decoded < whole or name == "davis346"
