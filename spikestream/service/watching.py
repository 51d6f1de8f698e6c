"""Watchers: whoever looks at each batch and what became of it, and the hash that says whether two runs are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from spikestream.batch import SPIKE, Batch, Command, Decisions, Spikes


class Watcher(Protocol):
    """Whoever looks at each batch and what became of it, in the worker thread and in stream order."""

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Take one batch, the commands that came with it, and every stage's output for it."""
        ...


class OutputHash:
    """SHA-256 over all spikes and decisions that the stages behind `address` made, however they were cut."""

    def __init__(self) -> None:
        self._hashes: dict[str, hashlib._Hash] = {}

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Add the outputs of one batch."""
        for name, made in outputs.items():
            if name != "address" and isinstance(made, Spikes | Decisions):
                self._hashes.setdefault(name, hashlib.sha256()).update(_canonical(made))

    def hexdigest(self) -> str:
        """Return the hash of the hashes of all stages, by name."""
        total = hashlib.sha256()
        for name in sorted(self._hashes):
            total.update(f"{name} {self._hashes[name].hexdigest()}\n".encode())
        return total.hexdigest()


def _canonical(made: Spikes | Decisions) -> bytes:
    if isinstance(made, Decisions):
        return "".join(f"{row!r}\n" for row in made.rows).encode()
    table = np.empty(len(made), SPIKE)
    table["t"], table["axon"] = made.t, made.axon
    return table.tobytes()
