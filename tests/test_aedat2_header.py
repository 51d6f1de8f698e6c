"""Where an AEDAT 2.0 header ends, which camera it names, and what is guessed where it names none."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from aedat2bytes import END, NO_CHIP, SIZES, davis, decode, header, naive, read, records, scene

from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.aedat2 import FORMAT, Decoder, Encoder

# Header


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_header_without_end_line_ends_before_the_first_other_line(newline):
    data = header(end=b"# last\r\n").replace(b"\r\n", newline) + records((davis(3, 4, 1), 9))
    assert decode(data, raw=True).tolist() == [(9, 3, 4, True)]


@pytest.mark.parametrize("y", [140, 141, 142, 143])
@pytest.mark.parametrize("x", [0, 40, 168, 170, 239])
@pytest.mark.parametrize("end", [b"", END, b"# short\r\n", b"# long" * 20 + b"\r\n"])
@pytest.mark.parametrize("step", [0, 1, 7])
def test_a_record_that_starts_as_a_header_line_is_a_record(x, y, end, step):
    """x = 168..171 with y = 140 even spells '#' and a line feed."""
    rows = [(davis(x, y, 1), 300_000_000), *((davis(i, 140 + i % 4, i % 2), 300_000_000 + 9 * i) for i in range(5))]
    data = header(end=end) + records(*rows)
    assert data[len(header(end=end)) :][:1] == b"#"
    assert decode(data, step=step, raw=True).tolist() == naive(records(*rows), "davis240", raw=True)


def test_a_header_line_with_binary_bytes_is_text_and_said_to_be():
    line = b"# serial \x01\x02\x80\xff and so on, until the line ends\r\n"
    data = header(end=line) + records((davis(3, 4, 1), 9))
    for step in (0, 1, 11):
        decoder = Decoder(raw=True)
        assert read(decoder, data, step=step).tolist() == [(9, 3, 4, True)]
        assert len(decoder.warnings) == 1
        assert "control characters" in decoder.warnings[0]


def test_an_indented_header_of_mixed_line_ends_is_text():
    lines = b"#\n#" + b" " * 40 + b"<map/>\r\n#            </node>\n#\n#" + b" " * 40 + b"</map>\r\n"
    data = header(end=lines) + records((davis(3, 4, 1), 9)) * 3
    assert decode(data, raw=True).tolist() == [(9, 3, 4, True)] * 3


def test_the_first_camera_named_counts_and_text_in_other_scripts_is_fine():
    data = header("davis346", "# user: Zoë\r\n# AEChip: x.DAVIS240C\r\n".encode()) + records((davis(345, 259, 0), 1))
    decoder = Decoder()
    assert read(decoder, data).tolist() == [(1, 0, 0, False)]
    assert (decoder.sensor, decoder.size, decoder.warnings) == ("davis346", (346, 260), [])


def test_a_header_may_be_large_and_is_bounded():
    filler = b"# " + b"x" * 998 + b"\r\n"
    body = records((davis(3, 4, 1), 9))
    assert len(decode(header(end=filler * 1000) + body)) == 1
    for endless in (filler * 2000, b"#" * (1 << 21)):
        decoder = Decoder()
        with pytest.raises(RecordingError, match="does not end"):
            decoder.feed(memoryview(header(end=endless)))


@pytest.mark.parametrize(
    "start", [b"#!AER-DAT1.0\r\n", b"#!AER-DAT3.1\r\n", b"#!AER-DAT4.0\r\n", b"# jAER\r\n", b"\0" * 9]
)
def test_other_files_are_not_aedat_2(start):
    assert not FORMAT.sniff(start)
    with pytest.raises(RecordingError, match=r"not AEDAT 2\.0"):
        decode(start)


def test_a_recording_that_ends_before_its_records_says_so():
    with pytest.raises(RecordingError, match="is empty"):
        Decoder().finish()
    for head in (b"#!AER", header(end=b"")):
        with pytest.raises(RecordingError, match="ends inside its header"):
            decode(head)


def test_a_header_tells_the_camera_without_numba():
    code = (
        "import sys; from spikestream.formats.aedat2 import Decoder; d = Decoder(); d.feed(memoryview(sys.argv[1]"
        ".encode() + bytes(99))); print(d.sensor, d.size, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, header().decode()], capture_output=True, text=True, check=True)
    assert done.stdout == "davis240 (240, 180) False\n"


# Which camera


@pytest.mark.parametrize(
    ("chip", "sensor"),
    [
        ("DAVIS240A", "davis240"),
        ("Davis346blue", "davis346"),
        ("Davis346BColor", "davis346"),
        ("Davis640Color", "davis640"),
        ("Tmpdiff128", "dvs128"),
        ("DVS128", "dvs128"),
        ("DVS640", "dvs640"),
    ],
)
def test_java_classes_name_cameras(chip, sensor):
    decoder = Decoder()
    decoder.feed(memoryview(b"#!AER-DAT2.0\r\n#AEChip:  any.package." + chip.encode() + b"\r\n" + END))
    assert (decoder.sensor, decoder.size) == (sensor, SIZES[sensor])


@pytest.mark.parametrize(
    "chip", [b"ch.unizh.CochleaAMS1c", b"x.DVS128andCochleaAMS1b", b"\xff\xfe", b"Davis208PixelParade"]
)
def test_an_unknown_camera_is_an_error_that_offers_the_choice(chip):
    data = b"#!AER-DAT2.0\r\n# AEChip: " + chip + b"\r\n" + END
    with pytest.raises(RecordingError, match=r"not known here[^$]*--sensor dvs128\|dvs640\|davis240"):
        Decoder().feed(memoryview(data))
    assert len(decode(data + records((davis(1, 1, 1), 1)), sensor="davis240")) == 1


def test_the_sensor_asked_for_wins_over_the_header_with_a_warning():
    decoder = Decoder(sensor="davis346")
    found = read(decoder, header("davis240") + records((davis(345, 0, 1), 1)))
    assert found.tolist() == [(1, 0, 259, True)]
    assert (decoder.sensor, decoder.size) == ("davis346", (346, 260))
    assert "DAVIS240C" in decoder.warnings[0]
    agreeing = Decoder(sensor="DAVIS240C")
    read(agreeing, header("davis240"))
    assert agreeing.warnings == []


def test_an_unknown_sensor_or_polarity_names_the_nearest_and_the_allowed():
    with pytest.raises(ConfigError, match="did you mean 'davis346'"):
        Decoder(sensor="davis34")
    with pytest.raises(ConfigError, match="jaer, inivation"):
        Encoder(sensor="dvs128", polarity="on")


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((346, 260), {}, [(1, 239, 179, True), (2, 0, 0, True)]),
        ((100, 90), {}, [(2, 0, 0, True)]),
        ((346, 260), {"raw": True}, [(1, 0, 0, True), (2, 239, 179, True), (3, 240, 0, True), (4, 0, 180, True)]),
        ((240, 180), {"sensor": "davis240"}, [(1, 239, 179, True), (2, 0, 0, True)]),
    ],
)
def test_a_camera_is_turned_round_itself_whatever_size_is_wanted_of_it(size, options, expected):
    words = records(*((davis(x, y, 1), t) for t, x, y in ((1, 0, 0), (2, 239, 179), (3, 240, 0), (4, 0, 180))))
    decoder = Decoder(size=size, **options)
    assert read(decoder, header() + words).tolist() == expected
    assert (decoder.size, decoder.skipped) == (size, {"outside": 4 - len(expected)} if len(expected) < 4 else {})


def test_a_camera_that_only_has_the_addresses_of_another_has_the_size_that_is_said():
    decoder = Decoder(sensor="davis240", size=(208, 192))
    words = records((davis(207, 191, 1), 1), (davis(208, 0, 1), 2), (davis(0, 192, 1), 3), (davis(0, 0, 0), 4))
    text = header().replace(b"DAVIS240C", b"DAVIS208Mono")
    assert read(decoder, text + words).tolist() == [(1, 0, 0, True), (4, 207, 191, False)]
    assert decoder.skipped == {"outside": 2}
    assert decoder.size == (208, 192)


@pytest.mark.parametrize("sensor", SIZES)
@pytest.mark.parametrize("step", [0, 1, 1001])
def test_a_camera_the_header_does_not_name_is_guessed_from_256_addresses(sensor, step):
    wanted = scene(sensor, 300)
    body = Encoder(sensor=sensor).feed(wanted).partition(END)[2]
    decoder = Decoder()
    found = read(decoder, NO_CHIP + body, step=step)
    assert (decoder.sensor, decoder.size) == (sensor, SIZES[sensor])
    assert np.array_equal(found, wanted)
    assert f"read as {sensor}" in decoder.warnings[0]
    assert "--sensor" in decoder.warnings[0]


def test_a_guess_looks_at_the_pixels_of_image_samples_but_not_at_motion_samples():
    imu, special = (0xFFFFFC00 | 0x1FF, 1), (0x7FC00400, 1)
    samples = [(0x80000000 | davis(345, 259, 0), 2), *[imu] * 200, *[special] * 100]
    decoder = Decoder()
    read(decoder, NO_CHIP + records(*samples))
    assert decoder.sensor == "davis346"


def test_too_few_records_for_a_guess_are_an_error_with_the_guess_in_it():
    body = Encoder(sensor="davis346").feed(scene("davis346", 255)).partition(END)[2]
    with pytest.raises(RecordingError, match=r"255 records[^$]*--sensor[^$]*davis346"):
        decode(NO_CHIP + body)
    assert np.array_equal(decode(NO_CHIP + body, sensor="davis346"), scene("davis346", 255))


def test_addresses_that_fit_no_camera_are_an_error():
    with pytest.raises(RecordingError, match=r"fit none[^$]*--sensor"):
        decode(NO_CHIP + records((0x7FFFF800, 1)) * 256)
