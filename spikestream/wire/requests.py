"""Requests: what a client asks a running server to do, and what it is answered.

    {op: "req", id, do, d}  is answered by  {op: "rep", id, ok: true, d}  or  {op: "rep", id, ok: false, code, what}

Law: what cannot be done is answered and hurts nobody; only what is no request at all ends the connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from spikestream.batch import MOST_REWARD, is_label
from spikestream.errors import ClientError
from spikestream.wire.frames import frame

MAX_OPEN = 16
"""Requests of one connection that may wait for their answers at a time."""
MOST_FOR_US = 3_600_000_000
"""A lesson reaches back an hour at most."""
DEFAULT_FOR_US = 3_000_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
TIME_LIMIT = 2**62
_USAGE = ("key", "value", "pipeline", "folder")
_REMEDIES = {
    "early": "wait for its first decisions: spikestream subscribe URL --topic decisions",
    "frozen": "run it with --learn, or learn.enabled=true in its configuration",
    "full": "teach a class that it knows",
    "folder": "set control.folder in the daemon's configuration, and name a file in it",
    "do": "use the same release of spikestream on both ends",
}


class Refusal(ClientError):
    """Why a request was not fulfilled: ``code`` for programs, ``what`` for people."""

    def __init__(self, code: str, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.code = code
        self.exit_code = 2 if code in _USAGE else 1


@dataclass(frozen=True, slots=True)
class Request:
    """A client asks for something: ``do`` is what, ``d`` all that belongs to it."""

    id: int
    do: str
    d: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frame(self) -> bytes:
        """Return the frame that asks for it."""
        return frame({"op": "req", "id": self.id, "do": self.do, "d": dict(self.d)})


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request with this ``id``: what came of it, or the code and the text of why nothing did."""

    id: int
    d: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    what: str = ""

    @property
    def ok(self) -> bool:
        """Return whether the request was fulfilled."""
        return not self.code

    @property
    def frame(self) -> bytes:
        """Return the frame that tells it."""
        head = {"op": "rep", "id": self.id, "ok": self.ok}
        return frame(head | ({"d": dict(self.d)} if self.ok else {"code": self.code, "what": self.what}))

    def value(self) -> Mapping[str, Any]:
        """Return what came of it; raises `Refusal` where nothing did."""
        if not self.ok:
            raise Refusal(self.code, self.what, _REMEDIES.get(self.code, ""))
        return self.d


Ask: TypeAlias = Callable[[Request, Callable[[Reply], None]], None]
"""Takes a request, and calls back with its answer, at once or later."""


def nobody(request: Request, answer: Callable[[Reply], None]) -> None:
    """Answer that nothing can be asked for here."""
    answer(Reply(request.id, code="do", what="this server does nothing on request"))


def is_do(text: object) -> bool:
    """Return whether this may name what is asked for."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def replied(message: Mapping[str, Any]) -> Reply:
    """Return a reply from its map; raises `ClientError` where a key is missing or wrong. Unknown keys are ignored."""
    number, ok, content = message.get("id"), message.get("ok"), message.get("d", {})
    code, what = message.get("code", ""), message.get("what", "")
    sane = type(number) is int and type(ok) is bool and type(content) is dict
    if not sane or type(code) is not str or type(what) is not str or ok is bool(code):
        raise ClientError("the server's answer to a request lacks an id, ok, d, or a code and what")
    assert type(number) is int
    return Reply(number, content if ok else {}, code, what)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What ``teach`` asks for: the windows decided within the last ``for_us`` µs of stream time showed ``label``.

    ``window`` (start, stop) µs, where it is given, is meant in place of these.
    """

    label: str
    for_us: int = DEFAULT_FOR_US
    reward: float = 0.0
    pipeline: str = "main"
    window: tuple[int, int] | None = None

    def fields(self) -> dict[str, Any]:
        """Return it as a request holds it."""
        when = {"for": self.for_us} if self.window is None else {"window": list(self.window)}
        return {"pipeline": self.pipeline, "label": self.label, **when, "reward": self.reward}

    def span(self, now: int) -> tuple[int, int]:
        """Return [start, stop) µs of what it is about, at stream time ``now``; raises `Refusal` for what is to come."""
        if self.window is None:
            return now - self.for_us, now
        if self.window[1] > now:
            raise Refusal("early", f"the window ends at {self.window[1]} µs, and the stream is at {now} µs")
        return self.window


def lesson(fields: Mapping[str, Any]) -> Lesson:
    """Return what a request asks to be taught; raises `Refusal` for what is unknown, missing or out of range."""
    _only(fields, ("pipeline", "label", "for", "window", "reward"))
    if "for" in fields and "window" in fields:
        raise Refusal("key", "a lesson has either 'for' or 'window'")
    label, for_us = fields.get("label"), fields.get("for", DEFAULT_FOR_US)
    reward, pipeline = fields.get("reward", 0.0), fields.get("pipeline", "main")
    if not is_label(label):
        raise Refusal("value", "a label is a text of 1 to 256 characters that can be printed on one line")
    if type(for_us) is not int or not 1 <= for_us <= MOST_FOR_US:
        raise Refusal("value", "a lesson is for 1 µs to 1 hour back, in whole µs")
    if type(reward) not in (int, float) or not abs(reward) <= MOST_REWARD:
        raise Refusal("value", f"a reward is a number within ±{MOST_REWARD:,.0f}")
    if type(pipeline) is not str:
        raise Refusal("value", "a pipeline is named by a text")
    window = _window(fields["window"]) if "window" in fields else None
    return Lesson(str(label), for_us, float(reward), pipeline, window)


def _window(given: Any) -> tuple[int, int]:
    if type(given) is not list or len(given) != 2 or not all(type(time) is int for time in given):
        raise Refusal("value", "a window is a list of two stream times in µs")
    start, stop = given
    if not -TIME_LIMIT <= start < stop <= TIME_LIMIT:
        raise Refusal("value", f"a window has a start before its stop, both within ±{TIME_LIMIT}")
    return start, stop


def _only(fields: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(str(key) for key in fields if key not in known):
        raise Refusal("key", f"unknown key '{unknown[0]:.80}'; known: {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Taught:
    """What came of a lesson: ``[start, stop)`` µs got its label at ``t`` µs of stream time.

    ``windows`` is how many decided windows were learned by it, None where that was not known in time.
    """

    t: int
    start: int
    stop: int
    windows: int | None

    def fields(self) -> dict[str, Any]:
        """Return it as a reply holds it."""
        return {"t": self.t, "start": self.start, "stop": self.stop, "windows": self.windows}


def taught(fields: Mapping[str, Any]) -> Taught:
    """Return what a reply says came of a lesson; raises `ClientError` where it does not say it."""
    t, start, stop, windows = (fields.get(key) for key in ("t", "start", "stop", "windows"))
    if not (type(t) is type(start) is type(stop) is int and (windows is None or type(windows) is int)):
        raise ClientError("the server's answer does not say what was taught")
    return Taught(t, start, stop, windows)
