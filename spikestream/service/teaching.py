"""Teaching while it runs: a lesson becomes a label at the stream time of now, and the teacher is told what it did.

Law: a lesson names what was decided already, so it comes as a command like any other: recorded with ``--record``, it is
in force from its own time on, and a replay of the record learns the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from spikestream.batch import Label
from spikestream.service.engine import Engine
from spikestream.wire import Lesson, Refusal, Taught, lesson

PATIENCE_S = 2.0
"""A label counts once the window under way is decided; who teaches is told after so long that it has not yet."""
MOST_WAITING = 1_024
"""Labels that may wait for the sensor to go on."""
MOST_CLASSES = 1_000
"""A teacher may name so many classes: each goes out with every decision."""


class Teacher:
    """Fulfils requests to ``teach`` the readout of an engine's pipeline; call it on the loop."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        readout: Any = engine.pipeline.stages["readout"]
        readout.on_label = self._came
        self._readout = readout
        self._waiting: list[tuple[Label, asyncio.Future[int | None]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Teach what a request asks for, and return what came of it; raises `Refusal` where it cannot be."""
        wanted = lesson(fields)
        self._check(wanted)
        now = self.engine.progress.stop
        start, stop = wanted.span(now)
        self._loop = asyncio.get_running_loop()
        label = Label(now, start, stop, wanted.label, wanted.reward)
        learned: asyncio.Future[int | None] = self._loop.create_future()
        self._waiting.append((label, learned))
        self.engine.command(label)
        done, _ = await asyncio.wait([learned], timeout=PATIENCE_S)
        windows = learned.result() if done else None
        if done and windows is None:
            raise _frozen()
        return Taught(now, start, stop, windows).fields()

    def _check(self, wanted: Lesson) -> None:
        name, known = self.engine.name, getattr(self._readout, "names", ())
        if wanted.pipeline != name:
            raise Refusal("pipeline", f"there is no pipeline '{wanted.pipeline:.80}', only '{name}'")
        if self.engine.progress.start is None:
            raise Refusal("early", "nothing has been heard yet: there is nothing to be taught")
        if not self._readout.learning:
            raise _frozen()
        if known and wanted.label not in known:
            raise Refusal("value", f"it was made for these classes only: {', '.join(known)}")
        if wanted.label not in self._readout.labels and len(self._readout.labels) >= MOST_CLASSES:
            raise Refusal("full", f"it knows {MOST_CLASSES:,} classes, and there is no room for another")
        if len(self._waiting) >= MOST_WAITING:
            raise Refusal("busy", "the sensor is silent, and too many lessons wait for it")

    def _came(self, label: Label, windows: int | None) -> None:
        """Hear in the worker thread that a label is in force: by how many windows it was learned, None if frozen."""
        if self._waiting and self._loop is not None:
            self._loop.call_soon_threadsafe(self._learned, label, windows)

    def _learned(self, label: Label, windows: int | None) -> None:
        for place, (asked, learned) in enumerate(self._waiting):
            if (asked.start, asked.stop, asked.label) == (label.start, label.stop, label.label):
                del self._waiting[place]
                if not learned.done():
                    learned.set_result(windows)
                return


def _frozen() -> Refusal:
    return Refusal("frozen", "learning is off: learn.enabled is false, or held-out windows run")
