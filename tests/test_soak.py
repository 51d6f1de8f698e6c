"""The short form of the soak that ends `make torture`: a daemon under load and under blows loses and leaks nothing."""

from __future__ import annotations

import json
import subprocess
import sys

from cli import PATIENCE_S, ROOT

MINUTES = 3.0


def test_a_daemon_under_blows_neither_leaks_nor_miscounts():
    """Sensors that die, a full disk, clocks that jump, subscribers that come, go and stall, at 200,000 events/s."""
    command = [sys.executable, ROOT / "benchmarks" / "soak.py", "--minutes", str(MINUTES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES + PATIENCE_S)
    assert done.stdout, done.stderr[-3000:]
    figures = json.loads(done.stdout)
    assert figures["wrong"] == []
    assert done.returncode == 0
    assert figures["events_per_s"] == 200_000
    assert figures["faults"]["sensor"] >= 8
    assert figures["accounts_compared"] >= 100
    assert set(figures["ends"]) >= {"bye", "cut"}
