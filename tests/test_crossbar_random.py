"""Ten thousand random networks, and a hundred of whole cores, against the plain-Python law, on one thread and two.

A network is one to three cores that know nothing of others on the same chip, so that thousands of them take seconds.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from crossbar_cases import Chip, fired, many_networks, random_input, same_inside, twin_run

from spikestream.model.crossbar import RANC
from spikestream.stages.chip import crossbar

# Everything that must have happened: every mode, each way past each threshold, each delay.
PASSED = [(way, gamma, clamps) for way in ("up", "down") for gamma in range(3) for clamps in (False, True)]
EVERYTHING = (
    *(("delay", d) for d in range(1, 16)),
    *(("type", g) for g in range(4)),
    *((*passed, False) for passed in PASSED),
    *(("saturated", side) for side in (-1, 1)),
    *(("leak mode", leak, v) for leak in (-1, 1) for v in (-1, 0, 1)),
)
BY_CHANCE = (
    *(("random synapse", s) for s in (-1, 0, 1)),
    *(("random leak", s) for s in (-1, 0, 1)),
    *((*passed, True) for passed in PASSED),
)


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Every chip of two cores is worth a second thread."""
    monkeypatch.setattr(crossbar, "WORTH", 1)
    monkeypatch.setattr(crossbar, "CORES", 2)


def held(seed, count, axons, neurons, ticks, mean=2.0, **more):
    """Hold a chip of many networks against its twin; return what it saw and how many of its networks ever fired."""
    placement, first = many_networks(seed, count, axons, neurons, **more)
    start, mean = 37 * seed, mean * placement.cores
    rows = [(start + k, i) for k, i in random_input(seed, placement.input_count, ticks, mean)]
    twin, expected = twin_run(placement, rows, ticks, start)
    one, two = Chip(placement), Chip(placement, threads=2)
    assert fired(one, rows, ticks, start) == expected
    half = start + ticks // 2
    parts = [row for row in rows if row[0] < half], [row for row in rows if row[0] >= half]
    assert fired(two, parts[0], half - start, start) + fired(two, parts[1], start + ticks - half, half) == expected
    for chip in (one, two):
        same_inside(chip, twin, start + ticks)
    lively = sum(any(twin.fired[a:b]) for a, b in pairwise(first))
    return twin.seen, lively


def sizes(seed):
    """Return axons and neurons of a chip: every size up to 32 comes up."""
    return 1 + seed * 7 % 32, 1 + (seed * 11 + seed // 32) % 32


def test_ten_thousand_networks_equal_the_law_and_do_everything():
    seen, lively = Counter(), 0
    for seed in range(240):
        found, alive = held(seed, 50, *sizes(seed), ticks=18 if seed % 12 == 0 else 4)
        seen.update(found)
        lively += alive
    assert lively >= 10_000  # a silent network proves nothing and does not count
    assert {what: seen[what] for what in (*EVERYTHING, *BY_CHANCE) if seen[what] < 100} == {}


def test_a_hundred_networks_of_whole_cores_equal_the_law_and_do_everything():
    seen, lively = Counter(), 0
    for seed in range(12):
        found, alive = held(seed, 9, 256, 256, ticks=2, mean=8.0)
        seen.update(found)
        lively += alive
    assert lively >= 100
    assert {what: seen[what] for what in (*EVERYTHING, *BY_CHANCE) if seen[what] < 20} == {}


def test_networks_of_ranc_equal_its_law():
    seen, lively, included = Counter(), 0, 0
    for seed in range(24):
        included += many_networks(seed, 1, 1, 1, law=RANC)[0].floor_included
        found, alive = held(seed, 20, *sizes(seed + 5), ticks=12, law=RANC)
        seen.update(found)
        lively += alive
    assert lively > 400
    assert 5 < included < 19
    assert min(seen[way, gamma, False, False] for way in ("up", "down") for gamma in (0, 1)) > 1_000
