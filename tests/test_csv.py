"""Events as text against rows by hand, Python's own decimals, other programs, and damage."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from cli import spikestream
from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive_csv import HEADER, read, rows, to_us
from naive_csv import decode as naive
from test_prophesee import scene

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.csv import FORMAT, Decoder, Encoder
from spikestream.formats.csv.head import looks_like

# What the columns are

SAID = [(1, 2, 3, True), (5, 6, 7, False)]


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "1,2,3,1\n5,6,7,0\n",
        HEADER + "1,2,3,1\n5,6,7,0",
        "\ufefft,x,y,p\r\n1,2,3,1\r\n5,6,7,0\r\n",
        "T, X, Y, Polarity\n 1 ,\t2, 3 ,1 \n5,6,7,-1\n\n",
        "x;y;pol;timestamp\n2;3;true;1\n6;7;False;5\n",
        "time\tcol\trow\ton\n1\t2\t3\tTRUE\n5\t6\t7\tfalse\n",
        '"ts","x","y","p"\n1,2,3,1\n5,6,7,0\n',
        ",t,x,y,p,label\n0,1,2,3,1,a b\n1,5,6,7,0,\n",
        "# a comment\n% another\n\n# t x y p\n1 2 3 1\n# in between\n\n 5  6   7 0\n",
        "t [us],x,y,p\n1,2,3,1\n5,6,7,0\n",
        "timestamp_ns,x,y,p\n1000,2,3,1\n5499,6,7,0\n",
        "time(s) x y p\n0.000001 2 3 1\n5e-6 6 7 0\n",
        "t_ms,x,y,p\n.001,2.0,3,1.0\n0.005,6,7.,0e0\n",
        "t_us,x,y,p\n1.0e+00,2.0e+00,3.0e+00,1.0e+00\n5.0e+00,60e-1,7.0e+00,0.0e+00\n",
    ],
)
@pytest.mark.parametrize("step", [0, 1, 3])
def test_a_header_names_the_columns(text, step):
    decoder = Decoder(size=(9, 9))
    assert read(decoder, text, step).tolist() == SAID
    assert decoder.warnings == []
    assert "as its header names them" in decoder.notes[0]


def test_the_sizes_a_file_may_tell():
    for text, size in (
        ("t,x@1280,y@720,on\r\n1,2,3,1\r\n", (1280, 720)),
        ("240 180\n0.001000 2 3 1\n0.001001 2 3 1\n0.001002 2 3 1\n", (240, 180)),
    ):
        decoder = Decoder()
        assert len(read(decoder, text)) > 0
        assert (decoder.size, decoder.warnings) == (size, [])
    decoder = Decoder()
    assert len(read(decoder, HEADER + "1,2,3,1\n")) == 1
    assert (decoder.size, len(decoder.warnings)) == ((34, 34), 1)
    decoder = Decoder(size=(64, 48))
    assert read(decoder, "t,x@128,y@72,p\n1,63,47,1\n2,64,0,1\n3,0,48,1\n").tolist() == [(1, 63, 47, True)]
    assert (decoder.size, decoder.skipped) == ((64, 48), {"outside": 2})
    decoder = Decoder()
    read(decoder, HEADER + "1,200,3,1\n")
    assert decoder.size == (240, 180)
    assert "--size" in decoder.warnings[0]


@pytest.mark.parametrize(
    ("text", "options", "few"),
    [
        (b"t,x,y,p\n1,2,3,1\n", {"size": (9, 9)}, (1, 1, 1)),
        (b"t [s],x@9,y@9,p\n", {}, (0, 0, 0)),
        (b"t [s],x@9,y@9,p\n0.1,2,3,1\n", {}, (1, 1, 1)),
        (b"1,2,3,1\n", {"size": (9, 9), "order": "txyp"}, (1, 1, 1)),
        (b"t,x,y,p\n1,2,3,1\n", {}, (0, 0, 1)),  # of which the size is not known
        (b"70000,2,3,1\n70001,", {"size": (9, 9)}, (0, 1, 1)),
        (b"70000,2,3,1\n" * 7, {"size": (9, 9)}, (0, 7, 7)),
        (b"70000,2,3,1\n" * 8, {"size": (9, 9)}, (8, 8, 8)),
        (b"t,x,y,p\n0.1000,2,3,1\n0.1001,2,3,1\n", {"size": (9, 9)}, (0, 2, 2)),
        (b"1,2,3,1\n", {"size": (9, 9)}, (0, 0, None)),
        (b"no,table\n", {"size": (9, 9)}, (0, 0, None)),
        (b"", {}, (0, 0, 0)),
    ],
)
def test_what_is_live_is_told_by_as_few_rows_as_leave_no_doubt(text, options, few):
    """Rows that come at once, after a silence, and in the end, where a doubt is an error."""
    for (silent, over), count in zip([(False, False), (True, False), (True, True)], few, strict=True):
        decoder = Decoder(**options)
        list(decoder.feed(memoryview(text)))
        if count is None:
            with pytest.raises(RecordingError):
                list(decoder.settle(silent, over))
            continue
        assert sum(map(len, decoder.settle(silent, over))) == count
        assert sum(map(len, decoder.settle(silent, over))) == 0


@pytest.mark.parametrize("order", ["txyp", "xypt", "xytp", "ptxy", "xtpy", "tpxy"])
@pytest.mark.parametrize("separator", [" ", ",", ";", "\t", ", "])
@pytest.mark.parametrize("unit", ["us", "s"])
def test_rows_without_a_header_are_read_in_the_one_order_they_fit(order, separator, unit):
    rng = np.random.default_rng(len(order + separator + unit))
    made = scene(300)
    made["t"] = np.cumsum(rng.integers(0, 700, 300)) + 70_000
    texts = [(f"{t / 10**6:.6f}" if unit == "s" else str(t), str(x), str(y), f"{p:d}") for t, x, y, p in made.tolist()]
    lines = [separator.join(row["txyp".index(column)] for column in order) for row in texts]
    decoder = Decoder()
    assert np.array_equal(read(decoder, rows(*lines)), made)
    assert f"columns {' '.join(order)}, the one order the first rows fit" in decoder.notes[0]
    assert ("t in s (" if unit == "s" else "t in µs (whole numbers)") in decoder.notes[0]


def test_what_is_no_pixel_is_the_time_though_another_column_runs_forward_too():
    text = "70000 1 5 1\n70001 2 4 0\n70002 3 9 1\n"
    assert np.array_equal(read(Decoder(), text), naive(text))
    with pytest.raises(RecordingError, match="txyp and xtyp"):
        read(Decoder(), text.replace("7000", ""))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5 6 7 1\n", "txyp, or another of the 3 orders"),  # t may be any
        ("5 6 7 1\n6 7 8 1\n7 8 9 0\n", "txyp, or another of the 3 orders"),  # everything runs forward
        ("70000 1 0 1\n70001 0 1 0\n70002 1 0 1\n", "txyp, or another of the 3"),  # every pixel is a polarity
        ("70000 5 6 2\n70001 4 5 1\n", "ORDER, 4 letters"),  # no polarity
        ("70000 5 6 0\n69999 4 7 1\n70002 3 4 1\n", "ORDER, 4 letters"),  # nothing runs forward
        ("9 70000 5 6 1\n3 70001 4 5 0\n9 70002 5 5 1\n", "xty_p, or another of the 3"),
        ("70000 5 6\n70001 4 5\n", None),
    ],
)
def test_rows_that_leave_a_doubt_are_refused_until_it_is_said(text, said):
    for step in (0, 1):
        with pytest.raises(RecordingError, match="header") as error:
            read(Decoder(), text, step)
        assert error.value.remedy.startswith(f"--option order={said}") if said is not None else not error.value.remedy
    if len(text.split("\n")[0].split()) == 4 and " 2\n" not in text:
        assert np.array_equal(read(Decoder(order="txyp"), text), naive(text))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("start_us,stop_us,label\n0,1,2\n", "does not name t, x, y and p"),
        ("t,x,y\n1,2,3\n", "does not name t, x, y and p"),
        ("t,time,x,y,p\n1,1,2,3,1\n", "2 columns that may be t"),
    ],
)
def test_a_header_that_leaves_a_doubt_is_refused_until_it_is_said(header, why):
    with pytest.raises(RecordingError, match=f"{why}[^$]*found '{header[:5]}"):
        read(Decoder(), header)


@pytest.mark.parametrize("of", ["event_{}", "Events_{}", '"event_{}"'])
def test_a_header_may_say_that_its_columns_are_those_of_events(of):
    header = ",".join(of.format(name) for name in ("x", "y", "time", "pol"))
    assert read(Decoder(), f"{header}\n2,3,1,1\n").tolist() == [(1, 2, 3, True)]
    assert looks_like(f"{header}\n2,3,1,1\n".encode())
    assert read(Decoder(), "event_timestamp_ms,event_x,event_y,event_polarity\n1,2,3,1\n")["t"].tolist() == [1000]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frame,evt-x,evt-y,time of day,p value\n1,3,4,500,1\n", "_xytp"),
        ("a,b,c,d\n70000,5,6,0\n70001,4,5,1\n", "txyp"),
        ("t,time,x,y,p\n1,1,2,3,1\n", "ORDER, 5 letters"),
        ("a,b,c,d\n1,2,3,k\n", "ORDER, 4 letters"),
        ("a,b,c,d\n1,2,3,1,9\n", "txyp_, or another"),
    ],
)
def test_the_order_that_is_suggested_is_one_that_the_names_or_the_rows_speak_for(text, said):
    with pytest.raises(RecordingError) as error:
        read(Decoder(), text)
    assert error.value.remedy.startswith(f"--option order={said}")


def test_what_is_said_wins_over_a_header():
    text = "t,x,y,p,q\n1,2,3,1,9\n"
    assert read(Decoder(order="yx_pt", unit="ms"), text).tolist() == [(9000, 2, 1, True)]
    for wrong in ("txy", "txypt", "abcd", ""):
        with pytest.raises(ConfigError, match="no order of columns"):
            Decoder(order=wrong)
    with pytest.raises(ConfigError, match="s, ms, us, ns"):
        Decoder(unit="hours")
    assert read(Decoder(unit="µs"), HEADER + "1.5,2,3,1\n")["t"].tolist() == [2]


@pytest.mark.parametrize("step", [0, 1, 7])
def test_lines_may_end_with_cr_alone(step):
    """They do where the first one does, and are counted as others are."""
    comments = "# c\n\n" * 30_000  # more than the head of the file
    for text in (
        HEADER + "1,2,3,1\n5,6,7,0\n",
        HEADER + "1,2,3,1\n5,6,7,0",
        "# t x y p\n1 2 3 1\n\n5 6 7 0\n",
        HEADER + "1,2,3,1\n" + (comments if step != 1 else "") + "5,6,7,0\n",
    ):
        decoder = Decoder()
        assert read(decoder, text.replace("\n", "\r"), step).tolist() == SAID
        assert FORMAT.sniff(text.replace("\n", "\r").encode()[:4096])
        with pytest.raises(RecordingError) as plain:
            read(Decoder(), text.rstrip() + "\nbad\n", step)
        for ending in ("\r", "\r\n", "\r\r\n"):
            with pytest.raises(RecordingError) as error:
                read(Decoder(), f"{text.rstrip()}\nbad\n".replace("\n", ending), step)
            assert str(error.value) == str(plain.value)
    assert read(Decoder(order="txyp"), "1,2,3,1\r5,6,7,0\r", step).tolist() == SAID
    assert read(Decoder(order="txyp", unit="us"), "1,2,3,1\r", step).tolist() == SAID[:1]
    with pytest.raises(RecordingError, match="line 3 is no event"):
        read(Decoder(), "t,x,y,p\r\n1,2,3,1\r\n5,6,7,0\r5,6,7,0\r\n", step)


# The unit of time


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (["0", "1", "5"], "us"),
        (["1589163147368868"], "us"),
        (["1589163147368868123", "1589163147368870000"], "ns"),
        (["0.003811", "0.003820"], "s"),
        (["1589163147.368868", "1589163147.4"], "s"),
        (["0.0", "1e-06", "0.25"], "s"),
        ([f"{t / 1e6:.18e}" for t in (1_468_940, 1_468_950)], "s"),
        (["1.0", "2.0"], ""),  # whole, and yet with a point: µs, or ms?
        (["0.123", "0.124"], ""),  # ms of a camera, or s of a simulation?
        (["1234.560000000000002", "1234.57"], ""),
        (["1000.1234", "3000.1234"], ""),  # s would be too slow
        (["0.123456"], ""),
        (["1e3", "2e3"], ""),
    ],
)
def test_a_unit_that_is_not_said_is_found_or_refused(times, unit):
    text = HEADER + rows(*(f"{time},1,2,1" for time in times))
    if not unit:
        with pytest.raises(RecordingError, match=r"unit of t is not said[^$]*--option unit=us"):
            read(Decoder(), text)
        return
    assert read(Decoder(), text)["t"].tolist() == [to_us(time, unit) for time in times]
    assert read(Decoder(unit=unit), text)["t"].tolist() == [to_us(time, unit) for time in times]


def test_a_fraction_after_whole_numbers_is_refused_where_the_unit_was_found():
    text = HEADER + rows(*("0,1,2,1",) * 200, "0.5,1,2,1")
    with pytest.raises(RecordingError, match=r"line 202 is no event[^$]*found '0.5'[^$]*--option unit=s"):
        read(Decoder(), text)
    assert read(Decoder(unit="s"), text)["t"][-1] == 500_000
    assert read(Decoder(), HEADER + rows(*("0,1,2,1",) * 200, "5.0,1,2,1"))["t"][-1] == 5


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15).map(str),
    st.floats(-1e12, 1e12, allow_nan=False).map(repr),
    st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: f"{value:.18e}"),
    st.from_regex(r"\A[+-]?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,2})?\Z"),
    st.from_regex(r"\A[0-9]{1,12}\.[0-9]{1,12}\Z"),
)


@settings(deadline=None, max_examples=400)
@given(number=NUMBERS, unit=st.sampled_from(["s", "ms", "us", "ns"]), place=st.sampled_from(["first", "last"]))
@example(number="9223372036854775807", unit="us", place="first")
@example(number="-9223372036854775808", unit="us", place="first")
@example(number="9223372036854775808", unit="us", place="first")
@example(number="9223372036854775807.5", unit="us", place="first")
@example(number="9223372036854775806.5", unit="us", place="last")
@example(number="1234567890123456789.5", unit="us", place="last")
@example(number="12345678901234567890.5", unit="ns", place="last")
@example(number="0.0000005", unit="s", place="first")
@example(number="0.0000015", unit="s", place="first")
@example(number="0.00000150000000000000000000000000001", unit="s", place="first")
@example(number="4503599627370497.5", unit="us", place="first")
@example(number="500", unit="ns", place="first")
@example(number="1500", unit="ns", place="first")
@example(number="0.5000000000000000000000001", unit="us", place="first")
@example(number="1.50000000000000000000000000", unit="us", place="last")
@example(number="2500.00000000000000000000001", unit="ns", place="last")
@example(number="12345678901234567890", unit="us", place="last")
@example(number="1e-400", unit="s", place="last")
@example(number="0e99", unit="s", place="last")
def test_time_is_the_nearest_microsecond_and_never_a_float(number, unit, place):
    order, line = ("txyp", f"{number},1,2,1") if place == "first" else ("xypt", f"1,2,1,{number}")
    wanted = to_us(number, unit)
    decoder = Decoder(order=order, unit=unit)
    if -(2**63) <= wanted < 2**63:
        assert read(decoder, line + "\n").tolist() == [(wanted, 1, 2, True)]
    else:
        with pytest.raises(RecordingError, match=f"no event[^$]*fits 64 bits[^$]*found '{re.escape(number[:5])}"):
            read(decoder, line + "\n")


@settings(deadline=None)
@given(data=st.data())
def test_any_table_in_any_pieces_decodes_as_decimals_do(data):
    order = "".join(data.draw(st.permutations("txyp")))
    separator = data.draw(st.sampled_from([",", ";", " ", "\t", " , ", "  "]))
    unit = data.draw(st.sampled_from(["s", "ms", "us", "ns"]))
    time = st.one_of(st.integers(-(10**12), 10**12).map(str), st.decimals(-1000, 1000, places=9).map(str))
    pixel = st.one_of(st.integers(0, 65_535).map(str), st.integers(0, 65_535).map(lambda value: f"{value:.10e}"))
    on = st.sampled_from(["0", "1", "-1", "1.0", "true", "False", "+1"])
    row = st.tuples(time, pixel, pixel, on).map(lambda row: separator.join(row["txyp".index(c)] for c in order))
    line = st.one_of(row, row, row, st.sampled_from(["", "# 1 2", "  % a"]))
    lines = data.draw(st.lists(line, min_size=1, max_size=30))
    ending = data.draw(st.sampled_from(["\n", "\r\n", " \n", "\r", "\r\r\n"]))
    text = ending.join([*lines, ""])
    decoder = Decoder(order=order, unit=unit)
    if not any(one.strip() and one.strip()[0] not in "#%" for one in lines):
        return
    wanted = naive(text.replace(ending, "\n"), order, unit, separator.strip() or None)
    assert np.array_equal(read(decoder, text, data.draw(st.integers(0, 40))), wanted)


def test_many_rows_come_in_several_arrays():
    made = scene(60_000)
    data = Encoder().feed(made)
    assert len(data) > 1 << 20
    parts = [part.copy() for part in Decoder().feed(memoryview(data))]
    assert len(parts) > 2
    assert np.array_equal(np.concatenate(parts), made)
    assert np.array_equal(read(Decoder(), data, 999), made)


# Which files are tables


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (HEADER, True),
        ("x, y, t, p\n12, 13, 1000, 1\n", True),
        ("t,x@1280,y@720,on\r\n1,1,5,1\r\n", True),
        ("0.003811000 96 133 0\n", True),
        ("240 180\n0.003811000 96 133 0\n", True),
        ("# t x y p\n1 2 3 1\n", True),
        ("# anything\n70000;2;3;true\n", True),
        ("start_us,stop_us,label\n0,1000,left\n", False),
        ("start_us,stop_us,label,reward\n0,1000,3,1\n", False),
        ("0,1000,3\n", False),
        ("time,v,w,spike\n0,1,2,0\n", False),
        ("# Title\n\nSome text in it, of four, words\n", False),
        ("", False),
        ("\n \n", False),
        ("hello\n", False),
        ("1,2,3,1\0", False),
    ],
)
def test_a_table_is_told_by_its_header_or_by_rows_of_four_numbers(head, is_one):
    assert FORMAT.sniff(head.encode()) == is_one
    assert FORMAT.sniff((head + head[-8:] * 999).encode()[:4096]) == is_one or not head.strip()


def test_labels_are_no_events(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("start_us,stop_us,label\n0,1000,left\n")
    with pytest.raises(RecordingError, match=r"not an event file I know[^$]*these are the labels of a recording"):
        ss.read(path)


# Out


@settings(deadline=None)
@given(
    made=st.lists(
        st.tuples(st.integers(-(2**62), 2**62 - 1), st.integers(0, 65_535), st.integers(0, 65_535), st.booleans()),
        max_size=50,
    ),
    cut=st.integers(0, 50),
    step=st.integers(0, 60),
)
def test_what_was_written_is_read(made, cut, step):
    wanted = np.array(made, EVENT)
    encoder = Encoder()
    written = encoder.feed(wanted[:cut]) + encoder.feed(wanted[cut:]) + encoder.finish()
    assert written == (HEADER + rows(*(f"{t},{x},{y},{p:d}" for t, x, y, p in made))).encode()
    decoder = Decoder()
    if made and made[0][0] in range(10**18, 42 * 10**17):
        decoder = Decoder(unit="us")
    assert np.array_equal(read(decoder, written, step), wanted)


@pytest.mark.parametrize("t", [-(2**62) - 1, 2**62, 2**63 - 1])
def test_a_stamp_that_no_reader_takes_is_not_written(t):
    encoder = Encoder()
    encoder.feed(np.array([(-(2**62), 0, 0, True), (2**62 - 1, 0, 0, True)], EVENT))
    with pytest.raises(RecordingError, match=rf"event 3 does not fit CSV[^$]*expected -2\^62 <= t[^$]*found t {t},"):
        encoder.feed(np.array([(0, 0, 0, True), (t, 0, 0, True)], EVENT))


def test_numpy_reads_what_we_write_and_we_what_numpy_writes():
    made = scene(500)
    table = np.loadtxt(io.BytesIO(Encoder().feed(made)), delimiter=",", skiprows=1, dtype=np.int64)
    for k, name in enumerate("txyp"):
        assert np.array_equal(table[:, k], made[name].astype(np.int64))
    seconds = np.column_stack([made["t"] / 1e6, made["x"], made["y"], made["p"]])
    plain = {"fmt": ["%.6f", "%d", "%d", "%d"], "delimiter": ",", "header": "t,x,y,p"}
    for style in ({}, {"fmt": "%.9f %d %d %d"}, plain):
        text = io.StringIO()
        np.savetxt(text, seconds, **style)
        assert np.array_equal(read(Decoder(), text.getvalue()), made)


def test_faery_and_we_read_each_other(tmp_path):
    faery, made = pytest.importorskip("faery"), scene(2_000)
    path = tmp_path / "ours.csv"
    ss.write(path, ss.Events(0, int(made["t"][-1]) + 1, made, (640, 480)))
    theirs = faery.events_stream_from_file(path).to_array()
    for name in ("t", "x", "y", "p"):
        assert np.array_equal(theirs[name].astype(np.int64), made[name].astype(np.int64))
    path = tmp_path / "theirs.csv"
    stream = faery.events_stream_from_array(made.astype(faery.EVENTS_DTYPE), dimensions=(640, 480))
    stream.to_file(path, zero_t0=False)
    ours = ss.read(path)
    assert np.array_equal(ours.data, made)
    assert ours.size == (640, 480)


def test_a_reader_tells_what_it_took_for_granted_and_takes_what_it_is_told(tmp_path):
    path = tmp_path / "events.txt"
    path.write_text("0.003811 96 133 0\n0.003820 95 13 1\n0.103820 97 12 1\n")
    found = ss.info(path)
    assert (found.format, found.events, found.first_t, found.last_t) == ("csv", 3, 3811, 103_820)
    assert found.notes == (
        "columns t x y p, the one order the first rows fit, x before y; "
        "t in s (with a point, a fraction of a second apart)",
    )
    assert ss.info(path, unit="ms", order="tyxp").last_t == 104
    assert ss.info(path, scan=False).events is None


def test_the_command_line_tells_what_was_taken_for_granted_and_takes_what_is_said(tmp_path):
    path = tmp_path / "events.txt"
    path.write_text("5 6 7 1\n6 7 8 1\n7 8 9 0\n")
    refused = spikestream("info", path, code=3).stderr
    assert "try: --option order=txyp" in refused
    told = spikestream("info", path, "--option", "order=xypt", code=3).stderr
    assert "line 1 is no event" in told
    options = ["--option", "order=txyp", "--option", "unit=ms", "--size", "9x10"]
    said = spikestream("info", path, *options, "--check").stdout
    assert "5,000 .. 7,000 µs" in said
    assert "note        columns t x y p, as order=txyp says; t in ms" in said
    done = spikestream("convert", path, tmp_path / "x.csv", "--option", "order=txyp", "--size", "9x10")
    assert "columns t x y p" in done.stderr
    assert (tmp_path / "x.csv").read_text() == "t,x,y,p\n5,6,7,1\n6,7,8,1\n7,8,9,0\n"
    for wrong in ("order", "=txyp"):
        assert "is no option" in spikestream("info", path, "--option", wrong, code=2).stderr
    assert "has no option 'ordr'" in spikestream("info", path, "--option", "ordr=txyp", code=2).stderr


def test_what_the_columns_are_is_told_without_numba():
    code = (
        "import sys; from spikestream.formats.csv import Decoder; d = Decoder(); "
        "d.feed(memoryview(b't,x@64,y@48,on\\n' + b'1,2,3,1\\n' * 128)); "
        "print(d.size, *d.notes, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("(64, 48) columns t x y p,")
    assert done.stdout.endswith(" False\n")


def test_decimal_is_an_oracle_that_knows_ties():
    assert [to_us(text) for text in ("0.5", "1.5", "2.5", "-0.5", "-1.5")] == [0, 2, 2, 0, -2]
    assert Decimal("0.5") == Decimal("5e-1")
