"""Damaged recordings for every codec: seeded mutations of good files, and a feed in random pieces."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable, Iterator
from random import Random

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Decoder, ended

FORGED = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
"""Values that length, count and offset fields are forged to; as signed fields some of them are negative."""


def mutations(seed_bytes: bytes, n: int, seed: int) -> Iterator[bytes]:
    """Yield `n` damaged copies of a good file: cut, bits flipped, fields forged, blocks lost or random, all noise."""
    rng = Random(seed)
    kinds = (_cut, _flip, _flip_head, _forge, _block, _lose, _tail, _noise)
    for case in range(n):
        yield kinds[case % len(kinds)](seed_bytes, rng)


def pieces(data: bytes, rng: Random) -> Iterator[memoryview]:
    """Yield `data` in random pieces, empty ones included, that together are `data`."""
    view = memoryview(data)
    at = 0
    while at < len(view):
        size = rng.choice((0, 1, 2, 3, 7, 8, 13, 64, 4096, len(view)))
        yield view[at : at + size]
        at += size


def drain(make_decoder: Callable[[], Decoder], data: bytes, rng: Random) -> int:
    """Feed `data` in random pieces, finish, return the number of events; `RecordingError` is the one error allowed."""
    decoder = make_decoder()
    events = 0
    try:
        for piece in pieces(data, rng):
            for part in decoder.feed(piece):
                events += len(part)
        events += sum(len(part) for part in ended(decoder))
    except RecordingError:
        pass
    return events


def peak(make_decoder: Callable[[], Decoder], data: bytes, piece: int) -> int:
    """Return the most bytes held at once while `data` is fed in pieces of a size; no event is kept."""
    tracemalloc.start()
    decoder = make_decoder()
    with contextlib.suppress(RecordingError):
        for at in range(0, len(data), piece):
            for _ in decoder.feed(memoryview(data)[at : at + piece]):
                pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def _cut(good: bytes, rng: Random) -> bytes:
    return good[: rng.randrange(len(good) + 1)]


def _flip(good: bytes, rng: Random, within: int | None = None) -> bytes:
    bad = bytearray(good)
    for _ in range(rng.choice((1, 2, 5, 50)) if bad else 0):
        bad[rng.randrange(min(len(bad), within or len(bad)))] ^= 1 << rng.randrange(8)
    return bytes(bad)


def _flip_head(good: bytes, rng: Random) -> bytes:
    return _flip(good, rng, within=64)


def _forge(good: bytes, rng: Random) -> bytes:
    bad = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 3))):
        size = rng.choice((1, 2, 4, 4, 8))
        at = rng.randrange(max(1, len(bad) - size + 1))
        value = rng.choice(FORGED) & ((1 << 8 * size) - 1)
        bad[at : at + size] = value.to_bytes(size, rng.choice(("little", "little", "big")))
    return bytes(bad)


def _block(good: bytes, rng: Random) -> bytes:
    at, size = rng.randrange(len(good) + 1), rng.choice((1, 4, 16, 256))
    fill = rng.choice((b"\0" * size, b"\xff" * size, rng.randbytes(size)))
    return good[:at] + fill + good[at + size :]


def _lose(good: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(good) + 1)
    return good[:at] + good[at + rng.choice((1, 2, 3, 8, 100)) :]


def _tail(good: bytes, rng: Random) -> bytes:
    return good + rng.randbytes(rng.choice((1, 2, 3, 4, 7, 20, 300)))


def _noise(good: bytes, rng: Random) -> bytes:
    return good[: rng.choice((0, 0, 3, 14, 32))] + rng.randbytes(rng.choice((0, 1, 5, 28, 300)))


def taken(parts: Iterator[Array], end: Callable[[], None] = lambda: None) -> tuple[list[tuple[object, ...]], str]:
    """Return the events that come before damage as rows, and the text of the error, "" where there is none."""
    rows: list[tuple[object, ...]] = []
    try:
        for part in parts:
            rows += part.tolist()
        end()
    except RecordingError as error:
        return rows, str(error)
    return rows, ""
