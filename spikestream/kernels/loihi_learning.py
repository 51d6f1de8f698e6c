"""On-chip learning of a Loihi core: pair STDP from traces of seven bits, epoch by epoch, in whole numbers.

Axons that are plastic have a trace x1, compartments a trace y1, both of 7 bits, 0 .. 127. Within an epoch of T ticks

    spike     of an axon (pre) or a compartment (post): a second or later one in the epoch adds the impulse to the trace
              at once; tx, ty = the tick of the epoch, 1 .. T, of the last one; 0 where there was none

and at the end of a tick n with (n + 1) mod T = 0, the end of an epoch, on each core with plastic axons:

    trace     x(t), t in 1 .. T:  (X f(t) + rho) >> 16 where tx = 0 or t < tx;  else (X' f(t - tx) + rho') >> 16 with
              X' = min(127, ((X f(tx) + rho) >> 16) + impulse);  likewise y(t)
    weights   of plastic axons with tx > 0 or compartments with ty > 0, where learning is on:
              a = 128 w + [ty > 0] a_plus 2^7 x1(ty) - [tx > 0] a_minus 2^7 y1(tx);  the a's with their exponents
              w = least .. most of (a + rho) >> (7 + s) << s, weights being multiples of 2^s
    traces    X = x1(T), Y = y1(T), and tx = ty = 0

f(0) = 2^16, f(t + 1) = (f(t) (4096 - decay) + 2048) >> 12. rho, rho' of 16 bits belong to an axon or compartment and an
epoch, rho of a weight, of 7 + s bits, to a synapse: so rounding has no bias, and nothing depends on the order of
execution. A spike of an axon is in its trace when it arrives at the core, whatever the delays of its synapses. Spikes
of one tick are a pair in both terms.

The structure (epochs, one spike time each, 7-bit traces, sums of products into 15 bits and a sign, random rounding) is
that of Davies et al., IEEE Micro 38 (2018), section "Learning engine", and of Lin et al., Computer 51 (2018), as lava's
fixed-point connection spells it out; the powers of the decay and the random numbers were never published and are ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.crossbar_random import draw_bits, key_of
from spikestream.kernels.loihi_design import FRACTION, Coeffs, State

PRE, POST, WEIGHT = np.int64(1 << 20), np.int64((1 << 20) + 2), np.int64((1 << 20) + 4)
"""Uses of random numbers; the next number is that after a spike."""
MOST = np.int64(127)


@compiled
def note(trace: Array, when: Array, place: int, impulse: int, tick: int) -> None:
    """Take in a spike in tick ``tick`` (from 1) of its epoch."""
    if when[place] > 0:
        trace[place] = np.uint8(min(MOST, np.int64(trace[place]) + impulse))
    when[place] = np.uint8(tick)


@compiled
def at(value: int, spike: int, t: int, impulse: int, power: Array, rho: int, after: int) -> Any:
    """Return what a trace is in tick ``t`` of the epoch, int64."""
    if spike == 0 or t < spike:
        return (value * power[t] + rho) >> FRACTION
    jumped = min(MOST, ((value * power[spike] + rho) >> FRACTION) + impulse)
    return (jumped * power[t - spike] + after) >> FRACTION


@compiled
def _bring_on(trace: Array, when: Array, first: int, stop: int, rule: tuple[int, Array], key: Any, use: int) -> bool:
    """Bring traces to the end of the epoch; return whether some are not 0. ``rule`` = (impulse, powers)."""
    impulse, power = rule
    any_left = False
    for i in range(first, stop):
        if trace[i] != 0 or when[i] != 0:
            rho, after = draw_bits(key, i - first, use, FRACTION), draw_bits(key, i - first, use + 1, FRACTION)
            left = at(np.int64(trace[i]), np.int64(when[i]), len(power) - 1, impulse, power, rho, after)
            trace[i] = np.uint8(left)
            when[i] = np.uint8(0)
            any_left |= left != 0
    return any_left


@compiled
def _current(weight: int, exponent: int) -> Any:
    """Return what a spike adds for a mantissa."""
    scaled = weight << exponent if exponent >= 0 else weight >> -exponent
    most = np.int64((1 << 21) - (1 << 6))
    return min(max(scaled << 6, -most), most)


@compiled
def _row(c: Coeffs, s: State, core: int, i: int, key: Any) -> None:
    """Change the weights of plastic axon ``i``."""
    first, axon = c.compartments[core], i - c.axons[core]
    x, tx = np.int64(s.x1[i]), np.int64(s.tx[i])
    x_rule, y_rule, power = c.impulse[core, 0], c.impulse[core, 1], c.power[core]
    rho, after = draw_bits(key, axon, PRE, FRACTION), draw_bits(key, axon, PRE + 1, FRACTION)
    begin = c.synapses[c.axons[core]]
    spare, exponent = np.int64(c.spare[i]), np.int64(c.exponent[i])
    for k in range(c.synapses[i], c.synapses[i + 1]):
        j = c.compartment[k]
        ty, change = np.int64(s.ty[first + j]), np.int64(0)
        if ty > 0:
            change += c.rate[core, 0] * at(x, tx, ty, x_rule, power[0], rho, after)
        if tx > 0 and (ty > 0 or s.y1[first + j] > 0):
            own, next_ = draw_bits(key, j, POST, FRACTION), draw_bits(key, j, POST + 1, FRACTION)
            change -= c.rate[core, 1] * at(np.int64(s.y1[first + j]), ty, tx, y_rule, power[1], own, next_)
        if change != 0:
            chance = draw_bits(key, k - begin, WEIGHT, 7 + spare)
            moved = (((np.int64(s.weight[k]) << 7) + change + chance) >> (7 + spare)) << spare
            kept = min(max(moved, np.int64(c.least[i])), np.int64(c.most[i]))
            s.weight[k] = np.int16(kept)
            s.current[k] = np.int32(_current(kept, exponent))


@compiled
def learn(c: Coeffs, s: State, core: int, n: int, learning: bool) -> None:
    """End an epoch of one core with tick n."""
    first, stop = c.axons[core], c.axons[core + 1]
    lower, upper = c.compartments[core], c.compartments[core + 1]
    key = key_of(c.seed[core], core, n)
    fired = False
    for j in range(lower, upper):
        fired |= s.ty[j] > 0
    if learning:
        for i in range(first, stop):
            if s.tx[i] > 0 or (fired and s.x1[i] > 0):
                _row(c, s, core, i, key)
    power = c.power[core, :, : c.epoch[core] + 1]
    left = _bring_on(s.x1, s.tx, first, stop, (c.impulse[core, 0], power[0]), key, PRE)
    left |= _bring_on(s.y1, s.ty, lower, upper, (c.impulse[core, 1], power[1]), key, POST)
    s.traced[core] = left
