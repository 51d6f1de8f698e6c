"""The recorder: what the pipeline was given, batch by batch and command by command, so that a replay is identical.

A record is a file of wire messages, as a subscriber would have got them. Before the first batch comes what the run
started from: the configuration on ``record.config.stats``, on ``record.state.stats`` the memory the pipeline began with
where it was not fresh, and on ``record.labels.stats`` what the accuracy was measured against. Then follow in stream
order every batch on ``record.sensor.events`` or ``record.sensor.sound`` and, before the batch it belongs to, every
command on ``record.commands.stats``. A gap is a batch that starts later than the last one stopped.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spikestream.batch import Batch, Command, Sound
from spikestream.config import Config, to_tables
from spikestream.files.labels import LabelRow
from spikestream.outputs.file import File
from spikestream.service.hub import Hub
from spikestream.wire import MAX_FRAME, Stats

STATE_PART = 512 << 10
"""Bytes of the starting memory in one message."""
LABELS_PART = 1_000
"""Rows of labels in one message."""


def sound_parts(batch: Sound, samplerate_hz: int) -> Iterator[Sound]:
    """Yield the sound in parts that each fit a frame, cut where samples are, which the wire could not know."""
    most = MAX_FRAME // (8 * batch.samples.shape[1])
    first = -(-batch.start * samplerate_hz // 1_000_000)
    edges = [0, *range(most, len(batch), most), len(batch)]
    times = [batch.start, *((first + at) * 1_000_000 // samplerate_hz for at in edges[1:-1]), batch.stop]
    for at, until, start, stop in zip(edges, edges[1:], times, times[1:], strict=False):
        yield Sound(start, stop, batch.samples[at:until])


class Recorder:
    """Writes ``path``, which appears under its name when the record is complete; a watcher of the engine.

    ``state`` is what `checkpoint.dumped` gave of a pipeline that did not start fresh; ``labels`` are those of the run.
    """

    def __init__(self, path: str, config: Config, state: bytes = b"", labels: Sequence[LabelRow] = ()) -> None:
        self._file = File(path)
        self._hub = Hub([self._file], epoch=secrets.token_hex(8))
        self._config, self._state, self._labels = config, state, labels
        self._begun = False

    async def start(self) -> None:
        """Open the file; raises `RecordingError`. Of a run that never begins nothing is kept."""
        await self._hub.start()

    def _begin(self) -> None:
        """Write what the run starts from."""
        self._begun = True
        self._tell("config", to_tables(self._config))
        for at in range(0, len(self._state), STATE_PART):
            self._tell("state", {"data": self._state[at : at + STATE_PART]})
        for at in range(0, len(self._labels), LABELS_PART):
            part = self._labels[at : at + LABELS_PART]
            self._tell("labels", {"rows": [list(dataclasses.astuple(row)) for row in part]})

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Write one batch and the commands that came with it."""
        if not self._begun:
            self._begin()
        for command in commands:
            values = {"command": type(command).__name__.lower(), **dataclasses.asdict(command)}
            self._tell("commands", values, command.t)
        if isinstance(batch, Sound):
            for part in sound_parts(batch, self._config.sensor.samplerate_hz):
                self._hub.publish("record.sensor.sound", part)
        else:
            self._hub.publish("record.sensor.events", batch)

    @property
    def rows(self) -> int:
        """Return how many events or samples are in the file, by the file's own count."""
        return sum(flow.sent.rows for delivery in self._file.deliveries() for flow in delivery.flows.values())

    def _tell(self, what: str, values: Mapping[str, Any], t: int = 0) -> None:
        self._hub.publish(f"record.{what}.stats", Stats(t, t, values))

    async def aclose(self) -> None:
        """Close the file."""
        await self._hub.aclose()
