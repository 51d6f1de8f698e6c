"""Prophesee's encodings word by word, as their pages put it, in plain Python; and words to try them with."""

from __future__ import annotations

import numpy as np

from spikestream.batch import EVENT

LOOP2 = 2**34


def naive_evt2(words, width=2048, height=2048):
    """EVT 2.0: 32-bit words."""
    return _evt2(((word >> 28, word & 0x0FFFFFFF, 1, word) for word in words), width, height)


def naive_evt21(words, width=2048, height=2048):
    """EVT 2.1: 64-bit words, whose low half says which of 32 neighbours fired."""
    return _evt2(((word >> 60, (word >> 32) & 0x0FFFFFFF, word & 0xFFFFFFFF, word) for word in words), width, height)


def _evt2(parts, width, height):
    events, lost, base, loops = [], {"outside": 0, "early": 0, "trigger": 0, "other": 0}, None, 0
    for kind, value, mask, _ in parts:
        if kind in (0, 1):
            time, x, y = value >> 22, (value >> 11) % 2048, value % 2048
            for k in range(32):
                if not mask >> k & 1:
                    continue
                if base is None:
                    lost["early"] += 1
                elif x + k >= width or y >= height:
                    lost["outside"] += 1
                else:
                    events.append((loops * LOOP2 + base + time, x + k, y, bool(kind)))
        elif kind == 8:
            if base is not None and base - value * 64 >= LOOP2 - 64 - 10_000:
                loops += 1
            base = value * 64
        else:
            lost["trigger" if kind == 10 else "other"] += 1
    return np.array(events, EVENT), {kind: n for kind, n in lost.items() if n}


def naive_evt3(words, width=2048, height=2048):
    """EVT 3.0: 16-bit words, with OpenEB's rule of time."""
    events, lost = [], {"outside": 0, "early": 0, "trigger": 0, "other": 0}
    y = high = None
    low = loop = at = p = 0
    for word in words:
        kind, value = word // 4096, word % 4096
        columns = []
        if kind == 0:
            y = value % 2048
        elif kind == 2:
            columns = [(value % 2048, value // 2048)]
        elif kind == 3:
            at, p = value % 2048, value // 2048
        elif kind == 4:
            columns, at = [(at + k, p) for k in range(12) if value >> k & 1], at + 12
        elif kind == 5:
            columns, at = [(at + k, p) for k in range(8) if value >> k & 1], at + 8
        elif kind == 6:
            low = value
        elif kind == 8:
            if high is not None and high >= 2048 + value:
                loop += 1
            if value != high:
                low = 0
            high = value
        else:
            lost["trigger" if kind == 10 else "other"] += 1
        for x, polarity in columns:
            if y is None or high is None:
                lost["early"] += 1
            elif x >= width or y >= height:
                lost["outside"] += 1
            else:
                events.append((loop * 2**24 + high * 4096 + low, x, y, bool(polarity)))
    return np.array(events, EVENT), {kind: n for kind, n in lost.items() if n}


def words_of(kinds, bits, n, rng):
    """Return words of random content, of kinds as frequent as they stand in the list."""
    kind = rng.choice(kinds, n).astype(np.uint64)
    return (kind << np.uint64(bits - 4) | rng.integers(0, 1 << (bits - 4), n, dtype=np.uint64)).astype(f"<u{bits // 8}")
