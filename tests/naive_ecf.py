"""Prophesee's ECF written plainly, for tests: a piece of events in each of the three ways, from the layout alone."""

from __future__ import annotations

from itertools import groupby

import numpy as np

WAYS = ("packed", "rows", "runs")


def encode(events: np.ndarray, way: str) -> bytes:
    """Return a piece of events (n,) EVENT, n > 0: all packed, runs of rows and the rest packed, or runs of all."""
    flags = {"packed": 2, "rows": 1, "runs": 0}[way]
    head = (len(events) << 2 | flags).to_bytes(4, "little") + int(events["t"][0]).to_bytes(8, "little")
    t, x, y, p = (events[name].astype(int).tolist() for name in "txyp")
    body = times(t)
    if way == "packed":
        return head + body + packed([b << 12 | a << 1 | c for a, b, c in zip(x, y, p, strict=True)], 24)
    body += runs(y, 5, 2)
    if way == "rows":
        return head + body + packed([a << 1 | c for a, c in zip(x, p, strict=True)], 12)
    return head + body + columns(x) + runs(p, 7, 1)


def times(t: list[int]) -> bytes:
    out, now = bytearray(), t[0]
    for value, same in groupby(t):
        count, step = len(list(same)), value - now
        if step >= 15:
            while step:
                out.append(0xF0 | step & 15)
                step >>= 4
        now = value
        out.append(step << 4 | min(count, 15))
        if count >= 15:
            out += count.to_bytes(2, "little")
    return bytes(out)


def runs(values: list[int], bits: int, width: int) -> bytes:
    out, many = bytearray(), (1 << bits) - 1
    for value, same in groupby(values):
        count = len(list(same))
        out += (value << bits | min(count, many)).to_bytes(width, "little")
        if count >= many:
            out += count.to_bytes(2, "little")
    return bytes(out)


def columns(x: list[int]) -> bytes:
    out, i = bytearray(), 0
    while i < len(x):
        first, mask = x[i], 0
        i += 1
        for j in range(5):
            if i < len(x) and x[i] == first + j + 1:
                mask |= 1 << (4 - j)
                i += 1
        out += (first << 5 | mask).to_bytes(2, "little")
    return bytes(out)


def packed(values: list[int], bits: int) -> bytes:
    """Return four values in three words of 4/3 of their bits: each word's low end holds the next value's low bits."""
    out = bytearray()
    word, step = bits * 4 // 3, bits // 3
    for i in range(0, len(values), 4):
        a, b, c, d = (*values[i : i + 4], 0, 0, 0)[:4]
        first = a << step | b & (1 << step) - 1
        second = b >> step << 2 * step | c & (1 << 2 * step) - 1
        third = c >> 2 * step << 3 * step | d
        for one in (first, second, third):
            out += one.to_bytes(word // 8, "little")
    return bytes(out)
