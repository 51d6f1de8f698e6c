"""Reading in a process apart: what a C library makes of a damaged file, crash or endless loop, ends there.

The other process is a fresh one (a fork would take locks of other threads along), limited in memory and in the time of
its processor. It calls one function of this package with one text and answers with bytes, or with an error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from typing import NoReturn

import msgpack

from spikestream.errors import ModelError

BASE_MEMORY = 2**31  # bytes of address space for Python and its libraries
PATIENCE = 10  # seconds of the clock for one of the processor: a busy machine is no damaged file
ANSWER, REFUSAL = b"A", b"R"
_START = "import sys; sys.path[:] = {path!r}; from spikestream.files.apart import serve; serve(*sys.argv[1:])"


def call_apart(function: str, text: str, *, cpu_s: int, memory: int) -> memoryview:
    """Return what ``module:function`` makes of a text, within so many seconds and bytes; raises `ModelError`."""
    start = _START.format(path=[str(place) for place in sys.path])
    command = [sys.executable, "-c", start, function, text, str(cpu_s), str(memory)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each thread takes address space
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE * cpu_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{text} was not read within {PATIENCE * cpu_s} s: it is damaged") from error
    except OSError as error:
        raise ModelError(f"{text} cannot be read: no process could be started: {error.strerror}") from error
    return _answer(done, text)


def _answer(done: subprocess.CompletedProcess[bytes], text: str) -> memoryview:
    kind, body = done.stdout[:1], memoryview(done.stdout)[1:]
    if done.returncode == 0 and kind == ANSWER:
        return body
    if done.returncode == 0 and kind == REFUSAL:
        what, details, remedy = msgpack.unpackb(body)
        raise ModelError(what, details=details, remedy=remedy)
    if done.returncode < 0:
        raise ModelError(
            f"{text} cannot be read: it is damaged",
            details=[f"the library that reads it crashed or found no end (signal {-done.returncode})"],
        )
    last = done.stderr.decode("utf8", "replace").strip().splitlines()[-1:]
    raise ModelError(f"{text} cannot be read: the process that reads it failed", details=last)


def serve(function: str, text: str, cpu_s: str, memory: str) -> NoReturn:
    """Be the other process: answer on the standard output, and end."""
    _limit(int(cpu_s), int(memory))
    module, _, name = function.partition(":")
    try:
        answer = ANSWER + getattr(import_module(module), name)(text)
    except ModelError as error:
        answer = REFUSAL + msgpack.packb((error.what, error.details, error.remedy))
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    os._exit(0)  # a damaged file may keep its library from closing it


def _limit(cpu_s: int, memory: int) -> None:
    import resource

    for kind, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, BASE_MEMORY + memory),
        (resource.RLIMIT_CORE, 0),
    ):
        _, ceiling = resource.getrlimit(kind)
        allowed = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
        resource.setrlimit(kind, (allowed, ceiling))
