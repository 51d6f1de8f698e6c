"""The recorder: what the pipeline was given, batch by batch and command by command, so that a replay is identical.

A record is a file of wire messages, as a subscriber would have got them: the configuration first, on
``record.config.stats``, then in stream order every batch on ``record.sensor.events`` and, before the batch it belongs
to, every command on ``record.commands.stats``. A gap is a batch that starts later than the last one stopped.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence

from spikestream.batch import Batch, Command, Sound
from spikestream.config import Config, to_tables
from spikestream.errors import ConfigError
from spikestream.outputs.file import File
from spikestream.service.hub import Hub
from spikestream.wire import Stats


class Recorder:
    """Writes ``path``, which appears under its name when the record is complete; a watcher of the engine."""

    def __init__(self, path: str, config: Config) -> None:
        self._hub = Hub([File(path)], epoch=secrets.token_hex(8))
        self._config = config

    async def start(self) -> None:
        """Open the file and write the configuration; raises `RecordingError`."""
        await self._hub.start()
        self._hub.publish("record.config.stats", Stats(0, 0, to_tables(self._config)))

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Write one batch and the commands that came with it."""
        if isinstance(batch, Sound):
            raise ConfigError("sound is not recorded", key="--record")
        for command in commands:
            values = {"command": type(command).__name__.lower(), **dataclasses.asdict(command)}
            self._hub.publish("record.commands.stats", Stats(command.t, command.t, values))
        self._hub.publish("record.sensor.events", batch)

    async def aclose(self) -> None:
        """Close the file."""
        await self._hub.aclose()
