"""Sound of a NAS against bytes written by hand, a naive decoder, layouts that do not fit, and damaged files."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from functools import partial
from random import Random

import goodfiles
import numpy as np
import pytest
from cli import replay_json, spikestream
from fuzz import drain, mutations, pieces
from hypothesis import given, settings
from hypothesis import strategies as st
from nasbytes import naive, records, sound

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.nas import FORMAT, Decoder, layout_of

HEADER = b"#!AER-DAT2.0\r\n# recorded by jAER\r\n#End Of ASCII Header\r\n"


def read(decoder: Decoder, data: bytes, *, step: int = 0) -> np.ndarray:
    """Feed in pieces of `step` bytes, 0 for one piece, and finish; return all events."""
    found = [np.empty(0, EVENT)]
    for at in range(0, len(data), step or max(1, len(data))):
        found += decoder.feed(memoryview(data)[at : at + (step or len(data))])
    decoder.finish()
    return np.concatenate(found)


def read_until_error(decoder: Decoder, parts) -> tuple[list, str]:
    """Return the events and the text of the error, "" where there is none."""
    found = []
    try:
        for part in parts:
            for events in decoder.feed(memoryview(part)):
                found += events.tolist()
        decoder.finish()
    except RecordingError as error:
        return found, str(error)
    return found, ""


# Records


def test_records_of_4_bytes_by_hand():
    data = bytes.fromhex(
        "00000000 00000005  00000001 00000006  0000007E 00000007  00000080 00000008  000000FF 00000009"
    )
    decoder = Decoder("stereo64:jaer")
    wanted = [(5, 63, 0, True), (6, 63, 0, False), (7, 0, 0, True), (8, 63, 1, True), (9, 0, 1, False)]
    assert read(decoder, data).tolist() == wanted
    assert (decoder.size, decoder.sensor, decoder.skipped, decoder.warnings) == ((64, 2), "stereo64:jaer", {}, [])
    stored = [(t, 63 - x, y, p) for t, x, y, p in wanted]
    assert read(Decoder("stereo64:jaer", raw=True), data).tolist() == stored


def test_records_of_2_bytes_by_hand():
    data = bytes.fromhex("0009 0008BE52  003F 0008BE54  0000 0008BE57")
    decoder = Decoder("mono32:usbaermini2")
    assert read(decoder, data).tolist() == [(114_602, 27, 0, False), (114_602, 0, 0, False), (114_603, 31, 0, True)]
    assert decoder.size == (32, 1)


def test_what_is_no_spike_is_counted_by_kind():
    rows = [(0, 1), (0x8000, 2), (0xBFFF, 3), (0xC000, 4), (64, 5), (0x7FFF, 6), (0x18000, 7), (63, 8)]
    decoder = Decoder("mono32:jaer")
    assert read(decoder, records(rows)).tolist() == [(1, 31, 0, True), (8, 0, 0, False)]
    assert decoder.skipped == {"mso": 2, "lso": 1, "outside": 3}


@pytest.mark.parametrize(
    ("tick", "fraction"), [("0.2", (1, 5)), ("0.08", (2, 25)), ("0.001", (1, 1000)), ("100", (100, 1))]
)
def test_ticks_become_microseconds_of_the_whole_count(tick, fraction):
    counts = [0, 1, 4, 5, 6, 12, 13, 2**31 + 1, 2**32 - 1, 9, 2**31 + 8, 7]  # the clock wraps twice
    whole = [*counts[:9], 2**32 + 9, 2**32 + 2**31 + 8, 2**33 + 7]
    found = read(Decoder(f"mono16:2:{tick}"), records([(0, count) for count in counts], 2))
    assert found["t"].tolist() == [int(count * Fraction(tick)) for count in whole]
    assert Fraction(*fraction) == layout_of(f"mono16:2:{tick}").tick


def test_localisation_events_and_damaged_addresses_move_the_clock_too():
    for address in (0x8000, 999):
        rows = [(0, 2**32 - 1), (address, 2**31), (0, 5)]  # in two steps that are both too short for a wrap
        assert read(Decoder("mono16:jaer"), records(rows))["t"].tolist() == [2**32 - 1, 5]


def test_a_small_step_back_is_no_wrap():
    assert read(Decoder("mono16:jaer"), records([(0, 500), (0, 499), (0, 600)]))["t"].tolist() == [500, 499, 600]


LAYOUT = st.tuples(st.sampled_from([1, 2]), st.integers(1, 2048), st.sampled_from([2, 4]))
ROW = st.tuples(st.integers(0, 2**15), st.one_of(st.integers(0, 100), st.integers(0, 2**31 - 1)))


@settings(deadline=None)  # the first one loads the kernel
@given(layout=LAYOUT, tick=st.integers(1, 100_000), rows=st.lists(ROW, max_size=60))
def test_any_spikes_decode_as_the_specification_says(layout, tick, rows):
    sides, bands, width = layout
    counts = np.cumsum([step for _, step in rows]) % 2**32
    addresses = [address % (2 * bands * sides) for address, _ in rows]
    data = records(zip(addresses, counts.astype(np.int64).tolist(), strict=True), width)
    name = f"{'mono' if sides == 1 else 'stereo'}{bands}:{width}:{tick / 1000:.3f}"
    for raw in (False, True):
        decoder = Decoder(name, raw=raw)
        found = read(decoder, data) if data else np.empty(0, EVENT)
        wanted = naive(data, sides=sides, bands=bands, width=width, tick=(tick, 1000), raw=raw) if data else found
        assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("step", [0, 1, 3, 5, 6, 7, 8, 64, 1000])
def test_noise_after_a_good_start_decodes_the_same_in_any_pieces(step, width):
    record = width + 4
    data = sound(256, width=width) + np.random.default_rng(4).bytes(record * 2000)
    decoder = Decoder(f"stereo16:{width}:0.2")
    found = read(decoder, data, step=step)
    assert np.array_equal(found, naive(data, sides=2, bands=16, width=width, tick=(1, 5)))
    assert len(found) + sum(decoder.skipped.values()) == 2256


def test_a_cut_record_comes_after_all_before_it():
    data = sound(40, width=2)
    for lost in range(1, 6):
        decoder = Decoder("stereo16:usbaermini2")
        spikes = sum(len(part) for part in decoder.feed(memoryview(data[:-lost])))
        assert spikes + sum(decoder.skipped.values()) == 39
        with pytest.raises(RecordingError, match="cut inside its last record") as error:
            decoder.finish()
        assert (error.value.offset, error.value.found) == (234, str(6 - lost))


# Header


@pytest.mark.parametrize("header", [HEADER, b"# jAER\n", b"#\r\n" * 3, b"# " + b"x" * 5000 + b"\r\n"])
@pytest.mark.parametrize("step", [0, 1, 2, 13])
def test_a_header_is_skipped(header, step):
    data = sound(40)
    found = read(Decoder("stereo16:jaer"), header + data, step=step)
    assert np.array_equal(found, naive(data, sides=2, bands=16, width=4, tick=(1, 1)))


def test_records_after_the_end_of_a_header_may_start_with_anything():
    data = records([(0x2300, 0x23232323), (0x2300, 0x2323230A), (0, 0x23232325)], 2)
    decoder = Decoder("stereo16:2:1")
    assert len(read(decoder, HEADER + data)) == 1
    assert decoder.skipped == {"outside": 2}


@pytest.mark.parametrize("data", [b"", HEADER[:-1], b"# only\n", b"#", b"#" * (1 << 20)])
def test_without_records_there_is_an_error(data):
    decoder = Decoder("stereo16:jaer")
    with pytest.raises(RecordingError, match="is empty" if not data else "ends inside its header") as error:
        read(decoder, data, step=4096)
    assert error.value.offset == len(data)


@pytest.mark.parametrize("step", [1 << 16, 1 << 21])
def test_a_header_without_end_is_not_read_for_ever(step):
    with pytest.raises(RecordingError, match="header does not end") as error:
        read(Decoder("stereo16:jaer"), b"#\n" * (1 << 20), step=step)
    assert error.value.offset == 1 << 20


# Layouts


@pytest.mark.parametrize(
    ("text", "sides", "bands", "width", "tick"),
    [
        ("mono32:usbaermini2", 1, 32, 2, Fraction(1, 5)),
        ("stereo64:jaer", 2, 64, 4, Fraction(1)),
        (" Stereo128:JAER ", 2, 128, 4, Fraction(1)),
        ("mono1:4:0.08", 1, 1, 4, Fraction(2, 25)),
        ("stereo2048:2:100.000", 2, 2048, 2, Fraction(100)),
    ],
)
def test_layouts(text, sides, bands, width, tick):
    layout = layout_of(text)
    assert (layout.name, layout.sides, layout.bands) == (text.strip().lower(), sides, bands)
    assert (layout.width, layout.tick) == (width, tick)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("stereo64", "stereo64:jaer"),
        ("stereo64:jear", "stereo64:jaer"),
        ("mono32:usbaermini", "mono32:usbaermini2"),
        ("64", ""),
        ("mono0:jaer", "mono"),
        ("mono2049:jaer", "mono"),
        ("mono٣٢:jaer", "mono"),
        ("mono32:3:1", "mono32:"),
        ("mono32:4:0", "mono32:"),
        ("mono32:4:0.000", "mono32:"),
        ("mono32:4:100.001", "mono32:"),
        ("mono32:4:0.0001", "mono32:"),
        ("mono32:4:-1", "mono32:"),
        ("mono32:4", "mono32:"),
        ("davis240", ""),
        ("x" * 100_000, ""),
    ],
)
def test_what_is_no_layout_is_refused_with_the_grammar(text, near):
    with pytest.raises(ConfigError, match="is no NAS layout") as error:
        Decoder(text)
    assert error.value.nearest.startswith(near)
    assert ":BYTES:TICK_US" in error.value.allowed


@pytest.mark.parametrize("text", [None, ""])
@pytest.mark.parametrize(
    ("made", "fitting"),
    [((2, 64, 4), "mono128:jaer|stereo64:jaer"), ((1, 32, 2), "mono32:usbaermini2|stereo16:usbaermini2")],
)
@pytest.mark.parametrize("n", [3_000, 40])
def test_without_a_layout_the_error_names_those_that_fit(text, made, fitting, n):
    sides, bands, width = made
    data = sound(n, sides=sides, bands=bands, width=width)
    for parts in ([data], [data[i : i + 1] for i in range(len(data))], [HEADER, data]):
        found, error = read_until_error(Decoder(text), parts)
        assert found == []
        assert "does not say how many bands it has" in error
        assert error.endswith(f"its records fit {fitting.replace('|', ' or ')}\n  try: --sensor {fitting}")


@pytest.mark.parametrize("data", [Random(3).randbytes(8 * 300), b"abc"])
def test_without_a_layout_what_fits_none_is_told_so(data):
    _, error = read_until_error(Decoder(), [data])
    assert "its records fit no usual layout" in error
    assert "--sensor" not in error
    assert "the recording is empty" in read_until_error(Decoder(), [])[1]


def test_the_layout_says_the_size():
    assert Decoder("stereo64:jaer", size=(64, 2)).size == (64, 2)
    with pytest.raises(ConfigError, match="allowed: 64x2"):
        Decoder("stereo64:jaer", size=(2, 64))


# Layouts that do not fit


@pytest.mark.parametrize(
    ("made", "taken", "fitting"),
    [
        ((2, 64, 4), "mono32:jaer", "mono128:jaer|stereo64:jaer"),
        ((2, 64, 4), "mono64:4:0.08", "mono128:4:0.08|stereo64:4:0.08"),
        ((2, 64, 4), "stereo64:usbaermini2", "mono128:jaer|stereo64:jaer"),
        ((1, 32, 2), "mono32:jaer", "mono32:usbaermini2|stereo16:usbaermini2"),
        ((1, 32, 2), "mono8:usbaermini2", "mono32:usbaermini2|stereo16:usbaermini2"),
    ],
)
def test_a_wrong_layout_is_refused_with_those_that_fit(made, taken, fitting):
    sides, bands, width = made
    data = sound(400, sides=sides, bands=bands, width=width)
    found, error = read_until_error(Decoder(taken), [data])
    assert len(found) < 30
    assert f"do not fit the layout {taken}\n" in error
    assert error.endswith(f"try: --sensor {fitting}")
    for step in (1, 5, 64, 999):
        parts = [data[at : at + step] for at in range(0, len(data), step)]
        assert read_until_error(Decoder(taken), parts) == (found, error)
    with_header, later = read_until_error(Decoder(taken), [HEADER + data])
    assert (with_header, later) == (found, error.replace("at byte 0,", f"at byte {len(HEADER)},"))


def test_noise_fits_no_layout():
    _, error = read_until_error(Decoder("stereo64:jaer"), [Random(3).randbytes(8 * 300)])
    assert "its records fit no usual layout: is this sound of a NAS at all?" in error


def test_a_clock_that_wraps_is_not_taken_for_a_wrong_layout():
    rows = [(0, i * (2**31 - 1) % 2**32) for i in range(300)]
    assert read(Decoder("mono16:jaer"), records(rows))["t"].tolist() == [i * (2**31 - 1) for i in range(300)]


def test_up_to_three_damaged_records_are_not_taken_for_a_wrong_layout():
    decoder = Decoder("mono16:jaer")
    assert len(read(decoder, records([(32, 0), (33, 1), (34, 2), (0, 3)]))) == 1
    assert decoder.skipped == {"outside": 3}


@pytest.mark.parametrize("good", [11, 12])
def test_records_are_held_back_until_three_in_four_fit(good):
    data = records([(99, i) for i in range(4)] + [(0, 4 + i) for i in range(good)])
    for parts in ([data], [data[i : i + 1] for i in range(len(data))]):
        found, error = read_until_error(Decoder("mono16:jaer"), parts)
        assert len(found) == (12 if good == 12 else 0)
        assert ("do not fit" in error) == (good == 11)


def test_a_few_too_few_bands_are_told_at_the_end():
    rows = [(31 if i % 8 else 63, i) for i in range(1000)]
    decoder = Decoder("mono16:jaer")
    assert len(read(decoder, records(rows))) == 875
    assert decoder.warnings == ["125 of 1,000 addresses are outside of mono16, up to 63: mono32 or stereo16 holds them"]


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        ("stereo64:jaer", "no address is above 127, not half of what stereo64 has: mono64 or stereo32 holds them all"),
        ("mono128:jaer", "no address is above 127, not half of what mono128 has: mono64 or stereo32 holds them all"),
        ("stereo32:jaer", ""),
        ("mono65:jaer", ""),
    ],
)
def test_twice_too_many_bands_or_sides_are_told_at_the_end(layout, told):
    decoder = Decoder(layout)
    read(decoder, records([(i % 128, i) for i in range(300)]))
    assert decoder.warnings == ([told] if told else [])


def test_one_damaged_address_among_many_is_only_counted():
    decoder = Decoder("mono16:jaer")
    read(decoder, records([(i % 32 if i != 300 else 2**31, i) for i in range(600)]))
    assert (decoder.skipped, decoder.warnings) == ({"outside": 1}, [])


# Damage


@pytest.mark.parametrize(("seed", "layout", "width"), [(0, "stereo16:jaer", 4), (1, "stereo16:usbaermini2", 2)])
def test_5000_damaged_files_give_events_or_a_recording_error(seed, layout, width):
    """Two seeds make 10,000 cases."""
    rng = Random(seed)
    good = HEADER + sound(360, width=2) if width == 2 else goodfiles.nas()[seed]
    for bad in mutations(good, 5000, seed):
        assert drain(partial(Decoder, layout), bad, rng) <= len(bad) // (width + 4)


def test_memory_stays_within_the_arrays_of_a_chunk():
    data = sound(256) + records([(i % 64, 10_000 + i) for i in range(1 << 17)])
    read(Decoder("stereo16:jaer"), data[:80])  # compiled before it is measured
    tracemalloc.start()
    for _ in Decoder("stereo16:jaer").feed(memoryview(data)):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(data) + 32_768 * (2 * EVENT.itemsize + 2 * 8) + 100_000  # the header's search copies one piece


def test_the_module_loads_without_numba():
    code = "import sys, spikestream.formats.nas as m; m.Decoder('mono16:jaer'); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_no_content_and_no_suffix_tells_a_nas():
    assert not FORMAT.sniff(sound(300))
    assert FORMAT.suffixes == ()


# As its user sees it


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("nas") / "rec.aedat"
    path.write_bytes(sound(20_000, bands=64))
    return path


def test_a_headerless_file_is_answered_with_the_command_that_reads_it(recording):
    told = spikestream("info", recording, code=3).stderr
    command = told.partition("sound of a NAS: ")[2].splitlines()[0]
    command, _, other = command.partition(", or ")
    assert (command, other) == (f"spikestream info {recording} --format nas --sensor mono128:jaer", "stereo64:jaer")
    command = command.replace("mono128:jaer", other)
    assert "stereo64:jaer, 64x2" in spikestream(*command.split()[1:]).stdout


def test_read_stream_info_and_replay_agree(recording):
    whole = ss.read(recording, format="nas", sensor="stereo64:jaer")
    data = recording.read_bytes()
    assert np.array_equal(whole.data, naive(data, sides=2, bands=64, width=4, tick=(1, 1)))
    parts = [batch.data for batch in ss.stream(recording, format="nas", sensor="stereo64:jaer", length_us=777)]
    assert np.array_equal(np.concatenate(parts), whole.data)
    options = ("--format", "nas", "--sensor", "stereo64:jaer")
    facts = json.loads(spikestream("info", recording, "--check", "--json", *options).stdout)
    assert (facts["events"], facts["size"], facts["sensor"]) == (len(whole), [64, 2], "stereo64:jaer")
    assert facts["skipped"] == {"mso": 1250, "lso": 1250}
    played = replay_json(recording, "--speed", "max", "--strict", *options)
    assert (played["events_in"], played["events_filtered"], played["events_dropped"]) == (len(whole), 0, 0)


def test_the_default_pipeline_keeps_every_band_side_and_sign_apart(recording):
    whole = ss.read(recording, format="nas", sensor="stereo64:jaer")
    outputs = ss.build({}, whole.size)(whole)
    axons = np.unique(outputs["address"].axon)
    assert len(axons) == len(np.unique(whole.data[["x", "y", "p"]])) == 256


def test_addresses_outside_are_in_the_ledger(tmp_path):
    path = tmp_path / "rec.aedat"
    path.write_bytes(records([(i % 32 if i % 50 else 200, 20 * i) for i in range(1, 2001)]))
    options = ("--format", "nas", "--sensor", "mono16:jaer", "--speed", "max")
    played = replay_json(path, *options)
    assert (played["events_in"], played["events_dropped"]) == (2000, 40)
    assert "every hop closes" in spikestream("replay", path, *options).stdout


# Real recordings

REAL = {
    "enun_stereo_64ch_ONOFF_addr4b_ts1": ("stereo64:jaer", 2, 64, 4, (1, 1), 428_635, 0, 13_741_184, 252),
    "sound_mono_32ch_ONOFF_addr2b_ts02": ("mono32:usbaermini2", 1, 32, 2, (1, 5), 49_864, 573_010, 6_296_705, 64),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_recordings_have_their_known_values(data, name):
    layout, sides, bands, width, tick, count, first, last, used = REAL[name]
    bytes_ = (data / f"events/nas/pynavis_{name}.aedat").read_bytes()
    decoder = Decoder(layout)
    found = read(decoder, bytes_, step=1 << 16)
    assert (len(found), decoder.size, decoder.skipped, decoder.warnings) == (count, (bands, sides), {}, [])
    assert (found["t"][0], found["t"][-1]) == (first * tick[0] // tick[1], last * tick[0] // tick[1])
    assert np.all(np.diff(found["t"]) >= 0)
    assert len(np.unique(found[["x", "y", "p"]])) == used
    assert np.array_equal(found, naive(bytes_, sides=sides, bands=bands, width=width, tick=tick))
    cut, rng = Decoder(layout), Random(5)
    parts = [part for piece in pieces(bytes_, rng) for part in cut.feed(piece)]
    assert np.array_equal(np.concatenate(parts), found)


@pytest.mark.realdata
def test_band_0_hears_the_lowest_tones(data):
    """The strongest frequency of the spikes of a band, positive ones less negative ones, rises with the band."""
    found = ss.read(
        data / "events/nas/pynavis_sound_mono_32ch_ONOFF_addr2b_ts02.aedat", format="nas", sensor="mono32:usbaermini2"
    ).data
    strongest = []
    for band in (7, 15, 23, 31):
        spikes = found[found["x"] == band]
        wave = np.zeros((found["t"][-1] - found["t"][0]) // 50 + 1)
        np.add.at(wave, (spikes["t"] - found["t"][0]) // 50, np.where(spikes["p"], 1, -1))
        power = np.abs(np.fft.rfft(wave)) ** 2
        frequency_hz = np.fft.rfftfreq(len(wave), 50e-6)
        power[frequency_hz < 20] = 0
        strongest.append(frequency_hz[power.argmax()])
    assert strongest == sorted(strongest)
    assert strongest[-1] > 10 * strongest[0]


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_recordings_replay_into_the_network(data, name):
    layout, *_, count, _, _, _ = REAL[name]
    path = data / f"events/nas/pynavis_{name}.aedat"
    played = replay_json(path, "--format", "nas", "--sensor", layout, "--speed", "max", "--strict")
    assert (played["events_in"], played["events_filtered"], played["events_dropped"]) == (count, 0, 0)
    assert played["spikes_out"] > 0


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "taken", "fitting"),
    [
        ("enun_stereo_64ch_ONOFF_addr4b_ts1", "stereo64:usbaermini2", "mono128:jaer|stereo64:jaer"),
        ("enun_stereo_64ch_ONOFF_addr4b_ts1", "mono32:jaer", "mono128:jaer|stereo64:jaer"),
        ("sound_mono_32ch_ONOFF_addr2b_ts02", "stereo64:jaer", "mono32:usbaermini2|stereo16:usbaermini2"),
        ("sound_mono_32ch_ONOFF_addr2b_ts02", "mono16:2:0.2", "mono32:2:0.2|stereo16:2:0.2"),
    ],
)
def test_real_recordings_refuse_a_wrong_layout(data, name, taken, fitting):
    with pytest.raises(RecordingError, match="do not fit") as error:
        ss.read(data / f"events/nas/pynavis_{name}.aedat", format="nas", sensor=taken)
    assert error.value.remedy == f"--sensor {fitting}"
