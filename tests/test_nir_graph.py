"""NIR graphs in memory: fields in one form, shapes as nir infers them, graphs laid flat, errors that name the place."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from nir_cases import conv, fields, pool

from spikestream.errors import ModelError
from spikestream.model.nir import Graph, Node
from spikestream.model.nir.kinds import KINDS

QUICK = settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
SEEDS = st.integers(0, 2**32 - 1)
LI = {"tau": 0.01, "r": 1.0, "v_leak": 0.0}


def source(*sides):
    return Node("Input", {"shape": sides})


def passing(**named):
    """Return a graph of nodes in a row from `i` to `o`, of 3 values."""
    return Graph.row(i=source(3), **named, o=Node("Output", {"shape": 3}))


@QUICK
@given(seed=SEEDS)
def test_shapes_are_those_that_nir_infers(seed):
    """Of its convolutions nir tells the channels taken wrongly where there are groups: they are left at one."""
    rng = np.random.default_rng(seed)
    two = conv(rng, 2) | {"groups": 1}
    one = conv(rng, 1) | {"groups": 1}
    pooled = pool(rng)
    pooled["padding"] = np.minimum(pooled["padding"], pooled["kernel_size"] // 2)
    start = int(rng.integers(0, 3))
    chains = [
        [("Conv2d", two), ("SumPool2d", pooled), ("Flatten", {"input_type": None, "start_dim": start, "end_dim": -1})],
        [("Conv1d", one), ("Flatten", {"input_type": None, "start_dim": 0, "end_dim": int(rng.integers(0, 2))})],
    ]
    for chain, settings_ in zip(chains, (two, one), strict=True):
        first = np.array([settings_["weight"].shape[1], *np.atleast_1d(settings_["input_shape"])])
        names = ["in", *(str(n) for n in range(len(chain)))]
        theirs = nir.NIRGraph(
            {"in": nir.Input(first)} | {str(n): getattr(nir, k)(**f) for n, (k, f) in enumerate(chain)},
            list(pairwise(names)),
        )
        given_by_us = Graph.row(source(*first), *(Node(k, f | hidden(k)) for k, f in chain)).shapes()
        found = [given_by_us[str(n + 1)].given for n in range(len(chain))]
        assert found == [tuple(theirs.nodes[str(n)].output_type["output"].tolist()) for n in range(len(chain))]


def hidden(kind):
    """Return what makes a convolution tell its shape by what leads to it."""
    return {"input_shape": None} if kind.startswith("Conv") else {}


def test_a_kernel_with_two_lengths_and_groups():
    """Of 10 x 9 with a kernel of 3 x 2, stride 2 x 1, dilation 1 x 3, padding 1 x 0: 5 x 6, by the formula of torch."""
    weight = np.zeros((4, 1, 3, 2))
    more = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 3), "groups": 2, "bias": np.zeros(4)}
    shapes = Graph.row(source(2, 10, 9), Node("Conv2d", {"weight": weight, **more})).shapes()
    assert shapes["1"] == ((2, 10, 9), (4, 5, 6))


def test_one_number_stands_for_as_many_as_reach_it():
    shapes = Graph.row(
        source(2, 3), Node("Scale", {"scale": 2.0}), Node("LI", LI), Node("Delay", {"delay": [1]})
    ).shapes()
    assert [shapes[name].given for name in "0123"] == [(2, 3)] * 4
    alone = Graph({"a": Node("LI", LI), "b": Node("LI", LI)}, [("a", "b"), ("b", "a")])
    assert [shape.given for shape in alone.shapes().values()] == [(1,), (1,)]


def test_fields_are_brought_to_one_form():
    node = Node("LIF", {"tau": np.float32(2), "r": [1, 2], "v_leak": 0, "v_threshold": np.ones(2)})
    assert {name: value.shape for name, value in node.params.items()} == dict.fromkeys(node.params, (2,))
    assert node.params["v_reset"].tolist() == [0, 0]
    assert node.params["tau"].dtype == np.float32
    pooled = Node("SumPool2d", {"kernel_size": 2, "stride": np.array([2, 1]), "padding": 0})
    assert dict(pooled.params) == {"kernel_size": (2, 2), "stride": (2, 1), "padding": (0, 0)}
    conv1 = {"weight": np.zeros((2, 1, 3)), "stride": np.array([1]), "padding": b"same", "dilation": 1, "groups": 1}
    assert Node("Conv1d", conv1 | {"bias": 0}).params["padding"] == "same"
    with pytest.raises(ValueError, match="read-only"):
        node.params["r"][0] = 5
    with pytest.raises(TypeError):
        node.params["r"] = 5


def test_a_node_keeps_no_hold_of_what_it_was_given():
    weight = np.ones((2, 2))
    node = Node("Linear", {"weight": weight})
    weight[:] = 0
    assert node.params["weight"].all()


def inner(**named):
    return Graph.row(input=source(3), **named, output=Node("Output", {"shape": 3}))


def test_graphs_within_graphs_within_graphs():
    deep = passing(a=inner(b=inner(c=Node("LI", LI))), d=Node("LI", LI))
    assert set(deep.flat().edges) == {("a.b.c", "d"), ("i", "a.b.c"), ("d", "o")}
    assert set(deep.flat().nodes) == {"i", "a.b.c", "d", "o"}
    assert deep.shapes()["a.b.c"].given == (3,)
    flat = deep.flat()
    assert (flat.flat().nodes, flat.flat().edges) == (flat.nodes, flat.edges)


def test_a_graph_that_only_hands_on():
    assert passing(a=inner()).flat().edges == (("i", "o"),)


def test_a_graph_without_ports_is_entered_where_nothing_leads():
    flat = passing(a=Graph.row(b=Node("LI", LI), c=Node("LI", LI))).flat()
    assert set(flat.edges) == {("i", "a.b"), ("a.b", "a.c"), ("a.c", "o")}


def test_an_edge_may_name_a_port_or_a_node_within():
    two = Graph(
        {"x": source(3), "y": source(3), "n.m": Node("LI", LI), "o": Node("Output", {"shape": 3})},
        [("x", "n.m"), ("y", "n.m"), ("n.m", "o")],
    )
    nodes = {"i": source(3), "j": source(3), "g.h": two, "o": Node("Output", {"shape": 3})}
    graph = Graph(nodes, [("i", "g.h.x"), ("j", "g.h.y"), ("g.h", "o"), ("g.h.n.m", "g.h.x")])
    assert set(graph.flat().edges) == {
        ("i", "g.h.n.m"),
        ("j", "g.h.n.m"),
        ("g.h.n.m", "o"),
        ("g.h.n.m", "g.h.n.m"),
    }
    with pytest.raises(ModelError, match=r"edge \('i', 'g.h'\) does not tell which of 2 inputs of graph 'g.h'"):
        Graph(nodes, [("i", "g.h"), ("g.h", "o")]).flat()


def port_ring():
    """Return a graph with inner outputs and inputs that lead to each other."""
    return passing(a=Graph({"x": source(3), "y": Node("Output", {"shape": 3})}, [("x", "y"), ("y", "x")]))


def wide():
    """Return a graph whose inner ports join many with many."""
    many = {str(n): source(1) for n in range(1500)}
    hub = Graph.row(source(1), Node("Output", {"shape": 1}))
    ends = {f"e{n}": Node("Output", {"shape": 1}) for n in range(1500)}
    edges = [(name, "hub") for name in many] + [("hub", name) for name in ends]
    return Graph({**many, "hub": hub, **ends}, edges)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: passing(a=Graph.row(b=Node("LI", LI)), **{"a.b": Node("LI", LI)}), "two nodes are called 'a.b'"),
        (port_ring, "in a ring"),
        (wide, "over 1,048,576"),
        (lambda: passing(a=Graph({"b": Node("LI", LI)}, [("b", "b")])), "does not tell which of 0"),
    ],
)
def test_what_cannot_be_laid_flat(make, why):
    with pytest.raises(ModelError) as caught:
        make().flat()
    assert why in str(caught.value)


CONV = {"weight": np.zeros((2, 1, 3, 3)), "bias": [0, 0], "stride": 1, "padding": 0, "dilation": 1, "groups": 1}


@pytest.mark.parametrize(
    ("kind", "params", "why"),
    [
        ("Lif", {}, "did you mean 'LIF'"),
        ("LIF", LI, "needs a field 'v_threshold'"),
        ("LI", LI | {"v_rest": 0}, "no field 'v_rest'"),
        ("LI", LI | {"tau": [1, 2], "r": [1, 2, 3]}, "expected (3,), found (2,) in 'tau'"),
        ("LI", LI | {"tau": np.nan}, "NaN"),
        ("LI", LI | {"tau": "fast"}, "an array of numbers"),
        ("LI", LI | {"tau": [[1], [1, 2]]}, "'tau'"),
        ("LI", LI | {"tau": []}, "an array of numbers"),
        ("LI", LI | {"tau": 1j}, "an array of numbers"),
        ("LI", LI | {"tau": None}, "needs a field 'tau'"),
        ("Linear", {"weight": [1, 2]}, "at least 2 axes, found (2,)"),
        ("Affine", {"weight": np.eye(2), "bias": [1, 2, 3]}, "expected (2,), found (3,)"),
        ("Conv2d", CONV | {"weight": np.zeros((2, 1, 3))}, "4 axes, found (2, 1, 3)"),
        ("Conv2d", CONV | {"bias": [0, 0, 0]}, "expected (2,), found (3,)"),
        ("Conv2d", CONV | {"groups": 3}, "not 3 equal groups"),
        ("Conv2d", CONV | {"groups": 0}, "not 0 equal groups"),
        ("Conv2d", CONV | {"stride": 0}, "'stride' of a node of kind Conv2d is at least 1"),
        ("Conv2d", CONV | {"stride": (1, 2, 3)}, "one or two whole numbers"),
        ("Conv2d", CONV | {"padding": "full"}, "'same' or 'valid'"),
        ("Conv2d", CONV | {"padding": -1}, "at least 0"),
        ("Conv2d", CONV | {"dilation": 1.5}, "whole numbers"),
        ("Conv2d", CONV | {"input_shape": 5}, "a height and a width"),
        ("Input", {"shape": (0, 3)}, "a shape"),
        ("Input", {"shape": (2**20, 2**20)}, "at most 268,435,456 values"),
        ("Input", {"shape": [2**62, 2**62, 2**62]}, "whole numbers"),
        ("Input", {"shape": "wide"}, "whole numbers"),
    ],
)
def test_a_node_that_cannot_be(kind, params, why):
    with pytest.raises(ModelError) as caught:
        Node(kind, params)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "edges", "why"),
    [
        ({}, [], "found 0"),
        ({"a" * 513: Node("LI", LI)}, [], "a name of 1 to 512 letters"),
        ({"a": 3}, [], "node 'a' is a Node or a Graph, found int"),
        ({"": Node("LI", LI)}, [], "a name of 1 to 512 letters"),
        ({"a": Node("LI", LI)}, [("a", "b")], "joins 'b', which the graph does not have"),
        ({"a": Node("LI", LI)}, [("a", "a.b")], "joins 'a.b'"),
        ({"a": Node("LI", LI)}, [("a", "a"), ("a", "a")], "is there twice"),
        ({"a": Node("LI", LI)}, ["aa"], "a pair of names"),
        ({"a": Node("LI", LI)}, [("a", 3)], "a pair of names"),
    ],
)
def test_a_graph_that_cannot_be(nodes, edges, why):
    with pytest.raises(ModelError) as caught:
        Graph(nodes, edges)
    assert why in str(caught.value)


def test_graphs_do_not_lie_without_end_within_each_other():
    graph = Graph.row(Node("LI", LI))
    for _ in range(15):
        graph = Graph.row(graph)
    with pytest.raises(ModelError, match="16 deep"):
        Graph.row(graph)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        (
            (source(4), Node("Linear", {"weight": np.eye(3)})),
            "edge ('0', '1'): '0' (Input) gives (4,), but",
        ),
        ((source(2, 8, 8), Node("Conv2d", CONV)), "node '1' (Conv2d): expected 1 channels of 2 axes, found (2, 8, 8)"),
        ((source(1, 2, 8), Node("Conv2d", CONV)), "node '1' (Conv2d): a kernel of (3, 3) does not fit into (2, 8)"),
        ((source(1, 8, 8), Node("Conv2d", CONV | {"padding": "same", "stride": 2})), "goes with stride 1"),
        ((source(8, 8), Node("SumPool2d", {"kernel_size": 2, "stride": 2, "padding": 0})), "channels of 2 axes"),
        ((source(8), Node("Flatten", {})), "axes 1 to -1 are not there in (8,)"),
        ((Node("Flatten", {}),), "the shape of node '0' (Flatten) cannot be told"),
        ((source(2**13), Node("Linear", {"weight": np.zeros((2, 2**13))}), Node("Output", {"shape": 3})), "gives (2,)"),
        ((source(1, 2**14, 2**14), Node("Conv2d", CONV | {"padding": 2})), "over 268,435,456 values"),
    ],
)
def test_shapes_that_do_not_fit_name_node_or_edge(nodes, why):
    with pytest.raises(ModelError) as caught:
        Graph.row(*nodes).shapes()
    assert why in str(caught.value)


def test_the_table_has_the_fields_that_nir_has():
    for kind, ours in KINDS.items():
        theirs = set(getattr(nir, kind).__dataclass_fields__) - {"metadata", "output_type"}
        theirs = {"shape"} if kind in ("Input", "Output") else theirs
        assert set(ours) == theirs - ({"input_type"} if kind != "Flatten" else set()), kind
    assert set(fields(nir.Flatten(None))) == set(KINDS["Flatten"])


@pytest.mark.parametrize("wrong", [{"nodes": None}, {"nodes": []}, {"nodes": {}, "metadata": None}])
def test_parts_that_are_no_mapping_are_one_clear_error(wrong):
    with pytest.raises(ModelError, match="mapping by name"):
        Graph(**wrong)
