"""One process of mutations: kernels are compiled with checked bounds, every case is within its limits.

It is run as ``python -m fuzzing.mutating FORMAT COUNT SKIP FOLDER`` by `__main__`, which goes on where it was ended;
in place of a count, folders with ``:`` between them say which files to read.
"""

from __future__ import annotations

import json
import struct
import sys
import traceback
import tracemalloc
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numba
import numpy as np
from fuzz import mutations

from fuzzing.case import Case, feed_here, limit_cpu, limit_memory
from spikestream.files.containers import hdf5

INDEX = struct.Struct("<q")
"""The number of a case, in front of it in the file ``current``."""


def cases(good: list[bytes], what: str) -> Iterator[bytes]:
    """Yield so many mutations in all, file by file, or what lies in folders."""
    if not what.isdigit():
        yield from (path.read_bytes() for folder in what.split(":") for path in sorted(Path(folder).iterdir()))
        return
    count = int(what)
    for number, one in enumerate(good):
        yield from mutations(one, (number + 1) * count // len(good) - number * count // len(good), number)


def check_bounds() -> None:
    """Raise `SystemExit` where compiled code reads beyond an array unnoticed."""
    peek = numba.njit(error_model="numpy")(lambda array, at: array[at])
    try:
        peek(np.zeros(3), 1 << 10)
    except IndexError:
        return
    raise SystemExit("bounds are not checked: set NUMBA_BOUNDSCHECK=1, with a cache folder of its own")


def save(folder: Path, data: bytes, why: str) -> None:
    """Keep a case and what was wrong with it."""
    name = sha256(data).hexdigest()[:16]
    (folder / f"{name}.bin").write_bytes(data)
    (folder / f"{name}.txt").write_text(why)


def main(name: str, what: str, skip: str, folder: str) -> None:
    check_bounds()
    hdf5.feed = feed_here
    found, case = Path(folder) / "found", Case(name, Path(folder) / "case")
    good = case.good.files()
    for one in good:
        case.read(one)  # what is compiled or loaded at first use is no case's memory
    tracemalloc.start()
    limit_memory()
    said = {"cases": 0, "events": 0}
    current = Path(folder) / "current"
    for index, data in enumerate(cases(good, what)):
        if index < int(skip):
            continue
        current.write_bytes(INDEX.pack(index) + data)
        limit_cpu()
        try:
            said["cases"] += 1
            said["events"] += case.measured(data)
        except Exception:
            save(found, data, traceback.format_exc())
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
