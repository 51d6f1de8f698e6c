"""The tally of judged windows: figures as counted by hand, taught and held out never in one."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikestream import plots
from spikestream.errors import ConfigError
from spikestream.files.labels import LabelRow
from spikestream.service.scoring import Judged
from spikestream.service.tally import ClassRow, Score, Tally, in_order

NAMES = st.sampled_from(["a", "b", "10", "9", None])
ONES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "10", "9"]), NAMES, NAMES, st.booleans(), st.booleans()), max_size=40
)


def counted(ones, held_out_only=False):
    tally = Tally(held_out_only)
    for n, (truth, said, near, test, held_out) in enumerate(ones):
        tally(Judged(LabelRow(n, n + 1, truth, test), said, near, held_out))
    return tally


@given(ONES)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_the_figures_are_those_counted_by_hand(ones):
    tally = counted(ones)
    taught = [one for one in ones if not one[4]]
    held = [one for one in ones if one[4]]
    assert (tally.taught.right, tally.taught.windows) == (sum(t == s for t, s, *_ in taught), len(taught))
    figures = tally.figures()
    assert figures["windows"] == len(held)
    assert figures["unknown"] == sum(s is None for _, s, *_ in held)
    if held:
        p = sum(t == s for t, s, *_ in held) / len(held)
        assert figures["accuracy"] == p
        assert figures["standard_error"] == pytest.approx(math.sqrt(p * (1 - p) / len(held)))
        assert figures["chance"] == Counter(t for t, *_ in held).most_common(1)[0][1] / len(held)
        assert figures["baseline_accuracy"] == sum(t == n for t, _, n, *_ in held) / len(held)
    if taught:
        assert tally.nearest_taught() == sum(t == n for t, _, n, *_ in taught) / len(taught)
        assert tally.chance_taught() == Counter(t for t, *_ in taught).most_common(1)[0][1] / len(taught)
        assert tally.recent(3) == sum(t == s for t, s, *_ in taught[-3:]) / len(taught[-3:])
    names, matrix = tally.matrix()
    assert sum(map(sum, matrix)) == len(held)
    for name, row, line in zip(names, tally.classes(), matrix, strict=True):
        assert row.count == sum(line) == sum(t == name for t, *_ in held)
        assert row.predicted == sum(s == name for _, s, *_ in held)
        assert row.right == line[names.index(name)]


def test_quarters_are_in_the_order_of_time():
    rights = [False, False, True, False, True, True, True, True, True]
    tally = counted([("a", "a" if right else "b", None, False, False) for right in rights])
    assert tally.quarters() == [0 / 2, 1 / 2, 2 / 2, 3 / 3]
    assert Tally().quarters() == [None] * 4


def test_of_a_frozen_run_only_held_out_rows_count_where_asked():
    ones = [("a", "a", "a", False, True), ("a", "b", "a", True, True)]
    assert counted(ones).held_out == Score(1, 2)
    assert counted(ones, held_out_only=True).held_out == Score(0, 1)


def test_precision_and_recall():
    row = ClassRow("a", 10, 8, 6)
    assert (row.precision, row.recall) == (0.75, 0.6)
    never = ClassRow("a", 0, 0, 0)
    assert (never.precision, never.recall) == (None, None)


def test_numbers_come_in_the_order_of_their_size():
    assert in_order(["b", "10", "9", "a", "1"]) == ["1", "9", "10", "a", "b"]


def test_a_confusion_matrix_is_drawn_with_its_counts():
    axes = plots.confusion(["a", "$b"], [[3, 0, 0], [1, 2, 0]])
    assert [text.get_text() for text in axes.texts] == ["3", "1", "2"]
    assert axes.images[0].get_array().tolist() == [[1, 0], [1 / 3, 2 / 3]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", r"\$b"]
    axes.figure.canvas.draw()
    with_unknown = plots.confusion(["a"], [[3, 1]])
    assert [text.get_text() for text in with_unknown.get_xticklabels()] == ["a", "unknown"]
    for names, counts in ((["a"], [[3]]), ([], []), (["a", "b"], [[1, 2, 3]])):
        with pytest.raises(ConfigError, match="confusion"):
            plots.confusion(names, counts)
