"""What comes from a broker is put right: each batch once and in order, whatever comes besides, wherever one begins."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from fuzz import mutations
from small import SIZE, events, noise

from spikestream.batch import Events, cut
from spikestream.errors import ModelError
from spikestream.sensors.base.order import Mark, Order, size_in
from spikestream.wire import Gap, Outgoing, Stats, kind_of, loss_frame

TOPIC = "main.filter.events"


def frame(seq, batch):
    return Outgoing(f"main.filter.{kind_of(batch)}", kind_of(batch), seq, 10**18 + seq, batch).frame


def stream(count, start=0, first=0, seed=0):
    """Return so many frames of batches of 10 ms, and the batches."""
    batches = [noise(at, at + 10_000, seed + at) for at in range(start, start + 10_000 * count, 10_000)]
    return [frame(first + n, batch) for n, batch in enumerate(batches)], batches


def taken(order, *bundles):
    """Return the batches of bundles (epoch, bytes), numbered from 1 as a store does."""
    return [batch for at, (epoch, data) in enumerate(bundles, 1) for batch in order.take(epoch, data, at)]


def same(found, expected):
    assert [(one.start, one.stop, one.size) for one in found] == [(one.start, one.stop, one.size) for one in expected]
    assert all(np.array_equal(a.data, b.data) for a, b in zip(found, expected, strict=True))


def closes(order):
    assert order.received == order.sent + order.repeated + order.misplaced


def test_however_frames_are_bundled_and_repeated_each_batch_comes_once():
    frames, batches = stream(40)
    for seed in range(20):
        rng, at, bundles = Random(seed), 0, []
        while at < len(frames):
            begin, end = max(0, at - rng.randint(0, 3)), at + rng.randint(1, 5)
            bundles.append(("a", b"".join(frames[begin:end])))
            at = end
        order = Order(SIZE)
        same(taken(order, *bundles), batches)
        closes(order)
        assert (order.missing, order.foreign) == (0, 0)
        assert order.mark == Mark(len(bundles), len(bundles), "a", 40, 400_000, 0)


def messy():
    """Return bundles with everything that can happen: losses told and not, other epochs, clocks that begin anew."""
    a, _ = stream(8)
    b, _ = stream(6, seed=1)
    c, _ = stream(5, start=70_000, first=3, seed=2)
    return [
        ("a", a[0] + a[1]),
        ("a", a[1] + loss_frame(TOPIC, 2, 4, 60)),
        ("a", b"nonsense"),
        ("a", a[4] + a[6]),
        ("b", loss_frame(TOPIC, 0, 1, 30) + b[1]),
        (None, a[7]),
        ("b", b[1] + b[2] + b[3]),
        ("c", c[0] + c[1]),
        ("c", c[1] + c[2] + frame(6, noise(0, 5_000))),
        ("c", c[4]),
    ]


def test_whoever_begins_at_a_mark_gets_what_the_one_before_would_have_got():
    bundles, order, marks, batches = messy(), Order(SIZE), [], []
    for at, (epoch, data) in enumerate(bundles, 1):
        for batch in order.take(epoch, data, at):
            batches.append(batch)
            marks.append(order.mark)
    closes(order)
    assert order.misplaced == 15
    assert order.missing == 2 + 1 + 1  # two told, one not, and one told of the next epoch
    assert order.foreign == 2
    assert all(one.stop <= other.start for one, other in pairwise(batches))
    assert len(batches) == 11
    for number, mark in enumerate(marks):
        again = Order(SIZE)
        again.mark = Mark.of(json.loads(json.dumps(mark.told())))
        rest = [
            batch
            for at, (epoch, data) in enumerate(bundles, 1)
            if at > again.mark.whole and at > mark.whole
            for batch in again.take(epoch, data, at)
        ]
        same(rest, batches[number + 1 :])


def test_a_clock_that_begins_anew_is_moved_by_whole_seconds_and_one_that_goes_on_is_not():
    first, _ = stream(3)
    anew, given = stream(3, seed=5)
    onward, later = stream(2, start=5_000_000, seed=6)
    order = Order(SIZE)
    found = taken(order, ("a", b"".join(first)), ("b", b"".join(anew)), ("c", b"".join(onward)))[3:]
    assert [one.start for one in found] == [1_000_000, 1_010_000, 1_020_000, 5_000_000, 5_010_000]
    assert np.array_equal(found[0].data["t"], given[0].data["t"] + 1_000_000)
    same(found[3:], later)


@pytest.mark.parametrize(
    "alien",
    [
        frame(3, Stats(30_000, 40_000, {"rate_hz": 1.0})),
        frame(3, Gap(30_000, 40_000)),
        frame(3, Events(30_000, 40_000, events(0, 1, [(30_000, 4, 0, True)]).data, SIZE)),
        frame(3, Events(30_000, 40_000, events(0, 1).data, (5, 4))),
        frame(3, Events(30_000, 30_000 + 2 * 3_600_000_000, events(0, 1).data, SIZE)),
        b"\x00\x00\x00\x00" + frame(3, noise(30_000, 40_000)),
        frame(3, noise(30_000, 40_000))[:-1],
    ],
)
def test_what_is_none_of_a_publisher_of_events_is_counted_and_passed_over(alien):
    frames, batches = stream(3)
    order = Order(SIZE)
    onward, rest = stream(2, start=40_000, first=4)
    same(taken(order, ("a", b"".join(frames)), ("a", alien), ("a", b"".join(onward))), batches + rest)
    assert (order.foreign, order.missing) == (1, 1)


def test_damaged_bundles_never_break_it():
    frames, batches = stream(12)
    good = b"".join(frames[:6])
    order = Order(SIZE)
    now = 0
    for at, data in enumerate(mutations(good, 3_000, seed=7), 1):
        for batch in order.take("a", data, at):
            assert batch.start >= now
            assert batch.start < batch.stop
            data = batch.data
            assert not len(data) or (data["t"][0] >= batch.start and data["t"][-1] < batch.stop)
            assert not len(data) or (data["x"].max() < 4 and data["y"].max() < 4)
            now = batch.stop
        closes(order)
    assert order.foreign > 1_000
    same(taken(order, ("b", b"".join(frames)))[-1:], [order_moved(batches[-1], order)])


def order_moved(batch, order):
    """Return the batch where the order has placed its epoch."""
    by = order.mark.shift
    data = batch.data.copy()
    data["t"] += by
    return Events(batch.start + by, batch.stop + by, data, batch.size)


def test_the_size_is_told_by_the_first_batch_that_has_one():
    unknown = Events(0, 10, events(0, 1).data, None)
    assert size_in(frame(0, unknown) + frame(1, noise(10, 20))) == SIZE
    assert size_in(frame(0, unknown)) is None
    assert size_in(b"\xff" * 40) is None


@pytest.mark.parametrize("wrong", [{}, {"at": -1}, {"seq": "1"}, {"epoch": None}, {"now": 2**63}, {"shift": 1.5}])
def test_a_mark_that_makes_no_sense_is_refused(wrong):
    told = Mark(1, 1, "a", 1, 10, 0).told()
    assert Mark.of(told) == Mark(1, 1, "a", 1, 10, 0)
    with pytest.raises(ModelError, match="how far"):
        Mark.of({**told, **wrong} if wrong else {})


def test_a_batch_that_lies_partly_in_the_past_is_out_of_place():
    frames, _ = stream(2)
    order = Order(SIZE)
    late = cut(noise(10_000, 30_000), 15_000)[1]
    assert len(taken(order, ("a", b"".join(frames)), ("a", frame(2, late)))) == 2
    assert order.misplaced == len(late)
