"""Records: what a pipeline was given, gaps and commands included, gives the identical result again."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
from contextlib import suppress

import msgpack
import numpy as np
import pytest
from fuzz import mutations
from hubtools import tiny
from small import SIZE, Given, config, events, grid, noise, pipeline, run, same_state
from wirebytes import put

from spikestream.batch import Events, Label, Setting, Sound, Window, concat
from spikestream.building import build
from spikestream.checkpoint import state_sha256
from spikestream.config import from_tables, with_value
from spikestream.errors import ConfigError, RecordingError, SpikestreamError
from spikestream.files.write import write
from spikestream.outputs.file import File
from spikestream.sensors.record import Record, is_record
from spikestream.service.engine import Engine
from spikestream.service.hub import Hub
from spikestream.service.job import Job
from spikestream.service.record import Recorder
from spikestream.service.session import Session
from spikestream.service.watching import OutputHash

SAME = ("events_in", "events_filtered", "spikes_out", "decisions", "duration_us", "state_sha256", "output_sha256")


def recorded(path, batches, commands=(), during=None, live=False, **sections):
    """Run an engine on these batches, recording it; return (pipeline, output hash)."""
    made, hashed = pipeline(**sections), OutputHash()
    recorder = Recorder(str(path), made.config)
    engine = Engine(made, Given(batches, live=live), commands=commands, watch=[hashed, recorder])
    if during is not None:
        engine._watch.append(lambda batch, *_: during(engine, batch))

    async def work():
        await recorder.start()
        try:
            await engine.run()
        finally:
            await recorder.aclose()

    run(work())
    return made, hashed.hexdigest()


def replayed(path):
    """Return (pipeline, output hash) of a record run again."""
    sensor, hashed = Record(str(path)), OutputHash()
    made = build(from_tables(sensor.config), sensor.size, sensor.samplerate_hz)
    engine = Engine(made, sensor, commands=sensor.commands, watch=[hashed])
    run(engine.run())
    assert [str(hop) for hop in engine.hops() if hop.missing()] == []
    return made, hashed.hexdigest()


def batches_of(path, start=0):
    async def collect():
        sensor = Record(str(path))
        got = [batch async for batch in sensor.batches(start)]
        assert sensor.sent == sum(map(len, got))
        return got

    return run(collect())


STREAM = grid(noise(-20_000, 100_000, rate_hz=4_000), 7_000)
GAPPY = [*STREAM[:9], *grid(noise(123_456, 200_000, seed=3, rate_hz=4_000), 5_000)]
TAUGHT = [Label(t, t - 10_000, t, "ab"[t // 10_000 % 2]) for t in range(10_000, 190_001, 10_000)]


@pytest.mark.parametrize("windows", ["grid", "marked"])
@pytest.mark.parametrize("batches", [STREAM, GAPPY], ids=["contiguous", "gaps"])
def test_a_record_run_again_gives_the_identical_result(batches, windows, tmp_path):
    commands = [
        *TAUGHT,
        Setting(33_300, "learn.enabled", False),
        Setting(70_001, "learn.enabled", True),
        Setting(110_000, "learn.enabled", True),
    ]
    commands += [Window(t, t + 11_111) for t in range(-20_000, 200_000, 13_000)]
    made, digest = recorded(tmp_path / "r", batches, commands, readout={"windows": windows})
    again, digest_again = replayed(tmp_path / "r")
    assert digest_again == digest
    assert state_sha256(again) == state_sha256(made)
    assert same_state(again, made)
    assert again.gaps == made.gaps
    assert made.made["readout"] > 5


def test_commands_that_came_late_take_effect_when_they_did(tmp_path):
    late = {
        22_000: [Label(3_000, 0, 10_000, "a"), Setting(21_999, "learn.enabled", False)],
        29_000: [Window(20_000, 40_000), Window(0, 29_000)],
        36_000: [
            Setting(0, "learn.enabled", True),
            Label(35_999, 20_000, 30_000, "b"),
            Label(50_500, 40_000, 50_000, "b"),
        ],
        64_000: [Label(64_000, 30_000, 60_000, "a")],
        99_000: [Label(-5, 70_000, 90_000, "c")],
        100_000: [Label(99_000, 70_000, 90_000, "d")],
    }
    for windows in ("grid", "marked"):

        def during(engine, batch):
            for command in late.get(batch.stop, ()):
                engine.command(command)

        stream = grid(noise(1_000, 100_000, rate_hz=4_000), 7_000)
        marks = [Window(t, t + 9_000) for t in range(41_000, 90_000, 9_500)]
        made, digest = recorded(tmp_path / windows, stream, marks, during, readout={"windows": windows})
        again, digest_again = replayed(tmp_path / windows)
        assert (digest_again, state_sha256(again)) == (digest, state_sha256(made))
        assert set(made.stages["readout"].state()["labels"]) >= {"a"}


def test_what_a_live_sensor_lost_is_a_gap_in_the_record_too(tmp_path):
    live = [noise(1_000 * n, 1_000 * n + 1_000, seed=n, rate_hz=10_000) for n in range(300)]
    made, digest = recorded(tmp_path / "r", live, TAUGHT, live=True)
    again, digest_again = replayed(tmp_path / "r")
    assert (digest_again, state_sha256(again), again.gaps) == (digest, state_sha256(made), made.gaps)
    assert made.taken == again.taken


def test_a_record_holds_batches_gaps_commands_and_configuration(tmp_path):
    recorded(tmp_path / "r", GAPPY, TAUGHT)
    sensor = Record(str(tmp_path / "r"))
    assert from_tables(sensor.config) == config()
    assert (sensor.size, sensor.live) == (SIZE, False)
    assert sensor.commands == [label for label in TAUGHT if label.t <= 200_000]
    got = batches_of(tmp_path / "r")
    assert [(batch.start, batch.stop, batch.size) for batch in got] == [
        (batch.start, batch.stop, SIZE) for batch in GAPPY
    ]
    assert all(np.array_equal(one.data, other.data) for one, other in zip(got, GAPPY, strict=True))


@pytest.mark.parametrize("command", [Label(5, -7, 3, "ä b", 0.5), Setting(5, "learn.enabled", False), Window(5, 9)])
def test_every_kind_of_command_comes_back_as_it_was(command, tmp_path):
    recorded(tmp_path / "r", [noise(0, 10_000)], [command])
    assert Record(str(tmp_path / "r")).commands == [command]


@pytest.mark.parametrize("start", [1, 6_999, 7_000, 43_210, 110_000, 123_456, 150_000, 199_999])
def test_a_record_starts_at_any_time(start, tmp_path):
    recorded(tmp_path / "r", GAPPY)
    got = batches_of(tmp_path / "r", start)
    everything = np.concatenate([batch.data for batch in GAPPY])
    assert np.array_equal(concat(got).data, everything[everything["t"] >= start])
    assert got[0].start == max(start, next(batch.start for batch in GAPPY if batch.stop > start))


def test_a_session_recorded_and_replayed_prints_the_same(tmp_path):
    """With a gap of two minutes in the recording, labels, held-out windows, and one more filter than by default."""
    data = np.concatenate(
        [noise(5_000_300, 5_300_000, rate_hz=4_000).data, noise(125_000_300, 125_200_000, seed=4).data]
    )
    source, labels, record = tmp_path / "a.aedat4", tmp_path / "a.csv", tmp_path / "a.record"
    write(source, Events(5_000_300, 125_200_000, data, SIZE), size=SIZE)
    with labels.open("w", newline="") as file:
        rows = [(t, t + 15_000, "abc"[t // 20_000 % 3]) for t in range(5_010_000, 5_290_000, 20_000)]
        csv.writer(file).writerows([("start_us", "stop_us", "label"), *rows, (125_010_000, 125_050_000, "a")])
    job = Job(
        config(sensor={"uri": str(source), "speed": "max"}, readout={"windows": "marked"}),
        labels=str(labels),
        record=str(record),
    )
    first = Session(job)
    run(first.run())
    replay = dataclasses.replace(from_tables(Record(str(record)).config), sensor=config().sensor)
    second = Session(Job(with_value(replay, "sensor", uri=str(record), speed="max", size="")))
    run(second.run())
    once, again = first.summary(), second.summary()
    assert {key: again[key] for key in SAME} == {key: once[key] for key in SAME}
    assert once["decisions"] == 15
    assert len(first.pipeline.gaps) == 1
    assert first.pipeline.gaps == second.pipeline.gaps
    assert (first.problems(), second.problems()) == ([], [])


def test_a_record_of_sound_gives_the_identical_spikes_decisions_and_gaps(tmp_path):
    rng = np.random.default_rng(0)
    tables = {"sensor": {"samplerate_hz": 8_000}, "hear": {"bands": 16}, "network": {"neurons": 10}}
    made, hashed = build(from_tables(tables | {"readout": {"windows": "voice"}})), OutputHash()
    recorder = Recorder(str(tmp_path / "r"), made.config)
    batches, at = [], 0
    for n in (80, 1, 0, 640, 37, 800, 800):
        batches.append(Sound(at * 125, (at + n) * 125, rng.normal(0, 0.1, (n, 1)).astype(np.float32)))
        at += n + (400 if n == 37 else 0)  # samples that were lost
    engine = Engine(made, Given(batches), commands=[Window(3_000, 50_000), Window(51_000, 90_000)])
    engine._watch += [hashed, recorder]
    run(_recorded(engine, recorder))
    again, digest = replayed(tmp_path / "r")
    assert digest == hashed.hexdigest()
    assert state_sha256(again) == state_sha256(made)
    assert again.gaps == made.gaps == [(758 * 125, 1_158 * 125)]
    assert (made.made["hear"] > 100, made.made["readout"]) == (True, 2)
    assert recorder.rows == sum(map(len, batches))
    kept = batches_of(tmp_path / "r")
    assert [(b.start, b.stop, b.samples.tolist()) for b in kept] == [
        (b.start, b.stop, b.samples.tolist()) for b in batches
    ]
    late = batches_of(tmp_path / "r", 100 * 125 + 1)
    assert (late[0].start, late[0].samples.tolist()) == (101 * 125, batches[3].samples[20:].tolist())


async def _recorded(engine, recorder):
    await recorder.start()
    await engine.run()
    await recorder.aclose()


@pytest.mark.parametrize("first", [0, 541, 63])
def test_sound_too_wide_for_a_frame_is_recorded_in_parts_that_change_nothing(first, tmp_path):
    rate, n = 44_100, 9_000
    samples = np.random.default_rng(1).normal(0, 0.1, (n, 64)).astype(np.float32)
    batch = Sound(first * 1_000_000 // rate, (first + n) * 1_000_000 // rate, samples)
    tables = {"sensor": {"samplerate_hz": rate}, "hear": {"bands": 16}, "network": {"neurons": 10}}
    made, hashed = build(from_tables(tables)), OutputHash()
    recorder = Recorder(str(tmp_path / "r"), made.config)
    engine = Engine(made, Given([batch]), watch=[hashed, recorder])
    run(_recorded(engine, recorder))
    again, digest = replayed(tmp_path / "r")
    parts = batches_of(tmp_path / "r")
    assert len(parts) > 2
    assert np.array_equal(np.concatenate([part.samples for part in parts]), samples)
    assert (digest, state_sha256(again)) == (hashed.hexdigest(), state_sha256(made))


def test_voices_are_marked_anew_in_a_record_that_was_made_without_them(tmp_path):
    import soundfile

    rng = np.random.default_rng(4)
    parts = [rng.normal(0, 10 ** (level / 20), 4_000) for level in (-90, -35, -90, -35, -90)]
    soundfile.write(tmp_path / "x.wav", np.concatenate(parts), 8_000)
    sound = {"sensor": {"uri": str(tmp_path / "x.wav"), "speed": "max"}, "hear": {"bands": 16}}
    (tmp_path / "l.csv").write_text("start_us,stop_us,label\n400000,1200000,a\n1400000,2200000,b\n")

    def decided(uri, windows, record="", labels=""):
        tables = from_tables(sound | {"sensor": {"uri": str(uri), "speed": "max"}, "readout": {"windows": windows}})
        session = Session(Job(tables, record=record, labels=labels))
        run(session.run())
        return session.summary()["decisions"], session.summary()["output_sha256"]

    voiced = decided(tmp_path / "x.wav", "voice", record=str(tmp_path / "voice.rec"))
    assert voiced[0] == 2
    decided(tmp_path / "x.wav", "grid", record=str(tmp_path / "grid.rec"))
    decided(tmp_path / "x.wav", "marked", record=str(tmp_path / "marked.rec"), labels=str(tmp_path / "l.csv"))
    assert decided(tmp_path / "voice.rec", "voice") == voiced
    assert decided(tmp_path / "grid.rec", "voice") == voiced
    assert decided(tmp_path / "marked.rec", "voice")[0] == 2
    assert decided(tmp_path / "voice.rec", "voice", labels=str(tmp_path / "l.csv"))[0] == 2


def test_a_record_of_sound_that_tells_no_sample_rate_is_damaged(tmp_path):
    recorder = Recorder(str(tmp_path / "r"), config())
    recorder_of_sound = [Sound(0, 125, np.zeros((1, 1), np.float32))]

    async def work():
        await recorder.start()
        for batch in recorder_of_sound:
            recorder(batch, [], {})
        await recorder.aclose()

    run(work())
    with pytest.raises(RecordingError, match="no sample rate"):
        batches_of(tmp_path / "r")


def test_a_record_appears_when_it_is_complete(tmp_path):
    path, seen = tmp_path / "r", []
    recorded(path, STREAM, during=lambda engine, batch: seen.append(path.exists()))
    assert seen == [False] * len(STREAM)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r"]


def test_a_run_that_fails_leaves_a_record_of_what_was_run(tmp_path):
    with pytest.raises(ConfigError):
        recorded(tmp_path / "r", STREAM, [Setting(50_000, "no.such", True)])
    made, _ = replayed(tmp_path / "r")
    assert made.now == 43_000  # the batch that ended at 50,000 was refused


def test_a_place_nothing_can_be_written_to_is_named(tmp_path):
    with pytest.raises(RecordingError, match="cannot be written"):
        recorded(tmp_path / "missing" / "r", STREAM)


# Damaged, and other things


def frames(path):
    """Return the frames of a file: their bytes, length included."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size = 4 + int.from_bytes(data[at : at + 4], "little")
        found.append(data[at : at + size])
        at += size
    return found


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "r"
    recorded(path, GAPPY[:6], TAUGHT[:2])
    return path


def test_the_record_of_these_tests_is_a_record(good):
    assert is_record(str(good))
    kinds = [msgpack.unpackb(frame[4:])["c"] for frame in frames(good)[1:-1]]
    assert kinds[0] == "record.config.stats"
    assert kinds.count("record.sensor.events") == 6
    assert kinds.count("record.commands.stats") == 2
    assert frames(good)[-1] == bytes(4)


@pytest.mark.parametrize("content", [b"", b"hello", b"#!AER-DAT2.0\r\n", b"\0" * 300, b"\xa2op\xa5hell"])
def test_other_files_are_no_records(content, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(content)
    assert not is_record(str(path))
    with pytest.raises(RecordingError):
        Record(str(path))


def test_what_cannot_be_read_is_no_record(tmp_path):
    for place in (tmp_path, tmp_path / "missing"):
        assert not is_record(str(place))
        with pytest.raises(RecordingError, match="cannot be read"):
            Record(str(place))


def test_a_published_stream_is_no_record(tmp_path):
    async def work(topic):
        hub = Hub([File(f"{tmp_path}/{topic}")], epoch="5eed")
        await hub.start()
        hub.publish(topic, noise(0, 1_000))
        await hub.aclose()

    for topic in ("main.filter.events", "record.sensor.events"):
        run(work(topic))
        with pytest.raises(RecordingError) as caught:
            Record(f"{tmp_path}/{topic}")
        assert caught.value.file == f"{tmp_path}/{topic}"
        assert caught.value.exit_code == 3


def test_before_the_damage_everything_is_there_and_then_the_error(good, tmp_path):
    parts, path = frames(good), tmp_path / "torn"
    whole = batches_of(good)
    at = [number for number, part in enumerate(parts) if b"record.sensor.events" in part]
    for number, frame in enumerate(at):
        for torn in (parts[frame][:-3], b""):
            path.write_bytes(b"".join(parts[:frame]) + torn)
            sensor, got = Record(str(path)), []

            async def read(sensor=sensor, got=got):
                async for batch in sensor.batches():
                    got.append(batch)

            with pytest.raises(RecordingError, match="the record is damaged"):
                run(read())
            assert [len(batch) for batch in got] == [len(batch) for batch in whole[:number]]


def rewritten(good, path, change):
    """Write the record with each message changed by ``change``, None to leave it out."""
    parts = frames(good)
    messages = [change(msgpack.unpackb(part[4:])) for part in parts[1:-1]]
    path.write_bytes(parts[0] + b"".join(put(message) for message in messages if message) + parts[-1])
    return path


def only(topic, **fields):
    return lambda message: {**message, **fields} if message["c"] == topic else message


def command(**values):
    return lambda message: {**message, "d": values} if message["c"] == "record.commands.stats" else message


LABEL = {"command": "label", "t": 5, "start": 0, "stop": 5, "label": "a", "reward": 0.0}


@pytest.mark.parametrize(
    "change",
    [
        lambda message: None if message["c"] == "record.config.stats" else message,
        command(),
        command(command="reward", t=5),
        command(command=["label"], t=5),
        command(command="label", t=5),
        command(**{**LABEL, "more": 1}),
        command(**{**LABEL, "t": "5"}),
        command(**{**LABEL, "t": None}),
        command(**{**LABEL, "t": 2**63}),
        command(**{**LABEL, "start": 1.5}),
        command(**{**LABEL, "label": ["a"]}),
        command(**{**LABEL, "label": 7}),
        command(**{**LABEL, "label": "a" * 300}),
        command(**{**LABEL, "label": "a\nb"}),
        command(**{**LABEL, "reward": float("nan")}),
        command(command="setting", t=5, key=5, value=True),
        lambda message: (
            {**message, "c": "record.state.stats", "d": {"data": "x"}} if message["k"] == "stats" else message
        ),
        lambda message: (
            {**message, "c": "record.labels.stats", "d": {"rows": 5}} if message["k"] == "stats" else message
        ),
        only("record.commands.stats", c="record.labels.stats", d={"rows": [[0, 1, "a"]]}),
        only("record.commands.stats", c="record.labels.stats", d={"rows": [[0, 1, "a", 1]]}),
        only("record.commands.stats", c="record.labels.stats", d={"rows": [[0, 2**63, "a", True]]}),
        only("record.commands.stats", c="record.labels.stats", d={"rows": [[0, 1, "", True]]}),
        only("record.commands.stats", c="record.state.stats", d={}),
        command(**{**LABEL, "reward": "much"}),
        command(command="window", start=0, stop=2**64 - 1),
        command(command="setting", t=5, key="learn.enabled", value=None),
        command(command="setting", t=5, key="learn.enabled", value={}),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(change, good, tmp_path):
    path = rewritten(good, tmp_path / "r", change)
    with pytest.raises(RecordingError) as caught:
        Record(str(path))
    assert caught.value.file == str(path)


@pytest.mark.parametrize(
    "change",
    [
        only("record.sensor.events", c="main.sensor.events"),
        only("record.sensor.events", t0=1_000, t1=2_000, n=0, d=b""),
        only("record.sensor.events", k="spikes", n=0, d=b""),
        only("record.sensor.events", k="gap", why="x"),
        only("record.sensor.events", n=0),
        only("record.sensor.events", t0=0, t1=2**62, n=0, d=b""),
    ],
)
def test_batches_that_make_no_sense_end_in_an_error(change, good, tmp_path):
    path = rewritten(good, tmp_path / "r", change)
    with pytest.raises(RecordingError):
        batches_of(path)


def test_damaged_records_raise_our_errors_only(good, tmp_path):
    path = tmp_path / "r"
    for bad in mutations(good.read_bytes(), 1_500, seed=3):
        path.write_bytes(bad)
        with suppress(RecordingError):
            is_record(str(path))
            now = None
            for batch in batches_of(path):
                assert now is None or batch.start >= now
                assert batch.start <= batch.stop
                now = batch.stop


def test_a_damaged_record_runs_to_its_error_or_to_its_end(good, tmp_path):
    path = tmp_path / "r"
    for bad in mutations(good.read_bytes(), 250, seed=5):
        path.write_bytes(bad)
        with suppress(SpikestreamError):
            replayed(path)


def test_turns_of_the_loop_come_while_a_record_is_read(tmp_path):
    many = [events(10 * n, 10 * n + 10) for n in range(100)]
    recorded(tmp_path / "r", many)

    async def work():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        assert [batch.start async for batch in Record(str(tmp_path / "r")).batches()] == [10 * n for n in range(100)]
        counting.cancel()
        assert turns >= 12

    run(work())


def test_the_configuration_goes_through_the_wire_unchanged(tmp_path):
    odd = {
        "filter": [
            {"kind": "hot_pixel", "max_rate_hz": 500.0, "pixels": [[1, 2]]},
            {"kind": "flip", "horizontal": True},
        ],
        "publish": {"urls": ["unix:///a b", "tcp://ä:1"], "pipeline": "x"},
        "learn": {"enabled": False, "rate_start": 1e-9},
    }
    recorded(tmp_path / "r", [noise(0, 1_000)], **odd)
    assert from_tables(Record(str(tmp_path / "r")).config) == config(**odd)


def test_what_was_published_is_told_from_a_damaged_record(tmp_path):
    async def work():
        hub = Hub([File(str(tmp_path / "x.ssp"))], epoch="5eed")
        await hub.start()
        hub.publish("main.network.spikes", tiny(0))
        await hub.aclose()

    run(work())
    with pytest.raises(RecordingError, match=r"has published \(main\.network\.spikes\)") as caught:
        Record(str(tmp_path / "x.ssp"))
    assert "--record" in caught.value.remedy
