"""How tests run the command line: a process of its own, as its user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOOKS = ROOT / "recordings" / "looks.aedat4"
LABELS = ROOT / "recordings" / "looks.csv"
PATIENCE_S = 120


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "spikestream", *(str(arg) for arg in args)]


def start(*args: object, **popen: Any) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command(*args), stdout=pipe, stderr=pipe, text=True, **popen)


def spikestream(*args: object, code: int = 0, **run: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*args), capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, "COLUMNS": "100"}, **run
    )
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert "Traceback" not in done.stderr, done.stderr
    return done


def replay_json(*args: object) -> dict[str, Any]:
    return json.loads(spikestream("replay", *args, "--json").stdout)
