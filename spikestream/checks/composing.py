"""What the laws of neurons and rules share: what their modules must hold, and a small network to run them in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from spikestream.batch import Array, Batch, Label, Spikes, cut, no_spikes
from spikestream.checks import base, stages
from spikestream.checks.running import run, taught
from spikestream.model import Model
from spikestream.registry import found
from spikestream.stages.base import Stage
from spikestream.stages.network import Network
from spikestream.stages.network.components import NEEDED

START_US, STOP_US, TICK_US = 950_000, 1_070_000, 1000
"""A run over the end of a second, at which rules on a grid do what they do now and then."""
AXONS, NEURONS = 6, 5
FAR_TICKS = (0, -(10**9), 17 * 10**11, (2**53 // 10**6 + 1) * 10**6)
"""How far runs are shifted: whole seconds; before 0, to our own epoch, beyond what a float64 counts one by one."""
SILENCE_US = 30_000_000
"""Three times what a gap runs as ticks before it is cut short."""
STAGE = {law.name: law.breach for law in stages.LAWS}

HOOKS = {
    "neurons": {
        "design": "params tick_us f",
        "init": "neurons params f",
        "decay": "c s n adapting",
        "fire": "c s n adapting out",
        "rest": "params s ticks adapting tick_us",
        "absurd": "s",
    },
    "rules": {
        "design": "params tick_us f",
        "init": "groups neurons synapses params f",
        "step": "c s n",
        "on_all": "c s p g j k w",
        "on_pre": "c s g j k w",
        "pre": "c s g",
        "on_post": "c s g j k w",
        "post": "c s j",
        "after_post": "c s g j k w",
        "reward": "c s amount",
        "rest": "params s ticks adapting tick_us",
        "absurd": "s",
    },
}
"""What each function of a module is handed, in this order."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A module on trial, registered as ``name``: ``sizes`` are two examples of what `init` is handed.

    ``model`` returns a model that runs it, of the trial and, where it is not the usual one, ``tick_us``.
    """

    group: str
    module: ModuleType
    name: str
    sizes: tuple[tuple[int, ...], tuple[int, ...]]
    model: Callable[..., Model]
    commands: Sequence[Label] = ()

    def make(self, **options: Any) -> Callable[[], Stage]:
        """Return what makes a fresh network."""
        model = self.model(self, **options)
        return taught(lambda: Network.from_model(model), self.commands)

    def floats(self, stage: Stage) -> dict[str, Array]:
        """Return the module's own numbers in the state of a network, by the names of its fields."""
        own = {key: value for key, value in stage.state().items() if key.startswith(self.path)}
        return {key.rpartition(".")[2]: value for key, value in own.items() if value.dtype.kind == "f"}

    @property
    def path(self) -> str:
        """Return what the keys of the module's arrays begin with in the state of a network."""
        return "populations.out." if self.group == "neurons" else f"projections.see.{self.name}."


def name_of(group: str, module: ModuleType) -> str:
    """Return the name a module is registered by, "" where it is by none."""
    return {one.value.replace(":", "."): one.name for one in found(group)}.get(module.__name__, "")


def spikes() -> Spikes:
    """Return what all networks are given: spikes on twice `AXONS` axons; the second half is for a teacher."""
    rng = np.random.default_rng(7)
    t = np.sort(rng.integers(START_US, STOP_US, 500))
    return Spikes(START_US, STOP_US, t, rng.integers(0, 2 * AXONS, len(t)).astype(np.int32))


def batches() -> list[Batch]:
    """Return them in batches that end in the middle of ticks."""
    parts: list[Batch] = []
    whole = spikes()
    while whole.stop - whole.start > 24_700:
        left, whole = cut(whole, whole.start + 24_700)
        parts.append(left)
    return [*parts, whole]


def rewards() -> list[Label]:
    """Return a reward and a punishment."""
    return [Label(t, START_US, t, "", reward) for t, reward in ((980_500, 5.0), (1_030_000, -3.0))]


def _unregistered(trial: Trial) -> str:
    where = f"no entry point of spikestream.{trial.group} says {trial.module.__name__}"
    return "" if trial.name else where


def _incomplete(trial: Trial) -> str:
    module = trial.module
    if missing := [one for one in NEEDED[trial.group] if not hasattr(module, one)]:
        return f"it lacks {', '.join(missing)}"
    if not is_dataclass(module.Params) or not getattr(module.Params, "__dataclass_params__").frozen:  # noqa: B009
        return "Params is no frozen dataclass"
    for name in ("Coeffs", "State"):
        if not hasattr(getattr(module, name), "_fields"):
            return f"{name} is no NamedTuple"
    return _odd_names(trial) or _odd_hooks(trial)


def _odd_names(trial: Trial) -> str:
    module, state = trial.module, trial.module.State._fields
    floats = [key for key in module.Params.__dataclass_fields__ if type(getattr(module.Params(), key)) is float]
    for name, known, what in (
        ("RECEPTORS", state, "fields of State"),
        ("LEARNED", state, "fields of State"),
        ("RATES", floats, "fields of Params that are floats"),
    ):
        given = getattr(module, name, ())
        if not isinstance(given, tuple) or not set(given) <= set(known):
            return f"{name} = {given!r} is no tuple of {what}"
    return "RECEPTORS is empty" if trial.group == "neurons" and not module.RECEPTORS else ""


def _odd_hooks(trial: Trial) -> str:
    for hook, wanted in HOOKS[trial.group].items():
        if hasattr(trial.module, hook):
            function = getattr(trial.module, hook)
            taken = list(inspect.signature(getattr(function, "py_func", function)).parameters)
            if len(taken) != len(wanted.split()):
                return f"{hook} takes ({', '.join(taken)}), and is handed ({', '.join(wanted.split())})"
    return ""


def _odd_coefficients(trial: Trial) -> str:
    for f in (np.float32, np.float64):
        for tick_us in (1, 100, 1000, 100_000):
            try:
                coeffs = trial.module.design(trial.module.Params(), tick_us, f)
            except ValueError:  # which says that such a tick is not for this module
                continue
            if type(coeffs) is not trial.module.Coeffs:
                return f"design gives {type(coeffs).__name__}"
            for name, value in coeffs._asdict().items():
                if isinstance(value, np.ndarray) and value.dtype.kind not in "fiub":
                    return f"{name} is an array of {value.dtype}"
                if not isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating | np.ndarray):
                    return f"{name} is {type(value).__name__}"
                if not np.all(np.isfinite(value)):
                    return f"{name} is {value} with ticks of {tick_us} µs"
    return ""


def _odd_arrays(trial: Trial) -> str:
    module, f = trial.module, np.float32
    small, large = (module.init(*size, module.Params(), f) for size in trial.sizes)
    if type(small) is not module.State:
        return f"init gives {type(small).__name__}"
    for name, one in small._asdict().items():
        if not isinstance(one, np.ndarray) or not one.ndim or one.dtype.kind not in "fiub":
            return f"{name} is no array of numbers"
        if not one.flags.c_contiguous or not one.flags.writeable:
            return f"{name} is not contiguous and writable"
        two = getattr(large, name)
        if (len(one), len(two)) not in {(len(one), len(one)), *zip(*trial.sizes, strict=True)}:
            return f"{name} has {len(one)} and {len(two)} rows for sizes {trial.sizes[0]} and {trial.sizes[1]}"
    for name in getattr(module, "RECEPTORS", ()):
        array = getattr(small, name)
        if array.shape != (trial.sizes[0][0],) or array.dtype != f:
            return f"receptor {name} is {array.shape} {array.dtype}, not (neurons,) of the network's dtype"
    return ""


def _shared(trial: Trial) -> str:
    module, params = trial.module, trial.module.Params()
    made = [module.init(*trial.sizes[0], params, np.float32)._asdict() for _ in range(2)]
    named = [(name, array) for arrays in made for name, array in arrays.items()]
    for place, (name, one) in enumerate(named):
        for other, two in named[:place]:
            if np.shares_memory(one, two):
                return f"{name} and {other} share memory"
    return ""


def _by_stage(name: str) -> Callable[[Trial], str]:
    return lambda trial: str(STAGE[name](trial.make(), batches()))


def _where_it_is(trial: Trial) -> str:
    seen: list[Batch] = []
    model = trial.model(trial, tick_us=100)
    for shift in (far * 100 for far in FAR_TICKS):
        network = taught(lambda: Network.from_model(model), [replace(c, t=c.t + shift) for c in trial.commands])()
        (answer,) = run(network, [base.shifted(spikes(), shift)])
        seen.append(base.shifted(answer, -shift))
        if wrong := base.difference(seen[:1], seen[-1:]):
            return f"{shift // 100} ticks later: {wrong}"
    return ""


def _slow_silence(trial: Trial) -> str:
    network = trial.make()()
    run(network, batches())
    now, state = STOP_US, dict(network.state())
    for key, value in state.items():
        if key.startswith(trial.path) and value.dtype.kind == "f":
            small = value * value.dtype.type(1e-30)  # so that what is slow to decay gets there too
            state[key] = np.where(abs(small) < np.finfo(value.dtype).tiny, 0, small).astype(value.dtype)
    network.restore(state)
    for _ in range(100):
        run(network, [no_spikes(now, now + 100_000)])
        now += 100_000
        for name, value in trial.floats(network).items():
            if np.any((value != 0) & (abs(value) < np.finfo(value.dtype).tiny)):
                return f"{name} holds subnormal numbers {(now - STOP_US) / 1e6} s after the last spike"
    return ""


def _gap_differs(trial: Trial) -> str:
    gone, ticked = trial.make()(), trial.make()()
    for one in (gone, ticked):
        run(one, batches())
    before, stop = trial.floats(gone), STOP_US + SILENCE_US
    gone.skip(STOP_US, stop)
    run(ticked, [no_spikes(STOP_US, stop)])
    for name, value in trial.floats(ticked).items():
        other, room = trial.floats(gone)[name], 1e-3 * abs(before[name]).max(initial=0)
        if not np.allclose(other, value, rtol=0.02, atol=room):
            return f"{name} comes to {other.ravel()[:3]} by a gap, and to {value.ravel()[:3]} by its ticks"
    return ""


FORM = (
    base.Law("registered", "an entry point of its group says the module", _unregistered),
    base.Law("complete", "all names are there, and each function takes what it is handed", _incomplete),
    base.Law(
        "coefficients",
        "design gives finite numbers and tables of them only, or ValueError, whatever the tick",
        _odd_coefficients,
    ),
    base.Law(
        "arrays", "init gives arrays of numbers, a row for each neuron or synapse, or always as many", _odd_arrays
    ),
    base.Law("nothing shared", "no array of a state shares memory with another, of another network neither", _shared),
)


def alive(name: str, words: str, breach: Callable[[Trial], str]) -> base.Law:
    """Return a law that is broken, and not tried, where one of form is: compiled code would write where it may not."""
    return base.Law(name, words, partial(_formed_first, breach))


def _formed_first(breach: Callable[[Trial], str], trial: Trial) -> str:
    for law in FORM:
        if law.breach(trial):
            return f"it was not tried: the law '{law.name}' comes first"
    return breach(trial)


LIFE = (
    alive("same again", "same input, same spikes, weights and state, bit for bit", _by_stage("repeatable")),
    alive("any grouping", "ticks in any groups give the same, bit for bit", _by_stage("cut anywhere")),
    alive("goes on", "a fresh network that takes over a state goes on bit for bit", _by_stage("saved and restored")),
    alive("any time", "what happens does not depend on the number of the tick", _where_it_is),
    alive("no subnormals", "what decays ends at 0: subnormal numbers make silence slow", _slow_silence),
    alive("gap", "after a long gap, all is within 2 % of what its ticks would have made of it", _gap_differs),
)


def ascending(numbers: Sequence[int]) -> bool:
    """Return whether numbers rise, none twice."""
    return all(a < b for a, b in pairwise(numbers))
