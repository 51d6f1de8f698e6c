"""`make fuzz` finds what it is there to find: decoders that crash, raise or hoard, and reads beyond an array."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fuzzing.corpus import chosen

TESTS = Path(__file__).parent
PLANTED = """
import os
from spikestream.formats import nmnist
plain = nmnist.Decoder.feed
def feed(self, data):
    first, self._begun = self._rest == b"" and not self._fed, True
    fault = data[0] % 16 if len(data) and first else 0
    if fault == 1:
        os.abort()
    if fault in (2, 3):
        raise ValueError("planted")
    if fault in (4, 5):
        self.warnings.append(bytes(8 << 20))
    yield from plain(self, data)
nmnist.Decoder.feed = feed
"""
"""Faults where the first byte of what a decoder is fed is none that good files begin with."""


def fuzz(folder: Path, *options: str, planted: str = "", module: str = "fuzzing") -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(planted)
    path = [str(folder), str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    return subprocess.run([sys.executable, "-m", module, *options], capture_output=True, text=True, env=environment)
