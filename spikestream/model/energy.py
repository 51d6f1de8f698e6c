"""An estimate of what a chip would have used: counted events times coefficients that somebody published.

    E = ticks · tick · static · cores + synaptic_operations · e_syn + neuron_updates · e_upd + spikes · e_spike
        + hops_x · e_x + hops_y · e_y

A sum over events is no measurement: docs/energy.md tells what is not in it. So all that is returned here is labelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spikestream.errors import ConfigError, ModelError
from spikestream.model.checks import choice_of, known_keys, name_of, number_of, text_of, whole_of

LABEL = "estimate"
WATTS = {"W": 1.0, "mW": 1e-3, "uW": 1e-6, "nW": 1e-9, "pW": 1e-12}
JOULES = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9, "pJ": 1e-12, "fJ": 1e-15}
UNITS = {"static": WATTS} | dict.fromkeys(("synaptic_operation", "neuron_update", "spike", "hop_x", "hop_y"), JOULES)
PARTS = {  # part of an estimate: counter and coefficient of each of its terms
    "synapses": (("synaptic_operations", "synaptic_operation"),),
    "updates": (("neuron_updates", "neuron_update"),),
    "spikes": (("spikes", "spike"),),
    "hops": (("hops_x", "hop_x"), ("hops_y", "hop_y")),
}
COUNTED = tuple(counter for terms in PARTS.values() for counter, _ in terms)
MOST, MOST_VALUE = 2**63 - 1, 1e9
SOME = 1e-3
"""Parts of less than this share of an estimate are not shown."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What one core uses at rest, W, and what events use, J, by the names of `UNITS`, with the source of each."""

    name: str
    about: str
    values: Mapping[str, float]
    sources: Mapping[str, str]

    @classmethod
    def from_tables(cls, name: str, table: object) -> Coefficients:
        """Return the coefficients of a table of six, each with value, unit and source; raises `ConfigError`."""
        name_of("the name of a table of energy", name)
        given = known_keys(name, table, ("about", *UNITS))
        about = text_of(f"{name}.about", given.get("about", ""), empty=True)
        values, sources = {}, {}
        for key, units in UNITS.items():
            values[key], sources[key] = _entry(f"{name}.{key}", given.get(key), units)
        return cls(name, about, values, sources)


def _entry(where: str, given: object, units: Mapping[str, float]) -> tuple[float, str]:
    """Return one coefficient in W or J and its source."""
    if given is None:
        allowed = f'{{ value = 0.0, unit = "{next(iter(units))}", source = "why it is none" }}'
        raise ConfigError(f"{where} is missing", key=where, allowed=allowed)
    row = known_keys(where, given, ("value", "unit", "source"))
    scale = units[choice_of(f"{where}.unit", row.get("unit"), units)]
    source = text_of(f"{where}.source", row.get("source"))
    return number_of(f"{where}.value", row.get("value"), 0, MOST_VALUE) * scale, source


def table_of(law: str) -> str:
    """Return the name of the shipped table for a chip of a law, as a placement names it: ``ranc/1`` is a TrueNorth."""
    kind = law.partition("/")[0]
    return {"ranc": "truenorth"}.get(kind, kind)


def estimate(
    counters: Mapping[str, int], ticks: int, cores: int, tick_us: int, coefficients: Coefficients
) -> dict[str, Any]:
    """Return, as JSON values, an estimate of the energy of ``ticks`` ticks of ``cores`` cores; raises `ModelError`.

    ``counters`` are those of `Chip.counters` over these ticks. ``energy_j`` is the sum of ``parts_j``, J; ``power_w``
    its mean, W, and ``energy_per_tick_j`` are null without ticks. ``label`` says what it is.
    """
    ticks, cores = whole_of("ticks", ticks, 0, MOST), whole_of("cores", cores, 1, MOST)
    seconds = ticks * whole_of("tick_us", tick_us, 1, MOST) / 1e6
    counted = {name: _count(counters, name) for name in COUNTED}
    values = coefficients.values
    parts = {"static": seconds * values["static"] * cores}
    for part, terms in PARTS.items():
        parts[part] = sum(counted[counter] * values[coefficient] for counter, coefficient in terms)
    total = sum(parts.values())
    return {
        "label": LABEL,
        "coefficients": coefficients.name,
        "about": coefficients.about,
        "energy_j": total,
        "power_w": total / seconds if ticks else None,
        "energy_per_tick_j": total / ticks if ticks else None,
        "parts_j": parts,
        "sources": dict(coefficients.sources),
    }


def _count(counters: Mapping[str, int], name: str) -> int:
    if name not in counters:
        text = f"an estimate of energy needs the counter '{name}'"
        raise ModelError(text, details=[f"given: {', '.join(map(str, counters)) or 'none'}"])
    return whole_of(f"counters.{name}", counters[name], 0, MOST)


def lines(estimated: Mapping[str, Any]) -> list[str]:
    """Return what `estimate` returned as lines to print, labelled, with the sources of what has a part in it."""
    total, parts = estimated["energy_j"], estimated["parts_j"]
    head = f"energy ({estimated['label']}, {estimated['coefficients']}): {_shown(total, 'J')}"
    if estimated["power_w"] is not None:
        head += f", {_shown(estimated['power_w'], 'W')}, {_shown(estimated['energy_per_tick_j'], 'J')} a tick"
    shares = [f"{part} {share / total:.1%}" for part, share in parts.items() if share > SOME * total]
    told = [head, *([f"  of it {', '.join(shares)}"] if shares else [])]
    told += [f"  {estimated['about']}"] if estimated["about"] else []
    keys = [key for part, terms in PARTS.items() if parts[part] > SOME * total for _, key in terms]
    keys += ["static"] if parts["static"] > SOME * total else []
    return told + [f"  {key}: {estimated['sources'][key]}" for key in keys]


def _shown(value: float, unit: str) -> str:
    """Return a number with a prefix, e.g. ``1.23 mJ``."""
    for scale, prefix in ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value / 1e-12:.3g} p{unit}"
