"""How the continuous equations of NIR are cut into steps: a discretisation, and those of known frameworks.

NIR says `tau v' = (v_leak - v) + R i`. With a = dt / tau, a cell's step is v = decay v + gain i + drift:

    "euler"        decay = 1 - a,   gain = a R,          drift = a v_leak
    "exponential"  decay = exp(-a), gain = (1 - decay) R, drift = (1 - decay) v_leak: exact for an i held for the step
    "decay"        decay = exp(-a), gain = a R,          drift = (1 - decay) v_leak
    "undecayed"    decay = exp(-a), gain = a R / decay,  drift = (1 - decay) v_leak

and a current likewise, with tau_syn, w_in and no leak.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ConfigError, nearest

if TYPE_CHECKING:
    from spikestream.model.nir import Graph, Node

Array: TypeAlias = NDArray[Any]

SCHEMES = ("euler", "exponential", "decay", "undecayed")
INTEGRATES = ("step", "time")
FRAMEWORKS: dict[str, dict[str, Any]] = {
    "exact": {"scheme": "exponential", "reset": "crossing", "integrate": "time"},
    "norse": {"late_bias": True, "start_at_leak": True},
    "snntorch": {},
    "spinnaker2": {},
    "nengo": {"scheme": "exponential"},
    "sinabs": {"scheme": "decay", "reset": "subtract", "several": True, "at_threshold": True, "floor_if": True},
    "rockpool": {"scheme": "decay", "reset": "subtract", "several": True, "at_threshold": True},
    "spyx": {"reset": "subtract", "late_reset": True, "late_spikes": True},
    "lava": {"input_delay": 1},
}
"""What differs from the plain Euler step, by framework; docs/nir.md tells what each is established by."""


@dataclass(frozen=True, slots=True)
class Discretisation:
    """What NIR leaves open; raises `ConfigError`. ``dt_s`` None: the graph's own, where it tells or hides one.

    The names of choices that cells have are told in `spikestream.model.circuit`.
    """

    dt_s: float | None = None  # the length of a step, s
    scheme: str = "euler"
    integrate: str = "step"  # IF and I add R i a step; "time": R i dt
    reset: str = "value"
    late_reset: bool = False
    late_spikes: bool = False
    old_current: bool = False
    at_threshold: bool = False
    several: bool = False
    floor_if: bool = False  # IF are held at -v_threshold
    start_at_leak: bool = False  # at first v is v_leak, not 0
    recurrent_delay: int = 1  # steps that what goes back to where it came from takes
    late_bias: bool = False  # and a bias on its way is not there before it
    input_delay: int = 0  # steps

    @classmethod
    def of(cls, framework: str, **given: Any) -> Discretisation:
        """Return how a framework steps, with what is ``given`` instead of its own; raises `ConfigError`."""
        if framework not in FRAMEWORKS:
            text, known = f"framework '{framework}' is not known", ", ".join(FRAMEWORKS)
            near = nearest(framework, FRAMEWORKS)
            raise ConfigError(text, key="framework", value=framework, allowed=known, nearest=near)
        choices = [one.name for one in fields(cls)]
        for name in given:
            if name not in choices:
                text = f"a discretisation has no '{name}'"
                raise ConfigError(text, key=name, allowed=", ".join(choices), nearest=nearest(name, choices))
        return replace(cls(**FRAMEWORKS[framework]), **given)

    def __post_init__(self) -> None:
        for name, allowed in (("scheme", SCHEMES), ("integrate", INTEGRATES)):
            value = getattr(self, name)
            if value not in allowed:
                text, near = f"{name} '{value}' is not known", nearest(str(value), allowed)
                raise ConfigError(text, key=name, value=value, allowed=", ".join(allowed), nearest=near)
        if self.dt_s is not None and not (isinstance(self.dt_s, int | float) and 0 < self.dt_s < np.inf):
            raise ConfigError(f"dt_s = {self.dt_s} is no length of a step", key="dt_s", allowed="seconds, above 0")
        if self.recurrent_delay < 1 or self.input_delay < 0:
            text = f"delays of {self.recurrent_delay} and {self.input_delay} steps cannot be"
            raise ConfigError(text, key="recurrent_delay", allowed="recurrent_delay 1 or more, input_delay 0 or more")

    def leak(self, tau: Array, gain: Array, dt_s: float) -> tuple[Array, Array, Array]:
        """Return the decay of a step, what it makes of an input of 1, and what it makes of a leak of 1."""
        a = dt_s / tau
        decay = 1 - a if self.scheme == "euler" else np.exp(-a)
        made = {"exponential": 1 - decay, "undecayed": a / decay}.get(self.scheme, a)
        return decay, made * gain, 1 - decay


def hidden_dt_s(graph: Graph) -> float | None:
    """Return the step of a framework that wrote a graph so that Euler's gains are exactly 1, s, or None.

    Then tau / R, and tau_syn / w_in, of all neurons are dt. It counts as found where two different time constants
    agree, to a ten-thousandth.
    """
    found = [(tau, tau / weight) for node in graph.nodes.values() for tau, weight in _pairs(node)]
    if not found:
        return None
    taus, steps = (np.concatenate(column) for column in zip(*found, strict=True))
    step = float(np.median(steps))
    agree = np.isfinite(steps).all() and np.all(np.abs(steps - step) <= 1e-4 * step)
    if not agree or step <= 0 or np.ptp(taus) <= 1e-3 * step:
        return None
    return float(f"{step:.5g}")


def _pairs(node: Node | Graph) -> list[tuple[Array, Array]]:
    """Return time constants and the weights that go with them."""
    if node.kind not in ("LI", "LIF", "CubaLI", "CubaLIF"):
        return []
    fields = {name: np.asarray(value, np.float64).reshape(-1) for name, value in node.params.items()}  # type: ignore[union-attr]
    with np.errstate(divide="ignore", invalid="ignore"):
        if node.kind in ("LI", "LIF"):
            return [(fields["tau"], fields["r"] + 0)]
        return [(fields["tau_mem"], fields["r"] + 0), (fields["tau_syn"], fields["w_in"] + 0)]
