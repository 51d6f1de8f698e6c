"""Rows of text to events and back: numbers are read digit by digit and never pass through a float.

A cell is ``[+-]digits[.digits][e[+-]digits]``. Its value is m * 10^e with a whole m of up to 19 digits; of further ones
the first is kept, and whether any other is not 0, so that t, brought to µs, is the nearest whole number, of two the
even one, however many digits there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

SKIP, T, X, Y, P = range(5)
"""What a column holds."""
STATE = ("last", "untidy", "outside", "line", "bad")
"""What the int64 state array holds: the time of the last event, whether events are not tidy (see
`spikestream.kernels.packed`), a count, the lines so far, and the column of a row that is none: 0 is the first, as many
as there are columns where more follow; -1 while all are well."""

SIDE = 1 << 16
MOST = np.uint64(1 << 62)
WHITE = 32
"""The separator that stands for any white space."""
ROW_BYTES = 36
"""The most that an event takes, written: a sign, 19 digits, two numbers of 5, a 1, three commas and a line feed."""
FAST_DIGITS = 18
KEPT_DIGITS = 19
FAR = 10_000
POWERS = np.array([10**k for k in range(20)], np.uint64)


@njit(cache=True, nogil=True)
def _blank(byte: int) -> bool:
    return byte == 32 or byte == 9 or byte == 13


@njit(cache=True, nogil=True)
def _nearest(m: np.uint64, exponent: int, dropped: int, rest: Any) -> tuple[np.uint64, Any, Any]:
    """Return m.dropped… * 10^exponent as the nearest whole number, whether it fits 64 bits, and whether it is exact."""
    zero, one = np.uint64(0), np.uint64(1)
    if m == zero:
        return zero, True, True
    if exponent > 0:
        fits = exponent < KEPT_DIGITS and m <= ~zero // POWERS[exponent]  # no digit that counts was dropped then
        return m * POWERS[exponent] if fits else zero, fits, True
    if exponent < -KEPT_DIGITS:
        return zero, True, False
    if exponent == 0:
        up = dropped > 5 or (dropped == 5 and (rest or m & one == one))
        return m + one if up else m, m < ~zero, dropped <= 0 and not rest
    power = POWERS[-exponent]
    q = m // power
    r = m - q * power
    behind = dropped > 0 or rest
    up = r > power - r or (r == power - r and (behind or q & one == one))
    return q + one if up else q, True, r == zero and not behind


@njit(cache=True, nogil=True)
def _number(data: NDArray[np.uint8], i: int, shift: int) -> tuple[int, Any, Any, Any]:
    """Return where the number at ``i`` ends, it * 10^shift rounded, whether it is one of 64 bits, and exact."""
    negative = data[i] == 45
    if negative or data[i] == 43:
        i += 1
    m, digits, exponent, seen, point = np.uint64(0), 0, shift, False, False
    dropped: Any = -1
    rest: Any = False
    while True:
        byte = np.int64(data[i])
        if byte == 46 and not point:
            point = True
        elif 48 <= byte <= 57:
            seen = True
            if digits == 0 and byte == 48:
                exponent -= point
            elif digits < KEPT_DIGITS:
                m = m * np.uint64(10) + np.uint64(byte - 48)
                digits += 1
                exponent -= point
            else:
                exponent += not point
                if dropped < 0:
                    dropped = byte - 48
                else:
                    rest |= byte != 48
        else:
            break
        i += 1
    if seen and (data[i] == 101 or data[i] == 69):
        i += 1
        down = data[i] == 45
        if down or data[i] == 43:
            i += 1
        power: Any = 0
        seen = False
        while 48 <= data[i] <= 57:
            power = min(FAR, power * 10 + np.int64(data[i]) - 48)
            seen = True
            i += 1
        exponent += -power if down else power
    value, fits, exact = _nearest(m, exponent, dropped, rest)
    fits = fits and value <= np.uint64(1 << 63) - np.uint64(not negative)
    return i, -np.int64(value) if negative else np.int64(value), seen and fits, exact


@njit(cache=True, nogil=True)
def _word(data: NDArray[np.uint8], i: int) -> tuple[int, int]:
    """Return where ``true`` or ``false`` in any case ends, and 1 or 0; -1 where it is neither."""
    word, value = (b"true", 1) if data[i] | 32 == 116 else (b"false", 0)
    for k in range(len(word)):
        if data[i] | 32 != word[k]:
            return i, -1
        i += 1
    return i, value


@njit(cache=True, nogil=True)
def _value(data: NDArray[np.uint8], i: int, role: int, shift: int, whole: int) -> tuple[int, Any, Any]:
    """Return where the cell at ``i`` ends, its value, and whether it is one that its column may hold."""
    if role == P and data[i] > 57:
        i, value = _word(data, i)
        return i, value, value >= 0
    i, value, fits, exact = _number(data, i, shift if role == T else 0)
    if role == T:
        return i, value, fits and (exact or not whole)
    least, most = (-1, 1) if role == P else (0, SIDE - 1)
    return i, value, fits and exact and least <= value <= most


@njit(cache=True, nogil=True)
def _cell(
    data: NDArray[np.uint8], i: int, role: int, shift: int, whole: int, separator: int, is_last: bool
) -> tuple[int, Any, int]:
    """Return where the cell behind that at ``i`` begins, its value, and whether it is good: 0; 1 where it is none, and
    2 where too few or too many follow.
    """
    value: Any = np.int64(0)
    good = True
    while _blank(data[i]):
        i += 1
    if role == SKIP:
        while data[i] != 10 and data[i] != separator and not (separator == WHITE and _blank(data[i])):
            i += 1
    else:
        i, value, good = _value(data, i, role, shift, whole)
    gap = i
    while _blank(data[i]):
        i += 1
    after = data[i]
    ended = after == 10 or (after == separator and separator != WHITE) or i > gap
    if not good or not ended:
        return i, value, 1
    if is_last:
        return i + 1, value, 0 if after == 10 else 2
    if after == 10 or (separator != WHITE and after != separator):
        return i, value, 2
    return i + (separator != WHITE), value, 0


@njit(cache=True, nogil=True)
def decode(
    data: NDArray[np.uint8],
    columns: NDArray[np.int64],
    code: tuple[int, ...],
    state: NDArray[np.int64],
    out: NDArray[Any],
) -> tuple[int, int]:
    """Write the events of whole lines into ``out`` PACKED; return how many bytes were used, and the events.

    ``data`` ends with a line feed; blank lines and those that start with '#' or '%' are left out. ``columns`` tells
    what each column holds. ``code``: the separator, the power of ten that t is multiplied with, whether t has to be
    whole then, the longest line, width, height, and the largest step in µs of tidy events. It stops before a row that
    is none, and before a line that is too long.
    """
    separator, shift, whole, longest, width, height, step_us = code
    last, untidy, lines, bad = state[0], False, state[3], -1
    row = np.zeros(5, np.int64)
    most = np.array([-1, -1 if shift else np.int64(MOST), SIDE - 1, SIDE - 1, 1], np.int64)
    final, size, n, i = len(columns) - 1, len(data), 0, 0
    while i < size:
        start = i
        while _blank(data[i]):
            i += 1
        if data[i] == 10 or data[i] == 35 or data[i] == 37:
            while data[i] != 10:
                i += 1
            if i - start > longest:
                i = start
                break
            i += 1
            lines += 1
            continue
        for k in range(final + 1):
            # Nearly all cells are whole numbers of a few digits, right before what comes next.
            role, first = columns[k], i
            value: Any = np.int64(0)
            digit = np.int64(data[i]) - 48
            while 0 <= digit <= 9:
                value = value * 10 + digit
                i += 1
                digit = np.int64(data[i]) - 48
            good = 0 < i - first <= FAST_DIGITS and value <= most[role]
            if digit == 13 - 48 and k == final:
                i += 1
                digit = np.int64(data[i]) - 48
            after = (separator if k < final else 10) - 48
            if good and digit == after:
                row[role] = value
                i += 1
                continue
            if digit == 46 - 48 and role == T and shift > 0 and i > first:
                point = i
                i += 1
                digit = np.int64(data[i]) - 48
                while 0 <= digit <= 9:
                    value = value * 10 + digit
                    i += 1
                    digit = np.int64(data[i]) - 48
                if digit == after and i - first <= FAST_DIGITS:
                    rounded, fits, _ = _nearest(np.uint64(value), shift - (i - point - 1), -1, False)
                    if fits and rounded <= MOST:
                        row[role] = np.int64(rounded)
                        i += 1
                        continue
            i, value, wrong = _cell(data, first, role, shift, whole, separator, k == final)
            row[role] = value
            if wrong:
                bad = k
                break
        if bad >= 0 or i - start > longest + 1:
            while data[i] != 10 and i - start <= longest:
                i += 1
            bad = -1 if i - start > longest else bad
            i = start
            break
        lines += 1
        t, x, y = row[T], row[X], row[Y]
        if x >= width or y >= height:
            state[2] += 1
            continue
        untidy |= (t < last) | (t - last > step_us)
        last = t
        event = out[n]
        event["t"] = t
        event["xy"] = x | y << 16
        event["p"] = row[P] == 1
        n += 1
    state[0], state[1], state[3], state[4] = last, untidy, lines, bad
    return i, n


@njit(cache=True, nogil=True)
def _put(value: np.uint64, out: NDArray[np.uint8], at: int) -> int:
    digits = 1
    while digits < 20 and value >= POWERS[digits]:
        digits += 1
    for k in range(at + digits - 1, at - 1, -1):
        tens = value // np.uint64(10)
        out[k] = 48 + np.int64(value - tens * np.uint64(10))
        value = tens
    return at + digits


@njit(cache=True, nogil=True)
def encode(events: NDArray[Any], out: NDArray[np.uint8]) -> int:
    """Write a row t,x,y,p for each of ``events`` (n,) EVENT into ``out``, 36 bytes an event; return the bytes."""
    at = 0
    for k in range(len(events)):
        event = events[k]
        t = event["t"]
        if t < 0:
            out[at] = 45
            at += 1
        at = _put(np.uint64(-t if t < 0 else t), out, at)
        out[at] = 44
        at = _put(np.uint64(event["x"]), out, at + 1)
        out[at] = 44
        at = _put(np.uint64(event["y"]), out, at + 1)
        out[at] = 44
        out[at + 1] = 48 + event["p"]
        out[at + 2] = 10
        at += 3
    return at
