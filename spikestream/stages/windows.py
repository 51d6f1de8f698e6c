"""What stages share that decide windows of stream time: marks, the window under way, commands that wait for its end.

Law: nothing a command changes takes effect while a window is under way, so each is decided as it began. A label names
spikes that are there already: it counts once the window under way is decided, so from its own time on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from spikestream.batch import Array, Batch, Command, Decision, Decisions, Label, Setting, Spikes, Window
from spikestream.errors import ConfigError
from spikestream.stages.base import Account, State

WINDOWS = ("grid", "marked", "voice")
LONG_AGO = -(2**63)
ENABLED = "learn.enabled"


class Windowed(ABC):
    """A stage that decides windows; called with `Spikes`, returns `Decisions`. What is heard and learned is its heirs'.

    ``windows`` "grid" cuts stream time every ``window_us`` µs, "marked" decides the windows its `Window` commands mark,
    and so does "voice", which tells who marks them. A mark that begins inside the last one continues it to its own end.
    Raises `ConfigError`.
    """

    def __init__(self, windows: str, window_us: int) -> None:
        if windows not in WINDOWS:
            raise ConfigError(f"unknown windows '{windows}'", key="windows", value=windows, allowed=", ".join(WINDOWS))
        self.window_us, self.windows = window_us, windows
        self.learning = True
        self.account = Account(conserves=False)
        self.unmatched = 0  # labels that covered no window kept
        self.on_label: Callable[[Label, int | None], None] | None = None
        """Told of each label that is due: by how many windows it was learned, None where nothing is learned."""
        self._now = LONG_AGO
        self._heard = LONG_AGO  # the end of the last batch: where a gap began
        self._marks: deque[Window] = deque()
        self._waiting: list[Label | Setting] = []

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Return the names of the classes taught so far, in that order."""

    @abstractmethod
    def _check(self, batch: Batch) -> Spikes:
        """Return the batch if it is one this stage can hear, else raise `SpikestreamError`."""

    @abstractmethod
    def _hear(self, batch: Spikes, start: int, stop: int, window: Window | None) -> Sequence[Decision]:
        """Hear ``[start, stop)`` of the batch, in ``window`` or between windows; return what can be said already."""

    @abstractmethod
    def _close(self, window: Window) -> Decision:
        """Decide a window that has ended."""

    @abstractmethod
    def _learn(self, label: Label) -> int:
        """Learn a label that is due; return from how many windows."""

    @abstractmethod
    def _miss(self, start: int, stop: int, window: Window | None) -> None:
        """Let the gap ``[start, stop)`` pass, in ``window`` or between windows."""

    def _set(self, setting: Setting) -> None:
        """Change a setting that is due."""
        self.learning = bool(setting.value)

    def __call__(self, batch: Batch) -> Decisions:
        """Hear the batch and return the decisions of the windows that end by ``batch.stop``."""
        spikes = self._check(batch)
        if self._heard == LONG_AGO:  # nobody heard what was marked before the stream began
            self._marks = deque(mark for mark in self._marks if mark.stop > batch.start)
        self._now = batch.start
        rows: list[Decision] = []
        self._apply_due()
        while self._now < batch.stop:
            window = self._window()
            until = self._until(window, batch.stop)
            inside = window if window is not None and window.start <= self._now else None
            rows += self._hear(spikes, self._now, until, inside)
            self._now = until
            if inside is not None and until == inside.stop:
                rows.append(self._end(inside))
            self._apply_due()
        self._heard = self._now
        self.account.given += len(rows)
        return Decisions(batch.start, batch.stop, tuple(rows))

    def skip(self, start: int, stop: int) -> Decisions:
        """Decide the window under way if it ends in the gap ``[start, stop)``, but none that begins after ``start``.

        What the stage before still had to say of a tick under way came as a batch, before ``start``.
        """
        self._now = start
        window = self._window()
        under_way = window if window is not None and window.start < self._heard else None
        rows = []
        if under_way is not None and under_way.stop <= stop:
            self._miss(start, under_way.stop, under_way)
            rows.append(self._end(under_way))
            self._miss(under_way.stop, stop, None)
        else:
            self._miss(start, stop, under_way)
        self._marks = deque(mark for mark in self._marks if mark.stop > stop)
        self._now = stop
        window = self._window()
        if window is not None:  # what is due when it begins, in the gap or at its end, is in force in it
            self._now = max(start, min(window.start, stop))
        self._apply_due()
        self._now = stop
        self.account.given += len(rows)
        return Decisions(start, stop, tuple(rows))

    def command(self, command: Command) -> None:
        """Take a label, a mark, or a setting it knows."""
        if isinstance(command, Window):
            if self.windows != "grid" and max(command.start, self._now) < command.stop:
                self._mark(command)
        elif isinstance(command, Label) or self._knows(command):
            self._waiting.append(command)
            self._apply_due()

    def _knows(self, setting: Setting) -> bool:
        return setting.key == ENABLED

    def _window(self) -> Window | None:
        """Return the window under way at `_now`, else the next one, None where no mark is left."""
        if self.windows != "grid":
            return self._marks[0] if self._marks else None
        start = self._now // self.window_us * self.window_us
        return Window(start, start + self.window_us)

    def _until(self, window: Window | None, stop: int) -> int:
        """Return up to where nothing changes from now on: a window's edge, a command that is due, or ``stop``."""
        if window is not None and window.start <= self._now:
            return min(window.stop, stop)
        dues = [command.t for command in self._waiting]
        return min([stop, *dues] if window is None else [stop, window.start, *dues])

    def _mark(self, mark: Window) -> None:
        last = self._marks[-1] if self._marks else None
        if last is None or mark.start >= last.stop:
            self._marks.append(mark)
        elif mark.start > last.start:
            self._marks[-1] = replace(last, stop=mark.stop)

    def _end(self, window: Window) -> Decision:
        decision = self._close(window)
        if self._marks:
            self._marks.popleft()
        return decision

    def _apply_due(self) -> None:
        if not self._waiting:
            return
        window = self._window()
        if window is not None and window.start < self._now:
            return
        due = [command for command in self._waiting if command.t <= self._now]
        self._waiting = [command for command in self._waiting if command.t > self._now]
        for command in sorted(due, key=lambda command: command.t):
            if isinstance(command, Setting):
                self._set(command)
                continue
            windows = self._learn(command) if self.learning else None
            if self.on_label is not None:
                self.on_label(command, windows)

    def _state(self) -> State:
        """Return the time, the marks, and what waits for the window under way to end."""
        settings = [(c.t, int(bool(c.value))) for c in self._waiting if isinstance(c, Setting)]
        labels = [c for c in self._waiting if isinstance(c, Label)]
        order = [isinstance(c, Label) for c in self._waiting]
        return {
            "now": np.array(self._now, np.int64),
            "learning": np.array(self.learning),
            "marks": np.array([(m.start, m.stop) for m in self._marks], np.int64).reshape(-1, 2),
            "waiting_is_label": np.array(order, np.bool_),
            "waiting_settings": np.array(settings, np.int64).reshape(-1, 2),
            "waiting_times": np.array([(c.t, c.start, c.stop) for c in labels], np.int64).reshape(-1, 3),
            "waiting_labels": np.array([c.label for c in labels], np.str_),
        }

    def _restore(self, taken: Mapping[str, Array]) -> None:
        """Take over what `_state` returned, in which `waiting_agrees`."""
        self._now, self.learning = int(taken["now"]), bool(taken["learning"])
        self._heard = self._now
        self._marks = deque(Window(int(start), int(stop)) for start, stop in taken["marks"])
        settings = iter([Setting(int(t), ENABLED, bool(on)) for t, on in taken["waiting_settings"]])
        rows = zip(taken["waiting_times"], taken["waiting_labels"], strict=True)
        labels = iter([Label(int(t), int(start), int(stop), str(name)) for (t, start, stop), name in rows])
        self._waiting = [next(labels) if is_label else next(settings) for is_label in taken["waiting_is_label"]]


def asked(window: Window, start: int, stop: int, every_us: int) -> range:
    """Return the times in ``(start, stop]``, every so many µs of a window and before its end, 0 for none."""
    if not every_us:
        return range(0)
    first = start + every_us - (start - window.start) % every_us
    return range(first, min(stop, window.stop - 1) + 1, every_us)


def waiting_agrees(taken: Mapping[str, Array]) -> bool:
    """Return whether the parts of a saved state that tell of waiting commands tell of as many."""
    labels = int(taken["waiting_is_label"].sum())
    return labels == len(taken["waiting_labels"]) == len(taken["waiting_times"]) and len(
        taken["waiting_is_label"]
    ) == labels + len(taken["waiting_settings"])
