"""What a sensor is: batches of stream time, one after the other; and the URIs that name one."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl

from spikestream.batch import Batch
from spikestream.errors import ConfigError, DeviceError, PluginError, RecordingError, SpikestreamError
from spikestream.files.options import check_options
from spikestream.registry import found, load

LONGEST_US = 3_600_000_000
"""No batch of a plugin or a record is longer: a network would run tick by tick through an age that no sensor lived."""


class Sensor(Protocol):
    """The world in. Any class with these four names is a sensor."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Return (width, height) in pixels, known once the sensor is built; None without pixels, or if nobody knows."""
        ...

    @property
    def live(self) -> bool:
        """Return whether time passes without us: a live sensor cannot be made to wait."""
        ...

    @property
    def sent(self) -> int:
        """Return how many events, spikes or samples were handed out, by its own count: one end of the ledger."""
        ...

    def batches(self, start: int = 0) -> AsyncIterator[Batch]:
        """Yield batches in time order from stream time ``start`` µs on, 0 for all; each starts where the last stopped.

        One that starts later declares a gap. The arrays belong to whoever takes the batch.
        """
        ...


@dataclass(frozen=True, slots=True)
class Device:
    """Something a sensor can be opened on: its URI, its name as its maker gives it, and what else is worth knowing."""

    uri: str
    name: str
    detail: str = ""


@runtime_checkable
class Finding(Protocol):
    """A sensor's class that knows what is there to be opened."""

    @staticmethod
    def devices() -> list[Device]:
        """Return what is there now; raises `DeviceError` where that cannot be known, with what is missing."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A sensor whose stream is kept elsewhere, for one process at a time: it goes on where a checkpoint says.

    `claim` comes first, then `resume`, then the batches, which wait for whoever takes them; `release` comes last. Who
    begins at a place that `position` told gets exactly what comes behind it.
    """

    @property
    def owned(self) -> bool:
        """Return whether the stream is this one's at the moment."""
        ...

    async def claim(self) -> None:
        """Return when the stream is this one's, however long others have it."""
        ...

    async def resume(self, told: Mapping[str, Any] | None) -> bool:
        """Begin at a place of this stream, and return whether it is one, else at the beginning; raises `ModelError`."""
        ...

    def position(self, now: int) -> Mapping[str, Any] | None:
        """Return the place, in JSON's terms, up to which a pipeline was given all that has run up to ``now`` µs."""
        ...

    async def saved(self, told: Mapping[str, Any]) -> None:
        """Hear that a checkpoint of this place is on the disk: nothing before it is needed any more."""
        ...

    async def release(self) -> None:
        """Let others have the stream."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A sensor that counts what comes to it, too: one hop more for the ledger."""

    def intake(self) -> tuple[str, int, Mapping[str, int], Mapping[str, int], int]:
        """Return the hop's name, the rows that came, those filtered and dropped of them, by reason, and those held."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A sensor with figures of its own, which are published."""

    def stats(self) -> dict[str, Any]:
        """Return its figures, as maps, lists, numbers and texts."""
        ...


@runtime_checkable
class Holding(Protocol):
    """A live sensor that holds what it got until the time of it has passed."""

    def rest(self) -> Iterator[Batch]:
        """Yield what is held, to whoever has ended the batches: it is counted as sent, and none is left."""
        ...


def parse_uri(uri: str) -> tuple[str, str, dict[str, str]]:
    """Return (scheme, location, options) of ``rec.aedat4``, ``-``, ``file:x?format=bin&size=34x34`` or ``blinker://?hz=5``.

    What names an existing file, and what has no scheme, is the location of a ``file`` as it stands; a query is then
    part of the name. Raises `ConfigError` for a query that cannot be read.
    """
    if uri == "-" or os.path.exists(uri):
        return "file", uri, {}
    match = re.match(r"([A-Za-z][A-Za-z0-9+._-]*):(//)?(.*)", uri, re.DOTALL)
    if not match or not (match[2] or match[1] in {entry.name for entry in found("sensors")}):
        return "file", uri, {}
    scheme, rest = match[1], match[3]
    if scheme == "file" and os.path.exists(rest):
        return scheme, rest, {}
    location, _, query = rest.partition("?")
    return scheme, location, _options(uri, query)


def open_sensor(uri: str, **extra: Any) -> Sensor:
    """Return the sensor that a URI names, built with the options of its query, as text, and with ``extra``.

    Raises `ConfigError` for an option it does not have or that it refuses, or that the query and ``extra`` set
    differently, `PluginError` for an unknown scheme, and of what the sensor itself raises our errors as they are,
    `OSError` as `DeviceError`, and anything else, from a plugin, as `PluginError`.
    """
    scheme, location, options = parse_uri(uri)
    if scheme == "file" and location != "-" and not os.path.exists(location):
        _refuse_slip(location)
    factory: Callable[..., Sensor] = load("sensors", scheme)
    for key in options.keys() & extra.keys():
        if options[key] != str(extra[key]):
            text = f"{key} is {options[key]} in {uri} and {extra[key]} in the settings"
            raise ConfigError(text, key=key, value=options[key])
    keywords: Mapping[str, Any] = {**options, **extra}
    check_options(f"sensor '{scheme}'", factory, keywords, skip=1)
    try:
        return factory(location, **keywords)
    except SpikestreamError:
        raise
    except ValueError as error:  # float("fast") in a plugin is the user's slip, not the plugin's
        raise ConfigError(f"sensor '{scheme}' refuses its options: {error}", key=uri) from error
    except OSError as error:
        raise DeviceError(f"sensor '{scheme}' cannot be opened: {error}") from error
    except Exception as error:
        raise PluginError(f"sensor '{scheme}' cannot be opened: {type(error).__name__}: {error}") from error


def _refuse_slip(location: str) -> None:
    """Raise an error for a file that is not there and looks as if something else had been meant."""
    path, _, query = location.partition("?")
    if query and os.path.exists(path):
        raise RecordingError(
            "no such file: options are read behind 'file:' only", file=location, remedy=f"'file:{location}'"
        )
    if path in {entry.name for entry in found("sensors")} - {"file", "record"}:
        what = f"there is no file '{location}', and a sensor of this name is written as a URI"
        raise ConfigError(what, key="sensor.uri", value=location, remedy=f"'{path}://{location[len(path) :]}'")


def _options(uri: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ConfigError(f"'{query}' is no query", key=uri, allowed="name=value&name=value") from error
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigError(f"an option is given twice in '{query}'", key=uri)
    return options
