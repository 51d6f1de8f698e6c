"""What `info` tells of a recording, and what it finds wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plainformat import at, events, plain, python, save

from spikestream.errors import RecordingError
from spikestream.files.info import info

__all__ = ["plain"]


def test_the_facts_of_a_small_recording(plain, tmp_path):
    data = events([(1_000, 1, 2, True), (1_500, 3, 4, False), (2_999, 5, 6, True), (2_999, 7, 8, True)])
    path = save(tmp_path / "a.plain", data)
    got = info(path, sensor="eye")
    assert (got.path, got.format, got.title, got.sensor) == (str(path), "plain", "Plain events", "eye")
    assert (got.size, got.bytes, got.events) == ((640, 480), path.stat().st_size, 4)
    assert (got.first_t, got.last_t, got.duration_us, got.rate_hz, got.on_share) == (1_000, 2_999, 2_000, 2_000.0, 0.75)
    assert (got.skipped, got.problems, got.warnings, got.suspicious) == ({}, {}, (), False)


def test_an_empty_recording_has_no_times(plain, tmp_path):
    got = info(save(tmp_path / "a.plain", at([])))
    assert (got.events, got.first_t, got.last_t, got.duration_us, got.rate_hz, got.on_share) == (0, *[None] * 5)
    assert not got.suspicious


def test_the_header_alone_leaves_the_counts_open(plain, tmp_path):
    path = save(tmp_path / "a.plain", at([5, 6, 4]), tail=b"?")
    got = info(path, scan=False)
    assert (got.format, got.size, got.bytes) == ("plain", (640, 480), path.stat().st_size)
    assert (got.events, got.first_t, got.last_t, got.duration_us, got.rate_hz, got.on_share) == (None,) * 6
    assert (got.problems, got.warnings, got.suspicious) == ({}, (), False)


def test_steps_in_time_are_reported_and_stamps_told_as_stored(plain, tmp_path):
    got = info(save(tmp_path / "a.plain", at([50, 40, 30, 45, 10_000_046, 20_000_046])))
    assert got.problems == {"backward": 2, "future": 1}
    assert got.warnings == ("2 backward time steps (largest -10 µs at event 1); time policy 'keep' used",)
    assert (got.first_t, got.last_t, got.suspicious) == (30, 20_000_046, True)
    got = info(save(tmp_path / "long.plain", at([7, *range(2, 200_000), 1])))
    assert (got.first_t, got.last_t, got.problems) == (1, 199_999, {"backward": 2})


def test_coordinates_outside_of_the_size_are_reported(plain, tmp_path):
    data = events([(1, 640, 0, True), (2, 65535, 65535, True), (3, 0, 479, True)])
    assert info(save(tmp_path / "a.plain", data)).problems == {"outside": 2}


def test_hot_pixels_are_named_with_their_share(plain, tmp_path):
    rng = np.random.default_rng(1)
    data = at(range(100_000))
    data["x"], data["y"] = rng.integers(0, 640, 100_000), rng.integers(0, 480, 100_000)
    data["x"][:1_500], data["y"][:1_500] = 3, 4
    data["x"][5_000:8_000], data["y"][5_000:8_000] = 639, 479
    data["x"][9_000:9_900], data["y"][9_000:9_900] = 7, 7  # 900 times the mean pixel, but under 1 %
    got = info(save(tmp_path / "a.plain", data))
    assert got.problems == {"hot_pixels": 2}
    assert got.warnings == ("2 hot pixels: (639, 479) 3.0%, (3, 4) 1.5%",)
    quiet = at(range(600))
    quiet["x"] %= 10  # each has 10 %, none more than the others
    assert not info(save(tmp_path / "a.plain", quiet)).suspicious


def test_what_was_guessed_is_suspicious(plain, tmp_path):
    got = info(save(tmp_path / "a.plain", at([1])), tint="red")
    assert (got.warnings, got.problems, got.suspicious) == (("tinted red",), {}, True)


def test_a_damaged_recording_is_told_up_to_the_damage(plain, tmp_path):
    path = save(tmp_path / "a.plain", at([5, 6]), tail=b"???")
    got = info(path)
    assert (got.events, got.last_t, got.problems, got.suspicious) == (2, 6, {"damaged": 1}, True)
    assert got.warnings == ("breaks off after 2 events: cut inside an event; expected 13 bytes, found 3",)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(RecordingError, match="cut inside an event"):
        info(path)


def test_forged_coordinates_and_sizes_cost_no_memory(plain, tmp_path):
    rng = np.random.default_rng(2)
    data = at(range(200_000))
    data["x"], data["y"] = rng.integers(0, 65_536, (2, 200_000))
    save(tmp_path / "small.plain", at([1]))
    save(tmp_path / "forged.plain", data, size="65536x65536")
    code = """
import resource, sys
from spikestream.files.info import info
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
info(sys.argv[1])
before = peak()
print(info(sys.argv[2]).events, peak() - before)
"""
    told = python(code, plain, tmp_path / "small.plain", tmp_path / "forged.plain", text=True)
    count, grown = (int(word) for word in told.stdout.split())
    assert count == 200_000
    assert grown < 96, f"{grown} MiB"


REAL = {
    "events/aedat2/davis240c_boxes.aedat": ("aedat2", 162_771, 294_976_755, 297_049_406, (240, 180), 0.5096),
    "events/aedat4/davis346.aedat4": ("aedat4", 6_676, 1589163147368868, 1589163147538809, (346, 260), 0.5337),
    "events/aedat4/dvxplorer.aedat4": ("aedat4", 111_954, 1605537493718345, 1605537494308262, (320, 240), 0.4915),
    "events/bin/nmnist.bin": ("bin", 4_325, 654, 311_175, (34, 34), 0.496),
    "gestures/1.bs2": ("bin", 63_471, 28, 1_449_996, (128, 128), 0.5068),
    "gestures/3.bs2": ("bin", 113_063, 2, 1_449_994, (128, 128), 0.4900),
    "gestures/5.bs2": ("bin", 181_179, 8, 1_449_984, (128, 128), 0.5148),
    "gestures/7.bs2": ("bin", 159_617, 10, 1_449_997, (128, 128), 0.4862),
    "gestures/9.bs2": ("bin", 141_773, 25, 1_449_993, (128, 128), 0.4971),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_recordings_have_their_known_values(data: Path, name: str):
    format, count, first, last, size, on = REAL[name]
    got = info(data / name)
    assert (got.format, got.events, got.first_t, got.last_t, got.size) == (format, count, first, last, size)
    assert got.bytes == (data / name).stat().st_size
    assert got.on_share == pytest.approx(on, abs=5e-4)
    assert not {"backward", "future", "outside", "damaged"} & set(got.problems)


@pytest.mark.realdata
def test_real_headers_are_read_without_numba(data: Path, plain):
    code = """
import sys
from spikestream.files.info import info
for name in sys.argv[1:]:
    got = info(name, scan=False)
    print(got.format, got.sensor, got.size, got.events, got.first_t, got.last_t, got.on_share)
print(sorted({"numba", "aiohttp", "llvmlite"} & set(sys.modules)))
"""
    names = [data / name for name in list(REAL)[:4]]
    told = python(code, plain, *names, text=True)
    assert told.stdout.splitlines() == [
        "aedat2 davis240 (240, 180) None None None None",
        "aedat4 DAVIS346_00000002 (346, 260) None None None None",
        "aedat4 DVXplorer_DXB00010 (320, 240) 111954 1605537493718345 1605537494308262 None",
        "bin  (34, 34) None None None None",
        "[]",
    ], told.stderr
