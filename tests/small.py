"""Small real parts: a pipeline of a few neurons, streams to run it on, and a sensor that hands out given batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import numpy as np
from hypothesis import strategies as st
from running import run  # noqa: F401 - for the tests of a pipeline

from spikestream.batch import EVENT, Batch, Command, Decisions, Events, Label, Setting, Window, cut
from spikestream.building import build
from spikestream.config import Config, from_tables
from spikestream.pipeline import Pipeline

SIZE = (4, 4)
TICK, WINDOW = 1_000, 10_000
TABLES = {
    "sensor": {"size": "4x4"},
    "filter": [{"kind": "refractory", "period_ms": 0.3}],
    "network": {"neurons": 5, "tau_theta_ms": 50.0, "tau_refrac_ms": 2.0, "inhibition": 0.2},
    "readout": {"window_us": WINDOW, "kept": 3},
}


def config(**sections: object) -> Config:
    """Return the small configuration with some keys of some sections changed."""
    merged = {
        name: {**TABLES.get(name, {}), **keys} if isinstance(keys, dict) else keys for name, keys in sections.items()
    }
    return from_tables({**TABLES, **merged})


def pipeline(**sections: object) -> Pipeline:
    return build(config(**sections))


def events(start: int, stop: int, rows: Sequence[tuple[int, int, int, bool]] = ()) -> Events:
    return Events(start, stop, np.array(list(rows), EVENT), SIZE)


def noise(start: int, stop: int, seed: int = 0, rate_hz: float = 3_000.0) -> Events:
    """Return random events of all pixels over ``[start, stop)`` µs."""
    rng = np.random.default_rng(seed)
    data = np.zeros(round((stop - start) * rate_hz / 1e6), EVENT)
    data["t"] = np.sort(rng.integers(start, stop, len(data)))
    data["x"], data["y"] = rng.integers(0, 4, (2, len(data)))
    data["p"] = rng.random(len(data)) < 0.5
    return Events(start, stop, data, SIZE)


def pieces(batch: Batch, cuts: Iterable[int]) -> list[Batch]:
    """Return the batch cut at these times, as far as they lie in it; a time given twice makes an empty batch."""
    out, rest = [], batch
    for at in sorted(cuts):
        if rest.start <= at <= batch.stop:
            piece, rest = cut(rest, at)
            out.append(piece)
    return [*out, rest]


def grid(batch: Batch, length: int) -> list[Batch]:
    return pieces(batch, range(batch.start + length, batch.stop, length))


def rows_of(batch: Batch) -> list[tuple]:
    """Return what a batch holds, its last µs first in each row."""
    if isinstance(batch, Events):
        return [tuple(row) for row in batch.data.tolist()]
    if isinstance(batch, Decisions):
        return [(row.stop - 1, row) for row in batch.rows]
    return list(zip(batch.t.tolist(), batch.axon.tolist(), strict=True))


def fed(
    into: Pipeline, batches: Iterable[Batch], commands: Iterable[Command] = ()
) -> list[tuple[int, dict[str, list]]]:
    """Run the batches, each with the commands due by its end; return (stop, rows by stage) of each."""
    waiting, made = sorted(commands, key=lambda command: command.t), []
    for batch in batches:
        due = [command for command in waiting if command.t <= batch.stop]
        waiting = waiting[len(due) :]
        made.append((batch.stop, {name: rows_of(out) for name, out in into(batch, due).items()}))
    return made


def total(made: list[tuple[int, dict[str, list]]]) -> dict[str, list]:
    """Return all rows of each stage."""
    return {name: [row for _, rows in made for row in rows[name]] for name in made[0][1]}


def same_state(one: Pipeline, other: Pipeline) -> bool:
    """Return whether both remember the same, compared array by array."""
    for (name, stage), (other_name, other_stage) in zip(one.stages.items(), other.stages.items(), strict=True):
        mine, theirs = stage.state(), other_stage.state()
        if name != other_name or mine.keys() != theirs.keys():
            return False
        for key, value in mine.items():
            if (value.dtype, value.shape, value.tobytes()) != (
                theirs[key].dtype,
                theirs[key].shape,
                theirs[key].tobytes(),
            ):
                return False
    return one.now == other.now


@st.composite
def commands_at(draw: st.DrawFn, start: int, stop: int, most: int = 8) -> list[Command]:
    """Draw labels, settings and marks at odd times, some before ``start``."""
    times = st.integers(start - 2_000, stop) | st.sampled_from(range(start, stop + 1, TICK))
    made: list[Command] = []
    for t in draw(st.lists(times, max_size=most)):
        kind = draw(st.sampled_from(["label", "setting", "window"]))
        if kind == "label":
            begin = t - draw(st.integers(0, 4)) * WINDOW // 2
            made.append(Label(t, begin, begin + draw(st.integers(1, 3)) * WINDOW, draw(st.sampled_from("abc"))))
        elif kind == "setting":
            made.append(Setting(t, "learn.enabled", draw(st.booleans())))
        else:
            made.append(Window(t, t + draw(st.integers(1, 15_000))))
    return made


class Given:
    """A sensor that hands out these batches, from the second on when ``until`` holds; then it fails, where told to."""

    def __init__(self, batches: Sequence[Batch], *, live: bool = False, error: Exception | None = None) -> None:
        self.size, self.live, self.sent = SIZE, live, 0
        self.given, self.error = list(batches), error
        self.until = lambda: True

    async def batches(self, start: int = 0):
        for number, batch in enumerate(self.given):
            await asyncio.sleep(0)
            while number and not self.until():
                await asyncio.sleep(0)
            self.sent += len(batch)
            yield batch
        if self.error is not None:
            raise self.error
