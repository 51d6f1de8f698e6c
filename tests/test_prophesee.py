"""Prophesee RAW and DAT against words by hand, plain loops from the specifications, real recordings, other programs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_evt import naive_evt2, naive_evt3, naive_evt21, words_of
from test_nmnist import events, read

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.errors import RecordingError
from spikestream.formats.prophesee import DAT, EVT2, EVT3, EVT21

SIZE = (2048, 2048)


def feed(format, data, *, size=None, step=0):
    """Return (events, skipped) of bytes in a format."""
    decoder = format.decoder(size=size)
    return read(decoder, data, step=step), decoder.skipped


def put(kind, t, x, y):
    return kind << 28 | (t & 63) << 22 | x << 11 | y


def test_evt2_by_hand():
    words = [put(1, 3, 4, 5), 8 << 28 | 2, put(1, 3, 1279, 719), 10 << 28 | 1, put(0, 63, 0, 1), 14 << 28]
    got, skipped = feed(EVT2, np.array(words, "<u4").tobytes(), size=(1280, 720))
    assert got.tolist() == [(131, 1279, 719, True), (191, 0, 1, False)]
    assert skipped == {"early": 1, "trigger": 1, "other": 1}
    (word,) = np.array([put(1, 3, 4, 5)], "<u4").tolist()
    assert word.to_bytes(4, "little") == bytes.fromhex("0520C010")


@pytest.mark.parametrize("legacy", [b"", b";endianness=legacy", b"\n% endianness legacy"])
def test_evt21_by_hand(legacy):
    head = b"% evt 2.1\n% format EVT21" + legacy + b"\n% end\n"
    words = [8 << 60 | 2 << 32, put(1, 3, 40, 5) << 32 | 1 << 31 | 0b101, 10 << 60, put(0, 0, 2047, 0) << 32 | 3]
    data = np.array(words, "<u8")
    data = data.view("<u4").reshape(-1, 2)[:, ::-1].tobytes() if legacy else data.tobytes()
    got, skipped = feed(EVT21, head + data, size=SIZE)
    assert got.tolist() == [(131, 40, 5, True), (131, 42, 5, True), (131, 71, 5, True), (128, 2047, 0, False)]
    assert skipped == {"trigger": 1, "outside": 1}


def test_evt3_by_hand():
    # x 296, too early; high 1, low 2, row 7; x 9 ON; OFF from 100 on, the first and last of twelve, the last of eight
    words = [0x2128, 0x8001, 0x6002, 0x0007, 0x2809, 0x3064, 0x4801, 0x5080, 0xA000, 0xE000]
    got, skipped = feed(EVT3, np.array(words, "<u2").tobytes(), size=SIZE)
    assert got.tolist() == [(4098, 9, 7, True), (4098, 100, 7, False), (4098, 111, 7, False), (4098, 119, 7, False)]
    assert skipped == {"early": 1, "trigger": 1, "other": 1}


@pytest.mark.parametrize(
    ("words", "times"),
    [
        ([0x8001, 0x6002, 0x8001, 0x2000], [0x1002]),  # the same TIME_HIGH again leaves the low part alone
        ([0x8001, 0x6002, 0x8002, 0x2000], [0x2000]),  # another one clears it
        ([0x8FFF, 0x6FFF, 0x2000, 0x8000, 0x2000], [0xFFFFFF, 0x1000000]),  # the next loop
        ([0x8800, 0x2000, 0x8000, 0x2000], [0x800000, 0x1000000]),  # half the range back is one, too
        ([0x87FF, 0x2000, 0x8000, 0x2000], [0x7FF000, 0]),  # less is disorder
    ],
)
def test_the_time_of_evt3_is_that_of_openeb(words, times):
    got, _ = feed(EVT3, np.array([0, *words], "<u2").tobytes(), size=SIZE)
    assert got["t"].tolist() == times


RANDOM = [
    (EVT2, naive_evt2, 32, [0, 1, 0, 1, 8, 8, 10, 13, 14, 15]),
    (EVT21, naive_evt21, 64, [0, 1, 8, 10, 14]),
    (EVT3, naive_evt3, 16, [0, 2, 2, 3, 4, 5, 6, 8, 7, 10, 14, 15, 1]),
]


@pytest.mark.parametrize(("format", "naive", "bits", "kinds"), RANDOM)
@pytest.mark.parametrize("size", [SIZE, (1280, 720)])
def test_any_words_in_any_pieces_decode_as_the_specification_says(format, naive, bits, kinds, size):
    rng = np.random.default_rng(bits)
    words = words_of(kinds, bits, 3_000, rng)
    expected = naive(words.tolist(), *size)
    for step in (0, 1, 7, 1024):
        got, skipped = feed(format, words.tobytes(), size=size, step=step)
        assert np.array_equal(got, expected[0])
        assert skipped == expected[1]
    assert len(expected[0]) > 200


@pytest.mark.parametrize(("format", "naive", "bits"), [(EVT3, naive_evt3, 16), (EVT21, naive_evt21, 64)])
def test_words_of_many_neighbours_fill_more_than_one_array(format, naive, bits):
    word = {16: [0x8000, 0x0001, 0x3000, *[0x4FFF, 0x3000] * 40_000], 64: [8 << 60, *[0xFFFFFFFF] * 40_000]}[bits]
    words = np.array(word, f"<u{bits // 8}")
    got, _ = feed(format, words.tobytes(), size=SIZE)
    assert np.array_equal(got, naive(words.tolist())[0])


@pytest.mark.parametrize(
    ("back_us", "loops"), [(2**34 - 64, True), (2**34 - 64 * 157, True), (2**34 - 64 * 158, False), (64, False)]
)
def test_a_step_back_of_nearly_all_is_the_next_loop_of_evt2(back_us, loops):
    high = 2**28 - 1
    words = [8 << 28 | high, put(1, 1, 0, 0), 8 << 28 | (high - back_us // 64), put(1, 1, 0, 0)]
    first = 64 * high + 1
    for format, bits in ((EVT2, 32), (EVT21, 64)):
        data = [word if bits == 32 else word << 32 | 1 for word in words]
        got, _ = feed(format, np.array(data, f"<u{bits // 8}").tobytes(), size=SIZE)
        assert got["t"].tolist() == [first, first - back_us + (2**34 if loops else 0)]


# The header


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ("% evt 3.0\n% format EVT3;height=400;width=500\n% geometry 1x1\n", (500, 400)),
        ("% evt 3.0\n% geometry 640x480\n% system_ID 48\n", (640, 480)),
        ("% evt 3.0\n% system_ID 48\n", (1280, 720)),
        ("% evt 3.0\n% system_ID 21\n% end\n", (640, 480)),
        ("% evt 3.0\r\n% geometry axb\r\n", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("step", [0, 1, 5])
def test_the_size_is_what_the_header_tells(lines, size, step):
    data = lines.encode() + np.array([0, 0x8000, 0x2001], "<u2").tobytes()
    decoder = EVT3.decoder()
    assert read(decoder, data, step=step).tolist() == [(0, 1, 0, False)]
    assert (decoder.size, len(decoder.warnings)) == (size or (640, 480), 0 if size else 1)


def test_an_unknown_size_grows_with_a_warning():
    decoder = EVT3.decoder()
    words = np.array([0, 0x8000, 0x2001, 479, 0x2000 + 639, 480, 0x2001, 0, 0x2000 + 1280], "<u2")
    assert len(read(decoder, words[:5].tobytes())) == 2
    assert decoder.size == (640, 480)
    assert "640x480 is the smallest usual one that holds the events so far" in decoder.warnings[0]
    assert len(read(decoder, words[5:].tobytes())) == 2
    assert decoder.size == (2048, 2048)
    assert "2048x2048 is the smallest usual one that holds the events so far; --size" in decoder.warnings[0]
    assert len(decoder.warnings) == 1


def test_data_may_start_like_a_line():
    # TIME_HIGH, low part and row whose bytes are "% \x01\x80": no line, as it holds what no text does
    words = np.array([0x2025, 0x8001, 0x6002, 0x0007, 0x2809], "<u2").tobytes()
    got, skipped = feed(EVT3, b"% evt 3.0\n" + words, size=SIZE)
    assert (got.tolist(), skipped) == ([(4098, 9, 7, True)], {"early": 1})


@pytest.mark.parametrize("format", [EVT2, EVT21, EVT3, DAT])
def test_a_header_without_an_end_is_an_error_at_its_place(format):
    for data in (b"% evt 2.0\n% Date 20", b"% evt 2.0\n%"):
        with pytest.raises(RecordingError, match="ends inside its header") as error:
            read(format.decoder(), data)
        assert error.value.offset == len(data)
    with pytest.raises(RecordingError, match="header does not end"):
        read(format.decoder(), b"% a b\n" * 200_000, step=1 << 16)
    with pytest.raises(RecordingError, match="empty"):
        read(format.decoder(), b"")


def test_an_encoding_that_the_header_denies_is_used_with_a_warning():
    decoder = EVT2.decoder()
    read(decoder, b"% evt 3.0\n" + bytes(4))
    assert "the header says evt3; read as evt2" in decoder.warnings[0]


@pytest.mark.parametrize(("format", "width"), [(EVT2, 4), (EVT21, 8), (EVT3, 2)])
def test_a_cut_word_comes_after_all_before_it(format, width):
    decoder = format.decoder()
    head = b"% geometry 640x480\n"
    with pytest.raises(RecordingError, match="cut inside its last word") as error:
        read(decoder, head + bytes(10 * width) + b"\x01" * (width - 1))
    assert (error.value.offset, error.value.found) == (len(head) + 10 * width, str(width - 1))


# DAT


def test_dat_by_hand():
    head = b"% Data file containing CD events\n% Version 2\n% Width 300\n% Height 200\n"
    word = 1 << 28 | 199 << 14 | 299
    data = head + bytes([0x0C, 8]) + np.array([5, word, 6, word + 1, 6, word + (1 << 14), 7, 3], "<u4").tobytes()
    for step in (0, 1, 3, 9):
        got, skipped = feed(DAT, data, step=step)
        assert got.tolist() == [(5, 299, 199, True), (7, 3, 0, False)]
        assert skipped == {"outside": 2}


@pytest.mark.parametrize("kind", [b"\x00\x08", b"\x0c\x08"])
def test_dat_is_known_by_what_follows_a_header_that_does_not_name_it(tmp_path, kind):
    records = np.array([5, 1 << 28 | 199 << 14 | 299], "<u4").tobytes()
    path = tmp_path / "a"
    path.write_bytes(b"% Date 1970-01-01 00:00:00\n% evio\n" + kind + records)
    assert ss.read(path).data.tolist() == [(5, 299, 199, True)]
    for head, what in ((b"% evt 4.0\n", "names no encoding"), (b"", "not an event file")):
        path.write_bytes(head + kind + records)
        with pytest.raises(RecordingError, match=what):
            ss.read(path)


def test_dat_of_version_1_has_fewer_bits():
    data = b"% Version 1\n\x00\x08" + np.array([5, 1 << 17 | 100 << 9 | 300], "<u4").tobytes()
    assert feed(DAT, data)[0].tolist() == [(5, 300, 100, True)]


@pytest.mark.parametrize(
    ("kind", "what"),
    [(b"\x0e\x08", "triggers"), (b"\x0c\x10", "something else"), (b"\x22\x08", "something else"), (b"\x0c", "before")],
)
def test_dat_of_something_else_is_refused(kind, what):
    with pytest.raises(RecordingError, match=what):
        read(DAT.decoder(), b"% Version 2\n" + kind + (bytes(16) if len(kind) == 2 else b""))


# Round trips


ROWS = st.lists(
    st.tuples(st.integers(0, 2**34 - 10**6), st.integers(0, 2047), st.integers(0, 2047), st.booleans()), max_size=60
)


@pytest.mark.parametrize(("format", "limit"), [(EVT2, 2**34), (EVT3, 2**36), (DAT, 2**32)])
@settings(deadline=None)
@given(rows=ROWS, cut=st.integers(0, 60), size=st.sampled_from([None, (2048, 2048)]))
def test_what_was_written_is_read(format, limit, rows, cut, size):
    wanted = np.array(rows, EVENT)
    wanted["t"] %= limit
    if format is not EVT2:
        wanted = np.sort(wanted, order="t", kind="stable")
    encoder = format.encoder(size=size)
    written = encoder.feed(wanted[:cut]) + encoder.feed(wanted[cut:]) + encoder.finish()
    decoder = format.decoder()
    assert np.array_equal(read(decoder, written), wanted)
    assert size is None or decoder.size == size


def test_the_stamps_of_dat_wrap():
    wanted = np.zeros(6, EVENT)
    wanted["t"] = [2**31, 2**32 - 1, 2**32, 2**32 + 2**31 - 5, 2**33 - 9, 2**33 + 1]
    encoder = DAT.encoder()
    data = encoder.feed(wanted[:3]) + encoder.feed(wanted[3:])
    assert np.array_equal(feed(DAT, data)[0], wanted)
    back = np.zeros(2, EVENT)
    back["t"] = [5_000, 4_000]
    assert np.array_equal(feed(DAT, DAT.encoder().feed(back))[0], back)


def test_only_a_step_back_of_more_than_2_31_is_a_wrap_of_dat():
    for first, second in ((2**31 + 7, 7), (2**31 + 8, 2**32 + 7), (2**31 - 1, 0)):
        data = b"% Version 2\n\x0c\x08" + np.array([first, 0, second % 2**32, 0], "<u4").tobytes()
        assert feed(DAT, data)[0]["t"].tolist() == [first, second]


def test_evt3_keeps_disorder_and_the_longest_silences():
    t = [0, 5, 4096, 4095, 3, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 2**23, 2**24 + 4096, 9 * 2**24 + 7, 2**40 - 1]
    wanted = np.zeros(len(t), EVENT)
    wanted["t"] = t
    encoder = EVT3.encoder(size=(10, 10))
    assert np.array_equal(feed(EVT3, encoder.feed(wanted))[0], wanted)


@pytest.mark.parametrize(
    ("format", "rows", "why"),
    [
        (EVT2, [(-1, 0, 0, 0)], "0 <= t < 2\\^34"),
        (EVT2, [(2**34, 0, 0, 0)], "0 <= t < 2\\^34"),
        (EVT2, [(2**34 - 1, 0, 0, 0), (0, 0, 0, 0)], "step back"),
        (EVT2, [(0, 2048, 0, 0)], "x < 2,048"),
        (EVT3, [(0, 0, 2048, 0)], "x < 2,048"),
        (EVT3, [(2**40, 0, 0, 0)], "0 <= t < 2\\^40"),
        (EVT3, [(2**23 + 4096, 0, 0, 0), (4095, 0, 0, 0)], "step back"),
        (EVT3, [(2**24, 0, 0, 0), (2**24 - 1, 0, 0, 0)], "step back"),
        (DAT, [(2**32, 0, 0, 0)], "32-bit"),
        (DAT, [(0, 16384, 0, 0)], "x < 16,384"),
    ],
)
def test_what_does_not_fit_is_refused_by_number(format, rows, why):
    encoder = format.encoder()
    encoder.feed(events((0, 1, 1, 1), (0, 1, 1, 1)))
    with pytest.raises(RecordingError, match=f"event {1 + len(rows)} does not fit[^$]*{why}[^$]*try: "):
        encoder.feed(events(*rows))


def test_the_module_loads_without_numba():
    code = "import sys, spikestream.formats.prophesee as m; m.EVT3.decoder(); m.DAT.encoder(); "
    code += "print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# Real recordings, and other programs


REAL = {
    "evt2/gen3.raw": ("evt2", 539_481, 1_317_888, 1_367_888, 599, 475, 0.6819, (640, 480)),
    "evt3/gen41.raw": ("evt3", 219_596, 11_718_656, 11_727_457, 1279, 719, 0.5261, (1280, 720)),
    "dat/ncars.dat": ("dat", 2_009, 0, 99_952, 77, 41, 0.672, (304, 240)),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_recordings_hold_what_is_known(data, name):
    format, count, first, last, x, y, on, size = REAL[name]
    path = data / "events" / name
    assert ss.info(path, scan=False).format == format
    got = ss.read(path)
    assert (len(got), got.data["t"][0], got.data["t"][-1], got.size) == (count, first, last, size)
    assert (got.data["x"].max(), got.data["y"].max()) == (x, y)
    assert got.data["p"].mean() == pytest.approx(on, abs=5e-5)


@pytest.mark.realdata
def test_real_evt3_has_the_times_of_the_evt3_package(data):
    evt3 = pytest.importorskip("evt3")
    path = data / "events" / "evt3" / "gen41.raw"
    theirs = evt3.decode_file(str(path))
    ours = ss.read(path).data
    for name in ("x", "y", "p"):
        assert np.array_equal(ours[name], np.asarray(getattr(theirs, {"p": "polarity"}.get(name, name))))
    assert np.array_equal(ours["t"], np.asarray(theirs.timestamp))


def scene(n=20_000, side=(640, 480), seed=3):
    rng = np.random.default_rng(seed)
    made = np.zeros(n, EVENT)
    made["t"] = np.sort(rng.integers(0, 60_000_000, n))
    made["x"], made["y"], made["p"] = rng.integers(0, side[0], n), rng.integers(0, side[1], n), rng.integers(0, 2, n)
    return made


@pytest.mark.parametrize(("name", "suffix"), [("evt2", "raw"), ("evt3", "raw"), ("dat", "dat")])
def test_evutils_reads_what_we_write(tmp_path, name, suffix):
    io = pytest.importorskip("evutils.io")
    path = tmp_path / f"ours.{suffix}"
    ss.write(path, ss.Events(0, 60_000_001, scene(), (640, 480)), format=name)
    theirs = io.EventReader(str(path), mode="all").read()
    for field in ("t", "x", "y", "p"):
        assert np.array_equal(theirs[field].astype(np.int64), scene()[field].astype(np.int64))


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["evt2/gen3.raw", "dat/ncars.dat"])
def test_evutils_reads_real_recordings_alike(data, name):
    io = pytest.importorskip("evutils.io")
    path = data / "events" / name
    theirs, ours = io.EventReader(str(path), mode="all").read(), ss.read(path).data
    for field in ("t", "x", "y", "p"):
        assert np.array_equal(theirs[field].astype(np.int64), ours[field].astype(np.int64))
