"""The crossbar kernel: each of its laws in numbers, and chips that fall quiet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from crossbar_cases import equal, fired, random_chip, random_input

from spikestream.batch import Spikes, no_spikes
from spikestream.kernels import crossbar
from spikestream.model.crossbar import RANC, CrossbarPlacement
from spikestream.model.placement import PIN
from spikestream.stages.chip import Chip


def test_chips_that_fall_quiet_wake_for_whatever_is_under_way():
    lively = 0
    for seed in range(120):
        placement = random_chip(seed, axons=4, neurons=4, drawn=False)
        # Without leaks nothing moves but by input, by spikes of others up to 15 ticks old, and by who stays above.
        calm = replace(placement, leak=0 * placement.leak, leak_reversal=placement.leak_reversal & False)
        lively += equal(calm, seed, ticks=70, mean=0.15).counters["spikes"] > 0
    assert lively > 60


def test_more_active_axons_of_a_type_than_a_byte_can_count():
    given = {"axon_type": np.zeros((1, 600), int), "crossbar": np.ones((1, 600, 9), bool), "weights": 100}
    own = CrossbarPlacement.of(1, 600, 9, law=RANC, threshold=2**30, target_core=PIN, outputs=1, **given)
    chip = Chip(own)
    assert fired(chip, [(0, i) for i in range(600)], 1) == []
    assert chip.v.tolist() == [[60_000] * 9]


# Golden numbers: pytruenorth's README, seen on NSCS and on a NS1e. First spike at phase - 1 modulo the period.


@pytest.mark.parametrize(
    ("alpha", "leak", "v0", "weight", "period", "first"),
    [(10, 1, 0, 0, 10, 9), (10, 1, 1, 0, 10, 8), (11, 2, 0, 0, 6, 5), (10, -1, 0, 3, 5, 5)],
)
def test_tonic_neurons_keep_their_published_period_and_phase(alpha, leak, v0, weight, period, first):
    inputs = np.array([[0, 0, 0, 1]])  # the chip's own input delay, a tick
    given = {"threshold": alpha, "leak": leak, "v0": v0, "weights": weight, "synapses": 1, "inputs": inputs}
    chip = Chip(CrossbarPlacement.of(1, 1, 1, input_count=1, target_core=PIN, outputs=1, **given))
    ticks = [tick for tick, _ in fired(chip, [(k, 0) for k in range(100)], 100)]
    # With V0 = 1 the first period is one tick shorter.
    assert ticks == [first + period * k for k in range(len(ticks))]
    assert len(ticks) >= 100 // period - 1


def lone(count, **given):
    """Return a chip of ``count`` alike neurons that are driven by axon 0, each with an output."""
    plain = {"synapses": 255, "threshold": 2**18 - 1, "floor": 2**18 - 1, "target_core": PIN, "outputs": count}
    return Chip(CrossbarPlacement.of(1, 1, count, **{**plain, "target_axon": np.arange(count)[None], **given}))


# Closed forms. A draw of 8 bits is at most |s| in (|s| + 1) of 256 cases; mean and variance of n of them are a
# binomial's. All bounds are five standard deviations of what is compared.

N, TICKS = 256, 400


@pytest.mark.parametrize("s", [1, 17, 127, 254, 255, -1, -100])
@pytest.mark.parametrize("what", ["synapse", "leak"])
def test_what_is_drawn_has_the_mean_and_variance_of_its_law(s, what):
    if what == "synapse":
        chip, rows = lone(N, weights=s, random_weights=True), [(k, 0) for k in range(TICKS)]
    else:
        chip, rows = lone(N, leak=s, random_leak=True), []
    assert fired(chip, rows, TICKS) == []
    p = (abs(s) + 1) / 256
    moved = chip.v[0] * np.sign(s)
    variance = TICKS * p * (1 - p)
    assert moved.mean() == pytest.approx(TICKS * p, abs=5 * np.sqrt(variance / N) + 1e-9)
    assert moved.var(ddof=1) == pytest.approx(variance, abs=5 * variance * np.sqrt(2 / (N - 1)) + 1e-9)


def test_a_weight_of_nothing_never_moves_v_by_chance():
    chip = lone(N, weights=0, random_weights=True, leak=0, random_leak=True)
    fired(chip, [(k, 0) for k in range(TICKS)], TICKS)
    assert not chip.v.any()


@pytest.mark.parametrize("bits", [1, 3, 8, 18])
@pytest.mark.parametrize("clamps", [False, True])
def test_a_random_threshold_is_crossed_as_often_as_its_law_says(bits, clamps):
    # V stays at v: it fires in a tick with probability (v - alpha + 1) / 2^bits, independently of all others.
    size, v = 2**bits, 10 + 2**bits // 3
    chip = lone(N, threshold=10, threshold_bits=bits, v0=v, reset_mode=2, floor_clamps=clamps)
    found, p = np.bincount([pin for _, pin in fired(chip, [], TICKS)], minlength=N), (v - 10 + 1) / size
    variance = TICKS * p * (1 - p)
    assert found.mean() == pytest.approx(TICKS * p, abs=5 * np.sqrt(variance / N))
    assert found.var(ddof=1) == pytest.approx(variance, abs=5 * variance * np.sqrt(2 / (N - 1)))


@pytest.mark.parametrize("bits", [1, 8])
def test_a_random_floor_is_crossed_as_often_as_its_law_says(bits):
    # V stays at v below -10: reset mode 2 moves nothing, so who is reset is told by mode 1, which raises V by 10 + eta.
    size, v, n = 2**bits, -10 - 2**bits // 3 - 1, 4_000
    chip = lone(n, floor=10, threshold_bits=bits, v0=v, reset_mode=1)
    fired(chip, [], 1)
    moved = chip.v[0] - v
    raised, eta = moved[moved > 0], moved[moved > 0] - 10
    p = -(v + 10) / size  # v < -(10 + eta): eta is one of that many
    assert len(raised) == pytest.approx(n * p, abs=5 * np.sqrt(n * p * (1 - p)))
    assert set(eta.tolist()) == set(range(-(v + 10)))
    assert eta.mean() == pytest.approx((-(v + 10) - 1) / 2, abs=5 * size / np.sqrt(12 * len(eta)))


def test_draws_of_neurons_ticks_cores_and_uses_are_not_the_same():
    given = {"weights": 127, "random_weights": True, "leak": 127, "random_leak": True}
    both = Chip(CrossbarPlacement.of(2, 1, N, synapses=255, threshold=2**18 - 1, floor=2**18 - 1, seed=1, **given))
    first = both.v
    steps = []
    for k in range(40):
        fired(both, [(k, 0), (k, 1)], 1, first=k)
        steps.append(both.v - first)
        first = both.v
    steps = np.array(steps, float)  # (ticks, cores, neurons): 0, 1 or 2
    assert abs(np.corrcoef(steps[:, 0].ravel(), steps[:, 1].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(steps[:-1].ravel(), steps[1:].ravel())[0, 1]) < 0.035
    assert abs(np.corrcoef(steps[:, :, :-1].ravel(), steps[:, :, 1:].ravel())[0, 1]) < 0.035
    # Synapse and leak of one neuron: the variance of their sum is that of two.
    assert steps.var() == pytest.approx(0.5, abs=0.03)


def test_draws_do_not_depend_on_how_time_is_cut():
    placement = random_chip(5, cores=1, axons=8, neurons=8, drawn=True)
    table = random_input(5, placement.input_count, 30)
    whole, parted = Chip(placement), Chip(placement)
    expected = fired(whole, table, 30)
    found = [row for k in range(30) for row in fired(parted, [row for row in table if row[0] == k], 1, first=k)]
    assert found == expected
    assert whole.v.tolist() == parted.v.tolist()


def test_the_kernel_is_compiled_once_whatever_a_chip_looks_like():
    for seed in range(3):  # one of them with a single input target, which is a view of what may not be written to
        inputs = np.array([[0, 0, 0, 1]])
        chip = Chip(
            random_chip(seed, law=RANC) if seed else CrossbarPlacement.of(1, 1, 1, inputs=inputs, input_count=1)
        )
        fired(chip, random_input(seed, chip.placement.input_count, 3), 3)
    assert len(crossbar.run.signatures) == 1


def test_an_hour_of_ticks_neither_drifts_nor_overflows():
    ticks = 3_600_000
    weights = np.array([[[3, 0, 0, 0], [255, 0, 0, 0], [-255, 0, 0, 0], [1, 0, 0, 0]]])
    own = {"weights": weights, "leak": np.array([[-1, 255, -255, 0]]), "synapses": 15}
    own |= {"threshold": np.array([[10, 2**18 - 1, 1, 3]]), "floor": 2**18 - 1, "reset_mode": np.array([[0, 2, 0, 1]])}
    chip = Chip(CrossbarPlacement.of(1, 1, 4, target_core=PIN, target_axon=np.arange(4)[None], outputs=4, **own))
    t = np.arange(ticks, dtype=np.int64) * 1000
    out = chip(Spikes(0, ticks * 1000, t, np.zeros(ticks, np.int32)))
    counts = np.bincount(out.axon, minlength=4)
    # 3 - 1 a tick to 10: every fifth; 510 a tick without reset: from the 515th on; never; one a tick to 3, linear.
    assert counts.tolist() == [ticks // 5, ticks - 514, 0, ticks // 3]
    # The third falls by 510 a tick until it is below the floor, and is raised by it: for ever between the two.
    low = -(2**18) + 1
    assert chip.v[0, [0, 1, 3]].tolist() == [0, 2**19 - 1, 0]
    assert low - 510 <= chip.v[0, 2] <= 0
    assert out.t[-1] == ticks * 1000 - 1
    # Four synapses at an axon that is active in every tick; outputs that sit nowhere are no way off.
    expected = {"synaptic_operations": 4 * ticks, "axon_events": ticks, "neuron_updates": 4 * ticks}
    assert chip.counters == {**expected, "spikes": len(out), "hops_x": 0, "hops_y": 0, "dropped": 0}


def test_a_quiet_chip_jumps_to_its_next_input():
    chip = Chip(CrossbarPlacement.of(2, 1, 1, weights=1, synapses=1, target_core=PIN, outputs=1))
    late = 10**15  # a walk over these ticks would take for ever
    assert fired(chip, [(3, 0), (late, 1)], late + 1) == [(3, 0), (late, 0)]
    assert len(chip(no_spikes(chip.state()["next"] * 1000, 10**18))) == 0
