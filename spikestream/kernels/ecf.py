"""Prophesee's ECF, a piece of it at a time: runs of times, then rows, columns and polarities in one of three ways.

A piece is a u32 of the count and two flags, a u64 of the first time, then bytes of a step (high nibble) and how many
events share that time (low nibble, or 15 and a u16); a high nibble of 15 is no step but 4 more bits, lowest first, of a
long one. With the second flag an event's row, column and polarity are 24 bits, four events in three u32. Otherwise rows
come as runs, and then either, with the first flag, column and polarity as 12 bits, four events in three u16, or columns
as a u16 of a column and which of the next five are there too, and polarities as runs. Source: OpenEB's hdf5_ecf.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

MOST = 65_535
"""Events of one piece."""
SHORT, MANY = -1, -2
"""What `decode` returns for a piece that ends too early, or has more events than there is room."""
FOUR_BITS, FIVE_BITS, SEVEN_BITS = 15, 31, 127


@njit(cache=True, nogil=True)
def decode(data: NDArray[np.uint8], out: NDArray[Any]) -> int:
    """Write the events of a piece into ``out`` (m,) PACKED, as far as they have room; return how many it holds.

    `SHORT` and `MANY` are returned for a damaged one.
    """
    if len(data) < 12:
        return SHORT
    info = _u16(data, 0) | _u16(data, 2) << 16
    n = info >> 2
    if n > len(out):
        return MANY
    at = _times(data, n, out)
    if at < 0:
        return SHORT
    if info & 2:
        at = _packed_24(data, at, n, out)
    else:
        at = _rows(data, at, n, out)
        if at >= 0 and info & 1:
            at = _packed_12(data, at, n, out)
        elif at >= 0:
            at = _columns(data, at, n, out)
            at = _polarities(data, at, n, out) if at >= 0 else at
    return int(n) if at >= 0 else SHORT


@njit(cache=True, nogil=True)
def _u8(data: NDArray[np.uint8], at: int) -> Any:
    return np.int64(data[at])


@njit(cache=True, nogil=True)
def _u16(data: NDArray[np.uint8], at: int) -> Any:
    return np.int64(data[at]) | np.int64(data[at + 1]) << 8


@njit(cache=True, nogil=True)
def _times(data: NDArray[np.uint8], n: int, out: NDArray[Any]) -> int:
    now = np.uint64(0)
    for i in range(8):
        now |= np.uint64(data[4 + i]) << np.uint64(8 * i)
    at, i, long, bits = 12, 0, np.uint64(0), 0
    while i < n:
        if at >= len(data):
            return SHORT
        step, count = _u8(data, at) >> 4, _u8(data, at) & 15
        at += 1
        if step == FOUR_BITS:
            if bits >= 64:
                return SHORT
            long |= np.uint64(count) << np.uint64(bits)
            bits += 4
            continue
        now += long + np.uint64(step)
        long, bits = np.uint64(0), 0
        if count == FOUR_BITS:
            if at + 2 > len(data):
                return SHORT
            count = _u16(data, at)
            at += 2
        for _ in range(min(count, n - i)):
            out[i]["t"] = np.int64(now)
            i += 1
    return at


@njit(cache=True, nogil=True)
def _packed_24(data: NDArray[np.uint8], at: int, n: int, out: NDArray[Any]) -> int:
    if at + 12 * ((n + 3) // 4) > len(data):
        return SHORT
    for i in range(0, n, 4):
        a = _u16(data, at) | _u16(data, at + 2) << 16
        b = _u16(data, at + 4) | _u16(data, at + 6) << 16
        c = _u16(data, at + 8) | _u16(data, at + 10) << 16
        at += 12
        values = (a >> 8, (a & 0xFF) | b >> 16 << 8, (b & 0xFFFF) | c >> 24 << 16, c & 0xFFFFFF)
        for j in range(min(4, n - i)):
            out[i + j]["xy"] = (values[j] >> 1) & 0x7FF | (values[j] >> 12 & 0x7FF) << 16
            out[i + j]["p"] = values[j] & 1
    return at


@njit(cache=True, nogil=True)
def _packed_12(data: NDArray[np.uint8], at: int, n: int, out: NDArray[Any]) -> int:
    if at + 6 * ((n + 3) // 4) > len(data):
        return SHORT
    for i in range(0, n, 4):
        a, b, c = _u16(data, at), _u16(data, at + 2), _u16(data, at + 4)
        at += 6
        values = (a >> 4, (a & 15) | b >> 8 << 4, (b & 0xFF) | c >> 12 << 8, c & 0xFFF)
        for j in range(min(4, n - i)):
            out[i + j]["xy"] |= values[j] >> 1
            out[i + j]["p"] = values[j] & 1
    return at


@njit(cache=True, nogil=True)
def _rows(data: NDArray[np.uint8], at: int, n: int, out: NDArray[Any]) -> int:
    i = 0
    while i < n:
        if at + 2 > len(data):
            return SHORT
        value = _u16(data, at)
        row, count = value >> 5, value & FIVE_BITS
        at += 2
        if count == FIVE_BITS:
            if at + 2 > len(data):
                return SHORT
            count = _u16(data, at)
            at += 2
        for _ in range(min(count, n - i)):
            out[i]["xy"] = row << 16
            i += 1
    return at


@njit(cache=True, nogil=True)
def _columns(data: NDArray[np.uint8], at: int, n: int, out: NDArray[Any]) -> int:
    i = 0
    while i < n:
        if at + 2 > len(data):
            return SHORT
        value = _u16(data, at)
        column, mask = value >> 5, value & FIVE_BITS
        at += 2
        out[i]["xy"] |= column
        i += 1
        for j in range(5):
            if mask >> (4 - j) & 1 and i < n:  # the writer may set bits beyond the last event
                out[i]["xy"] |= column + j + 1
                i += 1
    return at


@njit(cache=True, nogil=True)
def _polarities(data: NDArray[np.uint8], at: int, n: int, out: NDArray[Any]) -> int:
    i = 0
    while i < n:
        if at >= len(data):
            return SHORT
        value = _u8(data, at)
        p, count = value >> 7, value & SEVEN_BITS
        at += 1
        if count == SEVEN_BITS:
            if at + 2 > len(data):
                return SHORT
            count = _u16(data, at)
            at += 2
        for _ in range(min(count, n - i)):
            out[i]["p"] = p
            i += 1
    return at
