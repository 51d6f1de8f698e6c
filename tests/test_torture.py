"""The short form of `make torture`: a daemon killed at random moments under load loses no file and no number."""

from __future__ import annotations

import json

from cli import ROOT, script


def test_a_daemon_survives_kills_and_signals():
    """20 x kill -9 and 10 x SIGTERM, in processes of their own."""
    done = script(ROOT / "benchmarks" / "torture.py", "--kills", 20, "--terms", 10)
    figures = json.loads(done.stdout)
    assert figures["wrong"] == []
    assert (figures["kills"], figures["terms"], figures["lives"]) == (20, 10, 30)
    assert figures["with_a_subscriber"] >= 20
    assert figures["judged_by_their_loss"] >= 2
