"""Labels that are not of the recording: what was seen of them is counted, the others are told of, none is an error."""

from __future__ import annotations

import numpy as np
import pytest
from inprocess import called
from small import SIZE, config, noise, run

from spikestream.errors import RecordingError
from spikestream.files.labels import LabelRow, write_labels
from spikestream.files.write import write
from spikestream.service.fit import Fit
from spikestream.service.job import Job
from spikestream.service.session import Session

FIRST, LAST, STEP = 5_000_300, 5_999_000, 100_000
ROWS = [LabelRow(t, t + STEP, "ab"[t // STEP % 2], t >= 5_700_000) for t in range(5_000_000, 6_000_000, STEP)]


def moved(by=0, factor=1):
    return [LabelRow(int(row.start * factor) + by, int(row.stop * factor) + by, row.label, row.test) for row in ROWS]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "a.aedat4"
    write(path, noise(FIRST, LAST, rate_hz=4_000), size=SIZE)
    return path


def session(source, tmp_path, rows, **more):
    write_labels(tmp_path / "l.csv", rows)
    sections = {"sensor": {"uri": str(source), "speed": "max"}, "readout": {"windows": "marked"}} | more.pop(
        "sections", {}
    )
    return Session(Job(config(**sections), labels=str(tmp_path / "l.csv"), **more))


def ran(*args, **more):
    made = session(*args, **more)
    run(made.run())
    return made


def test_labels_that_fit_are_all_seen_and_nothing_is_said(source, tmp_path):
    made = ran(source, tmp_path, ROWS)
    assert (made.scorer.decided, made.warnings()) == (10, [])
    assert made.engine.progress.stop == 6_000_000  # the last one is run to its end, in silence


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("a b.csv", "info 'a b.csv',"),
        ("file:a b.csv?order=txyp&size=4x4", "info 'a b.csv' --option order=txyp --size 4x4,"),
    ],
)
def test_the_command_that_is_said_names_the_file_with_its_options_beside_it(uri, words):
    assert f"try: spikestream {words}" in Fit(ROWS, 0, 5_500_000, uri).warning()
    zero = [LabelRow(5, 10, "a", False)]
    assert words.replace("info", "convert")[:-1] in str(Fit(zero, 50_000, 60_000, uri).error("l.csv"))


def test_what_nothing_was_recorded_of_is_not_decided_but_told_of(source, tmp_path):
    made = ran(source, tmp_path, moved(300_000))
    assert (made.scorer.decided, made.engine.progress.stop) == (7, 6_000_000)
    (warning,) = made.warnings()
    assert warning.startswith("3 of 10 labelled windows lie outside of the recording, and were not seen: labels 5,300,")
    assert f"try: spikestream info {source}" in warning
    made = ran(source, tmp_path, moved(-300_000))
    assert (made.scorer.decided, made.warnings()[0][:8]) == (7, "3 of 10 ")


@pytest.mark.parametrize(
    ("rows", "cause", "remedy"),
    [
        (moved(10**15), "own clock", "spikestream info "),
        (moved(-5_000_000), "own clock", "zero.aedat4 --t0 zero"),
        (moved(factor=1e-3), "look like ms", "multiplied by 1,000"),
        (moved(factor=1e3), "look like ns", "divided by 1,000"),
    ],
)
def test_where_none_fits_it_is_an_error_with_the_likely_cause(rows, cause, remedy, source, tmp_path):
    made = session(source, tmp_path, rows)
    with pytest.raises(RecordingError, match="none of the 10 labelled windows lies in the recording") as caught:
        run(made.run())
    assert caught.value.file == str(tmp_path / "l.csv")
    assert (cause in str(caught.value), remedy in caught.value.remedy) == (True, True)
    assert made.warnings() == []
    assert made.engine.progress.stop - made.engine.progress.start < 1_100_000
    assert made.problems() == []


def test_the_command_line_ends_with_3(source, tmp_path):
    write_labels(tmp_path / "l.csv", moved(10**15))
    for verb in (("replay", "--speed", "max"), ("train",), ("eval", "--model", "model.npz")):
        if verb[0] == "eval":
            called("replay", source, "--speed", "max", "--save", "model.npz", cwd=tmp_path)
        said = called(*verb, source, "--labels", "l.csv", code=3, cwd=tmp_path).stderr
        assert "error: l.csv: none of the 10 labelled windows lies in the recording" in said


def test_of_a_selection_only_what_was_chosen_can_fit(source, tmp_path):
    for selection in ({"from_us": 300_000}, {"to_us": 300_000}):
        assert ran(source, tmp_path, moved(100_000), **selection).warnings() == []


def test_a_grid_counts_the_windows_within_the_rows(source, tmp_path):
    rows = [LabelRow(5_000_000, 5_900_000, "a", False), LabelRow(7_000_000, 7_300_000, "b", False)]
    grid = {"readout": {"windows": "grid", "window_us": STEP}}
    made = ran(source, tmp_path, rows, sections=grid)
    assert (made.scorer.decided, made.warnings()[0][:8]) == (9, "3 of 12 ")


def windows(*spans):
    return [LabelRow(start, stop, "a", False) for start, stop in spans]


def test_labels_in_another_unit_that_lie_in_the_recording_by_chance_are_suspicious():
    hour = 3_600_000_000
    for factor, unit in ((1_000, "ms"), (1_000_000, "s")):
        spans = [(t // factor, (t + 10 * factor) // factor) for t in range(0, hour, 60_000_000)]
        assert f"look like {unit}" in Fit(windows(*spans), 0, hour, "a").warning()
    assert Fit(windows((0, 1_000_000)), 0, hour, "a").warning() == ""  # they may be few
    assert Fit(windows((0, hour)), 0, hour, "a").warning() == ""


def test_a_window_is_outside_unless_the_stream_was_there_at_its_end():
    fits = [Fit(windows(span), 100, 200, "a").outside for span in ((50, 100), (50, 101), (150, 200), (150, 201))]
    assert fits == [1, 0, 0, 1]
    assert np.all([Fit(windows((50, 100)), 100, 200, "a").none, not Fit(windows((150, 200)), 100, 200, "a").none])
