"""Learning on Loihi cores: the window of STDP against its closed form, traces, rounding, bounds."""

from __future__ import annotations

import numpy as np
import pytest

from spikestream.batch import Spikes
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.loihi_limits import EXCITATORY, INHIBITORY, MIXED
from spikestream.stages.chip import Chip

PRE, POST = 0, 1
"""Inputs of a pair: the axon whose weight learns, and one that makes its compartment fire."""


def pairs(count, weight=0, cores=1, **given):
    """Return a chip of pairs: the weight of input 2 j at compartment j learns, and input 2 j + 1 makes that fire."""
    each = count // cores
    core, j = np.divmod(np.arange(count), each)
    zero = np.zeros_like(j)
    before = np.stack([core, 2 * j, j, zero + weight], axis=1)
    drive = np.stack([core, 2 * j + 1, j, zero + 255], axis=1)
    plain = {"dv": 4095, "threshold": 254, "plastic": np.arange(2 * count) % 2 == PRE}
    own = {**plain, **given, "synapses": np.concatenate([before, drive])}
    return Chip(LoihiPlacement.of([each] * cores, 2 * each, **own))


def play(chip, rows, stop):
    """Run up to tick ``stop`` on (tick, input) rows."""
    rows = np.array(sorted(rows)).reshape(-1, 2)
    start = chip.state()["next"]
    start = 0 if start < 0 else int(start)
    chip(Spikes(start * 1000, stop * 1000, rows[:, 0] * 1000, rows[:, 1].astype(np.int32)))


def learnt(chip):
    """Return the weights that learn, pair by pair."""
    return chip.weights.reshape(-1, 2)[:, 0].astype(float)


# Pairs of spikes, the compartment's ``lag`` ticks after the axon's. A weight changes by
#     a_plus 2^e x1_impulse (1 - x1_decay / 4096)^lag  and  -a_minus 2^e y1_impulse (1 - y1_decay / 4096)^-lag
# on average; each trace is rounded by chance, and then the weight. Bounds are five standard deviations of a mean.

LAGS = (-40, -21, -13, -8, -5, -3, -2, -1, 0, 1, 2, 4, 7, 11, 20, 40)
EACH = 512


@pytest.mark.parametrize("epoch", [1, 4, 63])
def test_the_window_of_stdp_is_its_closed_form(epoch):
    rule = {"x1_impulse": 120, "x1_decay": 300, "y1_impulse": 100, "y1_decay": 160}
    rule |= {"a_plus": 3, "a_plus_exponent": -5, "a_minus": 1, "a_minus_exponent": -3, "epoch": epoch}
    chip = pairs(len(LAGS) * EACH, cores=16, **rule)
    rows = []
    for group, lag in enumerate(LAGS):
        own = 2 * np.arange(group * EACH, (group + 1) * EACH)
        rows += [(50, i) for i in own + PRE] + [(50 + lag, i) for i in own + POST]
    play(chip, rows, 252)
    change = learnt(chip).reshape(len(LAGS), EACH)
    lags = np.array(LAGS)
    gain = np.where(lags >= 0, 3 / 32 * 120 * (1 - 300 / 4096.0) ** np.maximum(lags, 0), 0)
    loss = np.where(lags <= 0, 1 / 8 * 100 * (1 - 160 / 4096.0) ** np.maximum(-lags, 0), 0)
    assert (change.mean(axis=1) != 0).all()
    # A trace is off by less than 1 a tick, and that decays: with epoch 1 its variance is at most a quarter over
    # 1 - (1 - d)^2, times the rate squared; rounding the weight adds a quarter.
    spread = np.sqrt(0.25 + 0.25 / (1 - (1 - 160 / 4096) ** 2) * 0.125**2)
    assert np.abs(change.mean(axis=1) - (gain - loss)).max() < 5 * spread / np.sqrt(EACH)
    assert change.std(axis=1).max() < 1.5 * spread


def test_many_small_changes_add_up_to_their_sum_with_few_bits_too():
    # Each pair changes a weight by 16 / 128 · (1 - 0): an eighth of 1; weights are multiples of 16.
    rule = {"a_plus": 1, "a_plus_exponent": -7, "a_minus": 0, "x1_impulse": 16, "x1_decay": 4095, "weight_bits": 5}
    chip = pairs(1000, **rule | {"weight_bits": np.tile([5, 9], 1000)})
    play(chip, [(k, i) for k in range(200) for i in range(2000)], 200)
    changes, p = learnt(chip), 1 / 128
    assert set(np.unique(changes % 16)) == {0}
    sigma = 16 * np.sqrt(200 * p * (1 - p))
    assert changes.mean() == pytest.approx(200 / 8, abs=5 * sigma / np.sqrt(1000))
    assert changes.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * 1000))


def test_axons_that_are_not_plastic_never_learn():
    chip = pairs(8, a_plus=7, a_plus_exponent=0)
    play(chip, [(k, i) for k in range(30) for i in range(16)], 30)
    assert (learnt(chip) != 0).all()
    assert chip.weights.reshape(-1, 2)[:, 1].tolist() == [255] * 8


@pytest.mark.parametrize(
    ("sign", "bits", "least", "most"),
    [
        (MIXED, 9, -256, 255),
        (MIXED, 8, -256, 254),
        (EXCITATORY, 8, 0, 255),
        (EXCITATORY, 3, 0, 224),
        (INHIBITORY, 8, -256, 0),
    ],
)
def test_weights_saturate_at_their_sign_and_bits(sign, bits, least, most):
    given = {"weight_sign": np.tile([sign, MIXED], 4), "weight_bits": np.tile([bits, 9], 4)}
    given |= {"x1_impulse": 127, "y1_impulse": 127, "x1_decay": 0, "y1_decay": 0}
    up = pairs(4, a_plus=7, a_plus_exponent=-2, a_minus=0, dv=4095, **given)
    down = pairs(4, a_plus=0, a_minus=7, a_minus_exponent=-2, **given)
    for chip, bound in ((up, most), (down, least)):
        play(chip, [(k, i) for k in range(20) for i in range(8)], 20)
        assert learnt(chip).tolist() == [bound] * 4


def test_learning_may_be_off_while_traces_go_on():
    rule = {"a_plus": 1, "a_plus_exponent": 0, "a_minus": 0, "x1_impulse": 100, "x1_decay": 0}
    chip = pairs(1, **rule)
    chip.learning = False
    play(chip, [(1, PRE), (3, POST)], 5)
    assert learnt(chip).tolist() == [0]
    chip.learning = True
    play(chip, [(7, POST)], 9)
    assert learnt(chip).tolist() == [100]  # by the trace of tick 1, which does not decay
    chip.learning = False
    play(chip, [(10, POST)], 12)
    assert learnt(chip).tolist() == [100]


@pytest.mark.parametrize(("epoch", "ticks"), [(1, (0, 3, 4)), (10, (0, 3, 4)), (63, (0, 30, 62))])
def test_spikes_of_an_axon_add_up_in_its_trace(epoch, ticks):
    rule = {"a_plus": 1, "a_plus_exponent": 0, "a_minus": 0, "x1_impulse": 25, "x1_decay": 0, "epoch": epoch}
    chip = pairs(1, **rule)
    play(chip, [(k, PRE) for k in ticks], 63 * 10)
    assert chip.state()["x1"].tolist() == [75, 0]
    play(chip, [(700, POST)], 63 * 20)
    assert learnt(chip).tolist() == [75]


def test_a_trace_holds_seven_bits():
    chip = pairs(1, x1_impulse=50, x1_decay=0, y1_impulse=120, y1_decay=0, a_plus=0, a_minus=0)
    play(chip, [(k, PRE) for k in range(4)] + [(1, POST), (2, POST)], 6)
    state = chip.state()
    assert (state["x1"].tolist(), state["y1"].tolist()) == ([127, 0], [127])


def test_a_trace_counts_a_spike_when_it_arrives_and_not_when_its_synapse_acts():
    # The plastic synapse fires its own compartment 5 ticks after its axon's spike.
    given = {"synapses": [(0, 0, 0, 200, 5)], "plastic": True, "threshold": 100, "dv": 4095}
    rule = {"a_plus": 1, "a_plus_exponent": -1, "a_minus": 0, "x1_impulse": 64, "x1_decay": 2048}
    chip = Chip(LoihiPlacement.of(1, 1, **given, **rule))
    play(chip, [(10, 0)], 30)
    assert chip.weights.tolist() == [200 + 64 // 2 // 32]  # 64 halved five times, times a half


def test_rounding_is_that_of_the_seed_and_of_nothing_else():
    def change(seed, cores=1):
        chip = pairs(64, cores=cores, seed=seed, a_plus=1, a_plus_exponent=-5, x1_impulse=60, x1_decay=500)
        play(chip, [(k, i) for k in range(40) for i in range(128) if (k * 7 + i) % 5 == 0], 40)
        return learnt(chip).tolist()

    assert change(1) == change(1)
    assert change(1) != change(2)
