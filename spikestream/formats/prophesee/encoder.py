"""Prophesee RAW out: EVT 2.0 and 3.0."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Array
from spikestream.formats.base.records import OUTSIDE, SIZE, check_sides, refuse, refuse_outside

SIDE = 2048
"""11 bits of x and of y."""


class _Encoder:
    """Encode events with x and y below 2,048, and within the size, which stands in the header where it is
    known; for t see the encodings.
    """

    name, version = "", ""

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        check_sides(size, SIDE, self.name, f"write .aedat4, or {SIZE} where it is smaller")
        options = f";height={size[1]};width={size[0]}" if size else ""
        lines = [f"evt {self.version}", f"format {self.name}{options}"]
        lines += [f"geometry {size[0]}x{size[1]}"] if size else []
        self._head = "".join(f"% {line}\n" for line in [*lines, "end"]).encode()
        self._size = size or (SIDE, SIDE)
        self._written = 0

    def feed(self, events: Array) -> bytes:
        """Return the words of these events (n,) EVENT; raises `RecordingError` for one the format cannot hold."""
        refuse_outside(self._size, events, self._written, self.name, f"{OUTSIDE}, or write .aedat4")
        words = self._words(events) if len(events) else b""
        self._written += len(events)
        return self.finish() + words

    def _words(self, events: Array) -> bytes:
        raise NotImplementedError

    def _refuse(self, bad: Array, events: Array, expected: str, remedy: str) -> None:
        refuse(bad, events, self._written, self.name, expected, remedy)

    def finish(self) -> bytes:
        """Return the header where nothing was written yet, else nothing: the format has no tail."""
        head, self._head = self._head, b""
        return head


class Evt2(_Encoder):
    """EVT 2.0: 0 <= t < 2^34 µs, in any order that is no step back of nearly as much; see `_Encoder`."""

    name, version = "EVT2", "2.0"

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        super().__init__(size, sensor)
        self._high = -1

    def _words(self, events: Array) -> bytes:
        from spikestream.kernels.evt2 import LOOP, NEARLY

        t = events["t"]
        self._refuse(
            (t < 0) | (t >= LOOP), events, "0 <= t < 2^34 µs", "--t0 zero, so that t starts at 0, or write .aedat4"
        )
        high = t >> 6
        steps = np.diff(high, prepend=self._high)
        self._refuse(-steps << 6 >= NEARLY, events, "no step back of nearly 2^34 µs", "sort by t")
        self._high = int(high[-1])
        times = np.flatnonzero(steps)
        words = np.empty(len(events) + len(times), "<u4")
        at = np.arange(len(events)) + np.cumsum(steps != 0)
        words[at[times] - 1] = 8 << 28 | high[times]
        words[at] = (
            events["p"].astype(np.int64) << 28 | (t & 0x3F) << 22 | events["x"].astype(np.int64) << 11 | events["y"]
        )
        return words.tobytes()


class Evt3(_Encoder):
    """EVT 3.0: 0 <= t < 2^40 µs, without a step back of 2^23 µs, or across a multiple of 2^24; see `_Encoder`.

    Every event is a word of its own: vectors of neighbours are read, not written.
    """

    name, version = "EVT3", "3.0"

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        super().__init__(size, sensor)
        self._state = np.array([-1, 0, 0, -1], np.int64)

    def _words(self, events: Array) -> bytes:
        from spikestream.kernels.evt3 import encode

        t = events["t"]
        self._refuse(
            (t < 0) | (t >= 1 << 40), events, "0 <= t < 2^40 µs", "--t0 zero, so that t starts at 0, or write .aedat4"
        )
        loop, high = t >> 24, t >> 12
        before = np.concatenate(([self._state[2] << 12 | max(0, int(self._state[0]))], high))[:-1]
        back = (loop < before >> 12) | (before - high >= 2048)
        self._refuse(back, events, "no step back of 2^23 µs, or across a multiple of 2^24", "sort by t")
        words = np.empty(6 * len(events) + 2 * int(loop[-1] - self._state[2]) + 2, np.uint16)
        return words[: encode(events, self._state, words)].astype("<u2", copy=False).tobytes()
