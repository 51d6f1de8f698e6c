"""The sections of a configuration and their keys, every one with its default; docs/config.md lists them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """Where the stream comes from; further options of a sensor go into its URI."""

    uri: str = ""
    format: str = ""  # of a recording, where its content does not tell
    layout: str = ""  # address layout of an AEDAT 2.0 recording, e.g. "davis240"
    size: str = ""  # "WIDTHxHEIGHT" in pixels, where the sensor does not tell
    time: str = "clamp"  # what becomes of a stamp that jumps back: clamp, sort, drop, fail
    speed: str = "1"  # of a recording: a factor of real time, or "max"
    samplerate_hz: int = 0  # of sound, in samples a second, as the sensor tells; 0 for a sensor of events


@dataclass(frozen=True, slots=True)
class AddressConfig:
    """Which axon an event becomes; see `spikestream.stages.address`."""

    polarity: str = "split"  # "ignore": brighter and darker share one axon


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """How much stream time goes down the pipeline at once; results do not depend on it."""

    length_us: int = 10_000


@dataclass(frozen=True, slots=True)
class HearConfig:
    """The ear that hears sound; see `spikestream.kernels.cochlea` and `spikestream.kernels.carfac`."""

    stage: str = "hear"  # "hear" for gammatone filters, "contrast", "carfac", or the name of a plugin's
    bands: int = 64
    low_hz: float = 0.0  # 0 for the ear's own: 50 of gammatone filters, 30 of CARFAC
    high_hz: float = 0.0  # 0 for the ear's own: 7,000, or 0.45 of the sample rate where that is less; CARFAC has 0.425
    gain_control: bool = True
    off: bool = False  # a second set of fibres that fire when the sound falls
    even: float = 0.0  # 0 to 1: how much of its mean of late "contrast" takes away, see `spikestream.kernels.contrast`


@dataclass(frozen=True, slots=True)
class FeaturesConfig:
    """What is made of the spikes of an eye before anything learns from them; see `spikestream.stages.features`."""

    kind: str = "none"  # or "pool", "edges", "surface", "stdp"
    patterns: str = "edges"
    size: int = 5
    directions: int = 8
    wavelength: float = 0.0
    sigma: float = 0.0
    aspect: float = 0.7
    tau_ms: float = 20.0
    gain: float = 1.4
    floor: float = -1.4
    least: float = 0.3
    tick_us: int = 1_000
    pool: int = 2
    stride: int = 0
    rest_ms: float = 5.0
    maps: int = 16
    step: int = 1
    share: bool = True
    balance: float = 1.0
    tau_plus_ms: float = 20.0
    lesson_ms: float = 100.0
    rate_start: float = 0.5
    rate_end: float = 0.005
    lessons_half: float = 1.0
    theta_plus: float = 0.1
    theta_half: float = 10.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The network: times in ms, voltages in units of weight; see `spikestream.kernels.lif_stdp`."""

    neurons: int = 200
    neuron: str = "lif"
    tick_us: int = 1_000
    seed: int = 0
    tau_m_ms: float = 20.0
    v_thresh: float = 0.25
    v_reset: float = 0.0
    v_floor: float = 6.0
    tau_refrac_ms: float = 1.0
    inhibition: float = 3.0
    theta_plus: float = 0.1
    tau_theta_ms: float = 100_000.0
    theta_half: float = 0.0
    theta_shared: float = 0.0
    reset: bool = False
    w_max: float = 1.0
    w_norm: float = 1.0


@dataclass(frozen=True, slots=True)
class LearnConfig:
    """What learns, and how fast. ``enabled`` false freezes everything; rule "none" leaves only the weights alone."""

    enabled: bool = True
    rule: str = "stdp"
    tau_plus_ms: float = 30.0
    rate_start: float = 0.05
    rate_end: float = 0.02
    wins_half: float = 10.0
    lesson_ms: float = 0.0
    rate_tau_ms: float = 0.0  # learning rates fall by exp(-t/rate_tau_ms) with stream time; 0 for not at all
    rate_floor: float = 0.0  # down to this part of what they were


@dataclass(frozen=True, slots=True)
class ChipConfig:
    """A chip in place of the network: what it holds from a file, or compiled of a model when the run starts."""

    placement: str = ""  # a file, or a folder of memory images: docs/chip.md
    model: str = ""  # in place of that: saved by `replay --save`, a NIR file, or the TOML of a model
    target: str = "truenorth"  # the kind of chip a model is compiled for
    tick_us: int = 0  # 0 for that of the network
    threads: int = 1


@dataclass(frozen=True, slots=True)
class ReadoutConfig:
    """How decisions are made: every ``window_us``, or in the windows the sensor marks."""

    kind: str = "votes"  # of neurons that earn labels, or "classifier", which has a section of its own
    windows: str = "grid"
    window_us: int = 100_000
    memory: float = 0.02
    kept: int = 64


@dataclass(frozen=True, slots=True)
class TrustConfig:
    """How decisions are judged by the labels that come after them; see `spikestream.stages.trust`."""

    window: int = 100  # judgements in the sliding accuracy
    drift: float = 0.002  # how often an alarm may be false; 0 for no alarm
    rollback: bool = False  # whether an alarm brings back what was learned at the best accuracy, and ends learning


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """The classifier, where ``readout.kind`` asks for it; see `spikestream.kernels.eprop`."""

    reads: str = "senses"  # what it hears: the senses, with no network at all, or the "network"
    classes: int = 10
    hidden: tuple[int, ...] = (200,)  # layer by layer
    tick_us: int = 1_000
    seed: int = 0
    reset: bool = False
    anytime_us: int = 0
    evidence_min: float = 1.0
    confidence_min: float = 0.3
    store: int = 1_000
    recent: int = 0
    replays: int = 1
    few: int = 500
    most_spikes: int = 10_000
    recurrent: float = 0.0
    adaptive: float = 0.0
    beta: float = 0.3
    tau_a_ms: float = 150.0
    tau_m_ms: tuple[float, ...] = (20.0, 20.0)
    tau_out_ms: tuple[float, ...] = (60.0,)
    tau_trace_ms: float = 20.0
    update_ms: float = 20.0
    w_init: float = 0.1
    fire_reset: str = "subtract"
    feedback: str = "symmetric"
    rate: float = 5e-4
    rate_end: float = 2e-4
    rate_half: float = 20_000.0
    rate_out: float = 2.0


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """Where spikes and decisions are published, as URLs, the first token of their topics, and who may listen in."""

    urls: tuple[str, ...] = ()
    pipeline: str = "main"
    token_file: str = ""  # what a client of a network listener has to know; "" for nothing, on this machine only
    tls_certificate: str = ""  # PEM, for tcps:// and wss://
    tls_key: str = ""  # "" where the certificate's file holds it
    origins: tuple[str, ...] = ()  # of pages that may open a WebSocket, besides those of this machine
    max_connections: int = 256  # of each listener
    handshake_s: float = 5.0
    queue_bytes: int = 8 << 20  # what is kept of messages for one slow subscriber
    ring_bytes: int = 64 << 20  # of each topic, for who comes later; 0 for none
    ring_total_bytes: int = 256 << 20  # of all topics together


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    """Where a daemon keeps what it has learned; "" for nowhere."""

    path: str = ""
    every_s: float = 60.0
    keep: int = 3  # versions: the file itself is the newest, then NAME.1, NAME.2


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Where a daemon keeps what it has published, to be had again; "" for nowhere. See `spikestream.log`."""

    path: str = ""  # a folder
    kinds: tuple[str, ...] = ("decisions", "weights", "stats", "gap")
    topics: tuple[str, ...] = (">",)
    max_bytes: int = 1 << 30
    max_age_s: float = 0.0  # 0 for no limit
    segment_bytes: int = 64 << 20
    sync_s: float = 1.0


@dataclass(frozen=True, slots=True)
class RestartConfig:
    """What a daemon does when a pipeline fails: "failure" runs it again, "never" lets it be."""

    policy: str = "failure"
    base_s: float = 0.5  # before the first try; every other waits twice as long
    cap_s: float = 30.0
    calm_s: float = 60.0  # who has run so long begins with base_s again


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """What may be asked of a running daemon; see docs/control.md."""

    folder: str = ""  # whose files requests may name, none if empty


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Where a daemon serves health, metrics and control over HTTP; see docs/control.md."""

    url: str = ""  # nowhere if empty


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, section by section."""

    sensor: SensorConfig = field(default_factory=SensorConfig)
    filter: tuple[Mapping[str, Any], ...] = ({"kind": "downsample", "factor": "auto"},)
    address: AddressConfig = field(default_factory=AddressConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    hear: HearConfig = field(default_factory=HearConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)
    model: Mapping[str, Any] = field(default_factory=dict)  # instead of the network: tables of docs/model.md
    chip: ChipConfig = field(default_factory=ChipConfig)
    readout: ReadoutConfig = field(default_factory=ReadoutConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    trust: TrustConfig = field(default_factory=TrustConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    restart: RestartConfig = field(default_factory=RestartConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
