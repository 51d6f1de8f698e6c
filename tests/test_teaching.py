"""Teaching while it runs, over real sockets: what is learned, what is answered, and that a record repeats it."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cli import ROOT
from inprocess import called
from small import SIZE, config, noise, pieces, pipeline, run
from wirebytes import Raw

from spikestream.batch import Decision, Decisions, Label
from spikestream.client import Client, subscribe
from spikestream.errors import ClientError, SpikestreamError
from spikestream.files.write import write
from spikestream.outputs.unix import Unix
from spikestream.sensors.record import Record
from spikestream.service import desk, teaching
from spikestream.service.desk import Desk
from spikestream.service.engine import Engine
from spikestream.service.hub import Hub
from spikestream.service.job import Job
from spikestream.service.session import Session
from spikestream.service.teaching import Teacher
from spikestream.wire import Refusal, Reply, Request

STEP = 10_000
"""A batch, and a window of the small pipeline, µs; it keeps the last three."""


class Stepping:
    """A live sensor that gives a batch when it is told to."""

    size, live, sent = SIZE, True, 0

    def __init__(self):
        self.given: asyncio.Queue = asyncio.Queue()

    async def batches(self, start=0):
        while (batch := await self.given.get()) is not None:
            self.sent += len(batch)
            yield batch


class Running:
    """A pipeline at work that goes on when told to, and publishes at a socket."""

    def __init__(self, path, made):
        self.sensor, self.url, self.now = Stepping(), f"unix://{path}", 0
        self.desk = Desk()
        self.hub = Hub([Unix(str(path))], epoch="5eed", desk=self.desk)
        self.commands: list = []
        watch = [lambda batch, commands, outputs: self.commands.extend(commands)]
        self.engine = Engine(made, self.sensor, self.hub, watch=watch)
        self.desk.add("teach", Teacher(self.engine))

    async def step(self, count=1):
        """Let stream time go on by so many windows."""
        for _ in range(count):
            self.sensor.given.put_nowait(noise(self.now, self.now + STEP, seed=self.now))
            self.now += STEP
        while self.engine.progress.stop < self.now:
            await asyncio.sleep(0)

    async def taught(self, client, *args, **more):
        """Return what comes of a lesson that the next batch puts in force."""
        lesson = asyncio.create_task(client.teach(*args, **more))
        while not self.desk._open and not lesson.done():
            await asyncio.sleep(0)
        await self.step()
        return await lesson


@asynccontextmanager
async def running(folder, **sections):
    made = Running(folder / "s", pipeline(**sections))
    await made.hub.start()
    work = asyncio.create_task(made.engine.run())
    try:
        yield made
    finally:
        made.sensor.given.put_nowait(None)
        await work
        await made.desk.aclose()
        await made.hub.aclose()


def labels(made):
    return [command for command in made.commands if isinstance(command, Label)]


# What is learned.


@pytest.mark.parametrize("kind", ["votes", "classifier"])
@pytest.mark.parametrize(
    ("when", "span", "windows"),
    [
        ({"for_us": 20_000}, (30_000, 50_000), 2),
        ({"for_us": 29_999}, (20_001, 50_000), 2),
        ({"for_us": 1_000_000}, (-950_000, 50_000), 3),  # all that are kept
        ({"for_us": 9_999}, (40_001, 50_000), 0),
        ({"window": (30_000, 40_000)}, (30_000, 40_000), 1),
        ({"window": (0, 20_000)}, (0, 20_000), 0),  # kept no longer
    ],
)
def test_a_lesson_is_about_the_windows_decided_of_late(kind, when, span, windows, tmp_path):
    async def work():
        async with running(tmp_path, readout={"kind": kind}) as made, subscribe(made.url, ()) as client:
            await made.step(5)
            came = await made.taught(client, "sun", reward=0.5, **when)
            assert (came.t, came.start, came.stop, came.windows) == (50_000, *span, windows)
            assert labels(made) == [Label(50_000, *span, "sun", 0.5)]
            assert made.engine.pipeline.stages["readout"].labels == (("sun",) if windows else ())

    run(work())


def test_what_was_taught_is_named_from_then_on(tmp_path):
    async def work():
        async with running(tmp_path) as made, subscribe(made.url, ["main.readout.decisions"]) as answers:
            await made.step(3)
            await made.taught(answers, "sun", for_us=30_000)
            await made.step(2)
            named = [(await anext(answers)).data[0].label for _ in range(6)]
            assert named == [None, None, None, "sun", "sun", "sun"]

    run(work())


def test_the_labels_of_others_are_no_answer_to_a_lesson(tmp_path):
    async def work():
        async with running(tmp_path) as made, subscribe(made.url, ()) as client:
            await made.step(3)
            made.engine.command(Label(30_000, 0, 10_000, "moon"))
            assert (await made.taught(client, "sun", for_us=30_000)).windows == 3
            assert made.engine.pipeline.stages["readout"].labels == ("moon", "sun")

    run(work())


def test_lessons_in_the_middle_of_a_window_wait_for_its_end_and_do_not_change_its_decision(tmp_path):
    async def work():
        async with running(tmp_path) as made, subscribe(made.url, ["main.readout.decisions"]) as answers:
            await made.step(2)
            first, second = pieces(noise(20_000, 30_000), [24_000])
            made.sensor.given.put_nowait(first)
            while made.engine.progress.stop < 24_000:
                await asyncio.sleep(0)
            lessons = [asyncio.create_task(answers.teach(name, for_us=20_000)) for name in ("sun", "moon")]
            while len(made.desk._open) < 2:
                await asyncio.sleep(0)
            made.sensor.given.put_nowait(second)
            made.now = 30_000
            # The last 20 ms reach back to 4 ms: one window of the three lies in them as a whole.
            assert [(came.t, came.windows) for came in await asyncio.gather(*lessons)] == [(24_000, 1), (24_000, 1)]
            rows = [row for _ in range(4) for row in (await anext(answers)).data]
            assert [(row.start, row.label) for row in rows] == [(0, None), (10_000, None), (20_000, None)]

    run(work())


@pytest.mark.parametrize("kind", ["votes", "classifier"])
def test_a_run_that_was_taught_is_repeated_by_its_record(kind, tmp_path):
    source, record, url = tmp_path / "a.aedat4", tmp_path / "r", f"unix://{tmp_path}/s"
    write(source, noise(0, 600_000), size=SIZE)
    tables = {"sensor": {"uri": str(source), "speed": "1"}, "publish": {"urls": [url]}, "readout": {"kind": kind}}

    async def teach(session):
        await session.started.wait()
        taught = 0
        async with subscribe(url, ["main.readout.decisions"]) as answers:
            async for message in answers:
                for row in message.data:
                    try:
                        came = await answers.teach("ab"[row.start // STEP % 2], window=(row.start, row.stop))
                    except ClientError:  # at the end of the run
                        return taught
                    taught += came.windows or 0
        return taught

    async def work():
        session = Session(Job(config(**tables), record=str(record), wait_subscribers=1))
        teacher = asyncio.create_task(teach(session))
        await session.run()
        return session.summary(), await teacher

    first, taught = run(work())
    again = json.loads(called("replay", record, "--speed", "max", "--json").stdout)
    assert {key: again[key] for key in again if key.endswith("sha256")} == {
        key: first[key] for key in again if key.endswith("sha256")
    }
    given = [command for command in Record(str(record)).commands if isinstance(command, Label)]
    assert len(given) >= taught >= 10
    untaught = json.loads(called("replay", source, "--speed", "max", "--json", *sets(tables)).stdout)
    assert untaught["state_sha256"] != first["state_sha256"]
    assert untaught["output_sha256"] != first["output_sha256"]


def sets(tables):
    """Return the small configuration as --set options."""
    whole = {"network": {"neurons": 5}, "readout": {"window_us": STEP, "kept": 3, **tables["readout"]}}
    pairs = [(f"{name}.{key}", value) for name, keys in whole.items() for key, value in keys.items()]
    return [part for key, value in pairs for part in ("--set", f"{key}={value}")]


# What is answered where nothing can be learned.


@pytest.mark.parametrize(
    ("lesson", "code", "exit_code"),
    [
        ({"pipeline": "left"}, "pipeline", 2),
        ({"label": ""}, "value", 2),
        ({"label": "two\nlines"}, "value", 2),
        ({"label": "x" * 257}, "value", 2),
        ({"for_us": 0}, "value", 2),
        ({"reward": float("nan")}, "value", 2),
        ({"window": (0, 50_001)}, "early", 1),
        ({"window": (5, 5)}, "value", 2),
    ],
)
def test_a_lesson_that_makes_no_sense_is_refused_and_nothing_else_happens(lesson, code, exit_code, tmp_path):
    async def work():
        async with running(tmp_path) as made, subscribe(made.url, ["main.readout.decisions"]) as client:
            await made.step(5)
            with pytest.raises(Refusal) as caught:
                await client.teach(**({"label": "sun"} | lesson))
            assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
            await made.step()
            assert labels(made) == []
            assert (await made.taught(client, "sun")).windows == 3

    run(work())


def test_before_the_first_batch_there_is_nothing_to_be_taught(tmp_path):
    async def work():
        async with running(tmp_path) as made, subscribe(made.url, ()) as client:
            with pytest.raises(Refusal, match="nothing has been heard yet"):
                await client.teach("sun")

    run(work())


def test_what_does_not_learn_cannot_be_taught(tmp_path):
    async def work():
        async with running(tmp_path, learn={"enabled": False}) as made, subscribe(made.url, ()) as client:
            await made.step()
            with pytest.raises(Refusal, match="learning is off") as caught:
                await client.teach("sun")
            assert "learn.enabled=true" in caught.value.remedy

    run(work())


def test_a_silent_sensor_leaves_open_what_will_be_learned(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "PATIENCE_S", 0.05)
    monkeypatch.setattr(teaching, "MOST_WAITING", 2)

    async def work():
        async with running(tmp_path) as made, subscribe(made.url, ()) as client:
            await made.step(2)
            assert [(await client.teach("sun")).windows for _ in range(2)] == [None, None]
            with pytest.raises(Refusal, match="too many lessons wait"):
                await client.teach("sun")
            await made.step()
            assert len(labels(made)) == 2
            assert (await made.taught(client, "sun")).windows == 3

    run(work())


def test_so_many_classes_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "MOST_CLASSES", 1)

    async def work():
        async with running(tmp_path) as made, subscribe(made.url, ()) as client:
            await made.step(2)
            await made.taught(client, "sun")
            with pytest.raises(Refusal, match="no room for another"):
                await client.teach("moon")
            assert (await made.taught(client, "sun")).windows == 3

    run(work())


def test_a_teacher_who_leaves_has_taught_all_the_same(tmp_path):
    async def work():
        async with running(tmp_path) as made:
            await made.step(2)
            raw = await Raw(made.url).connect()
            await raw.read()
            asked = {"op": "req", "id": 1, "do": "teach", "d": {"label": "sun"}}
            await raw.send({"op": "hello", "v": [1]}, asked)
            while not made.desk._open:
                await asyncio.sleep(0)
            raw.close()
            await made.step(2)
            assert made.engine.pipeline.stages["readout"].labels == ("sun",)

    run(work())


def test_who_asks_too_much_at_a_time_is_cut(tmp_path):
    async def work():
        async with running(tmp_path) as made:
            await made.step(2)
            raw = await Raw(made.url).connect()
            await raw.read()
            asked = [{"op": "req", "id": n, "do": "teach", "d": {"label": "sun"}} for n in range(17)]
            await raw.send({"op": "hello", "v": [1]}, *asked)
            assert (await raw.read())["code"] == "flood"
            await made.step()
            assert len(labels(made)) == 16

    run(work())


def test_an_end_in_between_is_told(tmp_path):
    async def work():
        async with running(tmp_path) as made, subscribe(made.url, ()) as client:
            await made.step(2)
            lesson = asyncio.create_task(client.teach("sun"))
            while not made.desk._open:
                await asyncio.sleep(0)
            await made.desk.aclose()
            with pytest.raises(Refusal, match="the run ended") as caught:
                await lesson
            assert caught.value.code == "over"
            with pytest.raises(Refusal, match="at its end"):
                await client.teach("sun")

    run(work())


# The desk.


def test_the_desk_answers_every_request_once_whatever_becomes_of_it(monkeypatch):
    monkeypatch.setattr(desk, "MAX_OPEN", 3)

    async def well(d):
        return {"got": dict(d)}

    async def badly(d):
        raise SpikestreamError("no disk")

    async def worse(d):
        raise ZeroDivisionError("by zero")

    async def never(d):
        await asyncio.Event().wait()

    async def work():
        front, answers = Desk(), []
        for do, clerk in {"well": well, "badly": badly, "worse": worse, "never": never}.items():
            front.add(do, clerk)
        assert front.does == ("well", "badly", "worse", "never")

        async def ask(number, do):
            front.ask(Request(number, do, {"a": 1}), answers.append)
            while do != "never" and (front._open or not any(answer.id == number for answer in answers)):
                await asyncio.sleep(0)

        for number, do in enumerate(["well", "badly", "worse", "wel", "never", "never", "never"]):
            await ask(number, do)
        front.ask(Request(7, "well"), answers.append)
        await front.aclose()
        await ask(8, "well")
        return answers

    answers = run(work())
    assert answers[0] == Reply(0, {"got": {"a": 1}})
    assert [(one.id, one.code) for one in answers[1:4]] == [(1, "failed"), (2, "failed"), (3, "do")]
    assert "did you mean 'well'" in answers[3].what
    assert (answers[4].id, answers[4].code) == (7, "busy")
    assert sorted((one.id, one.code) for one in answers[5:8]) == [(4, "over"), (5, "over"), (6, "over")]
    assert (answers[8].id, answers[8].code) == (8, "over")
    assert len(answers) == 9


# The clients.


def test_a_hub_without_a_desk_teaches_nobody(tmp_path):
    async def work():
        hub = Hub([Unix(str(tmp_path / "s"))], epoch="5eed")
        await hub.start()
        async with subscribe(hub.outputs[0].url, ()) as client:
            with pytest.raises(ClientError, match="does not know how to teach") as caught:
                await client.teach("sun")
            assert caught.value.exit_code == 5
        raw = await Raw(hub.outputs[0].url).connect()
        await raw.read()
        await raw.send({"op": "hello", "v": [1]}, {"op": "req", "id": 5, "do": "teach"})
        assert (await raw.read())["code"] == "do"
        await hub.aclose()

    run(work())


def test_the_async_client_teaches_while_another_task_listens(tmp_path):
    async def work():
        async with running(tmp_path) as made, subscribe(made.url, ["main.readout.decisions"]) as client:
            seen = []

            async def listen():
                async for message in client:
                    seen.append(message.stop)  # noqa: PERF401  # what came so far is looked at

            listening = asyncio.create_task(listen())
            await made.step(3)
            assert (await made.taught(client, "sun")).windows == 3
            await made.step()
            while len(seen) < 5:
                await asyncio.sleep(0)
            assert seen == [10_000, 20_000, 30_000, 40_000, 50_000]
            listening.cancel()

    run(work())


def test_the_blocking_client_teaches_and_loses_no_message(tmp_path):
    def teach(url):
        with Client(url, ["main.readout.decisions"]) as client:
            came = client.teach("sun", 30_000)
            return came, [next(client).stop for _ in range(2)]

    async def work():
        async with running(tmp_path) as made:
            await made.step(3)
            teacher = asyncio.create_task(asyncio.to_thread(teach, made.url))
            while not made.desk._open:
                await asyncio.sleep(0)
            await made.step(2)
            came, stops = await teacher
            assert (came.t, came.windows) == (30_000, 3)
            assert stops == [40_000, 50_000]

    run(work())


def test_a_closed_client_teaches_no_more(tmp_path):
    async def work():
        async with running(tmp_path) as made:
            client = await asyncio.to_thread(Client, made.url, ())
            client.close()
            with pytest.raises(ClientError, match="the connection is closed"):
                client.teach("sun")

    run(work())


def test_a_class_that_was_never_to_be_is_refused(tmp_path):
    async def work():
        async with running(tmp_path, readout={"kind": "classifier"}) as made, subscribe(made.url, ()) as client:
            made.engine.pipeline.stages["readout"].names = ("sun", "moon")
            await made.step()
            with pytest.raises(Refusal, match="these classes only: sun, moon"):
                await client.teach("star")

    run(work())


def test_the_python_of_the_page_passes_labels_on(tmp_path):
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "teaching.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, "teaching.md", "exec"), names)
    rows = [
        Decision(0, 10_000, "sun", 0.95),
        Decision(10_000, 20_000, None, 0.0),
        Decision(20_000, 30_000, "moon", 0.89),
        Decision(30_000, 40_000, "moon", 0.91),
        Decision(40_000, 50_000, "sun", 1.0),
    ]

    async def work():
        teacher = Hub([Unix(str(tmp_path / "t"))], epoch="5eed")
        await teacher.start()
        async with running(tmp_path, readout={"kept": 9}) as made:
            await made.step(5)
            passing = asyncio.create_task(asyncio.to_thread(names["pass_on"], teacher.outputs[0].url, made.url))
            await teacher.wait_subscribers(1)
            for row in rows:
                teacher.publish("main.readout.decisions", Decisions(row.start, row.stop, (row,)))
            while len(labels(made)) < 3:
                await (made.step() if made.desk._open else asyncio.sleep(0))
            await teacher.aclose()
            assert await passing == 3
            taught = [(label.start, label.stop, label.label) for label in labels(made)]
            assert taught == [(0, 10_000, "sun"), (30_000, 40_000, "moon"), (40_000, 50_000, "sun")]

    run(work())


# The command line.


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["main", "--label", "sun"], 0, "main: sun: 3 windows of the 3 s before 50,000 µs"),
        (["main", "--label", "sun", "--for", "10ms"], 0, "main: sun: 1 window of the 10 ms before 50,000 µs"),
        (["main", "--label", "sun", "--json"], 0, '"start": -2950000, "stop": 50000, "windows": 3}'),
        (["main", "--label", "sun", "--for", "9ms"], 1, "nothing was learned: no window"),
        (["main", "--label", "sun", "--for", "9ms", "--reward", "1"], 0, "0 windows"),
        (["left", "--label", "sun"], 2, "no pipeline 'left', only 'main'"),
        (["main", "--label", ""], 2, "a label is a text"),
        (["main", "--label", "x" * 2_000], 2, "cannot be sent"),
        (["main", "--label", "sun", "--for", "2h"], 2, "1 µs to 1 hour"),
        (["main", "--label", "sun", "--reward", "nan"], 2, "a reward is a number"),
    ],
)
def test_the_verb_says_what_came_of_it_or_why_nothing_did(args, code, text, tmp_path):
    async def work():
        async with running(tmp_path) as made:
            await made.step(5)
            verb = asyncio.create_task(asyncio.to_thread(called, "teach", *args, "--url", made.url, code=code))
            while not made.desk._open and not verb.done():
                await asyncio.sleep(0)
            await made.step()
            return await verb

    done = run(work())
    assert text in done.stdout + done.stderr
    assert (done.stdout == "") is (code != 0)


def test_the_verb_tells_that_nothing_is_known_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "PATIENCE_S", 0.05)

    async def work():
        async with running(tmp_path) as made:
            await made.step(5)
            return await asyncio.to_thread(called, "teach", "main", "--label", "sun", "--url", made.url)

    done = run(work())
    assert "not in force yet" in done.stdout
    assert "waits for the sensor" in done.stderr


def test_nobody_there_to_teach(tmp_path):
    stderr = called("teach", "main", "--label", "x", "--url", f"unix://{tmp_path}/none", code=5).stderr
    assert "nobody answers" in stderr
    assert "spikestream run" in stderr
    assert "is not a URL" in called("teach", "main", "--label", "x", "--url", "7077", code=2).stderr
    assert "is not a duration" in called("teach", "main", "--label", "x", "--for", "soon", code=2).stderr
    assert "--label" in called("teach", "main", code=2).stderr
