"""The store of samples: how often the latest of a class come back, and in which order samples stand."""

from __future__ import annotations

import numpy as np
import pytest

from spikestream.stages.classify.samples import Sample
from spikestream.stages.classify.store import Store


def sample(number):
    return Sample(number + 1, np.zeros(0, np.int32), np.zeros(0, np.int32))


def filled(room, recent, count):
    store = Store(room, 3, 5, recent)
    store.learned(0)
    for number in range(count):
        store.offer(0, sample(number), number + 1)
    return store


@pytest.mark.parametrize(("recent", "expected"), [(0, 0.2), (10, 0.5 + 0.1), (1, 0.5 + 0.1)])
def test_every_second_sample_is_of_the_latest(recent, expected):
    store = filled(50, recent, 50)
    drawn = [store.draw()[1].ticks for _ in range(4_000)]
    late = sum(ticks > 40 for ticks in drawn) / len(drawn)
    assert late == pytest.approx(expected, abs=0.03)
    if recent == 10:
        each = [drawn.count(ticks) / len(drawn) for ticks in range(41, 51)]
        assert each == pytest.approx([0.5 / 10 + 0.5 / 50] * 10, abs=0.02)
    if recent == 1:
        assert drawn.count(50) / len(drawn) == pytest.approx(0.5 + 0.5 / 50, abs=0.03)


def test_samples_stand_in_the_order_they_came():
    ticks = filled(8, 2, 200).state()["store_ticks"].tolist()
    assert len(ticks) == 8
    assert ticks == sorted(ticks)
    assert max(ticks) > 8


def test_what_makes_room_for_another_class_is_any_of_the_largest():
    """Ten of 1..20 go, by chance and not by age: the mean of what stays, over seeds, is that of all."""
    left = []
    for seed in range(50):
        store = Store(20, seed, 5)
        for number in range(20):
            store.offer(0, sample(number), number + 1)
        for number in range(10):
            store.offer(1, sample(number), number + 1)
        state = store.state()
        left.append(state["store_ticks"][state["store_class"] == 0])
    assert {len(ticks) for ticks in left} == {10}
    assert np.mean(left) == pytest.approx(10.5, abs=1)
