"""TOML and ``--set key=value`` to frozen dataclasses and back; `spikestream.building` makes a pipeline of them.

An unknown key is an error that names the nearest; what there are, with their defaults, stands in `sections`.
"""

from __future__ import annotations

import dataclasses
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spikestream.config.sections import ChipConfig, Config, HearConfig, LogConfig
from spikestream.errors import ConfigError, nearest
from spikestream.files.regular import open_regular
from spikestream.wire import is_pattern, is_topic

__all__ = [
    "HOUR_US",
    "OF_THE_DAEMON",
    "ChipConfig",
    "Config",
    "HearConfig",
    "LogConfig",
    "from_tables",
    "parsed_setting",
    "parsed_toml",
    "pipeline_of",
    "read_config",
    "read_pipelines",
    "read_toml",
    "to_tables",
    "with_value",
]

HOUR_US = 3_600_000_000
POLARITIES = ("split", "ignore")
OF_THE_DAEMON = ("publish", "log", "control", "http")
"""Sections that all pipelines of a daemon share."""
RESTARTS = ("failure", "never")
LONGEST_STAGE = "x" * 44 + ".decisions"
"""Room that a topic needs behind the name of its pipeline."""


def read_config(path: str | Path | None, sets: Sequence[str] = (), base: Mapping[str, Any] | None = None) -> Config:
    """Return the configuration of ``base`` tables, then a TOML file, then ``section.key=value`` settings on top."""
    tables = _copied(base or {})
    below = tables.pop("model", None)
    if path is not None:
        _overlay(tables, read_toml(path))
    for text in sets:
        _set(tables, text)
    return from_tables(_with_model(tables, below))


def read_pipelines(
    path: str | Path, sets: Sequence[str], base_of: Callable[[Config], Mapping[str, Any]]
) -> dict[str, Config]:
    """Return the configurations of a daemon's pipelines by name, from a TOML file with ``KEY=VALUE`` settings on top.

    Each table of ``[pipelines]`` is one, made on the sections outside; without it the file is one pipeline.
    ``base_of`` returns the tables that what a configuration names brings along. Raises `ConfigError`.
    """
    tables = read_toml(path)
    for text in sets:
        _set(tables, text)
    return {name: _on_base(own, base_of) for name, own in _split(tables).items()}


def parsed_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text; raises `ConfigError`."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"this is not TOML: {error}") from error


def pipeline_of(
    name: str, tables: Mapping[str, Any], base_of: Callable[[Config], Mapping[str, Any]], outside: Config
) -> Config:
    """Return the configuration of one more pipeline of a daemon from its own ``tables``; raises `ConfigError`."""
    shared = {section: dataclasses.asdict(getattr(outside, section)) for section in OF_THE_DAEMON}
    return _on_base(_one_of(shared, name, tables), base_of)


def _on_base(own: Mapping[str, Any], base_of: Callable[[Config], Mapping[str, Any]]) -> Config:
    """Return the configuration of tables, with the defaults below them that it asks for itself."""
    base = _copied(base_of(from_tables(_with_model(dict(own)))))
    below = base.pop("model", None)
    _overlay(base, own)
    return from_tables(_with_model(base, below))


def _split(tables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables of every pipeline by name."""
    outside = {name: table for name, table in tables.items() if name != "pipelines"}
    named, publish = tables.get("pipelines"), outside.get("publish", {})
    if named is None:
        return {from_tables({"publish": publish}).publish.pipeline: outside}
    if not isinstance(named, Mapping) or not named or not all(isinstance(table, Mapping) for table in named.values()):
        allowed = "[pipelines.NAME.SECTION]"
        raise ConfigError("pipelines are tables, each with a name", key="pipelines", value=named, allowed=allowed)
    if isinstance(publish, Mapping) and "pipeline" in publish:
        text = "publish.pipeline is the name of a single pipeline, and here each has its own"
        raise ConfigError(text, key="publish.pipeline", value=publish["pipeline"], remedy="leave it out")
    return {name: _one_of(outside, name, own) for name, own in named.items()}


def _one_of(outside: Mapping[str, Any], name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of one pipeline of several."""
    for section in OF_THE_DAEMON:
        if section in own:
            text, allowed = f"'{section}' is for the whole daemon", f"[{section}], outside of the pipelines"
            raise ConfigError(text, key=f"pipelines.{name}.{section}", allowed=allowed)
    made = _copied(outside)
    if "model" in own:  # a network is one thing, not an overlay of two
        made.pop("model", None)
    _overlay(made, own)
    publish = made.get("publish", {})
    return {**made, "publish": {**publish, "pipeline": name} if isinstance(publish, Mapping) else publish}


def _with_model(tables: dict[str, Any], below: Any = None) -> dict[str, Any]:
    """Return tables whose section model is whole: read from the file it names, or made on that ``below``."""
    model = tables.get("model")
    if isinstance(model, Mapping) and "file" in model:  # what is read here goes into every checkpoint
        tables["model"] = {**read_toml(str(model["file"])), **{k: v for k, v in model.items() if k != "file"}}
    elif below and (model is None or isinstance(model, Mapping)):
        tables["model"] = {**below, **(model or {})}
    return tables


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the tables of a TOML file; raises `ConfigError`."""
    try:
        with open_regular(path) as file:
            return tomllib.loads(file.read().decode())
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}", key=str(path)) from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, too many digits, nested too deep
        raise ConfigError(f"{path} is not TOML: {error}", key=str(path)) from error


def from_tables(tables: Mapping[str, Any]) -> Config:
    """Return the configuration of nested tables as TOML gives them; raises `ConfigError`."""
    sections = {f.name: f for f in dataclasses.fields(Config)}
    made: dict[str, Any] = {}
    for name, table in tables.items():
        if name == "pipelines":
            raise ConfigError("several pipelines are for a daemon", key=name, remedy="spikestream run CONFIG")
        if name not in sections:
            raise _unknown_section(name, table, [*sections])
        if name == "filter":
            made[name] = _filters(table)
            continue
        if name == "model" and isinstance(table, Mapping):
            made[name] = dict(table)
            continue
        if not isinstance(table, Mapping):
            raise ConfigError(
                f"'{name}' is a section, not {table!r}", key=name, value=table, allowed=f"{name}.KEY=VALUE"
            )
        made[name] = _section(name, _defaults(name), table)
    config = Config(**made)
    _check(config)
    return config


def _unknown_section(name: str, value: Any, sections: list[str]) -> ConfigError:
    """Return what to raise for a section that is none: it may be a key that was said without its section."""
    places: dict[str, list[str]] = {}
    for section in sections:
        for field in dataclasses.fields(made) if dataclasses.is_dataclass(made := _defaults(section)) else ():
            places.setdefault(field.name, []).append(f"{section}.{field.name}")
    near = nearest(name, sections if isinstance(value, Mapping) else [*sections, *places])
    meant = [near] if near in sections else places.get(near, [""])
    text = f"'{name}' is said without its section" if name == near else f"unknown section '{name}'"
    several = ", ".join(meant) if len(meant) > 1 else ""
    return ConfigError(text, key=name, allowed=several, nearest="" if several else meant[0])


def to_tables(config: Config) -> dict[str, Any]:
    """Return the configuration as nested tables that `from_tables` takes back."""
    return dataclasses.asdict(config)


def with_value(config: Config, section: str, **values: Any) -> Config:
    """Return the configuration with some keys of one section changed."""
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})


def _defaults(section: str) -> Any:
    return getattr(Config(), section)


def _check(config: Config) -> None:
    """Refuse what would else come to light in the middle of a run."""
    checks = (
        ("batch.length_us", config.batch.length_us, 0 < config.batch.length_us <= HOUR_US, f"1 to {HOUR_US:,}"),
        ("network.tick_us", config.network.tick_us, 0 < config.network.tick_us <= HOUR_US, f"1 to {HOUR_US:,}"),
        (
            "classifier.tick_us",
            config.classifier.tick_us,
            0 < config.classifier.tick_us <= HOUR_US,
            f"1 to {HOUR_US:,}",
        ),
        ("chip.tick_us", config.chip.tick_us, 0 <= config.chip.tick_us <= HOUR_US, f"0 to {HOUR_US:,}"),
        ("address.polarity", config.address.polarity, config.address.polarity in POLARITIES, ", ".join(POLARITIES)),
        ("readout.window_us", config.readout.window_us, config.readout.window_us > 0, "1 or more"),
        ("checkpoint.every_s", config.checkpoint.every_s, config.checkpoint.every_s > 0, "numbers above 0"),
        ("checkpoint.keep", config.checkpoint.keep, 1 <= config.checkpoint.keep <= 1_000, "1 to 1,000"),
        *_log_checks(config.log),
        ("restart.policy", config.restart.policy, config.restart.policy in RESTARTS, ", ".join(RESTARTS)),
        ("restart.base_s", config.restart.base_s, config.restart.base_s > 0, "numbers above 0"),
        ("restart.cap_s", config.restart.cap_s, config.restart.cap_s > 0, "numbers above 0"),
        ("restart.calm_s", config.restart.calm_s, config.restart.calm_s > 0, "numbers above 0"),
        (
            "publish.pipeline",
            config.publish.pipeline,
            is_topic(f"{config.publish.pipeline}.{LONGEST_STAGE}"),
            "letters, digits, - and _",
        ),
        ("publish.ring_bytes", config.publish.ring_bytes, config.publish.ring_bytes >= 0, "0 or more"),
        ("publish.ring_total_bytes", config.publish.ring_total_bytes, config.publish.ring_total_bytes > 0, "1 or more"),
    )
    for key, value, fits, allowed in checks:
        if not fits:
            raise ConfigError(f"{key} = {value!r} is out of range", key=key, value=value, allowed=allowed)


def _log_checks(log: LogConfig) -> list[tuple[str, Any, bool, str]]:
    """Return key, value, whether it fits, and what is allowed, of what the segment log is told."""
    patterns = all(map(is_pattern, log.topics)) and bool(log.topics)
    return [
        ("log.topics", log.topics, patterns, "patterns such as main.network.spikes, main.> or *"),
        ("log.segment_bytes", log.segment_bytes, 1 << 16 <= log.segment_bytes <= 1 << 30, "65,536 to 1,073,741,824"),
        (
            "log.max_bytes",
            log.max_bytes,
            log.max_bytes >= 4 * log.segment_bytes,
            "4 log.segment_bytes or more",
        ),
        ("log.max_age_s", log.max_age_s, log.max_age_s >= 0, "0 or more"),
        ("log.sync_s", log.sync_s, 0 <= log.sync_s <= 3_600, "0 to 3,600"),
    ]


def _section(name: str, default: Any, table: Mapping[str, Any]) -> Any:
    types_of = typing.get_type_hints(type(default))
    for key, value in table.items():
        if key not in types_of:
            known = [f"{name}.{k}" for k in types_of]
            raise ConfigError(
                f"unknown key '{name}.{key}'", key=f"{name}.{key}", value=value, nearest=nearest(f"{name}.{key}", known)
            )
    return dataclasses.replace(default, **{k: _typed(f"{name}.{k}", types_of[k], v) for k, v in table.items()})


def _typed(key: str, wanted: Any, value: Any) -> Any:
    if isinstance(wanted, types.GenericAlias):
        items = value if isinstance(value, list | tuple) else [value]
        if wanted.__args__[0] is not str:
            return tuple(_typed(key, wanted.__args__[0], item) for item in items)
        if all(isinstance(item, str) for item in items):
            return tuple(items)
    elif wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) <= sys.float_info.max:  # which nan and infinity are not
            return float(value)
    elif wanted is int and type(value) is int:
        if abs(value) < 2**63:
            return value
    elif type(value) is wanted and not (wanted is str and "\0" in value):
        return value
    elif wanted is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    allowed = "a list of texts" if isinstance(wanted, types.GenericAlias) else wanted.__name__
    raise ConfigError(f"{key} cannot be {value!r}", key=key, value=value, allowed=allowed)


def _filters(rows: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise ConfigError("filters are a list of tables", key="filter", value=rows, allowed='[{kind = "…", …}, …]')
    return tuple(dict(row) for row in rows)


def _copied(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}


def _overlay(tables: dict[str, Any], over: Mapping[str, Any]) -> None:
    for name, value in over.items():
        below = tables.get(name)
        tables[name] = {**below, **value} if isinstance(below, dict) and isinstance(value, Mapping) else value


def _set(tables: dict[str, Any], text: str) -> None:
    """Put one ``section.key=value`` into the tables; a value that is no TOML is a text, and so is one for a text."""
    path, equals, value = text.partition("=")
    names = path.strip().split(".")
    most = 4 if names[0] == "pipelines" else 2
    if not equals or len(names) > most or not all(names):
        raise ConfigError(
            f"'{text}' is no setting", key=path, value=text, allowed="section.key=value, e.g. network.neurons=400"
        )
    *section, key = names
    parsed = value.strip() if _is_bare_text(names[most - 2 :] or names, value) else _parsed(value)
    table = tables
    for name in section:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"'{name}' is no section", key=name, value=text)
    table[key] = parsed


def parsed_setting(text: str) -> tuple[str, Any]:
    """Return key and value of ``key=value``, where the key may have any number of dots; raises `ConfigError`."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.strip().split(".")):
        allowed = "key=value, e.g. network.v_thresh=0.5"
        raise ConfigError(f"'{text}' is no setting", key=key, value=text, allowed=allowed)
    return key.strip(), _parsed(value)


def _is_bare_text(names: Sequence[str], value: str) -> bool:
    """Return whether this is an unquoted value for a key that holds text: 2024_01_01 there is no number."""
    default = getattr(getattr(Config(), names[0], None), names[-1], None)
    return isinstance(default, str) and not value.strip().startswith(('"', "'"))


def _parsed(value: str) -> Any:
    try:
        table = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return value.strip()
    return table["value"] if table.keys() == {"value"} else value.strip()
