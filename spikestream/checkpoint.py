"""What a pipeline has learned and remembers, as one file: written whole or not at all, restored bit for bit.

The file is an uncompressed NPZ of plain arrays, ``<stage>/<name>``, and one JSON text with the configuration and a
SHA-256 of the arrays. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from spikestream import __version__
from spikestream.batch import Array
from spikestream.building import build
from spikestream.config import Config, from_tables, to_tables
from spikestream.errors import ConfigError, ModelError
from spikestream.files.regular import open_regular
from spikestream.files.shipped import model_path
from spikestream.pipeline import Pipeline
from spikestream.stages.classify import Classifier
from spikestream.stages.network import Network

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


def save(path: str | Path, pipeline: Pipeline) -> None:
    """Write the pipeline's configuration and memory to ``path``, atomically: temporary file, fsync, rename."""
    entries = _entries(pipeline)
    target = Path(path)
    # A name of its own: an earlier save to the same place may still be under way.
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **entries)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise ModelError(f"cannot write the model {target}: {error.strerror}") from error
    finally:
        with suppress(OSError):  # there only if it has not become the model
            temporary.unlink()


def dumped(pipeline: Pipeline) -> bytes:
    """Return what `save` would write."""
    file = io.BytesIO()
    np.savez(file, **_entries(pipeline))  # type: ignore[arg-type]
    return file.getvalue()


def restore(data: bytes, pipeline: Pipeline) -> None:
    """Give ``pipeline`` all memory of the dumped one, bit for bit; raises `ModelError` where it does not fit."""
    meta, state = _read(io.BytesIO(data), len(data), "the record's starting state")
    _put(state, pipeline, meta["now"])


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
            raise ModelError(
                f"the model {path} does not fit: stage '{name}': {error}",
                remedy="use the configuration and the sensor size it was trained with",
            ) from error


def _config(path: str | Path, meta: Mapping[str, Any]) -> Config:
    try:
        return from_tables(meta["config"])
    except (ConfigError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"the model {path} has a configuration this version does not know: {error}") from error


def _entries(pipeline: Pipeline) -> dict[str, Array]:
    """Return everything the file holds, by name."""
    if not isinstance(pipeline.config, Config):
        raise ModelError("only a pipeline built from a configuration can be saved", remedy="build it with ss.build()")
    state = arrays(pipeline)
    meta = {
        "format": FORMAT,
        "spikestream": __version__,
        "config": to_tables(pipeline.config),
        "now": pipeline.now,
        "sha256": digest(state),
    }
    return {META: np.array(json.dumps(meta)), **state}


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


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
