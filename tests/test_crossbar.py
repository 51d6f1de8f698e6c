"""The crossbar kernel against its plain-Python law: thousands of random chips, and each law in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import naive_crossbar
import numpy as np
import pytest
from crossbar_cases import random_chip, random_input

from spikestream.batch import Spikes, no_spikes
from spikestream.kernels import crossbar
from spikestream.model.crossbar import RANC, CrossbarPlacement
from spikestream.model.placement import PIN
from spikestream.stages.chip import Chip


def spikes(rows, ticks, first=0):
    t = np.array([tick * 1000 + 7 for tick, _ in rows], np.int64)
    return Spikes(first * 1000, (first + ticks) * 1000, t, np.array([axon for _, axon in rows], np.int32))


def fired(chip, rows, ticks, first=0):
    """Return the (tick, output) rows of a chip on inputs (tick, input)."""
    out = chip(spikes(rows, ticks, first))
    return list(zip((out.t // 1000).tolist(), out.axon.tolist(), strict=True))


def twin_run(placement, rows, ticks, first=0):
    twin, found = naive_crossbar.Chip(placement), []
    for k in range(first, first + ticks):
        found += [(k, pin) for pin in twin.tick(k, [axon for tick, axon in rows if tick == k])]
    return twin, found


def equal(placement, seed, ticks, first=0, mean=6.0):
    """Hold the kernel against its twin on random input; return what the twin saw, {} where no neuron ever fired."""
    rows = [(first + k, i) for k, i in random_input(seed, placement.input_count, ticks, mean)]
    twin, expected = twin_run(placement, rows, ticks, first)
    chip = Chip(placement)
    assert fired(chip, rows, ticks, first) == expected
    assert chip.v.tolist() == twin.v
    under_way = {(tick, c, axon) for tick, c, axon in twin.under_way if tick >= first + ticks}
    assert rings(chip, first + ticks) == under_way
    return twin.seen if twin.seen["spikes"] else Counter()


def rings(chip, now):
    """Return the (tick, core, axon) of what is under way."""
    bits = np.unpackbits(chip.state()["ring"].view(np.uint8), axis=2, bitorder="little")
    return {(now + (row - now) % 16, core, axon) for core, row, axon in zip(*np.nonzero(bits), strict=True)}


# Everything that must have happened in the random chips below: every mode, each way past each threshold, each delay.
EVERYTHING = (
    *(("delay", d) for d in range(1, 16)),
    *(("type", g) for g in range(4)),
    *(("up", gamma, clamps) for gamma in range(3) for clamps in (False, True)),
    *(("down", gamma, clamps) for gamma in range(3) for clamps in (False, True)),
    *(("leak mode", leak, v) for leak in (-1, 1) for v in (-1, 0, 1)),
    *(("random synapse", s) for s in (-1, 0, 1)),
    *(("random leak", s) for s in (-1, 0, 1)),
    "saturated",
    "eta",
)


def test_thousands_of_random_chips_equal_the_law_and_do_everything():
    seen, lively = Counter(), 0
    for seed in range(2_000):
        found = equal(random_chip(seed), seed, ticks=5 if seed % 4 else 18, first=seed % 40)
        seen.update(found)
        lively += bool(found)
    assert lively >= 1_750  # a silent chip proves nothing
    assert {what: seen[what] for what in EVERYTHING if seen[what] < 20} == {}


def test_random_ranc_chips_equal_their_law():
    seen, included = Counter(), 0
    for seed in range(300):
        placement = random_chip(seed, law=RANC)
        included += placement.floor_included
        seen += equal(placement, seed, ticks=12)
    assert 100 < included < 200
    assert min(seen[way, gamma, False] for way in ("up", "down") for gamma in (0, 1)) > 1_000


@pytest.mark.parametrize("seed", range(4))
def test_whole_cores_equal_the_law(seed):
    placement = random_chip(seed, cores=2, axons=256, neurons=256, drawn=seed % 2 == 1)
    assert equal(placement, seed, ticks=4, mean=200.0)["spikes"] > 200


def test_chips_that_fall_quiet_wake_for_whatever_is_under_way():
    lively = 0
    for seed in range(120):
        placement = random_chip(seed, axons=4, neurons=4, drawn=False)
        # Without leaks nothing moves but by input, by spikes of others up to 15 ticks old, and by who stays above.
        calm = replace(placement, leak=0 * placement.leak, leak_reversal=placement.leak_reversal & False)
        lively += bool(equal(calm, seed, ticks=70, mean=0.15))
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


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_a_random_threshold_is_crossed_as_often_as_its_law_says(bits):
    # V stays at v: it fires in a tick with probability (v - alpha + 1) / 2^bits.
    size, v = 2**bits, 10 + 2**bits // 3
    chip = lone(N, threshold=10, threshold_bits=bits, v0=v, reset_mode=2)
    count, p = len(fired(chip, [], TICKS)), (v - 10 + 1) / size
    assert count == pytest.approx(N * TICKS * p, abs=5 * np.sqrt(N * TICKS * p * (1 - p)))


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


def test_a_quiet_chip_jumps_to_its_next_input():
    chip = Chip(CrossbarPlacement.of(2, 1, 1, weights=1, synapses=1, target_core=PIN, outputs=1))
    late = 10**15  # a walk over these ticks would take for ever
    assert fired(chip, [(3, 0), (late, 1)], late + 1) == [(3, 0), (late, 0)]
    assert len(chip(no_spikes(chip.state()["next"] * 1000, 10**18))) == 0
