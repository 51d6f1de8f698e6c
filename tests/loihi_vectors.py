"""The recorded vectors of two public emulators of Loihi, as placements and input."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikestream.batch import Spikes
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.placement import PIN

BITS = 18
"""Of a two's complement number that holds every input of lava's recording."""


def load(data: Path, name: str):
    with np.load(data / "emulator" / "loihi" / f"{name}.npz") as file:
        return dict(file)


def at(rows, tick_us=1000):
    """Return `Spikes` of a table of bools (ticks, inputs)."""
    ticks, inputs = np.nonzero(rows)
    return Spikes(0, len(rows) * tick_us, ticks * tick_us, inputs.astype(np.int32))


def bias(values):
    """Return mantissas and exponents of biases, exactly."""
    exponent = np.zeros(len(values), int)
    while (np.abs(values >> exponent) > 4095).any():
        exponent += np.abs(values >> exponent) > 4095
    mantissa = values >> exponent
    assert (mantissa << exponent == values).all()
    return mantissa, exponent


def nengo(d):
    """Return the placement of nengo-loihi's recording, with every neuron an output, and its input."""
    axons, neurons = d["weights"].shape
    i, j = np.nonzero(d["weights"])
    synapses = np.stack([0 * i, i, j, d["weights"][i, j] >> 6], axis=1)
    assert (synapses[:, 3] << 6 == d["weights"][i, j]).all()
    assert (d["c_vth"] % 64 == 0).all()
    mantissa, exponent = bias(d["c_bias"].astype(np.int64))
    j = np.arange(neurons)
    given = {"du": d["c_decay_u"], "dv": d["c_decay_v"], "threshold": d["c_vth"] >> 6, "refractory": d["refract"]}
    given |= {"bias": mantissa, "bias_exponent": exponent, "v_min": d["c_vmin"], "v_max": d["c_vmax"]}
    given |= {"targets": np.stack([0 * j, j, 0 * j + PIN, j], axis=1), "outputs": neurons}
    # Their row t enters step t; their steps count from 1, and so does the recording of u, v and s.
    return LoihiPlacement.of(neurons, axons, synapses=synapses, **given), d["spikes_in"][: len(d["u"])]


def lava(d, cores=4):
    """Return the placement of lava's recording, and its input as spikes: a bit of a number is an axon.

    A number is a sum of powers of two, and the highest bit is negative; 128 · 2^7 is the largest weight that is one.
    """
    neurons = len(d["du"]) // cores
    j, bit = np.divmod(np.arange(neurons * BITS), BITS)
    many = np.maximum(bit - 14, 0)  # 2^15 and more are several synapses of 2^14
    times = 1 << many
    weight = np.where(bit < 8, 1 << np.minimum(bit, 7), 128) * np.where(bit == BITS - 1, -1, 1)
    rows = np.repeat(np.stack([np.arange(neurons * BITS), j, weight], axis=1), times, axis=0)
    synapses = np.concatenate([np.insert(rows, 0, core, axis=1) for core in range(cores)])
    core, own = np.divmod(np.arange(len(d["du"])), neurons)
    given = {
        "du": d["du"],
        "dv": d["dv"],
        "threshold": d["vth"],
        "bias": d["bias_mant"],
        "bias_exponent": d["bias_exp"],
    }
    given |= {"targets": np.stack([core, own, 0 * core + PIN, np.arange(len(core))], axis=1), "outputs": len(core)}
    given["weight_exponent"] = np.tile(np.clip(bit - 7, 0, 7), cores)
    made = LoihiPlacement.of([neurons] * cores, neurons * BITS, synapses=synapses, **given)
    bits = (d["a_in"].astype(np.int64)[:, :, None] >> np.arange(BITS)) & 1
    return made, bits.reshape(len(bits), -1).astype(bool)
