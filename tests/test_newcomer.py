"""Slips of somebody new: each is one error, or one warning, that says what to do, and what it says works."""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from cli import LABELS, LOOKS, ROOT
from inprocess import called

import spikestream as ss
from spikestream.batch import EVENT


def remedy(said: str) -> str:
    """Return what an error says to try."""
    return said.partition("  try: ")[2].splitlines()[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder with one recording."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "looks.aedat4").write_bytes(LOOKS.read_bytes())
    return tmp_path


def test_help_of_a_verb_may_be_asked_for_in_words(folder):
    assert called("help", "convert").stdout == called("convert", "--help").stdout
    assert called("help", "mic").stdout == called("listen", "--help").stdout
    assert called("help").stdout == called("--help").stdout == called("help", "nothing").stdout


def test_a_format_that_is_told_and_contradicts_the_content_is_told_of(folder):
    said = called("info", "looks.aedat4", "--format", "csv", code=3).stderr
    assert "its content is that of AEDAT 4.0 (DV)" in said
    assert remedy(said) == "leave --format out, in Python format="
    (folder / "five.aedat4").write_bytes(LOOKS.read_bytes()[:100_000])  # whole records of 5 bytes each
    told = "as it was told to be; its content is that of AEDAT 4.0 (DV)"
    for args in (["info"], ["info", "--check"], ["convert", "o.csv"], ["replay", "--speed", "max", "--to", "9ms"]):
        done = called(args[0], "five.aedat4", *args[1:], "--format", "bin", code=3 if "--check" in args else 0)
        assert f"read as N-MNIST 40-bit records, {told}" in " ".join((done.stdout + done.stderr).split()), args
    assert told in called("info", "looks.aedat4", "--format", "evt2", "--fast").stdout
    said = called("convert", "looks.aedat4", "o.csv", "-f", "--format", "evt2", code=3).stderr  # events come before it
    assert "the recording is cut inside its last word" in said
    assert remedy(said) == "leave --format out, in Python format="
    assert "its content" not in called("info", "looks.aedat4", "--format", "aedat4").stdout
    (folder / "x.bin").write_bytes(bytes(48))  # the suffix alone says nothing of the content
    assert "its content" not in called("info", "x.bin", "--format", "evt2").stdout


def test_a_format_that_only_telling_leads_to_is_no_contradiction(folder):
    (folder / "old.raw").write_bytes(b"% Date 2014-02-28 13:37:42\n" + b"\0\0\0\x80" + b"\1\0\0\x10" * 50)
    assert "its content" not in called("info", "old.raw", "--format", "evt2", "--size", "640x480", "--check").stdout
    with open(folder / "sound.aedat", "wb") as file:
        file.write(b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n")
        file.write(b"".join((n % 64).to_bytes(4, "big") + (100 * n).to_bytes(4, "big") for n in range(300)))
    found = called("info", "sound.aedat", "--format", "nas", "--sensor", "stereo64:jaer").stdout
    assert "300 in" in found
    assert "its content" not in found


def test_the_name_of_a_sensor_is_no_file_and_the_uri_is_told(folder):
    said = called("record", "synth", "x.aedat4", code=2).stderr
    assert "there is no file 'synth'" in said
    assert remedy(said) == "'synth://'"
    assert remedy(called("replay", "synth?seed=3", code=2).stderr) == "'synth://?seed=3'"
    (folder / "synth").write_bytes(LOOKS.read_bytes())  # unless it is one
    called("record", "synth", "x.aedat4", "--for", "10ms")


def test_options_behind_the_name_of_a_file_are_told_where_to_stand(folder):
    said = called("record", "looks.aedat4?size=34x34", "x.csv", code=3).stderr
    (uri,) = shlex.split(remedy(said))
    called("record", uri, "x.csv", "--for", "10ms")
    assert "no such file" in called("record", "nowhere.aedat4?size=34x34", "y.csv", code=3).stderr


def test_an_unknown_format_names_the_verb_that_lists_them(folder):
    for args in (["info", "looks.aedat4", "--format", "foo"], ["formats", "foo"]):
        assert remedy(called(*args, code=4).stderr) == "spikestream formats"


@pytest.mark.parametrize("verb", [["convert", "looks.aedat4"], ["record", "looks.aedat4"], ["synth", "bars"]])
def test_where_a_file_cannot_be_is_told(verb, folder):
    assert "error: . is a folder" in called(*verb, ".", "-f", code=2).stderr
    assert "the name of OUT is empty" in called(*verb, "", code=2).stderr
    said = called(*verb, "a/b/x.aedat4", code=3).stderr
    assert "there is no folder " in said
    subprocess.run(remedy(said), shell=True, check=True)
    called(*verb, "a/b/x.aedat4")
    assert "not standard output" in called(*verb, "-", code=2).stderr


def test_what_is_packed_is_read_as_the_error_says(folder):
    (folder / "looks.aedat4.gz").write_bytes(gzip.compress(LOOKS.read_bytes(), 1))
    said = remedy(called("info", "looks.aedat4.gz", code=3).stderr)
    command = said.replace("| spikestream", f"| {sys.executable} -m spikestream")
    assert b"286,290 in 56 s" in subprocess.run(command, shell=True, check=True, capture_output=True).stdout


def test_an_archive_is_unpacked_as_the_error_says(folder):
    for name, mode in (("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.tgz", "w:gz"), ("x.tar.bz2", "w:bz2")):
        with tarfile.open(name, mode) as packed:
            packed.add("looks.aedat4", "inside.aedat4")
        said = remedy(called("info", name, code=3).stderr)
        subprocess.run(said, shell=True, check=True)
        assert (folder / "inside.aedat4").read_bytes() == LOOKS.read_bytes()
        (folder / "inside.aedat4").unlink()


def test_what_is_no_recording_at_all_says_where_they_are_listed(folder):
    (folder / "it's.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    said = called("convert", "it's.png", "x.csv", code=3).stderr
    assert "this is a picture (PNG), which holds no events" in said
    called(*shlex.split(remedy(said))[1:])


def test_a_saved_model_is_told_by_the_verb_that_knows_models(folder):
    (folder / "x.npz").write_bytes((LOOKS.parent.parent / "config" / "models" / "looks.npz").read_bytes())
    for args, code in ((["info"], 3), (["model", "show"], 2)):
        said = remedy(called(*args, "x.npz", code=code).stderr)
        assert "4 classes: a, b, c, d" in called(*shlex.split(said)[1:]).stdout
    said = remedy(called("model", "show", "looks.aedat4", code=2).stderr)
    assert "286,290 in 56 s" in called(*shlex.split(said)[1:]).stdout


@pytest.mark.realdata
def test_a_file_of_a_data_set_names_the_data_set(data, folder):
    said = called("info", data / "digits" / "train-images-idx3-ubyte.gz", code=3).stderr
    program, *args = shlex.split(remedy(said).replace("take=100", "take=2"))
    assert program == "spikestream"
    assert "held-out accuracy" in called(*args).stdout


def test_what_is_longer_than_a_format_holds_is_cut_as_the_error_says(folder):
    for verb, cut in (("convert", "--to"), ("record", "--for")):
        said = remedy(called(verb, "looks.aedat4", "x.bin", "-f", "--t0", "zero", code=3).stderr)
        options = re.fullmatch(r"(--t0 zero) and (--to 8s), or (--for 8s) of record, or write \.aedat4", said).groups()
        wanted = " ".join(one for one in options if one.startswith(("--t0", cut))).split()
        assert len(wanted) == 4
        assert "x.bin: 40,39" in called(verb, "looks.aedat4", "x.bin", *wanted, "-f").stdout
    late = ss.read("looks.aedat4").data[:9]
    late["t"] += 10**8
    ss.write("late.aedat4", ss.Events(10**8, 10**9, late, (34, 34)))
    assert remedy(called("convert", "late.aedat4", "y.bin", code=3).stderr) == "--t0 zero, or write .aedat4"
    called("convert", "late.aedat4", "y.bin", "--t0", "zero")


def test_a_table_of_other_names_is_read_as_the_error_says(folder):
    rows = [f"{n},{n % 7},{n % 5},{70_000 + n},{n % 2}\n" for n in range(99)]
    (folder / "a table.csv").write_text("frame,pixel x,pixel y,stamp (time),pol.\n" + "".join(rows))
    said = called("info", "a table.csv", code=3).stderr
    (hint,) = (line for line in said.splitlines() if "Say what its columns are" in line)
    assert "99 in 99 µs" in called(*shlex.split(hint.partition("are: spikestream ")[2])).stdout


def test_what_is_said_of_a_recording_goes_into_its_uri_where_a_verb_takes_sensors(folder):
    (folder / "my events.csv").write_text("".join(f"{n},1,2,{n % 2}\n" for n in range(99)))
    (folder / "l.csv").write_text("start_us,stop_us,label\n0,50000,a\n50000,99000,b\n")
    told = ["--option", "order=txyp", "--option=unit=ms"]
    for args in (
        ["replay", "my events.csv", "--speed", "max", *told, "--size", "9x9"],
        ["record", *told, "my events.csv", "looks.csv"],
        ["train", "--labels", "l.csv", "my events.csv", *told, "--rule", "stdp", "--format", "csv"],
    ):
        said = called(*args, code=2).stderr
        command = shlex.split(remedy(said))
        assert command[:2] == ["spikestream", args[0]]
        called(*command[1:])
    assert ss.read("looks.csv").data["t"].tolist() == [1_000 * n for n in range(99)]
    assert remedy(called("replay", "none.csv", *told, code=2).stderr) == "spikestream replay --help"


def test_a_sensor_is_recorded_where_a_file_is_wanted(folder):
    for args in (["info", "blinker://?hz=5"], ["convert", "blinker://?hz=5", "x.csv"]):
        said = remedy(called(*args, code=3).stderr)
        assert said == "spikestream record 'blinker://?hz=5' events.aedat4"
    said = remedy(called("convert", "synth://bars", "x.csv", code=3).stderr)
    called(*shlex.split(said)[1:], "--for", "100ms")
    assert called("info", "events.aedat4").stdout
    assert remedy(called("info", "microphone:", code=3).stderr) == "spikestream record microphone: sound.wav"
    assert remedy(called("info", "https://x.org/a.raw", code=3).stderr) == "curl -O https://x.org/a.raw"
    assert remedy(called("info", "blonker://", code=3).stderr) == "spikestream plugins"
    for name in ("a:b.aedat4", "synth:x"):
        assert remedy(called("info", name, code=3).stderr) == "ls ."


def test_the_uri_of_a_file_is_its_name_and_options_where_a_file_is_wanted(folder):
    (folder / "my x.csv").write_text("1,2,3,1\n2,2,3,0\n")
    said = remedy(called("info", "file:my x.csv?order=txyp&unit=ms&size=9x9&format=csv", code=3).stderr)
    found = called(*shlex.split(said)[1:]).stdout
    assert "1,000 .. 2,000 µs" in found
    assert "9x9 pixels" in found


def test_a_folder_of_a_data_set_is_trained_by_the_uri_that_the_error_says(folder):
    def line(args, code=3):
        return remedy(called(*args, code=code).stderr)

    sample = np.zeros(40, EVENT)
    sample["t"], sample["x"] = np.arange(40) * 1_000, np.arange(40) % 34
    for label in "abc":
        (folder / "my set" / "Train" / label).mkdir(parents=True)
        for number in range(3):
            name = folder / "my set" / "Train" / label / f"{number}.bin"
            ss.write(name, ss.Events(0, 40_000, sample, (34, 34)))
    for made in ("train", "info"):
        said = line([made, "my set"])
        assert said == f"spikestream train 'nmnist://{folder}/my set'"
    assert "held-out accuracy" in called(*shlex.split(said)[1:]).stdout
    (folder / "my set" / "Train").rename(folder / "classes")
    assert line(["info", "classes/"]) == f"spikestream train nmnist://{folder}/classes"
    (folder / "classes" / "notes").mkdir()  # then it is any folder, in which folders with recordings are
    assert line(["info", "classes/"]) == "spikestream info classes/*"
    (folder / "classes" / "labels.csv").write_text("start_us,stop_us,label\n0,9,a\n")
    assert line(["info", "classes/"]) == "spikestream info classes/*"
    assert line(["info", "/"]) == "spikestream info /*"


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "scheme"), [("digits", "mnist"), ("nmnist", "nmnist"), ("speech", "spoken")])
def test_the_folders_of_real_data_sets_are_known(name, scheme, data, folder):
    said = called("info", data / name, code=3).stderr
    assert remedy(said) == f"spikestream train {scheme}://{data / name}"
    other = shlex.split(said.partition("  or:  spikestream ")[2].replace("take=100", "take=2"))
    assert "held-out accuracy" in called(*other).stdout


def test_labels_are_known_for_what_they_are(folder):
    (folder / "x.csv").write_bytes(LABELS.read_bytes())
    assert "these are the labels of a recording: spikestream replay" in called("info", "x.csv", code=3).stderr


def test_a_selection_that_leaves_nothing_is_told(folder):
    done = called("convert", "looks.aedat4", "x.csv", "--from", "100s")
    assert "warning: x.csv: no event of looks.aedat4 is left by --from and --to" in done.stderr
    crop = "crop:x=33,y=33,width=1,height=1"
    done = called("convert", "looks.aedat4", "y.csv", "--to", "1ms", "--filter", crop)
    assert "is left by --from, --to and --filter" in done.stderr
    assert "is left by" not in called("convert", "looks.aedat4", "z.csv", "--to", "1ms").stderr


def test_partial_of_a_file_without_a_good_event_says_so(folder):
    (folder / "cut.aedat4").write_bytes(LOOKS.read_bytes()[:100_000])
    said = called("convert", "cut.aedat4", "x.csv", "--partial", code=3).stderr
    assert remedy(said).startswith("fetch it again: --partial keeps what comes before")


def test_a_damaged_packet_says_what_to_do(folder):
    data = bytearray(LOOKS.read_bytes())
    data[890:990] = bytes(100)
    (folder / "damaged.aedat4").write_bytes(data)
    said = called("info", "damaged.aedat4", code=3).stderr
    assert "a packet is not the lz4 frame it should be" in said
    assert remedy(said) == "the events before it are read; for the others fetch the file again"


def test_a_record_is_recorded_as_it_is_replayed(folder):
    args = ["looks.aedat4", "--speed", "max", "--to", "100ms", "--set", "filter=[]", "--set", "network.neurons=2"]
    called("replay", *args, "--record", "x.rec", "-q")
    for said in (called("info", "x.rec", code=3).stderr, called("convert", "x.rec", "events.aedat4", code=2).stderr):
        assert remedy(said) == "spikestream record x.rec events.aedat4"
    said = called("convert", "x.rec", "looks.aedat4", "-f", code=2).stderr
    assert remedy(said) == "spikestream record x.rec looks.aedat4 -f"
    called("record", "x.rec", "x.aedat4")
    first = ss.read("looks.aedat4").data
    assert np.array_equal(ss.read("x.aedat4").data, first[first["t"] < first["t"][0] + 100_000])


def test_what_breaks_off_says_what_to_try(folder):
    np.save("x.npy", np.array([[0, 1, 5, 1], [1, 2, 6, 9], [2, 3, 7, 100]]))
    assert "try: --option order=xytp" in called("info", "x.npy", "--option", "order=xytp").stdout


def test_no_time_is_nothing_to_record(folder):
    assert "nothing comes in no time" in called("record", "looks.aedat4", "x.csv", "--for", "0s", code=2).stderr


@pytest.mark.parametrize(("policy", "became"), [("clamp", "clamped"), ("sort", "sorted"), ("drop", "dropped")])
def test_that_time_steps_back_is_told_once(policy, became, folder):
    (folder / "back.csv").write_text("t,x,y,p\n" + "".join(f"{900 - i},1,1,1\n" for i in range(100)))
    said = called("convert", "back.csv", f"{policy}.aedat4", "--time", policy, "--size", "4x4", cwd=folder).stderr
    (warning,) = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert warning.endswith(f"time policy '{policy}' used: 99 {became}")
    if policy != "drop":
        said = called("replay", "back.csv", "--time", policy, "--size", "4x4", "--speed", "max", cwd=folder).stderr
        assert (said.count("99 backward"), said.count(became)) == (1, 1)


def test_a_configuration_started_elsewhere_says_what_its_paths_are_relative_to(folder):
    config = ROOT / "config" / "daemon.toml"
    for more in ((), ("--set", "chip.model=none.npz", "--set", f"sensor.uri={LOOKS}")):
        said = called("run", config, *more, code=6 if more else 3, cwd=folder).stderr
        assert f"relative to the working folder, now {folder}" in said
    said = called("run", config, "--set", "sensor.uri=/nowhere/x.aedat4", code=3, cwd=folder).stderr
    assert "working folder" not in said
    said = called("run", config, "--set", "sensor.uri=looks.aedat4?stream=0", code=3, cwd=folder).stderr
    assert "try: 'file:looks.aedat4?stream=0'" in said


def test_what_cannot_be_cut_while_it_is_live_can_be_recorded_for_so_long(folder):
    said = called("replay", "udp://127.0.0.1:9000?size=4x4", "--to", "1500ms", code=2, cwd=folder).stderr
    assert "try: spikestream record 'udp://127.0.0.1:9000?size=4x4' part.aedat4 --for 1.5s, and replay" in said
    assert "part.wav" in called("replay", "microphone://", "--to", "2s", code=2, cwd=folder).stderr


def test_slips_in_python(folder):
    events = ss.Events(0, 10, np.empty(0, ss.read("looks.aedat4").data.dtype), (34, 34))
    with pytest.raises(ss.ConfigError, match=r"no Events\n  try: ss.write\(path, events\)"):
        ss.write(events, "x.es")
    for size in (5, 3.5, (34,), (34, 34, 2), (0, 34)):
        with pytest.raises(ss.ConfigError, match="is no size"):
            ss.read("looks.aedat4", size=size)
    for name, value in (("length_us", "10ms"), ("length_us", 1e4), ("grid_us", 1e3), ("from_us", 0.5), ("to_us", "1s")):
        with pytest.raises(ss.ConfigError, match=f"{name} = .* is no time\n  allowed: whole numbers of µs"):
            next(ss.stream("looks.aedat4", **{name: value}))
    assert len(next(ss.stream("looks.aedat4", length_us=np.int64(10_000)))) > 0
