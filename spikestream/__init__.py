"""spikestream: sensors in, spikes through a network that learns while it runs, answers out.

Public names are imported when they are first used, so that ``import spikestream`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from spikestream.batch import Decision, Decisions, Events, Label, Setting, Sound, Spikes, Window
    from spikestream.building import build
    from spikestream.checkpoint import load, save
    from spikestream.client import Client, subscribe
    from spikestream.compiling import compile
    from spikestream.config import Config, read_config
    from spikestream.errors import (
        ClientError,
        ConfigError,
        DeviceError,
        ModelError,
        PluginError,
        RecordingError,
        RecordingWarning,
        SpikestreamError,
    )
    from spikestream.files.info import RecordingInfo, info
    from spikestream.files.nir import read_nir, write_nir
    from spikestream.files.placements import read_placement, write_placement
    from spikestream.files.sound import SoundInfo, sounds
    from spikestream.files.stream import read, stream
    from spikestream.files.write import write
    from spikestream.model import Input, Model, Population, Projection, Rule
    from spikestream.model.circuit import Cells, Circuit, Link
    from spikestream.model.crossbar import CrossbarPlacement
    from spikestream.model.loihi import LoihiPlacement
    from spikestream.model.nir import Graph
    from spikestream.model.nir.fold import fold
    from spikestream.model.nir.steps import Discretisation
    from spikestream.model.placement import Placement
    from spikestream.pipeline import Pipeline
    from spikestream.stages.address import Address
    from spikestream.stages.carfac import Carfac
    from spikestream.stages.chip import Chip
    from spikestream.stages.classify import Classifier
    from spikestream.stages.codes import (
        CodeReadout,
        FirstSpikeCode,
        IntervalCode,
        PhaseCode,
        PoissonCode,
        RateCode,
        SlotCode,
        Values,
    )
    from spikestream.stages.contrast import Contrast
    from spikestream.stages.features import Edges, FeatureMaps, Pool, Surface
    from spikestream.stages.filters import Filters
    from spikestream.stages.hear import Cochlea
    from spikestream.stages.network import Network
    from spikestream.stages.readout import Readout
    from spikestream.stages.simulator import Simulator
    from spikestream.stages.transform import Transform
    from spikestream.wire import Message

_HOMES = {
    "spikestream.batch": "Decision Decisions Events Label Setting Sound Spikes Window",
    "spikestream.checkpoint": "load save",
    "spikestream.client": "Client subscribe",
    "spikestream.building": "build",
    "spikestream.compiling": "compile",
    "spikestream.config": "Config read_config",
    "spikestream.errors": (
        "ClientError ConfigError DeviceError ModelError PluginError RecordingError RecordingWarning SpikestreamError"
    ),
    "spikestream.files.info": "RecordingInfo info",
    "spikestream.files.nir": "read_nir write_nir",
    "spikestream.files.placements": "read_placement write_placement",
    "spikestream.files.sound": "SoundInfo sounds",
    "spikestream.files.stream": "read stream",
    "spikestream.files.write": "write",
    "spikestream.model": "Input Model Population Projection Rule",
    "spikestream.model.crossbar": "CrossbarPlacement",
    "spikestream.model.loihi": "LoihiPlacement",
    "spikestream.model.circuit": "Cells Circuit Link",
    "spikestream.model.nir": "Graph",
    "spikestream.model.nir.fold": "fold",
    "spikestream.model.nir.steps": "Discretisation",
    "spikestream.model.placement": "Placement",
    "spikestream.pipeline": "Pipeline",
    "spikestream.stages.address": "Address",
    "spikestream.stages.carfac": "Carfac",
    "spikestream.stages.chip": "Chip",
    "spikestream.stages.classify": "Classifier",
    "spikestream.stages.codes": (
        "CodeReadout FirstSpikeCode IntervalCode PhaseCode PoissonCode RateCode SlotCode Values"
    ),
    "spikestream.stages.contrast": "Contrast",
    "spikestream.stages.features": "Edges FeatureMaps Pool Surface",
    "spikestream.stages.filters": "Filters",
    "spikestream.stages.hear": "Cochlea",
    "spikestream.stages.network": "Network",
    "spikestream.stages.readout": "Readout",
    "spikestream.stages.simulator": "Simulator",
    "spikestream.stages.transform": "Transform",
    "spikestream.wire": "Message",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Address",
    "Carfac",
    "Cells",
    "Chip",
    "Circuit",
    "Classifier",
    "Client",
    "ClientError",
    "Cochlea",
    "CodeReadout",
    "Config",
    "ConfigError",
    "Contrast",
    "CrossbarPlacement",
    "Decision",
    "Decisions",
    "DeviceError",
    "Discretisation",
    "Edges",
    "Events",
    "FeatureMaps",
    "Filters",
    "FirstSpikeCode",
    "Graph",
    "Input",
    "IntervalCode",
    "Label",
    "Link",
    "LoihiPlacement",
    "Message",
    "Model",
    "ModelError",
    "Network",
    "PhaseCode",
    "Pipeline",
    "Placement",
    "PluginError",
    "PoissonCode",
    "Pool",
    "Population",
    "Projection",
    "RateCode",
    "Readout",
    "RecordingError",
    "RecordingInfo",
    "RecordingWarning",
    "Rule",
    "Setting",
    "Simulator",
    "SlotCode",
    "Sound",
    "SoundInfo",
    "Spikes",
    "SpikestreamError",
    "Surface",
    "Transform",
    "Values",
    "Window",
    "build",
    "compile",
    "fold",
    "info",
    "load",
    "read",
    "read_config",
    "read_nir",
    "read_placement",
    "save",
    "sounds",
    "stream",
    "subscribe",
    "write",
    "write_nir",
    "write_placement",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'spikestream' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
