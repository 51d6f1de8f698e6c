"""One process of coverage-guided fuzzing: kernels in their Python form, which atheris can see into.

It is run as ``python -m fuzzing.guided FORMAT FOLDER LIBFUZZER-OPTION...`` by `__main__`. What a case raises is saved
once for each place it comes from, and the search goes on; a crash or a hang ends the process.
"""

from __future__ import annotations

import resource
import sys
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["spikestream"]):
    from goodfiles import MIB

    from fuzzing.case import Case, feed_here
    from fuzzing.mutating import save
    from spikestream.files.containers import hdf5

SLACK = 256
"""MiB for what the search itself remembers; atheris leaks some with what it traces, and then is begun again."""


def place(error: Exception) -> str:
    """Return where an exception comes from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} {last.filename}:{last.lineno}"


def main(name: str, folder: Path, options: list[str]) -> None:
    hdf5.feed = feed_here
    met = set()
    with atheris.instrument_imports(include=["spikestream"]):
        case = Case(name, folder / "case")
        for good in case.good.files():
            case.read(good)  # imports what is imported at first use

    def one(data: bytes) -> None:
        try:
            case.read(data)
        except Exception as error:
            if place(error) not in met:
                met.add(place(error))
                save(folder / "found", data, traceback.format_exc())

    rss = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    most = (rss + case.good.memory) // MIB + SLACK
    atheris.Setup([sys.argv[0], f"-rss_limit_mb={most}", *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
