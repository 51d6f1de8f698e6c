"""A day of stream time through the learning network: nothing drifts, overflows, grows or slows down.

    python benchmarks/endurance.py [--quick] [--hours N]

Sparse random input with long silences goes through ``ss.Network`` with rule "pair", fused and composed, hour by hour.
Beside the speed of the last hour in that of the first stand the largest error of the input traces at the end, against
sums over the spikes themselves in double precision, and how much larger the saved state has become. Ten minutes of
silence at the end would show numbers that have become subnormal, which are slow: they go in beside as much silence of a
network that never heard anything.
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
}


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
    finish(figures, TARGETS)


if __name__ == "__main__":
    main()
