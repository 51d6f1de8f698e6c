"""A record made with ``replay --record`` or ``run`` as a sensor: the same batches, gaps and commands again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spikestream.batch import Batch, Command, Events, Label, Setting, Window, cut
from spikestream.errors import ClientError, RecordingError
from spikestream.wire import ClientSession, Message
from spikestream.wire.incoming import TIME_LIMIT

CHUNK = 1 << 20
TURN = 8
"""Batches between two turns of the event loop."""

COMMANDS = {"label": Label, "setting": Setting, "window": Window}


def is_record(path: str) -> bool:
    """Return whether a file starts like a record: with the greeting of a wire stream."""
    try:
        with open(path, "rb") as file:
            head = file.read(256)
    except OSError:
        return False
    return b"\xa2op\xa5hello" in head[:32]


class Record:
    """A record as a sensor; ``config`` holds the tables it was made with, ``commands`` all its commands.

    Raises `RecordingError` for a file that is no record, or is damaged: after all batches before the damage.
    """

    live = False

    def __init__(self, location: str) -> None:
        self.location = location
        self.sent = 0
        self.size: tuple[int, int] | None = None
        self.config: dict[str, Any] = {}
        told: list[Mapping[str, Any]] = []
        try:
            self._look(told)
        except RecordingError:
            if not self.config:
                raise  # else `batches` comes to the damage again, after all that is before it
        if not self.config:
            raise RecordingError("not a record", file=location, expected="a file made with --record")
        self.commands = [self._command(values) for values in told]

    async def batches(self, start: int = 0) -> AsyncIterator[Batch]:
        """Yield the recorded batches that end after ``start`` µs, the first cut there."""
        now = -TIME_LIMIT
        for number, message in enumerate(m for m in self._messages() if m.topic == "record.sensor.events"):
            if number % TURN == 0:
                await asyncio.sleep(0)
            if message.kind != "events" or message.start < now:
                raise RecordingError(
                    "the record is damaged",
                    file=self.location,
                    expected=f"events from {now} µs on",
                    found=f"{message.kind} from {message.start} µs on",
                )
            now = message.stop
            batch = Events(message.start, message.stop, message.data, message.size)
            if start and batch.stop <= start:
                continue
            rest = cut(batch, start)[1] if start and start > batch.start else batch
            self.sent += len(rest)
            yield rest

    def _look(self, told: list[Mapping[str, Any]]) -> None:
        """Read what has to be known before the first batch, adding to ``told`` what each command says."""
        for message in self._messages():
            if message.kind == "stats" and message.topic == "record.config.stats":
                self.config = dict(message.data)
            elif message.kind == "stats" and message.topic == "record.commands.stats":
                told.append(message.data)
            elif self.size is None and message.kind == "events":
                self.size = message.size

    def _command(self, told: Mapping[str, Any]) -> Command:
        values = dict(told)
        try:
            kind: Callable[..., Command] = COMMANDS[values.pop("command")]
            if wrong := [f"{key} = {value!r}" for key, value in values.items() if not _fits(key, value)]:
                raise TypeError(", ".join(wrong))
            return kind(**values)
        except (KeyError, TypeError) as error:
            raise RecordingError(f"a command is not understood: {error}", file=self.location) from error

    def _messages(self) -> Iterator[Message]:
        session = ClientSession("record")
        session.subscribe(["record.>"])
        try:
            with Path(self.location).open("rb") as file:
                while not session.ended:
                    yield from (event for event in session.receive(file.read(CHUNK)) if isinstance(event, Message))
        except ClientError as error:
            raise RecordingError(f"the record is damaged: {error.what}", file=self.location) from error
        except OSError as error:
            raise RecordingError(f"cannot be read: {error.strerror}", file=self.location) from error


def _fits(key: str, value: Any) -> bool:
    if key in ("t", "start", "stop"):
        return isinstance(value, int) and abs(value) <= TIME_LIMIT
    return isinstance(value, int | float if key == "reward" else int | float | str)
