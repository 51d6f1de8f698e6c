"""Run published experiments again, beside the numbers they should give (docs/papers.md).

    python examples/papers                              the quick ones, about two minutes
    python examples/papers window triplet               some of them
    python examples/papers --plot docs/img hour         an hour of 1,000 neurons, and a picture of it

window        pair STDP, one pair of spikes                     Song, Miller & Abbott 2000
competition   pair STDP, 1,000 synapses of one neuron           Song, Miller & Abbott 2000
triplet       triplet STDP, pairs at 0.1 to 50 Hz               Sjöström et al. 2001, Pfister & Gerstner 2006
delay         one pair, and a reward 0 to 5 s later             Izhikevich 2007, as a formula
reward        one synapse of 50 neurons, rewarded or not        Izhikevich 2007, made small
hour          one synapse of 1,000 neurons, for an hour         Izhikevich 2007
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import competition
import distal
import drawing
import numpy as np
import pairing

import spikestream as ss

SEEDS, SECONDS = (1, 2, 3), 2_000
HOUR_S = 3_600


def window(plot: Path | None) -> None:
    """Print what one pair of spikes changes, and what 60 do."""
    print("lag, ms   one pair     formula      60 pairs at 1 Hz")
    for lag in (10, 1, 0, -1, -10):
        amplitude = pairing.SONG["a_plus"] if lag >= 0 else -pairing.SONG["a_minus"]
        many = pairing.change("pair", pairing.SONG, *pairing.pair_times(lag, 60, 1_000))
        print(f"{lag:+7}   {pairing.window(lag):+.8f}  {amplitude * np.exp(-abs(lag) / 20):+.8f}  {many:+.7f}")
    if plot:
        drawing.window(plot)


def compete(plot: Path | None) -> None:
    """Print how weights end up after inputs of three rates."""
    found = {rate_hz: competition.run(rate_hz, 1_000) for rate_hz in (10, 20, 40)}
    print("inputs, Hz   below 0.2   above 0.8   between   neuron, Hz")
    for rate_hz, one in found.items():
        between = 1 - one.weak - one.strong
        print(f"{rate_hz:10}   {one.weak:9.2f}   {one.strong:9.2f}   {between:7.2f}   {one.rate_hz:10.1f}")
    if plot:
        drawing.competed(plot, found)


def triplet(plot: Path | None) -> None:
    """Print what 60 pairs, and 15 times five, change at each rate."""
    print("           60 pairs            75 pairs            15 x 5 pairs        measured")
    print("pairs, Hz" + "    +10 ms    -10 ms" * 3 + "         +10 ms         -10 ms")
    for place, hz in enumerate(pairing.MEASURED_HZ):
        bursts = (5, 15) if hz > 1 else (75, 1)
        made = [pairing.triplet(lag, hz, *how) for how in ((60, 1), (75, 1), bursts) for lag in (10, -10)]
        told = [f"{mean:+.2f} ± {error:.2f}" for mean, error in (pairing.MEASURED[lag][place] for lag in (10, -10))]
        print(f"{hz:9} " + " ".join(f"{one:+.6f}" for one in made) + f"   {told[0]}   {told[1]}")
    print(f"mean of ((60 pairs - measured) / standard error) squared: {pairing.misfit():.2f}")
    if plot:
        drawing.triplet(plot)


def delay(plot: Path | None) -> None:
    """Print what a reward makes of one pair by how much later it comes."""
    print("reward after, s   network        formula")
    for at_ms in pairing.DELAYS_MS:
        print(f"{at_ms / 1_000:15}   {pairing.delayed(at_ms):.6e}   {pairing.delayed_formula(at_ms):.6e}")
    if plot:
        drawing.delayed(plot)


def reward(plot: Path | None) -> None:
    """Print how the synapse of a small network fares with rewards, without, and with as many at any time."""
    runs, controls = [], []
    for seed in SEEDS:
        runs.append(distal.run(distal.SMALL, seed, SECONDS))
        _told(f"seed {seed}, rewarded", runs[-1])
        controls.append(distal.run(distal.SMALL, seed, SECONDS, instead_ms=np.zeros(0, np.int64)))
        _told(f"seed {seed}, no reward", controls[-1])
        any_ms = np.random.default_rng(seed).integers(0, SECONDS * 1_000, len(runs[-1].rewards_ms))
        _told(f"seed {seed}, at any time", distal.run(distal.SMALL, seed, SECONDS, instead_ms=any_ms))
    if plot:
        drawing.rewarded(plot, "reward", runs, controls)


def hour(plot: Path | None) -> None:
    """Print how the synapse of the whole network fares in an hour."""
    found = distal.run(distal.FULL, 1, HOUR_S)
    _told("seed 1, rewarded", found)
    for second, weight, mean, most in found.course[59::60]:
        print(f"{second:6.0f} s  weight {weight:.2f}  others {mean:.2f}, 99 % below {most:.2f}")
    if plot:
        drawing.rewarded(plot, "hour", [found])


def _told(name: str, found: distal.Outcome) -> None:
    text = f"{name:20} weight {found.weight:.2f}, above {found.rank:7.2%} of {len(found.others):,} others"
    print(
        f"{text} (mean {found.others.mean():.2f}); {len(found.rewards_ms)} rewards, {found.rate_hz:.2f} Hz", flush=True
    )


EXPERIMENTS = {
    "window": window,
    "competition": compete,
    "triplet": triplet,
    "delay": delay,
    "reward": reward,
    "hour": hour,
}
LONG = ("hour",)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="papers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    quick = [name for name in EXPERIMENTS if name not in LONG]
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}; default: the quick ones"
    )
    parser.add_argument("--plot", metavar="DIR", type=Path, help="draw into this directory")
    options = parser.parse_args()
    if unknown := set(options.names) - set(EXPERIMENTS):
        parser.error(f"there is no experiment {', '.join(sorted(unknown))}")
    if options.plot:
        options.plot.mkdir(parents=True, exist_ok=True)
    for name in options.names or quick:
        print(f"== {name}")
        EXPERIMENTS[name](options.plot)


if __name__ == "__main__":
    try:
        main()
    except (ss.SpikestreamError, OSError) as error:
        sys.exit(f"error: {error}")
