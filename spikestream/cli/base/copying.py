"""Events of a recording on their way into another one: a part of them, through filters, from another time on."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Generator, Iterable, Iterator
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikestream.batch import LIMIT_US, Events, no_events
from spikestream.cli.base import Console
from spikestream.cli.base.bar import Bar
from spikestream.cli.base.reading import named
from spikestream.errors import ConfigError, RecordingError, SpikestreamError
from spikestream.files.atomic import replacing
from spikestream.files.compare import difference
from spikestream.files.reader import Reader
from spikestream.files.write import format_to, write
from spikestream.registry import load
from spikestream.units import pixels

if TYPE_CHECKING:
    from spikestream.stages.filters import Filters

NOTHING = "fetch it again: --partial keeps what comes before the damage, and nothing does"
T0 = ("keep", "zero")


class Copy:
    """One recording into one file: the options of the verb, and what has to be told."""

    def __init__(self, options: Namespace, from_us: int, to_us: int | None, console: Console) -> None:
        self.options, self.console = options, console
        self.from_us, self.to_us = from_us, to_us
        self.warnings: list[str] = []
        self._size = pixels(options.size) if options.size else None
        check_t0(options.t0)
        if options.filters and options.time == "keep":
            raise ConfigError(
                "filters need events in time order", key="--time", value="keep", allowed="clamp, sort, drop"
            )
        if options.verify and options.source == "-":
            raise ConfigError("--verify reads SRC twice, and standard input comes only once", key="--verify")

    def run(self) -> str:
        """Write the file, and return how many events are in it."""
        with self._open() as reader:
            format, options = format_of(self.options.target, self.options.as_)
            with replacing(self.options.target) as temporary:
                try:
                    count = self._write(reader, temporary, format, options)
                    if self.options.verify:
                        self._verify(temporary, format, options)
                except RecordingError as error:
                    error.file = self.options.target if error.file == str(temporary) else error.file
                    raise
        return f"{count:,} events" + (", verified" if self.options.verify else "")

    def _write(self, reader: Reader, path: Path, format: str, options: dict[str, str]) -> int:
        filters = self._filters(reader)
        size = filters.size if filters else self._size
        begin = no_events(0, 0, reader.size)  # an empty recording has a size too; else it may still grow
        batches = chain([begin], self._batches(reader, filters, self.warnings))
        count = write(path, batches, size=size, format=format, **options)
        self._account(reader, filters)
        if not count and reader.events:
            chosen = "--from, --to and --filter" if self.options.filters else "--from and --to"
            self.warnings.append(f"{self.options.target}: no event of {reader.name} is left by {chosen}")
        return count

    def _verify(self, path: Path, format: str, options: dict[str, str]) -> None:
        """Raise `SpikestreamError` where the file that was written does not hold what SRC does."""
        taken = signature(load("formats", format).reads).parameters
        reading: dict[str, Any] = {name: value for name, value in options.items() if name in taken}
        with self._open() as reader, Reader(path, format=format, time="keep", **reading) as written:
            told: list[str] = []  # for the second time
            given = (batch.data for batch in self._batches(reader, self._filters(reader), told))
            found = difference(given, written)
        if found:
            text = f"{self.options.target}: what was written is not what was given"
            raise SpikestreamError(text, details=[found], remedy="another format, e.g. --as aedat4")

    def _open(self) -> Reader:
        given: dict[str, Any] = {key: getattr(self.options, key) for key in ("format", "sensor", "time")}
        given = {key: value for key, value in given.items() if value} | named(self.options.option)
        reader = Reader(self.options.source, size=self._size, **given)
        try:
            reader.leap(self.from_us)
        except BaseException as error:
            reader.close()
            if self.options.partial and isinstance(error, RecordingError):
                error.remedy = NOTHING
            raise
        return reader

    def _filters(self, reader: Reader) -> Filters | None:
        if not self.options.filters:
            return None
        from spikestream.stages.filters import Filters, parse_filter

        return Filters([parse_filter(text) for text in self.options.filters], self._size or reader.size)

    def _batches(self, reader: Reader, filters: Filters | None, warnings: list[str]) -> Iterator[Events]:
        bar = Bar(self.console)
        taken = accepted(selected(reader, self.from_us, self.to_us), self.options.partial, warnings)

        def made() -> Iterator[Events]:
            for batch in taken:
                bar.bytes(reader.consumed, reader.bytes)
                yield filters(batch) if filters else batch

        if self.options.t0 == "keep":
            yield from made()
            return
        first = yield from from_zero(made())
        if first:
            warnings.append(f"{reader.name}: {first:,} µs were taken off every stamp")

    def _account(self, reader: Reader, filters: Filters | None) -> None:
        """Tell what of the recording is not in the file, or is there in another way."""
        for note in reader.notes:
            self.console.log(f"{reader.name}: {note}")
        self.warnings += [f"{reader.name}: {warning}" for warning in reader.warnings]
        self.warnings += [f"{reader.name}: not converted: {n:,} {kind}" for kind, n in reader.skipped.items() if n]
        self.warnings += [f"{reader.name}: {kind}: {n:,}" for kind, n in reader.untold.items()]
        if filters:
            left = {**filters.account.filtered, **filters.account.dropped}
            known = "outside of the size that was known before them; --size WIDTHxHEIGHT says which it is"
            left = {known if kind == "outside" else kind: n for kind, n in left.items()}
            self.warnings += [f"{reader.name}: filtered: {n:,} {kind}" for kind, n in left.items() if n]


def check_t0(when: str) -> None:
    """Raise `ConfigError` for a first stamp that is neither kept nor zero."""
    if when not in T0:
        raise ConfigError(f"'{when}' is no --t0", key="--t0", value=when, allowed=", ".join(T0))


def format_of(target: str, told: str | None) -> tuple[str, dict[str, str]]:
    """Return the format that ``--as`` names, or the file's suffix, and its options; raises `ConfigError`.

    ``told`` is FORMAT or FORMAT:NAME=VALUE,NAME=VALUE.
    """
    name, _, rest = (told or "").partition(":")
    options = named(rest.split(",")) if rest else {}
    if "size" in options:
        raise ConfigError("the size is no option of --as", key="--as", value=told, allowed="--size, of what is read")
    if target == "-":
        raise ConfigError(
            "what is written is a file, not standard output", key="OUT", value=target, remedy="OUT.aedat4"
        )
    try:
        return format_to(target, name or None, options), options
    except ConfigError as error:
        if error.remedy.startswith("format="):  # as one says it in Python
            error.remedy = f"--as {error.allowed.partition(',')[0]}"
        raise


def from_zero(batches: Iterable[Events]) -> Generator[Events, None, int]:
    """Yield the batches earlier by the stamp of their first event, and return that."""
    first = None
    for batch in batches:
        if first is None and len(batch):
            first = int(batch.data["t"][0])
        if not first:
            yield batch
            continue
        if int(batch.data["t"].max(initial=first)) - first >= LIMIT_US:
            what = f"the recording is too long for --t0 zero: it begins at {first} µs"
            raise RecordingError(what, expected="less than 2^62 µs from there on", remedy="--t0 keep")
        data = batch.data.copy()
        data["t"] -= first
        yield Events(batch.start - first, batch.stop - first, data, batch.size)
    return first or 0


def selected(reader: Reader, from_us: int, to_us: int | None) -> Iterator[Events]:
    """Yield a recording's events of ``[t0 + from_us, t0 + to_us)``, t0 being the first event's stamp."""
    first = None
    for data in reader:
        if not len(data):
            continue
        first = int(data["t"][0]) if first is None else first
        if to_us is not None and reader.time != "keep" and int(data["t"][0]) >= first + to_us:
            return
        if from_us or to_us is not None:
            since = data["t"] - first
            data = data[(since >= from_us) & (since < to_us if to_us is not None else True)]
        if len(data):
            yield Events(int(data["t"].min()), int(data["t"].max()) + 1, data, reader.size)


def accepted(parts: Iterable[Any], partial: bool, warnings: list[str]) -> Iterator[Any]:
    """Yield the parts; with ``partial``, damage after some of them is a warning and the end."""
    some = False
    try:
        for part in parts:
            some = True
            yield part
    except RecordingError as error:
        if partial and not some:
            error.remedy = NOTHING
        if not (some and partial):
            # Nothing is damaged where time steps back, or the format is not the file's.
            if some and not error.remedy.startswith(("--time", "leave --format out")):
                error.remedy = "--partial, which keeps what comes before the damage"
            raise
        warnings.append("; ".join([f"{error.where()}: {error.what}", *error.lines()]))
