"""Event Stream against bytes by hand, a plain loop from the specification, real vectors, other programs, and damage."""

from __future__ import annotations

from random import Random

import goodfiles
import numpy as np
import pytest
from fuzz import drain, mutations, peak
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import called
from test_nmnist import events, read
from test_prophesee import scene

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.errors import RecordingError
from spikestream.formats.es import FORMAT, Decoder, Encoder

DVS = b"Event Stream\x02\x00\x00\x01\x40\x01\xf0\x00"  # 320x240
ATIS = DVS[:15] + b"\x02" + DVS[16:]


def naive(data: bytes, kind: str, width: int, height: int) -> tuple[list[tuple[int, int, int, bool]], int]:
    """Decode as the specification says, y counted from the bottom; return what lies inside, and what else there is."""
    found, others, t, at = [], 0, 0, 0
    while at < len(data):
        first = data[at]
        if kind == "dvs" and first >= 254:
            t, at = t + (127 if first == 255 else 0), at + 1
        elif kind == "atis" and first >= 252:
            t, at = t + 63 * (first % 4), at + 1
        else:
            if at + 5 > len(data):
                break
            x, y = int.from_bytes(data[at + 1 : at + 3], "little"), int.from_bytes(data[at + 3 : at + 5], "little")
            t, at = t + (first // 2 if kind == "dvs" else first // 4), at + 5
            if (kind == "atis" and first % 2) or x >= width or y >= height:
                others += 1
            else:
                found.append((t, x, height - 1 - y, bool(first % 2 if kind == "dvs" else first // 2 % 2)))
    return found, others


def test_dvs_by_hand():
    data = DVS + bytes.fromhex("07 0500 ef00  ff fe ff 02 3f01 0000  fc 0000 0000")
    for step in (0, 1, 3):
        decoder = Decoder()
        got = read(decoder, data, step=step)
        assert got.tolist() == [(3, 5, 0, True), (258, 319, 239, False), (384, 0, 239, False)]
        assert (decoder.size, decoder.skipped, decoder.warnings) == ((320, 240), {}, [])
    assert read(Decoder(raw=True), data)["y"].tolist() == [239, 0, 0]
    again = Encoder(size=(320, 240)).feed(events(*got.tolist()))
    assert again == DVS + bytes.fromhex("07 0500 ef00  ff ff 02 3f01 0000  fc 0000 0000")


def test_atis_by_hand():
    data = ATIS + bytes.fromhex("0e 0500 ef00  fc fd ff 05 0000 0000  04 0100 0100 04 4001 0000")
    decoder = Decoder()
    assert read(decoder, data).tolist() == [(3, 5, 0, True), (3 + 4 * 63 + 2, 1, 238, False)]
    assert decoder.skipped == {"threshold crossing": 1, "outside": 1}


@pytest.mark.parametrize("kind", ["dvs", "atis"])
@pytest.mark.parametrize("step", [0, 1, 4, 5, 4096])
def test_any_bytes_in_any_pieces_decode_as_the_specification_says(kind, step):
    rng = np.random.default_rng(7)
    data = np.where(rng.random(20_000) < 0.8, rng.integers(0, 2, 20_000), rng.integers(0, 256, 20_000)).astype(np.uint8)
    expected, others = naive(data.tobytes(), kind, 320, 240)
    decoder = Decoder()
    got = [np.empty(0, EVENT)]
    body = (DVS if kind == "dvs" else ATIS) + data.tobytes()
    for at in range(0, len(body), step or len(body)):
        got += decoder.feed(memoryview(body)[at : at + (step or len(body))])
    assert np.concatenate(got).tolist() == expected
    assert sum(decoder.skipped.values()) == others
    assert len(expected) > 500 < others


def test_more_bytes_than_one_array_takes():
    data = Encoder(size=(640, 480)).feed(scene(200_000))
    assert np.array_equal(read(Decoder(), data), scene(200_000))


def test_a_size_asked_for_leaves_out_what_lies_outside():
    data = Encoder(size=(320, 240)).feed(events((1, 9, 9, 1), (2, 10, 0, 1), (3, 0, 239, 0)))
    for size, kept in (
        ((10, 240), [(1, 9, 9, True), (3, 0, 239, False)]),
        ((320, 239), [(1, 9, 9, True), (2, 10, 0, True)]),
    ):
        decoder = Decoder(size=size)
        assert read(decoder, data).tolist() == kept
        assert (decoder.size, decoder.skipped) == (size, {"outside": 1})


@pytest.mark.parametrize(("number", "name"), [(0, "generic"), (3, "display"), (4, "colour"), (9, "unknown")])
def test_streams_that_hold_no_events_are_named(number, name):
    with pytest.raises(RecordingError, match=f"of the kind {name}.*no events") as error:
        Decoder().feed(memoryview(DVS[:15] + bytes([number]) + DVS[16:]))
    assert error.value.offset == 15


def test_what_is_cut_or_no_event_stream_is_an_error():
    for size in range(20):
        with pytest.raises(RecordingError, match="inside its header" if size else "empty"):
            read(Decoder(), DVS[:size])
    with pytest.raises(RecordingError, match="not an Event Stream"):
        Decoder().feed(memoryview(b"Event Steam"))
    with pytest.raises(RecordingError, match="inside its last event") as error:
        read(Decoder(), DVS + b"\x02\x00\x00\x00\x00" + b"\x02\x00\x00")
    assert (error.value.offset, error.value.found) == (25, "3")
    decoder = Decoder()
    read(decoder, DVS[:12] + b"\x01\x02\x03" + DVS[15:])
    assert decoder.warnings == ["the header says version 1.2.3; read as version 2"]


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 319), st.integers(0, 239), st.booleans()), max_size=50
    ),
    cut=st.integers(0, 50),
)
def test_what_was_written_is_read(rows, cut):
    wanted = np.sort(np.array(rows, EVENT), order="t", kind="stable")
    encoder = Encoder(size=(320, 240))
    written = encoder.feed(wanted[:cut]) + encoder.feed(wanted[cut:]) + encoder.finish()
    decoder = Decoder()
    assert np.array_equal(read(decoder, written), wanted)
    assert decoder.size == (320, 240)


def test_a_remedy_that_is_followed_works(tmp_path):
    """A silence that no .es holds is not helped by --t0 zero: what is said to help does."""
    data = np.zeros(3, EVENT)
    for stamps, said, more in (
        ([2**30, 2**30 + 1, 2**30 + 5], "--t0 zero, so that t starts at 0", ["--t0", "zero"]),
        ([0, 2**30, 2**30 + 5], "write .aedat4: no silence of an .es is so long", None),
        ([2**30, 2**31, 2**31 + 5], "write .aedat4: no silence of an .es is so long", None),
        ([9, 8, 7], "--time sort, and --t0 zero, so that t starts at 0", ["--time", "sort"]),
    ):
        data["t"] = stamps
        ss.write(tmp_path / "a.npz", ss.Events(0, 2**32, data, (9, 9)))
        keep = [] if stamps[0] < stamps[1] else ["--time", "keep"]
        done = called("convert", tmp_path / "a.npz", tmp_path / "a.es", "-f", *keep, code=3)
        assert f"try: {said}\n" in done.stderr
        called(
            "convert", tmp_path / "a.npz", tmp_path / ("a.es" if more else "a.aedat4"), "-f", "--verify", *more or ()
        )


@pytest.mark.parametrize("t", [0, 126, 127, 128, 253, 254, 255, 2**30 - 1])
def test_every_step_of_time_is_kept(t):
    wanted = events((t, 1, 2, 1), (2 * t, 3, 4, 0))
    assert np.array_equal(read(Decoder(), Encoder(size=(9, 9)).feed(wanted)), wanted)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((2**30 + 9, 0, 0, 0), "0 to 1,073,741,823 µs"),
        ((8, 0, 0, 0), "steps"),
        ((9, 9, 0, 0), "x < 9"),
        ((9, 0, 9, 0), "y < 9"),
    ],
)
def test_what_does_not_fit_is_refused_by_number(row, why):
    encoder = Encoder(size=(9, 9))
    encoder.feed(events((9, 1, 1, 1)))
    with pytest.raises(RecordingError, match=f"event 2 does not fit[^$]*{why}[^$]*try: "):
        encoder.feed(events((9, 1, 1, 1), row))
    with pytest.raises(RecordingError, match="size"):
        Encoder()


# Real vectors, and other programs


@pytest.mark.realdata
def test_the_real_vector_holds_what_is_known(data):
    got = ss.read(data / "events" / "es" / "dvs.es")
    assert (len(got), got.size, got.data["t"][0], got.data["t"][-1]) == (473_225, (320, 240), 0, 999_000)
    assert (got.data["x"].max(), got.data["y"].max()) == (319, 239)
    assert got.data["p"].mean() == pytest.approx(0.5706, abs=5e-5)
    with pytest.raises(RecordingError, match="generic"):
        ss.read(data / "events" / "es" / "generic.es")


@pytest.mark.realdata
def test_faery_and_event_stream_read_the_real_vector_alike(data):
    path = str(data / "events" / "es" / "dvs.es")
    faery, event_stream = pytest.importorskip("faery"), pytest.importorskip("event_stream")
    ours, stored = ss.read(path).data, ss.read(path, raw=True).data
    theirs = faery.events_stream_from_file(path).to_array()
    for name in ("t", "x", "y", "p"):
        assert np.array_equal(theirs[name].astype(np.int64), ours[name].astype(np.int64))
    parts = np.concatenate(list(event_stream.Decoder(path)))
    for name, their_name in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        assert np.array_equal(parts[their_name].astype(np.int64), stored[name].astype(np.int64))


def test_others_read_what_we_write(tmp_path):
    faery, event_stream = pytest.importorskip("faery"), pytest.importorskip("event_stream")
    path, made = tmp_path / "ours.es", scene(5_000)
    ss.write(path, ss.Events(0, 60_000_001, made, (640, 480)))
    theirs = faery.events_stream_from_file(path).to_array()
    for name in ("t", "x", "y", "p"):
        assert np.array_equal(theirs[name].astype(np.int64), made[name].astype(np.int64))
    parts = np.concatenate(list(event_stream.Decoder(str(path))))
    assert np.array_equal(479 - parts["y"].astype(np.int64), made["y"])
    assert np.array_equal(parts["t"].astype(np.int64), made["t"])


# Damage


@pytest.mark.parametrize("good", goodfiles.es(), ids=["dvs", "atis", "no header"])
def test_2000_damaged_files_give_events_or_a_recording_error(good):
    rng = Random(3)
    for bad in mutations(good, 2_000, 5):
        assert drain(Decoder, bad, rng) <= len(bad) // 5


def test_memory_stays_within_its_bound_whatever_is_fed():
    drain(Decoder, DVS + bytes(64), Random(0))  # compiled before it is measured
    for body in (DVS + Random(1).randbytes(1 << 22), DVS + b"\xff" * (1 << 22), DVS + bytes(1 << 22), b"E" * (1 << 22)):
        for piece in (1 << 16, 1 << 22):
            assert peak(Decoder, body, piece) < (1 << 20) * 2.5


def test_the_format_is_told_by_its_first_bytes():
    assert FORMAT.sniff(DVS)
    assert not FORMAT.sniff(b"Event stream")
