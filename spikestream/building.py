"""From a configuration to the pipeline it asks for: an eye or an ear, a network or a model or a chip, a readout."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spikestream.config import Config, HearConfig, from_tables, with_value
from spikestream.errors import ConfigError, nearest
from spikestream.pipeline import Pipeline
from spikestream.stages.base import Learner, Stage

if TYPE_CHECKING:
    from spikestream.model import Model
    from spikestream.model.placement import Placement
    from spikestream.stages.chip import Chip
    from spikestream.stages.classify import Classifier
    from spikestream.stages.features import Features
    from spikestream.stages.network import Network
    from spikestream.stages.readout import Readout
    from spikestream.stages.trust import Trust

DECIDING = ("votes", "classifier")
"""What may make decisions,"""
READING = ("senses", "network")
"""and what a classifier may hear."""
RULES = ("stdp", "none")
"""Rules whose options are keys of a configuration; a model may have any,"""
NEURONS = ("lif",)
"""and any neurons."""
UNUSED = {
    "network": ("neurons", "neuron", "tick_us", "seed", "reset"),
    "learn": ("rule", "tau_plus_ms", "rate_start", "rate_end", "wins_half"),
}
"""Keys that mean nothing beside a model, which has its own."""


def build(
    config: Config | Mapping[str, Any],
    size: tuple[int, int] | None = None,
    samplerate_hz: int = 0,
    *,
    placement: Placement | None = None,
) -> Pipeline:
    """Return the pipeline of a configuration: filter → address → features, or hear, → network, or chip, → readout.

    A readout that is a classifier needs neither network nor chip.

    ``size`` (width, height) in pixels or ``samplerate_hz``, of sound, is the sensor's; without it ``sensor.size`` or
    ``sensor.samplerate_hz`` must say. ``placement`` is what a chip holds in place of what the section chip names.
    Raises `ConfigError`, and `ModelError` for a placement that cannot be read.
    """
    made = with_sensor(config if isinstance(config, Config) else from_tables(config), size, samplerate_hz)
    stages, axons = senses(made)
    if made.readout.kind != "votes":
        return Pipeline(_guarded(made, {**stages, **_classifying(made, stages, axons, placement)}), made)
    if placement is not None or on_chip(made):
        chip = _chip(made, axons, placement)
        readout = _readout(made, chip.placement.outputs, chip.tick_us)
        return Pipeline(_guarded(made, {**stages, "chip": chip, "readout": readout}), made)
    network = _thinking(made, stages, axons)
    readout = _readout(made, network.neurons, network.tick_us)
    return Pipeline(_guarded(made, {**stages, "network": network, "readout": readout}), made)


def senses(config: Config) -> tuple[dict[str, Stage], int]:
    """Return the stages that make spikes of what the sensor gives, and the number of their axons."""
    return _hearing(config) if config.sensor.samplerate_hz else _seeing(config)


def on_chip(config: Config) -> bool:
    """Return whether a configuration asks for a chip in place of the network."""
    return bool(config.chip.placement or config.chip.model)


def trust_of(config: Config) -> Trust:
    """Return what judges decisions, as a configuration asks for it; raises `ConfigError`."""
    from spikestream.stages.trust import Trust

    return Trust(config.trust.window, config.trust.drift)


def _guarded(config: Config, stages: Mapping[str, Stage]) -> Mapping[str, Stage]:
    """Return the stages, with a readout that goes back at an alarm where the section trust asks for it."""
    if not config.trust.rollback:
        return stages
    from spikestream.stages.trust import Guarded

    return {**stages, "readout": Guarded(stages["readout"], stages, trust_of(config))}


def _thinking(made: Config, stages: Mapping[str, Stage], axons: int) -> Network:
    try:
        return _modelled(made, stages, axons) if made.model else _network(made, axons)
    except MemoryError as error:
        raise _too_large(made, axons) from error


def _readout(config: Config, neurons: int, tick_us: int) -> Readout:
    """Return what decides by the spikes of the network or chip."""
    from spikestream.stages.readout import Readout

    out = config.readout
    if out.windows == "grid" and out.window_us % tick_us:
        text = f"window_us = {out.window_us} is no multiple of tick_us = {tick_us}"
        raise ConfigError(text, key="readout.window_us")
    readout = Readout(neurons, window_us=out.window_us, windows=out.windows, memory=out.memory, kept=out.kept)
    readout.learning = config.learn.enabled
    return readout


def _classifying(
    made: Config, stages: Mapping[str, Stage], axons: int, placement: Placement | None
) -> dict[str, Stage]:
    """Return the classifier as readout, and before it the network where it reads that."""
    kind, reads = made.readout.kind, made.classifier.reads
    for key, value, allowed in (("readout.kind", kind, DECIDING), ("classifier.reads", reads, READING)):
        if value not in allowed:
            text, near = f"{key} cannot be '{value}'", nearest(value, allowed)
            raise ConfigError(text, key=key, value=value, allowed=", ".join(allowed), nearest=near)
    if placement is not None or on_chip(made):
        chip = _chip(made, axons, placement)
        read = with_value(made, "classifier", hidden=(0,), recurrent=0.0, tick_us=chip.tick_us)
        return {"chip": chip, "readout": _classifier(read, chip.placement.outputs)}
    if reads == "senses" and made.model:
        remedy = "classifier.reads=network, or leave the section model out"
        raise ConfigError("a classifier that reads the senses has no model", key="classifier.reads", remedy=remedy)
    if reads == "senses":
        return {"readout": _classifier(made, axons)}
    network = _thinking(made, stages, axons)
    return {"network": network, "readout": _classifier(made, network.neurons)}


def _classifier(config: Config, axons: int) -> Classifier:
    """Return the classifier of the sections readout and classifier."""
    from spikestream.stages.classify import Classifier

    own, out = dataclasses.asdict(config.classifier), config.readout
    del own["reads"]
    if out.windows == "grid" and out.window_us % config.classifier.tick_us:
        text = f"window_us = {out.window_us} is no multiple of classifier.tick_us = {config.classifier.tick_us}"
        raise ConfigError(text, key="readout.window_us")
    windows: dict[str, Any] = {"windows": out.windows, "window_us": out.window_us, "kept": out.kept}
    try:
        return Classifier(axons, learning=config.learn.enabled, **windows, **own)
    except ConfigError as error:
        if error.key and hasattr(config.classifier, error.key):
            error.key = f"classifier.{error.key}"
        raise


def _chip(config: Config, axons: int, placement: Placement | None) -> Chip:
    """Return the chip of the section chip, which has the axons there are."""
    from spikestream.files.placements import read_placement
    from spikestream.stages.chip import Chip

    if config.chip.placement and config.chip.model:
        text = "a chip holds what chip.placement names, or what chip.model is compiled to, not both"
        raise ConfigError(text, key="chip.model", value=config.chip.model)
    if placement is None and not config.chip.placement:
        text = "a model has to be compiled before a chip can hold it"
        remedy = f"spikestream emulate {config.chip.model} --save chip.npz, then chip.placement=chip.npz"
        raise ConfigError(text, key="chip.model", value=config.chip.model, remedy=remedy)
    held = read_placement(config.chip.placement) if placement is None else placement
    check_axons(held, axons)
    return Chip(held, tick_us=tick_us_of(config), threads=config.chip.threads)


def check_axons(placement: Placement, axons: int) -> None:
    """Raise `ConfigError` unless a chip has as many inputs as what feeds it has axons."""
    if placement.input_count != axons:
        text = f"the chip has {placement.input_count:,} inputs, and what feeds it has {axons:,} axons"
        remedy = (
            "filters (downsample, crop), --size or hear.bands as it was compiled for, or compile it for this sensor"
        )
        raise ConfigError(text, key="chip", value=placement.input_count, remedy=remedy)


def _network(config: Config, axons: int) -> Network:
    """Return the network of the sections network and learn."""
    from spikestream.stages.network import Network

    net, learn = config.network, config.learn
    if learn.rule not in RULES:
        text, near = f"unknown rule '{learn.rule}'", nearest(learn.rule, RULES)
        raise ConfigError(text, key="learn.rule", value=learn.rule, allowed=", ".join(RULES), nearest=near)
    if net.neuron not in NEURONS:
        text, near = f"unknown neuron '{net.neuron}'", nearest(net.neuron, NEURONS)
        raise ConfigError(text, key="network.neuron", value=net.neuron, allowed=", ".join(NEURONS), nearest=near)
    rates = {f.name: getattr(learn, f.name) for f in dataclasses.fields(learn) if f.name not in ("enabled", "rule")}
    options = {**{f.name: getattr(net, f.name) for f in dataclasses.fields(net)}, **rates}
    try:
        return Network(axons, rule=learn.rule, learning=learn.enabled, **options)
    except ValueError as error:  # numpy: more than it can count
        raise _too_large(config, axons) from error
    except ConfigError as error:
        raise (_too_large(config, axons) if isinstance(error.__cause__, MemoryError) else error) from error.__cause__


def _too_large(config: Config, axons: int) -> ConfigError:
    if config.model:
        text = "the model does not fit the memory of this machine"
        return ConfigError(text, key="model", remedy="smaller populations, or sparser projections")
    text = f"{config.network.neurons:,} neurons on {axons:,} axons do not fit the memory of this machine"
    remedy = "fewer neurons, or a coarser downsample filter"
    return ConfigError(text, key="network.neurons", value=config.network.neurons, remedy=remedy)


def sensed(stages: Mapping[str, Any], axons: int) -> dict[str, Any]:
    """Return what an input of a model has that leaves it to the sensor: a shape where there are pixels, else a size."""
    seeing = stages.get("features", stages.get("address"))
    return {"size": axons} if seeing is None else {"shape": list(seeing.shape)}


def _modelled(config: Config, stages: Mapping[str, Any], axons: int) -> Network:
    """Return the network of the section model, whose only input, if it says no size, has the axons there are."""
    from spikestream.stages.network import Network

    _refuse_unused(config)
    sensor, learn = sensed(stages, axons), config.learn
    model = model_of(config.model, sensor)
    if model.axons != axons:
        text = f"the model's inputs have {model.axons:,} axons, and what feeds it has {axons:,}"
        has = f"shape = {sensor['shape']}" if "shape" in sensor else f"size = {axons}"
        remedy = f"leave size and shape of its only input out, or write {has}"
        raise ConfigError(text, key="model.inputs", value=model.axons, remedy=remedy)
    return Network.from_model(model, learning=learn.enabled, rate_tau_ms=learn.rate_tau_ms, rate_floor=learn.rate_floor)


def _refuse_unused(config: Config) -> None:
    """Raise `ConfigError` for a key that was set and means nothing beside a model."""
    for section, names in UNUSED.items():
        mine, plain = getattr(config, section), getattr(Config(), section)
        for name in names:
            if getattr(mine, name) != getattr(plain, name):
                text = f"{section}.{name} is not used beside a model, which has its own"
                remedy = "set it in the model, or leave the section model out"
                raise ConfigError(text, key=f"{section}.{name}", value=getattr(mine, name), remedy=remedy)


def model_of(tables: Mapping[str, Any], sensor: Mapping[str, Any]) -> Model:
    """Return the model of tables; its only input, where it says nothing, has the size or shape of ``sensor``."""
    from spikestream.model import Model

    inputs = tables.get("inputs")
    if isinstance(inputs, Mapping) and len(inputs) == 1:
        ((name, table),) = inputs.items()
        if isinstance(table, Mapping) and not table.keys() & {"size", "shape"}:
            tables = {**tables, "inputs": {name: {**table, **sensor}}}
    return Model.from_tables(tables)


def tick_us_of(config: Config) -> int:
    """Return the length of a tick of the network or chip, µs."""
    if on_chip(config) and config.chip.tick_us:
        return config.chip.tick_us
    tick_us = config.model.get("tick_us", 1_000) if config.model else config.network.tick_us
    return tick_us if isinstance(tick_us, int) else 1_000


def with_sensor(config: Config, size: tuple[int, int] | None, samplerate_hz: int) -> Config:
    """Return the configuration with what the sensor knows of itself, where it does not say otherwise."""
    if samplerate_hz:
        return with_value(config, "sensor", samplerate_hz=samplerate_hz)
    if size is not None and not config.sensor.size:
        return with_value(config, "sensor", size=f"{size[0]}x{size[1]}", samplerate_hz=0)
    return config


def _seeing(config: Config) -> tuple[dict[str, Stage], int]:
    """Return the stages that make spikes of events, and their axons."""
    from spikestream.stages.address import Address
    from spikestream.stages.filters import Filters
    from spikestream.units import pixels

    filters = Filters(config.filter, pixels(config.sensor.size) if config.sensor.size else None)
    address = Address(filters.size, config.address.polarity == "split")
    stages: dict[str, Stage] = {"filter": filters, "address": address}
    if config.features.kind == "none":
        return stages, address.axons
    features = _features(config, address.shape)
    return {**stages, "features": features}, features.axons


def _features(config: Config, shape: tuple[int, int, int]) -> Features:
    """Return the features of the section features, of planes of pixels of ``shape``."""
    from spikestream.stages.features import make_features

    options = dataclasses.asdict(config.features)
    try:
        made = make_features(options.pop("kind"), shape, options)
    except ConfigError as error:
        if error.key and hasattr(config.features, error.key):
            error.key = f"features.{error.key}"
        raise
    if isinstance(made, Learner):
        made.learning = config.learn.enabled
    return made


def _hearing(config: Config) -> tuple[dict[str, Stage], int]:
    """Return the stages that make spikes of sound, and the number of their axons."""
    if config.filter != Config().filter:
        raise ConfigError("filters are for events, and this is sound", key="filter", value=config.filter)
    if config.features.kind != "none":
        kind = config.features.kind
        raise ConfigError("features are of what is seen, and this is sound", key="features.kind", value=kind)
    ear = ear_of(config)
    return {"hear": ear}, ear.axons


def ear_of(config: Config) -> Any:
    """Return a new ear as the configuration asks for, which has heard nothing; raises `ConfigError`."""
    from spikestream.stages.sound import make_ear

    plain, options = HearConfig(), dataclasses.asdict(config.hear)
    name, bands = options.pop("stage"), options.pop("bands")
    # What nobody asked for is left to the ear: it may lack it, or have another default.
    changed = {key: value for key, value in options.items() if value != getattr(plain, key)}
    return make_ear(name, config.sensor.samplerate_hz, {"bands": bands, **changed})
