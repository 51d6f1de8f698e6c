"""Label files: what a recording shows, and when.

CSV with a header line. Columns ``start_us``, ``stop_us`` (µs, on the recording's own clock, half-open), ``label``, and
optionally ``split`` with "train" or "test", and ``reward``, a number for rules that learn by it. The column names of
the DVS128 Gesture data set are understood too.
"""

from __future__ import annotations

import csv
import itertools
import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from spikestream.batch import LIMIT_US, LONGEST_LABEL, MOST_REWARD, is_label
from spikestream.errors import RecordingError
from spikestream.files.atomic import replacing
from spikestream.files.regular import open_regular

ALIASES = {"starttime_usec": "start_us", "endtime_usec": "stop_us", "class": "label"}
NAMES = ("start_us", "stop_us", "label")
MEANT = {
    **dict.fromkeys(("start", "begin", "from", "onset", "start_time"), "start_us"),
    **dict.fromkeys(("stop", "end", "to", "offset", "end_us", "stop_time", "end_time"), "stop_us"),
    **dict.fromkeys(("labels", "name", "target", "word"), "label"),
}
"""What others call the columns: their unit is not known, so they are not taken for ours unasked."""
HELD_OUT = 4
"""Without a ``split`` column the last quarter of the rows is the part nobody is taught."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """``[start, stop)`` µs shows ``label``; ``test`` rows are never taught, nor rewarded."""

    start: int
    stop: int
    label: str
    test: bool
    reward: float = 0.0


def read_labels(path: str | Path) -> list[LabelRow]:
    """Return the rows of a label file in time order; raises `RecordingError` with the line that is wrong."""
    try:
        with open_regular(path) as file:
            text = file.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        folder = shlex.quote(str(Path(path).parent))
        remedy = f"ls {folder}" if isinstance(error, FileNotFoundError) else ""
        raise RecordingError(f"cannot read the labels: {reason}", file=str(path), remedy=remedy) from error
    try:
        lines = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise RecordingError(f"the labels are no CSV: {error}", file=str(path)) from error
    header = [ALIASES.get(name.strip().lower(), name.strip().lower()) for name in (lines[0] if lines else [])]
    if not {*NAMES} <= set(header):
        raise RecordingError(
            "not a label file",
            file=str(path),
            expected="a line start_us,stop_us,label[,split][,reward]",
            found=",".join(header),
            remedy=_renamed(path, header),
        )
    rows = [_row(path, number, header, line) for number, line in enumerate(lines[1:], 2) if line]
    rows.sort(key=lambda row: row.start)
    for before, after in itertools.pairwise(rows):
        if after.start < before.stop:
            raise RecordingError(f"labels overlap at {after.start} µs", file=str(path))
    if "split" in header:
        return rows
    taught = len(rows) - len(rows) // HELD_OUT
    return [replace(row, test=i >= taught) for i, row in enumerate(rows)]


def _renamed(path: str | Path, header: list[str]) -> str:
    """Return the command that makes a label file of a table whose first line is another one, "" where none is known."""
    file, made = shlex.quote(str(path)), _beside(path)
    if len(header) == 1 and header[0].count(";") >= 2:
        return f"tr ';' , < {file} > {made}"
    named = [MEANT.get(name, name) for name in header]
    if {*NAMES} <= {*named}:
        return f"(echo {','.join(named)}; tail -n +2 {file}) > {made}"
    if len(header) == len(NAMES) and all(map(_is_number, header[:2])) and float(header[0]) < float(header[1]):
        return f"(echo {','.join(NAMES)}; cat {file}) > {made}"
    return ""


def _beside(path: str | Path) -> str:
    """Return, for a command, another file's name: what is read must not be written over."""
    return shlex.quote(str(Path(path).with_suffix(".labels.csv")))


def _is_number(cell: str) -> bool:
    """Return whether a cell holds a number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _not_understood(path: str | Path, number: int, header: list[str], cells: dict[str, str]) -> RecordingError:
    """Return what to raise for a row that lacks something, or whose times or reward are no numbers as wanted."""
    what, remedy = f"line {number} of the labels is not understood", ""
    times = [cells.get(name, "") for name in NAMES[:2]]
    expected = "whole numbers of µs as start_us and stop_us, a label, and a reward, if any, as a number"
    if all(map(_is_number, times)) and any("." in time for time in times):
        columns = (header.index(name) + 1 for name in NAMES[:2])
        scaled = " ".join(f'${column} = sprintf("%.0f", ${column} * 1e6);' for column in columns)
        expected = "whole numbers of µs as start_us and stop_us, which awk makes of seconds"
        remedy = f"awk -F, -v OFS=, 'NR > 1 {{ {scaled} }} 1' {shlex.quote(str(path))} > {_beside(path)}"
    return RecordingError(what, file=str(path), expected=expected, found=",".join(cells.values())[:200], remedy=remedy)


def _row(path: str | Path, number: int, header: list[str], line: list[str]) -> LabelRow:
    cells = dict(zip(header, (cell.strip() for cell in line), strict=False))
    split = cells.get("split", "") if "split" in header else "train"
    try:
        reward = float(cells.get("reward") or 0)
        row = LabelRow(int(cells["start_us"]), int(cells["stop_us"]), cells["label"], split == "test", reward)
    except (KeyError, ValueError):
        raise _not_understood(path, number, header, cells) from None
    times = -LIMIT_US <= row.start < row.stop <= LIMIT_US
    sane = is_label(row.label) and split in ("train", "test") and abs(row.reward) <= MOST_REWARD
    if not times or not sane:
        raise RecordingError(
            f"line {number} of the labels makes no sense",
            file=str(path),
            expected=f"start_us < stop_us, a label of up to {LONGEST_LABEL} printable characters, split train or "
            "test, and a reward as a number",
            found=",".join(line)[:200],
        )
    return row


def write_labels(path: str | Path, rows: Iterable[LabelRow]) -> None:
    """Write a label file, without rewards; the rows of the test part are told where they are not the last quarter.

    Raises `RecordingError` where it cannot be written.
    """
    rows = list(rows)
    usual = [row.test for row in rows] == [k >= len(rows) - len(rows) // HELD_OUT for k in range(len(rows))]
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["start_us", "stop_us", "label", *([] if usual else ["split"])])
        for row in rows:
            split = [] if usual else ["test" if row.test else "train"]
            writer.writerow([row.start, row.stop, row.label, *split])
