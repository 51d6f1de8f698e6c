"""What a run is told besides its batches: what labels make, what a record holds, and what marks windows on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from spikestream.batch import Batch, Command, Label, Setting, Window
from spikestream.config import Config
from spikestream.errors import ConfigError
from spikestream.files.labels import LabelRow
from spikestream.sensors.base import Sensor
from spikestream.sensors.record import Record
from spikestream.sensors.voice import Voice
from spikestream.service.scoring import commands_of, windows_of


def label_windows(config: Config, rows: Sequence[LabelRow]) -> list[LabelRow]:
    """Return the windows that labelled rows stand for."""
    return list(windows_of(rows, config.readout.window_us if config.readout.windows == "grid" else None))


def labelled(sensor: Sensor) -> list[LabelRow]:
    """Return the labelled windows that a sensor itself knows before it runs, as a data set does; of others, none."""
    return list(getattr(sensor, "rows", ()))


def known_commands(config: Config, sensor: Sensor, windows: Sequence[LabelRow] | None) -> list[Command]:
    """Return the commands that are known before the run: those of a record, and those that labelled windows make.

    ``windows`` None: no labels were given, and those of a record stand as they are.
    """
    recorded: Sequence[Command] = getattr(sensor, "commands", ())
    voices = config.readout.windows == "voice"
    if voices and not _holds_voices(sensor):  # they are marked anew
        recorded = [command for command in recorded if not isinstance(command, Window)]
    if windows is None:
        return list(recorded)
    kept = [command for command in recorded if not _teaches(command) or (voices and isinstance(command, Window))]
    return [*commands_of(windows, mark=config.readout.windows == "marked", teach=config.learn.enabled), *kept]


def marker(config: Config, sensor: Sensor, samplerate_hz: int) -> Callable[[Batch], Sequence[Command]]:
    """Return what marks windows as the stream goes by; a record made so holds the marks already.

    Raises `ConfigError` where voices are to be heard in what is no sound.
    """
    if config.readout.windows != "voice" or _holds_voices(sensor):
        return lambda batch: ()
    if not samplerate_hz:
        text = "voices are heard in sound, and this sensor gives events"
        raise ConfigError(text, key="readout.windows", value="voice", allowed="grid, marked")
    return Voice(samplerate_hz)


class Planned:
    """Marks a stream with settings for times after its start, as ``at`` of a job has them."""

    def __init__(self, at: Sequence[tuple[int, str, bool | int | float | str]]) -> None:
        self._waiting = sorted(at, key=lambda one: one[0])
        self._start: int | None = None

    def __call__(self, batch: Batch) -> list[Command]:
        """Return the settings that fall into the batch, or into the gap before it."""
        if self._start is None:
            self._start = batch.start
        due = [one for one in self._waiting if self._start + one[0] < batch.stop]
        del self._waiting[: len(due)]
        return [Setting(self._start + after, key, value) for after, key, value in due]


def in_time(command: Command, now: int | None, start: int) -> Command | None:
    """Return the command as it takes effect: one that comes too late at ``now``, so that a record of it says the same.

    A mark that is wholly past, or wholly before the ``start`` of the whole stream, is None.
    """
    if now is None:
        return None if isinstance(command, Window) and command.stop <= start else command
    if command.t >= now:
        return command
    if isinstance(command, Window):
        return replace(command, start=now) if command.stop > now else None
    return replace(command, t=now)


def _holds_voices(sensor: Sensor) -> bool:
    """Return whether the sensor is a record with the marks of voices."""
    readout = sensor.config.get("readout") if isinstance(sensor, Record) else None
    return isinstance(readout, Mapping) and readout.get("windows") == "voice"


def _teaches(command: Command) -> bool:
    """Return whether a command is one that labels make: a label, a mark, a freeze."""
    return isinstance(command, Label | Window) or (isinstance(command, Setting) and command.key == "learn.enabled")
