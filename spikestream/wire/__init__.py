"""SSP/1, the wire: sans-IO frames, topics, messages, sessions and the queue of one subscriber (docs/wire.md).

Law: bytes in, messages out, bytes to send; no socket and no clock in this room.
"""

from spikestream.wire import web
from spikestream.wire.backlog import Backlog
from spikestream.wire.client import Broken, ClientSession, Count, Pong, Subscribed, Unsubscribed
from spikestream.wire.feed import Feed, Numbers, Published
from spikestream.wire.flows import Delivery, Flow, Tally
from spikestream.wire.frames import BYE, MAX_CLIENT_FRAME, MAX_FRAME, MAX_FRAME_EVER, FrameReader
from spikestream.wire.incoming import Message
from spikestream.wire.interest import Interest
from spikestream.wire.losses import loss_frame
from spikestream.wire.outgoing import Gap, Outgoing, Payload, Stats, Weights, kind_of, pieces
from spikestream.wire.past import Past, Stored
from spikestream.wire.requests import (
    DEFAULT_FOR_US,
    MAX_OPEN,
    Ask,
    Lesson,
    Refusal,
    Reply,
    Request,
    Taught,
    lesson,
    nobody,
    taught,
)
from spikestream.wire.ring import ALL_BYTES, RING_BYTES, Ring, Shelf
from spikestream.wire.server import (
    MAX_FRAMES_S,
    TOKEN,
    Ack,
    Bye,
    Hello,
    Ping,
    ServerEvent,
    ServerSession,
    Sub,
    Unsub,
    Welcome,
    error_frame,
    ping_frame,
)
from spikestream.wire.terms import PLAIN, Since, Terms
from spikestream.wire.thinning import Thinner
from spikestream.wire.topics import POLICIES, is_pattern, is_topic, matches

__all__ = [
    "ALL_BYTES",
    "BYE",
    "DEFAULT_FOR_US",
    "MAX_CLIENT_FRAME",
    "MAX_FRAME",
    "MAX_FRAMES_S",
    "MAX_FRAME_EVER",
    "MAX_OPEN",
    "PLAIN",
    "POLICIES",
    "RING_BYTES",
    "TOKEN",
    "Ack",
    "Ask",
    "Backlog",
    "Broken",
    "Bye",
    "ClientSession",
    "Count",
    "Delivery",
    "Feed",
    "Flow",
    "FrameReader",
    "Gap",
    "Hello",
    "Interest",
    "Lesson",
    "Message",
    "Numbers",
    "Outgoing",
    "Past",
    "Payload",
    "Ping",
    "Pong",
    "Published",
    "Refusal",
    "Reply",
    "Request",
    "Ring",
    "ServerEvent",
    "ServerSession",
    "Shelf",
    "Since",
    "Stats",
    "Stored",
    "Sub",
    "Subscribed",
    "Tally",
    "Taught",
    "Terms",
    "Thinner",
    "Unsub",
    "Unsubscribed",
    "Weights",
    "Welcome",
    "error_frame",
    "is_pattern",
    "is_topic",
    "kind_of",
    "lesson",
    "loss_frame",
    "matches",
    "nobody",
    "pieces",
    "ping_frame",
    "taught",
    "web",
]
