"""RANC's recorded networks, told in the words of its own input file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NAMES = ("rand0_2x1_a16_n16_rt0", "rand1_2x1_a16_n16_rt1", "rand2_3x2_a32_n32_rt0", "rand3_3x2_a32_n32_rt1")
NAMES += ("rand4_2x2_a64_n48_rt0", "rand7_4x4_a128_n128_rt1")
DIGITS = ("tea_128", "tea_256", "tea_512")


def load(data: Path, name: str):
    folder = "ranc_tea" if name in DIGITS else "ranc_random"
    with np.load(data / "emulator" / folder / f"{name}.npz") as file:
        return dict(file)


def neuron(d, c, j):
    return {
        "reset_potential": int(d["R"][c, j]),
        "weights": d["weights"][c, j].tolist(),
        "leak": int(d["leak"][c, j]),
        "positive_threshold": int(d["alpha"][c, j]),
        "negative_threshold": int(d["beta"][c, j]),
        "destination_core_offset": [int(d["dx"][c, j]), int(d["dy"][c, j])],
        "destination_axon": int(d["axon"][c, j]),
        "destination_tick": int(d["dtick"][c, j]),
        "current_potential": int(d["V0"][c, j]),
        "reset_mode": int(d["mode"][c, j]),
    }


def tables(d):
    """Return (input, configuration) of a vector, as RANC's simulator reads them."""
    axons, neurons, ticks = (int(d[key]) for key in ("num_axons", "num_neurons", "num_ticks"))
    packets = [[] for _ in range(ticks)]
    for k, x, y, axon, later in d["packets"].tolist():
        packets[k].append({"destination_core": [x, y], "destination_axon": axon, "destination_tick": later})
    bits = np.unpackbits(d["conn_packed"], axis=2)[:, :, :axons]
    cores = [
        {
            "axons": d["axon_type"][c].tolist(),
            "neurons": [neuron(d, c, j) for j in range(neurons)],
            "connections": bits[c].tolist(),
            "coordinates": place,
        }
        for c, place in enumerate(d["core_xy"].tolist())
    ]
    bus = {"coordinates": d["out_xy"].tolist(), "num_outputs": int(d["num_outputs"])}
    config = {"num_axons": axons, "num_neurons": neurons, "num_weights": 4, "max_tick_offset": 16}
    config |= {"num_cores_x": int(d["grid"][0]), "num_cores_y": int(d["grid"][1])}
    config |= {"neuron_reset_type": int(d["neuron_reset_type"])}
    return {"packets": packets, "output_bus": bus, "cores": cores}, config
