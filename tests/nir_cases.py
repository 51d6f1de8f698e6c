"""NIR nodes of every kind with random fields, as the nir package makes them, and what of two nodes must be equal."""

from __future__ import annotations

import nir
import numpy as np

EACH = {
    "Scale": ["scale"],
    "Delay": ["delay"],
    "Threshold": ["threshold"],
    "I": ["r"],
    "IF": ["r", "v_threshold", "v_reset"],
    "LI": ["tau", "r", "v_leak"],
    "LIF": ["tau", "r", "v_leak", "v_threshold", "v_reset"],
    "CubaLI": ["tau_syn", "tau_mem", "r", "v_leak", "w_in"],
    "CubaLIF": ["tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"],
}


def array(rng, *shape):
    return rng.normal(size=shape).astype(rng.choice([np.float32, np.float64]))


def shape(rng, axes):
    return tuple(int(side) for side in rng.integers(1, 5, rng.integers(*axes)))


def conv(rng, axes):
    """Return the fields of a convolution that nir can write: one length of kernel along all axes."""
    kernel, groups = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    space = tuple(int(side) for side in rng.integers(12, 15, axes))

    def steps(low, high):
        found = tuple(int(step) for step in rng.integers(low, high, axes))
        return found if axes == 2 else found[0]

    padding = ["same", "valid", steps(0, 3)][rng.integers(3)]
    out = groups * int(rng.integers(1, 4))
    return {
        "input_shape": space if axes == 2 else space[0],
        "weight": array(rng, out, int(rng.integers(1, 4)), *(kernel,) * axes),
        "stride": 1 if padding == "same" else steps(1, 4),
        "padding": padding,
        "dilation": steps(1, 3),
        "groups": groups,
        "bias": array(rng, out),
    }


def pool(rng):
    return {"kernel_size": rng.integers(1, 4, 2), "stride": rng.integers(1, 4, 2), "padding": rng.integers(0, 2, 2)}


def every_kind(rng):
    """Return a node of every kind, by its kind."""
    linear = (*shape(rng, (0, 2)), int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    flat = shape(rng, (2, 4))
    nodes = {
        "Input": nir.Input(np.array(shape(rng, (1, 4)))),
        "Output": nir.Output(np.array(shape(rng, (1, 4)))),
        "Affine": nir.Affine(array(rng, *linear), array(rng, *linear[:-1])),
        "Linear": nir.Linear(array(rng, *linear)),
        "Conv1d": nir.Conv1d(**conv(rng, 1)),
        "Conv2d": nir.Conv2d(**conv(rng, 2)),
        "SumPool2d": nir.SumPool2d(**pool(rng)),
        "AvgPool2d": nir.AvgPool2d(**pool(rng)),
        "Flatten": nir.Flatten(np.array(flat), int(rng.integers(len(flat) - 1)), -1),
    }
    for kind, names in EACH.items():
        sides = shape(rng, (1, 4))
        nodes[kind] = getattr(nir, kind)(**{name: array(rng, *sides) for name in names})
    return nodes


def fields(theirs):
    """Return the fields of a node of the nir package, by the names they have in a file."""
    found = {k: v for k, v in vars(theirs).items() if k not in ("input_type", "output_type", "metadata")}
    kind = type(theirs).__name__
    if kind in ("Input", "Output"):
        found = {"shape": theirs.input_type["input"]}
    if kind == "Flatten":
        found["input_type"] = theirs.input_type["input"]
    return found


def differences(ours, theirs):
    """Return in which fields a node of ours differs from one of the nir package."""
    assert ours.kind == type(theirs).__name__
    expected = fields(theirs)
    assert set(ours.params) == set(expected)
    return [name for name, value in ours.params.items() if not same(value, expected[name])]


def same(a, b):
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind == "f" and a.dtype != b.dtype:
        return False
    return np.array_equal(np.broadcast_to(a, b.shape) if a.size == 1 else a, np.broadcast_to(b, a.shape))
