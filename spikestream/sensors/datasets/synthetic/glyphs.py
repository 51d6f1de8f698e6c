"""Digits drawn with a round pen, each a little different, as grey images."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from spikestream.batch import Array


def _arc(x: float, y: float, wide: float, high: float, first: float, last: float) -> list[tuple[float, float]]:
    """Return points on an ellipse from one angle to another, in degrees, clockwise from the right."""
    angle = np.deg2rad(np.linspace(first, last, 13))
    return list(zip((x + wide * np.cos(angle)).tolist(), (y + high * np.sin(angle)).tolist(), strict=True))


STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "0": [_arc(0, 0, 0.55, 0.9, 0, 360)],
    "1": [[(-0.3, -0.55), (0.05, -0.9), (0.05, 0.9)]],
    "2": [[*_arc(0, -0.4, 0.5, 0.5, 180, 400), (-0.5, 0.9), (0.55, 0.9)]],
    "3": [[*_arc(-0.05, -0.45, 0.5, 0.45, 200, 450), *_arc(-0.05, 0.45, 0.55, 0.45, 270, 520)]],
    "4": [[(0.25, 0.9), (0.25, -0.9), (-0.6, 0.3), (0.6, 0.3)]],
    "5": [[(0.5, -0.9), (-0.4, -0.9), (-0.45, -0.1), *_arc(-0.05, 0.35, 0.55, 0.55, 230, 510)]],
    "6": [[(0.35, -0.9), *_arc(0.45, 0.1, 0.95, 0.95, 230, 190), *_arc(0, 0.4, 0.5, 0.5, 180, 540)]],
    "7": [[(-0.55, -0.9), (0.55, -0.9), (-0.1, 0.9)]],
    "8": [_arc(0, -0.45, 0.42, 0.45, 0, 360), _arc(0, 0.45, 0.52, 0.45, 0, 360)],
    "9": [[*_arc(0, -0.4, 0.5, 0.5, 0, 360), (0.45, 0.1), (0.2, 0.9)]],
}
"""Lines through points, in a box from -1 to 1 either way, y down."""


def draw(digit: str, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return a digit (height, width) uint8, 255 the brightest: turned, slanted, stretched, moved, thick by chance."""
    width, height = size
    scale = 0.33 * min(size) * (1 + rng.normal(0, 0.06, 2))
    turn, slant = np.deg2rad(rng.normal(0, 4)), rng.normal(0.1, 0.1)
    shape = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[1, -slant], [0, 1]])
    centre = (np.array(size) - 1) / 2 + rng.normal(0, 0.02, 2) * min(size)
    radius = min(size) * rng.uniform(0.03, 0.055)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    bright = np.zeros((height, width))
    for stroke in STROKES[digit]:
        points = (np.array(stroke) * scale) @ shape.T + centre
        for first, last in pairwise(points):
            bright = np.maximum(bright, np.clip(radius + 0.5 - _distance(x, y, first, last), 0, 1))
    return np.rint(255 * bright).astype(np.uint8)


def _distance(x: Array, y: Array, first: Array, last: Array) -> Array:
    dx, dy = last - first
    along = np.clip(((x - first[0]) * dx + (y - first[1]) * dy) / (dx * dx + dy * dy), 0, 1)
    made: Array = np.hypot(x - first[0] - along * dx, y - first[1] - along * dy)
    return made
