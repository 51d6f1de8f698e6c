"""Folding NIR graphs: linear nodes against their definitions, loops, delays, steps, and what cannot be folded."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from folding_cases import LEAKY, RNG, between, outputs, relay
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.errors import ConfigError, ModelError
from spikestream.model.nir import Graph, Node
from spikestream.model.nir import fold as nir_fold
from spikestream.model.nir import linear as nir_linear
from spikestream.model.nir.fold import fold
from spikestream.model.nir.rewire import input_through_loops
from spikestream.model.nir.steps import Discretisation


def conv_by_hand(x, weight, bias, stride, padding, dilation, groups):
    """Return the cross-correlation of x (channels, height, width), place by place."""
    out, into, high, wide = weight.shape
    (up, left), (down, right) = padding
    x = np.pad(x, ((0, 0), (up, down), (left, right)))
    reach = [(k - 1) * d + 1 for k, d in zip((high, wide), dilation, strict=True)]
    rows, columns = ((x.shape[1 + a] - reach[a]) // stride[a] + 1 for a in range(2))
    made = np.zeros((out, rows, columns))
    for o, i, j in itertools.product(range(out), range(rows), range(columns)):
        group = o // (out // groups)
        total = bias[o]
        for c, a, b in itertools.product(range(into), range(high), range(wide)):
            y, z = i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]
            total += weight[o, c, a, b] * x[group * into + c, y, z]
        made[o, i, j] = total
    return made


@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 2),
    space=st.tuples(*[st.integers(5, 7)] * 2),
    kernel=st.tuples(*[st.integers(1, 3)] * 2),
    stride=st.tuples(*[st.integers(1, 3)] * 2),
    padding=st.one_of(st.tuples(*[st.integers(0, 2)] * 2), st.sampled_from(["same", "valid"])),
    dilation=st.tuples(*[st.integers(1, 2)] * 2),
    groups=st.integers(1, 3),
)
@settings(max_examples=80, deadline=None)
def test_a_convolution_is_what_its_definition_says(sizes, space, kernel, stride, padding, dilation, groups):
    stride = (1, 1) if padding == "same" else stride
    rng = np.random.default_rng(abs(hash((sizes, space, kernel, stride, dilation, groups))) % 2**32)
    out, into = sizes[0] * groups, sizes[1]
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    if padding == "same":
        around = ([r // 2 for r in reach], [r - r // 2 for r in reach])
    else:
        around = ((0, 0), (0, 0)) if padding == "valid" else (padding, padding)
    x, weight = rng.normal(size=(into * groups, *space)), rng.normal(size=(out, into, *kernel))
    bias = rng.normal(size=out)
    given_ = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    graph = between(x.shape, Node("Conv2d", {"input_shape": space, "weight": weight, **given_}))
    expected = conv_by_hand(x, weight, bias, stride, around, dilation, groups)
    assert outputs(graph, x[None])[0] == pytest.approx(expected.ravel(), abs=1e-12)


@pytest.mark.parametrize("padding", [0, 2, "same", "valid"])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 1), (1, 2, 2), (3, 3, 1)])
def test_a_convolution_over_one_axis_is_one_of_two_axes_of_height_one(padding, stride, dilation, groups):
    stride = 1 if padding == "same" else stride
    weight, bias = RNG.normal(size=(4, 2, 3)), RNG.normal(size=4)
    x = RNG.normal(size=(2 * groups, 11))
    own = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    graph = between(x.shape, Node("Conv1d", {"input_shape": 11, "weight": weight, **own}))
    pad = {"same": dilation, "valid": 0}.get(padding, padding)
    twice = ((0, pad), (0, pad))
    expected = conv_by_hand(x[:, None], weight[:, :, None], bias, (1, stride), twice, (1, dilation), groups)
    assert outputs(graph, x[None])[0] == pytest.approx(expected.ravel(), abs=1e-12)


@pytest.mark.parametrize(("kind", "share"), [("SumPool2d", 1), ("AvgPool2d", 1 / 6)])
def test_pools_add_up_and_average_counts_the_zeros_around(kind, share):
    x = RNG.normal(size=(2, 5, 6))
    node = Node(kind, {"kernel_size": (2, 3), "stride": (2, 2), "padding": (1, 1)})
    weight = np.full((2, 1, 2, 3), share)
    expected = conv_by_hand(x, weight, np.zeros(2), (2, 2), ((1, 1), (1, 1)), (1, 1), 2)
    assert outputs(between(x.shape, node), x[None])[0] == pytest.approx(expected.ravel(), abs=1e-12)


def test_linear_nodes_in_a_row_are_multiplied_out_with_their_biases():
    a, b, scale = RNG.normal(size=(5, 4)), RNG.normal(size=(3, 5)), RNG.normal(size=5)
    p, q = RNG.normal(size=5), RNG.normal(size=3)
    affine = [Node("Affine", {"weight": w, "bias": c}) for w, c in ((a, p), (b, q))]
    graph = between((4,), affine[0], Node("Scale", {"scale": scale}), affine[1], Node("LI", LEAKY))
    circuit = fold(graph, Discretisation(dt_s=1e-3))
    (link,) = circuit.links
    assert link.matrix(3) == pytest.approx((b * scale @ a).T, abs=1e-12)
    assert circuit.place("n3").bias == pytest.approx(b @ (scale * p) + q, abs=1e-12)


def test_a_matrix_for_each_row_before_it():
    weight, x = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(5, 2, 4))
    expected = np.einsum("boi,tbi->tbo", weight, x).reshape(5, 6)
    graph = between((2, 4), Node("Linear", {"weight": weight}), out=(2, 3))
    assert outputs(graph, x) == pytest.approx(expected, abs=1e-12)


def test_several_edges_into_one_node_add_up():
    a, b = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))
    nodes = {
        "in": Node("Input", {"shape": (3,)}),
        "a": Node("Linear", {"weight": a}),
        "b": Node("Affine", {"weight": b, "bias": np.ones(2)}),
        "sum": Node("Scale", {"scale": np.array([2.0, 3.0])}),
        "out": Node("Output", {"shape": (2,)}),
    }
    edges = (("in", "a"), ("in", "b"), ("a", "sum"), ("b", "sum"), ("sum", "out"))
    x = RNG.normal(size=(4, 3))
    assert outputs(Graph(nodes, edges), x) == pytest.approx((x @ (a + b).T + 1) * [2, 3], abs=1e-12)


def test_a_delay_is_heard_so_many_steps_later_and_each_address_has_its_own():
    node = Node("Delay", {"delay": np.array([0.0, 2e-3, 3.1e-3])})
    x = np.zeros((6, 3))
    x[1] = [1, 2, 3]
    late = outputs(between((3,), node), x, Discretisation(dt_s=1e-3))
    assert late.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 2, 0], [0, 0, 3], [0, 0, 0]]


def test_a_bias_before_a_delay_is_late_too():
    affine = Node("Affine", {"weight": np.eye(2), "bias": np.array([5.0, 7.0])})
    graph = between((2,), affine, Node("Delay", {"delay": np.array([0.0, 2e-3])}))
    late = outputs(graph, np.zeros((4, 2)), Discretisation(dt_s=1e-3))
    assert late.tolist() == [[5, 0], [5, 0], [5, 7], [5, 7]]


def loop(*within, names=("w",)):
    """Return a relay of one input, and a loop of nodes from the relay back to itself."""
    nodes = {"in": Node("Input", {"shape": (1,)}), "a": relay(), "out": Node("Output", {"shape": (1,)})}
    nodes |= dict(zip(names, within, strict=True))
    edges = [("in", "a"), ("a", names[0]), *itertools.pairwise(names), (names[-1], "a"), ("a", "out")]
    return Graph(nodes, tuple(edges))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_what_leads_back_to_where_it_came_from_takes_the_recurrent_delay(steps):
    graph = loop(Node("Linear", {"weight": np.ones((1, 1))}))
    x = np.zeros((12, 1))
    x[3] = 1
    found = outputs(graph, x, Discretisation(recurrent_delay=steps))
    assert np.flatnonzero(found).tolist() == list(range(3, 12, steps))


def test_a_loop_with_a_delay_of_its_own_needs_no_other():
    graph = loop(
        Node("Linear", {"weight": np.ones((1, 1))}), Node("Delay", {"delay": np.array([4e-3])}), names=("w", "d")
    )
    x = np.zeros((12, 1))
    x[3] = 1
    assert np.flatnonzero(outputs(graph, x, Discretisation(dt_s=1e-3))).tolist() == [3, 7, 11]


@pytest.mark.parametrize(("late_bias", "first"), [(False, 0), (True, 1)])
def test_a_bias_on_its_way_back_is_there_at_once_or_late(late_bias, first):
    graph = loop(Node("Affine", {"weight": np.zeros((1, 1)), "bias": np.ones(1)}))
    found = outputs(graph, np.zeros((5, 1)), Discretisation(late_bias=late_bias))
    assert np.flatnonzero(found).tolist() == list(range(first, 5))


def test_only_what_closes_a_loop_is_late():
    one = Node("Linear", {"weight": np.ones((1, 1))})
    nodes = {"out": Node("Output", {"shape": (1,)}), "c": relay(), "b": relay(), "a": relay(), "w": one}
    nodes["in"] = Node("Input", {"shape": (1,)})
    edges = (("c", "w"), ("w", "a"), ("b", "c"), ("a", "b"), ("in", "a"), ("c", "out"))
    circuit = fold(Graph(nodes, edges))
    assert {(link.source, link.target): link.delay for link in circuit.links} == {
        ("in", "a"): 0, ("a", "b"): 0, ("b", "c"): 0, ("c", "a"): 1,
    }  # fmt: skip


def test_input_may_be_led_through_the_weights_of_a_loop_as_some_importer_does():
    lif = Node("LIF", {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0})
    one = Node("Linear", {"weight": np.ones((1, 1))})
    nodes = {"in": Node("Input", {"shape": (1,)}), "a": lif, "w": one, "b": lif, "u": one, "out": Node("Output", {})}
    edges = (("in", "a"), ("a", "w"), ("w", "a"), ("a", "u"), ("u", "b"), ("b", "out"))
    rewired = input_through_loops(Graph(nodes, edges)).edges
    assert rewired == (("in", "w"), ("a", "w"), ("w", "a"), ("a", "u"), ("u", "b"), ("b", "out"))


def test_inputs_may_be_late():
    x = np.eye(5)[:, :1]
    assert np.flatnonzero(outputs(between((1,), relay()), x, Discretisation(input_delay=2))).tolist() == [2]


# What cannot be folded.


def test_linear_nodes_in_a_loop_by_themselves_are_refused():
    one = Node("Scale", {"scale": np.ones(1)})
    nodes = {"in": Node("Input", {"shape": (1,)}), "a": one, "b": one, "out": Node("Output", {"shape": (1,)})}
    with pytest.raises(ModelError, match="lead back to themselves"):
        fold(Graph(nodes, (("in", "a"), ("a", "b"), ("b", "a"), ("b", "out"))))


def test_a_graph_without_output_or_cells_is_refused():
    with pytest.raises(ModelError):
        fold(Graph({"in": Node("Input", {"shape": (1,)}), "a": relay()}, (("in", "a"),)))


@pytest.mark.parametrize(
    "node",
    [
        Node("Conv2d", {"input_shape": (4096, 4096), "weight": np.ones((1, 1, 99, 99)), "bias": np.zeros(1),
                        "stride": 1, "padding": 0, "dilation": 1, "groups": 1}),
        Node("SumPool2d", {"kernel_size": (2**20, 2**20), "stride": 1, "padding": 2**20}),
    ],
    ids=["conv", "pool"],
)  # fmt: skip
def test_layers_of_too_many_weights_are_refused_before_they_are_built(node):
    with pytest.raises(ModelError):
        fold(between((1, 4096, 4096), node))


def test_ways_that_double_with_every_node_are_refused(monkeypatch):
    monkeypatch.setattr(nir_fold, "MOST_TERMS", 2**12)
    nodes, edges, before = {"in": Node("Input", {"shape": (1,)})}, [], ["in"]
    for k in range(60):
        late = Node("Delay", {"delay": np.array([float(1 + k * 37 % 1000)])})
        nodes |= {f"l{k}": Node("Scale", {"scale": np.ones(1)}), f"r{k}": late}
        edges += [(one, f"{side}{k}") for one in before for side in "lr"]
        before = [f"l{k}", f"r{k}"]
    nodes["out"] = Node("Output", {"shape": (1,)})
    with pytest.raises(ModelError, match="ways through"):
        fold(Graph(nodes, (*edges, *((one, "out") for one in before))), Discretisation(dt_s=1.0))


def test_products_of_too_many_terms_are_refused(monkeypatch):
    monkeypatch.setattr(nir_linear, "MOST_WEIGHTS", 1_000)
    dense = [Node("Linear", {"weight": np.ones((30, 30))}) for _ in range(2)]
    with pytest.raises(ModelError, match="product"):
        fold(between((30,), *dense))


def test_products_in_parts_are_products(monkeypatch):
    a, b = RNG.normal(size=(20, 30)), RNG.normal(size=(10, 20))
    dense = [Node("Linear", {"weight": w}) for w in (a, b)]
    whole = fold(between((30,), *dense)).links[0]
    monkeypatch.setattr(nir_linear, "PART", 37)
    parts = fold(between((30,), *dense)).links[0]
    assert parts.weights.tolist() == whole.weights.tolist()
    assert parts.matrix(10) == pytest.approx((b @ a).T, abs=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dt_s": 0.0},
        {"dt_s": np.nan},
        {"scheme": "eulr"},
        {"integrate": "steps"},
        {"recurrent_delay": 0},
        {"input_delay": -1},
    ],
    ids=str,
)
def test_discretisations_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError):
        Discretisation(**wrong)


def test_an_unknown_framework_is_refused_and_the_nearest_named():
    with pytest.raises(ConfigError, match="did you mean 'snntorch'"):
        Discretisation.of("snn_torch")


@pytest.mark.parametrize("wrong", [{"tau": 0.0}, {"tau": -1.0}])
def test_time_constants_that_cannot_be_are_refused(wrong):
    node = Node("LIF", {"r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, **wrong})
    with pytest.raises(ModelError, match="above 0"):
        fold(between((1,), node), Discretisation(dt_s=1e-3))


def test_a_delay_that_no_circuit_has_is_refused():
    with pytest.raises(ModelError, match="delays by up to"):
        fold(between((1,), Node("Delay", {"delay": np.array([1e9])})), Discretisation(dt_s=1e-3))
