"""What both clients share: the session, what it has received and not handed out, how it goes on after a break."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spikestream.client.places import place_of, token_of
from spikestream.errors import ClientError
from spikestream.wire import (
    Broken,
    ClientSession,
    Count,
    Hello,
    Message,
    Reply,
    Subscribed,
    Terms,
)

HANDSHAKE_S = 5.0
READ_BYTES = 256 << 10
ANSWER_S = 10.0
"""A server answers a request in a few seconds, if only to say that it has not been fulfilled yet."""
MOST_TOPICS = 256
"""Of so many topics a client may say where it was."""
PATIENCE_S = 60.0
"""How long ``reconnect=True`` tries."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""Between two tries to connect again; each pause is twice as long as the one before."""


class Shell:
    """The session of a client, what came and was not handed out, and the numbers to go on with in another session."""

    def __init__(
        self,
        url: str,
        topics: Sequence[str],
        terms: Terms,
        reconnect: bool | float,
        name: str,
        token_file: str,
        ca: str,
    ) -> None:
        self.url = url
        self._place = place_of(url)
        self._tls = self._place.tls(ca)
        self._token = token_of(token_file, self._place)
        self._name = name
        self._patience_s = PATIENCE_S if reconnect is True else float(reconnect)
        self._topics = [topics] if isinstance(topics, str) else list(topics)
        # Who wants to go on later has to know the numbers of topics that have not said anything yet.
        self._terms = replace(terms, since="now") if terms.since is None and self._patience_s else terms
        self._due: dict[str, int] = {}
        self._received: deque[Message] = deque()
        self._replies: dict[int, Reply | None] = {}
        """What came of what was asked and not yet told to who asked; None for nothing so far."""
        self._handed = ""
        self._unacknowledged = 0
        self.recovered: bool | None = None
        """Whether nothing is missing before where it begins, of a subscription that asked for a beginning."""
        self._begin(None)

    @property
    def hello(self) -> Hello | None:
        """Return the server's greeting, None before it came."""
        return self._session.hello

    @property
    def counts(self) -> dict[str, Count]:
        """Return what arrived by topic: messages, rows, gaps, and the messages these stand for."""
        return self._session.counts

    def _begin(self, before: ClientSession | None) -> None:
        self._session = session = ClientSession(self._name, before, self._token)
        self._line = self._place.line()
        self._error: ClientError | None = None
        self._subscribed = not self._topics
        if self._topics:
            session.subscribe(self._topics, self._terms)

    def _resume(self) -> None:
        """Begin another session that goes on where this one was."""
        before, hello = self._session, self._session.hello
        if hello is not None and len(self._due) <= MOST_TOPICS:
            self._terms = replace(self._terms, since={"epoch": hello.epoch, "seq": dict(self._due)})
        self._handed, self._unacknowledged = "", 0
        self._begin(before)

    @property
    def _waits(self) -> bool:
        ready = self._subscribed and self._session.hello is not None
        return not (ready or self._session.ended or self._error)

    def _take(self, data: bytes) -> bytes:
        """Take what the socket gave, and return what it is to send; an error waits for its turn among the messages."""
        try:
            frames = self._line.receive(data)
            for event in self._session.receive(frames) if frames or not data else ():
                if isinstance(event, Message):
                    self._received.append(event)
                    self._due[event.topic] = event.seq + (event.n if event.lost else 1)
                elif isinstance(event, Subscribed):
                    self._begun(event)
                elif isinstance(event, Reply) and event.id in self._replies:
                    self._replies[event.id] = event
        except ClientError as error:
            self._error = error
        return self._to_send()

    def _to_send(self) -> bytes:
        return self._line.send(self._session.to_send())

    def _begun(self, event: Subscribed) -> None:
        """Take note of where the subscription begins; where numbers begin anew, what was lost before nobody knows."""
        self._subscribed, self.recovered = True, event.recovered
        since, hello = self._terms.since, self._session.hello
        if isinstance(since, str) or (since is not None and "t_ns" in since):
            self._due = dict(event.first) if since != "all" else {}
        elif since is not None and hello is not None:
            anew = since["epoch"] != hello.epoch
            for topic, due in list(self._due.items()):
                if anew or event.first.get(topic, due) < due:
                    self._received.append(_reconnected(topic, due))
                    del self._due[topic]

    def _refused(self) -> None:
        if self._error is not None and (not self._subscribed or self._session.hello is None):
            raise self._error

    def _ask(self, do: str, fields: Mapping[str, Any]) -> int:
        """Make a request and return its number."""
        if self._session.ended:
            raise ClientError("the connection is closed", remedy="connect again")
        number = self._session.request(do, fields)
        self._replies[number] = None
        return number

    def _pending(self, number: int) -> bool:
        """Return whether the answer to a request may still come; raises what ended the connection before it came."""
        if self._replies[number] is not None:
            return False
        if self._error is not None:
            raise self._error
        if self._session.ended:
            raise ClientError("the server said bye before it answered", remedy="connect again")
        return True

    def _told(self, number: int) -> Mapping[str, Any]:
        return self._replies[number].value()  # type: ignore[union-attr]  # it is not pending any more

    def _next(self) -> Message | None:
        if self._received:
            message = self._received.popleft()
            self._handed = "" if message.lost else message.topic
            return message
        if self._error is not None:
            raise self._error
        return None

    def _give_back(self) -> bytes:
        """Return what is to be sent once the message handed out last is done with: credit, in handfuls."""
        if self._handed and self._terms.credit:
            self._unacknowledged += 1
            if self._unacknowledged >= max(1, self._terms.credit // 2):
                self._session.acknowledge(self._handed, self._unacknowledged)
                self._unacknowledged = 0
        self._handed = ""
        return self._to_send()

    def _breaks(self, error: OSError) -> Broken:
        return Broken(f"the connection to {self.url} broke: {error.strerror or error}")

    def _patient(self, cause: ClientError | None) -> bool:
        """Return whether to connect again after a bye, or after this error."""
        return self._patience_s > 0 and (cause is None or isinstance(cause, Broken))


def _reconnected(topic: str, due: int) -> Message:
    """Return the gap that stands for nobody knows how many messages of a topic, from a number on."""
    return Message("gap", topic, due, 0, 0, 0, 0, {"from": due, "to": due, "rows": None, "why": "reconnect"})
