"""NIR's equations and a circuit's, cut into steps in plain Python: one value after the other, no matter how slowly."""

from __future__ import annotations

import math


def decays(time, tau, scheme):
    """Return what is left of a deviation after a step, and how much of what drives it has come in."""
    left = 1 - time / tau if scheme == "euler" else math.exp(-time / tau)
    return left, 1 - left


def run_graph(graph, inputs, step_s, scheme, outputs):
    """Return what each output is given in each step, lists of values: of neurons, weights and delays."""
    state = {name: start(node, step_s) for name, node in graph.nodes.items()}
    found = []
    for values in inputs:
        given = dict(values)
        for name, node in graph.nodes.items():
            if node.kind == "Delay":
                given[name] = [line[0] for line in state[name]]
        todo = [name for name in graph.nodes if name not in given]
        while todo:
            for name in todo:
                before = [a for a, b in graph.edges if b == name]
                if all(one in given for one in before):
                    x = [sum(values) for values in zip(*(given[one] for one in before), strict=True)]
                    given[name] = step(graph.nodes[name], state[name], x, step_s, scheme)
                    todo.remove(name)
                    break
            else:
                raise AssertionError("a ring without a delay")
        for name, node in graph.nodes.items():
            if node.kind == "Delay":
                (source,) = (a for a, b in graph.edges if b == name)
                for line, value in zip(state[name], given[source], strict=True):
                    line.append(value)
                    line.pop(0)
        found.append([given[name] for name in outputs])
    return found


def start(node, step_s):
    if node.kind == "Delay":
        return [[0.0] * round(late / step_s) for late in node.params["delay"]]
    return {"v": {}, "i": {}, "late": {}}


def step(node, state, x, step_s, scheme):
    """Return what a node gives for what it takes."""
    p = node.params
    if node.kind in ("Linear", "Affine"):
        bias = p["bias"] if node.kind == "Affine" else [0.0] * len(p["weight"])
        sums = [sum(w * value for w, value in zip(row, x, strict=True)) for row in p["weight"]]
        return [total + b for total, b in zip(sums, bias, strict=True)]
    if node.kind == "Output":
        return x
    return [cell(node, state, n, value, step_s, scheme) for n, value in enumerate(x)]


def cell(node, state, n, x, step_s, scheme):
    """Return the spike of a neuron, or its potential where it does not spike."""
    p, ours = node.params, node.metadata["spikestream"]
    v, y = state["v"].get(n, 0.0), x
    if node.kind.startswith("Cuba"):
        left, new = decays(step_s, p["tau_syn"][n], scheme)
        old = state["i"].get(n, 0.0)
        state["i"][n] = left * old + new * p["w_in"][n] * x
        y = old if ours["old_current"] else state["i"][n]
    if node.kind in ("I", "IF"):
        v = v + step_s * p["r"][n] * y
    else:
        left, new = decays(step_s, p["tau_mem" if node.kind.startswith("Cuba") else "tau"][n], scheme)
        v = left * v + new * (p["v_leak"][n] + p["r"][n] * y)
    state["v"][n] = v
    if "v_threshold" not in p:
        return v
    if state["late"].pop(n, False):
        v = reset(v, p["v_threshold"][n], p["v_reset"][n], ours["reset"])
    spike = v >= p["v_threshold"][n] if ours["at_threshold"] else v > p["v_threshold"][n]
    if spike and ours["late_reset"]:
        state["late"][n] = True
    elif spike:
        v = reset(v, p["v_threshold"][n], p["v_reset"][n], ours["reset"])
    state["v"][n] = v
    return float(spike)


def reset(v, threshold, to, kind):
    return to if kind == "value" else v - (threshold - to)


def run_circuit(circuit, inputs):
    """Return what each output gives in each step."""
    given = {name: [] for name in [*dict(circuit.inputs), *(one.name for one in circuit.cells)]}
    v = {one.name: [0.0] * one.size for one in circuit.cells}
    i = {one.name: [0.0] * one.size for one in circuit.cells}
    late = {one.name: [False] * one.size for one in circuit.cells}
    weights = [(link, link.matrix(circuit.place(link.target).size).T.tolist()) for link in circuit.links]
    found = []
    for now, values in enumerate(inputs):
        for name, value in values.items():
            given[name].append(value)
        for one in circuit.cells:
            out = []
            for n in range(one.size):
                x = one.bias[n] + sum(
                    weight * given[link.source][now - link.delay][m]
                    for link, rows in weights
                    if link.target == one.name and now >= link.delay
                    for m, weight in enumerate(rows[n])
                )
                out.append(circuit_cell(one, v[one.name], i[one.name], late[one.name], n, x))
            given[one.name].append(out)
        found.append([given[name][-1] for name in circuit.outputs])
    return found


def circuit_cell(one, v, i, late, n, x):
    y = x
    if one.current_decay is not None:
        old = i[n]
        i[n] = one.current_decay[n] * old + one.current_gain[n] * x
        y = old if one.old_current else i[n]
    v[n] = one.decay[n] * v[n] + one.gain[n] * y + one.drift[n]
    if not one.spiking:
        return v[n]
    if late[n]:
        v[n] = reset(v[n], one.threshold[n], one.reset_to[n], one.reset)
        late[n] = False
    spike = v[n] >= one.threshold[n] if one.at_threshold else v[n] > one.threshold[n]
    if spike and one.late_reset:
        late[n] = True
    elif spike:
        v[n] = reset(v[n], one.threshold[n], one.reset_to[n], one.reset)
    return float(spike)
