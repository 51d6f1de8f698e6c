"""What a placement of Loihi cores may hold, how it is given, and its file."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loihi_cases import random_chip

from spikestream.errors import ConfigError, ModelError
from spikestream.files.placements import read_placement, write_placement
from spikestream.model.loihi import LoihiPlacement, bits_of
from spikestream.model.loihi_limits import EXCITATORY, INHIBITORY
from spikestream.model.placement import PIN

PLAIN = {"compartments": [3, 2], "axons": [2, 4], "outputs": 1}
SYNAPSE, TARGET = (0, 1, 2, 5, 3), (1, 1, 0, 1)


def test_rows_in_any_order_come_to_lie_by_core_and_axon():
    rows = [(1, 3, 1, 7, 0), (0, 1, 2, 5, 3), (1, 0, 0, -4, 62), (0, 1, 0, 6, 0)]
    made = LoihiPlacement.of(**PLAIN, synapses=rows, targets=[(1, 1, 0, 1), (0, 2, PIN, 0), (0, 2, 1, 3)])
    assert made.first_compartment.tolist() == [0, 3, 5]
    assert made.first_axon.tolist() == [0, 2, 6]
    assert made.first_synapse.tolist() == [0, 0, 2, 3, 3, 3, 4]
    assert list(zip(made.compartment, made.weight, made.delay, strict=True)) == [
        (2, 5, 3),
        (0, 6, 0),
        (0, -4, 62),
        (1, 7, 0),
    ]
    assert made.first_target.tolist() == [0, 0, 0, 2, 2, 3]
    assert list(zip(made.target_core, made.target_axon, strict=True)) == [(PIN, 0), (1, 3), (0, 1)]
    assert made.inputs.tolist() == [[0, 0, 0, 0], [1, 0, 1, 0], [2, 1, 0, 0], [3, 1, 1, 0], [4, 1, 2, 0], [5, 1, 3, 0]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"du": -1},
        {"du": 4096},
        {"dv": 4096},
        {"bias": 4096},
        {"bias": -4096},
        {"bias_exponent": 8},
        {"threshold": -1},
        {"threshold": 2**17},
        {"v_min": 1},
        {"v_min": -(2**23)},
        {"v_max": -1},
        {"v_max": 2**23},
        {"refractory": 0},
        {"refractory": 65},
        {"weight_exponent": 8},
        {"weight_exponent": -9},
        {"weight_bits": 0},
        {"weight_bits": 10},
        {"weight_sign": 2},
        {"weight_sign": EXCITATORY, "weight_bits": 9},
        {"plastic": 2},
        {"synapses": [(0, 1, 2, 256)]},
        {"synapses": [(0, 1, 2, -257)]},
        {"synapses": [(0, 1, 2, 5, 63)]},
        {"synapses": [(0, 1, 2, 5, -1)]},
        {"synapses": [(0, 1, 3, 5)]},
        {"synapses": [(1, 1, 2, 5)]},
        {"synapses": [(0, 2, 0, 5)]},
        {"synapses": [(2, 0, 0, 5)]},
        {"synapses": [(-1, 0, 0, 5)]},
        {"synapses": [(0, 0, 5)]},
        {"synapses": [(0, 0, 0, 5), (0, 0, 0, 5, 0)]},
        {"synapses": [(0, 0, 0, 0.5)]},
        {"synapses": [SYNAPSE], "weight_sign": INHIBITORY},
        {"synapses": [(0, 1, 2, -5)], "weight_sign": EXCITATORY},
        {"synapses": [SYNAPSE], "weight_bits": 8},
        {"targets": [(1, 1, 0, 2)]},
        {"targets": [(1, 1, 2, 0)]},
        {"targets": [(1, 2, 0, 0)]},
        {"targets": [(1, 1, -1, 0)]},
        {"targets": [(1, 1, PIN, 1)]},
        {"targets": [(1, 1, -3, 0)]},
        {"outputs": -1},
        {"outputs": 2**40},
        {"inputs": [(0, 0, 2, 0)]},
        {"inputs": [(0, 1, 0, 63)]},
        {"inputs": [(1, 0, 0, 0), (0, 0, 0, 0)]},
        {"inputs": [(0, 0, 0)]},
        {"input_count": 0},
        {"epoch": 0},
        {"epoch": 64},
        {"x1_impulse": 128},
        {"y1_decay": 4096},
        {"a_plus": 8},
        {"a_minus_exponent": -8},
        {"seed": 2**32},
        {"law": "loihi/2"},
        {"grid": (1, 1)},
        {"core_xy": [(0, 0), (0, 0)]},
        {"first_axon": [0, 3, 6], "axons": [2, 4]},
        {"first_synapse": [0, 0, 0, 0, 0, 0, 1]},
        {"first_synapse": [0, 0, 0, 0, 0, 0]},
        {"compartment": [0]},
        {"notes": {"a": {1, 2}}},
        {"compartments": [[1], [2, 3]]},
        {"compartments": [1.5, 2]},
        {"compartments": []},
        {"compartments": [1025, 1]},
        {"compartments": 0},
        {"axons": [4097, 1]},
        {"axons": -1},
        {"axons": [1, 2, 3]},
        {"axon": 3},
    ],
    ids=str,
)
def test_what_no_chip_can_hold_is_refused(wrong):
    with pytest.raises(ModelError):
        LoihiPlacement.of(**{**PLAIN, **wrong})


def test_a_compartment_has_no_more_targets_and_a_core_no_more_synapses_than_it_has_room_for():
    targets = [(0, j, 1, i) for j in range(3) for i in range(1366)]
    with pytest.raises(ModelError, match="core 0 has 4,098 targets: a core holds 4,096"):
        LoihiPlacement.of([3, 1], [0, 1366], targets=targets)
    LoihiPlacement.of([3, 1], [0, 1366], targets=targets[:4096])
    # An axon to all compartments in a row: 10 + 1,024 · 9 bits, in words of 64: 9,280; 112 of them are 1,039,360.
    axon, j = np.divmod(np.arange(113 * 1024), 1024)
    synapses = np.stack([0 * j, axon, j, 0 * j + 1], axis=1)
    assert bits_of(LoihiPlacement.of(1024, 112, synapses=synapses[: 112 * 1024])).tolist() == [1_039_360]
    with pytest.raises(ModelError, match="core 0 has 1,048,640 bits of synapses"):
        LoihiPlacement.of(1024, 113, synapses=synapses)


@pytest.mark.parametrize(
    ("rows", "bits"),
    [
        ([], 0),
        ([(0, 0, 0, 1)], 64),
        ([(0, 0, j, 1) for j in range(7)], 128),
        ([(0, 0, 2 * j, 1) for j in range(4)], 128),
    ],
)
def test_synapses_take_whole_words_of_memory(rows, bits):
    assert bits_of(LoihiPlacement.of(8, 2, synapses=rows)).tolist() == [bits]


def test_a_placement_belongs_to_itself_and_says_what_it_is():
    bias = np.ones(5, int)
    placement = LoihiPlacement.of(**PLAIN, synapses=[SYNAPSE], targets=[TARGET], bias=bias)
    bias[...] = 7
    assert placement.bias.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        placement.bias[...] = 7
    assert (
        repr(placement) == "LoihiPlacement(loihi/1, 2 cores, 6 axons, 5 compartments, 1 synapses, 6 inputs, 1 outputs)"
    )
    told = {"law": "loihi/1", "cores": 2, "grid": [2, 1], "axons": 6, "neurons": 5, "synapses": 1, "inputs": 6}
    assert told.items() <= placement.report().items()


def test_the_digest_is_of_everything_but_the_notes():
    placement = LoihiPlacement.of(**PLAIN, synapses=[SYNAPSE], targets=[TARGET])
    assert replace(placement, notes={"layers": [1, 2]}).digest.tolist() == placement.digest.tolist()
    for one in fields(placement):
        value = getattr(placement, one.name)
        if one.name in ("du", "weight_exponent", "weight", "delay", "target_axon", "epoch", "seed", "a_plus"):
            other = replace(
                placement, **{one.name: np.where(value > 0, value - 1, value + 1) if one.name != "epoch" else value + 1}
            )
            assert other.digest.tolist() != placement.digest.tolist(), one.name


@given(seed=st.integers(0, 300))
@settings(max_examples=20, deadline=None)
def test_a_placement_survives_its_own_file(seed, tmp_path_factory):
    placement, path = random_chip(seed), tmp_path_factory.mktemp("placement") / "a.npz"
    noted = replace(placement, notes={"seed": seed})
    write_placement(path, noted)
    read = read_placement(path)
    assert isinstance(read, LoihiPlacement)
    assert (read.digest.tolist(), read.notes) == (placement.digest.tolist(), {"seed": seed})


def test_other_formats_and_damaged_files_are_refused(tmp_path):
    placement = random_chip(1)
    with pytest.raises(ModelError, match="ranc holds crossbar cores"):
        write_placement(tmp_path / "a.json", placement, format="ranc")
    with pytest.raises(ConfigError):
        write_placement(tmp_path / "a.xyz", placement, format="xyz")
    write_placement(tmp_path / "a.npz", placement)
    with np.load(tmp_path / "a.npz") as file:
        whole = dict(file)
    for name in ("weight", "first_synapse", "core_xy", "target_axon", "inputs", "du", "seed"):
        shorter = whole[name].T[:-1].T
        for wrong in (shorter, whole[name].astype(np.int64) - 10**10, np.array("x"), whole[name].astype(float)):
            with open(tmp_path / "b.npz", "wb") as file:
                np.savez(file, **{**whole, name: wrong})
            with pytest.raises(ModelError):
                read_placement(tmp_path / "b.npz")
