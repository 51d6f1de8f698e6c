"""Published experiments give their published numbers, through the public API; docs/papers.md shows them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from cli import ROOT, script

from spikestream.batch import Spikes

EXAMPLE = ROOT / "examples" / "papers"
sys.path.insert(0, str(EXAMPLE))

import competition  # noqa: E402
import distal  # noqa: E402
import pairing  # noqa: E402

SECONDS = 2_000
SEEDS = (1, 2, 3)


# Song, Miller & Abbott 2000: the window, and what it does to 1,000 synapses.


def test_the_window_of_pair_stdp_is_song_s_two_exponentials():
    for lag in (*range(-100, 0, 7), -1, 0, 1, *range(5, 100, 7)):
        amplitude = 0.005 if lag >= 0 else -0.005 * 1.05
        assert pairing.window(lag) == pytest.approx(amplitude * np.exp(-abs(lag) / 20), rel=1e-12)


@pytest.mark.parametrize(("lag", "told"), [(10, 0.1819592), (-10, -0.1910572)])
def test_sixty_pairs_change_what_was_told(lag, told):
    assert pairing.change("pair", pairing.SONG, *pairing.pair_times(lag, 60, 1_000)) == pytest.approx(told, abs=5e-8)


def test_synapses_compete_and_the_faster_their_inputs_the_fewer_win():
    slow, fast = competition.run(20, 300), competition.run(40, 150)
    for one in (slow, fast):
        assert one.weak + one.strong > 0.7
        assert 15 < one.rate_hz < 30
    assert slow.strong > 0.1
    assert slow.weak > 0.5
    assert fast.weak > slow.weak + 0.1
    assert fast.strong < slow.strong / 2


def test_without_more_depression_than_potentiation_no_synapse_loses():
    equal = competition.run(20, 150, ratio=1.0)
    assert equal.strong > 0.99
    assert equal.rate_hz > 300


# Sjöström, Turrigiano & Nelson 2001, by the rule of Pfister & Gerstner 2006.

TOLD = {
    10: {10: 0.132053, 20: 0.246962, 40: 0.533723, 50: 0.740906},
    -10: {10: -0.333623, 20: -0.351622, 40: 0.154795, 50: 0.727247},
}


@pytest.mark.parametrize("lag", TOLD)
def test_sixty_pairs_at_each_rate_change_what_the_triplet_formula_says(lag):
    for rate_hz, told in TOLD[lag].items():
        assert pairing.triplet(lag, rate_hz) == pytest.approx(told, abs=5e-7)


@pytest.mark.parametrize("pairs", [60, 75])
def test_depression_turns_into_potentiation_between_20_and_40_hz(pairs):
    changes = [pairing.triplet(-10, rate_hz, pairs) for rate_hz in (0.1, 10, 20, 40, 50)]
    assert [change > 0 for change in changes] == [False, False, False, True, True]
    assert all(pairing.triplet(10, rate_hz, pairs) > 0.1 for rate_hz in (10, 20, 40, 50))
    assert pairing.triplet(10, 0.1, pairs) == pytest.approx(0, abs=1e-6)


def test_the_triplet_rule_lies_within_the_errors_of_what_was_measured():
    assert pairing.misfit() < 0.4
    for lag, row in pairing.MEASURED.items():
        for hz, (mean, error) in zip(pairing.MEASURED_HZ, row, strict=True):
            assert abs(pairing.triplet(lag, hz) - mean) < 1.3 * error


# Izhikevich 2007: a reward that comes later.


@pytest.mark.parametrize(
    ("delay_ms", "told"),
    [(0, 2.527211e-4), (500, 1.532831e-4), (1_000, 9.297090e-5), (2_000, 3.420208e-5), (5_000, 1.702821e-6)],
)
def test_a_reward_makes_of_a_pair_what_the_formula_says(delay_ms, told):
    assert pairing.delayed(delay_ms) == pytest.approx(told, rel=3e-7)
    assert pairing.delayed(delay_ms) == pytest.approx(pairing.delayed_formula(delay_ms), abs=1e-11)


def test_a_punishment_is_the_mirror_image_and_no_reward_is_nothing():
    assert pairing.delayed(1_000, -0.5) == pytest.approx(-pairing.delayed(1_000), abs=1e-11)
    assert pairing.delayed(1_000, 0.0) == 0


def test_a_coincidence_is_the_target_less_than_20_ms_after_the_neuron_across_batches_too():
    def found(rows, last_ms=-100):
        t = np.array([ms * 1_000 + 999 for ms, _ in rows], np.int64)
        return distal.coincidences(Spikes(0, 10**6, t, np.array([n for _, n in rows], np.int32)), 7, last_ms)

    assert found([(10, 0), (29, 7), (30, 7)]) == ([29], 10)
    assert found([(10, 7), (10, 0)]) == ([], 10)
    assert found([(10, 0), (10, 7), (11, 7)]) == ([11], 10)
    assert found([(3, 7), (30, 0)], last_ms=-5) == ([3], 30)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_synapse_that_is_rewarded_later_grows_to_the_top(seed):
    one = distal.run(distal.SMALL, seed, SECONDS)
    assert 40 < len(one.rewards_ms) < 200
    assert one.weight > 0.75 * distal.W_MAX
    assert one.rank > 0.98
    assert one.others.mean() < distal.W_MAX / 4
    assert 0.8 < one.rate_hz < 1.5


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_synapse_stays_at_the_bottom_without_reward(seed):
    one = distal.run(distal.SMALL, seed, SECONDS // 2, instead_ms=np.zeros(0, np.int64))
    assert one.weight < 0.1 * distal.W_MAX
    assert one.rank < 0.1
    assert 0.8 < one.rate_hz < 1.5


def test_as_many_rewards_at_any_time_do_not_bring_it_there():
    any_ms = np.random.default_rng(2).integers(0, SECONDS * 1_000, 64)
    one = distal.run(distal.SMALL, 2, SECONDS, instead_ms=any_ms)
    assert one.weight < 0.5 * distal.W_MAX
    assert one.rank < 0.9


# The command.


def test_the_docs_show_what_the_command_prints(tmp_path):
    docs = (ROOT / "docs" / "papers.md").read_text()
    printed = script(EXAMPLE, "window", "triplet", "delay", "--plot", tmp_path).stdout.splitlines()
    assert len(printed) > 15
    for line in printed:
        assert line in docs
    for name in ("window", "triplet", "delay"):
        picture = f"papers-{name}.png"
        assert (tmp_path / picture).stat().st_size > 5_000
        assert f"img/{picture}" in docs


def test_an_experiment_that_is_none_is_refused():
    assert "windows" in script(EXAMPLE, "windows", code=2).stderr
