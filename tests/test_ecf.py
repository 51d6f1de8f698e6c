"""Prophesee's codec by the kernel, against pieces that were packed plainly, cut and damaged."""

from __future__ import annotations

import naive_ecf
import numpy as np
import pytest
from fuzz import mutations
from hdf5files import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.batch import EVENT
from spikestream.kernels.ecf import MANY, SHORT, decode
from spikestream.kernels.packed import PACKED


@pytest.mark.parametrize("way", naive_ecf.WAYS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pieces_of_ecf_are_unpacked_as_they_were_packed(way, data):
    n = data.draw(st.integers(1, 90))
    number = st.integers(0, 2047)
    steps = st.sampled_from([0, 0, 0, 0, 1, 7, 14, 15, 16, 255, 4_096, 1 << 33])
    events = np.empty(n, EVENT)
    events["t"] = data.draw(st.integers(0, 1 << 40)) + np.cumsum(data.draw(st.lists(steps, min_size=n, max_size=n)))
    for name in "xy":
        values = data.draw(st.lists(number, min_size=n, max_size=n))
        events[name] = values if data.draw(st.booleans()) else np.arange(n) // data.draw(st.integers(1, 40))
    events["p"] = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    packed = np.frombuffer(naive_ecf.encode(events, way), np.uint8)
    out = np.full(n + 3, -1).astype(EVENT)
    assert decode(packed, out.view(PACKED)) == n
    assert np.array_equal(out[:n], events)
    for cut in range(len(packed)):
        assert decode(packed[:cut], out.view(PACKED)) == SHORT
    assert decode(packed, out[: n - 1].view(PACKED)) == MANY


def test_bits_beyond_the_last_event_are_no_events():
    events = np.array([(5, 10, 3, True), (5, 11, 3, True)], EVENT)
    packed = bytearray(naive_ecf.encode(events, "runs"))
    at = packed.index((10 << 5 | 16).to_bytes(2, "little"))
    packed[at] |= 0b1111  # 12, 13, 14 and 15 too: OpenEB's writer looks at what stood there before
    out = np.zeros(2, EVENT)
    assert decode(np.frombuffer(packed, np.uint8), out.view(PACKED)) == 2
    assert np.array_equal(out, events)


@pytest.mark.parametrize("way", naive_ecf.WAYS)
def test_mutated_pieces_never_leave_their_memory(way):
    events = scene(200)
    guard = np.full(400, 7, np.int64).astype(EVENT)
    before = guard[300:].copy()
    for bad in mutations(naive_ecf.encode(events, way), 3_000, seed=3):
        found = decode(np.frombuffer(bad, np.uint8), guard[:300].view(PACKED))
        assert found in (SHORT, MANY) or 0 <= found <= 300
    assert np.array_equal(guard[300:], before)
