"""One connection at its edges: closing, held back, in the middle of its past, gone before anybody noticed."""

from __future__ import annotations

import socket
import struct

import pytest
from hubtools import KIB, LOCAL, TOPIC, events, fill, run, serving, tiny, turns
from wirebytes import Raw, put, span

from spikestream.outputs.base import connection as ends
from spikestream.outputs.base import door as doors
from spikestream.outputs.base import listener as listeners
from spikestream.outputs.base import subscriber as subscribers
from spikestream.outputs.base import turns as turns_room
from spikestream.outputs.tcp import Tcp
from spikestream.wire import BYE

RARE = "main.network.spikes"


def connections(hub):
    return list(hub.outputs[0]._connections)


def test_one_that_blocks_and_is_cut_blocks_no_longer():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            stuck = await Raw(hub.outputs[0].url, small=True).subscribe("*", policy="block")
            await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
            while not hub.blocked:
                hub.publish(TOPIC, events(0))
            await stuck.send({"op": "nonsense"})
            while not connections(hub)[0].closing:
                await turns()
            assert not hub.blocked
            stuck.socket.close()

    run(work())


def test_what_is_published_while_the_past_is_read_to_its_end_comes_once():
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            for seq in range(500):
                hub.publish(TOPIC, events(seq * 1_000))
            late = await Raw(hub.outputs[0].url, small=True).subscribe("*", since="all", credit=1_000)
            (connection,) = connections(hub)
            while not connection._paused:
                await turns()
            hub.publish(TOPIC, events(0))
            connection._paused = False
            while connection.feed.rewinding:  # all in one turn of the loop
                connection._hand_over()
            hub.outputs[0].flush()
            connection.close(BYE)
            assert span(await late.read_all())[TOPIC] == (0, 501, 501_000, 0)
            assert hub.ledger().problems() == []

    run(work())


def test_a_past_of_which_nothing_is_wanted_is_read_a_step_at_a_time():
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            for seq in range(20_000):
                hub.publish(RARE, tiny(seq))
            await Raw(hub.outputs[0].url).subscribe("*", since="all", max_rate=0.001)
            (connection,) = connections(hub)
            assert connection.feed.behind > 10_000, "the loop is everybody's"

    run(work())


@pytest.fixture
def poor(monkeypatch):
    """Listeners that have time for next to nothing."""
    monkeypatch.setattr(turns_room, "BURST", 2.0)
    monkeypatch.setattr(turns_room, "PER_SECOND", 200.0)


def test_who_is_held_back_is_read_no_further_and_forgiven_once_all_is_done(poor):
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            raw = await Raw(hub.outputs[0].url).subscribe("*")
            (connection,) = connections(hub)
            await raw.send(*({"op": "ping", "t": t} for t in range(20)))
            while not connection._held:
                await turns()
            connection._hand_over()
            assert not connection._transport.is_reading()
            assert connection._held_since > 0
            assert [(await raw.read())["t"] for _ in range(20)] == list(range(20))
            while connection._held:
                await turns()
            assert connection._held_since == 0
            assert connection._transport.is_reading()

    run(work())


def test_who_asks_for_more_than_there_is_ever_time_for_is_cut(poor, monkeypatch):
    monkeypatch.setattr(subscribers, "PATIENCE_S", 0.0)

    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            raw = await Raw(hub.outputs[0].url).subscribe("*")
            await raw.send(*({"op": "ping", "t": t} for t in range(20)))
            *pongs, last = await raw.read_all()
            assert (last["op"], last["code"]) == ("error", "flood")
            assert len(pongs) < 20

    run(work())


def test_who_does_not_read_the_answers_may_ask_no_more():
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            raw = await Raw(hub.outputs[0].url, small=True).subscribe("*")
            count = await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
            (connection,) = connections(hub)
            await raw.send({"op": "ping", "t": 1})
            while connection._transport.is_reading():
                await turns()
            assert [(await raw.read())["s"] for _ in range(count)] == list(range(count))
            assert (await raw.read())["t"] == 1
            while not connection._transport.is_reading():
                await turns()

    run(work())


@pytest.mark.parametrize("terms", [{}, {"credit": 9}, {"since": "all"}, {"since": "all", "credit": 2}])
def test_what_is_published_to_one_that_has_gone_unnoticed_is_dropped_and_counted(terms):
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            for seq in range(500):
                hub.publish(TOPIC, events(seq * 1_000))
            hub.publish(RARE, tiny(0))
            await Raw(hub.outputs[0].url, small=True).subscribe("*", **terms)
            (connection,) = connections(hub)
            assert connection.feed.rewinding == ("since" in terms)
            connection._transport.abort()
            hub.publish(TOPIC, events(0))
            hub.publish(RARE, tiny(0))
            hub.outputs[0].flush()
            while connections(hub):
                await turns()
            assert hub.ledger().problems() == []
            (delivery,) = hub.ledger().subscribers
            assert delivery.flows[RARE].dropped.messages == (2 if "since" in terms else 1)

    run(work())


def test_one_that_is_slow_but_not_full_may_be_silent():
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            raw = await Raw(hub.outputs[0].url, small=True).subscribe("*")
            await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
            for _ in range(2 * listeners.SILENT_BEATS):
                hub.outputs[0].beat()
            assert hub.subscribers == 1
            raw.socket.close()

    run(work())


def test_credit_that_comes_after_the_end_costs_no_message():
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            raw = await Raw(hub.outputs[0].url, small=True).subscribe("*", credit=100)
            (connection,) = connections(hub)
            for seq in range(100):
                hub.publish(TOPIC, events(seq * 1_000))
            await turns()
            assert not connection.busy, "the kernel has all of it, and the other end but a part"
            connection.close(BYE)
            raw.socket.send(put({"op": "ack", "id": 1, "n": 1}))
            await turns()
            *found, last = await raw.read_all()
            assert (span(found)[TOPIC], last) == ((0, 100, 100_000, 0), {})

    run(work())


@pytest.mark.parametrize("terms", [{}, {"credit": 9}])
@pytest.mark.parametrize("reset", [True, False])
def test_the_end_of_one_that_has_just_broken_off_is_an_end_like_any_other(reset, terms):
    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            raw = await Raw(hub.outputs[0].url).subscribe("*", **terms)
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", reset, 0))
            raw.socket.close()
            await hub.aclose()
            assert connections(hub) == []
            assert hub.ledger().problems() == []

    run(work())


def test_one_that_reads_nothing_any_more_is_parted_with(monkeypatch):
    monkeypatch.setattr(ends, "PARTING_S", 0.01)

    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            raw = await Raw(hub.outputs[0].url, small=True).subscribe("*", policy="disconnect")
            await fill(hub, lambda i: hub.publish(TOPIC, events(i * 1_000)))
            for _ in range(20):
                hub.publish(TOPIC, events(0))
            while connections(hub):
                await turns()
            raw.socket.close()

    run(work(), 20)


def test_a_place_at_the_door_costs_one_and_no_more(monkeypatch):
    monkeypatch.setattr(doors, "PER_SECOND", 0.0)

    async def work():
        async with serving(Tcp(LOCAL)) as hub:
            for _ in range(3):
                await Raw(hub.outputs[0].url).subscribe("*")
            assert hub.outputs[0]._door._pace._left == doors.BURST - 3

    run(work())
