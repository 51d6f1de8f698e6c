"""The workloads of the network benchmark are what the published figures were measured on; so are the golden spikes."""

from __future__ import annotations

import hashlib
import importlib
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))
workloads = importlib.import_module("workloads")

W2_FACTS = {
    1_000: (10_000, 9_997, 1.8, "155aff3fd9b31c82"),
    10_000: (5_000, 49_802, 0.18, "7ff083f2fc5bf89a"),
    100_000: (2_000, 184_398, 0.018, "87770b9bcddfe430"),
    1_000_000: (1_000, 941_552, 0.0018, "0fbed15d48966fcb"),
}


W1C_FACTS = (44_879, 368, "9209fc26863e5846")


def of(workload):
    return workloads.fingerprint(workload.ticks, workload.inputs)


def test_fingerprint_is_the_sha256_of_little_endian_columns():
    given = b"\x01\x00\x00\x00\xfe\xff\xff\xff" + b"\x00\x00\x00\x00\x00\x00\xf0\x3f"
    found = workloads.fingerprint(np.array([1, -2], np.int64), np.array([1.0]))
    assert found == hashlib.sha256(given).hexdigest()[:16]


def test_w1_is_that_of_the_facts():
    w1 = workloads.w1(100)
    assert (len(w1.ticks), len(np.unique(w1.inputs)), np.bincount(w1.ticks).max()) == (34_419, 444, 11)
    assert (w1.length, w1.seconds, of(w1)) == (20_000, 10.0, "516e309ba0e68645")


@pytest.mark.parametrize(("neurons", "total"), [(100, 11_771.7696), (400, 47_073.1127), (1600, 188_071.7737)])
def test_first_weights_of_w1(neurons, total):
    w1 = workloads.w1(neurons)
    assert w1.weights.shape == (784, neurons) == (w1.axons, w1.neurons)
    assert w1.weights.sum() == pytest.approx(total, abs=5e-5)


def test_w1c_is_frozen():
    w1c = workloads.w1c(400)
    assert (len(w1c.ticks), len(np.unique(w1c.inputs)), of(w1c)) == W1C_FACTS
    assert w1c.params == replace(workloads.w1(400).params, theta_plus=10.0)
    assert np.array_equal(w1c.weights, workloads.w1(400).weights)


@pytest.mark.parametrize("rate", W2_FACTS)
def test_w2_is_that_of_the_facts(rate):
    w2 = workloads.w2(rate)
    length, events, w_max, digest = W2_FACTS[rate]
    assert (w2.length, len(w2.ticks), of(w2)) == (length, events, digest)
    assert w2.params.w_max == pytest.approx(w_max)
    assert w2.weights.shape == (32_768 if rate == 1_000_000 else 2_312, 1_000)
    assert w2.weights.dtype == np.float32
    assert 0 <= w2.weights.min() < w2.weights.max() <= np.float32(w_max)


def test_w3_is_that_of_the_facts():
    w3 = workloads.w3()
    assert (len(w3.pre), np.sum(w3.pre < w3.excitatory), np.sum(w3.pre == w3.post)) == (319_115, 255_424, 82)
    assert workloads.fingerprint(w3.pre, w3.post, w3.v0 * 1e-3) == "79ab2fbdc639b11d"


@pytest.mark.parametrize("make", [workloads.w1, workloads.w1c, workloads.w2])
def test_another_seed_is_another_workload_of_the_same_kind(make):
    one, same, other = make(), make(), make(seed=91, weights_seed=92)
    assert of(one) == of(same) != of(other)
    assert not np.array_equal(one.weights, other.weights)
    assert one.params == other.params
    assert len(other.ticks) == pytest.approx(len(one.ticks), rel=0.2)


@pytest.mark.parametrize("make", [workloads.w1, workloads.w1c, workloads.w2])
def test_events_are_sorted_unique_and_in_range(make):
    whole = make()
    keys = whole.ticks.astype(np.int64) * whole.axons + whole.inputs
    assert np.all(np.diff(keys) > 0)
    assert whole.ticks[0] >= 0
    assert whole.ticks[-1] < whole.length
    assert whole.inputs.min() >= 0
    assert whole.inputs.max() < whole.axons


def test_first_ticks_are_a_prefix():
    whole = workloads.w2(10_000)
    part = whole.first(500)
    assert (part.length, part.seconds) == (500, 0.5)
    assert part.ticks.max() <= 499
    assert whole.ticks[len(part.ticks)] >= 500
    assert whole.first(10**6).length == whole.length


def test_a_saved_workload_is_read_with_numpy_alone(tmp_path):
    w1 = workloads.w1(10).first(100)
    workloads.save(tmp_path / "w1.npz", w1)
    with np.load(tmp_path / "w1.npz", allow_pickle=False) as read:
        assert np.array_equal(read["inputs"], w1.inputs)
        assert np.array_equal(read["weights"], w1.weights)
        assert (float(read["v_thresh"]), int(read["length"]), str(read["name"])) == (13.0, 100, "W1 N=10")


GOLDEN = ROOT / "tests" / "golden" / "network"
GOLDEN_FACTS = {
    "w1_100_brian2": (584, "0ffd564968036e93"),
    "w1c_400_brian2": (456, "6d004e1702d072e9"),
    "w2_10k_brian2": (11_738, "4bd156c68f16d264"),
    "w2_100k_brian2": (1_871, "913e726b40230bc4"),
    "w3_nest": (21_391, "b04af884c7063654"),
}


def golden(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return file["ticks"], file["neurons"]


@pytest.mark.parametrize("name", GOLDEN_FACTS)
def test_golden_spikes_are_those_of_the_facts(name):
    ticks, neurons = golden(name)
    assert ticks.dtype == neurons.dtype == np.int32
    assert (len(ticks), workloads.fingerprint(ticks, neurons)) == GOLDEN_FACTS[name]
    assert np.all(np.diff(ticks.astype(np.int64) * 2**20 + neurons) > 0)
    assert f"`{GOLDEN_FACTS[name][1]}`" in (GOLDEN / "README.md").read_text()


def test_every_golden_file_is_tested():
    assert {path.stem for path in GOLDEN.glob("*.npz")} == set(GOLDEN_FACTS)


def test_most_neurons_of_w1c_fire_and_hardly_one_of_w1():
    assert len(np.unique(golden("w1c_400_brian2")[1])) == 262
    assert np.bincount(golden("w1_100_brian2")[1]).max() == 581


def test_w3_is_what_the_law_of_its_step_gives():
    """The facts' equations in plain NumPy, from the stored synapses: an oracle of its own for the first 50 ms."""
    w3 = workloads.w3()
    ticks, neurons = golden("w3_nest")
    assert step_w3(w3, 500) == list(zip(ticks[ticks <= 500].tolist(), neurons[ticks <= 500].tolist(), strict=True))


def step_w3(w3, steps):
    """Return (end of step, neuron) of every spike; old currents drive the voltage, and a spike arrives a step later."""
    decay = {tau: np.exp(-w3.dt_ms / tau) for tau in (w3.tau_m_ms, w3.tau_e_ms, w3.tau_i_ms)}
    e_m, e_e, e_i = decay.values()
    k_e, k_i = (tau / (tau - w3.tau_m_ms) * (decay[tau] - e_m) for tau in (w3.tau_e_ms, w3.tau_i_ms))
    v, ge, gi = w3.v0.copy(), np.zeros(w3.neurons), np.zeros(w3.neurons)
    first = np.searchsorted(w3.pre, np.arange(w3.neurons + 1))
    clamped, fired, found = np.zeros(w3.neurons, int), [], []
    for n in range(steps):
        v = w3.v_rest + (v - w3.v_rest) * e_m + ge * k_e + gi * k_i
        ge, gi = ge * e_e, gi * e_i
        v[clamped > 0] = w3.v_reset
        clamped -= clamped > 0
        for j in fired:
            targets = w3.post[first[j] : first[j + 1]]
            (ge if j < w3.excitatory else gi)[targets] += w3.w_e if j < w3.excitatory else w3.w_i
        fired = np.nonzero(v >= w3.v_thresh)[0].tolist()
        v[fired], clamped[fired] = w3.v_reset, 50
        found += [(n + 1, j) for j in fired]
    return found
