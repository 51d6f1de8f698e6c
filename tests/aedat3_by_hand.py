"""AEDAT 3 files put together with `struct` from the specification, and a plain loop that reads them."""

from __future__ import annotations

import struct

import numpy as np

from spikestream.batch import EVENT
from spikestream.formats.aedat3 import Decoder, Encoder

END = b"#!END-HEADER\r\n"


def head(*lines: str, version: str = "3.1", end: bytes = END) -> bytes:
    lines = (f"#!AER-DAT{version}", "#Format: RAW", *(lines or ("#Source 1: DAVIS346",)))
    return "".join(line + "\r\n" for line in lines).encode() + end


def packet(events: bytes, kind: int = 1, source: int = 1, size: int = 8, over: int = 0, **forged: int) -> bytes:
    number = len(events) // (size or 1)
    fields = {"at": 4, "over": over, "capacity": number, "number": number, "valid": number, **forged}
    return struct.pack("<hhi", kind, source, size) + struct.pack("<5i", *fields.values()) + events


def event(t: int, x: int, y: int, p: int, valid: int = 1) -> bytes:
    return struct.pack("<Ii", x << 17 | y << 2 | p << 1 | valid, t)


def event30(t: int, x: int, y: int, p: int, valid: int = 1) -> bytes:
    return struct.pack("<Ii", x << 18 | y << 4 | p << 1 | valid, t)


def decode(data: bytes, step: int | None = None, **options) -> np.ndarray:
    return read(Decoder(**options), data, step)


def read(decoder: Decoder, data: bytes, step: int | None = None) -> np.ndarray:
    parts = [np.empty(0, EVENT)]
    for at in range(0, len(data), step or len(data)):
        parts += list(decoder.feed(memoryview(data)[at : at + (step or len(data))]))
    decoder.finish()
    return np.concatenate(parts)


def rows(events: np.ndarray) -> list[tuple[int, int, int, bool]]:
    return events.tolist()


def encode(events: np.ndarray, **options) -> bytes:
    encoder, half = Encoder(**options), len(events) // 2
    return encoder.feed(events[:half]) + encoder.feed(events[half:]) + encoder.finish()


def naive(data: bytes) -> list[tuple[int, int, int, bool]]:
    """Decode AEDAT 3.1 one event at a time, as the specification tells it; a good file is taken for granted."""
    at, found = data.index(END) + len(END), []
    while at < len(data):
        kind, _, size, _, overflows, _, number, _ = struct.unpack_from("<hhiiiiii", data, at)
        at += 28
        for place in range(at, at + number * size, size):
            word, t = struct.unpack_from("<Ii", data, place)
            if kind == 1 and word % 2:
                found.append((t + overflows * 2**31, word // 2**17, word // 4 % 2**15, bool(word // 2 % 2)))
        at += number * size
    return found


MIXED = (
    packet(event(0, 0, 0, 1) + event(7, 345, 259, 0) + event(8, 1, 1, 1, valid=0), valid=2)
    + packet(struct.pack("<Ii", 1, 0), kind=0)
    + packet(b"frame" * 9, kind=2, size=45)
    + packet(bytes(36 * 3), kind=3, size=36)
    + packet(b"", number=0)
    + packet(b"?" * 12, kind=77, size=6)
    + packet(event(2**31 - 1, 32767, 32767, 1), over=3)
    + packet(bytes(16), kind=12)
)
EXPECTED = [(0, 0, 0, True), (7, 345, 259, False), (4 * 2**31 - 1, 32767, 32767, True)]
