"""Files told apart by content: the formats that are here, the known ones that are not, and what is no recording."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import subprocess
import sys
import tarfile
import wave

import numpy as np
import pytest
from wirebytes import golden

from spikestream.batch import EVENT
from spikestream.errors import RecordingError
from spikestream.formats.sniff import contradicts, sniff
from spikestream.registry import load

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 2170592\n"


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, t=np.arange(3))
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        out.addfile(tarfile.TarInfo("notes.txt"), io.BytesIO())
    return file.getvalue()


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(bytes(64))
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "name", "format"),
    [
        (b"#!AER-DAT2.0\r\n# x\r\n", "a.dat", "aedat2"),
        (b"#!AER-DAT2.0\n", "a.bin", "aedat2"),
        (b"#!AER-DAT3.1\r\n", "a.aedat", "aedat3"),
        (b"#!AER-DAT4.0\r\n", "wrong.bin", "aedat4"),
        (b"\x07\x0f\x80\x02\x8e", "a.bin", "bin"),
        (b"\x07\x0f\x80\x02\x8e", "folder.aedat4/A.BS2", "bin"),
        (b"% \x80\x02\x8e% \x80\x02\x8f", "gesture.bs2", "bin"),
        (b"% Date 2020-09-25 07:48:29\n% evt 3.0\n% system_ID 48\n", "a.raw", "evt3"),
        (b"% format EVT3;height=720;width=1280\n% end\n", "a.bin", "evt3"),
        (b"% format EVT21;height=320\n% end\n", "a.raw", "evt21"),
        (b"% evt 2.1\n", "a.raw", "evt21"),
        (b"% evt 2.0\n\x00\x00\x00\x80", "a.raw", "evt2"),
        (b"% system_ID 48\n", "a", "evt3"),
        (b"Event Stream\x02\0\0\x01", "a.bin", "es"),
        (b"% system_ID 21\n", "a", "evt2"),
        (b"#!AER-DAT1.0\r\n", "a.aedat", "aedat1"),
        (b"# jAER, long ago\r\n\x07\x0a\x11\xe1\xa3\x00", "a.dat", "aedat1"),
        (b"x, y, t, p\n" + b"12, 13, 1000, 1\n" * 9, "notes.bin", "csv"),
        (b"0.003811000 96 133 0\n", "events", "csv"),
        (b"% Data file containing Event2d events.\n% Version 2\n", "a.dat", "dat"),
        (b"\x89HDF\r\n\x1a\n\0\0", "a.bin", "hdf5"),
        (npz()[:4096], "a", "npz"),
        (b"\x93NUMPY\x01\0", "a", "npy"),
        (b"#ROSBAG V2.0\n", "a", "bag"),
        (b"\x89MCAP0\r\n", "a", "mcap"),
        (b"SQLite format 3\0", "a", "db3"),
        (b"MATLAB 5.0 MAT-file, ", "a", "mat"),
    ],
)
def test_content_decides_and_the_suffix_only_where_it_cannot(head, name, format):
    assert sniff(head, name) == format


@pytest.mark.parametrize("format", ["aedat2", "aedat3", "aedat4", "csv", "dat", "es", "evt2", "evt3"])
def test_what_a_format_writes_it_is_taken_for(format):
    encoder = load("formats", format).encoder(size=(128, 128))
    written = encoder.feed(np.zeros(3, EVENT)) + encoder.finish()
    assert sniff(written[:4096], "without-a-suffix") == format


@pytest.mark.parametrize(
    ("head", "name", "what"),
    [
        (b"#!AER-DAT5.7\r\n", "a.aedat", r"AEDAT 5\.7"),
        (b"% something else\n", "a", "a recording of Prophesee's"),
        (b"% evt 4.0\n", "a.raw", "a recording of Prophesee's"),
        (b"PK\x03\x04" + bytes(26) + b"notes.txt", "a.zip", "ZIP archive"),
        (b"#ROSBAG V1.2\n", "a.bag", "ROS 1"),
        (b"MATLAB 7.3 MAT-file, ", "a.mat", "MATLAB"),
        (wav(), "a.wav", "sound"),
        (gzip.compress(b"#!AER-DAT2.0\r\n", mtime=0), "a.aedat.gz", "packed with gzip"),
        (b"\x28\xb5\x2f\xfd\0", "a.zst", "Zstandard"),
        (bz2.compress(b"#!AER-DAT2.0\r\n"), "a.aedat.bz2", "packed with bzip2"),
        (tar(), "a.bin", "a tar archive, which is not read here"),
        (gzip.compress(tar(), mtime=0), "a", "a tar archive, packed with gzip"),
        (b"\xfd7zXZ\0\0", "a.tar.xz", "a tar archive, packed with xz"),
        (b"\x28\xb5\x2f\xfd\0", "a.tzst", "a tar archive, packed with Zstandard"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.bin", r"a picture \(PNG\), which holds no events"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a.jpg", "a picture"),
        (b"\0\0\0 ftypisom\0\0\2\0", "a.mp4", "a film"),
        (b"RIFF\0\0\0\0AVI LIST", "a.avi", "a film"),
        (b"%PDF-1.7\n", "a.pdf", "a document"),
        (b"\x80\x04\x95\x0a", "a.pkl", "a pickle"),
        (b"\0\0\x08\x03\0\0\xea\x60", "train-images-idx3-ubyte", "images or labels of a data set"),
        (gzip.compress(b"\0\0\x08\x01\0\0\xea\x60", mtime=0), "labels.gz", "images or labels of a data set"),
        (golden()["hello"], "a.ssp", "record of a run, or a segment of its log"),
    ],
)
def test_a_known_format_that_is_not_read_is_named(head, name, what):
    with pytest.raises(RecordingError, match=f"^{name}: this is .*{what}") as error:
        sniff(head, name)
    assert error.value.remedy


def test_what_headerless_records_may_begin_with_decides_only_where_their_suffix_does_not():
    for head in (b"\0\0\x08\x03\0\0\0\x09\x03\x01", b"\x80\x04\x95\x0a\0"):
        assert sniff(head, "a.bin") == "bin"


@pytest.mark.parametrize(
    ("head", "format", "title"),
    [
        (b"#!AER-DAT4.0\r\n", "bin", "AEDAT 4.0 (DV)"),
        (b"#!AER-DAT4.0\r\n", "aedat4", ""),
        (b"#!AER-DAT2.0\r\n", "nas", ""),
        (b"% something else\n", "evt2", ""),
        (b"fLaC", "evt2", "sound (FLAC)"),
        (b"\x1f\x8b\x08", "csv", "a file packed with gzip"),
        (b"\x07\x0f\x80\x02\x8e", "es", ""),
        (b"", "es", ""),
    ],
)
def test_content_alone_contradicts_a_format_or_says_nothing(head, format, title):
    assert contradicts(head, load("formats", format)) == title


def test_an_empty_file():
    with pytest.raises(RecordingError, match=r"^rec\.bin: the file is empty"):
        sniff(b"", "rec.bin")


@pytest.mark.parametrize("name", ["rec.aedat", "rec.bin", "rec.aedat4", "rec"])
def test_a_git_lfs_pointer_is_never_decoded(name):
    with pytest.raises(RecordingError) as error:
        sniff(LFS, name)
    assert str(error.value) == (
        f"{name}: not an event file I know\n"
        '  first bytes: "version https://git-lfs.github.com/spec/v1"  -> this is a Git-LFS pointer '
        f"({len(LFS)} bytes), not the recording\n"
        f"  try: git lfs pull --include {name}"
    )


@pytest.mark.parametrize("head", [b"<!DOCTYPE html>\n<html>", b"\n\n  <HTML lang=en>"])
def test_a_web_page_saved_by_mistake(head):
    with pytest.raises(RecordingError, match="this is a web page"):
        sniff(head, "rec.bin")


@pytest.mark.parametrize(
    ("head", "name", "shown"),
    [
        (b"\x00\x01\x02\xffabc", "a.xyz", "00 01 02 ff 61 62 63"),
        (b"hello\nworld", "a", '"hello"'),
        (
            b"\x07\x0f\x80\x02\x8e",
            "a.aedat",
            "AEDAT 1.0 of a DVS128: spikestream info a.aedat --format aedat1 --sensor dvs128\n"
            "  it may be sound of a NAS: spikestream info a.aedat --format nas --sensor stereo64:jaer\n",
        ),
        (b"\x07\x0f\x80\x02\x8e", "a.aedat4", "07 0f 80 02 8e"),
        (b"x, y, z, p\n" + b"12, 13, 1000, 1\n" * 9, "notes.bin", '"x, y, z, p"'),
        (b"start_us,stop_us,label\n0,9,a\n", "a.csv", "spikestream replay RECORDING --labels a.csv"),
        (b"begin,end,label\n0,9,a\n", "a.csv", "It has to have four columns, t, x, y and p, and has 3"),
        (b"2738,27,105\n5352,2,161\n", "a.csv", "and has 3"),
        (b"id,px,py\xc2\xb5,t,x,y,pol.\n9,1,2,3,4,5,1\n", "a.csv", "info a.csv --format csv --option order=___txyp\n"),
        (
            b"7,70000,2,3,0\n3,70001,4,5,1\n",
            "a b.csv",
            "info 'a b.csv' --format csv --option order=xty_p, or another of",
        ),
        (b"a,b,c,d\n", "a.csv", "--option order=ORDER, 4 letters"),
        (b"\xff" * 4096, "a.raw", "ff ff"),
    ],
)
def test_an_unknown_file_shows_its_first_bytes_and_what_is_known(head, name, shown):
    with pytest.raises(RecordingError, match="not an event file I know") as error:
        sniff(head, name)
    assert shown in str(error.value)
    assert "N-MNIST" in str(error.value)
    names = "aedat1|aedat2|aedat3|aedat4|bag|bin|csv|dat|db3|es|evt2|evt21|evt3|hdf5|mat|mcap|nas|npy|npz"
    assert f"try: --format {names}" in str(error.value)


def test_nothing_a_file_may_start_with_breaks_it():
    rng = np.random.default_rng(6)
    starts = [b"", b"%", b"% ", b"#", b"#!AER-DAT", b"#!AER-DAT2.", b"#!AER-DAT4.0\r\n", b"PK", b"version ", b"<"]
    for case in range(160):
        head = starts[case % len(starts)] + rng.bytes(int(rng.integers(0, 40)))
        with contextlib.suppress(RecordingError):
            assert sniff(head, ["a", "a.bin", "a.aedat", ".bs2", "a\n.aedat4"][case % 5]) in FORMATS


FORMATS = {"aedat2", "aedat3", "aedat4", "bin", "npz"}


PLUGIN = """
from spikestream.formats.base import Format, no_magic
RAW = Format("evt", "EVT4 of a plugin", (".raw",), lambda head: head.startswith(b"% evt 4"), None)
BARE = Format("bare", "magicless", (".bare", ".bin"), no_magic, None)
"""


def plant(folder, entries: str) -> None:
    """Make an installed distribution of entry points, as pip would leave it."""
    info = folder / "someone-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someone\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spikestream.formats]\n" + entries)
    (folder / "someone_evt.py").write_text(PLUGIN)


def test_a_plugins_format_takes_part_by_content_and_by_suffix(tmp_path, monkeypatch):
    plant(tmp_path, "evt = someone_evt:RAW\nbare = someone_evt:BARE\nbroken = someone_missing:FORMAT\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert sniff(b"% evt 4.0\n", "a.raw") == "evt"
    assert sniff(b"\x01\x02", "a.bare") == "bare"
    assert sniff(b"#!AER-DAT2.0\r\n", "a.bare") == "aedat2"
    with pytest.raises(RecordingError, match="'broken' of someone does not load"):
        sniff(b"\x01\x02", "a.bin")  # a suffix of two formats tells nothing


def test_plugins_are_not_even_loaded_for_a_file_that_is_ours(tmp_path):
    plant(tmp_path, "aaa = someone_evt:RAW\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from spikestream.formats.sniff import sniff; "
        "print(sniff(b'#!AER-DAT2.0', 'a'), [m for m in ('someone_evt', 'spikestream.formats.nmnist', 'numba')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "aedat2 []\n"


REAL = {
    "events/aedat2/davis240c_boxes.aedat": "aedat2",
    "events/aedat2/header_only.aedat": "aedat2",
    "events/aedat4/davis346.aedat4": "aedat4",
    "events/aedat4/dvxplorer.aedat4": "aedat4",
    "events/bin/nmnist.bin": "bin",
    "gestures/1.bs2": "bin",
    "events/evt2/gen3.raw": "evt2",
    "events/evt3/gen41.raw": "evt3",
    "events/dat/ncars.dat": "dat",
    "events/es/dvs.es": "es",
    "events/es/generic.es": "es",
    "events/hdf5/event.hdf5": "hdf5",
    "events/mat/stmnist.mat": "mat",
    "events/ros/events.bag": "bag",
}
FOREIGN = {
    "events/nas/pynavis_sound_mono_32ch_ONOFF_addr2b_ts02.aedat": "sound of a NAS",
    "digits/train-labels-idx1-ubyte.gz": "images or labels of a data set like MNIST",
    "README.md": "not an event file",
}


@pytest.mark.realdata
@pytest.mark.parametrize("path", REAL)
def test_real_files_are_recognised_under_any_name(data, path):
    head = (data / path).read_bytes()[:4096]
    assert sniff(head, path) == REAL[path]
    if REAL[path] != "bin":
        assert sniff(head, "renamed.bin") == REAL[path]


@pytest.mark.realdata
@pytest.mark.parametrize("path", FOREIGN)
def test_real_files_of_other_kinds_are_named(data, path):
    with pytest.raises(RecordingError, match=FOREIGN[path]):
        sniff((data / path).read_bytes()[:4096], path)


@pytest.mark.realdata
def test_no_real_bin_recording_is_taken_for_anything_else(data):
    for path in sorted((data / "nmnist/recordings").glob("*.bin"))[::25]:
        with path.open("rb") as file:
            assert sniff(file.read(4096), path.name) == "bin"
