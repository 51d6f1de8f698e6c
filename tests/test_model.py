"""What a model may be: tables to parts and back exactly, and every error with its key."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import tomllib
import types

import numpy as np
import pytest
from cli import ROOT
from hypothesis import given
from hypothesis import strategies as st

from spikestream.errors import ConfigError
from spikestream.model import Input, Model, Population, Projection, Rule, Uniform, Values, wire

GOOD = """
tick_us = 1000
seed = 1
outputs = ["exc"]
[inputs.retina]
shape = [2, 34, 34]
[inputs.teacher]
size = 10
[populations.exc]
shape = [1, 10, 10]
tau_m_ms = 100.0
reset = "subtract"
adapting = true
refrac = 3
[populations.exc.initial]
v = [-60.0, -50.0]
[populations.inh]
size = 25
neuron = "izhikevich"
[projections.see]
source = "retina"
target = "exc"
weights = [0.0, 0.3]
rules = [{kind = "pair", a_plus = 0.01}, {kind = "normalise", w_norm = 78.4}]
[projections.back]
source = "inh"
target = "exc"
connect = "random"
probability = 0.25
receptor = "g_inh"
weights = 1
delay_ms = [1.0, 64.0]
seed = 7
"""


def tables(**changes):
    """Return good tables with some keys, dotted with two underscores, changed, or taken away where None."""
    made = tomllib.loads(GOOD)
    for path, value in changes.items():
        *outer, last = path.split("__")
        table = made
        for name in outer:
            table = table.setdefault(name, {})
        if value is None:
            table.pop(last)
        else:
            table[last] = value
    return made


# Tables and back.


def test_toml_gives_the_parts_and_their_defaults():
    model = Model.from_tables(tables())
    retina, teacher = model.inputs
    exc, inh = model.populations
    see, back = model.projections
    assert (retina.size, retina.shape, teacher.size, teacher.shape) == (2312, (2, 34, 34), 10, ())
    assert (exc.size, exc.neuron, inh.neuron, inh.params) == (100, "lif", "izhikevich", {})
    assert exc.params == {"tau_m_ms": 100.0, "reset": "subtract", "adapting": True, "refrac": 3}
    assert exc.initial == {"v": Uniform(-60, -50)}
    assert see.rules == (Rule("pair", {"a_plus": 0.01}), Rule("normalise", {"w_norm": 78.4}))
    assert (see.connect, see.delay_ms, see.weights, see.receptor) == ("all", None, (0.0, 0.3), "")
    assert (back.probability, back.self_connections, back.delay_ms, back.seed) == (0.25, True, (1, 64), 7)
    assert (model.tick_us, model.dtype, model.outputs, model.axons) == (1000, "float32", ("exc",), 2322)
    assert model.place("inh") is inh
    assert Model.from_tables(tables(outputs=None)).outputs == ("exc", "inh")


NAMES = st.from_regex(r"[A-Za-z0-9_]{1,8}", fullmatch=True)
NUMBERS = st.floats(-1e30, 1e30, allow_nan=False)
FREE = NAMES.filter(lambda name: name not in ("size", "shape", "neuron", "initial", "kind"))
PARAMS = st.dictionaries(FREE, st.one_of(NUMBERS, st.booleans(), st.integers(-(2**62), 2**62), NAMES), max_size=3)
RANGES = st.tuples(NUMBERS, NUMBERS).map(sorted).map(tuple)


def numbers(*shape):
    return st.lists(NUMBERS, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
        lambda row: np.array(row).reshape(shape)
    )


@st.composite
def projections(draw, name, back):
    rules = draw(st.lists(st.builds(Rule, NAMES, PARAMS), max_size=2))
    delays = st.integers(1, 64).map(float)
    common = {"receptor": draw(st.sampled_from(["", "g_inh"])), "rules": rules, "seed": draw(st.integers(0, 2**63 - 1))}
    kind = draw(st.sampled_from(["all", "one_to_one", "random", "local", "conv", "pairs", "lateral"]))
    given_shape = {
        "all": (4, 4),
        "one_to_one": (4,),
        "random": (4, 4),
        "local": (4, 4),
        "pairs": (2,),
        "conv": (1, 1, 1, 1),
    }
    options = {
        "all": st.fixed_dictionaries({}, optional={"self_connections": st.booleans()}),
        "random": st.fixed_dictionaries({"probability": st.floats(0, 1)}, optional={"self_connections": st.booleans()}),
        "local": st.fixed_dictionaries({"radius": st.floats(0, 4)}),
        "conv": st.just({"kernel": 1}) | st.just({"kernel": (1, 1), "stride": 1, "padding": [0, 0]}),
        "pairs": st.just({"pre": [0, 3], "post": np.array([1, 1])}),
    }.get(kind, st.just({}))
    if kind == "lateral":
        lateral = {**common, "rules": []}
        return Projection(
            name, "b", "b", connect=kind, weights=draw(NUMBERS), delay_ms=draw(st.none() | delays), **lateral
        )
    weights = draw(st.one_of(NUMBERS, RANGES, numbers(*given_shape[kind])))
    delay = draw(st.one_of(st.none(), delays, st.tuples(delays, delays).map(sorted)))
    return Projection(
        name, "b" if back else "a", "b", connect=kind, weights=weights, delay_ms=delay, **common, **draw(options)
    )


@st.composite
def models(draw):
    initial = draw(st.dictionaries(NAMES, st.one_of(NUMBERS, RANGES, numbers(4)), max_size=2))
    population = Population("b", shape=(1, 2, 2), neuron=draw(NAMES), params=draw(PARAMS), initial=initial)
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    return Model(
        [Input("a", shape=[1, 2, 2]), Input("c", draw(st.integers(1, 9)))],
        [population, Population("d", 5)],
        [draw(projections(name, draw(st.booleans()))) for name in names],
        tick_us=1000,
        seed=draw(st.integers(0, 2**63 - 1)),
        outputs=draw(st.sampled_from([(), ("d",), ["d", "b"]])),
        dtype=draw(st.sampled_from(["float32", "float64"])),
    )


@given(models())
def test_tables_of_a_model_give_it_back_exactly_through_json_too(model):
    plain = model.to_tables()
    assert Model.from_tables(plain) == model
    assert Model.from_tables(json.loads(json.dumps(plain))).to_tables() == plain
    for p in Model.from_tables(plain).projections:
        for one, other in zip(wire(model, p), wire(Model.from_tables(plain), p), strict=True):
            np.testing.assert_array_equal(one, other)


def test_models_that_differ_in_one_given_number_differ():
    ends = ([Input("a", 2)], [Population("b", 2)])
    one, same, other = (
        Model(*ends, [Projection("p", "a", "b", weights=np.array([[1, 2], [3, last]]))]) for last in (4, 4, 5)
    )
    assert one == same != other


def test_two_numbers_are_a_range_in_a_list_and_each_given_in_an_array():
    made = [Projection("p", "a", "b", connect="one_to_one", weights=w).weights for w in ([1, 2], np.array([1, 2]))]
    assert made[0] == Uniform(1, 2)
    assert made[1] == Values(np.array([1.0, 2.0]))
    again = Projection("p", "a", "b", connect="one_to_one", weights={"values": [1, 2]})
    assert again.weights == made[1]


def test_parts_are_frozen_and_keep_copies():
    weights, params = np.ones((2, 2), np.float32), {"x": 1}
    p, b = Projection("p", "a", "b", weights=weights), Population("b", 2, params=params)
    weights[0, 0], params["x"] = 5, 2
    assert p.weights.array.tolist() == [[1, 1], [1, 1]]
    assert p.weights.array.dtype == np.float32
    assert b.params == {"x": 1}
    with pytest.raises(ValueError, match="read-only"):
        p.weights.array[0, 0] = 2
    for part in (p, b, Input("a", 1), Rule("pair"), Model([], [b])):
        for field in dataclasses.fields(part):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(part, field.name, "other")


def test_numbers_of_numpy_become_those_of_python():
    made = Population("b", np.int32(3), params={"a": np.float32(0.5), "n": np.int64(2), "on": np.bool_(True)})
    assert [type(value) for value in (made.size, *made.params.values())] == [int, float, int, bool]


# Errors.

P = "projections__see__"
BAD = [
    ({"tick_us": 0}, "tick_us", "1 to 3,600,000,000"),
    ({"tick_us": 1.5}, "tick_us", "whole"),
    ({"seed": -1}, "seed", "whole"),
    ({"seed": True}, "seed", "whole"),
    ({"dtype": "float16"}, "dtype", "float32, float64"),
    ({"outputs": ["ex"]}, "outputs", "did you mean 'exc'"),
    ({"outputs": ["retina"]}, "outputs", "exc, inh"),
    ({"outputs": ["exc", "exc"]}, "outputs", "once"),
    ({"outputs": "exc"}, "outputs", "a list"),
    ({"population": {}}, "population", "did you mean 'populations'"),
    ({"populations": {}}, "populations", "needs a population"),
    ({"populations": [1]}, "populations", "tables"),
    ({"inputs": 3}, "inputs", "tables"),
    ({"inputs__retina": 3}, "inputs.retina", "a table"),
    ({"inputs__retina__sise": 3}, "inputs.retina.sise", "did you mean 'inputs.retina.size'"),
    ({"inputs__retina__size": 3}, "inputs.retina.size", "2312"),
    ({"inputs__retina__shape": [2, 34]}, "inputs.retina.shape", "channels, height, width"),
    ({"inputs__retina__shape": [2, 34, 0]}, "inputs.retina.shape", "whole number from 1"),
    ({"inputs__retina__shape": [2**24, 2**24, 2]}, "inputs.retina.shape", "places"),
    ({"inputs__retina__shape": 5}, "inputs.retina.shape", "channels"),
    ({"inputs__teacher__size": 0}, "inputs.teacher.size", "whole number from 1"),
    ({"inputs__teacher__size": None}, "inputs.teacher.size", "whole number from 1"),
    ({"inputs__teacher__size": 2**24 + 1}, "inputs.teacher.size", "16,777,216"),
    ({"inputs__a-b": {"size": 1}}, "inputs", "letters"),
    ({"inputs__exc": {"size": 1}}, "exc", "named 'exc'"),
    ({"populations__inh__size": "many"}, "populations.inh.size", "whole"),
    ({"populations__inh__neuron": ""}, "populations.inh.neuron", "a text"),
    ({"populations__inh__neuron": "a\x1b[2J"}, "populations.inh.neuron", "a text"),
    ({"populations__inh__tau": [1, 2]}, "populations.inh.tau", "number"),
    ({"populations__inh__tau": float("nan")}, "populations.inh.tau", "finite"),
    ({"populations__inh__tau": 2**70}, "populations.inh.tau", "finite"),
    ({"populations__inh__initial": 3}, "populations.inh.initial", "table"),
    ({"populations__inh__initial": {"v": "x"}}, "populations.inh.initial.v", "[low, high]"),
    ({"populations__inh__initial": {"v": [[1, 2]]}}, "populations.inh.initial.v", "(25,)"),
    ({"projections__see": []}, "projections.see", "a table"),
    ({P + "source": None}, "projections.see.source", "needs 'source'"),
    ({P + "source": "retna"}, "projections.see.source", "did you mean 'retina'"),
    ({P + "target": "retina"}, "projections.see.target", "exc, inh"),
    ({P + "target": 3}, "projections.see.target", "letters"),
    ({P + "weights": None}, "projections.see.weights", "needs 'weights'"),
    ({P + "weigths": 1}, "projections.see.weigths", "did you mean 'projections.see.weights'"),
    ({P + "weights": [1, 2, 3]}, "projections.see.weights", "{values = [...]}"),
    ({P + "weights": {"value": [1]}}, "projections.see.weights", "{values = [...]}"),
    ({P + "weights": {"values": 1}}, "projections.see.weights", "lists"),
    ({P + "weights": [2, 1]}, "projections.see.weights", "low first"),
    ({P + "weights": []}, "projections.see.weights", "a number"),
    ({P + "weights": True}, "projections.see.weights", "a number"),
    ({P + "weights": 1e39}, "projections.see.weights", "a number"),
    ({P + "weights": 10**400}, "projections.see.weights", "a number"),
    ({P + "weights": float("inf")}, "projections.see.weights", "a number"),
    ({P + "weights": [[1, 2], [3]]}, "projections.see.weights", "rows of equal length"),
    ({P + "weights": [["a"]]}, "projections.see.weights", "numbers"),
    ({P + "weights": [[float("nan")]]}, "projections.see.weights", "numbers"),
    ({P + "weights": [[1.0, 2.0]]}, "projections.see.weights", "shape (2312, 100)"),
    ({P + "delay_ms": -1}, "projections.see.delay_ms", "0 to 64 ms"),
    ({P + "delay_ms": 65}, "projections.see.delay_ms", "0 to 64 ms"),
    ({P + "delay_ms": 1.5}, "projections.see.delay_ms", "multiples of 1 ms"),
    ({P + "delay_ms": [1, 65]}, "projections.see.delay_ms", "0 to 64 ms"),
    ({P + "delay_ms": "1ms"}, "projections.see.delay_ms", "a number"),
    ({"projections__back__delay_ms": 0}, "projections.back.delay_ms", "1 to 64 ms"),
    ({"projections__back__delay_ms": [0, 2]}, "projections.back.delay_ms", "1 to 64 ms"),
    ({"projections__back__probability": None}, "projections.back.probability", "needs 'probability'"),
    ({"projections__back__probability": 1.5}, "projections.back.probability", "0 to 1"),
    ({"projections__back__self_connections": 1}, "projections.back.self_connections", "true, false"),
    ({"projections__back__radius": 1}, "projections.back.radius", "probability, self_connections"),
    ({P + "connect": "al"}, "projections.see.connect", "did you mean 'all'"),
    ({P + "connect": ["all"]}, "projections.see.connect", "one_to_one"),
    ({P + "connect": "one_to_one"}, "projections.see.connect", "equal sizes"),
    ({P + "connect": "local"}, "projections.see.radius", "needs 'radius'"),
    ({P + "connect": "local", P + "radius": -1}, "projections.see.radius", "0 to 4,096"),
    ({P + "connect": "local", P + "radius": 1, P + "target": "inh"}, "projections.see.target", "shape ="),
    ({P + "connect": "conv"}, "projections.see.kernel", "needs 'kernel'"),
    ({P + "connect": "conv", P + "kernel": [3, 3, 3]}, "projections.see.kernel", "[down, across]"),
    ({P + "connect": "conv", P + "kernel": 0}, "projections.see.kernel", "whole number from 1"),
    ({P + "connect": "conv", P + "kernel": 3, P + "stride": 0}, "projections.see.stride", "from 1"),
    ({P + "connect": "conv", P + "kernel": 35}, "projections.see.kernel", "[2, 34, 34]"),
    ({P + "connect": "conv", P + "kernel": 5, P + "stride": 3}, "populations.exc.shape", "shape = [1, 10, 10]"),
    ({P + "connect": "conv", P + "kernel": 5, P + "padding": 1}, "populations.exc.shape", "shape = [1, 32, 32]"),
    ({P + "connect": "lateral"}, "projections.see.source", "'exc'"),
    ({P + "connect": "lateral", P + "source": "exc"}, "projections.see.rules", "none"),
    ({P + "connect": "lateral", P + "source": "exc", P + "rules": []}, "projections.see.weights", "a number"),
    ({P + "connect": "pairs", P + "pre": [0]}, "projections.see.post", "needs 'post'"),
    ({P + "connect": "pairs", P + "pre": [0], P + "post": [0, 1]}, "projections.see.post", "as many"),
    ({P + "connect": "pairs", P + "pre": [2312], P + "post": [0]}, "projections.see.pre", "0 to 2,311"),
    ({P + "connect": "pairs", P + "pre": [0], P + "post": [-1]}, "projections.see.post", "from 0 on"),
    ({P + "connect": "pairs", P + "pre": [0.5], P + "post": [0]}, "projections.see.pre", "whole"),
    ({P + "connect": "pairs", P + "pre": [2**80], P + "post": [0]}, "projections.see.pre", "whole"),
    ({P + "rules": {"kind": "pair"}}, "projections.see.rules", "kind"),
    ({P + "rules": [{"a_plus": 1}]}, "projections.see.rules.0", "kind"),
    ({P + "rules": ["pair"]}, "projections.see.rules.0", "kind"),
    ({P + "rules": [{"kind": "pair"}, {"kind": "x", "a": []}]}, "projections.see.rules.1.a", "number"),
    ({P + "seed": -1}, "projections.see.seed", "whole"),
    ({P + "receptor": 1}, "projections.see.receptor", "text"),
    ({"projections__a.b": {"source": "exc", "target": "exc", "weights": 1}}, "projections", "letters"),
]


# A kernel of 5 at stride 3 makes the 10 x 10 that is there: that row is no error.
@pytest.mark.parametrize(("changes", "key", "told"), [row for row in BAD if row[2] != "shape = [1, 10, 10]"])
def test_what_is_wrong_is_told_by_its_key_and_what_is_allowed(changes, key, told):
    with pytest.raises(ConfigError) as caught:
        Model.from_tables(tables(**changes))
    assert caught.value.key.startswith(key)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: Model("ab", [Population("b", 1)]),
        lambda: Model([Population("b", 1)], [Population("b", 1)]),
        lambda: Model([], [Population("b", 1), Population("b", 2)]),
        lambda: Model([], [Population("b", 1)], [Projection("p", "b", "b", weights=1)] * 2),
        lambda: Model.from_tables([]),
        lambda: Model.from_tables({1: 2}),
        lambda: Model([], [Population("b", 1)]).place("c"),
        lambda: Population("b", 1, params={"size": 3}),
        lambda: Population("b", 1, params=3),
        lambda: Population("b", 1, params={1: 3}),
        lambda: Rule("pair", {"kind": 3}),
        lambda: Rule(""),
        lambda: Projection("p", "a", "b", weights=1, rules=[{"kind": "pair"}]),
        lambda: Projection("p", "a", "b", weights=1, radius=3),
        lambda: Projection("p", "a", "b", weights=np.array(["x"])),
        lambda: Projection("p", "a", "b", weights=np.array(1.0)),
        lambda: Projection("p", "a", "b", weights=object()),
        lambda: Projection("p", "a", "b", weights=[np.zeros(2), np.zeros(3)]),
        lambda: Projection("p" * 65, "a", "b", weights=1),
    ],
)
def test_wrong_parts_from_python_are_config_errors_too(make):
    with pytest.raises(ConfigError):
        make()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted(set(re.findall(r"\w+(?= =)", GOOD)) | {"kernel", "radius", "stride", "padding", "pre", "post", "initial"})


@given(
    JUNK,
    st.sampled_from(["projections", "populations", "inputs"]),
    st.sampled_from(["see", "exc", "inh"]),
    st.sampled_from(KEYS),
)
def test_no_junk_raises_anything_else(value, section, name, key):
    made = tables()
    made[section].setdefault(name, {"size": 3})[key] = value
    with contextlib.suppress(ConfigError):
        Model.from_tables(made)


# The docs.


def test_every_key_and_pattern_is_documented_and_the_examples_are_models(capsys):
    from spikestream.model.patterns import OPTIONS, PATTERNS
    from spikestream.model.tables import KEYS as TOP
    from spikestream.model.tables import PROJECTION_KEYS

    text = (ROOT / "docs" / "model.md").read_text()
    for name in (*TOP, *PROJECTION_KEYS, *OPTIONS, *PATTERNS, "size", "shape", "neuron", "initial", "kind"):
        assert f"`{name}`" in text, name
    (first,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    described = Model.from_tables(tomllib.loads(first))
    module = types.ModuleType("docs")
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, "model.md", "exec"), vars(module))
    assert vars(module)["model"] == described
    assert capsys.readouterr().out
