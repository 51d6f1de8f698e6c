"""What another spikestream publishes, put right: every batch once and in order, what is missing left out and counted.

Sans IO, and a function of what comes alone: no clock, no chance. So whoever begins at a `Mark` gets, of the same
messages, the same batches as who was there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from spikestream.batch import Array, Events, Spikes, moved
from spikestream.errors import ClientError, ModelError
from spikestream.sensors.base import LONGEST_US
from spikestream.wire import MAX_FRAME_EVER, FrameReader, Message
from spikestream.wire.frames import FROM_SERVER, unpack
from spikestream.wire.incoming import TIME_LIMIT, decode

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a stream was taken: the place to go on from, exactly.

    ``at`` is the number of the stored message in which the last batch was, ``whole`` that of the last one all of which
    was taken, both 0 without a store. ``epoch`` and ``seq`` are the publisher's number of what is due next, ``now`` the
    stop of the last batch, µs; ``shift``, by how much the times of this epoch are moved, is None before its first one.
    """

    at: int = 0
    whole: int = 0
    epoch: str = ""
    seq: int = 0
    now: int | None = None
    shift: int | None = None

    def told(self) -> dict[str, Any]:
        """Return it in JSON's terms."""
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Mark:
        """Return the mark that was told; raises `ModelError`."""
        numbers = {name: told.get(name) for name in ("at", "whole", "seq")}
        times = {name: told.get(name) for name in ("now", "shift")}
        sane = all(type(one) is int and 0 <= one < 2**63 for one in numbers.values())
        timely = all(one is None or (type(one) is int and abs(one) <= TIME_LIMIT) for one in times.values())
        if not (sane and timely and type(told.get("epoch")) is str):
            raise ModelError("the checkpoint does not say how far its stream was taken")
        return cls(epoch=told["epoch"], **numbers, **times)  # type: ignore[arg-type]


class Order:
    """Bundles of frames, or messages, in, batches out; `mark` is where it stands.

    ``size`` is what all batches of events must have, and what is outside of it is nothing of ours; with ``axons``
    batches are of spikes. Counts, of rows: ``received == sent + repeated + misplaced``. ``missing`` counts the messages
    that never came and ``foreign`` those that were none of such a publisher.
    """

    def __init__(self, size: tuple[int, int] | None, axons: int | None = None) -> None:
        self.size, self.axons = size, axons
        self.mark = Mark()
        self.received = self.sent = self.repeated = self.misplaced = self.missing = self.foreign = 0

    def stats(self) -> dict[str, int]:
        """Return its counts as they are published."""
        names = ("received", "sent", "repeated", "missing", "foreign")
        return {name: getattr(self, name) for name in names}

    def intake(self) -> tuple[int, dict[str, int], dict[str, int], int]:
        """Return the rows that came, those it had had before, those it dropped, and 0 held: see `Counting`."""
        return self.received, {"repeated": self.repeated}, {"out of place": self.misplaced}, 0

    def accept(self, epoch: str, message: Message) -> Events | Spikes | None:
        """Return the batch of a message of a publisher's ``epoch``, None where there is none in it, or nothing new."""
        if not (message.lost or self._ours(message)):
            self.foreign += 1
            return None
        batch = self._next(epoch, message, 0, 0)
        self.sent += 0 if batch is None else len(batch)
        return batch

    def take(self, epoch: str | None, bundle: bytes, at: int = 0) -> Iterator[Events | Spikes]:
        """Yield the batches of a bundle that are new; ``at`` is its number in the store.

        The mark moves with each batch, before it is yielded.
        """
        frames = self._frames(epoch, bundle)
        for index, message in enumerate(frames):
            last = index == len(frames) - 1
            batch = self._next(epoch or "", message, at, at if last else self.mark.whole)
            if batch is not None:
                self.sent += len(batch)
                yield batch
        self.mark = replace(self.mark, whole=at)

    def _frames(self, epoch: str | None, bundle: bytes) -> list[Message]:
        """Return the messages of a bundle up to what is damaged."""
        reader, messages = FrameReader(MAX_FRAME_EVER), []
        try:
            if not epoch or len(epoch) > 256:
                raise ClientError("there is no epoch with it")
            messages = [decode(unpack(payload, FROM_SERVER)) for payload in reader.feed(bundle)]
            if reader.held:
                raise ClientError("a frame is cut")
            if wrong := [one for one in messages if not one.lost and not self._ours(one)]:
                raise ClientError(f"{wrong[0].topic} is not what was asked for")
        except ClientError:
            self.foreign += 1
            return []
        return messages

    def _ours(self, message: Message) -> bool:
        """Return whether a message is a batch that our sensor may have given."""
        if message.of is not None or not 0 <= message.stop - message.start <= LONGEST_US:
            return False
        if self.axons is not None:
            return message.kind == "spikes" and (not message.n or int(message.data["axon"].max()) < self.axons)
        if message.kind != "events" or message.size not in (None, self.size) or self.size is None:
            return False
        data, (width, height) = message.data, self.size
        return not len(data) or bool(data["x"].max() < width and data["y"].max() < height)

    def _next(self, epoch: str, message: Message, at: int, whole: int) -> Events | Spikes | None:
        """Return the batch of a message, None where it has none or an old one."""
        mark = self.mark
        if epoch != mark.epoch:
            mark = replace(mark, epoch=epoch, seq=message.seq, shift=None)
        rows, first, end = (0, message.seq + message.n, message.seq + message.n) if message.lost else _one(message)
        self.received += rows
        if end <= mark.seq:
            self.repeated += rows
            return None
        self.missing += first - mark.seq
        mark = replace(mark, at=at, whole=whole, seq=end)
        batch = None if message.lost else self._placed(mark, message)
        if batch is None:
            self.misplaced += rows
            self.mark = mark
            return None
        self.mark = replace(mark, now=batch.stop, shift=batch.start - message.start)
        return batch

    def _placed(self, mark: Mark, message: Message) -> Events | Spikes | None:
        """Return the batch in our time, None where there is no place for it."""
        now = message.start if mark.now is None else mark.now
        shift = mark.shift
        if shift is None:  # a clock that has begun anew is moved by whole seconds
            shift = -(-max(0, now - message.start) // SECOND_US) * SECOND_US
        start, stop = message.start + shift, message.stop + shift
        if start < now or start == stop or stop > TIME_LIMIT:
            return None
        if self.axons is not None:
            return moved(Spikes(message.start, message.stop, *_columns(message.data)), shift)
        return moved(Events(message.start, message.stop, message.data, self.size), shift)


def _columns(rows: Array) -> tuple[Array, Array]:
    return rows["t"].astype(np.int64), rows["axon"].astype(np.int32)


def _one(message: Message) -> tuple[int, int, int]:
    """Return rows, number and next number of a message that is one."""
    return message.n, message.seq, message.seq + 1


def size_in(bundle: bytes) -> tuple[int, int] | None:
    """Return the size of the first batch in a bundle that tells one."""
    try:
        for payload in FrameReader(MAX_FRAME_EVER).feed(bundle):
            if (size := decode(unpack(payload, FROM_SERVER)).size) is not None:
                return size
    except ClientError:
        pass
    return None
