"""The compiler for crossbar cores: what the chip does is what the integer reference does, and what the circuit does."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from compile_cases import in_floating_point, on_chip, random_circuit, random_rows
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import spikestream as ss
from spikestream.compiling import compile_with_reference
from spikestream.files.placements import read_placement, write_placement
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.crossbar import RANC
from spikestream.model.placement import identity

STEPS = 100


def some(examples):
    """Return settings for that many cases; nothing is shrunk."""
    return settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


seeds = st.integers(0, 10**6)


@some(30)
@given(seeds)
def test_what_fits_exactly_spikes_as_the_circuit_does(seed):
    circuit = random_circuit(seed, exact=True)
    rows = random_rows(seed, circuit.input_count, STEPS)
    placement, reference = compile_with_reference(circuit, exact=True, anneal_steps=100)
    wanted = in_floating_point(circuit, rows, STEPS)
    assert np.array_equal(reference.run(rows, STEPS), wanted)
    assert np.array_equal(on_chip(placement, reference, rows, STEPS), wanted)


def test_the_chip_is_its_reference_spike_by_spike():
    """And the cases split, prune, delay, copy and loop, and hardly any is silent."""
    seen = dict.fromkeys(("parts", "relays", "duplicates", "left out", "loops", "spikes"), 0)

    @some(36)
    @given(seeds, st.sampled_from(["split", "split", "prune"]), st.sampled_from([9, 12, 40]), st.sampled_from([24, 64]))
    def check(seed, fan_in, axons, neurons):
        circuit = random_circuit(seed, exact=False)
        rows = random_rows(seed, circuit.input_count, STEPS)
        options = {"fan_in": fan_in, "axons": axons, "neurons": neurons, "anneal_steps": 100}
        try:
            placement, reference = compile_with_reference(circuit, **options)
        except ss.ModelError:  # a loop that does not fit cores as small, or has no time for parts
            return
        wanted, notes = reference.run(rows, STEPS), placement.notes
        assert np.array_equal(on_chip(placement, reference, rows, STEPS), wanted)
        for key in ("parts", "relays", "duplicates"):
            seen[key] += notes[key] > 0
        seen["left out"] += any(own["left_out"] for own in notes["populations"].values())
        seen["loops"] += any(link.source == link.target for link in circuit.links)
        seen["spikes"] += len(wanted) > 20

    check()
    assert all(seen.values()), seen
    assert seen["spikes"] >= 15


def convolution(size, kernel, stride):
    """Return the matrix of a square image of one channel onto another, by kernel (k, k), without padding."""
    k, out = len(kernel), (size - len(kernel)) // stride + 1
    made = np.zeros((size, size, out, out))
    for y in range(out):
        for x in range(out):
            made[y * stride : y * stride + k, x * stride : x * stride + k, y, x] = kernel
    return made.reshape(size * size, out * out)


def folded_cnn():
    """Return convolution, pooling and a dense layer, trinary, as NIR folds into: neurons that only integrate."""
    rng = np.random.default_rng(5)
    kernels = [np.array([[1, 0, -1]] * 3), np.array([[1, 1, 1], [0, 0, 0], [-1, -1, -1]])]
    first = np.concatenate([convolution(12, kernel, 1) for kernel in kernels], axis=1)  # 2 x 10 x 10
    pool = np.kron(np.eye(2), convolution(10, np.ones((2, 2)), 2))  # 2 x 5 x 5
    dense = rng.choice([-1, 0, 1], (50, 10), p=[0.2, 0.5, 0.3])
    cells = [
        Cells("conv", (2, 10, 10), decay=1.0, threshold=2.0, reset="subtract", floor=-4.0, at_threshold=True),
        Cells("pool", (2, 5, 5), decay=1.0, threshold=1.0, reset="subtract", floor=-4.0, at_threshold=True),
        Cells("class", (10,), decay=1.0, threshold=2.0, reset="subtract", floor=-4.0, at_threshold=True),
    ]
    links = [Link.dense("image", "conv", first), Link.dense("conv", "pool", pool), Link.dense("pool", "class", dense)]
    return Circuit((("image", 144),), tuple(cells), tuple(links), ("class",))


def test_a_folded_cnn_is_computed_exactly():
    circuit = folded_cnn()
    rows = random_rows(3, 144, 60, mean=20)
    placement, reference = compile_with_reference(circuit, exact=True, anneal_steps=2000)
    wanted = in_floating_point(circuit, rows, 60)
    assert len(wanted) > 200
    assert np.array_equal(reference.run(rows, 60), wanted)
    assert np.array_equal(on_chip(placement, reference, rows, 60), wanted)
    assert placement.notes["latency_ticks"] == {"class": 2}
    assert placement.notes["hops"]["after"] <= placement.notes["hops"]["before"]


def test_small_cores_take_more_of_them_and_change_nothing():
    circuit = folded_cnn()
    rows = random_rows(3, 144, 60, mean=20)
    wanted = in_floating_point(circuit, rows, 60)
    placement, reference = compile_with_reference(circuit, exact=True, axons=40, neurons=24, anneal_steps=500)
    late = placement.notes["latency_ticks"]["class"]
    assert placement.cores > 10
    assert np.array_equal(on_chip(placement, reference, rows, 60), wanted)
    assert late >= 2


def test_splitters_are_taken_where_copies_would_cost_more():
    """A layer behind a layer, onto many cores: copies of it would need copies of all that it hears."""
    rng = np.random.default_rng(2)
    cells = [Cells(name, (size,), decay=1.0, threshold=2.0) for name, size in (("a", 24), ("b", 24), ("c", 200))]
    matrices = [rng.choice([0.0, 1.0], shape, p=[0.5, 0.5]) for shape in ((20, 24), (24, 24), (24, 200))]
    links = [Link.dense(*ends, m) for ends, m in zip((("in", "a"), ("a", "b"), ("b", "c")), matrices, strict=True)]
    circuit = Circuit((("in", 20),), tuple(cells), tuple(links), ("c",))
    placement, reference = compile_with_reference(circuit, axons=24, neurons=24, exact=True, anneal_steps=0)
    rows = random_rows(4, 20, 40)
    assert placement.notes["relays"] >= 24
    assert placement.notes["latency_ticks"]["c"] >= 3  # two ticks for two layers before it, one at least for splitters
    assert np.array_equal(on_chip(placement, reference, rows, 40), in_floating_point(circuit, rows, 40))


def chain(delay):
    """Return an input that reaches its output at once and by a way of ``delay`` steps, where both are needed."""
    cells = Cells("both", (1,), threshold=2.0, at_threshold=True)
    links = [Link.dense("in", "both", np.ones((1, 1)), own) for own in (0, delay)]
    return Circuit((("in", 1),), (cells,), tuple(links), ("both",))


@pytest.mark.parametrize(("delay", "relays"), [(14, 0), (15, 0), (16, 1), (31, 2), (200, 13)])
def test_delays_beyond_a_spike_s_own_go_through_relays(delay, relays):
    placement, _ = compile_with_reference(chain(delay), exact=True)
    assert placement.notes["relays"] == relays
    chip = ss.Chip(placement)
    out = chip(ss.Spikes(0, 400_000, np.array([3_000, (3 + delay) * 1000]), np.array([0, 0], np.int32)))
    late = placement.notes["latency_ticks"]["both"]
    assert out.t.tolist() == [(3 + delay + late + 1) * 1000 - 1]


def two_in_a_loop(delay):
    cells = [Cells(name, (3,), decay=1.0, threshold=1.0) for name in ("a", "b")]
    ends = (("in", "a", 0), ("a", "b", 0), ("b", "a", delay))
    links = tuple(Link.dense(source, target, np.eye(3), delay) for source, target, delay in ends)
    return Circuit((("in", 3),), tuple(cells), links, ("b",))


def test_a_loop_must_have_as_many_steps_as_neurons():
    assert compile_with_reference(two_in_a_loop(2))[0].cores == 1
    with pytest.raises(ss.ModelError, match=r"the loop b <- a <- b takes 1 steps.*need 2 ticks") as caught:
        compile_with_reference(two_in_a_loop(1))
    assert "longer by 1" in caught.value.remedy


def test_one_axon_stands_for_inhibition_of_all_by_all():
    """Exact where one fires in a step: here each input drives a neuron of its own, one after the other."""
    size = 40
    cells = Cells("out", (size,), decay=1.0, threshold=2.5, floor=-4.0)
    lateral = Link.dense("out", "out", -0.5 * (1 - np.eye(size)), 1)
    circuit = Circuit((("in", size),), (cells,), (Link.dense("in", "out", np.eye(size)), lateral), ("out",))
    rows = np.stack([np.arange(200), np.arange(200) // 20 * 7 % size], axis=1)
    wanted = in_floating_point(circuit, rows, 200)
    placement, reference = compile_with_reference(circuit, inhibition="any")
    assert len(wanted) > 20
    assert np.array_equal(reference.run(rows, 200), wanted)
    assert np.array_equal(on_chip(placement, reference, rows, 200), wanted)
    each, _ = compile_with_reference(circuit, inhibition="each")
    assert placement.report()["axons"] == size + 1
    assert each.report()["axons"] == 2 * size


def test_spikes_that_come_a_step_later_do():
    """Of cells that give them late, and of cells that hear through a current which does not last."""
    late = Cells("late", (6,), decay=1.0, threshold=1.0, late_spikes=True)
    slow = Cells("slow", (4,), decay=1.0, threshold=1.0, current_decay=0.0, current_gain=0.5, old_current=True)
    rng = np.random.default_rng(0)
    links = (
        Link.dense("in", "late", rng.choice([0.0, 1.0], (5, 6))),
        Link.dense("late", "slow", rng.choice([0.0, 2.0], (6, 4))),
        Link.dense("in", "slow", rng.choice([0.0, -1.0], (5, 4))),
    )
    circuit = Circuit((("in", 5),), (late, slow), links, ("slow",))
    rows = random_rows(1, 5, STEPS)
    wanted = in_floating_point(circuit, rows, STEPS)
    placement, reference = compile_with_reference(circuit, exact=True)
    assert len(wanted) > 40
    assert np.array_equal(reference.run(rows, STEPS), wanted)
    assert np.array_equal(on_chip(placement, reference, rows, STEPS), wanted)
    own, _ = compile_with_reference(replace(circuit, outputs=("late",)), exact=True)
    assert own.notes["latency_ticks"] == {"late": -1}


def test_inputs_summed_in_parts_miss_little_in_the_long_run():
    rng = np.random.default_rng(3)
    cells = Cells("a", (6,), decay=1.0, threshold=8.0, reset="subtract", floor=-30.0)
    matrix = rng.choice([-1.0, 1.0], (300, 6), p=[0.4, 0.6])
    circuit = Circuit((("in", 300),), (cells,), (Link.dense("in", "a", matrix),), ("a",))
    rows = random_rows(1, 300, 600, mean=6)
    placement, reference = compile_with_reference(circuit, axons=64, anneal_steps=0)
    assert placement.notes["parts"] >= 6 * 4
    every = in_floating_point(circuit, rows, 600), reference.run(rows, 600)
    wanted, found = (np.bincount(spikes[:, 1], minlength=6) for spikes in every)
    assert wanted.sum() > 300
    assert np.abs(wanted - found).max() <= 4
    assert np.array_equal(on_chip(placement, reference, rows, 600), every[1])


def test_a_placement_survives_ranc_s_files(tmp_path):
    rng = np.random.default_rng(1)
    cells = [Cells(name, (size,), threshold=1.0, at_threshold=True) for name, size in (("a", 12), ("b", 5))]
    links = [Link.dense("in", "a", rng.choice([-1, 0, 1], (10, 12))), Link.dense("a", "b", rng.choice([0, 1], (12, 5)))]
    circuit = Circuit((("in", 10),), tuple(cells), tuple(links), ("b",))
    placement, reference = compile_with_reference(circuit, law=RANC, axons=32, neurons=32)
    rows = random_rows(2, 10, 50)
    # RANC's packets name axons, so what an input reaches becomes inputs of their own.
    p = placement
    axons = replace(p, inputs=identity(p.cores, p.axons, 0), input_count=p.cores * p.axons)
    write_placement(tmp_path / "input.json", axons, format="ranc")
    back = read_placement(tmp_path / "input.json")
    reach = {i: (core * p.axons + axon, delay) for i, core, axon, delay in p.inputs.tolist()}
    assert len(reach) < len(p.inputs), "an input reaches several axons"
    spread = [
        (t + delay, core * p.axons + axon) for t, i in rows.tolist() for j, core, axon, delay in p.inputs if i == j
    ]
    spread = np.array(sorted(spread))
    out = ss.Chip(back)(ss.Spikes(0, 60_000, spread[:, 0].astype(np.int64) * 1000, spread[:, 1].astype(np.int32)))
    late = placement.notes["latency_ticks"]["b"]
    got = np.stack([out.t // 1000 - late, out.axon], axis=1)
    assert len(got) > 10
    assert np.array_equal(got[got[:, 0] < 50], reference.run(rows, 50))


def test_notes_are_json_and_the_same_again():
    circuit = random_circuit(11, exact=False)
    one, two = (ss.compile(circuit, anneal_steps=300, seed=4) for _ in range(2))
    assert one.digest.tobytes() == two.digest.tobytes()
    assert json.loads(json.dumps(one.report())) == one.report() == two.report()


def test_progress_is_told_from_0_to_1():
    told = []
    compile_with_reference(folded_cnn(), progress=lambda step, part: told.append((step, part)), anneal_steps=1500)
    assert next(step for step, _ in told) == "quantise"
    assert told[-1] == ("done", 1.0)
    assert {"quantise", "partition", "place"} < {step for step, _ in told}
    assert all(0 <= part <= 1 for _, part in told)


def test_samples_tell_how_circuit_and_chip_agree():
    circuit = folded_cnn()
    rows = random_rows(3, 144, 60, mean=20)
    samples = ss.Spikes(0, 60_000, rows[:, 0] * 1000, rows[:, 1].astype(np.int32))
    plain = ss.compile(circuit, anneal_steps=0)
    assert plain.report()["agreement"] is None
    found = ss.compile(circuit, anneal_steps=0, samples=samples, window_us=10_000).report()["agreement"]
    assert found["windows"] == 6
    assert found["same_decision"] == 1.0
    assert found["count_error"] == 0.0
    assert found["spikes"]["chip"] == found["spikes"]["circuit"] > 100
