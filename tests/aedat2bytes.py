"""AEDAT 2.0 for its tests: bytes written from the specification, a naive decoder, scenes, and how to feed them."""

from __future__ import annotations

import struct

import numpy as np
from naive_clock import unwrapped

from spikestream.batch import EVENT
from spikestream.formats.aedat2 import Decoder

END = b"#End Of ASCII Header\r\n"
SIZES = {
    "dvs128": (128, 128),
    "dvs640": (640, 480),
    "davis240": (240, 180),
    "davis346": (346, 260),
    "davis640": (640, 480),
}
CHIPS = {
    "dvs128": "ch.unizh.ini.jaer.chip.retina.DVS128",
    "dvs640": "ch.unizh.ini.jaer.chip.retina.DVS640",
    "davis240": "eu.seebetter.ini.chips.davis.DAVIS240C",
    "davis346": "eu.seebetter.ini.chips.davis.Davis346red",
    "davis640": "eu.seebetter.ini.chips.davis.Davis640",
}


def header(sensor: str = "davis240", end: bytes = END) -> bytes:
    return b"#!AER-DAT2.0\r\n# AEChip: " + CHIPS[sensor].encode() + b"\r\n" + end


def records(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(">II", word, stamp) for word, stamp in pairs)


def davis(x: int, y: int, p: int) -> int:
    return y << 22 | x << 12 | p << 11


def decode(data: bytes, *, step: int = 0, finish: bool = True, **options) -> np.ndarray:
    return read(Decoder(**options), data, step=step, finish=finish)


def read(decoder: Decoder, data: bytes, *, step: int = 0, finish: bool = True) -> np.ndarray:
    """Feed in pieces of `step` bytes, 0 for one piece; return all events."""
    view = memoryview(data)
    found = [np.empty(0, EVENT)]
    for at in range(0, len(data), step or max(1, len(data))):
        found += decoder.feed(view[at : at + (step or len(data))])
    if finish:
        decoder.finish()
    return np.concatenate(found)


def events(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), EVENT)


def naive(body: bytes, sensor: str, *, raw: bool = False) -> list[tuple[int, int, int, bool]]:
    """Decode records one by one as the specification says, in plain Python."""
    width, height = SIZES[sensor]
    words = list(struct.iter_unpack(">II", body[: len(body) // 8 * 8]))
    found = []
    for (word, _), t in zip(words, unwrapped(stamp for _, stamp in words), strict=True):
        if sensor.startswith("davis"):
            if word & 0x80000C00 == 0x80000C00 or word & 0x80000000 or word & 0x400:
                continue
            x, y, on = (word >> 12) % 1024, (word >> 22) % 512, bool(word & 0x800)
        elif sensor == "dvs128":
            if word & 0x80008000:
                continue
            x, y, on = (word >> 1) % 128, (word >> 8) % 128, not word & 1
        else:
            x, y, on = (word >> 1) % 1024, (word >> 11) % 1024, bool(word & 1)
        if x >= width or y >= height:
            continue
        found.append((t, x, y, on) if raw else (t, width - 1 - x, height - 1 - y, on))
    return found


NO_CHIP = b"#!AER-DAT2.0\r\n# no camera is named\r\n" + END


def scene(sensor: str, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = np.empty(n, EVENT)
    found["t"] = np.cumsum(rng.integers(0, 50, n))
    found["x"], found["y"] = (rng.integers(0, side, n) for side in SIZES[sensor])
    found["p"] = rng.integers(0, 2, n)
    return found
