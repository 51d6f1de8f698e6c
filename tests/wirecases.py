"""Messages and sessions that the tests of the wire share."""

from __future__ import annotations

import numpy as np
import pytest
from wirebytes import golden, maps, put

from spikestream.batch import EVENT, Decision, Decisions, Events, Sound, Spikes, no_events
from spikestream.errors import ClientError
from spikestream.wire import (
    POLICIES,
    ClientSession,
    Gap,
    Hello,
    Outgoing,
    ServerSession,
    Stats,
    Subscribed,
    Weights,
    Welcome,
    kind_of,
)

NOW = 1_700_000_000_000_000_000
HELLO = Hello("spikestream/0.1.0", "7f3a", NOW, caps=(*POLICIES, "since", "credit", "rate", "decimate", "teach"))
EVENTS = Events(10_000, 20_000, np.array([(10_000, 1, 2, True), (19_999, 345, 259, False)], EVENT), (346, 260))
SPIKES = Spikes(1_000, 2_000, np.array([1_999]), np.array([70_000], np.int32))
DECISIONS = Decisions(
    30_000,
    40_000,
    (Decision(0, 30_001, "bar", 0.75, (("bar", 3.0),), 4.0), Decision(30_000, 40_000, None, 0.0)),
)
DATA = {
    "events": ("main.filter.events", 3, NOW + 1, EVENTS),
    "events-empty": ("main.filter.events", 4, NOW + 2, no_events(20_000, 30_000)),
    "spikes": ("main.network.spikes", 0, NOW + 3, SPIKES),
    "decisions": ("main.readout.decisions", 1, NOW + 4, DECISIONS),
    "stats": ("main.engine.stats", 0, NOW + 5, Stats(0, 40_000, {"in": 1_000})),
    "sound": ("record.sensor.sound", 0, NOW + 7, Sound(0, 125, np.array([[0.5], [-1.0]], np.float32))),
    "weights": (
        "main.network.weights",
        0,
        NOW + 8,
        Weights(0, 40_000, "hidden", 3, np.array([[0.5], [-1.0]], np.float32)),
    ),
    "gap-sensor": ("main.sensor.gap", 0, NOW + 6, Gap(40_000, 50_000)),
}


def sent(topic, seq, t_ns, batch):
    return Outgoing(topic, kind_of(batch), seq, t_ns, batch).frame


def subscriber(*topics):
    """Return a session that has been greeted and has subscribed."""
    session = ClientSession("viewer")
    session.subscribe(topics or ("*",))
    assert list(session.receive(HELLO.frame)) == [HELLO]
    session.to_send()
    assert list(session.receive(golden()["sub-answer"])) == [Subscribed(1)]
    return session


def served(*messages):
    """Return a server's session that has been answered, and was sent these messages."""
    session = ServerSession()
    assert list(session.receive(golden()["client-hello"])) == [Welcome("viewer")]
    return session, list(session.receive(b"".join(map(put, messages))))


def refused(session, data):
    """Return the error frame a client gets for these bytes."""
    with pytest.raises(ClientError):
        list(session.receive(data))
    assert session.over
    (error,) = maps(session.to_send())
    return error
