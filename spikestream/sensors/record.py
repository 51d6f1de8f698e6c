"""A record made with ``replay --record`` or ``run`` as a sensor: the same batches, gaps and commands again.

It is a file, or a folder of segments as `spikestream.log` writes them; a folder of such folders stands for the only one
in it. What was never ended, since its process was killed, is known by its name ``.part`` or by its last segment: it is
played as far as it is whole.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spikestream.batch import Batch, Command, Label, Setting, Sound, Window, cut, is_label
from spikestream.errors import ClientError, RecordingError
from spikestream.files.labels import LabelRow
from spikestream.files.regular import open_regular
from spikestream.log.segment import bytes_of, listed
from spikestream.sensors.base import LONGEST_US
from spikestream.wire import BYE, ClientSession, Message
from spikestream.wire.incoming import TIME_LIMIT

CHUNK = 1 << 20
TURN = 8
"""Batches between two turns of the event loop."""

GIVEN = {"record.sensor.events": "events", "record.sensor.sound": "sound"}
"""Topics of what the pipeline was given, and their kinds."""
COMMANDS = {"label": Label, "setting": Setting, "window": Window}


def is_record(path: str) -> bool:
    """Return whether a file, or the first segment of a folder, starts like a record: like a wire stream."""
    try:
        place = Path(path)
        if place.is_dir():
            runs = _runs(place)
            return bool(runs) and is_record(str(listed(runs[0])[0]))
        with open_regular(path) as file:
            head = file.read(256)
    except (OSError, ValueError):
        return False
    return b"\xa2op\xa5hello" in head[:32]


def _runs(folder: Path) -> list[Path]:
    """Return the folders with segments in them: this one, or those in it; raises `OSError`."""
    if listed(folder):
        return [folder]
    return sorted(one for one in folder.iterdir() if one.is_dir() and listed(one))


class Record:
    """A record as a sensor, with what the recorded run started from.

    ``samplerate_hz`` is that of its sound, 0 for events. ``config`` holds the tables it was made with, ``state`` the
    dumped memory it began with (b"" if fresh), ``labels`` what its accuracy was measured against, ``commands`` all its
    commands. Raises `RecordingError` for a file that is
    no record, or is damaged: after all batches before the damage.
    """

    live = False

    def __init__(self, location: str) -> None:
        self.location = location
        self.sent = 0
        self.warnings: list[str] = []
        self.size: tuple[int, int] | None = None
        told: dict[str, list[Mapping[str, Any]]] = {"config": [], "state": [], "labels": [], "commands": []}
        try:
            self._look(told)
        except RecordingError:
            if not told["config"]:
                raise  # else `batches` comes to the damage again, after all that is before it
        if not told["config"]:
            empty = not any(True for _ in self._messages())
            what = "an empty record: its run ended before it began" if empty else "not a record"
            raise RecordingError(what, file=location, expected="a file made with --record")
        self.config = dict(told["config"][-1])
        self.samplerate_hz = self._rate()
        self.state = b"".join(self._bytes(values) for values in told["state"])
        self.labels = [row for values in told["labels"] for row in self._rows(values.get("rows"))]
        self.commands = [self._command(values) for values in told["commands"]]

    async def batches(self, start: int = 0) -> AsyncIterator[Batch]:
        """Yield the recorded batches that end after ``start`` µs, the first cut there."""
        now = -TIME_LIMIT
        for number, message in enumerate(m for m in self._messages() if m.topic in GIVEN):
            if number % TURN == 0:
                await asyncio.sleep(0)
            if message.kind != GIVEN[message.topic] or message.start < now or message.stop - message.start > LONGEST_US:
                raise RecordingError(
                    "the record is damaged",
                    file=self.location,
                    expected=f"{GIVEN[message.topic]} from {now} µs on, of an hour at most",
                    found=f"{message.kind} in [{message.start}, {message.stop}) µs",
                )
            if message.kind == "sound" and not self.samplerate_hz:
                raise RecordingError("the record is damaged: it holds sound and no sample rate", file=self.location)
            now = message.stop
            batch = message.batch()
            if start and batch.stop <= start:
                continue
            rest = self._rest(batch, start) if start and start > batch.start else batch
            self.sent += len(rest)
            yield rest

    def _rest(self, batch: Batch, start: int) -> Batch:
        """Return what comes at ``start`` µs or later, of sound from the first whole sample there on."""
        if not isinstance(batch, Sound):
            return cut(batch, start)[1]
        first, wanted = (-(-time * self.samplerate_hz // 1_000_000) for time in (batch.start, start))
        begin = min(wanted * 1_000_000 // self.samplerate_hz, batch.stop)
        return Sound(begin, batch.stop, batch.samples[wanted - first :])

    def _look(self, told: Mapping[str, list[Mapping[str, Any]]]) -> None:
        """Read what has to be known before the first batch, adding to ``told`` what each message says of it."""
        waiting: list[Mapping[str, Any]] = []  # commands whose batch never came did nothing, and shall do nothing
        for message in self._messages():
            what = message.topic.removeprefix("record.").removesuffix(".stats")
            if message.topic in GIVEN:
                told["commands"] += waiting
                waiting = []
                self.size = message.size if self.size is None and message.kind == "events" else self.size
            elif message.kind == "stats" and what in told:
                (waiting if what == "commands" else told[what]).append(message.data)

    def _rate(self) -> int:
        """Return the sample rate that the configuration tells, 0 where it tells none."""
        sensor = self.config.get("sensor")
        rate = sensor.get("samplerate_hz", 0) if isinstance(sensor, Mapping) else 0
        return rate if type(rate) is int and rate > 0 else 0

    def _bytes(self, values: Mapping[str, Any]) -> bytes:
        if not isinstance(values.get("data"), bytes):
            raise RecordingError("the starting state is not understood", file=self.location)
        return bytes(values["data"])

    def _rows(self, rows: Any) -> list[LabelRow]:
        try:
            made = [LabelRow(*row) for row in rows]
        except TypeError as error:
            raise RecordingError(f"the labels are not understood: {error}", file=self.location) from error
        times = [time for row in made for time in (row.start, row.stop)]
        sane = (is_label(row.label) and type(row.test) is bool and _fits("reward", row.reward) for row in made)
        if not all(map(_is_time, times)) or not all(sane):
            raise RecordingError("the labels are not understood", file=self.location)
        return made

    def _command(self, told: Mapping[str, Any]) -> Command:
        values = dict(told)
        try:
            kind: Callable[..., Command] = COMMANDS[values.pop("command")]
            if wrong := [f"{key} = {value!r:.80}" for key, value in values.items() if not _fits(key, value)]:
                raise TypeError(", ".join(wrong))
            return kind(**values)
        except (KeyError, TypeError) as error:
            raise RecordingError(f"a command is not understood: {error}", file=self.location) from error

    def _messages(self) -> Iterator[Message]:
        session = ClientSession("record")
        session.subscribe(["*"])
        try:
            for data in self._data():
                for event in session.receive(data):
                    if isinstance(event, Message):
                        yield self._recorded(event)
                if session.ended:
                    return
            self._not_ended()
        except ClientError as error:
            raise RecordingError(f"the record is damaged: {error.what}", file=self.location) from error
        except OSError as error:
            raise RecordingError(f"cannot be read: {error.strerror}", file=self.location) from error

    def _recorded(self, message: Message) -> Message:
        if message.topic.startswith("record."):
            return message
        raise RecordingError(
            f"holds what a pipeline has published ({message.topic}), not what it was given",
            file=self.location,
            remedy="replay a record, which spikestream run CONFIG --record FILE makes",
        )

    def _data(self) -> Iterator[bytes]:
        """Yield the record's bytes, b"" at the end of a file that should have ended with a bye."""
        place = Path(self.location)
        if not place.is_dir():
            with open_regular(place) as file:
                while data := file.read(CHUNK):
                    yield data
            if ".part" not in place.suffix:
                yield b""
            return
        runs = _runs(place)
        if len(runs) != 1:
            found = f"{len(runs)} runs" if runs else "a folder without any"
            remedy = f"name one of them, such as {runs[-1]}" if runs else ""
            text = "cannot be read: a record is wanted"
            raise RecordingError(text, file=self.location, expected="the segments of one", found=found, remedy=remedy)
        ended = False
        for path in listed(runs[0]):
            ended = False
            for data in bytes_of(path):
                ended = data == BYE
                if not ended:
                    yield data
        if ended:
            yield BYE

    def _not_ended(self) -> None:
        if not self.warnings:
            text = f"{self.location} was never ended, since its process was killed: it is played as far as it goes"
            self.warnings.append(text)


def _fits(key: str, value: Any) -> bool:
    if key in ("t", "start", "stop"):
        return _is_time(value)
    if key == "label":
        return is_label(value)
    if key == "reward":
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, str) if key == "key" else isinstance(value, int | float | str)


def _is_time(value: Any) -> bool:
    return type(value) is int and abs(value) <= TIME_LIMIT
