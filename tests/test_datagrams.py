"""Datagrams of events: every layout as its authors describe it, and whatever else may be in one."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from live_cases import SIZE, by_hand, stream_of

from spikestream.batch import EVENT
from spikestream.errors import RecordingError
from spikestream.formats.datagrams import LAYOUTS, MOST_BYTES, SPIF_BYTES, layout


@pytest.mark.parametrize("name", [*LAYOUTS, "spif-stamped"])
def test_each_layout_is_read_as_its_authors_describe_it_and_written_so(name):
    events = stream_of(90, first=1 << 33)
    plain, stamps = name.partition("-")[0], name.endswith("stamped")
    read = layout(plain, SIZE, stamps)
    found = read.decode(by_hand(name, events))
    assert found[["x", "y", "p"]].tolist() == events[["x", "y", "p"]].tolist()
    assert read.stamped == (name != "spif")
    if name != "spif":
        wraps = 1 << 32 if name in ("faery32", "spif-stamped") else 1 << 62
        assert found["t"].tolist() == (events["t"] % wraps).tolist()
    sent = list(layout(plain, SIZE, stamps).encode(events[:60]))
    assert [count for _, count in sent] == [60]
    assert sent[0][0] == by_hand(name, events[:60])


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_datagram_is_larger_than_its_receivers_take(name):
    events = stream_of(5_000, step_us=3_000)
    sent = list(layout(name, SIZE).encode(events))
    assert sum(count for _, count in sent) == 5_000
    assert max(len(datagram) for datagram, _ in sent) <= (SPIF_BYTES if name == "spif" else MOST_BYTES)
    assert list(layout(name, SIZE).encode(events[:0])) == []


@pytest.mark.parametrize("name", ["faery32", "spif-stamped"])
def test_stamps_of_32_bits_go_on_after_71_minutes(name):
    events = stream_of(600, first=(1 << 32) - 12_000)
    read = layout(name.partition("-")[0], SIZE)
    found = np.concatenate([read.decode(by_hand(name, part)) for part in np.split(events, 20)])
    assert (found["t"] - found["t"][0]).tolist() == (events["t"] - events["t"][0]).tolist()


@pytest.mark.parametrize("name", LAYOUTS)
def test_whatever_a_datagram_holds_it_is_events_or_a_reason(name):
    rng = random.Random(name)
    good = by_hand(name, stream_of(40))
    for _ in range(400):
        datagram = bytearray(good if rng.random() < 0.7 else rng.randbytes(rng.randrange(2_000)))
        for _ in range(rng.randrange(6)):
            if datagram:
                datagram[rng.randrange(len(datagram))] = rng.choice([0, 255, rng.randrange(256)])
        del datagram[rng.randrange(len(datagram) + 1) if rng.random() < 0.3 else len(datagram) :]
        read = layout(name, SIZE)
        reason, found = "", np.empty(0, EVENT)
        try:
            found = read.decode(bytes(datagram))
        except RecordingError as error:
            reason = error.what
        assert len(reason) < 30
        assert found.dtype == EVENT
        assert len(found) <= len(datagram) // 4
        assert found["p"].view(np.uint8).max(initial=0) <= 1


@pytest.mark.parametrize(
    ("name", "datagram", "reason"),
    [
        ("faery", struct.pack("<QHHB", 5, 1, 1, 2), "no such events"),
        ("faery", struct.pack("<QHHB", 1 << 62, 1, 1, 1), "no such events"),
        ("faery", bytes(14), "cut"),
        ("faery32", bytes(9), "cut"),
        ("spif", struct.pack("<II", 1 << 31, 1), "mixed"),
        ("spif", struct.pack("<IIII", 1, 5, 1 << 31, 6), "mixed"),
        ("spif", struct.pack("<III", 1, 5, 1), "cut"),
        ("es", bytes(7), "cut"),
        ("es", bytes(60), "no Event Stream"),
        ("es", by_hand("es", stream_of(3))[:-1], "no Event Stream"),
        (
            "es",
            by_hand("es", stream_of(3)).replace(struct.pack("<HH", *SIZE), struct.pack("<HH", 4, 4)),
            "another size",
        ),
    ],
)
def test_what_is_none_of_a_layout_has_its_reason(name, datagram, reason):
    with pytest.raises(RecordingError) as caught:
        layout(name, SIZE).decode(datagram)
    assert caught.value.what == reason


@pytest.mark.parametrize("name", [*LAYOUTS, "spif-stamped"])
def test_what_does_not_fit_a_layout_is_not_sent(name):
    before, wide = stream_of(3), stream_of(3)
    before["t"] -= 5_000_000
    wide["x"] = 1 << 15
    with pytest.raises(RecordingError):
        list(layout(name.partition("-")[0], SIZE).encode(before))
    before["t"][-1] = 1 << 62
    before["t"][:-1] = (1 << 62) - 1
    assert list(layout(name.partition("-")[0], SIZE).encode(before[:-1]))
    with pytest.raises(RecordingError):
        list(layout(name.partition("-")[0], SIZE).encode(before[-1:]))
    if name != "faery":
        with pytest.raises(RecordingError):
            list(layout(name.partition("-")[0], SIZE).encode(wide))
