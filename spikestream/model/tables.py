"""Parts of a model from nested tables, as TOML gives them, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from spikestream.errors import ConfigError
from spikestream.model.checks import known_keys, name_of, params_of, refused
from spikestream.model.parts import NEURON_KEYS, Input, Population, Projection, Rule
from spikestream.model.patterns import set_options
from spikestream.model.values import Values, plain

KEYS = ("tick_us", "seed", "dtype", "outputs", "inputs", "populations", "projections")
PROJECTION_KEYS = tuple(field.name for field in fields(Projection) if field.name != "name")


def parts_from_tables(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model is made of; raises `ConfigError`."""
    given = dict(known_keys("", tables, KEYS))
    given["inputs"] = [_input(name, table) for name, table in _named("inputs", tables)]
    given["populations"] = [_population(name, table) for name, table in _named("populations", tables)]
    given["projections"] = [_projection(name, table) for name, table in _named("projections", tables)]
    return given


def tables_of_parts(
    inputs: Sequence[Input], populations: Sequence[Population], projections: Sequence[Projection]
) -> dict[str, Any]:
    """Return the tables of the parts; what has its default is left out."""
    return {
        "inputs": {one.name: _extent(one) for one in inputs},
        "populations": {one.name: _of_population(one) for one in populations},
        "projections": {one.name: _of_projection(one) for one in projections},
    }


def _named(where: str, tables: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the tables of a section with their names."""
    section = tables.get(where, {})
    if not isinstance(section, Mapping):
        raise refused(where, section, f"tables [{where}.NAME]")
    for name, table in section.items():
        key = f"{where}.{name_of(where, name)}"
        if not isinstance(table, Mapping):
            raise refused(key, table, "a table")
    return list(section.items())


def _input(name: str, table: Mapping[str, Any]) -> Input:
    return Input(name, **known_keys(f"inputs.{name}", table, ("size", "shape")))


def _population(name: str, table: Mapping[str, Any]) -> Population:
    own = {key: value for key, value in table.items() if key in NEURON_KEYS}
    params = {key: value for key, value in table.items() if key not in NEURON_KEYS}
    return Population(name, **own, params=params)


def _projection(name: str, table: Mapping[str, Any]) -> Projection:
    where = f"projections.{name}"
    given = dict(known_keys(where, table, PROJECTION_KEYS))
    for key in ("source", "target", "weights"):
        if key not in given:
            raise ConfigError(f"projection '{name}' needs '{key}'", key=f"{where}.{key}")
    rules = given.pop("rules", [])
    if not isinstance(rules, list | tuple):
        raise refused(f"{where}.rules", rules, "[{kind = …}, …]")
    return Projection(name, **given, rules=[_rule(f"{where}.rules.{i}", row) for i, row in enumerate(rules)])


def _rule(key: str, row: object) -> Rule:
    if not isinstance(row, Mapping) or not isinstance(row.get("kind"), str) or not row["kind"]:
        raise refused(key, row, '{kind = "…", …}')
    return Rule(row["kind"], params_of(key, {name: value for name, value in row.items() if name != "kind"}))


def _extent(part: Input | Population) -> dict[str, Any]:
    return {"shape": list(part.shape)} if part.shape else {"size": part.size}


def _of_population(one: Population) -> dict[str, Any]:
    initial = {"initial": {name: plain(value) for name, value in one.initial.items()}} if one.initial else {}
    return {**_extent(one), "neuron": one.neuron, **one.params, **initial}


def _of_projection(one: Projection) -> dict[str, Any]:
    table: dict[str, Any] = {"source": one.source, "target": one.target, "connect": one.connect}
    options = {name: _listed(value) for name, value in set_options(one).items()}
    made = {**table, **options, "weights": plain(one.weights)}
    if one.receptor:
        made["receptor"] = one.receptor
    if one.delay_ms is not None:
        made["delay_ms"] = plain(one.delay_ms)
    if one.rules:
        made["rules"] = [{"kind": rule.kind, **rule.params} for rule in one.rules]
    return {**made, "seed": one.seed} if one.seed else made


def _listed(value: Any) -> Any:
    """Return an option as TOML has it."""
    return value.array.tolist() if isinstance(value, Values) else list(value) if isinstance(value, tuple) else value
