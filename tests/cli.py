"""How tests run the command line: a process of its own, as its user would."""

from __future__ import annotations

import json
import logging
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NoReturn

from spikestream.cli import main

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
    """Run a command line to its end, in a fork of the tests' process, which has imported and compiled what it needs."""
    _warm()
    done = forked(lambda: main([str(arg) for arg in args]), command(*args)[1:], **run)
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert "Traceback" not in done.stderr, done.stderr
    return done


def script(path: Path, *args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a script, or a folder with a ``__main__.py``, to its end, in a fork too."""
    done = forked(lambda: runpy.run_path(str(path), run_name="__main__"), [str(path), *map(str, args)])
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    return done


def forked(
    work: Callable[[], object],
    argv: list[str],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Any = None,
) -> subprocess.CompletedProcess[str]:
    """Return what a fork of this process printed that did the work, and its exit code: what the work returns."""
    with TemporaryFile() as out, TemporaryFile() as err:
        with warnings.catch_warnings():
            # Of threads of the test runner, which hold no lock that a command needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            sys.argv = argv
            own = {**(env or os.environ), "COLUMNS": "100"}
            _be(work, out.fileno(), err.fileno(), None if stdin is None else stdin.fileno(), cwd, own)
        code = _ended(child, argv)
        texts = [Path(f"/proc/self/fd/{file.fileno()}").read_text(encoding="utf-8") for file in (out, err)]
    return subprocess.CompletedProcess(argv, code, *texts)


@cache
def _warm() -> None:
    """Import what nearly all verbs import, and load the kernels of the default pipeline, once for all forks."""
    from small import SIZE, noise

    from spikestream.building import build
    from spikestream.config import from_tables

    build(from_tables({"sensor": {"size": "{}x{}".format(*SIZE)}}))(noise(0, 10_000))
    import_module("spikestream.service.session")


def _ended(child: int, argv: list[str]) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise subprocess.TimeoutExpired(argv, PATIENCE_S)
        time.sleep(0.005)


def _be(
    work: Callable[[], object], out: int, err: int, stdin: int | None, cwd: Path | None, env: Mapping[str, str]
) -> NoReturn:
    """Be a process of its own: nothing of the tests' is left but what was imported."""
    code = 1
    try:
        for number, stream in ((0, stdin), (1, out), (2, err)):
            if stream is not None:
                os.dup2(stream, number)
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        root = logging.getLogger()
        root.handlers, root.filters = [], []
        root.setLevel(logging.WARNING)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd or os.getcwd())
        made = work()
        code = made if isinstance(made, int) else 0
        threading._shutdown()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
        print(stop.code if isinstance(stop.code, str) else "", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def on_terminal(*args: object) -> str:
    """Return what a command line shows where stderr is a terminal, in a process of its own."""
    main, terminal = os.openpty()
    try:
        done = subprocess.run(command(*args), stdout=subprocess.PIPE, stderr=terminal, timeout=PATIENCE_S)
        shown = os.read(main, 4_096).decode()
    finally:
        os.close(main)
        os.close(terminal)
    assert done.returncode == 0
    return shown


def replay_json(*args: object) -> dict[str, Any]:
    return json.loads(spikestream("replay", *args, "--json").stdout)
