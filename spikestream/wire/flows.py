"""The account of one topic to one subscriber, each figure counted where it happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(slots=True)
class Tally:
    """Messages, and the events, spikes or decisions in them."""

    messages: int = 0
    rows: int = 0

    def add(self, messages: int, rows: int) -> None:
        """Count some more."""
        self.messages += messages
        self.rows += rows


@dataclass(slots=True)
class Flow:
    """One topic to one subscriber, each figure counted where it happens.

    due == sent + dropped + left_out + held + flying.
    """

    due: Tally = field(default_factory=Tally)
    """What was published while the subscriber had asked for it, by the publisher's figures and not by the output's."""
    sent: Tally = field(default_factory=Tally)
    """What the kernel has taken; the connection's own buffer is not the kernel."""
    dropped: Tally = field(default_factory=Tally)
    held: Tally = field(default_factory=Tally)
    """What is in the queue, counted from the queue itself when it is asked for."""
    flying: Tally = field(default_factory=Tally)
    """What is in the connection's buffer, counted from there when it is asked for."""
    left_out: Tally = field(default_factory=Tally)
    """What it asked not to get: messages above its rate, and the rows between those it wants."""

    def copy(self) -> Flow:
        """Return a copy of what was counted, nothing of it held."""
        return Flow(replace(self.due), replace(self.sent), replace(self.dropped), left_out=replace(self.left_out))

    def add(self, other: Flow) -> None:
        """Count another's figures in."""
        for name in ("due", "sent", "dropped", "left_out"):
            tally: Tally = getattr(other, name)
            getattr(self, name).add(tally.messages, tally.rows)

    def imbalance(self) -> int:
        """Return the rows that are missing (positive) or too many (negative), 0 where the account closes."""
        gone = self.sent.rows + self.dropped.rows + self.left_out.rows
        return self.due.rows - gone - self.held.rows - self.flying.rows


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one subscriber was due and got, topic by topic; ``gaps`` are the gap messages it was sent.

    ``left`` is whether it has gone: its account stays.
    """

    peer: str
    client: str
    flows: Mapping[str, Flow]
    gaps: int = 0
    left: bool = False
