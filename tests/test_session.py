"""A session from outside: what it refuses to begin, how it ends when something fails, what its record repeats."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from cli import LABELS, LOOKS, PATIENCE_S, replay_json, spikestream, start
from small import SIZE, Given, config, events, noise, run

import spikestream as ss
from spikestream.batch import EVENT, Events, Sound, Spikes, cut
from spikestream.config import with_value
from spikestream.errors import ConfigError, DeviceError, ModelError, PluginError, RecordingError
from spikestream.files.labels import LabelRow
from spikestream.files.write import write
from spikestream.outputs.file import File
from spikestream.sensors.guard import Guard
from spikestream.service.job import Job, check
from spikestream.service.session import Session

QUICK = ("--speed", "max", "--set", "network.neurons=20")
SAME = ("events_in", "spikes_out", "decisions", "accuracy", "prequential_accuracy", "chance", "baseline_accuracy")
SAME = (*SAME, "duration_us", "state_sha256", "output_sha256")


def played(tmp_path, **more):
    """Return a job that plays a short recording."""
    source = tmp_path / "a.aedat4"
    if not source.exists():
        write(source, noise(0, 100_000), size=SIZE)
    sections = more.pop("sections", {})
    return Job(config(sensor={"uri": str(source), "speed": "max"}, **sections), **more)


# What a record repeats.


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that has learned from a part of the recording."""
    path = tmp_path_factory.mktemp("model") / "m.npz"
    replay_json(LOOKS, *QUICK, "--labels", LABELS, "--to", "10s", "--save", path)
    return path


@pytest.mark.parametrize("more", [(), ("--no-learn",)], ids=["learning", "frozen"])
def test_a_record_of_a_run_with_model_and_labels_replays_alone(more, model, tmp_path):
    record = tmp_path / "r"
    args = ["--model", model, "--labels", LABELS, "--record", record, *more]
    # From what is taught into what is held out.
    first = replay_json(LOOKS, "--speed", "max", "--from", "38s", "--to", "42s", *args)
    again = replay_json(record, "--speed", "max")
    assert {key: again[key] for key in SAME} == {key: first[key] for key in SAME}
    assert first["accuracy"] is not None
    twice = replay_json(record, "--speed", "max", "--record", tmp_path / "r2")
    assert replay_json(tmp_path / "r2", "--speed", "max")["output_sha256"] == twice["output_sha256"]


def test_a_record_knows_the_size_the_user_gave(tmp_path):
    first = replay_json(LOOKS, *QUICK, "--size", "100x100", "--to", "2s", "--record", tmp_path / "r")
    again = replay_json(tmp_path / "r", "--speed", "max")
    assert {key: again[key] for key in SAME} == {key: first[key] for key in SAME}


def test_a_run_that_goes_on_from_its_checkpoint_is_recorded_with_it(tmp_path):
    state, record = tmp_path / "state.npz", tmp_path / "r"
    begin = cut(ss.read(LOOKS), 7_000_000)[0]
    write(tmp_path / "begin.aedat4", begin, size=begin.size)
    text = f'[sensor]\nuri = "{tmp_path}/begin.aedat4"\nspeed = "max"\n[checkpoint]\npath = "{state}"\n'
    text += "[network]\nneurons = 20\n"
    (tmp_path / "d.toml").write_text(text)
    spikestream("run", tmp_path / "d.toml")
    spikestream("run", tmp_path / "d.toml", "--record", record)
    replay_json(record, "--speed", "max", "--save", tmp_path / "again.npz")
    for kind in (np.load(state), np.load(tmp_path / "again.npz")):
        assert kind["network/wins"].sum() > 0
    both = [dict(np.load(path)) for path in (state, tmp_path / "again.npz")]
    assert all(np.array_equal(both[0][key], both[1][key]) for key in both[0] if key != "meta")


def test_another_model_may_be_named_for_a_record(model, tmp_path):
    record = tmp_path / "r"
    first = replay_json(LOOKS, *QUICK, "--to", "2s", "--record", record)
    other = replay_json(record, "--speed", "max", "--model", model)
    assert other["events_in"] == first["events_in"]
    assert other["output_sha256"] != first["output_sha256"]


# How it ends.


def test_whatever_fails_at_the_end_the_rest_is_still_done(tmp_path, monkeypatch):
    out = tmp_path / "gone" / "x"
    out.parent.mkdir()
    publish = {"urls": (f"file://{out}",)}
    job = played(tmp_path, save=str(tmp_path / "m.npz"), record=str(tmp_path / "r"), sections={"publish": publish})
    session = Session(job)

    async def work():
        running = session.run()
        session.engine._on_outputs = lambda outputs: [entry.unlink() for entry in out.parent.iterdir()] and None
        await running

    with pytest.raises(RecordingError, match="cannot be written"):
        run(work())
    assert (tmp_path / "m.npz").exists()
    assert (tmp_path / "r").exists()


def test_an_output_of_a_plugin_that_breaks_at_the_end_costs_no_model(tmp_path):
    class Breaking(File):
        async def aclose(self):
            await super().aclose()
            raise RuntimeError("not ours")

    session = Session(played(tmp_path, save=str(tmp_path / "m.npz")))
    session.hub.outputs = (Breaking(str(tmp_path / "x")),)
    with pytest.raises(RuntimeError, match="not ours"):
        run(session.run())
    assert (tmp_path / "m.npz").exists()


def test_a_failed_autosave_is_told_and_tried_again(tmp_path, caplog):
    folder = tmp_path / "state"
    folder.mkdir()
    job = played(tmp_path, save=str(folder / "m.npz"), save_every_s=0.001)
    session = Session(Job(with_value(job.config, "sensor", speed="0.05"), save=job.save, save_every_s=0.01))
    folder.rmdir()
    seen = []

    def outputs(made):
        if "not saved" in caplog.text and not folder.exists():
            folder.mkdir()
        seen.append((folder / "m.npz").exists())

    session.engine._on_outputs = outputs
    run(session.run())
    assert "tried again in 0.01 s" in caplog.text
    assert seen[-1]
    assert [entry.name for entry in folder.iterdir()] == ["m.npz"]


def test_the_last_save_waits_for_the_one_under_way(tmp_path):
    """Saves of one file from two threads: neither takes the other's temporary file away."""
    for _ in range(10):
        job = played(tmp_path, save=str(tmp_path / "m.npz"), save_every_s=1e-4)
        session = Session(job)
        run(session.run())
        assert session.problems() == []
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.aedat4", "m.npz"]


def test_the_last_save_that_fails_is_the_error(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    session = Session(played(tmp_path, save=str(folder / "m.npz")))
    folder.rmdir()
    with pytest.raises(ModelError, match="cannot write the model"):
        run(session.run())


def test_strict_sees_what_the_time_policy_dropped_of_a_part_too(tmp_path):
    rows = [(1_000 * i, 1, 1, True) for i in range(50)]
    rows[20] = (3_000, 1, 1, True)
    path = tmp_path / "back.aedat"
    data = np.concatenate([events(t, t + 1, [(t, x, y, p)]).data for t, x, y, p in rows])
    write(path, Events(0, 50_000, data, (128, 128)), size=(128, 128))
    args = ("replay", path, "--sensor", "dvs128", *QUICK, "--time", "drop", "--to", "40ms", "--strict")
    assert "1 events dropped: backward time" in spikestream(*args, code=7).stderr


def test_a_daemon_lets_nobody_make_it_wait(tmp_path):
    url = f"unix://{tmp_path}/s.sock"
    text = f'[sensor]\nuri = "blinker://"\n[publish]\nurls = ["{url}"]\n[network]\nneurons = 5\n'
    (tmp_path / "d.toml").write_text(text)
    with start("run", tmp_path / "d.toml") as daemon:
        while "running" not in daemon.stderr.readline():
            pass
        refused = spikestream("subscribe", url, "--policy", "block", code=5)
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=PATIENCE_S)
    assert "there are: drop_oldest, latest, disconnect" in refused.stderr
    assert daemon.returncode == 0


def test_a_replay_that_waits_for_a_subscriber_can_still_be_stopped(tmp_path):
    url = f"unix://{tmp_path}/s.sock"
    noisy = tmp_path / "n.aedat4"
    write(noisy, noise(0, 1_000_000, rate_hz=3_000_000), size=SIZE)
    filters = ("--set", "filter=[]", "--set", "network.neurons=5")
    with start("replay", noisy, "--speed", "max", *filters, "--publish", url, "--wait-subscribers", 1) as player:
        while "publishing" not in player.stderr.readline():
            pass
        with ss.Client(url, ["*"], policy="block") as client:
            next(iter(client))
            waited = player.stderr  # it reads nothing more: the player fills its queue, and waits
            with pytest.raises(subprocess.TimeoutExpired):
                player.wait(timeout=3)
            player.send_signal(signal.SIGTERM)
            assert waited is player.stderr
            out, err = player.communicate(timeout=PATIENCE_S)
    assert player.returncode == 143
    assert "have read nothing" in err
    assert "every hop closes" in out


def test_a_hundred_thousand_events_in_one_microsecond_are_replayed_and_published(tmp_path):
    path, url = tmp_path / "same.aedat4", f"unix://{tmp_path}/s.sock"
    data = np.zeros(100_000, EVENT)
    data["t"] = 5
    write(path, Events(0, 10, data, SIZE), size=SIZE)
    args = (path, "--speed", "max", "--set", "filter=[]", "--set", "network.neurons=5", "--strict", "--json")
    assert replay_json(*args)["events_in"] == 100_000
    with start("replay", *args, "--publish", url, "--wait-subscribers", 1) as player:
        done = spikestream("subscribe", url, "--wait", "60s", "--topic", "main.filter.events", "--summary")
        player.communicate(timeout=PATIENCE_S)
    assert player.returncode == 0
    assert "100,000 rows" in done.stdout


def test_a_second_signal_ends_the_draining_and_nothing_else(tmp_path):
    url, record, state = f"unix://{tmp_path}/s.sock", tmp_path / "r", tmp_path / "m.npz"
    text = f'[sensor]\nuri = "blinker://?hz=500&width=128&height=128"\n[publish]\nurls = ["{url}"]\n'
    (tmp_path / "d.toml").write_text(text + f'[checkpoint]\npath = "{state}"\n[network]\nneurons = 5\n')
    with start("run", tmp_path / "d.toml", "--record", record) as daemon:
        while "running" not in daemon.stderr.readline():
            pass
        with ss.Client(url, ["*"]) as client:
            next(iter(client))
            with pytest.raises(subprocess.TimeoutExpired):
                daemon.wait(timeout=2)  # the client reads nothing more: its queue fills
            daemon.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                daemon.wait(timeout=1)  # it drains
            daemon.send_signal(signal.SIGTERM)
            daemon.communicate(timeout=PATIENCE_S)
    assert daemon.returncode == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["d.toml", "m.npz", "r"]
    assert ss.load(state).now > 0


def test_a_run_that_never_began_leaves_an_old_record_alone(tmp_path):
    record, url = tmp_path / "r", f"unix://{tmp_path}/s.sock"
    record.write_text("old")
    args = ("--record", record, "--publish", url, "--wait-subscribers", 1, "--json")
    with start("replay", LOOKS, *args) as player:
        while "publishing" not in player.stderr.readline():
            pass
        player.send_signal(signal.SIGTERM)
        out = player.communicate(timeout=PATIENCE_S)[0]
    assert player.returncode == 143
    assert json.loads(out)["events_in"] == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["r"]
    assert record.read_text() == "old"


# What it refuses to begin.


@pytest.mark.parametrize(
    "twice",
    [
        {"save": "a.aedat4"},
        {"record": "a.aedat4"},
        {"record": "link"},
        {"save": "x", "record": "x"},
        {"save": "sub/../x", "record": "x"},
        {"labels": "l.csv", "record": "l.csv"},
        {"record": "x", "urls": ("file://x",)},
        {"urls": ("file://x", "file://x")},
        {"urls": ("file://a.aedat4",)},
    ],
)
def test_nothing_is_written_over_what_is_read_or_written(twice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    write("a.aedat4", noise(0, 10_000), size=SIZE)
    (tmp_path / "link").symlink_to("a.aedat4")
    before = (tmp_path / "a.aedat4").read_bytes()
    urls = twice.pop("urls", ())
    job = Job(config(sensor={"uri": "a.aedat4"}, publish={"urls": urls}), **twice)
    with pytest.raises(ConfigError, match="cannot be both"):
        check(job)
    assert (tmp_path / "a.aedat4").read_bytes() == before


def test_a_model_may_be_saved_where_it_came_from(tmp_path):
    check(played(tmp_path, model=str(tmp_path / "m.npz"), save=str(tmp_path / "m.npz")))


@pytest.mark.parametrize("key", ["format=bin", "layout=dvs128", "time=drop"])
def test_a_setting_that_a_plugin_would_ignore_is_refused(key):
    name, _, value = key.partition("=")
    with pytest.raises(ConfigError, match=f"sensor.{name} is for recordings"):
        Session(Job(config(sensor={"uri": "blinker://", name: value})))


def test_what_a_uri_says_wins_over_a_default_and_not_over_a_setting(tmp_path):
    job = played(tmp_path)
    uri = f"file:{job.config.sensor.uri}?time=drop"
    assert Session(Job(with_value(job.config, "sensor", uri=uri))).sensor._reader.time == "drop"
    with pytest.raises(ConfigError, match="time is drop"):
        Session(Job(with_value(job.config, "sensor", uri=uri, time="fail")))


def test_a_pipe_is_no_record_no_configuration_and_no_model(tmp_path):
    pipe = tmp_path / "pipe"
    subprocess.run(["mkfifo", str(pipe)], check=True)
    for place in (pipe, "/dev/zero"):
        for args, code in (
            ([place], 3),
            ([LOOKS, "--config", place], 2),
            ([LOOKS, "--labels", place], 3),
            ([LOOKS, "--model", place], 6),
        ):
            assert "not a regular file" in spikestream("replay", *args, "--speed", "max", code=code).stderr


def test_the_daemon_names_a_checkpoint_it_will_not_use(tmp_path):
    (tmp_path / "c.toml").write_text('[checkpoint]\npath = "x.npz"\n[network]\nneurons = 20\n')
    done = spikestream("replay", LOOKS, "--to", "1s", "--speed", "max", "--config", tmp_path / "c.toml", cwd=tmp_path)
    assert "checkpoint.path is for 'run'" in done.stderr


# Somebody else's sensor.


class Odd(Given):
    """A foreign sensor."""


BATCHES = {
    "not a batch": ("ab", "yielded str"),
    "backwards": (events(20, 10), "runs backwards"),
    "outside": (events(30, 40, [(5, 0, 0, True)]), "outside of it"),
    "unsorted": (events(30, 60, [(50, 0, 0, True), (40, 0, 0, True)]), "not sorted"),
    "before": (events(5, 50), "before 10 µs"),
    "for ever": (events(10, 10**11), "more than an hour"),
    "nonsense": (Sound(10, 20, None), "has no len"),
    "spikes of nothing": (Spikes(10, 20, "ab", None), "law"),
}


@pytest.mark.parametrize(("batch", "words"), BATCHES.values(), ids=BATCHES)
def test_a_batch_that_breaks_a_law_is_the_plugins_fault(batch, words):
    got = []

    async def work():
        async for one in Guard(Odd([events(0, 10), batch]), "odd").batches():
            got.append(one)  # noqa: PERF401 an error must leave what came before it

    with pytest.raises(PluginError, match=words) as caught:
        run(work())
    assert "odd" in str(caught.value)
    assert len(got) == 1


@pytest.mark.parametrize(("error", "ours"), [(OSError("unplugged"), DeviceError), (KeyError("x"), PluginError)])
def test_an_exception_of_a_plugin_becomes_ours(error, ours):
    class Failing(Odd):
        async def batches(self, start=0):
            yield events(0, 10)
            raise error

    async def work():
        return [one async for one in Guard(Failing([]), "odd").batches()]

    with pytest.raises(ours, match="odd"):
        run(work())


def test_a_session_guards_what_is_not_ours():
    assert isinstance(Session(Job(config(sensor={"uri": "blinker://"}))).engine.sensor.sensor, Guard)


def test_labels_of_a_record_come_back(tmp_path):
    labels = tmp_path / "l.csv"
    labels.write_text("start_us,stop_us,label,split\n0,50000,é,train\n50000,100000,b,test\n", encoding="utf-8")
    sections = {"readout": {"windows": "marked"}}
    run(Session(played(tmp_path, labels=str(labels), record=str(tmp_path / "r"), sections=sections)).run())
    rows = [LabelRow(0, 50_000, "é", False), LabelRow(50_000, 100_000, "b", True)]
    assert Session(Job(config(sensor={"uri": str(tmp_path / "r")}))).rows == rows


def test_damage_is_an_error_after_everything_before_it_was_saved(tmp_path):
    whole = LOOKS.read_bytes()
    (tmp_path / "cut.aedat4").write_bytes(whole[: len(whole) // 2])
    command = [sys.executable, "-m", "spikestream", "replay", str(tmp_path / "cut.aedat4"), *QUICK, "--json"]
    done = subprocess.run(
        [*command, "--save", str(tmp_path / "m.npz")], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 3
    assert json.loads(done.stdout)["events_in"] > 0
    assert (tmp_path / "m.npz").exists()
