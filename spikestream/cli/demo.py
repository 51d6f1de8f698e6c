"""``spikestream demo``: a shipped recording through a learning network, with two subscribers in other processes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from spikestream.cli.base import Console, add_quiet, ended_by, run_until_signalled
from spikestream.cli.base.report import report, say_if_cold
from spikestream.errors import RecordingError

SUBSCRIBERS_S = 60
PATIENCE_S = 30
LONGEST_SOCKET = 100
"""Bytes of a socket's path, which the kernel limits to 107."""


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
    import asyncio

    from spikestream.config import from_tables
    from spikestream.service.job import Job
    from spikestream.service.session import Session, warm_up

    console = Console(options.quiet)
    folder = Path(options.recordings) if options.recordings else recordings()
    with tempfile.TemporaryDirectory(prefix="spikestream-") as scratch:
        url = _url(scratch)
        tables = {
            "sensor": {"uri": str(folder / "looks.aedat4"), "speed": options.speed},
            "readout": {"windows": "marked"},
            "publish": {"urls": [url]},
        }
        session = Session(Job(from_tables(tables), labels=str(folder / "looks.csv"), wait_subscribers=2))
        say_if_cold(console, session)
        warm_up(session)
        listeners: list[subprocess.Popen[bytes]] = []

        async def play() -> None:
            playing = asyncio.ensure_future(session.run())
            starting = asyncio.ensure_future(session.started.wait())
            await asyncio.wait([playing, starting], return_when=asyncio.FIRST_COMPLETED)
            starting.cancel()
            if session.started.is_set():
                (output,) = session.hub.outputs
                told = f"publishing {folder / 'looks.aedat4'} at {output.url}"
                console.log(f"{told}; the decisions below come from a subscriber")
                listeners.extend(
                    [_subscriber(output.url, "--topic", "decisions"), _subscriber(output.url, "--summary")]
                )
            await playing

        try:
            signalled = run_until_signalled(play(), session.stop)
            patience_s = PATIENCE_S if signalled is None else 1  # one that never connected would wait for a minute
            codes = [_ended(listener, patience_s) for listener in listeners]
        finally:
            for listener in listeners:
                _ended(listener, 0)
    console.out(report(session.summary(), session))
    console.json(session.summary())
    if signalled is not None:
        return ended_by(signalled)
    return 1 if any(codes) or session.problems() else 0


def _ended(process: subprocess.Popen[bytes], patience_s: float) -> int:
    """Return the exit code of a child, which is not left running for longer than ``patience_s``."""
    try:
        return process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _url(folder: str) -> str:
    """Return where to publish: a socket in the folder, or a free port of this machine where its path is too long."""
    path = f"{folder}/demo.sock"
    return f"unix://{path}" if len(os.fsencode(path)) <= LONGEST_SOCKET else "tcp://127.0.0.1:0"


def _subscriber(url: str, *more: str) -> subprocess.Popen[bytes]:
    wait = f"{SUBSCRIBERS_S}s"
    return subprocess.Popen([sys.executable, "-m", "spikestream", "subscribe", url, "--wait", wait, *more])
