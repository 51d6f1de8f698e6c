"""Networks of other frameworks, read from their NIR files, give what these frameworks recorded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from spikestream.files.nir import read_nir
from spikestream.model.nir.fold import fold
from spikestream.model.nir.rewire import input_through_loops
from spikestream.model.nir.steps import Discretisation, hidden_dt_s
from spikestream.stages.simulator import Simulator

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("SPIKESTREAM_DATA", HERE.parent.parent / "shared" / "data")) / "emulator" / "nir"
pytestmark = pytest.mark.realdata

SHARP = 400 / 10_000  # dt / tau of the neuron that all platforms were given


def folded(name, framework, **given):
    return fold(read_nir(DATA / f"{name}.nir"), Discretisation.of(framework, **given))


def trace(platform):
    """Return input, v and spikes (1000,) that a platform recorded."""
    return np.loadtxt(DATA / f"lif_{platform}.csv", delimiter=",").T


def run_lif(circuit, drive, dtype="float64"):
    run = Simulator(circuit, dtype=dtype).run(drive[:, None], record=[circuit.cells[0].name])
    return run.v[circuit.cells[0].name][:, 0], run.outputs[:, 0]


# Platform: its rule, the factor from its v to ours, the factor from its input column to the neuron's input.
PLATFORMS = {
    "exact": ("exact", 1, 1),
    "nengo": ("nengo", 0.1, 1),  # v in units of the threshold
    "norse": ("norse", 1, 1),
    "snntorch": ("snntorch", SHARP, 1),
    "sinabs": ("sinabs", 1, 1 / SHARP),
    "rockpool": ("rockpool", 1, 1),
    "spinnaker2": ("spinnaker2", SHARP * 5101 / 5100, 1),  # the weight of 1 became 5100 / 5101 of a fixed-point one
    "spyx": ("spyx", 1, 1),
    "lava_cpu_float": ("lava", 1, 1),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_s_potential_and_spikes_follow_from_its_rule(platform, dtype):
    framework, scale, into = PLATFORMS[platform]
    drive, recorded, spikes = trace(platform)
    assert (np.count_nonzero(spikes), np.ptp(recorded) > 0) == (4, True)
    v, fired = run_lif(folded("lif_norse", framework, dt_s=1e-4), drive * into, dtype)
    assert np.flatnonzero(fired).tolist() == np.flatnonzero(spikes).tolist()
    assert np.abs(v - scale * recorded).max() < 1e-6


@pytest.mark.parametrize("platform", ["lava_cpu_fixed", "lava_loihi_fixed"])
def test_what_runs_in_fixed_point_spikes_alike(platform):
    drive, recorded, spikes = trace(platform)
    v, fired = run_lif(folded("lif_norse", "lava", dt_s=1e-4), drive)
    assert np.flatnonzero(fired).tolist() == np.flatnonzero(spikes).tolist() == [461, 511, 711, 761]
    off = np.abs(v - recorded / 16_000)
    off[[461, 511, 711, 761]] = 0  # the chip marks a spike by a potential of its own
    assert off.max() < 1e-3


def test_a_file_that_rockpool_wrote_gives_what_rockpool_recorded():
    drive, recorded, spikes = trace("rockpool")
    v, fired = run_lif(folded("lif_rockpool", "rockpool", dt_s=1e-4, scheme="undecayed"), drive)
    assert np.flatnonzero(fired).tolist() == np.flatnonzero(spikes).tolist() == [450, 500, 710, 760]
    assert np.abs(v - recorded).max() < 1e-6


def test_two_neurons_of_which_only_the_first_can_fire():
    # tau v' = 1.2 - v from 0: crosses 1 every tau ln 6 = 17.9 ms.
    circuit = folded("two_lif_neurons", "exact", dt_s=1e-4)
    run = Simulator(circuit).run(np.zeros((1_000, 1)), record=["lif1"])
    due = np.arange(1, 6) * 0.01 * np.log(6) / 1e-4
    assert np.flatnonzero(run.spikes["lif1"]).tolist() == np.floor(due).astype(int).tolist()
    assert not run.outputs.any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_convolutional_network_spikes_as_sinabs_recorded(dtype):
    recorded = np.load(DATA / "cnn_sinabs_synthetic.npz")
    shape = recorded["x_shape"]
    x = np.unpackbits(recorded["x"])[: np.prod(shape)].reshape(shape)[0]
    circuit = folded("cnn_sinabs", "sinabs")
    assert [len(one.weights) for one in circuit.links] == [199_712, 541_696, 247_808, 131_072, 2_560]
    outputs = Simulator(circuit, dtype=dtype).run(x).outputs
    assert outputs.sum() == 233
    assert np.array_equal(outputs, recorded["sinabs_out"])


BRAILLE = [
    ("braille_noDelay_bias_zero", "value", "zero", 638),
    ("braille_noDelay_bias_zero", "subtract", "subtract", 776),
    ("braille_noDelay_noBias_subtract", "value", "zero", 48),
    ("braille_noDelay_noBias_subtract", "subtract", "subtract", 116),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "reset", "key", "spikes"), BRAILLE)
def test_the_recurrent_networks_spike_as_norse_steps_them(name, reset, key, spikes, dtype):
    recorded = np.load(DATA / f"{name}_synthetic.npz")
    circuit = folded(name, "norse", reset=reset)
    run = Simulator(circuit, dtype=dtype).run(recorded["x"], record=["lif1.lif"])
    assert recorded[f"ref_{key}_out"].sum() == spikes
    assert np.array_equal(run.outputs, recorded[f"ref_{key}_out"])
    assert np.array_equal(run.spikes["lif1.lif"], recorded[f"ref_{key}_lif1"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "spikes"), [("braille_noDelay_bias_zero", 776), ("braille_noDelay_noBias_subtract", 920)]
)
def test_the_recurrent_networks_spike_as_was_recorded_of_norse(name, spikes, dtype):
    # The graph that was run led the input through the recurrent weights, and was reset to a value in either case.
    recorded = np.load(DATA / f"{name}_synthetic.npz")
    circuit = fold(input_through_loops(read_nir(DATA / f"{name}.nir")), Discretisation.of("norse"))
    outputs = Simulator(circuit, dtype=dtype).run(recorded["x"]).outputs
    assert outputs.sum() == spikes
    assert np.array_equal(outputs, recorded["norse_out"])


@pytest.mark.parametrize("name", ["braille_noDelay_bias_zero", "braille_noDelay_noBias_subtract"])
def test_the_step_that_a_framework_hid_is_found(name):
    graph = read_nir(DATA / f"{name}.nir")
    assert hidden_dt_s(graph.flat()) == 1e-4
    circuit = fold(graph)
    assert circuit.step_us == 100.0
    for cells in circuit.cells:
        assert cells.gain == pytest.approx(1, abs=1e-6)
        assert cells.current_gain == pytest.approx(1, abs=1e-6)
    assert circuit.place("lif2").decay == pytest.approx({True: 0.55, False: 0.7}["_bias_" in name], abs=1e-6)


@pytest.mark.parametrize("name", ["lif_norse", "lif_rockpool", "two_lif_neurons", "cnn_sinabs"])
def test_where_none_is_hidden_none_is_found(name):
    assert hidden_dt_s(read_nir(DATA / f"{name}.nir").flat()) is None
