"""What a run is told besides its batches: what labels make, what a record holds, and what marks windows on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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


def _holds_voices(sensor: Sensor) -> bool:
    """Return whether the sensor is a record with the marks of voices."""
    readout = sensor.config.get("readout") if isinstance(sensor, Record) else None
    return isinstance(readout, Mapping) and readout.get("windows") == "voice"


def _teaches(command: Command) -> bool:
    """Return whether a command is one that labels make: a label, a mark, a freeze."""
    return isinstance(command, Label | Window) or (isinstance(command, Setting) and command.key == "learn.enabled")
