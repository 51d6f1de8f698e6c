"""The refractory time of neurons, of their coefficients ``refrac`` and ``subtract`` and some fields of their state.

A neuron that fired in tick m may fire again after tick m + refrac. With reset to a value it is also held there until
then, in a queue of those that are: all are held for the same time, so they leave as they came, and the others cost
nothing. With reset by subtraction its voltage goes on. A change of the time counts for those that are held as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled

RESETS = ("value", "subtract")
NEVER = -(2**63)


class Held(NamedTuple):
    """The fields of a neuron's state that are meant here."""

    last: Array  # (neurons,) int64, tick of the last spike
    held: Array  # (neurons,) int32, a ring of the numbers of those held at v_reset
    queue: Array  # (2,) int64: the first place in it that counts, and how many do


def nobody(neurons: int) -> Held:
    """Return an empty queue with room for all."""
    return Held(np.full(neurons, NEVER, np.int64), np.zeros(neurons, np.int32), np.zeros(2, np.int64))


@compiled
def is_free(c: Any, s: Any, j: int, n: int) -> bool:
    """Return whether neuron j may fire in tick n."""
    # Not n - last, which is beyond an int64 where j never fired.
    return bool(n > s.last[j] + c.refrac)


@compiled
def clamp(c: Any, s: Any, n: int) -> None:
    """Let those go that are free in tick n, and keep the voltages of the others at ``v_reset``."""
    first, count, room = s.queue[0], s.queue[1], len(s.held)
    while count > 0 and n > s.last[s.held[first]] + c.refrac:
        first = first + 1 if first + 1 < room else 0
        count -= 1
    s.queue[0], s.queue[1] = first, count
    for _ in range(count):
        s.v[s.held[first]] = c.v_reset
        first = first + 1 if first + 1 < room else 0


@compiled
def hold(c: Any, s: Any, j: int, n: int) -> None:
    """Note that neuron j, which was free, fires in tick n."""
    s.last[j] = n
    if c.subtract or s.queue[1] >= len(s.held):  # no room can be after a damaged restore only
        return
    place = s.queue[0] + s.queue[1]
    s.held[place if place < len(s.held) else place - len(s.held)] = j
    s.queue[1] += 1


def check_reset(reset: str, v_reset: float, v_thresh: float) -> None:
    """Raise ValueError where there is no such reset, or it would leave a neuron at its threshold."""
    if reset not in RESETS:
        raise ValueError(f"reset is {' or '.join(RESETS)}, not '{reset}'")
    if v_reset >= v_thresh:
        raise ValueError("v_reset must lie below v_thresh")


def absurd_queue(held: Array, queue: Array) -> str:
    """Return what in a queue can never have been, "" where all is well."""
    first, count = int(queue[0]), int(queue[1])
    if not (0 <= first < max(len(held), 1) and 0 <= count <= len(held)):
        return "a queue of held neurons outside of its room"
    if np.any((held < 0) | (held >= len(held))):
        return "a neuron held that is none"
    return ""
