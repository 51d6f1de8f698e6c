"""AEDAT 2.0 against bytes written by hand, a naive decoder from the specification, evutils, and round trips."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from aedat2bytes import END, SIZES, davis, decode, events, header, naive, read, records, scene
from fuzz import pieces
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spikestream.batch import EVENT
from spikestream.errors import RecordingError
from spikestream.formats.aedat2 import FORMAT, Decoder, Encoder

# Golden bytes


def test_a_davis_word_by_hand():
    data = header() + bytes.fromhex("0880C800 000003E8 0880C000 000003E9")
    assert decode(data).tolist() == [(1000, 227, 145, True), (1001, 227, 145, False)]
    assert decode(data, raw=True).tolist() == [(1000, 12, 34, True), (1001, 12, 34, False)]


def test_a_dvs128_word_by_hand_has_the_polarity_of_jaer_unless_asked():
    data = header("dvs128") + bytes.fromhex("0000070A 00000001 0000070B 00000002")
    assert decode(data).tolist() == [(1, 122, 120, True), (2, 122, 120, False)]
    assert decode(data, polarity="inivation")["p"].tolist() == [False, True]


def test_a_dvs640_word_by_hand():
    assert decode(header("dvs640") + bytes.fromhex("000640C9 00000007")).tolist() == [(7, 539, 279, True)]


def test_samples_and_special_words_are_counted_and_never_returned():
    words = bytes.fromhex("80000C00 00000001 8F001C00 00000002 8880C0FF 00000003 8880C8FF 00000004 00000400 00000005")
    decoder = Decoder()
    found = read(decoder, header() + words + records((davis(1, 2, 1), 6)))
    assert found.tolist() == [(6, 238, 177, True)]
    assert decoder.skipped == {"imu": 2, "aps": 2, "special": 1}
    decoder = Decoder()
    assert len(read(decoder, header("dvs128") + records((0x8000, 1), (0x80000002, 2)))) == 0
    assert decoder.skipped == {"special": 2}


def test_what_the_encoder_writes_by_hand():
    written = Encoder(sensor="davis240").feed(events((1000, 227, 145, 1), (2**32 - 1, 239, 179, 0)))
    text, _, body = written.partition(END)
    assert text.startswith(b"#!AER-DAT2.0\r\n")
    assert b"# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n" in text
    assert body == bytes.fromhex("0880C800 000003E8 00000000 FFFFFFFF")
    assert Encoder(sensor="dvs128").feed(events((1, 122, 120, 1))).endswith(bytes.fromhex("0000070A 00000001"))


def test_an_encoder_without_events_writes_a_header_once():
    encoder = Encoder(size=(240, 180))
    data = encoder.feed(np.empty(0, EVENT)) + encoder.finish()
    assert data == Encoder(size=(240, 180)).finish()
    assert len(decode(data)) == 0


# Time


def stamps_of(*stamps: int) -> list[int]:
    return decode(header() + records(*((davis(0, 0, 0), stamp) for stamp in stamps)))["t"].tolist()


def test_stamps_cross_2_31_without_a_jump_and_2_32_with_a_wrap():
    assert stamps_of(2**31 - 1, 2**31, 2**32 - 1, 0, 5, 2**32 - 1, 3) == [
        *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 5),
        *(2**32 - 1, 2**32 + 3),
    ]


def test_only_a_step_back_of_more_than_2_31_is_a_wrap():
    assert stamps_of(2**31 + 7, 7) == [2**31 + 7, 7]
    assert stamps_of(2**31 + 8, 7) == [2**31 + 8, 2**32 + 7]
    assert stamps_of(100, 90, 95) == [100, 90, 95]


def test_words_that_are_no_events_move_the_clock_too():
    words = records((davis(0, 0, 0), 2**32 - 1), (0x80000C00, 2), (davis(0, 0, 0), 3))
    assert decode(header() + words)["t"].tolist() == [2**32 - 1, 2**32 + 3]


# Whole files


@pytest.mark.parametrize("sensor", SIZES)
@pytest.mark.parametrize("raw", [False, True])
def test_random_words_decode_as_the_specification_says(sensor, raw):
    body = np.random.default_rng(1).bytes(8 * 5000)
    wanted = naive(body, sensor, raw=raw)
    assert len(wanted) > 50
    assert decode(header(sensor) + body, raw=raw).tolist() == wanted


@pytest.mark.parametrize("step", [1, 3, 8, 13, 64, 4096])
def test_any_pieces_give_the_same_events_counts_and_warnings(step):
    data = header("davis240", b"") + np.random.default_rng(2).bytes(8 * 300)
    whole, cut = Decoder(sensor="davis346"), Decoder(sensor="davis346")
    assert np.array_equal(read(whole, data), read(cut, data, step=step))
    assert whole.skipped == cut.skipped
    assert whole.warnings == cut.warnings


def test_a_record_cut_in_the_middle_comes_after_all_before_it():
    data = header() + records(*((davis(i, i, 1), i) for i in range(9)))
    for lost in range(1, 8):
        decoder = Decoder()
        assert len(read(decoder, data[:-lost], finish=False)) == 8
        with pytest.raises(RecordingError, match="cut inside its last record") as error:
            decoder.finish()
        assert error.value.offset == len(header()) + 64


def test_arrays_belong_to_the_caller():
    buffer = bytearray(header() + records((davis(1, 1, 1), 1)))
    decoder = Decoder()
    (first,) = decoder.feed(memoryview(buffer))
    kept = first.copy()
    buffer[-8:] = records((davis(9, 9, 0), 2))
    (second,) = decoder.feed(memoryview(buffer)[-8:])
    assert np.array_equal(first, kept)
    assert second["t"].tolist() == [2]


# Round trips


@st.composite
def recordings(draw, sensor: str) -> np.ndarray:
    """Draw any events of a sensor's size whose stamps keep within what the encoder declares."""
    width, height = SIZES[sensor]
    pixel = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1), st.booleans())
    pixels = draw(st.lists(pixel, max_size=40))
    t, rows = draw(st.integers(0, 2**32 - 1)), []
    for x, y, p in pixels:
        rows.append((t, x, y, p))
        t += draw(st.one_of(st.integers(0, 500), st.integers(max(-t, 1 - 2**31), 2**31 - 1)))
    return np.array(rows, EVENT)


@pytest.mark.parametrize("sensor", SIZES)
@settings(deadline=None)
@given(data=st.data())
def test_what_was_written_is_read(sensor, data):
    wanted = data.draw(recordings(sensor))
    cut = data.draw(st.integers(0, len(wanted)))
    polarity = data.draw(st.sampled_from(["jaer", "inivation"]))
    encoder = Encoder(sensor=sensor, polarity=polarity)
    written = encoder.feed(wanted[:cut]) + encoder.feed(wanted[cut:]) + encoder.finish()
    assert np.array_equal(decode(written, polarity=polarity), wanted)


@given(
    t=st.lists(
        st.one_of(
            st.integers(-(2**63), 2**63 - 1),
            st.builds(lambda k, d: k * 2**31 + d, st.integers(-1, 9), st.integers(-2, 2)),
        ),
        min_size=1,
        max_size=6,
    ),
    cut=st.integers(0, 6),
)
@example(t=[2**31, 0], cut=0)
@example(t=[2**31 + 1, 0], cut=0)
@example(t=[2**32 - 1, 2**32, 2**32 + 5], cut=1)
@example(t=[2**32 - 1, 2**32, 2**32 + 5, 2**32 - 1], cut=2)
@example(t=[0, 2**32], cut=1)
def test_stamps_are_refused_exactly_where_they_would_not_come_back(t, cut):
    body = records(*((0, stamp % 2**32) for stamp in t))
    kept = [row[0] for row in naive(body, "davis240")] == t
    wanted = events(*((stamp, 0, 0, 0) for stamp in t))
    encoder = Encoder(sensor="davis240")
    if not kept:
        with pytest.raises(RecordingError, match="--t0 zero"):
            encoder.feed(wanted[:cut]) + encoder.feed(wanted[cut:])
        return
    assert np.array_equal(decode(encoder.feed(wanted[:cut]) + encoder.feed(wanted[cut:])), wanted)


@pytest.mark.parametrize("event", [(1, 240, 0, 0), (1, 0, 180, 1)])
def test_pixels_outside_the_camera_are_refused_by_number(event):
    encoder = Encoder(size=(240, 180))
    encoder.feed(events((0, 1, 1, 1), (0, 1, 1, 1)))
    with pytest.raises(RecordingError, match="event 3 does not fit"):
        encoder.feed(events((0, 1, 1, 1), event))


@pytest.mark.parametrize(
    ("size", "sensor"),
    [
        ((34, 34), "dvs128"),
        ((128, 128), "dvs128"),
        ((129, 1), "davis240"),
        ((241, 9), "davis346"),
        ((640, 480), "davis640"),
    ],
)
def test_the_smallest_camera_that_holds_the_size_is_written(size, sensor):
    decoder = Decoder()
    read(decoder, Encoder(size=size).finish())
    assert decoder.sensor == sensor


def test_sizes_no_camera_has_are_refused():
    with pytest.raises(RecordingError, match=r"1280x720[^$]*aedat4"):
        Encoder(size=(1280, 720))
    with pytest.raises(RecordingError, match="neither it nor the size"):
        Encoder()
    with pytest.raises(RecordingError, match="do not fit a dvs128"):
        Encoder(size=(240, 180), sensor="dvs128")


# Real recordings and an independent decoder


@pytest.mark.realdata
def test_the_boxes_recording_has_its_known_values(data):
    bytes_ = (data / "events/aedat2/davis240c_boxes.aedat").read_bytes()
    assert FORMAT.sniff(bytes_[:4096])
    decoder = Decoder(raw=True)
    found = read(decoder, bytes_)
    assert len(found) == 162_771
    assert (found["t"][0], found["t"][-1]) == (294_976_755, 297_049_406)
    assert np.all(np.diff(found["t"]) >= 0)
    assert (found["x"].max(), found["y"].max()) == (239, 179)
    assert round(float(found["p"].mean()), 4) == 0.5096
    assert decoder.skipped == {"imu": 33_837}
    assert (decoder.sensor, decoder.size, decoder.warnings) == ("davis240", (240, 180), [])
    turned = decode(bytes_)
    assert np.array_equal(turned["x"], 239 - found["x"])
    assert np.array_equal(turned["y"], 179 - found["y"])
    assert found.tolist() == naive(bytes_[175_268:], "davis240", raw=True)
    cut, rng = Decoder(raw=True), Random(3)
    part = [array for piece in pieces(bytes_[:400_000], rng) for array in cut.feed(piece)]
    assert np.array_equal(np.concatenate(part), found[: sum(map(len, part))])
    assert sum(map(len, part)) + sum(cut.skipped.values()) == (400_000 - 175_268) // 8


@pytest.mark.realdata
def test_the_boxes_recording_is_recognised_without_its_camera(data):
    bytes_ = (data / "events/aedat2/davis240c_boxes.aedat").read_bytes()
    decoder = Decoder()
    found = read(decoder, bytes_.replace(b"# AEChip:", b"# Camera:"))
    assert decoder.sensor == "davis240"
    assert np.array_equal(found, decode(bytes_))


@pytest.mark.realdata
def test_a_cut_header_is_a_clear_error(data):
    decoder = Decoder()
    with pytest.raises(RecordingError, match="ends inside its header"):
        read(decoder, (data / "events/aedat2/header_only.aedat").read_bytes())


@pytest.mark.realdata
def test_evutils_reads_the_boxes_recording_alike(data):
    path = data / "events/aedat2/davis240c_boxes.aedat"
    assert same(evutils_read(path), decode(path.read_bytes(), raw=True))


@pytest.mark.parametrize("sensor", ["davis240", "davis346", "dvs128"])
def test_evutils_reads_what_we_write(tmp_path, sensor):
    """It knows no origin, leaves bit 0 of a DVS128 as it is, and drops its words with bit 10 as if from a DAVIS."""
    wanted = scene(sensor, 3000)
    wanted["t"] += 2**32 - 20_000
    (tmp_path / "ours.aedat").write_bytes(Encoder(sensor=sensor, polarity="inivation").feed(wanted))
    layout = "dvs128" if sensor == "dvs128" else "davis"
    assert wanted["t"][-1] > 2**32
    stored = wanted.copy()
    width, height = SIZES[sensor]
    stored["x"], stored["y"] = width - 1 - wanted["x"], height - 1 - wanted["y"]
    if sensor == "dvs128":
        stored = stored[stored["y"] & 4 == 0]
    assert same(evutils_read(tmp_path / "ours.aedat", layout=layout), stored)


def evutils_read(path, **options):
    io = pytest.importorskip("evutils.io")
    return io.EventReader(path, **options).read_all()


def same(theirs, ours: np.ndarray) -> bool:
    return all(np.array_equal(np.asarray(theirs[name]), ours[name]) for name in "txyp")
