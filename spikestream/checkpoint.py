"""What a pipeline has learned and remembers, as one file: written whole or not at all, restored bit for bit.

The file is an uncompressed NPZ of plain arrays, ``<stage>/<name>``, and one JSON text with the configuration, the
stream time, a SHA-256 of the arrays, and what else belongs to the moment. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from spikestream import __version__
from spikestream.batch import Array
from spikestream.building import build
from spikestream.config import Config, from_tables, to_tables
from spikestream.errors import ConfigError, ModelError
from spikestream.files import generations
from spikestream.files.regular import open_regular
from spikestream.files.shipped import model_path
from spikestream.pipeline import Pipeline
from spikestream.stages.classify import Classifier
from spikestream.stages.network import Network

log = logging.getLogger(__name__)

FORMAT = 1
META = "meta"
LATEST_US = 2**62
"""No stream time lies beyond."""


def arrays(pipeline: Pipeline) -> dict[str, Array]:
    """Return all memory of a pipeline as arrays by ``<stage>/<name>``."""
    return {f"{name}/{key}": value for name, stage in pipeline.stages.items() for key, value in stage.state().items()}


def learned(pipeline: Pipeline) -> dict[str, Array]:
    """Return what the stages have learned, and a new recording keeps, as arrays by ``<stage>/<name>``."""
    return {key: value for key, value in arrays(pipeline).items() if _is_learned(pipeline, *key.split("/", 1))}


def _is_learned(pipeline: Pipeline, stage: str, name: str) -> bool:
    return name in getattr(pipeline.stages[stage], "LEARNED", ())


def digest(state: Mapping[str, Array]) -> str:
    """Return the SHA-256 over name, type, shape and bytes of the arrays, sorted by name."""
    sha = hashlib.sha256()
    for key in sorted(state):
        value = np.ascontiguousarray(state[key])
        sha.update(f"{key} {value.dtype.str} {state[key].shape}\n".encode())
        sha.update(value.tobytes())
    return sha.hexdigest()


def state_sha256(pipeline: Pipeline) -> str:
    """Return the SHA-256 of everything the pipeline remembers."""
    return digest(arrays(pipeline))


@dataclass(frozen=True, slots=True)
class Moment:
    """What a pipeline is and remembers at one moment: a copy, which the pipeline does not change by going on."""

    config: Config
    now: int | None
    state: Mapping[str, Array]
    marks: Mapping[str, Any]

    def write(self, path: str | Path, keep: int = 1) -> None:
        """Write it to ``path``, atomically, and leave ``keep`` - 1 older ones beside it; raises `ModelError`."""
        target = Path(path)
        try:
            generations.replace(target, self.dump, keep)
        except OSError as error:
            raise ModelError(f"cannot write the model {target}: {error.strerror}") from error

    def dump(self, file: IO[bytes]) -> None:
        """Write it into a file that is open."""
        meta = {
            "format": FORMAT,
            "spikestream": __version__,
            "config": to_tables(self.config),
            "now": self.now,
            "marks": dict(self.marks),
            "sha256": digest(self.state),
        }
        np.savez(file, **{META: np.array(json.dumps(meta)), **self.state})  # type: ignore[arg-type]


def moment(pipeline: Pipeline, marks: Mapping[str, Any] | None = None) -> Moment:
    """Return a copy of the pipeline's memory, to be written while it runs on; raises `ModelError`.

    ``marks`` is what else belongs to the moment, in JSON's terms: the numbers of the messages published by then, say.
    """
    if not isinstance(pipeline.config, Config):
        raise ModelError("only a pipeline built from a configuration can be saved", remedy="build it with ss.build()")
    return Moment(pipeline.config, pipeline.now, arrays(pipeline), marks or {})


def save(path: str | Path, pipeline: Pipeline, keep: int = 1) -> None:
    """Write the pipeline's configuration and memory to ``path``, atomically: temporary file, fsync, rename."""
    moment(pipeline).write(path, keep)


def dumped(pipeline: Pipeline) -> bytes:
    """Return what `save` would write."""
    file = io.BytesIO()
    moment(pipeline).dump(file)
    return file.getvalue()


def restore(data: bytes, pipeline: Pipeline) -> None:
    """Give ``pipeline`` all memory of the dumped one, bit for bit; raises `ModelError` where it does not fit."""
    meta, state = _read(io.BytesIO(data), len(data), "the record's starting state")
    _put(state, pipeline, meta["now"])


def go_on(path: str | Path, pipeline: Pipeline) -> None:
    """Give ``pipeline`` all that the saved one remembers, its moment in time too; raises `ModelError`."""
    meta, state = _opened(path)
    try:
        _put(state, pipeline, meta["now"])
    except ModelError as error:
        raise ModelError(f"the model {path} does not fit: {error}", remedy="use its own configuration") from error


def load(path: str | Path) -> Pipeline:
    """Return the saved pipeline, able to go on where it stopped, bit for bit; raises `ModelError`.

    A model that ships with spikestream goes by its name, wherever a path is wanted here.
    """
    meta, state = _opened(path)
    try:
        pipeline = build(_config(path, meta))
        _put(state, pipeline, meta["now"])
    except (ConfigError, ModelError) as error:
        raise ModelError(f"the model {path} does not fit itself: {error}") from error
    return pipeline


def config_of(path: str | Path) -> Config:
    """Return the configuration a model was saved with; raises `ModelError`."""
    meta, _ = _opened(path)
    return _config(path, meta)


def marks_of(path: str | Path) -> dict[str, Any]:
    """Return what was noted beside a saved model, and its stream time as ``now``; raises `ModelError`."""
    meta, _ = _opened(path)
    marks = meta.get("marks")
    return {**(marks if isinstance(marks, dict) else {}), "now": meta["now"]}


def newest(path: str | Path) -> str:
    """Return the newest version of a model that is whole, "" where there is none at all; raises `ModelError`.

    One that is damaged, or no model, is told of and set aside as ``NAME.bad``, and the next older one is taken. Where
    there are some and none is whole, they stay as they are and the newest one's error is raised. What dead processes
    left half written beside it is deleted.
    """
    target = Path(path)
    try:
        left, versions = generations.clean(target), generations.versions(target)
    except OSError as error:
        raise ModelError(f"cannot look for {target}: {error.strerror}") from error
    if left:
        log.warning("%s: %d half-written files of processes that died are deleted", target, left)
    refused: list[tuple[Path, ModelError]] = []
    for version in versions:
        try:
            _opened(version)
        except ModelError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno != errno.EIO:
                raise  # of what cannot be read now, nothing is known
            refused.append((version, error))
            continue
        _tell(refused, version)
        return str(version)
    if refused:
        newest_error = refused[0][1]
        remedy = f"move {target} away, and what was learned is lost; or name another file"
        raise ModelError(f"{newest_error.what}, and no older one is whole", remedy=remedy) from newest_error
    return ""


def _tell(refused: list[tuple[Path, ModelError]], taken: Path) -> None:
    """Say which versions were refused, and take them out of the row."""
    for version, error in refused:
        try:
            where = f"it is kept as {generations.set_aside(version)}"
        except OSError as failed:
            where = f"it stays where it is: {failed.strerror}"
        log.warning("%s; %s", error.what, where)
    if refused:
        log.warning("goes on with the older %s", taken)


def contents(path: str | Path) -> tuple[Config, dict[str, Array]]:
    """Return the configuration of a saved model and all it remembers, by ``<stage>/<name>``; raises `ModelError`."""
    meta, state = _opened(path)
    return _config(path, meta), state


def transfer(path: str | Path, pipeline: Pipeline) -> None:
    """Give ``pipeline`` what the saved one has learned, but none of its moment in time; raises `ModelError`."""
    meta, state = _opened(path)
    learned_hz, heard_hz = _config(path, meta).sensor.samplerate_hz, pipeline.config.sensor.samplerate_hz
    if learned_hz != heard_hz:  # its axons would be other frequencies
        text = f"the model {path} was made at {learned_hz:,} samples a second of sound, and this is {heard_hz:,}"
        raise ModelError(text, remedy="resample the sound, or train a model at its rate")
    for name, stage in pipeline.stages.items():
        learned = getattr(stage, "LEARNED", ())
        if not learned:
            continue
        try:
            taken = {key: state[f"{name}/{key}"] for key in learned}
            stage.restore({**stage.state(), **(stage.translated(taken) if isinstance(stage, Classifier) else taken)})
        except (KeyError, ModelError) as error:
            reason = f"it has no '{error.args[0]}'" if isinstance(error, KeyError) else str(error)
            raise ModelError(
                f"the model {path} does not fit: stage '{name}': {reason}",
                remedy="use the configuration and the sensor size it was trained with",
            ) from error


def _config(path: str | Path, meta: Mapping[str, Any]) -> Config:
    try:
        return from_tables(meta["config"])
    except (ConfigError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"the model {path} has a configuration this version does not know: {error}") from error


def _put(state: Mapping[str, Array], pipeline: Pipeline, now: int | None) -> None:
    for name, stage in pipeline.stages.items():
        stage.restore({key.partition("/")[2]: value for key, value in state.items() if key.startswith(f"{name}/")})
        if isinstance(stage, Network) and not _is_at(stage, now):
            raise ModelError(f"stage '{name}' stands at another time than the pipeline")
    pipeline.now = now


def _is_at(network: Network, now: int | None) -> bool:
    """Return whether a network runs next the tick that stream time ``now`` lies in."""
    if network.now is None or now is None:
        return network.now is None and now is None
    return 0 <= now - network.now < network.tick_us


def _opened(path: str | Path) -> tuple[dict[str, Any], dict[str, Array]]:
    try:
        with open_regular(model_path(path)) as file:
            return _read(file, os.fstat(file.fileno()).st_size, str(path))
    except OSError as error:
        remedy = "spikestream models: what goes by a name" if model_path(path) == str(path) else ""
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}", remedy=remedy) from error


def _read(source: IO[bytes], size: int, path: str) -> tuple[dict[str, Any], dict[str, Array]]:
    try:
        with np.load(source, allow_pickle=False) as file:
            if sum(entry.file_size for entry in file.zip.infolist()) > size:
                raise ValueError("it would unpack to more than it is")
            state = {key: file[key] for key in file.files}
            if not all(isinstance(value, np.ndarray) for value in state.values()):
                raise ValueError("it holds what is no array")
        meta = json.loads(str(state.pop(META)))
    except Exception as error:  # zipfile and numpy know no end of ways to trip over a damaged byte
        raise ModelError(f"{path} is not a model of spikestream, or is damaged") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise ModelError(
            f"{path} has model format {meta.get('format') if isinstance(meta, dict) else meta!r}, not {FORMAT}"
        )
    now = meta.get("now")
    if meta.get("sha256") != digest(state) or not (now is None or (type(now) is int and abs(now) <= LATEST_US)):
        raise ModelError(f"{path} is damaged: its checksum does not fit", remedy="use an older checkpoint")
    return meta, state
