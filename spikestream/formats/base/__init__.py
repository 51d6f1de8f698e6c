"""What a codec is: bytes in, events out, and back, with no file, socket or clock anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from sys import getrefcount
from typing import Protocol

import numpy as np

from spikestream.batch import EVENT, Array
from spikestream.errors import PluginError

Empty = Callable[[int], Array]
"""What gives memory for so many events (n,) EVENT."""
UNUSED = 2
"""References to an array that only the list it is in has, while they are counted."""


class Spare:
    """Memory for events, given again once nobody has it: the system's is slow until it was written to once.

    An array that is kept, or any view of it, keeps its memory: by CPython's count of references.
    """

    def __init__(self) -> None:
        self._made: list[Array] = []

    def __call__(self, n: int) -> Array:
        """Return memory for events (n,) EVENT that nobody has."""
        for i in range(len(self._made)):
            if getrefcount(self._made[i]) == UNUSED and len(self._made[i]) >= n:
                return self._made[i][:n]
        made = np.empty(n, EVENT)
        self._made = [*self._made[-1:], made]
        return made[:n]


class Decoder(Protocol):
    """Bytes in any pieces in, events out.

    Stamps are int64 µs as the format means them: wraps undone, backward steps left for the caller's policy.
    ``size`` and ``sensor`` are known once the header has been fed. Origin top-left unless built with ``raw=True``.
    Two more attributes are for speed. One that decodes into memory it asks ``empty`` for (an `Empty`, such as `Spare`)
    lets a whole recording be read into the place where it stays. ``tidy`` says that the events of the array yielded
    last lie within ``size`` and each comes at most a second after the one before it, and never before it.
    Two are for files with an index: ``place(file, t)``, given the whole file, returns the byte from which on all events
    at ``t`` µs or later come, None where the index does not say; ``leap(byte)`` lets the bytes fed next be those there.
    Two are for formats that need them: ``notes`` lists what was taken for granted, one line each, nothing being wrong;
    and ``last()`` yields the events that only the end of the bytes completes, see `ended`. One is for what is live:
    ``settle(silent, over)`` yields events that are held until more bytes tell what they are, once there is a ``silent``
    time behind them, or it is ``over``, which raises where too little is told.
    """

    size: tuple[int, int] | None
    sensor: str
    skipped: dict[str, int]
    """What was read and is not an event, by kind (``aps``, ``imu``, ``frame``, …), and what was invalid."""
    warnings: list[str]

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Yield arrays (n,) EVENT decoded from these bytes; raises `RecordingError` after the good ones."""
        ...

    def finish(self) -> None:
        """Say that no more bytes will come; raises `RecordingError` where some are left over."""
        ...


def ended(decoder: Decoder) -> Iterator[Array]:
    """Say that no more bytes will come: yield the events that only this completes, then raise what is to be raised."""
    if hasattr(decoder, "last"):
        yield from decoder.last()
    decoder.finish()


class Container(Protocol):
    """A recording whose parts lie anywhere in its file, or whose library needs a path: opened, then iterated once.

    Everything as in `Decoder`, but ``size`` and ``sensor`` are known once it is built. One whose file has an index may
    have ``leap(t)``: the next `events` begin at a place before all those at ``t`` µs or later; it returns whether they
    do. The room of files holds those that read a file; building one raises `RecordingError`, and `PluginError` where a
    library is not installed.
    """

    size: tuple[int, int] | None
    sensor: str
    skipped: dict[str, int]
    warnings: list[str]
    consumed: int
    """About how many bytes of the file the events so far were in."""

    def summary(self) -> tuple[int, int | None, int | None] | None:
        """Return how many events there are, the first t and the last t, as far as that takes no reading of them."""
        ...

    def events(self) -> Iterator[Array]:
        """Yield arrays (n,) EVENT; raises `RecordingError` after the good ones."""
        ...

    def close(self) -> None:
        """Close the file, in the midst of the events or after them."""
        ...


class Encoder(Protocol):
    """Events in, bytes out; each writer declares its domain and refuses what lies outside of it.

    One that stores a size refuses events outside of it. Two more methods are for those whose file is gone back into:
    ``index()`` returns what to append after `finish`, an offset, and what to write over the bytes there; ``grow(size)``
    takes a larger size, which `index` puts into the header.
    """

    def feed(self, events: Array) -> bytes:
        """Return the bytes of these events (n,) EVENT, the header before the first of them."""
        ...

    def finish(self) -> bytes:
        """Return what closes the file."""
        ...


class Packer(Protocol):
    """Events into a file whose parts are not written one after the other; built with the path of a new file.

    What stores a size refuses events outside of it, and has ``grow(size)`` where the size may be a larger one until
    `finish`.
    """

    def feed(self, events: Array) -> None:
        """Take these events (n,) EVENT; raises `RecordingError` for one the format cannot hold."""
        ...

    def finish(self) -> None:
        """Write what is missing, and close the file."""
        ...

    def close(self) -> None:
        """Close the file, whole or not, and delete what stood beside it."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """What a format registers: how to know it, read it, write it."""

    name: str
    title: str
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    """Whether the first bytes (up to 4 KiB) are this format's; `no_magic` where no content can tell."""
    decoder: Callable[..., Decoder] | None = None
    """Called with ``sensor=`` (layout or None), ``size=`` and ``raw=``, all optional keywords."""
    encoder: Callable[..., Encoder] | None = None
    """Called with ``size=`` (width, height) and ``sensor=``, optional keywords."""
    options: dict[str, str] = field(default_factory=dict)
    """Further keywords of the two, each with one line of help."""
    container: Callable[..., Container] | None = None
    """In place of a decoder; called with the path, then as one."""
    packer: Callable[..., Packer] | None = None
    """In place of an encoder; called with the path, then as one."""
    needs: tuple[str, ...] = ()
    """Modules from elsewhere that it imports when it is used."""
    install: str = ""
    """The command that brings them: ``pip install 'spikestream[hdf5]'``."""
    hint: Callable[[bytes, str], str] | None = None
    """What to say of the first bytes of a file, and its name, that no format knows: how it may be this one; "" else."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Return which of the modules it needs are not installed; none of them is imported."""
        return tuple(module for module in self.needs if find_spec(module) is None)

    @property
    def reads(self) -> Callable[..., Decoder] | Callable[..., Container]:
        """Return the decoder or the container; raises `PluginError` where there are none or both."""
        both = [made for made in (self.decoder, self.container) if made is not None]
        if len(both) != 1:
            raise PluginError(f"format '{self.name}' has {len(both)} ways to be read: a decoder or a container")
        return both[0]

    @property
    def writes(self) -> Callable[..., Encoder] | Callable[..., Packer] | None:
        """Return the encoder or the packer, None where there is neither."""
        return self.packer or self.encoder


def no_magic(head: bytes) -> bool:
    """Return False: the ``sniff`` of a format without magic bytes, which its suffix names instead."""
    return False
