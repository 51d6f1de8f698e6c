"""LZ4 frames of packets, many at a time: what a library does for one, without its calls and its second copy.

A frame is unpacked here only if nothing about it is unusual or wrong; what to say of it otherwise is the library's.
Sources: "LZ4 Frame Format Description" 1.6.4, "LZ4 Block Format Description", and for XXH32 "xxHash fast digest
algorithm" 0.1.1.

Bytes come as an array and once more with eight of them as a number at every byte: both are written and read in steps
of eight, which may go beyond what is meant by up to `SLACK` bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

MAGIC = 0x184D2204
SLACK = 16
REFUSED = -1
END_BYTES, LAST_MATCH, LAST_LITERALS = 8, 12, 5
"""Where the last sequence of a block begins: the literals of others end so many bytes before the end of the packed, and
of the unpacked block, and their matches so many before the end of the unpacked one."""
_LOW = np.uint64(0xFFFFFFFF)
_P1, _P2, _P3 = np.uint64(2_654_435_761), np.uint64(2_246_822_519), np.uint64(3_266_489_917)
_P4, _P5 = np.uint64(668_265_263), np.uint64(374_761_393)

Bytes = NDArray[np.uint8]
Eights = NDArray[np.uint64]


@njit(cache=True, nogil=True)
def packets(
    packed: Bytes, packed8: Eights, stream: int, most: int, plain: Bytes, plain8: Eights, ends: NDArray[np.int64]
) -> tuple[int, int]:
    """Unpack the packets of ``stream`` that ``packed`` begins with into ``plain``, as if they had not been packed.

    A packet is an i32 stream, an i32 size, and a frame. It ends with the first that is not whole, is another's, is not
    as it should be or has no room, or after ``most``. ``ends`` gets the byte behind each in ``packed``. Returns how
    many packets and how many bytes there are in ``plain``.
    """
    at, filled, count, last = 0, 0, 0, 0
    while count < most and at + 8 <= len(packed) and filled + last + last // 4 + SLACK <= len(plain):
        size = _four(packed, at + 4)
        end = at + 8 + size
        if _four(packed, at) != stream or end > len(packed):
            break
        begin = filled + 8
        stop = frame(packed, packed8, at + 8, end, plain, plain8, begin)
        last = stop - filled
        if stop < begin:
            break
        _put(plain, filled, stream)
        _put(plain, filled + 4, stop - begin)
        ends[count] = end
        at, filled, count = end, stop, count + 1
    return count, filled


@njit(cache=True, nogil=True)
def frame(packed: Bytes, packed8: Eights, at: int, end: int, plain: Bytes, plain8: Eights, begin: int) -> int:
    """Unpack the one frame that lies in ``packed`` from byte ``at`` to ``end`` to byte ``begin`` of ``plain``.

    Returns the byte behind it in ``plain``, `REFUSED` where it is damaged, unusual or has no room.
    """
    if at + 15 > end or _four(packed, at) != MAGIC:
        return REFUSED
    flags, block = packed[at + 4], packed[at + 5]
    sized = flags >> 3 & 1
    header = at + 6 + 8 * sized
    if flags & 0xC3 != 0x40 or block & 0x8F or block < 0x40 or header + 9 > end:
        return REFUSED
    if packed[header] != np.uint8(_xxh32(packed, packed8, at + 4, header) >> np.uint64(8)):
        return REFUSED
    largest, linked = 1 << (8 + 2 * (block >> 4)), flags >> 5 & 1 == 0
    stop = _blocks(packed, packed8, header + 1, end, plain, plain8, begin, largest, linked, flags >> 4 & 1)
    if stop[1] < begin:
        return REFUSED
    at, filled = stop
    if sized and np.int64(_eight(packed, header - 8)) != filled - begin:
        return REFUSED
    if flags >> 2 & 1:
        if at + 4 > end or _four(packed, at) != np.int64(_xxh32(plain, plain8, begin, filled)):
            return REFUSED
        at += 4
    return filled if at == end else REFUSED


@njit(cache=True, nogil=True)
def _blocks(
    packed: Bytes,
    packed8: Eights,
    at: int,
    end: int,
    plain: Bytes,
    plain8: Eights,
    begin: int,
    largest: int,
    linked: bool,
    checked: int,
) -> tuple[int, int]:
    """Return the bytes behind a frame's blocks and its end mark: in ``packed``, and in ``plain`` or `REFUSED`."""
    filled = begin
    while at + 4 <= end:
        size = _four(packed, at)
        at += 4
        if size == 0:
            return at, filled
        stored, size = size >> 31, size & 0x7FFFFFFF
        if size == 0 or size > largest or at + size + 4 * checked > end:
            break
        if checked and _four(packed, at + size) != np.int64(_xxh32(packed, packed8, at, at + size)):
            break
        room = min(filled + largest, len(plain) - SLACK)
        if stored and filled + size <= room:
            plain[filled : filled + size] = packed[at : at + size]
            filled += size
        else:
            low = begin if linked else filled
            filled = REFUSED if stored else _block(packed, packed8, at, at + size, plain, plain8, filled, low, room)
        if filled < begin:
            break
        at += size + 4 * checked
    return at, REFUSED


@njit(cache=True, nogil=True)
def _block(
    packed: Bytes,
    packed8: Eights,
    begin: int,
    end: int,
    plain: Bytes,
    plain8: Eights,
    filled: int,
    low: int,
    room: int,
) -> int:
    """Unpack one block: sequences of literals and of a match with what came since byte ``low``.

    Returns the byte behind it in ``plain``, `REFUSED` where that is not before ``room`` or the block is not as it
    should be.
    """
    at, o, stop = np.uint64(begin), np.uint64(filled), np.uint64(end)
    one, eight = np.uint64(1), np.uint64(8)
    while at < stop:
        token = np.uint64(packed[at])
        at += one
        literals = token >> np.uint64(4)
        if literals == 15:
            literals, at = _longer(packed, at, stop, literals)
        if at + literals + np.uint64(END_BYTES) > stop:
            if at + literals != stop or o + literals > np.uint64(room):
                return REFUSED
            while at < stop:
                plain[o] = packed[at]
                at += one
                o += one
            return int(np.int64(o))
        if o + literals + np.uint64(LAST_MATCH) > np.uint64(room):
            return REFUSED
        plain8[o] = packed8[at]
        k = eight
        while k < literals:
            plain8[o + k] = packed8[at + k]
            k += eight
        at += literals
        o += literals
        offset = np.uint64(packed[at]) | np.uint64(packed[at + one]) << eight
        at += np.uint64(2)
        length = token & np.uint64(15)
        if length == 15:
            length, at = _longer(packed, at, stop, length)
        length += np.uint64(4)
        if offset == 0 or offset > o - np.uint64(low) or o + length + np.uint64(LAST_LITERALS) > np.uint64(room):
            return REFUSED
        source = o - offset
        if offset >= eight:
            plain8[o] = plain8[source]
            plain8[o + eight] = plain8[source + eight]
            k = eight + eight
            while k < length:
                plain8[o + k] = plain8[source + k]
                k += eight
        else:
            k = np.uint64(0)
            while k < length:
                plain[o + k] = plain[source + k]
                k += one
        o += length
    return REFUSED


@njit(cache=True, nogil=True)
def _longer(packed: Bytes, at: Any, stop: Any, length: Any) -> tuple[Any, Any]:
    """Return a length with the bytes added that go on with it, and the byte behind them, ``stop`` if none ends it."""
    more = np.uint64(255)
    while more == 255 and at < stop:
        more = np.uint64(packed[at])
        length += more
        at += np.uint64(1)
    return length, at


@njit(cache=True, nogil=True)
def _xxh32(data: Bytes, data8: Eights, begin: int, end: int) -> Any:
    """Return the XXH32, seed 0, of some bytes."""
    at, stop, step = np.uint64(begin), np.uint64(end), np.uint64(16)
    total: Any = _P5
    if end - begin >= 16:
        a, b, c, d = (_P1 + _P2) & _LOW, _P2, np.uint64(0), (_LOW ^ _P1) + np.uint64(1)
        while at + step <= stop:
            low, high = data8[at], data8[at + np.uint64(8)]
            a = _turned(a + (low & _LOW) * _P2, 13) * _P1 & _LOW
            b = _turned(b + (low >> np.uint64(32)) * _P2, 13) * _P1 & _LOW
            c = _turned(c + (high & _LOW) * _P2, 13) * _P1 & _LOW
            d = _turned(d + (high >> np.uint64(32)) * _P2, 13) * _P1 & _LOW
            at += step
        total = (_turned(a, 1) + _turned(b, 7) + _turned(c, 12) + _turned(d, 18)) & _LOW
    total += np.uint64(end - begin)
    while at + np.uint64(4) <= stop:
        total = _turned(total + np.uint64(_four(data, int(np.int64(at)))) * _P3, 17) * _P4 & _LOW
        at += np.uint64(4)
    while at < stop:
        total = _turned(total + np.uint64(data[at]) * _P5, 11) * _P1 & _LOW
        at += np.uint64(1)
    total &= _LOW
    total = (total ^ total >> np.uint64(15)) * _P2 & _LOW
    total = (total ^ total >> np.uint64(13)) * _P3 & _LOW
    return total ^ total >> np.uint64(16)


@njit(cache=True, nogil=True)
def _turned(value: Any, bits: int) -> Any:
    """Return the low 32 bits of a number, rotated to the left."""
    value &= _LOW
    return (value << np.uint64(bits) | value >> np.uint64(32 - bits)) & _LOW


@njit(cache=True, nogil=True)
def _four(data: Bytes, at: int) -> int:
    value = np.int64(0)
    for i in range(4):
        value |= np.int64(data[at + i]) << np.int64(8 * i)
    return int(value)


@njit(cache=True, nogil=True)
def _eight(data: Bytes, at: int) -> int:
    return _four(data, at) | _four(data, at + 4) << 32


@njit(cache=True, nogil=True)
def _put(data: Bytes, at: int, value: int) -> None:
    for i in range(4):
        data[at + i] = value >> 8 * i & 255
