"""The widths and limits of a Loihi core, and what a weight is worth."""

from __future__ import annotations

import numpy as np

from spikestream.model.placement import Array

LOIHI = "loihi/1"
MOST_COMPARTMENTS, MOST_AXONS, MOST_TARGETS, MOST_SYNAPSE_BITS = 1_024, 4_096, 4_096, 1 << 20
"""Of a core: compartments, axons in, targets of all its compartments together, bits of synapses (128 KiB).

Davies et al., IEEE Micro 38 (2018): 1,024 compartments, 128 KB of synapses; nengo-loihi: 4,096 axons in and out.
"""
DELAYS = 63
"""A synapse acts, and an input arrives, after 0 to 62 ticks."""
WEIGHT_LIMIT = 2**21 - 2**6
"""No synapse gives more current than this, nor less than minus this."""
V_LIMIT = 2**23 - 1
MIXED, EXCITATORY, INHIBITORY = 0, 1, -1

Row = tuple[str, int, int, int]
COMPARTMENTS: dict[str, Row] = {  # name: type, default, least, most
    "du": ("i2", 4_095, 0, 4_095),
    "dv": ("i2", 0, 0, 4_095),
    "bias": ("i2", 0, -4_095, 4_095),
    "bias_exponent": ("u1", 0, 0, 7),
    "threshold": ("i4", 1, 0, 2**17 - 1),
    "v_min": ("i4", -V_LIMIT, -V_LIMIT, 0),
    "v_max": ("i4", V_LIMIT, 0, V_LIMIT),
    "refractory": ("u1", 1, 1, 64),
}
AXONS: dict[str, Row] = {
    "weight_exponent": ("i1", 0, -8, 7),
    "weight_bits": ("u1", 9, 1, 9),
    "weight_sign": ("i1", MIXED, INHIBITORY, EXCITATORY),
    "plastic": ("?", 0, 0, 1),
}
CORES: dict[str, Row] = {
    "epoch": ("u1", 1, 1, 63),
    "x1_impulse": ("u1", 16, 0, 127),
    "x1_decay": ("i2", 204, 0, 4_095),
    "y1_impulse": ("u1", 16, 0, 127),
    "y1_decay": ("i2", 204, 0, 4_095),
    "a_plus": ("i1", 1, -8, 7),
    "a_plus_exponent": ("i1", -4, -7, 8),
    "a_minus": ("i1", 1, -8, 7),
    "a_minus_exponent": ("i1", -4, -7, 8),
    "seed": ("u4", 1, 0, 2**32 - 1),
}


def current_of(weight: Array, exponent: Array) -> Array:
    """Return the current, int32, that a spike brings through mantissas ``weight`` with ``exponent``, each (S,).

    Two shifts: a negative exponent loses the low bits of a weight, rounding down; 21 bits, of which the last 6 are 0.
    """
    wide, up = np.asarray(weight, np.int64), np.asarray(exponent, np.int64)
    scaled = np.where(up >= 0, wide << np.maximum(up, 0), wide >> np.maximum(-up, 0)) << 6
    return np.asarray(np.clip(scaled, -WEIGHT_LIMIT, WEIGHT_LIMIT), np.int32)


def weight_range(sign: Array, bits: Array) -> tuple[Array, Array, Array]:
    """Return s, least and most, each (A,): weights of ``sign`` and ``bits`` are multiples of 2^s from least to most."""
    spare = 8 - (np.asarray(bits, np.int64) - (np.asarray(sign) == MIXED))
    return spare, np.where(sign > 0, 0, -256), np.where(sign < 0, 0, 256 - (1 << np.maximum(spare, 0)))
