"""NIR files on chips: compiled by the library and by `spikestream emulate`, in steps that somebody tells."""

from __future__ import annotations

import json

import numpy as np
import pytest
from inprocess import called

import spikestream as ss
from spikestream.errors import ConfigError
from spikestream.files.spikes import read_spikes, write_spikes
from spikestream.model.nir import Graph, Node
from spikestream.model.nir.steps import Discretisation

pytest.importorskip("h5py", reason="pip install 'spikestream[nir]'")
WEIGHT, TAU_S = 3.0, 5e-3


def graph():
    """Two inputs onto one leaky neuron each: v' = -v / 5 ms + 3 i / 5 ms, threshold 1."""
    one = np.ones(2)
    neuron = {"tau": TAU_S * one, "r": one, "v_leak": 0 * one, "v_threshold": one, "v_reset": 0 * one}
    return Graph.row(
        Node("Input", {"shape": (2,)}),
        Node("Linear", {"weight": WEIGHT * np.eye(2)}),
        Node("LIF", neuron),
        Node("Output", {"shape": (2,)}),
    )


@pytest.fixture
def path(tmp_path):
    ss.write_nir(tmp_path / "net.nir", graph())
    return tmp_path / "net.nir"


def in_every_step(step_us):
    """Return a hundred spikes of the first input."""
    return ss.Spikes(0, 100 * step_us, np.arange(100) * step_us, np.zeros(100, np.int32))


def by_hand(ticks, dt_s):
    """Return in which steps a neuron fires that hears a spike in each: v <- v (1 - a) + 3 a, a = dt / tau."""
    v, fired, a = 0.0, [], dt_s / TAU_S
    for k in range(ticks):
        v = v * (1 - a) + WEIGHT * a
        if v > 1:
            v = 0.0
            fired.append(k)
    return fired


@pytest.mark.parametrize("step", ["1ms", "500us"])
def test_a_neuron_of_a_file_fires_when_its_equation_says_so(path, tmp_path, step):
    step_us = {"1ms": 1000, "500us": 500}[step]
    write_spikes(tmp_path / "in.npz", [in_every_step(step_us)], {})
    args = ("--step", step, "--target", "loihi", "--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz")
    told = json.loads(called("emulate", path, *args, "--json").stdout)
    spikes = read_spikes(tmp_path / "out.npz")
    assert told["tick_us"] == step_us
    assert (spikes.t[spikes.axon == 0] // step_us).tolist() == by_hand(100, step_us * 1e-6)
    assert not (spikes.axon == 1).any()


def test_a_framework_steps_as_it_does(path, tmp_path):
    write_spikes(tmp_path / "in.npz", [in_every_step(1000)], {})
    outputs = []
    for name in ("norse", "lava"):  # Lava hears what comes in a step later
        out = tmp_path / f"{name}.npz"
        args = ("--framework", name, "--step", "1ms", "--target", "loihi", "--input", tmp_path / "in.npz")
        called("emulate", path, *args, "--output", out, "--ticks", 100, "--json")
        outputs.append(read_spikes(out).t // 1000)
    assert outputs[0].tolist() == by_hand(100, 1e-3)
    assert outputs[1].tolist() == [k + 1 for k in outputs[0].tolist() if k < 99]


def test_how_long_a_step_is_has_to_be_told(path):
    done = called("emulate", path, code=2)
    assert "how long a step is has to be told" in done.stderr
    assert "--step 1ms" in done.stderr


@pytest.mark.parametrize(("args", "said"), [(["--framework", "nors"], "norse"), (["--step", "0ms"], "dt_s")])
def test_absurd_steps_are_refused(path, args, said):
    done = called("emulate", path, *args, code=2)
    assert said in done.stderr


def test_what_has_steps_of_its_own_takes_no_others():
    with pytest.raises(ConfigError, match="only NIR is cut into steps"):
        ss.compile(ss.Network(4, 2), discretisation=Discretisation())


def test_a_graph_and_its_file_compile_to_the_same_chip(path):
    how = Discretisation(dt_s=1e-3)
    chips = [ss.compile(one, "loihi", discretisation=how) for one in (graph(), path, str(path))]
    assert len({chip.digest.tobytes() for chip in chips}) == 1
    assert chips[0].report()["step_us"] == pytest.approx(1000)
