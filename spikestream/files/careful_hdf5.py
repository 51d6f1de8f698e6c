"""HDF5 read with care for what a damaged or hostile file may say: groups of numbers and texts.

The library is C code and trusts its file, so nothing is read before its size was compared with that of the file: no
link but a plain one is followed, no dataset outside of the file, no group within itself, no unknown filter; deflated
data are inflated here, as far as their shape allows. It still loops or crashes on some files: see
`spikestream.files.apart`.
"""

from __future__ import annotations

import math
import os
import zlib
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ModelError
from spikestream.files.regular import open_regular

Array: TypeAlias = NDArray[Any]

LEAST_MEMORY = 2**26  # bytes that any file may unpack to; a larger one to 64 times its size
MOST_MEMORY = 2**31
MOST_OBJECTS = 2**18
MOST_DEPTH = 64
MOST_TEXT = 2**20  # bytes of one text
DEFLATE, SHUFFLE, KNOWN_FILTERS = 1, 2, frozenset({2, 3, 4, 32000})  # the library's: shuffle, checksum, szip, lzf


@dataclass(slots=True)
class Group:
    """What a group holds: groups, arrays, texts (or lists of them) by name; and its attributes."""

    items: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Reading:
    """What is still allowed while a file is read."""

    h5py: Any
    name: str
    size: int
    memory: int
    objects: int = MOST_OBJECTS

    def take(self, count: int, where: str) -> None:
        """Take bytes from what the file may unpack to."""
        if count > self.memory:
            raise self.error(where, f"unpacks to more than a file of {self.size:,} bytes may")
        self.memory -= count

    def error(self, where: str, why: str) -> ModelError:
        """Return what is wrong with a part of the file."""
        return ModelError(f"{self.name} cannot be read: '{where or '/'}' {why}")


class _Data(NamedTuple):
    """A dataset of the library's low level, and what is asked of it more than once."""

    id: Any
    shape: tuple[int, ...]
    dtype: Any
    chunks: tuple[int, ...] | None


def read_here(name: str) -> Group:
    """Return all that an HDF5 file holds; raises `ModelError`, but a damaged file may crash or hold up the library."""
    h5py = library()
    try:
        with open_regular(name) as raw:
            size = os.fstat(raw.fileno()).st_size
            with h5py.File(raw, "r") as file:
                return _group(_Reading(h5py, name, size, memory_for(size)), file["/"].id, "", ())
    except ModelError:
        raise
    except Exception as error:  # the library and what wraps it know no end of ways to trip over a damaged byte
        raise ModelError(f"{name} cannot be read: it is no HDF5 file, or cut off or damaged") from error


def library() -> Any:
    """Return h5py; raises `ModelError` where it is not installed."""
    try:
        import h5py
    except ImportError as error:
        raise missing() from error
    return h5py


def missing() -> ModelError:
    """Return the error of a missing library."""
    return ModelError("NIR files need h5py, which is not installed", remedy="pip install 'spikestream[nir]'")


def memory_for(size: int) -> int:
    """Return how many bytes a file of so many may unpack to."""
    return min(MOST_MEMORY, max(LEAST_MEMORY, 64 * size))


def _group(reading: _Reading, group: Any, where: str, above: tuple[int, ...]) -> Group:
    """Return what a group of the library (its low level, which is several times faster) holds."""
    h5py = reading.h5py
    address = h5py.h5o.get_info(group).addr
    if address in above or len(above) >= MOST_DEPTH:
        raise reading.error(where, "lies within itself, or too deep")
    made = Group(attributes=_attributes(reading, group, where))
    for name in _names(reading, group, where):
        text = _decoded(reading, name, where)
        place = f"{where}/{text}"
        if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            raise reading.error(place, "is a link to elsewhere, which is not followed")
        found = h5py.h5o.open(group, name)
        if isinstance(found, h5py.h5g.GroupID):
            made.items[text] = _group(reading, found, place, (*above, address))
        elif isinstance(found, h5py.h5d.DatasetID):
            made.items[text] = _dataset(reading, found, place)
        else:
            raise reading.error(place, "is neither a group nor data")
    return made


def _names(reading: _Reading, group: Any, where: str) -> list[bytes]:
    """Return the names in a group, as they were written where that was tracked, else by alphabet."""
    h5: Any = reading.h5py.h5
    names: list[bytes] = []

    def one(name: bytes) -> bool | None:
        names.append(name)
        return True if len(names) > reading.objects else None

    tracked = group.get_create_plist().get_link_creation_order()
    group.links.iterate(one, idx_type=h5.INDEX_CRT_ORDER if tracked else h5.INDEX_NAME)
    reading.objects -= len(names)
    if reading.objects < 0:
        raise reading.error(where, f"has too many parts: a file has at most {MOST_OBJECTS:,}")
    return names


def _attributes(reading: _Reading, group: Any, where: str) -> dict[str, Any]:
    count = reading.h5py.h5a.get_num_attrs(group)
    reading.objects -= count
    if reading.objects < 0:
        raise reading.error(where, "has too many attributes")
    found: dict[str, Any] = {}
    attributes: Any = reading.h5py.Group(group).attrs if count else {}
    for name in attributes:
        reading.take(attributes.get_id(name).get_storage_size(), where)
        found[name] = _plain(reading, attributes[name], f"{where}@{name}")
    return found


def _dataset(reading: _Reading, dataset: Any, where: str) -> Any:
    h5d, plist = reading.h5py.h5d, dataset.get_create_plist()
    layout = plist.get_layout()
    if dataset.get_space().get_simple_extent_type() == reading.h5py.h5s.NULL:
        raise reading.error(where, "has no value")
    if plist.get_external_count() or layout == h5d.VIRTUAL:
        raise reading.error(where, "has its values in another file, which is not followed")
    data = _Data(dataset, dataset.shape, dataset.dtype, plist.get_chunk() if layout == h5d.CHUNKED else None)
    if reading.h5py.check_string_dtype(data.dtype) is not None:
        return _texts(reading, data, where)
    if data.dtype.kind not in "biuf":
        raise reading.error(where, f"holds {data.dtype}: numbers or texts are expected")
    nbytes = math.prod(data.shape) * data.dtype.itemsize
    reading.take(nbytes, where)
    if data.chunks is not None:
        return _chunked(reading, data, data.chunks, where)
    if dataset.get_storage_size() != nbytes or nbytes > reading.size:
        raise reading.error(where, f"has {dataset.get_storage_size():,} bytes in the file, expected {nbytes:,}")
    made = np.empty(data.shape, data.dtype)
    dataset.read(reading.h5py.h5s.ALL, reading.h5py.h5s.ALL, made)
    return made


def _texts(reading: _Reading, data: _Data, where: str) -> Any:
    """Return a text or a list of (lists of) texts; each is read only as far as the rest of the file could fill it."""
    stored = math.prod(data.shape) * data.dtype.itemsize
    reading.take(stored, where)
    if stored > 2 * reading.size and math.prod(data.shape) > 1:
        raise reading.error(where, f"holds {data.shape} texts, more than the file has bytes for")
    if data.chunks is not None:
        _check_filters(reading, data, data.chunks, where)
    whole = reading.h5py.Dataset(data.id)
    if not data.shape:
        return _plain(reading, whole[()], where)
    row = max(1, math.prod(data.shape[1:])) * reading.size
    rows = max(1, LEAST_MEMORY // row)
    found = []
    for start in range(0, data.shape[0], rows):
        found.extend(_plain(reading, whole[start : start + rows], where))
    return found


def _plain(reading: _Reading, value: Any, where: str) -> Any:
    """Return a text for bytes, a list for an array of them, and numbers as an array."""
    if isinstance(value, (bytes, str)):
        reading.take(len(value), where)
        return _decoded(reading, value, where)
    made = np.asarray(value)
    if made.dtype.kind in "SO":
        return [_plain(reading, one, where) for one in made]
    if made.dtype.kind not in "biuf":
        raise reading.error(where, f"holds {made.dtype}: numbers or texts are expected")
    return made


def _decoded(reading: _Reading, text: bytes | str, where: str) -> str:
    if len(text) > MOST_TEXT:
        raise reading.error(where, f"holds a text of {len(text):,} bytes, of at most {MOST_TEXT:,}")
    try:
        return text if isinstance(text, str) else text.decode("utf8")
    except UnicodeDecodeError as error:
        raise reading.error(where, "holds a text that is not UTF-8") from error


def _check_filters(reading: _Reading, data: _Data, chunks: tuple[int, ...], where: str) -> list[int]:
    plist = data.id.get_create_plist()
    filters = [int(plist.get_filter(at)[0]) for at in range(plist.get_nfilters())]
    ours = filters in ([DEFLATE], [SHUFFLE, DEFLATE])
    if not ours and not set(filters) <= KNOWN_FILTERS:
        raise reading.error(where, f"is packed with filters {filters}, which are not known")
    if len(filters) > 4 or math.prod(chunks) * data.dtype.itemsize > LEAST_MEMORY:
        raise reading.error(where, f"is packed in pieces of {chunks}, which is too much")
    return filters


def _chunked(reading: _Reading, data: _Data, chunks: tuple[int, ...], where: str) -> Array:
    """Return an array stored in pieces."""
    filters = _check_filters(reading, data, chunks, where)
    expected = math.prod(-(-side // piece) for side, piece in zip(data.shape, chunks, strict=True))
    piece_bytes = math.prod(chunks) * data.dtype.itemsize
    reading.take(piece_bytes, where)
    if data.id.get_num_chunks() != expected:
        raise reading.error(where, f"has {data.id.get_num_chunks():,} pieces, expected {expected:,}")
    made, whole = np.empty(data.shape, data.dtype), reading.h5py.Dataset(data.id)
    for start in product(*(range(0, side, piece) for side, piece in zip(data.shape, chunks, strict=True))):
        size = data.id.get_chunk_info_by_coord(start).size
        if size > reading.size or size > 2 * piece_bytes + 4096:
            raise reading.error(where, f"has a piece of {size:,} bytes, expected about {piece_bytes:,}")
        inside = tuple(slice(at, at + side) for at, side in zip(start, chunks, strict=True))
        if DEFLATE not in filters:
            made[inside] = whole[inside]
            continue
        left_out, stored = data.id.read_direct_chunk(start)
        applied = [one for number, one in enumerate(filters) if not left_out >> number & 1]
        unpacked = _inflated(reading, stored, DEFLATE in applied, piece_bytes, where)
        piece = _piece(unpacked, data.dtype, SHUFFLE in applied).reshape(chunks)
        made[inside] = piece[tuple(map(slice, made[inside].shape))]
    return made


def _inflated(reading: _Reading, stored: bytes, packed: bool, expected: int, where: str) -> bytes:
    """Return the bytes of a piece: it is stored as it is where deflating made it no smaller."""
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(stored, expected + 1) if packed else stored
    except zlib.error as error:
        raise reading.error(where, "cannot be inflated: it is damaged") from error
    if len(found) != expected:
        raise reading.error(where, f"inflates to {len(found):,} bytes or more, expected {expected:,}")
    return found


def _piece(unpacked: bytes, dtype: Any, shuffled: bool) -> Array:
    if shuffled:
        planes = np.frombuffer(unpacked, np.uint8).reshape(dtype.itemsize, -1)
        unpacked = np.ascontiguousarray(planes.T).tobytes()
    return np.frombuffer(unpacked, dtype)
