"""The Loihi kernel against recordings, against its plain-Python law on random chips, and each law in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import loihi_vectors
import naive_loihi
import numpy as np
import pytest
from crossbar_cases import random_input
from loihi_cases import random_chip

from spikestream.batch import Spikes, cut, no_spikes
from spikestream.kernels import loihi
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.loihi_limits import current_of
from spikestream.model.placement import PIN
from spikestream.stages.chip import Chip


def spikes(rows, ticks, first=0):
    t = np.array([tick * 1000 + 7 for tick, _ in rows], np.int64)
    return Spikes(first * 1000, (first + ticks) * 1000, t, np.array([axon for _, axon in rows], np.int32))


def fired(chip, rows, ticks, first=0):
    """Return the (tick, output) rows of a chip on inputs (tick, input)."""
    out = chip(spikes(rows, ticks, first))
    return list(zip((out.t // 1000).tolist(), out.axon.tolist(), strict=True))


def coming(placement, twin, now):
    """Return what is on its way to compartments, as the state of a stage has it: core by core, row by row."""
    found = []
    for core, delays in zip(twin.cores, delays_of(placement), strict=True):
        rows = 1
        while rows < delays + 1:
            rows *= 2
        due = {now + (row - now) % rows: row for row in range(rows)}
        table = np.zeros((rows, len(core.own)), np.int64)
        for (tick, j), many in core.coming.items():
            table[due[tick], j] = many
        found += table.ravel().tolist()
    return found


def delays_of(p):
    """Return the longest delay of each core."""
    first = p.first_synapse[p.first_axon]
    return [int(p.delay[a:b].max(initial=0)) for a, b in pairwise(first)]


def equal(placement, seed, ticks, first=0, mean=3.0):
    """Hold the kernel against its twin on random input; return what the twin saw, {} where no neuron ever fired."""
    rows = [(first + k, i) for k, i in random_input(seed, placement.input_count, ticks, mean)]
    twin, expected = naive_loihi.Chip(placement), []
    for k in range(first, first + ticks):
        expected += [(k, pin) for pin in twin.tick(k, [i for tick, i in rows if tick == k])]
    chip = Chip(placement)
    assert fired(chip, rows, ticks, first) == expected
    state = chip.state()
    assert (state["u"].tolist(), chip.v.tolist()) == (twin.u, twin.v)
    assert state["waits"].tolist() == [r for core in twin.cores for r in core.r]
    assert chip.weights.tolist() == twin.weights
    assert state["coming"].tolist() == coming(placement, twin, first + ticks)
    if placement.plastic.any():
        traces = [(trace.value, trace.time) for core in twin.cores for trace in core.y]
        assert list(zip(state["y1"].tolist(), state["ty"].tolist(), strict=True)) == traces
    counted = [twin.seen[name] for name in ("operations", "events", "spikes", "hops_x", "hops_y", "dropped")]
    assert np.delete(state["counters"], 2).tolist() == counted
    assert state["counters"][2] == ticks * placement.neurons
    return twin.seen if twin.seen["spikes"] else Counter()


# Recordings of lava's bit-accurate LIF and of nengo-loihi's emulator.


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["lava_bitacc_lif", "nengoloihi_lif"])
def test_every_current_potential_and_spike_of_recorded_emulators(data, name):
    d = loihi_vectors.load(data, name)
    placement, rows = {"lava_bitacc_lif": loihi_vectors.lava, "nengoloihi_lif": loihi_vectors.nengo}[name](d)
    chip, rest, count = Chip(placement), loihi_vectors.at(rows), 0
    for k in range(len(rows)):
        now, rest = cut(rest, (k + 1) * 1000)
        out = chip(now)
        assert np.array_equal(np.nonzero(d["s"][k])[0], out.axon), k
        assert np.array_equal(chip.state()["u"], d["u"][k]), k
        assert np.array_equal(chip.v, d["v"][k]), k
        count += len(out)
    assert count == {"lava_bitacc_lif": 17_588, "nengoloihi_lif": 30}[name]


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["lava_cpu_fixed", "lava_loihi_fixed"])
def test_the_lif_experiment_of_nir_as_lava_ran_it_in_fixed_point_and_on_a_chip(data, name):
    """The neuron of lif_norse.nir at 0.1 ms, 16,000 for 1: decay 4096 (1 - 0.04), threshold 25 · 64, input 10 · 64."""
    drive, v, fires = np.loadtxt(data / "emulator" / "nir" / f"lif_{name}.csv", delimiter=",", unpack=True)
    given = {"du": 4095, "dv": 163, "threshold": 25, "synapses": [(0, 0, 0, 10)], "targets": [(0, 0, PIN, 0)]}
    # What Lava sends in a step is heard in the next.
    chip = Chip(LoihiPlacement.of(1, 1, outputs=1, input_count=1, inputs=[(0, 0, 0, 1)], **given))
    for k in range(len(drive)):
        out = chip(spikes([(k, 0)] * int(drive[k]), 1, k))
        assert len(out) == fires[k], k
        if not (fires[k] and name == "lava_loihi_fixed"):  # the chip that was read there shows 128 in such a step
            assert chip.v.item() == v[k], k
    assert fires.sum() > 3


# Everything that must have happened in the random chips below.
EVERYTHING = (
    *(("delay", d) for d in range(63)),
    *(("exponent", e) for e in range(-8, 8)),
    *(("bias", sign) for sign in (-1, 0, 1)),
    *(("refractory", r) for r in (1, 2, 3)),
    *(("saturated", sign) for sign in (-1, 0, 1)),
    *(("step", 1 << s) for s in range(8)),
    *("wrap up", "wrap down", "low", "high", "held", "limit", "several", "gain", "loss"),
    *("hops_x", "hops_y", "dropped"),
)


def test_hundreds_of_random_chips_equal_the_law_and_do_everything():
    seen, lively = Counter(), 0
    for seed in range(300):
        found = equal(random_chip(seed), seed, ticks=12 if seed % 4 else 70, first=seed % 40)
        seen.update(found)
        lively += bool(found)
    assert lively >= 270  # a silent chip proves nothing
    assert {what: seen[what] for what in EVERYTHING if seen[what] < 20} == {}


def test_chips_that_fall_quiet_wake_for_whatever_is_under_way():
    lively = 0
    for seed in range(60):
        placement = random_chip(seed, most=4)
        rest = np.maximum(placement.dv, 1200), np.maximum(placement.du, 1200), 0 * placement.bias
        calm = replace(placement, dv=rest[0], du=rest[1], bias=rest[2], threshold=np.maximum(1, placement.threshold))
        lively += bool(equal(calm, seed, ticks=160, mean=0.1))
    assert lively > 30


def test_a_whole_core_equals_the_law():
    rng = np.random.default_rng(3)
    rows = [0 * np.arange(30_000), rng.integers(0, 600, 30_000), rng.integers(0, 1024, 30_000)]
    rows += [rng.integers(-128, 128, 30_000) * 2, rng.integers(0, 3, 30_000)]
    j = np.arange(1024)
    given = {"du": 1000, "dv": 200, "threshold": 300, "refractory": 3, "weight_bits": 8, "outputs": 1024}
    targets = np.stack([0 * j, j, np.where(j % 2, PIN, 0), np.where(j % 2, j, j // 2)], axis=1)
    placement = LoihiPlacement.of(1024, 600, synapses=np.stack(rows, axis=1), targets=targets, **given)
    assert equal(placement, 1, ticks=8, mean=60.0)["spikes"] > 200


# Laws in numbers.


def lone(weight=0, exponent=0, **given):
    """Return a chip of one compartment, an output, with one axon."""
    plain = {"synapses": [(0, 0, 0, weight)], "targets": [(0, 0, PIN, 0)], "outputs": 1, "threshold": 2**17 - 1}
    return Chip(LoihiPlacement.of(1, 1, **{**plain, "weight_exponent": exponent, **given}))


@pytest.mark.parametrize(
    ("weight", "exponent", "current"),
    # 64 w 2^e, and as Brian2Loihi has it below 0: rounded down to a multiple of 64, and never beyond 2^21 - 64
    [
        (255, 0, 16_320),
        (-256, 0, -16_384),
        (254, 7, 2_080_768),
        (-256, 7, -2_097_088),
        (7, -1, 192),
        (-7, -1, -256),
        (255, -8, 0),
        (-1, -8, -64),
        (100, -3, 768),
    ],
)
def test_a_synapse_gives_what_its_mantissa_and_exponent_say(weight, exponent, current):
    chip = lone(weight, exponent)
    fired(chip, [(0, 0)], 1)
    assert chip.v.tolist() == [current]
    assert current_of(np.array([weight]), np.array([exponent])).tolist() == [current]


@pytest.mark.parametrize(
    ("spikes_in", "sign", "u"),
    # 2^20 each: 2^23 is the highest there is, beyond it is below, and -2^23 is 2^23.
    [(8, 1, 2**23), (9, 1, 9 * 2**20 - 2**24), (7, -1, -7 * 2**20), (8, -1, 2**23), (9, -1, 2**24 - 9 * 2**20)],
)
def test_a_current_wraps_at_24_bits(spikes_in, sign, u):
    chip = lone(sign * 128, 7)
    fired(chip, [(0, 0)] * spikes_in, 1)
    assert chip.state()["u"].tolist() == [u]


def test_what_has_settled_under_input_falls_when_it_ends():
    chip = lone(1, du=2047, dv=4095)
    fired(chip, [(k, 0) for k in range(50)], 50)
    assert (chip.state()["u"].tolist(), chip.v.tolist()) == ([127], [127])  # 127 // 2 + 64
    fired(chip, [], 3, first=50)
    assert (chip.state()["u"].tolist(), chip.v.tolist()) == ([15], [15])


def test_current_and_potential_decay_towards_zero_from_both_sides():
    for sign in (1, -1):
        chip = lone(sign * 100, du=2047, dv=1024)  # half of u, three quarters of v
        u, v = 6400, 6400
        fired(chip, [(0, 0)], 1)
        for k in range(1, 60):
            u, v = u // 2, 3 * v // 4 + u // 2  # positive: // is what dec does
            fired(chip, [], 1, first=k)
            assert (chip.state()["u"].tolist(), chip.v.tolist()) == ([sign * u], [sign * v])
        assert (u, v) == (0, 0)


@pytest.mark.parametrize("refractory", [1, 2, 5, 64])
def test_a_neuron_is_held_for_its_refractory_time_less_a_tick(refractory):
    chip = lone(bias=3000, threshold=100, refractory=refractory)  # 6,400 is passed by the third of 3,000
    ticks = [tick for tick, _ in fired(chip, [], 400)]
    assert ticks == list(range(2, 400, 3 + refractory - 1))


def test_a_threshold_is_passed_and_not_reached():
    chip = lone(bias=64, threshold=10)
    assert fired(chip, [], 12) == [(10, 0)]


@pytest.mark.parametrize("delay", [0, 1, 31, 62])
@pytest.mark.parametrize("wait", [0, 3, 62])
def test_a_spike_acts_after_the_delay_of_its_input_and_its_synapse(delay, wait):
    given = {"synapses": [(0, 0, 0, 1, delay)], "inputs": [(0, 0, 0, wait)], "input_count": 1}
    chip = Chip(LoihiPlacement.of(1, 1, targets=[(0, 0, PIN, 0)], outputs=1, threshold=0, dv=4095, **given))
    assert fired(chip, [(5, 0), (9, 0)], 200) == [(5 + delay + wait, 0), (9 + delay + wait, 0)]


def test_a_neuron_reaches_an_axon_in_the_next_tick_and_many_of_them():
    rows = [(0, 0, 0, 1, 0), *((1, i, i, 1, i) for i in range(9))]
    targets = [*((0, 0, 1, i) for i in range(9)), *((1, j, PIN, j) for j in range(9))]
    chip = Chip(LoihiPlacement.of([1, 9], [1, 9], synapses=rows, targets=targets, outputs=9, threshold=0, dv=4095))
    assert fired(chip, [(0, 0)], 20) == [(1 + i, i) for i in range(9)]


def test_spikes_of_one_tick_add_up_and_what_no_counter_holds_is_counted():
    chip = lone(1)
    fired(chip, [(0, 0)] * 300, 1)
    assert chip.v.tolist() == [255 * 64]
    assert dict(zip(loihi.COUNTERS, chip.state()["counters"].tolist(), strict=True))["dropped"] == 45


def test_an_output_spikes_once_in_a_tick_however_many_neurons_drive_it():
    targets = [(0, j, PIN, 0) for j in range(9)]
    chip = Chip(LoihiPlacement.of(9, 0, targets=targets, outputs=1, bias=64, threshold=0))
    assert fired(chip, [], 3) == [(0, 0), (1, 0), (2, 0)]


def test_the_kernel_is_compiled_once_whatever_a_chip_looks_like():
    for seed in range(3):
        chip = Chip(random_chip(seed) if seed else LoihiPlacement.of(1, 1))
        fired(chip, random_input(seed, chip.placement.input_count, 3), 3)
    assert len(loihi.run.signatures) == 1


def test_an_hour_of_ticks_neither_drifts_nor_overflows():
    ticks, slow = 3_600_000, 2**17 - 1
    rows = [(0, 0, 0, 3), (0, 0, 1, 7), (0, 0, 2, -7)]
    given = {"du": [4095, 0, 0, 0], "dv": [0, 4095, 4095, 0], "threshold": [10, slow, slow, slow], "bias": [0, 0, 0, 5]}
    targets = [(0, j, PIN, j) for j in range(4)]
    chip = Chip(LoihiPlacement.of(4, 1, synapses=rows, targets=targets, outputs=4, **given))
    out = chip(Spikes(0, ticks * 1000, np.arange(ticks, dtype=np.int64) * 1000, np.zeros(ticks, np.int32)))
    # 192 a tick past 640: every fourth tick. 5 a tick past 64 (2^17 - 1): every 1,677,709th. The others never fire:
    # their currents settle where a 4,096th of them, rounded up, is the 448 that they get.
    period = 64 * slow // 5 + 1
    assert np.bincount(out.axon, minlength=4).tolist() == [ticks // 4, 0, 0, ticks // period]
    assert chip.v[[0, 3]].tolist() == [0, 5 * (ticks % period)]
    settled = 0
    while naive_loihi.dec(settled, 1) + 448 != settled:
        settled = naive_loihi.dec(settled, 1) + 448
    assert 447 * 4096 < settled <= 448 * 4096
    assert chip.state()["u"].tolist() == [192, settled, -settled, 0]
    assert out.t[-1] == ticks * 1000 - 1


def test_a_quiet_chip_jumps_to_its_next_input():
    placement = LoihiPlacement.of(
        1, 1, synapses=[(0, 0, 0, 1, 7)], targets=[(0, 0, PIN, 0)], outputs=1, threshold=0, dv=4095
    )
    chip = Chip(placement)
    late = 10**15  # a walk over these ticks would take for ever
    assert fired(chip, [(3, 0), (late, 0)], late + 10) == [(10, 0), (late + 7, 0)]
    assert len(chip(no_spikes(chip.state()["next"] * 1000, 10**18 + 10**17))) == 0
    assert chip.state()["counters"][2] == (10**18 + 10**17) // 1000
