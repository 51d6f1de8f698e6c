"""Each law of an output bites: a lawful one, broken in one place, breaks just the laws it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from broken import broken

from spikestream import checks
from spikestream.errors import ClientError
from spikestream.outputs.base.due import Published
from spikestream.wire import Delivery, Flow, Hello, Outgoing


class Shelf:
    """A lawful output: it counts what it is given, under a name that only one can have at a time."""

    taken: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        self.url = f"shelf://{type(self).__name__}"
        self.subscribers = 0
        self.flows: dict[str, Flow] = {}
        self.open = False

    blocked = False

    async def start(self, hello: Callable[[], Hello], published: Published) -> None:
        if self.url in self.taken:
            raise ClientError("the shelf is taken")
        self.taken.add(self.url)
        self.open = True
        self.published = published

    def send(self, message: Outgoing) -> Any:
        self.flows.setdefault(message.topic, Flow()).sent.add(1, message.rows)

    async def ready(self) -> None: ...

    async def drain(self, timeout_s: float) -> None: ...

    async def aclose(self) -> None:
        if self.open:
            self.taken.remove(self.url)
        self.open = False

    def deliveries(self) -> Sequence[Delivery]:
        for topic, due in self.published().items():
            self.flows.setdefault(topic, Flow()).due = due
        return [Delivery(self.url, "shelf", self.flows)]


class Nowhere(Shelf):
    def __init__(self) -> None:
        super().__init__()
        self.url = ""


class Crowded(Shelf):
    def __init__(self) -> None:
        super().__init__()
        self.subscribers = 1


class Awaited(Shelf):
    def send(self, message: Outgoing) -> Any:
        super().send(message)
        return self.ready()


class Picky(Shelf):
    def send(self, message: Outgoing) -> Any:
        if message.kind == "gap":
            raise KeyError(message.kind)
        super().send(message)


class Scribbling(Shelf):
    def send(self, message: Outgoing) -> Any:
        super().send(message)
        if message.kind == "events":
            message.batch.data["x"] = 0  # type: ignore[union-attr]


class Losing(Shelf):
    def send(self, message: Outgoing) -> Any:
        """Hand nothing on."""


class Inventing(Shelf):
    def send(self, message: Outgoing) -> Any:
        super().send(message)
        super().send(message)


class ClosesOnce(Shelf):
    async def aclose(self) -> None:
        self.taken.remove(self.url)


class KeepsItsPlace(Shelf):
    async def aclose(self) -> None: ...


class Hoarding(Shelf):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Outgoing] = []

    def send(self, message: Outgoing) -> Any:
        super().send(message)
        self.messages.append(message)


@pytest.fixture(autouse=True)
def empty_shelf():
    yield
    Shelf.taken.clear()


LAWS = {name for name, _ in checks.output(Shelf)}
OUTPUTS: list[tuple[Callable[[], Any], set[str]]] = [
    (Nowhere, {"found"}),
    (Crowded, {"found"}),
    (Awaited, {"never waits"}),
    (Picky, {"never waits", "handed on untouched", "account"}),
    (Scribbling, {"handed on untouched"}),
    (Losing, {"account"}),
    (Inventing, {"account"}),
    (ClosesOnce, {"ends"}),
    (KeepsItsPlace, LAWS - {"found"}),
    (Hoarding, {"bounded memory"}),
]


def test_a_lawful_output_passes():
    assert broken(checks.output(Shelf)) == set()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize(("make", "laws"), OUTPUTS)
def test_laws_of_outputs_bite(make: Callable[[], Any], laws: set[str]):
    assert broken(checks.output(make)) == laws


def test_every_law_of_outputs_is_shown_to_bite():
    assert set.union(*(laws for make, laws in OUTPUTS if make is not KeepsItsPlace)) == LAWS
