"""The engine: whatever happens to sensor, pipeline or hub, it ends, loses nothing silently, and says why."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import numpy as np
import pytest
from small import SIZE, Given, config, events, grid, noise, pieces, pipeline, rows_of, run, same_state

from spikestream.batch import Batch, Decisions, Label, Setting, Spikes, Window, no_events
from spikestream.building import build
from spikestream.checkpoint import state_sha256
from spikestream.client import subscribe
from spikestream.errors import ConfigError, RecordingError, SpikestreamError
from spikestream.files.write import write
from spikestream.outputs.file import File
from spikestream.outputs.unix import Unix
from spikestream.sensors.pace import Pace
from spikestream.sensors.recording import Recording
from spikestream.service import progress as progress_room
from spikestream.service.engine import Engine
from spikestream.service.hub import Hub
from spikestream.service.progress import Progress
from spikestream.service.watching import OutputHash

STREAM = noise(0, 100_000, rate_hz=5_000)
TAUGHT = [Label(t, t - 10_000, t, "ab"[t // 10_000 % 2]) for t in range(10_000, 90_001, 10_000)]


class Watch:
    """Keeps what a watcher is shown."""

    def __init__(self):
        self.batches: list[Batch] = []
        self.commands = []
        self.made = []

    def __call__(self, batch, commands, outputs):
        self.batches.append(batch)
        self.commands += [(batch.start, command) for command in commands]
        self.made.append((batch.stop, {name: rows_of(out) for name, out in outputs.items()}))


def open_hops(engine):
    return [str(hop) for hop in engine.hops() if hop.missing()]


async def stopped(condition):
    """Let the loop turn until the condition holds; the test's own patience ends it otherwise."""
    while not condition():
        await asyncio.sleep(0)


# Results


def test_the_engine_does_what_the_pipeline_alone_does():
    alone, watch = pipeline(), Watch()
    expected = [
        (
            batch.stop,
            {n: rows_of(o) for n, o in alone(batch, [c for c in TAUGHT if batch.start < c.t <= batch.stop]).items()},
        )
        for batch in grid(STREAM, 7_000)
    ]
    made = pipeline()
    engine = Engine(made, Given(grid(STREAM, 7_000)), commands=TAUGHT, watch=[watch])
    run(engine.run())
    assert watch.made == expected
    assert same_state(made, alone)
    assert open_hops(engine) == []
    assert watch.commands == [
        (start, label) for label in TAUGHT for start in range(0, 100_000, 7_000) if start < label.t <= start + 7_000
    ]
    progress = engine.progress
    assert (progress.start, progress.stop, progress.rows) == (0, 100_000, 500)
    assert len(progress.latencies) == 15
    assert 0 < progress.latency_ms(50) <= progress.latency_ms(99)
    assert progress.realtime_factor() == pytest.approx(100_000_000 / (progress.ended_ns - progress.started_ns))


def test_nothing_has_no_latency_and_no_pace():
    assert (Progress().latency_ms(99), Progress().realtime_factor()) == (0.0, 0.0)


@pytest.mark.parametrize("count", [1, 999, 1_000, 1_001, 2_500])
def test_percentiles_are_of_the_last_durations(count, monkeypatch):
    monkeypatch.setattr(progress_room, "LATENCIES", 1_000)
    all_ns = np.random.default_rng(count).integers(0, 10**9, count)
    made = Progress()
    for ns in all_ns:
        made.latencies.append(int(ns))
    assert len(made.latencies) == min(count, 1_000)
    for percent, last in ((50, 1_000), (99, 1_000), (50, 300)):
        assert made.latency_ms(percent, last) == pytest.approx(np.percentile(all_ns[-last:], percent) / 1e6)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.slept = 0.0, 0.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept += seconds
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("rec") / "noise.aedat4"
    write(path, noise(5_000_300, 5_400_300, rate_hz=4_000), size=SIZE)
    return str(path)


def results(recorded, length_us, speed):
    """Return (output hash, state hash) of a recording in batches of this length at this speed."""
    made, hashed, clock = pipeline(), OutputHash(), Clock()
    sensor = Pace(Recording(recorded, length_us=length_us), speed, clock=clock, sleep=clock.sleep)
    commands = [
        Setting(5_000_000, "learn.enabled", True),
        *(
            Label(5_000_000 + t, 5_000_000 + t - 30_000, 5_000_000 + t - 7_000, "ab"[t % 2])
            for t in range(30_001, 350_000, 33_333)
        ),
        Setting(5_201_500, "learn.enabled", False),
        Setting(5_260_001, "learn.enabled", True),
    ]
    engine = Engine(made, sensor, commands=commands, watch=[hashed])
    run(engine.run())
    assert open_hops(engine) == []
    assert engine.progress.rows == 1_600
    if speed == 50:
        assert clock.slept == pytest.approx(0.401 / 50)
    return hashed.hexdigest(), state_sha256(made)


def test_the_hashes_are_the_same_for_any_length_of_batches_and_any_speed(recorded):
    every = {
        results(recorded, length * 1_000, speed) for length, speed in itertools.product((1, 7, 10_000), ("max", 50))
    }
    assert len(every) == 1


def test_the_output_hash_sees_every_row_and_not_how_they_were_cut():
    def digest(*batches):
        made = OutputHash()
        for outputs in batches:
            made(no_events(0, 1), [], outputs)
        return made.hexdigest()

    spikes = Spikes(0, 100, np.array([1, 5, 70]), np.array([0, 1, 2], np.int32))
    decided = total_decisions(spikes)
    one = digest({"network": spikes, "readout": decided})
    first, second = pieces(spikes, [50])
    assert digest({"network": first, "readout": decided}, {"network": second, "readout": Decisions(50, 100)}) == one
    assert digest({"readout": decided, "network": spikes}) == one
    assert digest({"network": spikes, "address": spikes, "filter": events(0, 1), "readout": decided}) == one
    others = [
        {"network": Spikes(0, 100, np.array([1, 5, 71]), spikes.axon), "readout": decided},
        {"network": Spikes(0, 100, spikes.t, np.array([0, 1, 3], np.int32)), "readout": decided},
        {"network": first, "readout": decided},
        {"other": spikes, "readout": decided},
        {"network": spikes, "readout": Decisions(0, 100)},
        {"network": spikes, "readout": Decisions(0, 100, decided.rows[:-1])},
    ]
    assert len({one, *map(digest, others)}) == len(others) + 1


def total_decisions(spikes):
    made = pipeline(readout={"window_us": 50_000}).stages["readout"]
    return made(Spikes(0, 100_000, spikes.t, spikes.axon))


# Figures while it runs


def slowly(*_):
    time.sleep(0.003)
    return ()


@pytest.mark.parametrize("slow", ["mark", "watch"])
def test_figures_stand_still_whatever_the_worker_is_about(slow):
    """Neither what has left the channel nor what the watchers have yet to see counts as lost."""
    made, seen = pipeline(), Watch()
    stages = {"mark": slowly} if slow == "mark" else {"watch": [slowly, seen]}
    engine = Engine(made, Given(grid(STREAM, 2_000)), **({"watch": [seen]} | stages))

    async def work():
        running, looks = asyncio.create_task(engine.run()), []
        while not running.done():
            async with engine.still() as still:
                unseen = made.taken - sum(map(len, seen.batches))
                looks.append((still, open_hops(engine), unseen))
            await asyncio.sleep(0)
        await running
        return looks

    looks = run(work())
    assert set(map(str, looks)) == {"(True, [], 0)"}
    assert len(looks) > 20


def test_a_batch_that_takes_long_is_told_of_and_not_waited_for(monkeypatch):
    monkeypatch.setattr("spikestream.service.stillness.LOOKS", 20)
    begun, free = threading.Event(), threading.Event()

    def stuck(*_):
        begun.set()
        free.wait()

    engine = Engine(pipeline(), Given([STREAM]), watch=[stuck])

    async def work():
        running, answers = asyncio.create_task(engine.run()), []
        await stopped(begun.is_set)
        async with engine.still() as still:
            answers.append(still)
        free.set()
        await running
        async with engine.still() as still:
            answers.append(still)
        return answers

    assert run(work()) == [False, True]


# Commands


def test_commands_at_the_very_end_take_effect():
    made, watch = pipeline(), Watch()
    last = Label(100_000, 90_000, 100_000, "end")
    engine = Engine(made, Given(grid(STREAM, 10_000)), commands=[last], watch=[watch])
    run(engine.run())
    assert watch.commands == [(90_000, last)]
    assert list(made.stages["readout"].state()["labels"]) == ["end"]


def test_commands_after_the_end_do_not():
    made, watch = pipeline(), Watch()
    engine = Engine(
        made, Given(grid(STREAM, 10_000)), commands=[Label(100_001, 90_000, 100_000, "late")], watch=[watch]
    )
    run(engine.run())
    assert watch.commands == []
    assert list(made.stages["readout"].state()["labels"]) == []


def test_a_command_given_when_the_last_batch_has_run_takes_effect():
    made, watch = pipeline(), Watch()
    late = Label(95_000, 80_000, 90_000, "late")
    engine = Engine(
        made,
        Given(grid(STREAM, 10_000)),
        watch=[watch, lambda batch, *_: batch.stop == 100_000 and len(watch.batches) == 10 and engine.command(late)],
    )
    run(engine.run())
    assert watch.commands == [(100_000, Label(100_000, 80_000, 90_000, "late"))]
    assert (watch.batches[-1].start, watch.batches[-1].stop, len(watch.batches[-1])) == (100_000, 100_000, 0)
    assert list(made.stages["readout"].state()["labels"]) == ["late"]


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (Label(12_345, 0, 10_000, "a"), Label(50_000, 0, 10_000, "a")),
        (Setting(12_345, "learn.enabled", False), Setting(50_000, "learn.enabled", False)),
        (Window(12_345, 70_000), Window(50_000, 70_000)),
        (Window(12_345, 50_000), None),
        (Label(50_000, 0, 10_000, "a"), Label(50_000, 0, 10_000, "a")),
        (Label(57_000, 0, 10_000, "a"), Label(57_000, 0, 10_000, "a")),
    ],
)
def test_a_command_that_comes_late_is_seen_as_of_the_time_it_takes_effect(given, seen):
    watch = Watch()

    def interrupt(batch, commands, outputs):
        if batch.stop == 50_000:
            engine.command(given)

    engine = Engine(pipeline(), Given(grid(STREAM, 10_000)), watch=[watch, interrupt])
    run(engine.run())
    assert watch.commands == ([(50_000, seen)] if seen else [])


def test_marks_of_time_before_the_stream_began_are_left_out():
    marks = [Window(1_000, 50_000), Window(50_000, 50_001), Window(49_000, 60_000)]
    watch, (_, late) = Watch(), pieces(STREAM, [50_000])
    run(Engine(pipeline(), Given(grid(late, 10_000)), commands=marks, watch=[watch]).run())
    assert watch.commands == [(50_000, marks[2]), (50_000, marks[1])]


def test_equal_times_keep_their_order():
    watch = Watch()
    same = [Label(20_000, 0, 10_000, name) for name in "zyxabc"]
    run(Engine(pipeline(), Given(grid(STREAM, 10_000)), commands=same, watch=[watch]).run())
    assert [command for _, command in watch.commands] == same


# A recording waits, a live sensor does not


class Held:
    """A pipeline that waits before each batch until it is let go."""

    def __init__(self, made):
        self.inner, self.let_go, self.entered = made, threading.Semaphore(0), 0

    def __call__(self, batch, commands):
        self.entered += 1
        assert self.let_go.acquire(timeout=30)
        return self.inner(batch, commands)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def many(count):
    return [noise(1_000 * n, 1_000 * n + 1_000, seed=n, rate_hz=10_000) for n in range(count)]


def test_a_recording_waits_for_a_slow_pipeline():
    async def work():
        held = Held(pipeline())
        engine = Engine(held, Given(many(500)))
        running = asyncio.create_task(engine.run())
        # One batch is held in the pipeline, 64 wait in the channel, and one waits to get in.
        await stopped(lambda: engine.channel.waiting == 640 and engine.sensor.sent == 660)
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert (engine.channel.waiting, engine.sensor.sent) == (640, 660)
        held.let_go.release(500)
        await running
        assert engine.pipeline.taken == 5_000
        assert (engine.channel.dropped, engine.pipeline.gaps, open_hops(engine)) == (0, [], [])

    run(work())


def test_a_live_sensor_loses_its_oldest_the_pipeline_sees_a_gap_and_the_ledger_closes(tmp_path):
    async def work():
        held = Held(pipeline())
        hub = Hub([Unix(f"{tmp_path}/s")], epoch="5eed")
        await hub.start()
        async with subscribe(hub.outputs[0].url, ["main.sensor.gap"]) as messages:
            sensor = Given(many(4_135), live=True)
            engine = Engine(held, sensor, hub)
            sensor.until = lambda: engine.channel.given
            running = asyncio.create_task(engine.run())
            await stopped(lambda: engine.sensor.sent == 41_350)
            for _ in range(100):
                await asyncio.sleep(0)
            held.let_go.release(4_200)
            await running
            await hub.drain()
            await hub.aclose()
            gaps = [(message.start, message.stop) async for message in messages]
        assert held.gaps == gaps == [(1_000, 135_000)]  # the first was in the pipeline, the last 4 s in the channel
        assert (held.taken, engine.channel.dropped) == (40_010, 1_340)
        assert open_hops(engine) == []
        assert "dropped (overrun)" in str(engine.hops()[1])

    run(work())


# What goes wrong


class Broken(Exception):
    pass


class Breaks:
    """A pipeline that breaks at its n-th batch."""

    def __init__(self, made, at):
        self.inner, self.left = made, at

    def __call__(self, batch, commands):
        self.left -= 1
        if self.left < 0:
            raise Broken
        return self.inner(batch, commands)

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.parametrize(("at", "live"), [(0, False), (1, False), (9, False), (150, False), (0, True), (9, True)])
def test_a_pipeline_that_breaks_ends_the_run_with_its_error(at, live):
    watch = Watch()
    engine = Engine(Breaks(pipeline(), at), Given(many(400), live=live), watch=[watch])
    with pytest.raises(Broken):
        run(engine.run())
    assert len(watch.batches) == at


def test_a_watcher_that_breaks_ends_the_run_with_its_error():
    def breaks(*_):
        raise Broken

    with pytest.raises(Broken):
        run(Engine(pipeline(), Given(many(300)), watch=[breaks]).run())


def test_an_unknown_setting_ends_the_run_and_says_what_is_allowed():
    engine = Engine(pipeline(), Given(many(300)), commands=[Setting(5_500, "learn.rate", True)])
    with pytest.raises(ConfigError, match=r"learn\.rate.*\n.*allowed: learn\.enabled"):
        run(engine.run())
    assert engine.pipeline.now == 5_000


@pytest.mark.parametrize("count", [0, 1, 5, 200])
def test_when_a_sensor_fails_everything_before_is_run_and_published_and_then_it_is_raised(count, tmp_path):
    async def work():
        file = File(f"{tmp_path}/out")
        hub = Hub([file], epoch="5eed")
        await hub.start()
        sensor = Given(many(count), error=RecordingError("torn", file="x.aedat"))
        engine = Engine(pipeline(), sensor, hub)
        with pytest.raises(RecordingError, match=r"x\.aedat: torn"):
            await engine.run()
        await hub.aclose()
        assert engine.progress.rows == sensor.sent == 10 * count
        assert open_hops(engine) == []
        published = hub.ledger().published
        assert (
            sum(tally.rows for topic, tally in published.items() if topic.startswith("main.filter"))
            == engine.pipeline.made["filter"]
        )

    run(work())


class Full(File):
    """A file on a disk that is full after some messages."""

    left = 20

    def send(self, message):
        self.left -= 1
        if self.left < 0:
            raise RecordingError("cannot be written: No space left on device")
        super().send(message)


def test_what_cannot_be_published_ends_the_run_with_the_worker_still(tmp_path):
    async def work():
        hub = Hub([Full(f"{tmp_path}/out")], epoch="5eed")
        await hub.start()
        made = pipeline()
        engine = Engine(made, Given(many(300)), hub)
        with pytest.raises(RecordingError, match="No space left"):
            await engine.run()
        now, state = made.now, state_sha256(made)
        await asyncio.sleep(0)
        assert (made.now, state_sha256(made)) == (now, state)
        assert engine.channel.get() is None
        await hub.aclose()

    run(work())


def test_the_worker_has_ended_before_an_error_of_publishing_is_raised(tmp_path):
    async def work():
        held = Held(pipeline())
        hub = Hub([Full(f"{tmp_path}/out")], epoch="5eed")
        await hub.start()
        hub.outputs[0].left = 0
        engine = Engine(held, Given(many(30)), hub)
        running = asyncio.create_task(engine.run())
        held.let_go.release(1)
        await stopped(lambda: engine.progress.rows == 10)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not running.done()  # the error is there, and so is the worker, in its second batch
        held.let_go.release(100)
        with pytest.raises(RecordingError):
            await running
        assert held.taken == engine.channel.given
        await hub.aclose()

    run(work())


def test_an_error_of_whoever_looks_at_the_outputs_surfaces():
    def breaks(outputs):
        raise Broken

    with pytest.raises(Broken):
        run(Engine(pipeline(), Given(many(300)), on_outputs=breaks).run())


# Stopping


class Endless(Given):
    """A sensor that has always more."""

    def __init__(self, live=False):
        super().__init__([], live=live)

    async def batches(self, start=0):
        for n in itertools.count():
            batch = noise(1_000 * n, 1_000 * n + 1_000, seed=n % 7, rate_hz=10_000)
            await asyncio.sleep(0)
            self.sent += len(batch)
            yield batch


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 10, 1_000])
def test_what_was_taken_before_a_stop_is_run_and_published(live, turns, tmp_path):
    async def work():
        hub = Hub([File(f"{tmp_path}/out")], epoch="5eed")
        await hub.start()
        engine = Engine(pipeline(), Endless(live), hub)
        running = asyncio.create_task(engine.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        engine.stop()
        await running
        await hub.aclose()
        sent = engine.sensor.sent
        assert engine.pipeline.taken + engine.channel.dropped == engine.progress.rows + engine.channel.dropped == sent
        assert open_hops(engine) == []

    run(work())


def test_a_stop_while_a_recording_waits_for_room_drains_what_was_taken():
    async def work():
        held = Held(pipeline())
        engine = Engine(held, Endless())
        running = asyncio.create_task(engine.run())
        await stopped(lambda: engine.sensor.sent == 660)
        engine.stop()
        held.let_go.release(100)
        await running
        assert engine.pipeline.taken == engine.sensor.sent == 660
        assert open_hops(engine) == []

    run(work())


def test_a_stop_before_the_start_takes_nothing():
    engine = Engine(pipeline(), Endless())
    engine.stop()
    run(engine.run())
    assert (engine.sensor.sent, engine.progress.rows, open_hops(engine)) == (0, 0, [])


def test_a_stop_while_a_batch_waits_for_its_time_leaves_it_with_the_pace():
    async def work():
        asleep = asyncio.Event()

        async def sleep(seconds):
            asleep.set()
            await asyncio.Event().wait()

        sensor = Given(many(3))
        engine = Engine(pipeline(), Pace(sensor, 1, clock=lambda: 0.0, sleep=sleep))
        running = asyncio.create_task(engine.run())
        await asleep.wait()
        engine.stop()
        await running
        assert (sensor.sent, engine.pipeline.taken, open_hops(engine)) == (10, 0, [])
        assert str(engine.hops()[0]) == "sensor to pace: 10 sent, 0 received, 10 held"

    run(work())


def test_nothing_runs_between_batches_while_one_is_in_the_pipeline():
    async def work():
        held = Held(pipeline())
        engine = Engine(held, Given(many(3)))
        running = asyncio.create_task(engine.run())
        await stopped(lambda: held.entered == 1)
        seen = []
        between = asyncio.create_task(engine.between(lambda: seen.append(held.now)))
        for _ in range(5_000):
            await asyncio.sleep(0)
        assert (seen, held.entered) == ([], 1)
        held.let_go.release(3)
        await between
        await running
        assert seen[0] in (1_000, 2_000, 3_000)

    run(work())


def test_no_batch_runs_while_something_runs_between_them():
    async def work():
        held, begun, over = Held(pipeline()), threading.Event(), threading.Event()
        held.let_go.release(3)
        engine = Engine(held, Given(many(3)))

        def call():
            begun.set()
            assert over.wait(30)

        between = asyncio.create_task(engine.between(call))
        await stopped(begun.is_set)
        running = asyncio.create_task(engine.run())
        await stopped(lambda: engine.channel.given == 10)
        for _ in range(5_000):
            await asyncio.sleep(0)
        assert (held.entered, held.now) == (0, None)
        over.set()
        await between
        await running
        assert (held.entered, held.now) == (3, 3_000)

    run(work())


def test_a_subscriber_that_blocks_holds_the_pipeline_up_and_lets_it_go(tmp_path):
    async def work():
        unix = Unix(f"{tmp_path}/s", queue_bytes=256 << 10)
        hub = Hub([unix], epoch="5eed")
        await hub.start()
        batches = [noise(1_000 * n, 1_000 * n + 1_000, seed=n % 3, rate_hz=3_000_000) for n in range(120)]
        async with subscribe(unix.url, ["main.filter.events"], policy="block") as messages:
            engine = Engine(build(config(filter=[])), Given(batches), hub)
            running = asyncio.create_task(engine.run())
            await stopped(lambda: engine.progress.rows > 0)
            for _ in range(20_000):
                await asyncio.sleep(0)
            assert not running.done()
            assert engine.progress.rows < 120 * 3_000

            async def read():
                async for _ in messages:
                    pass

            reading = asyncio.create_task(read())
            await running
            await hub.drain()
            assert open_hops(engine) == []
            await hub.aclose()
            await reading
        assert messages.counts["main.filter.events"].rows == 120 * 3_000

    run(work())


def test_what_is_published_names_the_pipeline_its_stages_and_gaps(tmp_path):
    async def work():
        hub = Hub([File(f"{tmp_path}/out")], epoch="5eed")
        await hub.start()
        await Engine(pipeline(), Given([noise(0, 10_000), noise(20_000, 30_000)]), hub, name="left").run()
        published = hub.ledger().published
        assert {topic: tally.messages for topic, tally in published.items()} == {
            "left.filter.events": 2,
            "left.address.spikes": 2,
            "left.network.spikes": 2,
            "left.readout.decisions": 2,
            "left.sensor.gap": 1,
        }
        await hub.aclose()

    run(work())


def test_batches_out_of_order_are_the_sensors_fault_and_end_the_run():
    batches = [noise(0, 10_000), noise(5_000, 15_000)]
    with pytest.raises(SpikestreamError, match="starts before 10000"):
        run(Engine(pipeline(), Given(batches)).run())
