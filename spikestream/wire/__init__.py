"""SSP/1, the wire: sans-IO frames, topics, messages, sessions and the queue of one subscriber (docs/wire.md).

Law: bytes in, messages out, bytes to send; no socket and no clock in this room.
"""

from spikestream.wire.backlog import Backlog, Delivery, Flow, Tally
from spikestream.wire.client import ClientSession, Count, Pong, Subscribed, Unsubscribed
from spikestream.wire.frames import BYE, MAX_CLIENT_FRAME, MAX_FRAME, MAX_FRAME_EVER, FrameReader
from spikestream.wire.incoming import Message
from spikestream.wire.outgoing import Gap, Outgoing, Payload, Stats, kind_of, loss_frame, pieces
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
from spikestream.wire.server import Bye, Hello, Ping, ServerEvent, ServerSession, Sub, Unsub, Welcome, error_frame
from spikestream.wire.topics import POLICIES, Interest, is_pattern, is_topic, matches

__all__ = [
    "BYE",
    "DEFAULT_FOR_US",
    "MAX_CLIENT_FRAME",
    "MAX_FRAME",
    "MAX_FRAME_EVER",
    "MAX_OPEN",
    "POLICIES",
    "Ask",
    "Backlog",
    "Bye",
    "ClientSession",
    "Count",
    "Delivery",
    "Flow",
    "FrameReader",
    "Gap",
    "Hello",
    "Interest",
    "Lesson",
    "Message",
    "Outgoing",
    "Payload",
    "Ping",
    "Pong",
    "Refusal",
    "Reply",
    "Request",
    "ServerEvent",
    "ServerSession",
    "Stats",
    "Sub",
    "Subscribed",
    "Tally",
    "Taught",
    "Unsub",
    "Unsubscribed",
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
    "taught",
]
