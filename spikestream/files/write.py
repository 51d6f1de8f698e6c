"""Recordings written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from spikestream.batch import Events, no_events
from spikestream.errors import ConfigError, PluginError, RecordingError
from spikestream.files.regular import check_place
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
) -> int:
    """Write a batch, or batches one after the other, and return how many events were written.

    ``format`` is a registered name, by default the one that the suffix belongs to; ``size`` (pixels) by default that of
    the first batch. The file appears complete, in place of an older one, or not at all. Raises `RecordingError` where
    it cannot be written or the format cannot hold the events, and `ConfigError` where no format fits.
    """
    path = Path(path)
    new_encoder = _encoder(format or _format(path).name)
    batches = iter((events,) if isinstance(events, Events) else events)
    first = next(batches, no_events(0, 0))
    try:
        encoder = new_encoder(size=size or first.size)
        return _replace(path, encoder, chain([first], batches))
    except RecordingError as error:
        error.file = error.file or str(path)
        raise
    except OSError as error:
        raise RecordingError(f"cannot be written: {error.strerror}", file=str(path)) from error


def format_to(path: str | os.PathLike[str], name: str | None = None) -> str:
    """Return the name of the format that a file of this name is written in; raises `ConfigError` where none fits."""
    return name or _format(Path(path)).name


def _replace(path: Path, encoder: Encoder, batches: Iterable[Events]) -> int:
    check_place(path)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    written = 0
    try:
        with open(temporary, "wb") as file:
            for batch in batches:
                for at in range(0, len(batch), SLICE):
                    file.write(encoder.feed(batch.data[at : at + SLICE]))
                written += len(batch)
            file.write(encoder.finish())
            _index(file, encoder)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return written


def _index(file: BinaryIO, encoder: Encoder) -> None:
    """Add what a format with an index keeps of it: a tail, and its place written over the bytes at an offset."""
    index = getattr(encoder, "index", None)
    if index is not None:
        tail, offset, place = index()
        file.write(tail)
        file.seek(offset)
        file.write(place)


def _encoder(name: str) -> Callable[..., Encoder]:
    format: Format = load("formats", name)
    if format.encoder is None:
        raise ConfigError(f"{format.title} can be read, not written", key="format", value=name)
    return format.encoder


def _format(path: Path) -> Format:
    writers = [format for format in _formats(path.suffix.lower()) if format.encoder is not None]
    if len(writers) == 1:
        return writers[0]
    if writers:
        raise ConfigError(
            f"'{path.suffix}' is written by several formats",
            key="format",
            allowed=", ".join(format.name for format in writers),
            remedy=f"format='{writers[0].name}'",
        )
    suffixes = sorted({suffix for format in _formats() if format.encoder is not None for suffix in format.suffixes})
    raise ConfigError(f"no format is written to '{path.suffix or path.name}'", key="path", allowed=", ".join(suffixes))


def _formats(suffix: str | None = None) -> Iterator[Format]:
    for name in sorted({entry.name for entry in found("formats")}):
        try:
            format: Format = load("formats", name)
        except PluginError:  # one broken plugin must not keep the others from writing
            continue
        if suffix is None or suffix in format.suffixes:
            yield format
