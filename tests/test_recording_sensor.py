"""Sensors: the URIs that name them, and recordings as sensors."""

from __future__ import annotations

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from plainformat import at, collect, joined, open_files, plain, python, save, spans

from spikestream.batch import check
from spikestream.errors import ConfigError, PluginError, RecordingError
from spikestream.files.stream import SILENCE_US, read
from spikestream.sensors.base import open_sensor, parse_uri
from spikestream.sensors.recording import Recording

__all__ = ["plain"]


# URIs


@pytest.mark.parametrize(
    ("uri", "scheme", "location", "options"),
    [
        ("rec.aedat4", "file", "rec.aedat4", {}),
        ("/srv/a b/rec.aedat4", "file", "/srv/a b/rec.aedat4", {}),
        ("-", "file", "-", {}),
        ("file:x?format=bin&size=34x34", "file", "x", {"format": "bin", "size": "34x34"}),
        ("file:///data/x.bin?raw=true", "file", "/data/x.bin", {"raw": "true"}),
        ("file:-?format=bin", "file", "-", {"format": "bin"}),
        ("file:x", "file", "x", {}),
        ("blinker://?hz=5", "blinker", "", {"hz": "5"}),
        ("dvs://inivation/00001", "dvs", "inivation/00001", {}),
        ("udp://:3333?proto=spif&name=a%20b", "udp", ":3333", {"proto": "spif", "name": "a b"}),
        ("unix:///run/x.sock", "unix", "/run/x.sock", {}),
        ("x://y?a=", "x", "y", {"a": ""}),
        ("take 2: final.bin", "file", "take 2: final.bin", {}),
        ("monday:3.bin", "file", "monday:3.bin", {}),
        ("C:\\recordings\\x.bin", "file", "C:\\recordings\\x.bin", {}),
        ("why?.bin", "file", "why?.bin", {}),
        ("", "file", "", {}),
    ],
)
def test_a_uri_is_scheme_location_and_options(uri, scheme, location, options):
    assert parse_uri(uri) == (scheme, location, options)


def test_the_name_of_an_existing_file_is_never_taken_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("x:")
    for name in ("a?b=c.bin", "file:d.bin", "x://e.bin"):
        Path(name).touch()
        assert parse_uri(name) == ("file", name, {})
    assert parse_uri("file:a?b=c.bin") == ("file", "a?b=c.bin", {})


@pytest.mark.parametrize("uri", ["x://y?a", "x://y?a=1&b", "x://y?a=1&a=2"])
def test_a_query_that_cannot_be_read_is_refused(uri):
    with pytest.raises(ConfigError):
        parse_uri(uri)


# Opening by URI

PICKY = """
class Picky:
    live, size, sent = False, (2, 3), 0
    def __init__(self, location="", hz="5", *, width="16"):
        self.hz, self.location = float(hz), location
"""


@pytest.fixture
def picky(tmp_path, monkeypatch):
    (tmp_path / "pickysensor.py").write_text(PICKY)
    (tmp_path / "picky-1.0.dist-info").mkdir()
    (tmp_path / "picky-1.0.dist-info" / "METADATA").write_text("Name: picky\nVersion: 1.0\n")
    (tmp_path / "picky-1.0.dist-info" / "entry_points.txt").write_text(
        "[spikestream.sensors]\npicky = pickysensor:Picky\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_a_sensor_gets_its_options_as_text(picky):
    assert open_sensor("picky://here?hz=7.5").hz == 7.5
    assert open_sensor("picky:here").location == "here"
    assert open_sensor("picky://?hz=7.5", hz=7.5).hz == 7.5
    with pytest.raises(ConfigError, match=r"hz is 7.5 in picky://\?hz=7.5 and 8 in the settings"):
        open_sensor("picky://?hz=7.5", hz=8)


def test_a_wrong_option_names_those_that_exist(picky):
    with pytest.raises(ConfigError) as caught:
        open_sensor("picky://?widht=3")
    assert str(caught.value) == ("sensor 'picky' has no option 'widht'\n  allowed: hz, width\n  did you mean 'width'?")
    for uri in ("picky://?location=3", "picky://?live=1"):
        with pytest.raises(ConfigError, match="has no option"):
            open_sensor(uri)
    with pytest.raises(ConfigError, match="sensor 'picky' refuses its options: could not convert"):
        open_sensor("picky://?hz=fast")
    with pytest.raises(PluginError, match="unknown sensor 'pikcy'; did you mean 'picky'"):
        open_sensor("pikcy://")


def test_a_recording_is_opened_with_text_or_values(plain, tmp_path):
    path = save(tmp_path / "a.dat", at([5, 25_000]))
    by_text = open_sensor(f"file:{path}?format=plain&size=7x8&raw=no&length_us=20000&grid_us=5&tint=red")
    by_value = open_sensor(str(path), format="plain", size=(7, 8), raw=False, length_us=20_000, grid_us=5, tint="red")
    for sensor in (by_text, by_value):
        assert (sensor.size, sensor.format, sensor.warnings, sensor.live) == ((7, 8), "plain", ["tinted red"], False)
        assert spans(collect(sensor)) == [(5, 20_000), (20_000, 25_005)]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("fromat=bin", "no option 'fromat'\n  allowed: format, time, sensor, size, raw, tint\n  did you mean 'format'"),
        ("size=34", "'34' is not a sensor size"),
        ("raw=maybe", "'maybe' is neither true nor false\n  allowed: true, 1, yes, false, 0, no"),
        ("length_us=10ms", "'10ms' is not a number of µs"),
        ("length_us=0", "length_us = 0 is no length of time"),
        ("from_us=9&to_us=9", "the selection 9..9 µs is empty"),
        ("time=keep", "a stream needs its events in time order"),
        ("time=sideways", "unknown time policy 'sideways'"),
    ],
)
def test_a_recordings_wrong_options_are_refused_when_it_is_opened(plain, tmp_path, query, text):
    with pytest.raises(ConfigError) as caught:
        open_sensor(f"file:{save(tmp_path / 'a.plain', at([5]))}?{query}")
    assert text in str(caught.value)


# Recordings


def test_a_recording_comes_as_batches_that_obey_the_law(plain, tmp_path):
    data = at(np.sort(np.random.default_rng(3).integers(10**15, 10**15 + 10**6, 50_000)))
    sensor = Recording(str(save(tmp_path / "a.plain", data)))
    assert (sensor.size, sensor.live, sensor.sent) == ((640, 480), False, 0)
    got = collect(sensor)
    for batch in got:
        check(batch)
    assert np.array_equal(joined(got), data)
    assert all(a.stop == b.start and a.stop % 10_000 == 0 for a, b in pairwise(got))
    assert (sensor.sent, sensor.events, sensor.problems) == (50_000, 50_000, {})


def test_what_is_wrong_is_told_on_the_way(plain, tmp_path):
    times = [0, 10, 5, SILENCE_US + 11]
    sensor = Recording(str(save(tmp_path / "a.plain", at(times))), time="drop", length_us=10**7)
    got = collect(sensor)
    assert spans(got) == [(0, 1_001_000), (60_000_000, 60_001_000)]
    assert sensor.problems == {"backward": 1, "dropped": 1, "future": 1, "gaps": 1}
    assert len(sensor.warnings) == 1
    assert (sensor.events, sensor.sent) == (4, 3)


def test_a_recording_starts_again_and_from_any_time(plain, tmp_path):
    windows = [(39_000, 60_000), (60_000, 90_000)]
    sensor = Recording(str(save(tmp_path / "a.plain", at(range(-500, 40_000, 7)))), windows=windows)
    all_of_it = collect(sensor)
    assert all_of_it[0].start == -1_000
    assert spans(collect(sensor)) == spans(all_of_it)
    for start in (10_000, 12_345, 39_999, 55_000):
        sent = sensor.sent
        rest = collect(sensor, start)
        assert sensor.sent - sent == len(joined(rest))
        assert rest[0].start == start
        assert np.array_equal(joined(rest), joined(all_of_it)[joined(all_of_it)["t"] >= start])
        assert rest[-1].stop == 60_000
    assert collect(sensor, 60_000) == []


def test_windows_are_for_programs(plain, tmp_path):
    save(tmp_path / "a.plain", at([5]))
    with pytest.raises(ConfigError, match="no option of a URI"):
        open_sensor(f"file:{tmp_path}/a.plain?windows=3")


def test_the_selection_counts_from_the_first_event(plain, tmp_path):
    sensor = Recording(str(save(tmp_path / "a.plain", at(range(5_000, 50_000, 100)))), from_us="10000", to_us="20000")
    got = collect(sensor)
    assert spans(got) == [(15_000, 20_000), (20_000, 25_000)]
    assert joined(got)["t"].tolist() == list(range(15_000, 25_000, 100))
    assert sensor.sent == 100


def test_the_file_is_closed_when_the_listener_leaves(plain, tmp_path):
    path = save(tmp_path / "a.plain", at(range(500_000)))
    sensor = Recording(str(path))
    assert len(collect(sensor, limit=2)) == 2
    assert sensor.sent == 20_000
    assert str(path) not in open_files()


def test_others_get_their_turn_while_a_recording_plays(plain, tmp_path):
    sensor = Recording(str(save(tmp_path / "a.plain", at(range(0, 10**6, 10_000)))))

    async def run():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        batches = [batch async for batch in sensor.batches()]
        task.cancel()
        return turns, len(batches)

    turns, count = asyncio.run(run())
    assert count == 100
    assert turns >= count // 10


def test_damage_comes_after_the_events_before_it_and_names_the_file(plain, tmp_path):
    path = save(tmp_path / "a.plain", at([5, 6]), tail=b"?")
    sensor = Recording(str(path))
    with pytest.raises(RecordingError, match=str(path)):
        collect(sensor)
    assert sensor.sent == 2
    with pytest.raises(RecordingError, match="no such file"):
        Recording(str(tmp_path / "none"))


def test_standard_input_is_a_recording_once(plain, tmp_path):
    code = """
import asyncio
from spikestream.errors import RecordingError
from spikestream.sensors.recording import Recording
sensor = Recording("-")
async def run():
    return [len(batch) async for batch in sensor.batches()]
print(sensor.size, asyncio.run(run()), sensor.sent)
try:
    asyncio.run(run())
except RecordingError as error:
    print(error)
"""
    told = python(code, plain, input=save(tmp_path / "a", at([1, 2, 15_000])).read_bytes())
    assert told.stdout == b"(640, 480) [2, 1] 3\nstandard input: can be read only once\n", told.stderr


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["aedat2/davis240c_boxes.aedat", "aedat4/davis346.aedat4", "bin/nmnist.bin"])
def test_real_recordings_play_in_full(data: Path, name: str):
    sensor = Recording(str(data / "events" / name), length_us=1_000)
    got, all_of_it = collect(sensor), read(data / "events" / name)
    assert np.array_equal(joined(got), all_of_it.data)
    assert sensor.sent == sensor.events == len(all_of_it)
    assert sensor.size == all_of_it.size
