"""How NIR is cut into steps: each scheme in numbers, steps that are hidden, and every framework."""

from __future__ import annotations

import numpy as np
import pytest
from folding_cases import LEAKY, RNG, between, outputs, relay

from spikestream.errors import ConfigError, ModelError
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.nir import Node
from spikestream.model.nir.export import of_circuit
from spikestream.model.nir.fold import fold
from spikestream.model.nir.steps import FRAMEWORKS, Discretisation, hidden_dt_s
from spikestream.stages.simulator import Simulator

# Discretisation.

CUBA = {"tau_mem": 0.02, "tau_syn": 0.005, "r": 3.0, "v_leak": 0.5, "w_in": 2.0, "v_threshold": 1e9}


@pytest.mark.parametrize(
    ("scheme", "decay", "gain", "leak", "fading", "pushed"),
    [
        ("euler", 0.95, 0.15, 0.025, 0.8, 0.4),
        ("exponential", np.exp(-0.05), 3 * -np.expm1(-0.05), -np.expm1(-0.05) / 2, np.exp(-0.2), -2 * np.expm1(-0.2)),
        ("decay", np.exp(-0.05), 0.15, -np.expm1(-0.05) / 2, np.exp(-0.2), 0.4),
        ("undecayed", np.exp(-0.05), 0.15 * np.exp(0.05), -np.expm1(-0.05) / 2, np.exp(-0.2), 0.4 * np.exp(0.2)),
    ],
)
def test_each_scheme_gives_its_numbers(scheme, decay, gain, leak, fading, pushed):
    graph = between((1,), Node("CubaLIF", CUBA))
    cells = fold(graph, Discretisation(dt_s=1e-3, scheme=scheme)).place("n0")
    numbers = [cells.decay[0], cells.gain[0], cells.drift[0], cells.current_decay[0], cells.current_gain[0]]
    assert numbers == pytest.approx([decay, gain, leak, fading, pushed], abs=1e-15)


def test_the_exact_scheme_is_the_solution_however_long_the_step():
    graph = between((1,), Node("LI", {"tau": 0.01, "r": 2.0, "v_leak": 1.0}))
    for dt_s, steps in ((1e-4, 300), (1e-2, 3)):
        found = outputs(graph, np.ones((steps, 1)), Discretisation.of("exact", dt_s=dt_s))
        assert found[-1, 0] == pytest.approx(3 * (1 - np.exp(-3)), abs=1e-12)


def test_integrators_add_a_step_or_a_time():
    graph = between((1,), Node("I", {"r": 4.0}))
    assert outputs(graph, np.ones((3, 1)))[:, 0].tolist() == [4, 8, 12]
    timed = outputs(graph, np.ones((3, 1)), Discretisation(integrate="time", dt_s=0.25))
    assert timed[:, 0].tolist() == [1, 2, 3]


def test_a_length_of_step_is_needed_where_there_are_times():
    for node in (Node("CubaLIF", CUBA), Node("Delay", {"delay": np.array([1.0])})):
        with pytest.raises(ConfigError, match="how long a step is"):
            fold(between((1,), node))
    assert fold(between((1,), relay())).step_us is None


def test_hidden_steps_are_believed_only_where_two_time_constants_agree():
    def written(dt, *taus):
        fields = [{"tau": np.full(2, tau), "r": np.full(2, tau / dt), "v_leak": np.zeros(2)} for tau in taus]
        return between((2,), *(Node("LI", one) for one in fields))

    assert hidden_dt_s(written(2e-3, 0.01, 0.05)) == 2e-3
    assert hidden_dt_s(written(2e-3, 0.01)) is None
    assert hidden_dt_s(written(2e-3, 0.01, 0.01)) is None
    assert hidden_dt_s(between((2,), Node("LI", LEAKY | {"tau": np.full(3, 0.02)}), out=(3,))) is None


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_framework_folds_every_kind_of_neuron(framework):
    one = {"tau": 0.01, "r": 1.0, "v_leak": 0.1, "v_threshold": 1.0}
    lif = Node("LIF", one)
    cuba = Node("CubaLIF", CUBA)
    graph = between(
        (1,),
        lif,
        cuba,
        Node("IF", {"r": 1.0, "v_threshold": 1.0}),
        Node("LI", {**LEAKY, "tau": 0.1, "r": 1, "v_leak": 0}),
    )
    circuit = fold(graph, Discretisation.of(framework, dt_s=1e-3))
    assert np.isfinite(Simulator(circuit).run(np.full((50, 1), 2.0)).outputs).all()


def test_a_circuit_that_went_out_as_nir_comes_back_bit_for_bit():
    own = {"decay": RNG.uniform(0.5, 0.9, 3), "gain": 0.7, "drift": 0.1, "threshold": 0.8, "reset": "subtract"}
    cells = (Cells("a", (3,), late_reset=True, **own), Cells("b", (2,), decay=0.3, current_decay=0.7, current_gain=0.2))
    links = (
        Link.dense("in", "a", RNG.normal(size=(2, 3))),
        Link.dense("a", "b", RNG.normal(size=(3, 2)), delay=2),
        Link.dense("b", "b", RNG.normal(size=(2, 2)), delay=1),
    )
    circuit = Circuit((("in", 2),), cells, links, ("b",), 500.0)
    again = fold(of_circuit(circuit))
    assert again.step_us == 500.0
    values = RNG.normal(0.5, 1, (60, 2))
    first, second = (Simulator(one).run(values, record=["a", "b"]) for one in (circuit, again))
    assert first.v["a"].tolist() == second.v["a"].tolist()
    assert first.v["b"].tolist() == second.v["b"].tolist()


def test_a_choice_that_a_discretisation_does_not_have_is_told():
    with pytest.raises(ConfigError, match="no 'dt'") as told:
        Discretisation.of("norse", dt=1e-3)
    assert "dt_s" in str(told.value)
    with pytest.raises(ConfigError, match="no length of a step"):
        Discretisation(dt_s="1ms")
    with pytest.raises(ModelError, match="a NIR graph is wanted"):
        fold("network.nir")
