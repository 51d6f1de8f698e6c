"""Trust: a decision is judged by the label that comes after it, and the alarm is ADWIN's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_trust import judged

from spikestream.batch import Decision, Label
from spikestream.errors import ConfigError
from spikestream.stages.trust import Trust


def told(outcomes, trust, start=0):
    """Judge outcomes one by one; return the falls by number, and the best accuracies as they came."""
    falls, bests = [], []
    for number, right in enumerate(outcomes, start):
        t = 10 * number
        trust.decided([Decision(t, t + 10, "a" if right else "b", 1.0)])
        best, fall = trust.taught(Label(t + 10, t, t + 10, "a"))
        if fall is not None:
            falls.append((number, fall.before, fall.after, fall.windows))
        if best:
            bests.append(trust.best)
    return falls, bests


def chances(seed, *parts):
    rng = np.random.default_rng(seed)
    return [bool(one) for p, n in parts for one in rng.random(n) < p]


# The alarm


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.7, 0.95, 1.0]), st.integers(1, 120)), min_size=1, max_size=4),
    st.integers(0, 99),
    st.sampled_from([1, 20, 50]),
    st.sampled_from([0.0, 0.002, 0.3]),
)
@settings(deadline=None, max_examples=40)
def test_it_is_adwin(parts, seed, window, delta):
    outcomes = chances(seed, *parts)
    falls, bests = judged(outcomes, window, delta)
    seen_falls, seen_bests = told(outcomes, Trust(window, delta))
    assert [(n, c) for n, _, _, c in seen_falls] == [(n, c) for n, _, _, c in falls]
    np.testing.assert_allclose([row[1:3] for row in seen_falls], [row[1:3] for row in falls])
    np.testing.assert_allclose(seen_bests, bests)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.99])
def test_where_nothing_happens_there_is_no_alarm(p):
    # delta bounds it; 10,000 judgements of four kinds at the default gave none with 20 other seeds either.
    assert told(chances(1, (p, 2_500)), Trust())[0] == []


def test_getting_better_is_no_alarm():
    rise = [(0.1 + 0.85 * k / 20, 100) for k in range(20)]
    assert told(chances(2, *rise), Trust())[0] == []


@pytest.mark.parametrize(("after", "within"), [(0.25, 32), (0.6, 64), (0.8, 160)])
def test_a_fall_is_found_and_told_with_both_accuracies(after, within):
    falls, _ = told(chances(3, (0.97, 500), (after, 200)), Trust())
    assert 500 < falls[0][0] <= 500 + within
    assert falls[0][1] > 0.9
    assert falls[0][2] < (0.97 + after) / 2


def test_memory_is_bounded():
    trust = Trust(10)
    told(chances(4, (0.9, 4_500)), trust)
    assert len(trust.state()["history"]) == 4_096
    trust.decided([Decision(t, t + 1, "a", 1.0) for t in range(5_000)])
    assert len(trust.state()["pending"]) == 100


# What is judged


def test_sliding_accuracy_and_chance_are_those_of_the_last_windows():
    trust = Trust(4, 0)
    for number, (said, true) in enumerate(zip("aabbba", "aabbab", strict=True)):
        trust.decided([Decision(number, number + 1, said, 1.0)])
        trust.taught(Label(number + 1, number, number + 1, true))
    assert (trust.judged, trust.right) == (6, 4)
    assert trust.sliding == 2 / 4
    assert trust.chance == 3 / 4


def test_no_answer_is_not_right():
    trust = Trust(4)
    trust.decided([Decision(0, 10, None, 0.0)])
    trust.taught(Label(10, 0, 10, "a"))
    assert (trust.judged, trust.right) == (1, 0)


def test_a_label_that_came_before_the_window_was_over_judges_nothing():
    trust = Trust(4)
    trust.decided([Decision(0, 10, "a", 1.0), Decision(10, 20, "a", 1.0)])
    trust.taught(Label(15, 0, 20, "a"))
    assert trust.judged == 1
    trust.taught(Label(0, 10, 20, "a"))
    assert trust.judged == 1


def test_a_label_judges_a_window_once_and_only_what_it_names_whole():
    trust = Trust(4)
    trust.decided([Decision(0, 10, "a", 1.0), Decision(10, 20, "a", 1.0)])
    trust.taught(Label(30, 5, 20, "a"))
    assert trust.judged == 1
    trust.taught(Label(31, 5, 20, "b"))
    assert trust.judged == 1


def test_of_what_is_said_while_a_window_runs_the_last_counts():
    trust = Trust(4)
    trust.decided([Decision(0, 4, "b", 0.4), Decision(0, 7, "b", 0.6), Decision(0, 10, "a", 1.0)])
    trust.taught(Label(10, 0, 10, "a"))
    assert (trust.judged, trust.right) == (1, 1)


def test_options_out_of_range_are_refused():
    for window, drift in ((0, 0.1), (10**7, 0.1), (5, 1.0), (5, -0.1), (5, float("nan"))):
        with pytest.raises(ConfigError, match="trust"):
            Trust(window, drift)
