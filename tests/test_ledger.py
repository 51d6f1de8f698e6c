"""The loss ledger: an undisturbed run closes, and one event deleted anywhere on the way does not go unnoticed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from small import Given, events, grid, noise, pipeline, run

from spikestream.batch import Batch, Decisions, Events, Label, Spikes
from spikestream.client import subscribe
from spikestream.errors import ClientError
from spikestream.outputs.file import File
from spikestream.outputs.unix import Unix
from spikestream.pipeline import Hop
from spikestream.sensors.pace import Pace
from spikestream.service.engine import Engine
from spikestream.service.hub import Hub

STAGES = ("filter", "address", "network", "readout")
KINDS = {"filter": "events", "address": "spikes", "network": "spikes", "readout": "decisions"}
TOPICS = {stage: f"main.{stage}.{kind}" for stage, kind in KINDS.items()}
LENGTH = 5_000


class Thief:
    """Takes the last event, spike or decision out of the first batch that has some to spare, once."""

    def __init__(self):
        self.booty = 0

    def __call__(self, batch: Batch) -> Batch:
        if self.booty or len(batch) < 1:
            return batch
        self.booty = 1
        if isinstance(batch, Events):
            return replace(batch, data=batch.data[:-1])
        if isinstance(batch, Spikes):
            return replace(batch, t=batch.t[:-1], axon=batch.axon[:-1])
        if isinstance(batch, Decisions):
            return replace(batch, rows=batch.rows[:-1])
        raise AssertionError(f"nothing to steal from {batch}")

    def before(self, call):
        """Return the call with its first argument robbed."""
        return lambda batch, *rest: call(self(batch), *rest)

    def after(self, call):
        """Return the call with its result robbed."""
        return lambda *args: self(call(*args))


class Run:
    """An engine with a hub, a Unix socket, a real subscriber behind it, and a file."""

    def __init__(self, folder, batches, *, live=False, speed="max", commands=()):
        self.sensor = Given(batches, live=live)
        self.pipeline = pipeline()
        self.unix, self.file = Unix(f"{folder}/hub.sock"), File(f"{folder}/published")
        self.hub = Hub([self.unix, self.file], epoch="5eed")
        self.engine = Engine(self.pipeline, Pace(self.sensor, speed), self.hub, commands=commands)
        self.counts = {}

    async def __call__(self):
        await self.hub.start()
        async with subscribe(self.unix.url) as messages:

            async def listen():
                async for _ in messages:
                    pass

            listener = asyncio.create_task(listen())
            await self.hub.wait_subscribers(1)
            await self.engine.run()
            await self.hub.drain()
            self.kept = self.engine.hops()
            await self.hub.aclose()
            await listener
            self.counts = messages.counts
        return self

    def hops(self):
        """Return the engine's ledger and, as its last hop, what the subscriber itself counted."""
        published = self.hub.ledger().published
        heard = [
            Hop(
                f"{topic} to the client",
                tally.rows,
                self.counts[topic].rows,
                dropped={"slow": self.counts[topic].missing_rows},
            )
            for topic, tally in published.items()
        ]
        return [*self.engine.hops(), *heard]

    def open_hops(self):
        return [str(hop) for hop in self.hops() if hop.missing()]


def stream():
    return noise(0, 80_000)


TAUGHT = [Label(10_000, 0, 10_000, "a"), Label(33_333, 20_000, 30_000, "b")]


# Where to steal: each takes a run and a thief, and puts the thief in its place.


def at_the_sensor(made, thief):
    given = made.sensor.batches

    async def batches(start=0):
        async for batch in given(start):
            yield thief(batch)

    made.sensor.batches = batches


def between_pace_and_channel(made, thief):
    put = made.engine.channel.put

    async def robbed(batch, came_ns):
        await put(thief(batch), came_ns)

    made.engine.channel.put = robbed


def offered_to_the_channel(made, thief):
    made.engine.channel.offer = thief.before(made.engine.channel.offer)


def in_the_queue(made, thief):
    channel = made.engine.channel
    get = channel.get

    def robbed():
        with channel._change:
            channel._queue.extend(
                [(thief(batch), *times) for batch, *times in [channel._queue.popleft() for _ in tuple(channel._queue)]]
            )
        return get()

    channel.get = robbed


def out_of_the_channel(made, thief):
    get = made.engine.channel.get

    def robbed():
        item = get()
        return item and (thief(item[0]), item[1])

    made.engine.channel.get = robbed


def while_the_batch_is_cut(made, thief):
    cut = made.pipeline._pieces

    def robbed(batch, waiting):
        for piece in cut(batch, waiting):
            yield thief(piece)

    made.pipeline._pieces = robbed


def into_stage(name):
    def put_in(made, thief):
        stage = made.pipeline.stages[name]
        made.pipeline.stages[name] = Wrapped(stage, thief.before(stage))

    return put_in


def out_of_stage(name):
    def put_in(made, thief):
        stage = made.pipeline.stages[name]
        made.pipeline.stages[name] = Wrapped(stage, thief.after(stage))

    return put_in


def inside_stage(name):
    """Steal behind the stage's count of what it took: what it handles is not what it was handed."""

    def put_in(made, thief):
        stage = made.pipeline.stages[name]

        def robbed(batch):
            stolen = thief.booty
            out = stage(thief(batch))
            stage.account.taken += thief.booty - stolen
            return out

        made.pipeline.stages[name] = Wrapped(stage, robbed)

    return put_in


def between_stages(name):
    def put_in(made, thief):
        call = made.pipeline._call
        made.pipeline._call = lambda stage, *rest: thief(call(stage, *rest)) if stage == name else call(stage, *rest)

    return put_in


def out_of_the_pipeline(name):
    def put_in(made, thief):
        row = made.pipeline._row

        def robbed(names, batch, outputs):
            flowing = row(names, batch, outputs)
            if name in names:
                outputs[name][-1] = thief(outputs[name][-1])
            return flowing

        made.pipeline._row = robbed

    return put_in


def on_its_way_to_the_loop(name):
    def put_in(made, thief):
        publish = made.engine._publish
        made.engine._publish = lambda hub, batch, outputs, *more: publish(
            hub, batch, {stage: thief(out) if stage == name else out for stage, out in outputs.items()}, *more
        )

    return put_in


def into_the_hub(name):
    def put_in(made, thief):
        publish = made.hub.publish
        made.hub.publish = lambda topic, batch, *at: publish(
            topic, thief(batch) if topic == TOPICS[name] else batch, *at
        )

    return put_in


def into_output(output, name):
    def put_in(made, thief):
        target = getattr(made, output)
        send = target.send

        def robbed(message):
            if message.topic == TOPICS[name]:
                message = replace(message, batch=thief(message.batch), _frame=None)
            send(message)

        target.send = robbed

    return put_in


def on_its_way_to_the_socket(name):
    """Steal behind the subscriber's account, in the bytes themselves."""

    def put_in(made, thief):
        send = made.unix.send

        def robbed(message):
            if message.topic == TOPICS[name]:
                message._frame = replace(message, batch=thief(message.batch), _frame=None).frame
            send(message)

        made.unix.send = robbed

    return put_in


class Wrapped:
    """A stage with another way in or out; everything else is the stage's own."""

    def __init__(self, stage, call):
        self._stage, self._call = stage, call

    def __call__(self, batch):
        return self._call(batch)

    def __getattr__(self, name):
        return getattr(self._stage, name)


AFTER = {"filter": "into address", "address": "into network", "network": "into readout"}

# Where the thief stands, and which hop alone is left open.
PLACES = {
    "at the sensor": (at_the_sensor, "sensor to pace"),
    "between pace and channel": (between_pace_and_channel, "sensor to channel"),
    "in the queue": (in_the_queue, "channel"),
    "out of the channel": (out_of_the_channel, "channel to pipeline"),
    "while the batch is cut": (while_the_batch_is_cut, "into network"),
    **{f"into {name}": (into_stage(name), f"into {name}") for name in STAGES},
    **{f"inside {name}": (inside_stage(name), f"through {name}") for name in ("filter", "address")},
    **{f"out of {name}": (out_of_stage(name), f"out of {name}") for name in STAGES},
    **{f"between {name} and the next": (between_stages(name), after) for name, after in AFTER.items()},
    **{f"{name}, out of the pipeline": (out_of_the_pipeline(name), f"{name} to hub") for name in STAGES},
    **{f"{name}, on its way to the loop": (on_its_way_to_the_loop(name), f"{name} to hub") for name in STAGES},
    **{f"{name}, into the hub": (into_the_hub(name), f"{name} to hub") for name in STAGES},
    **{f"{name}, into the socket's output": (into_output("unix", name), f"{TOPICS[name]} to unix#") for name in STAGES},
    **{f"{name}, into the file": (into_output("file", name), f"{TOPICS[name]} to file://") for name in STAGES},
    **{
        f"{name}, on its way to the socket": (on_its_way_to_the_socket(name), f"{TOPICS[name]} to the client")
        for name in STAGES
    },
}


@pytest.mark.parametrize("place", PLACES)
def test_one_event_deleted_anywhere_is_missed(place, tmp_path):
    made, thief = Run(tmp_path, grid(stream(), LENGTH), commands=TAUGHT), Thief()
    rob, hop = PLACES[place]
    rob(made, thief)
    run(made())
    assert thief.booty == 1
    assert [lost for lost in made.open_hops() if lost.startswith(f"{hop}") and "1 MISSING" in lost], made.open_hops()
    if "between" not in place and "output" not in place:  # there, what was published is short of it as well
        assert len(made.open_hops()) == 1


def test_one_event_deleted_before_a_live_channel_is_missed(tmp_path):
    made, thief = Run(tmp_path, grid(stream(), LENGTH), live=True), Thief()
    offered_to_the_channel(made, thief)
    run(made())
    assert made.open_hops() == [str(hop) for hop in made.hops() if hop.name == "sensor to channel"]


@pytest.mark.parametrize("speed", ["max", "50"])
@pytest.mark.parametrize("live", [False, True])
def test_the_ledger_of_an_undisturbed_run_closes(live, speed, tmp_path):
    whole = stream()
    outside = events(80_000, 90_000, [(80_000, 4, 0, True), (80_001, 0, 4, True), (88_000, 3, 3, False)])
    gap = noise(120_500, 140_000, seed=1)
    made = run(
        Run(tmp_path, [*grid(whole, LENGTH), outside, *grid(gap, LENGTH)], live=live, speed=speed, commands=TAUGHT)()
    )
    assert made.open_hops() == []
    ledger = {hop.name: hop for hop in made.hops()}
    assert ledger["sensor to channel"].sent == len(whole) + len(gap) + 3
    assert ledger["through filter"].filtered["refractory"] > 0
    assert ledger["through filter"].dropped == {"outside": 2}
    assert [hop.sent for hop in made.hops() if hop.name.endswith("to the client")] == [
        tally.rows for tally in made.hub.ledger().published.values()
    ]
    for name in STAGES:
        assert made.counts[TOPICS[name]].rows == made.pipeline.made[name] > 0
        assert ledger[f"{name} to hub"].sent == made.pipeline.made[name]


def test_the_ledger_closes_while_it_runs_and_at_its_end(tmp_path):
    made = run(Run(tmp_path, grid(stream(), LENGTH))())
    assert [str(hop) for hop in made.kept if hop.missing()] == []
    assert len(made.kept) == len(made.engine.hops())


def test_a_message_lost_on_the_way_to_a_subscriber_is_no_silent_loss(tmp_path):
    made = Run(tmp_path, grid(stream(), LENGTH))
    deliveries = iter(range(1_000))
    frame = made.unix.send

    def lossy(message):
        if message.topic != TOPICS["network"] or next(deliveries) != 3:
            frame(message)

    made.unix.send = lossy
    with pytest.raises(ClientError, match="goes on with number 4 where 3 is due"):
        run(made())
