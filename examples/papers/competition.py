"""Song, Miller & Abbott 2000: a neuron with 1,000 synapses that compete, so that some win and the others lose.

1,000 excitatory inputs fire at random at the same rate, 200 inhibitory ones at 10 Hz. The rule only looks at pairs of
spikes, and yet the weights end up at their largest or near 0, as few of the largest as hold the neuron where its own
spikes depend on single inputs: the faster the inputs, the fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import spikestream as ss
from spikestream.model import Input, Model, Population, Projection, Rule

EXC, INH, INH_HZ = 1_000, 200, 10.0
G_MAX, G_INH = 0.015, 0.05
"""Conductances in units of the leak."""
A_PLUS, RATIO = 0.005, 1.05
"""Potentiation as a share of the largest weight, and how much larger depression is."""
NEURON = {
    "tau_m_ms": 20.0,
    "tau_syn_e_ms": 5.0,
    "tau_syn_i_ms": 5.0,
    "v_rest": -70.0,
    "v_thresh": -54.0,
    "v_reset": -60.0,
    "e_rev_e": 0.0,
    "e_rev_i": -70.0,
    "tau_refrac_ms": 0.0,
}
TICK_US = 200
"""In ticks of 1 ms a twentieth of all pairs would fall into one tick, where they potentiate, and undo `RATIO`."""
PIECE_S = 10


@dataclass(frozen=True)
class Competed:
    """What came of it: weights (1,000,) as shares of the largest, and how fast the neuron fired at the end."""

    weights: np.ndarray
    rate_hz: float

    @property
    def weak(self) -> float:
        """Return the share of weights in the lowest fifth."""
        return float(np.mean(self.weights < 0.2))

    @property
    def strong(self) -> float:
        """Return the share of weights in the highest fifth."""
        return float(np.mean(self.weights > 0.8))


def build(seed: int, ratio: float) -> ss.Network:
    """Return the neuron with all its synapses, those that learn at random below their largest weight."""
    params = {"a_plus": A_PLUS * G_MAX, "a_minus": ratio * A_PLUS * G_MAX, "w_max": G_MAX}
    model = Model(
        inputs=[Input("exc", EXC), Input("inh", INH)],
        populations=[Population("neuron", 1, neuron="cobalif", params=NEURON)],
        projections=[
            Projection("learns", "exc", "neuron", weights=(0.0, G_MAX), rules=[Rule("pair", params)]),
            Projection("calms", "inh", "neuron", weights=G_INH, receptor="inhibitory"),
        ],
        tick_us=TICK_US,
        seed=seed,
    )
    return ss.Network.from_model(model)


def run(rate_hz: float, seconds: int, *, seed: int = 1, ratio: float = RATIO) -> Competed:
    """Let inputs of this rate compete for so long; ``ratio`` is depression over potentiation."""
    net, rng = build(seed, ratio), np.random.default_rng([seed, 1])
    fired: list[int] = []
    for start_s in range(0, seconds, PIECE_S):
        made = net(poisson(rate_hz, start_s * 1_000_000, PIECE_S * 1_000_000, rng))
        fired.append(len(made))
    last = fired[-max(1, len(fired) // 5) :]
    return Competed(net.synapses("learns").weight / G_MAX, sum(last) / (len(last) * PIECE_S))


def poisson(rate_hz: float, start_us: int, length_us: int, rng: np.random.Generator) -> ss.Spikes:
    """Return random spikes of all inputs, excitatory ones at ``rate_hz``."""
    counts = [rng.poisson(n * hz * length_us / 1e6) for n, hz in ((EXC, rate_hz), (INH, INH_HZ))]
    t = start_us + rng.integers(0, length_us, sum(counts))
    axon = np.concatenate([rng.integers(0, EXC, counts[0]), rng.integers(EXC, EXC + INH, counts[1])])
    order = np.argsort(t)
    return ss.Spikes(start_us, start_us + length_us, t[order], axon[order].astype(np.int32))
