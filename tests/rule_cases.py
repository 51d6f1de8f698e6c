"""Spikes, parameters and a driver that calls a rule's hooks from plain Python, in the order of a tick."""

from __future__ import annotations

import importlib

import naive_rules
import numpy as np

NAMES = tuple(naive_rules.RULES)
MODULES = {name: importlib.import_module(f"spikestream.kernels.rules.{name}") for name in NAMES}
HOOKS = ("on_all", "on_pre", "pre", "on_post", "post", "after_post")
DTYPES = (np.float32, np.float64)
A, N = 4, 3


def drive(name, params, weights, pre, post, ticks, f=np.float64, tick_us=1000, learning=None, before=None, **more):
    """Run ``ticks`` on spikes ``{tick: numbers}``; return weights and state. ``before`` = what an earlier run left.

    ``rewards`` {tick: amount}; ``plain``: hooks are not compiled, which is faster where each is called from here.
    """
    rule, size = MODULES[name], np.shape(weights)
    c = rule.design(params, tick_us, f)
    w, s = before or (np.array(weights, f), rule.init(*size, size[0] * size[1], params, f))
    call = {hook: getattr(rule, hook) for hook in ("step", *HOOKS) if hasattr(rule, hook)}
    if more.get("plain"):
        call = {hook: getattr(one, "py_func", one) for hook, one in call.items()}

    def walk(hook, cells, *first):
        if hook in call and (learning is None or learning(n)):
            for i, j in cells:
                w[i, j] = call[hook](c, s, *first, i, j, i * size[1] + j, w[i, j])

    def once(hook, number):
        if hook in call:
            call[hook](c, s, number)

    for n in ticks:
        for amount in more.get("rewards", {}).get(n, ()):
            rule.reward(c, s, amount)
        for p in range(call["step"](c, s, n)):
            walk("on_all", np.ndindex(size), p)
        for i in pre.get(n, ()):
            walk("on_pre", [(i, j) for j in range(size[1])])
            once("pre", i)
        for j in post.get(n, ()):
            walk("on_post", [(i, j) for i in range(size[0])])
            once("post", j)
            walk("after_post", [(i, j) for i in range(size[0])])
    return w, s


def spikes(rng, ticks, size, share):
    """Draw spikes of ``size`` units, each with probability ``share`` a tick."""
    return {n: np.flatnonzero(rng.random(size) < share).tolist() for n in ticks}


def drawn(seed, name, ticks, share=0.06):
    """Draw (weights, pre, post) for a rule; its weights have the sign that it is for."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.2, 0.8, (A, N)) * (-1 if name == "antihebbian" else 1)
    return weights, spikes(rng, ticks, A, share), spikes(rng, ticks, N, share)


CASES = [
    ("pair", {"a_plus": 0.05, "a_minus": 0.06}),
    ("pair", {"a_plus": 0.2, "a_minus": 0.1, "w_min": 0.1, "w_max": 0.9}),
    ("pair", {"a_plus": 0.05, "a_minus": 0.06, "pairing": "nearest", "tau_plus_ms": 9.0}),
    ("pair", {"a_plus": 0.05, "a_minus": 0.09, "dependence": "multiplicative", "w_min": -0.5, "w_max": 1.5}),
    ("pair", {"a_plus": 0.09, "a_minus": 0.05, "dependence": "power", "mu_plus": 0.4, "mu_minus": 0.7}),
    ("triplet", {"a2_plus": 0.01, "a3_plus": 0.03, "a2_minus": 0.02, "a3_minus": 0.01}),
    ("triplet", {"a2_plus": 0.03, "a3_plus": 0.05, "a2_minus": 0.03, "a3_minus": 0.05, "pairing": "nearest"}),
    ("rstdp", {"w_max": 0.9, "tau_c_ms": 60.0, "tau_d_ms": 20.0}),
    ("rstdp", {"w_min": -3.0, "d_tonic": 4.0, "tau_c_ms": 8.0, "tau_minus_ms": 12.0}),
    ("oja", {"eta": 0.05}),
    ("oja", {"eta": 0.1, "w_min": 0.3, "w_max": 0.6, "tau_ms": 7.0}),
    ("antihebbian", {"eta": 0.02, "rate_hz": 30.0}),
    ("antihebbian", {"eta": 0.1, "w_min": -0.7, "w_max": -0.2}),
    ("normalise", {"every_ms": 50.0, "w_norm": 1.5}),
    ("normalise", {"every_ms": 7.0, "norm": "length", "w_max": 0.5}),
    ("scaling", {"every_ms": 10.0, "beta": 0.9, "tau_rate_ms": 80.0, "rate_hz": 50.0, "w_max": 2.0}),
    ("scaling", {"every_ms": 100.0, "beta": 1.5, "tau_rate_ms": 80.0, "rate_hz": 55.0, "w_min": -1.0, "w_max": 2.0}),
    ("centroid", {"rate_start": 0.5, "wins_half": 3.0}),
    ("centroid", {"tau_plus_ms": 1.0, "w_norm": 3.0, "w_max": 0.9}),
]
