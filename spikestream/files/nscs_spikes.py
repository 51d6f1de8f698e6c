"""Spike files of NSCS, ``.sfri``: a JSON head, then big-endian words, or a line of JSON a spike.

RAWI3 (input) has three words a spike: tick, core, axon; RAWO6 (output) six, of which the first, fourth and fifth are
these; both begin after a byte 0xFF. TEXT has a line ``{"spike": {"srcTime": …, "destCore": …, "destAxon": …}}``.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from spikestream.batch import Array, Spikes
from spikestream.errors import ConfigError, ModelError
from spikestream.files.atomic import replacing
from spikestream.files.chipjson import Table, parse, read_bytes
from spikestream.files.nscs import COLUMN, OUTSIDE
from spikestream.model.crossbar import CrossbarPlacement

MARK = b"\xff"
COLUMNS = {"RAWI3": (3, [0, 1, 2]), "RAWO6": (6, [0, 3, 4])}
VERSION = "1.4.0"
LATEST = 2**31 - 1


def read_nscs_spikes(path: str | os.PathLike[str]) -> Array:
    """Return the spikes of a file, (n, 3) int64: tick, core (-32 is the outside), axon; raises `ModelError`."""
    data, name = read_bytes(path), os.fspath(path)
    head, mark, body = data.partition(MARK)
    if not mark:
        return _text(data, name)
    encoding = Table(name, parse(head, f"the head of {name}")).get("encoding")
    if not isinstance(encoding, str) or encoding not in COLUMNS:
        raise ModelError(f"{name} is encoded as {str(encoding)[:20]!r}, not as {' or '.join(COLUMNS)}")
    words, columns = COLUMNS[encoding]
    if len(body) % (4 * words):
        raise ModelError(f"{name} ends inside a spike of {4 * words} bytes")
    return np.frombuffer(body, ">i4").reshape(-1, words)[:, columns].astype(np.int64)


def _text(data: bytes, name: str) -> Array:
    rows = []
    for number, line in enumerate(data.splitlines()):
        where = f"{name}, line {number + 1}"
        one = Table(where, parse(line, where))
        if "spike" in one:
            spike = Table(f"{where}, spike", one.get("spike"))
            core = spike.whole("destCore", -LATEST, LATEST)
            rows.append((spike.whole("srcTime", 0, LATEST), core, spike.whole("destAxon", 0, LATEST)))
        elif not {"class", "version"} & set(one.value):
            raise ModelError(f"{where} is neither a head nor a spike")
    return np.array(rows, np.int64).reshape(-1, 3)


def write_nscs_spikes(path: str | os.PathLike[str], rows: Array, *, encoding: str = "RAWI3") -> None:
    """Write spikes (n, 3), tick, core, axon, as RAWI3 or TEXT; raises `ConfigError` for another encoding."""
    head: dict[str, Any] = {"class": "SpikeWriter", "nscsVersion": VERSION, "encoding": encoding}
    table = np.asarray(rows, np.int64).reshape(-1, 3)
    if table.size and not -LATEST <= table.min() <= table.max() <= LATEST:
        raise ModelError(f"{os.fspath(path)}: a tick, core or axon does not fit 32 bits")
    if encoding == "RAWI3":
        data = json.dumps({**head, "defaultDestinationDelay": 1}).encode() + MARK + table.astype(">i4").tobytes()
    elif encoding == "TEXT":
        lines = [head, {"version": "sfto1.0", "defaultDestinationDelay": 1}]
        lines += [{"spike": dict(zip(("srcTime", "destCore", "destAxon"), row, strict=True))} for row in table.tolist()]
        data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    else:
        raise ConfigError(f"unknown encoding '{encoding}'", key="encoding", value=encoding, allowed="RAWI3, TEXT")
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def nscs_input(rows: Array, placement: CrossbarPlacement, *, tick_us: int = 1000) -> Spikes:
    """Return rows (n, 3) of input as spikes of a chip whose inputs are its axons; raises `ModelError`."""
    at = {int(x) * COLUMN + int(y): number for number, (x, y) in enumerate(placement.core_xy.tolist())}
    table = np.asarray(rows, np.int64).reshape(-1, 3)
    table = table[np.argsort(table[:, 0], kind="stable")]
    if len(table) and not 0 <= table[:, 2].min() <= table[:, 2].max() < placement.axons:
        raise ModelError(f"a spike is for an axon beyond the {placement.axons} of a core")
    if missing := set(table[:, 1].tolist()) - set(at):
        raise ModelError(f"a spike is for core {min(missing)}, which the model does not have")
    number = np.array([at[core] for core in table[:, 1].tolist()], np.int64)
    stop = int(table[-1, 0]) + 1 if len(table) else 0
    return Spikes(0, stop * tick_us, table[:, 0] * tick_us, (number * placement.axons + table[:, 2]).astype(np.int32))


def nscs_output(spikes: Spikes, *, tick_us: int = 1000) -> Array:
    """Return spikes of a chip's outputs as rows (n, 3): tick, -32, axon."""
    return np.stack([spikes.t // tick_us, np.full(len(spikes), OUTSIDE), spikes.axon], axis=1).astype(np.int64)
