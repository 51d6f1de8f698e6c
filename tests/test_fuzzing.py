"""`make fuzz` finds what it is there to find: decoders that crash, raise or hoard, and reads beyond an array."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fuzzing.corpus import chosen
from goodfiles import GOOD

TESTS = Path(__file__).parent
PLANTED = """
import os
from spikestream.formats import nmnist
plain = nmnist.Decoder.feed
def feed(self, data):
    fault = data[0] % 16 if len(data) and not self._fed else 0
    if fault in (1, 8, 9, 10):
        os.abort()
    if fault in (2, 3, 4):
        raise ValueError("planted")
    if fault in (5, 6, 7):
        self.warnings.append(bytes(8 << 20))
    yield from plain(self, data)
nmnist.Decoder.feed = feed
"""
"""Faults where the first byte is none that a good file begins with."""


def python(folder: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    path = [str(folder), str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)} | more
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, env=environment)


def test_planted_faults_are_found_and_their_files_kept(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    options = ["--formats", "bin", "--cases", "240", "--minutes", "0", "--folder", str(tmp_path / "fuzz")]
    done = python(tmp_path, "-m", "fuzzing", *options)
    assert done.returncode == 1, done.stderr
    (row,) = (line.split() for line in done.stdout.splitlines() if line.startswith("bin "))
    found = sorted((tmp_path / "fuzz/bin/found").glob("*.bin"))
    assert (row[1], int(row[6])) == ("240", len(found))
    wanted = {1: "ended with -6", 2: "planted", 3: "planted", 4: "planted"} | dict.fromkeys(
        (5, 6, 7), "bytes were held"
    )
    said = {path.read_bytes()[0] % 16: path.with_suffix(".txt").read_text() for path in found}
    assert all(wanted.get(fault, wanted[1]) in text for fault, text in said.items())
    assert {wanted.get(fault, wanted[1]) for fault in said} == set(wanted.values())


def test_kernels_that_check_no_bounds_are_refused(tmp_path: Path):
    args = ("-m", "fuzzing.mutating", "bin", "8", "0", str(tmp_path))
    done = python(tmp_path, *args, NUMBA_BOUNDSCHECK="0")
    assert (done.returncode, "bounds are not checked" in done.stderr) == (1, True)


def test_of_files_that_take_the_same_steps_the_smallest_is_chosen():
    """Kernels are compiled here, so that only the steps of the decoder count."""
    good = GOOD["bin"].files()[0]
    # An odd end is another step than a whole record, and so is an array in memory that was used before.
    assert chosen("bin", [good, good[:50], good[:52], good[:100], b""]) == [b"", good[:50], good[:52], good[:100]]
