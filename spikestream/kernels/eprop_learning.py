"""What a label brings to the classifier of `spikestream.kernels.eprop`: its window once more, with gradients.

The equations stand there. Traces of inputs are kept for the active axons only, one row of them for each update.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from spikestream.kernels import Array
from spikestream.kernels.eprop import (
    BETA_1,
    BETA_2,
    EPSILON,
    FLOOR,
    GAMMA,
    Coeffs,
    Memory,
    Scratch,
    Weights,
    integrate,
    read,
    span,
    trace,
)


@njit(cache=True, nogil=True)
def rate_of(c: Coeffs, w: Weights) -> np.float32:
    """Return the rate of the next step: it falls with the windows learned, which an endless stream can know."""
    return c.rate_end + (c.rate - c.rate_end) / (np.float32(1) + np.float32(w.steps[0]) / c.rate_half)


@njit(cache=True, nogil=True)
def adapt(
    w: Array, mean: Array, square: Array, gradient: Array, rate: np.float32, fixes: tuple[np.float32, np.float32]
) -> None:
    """Move one row (n,) by its gradient; ``fixes`` undo that the moments began at zero."""
    b1, b2, eps, one = np.float32(BETA_1), np.float32(BETA_2), np.float32(EPSILON), np.float32(1)
    for j in range(len(w)):
        g = gradient[j]
        m = b1 * mean[j] + (one - b1) * g
        n = b2 * square[j] + (one - b2) * g * g
        mean[j] = m
        square[j] = n
        w[j] -= rate * (m * fixes[0]) / (np.sqrt(n * fixes[1]) + eps)


@njit(cache=True, nogil=True)
def hear(c: Coeffs, g: Scratch, axon: Array, update: int, left: int, active: int) -> int:
    """Add one tick's input to the traces as they stand at the update, ``left`` ticks on; return how many there are."""
    share = c.decay_x ** np.float32(left)
    for e in range(len(axon)):
        i = axon[e]
        if g.place[i] < 0:
            g.place[i] = active
            g.active[active] = i
            active += 1
        g.x[update, g.place[i]] += share
    return active


@njit(cache=True, nogil=True)
def err(c: Coeffs, m: Memory, g: Scratch, layer: int, update: int, ramp: np.float32, target: int, live: int) -> None:
    """Turn the shares in ``s`` into the errors of a layer, and add what they say of its readout to the gradient."""
    low, high = span(c, m, layer)
    for k in range(live):
        g.s[k] = ramp * (g.s[k] - (np.float32(1) if k == target else np.float32(0)))
        g.error[update, layer, k] = g.s[k]
        g.gb[k] += g.s[k]
    for q in range(len(m.o)):
        for j in range(low, high):
            o = m.o[q, j]
            if o > np.float32(1e-3):
                for k in range(live):
                    g.gv[q, j, k] += o * g.s[k]


@njit(cache=True, nogil=True)
def learn(
    c: Coeffs, w: Weights, m: Memory, g: Scratch, ticks: int, tick: Array, axon: Array, target: int, live: int
) -> float:
    """Run a window of ``ticks`` ticks on spikes sorted by ``tick`` (n,) int32, its first tick 0, and take one step.

    ``m`` is the memory at its start and is changed. Returns the error, as the mean of 1 - s of the label.
    """
    hidden, speaking = len(m.v), len(c.reach)
    zero, one, gamma = np.float32(0), np.float32(1), np.float32(GAMMA)
    g.gv[:] = zero
    g.gb[:] = zero
    g.psi[:] = zero
    active, update, e = 0, 0, 0
    wrong, weight, last = zero, zero, zero
    for now in range(ticks):
        at = min((update + 1) * c.update, ticks) - 1  # the tick of the next update
        begin = e
        while e < len(tick) and tick[e] <= now:
            e += 1
        if hidden:
            active = hear(c, g, axon[begin:e], update, at - now, active)
        if speaking:  # before the tick: its neurons heard those that fired in the tick before
            share = c.decay_x ** np.float32(at - now)
            for j in range(speaking):
                g.xr[update, j] += share * m.fired[j]
        integrate(c, w, m, axon[begin:e])
        for j in range(hidden):
            threshold = one + w.beta[j] * m.a[j]
            fires = one if m.v[j] > threshold else zero
            g.psi[j] += gamma * max(zero, one - abs(m.v[j] - threshold))
            m.a[j] = m.a[j] * c.decay_a + fires
            m.v[j] = max(m.v[j] - (threshold if c.soft else m.v[j]) * fires, np.float32(FLOOR))
            m.fired[j] = fires
        trace(c, m, axon[begin:e])
        if now < at:
            continue
        ramp = np.float32(now + 1) / np.float32(ticks)
        for layer in range(len(c.layers)):
            read(c, w, m, layer, live, g.s)
            last = one - g.s[target]
            err(c, m, g, layer, update, ramp, target, live)
        wrong += ramp * last
        weight += ramp
        since = np.float32(at + 1 - update * c.update)
        for j in range(hidden):
            g.signal[update, j] = g.psi[j] / since
            g.psi[j] = zero
        update += 1
        if update * c.update < ticks:
            fade = c.decay_x ** np.float32(min(c.update, ticks - update * c.update))
            for k in range(active):
                g.x[update, k] = g.x[update - 1, k] * fade
            for j in range(speaking):
                g.xr[update, j] = g.xr[update - 1, j] * fade
    if hidden:
        for layer in range(len(c.layers)):
            blame(c, w, g, span(c, m, layer), layer, ticks, update, live)
    change(c, w, g, update, active, live)
    return float(wrong / weight)


@njit(cache=True, nogil=True)
def blame(
    c: Coeffs, w: Weights, g: Scratch, neurons: tuple[int, int], layer: int, ticks: int, updates: int, live: int
) -> None:
    """Turn the surrogate derivatives of a layer's ``neurons`` into learning signals, from the last update to the first.

    What is sent back to a layer are the errors of its own readout.
    """
    outs, (low, high) = len(w.v), neurons
    zero = np.float32(0)
    g.later[:] = zero
    for back in range(updates):
        update = updates - 1 - back
        to_next = np.float32(min((update + 2) * c.update, ticks) - min((update + 1) * c.update, ticks))
        g.s[:] = zero
        for q in range(outs):
            fade = c.decay_out[q] ** to_next
            for k in range(live):
                g.later[q, k] = g.later[q, k] * fade + g.error[update, layer, k]
                g.s[k] += g.later[q, k]
        for j in range(low, high):
            total = zero
            if len(w.back):
                for k in range(live):
                    total += w.back[j, k] * g.s[k]
            else:
                for q in range(outs):
                    for k in range(live):
                        total += w.v[q, j, k] * g.later[q, k]
            g.signal[update, j] *= total


@njit(cache=True, nogil=True)
def change(c: Coeffs, w: Weights, g: Scratch, updates: int, active: int, live: int) -> None:
    """Take one step along the gradients of a window, and clear its traces."""
    outs, sources, _ = w.v.shape
    first = w.w.shape[1]
    rate = rate_of(c, w)
    w.steps[0] += 1
    one, count = np.float32(1), np.float32(w.steps[0])
    fixes = (one / (one - np.float32(BETA_1) ** count), one / (one - np.float32(BETA_2) ** count))
    gradient = np.empty(len(w.decay_m), np.float32)
    for k in range(active):
        i = g.active[k]
        gradient[:] = np.float32(0)
        for u in range(updates):
            x = g.x[u, k]
            if x > np.float32(0.01):
                signal = g.signal[u]
                for j in range(first):
                    gradient[j] += x * signal[j]
            g.x[u, k] = np.float32(0)
        g.place[i] = -1
        adapt(w.w[i], w.w_mean[i], w.w_square[i], gradient, rate, fixes)
    for i in range(len(c.reach)):
        low, high = c.reach[i, 0], c.reach[i, 1]
        heard = high - low
        gradient[:] = np.float32(0)
        for u in range(updates):
            x = g.xr[u, i]
            if x > np.float32(0.01):
                signal = g.signal[u, low:high]
                for j in range(heard):
                    gradient[j] += x * signal[j]
            g.xr[u, i] = np.float32(0)
        adapt(w.r[i, :heard], w.r_mean[i, :heard], w.r_square[i, :heard], gradient, rate, fixes)
    quick = rate * c.rate_out
    for q in range(outs):
        for j in range(sources):
            adapt(w.v[q, j, :live], w.v_mean[q, j, :live], w.v_square[q, j, :live], g.gv[q, j, :live], quick, fixes)
    adapt(w.b[:live], w.b_mean[:live], w.b_square[:live], g.gb[:live], quick, fixes)
