"""Memory images of RANC's hardware: a folder of ``csram_NNN.mem`` and ``tc_NNN.mem``, one of each per core.

A line of a csram is one neuron in bits: a bit per axon, the last axon first; then, two's complement of 9 bits each, V,
R, four weights, leak, positive and negative threshold; a bit of reset mode; dx and dy of 9 bits; the target axon in as
many bits as number the axons; the delay less one in 4. A line of a tc is the type of an axon, 2 bits. Core (x, y) is
number x + columns · y. Images say neither how many columns the mesh has nor where the outputs are:
``config.json`` in the folder does, with the keys of RANC's configuration and an ``output_bus`` as in its input.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ModelError
from spikestream.files.atomic import replacing
from spikestream.files.chipjson import Table, read_bytes, read_json
from spikestream.files.ranc import bus_of, from_ranc, offsets_of
from spikestream.model.crossbar import RANC, CrossbarPlacement, unpacked
from spikestream.model.placement import NOWHERE

WIDTH, DELAY = 9, 4
NUMBERS = ("v0", "reset", "w0", "w1", "w2", "w3", "leak", "threshold", "negative")
SIDE = 4_096


def read_ranc_mem(folder: str | os.PathLike[str]) -> CrossbarPlacement:
    """Return the network of a folder of memory images with its ``config.json``; raises `ModelError`."""
    place = Path(folder)
    config = read_json(place / "config.json")
    bus = Table("config.output_bus", Table("config", config).get("output_bus"))
    columns = Table("config", config).whole("num_cores_x", 1, SIDE)
    cores = []
    for path in sorted(place.glob("csram_*.mem")):
        found = re.fullmatch(r"csram_(\d{1,9})\.mem", path.name)
        if not found:
            raise ModelError(f"{path} has no number of a core in its name")
        xy = [int(found[1]) % columns, int(found[1]) // columns]
        if tuple(xy) != bus.pair("coordinates", 0, SIDE - 1):  # a mesh is written whole: with a core where outputs are
            cores.append(_core_of(path, xy))
    return from_ranc({"cores": cores, "output_bus": bus.value}, config, os.fspath(folder))


def _core_of(path: Path, xy: list[int]) -> dict[str, Any]:
    """Return a core as RANC's JSON has it."""
    types = _bits(path.with_name(path.name.replace("csram", "tc")), 2)
    axons, tail = len(types), WIDTH * (len(NUMBERS) + 2) + 1 + DELAY
    target = axons.bit_length() - 1
    rows = _bits(path, axons + tail + target)
    at, fields = axons, {}
    widths = {**dict.fromkeys(NUMBERS, WIDTH), "mode": 1, "dx": WIDTH, "dy": WIDTH, "axon": target, "tick": DELAY}
    for name, width in widths.items():
        fields[name] = _number(rows[:, at : at + width], signed=name not in ("mode", "axon", "tick"))
        at += width
    neurons = [
        {
            "reset_potential": f["reset"],
            "weights": [f["w0"], f["w1"], f["w2"], f["w3"]],
            "leak": f["leak"],
            "positive_threshold": f["threshold"],
            "negative_threshold": f["negative"],
            "destination_core_offset": [f["dx"], f["dy"]],
            "destination_axon": f["axon"],
            "destination_tick": f["tick"],
            "current_potential": f["v0"],
            "reset_mode": f["mode"],
        }
        for f in (dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True))
    ]
    kinds = _number(types, signed=False)
    return {"axons": kinds, "neurons": neurons, "connections": rows[:, axons - 1 :: -1].tolist(), "coordinates": xy}


def _bits(path: Path, width: int) -> Array:
    """Return the lines of an image as bits (lines, width) uint8."""
    lines = read_bytes(path).split()
    if not 1 <= len(lines) <= SIDE or any(len(line) != width or line.strip(b"01") for line in lines):
        raise ModelError(f"{path} is not 1 to {SIDE:,} lines of {width} bits each")
    return np.frombuffer(b"".join(lines), np.uint8).reshape(len(lines), width) - ord("0")


def _number(bits: Array, signed: bool) -> list[int]:
    """Return the numbers that rows of bits are, the highest bit first."""
    width = bits.shape[1]
    worth = 1 << np.arange(width - 1, -1, -1, dtype=np.int64)
    if signed:
        worth[0] *= -1
    numbers: list[int] = (bits.astype(np.int64) @ worth).tolist() if width else [0] * len(bits)
    return numbers


def write_ranc_mem(folder: str | os.PathLike[str], placement: CrossbarPlacement) -> None:
    """Write a network as memory images, for the cores there are, with ``config.json``; the folder must exist.

    Raises `ModelError` where a number does not fit its bits.
    """
    p = placement
    if p.law != RANC:
        raise ModelError(f"RANC cannot hold a chip of law '{p.law}'")
    offsets, grid = offsets_of(p)
    conn = unpacked(p)
    for c in range(p.cores):
        number = int(p.core_xy[c, 0] + grid[0] * p.core_xy[c, 1])
        lines = [_line(p, c, j, conn[c, :, j], offsets[c, j].tolist()) for j in range(p.neurons)]
        types = [f"{kind:02b}" for kind in p.axon_type[c].tolist()]
        for name, text in (("csram", lines), ("tc", types)):
            with replacing(Path(folder) / f"{name}_{number:03d}.mem") as temporary:
                temporary.write_text("\n".join(text) + "\n")
    config = {"num_neurons": p.neurons, "num_axons": p.axons, "num_cores_x": grid[0], "num_cores_y": grid[1]}
    config |= {"num_weights": 4, "max_tick_offset": 16, "neuron_reset_type": int(p.floor_included)}
    bus = {"coordinates": list(bus_of(p, grid)), "num_outputs": p.outputs}
    with replacing(Path(folder) / "config.json") as temporary:
        temporary.write_text(json.dumps({**config, "output_bus": bus}))


def _line(p: CrossbarPlacement, c: int, j: int, connected: Array, offset: list[int]) -> str:
    bits = "".join("1" if one else "0" for one in connected[::-1])
    numbers = [p.v0[c, j], p.reset[c, j], *p.weights[c, j], p.leak[c, j], p.threshold[c, j], -int(p.floor[c, j])]
    text = bits + "".join(_signed(int(one)) for one in numbers) + str(int(p.reset_mode[c, j]))
    text += _signed(offset[0]) + _signed(offset[1])
    axon, width = int(p.target_axon[c, j]) * int(p.target_core[c, j] != NOWHERE), p.axons.bit_length() - 1
    if axon >> width:
        raise ModelError(f"axon {axon} does not fit the {width} bits of a target in a memory image")
    return text + (f"{axon:0{width}b}" if width else "") + f"{int(p.delay[c, j]) - 1:04b}"


def _signed(value: int) -> str:
    if not -(1 << (WIDTH - 1)) <= value < 1 << (WIDTH - 1):
        raise ModelError(f"{value} does not fit the {WIDTH} bits of a number in a memory image")
    return f"{value & ((1 << WIDTH) - 1):0{WIDTH}b}"
