"""Izhikevich 2007, experiment 1: of 80,000 synapses the one whose spikes are rewarded seconds later grows.

A network of cortical neurons, 80 % regular spiking and 20 % fast spiking, 10 % connected, driven by noise. Each time
neuron `PRE` fires and its target `post` does so within 20 ms, a reward comes 1 to 3 s later, when both have been silent
again and fired again, like all others. Nothing tells the network which synapse is meant.

Numbers are those of `daspnet.m`, the program published with the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import spikestream as ss
from spikestream.batch import Label
from spikestream.model import Input, Model, Population, Projection, Rule

PRE = 0
"""The neuron before the synapse that is reinforced."""
WITHIN_MS = 20
REWARD = 50.0
"""In 1/s: the program moves weights 100 times a second, and a reward is 0.5 there."""
W_MAX = 4.0
NOISE = 13.0
"""Width of the noise, uniform around 0, anew in every tick and neuron."""
DRAWS = 4_096
"""Noise is drawn from so many vectors over all neurons, one a tick, so that a tick costs one input spike."""
SECOND_US = 1_000_000

RULE = Rule("rstdp", {"a_plus": 0.1, "a_minus": 0.15, "d_tonic": 0.2, "w_max": W_MAX})
EXC = {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0}
INH = {"a": 0.1, "b": 0.2, "c": -65.0, "d": 2.0}


@dataclass(frozen=True)
class Size:
    """How large the network is: neurons of both kinds, and how many others each one reaches."""

    exc: int
    inh: int
    reach: int


FULL, SMALL = Size(800, 200, 100), Size(40, 10, 5)


@dataclass(frozen=True)
class Outcome:
    """What came of a run: the weight of the synapse and those of all others that learn, and when rewards came."""

    weight: float
    others: np.ndarray  # (synapses - 1,)
    rewards_ms: np.ndarray  # (rewards,), in the order of what they are for
    course: np.ndarray  # (samples, 4): second, the weight, the mean of the others, what 99 % of them lie below
    rate_hz: float  # of all neurons

    @property
    def rank(self) -> float:
        """Return the share of other synapses that are weaker."""
        return float(np.mean(self.others < self.weight))


def targets(size: Size, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return who reaches whom, (exc, reach) and (inh, reach): excitatory neurons anyone else, inhibitory ones those."""
    total = size.exc + size.inh
    exc = np.array([rng.permutation(np.delete(np.arange(total), i))[: size.reach] for i in range(size.exc)])
    inh = np.array([rng.permutation(size.exc)[: size.reach] for _ in range(size.inh)])
    return exc, inh


def build(size: Size, seed: int) -> tuple[ss.Network, int]:
    """Return the network, and the neuron behind the synapse that is reinforced, which begins with weight 0."""
    from_exc, from_inh = targets(size, np.random.default_rng(seed))
    pre, target = np.repeat(np.arange(size.exc), size.reach), from_exc.ravel()
    to_exc = target < size.exc
    post = int(target[to_exc][0])
    weights = np.ones(int(to_exc.sum()))
    weights[0] = 0.0
    calm = {"pre": np.repeat(np.arange(size.inh), size.reach), "post": from_inh.ravel()}
    model = Model(
        inputs=[Input("thalamus", DRAWS)],
        populations=[
            Population("exc", size.exc, neuron="izhikevich", params=EXC),
            Population("inh", size.inh, neuron="izhikevich", params=INH),
        ],
        projections=[
            Projection("noise_exc", "thalamus", "exc", weights=(-NOISE / 2, NOISE / 2)),
            Projection("noise_inh", "thalamus", "inh", weights=(-NOISE / 2, NOISE / 2)),
            _learns("exc_exc", pre[to_exc], target[to_exc], weights),
            _learns("exc_inh", pre[~to_exc], target[~to_exc] - size.exc, np.ones(int((~to_exc).sum()))),
            Projection("inh_exc", "inh", "exc", connect="pairs", weights=-1.0, **calm),
        ],
        seed=seed,
    )
    return ss.Network.from_model(model), post


def _learns(name: str, pre: np.ndarray, post: np.ndarray, weights: np.ndarray) -> Projection:
    source, target = name.split("_")
    return Projection(name, source, target, connect="pairs", pre=pre, post=post, weights=weights, rules=[RULE])


def run(size: Size, seed: int, seconds: int, *, instead_ms: np.ndarray | None = None, every_s: int = 10) -> Outcome:
    """Run the experiment, and keep its course ``every_s``.

    With ``instead_ms`` rewards come at those times, whatever fires: none of them is no reward at all.
    """
    net, post = build(size, seed)
    noise, delays = (np.random.default_rng([seed, which]) for which in (1, 2))
    last_ms, spikes, rewards, course = -WITHIN_MS, 0, [], []
    if instead_ms is not None:
        rewards = sorted(instead_ms.tolist())
        _reward(net, rewards)
    for second in range(seconds):
        made = net(_noise(second, noise))
        spikes += len(made)
        found, last_ms = coincidences(made, post, last_ms)
        later = [at_ms + int(delays.integers(1_001, 3_001)) for at_ms in found]
        if instead_ms is None:
            rewards += later
            _reward(net, later)
        if second % every_s == every_s - 1:
            weight, others = _weights(net, post)
            course.append((second + 1, weight, others.mean(), np.quantile(others, 0.99)))
    weight, others = _weights(net, post)
    rate_hz = spikes / seconds / (size.exc + size.inh)
    return Outcome(weight, others, np.array(rewards, np.int64), np.array(course), rate_hz)


def coincidences(made: ss.Spikes, post: int, last_ms: int) -> tuple[list[int], int]:
    """Return when ``post`` fired less than `WITHIN_MS` after `PRE`, ms, and when `PRE` did last or ``last_ms``."""
    found = []
    for t, neuron in zip((made.t // 1_000).tolist(), made.axon.tolist(), strict=True):
        # Spikes of a tick come in order of their number, so PRE's is known before the target's of the same tick.
        if neuron == PRE:
            last_ms = t
        elif neuron == post and 0 < t - last_ms < WITHIN_MS:
            found.append(t)
    return found, last_ms


def _noise(second: int, rng: np.random.Generator) -> ss.Spikes:
    start, stop = second * SECOND_US, (second + 1) * SECOND_US
    return ss.Spikes(start, stop, np.arange(start, stop, 1_000), rng.integers(0, DRAWS, 1_000, dtype=np.int32))


def _reward(net: ss.Network, times_ms: list[int]) -> None:
    for t in (at_ms * 1_000 for at_ms in times_ms):
        net.command(Label(t, t, t, "", REWARD))


def _weights(net: ss.Network, post: int) -> tuple[float, np.ndarray]:
    """Return the weight of the synapse that is reinforced, and those of the others that learn."""
    exc, inh = net.synapses("exc_exc"), net.synapses("exc_inh")
    ours = (exc.pre == PRE) & (exc.post == post)
    return float(exc.weight[ours][0]), np.concatenate([exc.weight[~ours], inh.weight])
