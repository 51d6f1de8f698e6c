"""Random numbers of a chip, counted instead of drawn in a row: each depends on its place and on nothing before it.

    number(seed, core, tick, neuron, use) = mix(mix(mix(seed 2^32 + core) + G tick) + G (neuron 2^32 + use))
    mix(z)    z <- (z ^ z >> 30) 0xBF58476D1CE4E5B9;  z <- (z ^ z >> 27) 0x94D049BB133111EB;  z ^ z >> 31
    G         0x9E3779B97F4A7C15; all modulo 2^64; a draw of b bits is the top b bits of the number
    use       the number of the axon for a synapse, LEAK for the leak, THRESHOLD for the threshold

No paper tells the chip's own generator, its seeding or its order of drawing; these are ours, and `VERSION` names them.
Whatever changes a number changes `VERSION`.

Source of mix: Steele, Lea & Flood, OOPSLA 2014, in the form of Vigna's splitmix64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikestream.kernels import compiled

VERSION = "counted-splitmix64/1"

LEAK = np.int64(1 << 16)
THRESHOLD = np.int64((1 << 16) + 1)

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S30, S27, S31, S32, S56, S64 = (np.uint64(k) for k in (30, 27, 31, 32, 56, 64))


@compiled
def mix(z: Any) -> Any:
    """Return a uint64 of which every bit depends on every bit of the uint64 ``z``."""
    z = (z ^ (z >> S30)) * FIRST
    z = (z ^ (z >> S27)) * SECOND
    return z ^ (z >> S31)


@compiled
def key_of(seed: int, core: int, tick: int) -> Any:
    """Return what all numbers of a core in a tick begin with."""
    return mix(mix((np.uint64(seed) << S32) + np.uint64(core)) + np.uint64(tick) * GOLDEN)


@compiled
def draw(key: Any, neuron: int, use: int) -> Any:
    """Return 8 bits, 0 .. 255, int64."""
    return np.int64(mix(key + ((np.uint64(neuron) << S32) + np.uint64(use)) * GOLDEN) >> S56)


@compiled
def draw_bits(key: Any, neuron: int, use: int, bits: int) -> Any:
    """Return ``bits`` bits, from 1 to 31 of them, int64."""
    return np.int64(mix(key + ((np.uint64(neuron) << S32) + np.uint64(use)) * GOLDEN) >> (S64 - np.uint64(bits)))
