"""A whole recording in one piece of memory, whatever the decoder, the size of the file and what it guesses from it."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from plainformat import at, plain, save
from test_prophesee import scene

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.files.gather import gathered
from spikestream.files.order import Order
from spikestream.files.reader import Reader
from spikestream.formats.aedat4 import FORMAT as AEDAT4
from spikestream.kernels.packed import PACKED

__all__ = ["plain"]
SUFFIXES = {"evt2": "raw", "evt3": "raw"}


def test_packed_events_are_events():
    assert PACKED.itemsize == EVENT.itemsize
    assert np.array([(7, 3 + 4 * 65_536, 1)], PACKED).view(EVENT).tolist() == [(7, 3, 4, True)]


@pytest.mark.parametrize("n", [0, 1, 3_000, 200_000])
@pytest.mark.parametrize("format", ["evt2", "evt3", "dat", "es", "aedat2", "aedat3", "aedat4", "csv"])
def test_it_holds_what_the_stream_brings(tmp_path, format, n):
    path = tmp_path / f"a.{SUFFIXES.get(format, format)}"
    ss.write(path, ss.Events(0, 60_000_001, scene(n), (640, 480)), format=format)
    with Reader(path) as reader:
        got = gathered(reader)
    assert np.array_equal(got, scene(n))
    assert got.base is None  # its own memory, and no more than that
    assert got.nbytes == n * EVENT.itemsize


def test_more_events_than_a_guess_has_room_for(tmp_path):
    """EVT 3.0 has up to twelve events in two bytes, and these come behind two megabytes with hardly any."""
    rare = np.tile(np.array([0x8000, 0x6001], "<u2"), 500_000)
    dense = np.tile(np.array([0x3000, 0x4FFF, 0x4FFF, 0x4FFF], "<u2"), 100_000)
    words = np.concatenate([np.array([0x8000, 0x0001], "<u2"), rare, dense])
    (tmp_path / "a.raw").write_bytes(b"% evt 3.0\n% geometry 1280x720\n% end\n" + words.tobytes())
    got = ss.read(tmp_path / "a.raw").data
    assert len(got) == 3_600_000
    assert np.array_equal(got["x"].reshape(-1, 36), np.tile(np.arange(36), (100_000, 1)))


@pytest.mark.usefixtures("plain")
def test_a_decoder_that_makes_its_own_memory_and_stamps_that_are_mended(tmp_path):
    times = [5, 3, 9, 1, 10]
    assert ss.read(save(tmp_path / "a.plain", at(times))).data["t"].tolist() == [5, 5, 9, 9, 10]


@pytest.mark.parametrize("format", ["evt2", "evt3", "dat", "aedat3", "aedat4", "csv", "es"])
@pytest.mark.parametrize("step_us", [-2, -70, -5_000, 0, 1 << 19, 11_000_000])
def test_a_step_that_only_the_decoder_looks_at_is_seen(tmp_path, format, step_us):
    """Decoders say that events are tidy, and are believed: whatever is not has to be told."""
    if format == "es" and step_us < 0:
        return  # which it cannot store
    made = scene(150_000)  # the first array is looked at anyway, where it does not start at 0
    made["t"] = 20_000_000 + np.arange(150_000) // 2 + np.where(np.arange(150_000) >= 100_000, step_us, 0)
    path = tmp_path / f"a.{SUFFIXES.get(format, format)}"
    ss.write(path, ss.Events(0, 60_000_001, made, (640, 480)), format=format)
    with Reader(path, time="keep") as reader:
        assert np.array_equal(gathered(reader)["t"], made["t"])
    assert reader.problems == ({"backward": 1} if step_us < 0 else {"future": 1} if step_us > 10_000_000 else {})
    assert np.array_equal(ss.read(path).data["t"], np.maximum.accumulate(made["t"]))


@pytest.mark.parametrize("place", [(640, 0), (0, 480)])
def test_a_pixel_that_only_the_decoder_looks_at_is_seen(tmp_path, place):
    """AEDAT 3 keeps events outside of the size that is told."""
    made = scene(150_000)
    made["t"] = np.arange(150_000)
    made["x"][100_000], made["y"][100_000] = place
    path = tmp_path / "a.aedat3"
    ss.write(path, ss.Events(0, 150_000, made, (641, 481)), format="aedat3")
    with Reader(path, size=(640, 480)) as reader:
        assert np.array_equal(gathered(reader), made)
    assert reader.problems == {"outside": 1}


def test_a_silence_that_only_what_is_left_out_breaks_is_one(tmp_path):
    """DAT drops pixels outside of the size it tells: what lies around them may be further apart than its words."""
    made = scene(80_015)
    made["t"] = np.arange(80_015) + 900_000 * np.maximum(0, np.arange(80_015) - 80_000)
    made["x"][80_001:-1] = 640
    path = tmp_path / "a.dat"
    ss.write(path, ss.Events(0, 20_000_000, made, (641, 480)), format="dat")
    path.write_bytes(path.read_bytes().replace(b"Width 641", b"Width 640"))
    with Reader(path) as reader:
        assert len(gathered(reader)) == 80_002
    assert reader.problems == {"future": 1}


@pytest.mark.parametrize("step_us", [-5_000, 11_000_000])
def test_a_step_between_packets_that_come_together_is_seen(tmp_path, step_us):
    made = scene(150_000)
    made["t"] = 20_000_000 + np.arange(150_000) + np.where(np.arange(150_000) >= 100_000, step_us, 0)
    encoder = AEDAT4.encoder(size=(640, 480))
    path = tmp_path / "a.aedat4"
    path.write_bytes(
        b"".join(encoder.feed(made[at : at + 1_000]) for at in range(0, 150_000, 1_000)) + encoder.finish()
    )
    with Reader(path, time="keep") as reader:
        assert np.array_equal(gathered(reader), made)
        assert len(reader.decoder.packets) == 1
        assert reader.decoder.packets[0] == 150
    assert reader.problems == ({"backward": 1} if step_us < 0 else {"future": 1})


def test_tidy_events_that_begin_before_the_last_ones_end_are_mended():
    order = Order()
    made = scene(100)
    assert len(np.concatenate(list(order.feed(made, tidy=True)))) == 100
    (late,) = order.feed(made, tidy=True)
    assert set(late["t"].tolist()) == {int(made["t"][-1])}
    assert order.problems == {"backward": 1, "clamped": 99}
    assert len(np.concatenate(list(order.feed(made[:50], tidy=True)))) == 50
    (late,) = order.feed(made[50:60], tidy=True)
    assert set(late["t"].tolist()) == {int(made["t"][-1])}


def test_tidy_events_far_behind_the_last_ones_are_told():
    order, made, step_us = Order(), scene(100), 10_000_001
    later = made.copy()
    later["t"] += made["t"][-1] - made["t"][0] + step_us
    assert [len(part) for events in (made, later) for part in order.feed(events, tidy=True)] == [100, 100]
    assert order.problems == {"future": 1}
    (last,) = order.feed(later, tidy=True)
    assert set(last["t"].tolist()) == {int(later["t"][-1])}


def test_events_outside_of_the_size_are_seen_in_aedat4(tmp_path):
    made = scene(100, seed=4)
    made["t"] //= 100
    assert made["x"].argmax() > 0 < made["y"].argmax()  # the first one is looked at anyway
    ss.write(tmp_path / "a.aedat4", ss.Events(0, 60_000_001, made, (640, 480)))
    x, y = int(made["x"].max()), int(made["y"].max())
    for size, outside in (((x + 1, y + 1), 0), ((x, 480), (made["x"] == x).sum()), ((640, y), (made["y"] == y).sum())):
        with Reader(tmp_path / "a.aedat4", size=size) as reader:
            assert len(gathered(reader)) == 100
        assert reader.problems.get("outside", 0) == outside


@pytest.mark.parametrize("format", ["dat", "aedat4"])
def test_what_was_read_is_gone_with_its_last_name_and_waits_for_no_collector(tmp_path, format):
    path = tmp_path / f"a.{format}"
    ss.write(path, ss.Events(0, 400_000, scene(400_000), (640, 480)), format=format)
    ss.read(path)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        sizes = [ss.read(path).data.nbytes for _ in range(3)]
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert left < sizes[0]
