"""Plain-Python twins of the network kernel and of the readout, written from the equations and the law at their heads.

`Lif` counts in float32 scalars, in the order of rounding that the kernel states, so that the two are equal bit for bit.
`Readout` lets time pass microsecond by microsecond, so that its law can be read off: nothing in it can see ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from spikestream.batch import Command, Decision, Label, Setting, Window
from spikestream.kernels.lif_stdp import Params

F = np.float32
Float = np.float32
LONG_AGO = -(2**62)


class Lif:
    """A network that starts at rest with these weights, one row an axon."""

    def __init__(self, params: Params, tick_us: int, weights: list[list[float]]) -> None:
        self.params = params
        self.tick_ms = tick_us / 1000
        self.weights = [[F(w) for w in row] for row in weights]
        self.axons, self.neurons = len(weights), len(weights[0])
        self.v = [F(0)] * self.neurons
        self.theta = [F(0)] * self.neurons
        self.refrac = [0] * self.neurons
        self.wins = [0] * self.neurons
        self.last = [LONG_AGO] * self.axons
        self.lesson = LONG_AGO  # the tick of the last one

    def reset(self) -> None:
        """Forget all but weights, thresholds and wins."""
        self.v = [F(0)] * self.neurons
        self.refrac = [0] * self.neurons
        self.last = [LONG_AGO] * self.axons
        self.lesson = LONG_AGO

    def tick(self, now: int, spikes: list[int], adapting: bool, plastic: bool) -> int | None:
        """Run tick ``now`` on the axons that spike in it; return the neuron that fires."""
        self.decay(adapting)
        self.deliver(now, spikes)
        self.integrate(spikes)
        free = self.clamp()
        winner = self.strongest(free)
        if winner is None:
            return None
        self.inhibit()
        self.fire(winner)
        if now - self.lesson >= round(self.params.lesson_ms / self.tick_ms) and (adapting or plastic):
            self.lesson = now
            if adapting:
                self.adapt(winner)
            if plastic:
                self.learn(now, winner)
        return winner

    def rest(self, ticks: int, adapting: bool) -> None:
        """Let silence pass at once: the clamp holds a neuron at reset first, what is left of the time it decays."""
        for j in range(self.neurons):
            held = min(self.refrac[j], ticks)
            if held > 0:
                self.v[j] = F(self.params.v_reset)
            self.v[j] = self.v[j] * self.fading(ticks - held, self.params.tau_m_ms)
            if adapting:
                self.theta[j] = self.theta[j] * self.fading(ticks, self.params.tau_theta_ms)
            self.refrac[j] = self.refrac[j] - held

    def fading(self, ticks: int, tau_ms: float) -> Float:
        return F(math.exp(-ticks * self.tick_ms / tau_ms))

    def decay(self, adapting: bool) -> None:
        for j in range(self.neurons):
            self.v[j] = self.v[j] * self.fading(1, self.params.tau_m_ms)
            if adapting:
                self.theta[j] = self.theta[j] * self.fading(1, self.params.tau_theta_ms)

    def deliver(self, now: int, spikes: list[int]) -> None:
        for i in spikes:
            self.last[i] = now

    def integrate(self, spikes: list[int]) -> None:
        for i in spikes:
            for j in range(self.neurons):
                self.v[j] = self.v[j] + self.weights[i][j]

    def clamp(self) -> list[int]:
        free = []
        for j in range(self.neurons):
            if self.refrac[j] == 0:
                free.append(j)
            else:
                self.refrac[j] = self.refrac[j] - 1
                self.v[j] = F(self.params.v_reset)
        return free

    def strongest(self, free: list[int]) -> int | None:
        winner, most = None, F(0)
        for j in free:
            above = (self.v[j] - F(self.params.v_thresh)) - self.theta[j]
            if above > most:
                winner, most = j, above
        return winner

    def inhibit(self) -> None:
        for j in range(self.neurons):
            self.v[j] = self.v[j] - F(self.params.inhibition)
            if self.v[j] < -F(self.params.v_floor):
                self.v[j] = -F(self.params.v_floor)

    def fire(self, winner: int) -> None:
        self.v[winner] = F(self.params.v_reset)
        self.refrac[winner] = round(self.params.tau_refrac_ms / self.tick_ms)

    def adapt(self, winner: int) -> None:
        rise = F(self.params.theta_plus)
        if self.params.theta_half > 0:
            rise = rise / (F(1) + F(self.wins[winner]) / F(self.params.theta_half))
        self.theta[winner] = self.theta[winner] + rise
        if self.params.theta_shared > 0:
            for j in range(self.neurons):
                self.theta[j] = self.theta[j] - F(self.params.theta_shared) * rise / F(self.neurons)

    def trace(self, now: int, axon: int) -> Float:
        age = now - self.last[axon]
        if age >= max(1, round(14 * self.params.tau_plus_ms / self.tick_ms)):
            return F(0)
        return F(math.exp(-age * (self.tick_ms / self.params.tau_plus_ms)))

    def rate(self, winner: int) -> Float:
        start, end = F(self.params.rate_start), F(self.params.rate_end)
        return end + (start - end) / (F(1) + F(self.wins[winner]) / F(self.params.wins_half))

    def learn(self, now: int, winner: int) -> None:
        rate = self.rate(winner)
        self.wins[winner] = self.wins[winner] + 1
        square = F(0)
        for i in range(self.axons):
            w = self.weights[i][winner]
            if w > F(self.params.w_max):
                w = F(self.params.w_max)
            w = w + rate * (self.trace(now, i) - w)
            self.weights[i][winner] = w
            square = square + w * w
        length = np.sqrt(square)
        if length < F(0.001):
            length = F(0.001)
        scale = F(self.params.w_norm) / length
        for i in range(self.axons):
            self.weights[i][winner] = self.weights[i][winner] * scale


@dataclass
class Readout:
    """A readout; ``window_us`` None where windows are marked. Call `moment`, then `microsecond`, for every µs."""

    neurons: int
    window_us: int | None
    memory: float
    kept: int
    learning: bool = True
    unmatched: int = 0
    decisions: list[Decision] = field(default_factory=list)
    votes: dict[str, list[float]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    marks: list[Window] = field(default_factory=list)
    past: list[tuple[Window, list[int]]] = field(default_factory=list)
    waiting: list[Command] = field(default_factory=list)
    heard: bool = False  # anything of the window under way, silence included
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = [0] * self.neurons
        self.begin: int | None = None

    def moment(self, now: int, arriving: list[Command]) -> None:
        """Between two microseconds: decide the window that has ended, then take what arrives."""
        ended = [mark for mark in self.marks if mark.stop == now]
        if self.window_us is not None and now % self.window_us == 0:
            ended = [Window(now - self.window_us, now)]
        for window in ended:
            self.end(window)
        self.marks = [mark for mark in self.marks if mark.stop > now]
        self.apply(now)
        if self.begin is None:  # what is told before the stream begins waits for the window it begins in
            self.begin, arriving = now, sorted(arriving, key=lambda command: not isinstance(command, Window))
        for command in arriving:
            self.take(now, command)

    def microsecond(self, now: int, spikes: list[int]) -> None:
        """Hear one microsecond; in a gap it is not called."""
        if self.window(now) is not None:
            self.heard = True
            for j in spikes:
                self.counts[j] += 1

    def window(self, now: int) -> Window | None:
        if self.window_us is not None:
            start = now - now % self.window_us
            return Window(start, start + self.window_us)
        covering = [mark for mark in self.marks if mark.start <= now < mark.stop]
        return covering[0] if covering else None

    def end(self, window: Window) -> None:
        if self.heard:
            self.decide(window)
            self.past = [*self.past, (window, self.counts)][-self.kept :]
        self.heard, self.counts = False, [0] * self.neurons

    def take(self, now: int, command: Command) -> None:
        if not isinstance(command, Window):
            self.waiting.append(command)
            self.apply(now)
        elif self.window_us is None and now < command.stop > command.start:
            self.mark(command)

    def mark(self, mark: Window) -> None:
        if all(other.stop <= mark.start for other in self.marks):
            self.marks.append(mark)
        elif self.marks[-1].start < mark.start:  # it begins inside the last one, and continues it
            self.marks[-1] = Window(self.marks[-1].start, mark.stop)

    def apply(self, now: int) -> None:
        window = self.window(now)
        if window is not None and window.start < now:
            return  # an answer is frozen before its label is used
        due = [command for command in self.waiting if command.t <= now]
        self.waiting = [command for command in self.waiting if command.t > now]
        for command in sorted(due, key=lambda command: command.t):
            if isinstance(command, Setting):
                self.learning = bool(command.value)
            elif isinstance(command, Label) and self.learning:
                self.learn(command)

    def learn(self, label: Label) -> None:
        covered = [counts for window, counts in self.past if label.start <= window.start and window.stop <= label.stop]
        if not covered:
            self.unmatched += 1
        for counts in covered:
            votes = self.votes.setdefault(label.label, [0.0] * self.neurons)
            self.seen[label.label] = self.seen.get(label.label, 0) + 1
            weight = max(1 / self.seen[label.label], self.memory)
            for j in range(self.neurons):
                votes[j] = votes[j] + (counts[j] - votes[j]) * weight

    def decide(self, window: Window) -> None:
        scores = {}
        for name, votes in self.votes.items():
            score = 0.0
            for j in range(self.neurons):
                everyone = 0.0
                for others in self.votes.values():
                    everyone += others[j]
                if everyone > 0:
                    score += votes[j] / everyone * self.counts[j]
            scores[name] = score
        total, best = 0.0, None
        for name, score in scores.items():
            total += score
            if best is None or score > scores[best]:
                best = name
        evidence = float(sum(self.counts))
        if best is None or total <= 0:
            made = Decision(window.start, window.stop, None, 0.0, (), evidence)
        else:
            made = Decision(window.start, window.stop, best, scores[best] / total, tuple(scores.items()), evidence)
        self.decisions.append(made)
