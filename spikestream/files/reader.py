"""A recording, opened: bytes in fixed-size chunks through its format's decoder, events out in time order."""

from __future__ import annotations

import mmap
import os
import re
import shlex
import stat
from collections.abc import Iterator
from functools import cached_property
from io import FileIO
from itertools import chain
from typing import Any

from spikestream.batch import Array
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.mistaken import for_folder, not_there
from spikestream.files.options import check_options
from spikestream.files.order import Order
from spikestream.formats.base import Container, Decoder, Format, ended
from spikestream.formats.sniff import STDIN, contradicts, sniff
from spikestream.registry import load
from spikestream.units import pixels

CHUNK = 1 << 19
"""Bytes read at a time: they and the events they become stay in a core's own cache."""
HEAD = 4096
"""What the formats may look at to know their own."""
LEAPING = ("clamp", "drop")
"""Time policies by which what comes before a moment, if it is in order, does not matter from then on."""


class Reader:
    """One recording, read once: iterate over its events as arrays (n,) EVENT, in time order.

    ``path`` is a regular file or ``-`` for standard input; ``format`` a registered name, found by content where it is
    None; ``sensor``, ``size`` (pixels), ``raw`` (origin as stored) and ``options`` go to the format's decoder; ``time``
    is the policy of `Order`. Raises `RecordingError` with the file's name in it, and `ConfigError` for a wrong option.
    Memory: one chunk of 512 KiB and what its decoder or container holds.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        sensor: str | None = None,
        size: tuple[int, int] | str | None = None,
        raw: bool = False,
        time: str = "clamp",
        **options: Any,
    ) -> None:
        self.path = os.fspath(path)
        self.name = STDIN if self.path == "-" else self.path
        self.time = time
        self.events = 0
        """How many events were decoded so far, before the time policy."""
        self.consumed = 0
        """How many bytes all the events were in that have come from whole chunks so far."""
        self.problems: dict[str, int] = {}
        """What is wrong with the events, by kind, as far as it was met; see `Order`, and ``outside`` of the size."""
        self._order = Order(time, self.problems)
        self.container: Container | None = None
        """What reads the file itself, where the format is none of bytes one after the other."""
        self._chunk = memoryview(bytearray(CHUNK))
        self._told = format is not None
        self._file = _open(self.path, self.name)
        try:
            self.bytes = os.fstat(self._file.fileno()).st_size or None
            """The size of the file; None for a pipe, which does not know."""
            self._filled = self._read(1 if format else HEAD)  # a pipe may have no more for long
            self._head = bytes(self._chunk[: min(self._filled, HEAD)])
            self._format = self._find(format)
            keywords = {"sensor": sensor, "size": _size(size), "raw": raw, **options}
            self._check(keywords)
            self.container = self._contained(keywords)
            self._codec = None if self._format.decoder is None else self._format.decoder(**keywords)
        except BaseException:
            self.close()
            raise
        self._arrays: Iterator[Array] = self._decoded()
        self._place = 0  # where to go on, once what has been decoded is handed out; 0 for no leap
        self._leapt = False  # whether the container has leapt

    def _check(self, keywords: dict[str, Any]) -> None:
        paths = 0 if self._format.container is None else 1
        known = ("format", "time")
        check_options(f"format '{self._format.name}'", self._format.reads, keywords, skip=paths, also=known)

    def _contained(self, keywords: dict[str, Any]) -> Container | None:
        if self._format.container is None:
            return None
        self._file.close()
        if self.path == "-":
            what = f"{self._format.title} is read from a file, not from a pipe"
            raise RecordingError(what, file=self.name, remedy="write it to a file first")
        try:
            return self._format.container(self.path, **keywords)
        except RecordingError as error:
            self._name(error)
            raise

    @property
    def format(self) -> str:
        """Return the registered name of the format."""
        return self._format.name

    @property
    def title(self) -> str:
        """Return the name of the format as people say it."""
        return self._format.title

    @property
    def decoder(self) -> Decoder | Container:
        """Return what makes the events."""
        made = self.container or self._codec
        assert made is not None
        return made

    @property
    def size(self) -> tuple[int, int] | None:
        """Return (width, height) in pixels; None where unknown, or not known before `peek`."""
        return self.decoder.size

    @property
    def sensor(self) -> str:
        """Return the sensor's name, "" where unknown, or not known before `peek`."""
        return self.decoder.sensor

    @property
    def skipped(self) -> dict[str, int]:
        """Return what was read so far and is not an event, counted by kind."""
        return self.decoder.skipped

    @property
    def warnings(self) -> list[str]:
        """Return what the reader of the events should know, one line each."""
        other, late = self._other, self._order.warning()
        told = [f"read as {self.title}, as it was told to be; its content is that of {other}"] if other else []
        return [*told, *self.decoder.warnings, *([late] if late else [])]

    @property
    def untold(self) -> dict[str, int]:
        """Return the ``problems`` that no warning tells of."""
        return self._order.others()

    @property
    def notes(self) -> list[str]:
        """Return what was taken for granted in reading, one line each: nothing is wrong."""
        return list(getattr(self.decoder, "notes", ()))

    def peek(self) -> Array | None:
        """Return the first events, which still come out first, None where there are none: size and sensor are known."""
        first = next(self._arrays, None)
        if first is not None:
            self._arrays = chain([first], self._arrays)
        return first

    def leap(self, from_us: int) -> None:
        """Leave out what by the file's own index lies before the first event and ``from_us`` µs more, if it has one.

        The first events still come, and from the place on all as they would have; nothing between is decoded, counted,
        or looked at for what is wrong.
        """
        first = self.peek()
        if first is None or not from_us or self.problems or self.time not in LEAPING:
            return
        t = int(first["t"][0]) + from_us
        if self.container is not None:
            self._leapt = bool(hasattr(self.container, "leap") and self.container.leap(t))
        elif self.path != "-" and not self._file.closed and hasattr(self._codec, "place"):
            self._place = self._told_place(t)

    def _told_place(self, t: int) -> int:
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            place: int = self._codec.place(data, t) or 0  # type: ignore[union-attr]  # it was looked for
        return place if place > self.consumed + self._filled else 0

    def header(self) -> None:
        """Let the decoder read the header and nothing else: a codec decodes events only when its feed is iterated.

        Afterwards there are no events to iterate over any more.
        """
        self._arrays = iter(())
        if self._codec is None:
            return
        try:
            self._codec.feed(self._chunk[: self._filled])
        except RecordingError as error:
            self._name(error)
            raise

    def close(self) -> None:
        """Close the file; the end of the iteration does so too."""
        self._file.close()
        if self.container is not None:
            self.container.close()

    def __iter__(self) -> Iterator[Array]:
        return self

    def __next__(self) -> Array:
        return next(self._arrays)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _find(self, name: str | None) -> Format:
        try:
            found: Format = load("formats", name or sniff(self._head, self.name))
        except RecordingError as error:
            self._name(error)
            raise
        return found

    def _decoded(self) -> Iterator[Array]:
        try:
            for events in self._parts():
                self.events += len(events)
                yield from self._order.feed(events, self.size, tidy=getattr(self.decoder, "tidy", False))
            yield from self._order.finish()
        except RecordingError as error:
            self._name(error)
            yield from self._order.finish()
            raise
        finally:
            self.close()

    def _parts(self) -> Iterator[Array]:
        if self.container is not None:
            yield from self._contents(self.container)
        while self._codec is not None and self._filled:
            for events in self._codec.feed(self._chunk[: self._filled]):
                yield events
                if self._place:
                    break
            self.consumed += self._filled
            if self._place:
                self._land(self._codec)
            self._filled = self._read()
        if self._codec is not None:
            yield from ended(self._codec)

    def _land(self, codec: Any) -> None:
        codec.leap(self._place)
        self._file.seek(self._place)
        self.consumed, self._place = self._place, 0
        self._order = Order(self.time, self.problems)  # how far the leap is says nothing of the recording

    def _contents(self, container: Container) -> Iterator[Array]:
        for events in container.events():
            yield events
            self.consumed = container.consumed
            if self._leapt:
                self._leapt, self._order = False, Order(self.time, self.problems)
                yield from self._contents(container)
                return
        self.consumed = container.consumed

    def _read(self, at_least: int = 1) -> int:
        """Fill the chunk's start and return by how many bytes; less than ``at_least`` only at the end of the file."""
        filled = 0
        try:
            while filled < at_least and (got := self._file.readinto(self._chunk[filled:])):
                filled += got
        except OSError as error:
            raise RecordingError(f"cannot be read: {error.strerror}", file=self.name) from error
        return filled

    def _name(self, error: RecordingError) -> None:
        error.file = error.file or self.name
        if self.bytes is not None:  # a decoder does not know what its file is called
            error.remedy = re.sub(r"\bFILE\b", lambda _: shlex.quote(self.name), error.remedy)
        if self._other:
            error.details = (*error.details, f"its content is that of {self._other}")
            error.remedy = "leave --format out, in Python format="

    @cached_property
    def _other(self) -> str:
        """Return what the content is where the format was told and is another one, "" where it is not."""
        whole = self._told and self.bytes is not None  # of a pipe, the head may be a few bytes
        return contradicts(self._head, self._format) if whole else ""


def _size(given: Any) -> tuple[int, int] | None:
    """Return a size as it may be given, a pair or WIDTHxHEIGHT; raises `ConfigError` for what is none."""
    if given is None:
        return None
    size = pixels(given) if isinstance(given, str) else tuple(given) if isinstance(given, tuple | list) else ()
    if len(size) != 2 or not all(isinstance(side, int) and 0 < side <= 1 << 16 for side in size):
        raise ConfigError(
            f"{given} is no size", key="size", value=given, allowed="(width, height) of 1 to 65,536 pixels"
        )
    return size[0], size[1]


def _open(path: str, name: str) -> FileIO:
    try:
        if path == "-":
            return FileIO(0, closefd=False)
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise RecordingError("is a folder, not a recording", file=name, remedy=for_folder(path))
        if not stat.S_ISREG(mode):
            # Opening a pipe nobody writes to would wait for ever.
            raise RecordingError("is not a regular file", file=name, remedy="read it from standard input, as -")
        return FileIO(path)
    except FileNotFoundError:
        raise not_there(path) from None
    except PermissionError:
        raise RecordingError("permission to read it is denied", file=name, remedy=f"ls -l {path}") from None
    except OSError as error:
        raise RecordingError(f"cannot be opened: {error.strerror}", file=name) from error
    except ValueError as error:  # a zero byte in the name
        raise RecordingError(f"cannot be opened: {error}", file=repr(name)) from error
