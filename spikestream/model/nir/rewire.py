"""A NIR graph rewired as an importer of recurrent layers has it: input goes through the recurrent weights as well.

snnTorch takes a neuron and the weights that lead from it back to it as one layer, and leads what reaches the layer into
these weights, so that the neuron hears W (input + spikes) + b instead of input + W spikes + b. That is another network
than the file says; it is here because recordings of it are about.
"""

from __future__ import annotations

from spikestream.model.nir import Graph

NEURONS = ("LIF", "CubaLIF")
WEIGHTS = ("Affine", "Linear")


def input_through_loops(graph: Graph) -> Graph:
    """Return ``graph``, laid flat, where input of a neuron with weights back to itself leads into these weights.

    Only weights that nothing else leads to, and that lead nowhere else, are such.
    """
    flat = graph.flat()
    ins: dict[str, list[str]] = {name: [] for name in flat.nodes}
    outs: dict[str, list[str]] = {name: [] for name in flat.nodes}
    for source, target in flat.edges:
        ins[target].append(source)
        outs[source].append(target)
    loops = {}
    for name, node in flat.nodes.items():
        neuron = ins[name][0] if node.kind in WEIGHTS and len(ins[name]) == 1 and ins[name] == outs[name] else ""
        if neuron and flat.nodes[neuron].kind in NEURONS:
            loops[neuron] = name
    edges = [(a, b if loops.get(b, a) == a else loops[b]) for a, b in flat.edges]
    return Graph(flat.nodes, tuple(edges), flat.metadata)
