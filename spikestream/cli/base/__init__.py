"""What the verbs share: how they print, fail and show progress."""

from __future__ import annotations

import argparse
import errno
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from spikestream.cli.base.usage import refuse
from spikestream.errors import ConfigError, SpikestreamError, nearest

USAGE, INTERRUPTED, LOST = 2, 130, 7


class Console:
    """stdout for data, stderr for people. A reader of stdout, or a terminal, that goes away ends the output alone."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.broken = False
        self._terminal = sys.stdout.isatty()
        self._progress = sys.stderr.isatty() and not quiet
        self._shown = False

    def out(self, text: str) -> None:
        """Print a line of data and flush it; after a broken pipe, do nothing."""
        if self.broken:
            return
        self.clear()
        try:
            print(text, flush=True)
        except OSError as error:
            mute_stdout()
            self.broken = isinstance(error, BrokenPipeError) or (self._terminal and error.errno == errno.EIO)
            if self.broken:
                return
            raise SpikestreamError(f"cannot write to stdout: {error.strerror}") from error

    def json(self, value: Any) -> None:
        """Print one JSON value on one line."""
        self.out(json.dumps(value, ensure_ascii=False))

    def log(self, text: str) -> None:
        """Tell something that is not data."""
        if not self.quiet:
            self.clear()
            tell(f"{text}\n")

    def progress(self, text: str) -> None:
        """Show a line in place, on a terminal only."""
        if self._progress:
            tell(f"\r\033[K{text}")
            self._shown = True

    def clear(self) -> None:
        """Take the progress line away."""
        if self._shown:
            tell("\r\033[K")
            self._shown = False


def tell(text: str) -> None:
    """Write to stderr; where nobody reads it any more, the text is lost and the work goes on."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _point_nowhere(2)


def open_streams() -> None:
    """Give the process the three standard streams it may have been started without, and let any text through.

    Closed ones would make the next file or socket number 1 or 2, and receive what is printed.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False  # a log line that cannot be written is no news


def mute_stdout() -> None:
    """Point stdout nowhere, so that nothing written later, or flushed at exit, fails."""
    _point_nowhere(1)


def _point_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def printed(work: Callable[[], int]) -> int:
    """Do the work and flush what it printed; the exit code is 1 where that fails, and its own where nobody reads it."""
    code = 0
    try:
        code = work()
        sys.stdout.flush()
    except BrokenPipeError:
        mute_stdout()
    except OSError as error:
        mute_stdout()
        tell(f"error: cannot write to stdout: {error.strerror}\n")
        return 1
    finally:
        tell("")  # what is left of a log that nobody reads would change the exit code
    return code


def guarded(verb: ModuleType, args: list[str]) -> int:
    """Run a verb; every error of ours becomes its text and its exit code."""
    parser: argparse.ArgumentParser = verb.parser()
    parser.description = (parser.description or "").replace("``", "'")
    # argparse would keep silent where its help cannot be written.
    parser.print_help = lambda file=None: print(parser.format_help(), end="")  # type: ignore[method-assign]
    parser.error = lambda message: refuse(parser, args, message)  # type: ignore[method-assign]
    try:
        with _ending_when_told():
            return _ran(verb, parser.parse_args(args))
    except SystemExit as stop:  # of the parser, or of a signal
        return int(stop.code or 0)
    except SpikestreamError as error:
        tell(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _ran(verb: ModuleType, options: argparse.Namespace) -> int:
    try:
        return int(verb.run(options))
    except BrokenPipeError:
        mute_stdout()
        return 0
    except (OSError, MemoryError) as error:  # too many open files, a full disk, not enough memory
        tell(f"error: {error or 'not enough memory'}\n")
        return SpikestreamError.exit_code


@contextmanager
def _ending_when_told() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind what is being done, as Ctrl-C does: half a file beside OUT would stay for ever.

    A verb that runs until it is signalled has handlers of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGTERM] == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(ended_by(signal.SIGTERM)))
    try:
        with _hung_up(lambda: sys.exit(ended_by(signal.SIGHUP))):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _hung_up(told: Callable[[], object]) -> Iterator[None]:
    """Call ``told`` at the first SIGHUP; where it is ignored, as `nohup` has it, it stays so.

    Of a terminal that closes shell and kernel both tell: the second time is not to cut short what the first began.
    """
    before = signal.getsignal(signal.SIGHUP)

    def first(*_: object) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        told()

    if before != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGHUP) == first:
            signal.signal(signal.SIGHUP, before)


def ended_by(signalled: int | None) -> int:
    """Return the exit code of what a signal of this number has ended, as shells count it; 0 where it was none."""
    return 0 if signalled is None else 128 + signalled


def unknown_verb(verb: str, known: Iterable[str]) -> int:
    """Say that there is no such verb, and which is near; return the exit code."""
    close = nearest(verb, known)
    hint = f"; did you mean '{close}'?" if close else ""
    tell(f"error: unknown verb '{verb}'{hint}\n  try: spikestream --help\n")
    return USAGE


def run_until_signalled(
    main: Coroutine[Any, Any, None], stop: Callable[[], None], reload: Callable[[], None] | None = None
) -> int | None:
    """Run ``main`` to its end; SIGINT, SIGTERM and SIGHUP call ``stop``, a second one of the first two ends at once.

    Where there is ``reload`` SIGHUP calls that. Returns the number of the one that called ``stop``, None for none.
    """
    import asyncio  # not at the top: `--help` starts without it

    came: list[int] = []

    async def watched() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def on_signal(number: int) -> None:
            came.append(number)
            if len(came) == 1:
                stop()
            elif task is not None and number != signal.SIGHUP:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal, number)
        if reload is not None:
            loop.add_signal_handler(signal.SIGHUP, reload)
            await main
            return
        # Not by the loop, which gives the signal back as it ends: the second one would kill.
        with _hung_up(lambda: loop.call_soon_threadsafe(on_signal, signal.SIGHUP)):
            await main

    try:
        asyncio.run(watched())
    except asyncio.CancelledError:
        if not came:
            raise
    return came[0] if came else None


def add_access(parser: argparse.ArgumentParser) -> None:
    """Add what a client may need to be let in, and to know whom it talks to."""
    parser.add_argument(
        "--token-file", default="", metavar="FILE", help="holds the server's token (default: SPIKESTREAM_TOKEN_FILE)"
    )
    parser.add_argument("--ca", default="", metavar="FILE", help="certificates to trust at tcps:// and wss://, as PEM")


def check_apart(source: str, target: str) -> None:
    """Raise `ConfigError` where the file that is read, by whatever name, is the one that is to be written."""
    with suppress(OSError):  # the source is no file, or one of the two is not there: whoever opens them says so
        if os.path.samefile(source, target):
            text = "what is read cannot be written over"
            raise ConfigError(text, key="OUT", value=target, remedy="another name for OUT")


def check_new(path: str, force: bool) -> None:
    """Raise `ConfigError` for a folder, and for a file that is there and was not said to be replaced."""
    if not path or os.path.isdir(path):
        what = f"{path} is a folder" if path else "the name of OUT is empty"
        raise ConfigError(what, key="OUT", value=path, remedy=f"{os.path.join(path, 'NAME')}, a file")
    if not force and os.path.lexists(path):
        raise ConfigError(f"{path} is there already", key="OUT", value=path, remedy="-f, which replaces it")


class Switch(argparse.BooleanOptionalAction):
    """``--x`` and ``--no-x``, of which only one may be given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Take one of them; raises `ConfigError` where the other one was given before."""
        before = getattr(namespace, self.dest)
        super().__call__(parser, namespace, values, option_string)
        if before is not None and before != getattr(namespace, self.dest):
            one, other = self.option_strings
            refuse_both({one: True, other: True})


def refuse_both(options: Mapping[str, object]) -> None:
    """Raise `ConfigError` where two of these options that contradict each other are given; None and False are not."""
    given = [name for name, value in options.items() if value is not None and value is not False]
    if len(given) > 1:
        text = f"{given[0]} and {given[1]} contradict each other"
        raise ConfigError(text, key=given[1], remedy=f"leave {given[0]} or {given[1]} out")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add ``-q``."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no log and no progress on stderr")
