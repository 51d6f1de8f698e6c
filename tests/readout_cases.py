"""What the tests of the readout share: streams in microseconds, gaps, commands, and a readout run on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from network_cases import enabled, spikes

from spikestream.batch import Label, Window, cut
from spikestream.stages.readout import Readout

NEURONS = 5
ALL = settings(max_examples=200, deadline=None)


def readout(window_us=10, memory=0.3, kept=3, neurons=NEURONS):
    """Return a readout; ``window_us`` None: it decides the windows that are marked."""
    if window_us is None:
        return Readout(neurons, windows="marked", memory=memory, kept=kept)
    return Readout(neurons, window_us=window_us, memory=memory, kept=kept)


def decided(batches):
    return [row for batch in batches for row in batch.rows]


def run_stage(stage, batch, gaps, told, cuts=()):
    """Run the stage on the same, cut at these times, at the edges of gaps, and where commands arrive."""
    edges = {edge for gap in gaps for edge in gap} | {at for at, _ in told} | {batch.stop}
    answers, rest = [], batch
    told = sorted(told, key=lambda item: (item[0], item[1].t))  # as a pipeline hands them out
    for edge in sorted([*edges, *cuts]):
        while told and told[0][0] <= rest.start:
            stage.command(told.pop(0)[1])
        part, rest = cut(rest, edge)
        lost = any(start <= part.start < stop for start, stop in gaps)
        if not lost:
            answers.append(stage(part))
        elif part.start < part.stop:
            answers.append(stage.skip(part.start, part.stop))
    for _, command in told:
        stage.command(command)
    return answers


@st.composite
def streams(draw):
    start = draw(st.sampled_from([0, 3, -27, 1_000_000_007]))
    stop = start + draw(st.one_of(st.integers(1, 20), st.integers(60, 150)))
    spike = st.tuples(st.integers(start, stop - 1), st.sampled_from([0, 0, 1, 1, 2, 3, NEURONS - 1]))
    return spikes(sorted(draw(st.lists(spike, min_size=(stop - start) // 4, max_size=60))), start, stop)


@st.composite
def lost(draw, batch):
    """Draw up to two gaps, and return the batch without the spikes in them."""
    edges = sorted(draw(st.lists(st.integers(batch.start + 1, batch.stop), max_size=4, unique=True)))
    gaps = list(zip(edges[::2], edges[1::2], strict=False))
    heard = np.array([not any(a <= t < b for a, b in gaps) for t in batch.t], bool)
    return gaps, replace(batch, t=batch.t[heard], axon=batch.axon[heard])


@st.composite
def commands(draw, batch, most=10):
    """Draw (arrival, command): labels on any stretch, on time, late or too early, marks and settings."""
    near = st.integers(batch.start - 5, batch.stop)
    told = []
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(batch.start, batch.stop))
        t = draw(st.one_of(st.just(at), near))
        if (kind := draw(st.integers(0, 9))) == 0:
            told.append((at, enabled(t, draw(st.booleans()))))
        elif kind == 1:
            begin = at + draw(st.integers(-3, 10))
            told.append((max(batch.start, min(begin, at)), Window(begin, begin + draw(st.integers(-1, 30)))))
        else:
            begin, stop = draw(
                st.one_of(st.just((at - 40, at + 40)), st.tuples(near, st.just(at)), st.tuples(near, near))
            )
            told.append((at, Label(t, begin, stop, draw(st.sampled_from(["a", "b", "ü"])))))
    return told


MARKS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 25)), min_size=1, max_size=8)


@st.composite
def marks(draw, batch):
    """Draw marks that follow one another, each arriving when its window begins."""
    begin, told = batch.start, []
    for pause, length in draw(MARKS):
        begin += pause
        if begin < batch.stop:
            told.append((begin, Window(begin, begin + length)))
        begin += length
    return told
