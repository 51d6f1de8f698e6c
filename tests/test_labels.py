"""Label files: what a recording shows and when, and an error with its line for whatever makes no sense."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.errors import RecordingError
from spikestream.files.labels import LabelRow, read_labels, write_labels


def labels(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


HEAD = "start_us,stop_us,label\n"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("start_us,stop_us,label,split\n0,10,a,train\n10,20,b,test\n", [(0, 10, "a", False), (10, 20, "b", True)]),
        ("split,label,stop_us,start_us\ntest,a,10,0\n", [(0, 10, "a", True)]),
        ("start_us,stop_us,label,split\n50,60,b,test\n0,10,a,train\n", [(0, 10, "a", False), (50, 60, "b", True)]),
        (" Start_us , STOP_US,Label , Split\n 0 , 10 , a thing , train \n", [(0, 10, "a thing", False)]),
        ('start_us,stop_us,label,note,split\n0,10,"a, b",x,test\n', [(0, 10, "a, b", True)]),
        ("start_us,stop_us,label,split\n\n0,10,ä,train\n\n", [(0, 10, "ä", False)]),
        ("start_us,stop_us,label,split\r\n-20,-10,7,train\r\n", [(-20, -10, "7", False)]),
        (
            "\ufeffstart_us,stop_us,label,split\n1000000000000000,1000000000000001,a,train",
            [(10**15, 10**15 + 1, "a", False)],
        ),
        (HEAD, []),
        ("start_us,stop_us,label,split", []),
    ],
)
def test_rows_come_in_time_order_whatever_order_columns_and_lines_have(text, rows, tmp_path):
    assert read_labels(labels(tmp_path, text)) == [LabelRow(*row) for row in rows]


@pytest.mark.parametrize(("count", "held_out"), [(0, 0), (1, 0), (3, 0), (4, 1), (7, 1), (8, 2), (100, 25)])
def test_without_a_split_the_last_quarter_is_held_out(count, held_out, tmp_path):
    lines = [f"{10 * n},{10 * n + 10},{n}" for n in reversed(range(count))]
    rows = read_labels(labels(tmp_path, HEAD + "\n".join(lines)))
    assert [row.start for row in rows] == [10 * n for n in range(count)]
    assert [row.test for row in rows] == [False] * (count - held_out) + [True] * held_out


def test_the_columns_of_dvs_gesture_are_understood(tmp_path):
    text = "class,startTime_usec,endTime_usec\n1,80048239,85092709\n2,89431170,95231007\n"
    text += "3,95938861,103200075\n8,114845417,123499505\n"
    assert read_labels(labels(tmp_path, text)) == [
        LabelRow(80_048_239, 85_092_709, "1", False),
        LabelRow(89_431_170, 95_231_007, "2", False),
        LabelRow(95_938_861, 103_200_075, "3", False),
        LabelRow(114_845_417, 123_499_505, "8", True),
    ]


def refused(path):
    with pytest.raises(RecordingError) as caught:
        read_labels(path)
    assert caught.value.file == str(path)
    assert caught.value.exit_code == 3
    return str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "\n", "0,10,a\n", "start_us,stop_us\n0,10\n", "start,stop,label\n0,10,a\n", "start_us;stop_us;label\n"]
)
def test_a_file_of_other_columns_says_which_are_expected(text, tmp_path):
    assert "expected a line start_us,stop_us,label[,split]" in refused(labels(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x,10,a,train", "line 3 of the labels is not understood"),
        ("5.5,10,a,train", "line 3 of the labels is not understood"),
        ("1e1,20,a,train", "line 3 of the labels is not understood"),
        (",10,a,train", "line 3 of the labels is not understood"),
        ("1" * 5_000 + ",10,a,train", "line 3 of the labels is not understood"),
        ("5", "line 3 of the labels is not understood"),
        ("5,10", "line 3 of the labels is not understood"),
        ("10,10,a,train", "line 3 of the labels makes no sense"),
        ("11,10,a,train", "line 3 of the labels makes no sense"),
        ("5,10,,train", "line 3 of the labels makes no sense"),
        ("5,10,a,validation", "line 3 of the labels makes no sense"),
        ("5,10,a,Test", "line 3 of the labels makes no sense"),
        ("5,10,a,", "line 3 of the labels makes no sense"),
        ("5,10,a", "line 3 of the labels makes no sense"),  # a row must not become a taught one by being short
        (f"5,{2**62 + 1},a,train", "line 3 of the labels makes no sense"),
        (f"-{2**63},10,a,train", "line 3 of the labels makes no sense"),
    ],
)
def test_a_line_that_makes_no_sense_is_told_by_its_number(line, words, tmp_path):
    path = labels(tmp_path, f"start_us,stop_us,label,split\n0,5,a,train\n{line}\n")
    assert words in refused(path)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("start_us;stop_us;label;split\n0;10;a;train\n10;20;b;test\n", [(0, 10, "a", False), (10, 20, "b", True)]),
        ("begin,end,class\n0,10,a\n", [(0, 10, "a", False)]),
        ("Label,Start,Stop\na,0,10\n", [(0, 10, "a", False)]),
        ("0,10,a\n10,20,b\n", [(0, 10, "a", False), (10, 20, "b", False)]),
        (HEAD + "0.0,0.3,a\n0.3,1.1,b\n", [(0, 300_000, "a", False), (300_000, 1_100_000, "b", False)]),
        ("label,note,stop_us,start_us\na,x,0.1,0\n", [(0, 100_000, "a", False)]),
    ],
)
def test_what_an_error_says_to_try_makes_labels_of_it(text, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "it's.csv").write_text(text)
    command = refused("it's.csv").partition("  try: ")[2]
    subprocess.run(command, shell=True, check=True)
    assert read_labels("it's.labels.csv") == [LabelRow(*row) for row in rows]
    assert (tmp_path / "it's.csv").read_text() == text


def test_where_no_command_is_known_none_is_said(tmp_path):
    for text in (
        "a,b,c,d\n0,10,a,b\n",
        "a,b,c\n0,10,a\n",
        "1,0,10\n2,10,20\n",
        "start,label,x\n0,a,10\n",
        HEAD + "x,10,a\n",
        HEAD.replace("\n", ",reward\n") + "0,10,a,x\n",
    ):
        assert "try:" not in refused(labels(tmp_path, text))


def test_overlapping_rows_are_refused_and_touching_ones_are_not(tmp_path):
    assert "labels overlap at 9 µs" in refused(labels(tmp_path, HEAD + "9,20,b\n0,10,a\n"))
    assert len(read_labels(labels(tmp_path, HEAD + "10,20,b\n0,10,a\n"))) == 2


def test_what_cannot_be_read_is_told(tmp_path):
    said = refused(tmp_path / "missing.csv")
    assert "cannot read the labels: No such file" in said
    assert said.endswith(f"try: ls {tmp_path}")
    assert refused("missing.csv").endswith("try: ls .")
    assert "cannot read the labels" in refused(tmp_path)
    assert "it is not text" in refused(labels(tmp_path, b"start_us,stop_us,label\n0,10,\xff\n"))
    assert "no CSV" in refused(labels(tmp_path, HEAD + "0,10," + "a" * 200_000))


@given(st.binary(max_size=80), st.text(alphabet='start_us,op label\n\r"0123456789-e;split trainest\x00', max_size=120))
@settings(deadline=None, max_examples=200)
def test_any_file_is_labels_or_refused(tmp_path_factory, raw, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    for content in (raw, text.encode(), HEAD.encode() + raw, HEAD.encode() + text.encode()):
        path.write_bytes(content)
        with suppress(RecordingError):
            rows = read_labels(path)
            assert all(row.start < row.stop and row.label for row in rows)


@pytest.mark.parametrize("tests", [[], [3], [2, 3], [0, 1, 2, 3], [0]])
def test_rows_come_back_from_the_file_they_are_written_to(tests, tmp_path):
    rows = [LabelRow(10 * k, 10 * k + 7, 'a "b", ü', k in tests) for k in range(4)]
    write_labels(tmp_path / "x.csv", rows)
    assert read_labels(tmp_path / "x.csv") == rows
    assert ("split" in (tmp_path / "x.csv").read_text()) == (tests != [3])
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
