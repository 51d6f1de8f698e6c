"""The classifier stage: hidden spiking neurons and a readout that labels teach while the stream runs, by e-prop.

Laws: the decision for a window is made with weights unchanged since it began; a label, then or later, has the spikes of
the windows it covers run once more, and takes one step by each (`spikestream.stages.windows`, and for what the network
does in a tick `spikestream.kernels.eprop`).
Tick k covers ``[k tick_us, (k+1) tick_us)`` on an absolute grid and belongs to a window if it lies inside as a whole.
What of a window lies in ticks that cross its edges is heard between windows, or, with ``reset``, not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array, Batch, Decision, Label, Setting, Spikes, Window, concat, first_at, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.stages.base import State
from spikestream.stages.classify.circuit import circuit_of, readout_learned, readout_of
from spikestream.stages.classify.engine import LEARNED, Engine, room_of
from spikestream.stages.classify.few import weighed
from spikestream.stages.classify.open import Notes
from spikestream.stages.classify.options import (
    MOST_CLASSES,
    MOST_REPLAYS,
    NEW,
    RATES,
    check_setting,
    check_wholes,
    typed,
)
from spikestream.stages.classify.samples import Sample
from spikestream.stages.classify.saved import restore, state
from spikestream.stages.classify.store import Store
from spikestream.stages.windows import ENABLED, Windowed, asked

if TYPE_CHECKING:
    from spikestream.batch import Command
    from spikestream.model.circuit import Circuit

NO_TICK = -(2**62)
RULES = ("eprop",)


class Classifier(Windowed):
    """``hidden`` neurons on ``axons`` that tell classes apart; called with `Spikes`, returns `Decisions`.

    ``hidden`` may be the sizes of several layers, the one that hears the axons first.
    ``classes`` is for how many there is room to begin with, more are added as they are taught; or their names, and no
    other is learned. ``windows`` and ``window_us`` are those of `spikestream.stages.windows.Windowed`; ``kept`` decided
    windows may still be labelled. With ``reset`` each window finds the network at rest. ``anytime_us`` > 0 asks for a
    decision so often inside a window. Below ``evidence_min`` spikes in or ``confidence_min`` a decision has no label.
    ``store`` labelled samples are kept, and ``replays`` of them learned with each new one, every second of them one of
    the ``recent`` latest of its class, 0 for none. Which classes are taught less than others, and less than ``few``
    times, counts in decisions (`weighed`). ``options`` are those of `spikestream.kernels.eprop.Params`. Raises
    `ConfigError`.
    """

    LEARNED = (
        "labels",
        "seen",
        *LEARNED,
        "store_drawn",
        "store_class",
        "store_learned",
        "store_ticks",
        "store_spikes",
        "store_tick",
        "store_axon",
    )

    def __init__(
        self,
        axons: int,
        classes: int | Sequence[str] = 10,
        *,
        hidden: int | Sequence[int] = 200,
        rule: str = "eprop",
        tick_us: int = 1000,
        window_us: int = 100_000,
        windows: str = "grid",
        kept: int = 64,
        reset: bool = False,
        anytime_us: int = 0,
        evidence_min: float = 1.0,
        confidence_min: float = 0.0,
        store: int = 1_000,
        recent: int = 0,
        replays: int = 1,
        few: int = 500,
        most_spikes: int = 10_000,
        seed: int = 0,
        learning: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(windows, window_us)
        room, names = room_of(classes)
        check_wholes(axons=axons, tick_us=tick_us, window_us=window_us, kept=kept, anytime_us=anytime_us)
        check_wholes(store=store, recent=recent, replays=replays, few=few, most_spikes=most_spikes)
        if rule not in RULES:
            raise ConfigError(f"unknown rule '{rule}'", key="rule", value=rule, allowed=", ".join(RULES))
        self.axons, self.tick_us, self.kept, self.reset = int(axons), int(tick_us), int(kept), bool(reset)
        self.names, self.anytime_us, self.most_spikes = names, int(anytime_us), int(most_spikes)
        self.learning = learning
        self.crowded = 0  # labels of a class there is no room for
        self.spikes = 0  # of hidden neurons
        self._engine = Engine(self.axons, room, {**options, "hidden": hidden, "seed": seed}, self.tick_us)
        self._store = Store(int(store), int(seed), self.axons, int(recent))
        given = {"evidence_min": evidence_min, "confidence_min": confidence_min, "replays": replays, "few": few}
        self.check(*(Setting(0, f"classifier.{key}", one) for key, one in given.items()))
        self._options = {key: typed(key, one) for key, one in given.items()}
        self._labels: list[str] = []
        self._seen: list[int] = []  # samples learned of each
        self._notes = Notes(self.axons, (self._engine.most_ticks, self.most_spikes))
        self._first = NO_TICK  # of the window under way; none between windows
        self._begun = False  # whether that tick has been reached
        self._next = NO_TICK  # the tick that runs next; none before the first batch
        self._held = no_spikes(0, 0)  # input of that tick that has come already
        self._past: list[tuple[Window, Sample]] = []
        self.layers = self._engine.params.layers
        self.hidden = sum(self.layers)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the classes taught so far, in that order."""
        return tuple(self._labels)

    @property
    def weights(self) -> Mapping[str, Array]:
        """Return copies of w (axons, first layer), r (`spikestream.kernels.eprop.reach`), v (K, hidden, classes), b."""
        own = self._engine.weights
        return {name: getattr(own, name).copy() for name in ("w", "r", "v", "b")}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the keys of the settings that may be changed while it runs, with their values now."""
        own = {**{key: getattr(self._engine.params, key) for key in RATES}, **self._options}
        return {ENABLED: self.learning, **{f"classifier.{key}": value for key, value in own.items()}}

    def translated(self, learned: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return what another classifier has learned as this one can take it over, `readout_learned`."""
        return readout_learned(self, learned)

    def memory_bytes(self) -> int:
        """Return how many bytes weights, the windows kept and the samples stored take now."""
        held = [*self._engine.weights, *self._engine.memory]
        return sum(array.nbytes for array in held) + sum(one.nbytes for _, one in self._past) + self._store.nbytes

    def prepare(self) -> None:
        """Load, or on a new machine compile, the kernels, without running a tick."""
        tiny = Engine(1, 1, {"hidden": 1}, self.tick_us)
        tiny.live = 1
        tiny.run(0, 1, np.zeros(0, np.int64), np.zeros(0, np.int32), 0)
        tiny.shares(1)
        tiny.learn(Sample(1, np.zeros(0, np.int32), np.zeros(0, np.int32)), 0)

    def check(self, *settings: Setting) -> None:
        """Raise `ConfigError` unless these settings, each of `settings`, can take their values."""
        for setting in settings:
            check_setting(setting)

    def command(self, command: Command) -> None:
        """Take a label, a mark or a setting; raises `ConfigError` for a setting of the classifier that cannot be."""
        if isinstance(command, Setting):
            self.check(command)
        super().command(command)

    def circuit(self) -> Circuit:
        """Return the hidden neurons as they are now as a circuit (docs/compile.md); raises `ModelError`."""
        return circuit_of(self._engine)

    def readout(self) -> Classifier:
        """Return a classifier that hears the spikes of the hidden neurons, and knows what this one does.

        It has no hidden neurons of its own: what runs them, a chip say, comes before it. It begins at rest.
        """
        return readout_of(self)

    def state(self) -> State:
        """Return copies of weights, memory, kept windows, stored samples and what waits for the window to end."""
        return state(self)

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit."""
        restore(self, state)

    def _check(self, batch: Batch) -> Spikes:
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"the classifier takes spikes, not {type(batch).__name__}")
        if len(batch) and not 0 <= batch.axon.min() <= batch.axon.max() < self.axons:
            raise ModelError(f"axons {batch.axon.min()}..{batch.axon.max()} do not fit a classifier of {self.axons}")
        if self._next == NO_TICK:
            self._next = batch.start // self.tick_us
        # As the kernel was compiled for: other types, strides or a read-only buffer would compile it once more.
        t, axon = np.require(batch.t, np.int64, ("C", "W")), np.require(batch.axon, np.int32, ("C", "W"))
        return Spikes(batch.start, batch.stop, t, axon)

    def _knows(self, setting: Setting) -> bool:
        return setting.key in self.settings

    def _set(self, setting: Setting) -> None:
        name = setting.key.partition(".")[2]
        if setting.key == ENABLED:
            self.learning = bool(setting.value)
        elif name in RATES:
            self._engine.set(**{name: float(setting.value)})
        else:
            self._options[name] = typed(name, setting.value)

    def _hear(self, batch: Spikes, start: int, stop: int, window: Window | None) -> list[Decision]:
        if window is None:
            self._take(batch, start, stop)
            return []
        if self._first == NO_TICK:
            self._open(start)
        rows = []
        for until in asked(window, start, stop, self.anytime_us):
            self._take(batch, start, until)
            start = until
            rows.append(self._decide(window.start, until))
        self._take(batch, start, stop)
        return rows

    def _open(self, start: int) -> None:
        """Begin a window that is heard from ``start`` on."""
        self._first = -(-start // self.tick_us)
        self._begun = False
        if self.reset:
            self._next = self._first
            self._engine.rest()
        self._notes.begin(None)
        self._engine.begin()

    def _take(self, batch: Spikes, start: int, stop: int) -> None:
        """Hear the spikes in ``[start, stop)``, and run all ticks that end by ``stop``."""
        low, high = first_at(batch.t, start), first_at(batch.t, stop)
        deaf = self.reset and (self._first == NO_TICK or start < self._first * self.tick_us)
        if deaf:
            heard_from = high if self._first == NO_TICK else first_at(batch.t, self._first * self.tick_us)
            heard_from = min(max(heard_from, low), high)
            self.account.taken += heard_from - low
            low = heard_from
        if high > low:
            t, axon = batch.t[low:high], batch.axon[low:high]
            held = self._held
            self._held = concat([held, Spikes(start, stop, t, axon)]) if len(held) else Spikes(start, stop, t, axon)
        if self.reset and self._first == NO_TICK:
            self._next = stop // self.tick_us
        self._advance(stop // self.tick_us)
        self._held = Spikes(0, 0, self._held.t.copy(), self._held.axon.copy())  # the batch is not ours
        self.account.held = len(self._held)

    def _advance(self, last: int) -> None:
        """Run ticks up to ``last`` (not included), before the window under way and in it."""
        if self._first == NO_TICK:
            self._run(last, -1)
            return
        if not self._begun:
            self._run(min(last, self._first), -1)
            if last <= self._next:
                return
            self._begun = True
            self._engine.listen()
            self._notes.begin(None if self.reset else self._engine.snapshot())
        self._run(last, self._notes.age)

    def _run(self, last: int, age: int) -> None:
        """Run ticks up to ``last`` (not included); ``age`` ticks of their window have run, -1 outside of windows."""
        if last <= self._next:
            return
        held, first = self._held, self._next
        due = first_at(held.t, last * self.tick_us)
        t, axon = held.t[:due], held.axon[:due]
        heard, spikes = self._engine.run(first, last, t, axon, age)
        self.account.taken += heard  # as the kernel counted them, not as they were handed to it
        self.spikes += spikes
        if age >= 0:
            self._notes.add(t // self.tick_us - first + age, axon, last - first)
        self._held = Spikes(0, 0, held.t[due:], held.axon[due:])
        self._next = last

    def _miss(self, start: int, stop: int, window: Window | None) -> None:
        """Let a gap pass: the tick under way is finished, then all decays; the window is a gap shorter for it."""
        last = stop // self.tick_us
        if self._next == NO_TICK or (self.reset and self._first == NO_TICK):
            self._next = last
            return
        if self._next * self.tick_us < self._heard:  # a part of it was heard
            self._advance(min(last, self._next + 1))
        if last > self._next:
            if self._first != NO_TICK and not self._begun:  # its first tick is one of those that are missing
                self._first = last
            self._engine.decay(last - self._next)
            self._next = last
        self.account.held = len(self._held)

    def _close(self, window: Window) -> Decision:
        decision = self._decide(window.start, window.stop)
        if not self._begun:
            self._notes.begin(None)
        self._past = [*self._past, (window, self._notes.sample())][-self.kept :]
        self._first, self._begun = NO_TICK, False
        self._notes.begin(None)
        if self.reset:
            self.account.taken += len(self._held)
            self._held, self.account.held = no_spikes(0, 0), 0
        return decision

    def _decide(self, start: int, stop: int) -> Decision:
        heard = float(self._notes.heard)
        shares = weighed(self._engine.shares(self._notes.age), self._seen, int(self._options["few"]))
        if not len(shares):
            return Decision(start, stop, None, 0.0, (), heard)
        best = int(shares.argmax())
        confidence = float(shares[best])
        known = heard >= self._options["evidence_min"] and confidence >= self._options["confidence_min"]
        named = tuple(zip(self._labels, (float(share) for share in shares), strict=True))
        return Decision(start, stop, self._labels[best] if known else None, confidence, named, heard)

    def _learn(self, label: Label) -> int:
        if not label.label:  # a reward
            return 0
        covered = [one for window, one in self._past if label.start <= window.start and window.stop <= label.stop]
        self.unmatched += not covered
        if not covered or (number := self._number(label.label)) is None:
            return 0
        for sample in covered:
            self._seen[number] += 1
            self._step(sample, number)
            for _ in range(self._replays(number)):
                if (drawn := self._store.draw()) is not None:
                    self._step(drawn[1], drawn[0])
            self._store.offer(number, sample, self._seen[number])
        return len(covered)

    def _replays(self, number: int) -> int:
        """Return how many samples are replayed beside a new one: of a new class, one of every other class."""
        asked = int(self._options["replays"])
        new = self._seen[number] * NEW < max(self._seen)
        return max(asked, min(len(self._labels) - 1, MOST_REPLAYS)) if asked and new else asked

    def _step(self, sample: Sample, number: int) -> None:
        self._engine.learn(sample, number)
        self._store.learned(number)

    def _number(self, name: str) -> int | None:
        """Return the number of a class, which is new or has been taught; None where there is no room for it."""
        if name in self._labels:
            return self._labels.index(name)
        if len(self._labels) >= MOST_CLASSES or (self.names and name not in self.names):
            self.crowded += 1
            return None
        if len(self._labels) == self._engine.places:
            self._engine.grow(min(2 * self._engine.places, MOST_CLASSES))
        self._labels.append(name)
        self._seen.append(0)
        self._engine.live = len(self._labels)
        return len(self._labels) - 1
