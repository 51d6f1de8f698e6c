"""Models of NSCS, IBM's simulator of its chip, as pytruenorth writes them: one JSON object with a ``core`` key a core.

Core number n sits at column n // 64, row n % 64. An input is `core · axons + axon`, heard one tick after its spike's
time; a target core of -32 is the outside, whose axons are our outputs, and -1 is nowhere. NSCS' random numbers are not
published: a model that draws any runs on ours (docs/chip.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ModelError
from spikestream.files.atomic import replacing
from spikestream.files.chipjson import Table, read_json
from spikestream.model.crossbar import TRUENORTH, CrossbarPlacement, unpacked
from spikestream.model.placement import NOWHERE, PIN, identity

COLUMN = 64
OUTSIDE, NONE = -32, -1
SIDE, MOST = 4_096, 4_096
FLAGS = {"random_leak": "c_lambda", "leak_reversal": "epsilon", "floor_clamps": "kappa"}
NUMBERS = {"threshold": ("alpha", 2**18 - 1), "floor": ("beta", 2**18 - 1), "threshold_bits": ("TM", 18)}
NUMBERS |= {"reset_mode": ("gamma", 2)}


def read_nscs(path: str | os.PathLike[str]) -> CrossbarPlacement:
    """Return the network of a model file; raises `ModelError`."""
    return from_nscs(read_json(path), os.fspath(path))


def from_nscs(tables: Any, where: str = "model") -> CrossbarPlacement:
    """Return the network of a model whose ``core`` values are in a list; raises `ModelError`."""
    given = Table(where, tables)
    kinds = {one.get("name"): _kind(one) for one in _tables(given, "neuronTypes")}
    cores = _tables(given, "core")
    if not cores:
        raise ModelError(f"{where} has no cores")
    size = Table(f"{where}.model", given.get("model")).whole("crossbarSize", 1, SIDE, 256)
    ids = [core.whole("id", 0, MOST - 1) for core in cores]
    at = {**{one: number for number, one in enumerate(ids)}, NONE: NOWHERE, OUTSIDE: PIN}
    made: dict[str, Array] = {"axon_type": np.zeros((len(cores), size), int)}
    made["crossbar"] = np.zeros((len(cores), size, size), bool)
    made["seed"] = np.array([core.whole("rngSeed", 0, 2**32 - 1, 1) for core in cores])
    for name, value in {**_plain(), "target_core": NOWHERE, "target_axon": 0, "delay": 1}.items():
        made[name] = np.full((len(cores), size, *np.shape(value)), value)
    for number, core in enumerate(cores):
        _fill(made, number, core, size, kinds, at)
    outputs = int(made["target_axon"][made["target_core"] == PIN].max(initial=-1)) + 1
    place = np.array([(one // COLUMN, one % COLUMN) for one in ids])
    odd: dict[str, Any] = {"core_xy": place, "grid": place.max(axis=0) + 1, "outputs": outputs}
    inputs = identity(len(cores), size, 1)
    return CrossbarPlacement.of(len(cores), size, size, law=TRUENORTH, inputs=inputs, **odd, **made)


def _tables(given: Table, key: str) -> list[Table]:
    return [Table(name, one) for name, one in given.rows(key, 1 << 22)]


def _plain() -> dict[str, Any]:
    """Return the parameters of a neuron that is not in the file."""
    zeros = dict.fromkeys([*FLAGS, *NUMBERS, "leak", "reset", "v0"], 0)
    return {**zeros, "threshold": 1, "weights": np.zeros(4, int), "random_weights": np.zeros(4, bool)}


def _kind(one: Table) -> dict[str, Any]:
    """Return our parameters of one type of neuron."""
    sign = {key: one.whole(f"sigma{key}", -1, 1) for key in ("0", "1", "2", "3", "_lambda", "_VR")}
    return {
        "weights": [sign[str(g)] * one.whole(f"s{g}", 0, 255) for g in range(4)],
        "random_weights": [bool(one.whole(f"b{g}", 0, 1)) for g in range(4)],
        "leak": sign["_lambda"] * one.whole("lambda", 0, 255),
        "reset": sign["_VR"] * (2 ** one.whole("VR", 0, 19) - 1),
        "v0": one.whole("V", -(2**19), 2**19 - 1),
        **{ours: one.whole(theirs, 0, 1) for ours, theirs in FLAGS.items()},
        **{ours: one.whole(theirs, 0, most) for ours, (theirs, most) in NUMBERS.items()},
    }


def _fill(
    made: Mapping[str, Array], number: int, core: Table, size: int, kinds: Mapping[Any, Any], at: Mapping[int, int]
) -> None:
    """Write one core: its crossbar, and its neurons, each on the dendrite it reads."""
    rows = Table(f"{core.where}.crossbar", core.get("crossbar"))
    columns = np.zeros((size, size), bool)
    for i, (name, row) in enumerate(rows.rows("rows", size)):
        kind, columns[i] = _row(Table(name, row), size)
        made["axon_type"][number, i] = kind
    for j, (name, one) in enumerate(core.rows("neurons", size)):
        own = Table(name, one)
        kind = own.get("type")
        if not isinstance(kind, str) or kind not in kinds:
            raise ModelError(f"{name}.type is no name of neuronTypes")
        for ours, value in kinds[kind].items():
            made[ours][number, j] = value
        made["crossbar"][number, :, j] = columns[:, own.whole("dendrite", 0, size - 1, j)]
        target = own.whole("destCore", OUTSIDE, MOST)
        if target not in at:
            raise ModelError(f"{name}.destCore is {target}, which is no core of the model")
        made["target_core"][number, j] = at[target]
        if target != NONE:
            made["target_axon"][number, j] = own.whole("destAxon", 0, size - 1)
        made["delay"][number, j] = own.whole("delay", 1, 15)


def _row(row: Table, size: int) -> tuple[int, Array]:
    """Return the type of an axon and its synapses (size,)."""
    kind, text = row.get("type"), row.get("synapses")
    if kind not in ("S0", "S1", "S2", "S3") or not isinstance(text, str):
        raise ModelError(f"{row.where} has no type S0 to S3, or no synapses")
    try:
        packed = bytes.fromhex(text)
    except ValueError as error:
        raise ModelError(f"{row.where}.synapses is no hexadecimal text: {error}") from error
    if len(packed) != -(-size // 8):
        raise ModelError(f"{row.where}.synapses has {len(packed)} bytes for {size} neurons")
    return int(kind[1]), np.unpackbits(np.frombuffer(packed, np.uint8), count=size).astype(bool)


def write_nscs(path: str | os.PathLike[str], placement: CrossbarPlacement) -> None:
    """Write a network as a model file; raises `ModelError` for what NSCS has no word for."""
    _check(placement)
    names: dict[str, str] = {}
    cores = [_core(placement, c, names) for c in range(placement.cores)]
    kinds = [{**json.loads(text), "name": name} for text, name in names.items()]
    model = {"coreCount": placement.cores, "neuronClass": "NeuronGeneral", "crossbarSize": placement.axons}
    model |= {"crossbarclass": "CrossbarBinary", "networking": "INTRA"}
    # Its order is fixed, and the key of a core is there as often as there are cores.
    parts = [("model", model), ("neuronTypes", kinds), *(("core", core) for core in cores)]
    with replacing(path) as temporary:
        text = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in parts)
        temporary.write_text(f"{{\n{text}\n}}\n")


def _check(p: CrossbarPlacement) -> None:
    r = np.abs(p.reset.astype(np.int64))
    wrong = {
        f"its law is '{p.law}'": p.law != TRUENORTH,
        f"a core has {p.axons} axons and {p.neurons} neurons, which must be as many": p.axons != p.neurons,
        "a reset is not ± (2^n - 1)": bool(np.any(r & (r + 1))),
        "its inputs are not one axon each with a delay of one tick": not np.array_equal(
            p.inputs, identity(p.cores, p.axons, 1)
        ),
        "a core sits below row 63": bool(np.any(p.core_xy >= COLUMN)),
        "an output has a number that no axon has": p.outputs > p.axons,
    }
    for why, is_so in wrong.items():
        if is_so:
            raise ModelError(f"NSCS cannot run this chip: {why}")


def _core(p: CrossbarPlacement, c: int, names: dict[str, str]) -> dict[str, Any]:
    """Return one core; what types of neurons it has is added to ``names`` by their JSON."""
    numbers = [int(x) * COLUMN + int(y) for x, y in p.core_xy.tolist()]
    to = {**dict(enumerate(numbers)), NOWHERE: NONE, PIN: OUTSIDE}
    neurons = []
    for j in range(p.neurons):
        kind = names.setdefault(json.dumps(_words(p, c, j)), f"N{len(names)}")
        target = to[int(p.target_core[c, j])]
        axon = NONE if target == NONE else int(p.target_axon[c, j])
        one = {"type": kind, "dendrite": j, "destCore": target, "destAxon": axon, "delay": int(p.delay[c, j])}
        neurons.append(one)
    bits = np.packbits(unpacked(p)[c], axis=1)
    rows = [
        {"type": f"S{kind}", "synapses": bytes(row).hex(" ").upper()}
        for kind, row in zip(p.axon_type[c].tolist(), bits, strict=True)
    ]
    head = {"id": numbers[c], "rngSeed": int(p.seed[c]), "timeScaleExponent": 0}
    return {**head, "neurons": neurons, "crossbar": {"rows": rows}}


def _words(p: CrossbarPlacement, c: int, j: int) -> dict[str, int | bool]:
    """Return a neuron's parameters by NSCS' names."""
    s, b, leak, r = p.weights[c, j].tolist(), p.random_weights[c, j].tolist(), int(p.leak[c, j]), int(p.reset[c, j])
    made: dict[str, int | bool] = {f"sigma{g}": -1 if s[g] < 0 else 1 for g in range(4)}
    made |= {f"s{g}": abs(s[g]) for g in range(4)} | {f"b{g}": b[g] for g in range(4)}
    made |= {"sigma_lambda": -1 if leak < 0 else 1, "lambda": abs(leak)}
    made |= {theirs: bool(getattr(p, ours)[c, j]) for ours, theirs in FLAGS.items()}
    made |= {theirs: int(getattr(p, ours)[c, j]) for ours, (theirs, _) in NUMBERS.items()}
    return made | {"sigma_VR": -1 if r < 0 else 1, "VR": abs(r).bit_length(), "V": int(p.v0[c, j])}
