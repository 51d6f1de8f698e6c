"""From a model to the parts that an engine runs: neurons, rules, synapses, the latest spikes, and their structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spikestream.errors import ConfigError
from spikestream.kernels.compose_text import Link, Structure, Synapses
from spikestream.model import Model, Population, Projection, Wires, initial_state, wire
from spikestream.stages.network.components import Component, component
from spikestream.stages.network.sources import Recent
from spikestream.stages.network.synapses import synapses_of


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts of a network by name; of ``rules`` those of each projection by kind, in their order."""

    populations: dict[str, Component]
    rules: dict[str, dict[str, Component]]
    synapses: dict[str, Synapses]
    sources: dict[str, Recent]
    structure: Structure

    def components(self) -> list[tuple[str, Component]]:
        """Return all neurons and rules with the path of each."""
        found = [(f"populations.{name}", one) for name, one in self.populations.items()]
        for name, rules in self.rules.items():
            found += [(f"projections.{name}.{kind}", one) for kind, one in rules.items()]
        return found

    def learning(self) -> list[Component]:
        """Return all rules."""
        return [one for rules in self.rules.values() for one in rules.values()]


def assemble(model: Model, single: bool) -> Assembly:
    """Return the parts of a model; raises `ConfigError`. ``single``: its parameters are known without names."""
    wires = {p.name: wire(model, p) for p in model.projections}
    populations = {p.name: _population(model, p, single) for p in model.populations}
    rules = {p.name: _rules(model, p, wires[p.name], single) for p in model.projections}
    synapses = {name: synapses_of(found, model.dtype, bool(rules[name])) for name, found in wires.items()}
    names = list(populations)
    links = tuple(_link(model, p, wires[p.name], populations, rules[p.name]) for p in model.projections)
    neurons, outputs = tuple(one.module for one in populations.values()), tuple(map(names.index, model.outputs))
    structure = Structure(len(model.inputs), neurons, links, outputs)
    made = Assembly(populations, rules, synapses, _sources(model, synapses), structure)
    for path, one in made.components():
        if wrong := one.absurd(one.state()):
            raise ConfigError(f"{path} cannot begin with {wrong}", key=path)
    return made


def _population(model: Model, p: Population, single: bool) -> Component:
    module = component("neurons", p.neuron, "neuron" if single else f"populations.{p.name}.neuron")
    key = "network" if single else f"populations.{p.name}"
    made = Component(module, p.params, key, model.tick_us, model.dtype, (p.size,))
    fields = {key: one for key, one in made.state().items() if one.shape == (p.size,) and one.dtype.kind == "f"}
    for name, values in initial_state(model, p).items():
        if name not in fields:
            path, text = f"populations.{p.name}.initial.{name}", f"neuron '{p.neuron}' has no state '{name}'"
            raise ConfigError(text, key=path, allowed=", ".join(fields))
        fields[name][...] = values
    return made


def _rules(model: Model, p: Projection, wires: Wires, single: bool) -> dict[str, Component]:
    made: dict[str, Component] = {}
    path, size = f"projections.{p.name}.rules", (wires.sources * len(wires.delays), wires.targets, wires.synapses)
    for rule in p.rules:
        if rule.kind in made:
            raise ConfigError(f"rule '{rule.kind}' is there twice", key=path, value=rule.kind)
        module = component("rules", rule.kind, "rule" if single else path)
        if len(wires.share) and not getattr(module, "SHARED", True):
            text = f"rule '{rule.kind}' cannot scale weights that synapses share"
            raise ConfigError(text, key=path, value=rule.kind, allowed="patterns other than conv")
        key = "learn" if single else f"{path}.{rule.kind}"
        made[rule.kind] = Component(module, rule.params, key, model.tick_us, model.dtype, size)
    return made


def _link(
    model: Model, p: Projection, wires: Wires, populations: Mapping[str, Component], rules: Mapping[str, Component]
) -> Link:
    known: tuple[str, ...] = populations[p.target].module.RECEPTORS
    field = p.receptor or known[0]
    if field not in known:
        path, text = f"projections.{p.name}.receptor", f"'{p.target}' has no receptor '{field}'"
        raise ConfigError(text, key=path, value=field, allowed=", ".join(known))
    places = _names(model)
    kind = "shared" if len(wires.share) else wires.kind
    modules = tuple(one.module for one in rules.values())
    return Link(places.index(p.source), list(populations).index(p.target), field, kind, modules)


def _names(model: Model) -> list[str]:
    return [one.name for one in model.inputs] + [one.name for one in model.populations]


def _sources(model: Model, synapses: Mapping[str, Synapses]) -> dict[str, Recent]:
    """Return the latest spikes of inputs, whose axons are numbered on, and populations, as far as they go out."""
    reach = dict.fromkeys(_names(model), 0)
    for p in model.projections:
        reach[p.source] = max(reach[p.source], int(synapses[p.name].delays.max()))
    made, axon = {}, 0
    for one in model.inputs:
        made[one.name] = Recent(reach[one.name], axon, one.size, fires=False)
        axon += one.size
    numbers, number = {}, 0
    for name in model.outputs:
        numbers[name] = number
        number += model.place(name).size
    for two in model.populations:
        made[two.name] = Recent(reach[two.name], numbers.get(two.name, 0), two.size, fires=True)
    return made
