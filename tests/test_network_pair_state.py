"""What the network stage with rule "pair" saves, takes and refuses: its state and its options."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import pytest
from conftest import ROOT
from filter_cases import same
from hypothesis import given
from hypothesis import strategies as st
from pair_cases import AXONS, SLOW_START, batch_of, busy, fired_of, inputs, network, options, random_weights

from spikestream.batch import cut
from spikestream.errors import ConfigError, ModelError
from spikestream.kernels import lif_pair
from spikestream.stages.network import Network

DTYPES = st.sampled_from(["float32", "float64"])


@given(data=st.data(), made=inputs(), more=options(), dtype=DTYPES)
@SLOW_START
def test_a_fresh_network_goes_on_from_a_saved_state_bit_for_bit(data, made, more, dtype):
    batch = batch_of(*made, 1000)
    left, right = cut(batch, data.draw(st.integers(batch.start, batch.stop)))
    first, second = (network(random_weights(seed, AXONS, 24), dtype=dtype, **more) for seed in (1, 2))
    first(left)
    saved = first.state()
    second.restore(saved)
    assert same(second.state(), saved)
    assert second.weights.tobytes() == first.weights.tobytes()
    answer = first(right)
    for array in saved.values():
        array[...] = 1  # neither network may hold on to it
    assert fired_of(second(right), 1000) == fired_of(answer, 1000)
    assert same(first.state(), second.state())


def test_learned_weights_and_thresholds_alone_fit_a_fresh_network():
    weights, batch = busy()
    old, new = network(weights), network(weights)
    old(batch)
    new.restore({**new.state(), **{key: old.state()[key] for key in new.LEARNED}})
    later = busy(first=-5_000_000)[1]
    assert len(new(later)) > 100
    assert new.state()["now"] == later.stop // 1000


def at(array, place, value):
    array = array.copy()
    array[place] = value
    return array


WRONG = [
    ("weights", lambda a: np.zeros((12, 31))),
    ("weights", lambda a: a.astype(np.float32)),
    ("weights", lambda a: at(a, 0, np.nan)),
    ("weights", lambda a: at(a, 0, -1)),
    ("v", lambda a: at(a, 0, np.inf)),
    ("theta", lambda a: at(a, 0, -1)),
    ("fade", lambda a: at(a, 0, 0)),
    ("fade", lambda a: at(a, 0, 1.5)),
    ("y", lambda a: at(a, 0, -1)),
    ("x", lambda a: at(a, 0, np.nan)),
    ("x", lambda a: at(a, 0, -1)),
    ("sums", lambda a: at(a, 0, np.inf)),
    ("seen", lambda a: a + 10_000),
    ("seen", lambda a: at(a, ..., 1_100)),  # the tick that runs next
    ("seen", lambda a: a - 1_000),
    ("seen", lambda a: at(a, ..., -(2**63))),
    ("ids", lambda a: at(a, (0, 0), 30)),
    ("ids", lambda a: at(a, (0, 0), -31)),
    ("when", lambda a: a + 1),
    ("when", lambda a: at(a, ..., 2**63 - 1)),
    ("start", lambda a: at(a, (0, 0), 2**63 - 1)),
    ("start", lambda a: at(a, (0, 0), -1)),
    ("start", lambda a: a[:, ::-1].copy()),
    ("after", lambda a: at(a, (0, 0), -1)),
    ("after", lambda a: at(a, (0, 0), 1025)),
    ("sweep", lambda a: a + 12),
    ("sweep", lambda a: a - 12),
    ("now", lambda a: a + 1),
    ("now", lambda a: at(a, 0, -(2**63))),
]


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(name, wrong):
    weights, batch = busy(ticks=1100)
    net = network(weights)
    net(batch)
    saved = net.state()
    with pytest.raises(ModelError):
        net.restore({**saved, name: wrong(saved[name])})
    assert same(net.state(), saved)


def test_a_state_of_another_rule_or_dtype_is_refused():
    pair = Network(4, 2, rule="pair")
    for other in (Network(4, 2), Network(4, 2, rule="pair", dtype="float64")):
        with pytest.raises(ModelError):
            other.restore(pair.state())
        with pytest.raises(ModelError):
            pair.restore(other.state())


# Options.


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"rule": "pairs"}, "rule"),
        ({"dtype": "float16"}, "dtype"),
        ({"v_floor": 1.0}, "v_floor"),
        ({"rule": "stdp", "a_plus": 1.0}, "a_plus"),
        ({"tau_minus_ms": 0}, "tau_minus_ms"),
        ({"a_plus": -0.1}, "a_plus"),
        ({"a_minus": -0.1}, "a_minus"),
        ({"theta_plus": -0.1}, "theta_plus"),
        ({"tau_refrac_ms": 513.0}, "tau_refrac_ms"),
        ({"v_reset": 13.0}, "v_reset"),
        ({"init_weights": np.zeros((4, 3))}, "init_weights"),
        ({"init_weights": np.zeros(8)}, "init_weights"),
        ({"init_weights": np.full((4, 2), np.nan)}, "init_weights"),
        ({"init_weights": np.full((4, 2), -0.1)}, "init_weights"),
        ({"init_weights": np.full((4, 2), 1.1)}, "init_weights"),
        ({"init_weights": np.zeros((4, 2), "U1")}, "init_weights"),
        ({"init_weights": [[0.0], [0.0, 1.0]]}, "init_weights"),
        ({"init_weights": "random"}, "init_weights"),
    ],
)
def test_a_wrong_option_is_named(more, key):
    with pytest.raises(ConfigError) as caught:
        Network(**{"axons": 4, "neurons": 2, "rule": "pair", **more})
    assert caught.value.key == key


@pytest.mark.parametrize("rule", ["stdp", "pair", "none"])
def test_weights_to_begin_with_are_copied(rule):
    given_weights = np.asfortranarray(np.linspace(0, 1, 8).reshape(4, 2))
    net = Network(4, 2, rule=rule, init_weights=given_weights)
    given_weights[...] = 0
    assert net.weights.dtype == np.float32
    assert net.weights.tolist() == np.linspace(0, 1, 8, dtype=np.float32).reshape(4, 2).tolist()
    assert Network(4, 2, rule=rule, init_weights=[[0, 1]] * 4).weights.tolist() == [[0, 1]] * 4


def test_weights_of_its_own_come_from_the_seed_and_fill_the_range():
    weights = Network(100, 50, rule="pair", seed=7, w_max=3.0).weights
    assert weights.tobytes() == Network(100, 50, rule="pair", seed=7, w_max=3.0).weights.tobytes()
    assert weights.tobytes() != Network(100, 50, rule="pair", seed=8, w_max=3.0).weights.tobytes()
    assert weights.mean() == pytest.approx(1.5, rel=0.02)
    assert 0 <= weights.min() < 0.01 < 2.99 < weights.max() < 3


def test_the_python_of_its_page_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "network.md").read_text(), re.DOTALL)
    exec(compile(code, "network.md", "exec"), {})
    spikes, shape = capsys.readouterr().out.split(" ", 1)
    assert int(spikes) > 10
    assert shape == "(64, 10)\n"


def test_its_page_names_every_option_and_its_default():
    page = (ROOT / "docs" / "network.md").read_text()
    text = page.partition('## rule "pair"')[2]
    for field in fields(lif_pair.Params):
        assert f"`{field.name}`" in page
        if field.name not in ("seed", "dtype", "tau_plus_ms", "tau_minus_ms"):
            (row,) = re.findall(rf"^\| `{field.name}` \| .*? \| (.*?) \|", text, re.MULTILINE)
            assert float(row.replace(",", "")) == field.default
