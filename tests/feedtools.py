"""A publisher and one subscriber without sockets: what the tests of terms and of the past share."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Spikes
from spikestream.outputs.base.due import Due
from spikestream.wire import (
    Ack,
    Backlog,
    ClientSession,
    Feed,
    Flow,
    Hello,
    Message,
    Outgoing,
    Ring,
    ServerSession,
    Shelf,
    Stored,
    Sub,
    Subscribed,
    Tally,
    Terms,
    Unsub,
)

TOPICS = ("x.a.spikes", "x.b.spikes", "y.c.stats")
MS = 1_000_000


def spikes(seq, rows):
    """Return so many spikes, one µs apart, of axons that name the message."""
    return Spikes(0, max(1, rows), np.arange(rows), np.full(rows, seq, np.int32))


class Log:
    """A naive past: a list of all messages of some topics, the oldest let go beyond so many of each."""

    def __init__(self, topics, keep):
        self.topics, self.keep, self.all = topics, keep, []

    def append(self, message):
        if message.topic in self.topics:
            self.all.append(message)
            mine = [one for one in self.all if one.topic == message.topic]
            for one in mine[: len(mine) - self.keep]:
                self.all.remove(one)

    def first(self, topic):
        return min((one.seq for one in self.all if one.topic == topic), default=None)

    def read(self, seq_of, t_ns=0):
        due = {topic: start for topic in self.topics if (start := seq_of(topic)) is not None}
        while True:
            later = [m for m in self.all if m.topic in due and m.seq >= due[m.topic] and m.t_ns >= t_ns]
            if not later:
                return
            due[later[0].topic] = later[0].seq + 1
            yield later[0]


class World:
    """Publishes, and hands over to one subscriber what its connection has room for."""

    def __init__(self, limit=10**6, ring=10**6, log=None, epoch="5eed", numbers=None):
        self.ring, self.log, self.epoch = Ring(ring), log, epoch
        self.base = dict(numbers or {})
        self.tallies, self.sent, self.turn = {}, [], []
        self.t_ns, self.paused, self.acked = 0, False, 0
        self.backlog = Backlog(limit)
        self.session = ServerSession(changing=self.change)
        self.due = Due(lambda: self.tallies)
        past = Shelf([one for one in (self.ring, log) if one is not None])
        self.feed = Feed(self.session, self.backlog, epoch, self.numbers, lambda: self.tallies, past)
        self.client, self.got = ClientSession("twin"), []
        list(self.client.receive(Hello("twin", epoch, 0).frame))
        self.talk()

    def numbers(self):
        return self.base | {t: self.base.get(t, 0) + tally.messages for t, tally in self.tallies.items()}

    def publish(self, topic, rows=1, ms=1):
        """Number a message and put it by for the end of the turn."""
        self.t_ns += ms * MS
        seq = self.numbers().get(topic, 0)
        message = Outgoing(topic, topic.rpartition(".")[2], seq, self.t_ns, spikes(seq, rows))
        if topic.endswith("stats"):
            message.kind = "spikes"
        self.tallies.setdefault(topic, Tally()).add(1, rows)
        stored = Stored(topic, seq, self.t_ns, rows, message.frame)
        self.ring.append(*stored)
        if self.log is not None:
            self.log.append(stored)
        self.sent.append(stored)
        self.turn.append(message)

    def flush(self):
        """End the turn: every message of it is offered."""
        turn, self.turn = self.turn, []
        frames, lawful = self.feed.offer(turn, 0 if self.paused else 600)
        assert lawful
        self.give(frames)

    def wants(self, topic):
        return self.session.interest.owner(topic) is not None

    def change(self):
        """Close the account of what was asked for, before it changes."""
        self.flush()
        self.due.change(self.wants)

    def give(self, frames):
        """Let the client have frames; it gives credit back for them when it is told to."""
        if frames:
            self.got += self.client.receive(b"".join(frames))

    def talk(self):
        """Bring what the client has to say to the server."""
        for event in self.session.receive(self.client.to_send()):
            if isinstance(event, Sub):
                self.feed.subscribe(event)
            elif isinstance(event, Unsub):
                self.feed.unsubscribe(event)
            elif isinstance(event, Ack):
                self.feed.acknowledge(event)
            answer = self.session.to_send()
            if answer and self.backlog:
                self.backlog.control(answer)
            elif answer:
                self.give([answer])

    def more(self, room=600):
        """Let the connection take something."""
        self.flush()
        if not self.paused and self.feed.ready:
            self.give(self.feed.more(room))

    def finish(self):
        """Let the client have everything, giving credit for all of it."""
        self.paused = False
        self.flush()
        while self.feed.ready or self.acked < len(self.got):
            self.more(10**6)
            self.acknowledge()

    def acknowledge(self):
        """Give credit back for every message since the last time."""
        new, self.acked = self.got[self.acked :], len(self.got)
        for event in new:
            if isinstance(event, Message) and not event.lost:
                self.client.acknowledge(event.topic)
        self.talk()

    def subscribe(self, *topics, **terms):
        """Subscribe, and return the number."""
        number = self.client.subscribe(topics or ("*",), Terms(**terms))
        self.talk()
        return number

    def answer(self):
        """Return the last answer to a subscription."""
        return [event for event in self.got if isinstance(event, Subscribed)][-1]

    def numbers_of(self, topic):
        """Return the numbers of the messages that came of a topic."""
        return [e.seq for e in self.got if isinstance(e, Message) and e.topic == topic and not e.lost]

    def gaps(self):
        """Return the (topic, from, to, why) of every gap that was told."""
        lost = [e for e in self.got if isinstance(e, Message) and e.lost]
        return [(e.topic, e.data["from"], e.data["to"], e.data["why"]) for e in lost]

    def accounts(self):
        """Return the account of every topic, what is read from the past included."""
        self.flush()
        flows = self.backlog.accounts()
        for topic, due in self.due.figures(self.wants).items():
            flows.setdefault(topic, Flow()).due = due
        self.feed.account(flows)
        return flows
