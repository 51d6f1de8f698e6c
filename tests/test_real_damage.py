"""Damaged copies of real recordings, of each a small cut: events or a `RecordingError`, within the format's memory."""

from __future__ import annotations

import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
import rosfiles
from fuzz import mutations
from fuzzing.case import Case
from rosbags.rosbag1 import Reader as Bag

CASES = 2_000
CUTS: dict[str, list[tuple[str, int, int]]] = {
    "aedat2": [("aedat2/davis240c_boxes.aedat", 175_268, 3_000)],
    "aedat4": [("aedat4/davis346.aedat4", 0, 12_000), ("aedat4/dvxplorer.aedat4", 0, 12_000)],
    "bin": [("bin/nmnist.bin", 0, 3_000)],
    "dat": [("dat/ncars.dat", 0, 3_000)],
    "es": [("es/dvs.es", 0, 3_000), ("es/generic.es", 0, 3_000)],
    "evt2": [("evt2/gen3.raw", 0, 3_000)],
    "evt3": [("evt3/gen41.raw", 0, 3_000)],
    "mat": [("mat/stmnist.mat", 0, 10_000)],
    "nas": [("nas/pynavis_enun_stereo_64ch_ONOFF_addr4b_ts1.aedat", 0, 3_000)],
}
TOLD = {"nas": {"sensor": "stereo64:jaer"}}
"""Files, and where the cuts begin and end; a cut from the midst of a file has its first lines in front of it."""


def damage(case: Case, good: list[bytes]) -> list[int]:
    """Return how many events were in each damaged file; fails where one is more than an error of ours."""
    assert sum(case.read(one) for one in good) > 0
    share = CASES // len(good)
    tracemalloc.start()
    try:
        return [case.measured(bad) for number, one in enumerate(good) for bad in mutations(one, share, number)]
    finally:
        tracemalloc.stop()


def cut(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        head = b"".join(file.readline() for _ in range(7)) if start else b""
        file.seek(start)
        return head + file.read(length)


@pytest.mark.realdata
@pytest.mark.parametrize("name", CUTS)
def test_2000_damaged_cuts_of_real_recordings(name: str, data: Path, tmp_path: Path):
    good = [cut(data / "events" / file, start, length) for file, start, length in CUTS[name]]
    counts = damage(Case(name, tmp_path / "bad", **TOLD.get(name, {})), good)
    assert len(counts) == CASES
    assert 100 < sum(count > 0 for count in counts) < CASES


@pytest.mark.realdata
@pytest.mark.parametrize("suffix", [".bag", ".mcap", ".db3"])
def test_2000_damaged_bags_of_real_messages(suffix: str, data: Path, tmp_path: Path):
    """Two messages of a real bag, whose first chunk is longer than all other cuts together."""
    with Bag(data / "events/ros/events.bag") as bag:
        (topic,) = bag.connections
        known = rosfiles.store(1)
        real = [known.deserialize_ros1(raw, topic.msgtype) for _, _, raw in islice(bag.messages(), 2)]
    told = [(one.events.tobytes(), one.encoding, one.seq, one.time_base, (one.width, one.height)) for one in real]
    messages = [
        (topic.topic, topic.msgtype, lambda types, ros, one=one: rosfiles.packet(types, ros, *one)) for one in told
    ]
    good = rosfiles.write(tmp_path / f"good{suffix}", messages).read_bytes()
    counts = damage(Case(suffix[1:], tmp_path / "bad"), [good])
    assert sum(count > 0 for count in counts) > 100
    assert max(counts) < 10_000
