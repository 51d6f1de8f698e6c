"""Each law of a container bites: a lawful one, broken in one place, breaks just the laws it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken import broken

from spikestream import checks
from spikestream.batch import EVENT, Array
from spikestream.errors import RecordingError


class Tiny:
    """A lawful container: ``TINY``, then events as they lie in memory."""

    def __init__(self, path: str) -> None:
        self.size: tuple[int, int] | None = (16, 16)
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.consumed = 0
        self._file = open(path, "rb")  # noqa: SIM115  # it is closed by close()
        if self._file.read(4) != b"TINY":
            self._file.close()
            raise RecordingError("no TINY recording")
        self._body = self._file.read()
        self._count = len(self._body) // EVENT.itemsize

    def summary(self) -> Any:
        return self._count, None, None

    def events(self) -> Iterator[Array]:
        for at in range(0, self._count, 50):
            yield np.frombuffer(self._body, EVENT, self._count)[at : at + 50].copy()
            self.consumed = 4 + len(self._body[: (at + 50) * EVENT.itemsize])
        if len(self._body) % EVENT.itemsize:
            raise RecordingError("cut inside an event")

    def close(self) -> None:
        self._file.close()


class OtherDtype(Tiny):
    def events(self) -> Iterator[Array]:
        for part in super().events():
            yield part["t"]


class SizeTooSmall(Tiny):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.size = (15, 16)


class MoreThanThere(Tiny):
    def summary(self) -> Any:
        return self._count + 1, None, None


class OtherTime(Tiny):
    def summary(self) -> Any:
        return self._count, 1, None


class NeverConsumes(Tiny):
    @property
    def consumed(self) -> int:
        return 0

    @consumed.setter
    def consumed(self, value: int) -> None:
        pass


class ReusesArray(Tiny):
    def events(self) -> Iterator[Array]:
        scratch = np.zeros(50, EVENT)
        for part in super().events():
            scratch[: len(part)] = part
            yield scratch[: len(part)]


class ClosesOnce(Tiny):
    def close(self) -> None:
        if self._file.closed:
            raise ValueError("closed already")
        super().close()


class RaisesOther(Tiny):
    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            assert file.read(4) == b"TINY"
        super().__init__(path)


class Forgives(Tiny):
    def __init__(self, path: str) -> None:
        try:
            super().__init__(path)
        except RecordingError:
            self._body, self._count = b"", 0

    def events(self) -> Iterator[Array]:
        self._body = self._body[: self._count * EVENT.itemsize]
        return super().events()


CONTAINERS: list[tuple[Callable[[str], Any], set[str]]] = [
    (OtherDtype, {"reads", "tells the truth", "damaged"}),
    (SizeTooSmall, {"reads"}),
    (MoreThanThere, {"tells the truth"}),
    (OtherTime, {"tells the truth"}),
    (NeverConsumes, {"tells the truth"}),
    (ReusesArray, {"output given away"}),
    (ClosesOnce, {"closes"}),
    (RaisesOther, {"damaged"}),
    (Forgives, {"damaged"}),
]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    events = np.zeros(120, EVENT)
    rng = np.random.default_rng(1)
    events["t"], events["x"], events["y"] = np.arange(120) * 7, rng.integers(0, 16, 120), rng.integers(0, 16, 120)
    (tmp_path / "tiny").write_bytes(b"TINY" + events.tobytes())
    return tmp_path / "tiny"


def test_a_lawful_container_passes(tiny: Path):
    assert broken(checks.container(Tiny, tiny)) == set()


@pytest.mark.parametrize(("make", "laws"), CONTAINERS)
def test_laws_of_containers_bite(make: Callable[[str], Any], laws: set[str], tiny: Path):
    assert broken(checks.container(make, tiny)) == laws


def test_every_law_of_containers_is_shown_to_bite():
    assert set.union(*(laws for _, laws in CONTAINERS)) == {name for name, _ in checks.container(Tiny, Path())}
