"""A circuit onto Loihi cores: the chip gives what its integer reference gives, and that what the circuit gives."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from spikestream.batch import Spikes
from spikestream.compiling import compile_with_reference
from spikestream.errors import ConfigError, ModelError
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.stages.chip import Chip
from spikestream.stages.simulator import Simulator

STEPS = 150


def random_input(seed, count, mean=0.1, steps=STEPS):
    """Return (step, input) rows in order, some twice in a step."""
    rows = np.random.default_rng(seed).poisson(mean, (steps, count))
    return np.repeat(np.argwhere(rows), rows[rows > 0], axis=0)


def spikes(rows, ticks):
    return Spikes(0, ticks * 1000, rows[:, 0] * 1000, rows[:, 1].astype(np.int32))


def by_chip(placement, latency, rows, steps=STEPS):
    """Return the (step, output) rows of a chip, each output earlier by its latency."""
    out = Chip(placement)(spikes(rows, steps + 80))
    found = np.stack([out.t // 1000 - latency[out.axon], out.axon], axis=1)
    found = found[(found[:, 0] >= 0) & (found[:, 0] < steps)]
    return found[np.lexsort((found[:, 1], found[:, 0]))].tolist()


def by_circuit(circuit, rows, steps=STEPS):
    out = Simulator(circuit)(spikes(rows, steps))
    return np.stack([out.t // 1000, out.axon], axis=1).tolist()


def alone(matrix, delay=0, **given):
    """Return a circuit of one population of cells behind its input."""
    cells = Cells("cells", (matrix.shape[1],), **given)
    return Circuit((("in", len(matrix)),), (cells,), (Link.dense("in", "cells", matrix, delay),), ("cells",))


def random_circuit(seed):
    """Return two or three populations of cells of any kind there can be, some ways between them and back."""
    rng = np.random.default_rng(seed)
    sizes, cells = rng.integers(3, 12, int(rng.integers(2, 4))), []
    for k, size in enumerate(sizes):
        kind = {
            "decay": rng.uniform(0.5, 1, size),
            "threshold": rng.uniform(0.5, 2, size),
            "gain": rng.uniform(0.5, 1, size),
        }
        kind |= {"refractory": rng.integers(0, 4, size), "late_reset": bool(rng.random() < 0.3)}
        kind |= {"late_spikes": bool(rng.random() < 0.3), "bias": rng.uniform(-0.02, 0.05, size)}
        if rng.random() < 0.5:
            kind |= {
                "current_decay": rng.uniform(0.2, 0.9, size),
                "current_gain": 0.6,
                "old_current": bool(rng.random() < 0.5),
            }
        if rng.random() < 0.5:
            kind |= {"reset_to": -0.2, "floor": -1.0, "drift": 0.01, "v0": -0.2}
        cells.append(Cells(f"p{k}", (int(size),), **kind))
    links = [Link.dense("in", "p0", rng.normal(0.3, 0.5, (8, sizes[0])), int(rng.integers(0, 3)))]
    for k in range(1, len(sizes)):
        links.append(
            Link.dense(f"p{k - 1}", f"p{k}", rng.normal(0.3, 0.5, (sizes[k - 1], sizes[k])), int(rng.integers(0, 3)))
        )
        links.append(
            Link.dense(f"p{k}", "p0", rng.normal(0, 0.2, (sizes[k], sizes[0])), int(rng.integers(len(sizes), 9)))
        )
    links.append(Link.dense("in", f"p{len(sizes) - 1}", rng.normal(0.1, 0.3, (8, sizes[-1])), 5))
    return Circuit((("in", 8),), tuple(cells), tuple(links), (f"p{len(sizes) - 1}", "p0"))


@pytest.mark.parametrize("room", [1024, 5])
def test_chips_of_random_circuits_equal_their_integer_reference(monkeypatch, room):
    monkeypatch.setattr(import_module("spikestream.model.compile.loihi"), "MOST_COMPARTMENTS", room)
    lively, cores = 0, 0
    for seed in range(25):
        circuit, rows = random_circuit(seed), random_input(seed, 8)
        placement, reference = compile_with_reference(circuit, "loihi", anneal_steps=50)
        expected = reference.run(rows, STEPS).tolist()
        assert by_chip(placement, reference.latency, rows) == expected
        lively += len(expected) > 50
        cores += placement.cores
    assert lively > 18
    assert cores == 25 if room == 1024 else cores > 75


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"refractory": 3},
        {"late_reset": True},
        {"late_reset": True, "refractory": 3},
        {"late_spikes": True},
        {"current_decay": 0.7, "current_gain": 1.0},
        {"current_decay": 0.7, "current_gain": 0.5, "old_current": True},
        {"reset_to": -0.5, "v0": -0.5},
        {"drift": 0.02},
        {"bias": 0.05},
        {"floor": -0.2},
        {"at_threshold": True},
        {"gain": -1.0},
    ],
    ids=str,
)
def test_cells_of_every_kind_do_nearly_what_they_do_in_the_circuit(kind):
    rng = np.random.default_rng(1)
    matrix = rng.normal(0.1, 0.3, (20, 12)) * np.sign(kind.get("gain", 1.0))
    circuit = alone(matrix, delay=1, **{"decay": 0.9, "threshold": 1.0, **kind})
    rows = random_input(2, 20, steps=300)
    placement, reference = compile_with_reference(circuit, "loihi")
    found, wanted = (
        set(map(tuple, one)) for one in (reference.run(rows, 300).tolist(), by_circuit(circuit, rows, 300))
    )
    assert len(wanted) > 200
    assert len(found & wanted) > 0.97 * max(len(wanted), len(found))
    assert placement.report()["populations"]["cells"]["weight_error"]["in"] < 0.005


@pytest.mark.parametrize("at_threshold", [False, True])
def test_cells_without_decay_and_with_whole_weights_are_exact(at_threshold):
    rng = np.random.default_rng(5)
    given = {"decay": 1.0, "at_threshold": at_threshold}
    first = Cells("first", (15,), threshold=rng.integers(2, 7, 15), refractory=1, floor=-20.0, **given)
    second = Cells("second", (6,), threshold=1.5, floor=-4.5, **given)
    links = [Link.dense("in", "first", rng.integers(-3, 6, (20, 15)), 2)]
    links += [
        Link.dense("first", "second", 0.5 * rng.integers(-3, 4, (15, 6))),
        Link.dense("first", "first", -np.eye(15), 3),
    ]
    circuit = Circuit((("in", 20),), (first, second), tuple(links), ("second", "first"))
    placement, reference = compile_with_reference(circuit, "loihi", exact=True)
    rows = random_input(3, 20)
    wanted = by_circuit(circuit, rows)
    assert len(wanted) > 300
    assert reference.run(rows, STEPS).tolist() == wanted
    assert by_chip(placement, reference.latency, rows) == wanted
    assert placement.report()["latency_ticks"] == {"second": 1, "first": 0}


def test_short_ways_wait_for_long_ones():
    # Four cells in a row, each once in a step; the last hears the first of them too, and its input, and itself later.
    names = "abcd"
    cells = tuple(Cells(name, (3,), decay=1.0, threshold=1.5 if name == "d" else 0.5, floor=-3.0) for name in names)
    links = [
        Link.dense("in", "a", np.eye(3)),
        Link.dense("in", "d", np.eye(3)),
        Link.dense("a", "d", -2 * np.eye(3), 2),
    ]
    links += [Link.dense(one, other, np.eye(3)) for one, other in zip("abc", "bcd", strict=True)]
    links += [Link.dense("d", "a", -np.eye(3), 4)]
    circuit = Circuit((("in", 3),), cells, tuple(links), tuple(names))
    placement, reference = compile_with_reference(circuit, "loihi", exact=True)
    assert placement.report()["latency_ticks"] == {"a": 0, "b": 1, "c": 2, "d": 3}
    rows = random_input(6, 3, mean=0.4)
    assert (
        by_chip(placement, reference.latency, rows) == reference.run(rows, STEPS).tolist() == by_circuit(circuit, rows)
    )


def test_weights_of_very_different_sources_have_exponents_of_their_own():
    rng = np.random.default_rng(2)
    cells = Cells("cells", (10,), decay=0.9, threshold=1.0)
    links = [Link.dense("weak", "cells", rng.uniform(0.01, 0.05, (30, 10)))]
    links += [Link.dense("strong", "cells", rng.uniform(-4, -2, (3, 10)))]
    circuit = Circuit((("weak", 30), ("strong", 3)), (cells,), tuple(links), ("cells",))
    told = compile_with_reference(circuit, "loihi")[0].report()["populations"]["cells"]
    assert told["exponents"]["strong"] - told["exponents"]["weak"] >= 5
    assert max(told["weight_error"].values()) < 0.01


def test_a_large_population_takes_several_cores_within_their_limits():
    rng = np.random.default_rng(4)
    circuit = alone(rng.normal(0, 1, (64, 1500)), decay=0.9, threshold=2.0)
    placement, reference = compile_with_reference(circuit, "loihi", anneal_steps=0)
    assert placement.cores > 1
    assert np.diff(placement.first_compartment).max() <= 1024
    rows = random_input(4, 64, steps=20)
    assert by_chip(placement, reference.latency, rows, 20) == reference.run(rows, 20).tolist() != []


def line(**given):
    return alone(np.ones((2, 3)), **{"decay": 0.9, "threshold": 1.0, **given})


@pytest.mark.parametrize(
    ("circuit", "text"),
    [
        (line(several=True), "several spikes a step"),
        (line(spiking=False), "give values, and a chip gives spikes"),
        (line(reset="subtract"), "reset by 'subtract'"),
        (line(threshold=0.0), "reset to their threshold or above"),
        (line(floor=0.5), "a floor above what they are reset to"),
        (line(decay=1.1), "decays are not within"),
        (line(current_decay=1.0, current_gain=1.0), "decays are not within"),
        (line(refractory=64), "refractory for more than 63 steps"),
        (alone(np.ones((2, 3)), delay=63, threshold=1.0), "wait for 63 ticks, and synapses for 62"),
        (alone(np.ones((4097, 1)), threshold=1.0), "a cell of 'cells' hears 4,097 others"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(circuit, text):
    with pytest.raises(ModelError, match=text):
        compile_with_reference(circuit, "loihi")


def test_a_loop_needs_a_step_for_each_neuron_in_it():
    one, other = (Cells(name, (2,), threshold=1.0) for name in "ab")
    links = [Link.dense("in", "a", np.eye(2)), Link.dense("a", "b", np.eye(2)), Link.dense("b", "a", np.eye(2), 1)]
    with pytest.raises(ModelError, match="a loop through"):
        compile_with_reference(Circuit((("in", 2),), (one, other), tuple(links), ("b",)), "loihi")


def test_what_is_only_nearly_so_is_told_or_refused():
    circuit = line(reset="subtract", current_decay=0.3, current_gain=1.0, bias=0.1, v0=0.5)
    placement, _ = compile_with_reference(circuit, "loihi", hard_reset=True)
    told = " ".join(placement.report()["populations"]["cells"]["approximate"])
    for part in ("decay of v", "the current", "bias", "begins at reset_to", "instead of by 'subtract'"):
        assert part in told
    with pytest.raises(ModelError, match="do not fit exactly"):
        compile_with_reference(circuit, "loihi", hard_reset=True, exact=True)


@pytest.mark.parametrize(
    "wrong", [{"cores": 0}, {"cores": 1.5}, {"active": 0}, {"active": 2}, {"seed": -1}, {"axons": 256}], ids=str
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        compile_with_reference(line(), "loihi", **wrong)


def test_a_network_that_needs_more_cores_than_there_are_is_refused():
    with pytest.raises(ModelError, match="needs more than the 1 cores"):
        compile_with_reference(alone(np.ones((1, 1025)), threshold=1.0), "loihi", cores=1)
