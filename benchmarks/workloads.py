"""The workloads of the network benchmark: spikes, first weights and constants, the same for every engine, by seed.

W1: synthetic strokes as in a picture's rates, 784 axons, neurons that inhibit each other; one of them wins nearly all.
W1c: W1 with strokes of ten digits and thresholds that adapt 200 times as strongly, so that most of 400 neurons fire.
W2: a blob that moves over an event camera, 1,000 neurons without inhibition, 1k to 1M events a second.
W3: 4,000 neurons with random recurrent synapses that do not learn (the CUBA benchmark of Vogels and Abbott 2005).

Random numbers come from NumPy's PCG64 in a fixed order of calls, so a workload is the same everywhere; its fingerprint
tells. The law of a tick of W1 and W2 is at the head of `spikestream/kernels/lif_pair.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 28
PIXELS = SIDE * SIDE
IMAGES, SAMPLES = 10, 20
SHOWN, TICKS_A_SAMPLE = 700, 1000
"""Ticks of a sample: an image for 350 ms, then nothing for 150 ms."""
W2_TICKS = {1_000: 10_000, 10_000: 5_000, 100_000: 2_000, 1_000_000: 1_000}

DIGITS = (
    ((10, 4), (17, 6), (18, 14), (16, 22), (9, 23), (7, 14), (10, 4)),
    ((9, 8), (14, 4), (14, 23)),
    ((8, 8), (12, 4), (18, 7), (15, 14), (8, 23), (19, 23)),
    ((8, 5), (16, 5), (12, 12), (18, 17), (14, 23), (8, 21)),
    ((15, 23), (15, 4), (8, 17), (20, 17)),
    ((18, 4), (10, 4), (9, 12), (16, 13), (18, 19), (13, 23), (8, 21)),
    ((17, 4), (10, 12), (9, 20), (14, 23), (18, 18), (14, 14), (9, 18)),
    ((8, 5), (19, 5), (11, 23)),
    ((14, 13), (9, 9), (13, 4), (18, 8), (14, 13), (9, 18), (13, 23), (18, 18), (14, 13)),
    ((18, 9), (13, 13), (9, 9), (13, 4), (18, 8), (17, 16), (13, 23)),
)
"""Strokes of ten digits as corners (x, y) in pixels, so that W1c needs no data set."""


@dataclass(frozen=True)
class Params:
    """The constants of the neurons and of pair STDP; voltages relative to rest, in mV. These are W1's."""

    dt_ms: float = 0.5
    tau_m_ms: float = 100.0
    tau_plus_ms: float = 20.0
    tau_minus_ms: float = 20.0
    v_thresh: float = 13.0
    v_reset: float = 5.0
    tau_refrac_ms: float = 5.0
    inhibition: float = 17.5
    theta_plus: float = 0.05
    tau_theta_ms: float = 1e7
    a_plus: float = 0.01
    a_minus: float = 1e-4
    w_max: float = 1.0


@dataclass(frozen=True)
class Workload:
    """``ticks``, ``inputs`` (n,) int32, sorted by (tick, input); ``weights`` (axons, neurons); ``length`` in ticks."""

    name: str
    length: int
    ticks: NDArray[np.int32]
    inputs: NDArray[np.int32]
    weights: NDArray[np.floating]
    params: Params = field(default_factory=Params)

    @property
    def axons(self) -> int:
        return self.weights.shape[0]

    @property
    def neurons(self) -> int:
        return self.weights.shape[1]

    @property
    def seconds(self) -> float:
        return self.length * self.params.dt_ms / 1000

    def first(self, ticks: int) -> Workload:
        """Return the first `ticks` of it."""
        n = int(np.searchsorted(self.ticks, ticks))
        return replace(self, length=min(ticks, self.length), ticks=self.ticks[:n], inputs=self.inputs[:n])


@dataclass(frozen=True)
class Cuba:
    """W3: synapse k goes from ``pre[k]`` to ``post[k]``, both (n,) int32; ``v0`` (neurons,) float64 mV is the start."""

    pre: NDArray[np.int32]
    post: NDArray[np.int32]
    v0: NDArray[np.float64]
    length: int = 10_000
    excitatory: int = 3_200
    dt_ms: float = 0.1
    tau_m_ms: float = 20.0
    tau_e_ms: float = 5.0
    tau_i_ms: float = 10.0
    v_rest: float = -49.0
    v_thresh: float = -50.0
    v_reset: float = -60.0
    tau_refrac_ms: float = 5.0
    w_e: float = 1.62
    w_i: float = -9.0
    name: str = "W3"

    @property
    def neurons(self) -> int:
        return len(self.v0)

    @property
    def seconds(self) -> float:
        return self.length * self.dt_ms / 1000


def fingerprint(*columns: NDArray) -> str:
    """Return 16 hex digits of the SHA-256 over the columns, whole numbers as little-endian int32, one after another."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(column.astype("<f8" if column.dtype.kind == "f" else "<i4").tobytes())
    return digest.hexdigest()[:16]


def w1(neurons: int = 400, seed: int = 1, weights_seed: int = 7) -> Workload:
    """Return W1: 10 s of random strokes."""
    rng = np.random.default_rng(seed)
    images = np.array([_walk(rng) for _ in range(IMAGES)])
    return Workload(f"W1 N={neurons}", *_shown(rng, images), _weights(neurons, weights_seed))


def w1c(neurons: int = 400, seed: int = 1, weights_seed: int = 7) -> Workload:
    """Return W1c: 10 s of digits, each a little shifted, slanted and wavering; thresholds that adapt strongly."""
    rng = np.random.default_rng(seed)
    images = np.array([_digit(rng, corners) for corners in DIGITS])
    params = replace(Params(), theta_plus=10.0)
    return Workload(f"W1c N={neurons}", *_shown(rng, images), _weights(neurons, weights_seed), params)


def w2(rate: int = 10_000, seed: int = 2, weights_seed: int = 7, neurons: int = 1_000) -> Workload:
    """Return W2 at `rate` events a second, a key of `W2_TICKS`; its weights are float32."""
    rng = np.random.default_rng(seed)
    side, length = 128 if rate == 1_000_000 else 34, W2_TICKS[rate]
    found = [_blob(rng, rate, side, t) for t in range(length)]
    ticks = np.repeat(np.arange(length, dtype=np.int32), [len(part) for part in found])
    w_max = 2 * 18 / (0.02 * rate)
    weights = np.random.default_rng(weights_seed).random((2 * side * side, neurons), np.float32) * np.float32(w_max)
    params = Params(1.0, 20.0, 20.0, 20.0, 15.0, 0.0, 5.0, 0.0, 0.0, 1e7, 0.005 * w_max, 0.00525 * w_max, w_max)
    return Workload(f"W2 {rate:,}/s", length, ticks, np.concatenate(found).astype(np.int32), weights, params)


def w3(seed: int = 3, neurons: int = 4_000) -> Cuba:
    """Return W3: 1 s without input; a synapse between any two neurons, also to itself, with a chance of 2 %."""
    rng = np.random.default_rng(seed)
    pre, post = np.nonzero(rng.random((neurons, neurons)) < 0.02)
    v0 = -60 + 10 * rng.random(neurons)
    return Cuba(pre.astype(np.int32), post.astype(np.int32), v0, excitatory=neurons * 4 // 5)


def save(path: Path, workload: Workload | Cuba) -> None:
    """Write a workload for a peer, which reads it with NumPy alone."""
    flat = asdict(workload)
    np.savez(path, **flat.pop("params", {}), **flat)


def _weights(neurons: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((PIXELS, neurons)) * 0.3


def _walk(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the image of a pen that walks 60 steps and turns at random."""
    image = np.zeros((SIDE, SIDE))
    x, y = rng.uniform(8, 20, 2)
    heading = rng.uniform(0, 6.28)
    for _ in range(60):
        image[min(max(int(y), 4), 23), min(max(int(x), 4), 23)] = 1
        heading += rng.normal(0, 0.35)
        x, y = x + 0.6 * np.cos(heading), y + 0.6 * np.sin(heading)
    return _inked(image)


def _digit(rng: np.random.Generator, corners: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
    """Return a digit drawn through its corners: all moved at random, all slanted, all shifted."""
    x, y = np.array(corners, float).T + rng.normal(0, 0.7, (2, len(corners)))
    x += rng.uniform(-0.2, 0.2) * (y - SIDE / 2) + rng.uniform(-2, 2)
    y += rng.uniform(-1.5, 1.5)
    along = np.linspace(0, len(corners) - 1, 200)
    image = np.zeros((SIDE, SIDE))
    rows, columns = (np.interp(along, np.arange(len(corners)), column) for column in (y, x))
    image[np.clip(rows, 2, 25).astype(int), np.clip(columns, 2, 25).astype(int)] = 1
    return _inked(image)


def _inked(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a drawing with soft edges and as much ink as an image of MNIST has on average."""
    soft = _blurred(_blurred(image, 0.9).T, 0.9).T
    soft = np.clip(soft * (2.2 / soft.max()), 0, 1)
    soft[soft < 0.1] = 0
    return np.clip(soft * (0.1307 * PIXELS / soft.sum()), 0, 1)


def _blurred(image: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Return the image blurred along its columns as `scipy.ndimage.gaussian_filter1d` does, mirrored at the edges."""
    reach = int(4 * sigma + 0.5)
    shape = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    wide = np.pad(image, ((reach, reach), (0, 0)), "symmetric")
    return sum(part * wide[k : k + len(image)] for k, part in enumerate(shape / shape.sum()))


def _shown(rng: np.random.Generator, images: NDArray[np.float64]) -> tuple[int, NDArray[np.int32], NDArray[np.int32]]:
    """Return length, ticks and inputs of images shown in turn as Poisson spikes, 63.75 Hz where all is ink."""
    ticks, inputs = [], []
    for sample in range(SAMPLES):
        chance = images[sample % len(images)].ravel() * 63.75 * 0.5e-3
        tick, pixel = np.nonzero(rng.random((SHOWN, PIXELS)) < chance)
        ticks.append(sample * TICKS_A_SAMPLE + tick)
        inputs.append(pixel)
    length = SAMPLES * TICKS_A_SAMPLE
    return length, np.concatenate(ticks).astype(np.int32), np.concatenate(inputs).astype(np.int32)


def _blob(rng: np.random.Generator, rate: int, side: int, t: int) -> NDArray[np.int64]:
    """Return the addresses of tick `t`: four fifths in the blob, the rest noise; one at most from each address."""
    n = rng.poisson(rate / 1000)
    if n == 0:
        return np.empty(0, np.int64)
    inside = rng.binomial(n, 0.8)
    offset = rng.normal(0, 0.12 * side, (2, inside))
    centre = side * (0.5 + 0.3 * np.cos(t / 300)), side * (0.5 + 0.3 * np.sin(t / 220))
    blob_x, blob_y = (np.clip(c + r, 0, side - 1).astype(int) for c, r in zip(centre, offset, strict=True))
    x = np.concatenate([blob_x, rng.integers(0, side, n - inside)])
    y = np.concatenate([blob_y, rng.integers(0, side, n - inside)])
    return np.unique((rng.integers(0, 2, n) * side + y) * side + x)
