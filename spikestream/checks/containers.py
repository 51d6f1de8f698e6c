"""The laws of a container: events of a file, and nothing worse than `RecordingError` from a damaged one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from spikestream.batch import EVENT, Array
from spikestream.checks.base import Check, Law, same_array, suite
from spikestream.checks.decoders import damaged
from spikestream.errors import RecordingError
from spikestream.formats.base import Container

Make = Callable[[str], Container]


def container(make: Make, path: Path, *, times: int = 300) -> Iterator[Check]:
    """Yield the checks of a container.

    ``make`` opens a file by its path; ``path`` is a small good recording, in a folder where others may be written;
    ``times`` is how often it is damaged.
    """
    return suite("container", LAWS, make, path, times)


def _read(opened: Container) -> tuple[list[Array], list[Array], str]:
    """Return the arrays, copies of them as they came, and what was raised at the end."""
    parts: list[Array] = []
    copies: list[Array] = []
    with closing(opened):
        try:
            for part in opened.events():
                parts.append(part)
                copies.append(part.copy())
        except RecordingError as error:
            return parts, copies, str(error) or "RecordingError"
    return parts, copies, ""


def _ill_formed(parts: list[Array]) -> str:
    forms = [f"{part.shape} {part.dtype}" for part in parts if part.dtype != EVENT or part.ndim != 1]
    return f"it yields {forms[0]}" if forms else ""


def _not_read(make: Make, path: Path, times: int) -> str:
    opened = make(str(path))
    _, parts, error = _read(opened)
    events = np.concatenate([np.empty(0, EVENT), *parts]) if not _ill_formed(parts) else np.empty(0, EVENT)
    if error:
        return f"it raised RecordingError: {error}"
    if seen := _ill_formed(parts) or ("" if len(events) else "it gave no events"):
        return seen
    width, height = opened.size or (1 << 16, 1 << 16)
    outside = np.count_nonzero((events["x"] >= width) | (events["y"] >= height))
    return f"{outside} events are outside of its size {width}x{height}" if outside else ""


def _untrue(make: Make, path: Path, times: int) -> str:
    opened = make(str(path))
    told = opened.summary()
    _, parts, _ = _read(opened)
    events = np.concatenate(parts)
    if told is not None:
        seen = (len(events), int(events["t"][0]), int(events["t"][-1]))
        for said, found in zip(told, seen, strict=True):
            if said not in (None, found):
                return f"the summary says {told}, the events {seen}"
    size = path.stat().st_size
    return "" if 0 < opened.consumed <= size else f"it consumed {opened.consumed:,} of {size:,} bytes"


def _written_again(make: Make, path: Path, times: int) -> str:
    parts, copies, _ = _read(make(str(path)))
    changed = sum(not same_array(a, b) for a, b in zip(parts, copies, strict=True))
    return f"{changed} of {len(parts)} arrays changed after they were yielded" if changed else ""


def _not_closed(make: Make, path: Path, times: int) -> str:
    for begun in (False, True):
        opened = make(str(path))
        events = opened.events()
        if begun:
            next(events, None)
        opened.close()
        opened.close()
    return ""


def _falls_over(make: Make, path: Path, times: int) -> str:
    good, bad, noticed = path.read_bytes(), path.with_name("damaged"), False
    for seed in range(times):
        bad.write_bytes(damaged(good, seed) if seed % 5 else good[: len(good) * seed // times])
        try:
            _, parts, error = _read(make(str(bad)))
        except RecordingError:
            noticed = True
            continue
        except Exception as other:
            return f"damaged recording {seed}: it raised {type(other).__name__}: {other}"
        if seen := _ill_formed(parts):
            return f"damaged recording {seed}: {seen}"
        noticed = noticed or bool(error)
    return "" if noticed else f"of {times} damaged files, it refused none"


LAWS = (
    Law(
        "reads",
        "a good recording gives events (n,) EVENT, all inside of size where that is known, and no error",
        _not_read,
    ),
    Law("tells the truth", "the summary is that of the events, and the bytes consumed are some of the file's", _untrue),
    Law("output given away", "a yielded array is never written again", _written_again),
    Law("closes", "it may be closed before its events, in their midst, and twice", _not_closed),
    Law(
        "damaged", "a damaged file gives events (n,) EVENT or RecordingError, nothing else, and is noticed", _falls_over
    ),
)
