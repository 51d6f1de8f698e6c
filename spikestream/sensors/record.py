"""A record made with ``replay --record`` or ``run`` as a sensor: the same batches, gaps and commands again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from spikestream.batch import Batch, Command, Events, Label, Setting, Window, cut
from spikestream.errors import ClientError, RecordingError
from spikestream.wire import ClientSession, Message

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
        self.commands: list[Command] = []
        for message in self._messages():
            if message.topic == "record.config.stats":
                self.config = dict(message.data)
            elif message.topic == "record.commands.stats":
                self.commands.append(self._command(dict(message.data)))
            elif self.size is None and message.kind == "events":
                self.size = message.batch().size  # type: ignore[union-attr]
        if not self.config:
            raise RecordingError("not a record", file=location, expected="a file made with --record")

    async def batches(self, start: int = 0) -> AsyncIterator[Batch]:
        """Yield the recorded batches that end after ``start`` µs, the first cut there."""
        for number, message in enumerate(m for m in self._messages() if m.topic == "record.sensor.events"):
            if number % TURN == 0:
                await asyncio.sleep(0)
            batch = message.batch()
            if not isinstance(batch, Events) or (start and batch.stop <= start):
                continue
            rest = cut(batch, start)[1] if start > batch.start else batch
            self.sent += len(rest)
            yield rest

    def _command(self, values: dict[str, Any]) -> Command:
        try:
            made: Command = COMMANDS[values.pop("command")](**values)
        except (KeyError, TypeError) as error:
            raise RecordingError(f"a command is not understood: {error}", file=self.location) from error
        return made

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
