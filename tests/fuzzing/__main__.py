"""Damages files of every format, and looks for what reading them may not do: crash, hang, raise, hold too much.

Each format is given mutations of good files, with kernels compiled to check their bounds; then files that atheris
makes, guided by the lines they reach, with kernels in their Python form; then these again with compiled kernels. Every
process has limits, and one that dies leaves the file that killed it. Run it by ``make fuzz``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from goodfiles import GOOD

from fuzzing.case import Case
from fuzzing.corpus import CORPUS
from fuzzing.mutating import INDEX, save

SILENCE_S = 120
"""Seconds of the clock for one case: what waits for ever uses no processor."""
DEATHS = 50
"""A format that kills more processes than this is given up."""


@dataclass(slots=True)
class Told:
    """What became of one format."""

    cases: int = 0
    events: int = 0
    guided: int = 0
    corpus: int = 0
    apart: int = 0
    """Files that end the library of HDF5, not us."""


class Fuzzed:
    """One format and the folder of what is known of it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder / name
        self.told = Told()
        for part in ("found", "crash", "corpus"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self.checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "SPIKESTREAM_CACHE": str(folder / "checked")}
        self.python = os.environ | {"NUMBA_DISABLE_JIT": "1"}

    def found(self) -> list[Path]:
        """Return the files that did what they may not, of this run and of earlier ones."""
        return sorted((self.folder / "found").glob("*.bin"))

    def mutate(self, what: str) -> None:
        """Read so many mutations, or all files of some folders, with compiled kernels."""
        skip = 0
        for _ in range(DEATHS):
            died = self._mutating(what, skip)
            if died is None:
                return
            self.told.cases += died + 1 - skip
            skip = died + 1

    def _mutating(self, what: str, skip: int) -> int | None:
        """Return the number of the case that ended the process, None where none did."""
        current = self.folder / "current"
        current.unlink(missing_ok=True)
        command = [sys.executable, "-m", "fuzzing.mutating", self.name, what, str(skip), str(self.folder)]
        with subprocess.Popen(command, env=self.checked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as made:
            said, why = self._wait(made, current)
        if made.returncode == 0:
            counts = json.loads(said)
            self.told.cases += counts["cases"]
            self.told.events += counts["events"]
            return None
        if not current.exists():
            raise SystemExit(f"{self.name}: {why or made.returncode}")
        case = current.read_bytes()
        if self.name != "hdf5" or not self._harmless(case[INDEX.size :]):
            save(self.folder / "found", case[INDEX.size :], f"the process ended with {made.returncode}\n{why}")
        return int(INDEX.unpack_from(case)[0])

    def _harmless(self, data: bytes) -> bool:
        """Return whether what ended the process is one error to a user, whose library runs in a process apart."""
        case = Case(self.name, self.folder / "apart")
        self.told.apart += 1
        try:
            case.read(data)
        except Exception:
            return False
        return True

    def _wait(self, made: subprocess.Popen[bytes], current: Path) -> tuple[bytes, str]:
        while True:
            try:
                said, why = made.communicate(timeout=5)
                return said, why.decode(errors="replace")
            except subprocess.TimeoutExpired:
                if current.exists() and time.time() - current.stat().st_mtime > SILENCE_S:
                    made.kill()

    def guide(self, seconds: float) -> None:
        """Search for so many seconds with kernels in their Python form, beginning with what is known."""
        for number, data in enumerate(GOOD[self.name].files()):
            (self.folder / "corpus" / f"good{number}").write_bytes(data)
        for path in sorted((CORPUS / self.name).glob("*")):
            shutil.copy(path, self.folder / "corpus")
        end = time.monotonic() + seconds
        for _ in range(DEATHS):
            left = round(end - time.monotonic())
            if left < 1 or self._guided(left) == 0:
                return

    def _guided(self, seconds: int) -> int:
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={GOOD[self.name].length}",
            "-timeout=60",
            "-print_final_stats=1",
        ]
        places = [f"-artifact_prefix={self.folder / 'crash'}/", str(self.folder / "corpus")]
        command = [sys.executable, "-m", "fuzzing.guided", self.name, str(self.folder), *options, *places]
        with (self.folder / "guided.log").open("w") as log:
            code = subprocess.run(command, env=self.python, stdout=log, stderr=log, check=False).returncode
        said = (self.folder / "guided.log").read_text(errors="replace")
        runs = re.findall(r"number_of_executed_units: (\d+)", said) or re.findall(r"^#(\d+)\t", said, re.MULTILINE)
        if not runs:
            raise SystemExit(f"{self.name}: the search did not start\n{said[-2000:]}")
        self.told.guided += int(runs[-1])
        return code

    def again(self) -> None:
        """Read everything that the search has made with compiled kernels."""
        self.told.corpus = len(list((self.folder / "corpus").iterdir()))
        self.mutate(f"{self.folder / 'corpus'}:{self.folder / 'crash'}")

    def keep(self) -> None:
        """Keep with the tests what reaches most."""
        command = [sys.executable, "-m", "fuzzing.corpus", self.name, str(self.folder / "corpus")]
        subprocess.run(command, env=self.python, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--formats", default=",".join(GOOD), help="names with a comma between them (default: all)")
    parser.add_argument("--cases", type=int, default=100_000, help="mutations of each format (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=60, help="guided search, all formats together (default: 60)")
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"), help="what is found and known (default: .fuzz)")
    parser.add_argument("--keep", action="store_true", help=f"put what reaches most into {CORPUS.name}/ of the tests")
    args = parser.parse_args()
    found, names = [], args.formats.split(",")
    print(f"{'format':8} {'compiled':>10} {'events':>12} {'guided':>10} {'corpus':>7} {'apart':>6} {'found':>6}")
    for name in names:
        one = Fuzzed(name, args.folder.absolute())
        one.mutate(str(args.cases))
        if args.minutes:
            one.guide(60 * args.minutes / len(names))
            one.again()
        if args.keep:
            one.keep()
        told = one.told
        print(f"{name:8} {told.cases:10,} {told.events:12,} {told.guided:10,}", end=" ")
        print(f"{told.corpus:7,} {told.apart:6,} {len(one.found()):6,}", flush=True)
        found += one.found()
    for path in found:
        print(f"{path}: {path.with_suffix('.txt').read_text().strip().splitlines()[-1]}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
