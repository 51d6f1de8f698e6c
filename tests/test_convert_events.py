"""`convert` of events: filters, another first stamp, what was written read again, and files that are there already."""

from __future__ import annotations

import os
from inspect import signature

import numpy as np
import pytest
from cli import LOOKS, on_terminal, spikestream
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import called
from plainformat import at, events, plain, save

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.files.compare import difference
from spikestream.registry import found, load
from spikestream.stages.filters import Filters, parse_filter

__all__ = ["plain"]
rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.just(0), st.booleans()), max_size=12)
cuts = st.lists(st.integers(0, 12), max_size=4)


def left(folder):
    return sorted(path.name for path in folder.iterdir() if "tmp" in path.name)


# How it is written.


def test_options_of_the_written_format(tmp_path):
    sizes = {}
    for packing in ("none", "zstd", "lz4"):
        path = tmp_path / f"{packing}.aedat4"
        called("convert", LOOKS, path, "--to", "3s", "--as", f"aedat4:compression={packing}", "--verify")
        sizes[packing] = path.stat().st_size
    assert sizes["zstd"] < sizes["lz4"] < sizes["none"]
    called("synth", "bars", tmp_path / "x.aedat4", "--for", "600ms", "--as", "aedat4:compression=none")
    called("record", tmp_path / "x.aedat4", tmp_path / "y.aedat4", "--as", "aedat4:compression=none")
    called("record", tmp_path / "x.aedat4", tmp_path / "z.aedat4")
    assert (tmp_path / "y.aedat4").stat().st_size > (tmp_path / "z.aedat4").stat().st_size


def test_the_camera_and_the_polarity_of_what_is_written(tmp_path):
    path, given = tmp_path / "x.aedat", ss.read(LOOKS).data
    called("convert", LOOKS, path, "--as", "aedat2:sensor=davis240", "--verify")
    assert ss.info(path).sensor == "davis240"
    called("convert", LOOKS, path, "--as", "aedat2:sensor=dvs128,polarity=inivation", "--verify", "-f")
    assert np.array_equal(ss.read(path, polarity="inivation").data, given)
    assert np.array_equal(ss.read(path).data["p"], ~given["p"])
    ss.write(path, ss.read(LOOKS), sensor="davis346")
    assert ss.info(path).size == (346, 260)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("aedat4:foo=1", "allowed: sensor, compression\n"),
        ("evt2:foo=1", "allowed: sensor\n"),
        ("npz:foo=1", "allowed: sensor\n"),
        ("es:size=3x3", "allowed: --size"),
        ("aedat4:compresion=zstd", "did you mean 'compression'?"),
        ("aedat4:compression=zsdt", "did you mean 'zstd'?"),
        ("aedat4:zstd", "'zstd' is no option"),
        ("aedat4:size=3x3", "allowed: --size"),
        ("npz:order=txyp", "has no option 'order'"),
        ("aedat4:format=evt2", "has no option 'format'"),
        ("aedat4:keep=1", "has no option 'keep'"),
    ],
)
def test_what_is_no_option_of_the_written_format_is_told_and_nothing_is_written(told, words, tmp_path):
    assert words in called("convert", LOOKS, tmp_path / "x.aedat4", "--as", told, code=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_every_option_that_is_listed_is_one_of_reading_or_of_writing():
    for entry in found("formats"):
        format = load("formats", entry.name)
        for name in format.options:
            ways = [way for way in (format.reads, format.writes) if way is not None]
            assert any(name in signature(way).parameters for way in ways), (entry.name, name)


# Two streams, compared.


@given(one=rows, other=rows | st.none(), cut_one=cuts, cut_other=cuts)
@settings(deadline=None, max_examples=300)
def test_the_first_difference_is_found_however_the_streams_are_cut(one, other, cut_one, cut_other):
    other = one if other is None else other
    pieces = [np.split(events(r), sorted(c)) for r, c in ((one, cut_one), (other, cut_other))]
    told = difference(*pieces)
    if one == other:
        assert told == ""
        return
    number = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    assert told.startswith(f"event {number:,}")
    if number == len(other):
        assert "missing" in told
    elif number == len(one):
        assert "not given" in told
    else:
        t, x, y, p = one[number]
        assert f"given t {t}, x {x}, y {y}, {'ON' if p else 'OFF'}" in told


# Filters.


FILTERS = ["crop:x=4,y=6,width=20,height=24", "refractory:period_ms=2", "background:window_ms=3", "downsample:factor=2"]


def test_filters_are_those_of_the_pipeline_and_what_they_remove_is_told(tmp_path):
    chosen = [part for text in FILTERS for part in ("--filter", text)]
    done = called("convert", LOOKS, tmp_path / "x.aedat4", *chosen)
    whole = ss.read(LOOKS)
    twin = Filters([parse_filter(text) for text in FILTERS], whole.size)
    expected = twin(whole)
    got = ss.read(tmp_path / "x.aedat4")
    assert np.array_equal(got.data, expected.data)
    assert got.size == expected.size == (10, 12)
    for kind, count in twin.account.filtered.items():
        assert (f"filtered: {count:,} {kind}" in done.stderr) == (count > 0)
    assert f"{len(got):,} events" in done.stdout


# The first stamp.


def test_the_first_event_comes_at_zero_where_asked(tmp_path):
    data = ss.read(LOOKS).data
    called("convert", LOOKS, tmp_path / "x.aedat4", "--t0", "zero", "--from", "1s", "--to", "2s")
    since = data["t"] - data["t"][0]
    expected = data[(since >= 1_000_000) & (since < 2_000_000)].copy()
    taken = int(expected["t"][0])
    expected["t"] -= taken
    assert np.array_equal(ss.read(tmp_path / "x.aedat4").data, expected)
    done = called("convert", LOOKS, tmp_path / "y.aedat4", "--t0", "zero", "--filter", "crop:width=3,height=3")
    assert ss.read(tmp_path / "y.aedat4").data["t"][0] == 0
    assert "µs were taken off every stamp" in done.stderr


def test_stamps_that_would_be_too_late_from_zero_are_refused(tmp_path):
    data = np.zeros(2, EVENT)
    for first, code in ((-(2**61), 3), (1 - 2**61, 0)):
        data["t"] = first, 2**61
        ss.write(tmp_path / "a.npz", Events(first, 2**61 + 1, data, (9, 9)))
        done = called("convert", tmp_path / "a.npz", tmp_path / "a.csv", "--t0", "zero", code=code)
        assert ("too long for --t0 zero" in done.stderr) == (code == 3)
        assert (tmp_path / "a.csv").exists() == (code == 0)
    assert ss.read(tmp_path / "a.csv").data["t"].tolist() == [0, 2**62 - 1]


LATE = 1 << 41


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("x.bin", []),
        ("x.dat", []),
        ("x.es", []),
        ("x.raw", ["--as", "evt2"]),
        ("x.raw", ["--as", "evt3"]),
        ("x.aedat", []),
    ],
)
def test_a_format_that_cannot_hold_the_stamps_says_the_option_that_helps_and_it_does(name, more, tmp_path):
    data = np.zeros(300, EVENT)
    data["t"], data["x"], data["p"] = LATE + 17 * np.arange(300), np.arange(300) % 34, np.arange(300) % 3 == 0
    ss.write(tmp_path / "late.aedat4", Events(LATE, LATE + 5_100, data, (34, 34)))
    done = called("convert", tmp_path / "late.aedat4", tmp_path / name, *more, code=3)
    assert "--t0 zero" in done.stderr
    assert done.stderr.startswith(f"error: {tmp_path / name}: event 0 does not fit")
    assert not (tmp_path / name).exists()
    called("convert", tmp_path / "late.aedat4", tmp_path / name, *more, "--t0", "zero", "--verify")
    data["t"] -= LATE
    assert np.array_equal(ss.read(tmp_path / name).data, data)


# What was written, read again.


@pytest.mark.parametrize("name", ["x.aedat", "x.aedat3", "x.aedat4", "x.dat", "x.es", "x.raw"])
def test_what_was_written_is_read_again_and_found_the_same(name, tmp_path):
    more = ["--as", "evt3"] if name == "x.raw" else []
    done = called("convert", LOOKS, tmp_path / name, "--verify", "--filter", "refractory:period_ms=1", *more)
    assert "events, verified" in done.stdout
    assert done.stderr.count("filtered") == 1
    done = called("convert", LOOKS, "-f", tmp_path / name, "--verify", "--t0", "zero", *more)
    assert done.stderr.count("taken off") == 1  # told once, though SRC was read twice


def test_what_a_format_did_not_keep_is_found_and_is_not_put_in_place(plain, tmp_path):
    source = save(tmp_path / "a.plain", at(range(40_000)))
    (tmp_path / "x.liar").write_bytes(b"older")
    done = called("convert", source, tmp_path / "x.liar", "-f")
    assert len(ss.read(tmp_path / "x.liar").data) == 40_000
    (tmp_path / "x.liar").write_bytes(b"older")
    done = called("convert", source, tmp_path / "x.liar", "-f", "--verify", code=1)
    assert "what was written is not what was given" in done.stderr
    assert "event 39,999: given t 39999, x 399, y 0, OFF, read t 39999, x 399, y 0, ON" in done.stderr
    assert (tmp_path / "x.liar").read_bytes() == b"older"
    assert not left(tmp_path)


def test_a_damaged_recording_is_verified_up_to_the_damage(tmp_path):
    source = tmp_path / "cut.aedat4"
    source.write_bytes(LOOKS.read_bytes()[: LOOKS.stat().st_size // 2])
    done = called("convert", source, tmp_path / "x.aedat4", "--partial", "--verify")
    assert "verified" in done.stdout
    assert done.stderr.count("ends") + done.stderr.count("cut") >= 1


# A file that is there.


def test_a_file_that_is_there_stays_unless_it_is_forced(tmp_path):
    for target in (tmp_path / "x.aedat4", tmp_path / "link.aedat4"):
        if target.name == "link.aedat4":
            target.symlink_to(tmp_path / "nowhere")
        else:
            target.write_bytes(b"older")
        done = called("convert", LOOKS, target, code=2)
        assert "is there already" in done.stderr
        assert "try: -f" in done.stderr
    assert (tmp_path / "x.aedat4").read_bytes() == b"older"
    called("convert", LOOKS, tmp_path / "x.aedat4", "-f")
    assert np.array_equal(ss.read(tmp_path / "x.aedat4").data, ss.read(LOOKS).data)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["LOOKS", "x.aedat4", "--t0", "noon"], "allowed: keep, zero"),
        (["LOOKS", "x.aedat4", "--filter", "refactory"], "refractory"),
        (["LOOKS", "x.aedat4", "--filter", "refractory", "--time", "keep"], "time order"),
        (["-", "x.aedat4", "--verify"], "standard input"),
        (["WAV", "x.npz", "--verify"], "--verify is not for sound"),
        (["WAV", "x.npz", "--filter", "flip"], "--filter is not for sound"),
        (["WAV", "x.npz", "--t0", "zero"], "--t0 is not for sound"),
    ],
)
def test_what_makes_no_sense_says_so_and_writes_nothing(args, words, tmp_path):
    wav = tmp_path / "a.wav"
    wav.write_bytes(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\0\0\0\0")
    named = {"WAV": wav, "LOOKS": LOOKS}
    assert words in called("convert", *(named.get(arg, arg) for arg in args), code=2, cwd=tmp_path).stderr
    assert os.listdir(tmp_path) == ["a.wav"]


def test_a_terminal_sees_how_much_was_read(tmp_path):
    assert "[" not in spikestream("convert", LOOKS, tmp_path / "x.aedat4").stderr
    shown = on_terminal("convert", LOOKS, tmp_path / "y.aedat4", "--verify")
    assert f"of {LOOKS.stat().st_size / 1e6:.1f} MB" in shown
