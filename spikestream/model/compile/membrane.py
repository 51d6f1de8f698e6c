"""What a cell's membrane becomes on a neuron that leaks by a whole number a tick, and what that misses.

decay 1    the drift, and the bias with it, is the leak: nothing is missed but rounding
decay 0    no memory: threshold 1, floor 0, reset 0, and a leak of 1 less than the threshold, so that V is 0 after
           every tick whatever came; exact
between    V is counted from where the cell rests, and a constant leak pulls it there: by what the cell loses at
           ``leak_at`` of the way from rest to its threshold
beyond     a cell that rests at its threshold or above fires by itself: a constant leak up, as fast as the cell
           rises half way between its reset and its threshold
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spikestream.errors import ModelError
from spikestream.model.circuit import Cells
from spikestream.model.compile.net import Array

LOADS = "target 'loihi' has currents, exponential decay and refractory times"


@dataclass(frozen=True, slots=True, eq=False)
class Membrane:
    """A cell in its own units, V counted from ``rest``; arrays (size,)."""

    gain: Array  # what a weight moves V by
    leak: Array  # a step
    reversal: Array  # bool, the leak goes with the sign of V
    forgets: Array  # bool, no memory
    threshold: Array
    at_threshold: bool
    floor: Array  # 0 or below, -inf for none
    reset: Array
    subtract: bool
    start: Array  # V before the first step
    approximate: tuple[str, ...] = ()
    mismatch: dict[str, float] = field(default_factory=dict)


def membrane(cells: Cells, leak_at: float) -> Membrane:
    """Return the membrane of cells that are not to be refused."""
    told: list[str] = []
    gain = cells.gain * (1.0 if cells.current_gain is None else cells.current_gain)
    push = gain * cells.bias + cells.drift
    forgets = cells.decay == 0
    leaks = ~forgets & (cells.decay != 1)
    rest = np.where(leaks, push / np.where(cells.decay == 1, 1, 1 - cells.decay), 0.0)
    tonic = leaks & (cells.threshold - rest <= 1e-6 * np.abs(cells.threshold - cells.reset_to))
    rest = np.where(tonic, np.minimum(0.0, cells.reset_to), rest)
    rest = np.where(~leaks, _free(cells), rest)
    threshold, reset, floor = cells.threshold - rest, cells.reset_to - rest, cells.floor - rest
    lost = (1 - cells.decay) * leak_at * threshold
    middle = (cells.threshold + cells.reset_to) / 2
    leak = np.where(tonic, push - (1 - cells.decay) * middle, np.where(leaks, -lost, push))
    if np.any(floor > 0):
        told.append("a floor above rest is held at rest")
    _warn(cells, leaks, told)
    subtract = cells.reset == "subtract"
    if subtract and np.any(reset[~forgets] != 0):
        told.append("a reset that subtracts takes the whole threshold away, not the way to reset_to")
    return Membrane(
        gain=gain,
        leak=leak,
        reversal=leaks & ~tonic & (floor < 0),
        forgets=forgets,
        threshold=threshold,
        at_threshold=cells.at_threshold,
        floor=np.minimum(floor, 0),
        reset=reset,
        subtract=subtract,
        start=np.where(forgets, 0.0, -rest),
        approximate=tuple(told),
        mismatch=_mismatch(cells, leaks & ~tonic, leak_at),
    )


def _free(cells: Cells) -> Array:
    """Return where V is best counted from where nothing decays: a spike's reset, a floor, a threshold are to fit."""
    start = cells.reset_to if cells.reset == "subtract" else np.zeros(cells.size)
    floor = np.where(np.isfinite(cells.floor), cells.floor, start)
    return np.asarray(np.minimum(np.maximum(start, floor), cells.threshold))


def refuse(cells: Cells) -> None:
    """Raise `ModelError` for cells that a crossbar neuron has nothing alike to."""
    name = f"cells '{cells.name}'"
    if not cells.spiking:
        remedy = "let a population that spikes be the output, or fold these into the weights behind them"
        raise ModelError(f"{name} give potentials, and a chip's neurons spike", remedy=remedy)
    if cells.has_current and np.any(cells.current_decay != 0):
        text = f"{name} take their input through a current that decays, and a crossbar neuron has none"
        raise ModelError(text, remedy=LOADS)
    if np.any((cells.decay < 0) | (cells.decay > 1)):
        raise ModelError(
            f"{name} do not decay: their decay is {cells.decay.min():g} .. {cells.decay.max():g}", remedy="0 to 1"
        )
    for what in ("gain", "drift", "bias", "reset_to"):
        if not np.isfinite(getattr(cells, what)).all():
            raise ModelError(f"{name} have an infinite {what}", remedy="finite numbers; only a floor may be infinite")
    if not np.isfinite(cells.threshold).all():
        raise ModelError(f"{name} never fire: their threshold is infinite", remedy="leave them out, or give them one")


def _warn(cells: Cells, leaks: Array, told: list[str]) -> None:
    if np.any(leaks):
        told.append("exponential decay becomes a constant leak")
    if np.any(cells.refractory > 0):
        told.append("refractory time is left out")
    if cells.several:
        told.append("of several spikes in a step one is given, what is left over waits for the next")
    if cells.reset == "crossing":
        told.append("a reset at the moment of crossing happens at the end of its step")
    if cells.late_reset and not (cells.reset == "subtract" and np.all(cells.decay == 1)):
        told.append("a reset in the next step happens in its own")


def _mismatch(cells: Cells, which: Array, leak_at: float) -> dict[str, float]:
    """Return how a decay from the threshold down to rest compares: time to 1/e, rms over three time constants."""
    if not np.any(which):
        return {}
    decay = float(np.median(cells.decay[which]))
    tau = -1 / np.log(decay)
    steps = np.arange(int(np.ceil(3 * tau)) + 1)
    exact, ours = decay**steps, np.maximum(0, 1 - (1 - decay) * leak_at * steps)
    late = (1 - 1 / np.e) / ((1 - decay) * leak_at)
    rms = float(np.sqrt(np.mean((exact - ours) ** 2)))
    return {"decay": decay, "steps_to_1_e": float(tau), "steps_to_1_e_here": float(late), "rms_of_threshold": rms}
