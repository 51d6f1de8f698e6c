"""``spikestream demo``: a shipped recording through a learning network, with two subscribers in other processes."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from spikestream.cli.base import INTERRUPTED, TERMINATED, Console, add_quiet, run_until_signalled
from spikestream.cli.base.report import report, say_if_cold
from spikestream.errors import RecordingError

SUBSCRIBERS_S = 60
PATIENCE_S = 30


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream demo", description=__doc__)
    made.add_argument("--speed", default="max", help="max (default), 1 for real time, or another factor")
    made.add_argument("--recordings", metavar="FOLDER", help="looks.aedat4 and looks.csv, as recordings/make.py makes")
    add_quiet(made)
    return made


def recordings() -> Path:
    """Return the folder of the shipped recordings; raises `RecordingError` where there is none."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "share" / "recordings", package.parent / "recordings"):
        if (folder / "looks.aedat4").is_file():
            return folder
    raise RecordingError("the shipped recordings are missing", file=str(package), remedy="python recordings/make.py")


def run(options: argparse.Namespace) -> int:
    """Run everything; print what the subscribers receive, then the report, and last the JSON object of the run."""
    from spikestream.config import from_tables
    from spikestream.service.job import Job
    from spikestream.service.session import Session, warm_up

    console = Console(options.quiet)
    folder = Path(options.recordings) if options.recordings else recordings()
    with tempfile.TemporaryDirectory(prefix="spikestream-") as scratch:
        url = f"unix://{scratch}/demo.sock"
        tables = {
            "sensor": {"uri": str(folder / "looks.aedat4"), "speed": options.speed},
            "readout": {"windows": "marked"},
            "publish": {"urls": [url]},
        }
        session = Session(Job(from_tables(tables), labels=str(folder / "looks.csv"), wait_subscribers=2))
        say_if_cold(console)
        warm_up()
        console.log(f"publishing {folder / 'looks.aedat4'} at {url}; the decisions below come from a subscriber")
        listeners = [_subscriber(url, "--topic", "decisions"), _subscriber(url, "--summary")]
        try:
            signalled = run_until_signalled(session.run(), session.stop)
        finally:
            codes = [listener.wait(PATIENCE_S) for listener in listeners]
    console.out(report(session.summary(), session))
    console.json(session.summary())
    if signalled is not None:
        return INTERRUPTED if signalled == 2 else TERMINATED
    return 1 if any(codes) or session.problems() else 0


def _subscriber(url: str, *more: str) -> subprocess.Popen[bytes]:
    wait = f"{SUBSCRIBERS_S}s"
    return subprocess.Popen([sys.executable, "-m", "spikestream", "subscribe", url, "--wait", wait, *more])
