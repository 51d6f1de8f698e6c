"""Control over real sockets: what a request does, that a record repeats it, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re

import numpy as np
import pytest
from cli import ROOT
from daemon_cases import STEP, job, plugin, recording, steered, until
from inprocess import called
from small import noise, pieces, pipeline, run

import spikestream as ss
from spikestream.batch import Setting
from spikestream.checkpoint import state_sha256
from spikestream.cli.status import lines
from spikestream.client import Client, subscribe
from spikestream.errors import SpikestreamError
from spikestream.service import control as control_room
from spikestream.service.asked import below
from spikestream.service.daemon import Daemon
from spikestream.service.hub import TERMS
from spikestream.service.session import Session
from spikestream.wire import POLICIES, Refusal

__all__ = ["plugin"]
PAGE = (ROOT / "docs" / "control.md").read_text(encoding="utf-8")


def given(count, name="main"):
    """Return the first batches that a steered sensor gives."""
    return [noise(at, at + STEP, seed=at) for at in range(0, count * STEP, STEP)]


def refused(code, asked):
    """Await a request and check that it is refused with this code."""

    async def ask():
        with pytest.raises(Refusal) as caught:
            await asked
        assert caught.value.code == code, caught.value
        return caught.value

    return ask()


# Settings.


def test_a_setting_counts_from_its_stream_time_and_a_record_repeats_it(tmp_path, plugin):
    record = tmp_path / "r"

    async def work():
        async with steered(plugin, tmp_path, record=str(record)) as made, subscribe(made.url, ()) as client:
            await made.step(3)
            told = await client.set("network.v_thresh", 0.5)
            assert told == {"pipeline": "main", "key": "network.v_thresh", "value": 0.5, "t": 30_000}
            assert (await client.learn(False))["t"] == 30_000
            await made.step(2)
            assert (await client.get("network.v_thresh"))["settings"] == {"network.v_thresh": 0.5}
            assert (await client.get())["settings"]["learn.enabled"] is False
            await client.learn(True)
            await made.step(2)
            lane = made.lane()
            return lane.hash.hexdigest(), state_sha256(lane.pipeline)

    output, state = run(work())
    by_hand = pipeline()
    changes = {3: [Setting(30_000, "network.v_thresh", 0.5), Setting(30_000, "learn.enabled", False)]}
    changes[5] = [Setting(50_000, "learn.enabled", True)]
    for number, batch in enumerate(given(7)):
        by_hand(batch, changes.get(number, ()))
    assert state_sha256(by_hand) == state
    again = json.loads(called("replay", record, "--speed", "max", "--json").stdout)
    assert (again["output_sha256"], again["state_sha256"]) == (output, state)


def test_settings_that_do_not_go_together_are_refused_before_they_can_do_harm(tmp_path, plugin):
    async def work():
        async with steered(plugin, tmp_path) as made, subscribe(made.url, ()) as client:
            await made.step()
            await client.set("network.v_thresh", 0.5)  # waits for the sensor
            await refused("value", client.set("network.v_thresh", "high"))
            await refused("value", client.set("network.v_thresh", -1.0))
            await made.step()
            assert made.daemon.supervisors["main"].restarts == 0
            assert (await client.get("network.v_thresh"))["settings"] == {"network.v_thresh": 0.5}

    run(work())


ASKED = [
    ("status", {"x": 1}, "key"),
    ("status", {"pipeline": "left"}, "pipeline"),
    ("pipelines", {"pipeline": "main"}, "key"),
    ("get", {"key": "network.neurons"}, "value"),
    ("get", {"key": 3}, "value"),
    ("get", {"key": "x" * 1_025}, "client"),
    ("set", {"key": "network.v_thresh"}, "value"),
    ("set", {"value": 1}, "value"),
    ("set", {"key": "network.v_thresh", "value": [1]}, "value"),
    ("set", {"key": "network.v_thresh", "value": float("nan")}, "value"),
    ("set", {"key": "network.v_thresh", "value": True}, "value"),
    ("set", {"key": "network.neurons", "value": 9}, "value"),
    ("set", {"key": "learn.enabled", "value": 1}, "value"),
    ("learn", {}, "value"),
    ("learn", {"on": "yes"}, "value"),
    ("learn", {"on": True, "pipeline": ""}, None),
    ("pause", {"pipeline": 3}, "value"),
    ("resume", {"pipeline": "left"}, "pipeline"),
    ("save", {}, "folder"),
    ("save", {"file": "m.npz"}, "folder"),
    ("load", {}, "folder"),
    ("weights", {"pipeline": "left"}, "pipeline"),
    ("add", {"name": "x", "toml": "a = 1"}, "folder"),
    ("add", {"name": "x"}, "value"),
    ("remove", {}, "value"),
    ("remove", {"pipeline": "left"}, "pipeline"),
    ("statsu", {}, "client"),
]


def test_what_makes_no_sense_is_refused_and_nothing_else_happens(tmp_path, plugin):
    async def work():
        async with steered(plugin, tmp_path) as made, subscribe(made.url, ()) as client:
            await made.step()
            for do, fields, code in ASKED:
                if code == "client":
                    with pytest.raises(SpikestreamError, match=r"cannot be sent|does not know"):
                        await client.request(do, **fields)
                elif code is None:
                    await client.request(do, **fields)
                else:
                    await refused(code, client.request(do, **fields))
            await made.step()
            assert state_sha256(made.lane().pipeline) == state_sha256(by_hand)

    by_hand = pipeline()
    for batch in given(2):
        by_hand(batch)
    run(work())


def test_where_there_are_several_one_has_to_be_named(tmp_path, plugin):
    async def work():
        async with steered(plugin, tmp_path, "left", "right") as made, subscribe(made.url, ()) as client:
            assert "left, right" in (await refused("pipeline", client.get())).what
            await client.set("network.v_thresh", 0.5, pipeline="right")
            await made.step(name="left")
            await made.step(name="right")
            got = [(await client.get("network.v_thresh", pipeline=name))["settings"] for name in ("left", "right")]
            assert got == [{"network.v_thresh": 0.25}, {"network.v_thresh": 0.5}]
            assert list((await client.pipelines())["pipelines"]) == ["left", "right"]

    run(work())


def test_a_silent_sensor_is_not_buried_in_settings(tmp_path, plugin, monkeypatch):
    monkeypatch.setattr(control_room, "MOST_WAITING", 2)

    async def work():
        async with steered(plugin, tmp_path) as made, subscribe(made.url, ()) as client:
            await made.step()
            for _ in range(2):
                await client.learn(False)
            await refused("busy", client.learn(False))
            await made.step()
            await client.learn(False)

    run(work())


# Pausing.


def test_what_a_live_sensor_gives_while_it_is_paused_is_a_gap_and_counted(tmp_path, plugin):
    async def work():
        async with steered(plugin, tmp_path) as made, subscribe(made.url, ()) as client:
            await made.step(2)
            assert await client.pause() == {"pipeline": "main", "state": "paused", "t": 20_000}
            engine = made.lane().engine
            for _ in range(3):
                made.give()
            await until(lambda: engine.passed_by == 90)
            assert (await client.status())["pipelines"]["main"]["paused_dropped"] == 90
            assert (await client.resume())["state"] == "running"
            await made.step()
            assert made.lane().pipeline.gaps == [(20_000, 50_000)]
            assert made.daemon.problems() == []

    run(work())


def test_a_recording_waits_and_loses_nothing(tmp_path):
    path = recording(tmp_path, stop=1_000_000)
    alone = Session(job("main", path).config and job("main", path))
    run(alone.run())

    async def work():
        daemon = Daemon({"main": job("main", path)})
        engine = daemon.supervisors["main"].lane.engine
        engine.pause()
        running = asyncio.create_task(daemon.run())
        await until(lambda: engine.held > 0)
        assert [hop.missing() for hop in await daemon.supervisors["main"].lane.still_hops() if hop.missing()] == []
        engine.resume()
        await running
        assert daemon.problems() == []
        return daemon.supervisors["main"].lane.hash.hexdigest()

    assert run(work()) == alone.hash.hexdigest()


def test_stopping_one_that_is_paused_runs_what_was_taken(tmp_path):
    async def work():
        daemon = Daemon({"main": job("main", recording(tmp_path))})
        engine = daemon.supervisors["main"].lane.engine
        engine.pause()
        running = asyncio.create_task(daemon.run())
        await until(lambda: engine.held > 0)
        daemon.stop()
        await running
        assert engine.progress.rows == engine.sensor.sent > 0
        assert daemon.problems() == []

    run(work())


# Files.


def test_a_model_is_saved_and_loaded_in_the_folder_only(tmp_path, plugin):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "bad.npz").write_bytes(b"nonsense")
    other = pipeline(network={"neurons": 7})
    other(noise(0, STEP))
    ss.save(folder / "other.npz", other)
    half = pipeline(readout={"kind": "classifier"}, classifier={"reads": "network"}, network={"seed": 3})
    ss.save(folder / "half.npz", half)  # its network would fit
    control = {"folder": str(folder)}

    async def work():
        async with steered(plugin, tmp_path, control=control) as made, subscribe(made.url, ()) as client:
            await refused("early", client.save("m.npz"))
            await made.step(3)
            told = await client.save("m.npz")
            assert (told["t"], told["bytes"]) == (30_000, (folder / "m.npz").stat().st_size)
            network = made.lane().pipeline.stages["network"]
            learned = network.weights
            await made.step(3)
            assert not np.array_equal(network.weights, learned)
            for name in ("../x.npz", f"{tmp_path}/x.npz", "out/x.npz"):
                await refused("folder", client.save(name))
            await refused("value", client.save("d.toml"))
            before = state_sha256(made.lane().pipeline)
            assert "not a model" in (await refused("failed", client.load("bad.npz"))).what
            assert "does not fit" in (await refused("failed", client.load("other.npz"))).what
            assert "stage 'readout'" in (await refused("failed", client.load("half.npz"))).what
            await refused("folder", client.load("none.npz"))
            assert state_sha256(made.lane().pipeline) == before
            assert (await client.load("m.npz"))["t"] == 60_000
            assert np.array_equal(network.weights, learned)
            await made.step()
            assert made.daemon.problems() == []
            assert not list(tmp_path.glob("*.npz"))

    run(work())


def test_what_no_record_could_repeat_is_refused_while_one_is_made(tmp_path, plugin):
    control = {"folder": str(tmp_path)}
    more = {"record": str(tmp_path / "r"), "save": str(tmp_path / "m.npz")}

    async def work():
        async with steered(plugin, tmp_path, control=control, **more) as made, subscribe(made.url, ()) as client:
            await made.step()
            await client.save()
            await refused("busy", client.load())

    run(work())


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", ".", "link/x", "link"])
def test_no_name_leads_out_of_the_folder(name, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(Refusal, match="not below"):
        below(str(folder), name)
    assert below(str(folder), "a/b") == str(folder / "a" / "b")
    with pytest.raises(Refusal, match="not set"):
        below("", "a")


# Weights.


def test_weights_are_those_of_now(tmp_path, plugin):
    async def work():
        async with steered(plugin, tmp_path) as made, subscribe(made.url, ()) as client:
            await made.step(2)
            told = await client.weights()
            assert (told["shape"], told["dtype"], told["t"]) == ([32, 5], "<f4", 20_000)
            weights = np.frombuffer(told["d"], told["dtype"]).reshape(told["shape"])
            assert np.array_equal(weights, made.lane().pipeline.stages["network"].weights)

    run(work())


# Adding and removing.

SMALL = ["[network]", "neurons = 5", "[readout]", f"window_us = {STEP}"]


def test_a_pipeline_is_added_and_removed_while_the_others_go_on(tmp_path, plugin):
    path = recording(tmp_path)
    alone = Session(job("new", path))
    run(alone.run())
    text = "[network]\nneurons = 5\ntau_theta_ms = 50.0\ntau_refrac_ms = 2.0\ninhibition = 0.2\n"
    text += f'[sensor]\nuri = "{path}"\nspeed = "max"\n[[filter]]\nkind = "refractory"\nperiod_ms = 0.3\n'
    text += f'[readout]\nwindow_us = {STEP}\nkept = 3\n[checkpoint]\npath = "{tmp_path}/new.npz"\n'
    (tmp_path / "new.toml").write_text(text)
    control = {"folder": str(tmp_path)}

    async def work():
        async with steered(plugin, tmp_path, control=control) as made, subscribe(made.url, ["new.>"]) as client:
            await made.step()
            assert await client.add("new", file="new.toml") == {"pipeline": "new", "sensor": str(path)}
            await refused("pipeline", client.add("new", file="new.toml"))
            await refused("pipeline", client.add("main", file="new.toml"))
            await until(lambda: made.daemon.supervisors["new"].ended)
            assert made.lane("new").hash.hexdigest() == alone.hash.hexdigest()
            assert await client.remove("new") == {"pipeline": "new", "state": "ended", "problems": []}
            assert list((await client.pipelines())["pipelines"]) == ["main"]
            assert ss.load(tmp_path / "new.npz").now == 100_000
            await client.add("new", file="new.toml")  # once more, under the same topics
            await until(lambda: made.daemon.supervisors["new"].ended)
            assert made.daemon.problems() == []
            assert await client.remove("main") == {"pipeline": "main", "state": "ended", "problems": []}

    run(work())


def test_a_text_may_name_only_what_lies_in_the_folder(tmp_path, plugin):
    folder = tmp_path / "in"
    folder.mkdir()
    path, outside = recording(folder, "in"), recording(tmp_path, "out")
    (folder / "link.aedat4").symlink_to(outside)
    bad = [
        ['sensor = {uri = "../out.aedat4"}'],
        [f'sensor = {{uri = "{outside}"}}'],
        [f'sensor = {{uri = "file:{outside}?time=drop"}}'],
        ['sensor = {uri = "link.aedat4"}'],
        ['sensor = {uri = "steps://x"}'],
        ['sensor = {uri = "-"}'],
        ['sensor = {uri = "in.aedat4"}', 'checkpoint = {path = "../m.npz"}'],
        ['sensor = {uri = "in.aedat4"}', 'chip = {placement = "/etc/passwd"}'],
        ['sensor = {uri = "in.aedat4"}', 'chip = {model = "/etc/passwd"}'],
        ['sensor = {uri = "in.aedat4"}', 'model = {file = "/etc/passwd"}'],
    ]

    async def work():
        control = {"folder": str(folder)}
        async with steered(plugin, tmp_path, control=control) as made, subscribe(made.url, ()) as client:
            for lines in bad:
                await refused("folder", client.add("new", toml=lines))
            for lines in (["publish = {urls = []}"], ["network = 3"], ["nonsense"], ["[sensor]"]):
                await refused("value", client.add("new", toml=lines))
            await refused("value", client.add("new", toml=[3]))
            good = [*SMALL, "[sensor]", 'uri = "in.aedat4"', 'speed = "max"', "[checkpoint]", 'path = "m.npz"']
            assert await client.add("new", toml=good) == {"pipeline": "new", "sensor": str(path)}
            await until(lambda: made.daemon.supervisors["new"].ended)
            assert made.lane("new").engine.progress.rows == 300
            await client.remove("new")
        assert sorted(entry.name for entry in folder.iterdir()) == ["in.aedat4", "link.aedat4", "m.npz"]

    run(work())


def test_a_replay_adds_nothing_and_can_be_controlled_all_the_same(tmp_path):
    url = f"unix://{tmp_path}/s"
    made = job("main", recording(tmp_path, stop=200_000), publish={"urls": [url]})

    async def work():
        session = Session(made)
        session.engine.pause()
        running = asyncio.create_task(session.run())
        await session.started.wait()
        async with subscribe(url, ()) as client:
            with pytest.raises(ss.ClientError, match="does not know how to add"):
                await client.add("x", toml="a = 1")
            await client.set("network.v_thresh", 0.5)
            await client.resume()
            await running
        return session.pipeline.settings["network.v_thresh"]

    assert run(work()) == 0.5


# What is told.


def table(heading):
    """Return the first cells of the tables under a heading of the page, as lists of the words they hold."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [re.findall(r"`(\w+)`( \+)?", row) for row in re.findall(r"^\| ([^|]*`[^|]*) \|", section, re.MULTILINE)]


def test_the_page_has_every_request_and_every_figure(tmp_path, plugin):
    async def work():
        async with steered(plugin, tmp_path) as made, subscribe(made.url, ["main.engine.stats"]) as client:
            await made.step(2)
            made.lane().publish_stats()
            stats = (await anext(client)).data
            return client.hello.caps, await client.status(), stats

    caps, status, stats = run(work())
    asked = [cell[0][0] for cell in table("Requests")]
    assert set(asked[: asked.index("do")]) == {cap for cap in caps if cap not in (*POLICIES, *TERMS)}
    figures = {name: bool(plus) for row in table("Figures") for name, plus in row}
    one = status["pipelines"]["main"]
    assert set(figures) == {*one, "error"}
    assert {name for name, plus in figures.items() if plus} == {*stats, "error"}
    assert (one["state"], one["t"], one["events_in"], one["problems"], one["live"]) == ("running", 20_000, 60, [], True)
    (me,) = status["subscribers"]
    assert set(me) == set(re.findall(r"`(\w+)`", PAGE.partition("A subscriber has ")[2].partition("\n## ")[0]))
    assert me["missing"] == 0


def test_the_codes_of_the_page_are_those_there_are():
    source = "".join(
        (ROOT / "spikestream" / "service" / f"{name}.py").read_text()
        for name in ("control", "daemon", "asked", "adding", "desk", "teaching")
    )
    used = set(re.findall(r'Refusal\("(\w+)"', source)) | set(re.findall(r'code="(\w+)"', source))
    asked = [name for row in table("Requests") for name, _ in row]
    assert used == {name for name in asked[asked.index("do") :] if name in used}


def test_figures_stand_still_while_they_are_read(tmp_path):
    """A ledger read in the middle of a run closes: nothing that is on its way counts as lost."""

    async def work():
        daemon = Daemon({"main": job("main", recording(tmp_path, stop=3_000_000))})
        running = asyncio.create_task(daemon.run())
        await daemon.started.wait()
        problems, looks = [], 0
        while not running.done():
            problems += [f"{hop}" for hop in await daemon.supervisors["main"].lane.still_hops() if hop.missing()]
            looks += 1
            await asyncio.sleep(0)
        await running
        return problems, looks

    problems, looks = run(work())
    assert problems == []
    assert looks > 5


# The page's Python, and the command line.


def test_the_python_of_the_page_turns_the_threshold_up(tmp_path, plugin):
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(compile(source, "control.md", "exec"), names)

    async def work():
        async with steered(plugin, tmp_path) as made:
            await made.step()
            assert await asyncio.to_thread(names["hotter"], made.url) == pytest.approx(0.275)

    run(work())


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["get"], 0, "network.v_thresh = 0.25"),
        (["get", "learn.enabled"], 0, "learn.enabled = true"),
        (["set", "network.v_thresh=0.5"], 0, "main: network.v_thresh = 0.5 from 20,000 µs on"),
        (["set", "network.v_thresh=0.5", "--json"], 0, '"t": 20000'),
        (["set", "network.v_thresh"], 2, "is no setting"),
        (
            ["set", "network.v_tresh=1"],
            2,
            "'network.v_tresh' cannot be changed while running; allowed: learn.enabled, ",
        ),
        (["set", "network.v_tresh=1"], 2, "; did you mean 'network.v_thresh'?\n"),
        (["set", "network.v_thresh=high"], 2, "wrong type; allowed: a number"),
        (["learn", "off"], 0, "main: learn.enabled = false from 20,000 µs on"),
        (["learn", "maybe"], 2, "allowed: on, off"),
        (["pipelines"], 0, "main  running  steps://main?live=yes"),
        (["pause"], 0, "main: paused"),
        (["pause", "now"], 2, "makes no sense"),
        (["resume", "--pipeline", "left"], 2, "no pipeline 'left'"),
        (["save"], 2, "checkpoint.path"),
        (["add", "x", "y.toml"], 2, "control.folder"),
        (["remove", "x"], 2, "no pipeline 'x'"),
        (["fly"], 2, "ctl cannot fly"),
        (["get", "--send"], 2, "a text to send"),
        (["remove", "x", "--pipeline", "y"], 2, "takes no --pipeline"),
        (["add", "x", "/no/such", "--send"], 2, "cannot read /no/such"),
    ],
)
def test_ctl_says_what_came_of_it_or_why_nothing_did(args, code, text, tmp_path, plugin):
    async def work():
        async with steered(plugin, tmp_path) as made:
            await made.step(2)
            return await asyncio.to_thread(called, "ctl", made.url, *args, code=code)

    done = run(work())
    assert text in done.stdout + done.stderr
    assert (done.stdout == "") is (code != 0)


def test_status_shows_what_there_is(tmp_path, plugin):
    async def work():
        async with steered(plugin, tmp_path, "left", "right") as made, subscribe(made.url, ["left.>"]):
            await made.step(2, "left")
            shown = await asyncio.to_thread(called, "status", made.url)
            told = await asyncio.to_thread(called, "status", made.url, "--json", "--pipeline", "left")
            await asyncio.to_thread(called, "status", made.url, "--pipeline", "up", code=2)
            return shown.stdout, json.loads(told.stdout)

    shown, told = run(work())
    assert "left: running, learning, steps://left?live=yes" in shown
    assert "right: running" in shown
    assert "subscribers\n" in shown
    assert list(told["pipelines"]) == ["left"]
    assert "nobody answers" in called("status", f"unix://{tmp_path}/none", code=5).stderr


def test_who_has_left_is_not_shown_as_if_it_were_there(tmp_path, plugin):
    async def work():
        async with steered(plugin, tmp_path) as made:
            hub = made.daemon.hub
            async with subscribe(made.url, ["main.>"], name="gone"), subscribe(made.url, ["main.>"], name="here"):
                await made.step(2)
            await until(lambda: hub.subscribers == 0)
            async with subscribe(made.url, ["main.>"], name="new") as client:
                await made.step()
                told = (await client.status())["subscribers"]
                return {one["client"]: one["left"] for one in told}, [*lines({"pipelines": {}, "subscribers": told})]

    left, (head, one, rest) = run(work())
    assert left == {"gone": True, "here": True, "new": False}
    assert (head, " new: " in one, rest.startswith("  2 that left: ")) == ("subscribers", True, True)


def test_the_blocking_client_asks_too(tmp_path, plugin):
    def ask(url):
        with Client(url, ()) as client:
            return client.set("network.v_thresh", 0.5)["t"], client.status()["pipelines"]["main"]["t"]

    async def work():
        async with steered(plugin, tmp_path) as made:
            await made.step(2)
            assert await asyncio.to_thread(ask, made.url) == (20_000, 20_000)

    run(work())


def test_a_pace_moves_with_a_pause():
    from spikestream.sensors.pace import Pace

    slept = []

    class Recorded:
        size, live, sent = (4, 4), False, 0

        async def batches(self, start=0):
            for batch in pieces(noise(0, 3 * STEP), [STEP, 2 * STEP]):
                yield batch

    async def sleep(seconds):
        slept.append(round(seconds, 6))

    async def work():
        pace = Pace(Recorded(), 1.0, clock=lambda: sum(slept), sleep=sleep)
        async for _ in pace.batches():
            if len(slept) == 1:
                slept.append(7.0)  # of which nobody took anything
                pace.paused(7.0)

    run(work())
    assert slept == [0.01, 7.0, 0.01, 0.01]
