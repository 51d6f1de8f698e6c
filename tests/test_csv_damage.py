"""Text that is no table, or not all of it: rows that are none, files that are cut, mutated or without end."""

from __future__ import annotations

import subprocess
from random import Random

import goodfiles
import numpy as np
import pytest
from fuzz import drain, mutations, peak
from inprocess import called
from naive_csv import HEADER, read, rows

from spikestream.errors import RecordingError
from spikestream.formats.csv import Decoder
from spikestream.formats.csv.columns import written_otherwise
from spikestream.formats.csv.head import ROWS

# What is no table


@pytest.mark.parametrize(
    ("bad", "expected", "found"),
    [
        ("7,2,3", "4 columns: t x y p", "3: '7,2,3'"),
        ("7,2,3,1,5", "4 columns", "5: "),
        ("7,2,3,1,", "4 columns", "5: "),
        ("7 2 3 1", "4 columns", "1: '7 2 3 1'"),
        ("abc,2,3,1", "a time", "'abc'"),
        ("nan,2,3,1", "a time", "'nan'"),
        ("inf,2,3,1", "a time", "'inf'"),
        ("0x10,2,3,1", "a time", "'0x10'"),
        ("1e,2,3,1", "a time", "'1e'"),
        ("1.2.3,2,3,1", "a time", "'1.2.3'"),
        ("--1,2,3,1", "a time", "'--1'"),
        ("-,2,3,1", "a time", "'-'"),
        (".,2,3,1", "a time", "'.'"),
        (",2,3,1", "a time", "''"),
        ("1 2,2,3,1", "a time", "'1 2'"),
        ("9223372036854775808,2,3,1", "64 bits", "'9223372036854775808'"),
        ("9" * 5_000 + ",2,3,1", "64 bits", f"'{'9' * 40}'"),
        ("7,65536,3,1", "x, a whole number from 0 to 65,535", "'65536'"),
        ("7,-1,3,1", "x, a", "'-1'"),
        ("7,1.5,3,1", "x, a", "'1.5'"),
        ("7,2,3e9,1", "y, a", "'3e9'"),
        ("7,2,18446744073709551617,1", "y, a", "'18446744073709551617'"),
        ("7,2,3,2", "a polarity: 0 or 1, -1 or 1, false or true", "'2'"),
        ("7,2,3,-2", "a polarity", "'-2'"),
        ("7,2,3,0.5", "a polarity", "'0.5'"),
        ("7,2,3,truly", "a polarity", "'truly'"),
        ("7,2,3,tru", "a polarity", "'tru'"),
        ("7,2,3,", "a polarity", "''"),
        ("7,2,3,10", "a polarity", "'10'"),
        ("7,2,3,1;", "a polarity", "'1;'"),
        ("\0" * 5, "4 columns", "1: "),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_a_bad_row_is_told_by_its_number_after_the_good_ones(bad, expected, found, ending):
    text = "# a comment\n" + HEADER + rows(*("5,6,7,1",) * 140, "", "# 142 rows and comments")
    for step in (0, 1, 7):
        good: list[np.ndarray] = []
        with pytest.raises(RecordingError) as error:
            read(Decoder(), text + bad + ending, step, good)
        assert sum(map(len, good)) == 140
        assert error.value.what == "line 145 is no event"
        assert error.value.expected.startswith(expected) or expected in error.value.expected
        assert error.value.found.startswith(found)


def test_a_first_time_of_thousands_of_digits_is_a_bad_row_too():
    with pytest.raises(RecordingError, match=r"line 2 is no event[^$]*64 bits"):
        read(Decoder(), HEADER + rows("9" * 5_000 + ",2,3,1"))


@pytest.mark.parametrize("step", [0, 1000])
def test_comments_that_fill_the_head_are_told_of(step):
    lines = "# c\n" * 20_000
    with pytest.raises(RecordingError, match="the first 65,536 bytes are comments") as error:
        read(Decoder(), lines + HEADER + rows("5,6,7,1"), step, [])
    assert "grep -v" in error.value.remedy
    good: list[np.ndarray] = []
    read(Decoder(), lines[:60_000] + HEADER + rows("5,6,7,1"), step, good)
    assert len(good) == 1


QUOTES, COMMAS, PIPES = r"tr -d \"\'", "tr , .", "tr '|' ,"


@pytest.mark.parametrize(
    ("text", "why", "command"),
    [
        ('t,x,y,p\n"1","2","3","1"\n', "stand in quotes", QUOTES),
        ("t;x;y;p\n'1.5';'2';'3';'1'\n", "stand in quotes", QUOTES),
        ('"t","x","y","p"\n"1","2","3","true"\n', "stand in quotes", QUOTES),
        ("t;x;y;p\n1,5;3;4;1\n2,5;3;4;0\n", "have a comma for a point", COMMAS),
        ("t x y p\n1,5 3 4 1\n", "have a comma for a point", COMMAS),
        ("t\tx\ty\tp\n1,5e3\t3\t4\t1\n", "have a comma for a point", COMMAS),
        ("t,x,y,p\n1|3|4|1\n", "separated by '|'", PIPES),
    ],
)
def test_numbers_written_otherwise_are_told_with_the_command_that_makes_them_plain(text, why, command, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    table, rest = tmp_path / "plain.csv", text.partition("\n")[2]
    for name, more in (("x.csv", []), ("y.csv", ["--format", "csv"]), ("z.csv", [])):
        (tmp_path / name).write_text(text if name == "x.csv" else rest)
        said = called("info", tmp_path / name, *more, code=3).stderr
        assert why in said
        made = next(line for line in said.splitlines() if command in line)
        made = made[made.index(command) :].partition(", and read")[0].replace("FILE", name)
        table.unlink(missing_ok=True)
        subprocess.run(made, shell=True, check=True, cwd=tmp_path)
        options = ["--option", "order=txyp", "--option", "unit=ms"]
        assert "  events      " in called("info", table, *options).stdout


@pytest.mark.parametrize("row", ["abc,2,3,1", '"a","b","c","d"', "7,2,3", "7,2,3,1,", "1,5"])
def test_what_would_be_no_row_either_way_gets_no_such_hint(row):
    assert written_otherwise(row) == ("", "")


def test_a_last_line_without_an_end_may_be_cut():
    text = "x,y,p,t\n1,2,1,10\n1,2,1,20"
    decoder = Decoder(size=(9, 9))
    assert read(decoder, text)["t"].tolist() == [10, 20]
    assert "may be cut" in decoder.warnings[0]
    decoder = Decoder(size=(9, 9))
    read(decoder, text + "\n")
    assert decoder.warnings == []


@pytest.mark.parametrize("text", ["", "\n\n", "# only this\n", "640 480\n"])
def test_a_file_without_rows_or_header_is_an_error(text):
    for step in (0, 1):
        with pytest.raises(RecordingError, match=r"empty|leave no doubt"):
            read(Decoder(), text, step)


@pytest.mark.parametrize("text", ["1us,2,3,1\n", "x\0y", "1|2|3|1", "start,stop,label\n", "hello " * 1_000])
def test_a_line_that_is_neither_row_nor_header_is_no_recording_of_no_events(text):
    for step in (0, 1):
        with pytest.raises(RecordingError, match="there are no rows in it, and what is in their place is no header"):
            read(Decoder(order="txyp"), text, step)
    decoder = Decoder(order="txyp")
    assert len(read(decoder, "start,stop,label\n1,2,3,1\n")) == 1  # above rows it may be called anything


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_text_of_two_bytes_a_character_is_one_error_with_the_command_that_makes_it_plain(encoding, ending, tmp_path):
    path, plain = tmp_path / "x.csv", tmp_path / "plain.csv"
    said = set()
    for text in (HEADER + rows("1,2,3,1", "5,6,7,0"), rows(*("70000,2,3,1",) * 20_000)):
        path.write_bytes(text.replace("\n", ending).encode(encoding))
        for more in ([], ["--format", "csv"], ["--option", "order=txyp"], ["--option", "unit=us", "--format", "csv"]):
            said.add(called("info", path, *more, code=3).stderr)
    (error,) = said
    assert "the text is in UTF-16" in error
    made = next(line for line in error.splitlines() if "iconv" in line).partition("try: ")[2]
    subprocess.run(made.partition(", and read")[0].replace("FILE", "x.csv"), shell=True, check=True, cwd=tmp_path)
    assert "  events      20,000" in called("info", plain, "--option", "order=txyp").stdout
    with pytest.raises(RecordingError, match="the text is in UTF-16"):
        read(Decoder(order="txyp"), ("1,2,3,1," * 20_000).encode(encoding), 1_000)
    path.write_bytes('"1","2","3","1"\n'.encode(encoding))  # that is no table as it is, either
    assert "iconv" in called("info", path, code=3).stderr


def test_a_header_without_rows_is_a_recording_without_events():
    assert len(read(Decoder(), HEADER)) == 0
    assert len(read(Decoder(), "t,x,y,p")) == 0


@pytest.mark.parametrize("start", ["", HEADER, HEADER + "1,2,3,1\n" * 200])
@pytest.mark.parametrize("line", ["#" * 70_000 + "\n", "1" * 70_000 + "\n", "1" * 200_000])
def test_a_line_that_does_not_end_is_an_error(start, line):
    seen = set()
    for step in (0, 1000, 65_536, 69_999):
        with pytest.raises(RecordingError) as error:
            read(Decoder(), start + line, step)
        seen.add(str(error.value))
    assert len(seen) == 1


# Damage


@pytest.mark.parametrize("reading", [{}, {"order": "txyp", "unit": "us"}])
@pytest.mark.parametrize("good", goodfiles.csv(), ids=len)
def test_2000_damaged_files_give_events_or_a_recording_error(good, reading):
    rng = Random(3)
    for bad in mutations(good, 2_000, 5):
        assert drain(lambda: Decoder(**reading), bad, rng) <= len(bad) // 7


def test_memory_stays_within_its_bound_whatever_is_fed():
    read(Decoder(), HEADER + "1,2,3,1\n")  # compiled before it is measured
    head = HEADER.encode()
    row = b"1,1,1,1\n"
    much = 1 << 22
    for body in (head + row * (much // 8), head + b"1" * much, b"#\n" * (much // 2), b"\n" * much, b"," * much):
        for piece in (1 << 16, 1 << 22):
            assert peak(Decoder, body, piece) < (1 << 20) * 2


def test_what_is_looked_at_does_not_depend_on_the_pieces():
    """A doubt is settled by the first rows, whatever else has arrived with them."""
    lines = [f"{t} {t} {Random(t).randrange(99)} {t % 2}" for t in range(ROWS)]
    text = rows(*lines, *(f"{70_000 + t} {t % 50} 3 1" for t in range(500)))
    said = set()
    for step in (0, 1, 100, 4096):
        with pytest.raises(RecordingError) as error:
            read(Decoder(), text, step)
        said.add(str(error.value))
    assert len(said) == 1
