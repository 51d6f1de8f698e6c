"""A generator run in a process apart: what a C library makes of a damaged file, crash or endless loop, ends there.

The other process is a fresh one (a fork would take locks of other threads along), limited in memory, and in the time of
its processor from one answer to the next. It calls one generator function of this package with one text and some
options, and sends what that yields. A process that did its work well is kept for the next file, since to start one
takes longer than to read a small file.
"""

from __future__ import annotations

import atexit
import os
import select
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from threading import Lock
from typing import IO, Any, NoReturn

import msgpack

from spikestream.errors import ConfigError, PluginError, RecordingError

MEMORY = 2**32
"""Bytes of address space: Python, its libraries, and what they may unpack."""
CPU_S = 10
PATIENCE_S = 60
"""Seconds of the clock without an answer: what waits for ever uses no processor."""
MOST = 2**28
"""Bytes of one answer."""
SIZES = struct.Struct("<cII")
NEWS, END, REFUSAL = b"N", b"E", b"R"
ERRORS = {error.__name__: error for error in (RecordingError, PluginError, ConfigError)}
_START = "import sys; sys.path[:] = {path!r}; from spikestream.files.feeder import serve; serve()"

News = tuple[dict[str, Any], memoryview]
"""What is sent: facts, and bytes."""


class _Process:
    """One other process, and the two pipes to it."""

    def __init__(self) -> None:
        start = _START.format(path=[str(place) for place in sys.path])
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each thread takes address space
        self._made = subprocess.Popen(
            [sys.executable, "-c", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=os.environ | threads,
        )

    def ask(self, function: str, text: str, options: Mapping[str, Any], cpu_s: int) -> None:
        """Say what is to be called next."""
        assert self._made.stdin is not None
        body = msgpack.packb((function, text, dict(options), cpu_s))
        self._made.stdin.write(SIZES.pack(NEWS, len(body), 0) + body)

    def answer(self, text: str) -> tuple[bytes, dict[str, Any], memoryview]:
        """Return the kind of the next answer, its facts and its bytes; raises `RecordingError` where it fails."""
        kind, facts, data = SIZES.unpack(self._read(SIZES.size, text))
        if max(facts, data) > MOST:
            raise RecordingError("the process that reads the file sends too much", file=text)
        return kind, msgpack.unpackb(self._read(facts, text)), memoryview(self._read(data, text))

    def _read(self, count: int, text: str) -> bytearray:
        assert self._made.stdout is not None
        read, at, file = bytearray(count), 0, self._made.stdout.fileno()
        while at < count:
            if not select.select([file], [], [], PATIENCE_S)[0]:
                raise RecordingError(f"was not read within {PATIENCE_S} s: it is damaged", file=text)
            got = os.readv(file, [memoryview(read)[at:]])
            if not got:
                raise self._died(text)
            at += got
        return read

    def _died(self, text: str) -> RecordingError:
        code = self._made.wait()
        why = f"crashed or found no end (signal {-code})" if code < 0 else f"ended with {code}"
        return RecordingError("is damaged", file=text, details=[f"the library that reads it {why}"])

    def kill(self) -> None:
        """End the process."""
        self._made.kill()
        self._made.wait()
        for pipe in (self._made.stdin, self._made.stdout):
            if pipe is not None:
                pipe.close()


_idle: list[_Process] = []
_lock = Lock()


def feed(function: str, text: str, options: Mapping[str, Any], *, cpu_s: int = CPU_S) -> Iterator[News]:
    """Yield what the generator ``module:function`` yields for a text, (facts, bytes) each.

    Raises `RecordingError` where it crashes, takes more than ``cpu_s`` seconds of processor for one answer or too much
    memory, and what it raises of our own errors.
    """
    with _lock:
        process = _idle.pop() if _idle else None
    process = process or _Process()
    try:
        process.ask(function, text, options, cpu_s)
        while True:
            kind, facts, data = process.answer(text)
            if kind == REFUSAL:
                raise ERRORS[facts.pop("class")](facts.pop("what"), **facts)
            if kind == END:
                break
            yield facts, data
    except OSError as error:
        process.kill()
        raise RecordingError(f"cannot be read in a process apart: {error.strerror}", file=text) from error
    except BaseException:  # GeneratorExit too: the process stands in the midst of a file
        process.kill()
        raise
    _keep(process)


def _keep(process: _Process) -> None:
    with _lock:
        if not _idle:
            _idle.append(process)
            return
    process.kill()


def _end_all() -> None:
    with _lock:
        while _idle:
            _idle.pop().kill()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_idle.clear)


def serve() -> NoReturn:
    """Be the other process: answer what is asked, until nobody asks any more."""
    import resource

    _limit(resource.RLIMIT_AS, MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    with suppress(OSError):  # whoever asked has gone
        while head := sys.stdin.buffer.read(SIZES.size):
            _, length, _ = SIZES.unpack(head)
            function, text, options, cpu_s = msgpack.unpackb(sys.stdin.buffer.read(length))
            _answer_all(sys.stdout.buffer, function, text, options, cpu_s)
    os._exit(0)  # a damaged file may keep its library from closing it


def _limit(kind: int, most: int) -> None:
    import resource

    _, ceiling = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if ceiling == resource.RLIM_INFINITY else min(most, ceiling), ceiling))


def _answer_all(pipe: IO[bytes], function: str, text: str, options: dict[str, Any], cpu_s: int) -> None:
    import resource

    module, _, name = function.partition(":")
    try:
        answers = getattr(import_module(module), name)(text, **options)
        while True:
            used = resource.getrusage(resource.RUSAGE_SELF)
            _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + cpu_s)
            answer = next(answers, None)
            if answer is None:
                break
            _send(pipe, NEWS, *answer)
    except tuple(ERRORS.values()) as error:
        _send(pipe, REFUSAL, _said(error), b"")
    else:
        _send(pipe, END, {}, b"")


def _said(error: Any) -> dict[str, Any]:
    """Return an error of ours as what it is made from."""
    said = {"class": type(error).__name__, "what": error.what, "details": list(error.details), "remedy": error.remedy}
    if isinstance(error, RecordingError):
        said |= {"file": error.file, "offset": error.offset, "expected": error.expected, "found": error.found}
    elif isinstance(error, ConfigError):
        del said["details"]
        said |= {"key": error.key, "value": str(error.value), "allowed": error.allowed, "nearest": error.nearest}
    return said


def _send(pipe: IO[bytes], kind: bytes, facts: dict[str, Any], data: Any) -> None:
    packed, view = msgpack.packb(facts), memoryview(data).cast("B")
    pipe.write(SIZES.pack(kind, len(packed), len(view)) + packed)
    pipe.write(view)
    pipe.flush()
