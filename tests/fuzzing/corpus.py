"""The corpus: of every format some small files, most of them damaged, that together reach what a search has reached.

It is run as ``python -m fuzzing.corpus FORMAT FOLDER`` by `__main__`, with kernels in their Python form, to choose from
a folder. Files with a "-" in their name are cases of somebody's crash; they stay.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import spikestream
from fuzzing.case import Case, feed_here
from spikestream.files.containers import hdf5

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
LARGEST = 8192
"""Bytes of one of its files."""
ROOM = 48 << 10
"""Bytes of one format's files."""
PACKAGE = str(Path(spikestream.__file__).parent)

Step = tuple[str, int, int]
"""A file, and two lines of it that were run one after the other."""


def steps(run: Callable[[], object]) -> set[Step]:
    """Return the steps that the package takes; what it raises is for others to find."""
    met: set[Step] = set()

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE):
            return None
        last = 0

        def line(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal last
            met.add((name, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    sys.settrace(enter)
    try:
        run()
    except Exception:
        pass
    finally:
        sys.settrace(None)
    return met


def chosen(name: str, files: list[bytes]) -> list[bytes]:
    """Return those files, the small ones first, that take a step none before them takes."""
    hdf5.feed = feed_here
    known: set[Step] = set()
    found, room = [], ROOM
    with TemporaryDirectory() as folder:
        case = Case(name, Path(folder) / "case")
        for data in sorted(files, key=len):
            if len(data) > min(LARGEST, room):
                continue
            met = steps(lambda data=data: case.read(data))
            if not met <= known:
                known |= met
                found.append(data)
                room -= len(data)
    return found


def keep(name: str, folder: Path) -> None:
    """Put the chosen files of a folder in the place of those that were kept before."""
    kept = CORPUS / name
    kept.mkdir(exist_ok=True)
    unnamed = [path for path in kept.iterdir() if "-" not in path.name]
    files = chosen(name, [path.read_bytes() for path in [*unnamed, *folder.iterdir()]])
    for path in unnamed:
        path.unlink()
    for data in files:
        (kept / sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]))
