"""Data sets that the package tonic knows: opened by their class's name, never fetched without being asked.

This is the one file that imports tonic (https://github.com/neuromorphs/tonic), which is GPL and which nothing else
needs: `pip install 'spikestream[datasets]'`.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spikestream.batch import EVENT, Array, by_fields, first_at, is_label
from spikestream.errors import ConfigError, RecordingError, nearest

UNLABELLED = {
    "DAVISDATA": ".bag",
    "DSEC": ".h5",
    "EBSSA": "",
    "MVSEC": ".bag",
    "NERDD": ".npz",
    "TUMVIE": ".h5",
    "ThreeET_Eyetracking": ".h5",
    "VPR": ".bag",
}
"""Of these a sample has no one name, and some fetch files without asking; by the suffix of the files, if read here."""
OURS = ("self", "save_to", "train", "split", "transform", "target_transform", "transforms")
"""Parameters of a class of tonic that are no options of a user."""
HELD_OUT = 5
"""Where a set has no test part, every fifth sample of each class is held out."""
MOST_EVENTS = 1 << 24
"""Of one sample: it is held as a whole."""
OUTSIDE, BEYOND = "outside", "beyond slot_ms"
REMEDY = "download=true lets tonic fetch it, or put its files there as tonic keeps them"


class Indexable(Protocol):
    """What every data set of tonic is, and a list of pairs: sample k is (events, label)."""

    def __len__(self) -> int:
        """Return how many samples there are."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Return (events, label); the events are a structured array with t in µs, x, and perhaps y and p."""
        ...


class Missing(Exception):
    """What tonic would have to fetch is not there."""


@dataclass(frozen=True, slots=True)
class Part:
    """A data set, the names of its samples, which of them are held out, (n,) bool, and where each is in ``data``."""

    data: Indexable
    labels: Sequence[str]
    test: Array
    index: Sequence[int]


def open_parts(
    name: str, root: str, options: Mapping[str, str], *, split: str = "all", download: bool = False, named: bool = False
) -> tuple[list[Part], Any]:
    """Return the parts of the data set ``name`` in the folder ``root``, the training part first, and its class.

    ``options`` are further arguments of its class, as text; of ``split`` "train" or "test" only that part is opened.
    ``named``: numbers are replaced by the names of classes. Raises `ConfigError`, and `RecordingError` where files are
    missing, unless ``download``, or damaged.
    """
    made = _class_of(name)
    own = _arguments(made, name, options)
    parameters = inspect.signature(made).parameters
    if "train" in parameters:
        keys: dict[str, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
    else:
        keys = {part: {"split": part} for part in ("train", "test")} if "split" in parameters else {"": {}}
    parts = []
    for part in [split] if split in keys else keys:
        data = _opened(made, name, root, {**own, **keys[part]}, download)
        index, labels = _sorted(data), labels_of(data, name, named)
        labels = [labels[k] for k in index]
        parts.append(Part(data, labels, np.full(len(labels), part == "test") if part else held_out(labels), index))
    return parts, made


def _sorted(data: Any) -> list[int]:
    """Return where the samples are, in the order of their files' names: tonic takes many as the disk lists them."""
    paths = getattr(data, "data", None)
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths) or len(paths) != len(data):
        return list(range(len(data)))
    return sorted(range(len(paths)), key=paths.__getitem__)


def flat(name: str) -> bool:
    """Return whether the samples of a data set have no rows of pixels, as sound has none; raises `ConfigError`."""
    return "y" not in (getattr(_class_of(name), "dtype", np.dtype(EVENT)).names or ())


def labels_of(data: Indexable, name: str, named: bool = False) -> list[str]:
    """Return what each sample of a data set is called; raises `RecordingError` for what is no label."""
    targets: Any = getattr(data, "targets", None)
    if targets is None or len(targets) != len(data):
        targets = _read(data, name)
    classes = getattr(data, "classes", None) if named else None
    labels = [_label(one, classes) for one in (targets.tolist() if isinstance(targets, np.ndarray) else targets)]
    if wrong := [place for place, label in enumerate(labels) if not is_label(label)]:
        text = f"sample {wrong[0]:,} has no label of its own"
        raise RecordingError(text, file=name, expected="a number or a name", found=repr(targets[wrong[0]])[:100])
    return labels


def held_out(labels: Sequence[str]) -> Array:
    """Return which samples (n,) bool are held out where a set has no test part: every fifth of each class."""
    seen: dict[str, int] = {}
    test = np.zeros(len(labels), bool)
    for place, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        test[place] = seen[label] % HELD_OUT == 0
    return test


def events_of(
    data: Indexable, index: int, size: tuple[int, int], stop_us: int, name: str, problems: dict[str, int]
) -> Array:
    """Return the events (n,) EVENT of sample ``index`` before ``stop_us``, sorted, a new array.

    Without y they are of row 0, without p ON. Stamps count from 0, or from the first event of a sample that begins
    before 0 or after ``stop_us``. Events outside of ``size`` and later ones are left out and counted in ``problems``.
    Raises `RecordingError`.
    """
    found = _sample(data, index, name)[0]
    try:
        t, x, y, p = by_fields(found)
    except RecordingError as error:
        text = f"sample {index:,}: {error.what}"
        raise RecordingError(text, file=name, expected=error.expected, found=error.found) from None
    if len(t) > MOST_EVENTS:
        raise RecordingError(f"sample {index:,} has {len(t):,} events", file=name, expected=f"up to {MOST_EVENTS:,}")
    if len(t) and not 0 <= t.min() < stop_us:
        t = t - t.min()
    made = np.zeros(len(t), EVENT)
    made["t"], made["p"] = t, p
    made["x"], made["y"] = x & 0xFFFF, y & 0xFFFF
    inside = (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
    made = made[inside]
    if np.any(made["t"][1:] < made["t"][:-1]):
        made = made[np.argsort(made["t"], kind="stable")]
    kept = made[: first_at(made["t"], stop_us)]
    for reason, count in ((OUTSIDE, len(inside) - len(made)), (BEYOND, len(made) - len(kept))):
        if count:
            problems[reason] = problems.get(reason, 0) + count
    return kept


def _class_of(name: str) -> Any:
    """Return the class of tonic that a data set is; raises `ConfigError`."""
    try:
        import tonic.datasets
    except Exception as error:  # one of the many packages it wants may fail in any way
        text = f"data sets of tonic need the package tonic: {error}"
        raise ConfigError(text, key="tonic", remedy="pip install 'spikestream[datasets]'") from None
    known = sorted(set(tonic.datasets.__all__) - set(UNLABELLED))
    if name in UNLABELLED and hasattr(tonic.datasets, name):
        text = f"the samples of {name} have no label each"
        remedy = f"spikestream replay FILE{UNLABELLED[name]}: its recordings are read as they are"
        remedy = remedy if UNLABELLED[name] else ""
        raise ConfigError(text, key="tonic", value=name, allowed=", ".join(known), remedy=remedy)
    if name not in known:
        same = [one for one in known if one.lower() == name.lower()]
        near = same[0] if same else nearest(name, known)
        text = f"tonic has no data set '{name}'"
        raise ConfigError(text, key="tonic", value=name, allowed=", ".join(known), nearest=near)
    return getattr(tonic.datasets, name)


def _arguments(made: Any, name: str, options: Mapping[str, str]) -> dict[str, Any]:
    """Return options of a class of tonic as values of the kinds of their defaults; raises `ConfigError`."""
    parameters = inspect.signature(made).parameters
    own = {key: one for key, one in parameters.items() if key not in OURS and type(one.default) in _KINDS}
    found: dict[str, Any] = {}
    for key, text in options.items():
        if key not in own:
            allowed, near = ", ".join(own) or "none beside those of docs/datasets.md", nearest(key, own)
            raise ConfigError(f"{name} of tonic has no option '{key}'", key=key, allowed=allowed, nearest=near)
        kind = type(own[key].default)
        try:
            found[key] = _KINDS[kind](str(text))
        except (KeyError, ValueError):
            allowed = "true, false" if kind is bool else "a number"
            raise ConfigError(f"{key} cannot be '{text}'", key=key, value=text, allowed=allowed) from None
    return found


_KINDS: dict[type, Any] = {bool: lambda text: {"true": True, "false": False}[text.lower()], int: int, float: float}


def _opened(made: Any, name: str, root: str, keys: Mapping[str, Any], download: bool) -> Indexable:
    def refuse(self: Any) -> None:
        raise Missing

    # A class of the same name, for tonic calls the folder by it.
    kind = made if download else type(made.__name__, (made,), {"download": refuse})
    try:
        with contextlib.redirect_stdout(sys.stderr):
            data: Indexable = kind(save_to=root, **keys)
            count = len(data)
    except Missing:
        text = f"{_said(name, keys)} is not there as tonic keeps it"
        place = os.path.join(root, made.__name__)
        wanted = str(getattr(kind, "train_filename" if keys.get("train", True) else "test_filename", "") or "its files")
        raise RecordingError(text, file=place, expected=f"{wanted}, unpacked beside it", remedy=REMEDY) from None
    except (Exception, SystemExit) as error:  # where its files are missing one of the classes calls exit()
        text = f"{_said(name, keys)} cannot be opened by tonic: {_reason(error)}"
        raise RecordingError(text, file=root, remedy=REMEDY) from error
    if not count:
        raise RecordingError(f"{_said(name, keys)} is empty", file=os.path.join(root, made.__name__))
    return data


def _said(name: str, keys: Mapping[str, Any]) -> str:
    part = keys.get("split") or {True: "train", False: "test", None: ""}[keys.get("train")]
    return f"{name}, its part '{part}'," if part else name


def _read(data: Indexable, name: str) -> Any:
    """Return the labels of a data set that keeps no list of them."""
    file = getattr(data, "data_filename", None)
    if file is None:
        return [_sample(data, index, name)[1] for index in range(len(data))]
    import h5py  # one call in place of one for each sample, of 75,000

    try:
        with h5py.File(Path(str(getattr(data, "location_on_system", ""))) / file, "r") as opened:
            return opened["labels"][:]
    except Exception as error:
        raise RecordingError(f"the labels cannot be read: {_reason(error)}", file=str(file)) from error


def _sample(data: Indexable, index: int, name: str) -> tuple[Any, Any]:
    try:
        events, label = data[index]
    except Exception as error:
        raise RecordingError(f"sample {index:,} cannot be read: {_reason(error)}", file=name) from error
    return events, label


def _label(target: Any, classes: Any) -> Any:
    """Return a target as text, by the name of its class where there are ``classes``; else as it is."""
    if isinstance(target, bytes):
        target = target.decode("utf-8", "replace")
    if isinstance(target, int | np.integer) and not isinstance(target, bool):
        if isinstance(classes, Mapping):
            return next((_label(name, None) for name, number in classes.items() if number == target), str(int(target)))
        return str(int(target)) if classes is None or not 0 <= target < len(classes) else _label(classes[target], None)
    return str(target) if isinstance(target, str) else None


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) if error.args and error.args[0] else type(error).__name__
    return text[:300]
