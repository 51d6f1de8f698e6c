"""A daemon: pipelines that fail, go on and end, each without the others' noticing."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from cli import spikestream
from daemon_cases import STEP, job, plugin, recording, steered, until
from hubtools import turns
from small import SIZE, events, noise, pipeline, run

import spikestream as ss
from spikestream.batch import Events, Sound, Spikes, moved
from spikestream.client import subscribe
from spikestream.config import from_tables, read_pipelines
from spikestream.config.sections import RestartConfig
from spikestream.errors import ConfigError, DeviceError, RecordingError
from spikestream.files.write import write
from spikestream.outputs.unix import Unix
from spikestream.service.backoff import Backoff
from spikestream.service.daemon import Daemon
from spikestream.service.job import Job
from spikestream.service.session import Session

__all__ = ["plugin"]


# Failing.


def test_one_that_fails_for_ever_is_nothing_to_the_others(tmp_path, plugin):
    path = recording(tmp_path)
    alone = Session(Job(job("calm", path).config))
    run(alone.run())

    async def work():
        daemon = Daemon({name: job(name, uri) for name, uri in (("mad", "flaky://x"), ("calm", path))})
        running = asyncio.create_task(daemon.run())
        mad, calm = daemon.supervisors.values()
        await until(lambda: mad.restarts >= 5 and calm.ended)
        daemon.stop()
        await running
        return mad, calm, daemon.problems()

    mad, calm, problems = run(work())
    assert calm.lane.hash.hexdigest() == alone.hash.hexdigest()
    assert (calm.state, calm.restarts, calm.error) == ("ended", 0, None)
    assert isinstance(mad.error, DeviceError)
    assert problems == []


def test_a_second_signal_while_pipelines_end_is_an_end_and_leaves_none_of_them(tmp_path, plugin):
    async def work():
        daemon = Daemon({"mad": job("mad", "flaky://x")})
        running = asyncio.create_task(daemon.run())
        await daemon.started.wait()
        daemon.supervisors["mad"].stop = lambda: None  # it takes its time, until it is cut short
        daemon.stop()
        await turns(3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return [life.done() for life in daemon._lives.values()]

    assert run(work()) == [True]


def test_a_sensor_that_failed_goes_on_with_the_same_memory_behind_a_gap(tmp_path, plugin):
    url = f"unix://{tmp_path}/s"

    async def work():
        daemon = Daemon({"mad": job("mad", "flaky://x?fails=2", publish={"urls": [url]}, learn={"enabled": True})})
        memory = daemon.supervisors["mad"].lane.pipeline
        seen = []

        async def listen():
            async with subscribe(daemon.hub.outputs[0].url, ["mad.>"]) as messages:
                daemon.begin("mad")
                seen.extend([message async for message in messages])

        await daemon.hub.start()
        listening = asyncio.create_task(listen())
        await until(lambda: "mad" in daemon._lives)
        await daemon._all_ended()
        await daemon.hub.drain()
        await daemon.hub.aclose()
        await listening
        return daemon.supervisors["mad"], memory, seen, daemon.problems()

    mad, memory, seen, problems = run(work())
    assert (mad.state, mad.restarts, mad.lost, problems) == ("ended", 2, 0, [])
    assert mad.lane.pipeline is memory
    by_hand = pipeline(learn={"enabled": True})
    for batch in plugin.given:
        by_hand(batch)
    assert ss.checkpoint.state_sha256(memory) == ss.checkpoint.state_sha256(by_hand)
    starts, stops = [batch.start for batch in plugin.given], [batch.stop for batch in plugin.given]
    holes = [(stop, start) for stop, start in zip(stops, starts[1:], strict=False) if start > stop]
    assert len(holes) == 2
    assert [(one.start, one.stop) for one in seen if one.topic == "mad.sensor.gap"] == holes
    told = [one.data for one in seen if one.topic == "mad.engine.stats"]
    assert [(one["state"], one["restarts"]) for one in told] == [("waiting", 0), ("waiting", 1), ("ended", 2)]
    assert "the cable is out" in told[0]["error"]


class Watched(Unix):
    """A socket that notes who asks it for its accounts: what it does then is for the loop's thread alone."""

    def deliveries(self):
        self.asked.add(threading.get_ident())
        return super().deliveries()


@pytest.mark.parametrize("fails", ["sensor", "stage"])
def test_outputs_are_left_to_the_loop_while_a_pipeline_is_opened_again(fails, tmp_path, plugin):
    async def work():
        daemon = Daemon({"mad": job("mad", "flaky://x?fails=3")})
        output = Watched(f"{tmp_path}/s")
        output.asked = set()
        daemon.hub.outputs = (output,)
        mad = daemon.supervisors["mad"]
        if fails == "stage":
            mad.lane.pipeline.stages["network"] = Breaking(mad.lane.pipeline.stages["network"])
        await daemon.run()
        return mad, output.asked

    mad, asked = run(work())
    assert mad.restarts >= 3
    assert asked == {threading.get_ident()}


def test_each_failure_is_logged_once(plugin, caplog):
    daemon = Daemon({"mad": job("mad", "flaky://x?fails=3")})
    run(daemon.run())
    assert caplog.text.count("the cable is out") == 3
    assert "mad has failed, and is tried again in" in caplog.text


class Breaking:
    """A stage that fails with the third batch, after it has changed."""

    def __init__(self, stage):
        self.stage, self.calls, self.account = stage, 0, stage.account

    def __getattr__(self, name):
        return getattr(self.stage, name)

    def __call__(self, batch):
        made = self.stage(batch)
        self.calls += 1
        if self.calls == 3:
            raise FloatingPointError("not a number")
        return made

    def skip(self, start, stop):
        return self.stage.skip(start, stop)


def test_a_stage_that_failed_goes_on_from_the_last_checkpoint(tmp_path, plugin):
    state = tmp_path / "m.npz"
    before = pipeline(network={"seed": 7})
    before(noise(0, 50_000))
    ss.save(state, before)
    weights = before.stages["network"].weights

    async def work():
        sections = {"network": {"seed": 1}, "learn": {"enabled": False}}
        daemon = Daemon({"mad": job("mad", "flaky://x?good=9&fails=0", save=str(state), **sections)})
        mad = daemon.supervisors["mad"]
        mad.lane.changed["network.v_thresh"] = 0.5
        stages = mad.lane.pipeline.stages
        stages["network"] = Breaking(stages["network"])
        first = mad.lane.pipeline
        await daemon.run()
        return mad, first, daemon.problems()

    mad, first, problems = run(work())
    assert (mad.state, mad.restarts, problems) == ("ended", 1, [])
    assert mad.lane.pipeline is not first
    assert np.array_equal(mad.lane.pipeline.stages["network"].weights, weights)
    assert mad.lane.pipeline.settings["network.v_thresh"] == 0.5
    third, fourth = plugin.given[2], plugin.given[9]
    assert mad.lost >= len(third)  # the batch that it broke on, and what had been taken behind it
    assert fourth.start >= third.start
    assert ss.load(state).now == plugin.given[-1].stop


def test_a_broken_pipeline_is_never_saved(tmp_path, plugin):
    state = tmp_path / "m.npz"

    async def work():
        daemon = Daemon({"mad": job("mad", "flaky://x", save=str(state), every_s=1e-3, restart={"policy": "never"})})
        stages = daemon.supervisors["mad"].lane.pipeline.stages
        stages["filter"] = Breaking(stages["filter"])
        stages["filter"].calls = 2  # with the first batch
        await daemon.run()

    with pytest.raises(FloatingPointError):
        run(work())
    assert not state.exists()


def test_what_is_not_to_be_tried_again_ends_and_is_the_error_of_the_daemon(tmp_path, plugin):
    whole, torn = recording(tmp_path, "a"), tmp_path / "torn.aedat"
    write(torn, noise(0, 100_000), size=(128, 128))
    torn.write_bytes(torn.read_bytes()[:-3])
    cut = job("torn", f"file:{torn}?sensor=dvs128", sensor={"size": ""})
    daemon = Daemon({"torn": cut, "whole": job("whole", whole)})
    with pytest.raises(RecordingError):
        run(daemon.run())
    assert [(one.state, one.restarts) for one in daemon.supervisors.values()] == [("failed", 0), ("ended", 0)]
    never = Daemon({"mad": job("mad", "flaky://x", restart={"policy": "never"})})
    with pytest.raises(DeviceError, match="the cable is out"):
        run(never.run())


def test_stopping_waits_for_nobody_s_next_try(plugin):
    async def work():
        daemon = Daemon({"mad": job("mad", "flaky://x", restart={"base_s": 3_600.0, "cap_s": 3_600.0})})
        running = asyncio.create_task(daemon.run())
        await until(lambda: daemon.supervisors["mad"].state == "waiting")
        daemon.stop()
        await running
        assert daemon.supervisors["mad"].restarts == 0

    run(work())


def test_more_pipelines_than_the_loop_has_threads(tmp_path, plugin):
    names = [f"p{n}" for n in range(34)]

    async def work():
        async with steered(plugin, tmp_path, *names, network={"neurons": 1}) as made:
            for name in names:  # while all the others wait for their next batch
                await made.step(name=name)
            return {made.lane(name).engine.progress.rows for name in names}

    assert asyncio.run(asyncio.wait_for(work(), 50)) == {30}


# Waiting.


def test_each_wait_is_twice_the_last_up_to_a_bound_and_begins_again_after_calm():
    sure = Backoff(RestartConfig(base_s=0.5, cap_s=5.0, calm_s=60.0), chance=lambda: 0.0)
    assert [sure.after(1.0) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert sure.after(60.0) == 0.5
    assert sure.after(59.9) == 1.0
    half = Backoff(RestartConfig(base_s=0.5), chance=lambda: 1.0)
    assert half.after(0.0) == 0.25
    for_ever = Backoff(RestartConfig(), chance=lambda: 0.0)
    assert [for_ever.after(0.0) for _ in range(5_000)][-1] == 30.0


# Stream time.


def test_a_batch_is_moved_with_all_that_it_holds():
    flock = moved(events(0, 10, [(3, 1, 2, True)]), 100)
    assert (flock.start, flock.stop, flock.data.tolist()) == (100, 110, [(103, 1, 2, True)])
    assert moved(Spikes(0, 10, np.array([3]), np.array([7], np.int32)), 100).t.tolist() == [103]
    sound = Sound(0, 10, np.zeros((2, 1), np.float32))
    assert (moved(sound, 5).start, moved(sound, 5).stop, moved(sound, 5).samples) == (5, 15, sound.samples)


def test_a_sensor_that_begins_anew_is_moved_behind_what_was(tmp_path, plugin):
    class Stubborn:
        size, live, sent = SIZE, True, 0

        async def batches(self, start=0):
            for at in (0, STEP):
                yield Events(at, at + STEP, noise(at, at + STEP).data, SIZE)

    async def work():
        daemon = Daemon({"mad": job("mad", "flaky://x?fails=0&good=3")})
        lane = daemon.supervisors["mad"].lane
        await lane.begin()
        await lane.work()
        lane.again(30_000)
        lane.engine.sensor = Stubborn()
        await lane.work()
        return lane.pipeline

    ended = run(work())
    assert (ended.now, ended.gaps) == (1_020_000, [(30_000, 1_000_000)])


# The configuration.

TWO = """
[network]
neurons = 5
[readout]
window_us = 10_000
[publish]
urls = ["tcp://127.0.0.1:0"]
[checkpoint]
every_s = 7.0
[pipelines.left.sensor]
uri = "left.aedat4"
[pipelines.left.checkpoint]
path = "left.npz"
[pipelines.right]
sensor = {uri = "right.aedat4"}
network = {neurons = 6}
filter = []
"""


def pipelines(tmp_path, text, *sets):
    (tmp_path / "d.toml").write_text(text)
    return read_pipelines(tmp_path / "d.toml", sets, lambda made: {})


def test_each_pipeline_is_what_is_outside_with_its_own_on_top(tmp_path):
    made = pipelines(tmp_path, TWO)
    assert list(made) == ["left", "right"]
    left, right = made.values()
    shared = {"readout": {"window_us": 10_000}, "publish": {"urls": ["tcp://127.0.0.1:0"], "pipeline": "left"}}
    own = {"sensor": {"uri": "left.aedat4"}, "checkpoint": {"path": "left.npz", "every_s": 7.0}}
    assert left == from_tables({**shared, **own, "network": {"neurons": 5}})
    assert (right.network.neurons, right.readout.window_us, right.filter) == (6, 10_000, ())
    assert (right.publish.pipeline, right.checkpoint.path) == ("right", "")


def test_a_file_without_pipelines_is_the_one_it_always_was(tmp_path):
    text = '[sensor]\nuri = "a"\n[publish]\npipeline = "eye"\n'
    assert pipelines(tmp_path, text) == {"eye": from_tables({"sensor": {"uri": "a"}, "publish": {"pipeline": "eye"}})}


def test_settings_are_for_all_or_for_one(tmp_path):
    sets = ("network.neurons=9", "pipelines.right.network.seed=3", "pipelines.left.sensor.uri=2024_01_01")
    left, right = pipelines(tmp_path, TWO, *sets).values()
    assert (left.network.neurons, right.network.neurons) == (9, 6)
    assert (left.network.seed, right.network.seed) == (0, 3)
    assert left.sensor.uri == "2024_01_01"


def test_what_goes_with_a_sensor_is_below_everything(tmp_path):
    (tmp_path / "d.toml").write_text(TWO)
    base = {"network": {"neurons": 1, "seed": 4}}
    left, _ = read_pipelines(tmp_path / "d.toml", (), lambda made: base).values()
    assert (left.network.neurons, left.network.seed) == (5, 4)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[pipelines.left.publish]\nurls = []", "for the whole daemon"),
        ("[pipelines.left.netwrok]\nneurons = 3", "unknown section"),
        ("[pipelines.'a.b']\nsensor = {uri = 'x'}", "publish.pipeline"),
        ("[pipelines.left.pipelines.x]", "several pipelines"),
        ("[pipelines]\nx = 3", "tables, each with a name"),
        ("[publish]\npipeline = 'x'\n[pipelines.y.sensor]\nuri = 'x'", "name of a single pipeline"),
        ("pipelines = {}", "tables, each with a name"),
        ("[restart]\npolicy = 'sometimes'", "restart.policy"),
        ("[restart]\nbase_s = 0", "restart.base_s"),
    ],
)
def test_a_configuration_that_makes_no_sense(more, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        pipelines(tmp_path, more)


def test_two_pipelines_never_write_to_one_file(tmp_path):
    path = recording(tmp_path)
    jobs = {name: job(name, path, save=str(tmp_path / file)) for name, file in (("a", "m"), ("b", "x/../m"))}
    (tmp_path / "x").mkdir()
    with pytest.raises(ConfigError, match="pipelines a and b would both write"):
        Daemon(jobs)


# The command line.


def test_run_runs_them_all_and_replay_says_who_can(tmp_path):
    left, right = recording(tmp_path, "left"), recording(tmp_path, "right")
    text = f'[sensor]\nspeed = "max"\n[network]\nneurons = 5\n[readout]\nwindow_us = {STEP}\n'
    for name, path in (("left", left), ("right", right)):
        text += f'[pipelines.{name}]\nsensor = {{uri = "{path}"}}\ncheckpoint = {{path = "{tmp_path}/{name}.npz"}}\n'
    (tmp_path / "d.toml").write_text(text)
    done = spikestream("run", tmp_path / "d.toml")
    assert "running left, right" in done.stderr
    for name in ("left", "right"):
        assert f"{name}: channel to pipeline: 300 sent, 300 received" in done.stderr
        assert ss.load(tmp_path / f"{name}.npz").now == 100_000
    refused = spikestream("replay", left, "--config", tmp_path / "d.toml", code=2)
    assert "spikestream run CONFIG" in refused.stderr
    assert "a record is of one pipeline" in spikestream("run", tmp_path / "d.toml", "--record", "x", code=2).stderr
