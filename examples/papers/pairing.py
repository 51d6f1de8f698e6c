"""One synapse and forced spikes at its two ends: what rules make of pairs of spikes, and of a reward that comes later.

The neuron is a LIF that the synapse alone never brings to its threshold; a second synapse, far above it, makes it fire
in the tick that is wanted. All is in float64, so that what differs from a formula is the network's doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import spikestream as ss
from spikestream.batch import Label
from spikestream.model import Input, Model, Population, Projection, Rule

BEFORE = 0.5
"""The weight to begin with, between the bounds 0 and 1."""
PRE, POST = 0, 1
"""Axons: of the synapse that learns, and of the one that makes the neuron fire."""

SONG = {"tau_plus_ms": 20.0, "tau_minus_ms": 20.0, "a_plus": 0.005, "a_minus": 0.00525, "w_max": 1.0}
"""The pair rule of Song, Miller & Abbott 2000; amplitudes as shares of the largest weight."""


def network(rule: str, params: Mapping[str, Any]) -> ss.Network:
    """Return a neuron that fires where axon `POST` spikes, with one synapse from axon `PRE` that learns by a rule."""
    model = Model(
        inputs=[Input("pre", 1), Input("teacher", 1)],
        populations=[Population("post", 1, params={"v_thresh": 1_000.0, "tau_refrac_ms": 0.0})],
        projections=[
            Projection("learns", "pre", "post", weights=BEFORE, rules=[Rule(rule, params)]),
            Projection("forces", "teacher", "post", weights=2_000.0),
        ],
        dtype="float64",
    )
    return ss.Network.from_model(model)


def change(
    rule: str,
    params: Mapping[str, Any],
    pre_ms: Sequence[int],
    post_ms: Sequence[int],
    *,
    rewards: Sequence[tuple[int, float]] = (),
    until_ms: int = 0,
) -> float:
    """Return by how much spikes at these times, ms, and rewards (ms, amount) change the weight until ``until_ms``."""
    net = network(rule, params)
    for at_ms, amount in rewards:
        net.command(Label(at_ms * 1_000, at_ms * 1_000, at_ms * 1_000, "", amount))
    times = np.array([*pre_ms, *post_ms], np.int64) * 1_000
    axons = np.repeat(np.array([PRE, POST], np.int32), [len(pre_ms), len(post_ms)])
    order = np.argsort(times, kind="stable")
    stop = max(int(times.max()) + 1_000, until_ms * 1_000)
    made = net(ss.Spikes(0, stop, times[order], axons[order]))
    if (made.t // 1_000).tolist() != sorted(post_ms):
        raise ss.SpikestreamError("the neuron fired when it was not made to")
    return float(net.synapses("learns").weight[0]) - BEFORE


def window(lag_ms: float) -> float:
    """Return what one pair changes by Song's rule; the lag is the neuron's spike minus the axon's, in whole ms."""
    pre, post = pair_times(round(lag_ms), 1, 1_000)
    return change("pair", SONG, pre, post)


def pair_times(lag_ms: int, pairs: int, every_ms: int) -> tuple[list[int], list[int]]:
    """Return when the axon and when the neuron spikes, ms, in ``pairs`` pairs that begin every ``every_ms``."""
    begins = range(0, pairs * every_ms, every_ms)
    return [at + max(0, -lag_ms) for at in begins], [at + max(0, lag_ms) for at in begins]


MEASURED_HZ = (0.1, 10.0, 20.0, 40.0, 50.0)
MEASURED = {
    10: ((-0.04, 0.05), (0.14, 0.10), (0.29, 0.14), (0.53, 0.11), (0.56, 0.26)),
    -10: ((-0.29, 0.08), (-0.41, 0.11), (-0.34, 0.10), (0.56, 0.32), (0.75, 0.19)),
}
"""Sjöström et al. 2001: relative change and its standard error by lag, ms, at those rates (docs/papers.md)."""


def triplet(lag_ms: int, rate_hz: float, pairs: int = 60, bursts: int = 1) -> float:
    """Return the relative change by ``bursts``, 10 s apart, of ``pairs`` pairs at a rate, by the triplet rule."""
    pre, post = pair_times(lag_ms, pairs, round(1_000 / rate_hz))
    begins = range(0, bursts * 10_000, 10_000)
    times = [[at + t for at in begins for t in side] for side in (pre, post)]
    # A relative change: amplitudes are shares of the weight before, and no bound is in the way.
    return change("triplet", {"w_min": -9.0, "w_max": 9.0}, *times)


def misfit(pairs: int = 60) -> float:
    """Return the mean over the ten measured points of ((change - measured) / standard error) squared."""
    squares = [
        ((triplet(lag, hz, pairs) - mean) / error) ** 2
        for lag, row in MEASURED.items()
        for hz, (mean, error) in zip(MEASURED_HZ, row, strict=True)
    ]
    return float(np.mean(squares))


DELAYED = {**SONG, "tau_c_ms": 1_000.0, "tau_d_ms": 200.0}
DELAYS_MS = (0, 500, 1_000, 2_000, 5_000)


def delayed(delay_ms: int, amount: float = 0.5) -> float:
    """Return what a reward makes of a pair 10 ms apart that was over ``delay_ms`` before, when both have faded."""
    return change("rstdp", DELAYED, [0], [10], rewards=[(10 + delay_ms, amount)], until_ms=delay_ms + 20_000)


def delayed_formula(delay_ms: int, amount: float = 0.5) -> float:
    """Return the integral of what is left of eligibility times what is left of dopamine."""
    tau_c, tau_d = DELAYED["tau_c_ms"] / 1_000, DELAYED["tau_d_ms"] / 1_000
    eligible = DELAYED["a_plus"] * np.exp(-10 / DELAYED["tau_plus_ms"])
    return float(eligible * amount * np.exp(-delay_ms / 1_000 / tau_c) * tau_c * tau_d / (tau_c + tau_d))
