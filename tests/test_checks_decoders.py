"""Each law of a decoder bites: a lawful one, broken in one place, breaks just the laws it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from broken import broken

from spikestream import checks
from spikestream.batch import EVENT, Array
from spikestream.errors import RecordingError


class Tiny:
    """A lawful decoder: ``TINY``, then records of 6 bytes: t (u32), x and y (4 bits each), p (u8)."""

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = (16, 16)
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.rest = b""
        self.started = False

    def feed(self, data: memoryview) -> Iterator[Array]:
        self.rest += bytes(data)
        if not self.started and len(self.rest) >= 4:
            if not self.rest.startswith(b"TINY"):
                raise RecordingError("no TINY recording")
            self.started, self.rest = True, self.rest[4:]
        if self.started and len(self.rest) >= 6:
            yield self.events()

    def events(self) -> Array:
        whole = len(self.rest) // 6 * 6
        records = np.frombuffer(self.rest[:whole], [("t", "<u4"), ("xy", "u1"), ("p", "u1")])
        self.rest = self.rest[whole:]
        out = np.empty(len(records), EVENT)
        out["t"], out["x"], out["y"], out["p"] = records["t"], records["xy"] & 15, records["xy"] >> 4, records["p"] & 1
        return out

    def finish(self) -> None:
        if self.rest or not self.started:
            raise RecordingError("ends inside a record")


class OtherDtype(Tiny):
    def events(self) -> Array:
        return super().events()["t"]


class SizeTooSmall(Tiny):
    def __init__(self) -> None:
        super().__init__()
        self.size = (15, 16)


class Silent(Tiny):
    def events(self) -> Array:
        return super().events()[:0]


class DropsRest(Tiny):
    """Forgets a record whose bytes come in two pieces."""

    def events(self) -> Array:
        out = super().events()
        self.rest = b""
        return out


class CountsPieces(Tiny):
    def feed(self, data: memoryview) -> Iterator[Array]:
        self.skipped = {"pieces": self.skipped.get("pieces", 0) + 1}
        return super().feed(data)


class KeepsView(Tiny):
    """Keeps a record's first bytes as a view of what was fed."""

    view = memoryview(b"")

    def feed(self, data: memoryview) -> Iterator[Array]:
        self.rest = bytes(self.view)
        yield from super().feed(data)
        self.view = data[-len(self.rest) :] if 0 < len(self.rest) <= len(data) else memoryview(self.rest)


class ReusesArray(Tiny):
    def __init__(self) -> None:
        super().__init__()
        self.scratch = np.zeros(100_000, EVENT)

    def events(self) -> Array:
        out = super().events()
        self.scratch[: len(out)] = out
        return self.scratch[: len(out)]


class ForgivesRest(Tiny):
    def finish(self) -> None:
        pass


class GuessesRest(Tiny):
    """Makes up the record that was cut off; finish() cannot yield, so it guesses in feed()."""

    def events(self) -> Array:
        out = super().events()
        if len(self.rest) == 5:
            self.rest = b""
            return np.concatenate([out, np.zeros(1, EVENT)])
        return out


class RaisesOther(Tiny):
    def events(self) -> Array:
        out = super().events()
        if len(out) and out["t"].max() > 2**31:
            raise ValueError("bad time")
        return out


class OtherDtypeWhenDamaged(Tiny):
    def events(self) -> Array:
        out = super().events()
        return out["t"] if len(out) and out["t"].max() > 2**31 else out


class Hoarder(Tiny):
    def __init__(self) -> None:
        super().__init__()
        self.all: list[bytes] = []

    def feed(self, data: memoryview) -> Iterator[Array]:
        self.all.append(bytes(data))
        return super().feed(data)


def tiny(count: int = 300) -> bytes:
    rng = np.random.default_rng(3)
    records = np.zeros(count, [("t", "<u4"), ("xy", "u1"), ("p", "u1")])
    records["t"], records["xy"], records["p"] = (
        np.arange(count) * 10,
        rng.integers(0, 256, count),
        rng.integers(0, 2, count),
    )
    return b"TINY" + records.tobytes()


DECODER_LAWS = {name for name, _ in checks.decoder(Tiny, tiny())}
DECODERS: list[tuple[Callable[[], Any], set[str]]] = [
    (OtherDtype, {"reads", "any split", "input not kept", "cut short", "damaged"}),
    (SizeTooSmall, {"reads"}),
    (Silent, {"reads"}),
    (DropsRest, {"any split"}),
    (CountsPieces, {"any split"}),
    (KeepsView, {"input not kept"}),
    (ReusesArray, {"output given away"}),
    (ForgivesRest, {"cut short"}),
    (GuessesRest, {"any split", "cut short"}),
    (RaisesOther, {"damaged", "bounded memory"}),
    (OtherDtypeWhenDamaged, {"damaged"}),
    (Hoarder, {"bounded memory"}),
]


def test_a_lawful_decoder_passes():
    assert broken(checks.decoder(Tiny, tiny())) == set()


@pytest.mark.parametrize(("make", "laws"), DECODERS)
def test_laws_of_decoders_bite(make: Callable[[], Any], laws: set[str]):
    assert broken(checks.decoder(make, tiny())) == laws


def test_every_law_of_decoders_is_shown_to_bite():
    assert set.union(*(laws for _, laws in DECODERS)) == DECODER_LAWS
