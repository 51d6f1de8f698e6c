"""Random NIR graphs, loops and all: their circuit does what the graph does node by node, or one clear error comes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import naive_nir_run
import numpy as np
import pytest

from spikestream.errors import ConfigError, ModelError
from spikestream.model.nir import Graph, Node
from spikestream.model.nir.fold import fold
from spikestream.model.nir.steps import Discretisation
from spikestream.stages.simulator import Simulator

SIZE, DT = 3, 1e-3
KINDS = ["Affine", "Linear", "Scale", "Delay", "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Flatten"]


def random_node(rng, kind):
    def some(low, high):
        return rng.uniform(low, high, SIZE)

    leak = {"r": some(1, 4), "v_leak": some(-0.2, 0.2)}
    fires = {"v_threshold": some(0.2, 1.0), "v_reset": some(-0.2, 0.1)}
    cuba = {"tau_mem": some(2e-3, 2e-2), "tau_syn": some(2e-3, 1e-2), "w_in": some(1, 4), **leak}
    fields = {
        "Affine": {"weight": rng.normal(0, 0.7, (SIZE, SIZE)), "bias": rng.normal(0, 0.5, SIZE)},
        "Linear": {"weight": rng.normal(0, 0.7, (SIZE, SIZE))},
        "Scale": {"scale": some(-1, 1.5)},
        "Delay": {"delay": rng.integers(0, 4, SIZE) * DT if rng.random() < 0.5 else np.full(SIZE, 2 * DT)},
        "Threshold": {"threshold": some(-0.5, 0.5)},
        "I": {"r": some(0.05, 0.2)},
        "IF": {"r": some(0.3, 1), **fires},
        "LI": {"tau": some(2e-3, 2e-2), **leak},
        "LIF": {"tau": some(2e-3, 2e-2), **leak, **fires},
        "CubaLI": cuba,
        "CubaLIF": {**cuba, **fires},
        "Flatten": {"start_dim": 0},
    }
    return Node(kind, fields[kind])


def random_graph(seed):
    """Return a graph of up to 8 nodes in a row between Input and Output, and as many edges anywhere."""
    rng = np.random.default_rng(seed)
    kinds = [str(kind) for kind in rng.choice(KINDS, int(rng.integers(2, 9)))]
    nodes = {f"n{k}": random_node(rng, kind) for k, kind in enumerate(kinds)}
    names, ends = list(nodes), {"in": Node("Input", {"shape": (SIZE,)}), "out": Node("Output", {"shape": (SIZE,)})}
    edges = {(names[k], names[k + 1]): None for k in range(len(names) - 1)} | {("in", names[0]): None}
    for _ in range(int(rng.integers(0, len(names) + 1))):
        edges[str(rng.choice(names)), str(rng.choice(names))] = None
    edges |= {(names[-1], "out"): None} | ({(str(rng.choice(names)), "out"): None} if rng.random() < 0.3 else {})
    order = rng.permutation(len(edges))
    return Graph(nodes | ends, tuple(list(edges)[k] for k in order))


def test_random_graphs_do_as_circuits_what_they_do_node_by_node():
    seen, lively = Counter(), 0
    how = Discretisation(dt_s=DT, late_bias=True)
    for seed in range(400):
        graph, x = random_graph(seed), np.random.default_rng(seed).normal(0.3, 1, (15, SIZE))
        try:
            circuit = fold(graph, how)
        except ModelError as error:
            if "lead back to themselves" not in str(error):
                raise
            seen["refused"] += 1
            continue
        twin = naive_nir_run.Run(graph, SIZE, DT)
        with np.errstate(all="ignore"):
            expected = np.array([np.concatenate(twin.step(row)) for row in x])
        found = Simulator(circuit).run(x).outputs
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9), seed
        lively += bool(expected.any())
        seen.update({node.kind for node in graph.nodes.values()})
        seen["loops"] += any(twin.rank[a] >= twin.rank[b] and a not in twin.cut for a, b in graph.edges)
        seen["loops of delays"] += bool(twin.cut) and any(twin.rank[a] >= twin.rank[b] for a, b in graph.edges)
    assert lively > 250
    assert min(seen[what] for what in (*KINDS, "loops", "loops of delays", "refused")) >= 20


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_fields_hold_the_outcome_is_a_circuit_or_one_clear_error(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(seed + 1000)
    odd = [0.0, -1.0, 1e-300, 1e300, np.inf, -np.inf]
    nodes = {}
    for name, node in graph.nodes.items():
        fields = {k: np.where(rng.random(v.shape) < 0.3, rng.choice(odd), v) if isinstance(v, np.ndarray) else v
                  for k, v in node.params.items()}  # fmt: skip
        try:
            nodes[name] = Node(node.kind, fields)
        except ModelError:
            nodes[name] = node
    with np.errstate(all="ignore"):
        try:
            circuit = fold(Graph(nodes, graph.edges), Discretisation(dt_s=DT))
            Simulator(circuit).run(np.ones((20, SIZE)))
        except (ModelError, ConfigError):
            pass


def test_a_graph_of_very_many_nodes_folds():
    nodes = {"in": Node("Input", {"shape": (1,)})}
    nodes |= {f"n{k}": Node("Scale", {"scale": np.ones(1)}) for k in range(5_000)}
    names = [*nodes, "out"]
    nodes["out"] = Node("Output", {"shape": (1,)})
    circuit = fold(Graph(nodes, tuple(pairwise(names))))
    assert Simulator(circuit).run(np.array([[3.0]])).outputs.tolist() == [[3.0]]
