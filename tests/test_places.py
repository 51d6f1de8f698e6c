"""Where files may be written: what a link leads to, and nowhere that all of a machine needs."""

from __future__ import annotations

import numpy as np
import pytest
from cli import LOOKS

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.cli import main
from spikestream.errors import ConfigError, RecordingError


def batch(x=1):
    events = np.zeros(3, EVENT)
    events["t"], events["x"] = (1, 2, 3), (0, x, 2)
    return Events(1, 4, events, (10, 10))


@pytest.mark.parametrize("suffix", [".aedat4", ".npz"])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path, suffix):
    (tmp_path / "store").mkdir()
    link = tmp_path / f"link{suffix}"
    link.symlink_to(tmp_path / "store" / f"a{suffix}")
    assert ss.write(link, batch()) == 3
    assert link.is_symlink()
    assert len(ss.read(tmp_path / "store" / f"a{suffix}")) == 3


@pytest.mark.parametrize("out", ["/dev/stdout", "/proc/self/fd/1", "-", ".", "/", ""])
def test_no_file_takes_the_place_of_a_device_a_folder_or_standard_output(out, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["convert", str(LOOKS), out, "--as", "csv", "-fq"]) in (2, 3)
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["evt2", "evt3", "dat", "es"])
def test_events_outside_of_the_size_that_is_written_are_refused(tmp_path, format):
    with pytest.raises(RecordingError, match="event 1"):
        ss.write(tmp_path / "a", batch(x=10), format=format)
    assert ss.write(tmp_path / "a", batch(x=10), format=format, size=(11, 10)) == 3
    assert len(ss.read(tmp_path / "a", format=format)) == 3


@pytest.mark.parametrize("events", [None, 5, [1, 2, 3], batch().data])
def test_what_is_no_batch_is_told(tmp_path, events):
    with pytest.raises(ConfigError, match="batches of events"):
        ss.write(tmp_path / "a.csv", events)


def test_read_takes_the_options_of_a_format_and_a_size_as_text(tmp_path):
    (tmp_path / "a.csv").write_text("1,2,3,1\n2,2,3,0\n")
    events = ss.read(tmp_path / "a.csv", order="txyp", unit="ms", size="34x30")
    assert (events.data["t"].tolist(), events.size) == ([1_000, 2_000], (34, 30))
    for size in ("34", (-1, 5), (5,), "0x4"):
        with pytest.raises(ConfigError, match="size"):
            ss.read(tmp_path / "a.csv", order="txyp", unit="ms", size=size)


def test_time_that_steps_back_is_no_damage_to_be_cut_off(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("t,x,y,p\n10,1,1,1\n20,1,1,1\n5,1,1,1\n")
    assert main(["convert", str(tmp_path / "a.csv"), str(tmp_path / "b.npz"), "--time", "fail", "-q"]) == 3
    assert "--time clamp" in capsys.readouterr().err


def test_a_word_in_a_column_of_times_is_no_question_of_units(tmp_path):
    (tmp_path / "a.csv").write_text("t,x,y,p\n10,1,1,1\noops,1,1,1\n")
    with pytest.raises(RecordingError) as found:
        ss.read(tmp_path / "a.csv")
    assert "unit" not in found.value.remedy
