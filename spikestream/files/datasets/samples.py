"""What all data sets share: which samples of one are played, in which order, which of them are held out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, RecordingError, nearest

SPLITS = ("all", "train", "test")
ORDERS = ("stored", "shuffled")
MOST_PLAYED = 10_000_000
HELD_OUT = 4
"""Where so many samples are taken to be taught, a quarter of that is held out unless it is said how many."""


def check_folder(folder: str) -> None:
    """Raise `RecordingError` unless there is a folder of this name."""
    if not folder:
        raise RecordingError("no folder is named", remedy="name it behind the //, as in mnist:///data/digits")
    if not os.path.isdir(folder):
        text = "is no folder" if os.path.exists(folder) else "there is no such folder"
        raise RecordingError(text, file=folder)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which samples of a set are played: of the part ``split`` those from ``skip`` on, ``take`` of them or all (None).

    With ``split`` "all" that is of the training part; behind it come ``held_out`` samples of the test part, None for
    all, or beside ``take`` for a quarter as many as are taught. ``labels`` leaves only these, where there are any. The
    training part comes ``epochs`` times; ``order`` "shuffled" gives each time another order to the same samples, by the
    ``seed``.
    """

    split: str = "all"
    skip: int = 0
    take: int | None = None
    held_out: int | None = None
    labels: tuple[str, ...] = ()
    order: str = "stored"
    seed: int = 0
    epochs: int = 1


@dataclass(frozen=True, slots=True)
class Played:
    """Samples in the order they are played: ``index`` in the set, ``epoch``, and ``test`` flag of each, all (n,)."""

    index: Array
    epoch: Array
    test: Array

    def __len__(self) -> int:
        return len(self.index)


def choose(labels: Sequence[str], test: Array, choice: Choice) -> Played:
    """Return what is played of a set whose samples have these ``labels`` and ``test`` flags (n,) bool.

    Raises `ConfigError` for a split or order that does not exist, and where nothing is left.
    """
    _known("split", choice.split, SPLITS)
    _known("order", choice.order, ORDERS)
    wanted = np.isin(np.array(labels, np.str_), choice.labels) if choice.labels else np.ones(len(labels), bool)
    parts = {"train": np.flatnonzero(wanted & ~test), "test": np.flatnonzero(wanted & test)}
    stop = None if choice.take is None else choice.skip + choice.take
    taught = parts["train"][choice.skip : stop] if choice.split != "test" else parts["train"][:0]
    held = parts["test"][choice.skip : stop] if choice.split == "test" else parts["test"][:0]
    if choice.split == "all":
        most = choice.held_out
        if most is None and choice.take is not None:
            most = -(-len(taught) // HELD_OUT)
        held = parts["test"][:most]
    _refuse(len(taught) * choice.epochs + len(held), len(labels), choice)
    passes = [_ordered(taught, choice, epoch) for epoch in range(choice.epochs)]
    sizes = [len(taught)] * choice.epochs + [len(held)]
    return Played(
        np.concatenate([*passes, held]).astype(np.int64),
        np.repeat(np.array([*range(choice.epochs), 0]), sizes),
        np.repeat([False, True], [len(taught) * choice.epochs, len(held)]),
    )


def _ordered(taught: Array, choice: Choice, epoch: int) -> Array:
    if choice.order == "stored":
        return taught
    return taught[np.random.default_rng([choice.seed, epoch]).permutation(len(taught))]


def _known(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        text, allowed = f"unknown {key} '{value}'", ", ".join(known)
        raise ConfigError(text, key=key, value=value, allowed=allowed, nearest=nearest(value, known))


def _refuse(played: int, there: int, choice: Choice) -> None:
    if not played:
        text = f"nothing is left of {there:,} samples: split {choice.split}, skip {choice.skip:,}, take {choice.take}"
        text += f", labels {', '.join(choice.labels)}" if choice.labels else ""
        raise ConfigError(text, key="take", value=choice.take, remedy="fewer skipped, or another split")
    if played > MOST_PLAYED:
        text = f"{played:,} samples are more than {MOST_PLAYED:,}"
        raise ConfigError(text, key="epochs", value=choice.epochs, remedy="fewer epochs in one run")
