"""What moves in the synthetic scenes: strokes (steps + 1, n, 5) as `spikestream.kernels.scenes` draws them.

x runs to the right and y down, so that an angle that grows turns clockwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from spikestream.batch import Array

Random: TypeAlias = np.random.Generator
TURNS = {"clockwise": 1.0, "counterclockwise": -1.0}
WAYS = {"right": (1.0, 0.0), "left": (-1.0, 0.0), "down": (0.0, 1.0), "up": (0.0, -1.0)}


@dataclass(frozen=True, slots=True)
class Scene:
    """``labels`` of its samples, each ``steps`` ms long; ``move(label, size, rng, steps)`` gives the strokes of one."""

    labels: tuple[str, ...]
    steps: int
    move: Callable[[str, tuple[int, int], Random, int], Array]


def bars(label: str, size: tuple[int, int], rng: Random, steps: int) -> Array:
    """Let a bar cross the field, up to 6 degrees off its way."""
    width, height = size
    short = min(size)
    radius, half = short * rng.uniform(0.03, 0.07), 1.5 * max(size)
    way = np.array(WAYS[label])
    turn = np.deg2rad(rng.uniform(-6, 6))
    along = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([-way[1], way[0]])
    # From just outside to just outside: the tilt moves the bar's ends by a tenth of its length.
    far = abs(way @ np.array(size)) / 2 + radius + 1 + 0.11 * max(size)
    begin, lasts = rng.uniform(0, 0.05) * steps, rng.uniform(0.7, 0.9) * steps
    part = np.clip((np.arange(steps + 1) - begin) / lasts, 0, 1)
    middle = np.array([(width - 1) / 2, (height - 1) / 2]) + np.outer(far * (2 * part - 1), way)
    return _strokes(middle - half * along, middle + half * along, radius)


def spinner(label: str, size: tuple[int, int], rng: Random, steps: int) -> Array:
    """Let a hand turn about the middle of the field, once to three times a second."""
    short = min(size)
    centre = _centre(size) + rng.uniform(-0.03, 0.03, 2) * short
    speed = TURNS[label] * rng.uniform(1, 3) * 2 * np.pi / 1_000
    angle = rng.uniform(0, 2 * np.pi) + speed * np.arange(steps + 1)
    tip = centre + short * rng.uniform(0.36, 0.44) * _direction(angle)
    return _strokes(np.broadcast_to(centre, tip.shape), tip, short * rng.uniform(0.03, 0.06))


def gestures(label: str, size: tuple[int, int], rng: Random, steps: int) -> Array:
    """Let one hand or two move to and fro, or around."""
    short = min(size)
    reach = short * rng.uniform(0.2, 0.28)
    phase = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(steps + 1) / rng.uniform(380, 520)
    swing = reach * np.sin(phase)
    none = np.zeros(steps + 1)
    if label in TURNS:
        hands = [reach * _direction(TURNS[label] * phase)]
    elif label == "clap":
        apart = short * 0.08 + (reach + swing) / 2
        hands = [np.stack([sign * apart, none], axis=1) for sign in (-1, 1)]
    elif label == "drum":
        hands = [np.stack([none + sign * 0.7 * reach, sign * swing], axis=1) for sign in (-1, 1)]
    else:
        hands = [np.stack([swing, none] if label == "wave" else [none, swing], axis=1)]
    radius, palm = short * rng.uniform(0.05, 0.08), np.array([0.0, short * rng.uniform(0.04, 0.08)])
    centre = _centre(size) + rng.uniform(-0.05, 0.05, 2) * short
    return np.concatenate([_strokes(centre + hand - palm, centre + hand + palm, radius) for hand in hands], axis=1)


SCENES: Mapping[str, Scene] = {
    "bars": Scene(tuple(WAYS), 300, bars),
    "spinner": Scene(tuple(TURNS), 500, spinner),
    "gestures": Scene(("wave", "nod", *TURNS, "clap", "drum"), 1_000, gestures),
}


def _strokes(first: Array, last: Array, radius: float) -> Array:
    """Return one stroke over time (steps + 1, 1, 5) from where its ends are (steps + 1, 2)."""
    made: Array = np.concatenate([first, last, np.full((len(first), 1), radius)], axis=1)[:, np.newaxis]
    return made


def _centre(size: tuple[int, int]) -> Array:
    return (np.array(size) - 1) / 2


def _direction(angle: Array) -> Array:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
