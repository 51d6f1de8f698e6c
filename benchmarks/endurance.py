"""A day of stream time through the learning network: nothing drifts, overflows, grows or slows down.

    python benchmarks/endurance.py [--quick] [--hours N]

Sparse random input with long silences goes through ``ss.Network`` with rule "pair", fused and composed, hour by hour.
Beside the speed of the last hour in that of the first stand the largest error of the input traces at the end, against
sums over the spikes themselves in double precision, and how much larger the saved state has become. Ten minutes of
silence at the end would show numbers that have become subnormal, which are slow: they go in beside as much silence of a
network that never heard anything.

A chip of four crossbar cores goes through half as many hours. Two of its cores, whose neurons fire by leak alone, have
counts and potentials that are known in closed form; two draw random numbers and forget what was before, so that a chip
that begins an hour before the end has to end in the same state. "exact" is 1 where all of that holds to the last bit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import numpy as np
from common import finish, table
from numpy.typing import NDArray

import spikestream as ss
from spikestream.batch import no_spikes
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.placement import PIN

AXONS, NEURONS, TAU_MS = 64, 32, 20.0
HOUR_US, BATCH_US, SILENCE_US = 3_600_000_000, 10_000_000, 600_000_000
OPTIONS = {"w_max": 4.0, "a_plus": 0.02, "a_minus": 0.021, "theta_plus": 0.01, "tau_theta_ms": 1e5, "tau_m_ms": TAU_MS}
TARGETS = {
    "fused_last_hour_vs_first": 0.8,
    "composed_last_hour_vs_first": 0.8,
    "fused_1e-4_over_trace_error": 1.0,
    "composed_1e-4_over_trace_error": 1.0,
    "fused_silence_vs_fresh": 0.5,
    "composed_silence_vs_fresh": 0.5,
    "chip_last_hour_vs_first": 0.8,
    "chip_exact": 1.0,
}
SIDE = 64
"""Neurons of a core of the chip."""


def batches(hour: int) -> Iterator[ss.Spikes]:
    """Yield an hour of input: half of its batches are silent, and the last is not."""
    rng, stop = np.random.default_rng(hour), (hour + 1) * HOUR_US
    for start in range(hour * HOUR_US, stop, BATCH_US):
        count = rng.poisson(2_000) if rng.random() < 0.5 or start + BATCH_US == stop else 0
        t = start + np.sort(rng.integers(0, BATCH_US, count))
        yield ss.Spikes(start, start + BATCH_US, t, rng.integers(0, AXONS, count).astype(np.int32))


def seconds_of(net: ss.Network, hour: int) -> float:
    """Return the CPU seconds that an hour takes, its input made before."""
    parts = list(batches(hour))
    begun = time.process_time()
    for part in parts:
        net(part)
    return time.process_time() - begun


def traces(net: ss.Network, stop_us: int) -> NDArray[np.float64]:
    """Return the input traces at the end of the last tick."""
    state = net.state()
    if "x" not in state:
        return state["projections.in.pair.x"].astype(float)
    passed = stop_us // net.tick_us - 1 - state["seen"]
    return state["x"] * np.exp(-passed * (net.tick_us / 1000 / TAU_MS))


def told(hours: int) -> NDArray[np.float64]:
    """Return what they have to be: a sum over the spikes of the last minute."""
    last = list(batches(hours - 1))[-6:]
    made, tick = np.zeros(AXONS), hours * HOUR_US // 1000 - 1
    for part in last:
        np.add.at(made, part.axon, np.exp(-(tick - part.t // 1000) / TAU_MS))
    return made


def silence_s(net: ss.Network, start: int) -> float:
    begun = time.process_time()
    for at in range(start, start + SILENCE_US, BATCH_US):
        net(no_spikes(at, at + BATCH_US))
    return time.process_time() - begun


def bytes_of(net: ss.Network) -> int:
    return sum(value.nbytes for value in net.state().values())


def endure(engine: str, hours: int) -> dict[str, float]:
    """Run the hours, and return what came of it."""
    net = ss.Network(AXONS, NEURONS, rule="pair", seed=1, engine=engine, **OPTIONS)
    net.prepare()
    size, spent = bytes_of(net), []
    for hour in range(hours):
        spent.append(seconds_of(net, hour))
        if sys.stderr.isatty():
            print(f"\r{engine}: hour {hour + 1} of {hours}", end="", file=sys.stderr)
    stop = hours * HOUR_US
    error = float(np.max(np.abs(traces(net, stop) - told(hours))))
    fresh = ss.Network(AXONS, NEURONS, rule="pair", seed=1, engine=engine, **OPTIONS)
    quiet = silence_s(fresh, 0) / silence_s(net, stop)
    few = max(1, hours // 4)
    return {
        "realtime_factor": HOUR_US / 1e6 * hours / sum(spent),
        "last_hour_vs_first": float(np.median(spent[:few]) / np.median(spent[-few:])),
        "1e-4_over_trace_error": 1e-4 / max(error, 1e-12),
        "silence_vs_fresh": quiet,
        "state_growth": bytes_of(net) / size,
    }


def tireless() -> CrossbarPlacement:
    """Return the chip: cores 0 and 1 count to 3 + j by leak, and drive the axons of cores 2 and 3, which draw."""
    shape, number = (4, SIDE), np.arange(SIDE)
    drawing = np.array([False, False, True, True])[:, None] & np.ones(shape, bool)
    target = np.where(drawing, PIN, np.array([[2], [3], [0], [0]]))
    return CrossbarPlacement.of(
        4,
        SIDE,
        SIDE,
        crossbar=np.arange(4)[:, None, None] + np.zeros((4, SIDE, SIDE), int) >= 2,
        weights=np.where(drawing, 100, 0)[:, :, None] * np.ones(4, int),
        random_weights=np.broadcast_to(drawing[:, :, None], (*shape, 4)),
        leak=np.where(drawing, np.where(number % 2, -1, -200), 1),
        threshold=np.where(drawing, 1, 3 + number),
        threshold_bits=np.where(drawing, 2, 0),
        floor_clamps=drawing,
        random_leak=drawing & (number % 2 == 0),
        reset_mode=np.where(drawing, 0, 1),
        target_core=target,
        target_axon=np.where(drawing, number, number[::-1]),
        delay=np.tile(1 + number % 15, (4, 1)),
        outputs=SIDE,
    )


def silent(chip: ss.Chip, start_us: int, stop_us: int) -> None:
    for at in range(start_us, stop_us, BATCH_US):
        chip(no_spikes(at, at + BATCH_US))


def same_end(chip: ss.Chip, stop_us: int) -> bool:
    """Return whether cores that count are where they must be, and cores that forget where a younger chip's are."""
    ticks, period = stop_us // chip.tick_us, 3 + np.arange(SIDE)
    counting = np.array_equal(chip.v[:2], np.tile(ticks % period, (2, 1)))
    counted = chip.counters["synaptic_operations"] == SIDE * chip.counters["axon_events"]
    begin = stop_us - HOUR_US
    younger = ss.Chip(tireless())
    # Its counting cores begin where the older ones were: the state of a chip is all that there is of its past.
    fresh = younger.state()
    fresh["v"][:2] = begin // chip.tick_us % period
    younger.restore(fresh)
    silent(younger, begin, stop_us)
    return bool(counting and counted and np.array_equal(chip.v, younger.v) and _rings_equal(chip, younger))


def _rings_equal(one: ss.Chip, other: ss.Chip) -> bool:
    return np.array_equal(one.state()["ring"], other.state()["ring"])


def endure_chip(hours: int) -> dict[str, float]:
    """Run the hours of a chip, and return what came of it."""
    chip, spent = ss.Chip(tireless()), []
    chip.prepare()
    for hour in range(hours):
        begun = time.process_time()
        silent(chip, hour * HOUR_US, (hour + 1) * HOUR_US)
        spent.append(time.process_time() - begun)
    few = max(1, hours // 4)
    return {
        "realtime_factor": HOUR_US / 1e6 * hours / sum(spent),
        "last_hour_vs_first": float(np.median(spent[:few]) / np.median(spent[-few:])),
        "exact": float(same_end(chip, hours * HOUR_US)),
        "spikes": float(chip.counters["spikes"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two hours instead of 24")
    parser.add_argument("--hours", type=int, help="so many")
    options = parser.parse_args()
    hours = options.hours or (2 if options.quick else 24)
    figures, rows = (
        {},
        [["", "x real time", "last hour vs first", "1e-4 / trace error", "silence vs fresh", "state grew"]],
    )
    for engine in ("fused", "composed"):
        made = endure(engine, hours)
        figures |= {f"{engine}_{key}": value for key, value in made.items()}
        rows.append([engine, *(f"{value:,.3g}" for value in made.values())])
    print(f"{hours} hours of stream time\n\n{table(rows)}\n")
    made = endure_chip(max(1, hours // 2))
    figures |= {f"chip_{key}": value for key, value in made.items()}
    lines = [["", *made], ["chip", *(f"{value:,.4g}" for value in made.values())]]
    print(f"{max(1, hours // 2)} hours of a chip\n\n{table(lines)}\n")
    finish(figures, TARGETS)


if __name__ == "__main__":
    main()
