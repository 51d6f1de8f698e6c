"""Kernels of neurons by name, what drives them, and how they are run: what their tests share."""

from __future__ import annotations

import numpy as np

from spikestream.kernels.neurons import alif, cobalif, cubalif, izhikevich, lif, lif_wta

KINDS = {
    "lif": lif,
    "alif": alif,
    "cubalif": cubalif,
    "cobalif": cobalif,
    "izhikevich": izhikevich,
    "lif_wta": lif_wta,
}
HOLDING = ("lif", "alif", "cubalif", "cobalif")
STRENGTH = {
    "lif": (6.0,),
    "alif": (6.0,),
    "cubalif": (90.0, 12.0),
    "cobalif": (1.5, 0.5),
    "izhikevich": (60.0,),
    "lif_wta": (4.0,),
}
"""What arrives at each receptor, at most."""


def made(kind, neurons, tick_us=1000, f=np.float64, **options):
    """Return (parameters, coefficients, state) of a kernel."""
    params = KINDS[kind].Params(**options)
    return params, KINDS[kind].design(params, tick_us, f), KINDS[kind].init(neurons, params, f)


def driven(kind, ticks, neurons, seed, f=np.float64, share=0.3):
    """Return a drive (ticks, receptors, neurons) that makes the neurons of a kind fire now and then."""
    rng = np.random.default_rng(seed)
    parts = [s * rng.random((ticks, neurons)) * (rng.random((ticks, neurons)) < share) for s in STRENGTH[kind]]
    drive = np.stack(parts, axis=1)
    if kind == "cubalif":
        drive[:, 1] *= -1
    return drive.astype(f)


def ran(kind, c, s, first, drive, adapting=True):
    """Run ticks; return who fired in each, and see that nothing was written behind."""
    out = np.full((len(drive), drive.shape[2]), -1, np.int32)
    counts = np.zeros(len(drive), np.int64)
    KINDS[kind].run(c, s, first, drive, adapting, out, counts)
    assert all((row[count:] == -1).all() for row, count in zip(out, counts, strict=True))
    return [row[:count].tolist() for row, count in zip(out, counts, strict=True)]


def copied(s, **changed):
    return type(s)(**{name: array.copy() for name, array in s._asdict().items()})._replace(**changed)


def same(one, two, but=()):
    return all(np.array_equal(one[k], two[k]) for k, name in enumerate(one._fields) if name not in but)


def floats(s):
    return {name: array for name, array in s._asdict().items() if array.dtype.kind == "f"}
