"""Make the recordings that ship with spikestream: a simulated DVS looking at labelled things.

    python recordings/make.py [--seed N] [--out FOLDER]

Four kinds of things, `a` to `d`. Each has four looks: a corner, a tee, a fork and an arc, each turned by one of four
quarter turns. Kind k shows shape s turned by (k + s) quarters, so that every kind shows every shape once and every turn
once: pictures averaged over a kind look much alike, and one centroid a kind is not enough. Every look is jittered in
place, angle, size and contrast, and shaken along a triangle as in N-MNIST's saccades.

The pixel model is the usual one of a DVS (Lichtsteiner, Posch & Delbruck, IEEE JSSC 43:566, 2008): an event whenever
the logarithm of the intensity has moved by a threshold since the pixel's last one; thresholds differ by 15 % from pixel
to pixel, and every pixel has background noise. Same seed, same files. All of it is CC0-1.0.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import spikestream as ss
from spikestream.batch import EVENT, Events

SIDE = 34  # pixels, as in N-MNIST
LOOK_MS, PERIOD_MS = 80, 100
THRESHOLD, MISMATCH = 0.4, 0.15  # log intensity
NOISE_HZ = 1.0
STEPS_A_MS = 3  # events one pixel can make in a millisecond
BACKGROUND = 0.25
LINE_PX = 1.5
START_US = 1_000_000
TRAINED, TESTED = 25, 10  # showings of each look
PATH_PX = np.array([(-1.6, -1.2), (0.0, 1.2), (1.6, -1.2), (-1.6, -1.2)])  # corners of the shake

_ANGLES = np.linspace(0.7, 2 * np.pi - 0.7, 10)
_ARC = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
SHAPES: dict[str, list[tuple[tuple[float, float], tuple[float, float]]]] = {
    "corner": [((-0.8, -0.8), (-0.8, 0.8)), ((-0.8, 0.8), (0.8, 0.8))],
    "tee": [((-0.9, -0.7), (0.9, -0.7)), ((0.0, -0.7), (0.0, 0.9))],
    "fork": [((-0.7, -0.9), (0.0, 0.0)), ((0.7, -0.9), (0.0, 0.0)), ((0.0, 0.0), (0.0, 0.9))],
    "arc": [(tuple(p), tuple(q)) for p, q in zip(_ARC[:-1].tolist(), _ARC[1:].tolist(), strict=True)],
}
KINDS = "abcd"


class Dvs:
    """A simulated sensor of SIDE x SIDE pixels with thresholds of its own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        spread = rng.normal(1, MISMATCH, (2, SIDE, SIDE))
        self.off, self.on = THRESHOLD * np.clip(spread, 0.5, 2)
        self.y, self.x = np.mgrid[0:SIDE, 0:SIDE].astype(float)

    def look(self, shape: str, quarters: int) -> NDArray[np.void]:
        """Return the sorted events of one look, t from 0 to PERIOD_MS."""
        lines = self._pose(shape, quarters)
        contrast = self.rng.uniform(0.22, 0.32)
        light = self._light(lines, contrast)
        level = light[0] + self.rng.uniform(-0.5, 0.5, (SIDE, SIDE)) * THRESHOLD
        rows = []
        for ms in range(PERIOD_MS):
            if ms < LOOK_MS:
                moved = light[ms + 1] - level
                on = np.minimum(np.floor(np.maximum(moved, 0) / self.on), STEPS_A_MS)
                off = np.minimum(np.floor(np.maximum(-moved, 0) / self.off), STEPS_A_MS)
                level += on * self.on - off * self.off
                rows += [self._events(ms, on > step, True) for step in range(int(on.max()))]
                rows += [self._events(ms, off > step, False) for step in range(int(off.max()))]
            noise, half = self.rng.random((2, SIDE, SIDE))
            noisy = noise < NOISE_HZ / 1000
            if noisy.any():
                rows += [self._events(ms, noisy & (half < 0.5), True), self._events(ms, noisy & (half >= 0.5), False)]
        return np.sort(_joined(rows), order="t", kind="stable")

    def _pose(self, shape: str, quarters: int) -> NDArray[np.float64]:
        """Return the shape's lines (n, 2, 2) in pixels, jittered."""
        angle = np.deg2rad(90 * quarters + self.rng.normal(0, 5))
        scale = 10 * (1 + self.rng.normal(0, 0.06))
        centre = (SIDE - 1) / 2 + self.rng.uniform(-1, 1, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.array(SHAPES[shape]) @ turn.T * scale + centre

    def _light(self, lines: NDArray[np.float64], contrast: float) -> NDArray[np.float64]:
        """Return the log intensity (LOOK_MS + 1, SIDE, SIDE) with the lines at their place at each ms."""
        here = np.array([_place(ms) for ms in range(LOOK_MS + 1)])[..., None, None]
        nearest = np.full((LOOK_MS + 1, SIDE, SIDE), LINE_PX)
        for first, last in lines:
            # Only pixels in a line's reach are looked at: the rest stays dark, whatever its distance.
            low = np.clip(np.minimum(first, last) + PATH_PX.min(axis=0) - LINE_PX, 0, SIDE).astype(int)
            high = np.clip(np.maximum(first, last) + PATH_PX.max(axis=0) + LINE_PX + 1, 0, SIDE).astype(int)
            part = np.s_[low[1] : high[1], low[0] : high[0]]
            px, py = self.x[part] - here[:, 0] - first[0], self.y[part] - here[:, 1] - first[1]
            dx, dy = last - first
            along = np.clip((px * dx + py * dy) / (dx**2 + dy**2), 0, 1)
            px -= along * dx
            py -= along * dy
            close = px * px + py * py < (LINE_PX + 0.1) ** 2
            there = nearest[:, *part]
            there[close] = np.minimum(there[close], np.hypot(px[close], py[close]))
        return np.log(BACKGROUND + contrast * np.clip(LINE_PX - nearest, 0, 1))

    def _events(self, ms: int, where: NDArray[np.bool_], p: bool) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
        """Return times and pixels (n,) of events somewhere in a millisecond, and their polarity."""
        pixels = np.flatnonzero(where)
        return ms * 1000 + self.rng.integers(0, 1000, len(pixels)), pixels, p


def _joined(rows: list[tuple[NDArray[np.int64], NDArray[np.int64], bool]]) -> NDArray[np.void]:
    times, pixels, polarities = zip(*rows, strict=True)
    events = np.empty(sum(map(len, times)), EVENT)
    events["t"] = np.concatenate(times)
    events["y"], events["x"] = np.divmod(np.concatenate(pixels), SIDE)
    events["p"] = np.repeat(polarities, [len(part) for part in times])
    return events


def _place(ms: int) -> NDArray[np.float64]:
    """Return where the shake has got to at ``ms``, (x, y) in pixels."""
    leg = min(ms / LOOK_MS * 3, 2.999)
    part = leg % 1
    part *= part * (3 - 2 * part)  # bell-shaped speed
    return PATH_PX[int(leg)] * (1 - part) + PATH_PX[int(leg) + 1] * part


def looks(seed: int, trained: int = TRAINED, tested: int = TESTED) -> tuple[Events, list[tuple[int, int, str, str]]]:
    """Return the events of all looks in random order, the test part last, and rows (start, stop, kind, split) in µs."""
    rng = np.random.default_rng(seed)
    dvs = Dvs(rng)
    every = [(kind, number) for kind in range(4) for number in range(4)]
    order = [(every[i % 16], "train") for i in rng.permutation(16 * trained)]
    order += [(every[i % 16], "test") for i in rng.permutation(16 * tested)]
    parts, rows = [], []
    for i, ((kind, number), split) in enumerate(order):
        part = dvs.look(list(SHAPES)[number], kind + number)
        start = START_US + i * PERIOD_MS * 1000
        part["t"] += start
        parts.append(part)
        rows.append((start, start + PERIOD_MS * 1000, KINDS[kind], split))
    return Events(START_US, rows[-1][1], np.concatenate(parts), (SIDE, SIDE)), rows


def on_dvs128(events: Events, shift_us: int) -> Events:
    """Return the events in the middle of a DVS128's field, and later."""
    data = events.data.copy()
    data["x"] += (128 - SIDE) // 2
    data["y"] += (128 - SIDE) // 2
    data["t"] += shift_us
    return Events(events.start + shift_us, events.stop + shift_us, data, (128, 128))


def with_hot_pixels(events: Events, rng: np.random.Generator, pixels: int = 6, hz: float = 1000.0) -> Events:
    """Return the events with pixels that fire all the time, and 2 Hz of background noise on every pixel."""
    seconds = (events.stop - events.start) / 1e6
    width, height = events.size or (SIDE, SIDE)
    hot = rng.integers(0, width * height, pixels)
    where = np.concatenate(
        [
            np.repeat(hot, rng.poisson(hz * seconds, pixels)),
            rng.integers(0, width * height, int(2 * seconds * width * height)),
        ]
    )
    noise = np.empty(len(where), EVENT)
    noise["t"] = rng.integers(events.start, events.stop, len(where))
    noise["y"], noise["x"] = np.divmod(where, width)
    noise["p"] = rng.random(len(where)) < 0.5
    data = np.sort(np.concatenate([events.data, noise]), order="t", kind="stable")
    return Events(events.start, events.stop, data, events.size)


def save(folder: Path, name: str, events: Events, what: str, seed: int, **more: object) -> None:
    """Write one recording and its sidecar."""
    path = folder / name
    ss.write(path, events, size=events.size)
    sidecar = {
        "what": what,
        "origin": f"simulated: python recordings/make.py --seed {seed}",
        "licence": "CC0-1.0",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "events": len(events),
        "first_t": int(events.data["t"][0]),
        "last_t": int(events.data["t"][-1]),
        "size": list(events.size or ()),
        **more,
    }
    path.with_name(f"{name}.json").write_text(json.dumps(sidecar, indent=2) + "\n")
    print(f"{path}: {len(events):,} events")


def main() -> None:
    """Make all recordings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    events, rows = looks(options.seed)
    with (options.out / "looks.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("start_us", "stop_us", "label", "split"), *rows])
    counts = {split: sum(row[3] == split for row in rows) for split in ("train", "test")}
    what = "a simulated DVS looking at things of four kinds, four looks a kind"
    save(options.out, "looks.aedat4", events, what, options.seed, labels="looks.csv", looks=counts)
    few, _ = looks(options.seed + 1, trained=1, tested=1)
    what = "two showings of each look on a DVS128 whose clock crosses 2^31 µs half-way"
    save(options.out, "wrap.aedat", on_dvs128(few, 2**31 - (few.start + few.stop) // 2), what, options.seed)
    noisy = with_hot_pixels(on_dvs128(few, 0), np.random.default_rng(options.seed + 2))
    save(options.out, "noisy_hot.aedat3", noisy, "the same with 6 hot pixels and 2 Hz of noise a pixel", options.seed)


if __name__ == "__main__":
    main()
