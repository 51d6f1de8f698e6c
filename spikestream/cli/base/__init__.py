"""What the verbs share: how they print, fail and show progress."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from types import ModuleType
from typing import Any

from spikestream.errors import SpikestreamError, nearest

USAGE, INTERRUPTED, TERMINATED, LOST = 2, 130, 143, 7


class Console:
    """stdout for data, stderr for people. A reader of stdout that goes away ends the output, not the program."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.broken = False
        self._progress = sys.stderr is not None and sys.stderr.isatty() and not quiet
        self._shown = False

    def out(self, text: str) -> None:
        """Print a line of data and flush it; after a broken pipe, do nothing."""
        if self.broken:
            return
        self.clear()
        try:
            print(text, flush=True)
        except BrokenPipeError:
            self.broken = True
            mute_stdout()
        except OSError as error:
            mute_stdout()
            raise SpikestreamError(f"cannot write to stdout: {error.strerror}") from error

    def json(self, value: Any) -> None:
        """Print one JSON value on one line."""
        self.out(json.dumps(value, ensure_ascii=False))

    def log(self, text: str) -> None:
        """Tell something that is not data."""
        if not self.quiet:
            self.clear()
            print(text, file=sys.stderr, flush=True)

    def progress(self, text: str) -> None:
        """Show a line in place, on a terminal only."""
        if self._progress:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
            self._shown = True

    def clear(self) -> None:
        """Take the progress line away."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._shown = False


def mute_stdout() -> None:
    """Point stdout nowhere, so that nothing written later, or flushed at exit, fails."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def guarded(verb: ModuleType, args: list[str]) -> int:
    """Run a verb; every error of ours becomes its text and its exit code."""
    if sys.stdout is None:  # started with stdout closed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 it lives as long as the process
    parser: argparse.ArgumentParser = verb.parser()
    parser.description = (parser.description or "").replace("``", "'")
    try:
        options = parser.parse_args(args)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return int(verb.run(options))
    except SpikestreamError as error:
        kind = "error"
        print(f"{kind}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        mute_stdout()
        return 0


def unknown_verb(verb: str, known: Iterable[str]) -> int:
    """Say that there is no such verb, and which is near; return the exit code."""
    close = nearest(verb, known)
    hint = f"; did you mean '{close}'?" if close else ""
    print(f"error: unknown verb '{verb}'{hint}\n  try: spikestream --help", file=sys.stderr)
    return USAGE


def run_until_signalled(main: Coroutine[Any, Any, None], stop: Callable[[], None]) -> int | None:
    """Run ``main`` to its end; the first SIGINT or SIGTERM calls ``stop``, a second one ends at once.

    Returns the signal's number, None where none came.
    """
    import asyncio  # not at the top: `--help` starts without it

    came: list[int] = []

    async def watched() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def on_signal(number: int) -> None:
            came.append(number)
            if len(came) == 1:
                stop()
            elif task is not None:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal, number)
        await main

    try:
        asyncio.run(watched())
    except asyncio.CancelledError:
        if not came:
            raise
    return came[0] if came else None


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add ``-q``."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no log and no progress on stderr")
