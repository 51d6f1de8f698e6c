"""HDF5 files as NIR uses them: read in a process apart, written in place of an older file or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import msgpack
import numpy as np

from spikestream.errors import ModelError
from spikestream.files.apart import call_apart
from spikestream.files.atomic import replacing
from spikestream.files.careful_hdf5 import Group, library, memory_for, missing, read_here
from spikestream.files.regular import open_regular

MOST_FILE = 2**31  # bytes
LEAST_CPU_S = 8  # of the processor for any file, and one more for so many bytes
BYTES_PER_CPU_S = 2**19
ARRAY = 1  # what is packed
LEAST_PACKED = 1024  # bytes: what is smaller is faster as it is


def read_tree(path: str | os.PathLike[str]) -> Group:
    """Return all that an HDF5 file holds, in time and memory bounded by its size; raises `ModelError`."""
    name = os.fspath(path)
    if find_spec("h5py") is None:
        raise missing()
    try:
        with open_regular(path) as raw:
            size = os.fstat(raw.fileno()).st_size
    except OSError as error:
        raise ModelError(f"{name} cannot be read: {error.strerror}") from error
    if size > MOST_FILE:
        raise ModelError(f"{name} cannot be read: {size:,} bytes, of at most {MOST_FILE:,}")
    cpu_s = LEAST_CPU_S + size // BYTES_PER_CPU_S
    return _unpacked(call_apart(f"{__name__}:packed_tree", name, cpu_s=cpu_s, memory=4 * memory_for(size)))


def packed_tree(name: str) -> bytes:
    """Return all that an HDF5 file holds, packed: what `read_tree` has done in a process apart."""
    return _packed(read_here(name))


def write_tree(path: str | os.PathLike[str], tree: Group) -> None:
    """Write groups to a file, atomically; raises `RecordingError` where it cannot be written.

    The library writes into memory: on a full disk it crashes.
    """
    h5py, content = library(), io.BytesIO()
    with h5py.File(content, "w", track_order=True) as file:
        _write(h5py, file, tree)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _packed(tree: Group) -> bytes:
    """Return a tree as bytes: texts and lists as they are, groups as maps, arrays with type and shape."""

    def plain(value: Any) -> Any:
        if isinstance(value, Group):
            return {"items": value.items, "attributes": value.attributes}
        return msgpack.ExtType(ARRAY, msgpack.packb((value.dtype.str, value.shape, value.tobytes())))

    packed: bytes = msgpack.packb(tree, default=plain)
    return packed


def _unpacked(packed: memoryview) -> Group:
    def array(_: int, inner: bytes) -> Any:
        dtype, shape, content = msgpack.unpackb(inner)
        return np.frombuffer(content, dtype).reshape(shape)

    tree: Group = _tree(msgpack.unpackb(packed, ext_hook=array))
    return tree


def _tree(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    return Group(*({name: _tree(one) for name, one in found[part].items()} for part in ("items", "attributes")))


def _write(h5py: Any, group: Any, tree: Group) -> None:
    for name, value in tree.attributes.items():
        group.attrs[name] = value
    for name, value in tree.items.items():
        if isinstance(value, Group):
            _write(h5py, group.create_group(name, track_order=True), value)
        elif isinstance(value, (str, list)):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        else:
            packed = {"compression": "gzip", "compression_opts": 1} if np.asarray(value).nbytes >= LEAST_PACKED else {}
            group.create_dataset(name, data=value, **packed)


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Put before an error where it was met."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{what}: {error.what}", details=error.details, remedy=error.remedy) from error


def check_names(names: Mapping[str, Any]) -> None:
    """Refuse names that HDF5 takes for paths; raises `ModelError`."""
    for name in names:
        if not name or name == "." or set(name) & set("/\0") or len(name) > 1024:
            raise ModelError(f"HDF5 cannot hold the name {name!r:.80}")
