"""``spikestream model show``: the network that a file describes, as text and as a picture."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import Console, add_quiet
from spikestream.errors import ConfigError, nearest
from spikestream.units import pixels, show_count, show_us

if TYPE_CHECKING:
    from spikestream.config import Config
    from spikestream.model import Model
    from spikestream.model.summary import Connected, Summary

MODEL, CONFIGURATION = "model", "configuration"
SAVED = b"PK\x03\x04"
"""What a model that was saved begins with, as every .npz."""


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream model", description=__doc__)
    made.add_argument("action", choices=("show",), metavar="show", help="print inputs, populations and projections")
    made.add_argument("file", metavar="FILE", help="TOML of a model (docs/model.md), or a configuration")
    made.add_argument("--plot", metavar="PICTURE", help="draw it into a .png, .svg or .pdf")
    made.add_argument("--json", action="store_true", help="one JSON object")
    made.add_argument("--size", metavar="WxH", help="pixels of the sensor, where the file does not tell")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Print what the model of a file amounts to, and draw it where asked to."""
    from spikestream.model.summary import summarise

    console = Console(options.quiet)
    if options.plot:
        _check_plot(options.plot, options.file)
    kind, model = read_model(options.file, pixels(options.size) if options.size else None)
    summary = summarise(model)
    if options.json:
        console.json({"file": options.file, "kind": kind, **asdict(summary)})
    else:
        console.out(as_text(options.file, kind, summary))
    if options.plot:
        _draw(options.plot, model, options.file)
        console.log(f"drawn into {options.plot}")
    return 0


def read_model(path: str, size: tuple[int, int] | None) -> tuple[str, Model]:
    """Return whether a file is a model or a configuration, and its model; raises `ConfigError`.

    ``size`` (width, height) in pixels is the sensor's, where the file does not tell.
    """
    from spikestream.building import model_of
    from spikestream.config import Config
    from spikestream.model.tables import KEYS

    tables = _read_tables(path)
    sections = [field.name for field in dataclasses.fields(Config)]
    if any(name in ("inputs", "populations", "projections") for name in tables):
        untold = _leaves_it_to_the_sensor(tables)
        if untold and size is None:
            text = f"{path} leaves the size of its input to the sensor"
            raise ConfigError(text, key="inputs", remedy="--size WxH, pixels of the sensor behind its filters")
        if size is not None and not untold:
            raise ConfigError("--size is for a sensor; this model tells the size of its inputs", key="--size")
        return MODEL, model_of(tables, {"shape": [2, size[1], size[0]]} if size else {})
    if tables and not any(name in sections for name in tables):
        known = [*KEYS, *sections]
        near = next((close for name in tables if (close := nearest(name, known))), "")
        text = f"{path} is neither a model nor a configuration: it has no [populations.NAME] and no section of those"
        raise ConfigError(text, key=path, allowed=", ".join(known), nearest=near)
    return CONFIGURATION, _of_configuration(path, size)


def as_text(path: str, kind: str, summary: Summary) -> str:
    """Return what `run` prints."""
    heard = ", ".join(summary.outputs)
    title = f"{path}: a {kind} of {summary.axons:,} axons and {summary.neurons:,} neurons"
    ticks = f"  ticks of {show_us(summary.tick_us)}, seed {summary.seed}, {summary.dtype}, output {heard}"
    inputs = [[one["name"], f"{one['size']:,}", _shape(one["shape"])] for one in summary.inputs]
    populations = [
        [one["name"], f"{one['size']:,}", _shape(one["shape"]), one["neuron"], _pairs(one["params"]), _begun(one)]
        for one in summary.populations
    ]
    projections = [_row(one) for one in summary.projections]
    tables = (
        _table(["input", ">axons", "shape"], inputs),
        _table(["population", ">neurons", "shape", "neuron", "parameters", "begins with"], populations),
        _table(["projection", "from → to", "pattern", ">synapses", "delay", "weights", "rules"], projections),
    )
    total = f"  {summary.synapses:,} synapses in {show_count(summary.memory_bytes)}B"
    return "\n".join([title, ticks, *(f"\n{table}" for table in tables if table), "", total])


def _row(one: Connected) -> list[str]:
    """Return the cells of a projection."""
    receptor = f" ({one.receptor})" if one.receptor else ""
    low, high = one.delays_ms
    delay = f"{low:g} ms" if low == high else f"{low:g} .. {high:g} ms"
    weights = f"{one.weights_low:.4g}"
    if one.weights_low != one.weights_high:
        weights += f" .. {one.weights_high:.4g}, mean {one.weights_mean:.4g}"
    rules = "; ".join(_pairs({**rule, "kind": ""}, rule["kind"]) for rule in one.rules)
    pattern = _pairs(one.options, one.connect)
    way = f"{one.source} → {one.target}{receptor}"
    return [one.name, way, pattern, f"{one.synapses:,}", delay, weights if one.synapses else "", rules]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns below their heads, without those that are empty; ``>`` before a head aligns right."""
    if not rows:
        return ""
    columns = [column for column in zip(heads, *rows, strict=True) if any(column[1:])]
    lines = zip(*(_aligned(column) for column in columns), strict=True)
    return "\n".join("  " + "  ".join(line).rstrip() for line in lines)


def _aligned(column: Sequence[str]) -> list[str]:
    cells, right = [column[0].removeprefix(">"), *column[1:]], column[0].startswith(">")
    wide = max(map(len, cells))
    return [cell.rjust(wide) if right else cell.ljust(wide) for cell in cells]


def _pairs(values: Mapping[str, Any], first: str = "") -> str:
    """Return names and values in a row, those of an empty value left out."""
    pairs = [f"{name} {_value(value)}" for name, value in values.items() if value != ""]
    return " ".join([*([first] if first else []), ", ".join(pairs)]).rstrip()


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return " x ".join(map(_value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _begun(one: Mapping[str, Any]) -> str:
    ranges = {k: f"{v[0]:g} .. {v[1]:g}" if isinstance(v, tuple) else v for k, v in one["initial"].items()}
    return _pairs(ranges)


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _read_tables(path: str) -> dict[str, Any]:
    from spikestream.files.regular import open_regular

    try:
        with open_regular(path) as file:
            data = file.read()
        return tomllib.loads(data.decode())
    except OSError as error:
        text = f"cannot read the model {path}: {error.strerror}"
        raise ConfigError(text, key=path, remedy="spikestream model --help") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, too many digits, nested too deep
        verb = "models" if data.startswith(SAVED) else "info"
        text = f"{path} is not TOML: {error}"
        raise ConfigError(text, key=path, remedy=f"spikestream {verb} {shlex.quote(path)}") from error


def _leaves_it_to_the_sensor(tables: Mapping[str, Any]) -> bool:
    """Return whether a model has one input that says neither size nor shape."""
    inputs = tables.get("inputs")
    if not isinstance(inputs, Mapping) or len(inputs) != 1:
        return False
    return all(isinstance(table, Mapping) and not table.keys() & {"size", "shape"} for table in inputs.values())


def _of_configuration(path: str, size: tuple[int, int] | None) -> Model:
    """Return the one population that a configuration builds, fed by its sensor."""
    from spikestream.building import build, model_of, sensed
    from spikestream.config import Config, read_config
    from spikestream.model import Input, Model, Population, Projection, Rule

    config = read_config(path)
    pipeline = build(config, *_sensor(config, size))
    stages: dict[str, Any] = {**pipeline.stages}
    if config.model:
        return model_of(config.model, sensed(stages, stages["network"].axons))
    if "network" not in stages:
        text = f"{path} decides by a classifier that reads the senses, and has no network to show"
        raise ConfigError(text, key="classifier.reads", remedy="classifier.reads=network, or readout.kind=votes")
    network, net, learn = stages["network"], config.network, config.learn
    shape = tuple(sensed(stages, network.axons).get("shape", ()))
    own = _changed(net, Config().network, ("neurons", "neuron", "tick_us", "seed", "inhibition"))
    rules = [] if learn.rule == "none" or not learn.enabled else [learn.rule]
    taught = _changed(learn, Config().learn, ("enabled", "rule"))
    projections = [
        Projection(
            "see" if shape else "hear",
            "sensor",
            "network",
            weights=network.weights,
            rules=[Rule(name, taught) for name in rules],
        )
    ]
    if net.inhibition:
        projections.append(Projection("inhibit", "network", "network", connect="lateral", weights=-net.inhibition))
    return Model(
        [Input("sensor", network.axons, shape)],
        [Population("network", network.neurons, neuron=net.neuron, params=own)],
        projections,
        tick_us=net.tick_us,
        seed=net.seed,
    )


def _changed(values: Any, defaults: Any, without: Sequence[str]) -> dict[str, Any]:
    """Return what differs from the defaults of a section."""
    names = [field.name for field in dataclasses.fields(values) if field.name not in without]
    return {name: getattr(values, name) for name in names if getattr(values, name) != getattr(defaults, name)}


def _sensor(config: Config, size: tuple[int, int] | None) -> tuple[tuple[int, int] | None, int]:
    """Return pixels and sample rate of the sensor, as said, or as the recording it plays tells."""
    if size is not None or config.sensor.size or config.sensor.samplerate_hz:
        return size, 0
    path = config.sensor.uri.removeprefix("file:")
    if not os.path.isfile(path):
        text = "the configuration does not tell how large the sensor is"
        raise ConfigError(text, key="sensor.size", remedy="sensor.size or --size WxH; for sound, sensor.samplerate_hz")
    from spikestream.files.info import info

    found = info(path, scan=False, format=config.sensor.format or None)
    return getattr(found, "size", None), getattr(found, "samplerate_hz", 0)


def _check_plot(picture: str, file: str) -> None:
    from spikestream.cli.base.drawing import check_picture

    check_picture(picture)
    if os.path.realpath(picture) == os.path.realpath(file):
        raise ConfigError(f"{picture} cannot be both the model and its picture", key="--plot", value=picture)


def _draw(picture: str, model: Model, title: str) -> None:
    from spikestream.cli.base.drawing import write_figure
    from spikestream.plots.diagram import diagram

    axes = diagram(model)
    axes.set_title(os.path.basename(title), fontsize=10, parse_math=False)
    write_figure(picture, axes.figure)
