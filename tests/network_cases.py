"""What the tests of the network share: streams of spikes, lively networks, and a stage run on a stream in parts."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from spikestream.batch import Setting, Spikes, concat
from spikestream.pipeline import Pipeline
from spikestream.stages.network import Network

AXONS, NEURONS = 6, 3
LIVELY = {"theta_plus": 0.02, "inhibition": 0.5}
EAGER = {"v_thresh": 0.001, "tau_refrac_ms": 0.0, "theta_plus": 0.0, "inhibition": 3.0, "v_floor": 0.0}
"""One spike in every tick with input, none in a silent one."""
SLOW_START = settings(max_examples=100, deadline=None)  # the first example may compile the kernel
BASES = [0, 2_345_600, -7_300, 1_600_000_000_000_000]


def spikes(rows, start, stop):
    t, axon = zip(*rows, strict=True) if rows else ((), ())
    return Spikes(start, stop, np.array(t, np.int64), np.array(axon, np.int32))


def busy(count=400, start=0, stop=100_000, seed=1):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(start, stop, count))
    return Spikes(start, stop, t, rng.integers(0, AXONS, count).astype(np.int32))


def network(**options):
    return Network(AXONS, NEURONS, **{**LIVELY, **options})


def enabled(t, value):
    return Setting(t, "learn.enabled", value)


def through(stage, parts, commands=()):
    """Return what a stage says to each part, each command handed over with the part that it falls into."""
    pipeline = Pipeline({"stage": stage})
    return [pipeline(part, [c for c in commands if part.start <= c.t < part.stop])["stage"] for part in parts]


def rows_of(batches):
    whole = concat(batches)
    return list(zip(whole.t.tolist(), whole.axon.tolist(), strict=True))


@st.composite
def streams(draw, most=60):
    """Draw spikes over some ms, on tick borders and beside them, with some silence before and after."""
    start = draw(st.sampled_from(BASES)) + draw(st.integers(0, 2_500))
    t, rows = start, []
    for step, axon in draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, AXONS - 1)), max_size=most)):
        t += (0, 0, 1, 100, 250, 499, 500, 999, 1000, 2600)[step]
        rows.append((t, axon))
    return spikes(rows, start, t + 1 + draw(st.integers(0, 3_000)))


@st.composite
def cuts(draw, batch):
    """Draw times to cut at: anywhere, at spikes and beside them, some twice."""
    beside = [int(t) + d for t in batch.t for d in (0, 1)] or [batch.start]
    anywhere = st.integers(batch.start, batch.stop)
    return draw(st.lists(st.one_of(anywhere, st.sampled_from(beside)), max_size=12))


@st.composite
def switches(draw, batch):
    times = draw(st.lists(st.integers(batch.start, batch.stop - 1), max_size=4))
    return [enabled(t, draw(st.booleans())) for t in sorted(times)]
