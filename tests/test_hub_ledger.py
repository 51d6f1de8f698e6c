"""What the hub and its outputs count: nothing published is lost between them without somebody missing it."""

from __future__ import annotations

import asyncio
import socket

import numpy as np
import pytest
from hubtools import KIB, LOCAL, TOPIC, account, events, fill, run, serving, turns
from wirebytes import Raw

from spikestream.batch import EVENT, Events
from spikestream.client import subscribe
from spikestream.errors import ClientError
from spikestream.outputs.file import File
from spikestream.outputs.tcp import Tcp
from spikestream.outputs.unix import Unix
from spikestream.service.hub import Hub


@pytest.mark.parametrize("how", ["closed", "aborted"])
def test_what_the_kernel_never_got_of_a_connection_that_broke_is_dropped(how, tmp_path):
    async def work():
        async with serving(Unix(str(tmp_path / "s.sock"))) as hub:
            slow = await Raw(hub.outputs[0].url, small=True).subscribe("*")
            for seq in range(30):
                hub.publish(TOPIC, events(seq * 1_000))
            await turns()
            assert account(hub)[0] == 30
            if how == "aborted":
                await hub.aclose()  # it reads nothing: after a second the server gives it up
            else:
                slow.close()
                while hub.subscribers:
                    await asyncio.sleep(0)
                await turns()
            due, sent, dropped, held = account(hub)
            assert (due, held) == (30, 0)
            assert dropped > 0
            assert sent + dropped == 30
            assert not hub.ledger().problems()

    run(work())


@pytest.mark.parametrize("taken", [0, 300_000, 700_000, 1_500_000])
def test_a_client_that_leaves_in_the_middle_was_not_sent_what_it_never_read(taken, tmp_path, caplog):
    async def work():
        async with serving(Unix(str(tmp_path / "s.sock"))) as hub:
            leaving = await Raw(hub.outputs[0].url).subscribe("*")
            for seq in range(300):
                hub.publish(TOPIC, events(seq * 1_000))
            await turns()
            got = 0
            while got < taken:
                got += len(await asyncio.get_running_loop().sock_recv(leaving.socket, min(65_536, taken - got)))
                await turns(3)
            kernel = leaving.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            leaving.close()
            while hub.subscribers:
                await asyncio.sleep(0)
            await turns()
            due, sent, dropped, held = account(hub)
            assert (due, held) == (300, 0)
            assert sent + dropped == 300
            assert sent * 13_000 <= got + 2 * kernel + 50_000, "beside what the kernel holds"

    run(work())
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("when", ["from the start", "late", "gone", "changed its mind"])
def test_a_whole_message_that_an_output_loses_is_missed(when, tmp_path):
    async def work():
        async with serving(Unix(str(tmp_path / "s.sock"))) as hub:
            (output,) = hub.outputs
            for seq in range(3 * (when == "late")):
                hub.publish(TOPIC, events(seq * 1_000, 10))
            there = await Raw(output.url).subscribe("*")
            for seq in range(3, 6):
                hub.publish(TOPIC, events(seq * 1_000, 10))
            send, output.send = output.send, lambda message: None
            hub.publish(TOPIC, events(6_000, 7))
            output.send = send
            for seq in range(7, 9):
                hub.publish(TOPIC, events(seq * 1_000, 10))
            if when == "changed its mind":
                await there.send({"op": "unsub", "id": 1})
            elif when == "gone":
                there.close()
            while hub.subscribers and when in ("gone", "changed its mind"):
                await asyncio.sleep(0)
            hub.publish(TOPIC, events(9_000, 10))
            await turns()
            (flow,) = hub.ledger().subscribers[0].flows.values()
            assert flow.imbalance() == 7
            assert len(hub.ledger().problems()) == 1
            there.close()

    run(work())


def test_a_topic_of_which_nothing_arrives_is_missed_too(tmp_path):
    async def work():
        async with serving(Unix(str(tmp_path / "s.sock")), File(str(tmp_path / "f"))) as hub:
            there = await Raw(hub.outputs[0].url).subscribe("*")
            for output in hub.outputs:
                output.send = lambda message: None
            hub.publish(TOPIC, events(0, 7))
            flows = [delivery.flows[TOPIC].imbalance() for delivery in hub.ledger().subscribers]
            assert flows == [7, 7]
            there.close()

    run(work())


def test_losses_of_those_that_have_long_gone_are_not_forgotten(tmp_path):
    async def work():
        async with serving(Unix(str(tmp_path / "s.sock"), queue_bytes=KIB)) as hub:
            slow = await Raw(hub.outputs[0].url, small=True).subscribe("*")
            count = await fill(hub, lambda seq: hub.publish(TOPIC, events(seq * 1_000)))
            hub.publish(TOPIC, events(count * 1_000))
            await turns()
            slow.close()
            while hub.subscribers:
                await asyncio.sleep(0)
            lost = sum(d.flows[TOPIC].dropped.rows for d in hub.ledger().subscribers)
            for _ in range(300):
                short = await Raw(hub.outputs[0].url).subscribe("*")
                hub.publish(TOPIC, events(0, 1))
                short.close()
                while hub.subscribers:
                    await asyncio.sleep(0)
            ledger = hub.ledger()
            assert len(ledger.subscribers) == 257
            assert sum(d.flows[TOPIC].dropped.rows for d in ledger.subscribers if d.peer[:7] == "earlier") >= lost > 0
            assert not ledger.problems()

    run(work())


# Many rows of one µs.


def test_more_rows_of_one_microsecond_than_a_usual_frame_holds_stay_together():
    data = np.zeros(200_003, EVENT)
    data["t"][200_001:] = 1

    async def work():
        async with serving() as hub:
            async with subscribe(hub.outputs[0].url) as messages:
                await hub.wait_subscribers(1)
                hub.publish(TOPIC, Events(0, 5, data, (9, 9)))
                got = [await anext(messages) for _ in range(2)]
            assert [(m.start, m.stop, m.n) for m in got] == [(0, 1, 200_001), (1, 5, 2)]

    run(work())


def test_rows_that_no_frame_can_hold_are_left_out_and_counted(caplog):
    data = np.zeros(3_000_000, EVENT)

    async def work():
        async with serving() as hub:
            hub.publish(TOPIC, Events(0, 5, data, (9, 9)))
            hub.publish(TOPIC, Events(5, 9, data[:0], (9, 9)))
            ledger = hub.ledger()
            tally, left_out = ledger.published[TOPIC], ledger.left_out[TOPIC]
            assert (tally.rows + left_out, tally.messages) == (3_000_000, 3)
            assert (16 << 20) - 13 * tally.rows < 2_048

    run(work())
    assert caplog.text.count("more than a message can hold") == 1


def test_where_nobody_can_listen_nothing_is_left_out():
    hub = Hub([], epoch="5eed")
    hub.publish(TOPIC, Events(0, 5, np.zeros(3_000_000, EVENT), (9, 9)))
    assert hub.ledger().published[TOPIC].rows == 3_000_000


def test_a_policy_that_is_not_offered_is_refused_and_named():
    async def work():
        hub = Hub([Tcp(LOCAL)], epoch="5eed", policies=("drop_oldest", "latest"))
        await hub.start()
        with pytest.raises(ClientError, match="'block' is not to be had here; there are: drop_oldest, latest"):
            async with subscribe(hub.outputs[0].url, policy="block") as messages:
                await anext(messages)
        await hub.aclose()

    run(work())
