"""The hub over real sockets: who reads gets everything, who does not is told exactly what it lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tracemalloc
from collections import UserDict
from hashlib import sha256

import numpy as np
import pytest
from hubtools import KIB, LOCAL, TOPIC, account, events, fill, run, serving, tiny, turns
from wirebytes import Raw, maps, put, span

from spikestream.batch import EVENT, Decision, Decisions, Events, Spikes, no_events, no_spikes
from spikestream.client import subscribe
from spikestream.outputs.file import File
from spikestream.outputs.tcp import Tcp
from spikestream.outputs.unix import Unix
from spikestream.service.hub import Hub
from spikestream.wire import ClientSession, Message, Stats, Terms, matches


def test_one_stalled_of_four_hurts_nobody_and_finds_exact_gaps():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=512 * KIB)) as hub:
            stalled = await Raw(hub.outputs[0].url, small=True).subscribe("*")
            counts = [0, 0, 0]

            async def read(index):
                async with subscribe(hub.outputs[0].url) as messages:
                    async for message in messages:
                        assert message.seq == counts[index]
                        counts[index] += 1
                return messages.counts[TOPIC]

            readers = [asyncio.create_task(read(index)) for index in range(3)]
            await hub.wait_subscribers(4)
            for seq in range(1_500):
                hub.publish(TOPIC, events(seq * 1_000))
                with pytest.raises(StopIteration):
                    hub.ready().send(None)
                while min(counts) < seq - 20:
                    await asyncio.sleep(0)
            held = max(f.held.rows for d in hub.ledger().subscribers for f in d.flows.values())
            assert 0 < held * 13 <= 512 * KIB
            reading = asyncio.create_task(stalled.read_all())
            await hub.drain(20)
            await hub.aclose()
            for reader in readers:
                count = await reader
                assert (count.messages, count.rows, count.missing) == (1_500, 1_500_000, 0)
            found = await reading
            assert found[-1] == {}
            first, following, got, lost = span(found)[TOPIC]
            assert (first, following, got + lost) == (0, 1_500, 1_500_000)
            assert lost > 0
            ledger = hub.ledger()
            assert ledger.problems() == []
            assert (ledger.published[TOPIC].messages, ledger.published[TOPIC].rows) == (1_500, 1_500_000)
            dropped = sorted(d.flows[TOPIC].dropped.rows for d in ledger.subscribers)
            assert dropped == [0, 0, 0, lost]
            assert all(d.flows[TOPIC].due.rows == 1_500_000 for d in ledger.subscribers)

    run(work())


def test_a_subscriber_that_never_reads_again_is_left_behind_in_bounded_time():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            stalled = await Raw(hub.outputs[0].url, small=True).subscribe("*")
            await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
            await hub.drain(0.01)
            await hub.aclose()
            offered, sent, dropped, held = account(hub)
            assert (held, offered) == (0, sent + dropped)
            found = await stalled.read_what_came()
            assert span(found)[TOPIC][0] == 0

    run(work())


def test_a_publisher_that_never_yields_fills_no_memory():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB), ring_bytes=512 * KIB) as hub:
            stalled = await Raw(hub.outputs[0].url, small=True).subscribe("*")
            tracemalloc.start()
            try:
                for seq in range(2_000):
                    hub.publish(TOPIC, events(seq * 1_000))
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 4 << 20
            stalled.close()

    run(work())


def test_drained_means_that_the_kernel_has_it_all(tmp_path, caplog):
    async def work():
        async with serving(Unix(str(tmp_path / "s.sock"))) as hub:
            slow = await Raw(hub.outputs[0].url).subscribe("*")
            for _ in range(30):
                hub.publish(TOPIC, events(0))
            await turns()
            due, sent, dropped, held = account(hub)
            assert (due, dropped, held) == (30, 0, 0), "less than what makes a connection slow"
            assert sent < 30, "and more than the kernel takes"
            assert not hub.ledger().problems()
            await hub.drain(0.05)
            assert "have read nothing for 0.05 s" in caplog.text
            draining = asyncio.create_task(hub.drain(20))
            await turns()
            assert not draining.done()
            seen = [await slow.read() for _ in range(30)]
            await draining
            assert [message["s"] for message in seen] == list(range(30))
            slow.close()

    run(work())


def test_block_makes_the_publisher_wait_and_loses_nothing():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            slow = await Raw(hub.outputs[0].url, small=True).subscribe("*", policy="block")
            published = 0

            async def publish():
                nonlocal published
                for seq in range(1_200):
                    await hub.ready()
                    hub.publish(TOPIC, events(seq * 1_000))
                    published += 1
                    await asyncio.sleep(0)

            publisher = asyncio.create_task(publish())
            before = -1
            while before != published:
                before = published
                await turns(300)
            assert 0 < published < 1_200
            assert account(hub)[3] * 13_000 <= 3 * 64 * KIB
            reading = asyncio.create_task(slow.read_all())
            await publisher
            await hub.drain(20)
            await hub.aclose()
            found = await reading
            assert span(found)[TOPIC] == (0, 1_200, 1_200_000, 0)
            assert account(hub) == (1_200, 1_200, 0, 0)

    run(work())


def test_a_blocking_subscriber_that_goes_away_lets_the_publisher_go_on():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            slow = await Raw(hub.outputs[0].url, small=True).subscribe("*", policy="block")

            def publish(i):
                hub.publish(TOPIC, events(i * 1_000))

            count = await fill(hub, publish)
            for i in range(5):
                publish(count + i)
            waiting = asyncio.create_task(hub.ready())
            await turns()
            assert not waiting.done()
            slow.close()
            await waiting

    run(work())


def test_one_who_blocks_is_never_cut_however_large_the_batch(tmp_path):
    async def work():
        async with serving(Unix(str(tmp_path / "s.sock"), queue_bytes=64 * KIB)) as hub:
            slow = await Raw(hub.outputs[0].url, small=True).subscribe("*", policy="block")
            hub.publish(TOPIC, events(0, 1_000_000))
            assert hub.blocked
            reading = asyncio.create_task(slow.read_all())
            await hub.ready()
            await hub.drain(20)
            await hub.aclose()
            assert span(await reading)[TOPIC] == (0, 13, 1_000_000, 0)

    run(work())


def test_who_may_lose_nothing_is_cut_instead_with_what_it_missed():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            slow = await Raw(hub.outputs[0].url, small=True).subscribe("*", policy="disconnect")
            count = 0
            while hub.subscribers:
                hub.publish(TOPIC, events(count * 1_000))
                count += 1
                await turns(2)
            found = await slow.read_all()
            assert (found[-1]["op"], found[-1]["code"]) == ("error", "slow")
            first, following, got, lost = span(found)[TOPIC]
            assert (first, following, got + lost) == (0, count, count * 1_000)
            gaps = [index for index, message in enumerate(found) if "from" in message]
            assert gaps == [len(found) - 2], "no hole before the end"
            hub.publish(TOPIC, events(0))

    run(work())


def test_latest_gives_the_newest_of_every_topic():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            slow = await Raw(hub.outputs[0].url, small=True).subscribe("*", policy="latest")
            topics = [f"main.{name}.events" for name in "abc"]

            def publish(i):
                for topic in topics:
                    hub.publish(topic, events(i * 1_000, 300))

            count = await fill(hub, publish)
            for i in range(50):
                publish(count + i)
            await turns()
            held = [f.held.messages for d in hub.ledger().subscribers for f in d.flows.values()]
            assert max(held) == 1
            reading = asyncio.create_task(slow.read_all())
            await hub.drain(20)
            await hub.aclose()
            found = await reading
            last = {m["c"]: m["s"] for m in found if "s" in m}
            assert last == dict.fromkeys(topics, count + 49)
            assert all(following == count + 50 for _, following, _, _ in span(found).values())
            assert sum(lost for *_, lost in span(found).values()) >= 3 * 49 * 300

    run(work())


def test_gaps_that_are_still_open_are_told_at_the_end():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=20 * KIB)) as hub:
            slow = await Raw(hub.outputs[0].url, small=True).subscribe("*")
            count = await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
            hub.publish("main.rare.spikes", no_spikes(0, 1))
            for i in range(20):
                hub.publish(TOPIC, events((count + i) * 1_000))
            reading = asyncio.create_task(slow.read_all())
            await hub.drain(20)
            await hub.aclose()
            found = await reading
            assert span(found)["main.rare.spikes"] == (0, 1, 0, 0)
            assert [m["n"] for m in found if m.get("c") == "main.rare.spikes" and "from" in m] == [1]

    run(work())


def test_one_that_floods_the_server_is_told_so_and_cut_and_nobody_else_feels_it(tmp_path):
    async def work():
        async with serving(Unix(str(tmp_path / "s.sock"))) as hub:
            rude = await Raw(hub.outputs[0].url).subscribe("*")
            polite = await Raw(hub.outputs[0].url).subscribe("*")
            sending = asyncio.create_task(rude.send_bytes(put({"op": "ping", "t": 1}) * 80_000))
            hub.publish("main.network.spikes", tiny(0))
            assert (await polite.read())["s"] == 0
            *answers, last, _ = [*await rude.read_what_came(), {}]
            assert (last["op"], last["code"]) == ("error", "flood")
            assert len([answer for answer in answers if answer.get("op") == "pong"]) < 250
            await asyncio.gather(sending, return_exceptions=True)
            hub.publish("main.network.spikes", tiny(1))
            assert (await polite.read())["s"] == 1
            assert not hub.ledger().problems()
            polite.close()

    run(work())


def test_a_slow_subscriber_may_change_its_mind_and_the_numbers_still_add_up():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            raw = await Raw(hub.outputs[0].url, small=True).connect()
            session = ClientSession("moody")
            session.subscribe([TOPIC])
            found = []

            async def pump(until):
                loop = asyncio.get_running_loop()
                while not until():
                    data = await loop.sock_recv(raw.socket, 64 << 10)
                    found.extend(session.receive(data))
                    await raw.send_bytes(session.to_send())

            await pump(lambda: len(found) == 2)
            count = await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
            for i in range(30):
                hub.publish(TOPIC, events((count + i) * 1_000))
            session.unsubscribe(1)
            session.subscribe(["main.>"], Terms("latest"))
            await raw.send_bytes(session.to_send())
            while hub.ledger().subscribers[0].flows[TOPIC].held.messages:
                await turns(2)
            for i in range(30):
                hub.publish(TOPIC, events((count + 30 + i) * 1_000))
            pumping = asyncio.create_task(pump(lambda: session.ended))
            await hub.drain(20)
            await hub.aclose()
            await pumping
            assert found[-1].seq == count + 59
            assert sum(isinstance(event, Message) and event.lost for event in found) >= 2
            raw.close()

    run(work())


def test_nothing_follows_the_answer_to_an_unsubscription():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            slow = await Raw(hub.outputs[0].url, small=True).subscribe(TOPIC)
            count = await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
            await slow.send({"op": "unsub", "id": 1})
            while hub.subscribers:
                await turns(2)
            hub.publish(TOPIC, events(0))
            reading = asyncio.create_task(slow.read_all())
            await hub.drain(20)
            await hub.aclose()
            *found, answer, bye = await reading
            assert (answer, bye) == ({"op": "unsub", "id": 1}, {})
            assert span(found)[TOPIC][:2] == (0, count)
            assert "from" in found[-1]

    run(work())


@pytest.mark.parametrize("change", [{"op": "sub", "id": 2, "topics": ["*"]}, {"op": "unsub", "id": 1}])
def test_a_change_of_mind_loses_nothing_published_before_it_in_the_same_turn(change):
    async def work():
        async with serving() as hub:
            raw = await Raw(hub.outputs[0].url).subscribe("main.>")
            raw.socket.send(put(change))
            # The loop resumes us first, then hears the client, and only after that ends the turn.
            await asyncio.sleep(0)
            hub.publish("main.network.spikes", tiny(0))
            assert (await raw.read()).get("s") == 0
            assert (await raw.read()).get("op") == change["op"]

    run(work())


# --- who gets what


def test_topics_go_to_those_who_asked_and_only_there():
    patterns = [
        ("*",),
        ("left.>",),
        ("*.a3.*",),
        ("*.*.spikes",),
        ("left.a0.events", "left.a1.events"),
        ("no.a.b",),
    ]
    topics = [f"{side}.a{i}.{kind}" for side in ("left", "right") for i in range(40) for kind in ("events", "spikes")]

    async def work():
        async with serving() as hub:
            raws = [await Raw(hub.outputs[0].url).subscribe(*wanted) for wanted in patterns]
            for step in range(3):
                for topic in topics:
                    hub.publish(topic, no_events(step, step + 1) if topic.endswith("events") else tiny(step))
            await hub.drain(20)
            await hub.aclose()
            for raw, wanted in zip(raws, patterns, strict=True):
                found = await raw.read_all()
                expected = {topic for topic in topics if any(matches(pattern, topic) for pattern in wanted)}
                assert {m["c"] for m in found if "k" in m} == expected
                assert all(entry[:2] == (0, 3) for entry in span(found).values())

    run(work())


def test_a_late_subscriber_begins_with_the_next_message():
    async def work():
        async with serving() as hub:
            for seq in range(5):
                hub.publish("main.network.spikes", tiny(seq))
            late = await Raw(hub.outputs[0].url).subscribe("*")
            for seq in range(5, 9):
                hub.publish("main.network.spikes", tiny(seq))
            await hub.aclose()
            assert span(await late.read_all())["main.network.spikes"] == (5, 9, 4, 0)

    run(work())


def test_the_first_message_after_the_answer_to_a_subscription_is_not_lost():
    async def work():
        async with serving() as hub:
            raw = Raw(hub.outputs[0].url)
            await raw.connect()
            await raw.read()
            await raw.send({"op": "hello", "v": [1]})
            await raw.send({"op": "sub", "id": 5, "topics": ["*"]})
            await hub.wait_subscribers(1)
            hub.publish("main.network.spikes", tiny(0))
            assert await raw.read() == {"op": "sub", "id": 5}
            assert (await raw.read())["s"] == 0
            raw.close()

    run(work())


def test_two_subscriptions_of_one_connection_bring_a_message_once():
    async def work():
        async with serving() as hub:
            raw = await Raw(hub.outputs[0].url).subscribe("main.>")
            await raw.send({"op": "sub", "id": 2, "topics": ["*"]})
            assert await raw.read() == {"op": "sub", "id": 2}
            hub.publish("main.network.spikes", tiny(0))
            hub.publish("left.network.spikes", tiny(0))
            assert [(await raw.read())["c"] for _ in range(2)] == ["main.network.spikes", "left.network.spikes"]
            await raw.send({"op": "unsub", "id": 1})
            assert await raw.read() == {"op": "unsub", "id": 1}
            await raw.send({"op": "unsub", "id": 2})
            assert await raw.read() == {"op": "unsub", "id": 2}
            assert hub.subscribers == 0
            hub.publish("main.network.spikes", tiny(1))
            await hub.aclose()
            assert await raw.read_all() == [{}]

    run(work())


def test_every_output_carries_the_same_bytes(tmp_path):
    async def work():
        path, target = tmp_path / "s.sock", tmp_path / "run.ssp"
        outputs = [Tcp(LOCAL), Unix(str(path)), File(str(target))]
        clock = iter(range(10**18, 10**18 + 1_000))
        hub = Hub(outputs, epoch="5eed", now_ns=lambda: next(clock))
        await hub.start()
        raws = [await Raw(output.url).subscribe("*") for output in outputs[:2]]
        for seq in range(3):
            hub.publish("main.network.spikes", tiny(seq))
            hub.publish("main.engine.stats", Stats(seq, seq + 1, {"n": seq}))
            hub.publish("main.readout.decisions", Decisions(seq, seq + 1, (Decision(0, seq + 1, None, 0.0),)))
            if seq == 0:
                early = [delivery.flows["main.network.spikes"] for delivery in hub.ledger().subscribers]
        assert not target.exists()
        await hub.aclose()
        assert [flow.due.messages for flow in early] == [1, 1, 1], "a ledger is of its moment"
        tcp, unix = [await raw.read_all() for raw in raws]
        hello, *file = maps(target.read_bytes())
        assert tcp == unix == file
        assert len(file) == 10
        assert file[-1] == {}
        assert (hello["op"], hello["epoch"]) == ("hello", "5eed")
        assert hub.ledger().problems() == []
        assert list(tmp_path.iterdir()) == [target]

    run(work())


class CountingStats(UserDict):
    """Figures that know how often they were looked at."""

    looks = 0

    def __iter__(self):
        CountingStats.looks += 1
        return super().__iter__()


@pytest.mark.parametrize("ring_bytes", [0, KIB])
def test_a_message_is_encoded_once_and_only_if_somebody_wants_it_or_it_is_kept(ring_bytes):
    async def work():
        async with serving(Tcp(LOCAL), Tcp(LOCAL), ring_bytes=ring_bytes) as hub:
            CountingStats.looks = 0
            raws = [await Raw(output.url).subscribe("left.>") for output in hub.outputs for _ in range(2)]
            hub.publish("main.engine.stats", Stats(0, 1, CountingStats(a=1)))
            assert CountingStats.looks == (1 if ring_bytes else 0)
            CountingStats.looks = 0
            hub.publish("left.engine.stats", Stats(0, 1, CountingStats(a=1)))
            assert [(await raw.read())["d"] for raw in raws] == [{"a": 1}] * 4
            assert CountingStats.looks == 1

    run(work())


def test_a_batch_too_large_for_one_frame_arrives_whole_and_in_order():
    async def work():
        async with serving() as hub:
            batch = events(0, 200_000)
            async with subscribe(hub.outputs[0].url) as messages:
                hub.publish(TOPIC, batch)
                await hub.aclose()
                parts = [message async for message in messages]
            assert len(parts) == 3
            assert [part.start for part in parts] == [0, parts[0].stop, parts[1].stop]
            assert parts[-1].stop == batch.stop
            assert b"".join(part.data.tobytes() for part in parts) == batch.data.tobytes()
            assert hub.ledger().published[TOPIC].messages == 3

    run(work())


READER = """
import hashlib, json, sys
from spikestream.client import Client

seen, total = hashlib.sha256(), {}
with Client(sys.argv[1], name="another process") as client:
    for message in client:
        batch = message.batch()
        rows = batch.rows if message.kind == "decisions" else message.data.tobytes()
        seen.update(repr((message.kind, message.topic, message.seq, batch.start, batch.stop, rows)).encode())
    total = {topic: [count.messages, count.rows, count.missing] for topic, count in client.counts.items()}
print(json.dumps({"sha256": seen.hexdigest(), "total": total}))
"""


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_another_process_gets_exactly_what_was_published(scheme, tmp_path):
    rng = np.random.default_rng(5)

    async def work():
        output = Tcp(LOCAL) if scheme == "tcp" else Unix(str(tmp_path / "s.sock"))
        seen, total = sha256(), {}
        async with serving(output) as hub:
            reader = await asyncio.create_subprocess_exec(
                sys.executable, "-c", READER, output.url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            await hub.wait_subscribers(1)
            for step in range(300):
                t = np.sort(rng.integers(step * 1_000, step * 1_000 + 1_000, rng.integers(0, 2_000)))
                data = np.zeros(len(t), EVENT)
                data["t"], data["x"], data["p"] = t, rng.integers(0, 128, len(t)), rng.integers(0, 2, len(t))
                start, stop = step * 1_000, step * 1_000 + 1_000
                spikes = Spikes(start, stop, t[:50], np.arange(len(t[:50]), dtype=np.int32))
                answers = tuple(Decision(start, stop, "ab"[i], 0.5, (("a", 1.0), ("b", 2.0))) for i in range(step % 3))
                packed = np.array(list(zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True)), "<i8,<i4")
                for kind, batch, rows in (
                    ("events", Events(start, stop, data, (128, 128)), data.tobytes()),
                    ("spikes", spikes, packed.tobytes()),
                    ("decisions", Decisions(start, stop, answers), answers),
                ):
                    topic = f"main.stage.{kind}"
                    hub.publish(topic, batch)
                    seen.update(repr((kind, topic, step, start, stop, rows)).encode())
                    messages, count, _ = total.get(topic, (0, 0, 0))
                    total[topic] = [messages + 1, count + len(batch), 0]
                if step % 10 == 0:
                    await hub.drain(20)
            await hub.drain(20)
            await hub.aclose()
            out, errors = await reader.communicate()
            assert reader.returncode == 0, errors.decode()
            assert json.loads(out) == {"sha256": seen.hexdigest(), "total": total}
            ledger = hub.ledger()
            assert {topic: [t.messages, t.rows, 0] for topic, t in ledger.published.items()} == total
            (delivery,) = ledger.subscribers
            assert delivery.client == "another process"
            assert {topic: f.sent.rows for topic, f in delivery.flows.items()} == {t: v[1] for t, v in total.items()}

    run(work())
