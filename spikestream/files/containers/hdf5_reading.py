"""Where the events of an HDF5 file lie, and their values by blocks: what runs in a process apart.

The library is C code and trusts its file. So only plain links are followed, nothing is read before its size was
compared with that of the file, and chunks of Prophesee's layout are handed on as they are stored, for others to unpack.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from spikestream.errors import PluginError, RecordingError
from spikestream.files.feeder import News
from spikestream.formats.base.chunks import DEFLATE, ECF, SHUFFLE
from spikestream.formats.base.columns import named

ROWS = 65_536
"""Rows sent at a time."""
MOST_CHUNK = 1 << 26
MOST_OBJECTS, MOST_DEPTH = 4096, 8
OURS = frozenset({1, 2, 3, 4, 5, 6, 32_000})
"""Filters that the library has: deflate, shuffle, checksum, szip, n-bit, scale-offset, lzf."""
PLUGINS = frozenset({32_001, 32_004, 32_008, 32_015, 32_026})
"""Filters of hdf5plugin: Blosc, LZ4, Bitshuffle, Zstandard, Blosc2."""
SIDES = (("width", "height"), ("sensor_width", "sensor_height"))
PROPHESEE = "/CD/events"
"""Where Prophesee's files have their events. Their times are µs, and so are those of DSEC, which has a ``t_offset``."""
MISSING = "pip install 'spikestream[hdf5]'"


class Place(NamedTuple):
    """Where events lie: a group or a dataset, and its datasets by column, or one of all of them."""

    name: str
    data: dict[str, Any]


def read(path: str, group: str | None, since: int | None = None) -> Iterator[News]:
    """Yield what a file is, then the values of its events in blocks; raises `RecordingError`, `PluginError`.

    Rows before ``since``, in µs as stored, are left out as far as the file's own index tells which they are.
    """
    h5py = library()
    try:
        with h5py.File(path, "r") as file:
            place = _chosen(_places(h5py, file), group)
            size = os.stat(path).st_size
            for dataset in place.data.values():
                _check(h5py, dataset, size)
            count = len(next(iter(place.data.values())))
            row = 0 if since is None else _row(file, place, count, since)
            yield _facts(file, place, count) | {"row": row}, memoryview(b"")
            yield from _blocks(place, count, row)
    except (RecordingError, PluginError):
        raise
    except Exception as error:  # the library and what wraps it know no end of ways to trip over a damaged byte
        raise RecordingError("the file is no HDF5 file, or cut off or damaged", details=[str(error)[:200]]) from error


def library() -> Any:
    """Return h5py; raises `PluginError` where it is not installed."""
    try:
        import h5py
    except ImportError as error:
        raise PluginError("HDF5 files need h5py, which is not installed", remedy=MISSING) from error
    return h5py


def _places(h5py: Any, file: Any) -> list[Place]:
    """Return where events may lie, the outer ones first."""
    found: list[Place] = []
    todo: list[tuple[str, Any, int]] = [("/", file["/"], 0)]
    objects = 0
    while todo:
        name, group, depth = todo.pop(0)
        inside = {}
        for key in group:
            objects += 1
            if objects > MOST_OBJECTS:
                raise RecordingError(f"the file has more than {MOST_OBJECTS:,} parts")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            one = group[key]
            if isinstance(one, h5py.Dataset):
                inside[key] = one
            elif isinstance(one, h5py.Group) and depth < MOST_DEPTH:
                todo.append((f"{name.rstrip('/')}/{key}", one, depth + 1))
        found += _in_group(name, inside)
    return found


def _in_group(name: str, inside: dict[str, Any]) -> Iterator[Place]:
    columns = named(key for key, one in inside.items() if _is_column(one))
    if columns is not None and len({inside[key].shape for key in columns.values()}) == 1:
        yield Place(name, {column: inside[key] for column, key in columns.items()})
    for key, one in inside.items():
        fields = one.dtype.names is not None and len(one.shape) == 1 and named(one.dtype.names)
        if fields or (
            len(one.shape) == 2 and one.shape[1] == 4 and one.dtype.kind in "biuf" and "event" in key.lower()
        ):
            yield Place(f"{name.rstrip('/')}/{key}", {"": one})


def _is_column(one: Any) -> bool:
    return one.shape is not None and len(one.shape) == 1 and one.dtype.kind in "biuf"


def _chosen(places: list[Place], group: str | None) -> Place:
    wanted = None if group is None else f"/{group.strip('/')}"
    there = [place for place in places if wanted in (None, place.name)]
    names = ", ".join(place.name for place in places[:8]) or "none"
    if not there:
        what = f"there are no events in '{group}'" if group else "nothing in the file looks like events"
        raise RecordingError(what, expected="columns t, x, y, p, or one dataset of them", details=[f"events: {names}"])
    if len(there) > 1:
        what = "events lie in several places, and one has to be chosen"
        raise RecordingError(what, details=[f"events: {names}"], remedy=f"--option group={there[0].name}")
    return there[0]


def _check(h5py: Any, dataset: Any, size: int) -> None:
    """Raise `RecordingError` for what is not all there, or would unpack to too much at a time."""
    plist, name = dataset.id.get_create_plist(), dataset.name
    if plist.get_external_count() or plist.get_layout() == h5py.h5d.VIRTUAL:
        raise RecordingError(f"{name} has its values in another file, which is not followed")
    stored = dataset.id.get_storage_size()
    if dataset.chunks is None:
        if stored != dataset.nbytes or stored > size:
            found = f"{stored:,} bytes of a file of {size:,}"
            raise RecordingError(f"{name} is not all there", expected=f"{dataset.nbytes:,} bytes", found=found)
        return
    expected = math.prod(-(-side // part) for side, part in zip(dataset.shape, dataset.chunks, strict=True))
    if dataset.id.get_num_chunks() != expected or stored > size:
        found = f"{dataset.id.get_num_chunks():,}"
        raise RecordingError(f"{name} is not all there", expected=f"{expected:,} chunks", found=found)
    if math.prod(dataset.chunks) * dataset.dtype.itemsize > MOST_CHUNK:
        raise RecordingError(f"{name} has chunks of more than {MOST_CHUNK:,} bytes")
    filters = set(_filters(dataset))
    if filters & PLUGINS:
        try:
            import hdf5plugin  # noqa: F401  # to import it is to register its filters
        except ImportError as error:
            raise PluginError("the file is packed with what hdf5plugin unpacks", remedy=MISSING) from error
    if unknown := filters - OURS - PLUGINS - ({ECF} if _is_ecf(dataset) else set()):
        raise RecordingError(f"{name} is packed with filter {min(unknown)}, which is not known")


def _is_ecf(dataset: Any) -> bool:
    fields = dataset.dtype.names is not None and set(dataset.dtype.names) == {"x", "y", "p", "t"}
    return bool(fields and _filters(dataset) == [ECF])


def _row(file: Any, place: Place, count: int, since: int) -> int:
    """Return a row, the first of a chunk, before all events at ``since`` µs or later; 0 where no index tells.

    Sources of the indexes: OpenEB's writer (an entry for each 2 ms), DSEC's scripts (a row for each ms).
    """
    home, row = next(iter(place.data.values())).parent, 0
    if "" in place.data and _is_index(index := home.get("indexes"), ("id", "ts")):
        offset = int(_text(index, "offset") or 0)
        entry = bisect_left(range(len(index)), since, key=lambda at: int(index[at]["ts"]) - offset)
        row = int(index[max(0, entry - 1)]["id"])
    elif _is_index(index := file.get("ms_to_idx"), None):
        row = int(index[min(max(0, since // 1_000), len(index) - 1)])
    step = _step(place)
    return min(max(0, row), count) // step * step


def _is_index(one: Any, names: tuple[str, str] | None) -> bool:
    """Return whether a dataset has rows of these fields, or of whole numbers, and is packed as the library unpacks."""
    shape, dtype = getattr(one, "shape", None), getattr(one, "dtype", None)
    if shape is None or dtype is None or len(shape) != 1 or not shape[0] or set(_filters(one)) - OURS - PLUGINS:
        return False
    return bool(dtype.names == names and (names is not None or dtype.kind in "iu"))


def _facts(file: Any, place: Place, count: int) -> dict[str, Any]:
    data = next(iter(place.data.values()))
    home = data.parent
    offset = next((value for one in (home, home.parent) if (value := _number(one, "t_offset")) is not None), None)
    return {
        "count": count,
        "size": _size(file, home, data),
        "offset": offset or 0,
        "unit": None if offset is None and place.name != PROPHESEE else "us",
        "sensor": _text(file, "sensor_name") or _text(file, "plugin_integrator_name"),
        "place": place.name,
    }


def _size(file: Any, home: Any, data: Any) -> tuple[int, int] | None:
    """Return (width, height): Prophesee's geometry, or numbers by their names."""
    width, _, height = _text(file, "geometry").partition("x")
    options = dict(part.partition("=")[::2] for part in _text(file, "format").split(";"))
    for sides in ((width, height), (options.get("width", ""), options.get("height", ""))):
        if all(side.isdecimal() and len(side) < 6 for side in sides):
            return int(sides[0]), int(sides[1])
    for one in (data, home, home.parent, file):
        for names in SIDES:
            found = [_number(one, name) for name in names]
            if all(side is not None and 0 < side <= 1 << 16 for side in found):
                return found[0], found[1]  # type: ignore[return-value]  # all were looked at
    return None


def _text(one: Any, name: str) -> str:
    value = one.attrs.get(name, "")
    value = value.decode("utf8", "replace") if isinstance(value, bytes) else value
    return value[:256] if isinstance(value, str) else ""


def _number(one: Any, name: str) -> int | None:
    """Return a whole number that is an attribute, or a dataset in a group; None where there is none."""
    value = one.attrs.get(name)
    if value is None and hasattr(one, "keys") and name in one:
        there = one[name]
        value = there[()] if getattr(there, "size", 0) == 1 and there.chunks is None else None
    array = np.asarray(value if value is not None else "")
    return int(array.reshape(-1)[0]) if array.size == 1 and array.dtype.kind in "iu" else None


def _step(place: Place) -> int:
    """Return how many rows are read at a time: whole chunks."""
    first = next(iter(place.data.values()))
    if "" in place.data and _is_handed_on(first):
        return int(first.chunks[0])
    step = max((one.chunks[0] for one in place.data.values() if one.chunks is not None), default=ROWS)
    return int(-(-ROWS // step) * step)  # so many as the first rows of every file, which tell what it does not say


def _blocks(place: Place, count: int, row: int) -> Iterator[News]:
    first, step = next(iter(place.data.values())), _step(place)
    if "" in place.data and _is_handed_on(first):
        yield from _pieces(first, count, row)
        return
    for at in range(row, count, step):
        block = {name: one[at : min(at + step, count)] for name, one in place.data.items()}
        rows = min(step, count - at)
        for begin in range(0, rows, ROWS):
            parts = {name: np.ascontiguousarray(one[begin : begin + ROWS]) for name, one in block.items()}
            yield {"parts": [_described(name, one) for name, one in parts.items()]}, _joined(list(parts.values()))


def _is_handed_on(dataset: Any) -> bool:
    """Return whether chunks are small, and packed by what others unpack: ECF, or shuffle and deflate in that order.

    Not where t may have fractions: a chunk would be too little to tell its unit.
    """
    if dataset.dtype.names is None or dataset.chunks is None or dataset.chunks[0] > ROWS:
        return False
    if _is_ecf(dataset):
        return True
    t = (named(dataset.dtype.names) or {})["t"]
    return dataset.dtype[t].kind != "f" and _filters(dataset) in ([], [DEFLATE], [SHUFFLE], [SHUFFLE, DEFLATE])


def _filters(dataset: Any) -> list[int]:
    plist = dataset.id.get_create_plist()
    return [int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters())]


def _pieces(dataset: Any, count: int, row: int) -> Iterator[News]:
    """Yield chunks as they are stored, and which filters to undo: one that made nothing smaller was left out."""
    rows, filters, kind = dataset.chunks[0], _filters(dataset), _kind(dataset.dtype)
    for at in range(row, count, rows):
        left_out, stored = dataset.id.read_direct_chunk((at,))
        applied = [one for i, one in enumerate(filters) if not left_out >> i & 1]
        yield {"filters": applied, "rows": min(rows, count - at), "chunk": rows, "kind": kind}, memoryview(stored)


def _described(name: str, values: Any) -> tuple[str, Any, int, int]:
    """Return what an array is: its name, its type, how many rows it has, and how wide they are."""
    return name, _kind(values.dtype), len(values), values.shape[1] if values.ndim == 2 else 1


def _kind(dtype: Any) -> Any:
    """Return a type as text, or as its four fields with their places and its size."""
    if dtype.names is None:
        return dtype.str
    fields = [(one, dtype.fields[one][0], dtype.fields[one][1]) for one in (named(dtype.names) or {}).values()]
    if any(field.shape or field.kind not in "biuf" for _, field, _ in fields):
        raise RecordingError("a field of the events holds no number", found=str(dtype))
    return [[one, field.str, offset] for one, field, offset in fields] + [dtype.itemsize]


def _joined(arrays: list[Any]) -> memoryview:
    if len(arrays) == 1:
        return memoryview(arrays[0].reshape(-1).view(np.uint8))
    return memoryview(b"".join(one.tobytes() for one in arrays))
