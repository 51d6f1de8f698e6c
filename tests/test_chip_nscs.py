"""NSCS' models and spike files: as its front end writes them, there and back, and what is wrong in them."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from crossbar_cases import random_chip

from spikestream.batch import Spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.files.nscs import write_nscs
from spikestream.files.nscs_spikes import nscs_input, nscs_output, read_nscs_spikes, write_nscs_spikes
from spikestream.files.placements import read_placement, write_placement
from spikestream.model.crossbar import RANC, CrossbarPlacement
from spikestream.model.placement import PIN, identity
from spikestream.stages.chip import Chip

KIND = {f"{name}{g}": value for g in range(4) for name, value in (("sigma", 1), ("s", 0), ("b", False))}
KIND |= {"sigma_lambda": 1, "lambda": 0, "c_lambda": False, "epsilon": False, "alpha": 0, "beta": 0, "TM": 0}
KIND |= {"gamma": 0, "kappa": False, "sigma_VR": 1, "VR": 0, "V": 0}


def text(kinds, cores, size=8):
    """Return a model as pytruenorth writes it: the key of a core again and again."""
    model = {"coreCount": len(cores), "neuronClass": "NeuronGeneral", "crossbarSize": size}
    parts = [("model", model), ("neuronTypes", kinds), *(("core", core) for core in cores)]
    return "{" + ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in parts) + "}"


def core(number, neurons, rows=8):
    return {
        "id": number,
        "rngSeed": 1,
        "timeScaleExponent": 0,
        "neurons": neurons,
        "crossbar": {
            "rows": [{"type": "S0", "synapses": "00"}] * 3
            + [{"type": "S0", "synapses": "10"}]
            + [{"type": "S1", "synapses": "00"}] * (rows - 4)
        },
    }


def neuron(kind, target=-32, axon=0, **more):
    return {"type": kind, "destCore": target, "destAxon": axon, "delay": 1, **more}


def tonic():
    """Return the example of pytruenorth's README on cores of eight neurons: four that fire, on two cores."""
    idle = neuron("idle", -1, -1)
    kinds = [
        {**KIND, "name": "idle", "alpha": 1},
        {**KIND, "name": "a", "alpha": 10, "lambda": 1},
        {**KIND, "name": "b", "alpha": 10, "lambda": 1, "V": 1},
        {**KIND, "name": "c", "alpha": 11, "lambda": 2},
        {**KIND, "name": "d", "alpha": 10, "lambda": 1, "sigma_lambda": -1, "s0": 3},
    ]
    first = core(0, [neuron("a", axon=0), neuron("b", axon=1), neuron("c", axon=2), *[idle] * 5])
    # Column 3 of row 3 is set; the seventh neuron reads it.
    second = core(1, [*[idle] * 7, neuron("d", axon=5, dendrite=3)])
    return text(kinds, [first, second])


def test_the_readme_s_chip_keeps_its_periods_and_phases(tmp_path):
    (tmp_path / "model.json").write_text(tonic())
    rows = np.array([(t, 1, axon) for t in range(100) for axon in (3, 4)])
    write_nscs_spikes(tmp_path / "in.sfri", rows)
    placement = read_placement(tmp_path / "model.json")
    spikes = nscs_input(read_nscs_spikes(tmp_path / "in.sfri"), placement)
    out = nscs_output(Chip(placement)(spikes))
    assert set(out[:, 1].tolist()) == {-32}
    found = {pin: out[out[:, 2] == pin, 0].tolist() for pin in (0, 1, 2, 5)}
    # (period, phase) as printed there: phase is (first spike + 1) modulo the period.
    for pin, (period, phase) in {0: (10, 0), 1: (10, 9), 2: (6, 0), 5: (5, 1)}.items():
        assert set(np.diff(found[pin][1:])) == {period}
        assert (found[pin][0] + 1) % period == phase


@pytest.mark.parametrize("seed", range(8))
def test_random_chips_survive_a_model_file(tmp_path, seed):
    one = random_chip(seed, axons=16, neurons=16)
    names = "axon_type synapses weights random_weights leak random_leak leak_reversal threshold threshold_bits floor"
    names += " floor_clamps reset_mode v0 target_core delay seed core_xy grid"
    own = {name: getattr(one, name) for name in names.split()}
    axon = np.where(one.target_core == -1, 0, one.target_axon % 16)
    reset = np.sign(one.reset) * (2 ** np.minimum(np.abs(one.reset), 19) - 1)
    own |= {"core_xy": np.stack([np.zeros(one.cores, int), np.arange(one.cores)], axis=1), "grid": (1, one.cores)}
    placement = CrossbarPlacement.of(
        one.cores, 16, 16, **own, target_axon=axon, reset=reset, outputs=16, inputs=identity(one.cores, 16, 1)
    )
    write_placement(tmp_path / "model.json", placement, format="nscs")
    again = read_placement(tmp_path / "model.json")
    for name in [*names.split(), "target_axon", "reset", "inputs"]:
        assert np.array_equal(getattr(again, name), getattr(placement, name)), name
    assert again.outputs <= 16


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"law": RANC}, "law"),
        ({"reset": 5}, "reset"),
        ({"inputs": identity(1, 8, 0)}, "inputs"),
        ({"core_xy": [[0, 64]], "grid": (1, 65)}, "below row 63"),
        ({"outputs": 9, "target_core": PIN}, "output"),
    ],
)
def test_what_nscs_has_no_word_for_is_not_written(tmp_path, wrong, why):
    with pytest.raises(ModelError, match=why):
        write_nscs(tmp_path / "m.json", CrossbarPlacement.of(1, 8, 8, **{"inputs": identity(1, 8, 1), **wrong}))
    with pytest.raises(ModelError, match="as many"):
        write_nscs(tmp_path / "m.json", CrossbarPlacement.of(1, 8, 4, inputs=identity(1, 8, 1)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"alpha": 10', '"alpha": -1'),
        ('"alpha": 10', '"alpha": 262144'),
        ('"s0": 3', '"s0": 256'),
        ('"sigma0": 1', '"sigma0": 2'),
        ('"gamma": 0', '"gamma": 3'),
        ('"VR": 0', '"VR": 20'),
        ('"TM": 0', '"TM": 19'),
        ('"type": "a"', '"type": "z"'),
        ('"type": "a"', '"type": []'),
        ('"destCore": -32', '"destCore": -33'),
        ('"destCore": -32', '"destCore": 7'),
        ('"destAxon": 5', '"destAxon": 8'),
        ('"delay": 1', '"delay": 16'),
        ('"dendrite": 3', '"dendrite": 8'),
        ('"type": "S1"', '"type": "S4"'),
        ('"synapses": "10"', '"synapses": "1"'),
        ('"synapses": "10"', '"synapses": "10 00"'),
        ('"crossbarSize": 8', '"crossbarSize": 0'),
        ('"crossbarSize": 8', '"crossbarSize": 7'),
        ('"id": 1', '"id": 0'),
        ('"id": 1', '"id": 4096'),
        ('"name": "a"', '"nome": "a"'),
        ('"neuronTypes": [', '"neuronTypes": [7, '),
        ('"core"', '"cores"'),
    ],
)
def test_a_wrong_value_in_a_model_is_refused(tmp_path, old, new):
    assert old in tonic()
    (tmp_path / "m.json").write_text(tonic().replace(old, new))
    with pytest.raises(ModelError):
        read_placement(tmp_path / "m.json")


# Spike files.

ROWS = [(0, 0, 3), (7, 1, 255), (7, 65, 0)]


@pytest.mark.parametrize("encoding", ["RAWI3", "TEXT"])
def test_spikes_survive_a_file(tmp_path, encoding):
    write_nscs_spikes(tmp_path / "a.sfri", np.array(ROWS), encoding=encoding)
    assert read_nscs_spikes(tmp_path / "a.sfri").tolist() == [list(row) for row in ROWS]


def test_bytes_are_where_nscs_puts_them(tmp_path):
    write_nscs_spikes(tmp_path / "a.sfri", np.array(ROWS))
    head, _, body = (tmp_path / "a.sfri").read_bytes().partition(b"\xff")
    assert json.loads(head)["encoding"] == "RAWI3"
    assert body == b"".join(struct.pack(">III", *row) for row in ROWS)
    # Output has six words a spike, of which three are told; -32 is the outside.
    body = b"".join(struct.pack(">IIIiII", t, 9, 9, -32, axon, 9) for t, axon in ((4, 1), (5, 2)))
    (tmp_path / "b.sfri").write_bytes(b'{"encoding":"RAWO6"}\xff' + body)
    assert read_nscs_spikes(tmp_path / "b.sfri").tolist() == [[4, -32, 1], [5, -32, 2]]


@pytest.mark.parametrize(
    "data",
    [
        b'{"encoding":"RAWI3"}\xff' + b"\0" * 11,
        b'{"encoding":"RAWX"}\xff',
        b'{"encoding":["RAWI3"]}\xff',
        b"{}\xff",
        b"\xff",
        b'{"spike": {"srcTime": -1, "destCore": 0, "destAxon": 0}}',
        b'{"spike": {"srcTime": 1, "destCore": 0}}',
        b'{"spike": 7}',
        b"{}",
        b"[]",
    ],
)
def test_a_wrong_spike_file_is_refused(tmp_path, data):
    (tmp_path / "a.sfri").write_bytes(data)
    with pytest.raises(SpikestreamError):
        read_nscs_spikes(tmp_path / "a.sfri")


def test_spikes_that_fit_nowhere_are_refused(tmp_path):
    placement = CrossbarPlacement.of(1, 8, 8)
    for row in ((0, 1, 0), (0, 0, 8), (0, 0, -1), (0, -32, 0)):
        with pytest.raises(ModelError):
            nscs_input(np.array([row]), placement)
    with pytest.raises(ModelError):
        write_nscs_spikes(tmp_path / "a.sfri", np.array([(2**31, 0, 0)]))
    with pytest.raises(ConfigError):
        write_nscs_spikes(tmp_path / "a.sfri", np.array(ROWS), encoding="RAWO6")
    assert len(nscs_input(np.zeros((0, 3)), placement)) == 0
    assert nscs_output(Spikes(0, 0, np.zeros(0, np.int64), np.zeros(0, np.int32))).shape == (0, 3)
