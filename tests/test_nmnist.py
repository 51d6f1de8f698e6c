"""N-MNIST `.bin` against bytes written by hand, a naive decoder from the specification, and damaged files."""

from __future__ import annotations

import csv
import subprocess
import sys
import tracemalloc
from random import Random

import goodfiles
import numpy as np
import pytest
from fuzz import drain, mutations, pieces
from hypothesis import given
from hypothesis import strategies as st

from spikestream.batch import EVENT
from spikestream.errors import RecordingError
from spikestream.formats.nmnist import FORMAT, Decoder, Encoder


def read(decoder: Decoder, data: bytes, *, step: int = 0) -> np.ndarray:
    """Feed in pieces of `step` bytes, 0 for one piece, and finish; return all events."""
    found = [np.empty(0, EVENT)]
    for at in range(0, len(data), step or max(1, len(data))):
        found += decoder.feed(memoryview(data)[at : at + (step or len(data))])
    decoder.finish()
    return np.concatenate(found)


def naive(data: bytes) -> np.ndarray:
    """Decode with column arithmetic as the specification says, without any size."""
    x, y, high, middle, low = np.frombuffer(data[: len(data) // 5 * 5], np.uint8).astype(np.int64).reshape(-1, 5).T
    marks = y == 240
    found = np.empty(len(x), EVENT)
    found["t"] = (high % 128) * 65536 + middle * 256 + low + 8192 * np.cumsum(marks)
    found["x"], found["y"], found["p"] = x, y, high // 128
    return found[~marks]


def events(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), EVENT)


def test_records_by_hand():
    data = bytes.fromhex("070F80028E 131280000B 00007FFFFF 2121FFFFFF")
    wanted = [(0x28E, 7, 15, True), (11, 19, 18, True), (2**23 - 1, 0, 0, False), (2**23 - 1, 33, 33, True)]
    assert read(Decoder(), data).tolist() == wanted
    assert Encoder().feed(events(*wanted)) == data


def test_an_overflow_record_moves_the_clock_of_all_later_ones():
    data = bytes.fromhex("0101000005 05F0FFFFFF 0202000001 00F0000000 030380000A")
    decoder = Decoder()
    assert read(decoder, data).tolist() == [(5, 1, 1, False), (8193, 2, 2, False), (16384 + 10, 3, 3, True)]
    assert decoder.skipped == {"overflow": 2}


@pytest.mark.parametrize("step", [0, 1, 3, 4, 5, 6, 64])
def test_any_bytes_in_any_pieces_decode_as_the_specification_says(step):
    data = np.random.default_rng(4).bytes(5 * 2000)
    decoder = Decoder()
    assert np.array_equal(read(decoder, data, step=step), naive(data))
    assert decoder.size == (256, 256)


def test_a_cut_record_comes_after_all_before_it():
    data = Encoder().feed(events(*((i, i, i, 1) for i in range(9))))
    for lost in range(1, 5):
        decoder = Decoder()
        assert sum(len(part) for part in decoder.feed(memoryview(data[:-lost]))) == 8
        with pytest.raises(RecordingError, match="cut inside its last record") as error:
            decoder.finish()
        assert (error.value.offset, error.value.found) == (40, str(5 - lost))


def test_nothing_at_all_is_an_error():
    with pytest.raises(RecordingError, match="is empty"):
        Decoder().finish()


# Size


@pytest.mark.parametrize(
    ("x", "y", "size"),
    [
        (33, 33, (34, 34)),
        (34, 0, (128, 128)),
        (0, 127, (128, 128)),
        (128, 0, (240, 180)),
        (0, 180, (256, 256)),
        (255, 255, (256, 256)),
    ],
)
def test_the_size_is_the_smallest_usual_one_that_holds_the_events(x, y, size):
    decoder = Decoder()
    assert decoder.size == (34, 34)
    (part,) = decoder.feed(memoryview(bytes([x, y, 0, 0, 0])))
    assert part.tolist() == [(0, x, y, False)]
    assert decoder.size == size
    assert ["--size" in line for line in decoder.warnings] == ([] if size == (34, 34) else [True])


def test_a_size_asked_for_stays_and_what_lies_outside_is_counted():
    decoder = Decoder(size=(100, 50))
    data = Encoder().feed(events((1, 99, 49, 1), (2, 100, 0, 1), (3, 0, 50, 1)))
    assert read(decoder, data).tolist() == [(1, 99, 49, True)]
    assert (decoder.size, decoder.skipped, decoder.warnings) == ((100, 50), {"outside": 2}, [])


# Round trips


ROW = st.tuples(
    st.integers(0, 2**23 - 1), st.integers(0, 255), st.integers(0, 255).filter(lambda y: y != 240), st.booleans()
)


@given(rows=st.lists(ROW, min_size=1, max_size=40), cut=st.integers(0, 40))
def test_what_was_written_is_read(rows, cut):
    wanted = np.array(rows, EVENT)
    encoder = Encoder(size=(256, 256))
    written = encoder.feed(wanted[:cut]) + encoder.feed(wanted[cut:]) + encoder.finish()
    assert len(written) == 5 * len(rows)
    found = [np.empty(0, EVENT), *Decoder().feed(memoryview(written))]
    assert np.array_equal(np.concatenate(found), wanted)


def test_a_file_of_no_bytes_is_not_written():
    with pytest.raises(RecordingError, match="without events would be a") as caught:
        Encoder(size=(34, 34)).finish()
    assert caught.value.remedy == "write .aedat4"


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ((2**23, 0, 0, 0), "8,388,608 µs"),
        ((-1, 0, 0, 0), "0 <= t"),
        ((0, 256, 0, 0), "255"),
        ((0, 0, 256, 0), "255"),
        ((0, 0, 240, 0), "overflow"),
    ],
)
def test_what_does_not_fit_is_refused_by_number(event, why):
    encoder = Encoder()
    encoder.feed(events((0, 1, 1, 1), (0, 1, 1, 1)))
    with pytest.raises(RecordingError, match=f"event 3 does not fit[^$]*{why}[^$]*try: .*aedat4"):
        encoder.feed(events((0, 1, 1, 1), event))


def test_the_module_loads_without_numba():
    code = "import sys, spikestream.formats.nmnist as m; m.Decoder(); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# Damage


@pytest.mark.parametrize("seed", range(2))
def test_5000_damaged_files_give_events_or_a_recording_error(seed):
    """Two seeds make 10,000 cases."""
    rng = Random(seed)
    for bad in mutations(goodfiles.bins()[seed], 5000, seed):
        assert drain(Decoder, bad, rng) <= len(bad) // 5


def test_memory_stays_within_one_array_of_a_chunk():
    data = Random(1).randbytes(1 << 22)
    read(Decoder(), data[:5])  # compiled before it is measured
    tracemalloc.start()
    for _ in Decoder().feed(memoryview(data)):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 65_536 * EVENT.itemsize + 100_000


# Real recordings


@pytest.mark.realdata
def test_the_nmnist_recording_has_its_known_values(data):
    bytes_ = (data / "events/bin/nmnist.bin").read_bytes()
    decoder = Decoder()
    found = read(decoder, bytes_)
    assert len(found) == 4_325
    assert (found["t"][0], found["t"][-1]) == (654, 311_175)
    assert np.all(np.diff(found["t"]) >= 0)
    assert (found["x"].max(), found["y"].max(), round(float(found["p"].mean()), 3)) == (33, 33, 0.496)
    assert (decoder.size, decoder.skipped, decoder.warnings) == ((34, 34), {}, [])
    assert np.array_equal(found, naive(bytes_))
    assert Encoder().feed(found) == bytes_
    cut, rng = Decoder(), Random(5)
    parts = [part for piece in pieces(bytes_, rng) for part in cut.feed(piece)]
    assert np.array_equal(np.concatenate(parts), found)


GESTURES = {
    1: (63_471, 28, 1_449_996, 0.5068),
    3: (113_063, 2, 1_449_994, 0.4900),
    5: (181_179, 8, 1_449_984, 0.5148),
    7: (159_617, 10, 1_449_997, 0.4862),
    9: (141_773, 25, 1_449_993, 0.4971),
}


@pytest.mark.realdata
@pytest.mark.parametrize("number", GESTURES)
def test_the_gestures_have_their_known_values(data, number):
    bytes_ = (data / f"gestures/{number}.bs2").read_bytes()
    decoder = Decoder()
    found = read(decoder, bytes_, step=1 << 16)
    share = round(float(found["p"].mean()), 4)
    assert (len(found), found["t"][0], found["t"][-1], share) == GESTURES[number]
    assert (found["x"].max(), found["y"].max(), decoder.size) == (127, 127, (128, 128))
    assert np.array_equal(found, naive(bytes_))


@pytest.mark.realdata
def test_all_nmnist_recordings_are_34_by_34_and_come_back(data):
    with (data / "nmnist/labels.csv").open(newline="") as lines:
        count = sum(1 for _ in csv.DictReader(lines))
    files = sorted((data / "nmnist/recordings").glob("*.bin"))
    assert len(files) == count == 1000
    for path in files[::10]:
        bytes_ = path.read_bytes()
        decoder = Decoder()
        found = read(decoder, bytes_)
        assert decoder.size == (34, 34)
        assert np.array_equal(found, naive(bytes_))
        assert Encoder().feed(found) == bytes_


def test_the_format_says_that_only_its_suffix_can_tell():
    assert not FORMAT.sniff(bytes(4096))
    assert FORMAT.suffixes == (".bin", ".bs2")
