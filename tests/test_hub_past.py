"""Terms over real sockets: the past without a seam, credit, what is left out, and who has gone silent."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from feedtools import Log
from hubtools import KIB, LOCAL, TOPIC, events, fill, run, serving, tiny, turns
from wirebytes import Raw, span

from spikestream.outputs.base.listener import SILENT_BEATS
from spikestream.outputs.tcp import Tcp
from spikestream.outputs.unix import Unix
from spikestream.service.hub import Hub
from spikestream.service.ledger import hops_to_subscribers

RARE = "main.readout.spikes"


def connection(hub):
    return next(iter(hub.outputs[0]._connections))


@pytest.mark.parametrize("policy", ["drop_oldest", "latest", "disconnect"])
def test_a_slow_reader_of_the_past_gets_all_of_it_while_more_is_published(policy):
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            for seq in range(600):
                hub.publish(TOPIC, events(seq * 1_000))
                if seq % 100 == 0:
                    hub.publish(RARE, tiny(seq))
            late = await Raw(hub.outputs[0].url, small=True).subscribe("*", policy=policy, since="all")
            assert late.answer == {"op": "sub", "id": 1, "recovered": True, "first": {TOPIC: 0, RARE: 0}}
            found = []
            for seq in range(600, 700):
                hub.publish(TOPIC, events(seq * 1_000))
                found += [await late.read() for _ in range(2)]
            assert not connection(hub).backlog
            while sum("s" in message for message in found) < 706:
                found.append(await late.read())
            hub.publish(TOPIC, events(0))
            found += [await late.read()]
            spans = span(found)
            assert spans == {TOPIC: (0, 701, 701_000, 0), RARE: (0, 6, 6, 0)}
            before = [message["s"] for message in found if message["c"] == TOPIC].index(501)
            assert [message["c"] for message in found].index(RARE) < before
            assert hub.ledger().problems() == []
            assert connection(hub).feed.plain
            late.close()

    run(work())


def test_reading_the_past_slowly_takes_no_memory_of_its_own():
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            for seq in range(2_000):
                hub.publish(TOPIC, events(seq * 1_000))
            tracemalloc.start()
            try:
                late = [await Raw(hub.outputs[0].url, small=True).subscribe("*", since="all") for _ in range(8)]
                await turns(200)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 8 * 1_600 * KIB, "the connections' own buffers and a step of each, of 26 MB kept"
            for one in late:
                one.close()

    run(work())


def test_closing_in_the_middle_of_the_past_names_all_that_was_not_read():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            for seq in range(1_000):
                hub.publish(TOPIC, events(seq * 1_000))
            late = await Raw(hub.outputs[0].url, small=True).subscribe("*", since="all")
            hub.publish(TOPIC, events(0))
            await turns()
            reading = asyncio.create_task(late.read_all())
            await hub.aclose()
            found = await reading
            assert span(found)[TOPIC][:2] == (0, 1_001)
            assert hub.ledger().problems() == []

    run(work())


def test_the_end_waits_for_who_reads_the_past():
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            for seq in range(1_000):
                hub.publish(TOPIC, events(seq * 1_000))
            late = await Raw(hub.outputs[0].url, small=True).subscribe("*", since="all", policy="block")
            assert hub.blocked, "or the past would run away from it"
            reading = asyncio.create_task(late.read_all())
            await hub.drain(20)
            assert not hub.blocked
            await hub.aclose()
            assert span(await reading)[TOPIC] == (0, 1_000, 1_000_000, 0)

    run(work())


def test_a_restart_with_a_log_goes_on_where_it_was(tmp_path):
    async def work():
        log = Log((TOPIC,), 10**6)

        class Kept(Unix):
            def send(self, message):
                log.append(message)
                super().send(message)

        numbers = {}
        for run_of in range(3):
            hub = Hub([Kept(str(tmp_path / "s"))], epoch="log1", past=log, numbers=numbers, ring_bytes=20 * KIB)
            await hub.start()
            for seq in range(30):
                hub.publish(TOPIC, events(seq * 1_000))
            late = await Raw(hub.outputs[0].url).subscribe("*", since={"epoch": "log1", "seq": {TOPIC: 7}})
            assert (late.answer["recovered"], late.answer["first"]) == (True, {TOPIC: 7})
            hub.publish(TOPIC, events(0))
            reading = asyncio.create_task(late.read_all())
            await hub.drain(20)
            numbers = hub.numbers()
            await hub.aclose()
            assert numbers == {TOPIC: 31 * (run_of + 1)}
            assert span(await reading)[TOPIC] == (7, numbers[TOPIC], (numbers[TOPIC] - 7) * 1_000, 0)
            assert hub.ledger().problems() == []

    run(work())


def test_credit_and_rates_over_a_socket_and_the_ledger_closes():
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            screen = await Raw(hub.outputs[0].url).subscribe("*", policy="latest", credit=3, decimate=10)
            everything = await Raw(hub.outputs[0].url).subscribe("*")
            for seq in range(20):
                hub.publish(TOPIC, events(seq * 1_000))
            seen = [await screen.read() for _ in range(3)]
            assert [(m["s"], m["n"], m["of"]) for m in seen] == [(0, 100, 1_000), (1, 100, 1_000), (2, 100, 1_000)]
            assert [(await everything.read())["s"] for _ in range(20)] == list(range(20))
            await screen.send({"op": "ack", "id": 1, "n": 3})
            gap, last = await screen.read(), await screen.read()
            assert (gap["from"], gap["to"], gap["rows"]) == (3, 19, 1_600)
            assert last["s"] == 19
            flow = next(d.flows[TOPIC] for d in hub.ledger().subscribers if d.flows[TOPIC].left_out.rows)
            assert (flow.due.rows, flow.left_out.rows, flow.dropped.rows) == (20_000, 18_000, 1_600)
            assert hub.ledger().problems() == []
            hops = hops_to_subscribers("main", hub.ledger())
            assert sorted(sum(hop.filtered.values()) for hop in hops) == [0, 18_000]
            assert [hop.missing() for hop in hops] == [0, 0]
            for _ in range(300):
                await screen.send({"op": "ack", "id": 1, "n": 1})
                hub.publish(TOPIC, events(0))
                await screen.read()
            await screen.send({"op": "ack", "id": 1, "n": 2})
            assert (await screen.read())["code"] == "value"
            everything.close()

    run(work())


def test_an_idle_connection_gets_pings_and_a_busy_one_none():
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            raw = await Raw(hub.outputs[0].url).subscribe("*")
            hub.publish(RARE, tiny(0))
            await turns()
            hub.outputs[0].beat()
            hub.outputs[0].beat()
            assert ((await raw._next())["c"], (await raw._next())["op"]) == (RARE, "ping")
            raw.close()

    run(work())


@pytest.mark.parametrize("policy", ["drop_oldest", "block"])
def test_who_takes_nothing_and_says_nothing_for_long_is_parted_with(policy):
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            stuck = await Raw(hub.outputs[0].url, small=True).subscribe("*", policy=policy)
            count = await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
            for i in range(20):
                hub.publish(TOPIC, events((count + i) * 1_000))
            for _ in range(SILENT_BEATS):
                hub.outputs[0].beat()
            await stuck.send({"op": "ping", "t": 1})
            await turns()
            for _ in range(SILENT_BEATS):
                assert hub.subscribers == 1
                hub.outputs[0].beat()
            hub.outputs[0].beat()
            assert hub.subscribers == (1 if policy == "block" else 0)
            stuck.close()

    run(work())
