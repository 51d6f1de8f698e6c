"""The laws of a decoder: the same events from bytes in any pieces, and nothing worse than `RecordingError`."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

import numpy as np

from spikestream.batch import EVENT, Array
from spikestream.checks.base import Check, Law, same_array, suite
from spikestream.errors import RecordingError
from spikestream.formats.base import Decoder, ended

Make = Callable[[], Decoder]

_PIECE = 65_536
_DAMAGED = 300


@dataclass(slots=True)
class _Read:
    decoder: Decoder
    parts: list[Array] = field(default_factory=list)
    copies: list[Array] = field(default_factory=list)
    error: str = ""

    def take(self, arrays: Iterator[Array]) -> None:
        for part in arrays:
            self.parts.append(part)
            self.copies.append(part.copy())

    def events(self) -> Array:
        return np.concatenate([np.empty(0, EVENT), *self.copies])


def decoder(make: Make, data: bytes, *, memory: int = 4 << 20) -> Iterator[Check]:
    """Yield the checks of a decoder.

    ``make`` returns a fresh decoder each time; ``data`` is a small good recording, some thousand bytes with all that
    the format may hold; ``memory`` is the number of bytes the decoder may hold at most, whatever it is fed.
    """
    return suite("decoder", LAWS, make, data, memory)


def _read(make: Make, pieces: Iterable[bytes], overwrite: bool = True) -> _Read:
    """Feed the pieces from one buffer, which is overwritten once a piece was taken, as a file's reader does."""
    read, buffer = _Read(make()), bytearray(_PIECE)
    try:
        for piece in pieces:
            if overwrite:
                buffer[:] = b"\xa5" * len(buffer)
                buffer[: len(piece)] = piece
            read.take(read.decoder.feed(memoryview(buffer)[: len(piece)] if overwrite else memoryview(piece)))
        read.take(ended(read.decoder))
    except RecordingError as error:
        read.error = str(error)
    return read


def _whole(data: bytes) -> Iterator[bytes]:
    return (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))


def _at_random(data: bytes, seed: int = 1) -> Iterator[bytes]:
    rng, at = Random(seed), 0
    while at < len(data):
        size = rng.choice((0, 1, 2, 3, 7, 16, 61, 509, 4096))
        yield data[at : at + size]
        at += size


def _bytewise(data: bytes) -> Iterator[bytes]:
    near = 4096  # a long recording is fed byte by byte only at its ends
    yield from (data[i : i + 1] for i in range(min(near, len(data))))
    yield from _at_random(data[near:-near])
    yield from (data[i : i + 1] for i in range(max(near, len(data) - near), len(data)))


def _ill_formed(read: _Read) -> str:
    forms = [f"{part.shape} {part.dtype}" for part in read.copies if part.dtype != EVENT or part.ndim != 1]
    return f"it yields {forms[0]}" if forms else ""


def _outside(read: _Read) -> str:
    width, height = read.decoder.size or (1 << 16, 1 << 16)
    events = read.events()
    outside = np.count_nonzero((events["x"] >= width) | (events["y"] >= height))
    return f"{outside} events are outside of its size {width}x{height}" if outside else ""


def _not_read(make: Make, data: bytes, memory: int) -> str:
    read = _read(make, _whole(data), overwrite=False)
    if read.error:
        return f"it raised RecordingError: {read.error}"
    return _ill_formed(read) or _outside(read) or ("" if len(read.events()) else "it gave no events")


def _split_matters(make: Make, data: bytes, memory: int) -> str:
    whole = _read(make, [data], overwrite=False)
    for how, pieces in (("at random", _at_random(data)), ("into single bytes", _bytewise(data))):
        other = _read(make, map(bytes, pieces), overwrite=False)
        if not same_array(whole.events(), other.events()):
            return f"split {how}: {len(whole.events())} events expected, {len(other.events())} seen, or other content"
        for name in ("size", "sensor", "skipped"):
            expected, seen = getattr(whole.decoder, name), getattr(other.decoder, name)
            if expected != seen:
                return f"split {how}: {name} is {seen}, not {expected}"
        if whole.error != other.error:
            return f"split {how}: it raised {other.error or 'nothing'}, not {whole.error or 'nothing'}"
    return ""


def _kept_input(make: Make, data: bytes, memory: int) -> str:
    expected = _read(make, _at_random(data), overwrite=False)
    seen = _read(make, _at_random(data))
    return "" if same_array(expected.events(), seen.events()) else "the events changed"


def _kept_output(make: Make, data: bytes, memory: int) -> str:
    read = _read(make, _at_random(data))
    changed = sum(not same_array(a, b) for a, b in zip(read.parts, read.copies, strict=True))
    return f"{changed} of {len(read.parts)} arrays changed after they were yielded" if changed else ""


def _cut_short(make: Make, data: bytes, memory: int) -> str:
    full = _read(make, _whole(data)).events()
    ends = {*range(min(64, len(data))), *range(max(0, len(data) - 64), len(data))}
    ends |= {Random(1).randrange(len(data)) for _ in range(50)}
    noticed = False
    for end in sorted(ends):
        read = _read(make, _whole(data[:end]))
        events = read.events()
        if not same_array(events, full[: len(events)]):
            return f"cut at byte {end}: the {len(events)} events are not the first ones of the recording"
        noticed = noticed or bool(read.error)
    return "" if noticed else f"cut at {len(ends)} places, it never raised RecordingError"


def damaged(data: bytes, seed: int) -> bytes:
    """Return a recording that is spoiled in one of four ways."""
    rng = Random(seed)
    bad = bytearray(data)
    start = rng.randrange(len(bad))
    match seed % 4:
        case 0:
            return rng.randbytes(rng.choice((1, 64, 2048)))
        case 1:
            return data[:start] + rng.randbytes(len(data) - start)
        case 2:
            bad[start : start + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x80", bytes(4)))
        case _:
            for _ in range(rng.choice((1, 3, 30))):
                bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
    return bytes(bad)


def _falls_over(make: Make, data: bytes, memory: int) -> str:
    for seed in range(_DAMAGED):
        bad = damaged(data, seed)
        try:
            read = _read(make, _whole(bad))
        except Exception as error:
            return f"damaged recording {seed}: it raised {type(error).__name__}: {error}"
        if seen := _ill_formed(read):
            return f"damaged recording {seed}: {seen}"
    return ""


def _peak(make: Make, data: bytes, then: bytes, total: int) -> int:
    """Return the most bytes held at once while a decoder is fed ``data``, then ``then`` over and over."""
    given = make()
    tracemalloc.start()
    try:
        for piece in [*_whole(data), *[then] * (total // len(then))]:
            for _ in given.feed(memoryview(piece)):
                pass
        for _ in ended(given):
            pass
    except RecordingError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def _hoards(make: Make, data: bytes, memory: int) -> str:
    _read(make, _whole(data))  # what is loaded or compiled at first use is not the decoder's memory
    half = data[: len(data) // 2]
    good = data * (1 + _PIECE // len(data))
    for what, start, then in (
        ("the recording over and over", b"", good),
        ("half of it, then zeros", half, bytes(_PIECE)),
        ("half of it, then noise", half, Random(1).randbytes(_PIECE)),
        ("noise", b"", Random(2).randbytes(_PIECE)),
    ):
        fed = memory * 5 // 4
        if (held := _peak(make, start, then, fed)) > memory:
            return f"fed {fed:,} bytes of {what}, it held {held:,}; stated are {memory:,}"
    return ""


LAWS = (
    Law(
        "reads",
        "a good recording gives events (n,) EVENT, all inside of size where that is known, and no error",
        _not_read,
    ),
    Law("any split", "bytes in any pieces give the same events, size, sensor and skipped", _split_matters),
    Law("input not kept", "fed bytes may be overwritten once the iterator is used up", _kept_input),
    Law("output given away", "a yielded array is never written again", _kept_output),
    Law(
        "cut short",
        "of a truncated recording the events before the cut are given, then RecordingError is raised",
        _cut_short,
    ),
    Law("damaged", "damaged bytes give events (n,) EVENT or RecordingError, nothing else", _falls_over),
    Law("bounded memory", "whatever is fed, no more than the stated number of bytes is held", _hoards),
)
