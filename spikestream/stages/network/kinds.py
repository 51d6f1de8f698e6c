"""The kernels that are fused by hand, what their options may be, and what a saved state of them cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, nearest
from spikestream.stages.base import State
from spikestream.stages.network.base import MOST

if TYPE_CHECKING:
    from types import ModuleType

MOST_TICKS = 1_000_000
"""Of ``tau_plus_ms``, where the traces are a table of 14 times as many."""


class Kind(NamedTuple):
    """A kernel, and what an engine has to know of it."""

    kernel: ModuleType
    learned: tuple[str, ...]  # what a new recording keeps of an earlier run
    scratch: tuple[str, ...]  # arrays of its state that remember nothing
    finite: tuple[str, ...]  # arrays that hold numbers
    natural: tuple[str, ...]  # arrays without anything below 0
    above: tuple[str, ...]  # options above 0
    rates: tuple[str, ...]  # options that are learning rates
    keys: Mapping[str, str]  # options that may change while it runs, by the key of their setting
    volley: bool  # whether all neurons may fire in one tick, or only one
    learns: bool  # whether weights do

    def runs(self, options: Mapping[str, Any], dtype: str) -> bool:
        """Return whether this kernel knows all options and runs in this dtype."""
        known = {field.name for field in fields(self.kernel.Params)} - {"dtype"} | {"threads"}
        return options.keys() <= known and (dtype == "float32" or (self.volley and dtype == "float64"))


def kind_of(neuron: str, rule: str) -> Kind | None:
    """Return the kernel fused for this neuron with this rule, None where there is none."""
    if neuron != "lif" or rule not in ("stdp", "pair", "none"):
        return None
    if rule == "pair":
        from spikestream.kernels import lif_pair

        return Kind(
            kernel=lif_pair,
            learned=("weights", "theta", "fade"),
            scratch=lif_pair.SCRATCH,
            finite=("weights", "v", "theta", "fade", "y", "x", "sums"),
            natural=("weights", "theta", "fade", "y", "x", "sums", "sweep", "after"),
            above=("tau_m_ms", "tau_theta_ms", "tau_plus_ms", "tau_minus_ms", "w_max"),
            rates=("a_plus", "a_minus"),
            keys=_keys(NEURON, ("tau_plus_ms", "tau_minus_ms", "a_plus", "a_minus")),
            volley=True,
            learns=True,
        )
    from spikestream.kernels import lif_stdp

    return Kind(
        kernel=lif_stdp,
        learned=("weights", "theta", "wins"),
        scratch=("trace",),
        finite=("weights", "v", "theta"),
        natural=("weights", "theta", "wins", "refrac"),
        above=("tau_m_ms", "tau_theta_ms", "tau_plus_ms", "w_norm", "w_max", "wins_half"),
        rates=("rate_start", "rate_end"),
        keys=_keys((*NEURON, *WINNER), ("rate_start", "rate_end", "wins_half", "lesson_ms")),
        volley=False,
        learns=rule != "none",
    )


NEURON = ("tau_m_ms", "v_thresh", "v_reset", "inhibition", "theta_plus", "tau_theta_ms")
WINNER = ("v_floor", "tau_refrac_ms", "theta_half", "w_max", "w_norm")


def _keys(network: tuple[str, ...], learn: tuple[str, ...]) -> Mapping[str, str]:
    """Return options by the key they have in a configuration."""
    return {f"network.{name}": name for name in network} | {f"learn.{name}": name for name in learn}


def threads_of(kind: Kind, threads: Any) -> int:
    """Return how many threads may run it; raises `ConfigError`."""
    most = 2 if kind.volley else 1
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= most:
        text = f"threads = {threads!r} is out of range"
        raise ConfigError(text, key="threads", value=threads, allowed='1, or 2 with rule "pair"')
    return threads


def params_of(kind: Kind, options: Mapping[str, Any], dtype: str, tick_us: int) -> Any:
    """Return the kernel's ``Params``; raises `ConfigError` where an option is unknown or out of its range."""
    known = [field.name for field in fields(kind.kernel.Params) if field.name != "dtype"]
    for key, value in options.items():
        if key not in known:
            text, near = f"unknown network option '{key}'", nearest(key, known)
            raise ConfigError(text, key=key, value=value, allowed=", ".join(known), nearest=near)
        _check_number(key, value)
    typed = {"dtype": dtype} if kind.volley else {}
    return _checked(kind, replace(kind.kernel.Params(), **options, **typed), tick_us)


def changed(kind: Kind, params: Any, changes: Mapping[str, Any], check_tick_us: int = 0) -> Any:
    """Return ``params`` after changes by setting; unless ``check_tick_us`` is 0, raises `ConfigError` as needed."""
    if not check_tick_us:
        return replace(params, **{kind.keys[key]: value for key, value in changes.items()})
    for key, value in changes.items():
        if key not in kind.keys:
            text, near = f"'{key}' cannot be changed while running", nearest(key, kind.keys)
            raise ConfigError(text, key=key, value=value, allowed=", ".join(kind.keys), nearest=near)
        _check_number(kind.keys[key], value)
    return _checked(kind, changed(kind, params, changes), check_tick_us)


def _check_number(key: str, value: Any) -> None:
    wanted = int if key == "seed" else int | float
    if isinstance(value, bool) or not isinstance(value, wanted) or not abs(value) <= MOST:
        text = f"network option {key} = {value!r} is not a number"
        raise ConfigError(text, key=key, value=value, allowed=f"numbers up to {MOST:g}")


def _checked(kind: Kind, params: Any, tick_us: int) -> Any:
    """Return the kernel's ``Params``; raises `ConfigError` where a value is out of its range."""
    for key in (field.name for field in fields(params) if field.name != "dtype"):
        value = getattr(params, key)
        if key in kind.above and np.float32(value) <= 0:  # as the kernel sees it
            raise ConfigError(f"{key} = {value} is out of range", key=key, allowed="numbers above 0")
        if key not in ("v_thresh", "v_reset") and value < 0:
            raise ConfigError(f"{key} = {value} is out of range", key=key, allowed="numbers from 0 on")
    if getattr(params, "theta_shared", 0) > 1:
        text = f"theta_shared = {params.theta_shared} is out of range"
        raise ConfigError(text, key="theta_shared", value=params.theta_shared, allowed="0 to 1")
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


def absurd(kind: Kind, taken: State, params: Any) -> str:
    """Return what in a kernel's state of the right shapes can never have been, "" where all is well."""
    if not all(np.isfinite(taken[key]).all() for key in kind.finite):
        return "numbers that are not finite"
    shared = getattr(params, "theta_shared", 0) > 0  # then a threshold may lie below that of a neuron at rest
    if min(taken[key].min() for key in kind.natural if not (shared and key == "theta")) < 0:
        return "negative weights, thresholds or counts"
    if kind.volley:
        return _absurd_rings(kind, taken)
    late = max(taken["last"].max(), taken["taught"][0]) > taken["next"]
    return "spikes or lessons later than its time" if late else ""


def _absurd_rings(kind: Kind, taken: State) -> str:
    """Return what would lead the kernel of pair STDP outside of its rings."""
    now, seen, ring = int(taken["now"][0]), taken["seen"], taken["start"].shape[1]
    if abs(now) > 2**62 or (now != taken["next"] and np.any(taken["x"])):
        return "traces of another time"
    alive = seen[taken["x"] > 0]
    if np.any((alive >= now) | (alive < now - ring + kind.kernel.BLOCK + 1)):
        return "traces older than it remembers"
    if np.any(taken["after"] > ring) or taken["sweep"][0] >= len(seen):
        return "a place outside of its rings"
    if taken["fade"][0] == 0 or taken["fade"][0] > 1:
        return "a threshold's factor outside of 0..1"
    rings = zip(taken["start"], taken["ids"], taken["when"], strict=True)
    return next(filter(None, (_absurd_ring(now, *part, len(taken["v"])) for part in rings)), "")


def _absurd_ring(now: int, start: Array, ids: Array, when: Array, neurons: int) -> str:
    """Return what in the ring of spikes of a part of the neurons can never have been."""
    # The ring begins with the slot after this tick's, whose count is the latest.
    counts = np.roll(start, -(now + 1) % len(start))
    made, first, stop = np.diff(counts), int(counts[0]), int(counts[-1])
    if first < 0 or np.any(made < 0) or stop - first > len(ids):
        return "more spikes than it remembers"
    if np.any((ids >= neurons) | (ids < -neurons)):
        return "spikes of no neuron"
    if np.any(when[np.arange(first, stop) % len(ids)] != np.repeat(now - len(start) + 1 + np.arange(len(made)), made)):
        return "spikes of another time"
    return ""
