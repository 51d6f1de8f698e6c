"""Batch learners beside: features as counted by hand however the stream is cut, fitted on train rows only."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from small import pieces

from spikestream.batch import Spikes
from spikestream.errors import ConfigError
from spikestream.files.labels import LabelRow
from spikestream.service.baselines import Features, need_sklearn, scores

AXONS, BINS = 5, 3


def stream(windows=24, seed=0):
    """Return windows of 90 µs and a space, of kinds that differ in when axons fire, and the spikes in them."""
    rng = np.random.default_rng(seed)
    rows, t, axon = [], [], []
    for number in range(windows):
        kind = int(rng.integers(2))
        start = 100 * number
        rows.append(LabelRow(start, start + 90, "ab"[kind], number % 4 == 3))
        times = np.sort(rng.integers(0, 100, 20))
        t += (start + times).tolist()
        axon += [kind if (time < 45) else 1 - kind for time in times.tolist()]
    return rows, Spikes(0, 100 * windows, np.array(t, np.int64), np.array(axon, np.int32))


def gathered(rows, batches, bins=BINS, share=1.0):
    features = Features(bins)
    features.begin(rows, share, "address", AXONS)
    for batch in batches:
        features(batch, (), {"address": batch})
    return features


def by_hand(rows, spikes, test):
    table = []
    for row in rows:
        if row.test == test:
            counts = [0] * (BINS * AXONS)
            for t, axon in zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True):
                if row.start <= t < row.stop:
                    counts[(t - row.start) * BINS // (row.stop - row.start) * AXONS + axon] += 1
            table.append([math.sqrt(count) for count in counts])
    return table


@pytest.mark.parametrize("cuts", [[], range(7, 2_400, 37), [90, 100, 190]], ids=["whole", "often", "edges"])
def test_features_are_roots_of_counts_by_axon_and_part_of_the_window(cuts):
    rows, spikes = stream()
    features = gathered(rows, pieces(spikes, cuts))
    for test in (False, True):
        np.testing.assert_allclose(features.matrix(test).toarray(), by_hand(rows, spikes, test), rtol=1e-6)
        assert features.labels[test] == [row.label for row in rows if row.test == test]


def test_runs_follow_one_another_and_a_share_is_evenly_chosen():
    rows, spikes = stream()
    features = gathered(rows, [spikes], share=1 / 3)
    assert len(features.labels[False]) == 6
    assert len(features.labels[True]) == 6
    features.begin(rows, 1.0, "address", AXONS)
    features(spikes, (), {"address": spikes})
    assert features.matrix(False).shape == (6 + 18, BINS * AXONS)
    np.testing.assert_allclose(features.matrix(False).toarray()[6:], by_hand(rows, spikes, False), rtol=1e-6)


def test_what_counts_alone_cannot_tell_apart_parts_of_the_window_can():
    rows, spikes = stream(200)
    said = []
    timed = scores(gathered(rows, [spikes], bins=2), 0, said.append)
    assert said == list(timed)
    assert min(timed.values()) > 0.9, timed
    # 50 held-out windows: four standard errors of a guess among two are 0.28
    counted = scores(gathered(rows, [spikes], bins=1), 0, said.append)
    assert max(counted.values()) < 0.8, counted


def test_held_out_rows_are_never_fitted_on():
    rows, spikes = stream(200)
    lies = [LabelRow(r.start, r.stop, "ab"[r.label == "a"] if r.test else r.label, r.test) for r in rows]
    told = scores(gathered(lies, [spikes], bins=2), 0, lambda name: None)
    assert max(told.values()) < 0.1, told


def test_nothing_to_fit_on_is_one_clear_error():
    rows, spikes = stream()
    for kept in ([r for r in rows if r.test], [r for r in rows if r.test or r.label == "a"], []):
        with pytest.raises(ConfigError, match="labels"):
            scores(gathered(kept, [spikes]), 0, lambda name: None)


def test_bins_out_of_range_and_too_many_counts_are_refused(monkeypatch):
    for bins in (0, 1_001):
        with pytest.raises(ConfigError, match="bins"):
            Features(bins)
    monkeypatch.setattr("spikestream.service.baselines.MOST_CELLS", 50)
    rows, spikes = stream()
    with pytest.raises(ConfigError, match="more than 50 counts"):
        gathered(rows, [spikes])


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ConfigError) as caught:
        need_sklearn()
    assert "spikestream[baselines]" in caught.value.remedy
