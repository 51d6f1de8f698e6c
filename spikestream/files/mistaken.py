"""What is named as a file and is none: a folder, perhaps of a data set, a sensor, an address of the web."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from urllib.parse import parse_qsl

from spikestream.errors import RecordingError
from spikestream.registry import found as installed

OPTIONS = ("format", "sensor", "size")
"""Options of a recording's URI that `info` and `convert` have by their own names."""
SOUNDING = ("microphone", "wav", "spoken")
"""Sensors of ours that give sound."""


def for_folder(folder: str) -> str:
    """Return what to do with a folder."""
    uri = data_set(folder)
    if not uri:
        stem = folder.rstrip("/")
        return f"spikestream info {shlex.quote(stem) if stem else ''}/*"
    part = shlex.quote(f"{uri}?take=100")
    return f"spikestream train {shlex.quote(uri)}\n  or:  spikestream replay {part} --speed max"


def not_there(path: str) -> RecordingError:
    """Return what to raise for a name that no file has."""
    scheme, _, rest = path.partition(":")
    quoted = shlex.quote(path)
    what, remedy = "no such file", f"ls {shlex.quote(os.path.dirname(path) or '.')}"
    if scheme == "file":
        what = "no such file: a sensor is named so, and a file by its name, with options beside it"
        remedy = shlex.join(["spikestream", "info", *beside(path)])
    elif scheme in ("http", "https"):
        what, remedy = "no such file: a recording is fetched first", f"curl -O {quoted}"
    elif scheme in {point.name for point in installed("sensors")} and (rest.startswith("//") or not rest):
        what = "no such file: this is a sensor, of which a recording is made first"
        remedy = f"spikestream record {quoted} {'sound.wav' if scheme in SOUNDING else 'events.aedat4'}"
    elif rest.startswith("//"):
        what, remedy = "no such file, and no sensor of this name", "spikestream plugins"
    return RecordingError(what, file=path, remedy=remedy)


def beside(uri: str) -> list[str]:
    """Return the words in which a file that is named as a sensor, and its options beside it, stand in a command."""
    path, _, query = uri.removeprefix("file:").partition("?")
    words = [path]
    for key, value in parse_qsl(query):
        words += [f"--{key}", value] if key in OPTIONS else ["--option", f"{key}={value}"]
    return words


def data_set(folder: str) -> str:
    """Return the URI by which a folder is played as a data set, "" where it is none."""
    from spikestream.files.datasets.idx import find_idx
    from spikestream.files.datasets.mnist import IMAGES, TRAIN
    from spikestream.files.datasets.speech import find_words

    place = os.path.abspath(folder)
    if find_idx(place, TRAIN + IMAGES) is not None:
        return f"mnist://{place}"
    with suppress(RecordingError, OSError):
        if _holds_recordings(place):
            return f"nmnist://{place}"
    with suppress(RecordingError):
        find_words(place)
        return f"spoken://{place}"
    return ""


def _holds_recordings(folder: str) -> bool:
    """Return whether recordings in a folder are labelled; one folder a class is taken for that where all hold some."""
    from spikestream.files.datasets.recordings import SUFFIXES, TABLE, find_recordings

    found = find_recordings(folder)
    inside = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    if os.path.exists(os.path.join(folder, TABLE)):
        return found[0].path.lower().endswith(SUFFIXES) and os.path.isfile(found[0].path)
    return "train" in map(str.lower, inside) or (len(inside) > 1 and inside == {one.label for one in found})
