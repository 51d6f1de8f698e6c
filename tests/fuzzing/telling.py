"""What the good files and the corpus of every format hold, in a line of JSON: so that two ways to run can be compared.

It is run as ``python -m fuzzing.telling FOLDER``; the folder is for files that are read.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from goodfiles import GOOD

from fuzzing.case import feed_here
from fuzzing.corpus import CORPUS
from spikestream.errors import RecordingError
from spikestream.files.containers import hdf5
from spikestream.files.reader import Reader


def told(name: str, path: Path) -> tuple[int, str, str]:
    """Return how many events a file holds before any damage, their digest, and what is said of it."""
    events, digest, said = 0, hashlib.sha256(), ""
    try:
        with Reader(path, format=name, time="keep", **GOOD[name].options) as reader:
            for part in reader:
                events += len(part)
                digest.update(part.tobytes())
            said = f"{reader.size} {reader.skipped} {reader.problems} {reader.warnings}"
    except RecordingError as error:
        said = str(error)
    return events, digest.hexdigest(), said


def all_told(folder: Path) -> dict[str, list[tuple[int, str, str]]]:
    """Return what is `told` of every file, by format."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    for name, good in GOOD.items():
        datas = [*good.files(), *(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))]
        for number, data in enumerate(datas):
            path = folder / f"{name}{number}"
            path.write_bytes(data)
            found.setdefault(name, []).append(told(name, path))
    return found


if __name__ == "__main__":
    hdf5.feed = feed_here
    print(json.dumps(all_told(Path(sys.argv[1]))))
