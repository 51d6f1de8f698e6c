"""HDF5 files as others lay them out, for tests: written with h5py, Prophesee's codec by `naive_ecf`."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import h5py
import naive_ecf
import numpy as np

from spikestream.batch import EVENT, Events

CD = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")], align=True)
CHUNK = 16_384
ECF = 36_559


def cd(events: np.ndarray) -> np.ndarray:
    made = np.zeros(len(events), CD)
    for name in "xypt":
        made[name] = events[name]
    return made


def prophesee(
    path: Path,
    events: np.ndarray,
    chunk: int = CHUNK,
    ways=naive_ecf.WAYS,
    libver: str | None = None,
    **attributes: str,
) -> Path:
    """Write events as OpenEB does, packed with ECF, chunk by chunk in these ways; None is a chunk left unpacked."""
    with h5py.File(path, "w", libver=libver) as file:
        space = h5py.h5s.create_simple((len(events),), (h5py.h5s.UNLIMITED,))
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((chunk,))
        plist.set_filter(ECF, h5py.h5z.FLAG_OPTIONAL, ())
        group = file.create_group("CD")
        data = h5py.h5d.create(group.id, b"events", h5py.h5t.py_create(CD), space, plist)
        for at, way in zip(range(0, len(events), chunk), cycle(ways)):
            part = events[at : at + chunk]
            if way is None:
                full = np.concatenate([cd(part), np.zeros(chunk - len(part), CD)])
                data.write_direct_chunk((at,), full.tobytes(), filter_mask=1)
            else:
                data.write_direct_chunk((at,), naive_ecf.encode(part, way))
        file.attrs["version"] = "1.0"
        for name, value in attributes.items():
            file.attrs[name] = value
    return path


SIZE = (640, 480)


def scene(n: int = 50_000, start: int = 1_317_888) -> np.ndarray:
    """Return events, some of them rows of neighbours at one moment, as sensors of Prophesee's give them."""
    rng = np.random.default_rng(5)
    events = np.empty(n, EVENT)
    moments = np.cumsum(rng.choice([0, 0, 0, 1, 3, 14, 15, 16, 900], n))
    events["t"] = start + moments
    events["x"], events["y"] = rng.integers(0, SIZE[0], n), rng.integers(0, SIZE[1], n)
    events["p"] = rng.integers(0, 2, n)
    half = n // 2
    events["x"][half:] = np.cumsum(rng.choice([1, 1, 2, 5, 6], n - half)) % SIZE[0]
    events["y"][half:] = np.repeat(rng.integers(0, SIZE[1], (n - half + 49) // 50), 50)[: n - half]
    return events


def batch(events: np.ndarray, size=SIZE) -> Events:
    return Events(int(events["t"][0]), int(events["t"][-1]) + 1, events, size)


def columns(path: Path, events: np.ndarray, names: str, group: str, more: dict | None = None, **packing) -> Path:
    with h5py.File(path, "w") as file:
        for name, column in zip(names.split(), "txyp", strict=True):
            file.create_dataset(
                f"{group}/{name}", data=events[column].astype({"t": "u4", "p": "u1"}.get(column, "u2")), **packing
            )
        for name, value in (more or {}).items():
            file[name] = value
    return path
