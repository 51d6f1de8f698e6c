"""Terms of a subscription, without sockets: where it begins, credit, rates, decimation, and the law over all of it."""

from __future__ import annotations

import pytest
from feedtools import MS, TOPICS, Log, World, spikes
from hypothesis import given, settings
from hypothesis import strategies as st
from wirebytes import put

from spikestream.errors import ClientError
from spikestream.wire import Message, Ring, Unsubscribed
from spikestream.wire.ring import KEEPING

A, B, C = TOPICS
SIZE = 80
"""A message of one spike has between 60 and 80 bytes."""
KEPT = SIZE + KEEPING
"""What the ring counts it for."""


# --- what is kept


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3_000)), max_size=60), st.integers(1, 20_000))
def test_all_topics_together_keep_so_much_and_the_largest_lets_go(published, whole):
    ring, kept, numbers = Ring(8_000, whole), {}, dict.fromkeys("abcd", 0)
    for topic, size in published:
        ring.append(topic, numbers[topic], 0, 1, bytes(size))
        kept.setdefault(topic, []).append(size + KEEPING)
        numbers[topic] += 1
        while sum(kept[topic]) > 8_000:
            kept[topic].pop(0)
        while sum(map(sum, kept.values())) > whole:
            largest = max(kept, key=lambda one: sum(kept[one]))
            least = sum(kept[largest]) - whole // 64 - 1
            while kept[largest] and sum(kept[largest]) > least:
                kept[largest].pop(0)
        assert ring.bytes == sum(map(sum, kept.values())) <= whole
        for one, sizes in kept.items():
            assert ring.first(one) == (numbers[one] - len(sizes) if sizes else None)
    found = [(message.topic, message.seq) for message in ring.read(lambda topic: 0)]
    assert sorted(found) == [
        (one, numbers[one] - back) for one in sorted(kept) for back in range(len(kept[one]), 0, -1)
    ]


# --- where a subscription begins


def test_all_that_is_kept_comes_before_what_is_new_in_the_order_of_publication():
    world = World()
    for seq in range(40):
        world.publish((A, B)[seq % 3 == 0])
    world.flush()
    world.subscribe(since="all")
    for _ in range(40):
        world.publish(A)
        world.more(100)
    world.finish()
    answer = world.answer()
    assert (answer.recovered, answer.first) == (True, {A: 0, B: 0})
    got = [(e.topic, e.seq) for e in world.got if isinstance(e, Message)]
    assert got == [(one.topic, one.seq) for one in world.sent]
    assert world.feed.plain, "nothing of the past is left to be considered"


def test_since_a_number_goes_on_with_it_and_by_topic_where_they_are_named():
    for seq, starts in ((7, {A: 7, B: 7}), ({A: 3}, {A: 3, B: 0}), ({A: 20, B: 20}, {A: 20, B: 20})):
        world = World()
        for _ in range(20):
            world.publish(A)
            world.publish(B)
        world.flush()
        world.subscribe(since={"epoch": "5eed", "seq": seq})
        world.publish(A)
        world.finish()
        assert (world.answer().recovered, world.answer().first) == (True, starts)
        assert world.numbers_of(A) == list(range(starts[A], 21))
        assert world.numbers_of(B) == list(range(starts[B], 20))
        assert world.gaps() == []


def test_since_a_time_begins_with_the_first_message_published_then():
    world = World(ring=10 * KEPT)
    for _ in range(20):
        world.publish(A)
    world.flush()
    world.subscribe(since={"t_ns": 16 * MS})
    world.finish()
    assert (world.answer().recovered, world.answer().first) == (True, {A: 15})
    assert world.numbers_of(A) == [15, 16, 17, 18, 19]
    later = World(ring=10 * KEPT)
    for _ in range(20):
        later.publish(A)
    later.flush()
    later.subscribe(since={"t_ns": 0})
    later.finish()
    assert not later.answer().recovered, "who knows what was published before the oldest that is kept"
    assert later.gaps() == []


def test_a_time_is_found_though_the_clock_went_back():
    ring = Ring(10**6)
    times = [5, 6, 9, 3, 4, 8, 8, 10, 2, 12]
    for seq, t_ns in enumerate(times):
        ring.append(A, seq, t_ns, 1, b"x")
    for t_ns in range(14):
        for start in range(11):
            naive = [seq for seq, t in enumerate(times) if seq >= start and t >= t_ns]
            assert [one.seq for one in ring.read({A: start}.get, t_ns)] == naive, (t_ns, start)


def test_a_time_is_found_without_looking_at_every_message():
    looked = []

    class Time(int):
        def __lt__(self, other):
            looked.append(self)
            return int(self) < other

    ring = Ring(10**6)
    for seq in range(10_000):
        ring.append(A, seq, Time(seq), 1, b"x")
    looked.clear()
    assert next(ring.read(lambda topic: 0, 9_000)).seq == 9_000
    assert len(looked) < 30


def test_since_now_tells_the_numbers_and_brings_nothing_old():
    world = World()
    for _ in range(5):
        world.publish(A)
    world.flush()
    world.subscribe(since="now")
    world.publish(A)
    world.finish()
    assert (world.answer().recovered, world.answer().first) == (True, {A: 5})
    assert world.numbers_of(A) == [5]


def test_what_is_kept_no_more_is_a_gap_of_unknown_rows():
    world = World(ring=5 * KEPT)
    for _ in range(20):
        world.publish(A)
    world.flush()
    kept = world.ring.first(A)
    assert 10 < kept < 18
    world.subscribe(since={"epoch": "5eed", "seq": 3})
    world.finish()
    assert (world.answer().recovered, world.answer().first) == (False, {A: kept})
    assert world.gaps() == [(A, 3, kept, "log")]
    assert next(e for e in world.got if isinstance(e, Message)).data["rows"] is None
    assert world.numbers_of(A) == list(range(kept, 20))


def test_numbers_of_another_epoch_mean_nothing_and_all_of_this_one_is_new():
    world = World(ring=5 * KEPT)
    for _ in range(20):
        world.publish(A)
    world.flush()
    world.subscribe(since={"epoch": "dead", "seq": 12})
    world.finish()
    kept = world.answer().first[A]
    assert not world.answer().recovered
    assert world.gaps() == [(A, 0, kept, "reconnect")]


def test_a_number_that_was_never_published_is_not_waited_for():
    world = World()
    world.publish(A)
    world.flush()
    world.subscribe(since={"epoch": "5eed", "seq": 9})
    world.publish(A)
    world.finish()
    assert (world.answer().recovered, world.answer().first) == (False, {A: 1})
    assert world.numbers_of(A) == [1]


def test_what_falls_out_of_the_ring_while_it_is_read_is_a_gap():
    world = World(ring=8 * KEPT)
    for _ in range(8):
        world.publish(A)
    world.flush()
    world.subscribe(since="all")
    world.more(1)
    for _ in range(30):
        world.publish(A)
    world.finish()
    (_, start, stop, why), *rest = world.gaps()
    assert (why, rest) == ("log", [])
    assert sorted([*world.numbers_of(A), *range(start, stop)]) == list(range(38))
    assert world.accounts()[A].imbalance() == 0
    assert world.accounts()[A].dropped.messages == stop - start


def test_what_falls_out_twice_is_counted_once_each():
    world = World(ring=8 * KEPT)
    for _ in range(8):
        world.publish(A)
    world.flush()
    world.subscribe(since="all")
    for _ in range(3):
        world.more(1)
        for _ in range(30):
            world.publish(A)
    world.finish()
    lost = sum(stop - start for _, start, stop, _ in world.gaps())
    assert len(world.gaps()) == 3
    flow = world.accounts()[A]
    assert (flow.due.messages, flow.dropped.messages, flow.imbalance()) == (98, lost, 0)


def test_who_may_lose_nothing_is_told_where_the_past_is_faster():
    world = World(ring=8 * KEPT)
    for _ in range(8):
        world.publish(A)
    world.flush()
    world.subscribe(since="all", policy="disconnect")
    world.more(1)
    assert not world.feed.torn
    for _ in range(30):
        world.publish(A)
    world.more(1)
    assert world.feed.torn


def test_a_log_has_what_the_ring_has_let_go_and_numbers_go_on_after_a_restart():
    log = Log((A,), 100)
    before = World(ring=4 * KEPT, log=log)
    for _ in range(20):
        before.publish(A)
    world = World(ring=4 * KEPT, log=log, numbers=before.numbers())
    for _ in range(20):
        world.publish(A)
        world.publish(B)
    world.flush()
    world.subscribe(since={"epoch": "5eed", "seq": {A: 10, B: 0}})
    for _ in range(20):
        world.publish(A)
        world.more(90)
    world.finish()
    assert world.numbers_of(A) == list(range(10, 60))
    assert [gap[0] for gap in world.gaps()] == [B]
    assert not world.answer().recovered


def test_without_any_past_everything_before_is_a_gap_and_everything_after_comes():
    world = World(ring=0)
    world.publish(A)
    world.flush()
    world.subscribe(since="all")
    world.publish(A)
    world.publish(B)
    world.finish()
    assert world.gaps() == [(A, 0, 1, "log")]
    assert (world.numbers_of(A), world.numbers_of(B)) == ([1], [0])


# --- credit


def test_no_more_messages_are_under_way_than_credit_was_given_for():
    world = World()
    world.subscribe(credit=3)
    for _ in range(10):
        world.publish(A)
    world.more()
    assert world.numbers_of(A) == [0, 1, 2]
    world.client.acknowledge(A, 2)
    world.talk()
    world.more()
    assert world.numbers_of(A) == [0, 1, 2, 3, 4]


def test_without_credit_the_policy_decides_what_is_kept():
    world = World()
    world.subscribe(credit=1, policy="latest")
    for _ in range(10):
        world.publish(A)
    world.more()
    world.client.acknowledge(A)
    world.talk()
    world.more()
    assert world.numbers_of(A) == [0, 9]
    assert world.gaps() == [(A, 1, 9, "slow")]


def test_answers_and_other_subscriptions_pass_one_that_waits_for_credit():
    world = World()
    world.subscribe(A, credit=1)
    world.subscribe(B)
    for _ in range(5):
        world.publish(A)
        world.publish(B)
    world.more()
    assert (world.numbers_of(A), world.numbers_of(B)) == ([0], [0, 1, 2, 3, 4])
    world.client.ping(5)
    (ping,) = world.session.receive(world.client.to_send())
    world.backlog.control(ping.pong(7))
    world.more()
    assert world.got[-1].t == 5


def test_history_comes_no_faster_than_credit():
    world = World()
    for _ in range(10):
        world.publish(A)
    world.flush()
    world.subscribe(since="all", credit=4)
    world.more()
    world.more()
    assert world.numbers_of(A) == [0, 1, 2, 3]
    assert not world.feed.ready, "or the loop would turn for nothing"
    world.finish()
    assert world.numbers_of(A) == list(range(10))


@pytest.mark.parametrize(
    ("ack", "code"),
    [
        ({"op": "ack", "id": 1, "n": 2}, "value"),
        ({"op": "ack", "id": 1, "n": 0}, "value"),
        ({"op": "ack", "id": 1}, "value"),
        ({"op": "ack", "id": 9, "n": 1}, "id"),
        ({"op": "ack", "id": 2, "n": 1}, "id"),
    ],
)
def test_credit_that_was_not_used_cannot_be_given_back(ack, code):
    world = World()
    world.subscribe(A, credit=5)
    world.subscribe(B)
    world.publish(A)
    world.more()
    with pytest.raises(ClientError):
        list(map(world.feed.acknowledge, world.session.receive(put(ack))))
    assert code.encode() in world.session.to_send()


# --- how much at once, and the end of a subscription


def test_of_one_turn_no_more_is_written_than_there_is_room_for():
    world = World()
    world.subscribe(credit=100)
    for _ in range(50):
        world.publish(A)
    turn, world.turn = world.turn, []
    frames, lawful = world.feed.offer(turn, 10 * SIZE)
    assert lawful
    assert 8 * SIZE < sum(map(len, frames)) <= 11 * SIZE


def test_nothing_of_a_subscription_follows_the_answer_that_it_has_ended():
    world = World()
    number = world.subscribe(A, credit=1)
    for _ in range(4):
        world.publish(A)
    world.flush()
    world.client.unsubscribe(number)
    world.talk()
    world.finish()
    assert world.numbers_of(A) == [0]
    assert world.gaps() == [(A, 1, 4, "slow")]
    assert isinstance(world.got[-1], Unsubscribed)
    assert world.accounts()[A].dropped.messages == 3


def test_a_topic_that_falls_to_one_that_reads_the_past_begins_with_what_is_new():
    world = World()
    older = world.subscribe(A)
    for _ in range(5):
        world.publish(A)
        world.publish(B)
    world.flush()
    world.subscribe("x.>", since="all")
    world.client.unsubscribe(older)
    world.talk()
    world.publish(A)
    world.finish()
    assert world.numbers_of(A) == [0, 1, 2, 3, 4, 5]
    assert world.numbers_of(B) == [0, 1, 2, 3, 4]


# --- what is left out on request


def test_a_rate_leaves_messages_out_and_tells_how_many():
    world = World()
    world.subscribe(max_rate=10)
    for seq in range(1_000):
        world.publish(A, rows=seq % 3)
    world.finish()
    world.give(world.feed.end())
    count = world.client.counts[A]
    # 2.5 at once, which is the quarter of a second that may be saved up, and then ten a second.
    assert 12 <= count.messages <= 13
    assert count.messages + count.left_out == 1_000
    assert count.rows + count.left_out_rows == sum(seq % 3 for seq in range(1_000))
    assert {why for *_, why in world.gaps()} == {"rate"}
    assert len(world.gaps()) <= count.messages + 1
    assert world.accounts()[A].left_out.messages == count.left_out


def test_a_rate_is_each_topics_own_and_a_replay_is_thinned_as_the_live_stream():
    live = World()
    live.subscribe(max_rate=20)
    past = World()
    for world in (live, past):
        for seq in range(600):
            world.publish((A, B)[seq % 6 == 0])
            world.flush()
    past.subscribe(max_rate=20, since="all")
    for world in (live, past):
        world.finish()
    assert live.numbers_of(A) == past.numbers_of(A)
    assert live.numbers_of(B) == past.numbers_of(B)
    assert len(live.numbers_of(A)) < 30
    assert len(live.numbers_of(B)) > 10


def test_bytes_a_second_hold_for_all_topics_of_a_subscription_together():
    world = World()
    world.subscribe(max_bytes=2_000)
    for _ in range(2_000):
        world.publish(A, rows=2)
        world.publish(B, rows=2)
    world.finish()
    size = len(world.sent[0].frame)
    messages = world.client.counts[A].messages + world.client.counts[B].messages
    assert 2_000 * 4 <= messages * size <= 2_000 * (4 + 0.25) + 2 * size


def test_every_nth_row_is_uniform_over_messages_of_any_size():
    world = World()
    world.subscribe(decimate=10)
    rows = [3, 0, 25, 1, 7, 100, 9, 2, 11] * 5
    for count in rows:
        world.publish(A, rows=count)
    world.publish(C, rows=50)
    world.finish()
    came = [e for e in world.got if isinstance(e, Message) and e.topic == A]
    assert [e.of for e in came] == rows
    kept = [(e.seq, t) for e in came for t in e.data["t"].tolist()]
    everything = [(seq, t) for seq, count in enumerate(rows) for t in spikes(seq, count).t.tolist()]
    assert kept == everything[::10]
    assert [e.seq for e in came] == list(range(len(rows)))
    assert world.client.counts[A].left_out_rows == sum(rows) - len(kept)
    assert world.client.counts[C].rows == 50, "of other kinds nothing is taken away"


def test_time_that_goes_back_gives_no_more_than_the_rate():
    world = World()
    world.subscribe(max_rate=1)
    for ms in (1, -1_000, 1, 1_000, -1_000, 1_000, 1):
        world.publish(A, ms=ms)
    world.finish()
    assert len(world.numbers_of(A)) <= 3


# --- the law

terms = st.fixed_dictionaries(
    {},
    optional={
        "policy": st.sampled_from(["drop_oldest", "latest", "block"]),
        "since": st.one_of(
            st.sampled_from(["now", "all"]),
            st.builds(lambda seq: {"epoch": "5eed", "seq": seq}, st.integers(0, 40)),
            st.builds(lambda seq: {"epoch": "5eed", "seq": {A: seq}}, st.integers(0, 40)),
            st.builds(lambda seq: {"epoch": "dead", "seq": seq}, st.integers(0, 40)),
            st.builds(lambda ms: {"t_ns": ms * MS}, st.integers(0, 60)),
        ),
        "credit": st.integers(0, 4),
        "max_rate": st.sampled_from([0, 5, 200, 900.5]),
        "max_bytes": st.sampled_from([0, 10, 5_000]),
        "decimate": st.integers(1, 4),
    },
)
steps = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(TOPICS), st.integers(0, 9)),
    st.tuples(st.just("publish"), st.sampled_from(TOPICS), st.integers(0, 9)),
    st.tuples(st.just("more"), st.integers(1, 400), st.none()),
    st.tuples(st.just("flush"), st.none(), st.none()),
    st.tuples(st.just("pause"), st.booleans(), st.none()),
    st.tuples(st.just("ack"), st.none(), st.none()),
    st.tuples(st.just("sub"), st.sampled_from(["*", "x.>", A, B, C]), terms),
    st.tuples(st.just("unsub"), st.integers(0, 5), st.none()),
)


def play(world, script):
    """Run a script, and look at the accounts after every step; the client's session looks at every number."""
    subs = []
    for what, which, more in script:
        if what == "publish":
            world.publish(which, more)
        elif what == "more":
            world.more(which)
        elif what == "flush":
            world.flush()
        elif what == "pause":
            world.paused = which
        elif what == "ack" and not world.paused:
            world.acknowledge()
        elif what == "sub" and len(subs) < 5:
            world.acknowledge()  # a message is paid for by the subscription it came with
            subs.append(world.subscribe(which, **more))
        elif what == "unsub" and len(subs) > which:
            world.acknowledge()
            world.client.unsubscribe(subs.pop(which))
            world.talk()
        assert not any(flow.imbalance() for flow in world.accounts().values())


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=80), st.integers(0, 1_500), st.integers(0, 8_000), st.booleans(), st.booleans())
def test_messages_and_gaps_are_the_whole_span_whatever_is_asked_for(script, limit, ring, log, ends):
    world = World(limit, ring, Log((A, B), 12) if log else None)
    for _ in range(8):
        world.publish(A, 2)
        world.publish(C, 1)
    world.flush()
    play(world, script)
    if not ends:
        world.finish()
    world.give(world.feed.end())
    world.due.end(world.wants)
    assert not any(flow.imbalance() for flow in world.accounts().values())
    interest, numbers = world.client.interest, world.numbers()
    for topic, count in world.client.counts.items():
        assert count.messages + count.missing + count.left_out == count.next - count.first
        # Of a topic that is asked for again and has said nothing since, what is counted is from before.
        wanted = interest.owner(topic) is not None and world.session.interest.owner(topic) is not None
        if wanted and world.client._open.get(topic) is count:
            assert count.next == numbers[topic], topic
