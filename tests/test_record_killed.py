"""Records in both forms, a file and a folder of segments: the same result, also of a run that was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from small import SIZE, Given, grid, pipeline, run

from spikestream.batch import EVENT, Events, Label, Setting
from spikestream.building import build
from spikestream.checkpoint import state_sha256
from spikestream.config import from_tables
from spikestream.errors import ConfigError, RecordingError
from spikestream.log.segment import bytes_of, listed
from spikestream.sensors.record import Record, is_record
from spikestream.service.engine import Engine
from spikestream.service.record import Recorder
from spikestream.service.watching import OutputHash

WINDOW = 10_000
STOP = 1_500_000


def shown(start, stop):
    """Return events of the left half of the sensor in even windows, and of the right half in odd ones."""
    rng = np.random.default_rng(start)
    data = np.zeros((stop - start) // 100, EVENT)
    data["t"] = np.sort(rng.integers(start, stop, len(data)))
    data["x"] = rng.integers(0, 2, len(data)) + 2 * (data["t"] // WINDOW % 2)
    data["y"] = rng.integers(0, 4, len(data))
    return Events(start, stop, data, SIZE)


BATCHES = [*grid(shown(0, 700_000), 7_000), *grid(shown(750_000, STOP), 4_000)]  # with a gap
COMMANDS = [Label(t, t - WINDOW, t, "ab"[t // WINDOW % 2]) for t in range(WINDOW, 700_000, WINDOW)]
COMMANDS += [Setting(123_456, "network.v_thresh", 0.2), Setting(800_001, "learn.rate_start", 0.01)]
COMMANDS += [Setting(400_000, "learn.enabled", False), Setting(433_333, "learn.enabled", True)]


class Watched:
    """Runs an engine, with whatever watches it, and knows what it decided."""

    def __init__(self, made, sensor, commands, *watch):
        self.made, self.hashed, self.decided = made, OutputHash(), []
        watch = [self.hashed, lambda b, c, outputs: self.decided.extend(outputs["readout"].rows), *watch]
        self.engine = Engine(made, sensor, commands=commands, watch=watch)

    def facts(self):
        return self.hashed.hexdigest(), state_sha256(self.made), self.made.now, self.made.gaps, self.decided


def record(path, *watch, batches=BATCHES, commands=COMMANDS):
    """Run these batches, recording them; return what became of them."""
    made = pipeline()
    recorder = Recorder(str(path), made.config)
    watched = Watched(made, Given(batches), commands, recorder, *watch)

    async def work():
        await recorder.start()
        try:
            await watched.engine.run()
        finally:
            await recorder.aclose()
        assert recorder.rows == made.taken

    run(work())
    return watched


def replay(path):
    sensor = Record(str(path))
    watched = Watched(build(from_tables(sensor.config), sensor.size), sensor, sensor.commands)
    run(watched.engine.run())
    assert [hop for hop in watched.engine.hops() if hop.missing()] == []
    return watched, sensor


def straight(now):
    """Return what becomes of the batches up to this time, run without a record."""
    watched = Watched(pipeline(), Given([batch for batch in BATCHES if batch.stop <= now]), COMMANDS)
    run(watched.engine.run())
    return watched


@pytest.mark.parametrize("name", ["r.rec", "r/"])
def test_a_record_of_either_form_gives_the_identical_decisions_and_weights(name, tmp_path):
    first = record(f"{tmp_path}/{name}")
    again, sensor = replay(tmp_path / name)
    assert again.facts() == first.facts()
    assert (is_record(f"{tmp_path}/{name}"), sensor.warnings) == (True, [])
    weights = [one.stages["network"].state()["weights"] for one in (pipeline(), first.made, again.made)]
    assert np.abs(weights[1] - weights[0]).max() > 0.1
    assert np.array_equal(weights[1], weights[2])
    answers = [decision.label for decision in first.decided]
    assert len(answers) >= 100
    assert min(answers.count("a"), answers.count("b")) >= 15
    assert first.made.gaps == [(700_000, 750_000)]


def killed(path, at):
    """Record in a process of its own, which dies by ``kill -9`` behind the batch that ends then."""
    child = os.fork()
    if not child:
        try:
            record(path, lambda batch, *_: os.kill(os.getpid(), signal.SIGKILL) if batch.stop >= at else None)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("at", [7_000, 431_000, 1_200_000])
def test_a_file_whose_process_was_killed_replays_to_the_last_batch(at, tmp_path):
    pipeline()(BATCHES[0])
    killed(tmp_path / "r.rec", at)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.rec.part"]
    again, sensor = replay(tmp_path / "r.rec.part")
    assert again.made.now >= at
    assert again.facts() == straight(again.made.now).facts()
    assert len(sensor.warnings) == 1
    record(tmp_path / "r.rec", batches=BATCHES[:9])  # the next run writes over nothing
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["r.rec", "r.rec.part-1"]
    assert replay(tmp_path / "r.rec.part-1")[0].facts() == again.facts()


def test_a_folder_whose_process_was_killed_replays_as_far_as_it_was_written(tmp_path):
    pipeline()(BATCHES[0])
    folder = f"{tmp_path}/r/"
    killed(folder, 1_200_000)
    again, sensor = replay(folder)
    assert again.facts() == straight(again.made.now).facts()
    assert (again.made.now > 0, len(sensor.warnings)) == (True, 1)
    whole = listed(Path(folder, "run-000001"))[-1].read_bytes()
    for cut in range(len(whole) - 20_000, len(whole), 7_331):  # whatever of it has come to the disk
        listed(Path(folder, "run-000001"))[-1].write_bytes(whole[:cut])
        again, _ = replay(folder)
        assert again.facts() == straight(again.made.now).facts()


def test_each_run_has_a_folder_of_its_own(tmp_path):
    folder = tmp_path / "records"
    first = record(f"{folder}/", batches=BATCHES[:5])
    assert replay(folder)[0].facts() == first.facts()
    second = record(folder, batches=BATCHES[:7])
    assert replay(folder / "run-000002")[0].facts() == second.facts()
    with pytest.raises(RecordingError, match="a record is wanted") as caught:
        Record(str(folder))
    assert f"{folder}/run-000002" in caught.value.remedy


def test_of_a_run_that_never_began_no_folder_stays(tmp_path):
    record(f"{tmp_path}/r/", batches=[])
    assert list((tmp_path / "r").iterdir()) == []
    assert not is_record(f"{tmp_path}/r/")


def test_a_run_that_fails_leaves_a_folder_of_what_was_run(tmp_path):
    wrong = [*COMMANDS, Setting(50_000, "no.such", True)]
    with pytest.raises(ConfigError):
        record(f"{tmp_path}/r/", commands=wrong)
    assert replay(f"{tmp_path}/r/")[0].made.now == 49_000


def test_a_segment_that_is_missing_is_damage(tmp_path, monkeypatch):
    monkeypatch.setattr("spikestream.service.record.SEGMENT_BYTES", 1 << 16)
    record(f"{tmp_path}/r/")
    segments = listed(tmp_path / "r" / "run-000001")
    assert len(segments) > 3
    segments[1].unlink()
    with pytest.raises(RecordingError, match="the record is damaged"):
        replay(f"{tmp_path}/r/")


def test_a_run_killed_before_it_began_leaves_a_record_that_says_so(tmp_path):
    record(f"{tmp_path}/r/", batches=BATCHES[:9])
    (segment,) = listed(tmp_path / "r" / "run-000001")
    head = next(position for position, data in ends(segment) if b"config" in data)
    segment.write_bytes(segment.read_bytes()[:head])
    with pytest.raises(RecordingError, match="an empty record: its run ended before it began"):
        Record(f"{tmp_path}/r/")


def ends(segment):
    """Yield where each frame of a segment begins, and its bytes."""
    at = 0
    for data in bytes_of(segment):
        yield at, data
        at += len(data)
