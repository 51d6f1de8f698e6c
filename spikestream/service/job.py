"""What is to be run: a configuration and what belongs to one run only, checked before anything of it begins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikestream.building import tick_us_of
from spikestream.checkpoint import newest
from spikestream.config import Config
from spikestream.errors import ConfigError
from spikestream.files.labels import LabelRow
from spikestream.files.sound import is_sound
from spikestream.registry import load
from spikestream.sensors.base import Sensor, open_sensor, parse_uri
from spikestream.sensors.guard import Guard
from spikestream.sensors.record import Record, is_record

SOUNDS = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64")
"""What a record must not be called: a program for sound would not know it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: a configuration, and what belongs to one run only."""

    config: Config
    from_us: int | None = None
    to_us: int | None = None
    labels: str = ""
    model: str = ""
    save: str = ""
    save_every_s: float | None = None
    keep: int = 1
    """Versions that are kept of ``save``."""
    record: str = ""
    at: tuple[tuple[int, str, bool | int | float | str], ...] = ()
    """Settings: µs after the stream's start, key, value."""
    wait_subscribers: int = 0
    beside: bool = False
    """Whether the network of ``model`` runs beside the chip, to be compared with it."""
    blocking: bool = True
    """Whether a subscriber may make the run wait for it: never a daemon."""


def daemon_job(config: Config, record: str = "") -> Job:
    """Return what a daemon does with a configuration: it goes on from its checkpoint, and saves there."""
    path = config.checkpoint.path
    saving = config.checkpoint
    return Job(
        config,
        model=newest(path) if path else "",
        save=path,
        save_every_s=saving.every_s,
        keep=saving.keep,
        record=record,
        blocking=False,
    )


def check(job: Job) -> None:
    """Refuse what could only fail at the end of the run, or would write over what is read."""
    if job.wait_subscribers < 0 or (job.wait_subscribers and not job.config.publish.urls):
        allowed = "a number, together with --publish URL"
        raise ConfigError("nobody can subscribe", key="--wait-subscribers", value=job.wait_subscribers, allowed=allowed)
    for path in (job.save, job.record):
        if "\0" in path or (path and not Path(path).absolute().parent.is_dir()):
            raise ConfigError(f"cannot write {path!r}: there is no such folder", value=path)
        folder = bool(path) and Path(path).is_dir()
        if folder and path != job.record:  # a record may be a folder of segments
            raise ConfigError(f"cannot write {path!r}: it is a folder", value=path)
        if path and not folder and Path(path).exists() and not Path(path).is_file():
            raise ConfigError(f"cannot write {path!r}: it is no regular file", value=path)
    if Path(job.record).suffix.lower() in SOUNDS:
        text = f"sound is recorded as .wav, or with all that belongs to it as .rec, not as {Path(job.record).suffix}"
        raise ConfigError(text, key="--record", value=job.record)
    taken: dict[str, str] = {}
    for what, path, written in _files(job):
        place = os.path.realpath(path) if path else ""
        if written and place in taken:
            raise ConfigError(f"{path} cannot be both {taken[place]} and {what}", value=path)
        if place:
            taken[place] = what


def _files(job: Job) -> list[tuple[str, str, bool]]:
    """Return (what it is, its path or "", whether it is written) of every file a job names but its model."""
    urls = [url for url in job.config.publish.urls if url.startswith("file://")]
    return [
        ("the recording", _file_of(job.config.sensor.uri), False),
        ("the labels", job.labels, False),
        ("the model", job.save, True),
        ("the record", job.record, True),
        *((f"the stream {url}", url.removeprefix("file://"), True) for url in urls),
    ]


def _file_of(uri: str) -> str:
    scheme, location, _ = parse_uri(uri)
    return location if scheme == "file" and location != "-" else ""


def sensor_of(job: Job, rows: Sequence[LabelRow]) -> Sensor:
    """Return the sensor a job names, a recording cut as it asks, to its end and that of the row it ends in."""
    config = job.config
    if not config.sensor.uri:
        raise ConfigError("no sensor is named", key="sensor.uri", remedy="set sensor.uri, or name a recording")
    scheme, location, options = parse_uri(config.sensor.uri)
    recorded = scheme == "file" and is_record(location)
    sounding = scheme == "file" and is_sound(location)
    if scheme == "file" and not recorded and not sounding:
        return open_sensor(config.sensor.uri, **_reading(job, rows, options))
    selection = {name: value for name in ("from_us", "to_us") if (value := getattr(job, name)) is not None}
    if selection and not (sounding or scheme == "wav"):
        text = "only a recording of events or a sound file can be cut with --from and --to"
        parts = hasattr(load("sensors", scheme), "tables")  # a data set
        remedy = f"choose samples in its URI: {scheme}://{location}?skip=100&take=50, or split=test"
        if not parts:
            part = "part.wav" if scheme == "microphone" else "part.aedat4"
            length = f" --for {job.to_us / 1e6:g}s" if job.to_us else ""
            remedy = f"spikestream record '{config.sensor.uri}' {part}{length}, and replay {part}"
        key = "--to" if job.from_us is None else "--from"
        raise ConfigError(text, key=key, value=selection.get("from_us", job.to_us), remedy=remedy)
    for key in ("format", "layout", "time"):
        if getattr(config.sensor, key) != getattr(Config().sensor, key):
            text = f"sensor.{key} is for recordings; options of a sensor go into its URI, as in blinker://?hz=5"
            raise ConfigError(text, key=f"sensor.{key}", value=getattr(config.sensor, key))
    if sounding or scheme in ("wav", "microphone"):
        defaults: dict[str, Any] = {"length_us": config.batch.length_us}
        if scheme == "microphone" and config.sensor.samplerate_hz:
            defaults["samplerate_hz"] = config.sensor.samplerate_hz
        chosen = {key: value for key, value in defaults.items() if key not in options}
        return open_sensor(f"wav:{location}" if sounding else config.sensor.uri, **chosen, **selection)
    return Record(location) if recorded else open_sensor(config.sensor.uri)


def _reading(job: Job, rows: Sequence[LabelRow], options: Mapping[str, str]) -> dict[str, Any]:
    """Return the keywords of a recording: what is set, and the defaults that its URI does not set itself."""
    config = job.config
    wanted = {
        "format": config.sensor.format,
        "sensor": config.sensor.layout,
        "size": config.sensor.size,
        "from_us": job.from_us,
        "to_us": job.to_us,
        "windows": [(row.start, row.stop) for row in rows] if job.to_us is None else [],
    }
    defaults = {
        "time": Config().sensor.time,
        "length_us": Config().batch.length_us,
        "grid_us": Config().network.tick_us,
    }
    made = {"time": config.sensor.time, "length_us": config.batch.length_us, "grid_us": tick_us_of(config)}
    chosen = {key: value for key, value in wanted.items() if value not in ("", None, [])}
    return chosen | {key: made[key] for key in made if key not in options or made[key] != defaults[key]}


def guarded(sensor: Sensor, name: str) -> Sensor:
    """Return the sensor, held to the laws of batches where it is somebody else's."""
    ours = type(sensor).__module__.partition(".")[0] == __name__.partition(".")[0]
    return sensor if ours else Guard(sensor, name)
