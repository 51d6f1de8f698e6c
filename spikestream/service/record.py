"""The recorder: what the pipeline was given, batch by batch and command by command, so that a replay is identical.

A record is a file of wire messages, as a subscriber would have got them. Before the first batch comes what the run
started from: the configuration on ``record.config.stats``, on ``record.state.stats`` the memory the pipeline began with
where it was not fresh, and on ``record.labels.stats`` what the accuracy was measured against. Then follow in stream
order every batch on ``record.sensor.events`` or ``record.sensor.sound`` and, before the batch it belongs to, every
command on ``record.commands.stats``. A gap is a batch that starts later than the last one stopped.

It is one file, or for runs of months a folder of segments (`spikestream.log`), a new one below it for each run. Either
way what was recorded until a second ago outlives the process and the machine.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from spikestream.batch import Batch, Command, Sound
from spikestream.config import Config, to_tables
from spikestream.errors import RecordingError
from spikestream.files.labels import LabelRow
from spikestream.log import Limits, SegmentLog
from spikestream.log.place import LOCK
from spikestream.outputs.file import File
from spikestream.service.hub import Hub
from spikestream.wire import MAX_FRAME, Flow, Stats

STATE_PART = 512 << 10
"""Bytes of the starting memory in one message."""
SEGMENT_BYTES = 64 << 20
"""Of a record that is a folder, the bytes after which the next segment begins."""
RUN = "run-"
"""What the folder of a run begins with, before its number."""
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


def is_folder(path: str) -> bool:
    """Return whether a record of that name is a folder: it ends with a slash, or there is a folder."""
    return path.endswith(("/", os.sep)) or Path(path).is_dir()


class Recorder:
    """Writes ``path``, a file that appears under its name when it is complete, or a folder; a watcher of the engine.

    ``state`` is what `checkpoint.dumped` gave of a pipeline that did not start fresh; ``labels`` are those of the run.
    """

    def __init__(self, path: str, config: Config, state: bytes = b"", labels: Sequence[LabelRow] = ()) -> None:
        self._path = path
        self._file: File | SegmentLog | None = None if is_folder(path) else File(path)
        self._hub: Hub
        self.folder = ""
        self._config, self._state, self._labels = config, state, labels
        self._begun = False

    async def start(self) -> None:
        """Open the file, or a folder for this run; raises `RecordingError`. Of one that never begins nothing stays."""
        if self._file is None:
            self.folder = _folder_for_run(Path(self._path))
            self._file = SegmentLog(self.folder, Limits(segment_bytes=SEGMENT_BYTES), strict=True)
        epoch = self._file.epoch if isinstance(self._file, SegmentLog) else secrets.token_hex(8)
        self._hub = Hub([self._file], epoch=epoch)
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
        return sum(flow.sent.rows for flow in self._flows())

    @property
    def held(self) -> int:
        """Return how many events or samples are on their way there."""
        return sum(flow.held.rows for flow in self._flows())

    def _flows(self) -> Iterator[Flow]:
        deliveries = self._file.deliveries() if self._file is not None else ()
        return (flow for delivery in deliveries for flow in delivery.flows.values())

    def _tell(self, what: str, values: Mapping[str, Any], t: int = 0) -> None:
        self._hub.publish(f"record.{what}.stats", Stats(t, t, values))

    async def aclose(self) -> None:
        """Close the file; of a folder nothing was written to, nothing stays."""
        if self._file is None or not hasattr(self, "_hub"):
            return
        await self._hub.aclose()
        if self.folder and not self._begun:
            with suppress(OSError):
                Path(self.folder, LOCK).unlink()
                Path(self.folder).rmdir()


def _folder_for_run(folder: Path) -> str:
    """Make and return the folder of a new run, numbered on from those there are; raises `RecordingError`."""
    try:
        folder.mkdir(exist_ok=True)
        taken = [int(one.name.removeprefix(RUN)) for one in folder.glob(f"{RUN}[0-9]*") if one.name[4:].isdecimal()]
        for number in itertools.count(max(taken, default=0) + 1):
            made = folder / f"{RUN}{number:06d}"
            with suppress(FileExistsError):
                made.mkdir()
                break
    except OSError as error:
        raise RecordingError(f"cannot be written: {error.strerror}", file=str(folder)) from error
    return str(made)
