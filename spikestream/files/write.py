"""Recordings written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from spikestream.batch import Array, Events, no_events
from spikestream.errors import ConfigError, PluginError, RecordingError
from spikestream.files.atomic import beside, keep_part
from spikestream.files.options import check_options
from spikestream.files.regular import check_place, unwritable
from spikestream.formats.base import Encoder, Format
from spikestream.registry import found, load

SLICE = 1 << 18
"""Events encoded at a time, which bounds the memory of the encoded bytes."""


def write(
    path: str | os.PathLike[str],
    events: Events | Iterable[Events],
    *,
    size: tuple[int, int] | None = None,
    format: str | None = None,
    **options: Any,
) -> int:
    """Write a batch, or batches one after the other, and return how many events were written.

    ``format`` is a registered name, by default the one that the suffix belongs to; ``size`` (pixels) by default that of
    the first batch, which grows with that of the others where the format can: no event lies outside of what is stored.
    ``options`` are those of the format for writing, such as ``compression`` of AEDAT 4. The file
    appears complete, in place of an older one, or not at all. Raises `RecordingError` where it cannot be written or the
    format cannot hold the events, and `ConfigError` where no format fits, or no option.
    """
    return _write(path, events, size, format, options, keep=False)


def write_kept(
    path: str | os.PathLike[str],
    events: Iterable[Events],
    *,
    size: tuple[int, int] | None = None,
    format: str | None = None,
    **options: Any,
) -> int:
    """Write what cannot be had again, as `write` does, but keep what was written before an error, which is raised.

    The file is complete up to an event that the format cannot hold, and becomes ``path.part`` where the disk is full.
    """
    return _write(path, events, size, format, options, keep=True)


def _write(
    path: str | os.PathLike[str],
    events: Events | Iterable[Events],
    size: tuple[int, int] | None,
    format: str | None,
    options: dict[str, Any],
    keep: bool,
) -> int:
    _check_path(path)
    path = Path(path)
    writing = _checked(path, format, options)
    batches = iter(events if isinstance(events, Iterable) else (events,))
    first: Any = next(batches, no_events(0, 0))
    if not isinstance(first, Events):
        text = f"what is written are batches of events, not {type(events).__name__}"
        raise ConfigError(text, key="events", remedy="ss.Events(start, stop, data, size), as ss.read returns")
    try:
        batches = chain([first], batches)
        return write_as(path, writing, batches, size or first.size, grows=size is None, keep=keep, **options)
    except RecordingError as error:
        error.file = error.file or str(path)
        raise
    except OSError as error:
        raise unwritable(path, error) from error


def _check_path(path: object) -> None:
    if not isinstance(path, str | os.PathLike):
        text = f"the path of a file is no {type(path).__name__}"
        raise ConfigError(text, key="path", remedy="ss.write(path, events): the path comes first")


def format_to(path: str | os.PathLike[str], name: str | None = None, options: Iterable[str] = ()) -> str:
    """Return the name of the format that a file of this name is written in.

    Raises `ConfigError` where none fits, or it has no option of these names.
    """
    return _checked(Path(path), name, options).name


def _checked(path: Path, name: str | None, options: Iterable[str]) -> Format:
    format = _format(path, name)
    assert format.writes is not None, "it is one that is written"
    skip = 0 if format.encoder else 1
    check_options(f"format '{format.name}', written,", format.writes, options, skip=skip, given=("size",))
    return format


def write_as(
    path: Path,
    format: Format,
    batches: Iterable[Events],
    size: tuple[int, int] | None,
    *,
    grows: bool = False,
    keep: bool = False,
    **options: Any,
) -> int:
    """Write batches in a format, as `write` does, with ``keep`` as `write_kept`.

    With ``grows`` the size may be that of a later batch.
    """
    keywords: dict[str, Any] = {"size": size, **options}
    encoder = None if format.encoder is None else format.encoder(**keywords)
    check_place(path)
    path = Path(os.path.realpath(path))  # what a link leads to: the link stays
    check_place(path)
    temporary = beside(path)
    fed = _Fed(batches, size, grows, keep)
    try:
        if encoder is not None:
            _encode(temporary, encoder, fed)
        else:
            _pack(temporary, format, keywords, fed)
        os.replace(temporary, path)
    except BaseException:
        if keep and fed.written and encoder is not None:  # of a packer's file nothing can be read before its end
            keep_part(temporary, path)
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if fed.error is not None:
        raise fed.error
    return fed.written


class _Fed:
    """Events on their way into a file; with ``keep`` the first that does not fit is the ``error``, and the end."""

    def __init__(self, batches: Iterable[Events], size: tuple[int, int] | None, grows: bool, keep: bool) -> None:
        self._batches, self._size, self._grows, self._keep = batches, size, grows, keep
        self.written = 0
        self.error: RecordingError | None = None

    def to(self, made: Any, feed: Callable[[Array], object]) -> None:
        """Give all events to what writes them."""
        try:
            for batch in self._batches:
                self._make_room(made, batch.size)
                for at in range(0, len(batch), SLICE):
                    self._feed(batch.data[at : at + SLICE], feed)
        except RecordingError as error:
            if not (self._keep and self.written):
                raise
            self.error = error
            self.error.details += (f"the {self.written:,} events before are in the file",)

    def _make_room(self, made: Any, size: tuple[int, int] | None) -> None:
        """Tell what writes the events of a size that is larger, where it may grow and can."""
        if not self._grows or size is None or size == self._size or not hasattr(made, "grow"):
            return
        known = self._size or size
        self._size = (max(known[0], size[0]), max(known[1], size[1]))
        made.grow(self._size)

    def _feed(self, data: Array, feed: Callable[[Array], object]) -> None:
        try:
            feed(data)
            self.written += len(data)
        except RecordingError:
            if self._keep and len(data) > 1:  # the half before it may fit, or half of that
                middle = len(data) // 2
                self._feed(data[:middle], feed)
                self._feed(data[middle:], feed)
            raise


def _encode(temporary: Path, encoder: Encoder, fed: _Fed) -> None:
    with open(temporary, "wb") as file:
        fed.to(encoder, lambda events: file.write(encoder.feed(events)))
        file.write(encoder.finish())
        _index(file, encoder)
        file.flush()
        os.fsync(file.fileno())


def _pack(temporary: Path, format: Format, keywords: dict[str, Any], fed: _Fed) -> None:
    assert format.packer is not None
    with contextlib.closing(format.packer(temporary, **keywords)) as packer:
        fed.to(packer, packer.feed)
        packer.finish()
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())


def _index(file: BinaryIO, encoder: Encoder) -> None:
    """Add what a format with an index keeps of it: a tail, and its place written over the bytes at an offset."""
    index = getattr(encoder, "index", None)
    if index is not None:
        tail, offset, place = index()
        file.write(tail)
        file.seek(offset)
        file.write(place)


def _format(path: Path, name: str | None) -> Format:
    if name:
        format: Format = load("formats", name)
        if format.writes is None:
            raise ConfigError(f"{format.title} can be read, not written", key="format", value=name)
        return format
    writers = {format.name: format for format in _formats(path.suffix.lower()) if format.writes is not None}
    if len(writers) == 1:
        return next(iter(writers.values()))
    if writers:
        raise ConfigError(
            f"'{path.suffix}' is written by several formats",
            key="format",
            allowed=", ".join(writers),
            remedy=f"format='{next(iter(writers))}'",
        )
    suffixes = sorted({suffix for format in _formats() if format.writes is not None for suffix in format.suffixes})
    raise ConfigError(f"no format is written to '{path.suffix or path.name}'", key="path", allowed=", ".join(suffixes))


def _formats(suffix: str | None = None) -> Iterator[Format]:
    for name in sorted({entry.name for entry in found("formats")}):
        try:
            format: Format = load("formats", name)
        except PluginError:  # one broken plugin must not keep the others from writing
            continue
        if suffix is None or suffix in format.suffixes:
            yield format
