"""The synapses of a projection: as the kernel walks them, and as plain lists to be looked at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikestream.batch import Array
from spikestream.kernels.compose_text import Synapses
from spikestream.model import Wires


class Wired(NamedTuple):
    """Synapses one by one: source and target (m,) int32, weight (m,), delay (m,) int64 ticks."""

    pre: Array
    post: Array
    weight: Array
    delay_ticks: Array

    @classmethod
    def of(cls, found: Synapses, targets: int) -> Wired:
        """Return the synapses as they are now, copied; those of "lateral" as every neuron to every other."""
        d = len(found.delays)
        if found.weights.ndim == 2 or not len(found.ptr):
            sources = found.weights.shape[0] if found.weights.ndim == 2 else targets
            pre, post = (side.ravel().astype(np.int32) for side in np.indices((sources, targets)))
            if found.weights.ndim == 1:
                pre, post = pre[pre != post], post[pre != post]
            weight = np.broadcast_to(found.weights.ravel(), len(pre)).copy()
            return cls(pre, post, weight, np.full(len(pre), found.delays[0]))
        group = np.repeat(np.arange(len(found.ptr) - 1), np.diff(found.ptr))
        weight = found.weights[found.share] if len(found.share) else found.weights.copy()
        return cls((group // d).astype(np.int32), found.post.copy(), weight, found.delays[group % d])


def synapses_of(wires: Wires, dtype: str, learns: bool) -> Synapses:
    """Return synapses for the kernel; with ``learns`` also by target, as rules look at them."""
    weights = np.ascontiguousarray(wires.weights, dtype)
    none = np.zeros(0, np.int32)
    in_ptr, in_synapse, in_group = np.zeros(0, np.int64), none, none
    if learns and wires.kind == "sparse":
        order = np.argsort(wires.post, kind="stable")
        group = np.repeat(np.arange(len(wires.ptr) - 1, dtype=np.int32), np.diff(wires.ptr))
        in_ptr = np.zeros(wires.targets + 1, np.int64)
        np.cumsum(np.bincount(wires.post, minlength=wires.targets), out=in_ptr[1:])
        in_synapse, in_group = order.astype(np.int32), group[order]
    delays, ptr = wires.delays.astype(np.int64), wires.ptr.astype(np.int64)
    post, share = wires.post.astype(np.int32), wires.share.astype(np.int32)
    return Synapses(weights, delays, ptr, post, share, in_ptr, in_synapse, in_group)
