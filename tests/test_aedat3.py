"""AEDAT 3 against files made by hand, a plain loop from the specification, and evutils."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from aedat3_by_hand import END, EXPECTED, MIXED, decode, encode, event, event30, head, naive, packet, read, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.batch import EVENT
from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.aedat3 import FORMAT, Decoder, Encoder


@pytest.mark.parametrize("step", [None, 1, 5, 64])
def test_a_file_made_by_hand(step: int | None):
    decoder = Decoder()
    assert rows(read(decoder, head() + MIXED, step)) == EXPECTED == naive(head() + MIXED)
    assert (decoder.size, decoder.sensor, decoder.warnings) == ((346, 260), "DAVIS346", [])
    assert decoder.skipped == {"invalid": 1, "special": 1, "frame": 1, "imu": 1, "unknown kind": 1, "spike": 1}


@pytest.mark.parametrize("end", [b"", END])
@pytest.mark.parametrize("step", [None, 1])
def test_version_3_0_counts_rows_from_the_bottom(step: int | None, end: bytes):
    data = head("#Source 1: DVS128", version="3.0", end=end) + packet(event30(5, 127, 0, 1) + event30(6, 0, 127, 0))
    assert rows(decode(data, step)) == [(5, 127, 127, True), (6, 0, 0, False)]
    assert rows(decode(data, step, raw=True)) == [(5, 127, 0, True), (6, 0, 127, False)]
    assert rows(decode(data, step, size=(128, 200))) == [(5, 127, 127, True), (6, 0, 0, False)]
    assert rows(decode(data, step, size=(346, 260), sensor="davis346")) == [(5, 127, 259, True), (6, 0, 132, False)]
    unknown = data.replace(b"DVS128", b"?")
    assert rows(decode(unknown, step, size=(128, 200))) == [(5, 127, 199, True), (6, 0, 72, False)]


def test_version_3_0_without_a_height():
    data = head("#Source 1: ?", version="3.0") + packet(event30(5, 16383, 16383, 1))
    with pytest.raises(RecordingError, match="height of the sensor is not known") as error:
        decode(data)
    assert "--size" in error.value.remedy
    assert rows(decode(data, raw=True)) == [(5, 16383, 16383, True)]
    decoder = Decoder(sensor="dvs128")  # which has no row of that number
    assert (rows(read(decoder, data)), decoder.skipped) == ([], {"invalid": 1})


def test_a_header_with_bare_line_ends_and_other_lines():
    data = b"#!AER-DAT3.1\n#Format: RAW\n#-Source 7: DVS128\n#Source 2: DAVIS240C\n# a remark\n#!END-HEADER\n"
    decoder = Decoder()
    assert rows(read(decoder, data + packet(event(1, 2, 3, 1), source=9))) == [(1, 2, 3, True)]
    assert (decoder.size, decoder.sensor) == ((240, 180), "DAVIS240C")


@pytest.mark.parametrize(
    ("line", "sensor", "size"),
    [
        ("DVS128", "DVS128", (128, 128)),
        ("eDVS4337", "eDVS4337", (128, 128)),
        ("DAVIS640H", "DAVIS640H", (640, 480)),
        ("my camera 34x35", "my camera", (34, 35)),
        ("DAVIS346 20x10", "DAVIS346", (20, 10)),
        ("something", "something", None),
        ("cam2x3", "cam2x3", None),
        ("a 0x0", "a 0x0", None),
        (" " * 500_000 + "x", "x", None),
    ],
)
def test_sizes_by_the_name_of_the_device(line: str, sensor: str, size: tuple[int, int] | None):
    decoder = Decoder()
    read(decoder, head(f"#Source 1: {line}"))
    assert (decoder.sensor, decoder.size) == (sensor, size)


def test_what_the_caller_says_replaces_the_header():
    for options, size in (({"sensor": "davis240"}, (240, 180)), ({"sensor": "x", "size": (9, 8)}, (9, 8))):
        decoder = Decoder(**options)
        assert rows(read(decoder, head() + packet(event(1, 2, 3, 1)))) == [(1, 2, 3, True)]
        assert (decoder.sensor, decoder.size) == (options["sensor"], size)
    with pytest.raises(ConfigError, match="did you mean 'davis346'"):
        Decoder(sensor="davs346")
    with pytest.raises(ConfigError, match="no source 'left'"):
        Decoder(stream="left")


def test_several_sources():
    data = head("#Source 3: DVS128", "#Source 1: DAVIS346") + b"".join(
        packet(event(t, t, t, 1) * n, source=s) for t, n, s in ((1, 1, 1), (2, 2, 3), (3, 3, 1), (4, 4, 8))
    )
    decoder = Decoder()
    assert rows(read(decoder, data)) == [(2, 2, 2, True)] * 2
    assert (decoder.sensor, decoder.size) == ("DVS128", (128, 128))
    assert decoder.skipped == {"events of other sources": 8}
    assert "1 (DAVIS346)" in decoder.warnings[0]
    other = Decoder(stream="1")
    assert [t for t, *_ in rows(read(other, data, 1))] == [1, 3, 3, 3]
    assert (other.sensor, other.size, other.warnings) == ("DAVIS346", (346, 260), [])


def test_one_unexpected_source_is_enough_but_not_two():
    decoder = Decoder()
    data = head() + packet(event(1, 0, 0, 1), source=0) + packet(event(2, 0, 0, 1), source=1)
    assert [t for t, *_ in rows(read(decoder, data))] == [1]
    assert decoder.skipped == {"events of other sources": 1}


def test_a_header_is_known_without_decoding_and_without_numba():
    code = f"""if True:
        import sys
        from spikestream.formats.aedat3 import Decoder, FORMAT
        decoder = Decoder()
        decoder.feed(memoryview({head() + MIXED!r}))
        assert (decoder.size, decoder.sensor) == ((346, 260), "DAVIS346")
        assert "numba" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sniffing():
    assert FORMAT.sniff(head()[:4096])
    assert FORMAT.sniff(head(version="3.0"))
    assert not FORMAT.sniff(head(version="2.0"))
    assert not FORMAT.sniff(head(version="4.0"))


def test_what_is_written_byte_by_byte():
    events = np.array([(5, 1, 2, True), (2**31 - 1, 3, 4, False), (2**31, 127, 127, True)], EVENT)
    encoder = Encoder(size=(128, 128))
    assert encoder.feed(events) + encoder.finish() == (
        b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 1970-01-01 00:00:00 (TZ+0000)\r\n" + END
    ) + packet(event(5, 1, 2, 1) + event(2**31 - 1, 3, 4, 0)) + packet(event(0, 127, 127, 1), over=1)


ROWS = st.lists(
    st.tuples(st.integers(0, 2**62 - 1), st.integers(0, 2**15 - 1), st.integers(0, 2**15 - 1), st.booleans()),
    max_size=30,
)


@given(found=ROWS, step=st.sampled_from([None, 1, 9]), size=st.tuples(st.integers(1, 99999), st.integers(1, 99999)))
@settings(max_examples=200, deadline=None)
def test_a_round_trip(found, step, size):
    found = [(t, x % size[0], y % size[1], p) for t, x, y, p in found]
    data, decoder = encode(np.array(found, EVENT), size=size), Decoder()
    assert rows(read(decoder, data, step)) == found == naive(data)
    assert decoder.size == size


@pytest.mark.parametrize("n", [0, 1, 65_536, 200_001])
def test_evutils_reads_what_we_write(tmp_path: Path, n: int):
    evutils = pytest.importorskip("evutils.io")
    rng, events = np.random.default_rng(n), np.empty(n, EVENT)
    events["t"] = 2**31 - 50_000 + np.cumsum(rng.integers(0, 3, n))
    events["x"], events["y"], events["p"] = rng.integers(0, 346, n), rng.integers(0, 260, n), rng.integers(0, 2, n)
    (tmp_path / "ours.aedat").write_bytes(encode(events, size=(346, 260)))
    np.testing.assert_array_equal(decode(encode(events, size=(346, 260)), 4096), events)
    theirs = evutils.EventReader(str(tmp_path / "ours.aedat"), mode="all").read()
    for name in EVENT.names:
        np.testing.assert_array_equal(getattr(theirs, name), events[name])


def test_where_nobody_tells_the_size_it_grows():
    events = np.array([(5, 1, 2, True), (6, 34, 4, False), (9, 127, 479, True), (10, 32_767, 0, True)], EVENT)
    data, decoder = b"#!AER-DAT3.1\r\n#Source 1: Foo\r\n" + END, Decoder()
    assert (list(decoder.feed(memoryview(data))), decoder.size) == ([], None)
    for n, size in ((1, (34, 34)), (2, (128, 128)), (3, (640, 480)), (4, (32_768, 32_768))):
        body = encode(events[n - 1 : n]).partition(END)[2]
        assert rows(np.concatenate(list(decoder.feed(memoryview(body))))) == events[n - 1 : n].tolist()
        assert (decoder.size, len(decoder.warnings)) == (size, 1)
    assert "--size WIDTHxHEIGHT says which it is" in decoder.warnings[0]


@pytest.mark.parametrize("bad", [(-1, 0, 0, True), (2**62, 0, 0, True), (0, 2**15, 0, True), (0, 0, 2**15, False)])
def test_events_outside_of_the_domain(bad: tuple[int, int, int, bool]):
    with pytest.raises(RecordingError, match="event 1 does not fit") as error:
        Encoder().feed(np.array([(0, 0, 0, True), bad], EVENT))
    assert error.value.remedy
    with pytest.raises(RecordingError, match="characters"):
        Encoder(sensor="a\r\n#!END-HEADER")
