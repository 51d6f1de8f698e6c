"""Which kernel runs a neuron with a rule, what its options may be, and what a saved state of it cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, nearest
from spikestream.stages.base import State

if TYPE_CHECKING:
    from types import ModuleType

NEURONS = ("lif",)
RULES = ("stdp", "pair", "none")
MOST = 1e15
"""No option is larger: in ticks it has to fit an int64."""
MOST_TICKS = 1_000_000
"""Of ``tau_plus_ms``, where the traces are a table of 14 times as many."""


class Kind(NamedTuple):
    """A kernel, and what the stage has to know of it."""

    kernel: ModuleType
    learned: tuple[str, ...]  # what a new recording keeps of an earlier run
    scratch: tuple[str, ...]  # arrays of its state that remember nothing
    finite: tuple[str, ...]  # arrays that hold numbers
    natural: tuple[str, ...]  # arrays without anything below 0
    above: tuple[str, ...]  # options above 0
    volley: bool  # whether all neurons may fire in one tick, or only one


def kind_of(neuron: str, rule: str, dtype: str) -> Kind:
    """Return what runs this neuron with this rule; raises `ConfigError`."""
    dtypes = ("float32", "float64") if rule == "pair" else ("float32",)
    for key, value, known in (("neuron", neuron, NEURONS), ("rule", rule, RULES), ("dtype", dtype, dtypes)):
        if value not in known:
            raise ConfigError(
                f"unknown {key} '{value}'", key=key, allowed=", ".join(known), nearest=nearest(str(value), known)
            )
    if rule == "pair":
        from spikestream.kernels import lif_pair

        return Kind(
            kernel=lif_pair,
            learned=("weights", "theta", "fade"),
            scratch=lif_pair.SCRATCH,
            finite=("weights", "v", "theta", "fade", "depress", "x", "sums"),
            natural=("weights", "theta", "fade", "depress", "x", "sums", "cursor", "after"),
            above=("tau_m_ms", "tau_theta_ms", "tau_plus_ms", "tau_minus_ms", "w_max"),
            volley=True,
        )
    from spikestream.kernels import lif_stdp

    return Kind(
        kernel=lif_stdp,
        learned=("weights", "theta", "wins"),
        scratch=("trace",),
        finite=("weights", "v", "theta"),
        natural=("weights", "theta", "wins", "refrac"),
        above=("tau_m_ms", "tau_theta_ms", "tau_plus_ms", "w_norm", "w_max", "wins_half"),
        volley=False,
    )


def params_of(kind: Kind, options: Mapping[str, Any], dtype: str, tick_us: int) -> Any:
    """Return the kernel's ``Params``; raises `ConfigError` where an option is unknown or out of its range."""
    known = [field.name for field in fields(kind.kernel.Params) if field.name != "dtype"]
    for key, value in options.items():
        if key not in known:
            text, near = f"unknown network option '{key}'", nearest(key, known)
            raise ConfigError(text, key=key, value=value, allowed=", ".join(known), nearest=near)
        wanted = int if key == "seed" else int | float
        if isinstance(value, bool) or not isinstance(value, wanted) or not abs(value) <= MOST:
            text = f"network option {key} = {value!r} is not a number"
            raise ConfigError(text, key=key, value=value, allowed=f"numbers up to {MOST:g}")
    typed = {"dtype": dtype} if kind.volley else {}
    params = replace(kind.kernel.Params(), **options, **typed)
    for key in known:
        value = getattr(params, key)
        if key in kind.above and np.float32(value) <= 0:  # as the kernel sees it
            raise ConfigError(f"{key} = {value} is out of range", key=key, allowed="numbers above 0")
        if key not in ("v_thresh", "v_reset") and value < 0:
            raise ConfigError(f"{key} = {value} is out of range", key=key, allowed="numbers from 0 on")
    if params.v_reset >= params.v_thresh:
        raise ConfigError("v_reset must lie below v_thresh", key="v_reset", value=params.v_reset)
    key, most = ("tau_refrac_ms", kind.kernel.MOST_REFRAC) if kind.volley else ("tau_plus_ms", MOST_TICKS)
    value = getattr(params, key)
    if value * 1000 > most * tick_us:
        raise ConfigError(f"{key} = {value} is out of range", key=key, value=value, allowed=f"up to {most:,} ticks")
    return params


def weights_of(given: Array, shape: tuple[int, int], params: Any) -> Array:
    """Return weights to begin with; raises `ConfigError` unless they have the shape and lie in [0, w_max]."""
    allowed = f"numbers from 0 to {params.w_max:g}, {shape[0]} x {shape[1]}"
    try:
        weights = np.asarray(given)
    except ValueError as error:  # rows of different lengths
        raise ConfigError("init_weights are no array", key="init_weights", allowed=allowed) from error
    if weights.shape != shape or weights.dtype.kind not in "fiu":
        text = f"init_weights are {weights.dtype}{weights.shape}"
        raise ConfigError(text, key="init_weights", allowed=allowed)
    if not (np.min(weights) >= 0 and np.max(weights) <= params.w_max):
        text = f"init_weights lie in {np.min(weights):g}..{np.max(weights):g}"
        raise ConfigError(text, key="init_weights", allowed=allowed)
    return weights


def absurd(kind: Kind, taken: State) -> str:
    """Return what in a kernel's state of the right shapes can never have been, "" where all is well."""
    if not all(np.isfinite(taken[key]).all() for key in kind.finite):
        return "numbers that are not finite"
    if min(taken[key].min() for key in kind.natural) < 0:
        return "negative weights, thresholds or counts"
    if kind.volley:
        return _absurd_rings(kind, taken)
    return "spikes later than its time" if taken["last"].max() > taken["next"] else ""


def _absurd_rings(kind: Kind, taken: State) -> str:
    """Return what would lead the kernel of pair STDP outside of its rings."""
    now, seen, start, ring = int(taken["now"][0]), taken["seen"], taken["start"], len(taken["start"])
    if abs(now) > 2**62 or (now != taken["next"] and np.any(taken["x"])):
        return "traces of another time"
    alive = seen[taken["x"] > 0]
    if np.any((alive > now) | (alive < now - ring + kind.kernel.BLOCK + 1)):
        return "traces older than it remembers"
    # The ring begins with the slot after this tick's, whose count is the latest.
    counts = np.roll(start, -(now + 1) % ring)
    made, first, stop = np.diff(counts), int(counts[0]), int(counts[-1])
    if first < 0 or np.any(made < 0) or stop - first > len(taken["ids"]):
        return "more spikes than it remembers"
    neurons, places = len(taken["v"]), np.arange(first, stop) % len(taken["ids"])
    if np.any((taken["ids"] >= neurons) | (taken["ids"] < -neurons)):
        return "spikes of no neuron"
    if np.any(taken["when"][places] != np.repeat(now - ring + 1 + np.arange(ring - 1), made)):
        return "spikes of another time"
    if np.any(taken["after"] > ring) or taken["cursor"][0] >= ring or taken["cursor"][1] >= len(seen):
        return "a place outside of its rings"
    if taken["fade"][0] == 0 or taken["fade"][0] > 1:
        return "a threshold's factor outside of 0..1"
    return ""
