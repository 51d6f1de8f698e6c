"""Neurons against exact solutions of their equations, an independent solver, and published kinds of spiking."""

from __future__ import annotations

import math

import naive_neurons as naive
import numpy as np
import pytest
from neuron_cases import copied, made, ran
from scipy.integrate import solve_ivp

from spikestream.kernels.neurons import alif, cobalif, cubalif, lif


def steady(kind, value, ticks):
    """Return a drive of one neuron that is the same in every tick."""
    drive = np.zeros((ticks, len(value), 1))
    drive[...] = np.array(value)[:, None]
    return drive


def intervals(fired):
    return np.diff([n for n, neurons in enumerate(fired) if neurons]).tolist()


def voltages(kind, c, s, drive):
    """Return the voltage of one neuron after each tick."""
    trace = []
    for k in range(len(drive)):
        ran(kind, c, s, k, drive[k : k + 1])
        trace.append(float(s.v[0]))
    return trace


# A current of R I = 20 mV into a leaky neuron: its interval is tau_refrac + tau_m ln(RI / (RI - v_thresh)).


@pytest.mark.parametrize("push", [15.5, 20.0, 60.0])
@pytest.mark.parametrize(("tau_m_ms", "tau_refrac_ms"), [(20.0, 5.0), (20.0, 0.0), (7.0, 2.0)])
def test_the_rate_of_lif_is_that_of_the_formula(push, tau_m_ms, tau_refrac_ms):
    tick_ms = 0.01
    _, c, s = made("lif", 1, 10, tau_m_ms=tau_m_ms, tau_refrac_ms=tau_refrac_ms)
    drive = steady("lif", [push * (1 - math.exp(-tick_ms / tau_m_ms))], 40_000)
    exact_ms = tau_refrac_ms + tau_m_ms * math.log(push / (push - 15.0))
    gaps = intervals(ran("lif", c, s, 0, drive))
    assert len(gaps) > 3
    assert gaps == [gaps[0]] * len(gaps)
    assert exact_ms <= gaps[0] * tick_ms <= exact_ms + tick_ms * 1.001


@pytest.mark.parametrize("tau_refrac_ms", [0.0, 3.0])
def test_subtraction_loses_nothing(tau_refrac_ms):
    # With next to no leak a neuron fires once for each v_thresh - v_reset that it received, however unevenly it came.
    options = {"tau_m_ms": 1e12, "v_thresh": 10.0, "v_reset": 2.0, "tau_refrac_ms": tau_refrac_ms, "reset": "subtract"}
    drive = np.random.default_rng(4).uniform(0, 2.6, (3000, 1, 1))
    for kind in ("lif", "alif"):
        _, c, s = made(kind, 1, **options, **({"beta": 0.0} if kind == "alif" else {}))
        count = sum(map(len, ran(kind, c, s, 0, drive)))
        assert count == pytest.approx(drive.sum() / 8.0, abs=2)
        assert s.v[0] == pytest.approx(drive.sum() - 8.0 * count, rel=1e-6)


def test_lif_fires_above_its_threshold_and_cubalif_at_it():
    out = np.zeros(1, np.int32)
    for kind, module, expected in (
        ("lif", lif, 0),
        ("alif", alif, 0),
        ("cubalif", cubalif, 1),
        ("cobalif", cobalif, 1),
    ):
        params, c, s = made(kind, 1, tau_refrac_ms=0.0)
        s.v[0] = params.v_thresh
        assert module.fire(c, copied(s), 0, True, out) == expected, kind
        s.v[0] = np.nextafter(params.v_thresh, 1e9)
        assert module.fire(c, copied(s), 0, True, out) == 1, kind
        s.v[0] = np.nextafter(params.v_thresh, -1e9)
        assert module.fire(c, copied(s), 0, True, out) == 0, kind


def test_a_threshold_that_adapts_rises_by_each_spike_and_stands_still_without_learning():
    _, c, s = made("lif", 1, theta_plus=0.5, tau_theta_ms=1000.0, tau_refrac_ms=0.0)
    spikes = sum(map(len, ran("lif", c, s, 0, steady("lif", [60.0], 10))))
    assert spikes == 10
    left = math.exp(-1 / 1000.0)
    assert s.theta[0] == pytest.approx(0.5 * (1 - left**10) / (1 - left), rel=1e-12)
    before = s.theta[0]
    ran("lif", c, s, 10, steady("lif", [60.0], 100), adapting=False)
    assert s.theta[0] == before
    ran("lif", c, s, 110, steady("lif", [0.0], 100))
    assert s.theta[0] == pytest.approx(before * left**100, rel=1e-12)


def test_the_threshold_of_alif_rises_by_beta_and_falls_with_tau_a():
    params, c, s = made("alif", 1, beta=2.0, tau_a_ms=50.0, tau_refrac_ms=0.0)
    out, left = np.zeros(1, np.int32), math.exp(-1 / 50.0)
    expected, n = 15.0, 0
    for gap in (1, 1, 3, 10, 60, 2):
        for _ in range(gap):
            alif.decay(c, s, n, False)
            n += 1
        expected = 15.0 + (expected - 15.0) * left**gap
        s.v[0] = expected - 1e-9
        assert alif.fire(c, s, n, False, out) == 0
        s.v[0] = expected + 1e-9
        assert alif.fire(c, s, n, False, out) == 1
        assert s.v[0] == pytest.approx(expected - params.v_thresh, abs=2e-9)
        expected += 2.0


def test_alif_slows_down_under_a_steady_current():
    _, c, s = made("alif", 1)
    gaps = intervals(ran("alif", c, s, 0, steady("alif", [2.0], 2000)))
    assert np.diff(gaps).min() >= -1  # a tick
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[-1] > 1.9 * gaps[0]


@pytest.mark.parametrize(("tau_m_ms", "tau_syn_ms"), [(20.0, 5.0), (10.0, 40.0), (12.0, 12.0)])
@pytest.mark.parametrize("receptor", [0, 1])
@pytest.mark.parametrize("tick_us", [100, 1000])
def test_the_postsynaptic_potential_of_cubalif_is_that_of_the_formula(tau_m_ms, tau_syn_ms, receptor, tick_us):
    options = {"tau_m_ms": tau_m_ms, ("tau_syn_e_ms", "tau_syn_i_ms")[receptor]: tau_syn_ms, "v_rest": -65.0}
    _, c, s = made("cubalif", 1, tick_us, v_thresh=1e6, **options)
    drive = np.zeros((400, 2, 1))
    drive[0, receptor] = -3.0
    trace = voltages("cubalif", c, s, drive)
    for k, v in enumerate(trace):
        t = k * tick_us / 1000
        shape = t / tau_m_ms * math.exp(-t / tau_m_ms)
        if tau_m_ms != tau_syn_ms:
            ends = math.exp(-t / tau_syn_ms) - math.exp(-t / tau_m_ms)
            shape = tau_syn_ms / (tau_syn_ms - tau_m_ms) * ends
        assert v + 65.0 == pytest.approx(-3.0 * shape, rel=1e-9, abs=1e-11), k
    assert min(trace) < -65.3


@pytest.mark.parametrize("apart", [0.0, 1e-15, 1e-12, 1e-9, 1e-6])
def test_cubalif_has_no_hole_where_its_time_constants_meet(apart):
    gain = cubalif.gain(1.0, 20.0, 20.0 * (1 + apart))
    assert gain == pytest.approx(math.exp(-1 / 20) / 20 * (1 + apart / 40), rel=1e-9)


def exact_coba(p, e, i, stop_ms):
    """Solve the equation of cobalif for conductances that jump to e and i at 0."""

    def slope(t, v):
        ge, gi = e * math.exp(-t / p.tau_syn_e_ms), i * math.exp(-t / p.tau_syn_i_ms)
        return ((p.v_rest - v) + ge * (p.e_rev_e - v) + gi * (p.e_rev_i - v)) / p.tau_m_ms

    return solve_ivp(slope, (0, stop_ms), [p.v_rest], method="DOP853", rtol=1e-11, atol=1e-11, dense_output=True).sol


@pytest.mark.parametrize(("e", "i"), [(2.0, 0.0), (0.0, 5.0), (3.0, 2.0), (40.0, 1.0)])
def test_cobalif_is_near_an_independent_solver_and_nearer_with_shorter_ticks(e, i):
    errors = []
    for tick_us in (100, 50, 25):
        params, c, s = made("cobalif", 1, tick_us, v_thresh=1e6)
        ticks = 60_000 // tick_us
        drive = np.zeros((ticks, 2, 1))
        drive[0, :, 0] = e, i
        times = np.arange(ticks) * tick_us / 1000
        solved = exact_coba(params, e, i, times[-1])(times)[0]
        errors.append(np.abs(np.array(voltages("cobalif", c, s, drive)) - solved).max())
    assert errors[0] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # of second order
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_cobalif_never_passes_a_reversal_potential():
    params, c, s = made("cobalif", 1, v_thresh=1e6)
    trace = voltages("cobalif", c, s, steady("cobalif", [1e5, 0.0], 30))
    assert trace[-1] == pytest.approx(params.e_rev_e, abs=0.01)
    assert max(trace) <= params.e_rev_e
    trace = voltages("cobalif", c, s, steady("cobalif", [0.0, 1e9], 30))
    assert trace[-1] == pytest.approx(params.e_rev_i, abs=0.1)
    assert min(trace) >= params.e_rev_i


def test_a_conductance_below_0_counts_as_none():
    params, c, s = made("cobalif", 1)
    assert voltages("cobalif", c, s, steady("cobalif", [-0.5, -0.7], 50)) == [params.v_rest] * 50


# Kinds of neurons of figure 2 of Izhikevich 2003: a, b, c, d.
PUBLISHED = {
    "regular": (0.02, 0.2, -65.0, 8.0),
    "bursting": (0.02, 0.2, -55.0, 4.0),
    "chattering": (0.02, 0.2, -50.0, 2.0),
    "fast": (0.1, 0.2, -65.0, 2.0),
    "low": (0.02, 0.25, -65.0, 2.0),
}


def izhikevich_fired(kind, tick_us, current, ms=1000):
    """Return the ticks in which a neuron of this kind fires under a steady current."""
    _, coeffs, s = made("izhikevich", 1, tick_us, **dict(zip("abcd", PUBLISHED[kind], strict=True)))
    fired = ran("izhikevich", coeffs, s, 0, steady(kind, [current], ms * 1000 // tick_us))
    return [n for n, one in enumerate(fired) if one]


@pytest.mark.parametrize("kind", PUBLISHED)
@pytest.mark.parametrize("current", [3.0, 4.0, 10.0, 25.0])
def test_izhikevich_equals_the_published_lines_in_ticks_of_1_ms(kind, current):
    expected = naive.izhikevich_2003(*PUBLISHED[kind], [current] * 1000)
    assert izhikevich_fired(kind, 1000, current) == expected
    assert bool(expected) == (current > 3.5 or kind == "low")


def test_the_published_kinds_of_izhikevich_spike_as_they_are_named():
    gaps = {kind: np.diff(izhikevich_fired(kind, 100, 10.0)) / 10 for kind in PUBLISHED}
    assert gaps["regular"][0] == pytest.approx(24.0, abs=0.2)  # it adapts
    assert gaps["regular"][1:] == pytest.approx(45.2, abs=0.2)
    assert gaps["fast"][3:] == pytest.approx(8.0, abs=0.2)  # it hardly does
    assert gaps["bursting"][:2] == pytest.approx([2.6, 4.8], abs=0.2)  # one burst, then single spikes
    assert gaps["bursting"][3:] == pytest.approx(31.6, abs=0.2)
    assert ((gaps["chattering"] < 7) | (gaps["chattering"] > 45)).all()  # bursts, again and again
    assert (gaps["chattering"] > 45).sum() == 16
    assert (np.diff(gaps["low"][:6]) > 0).all()  # it adapts from a high rate
    assert gaps["low"][6:] == pytest.approx(13.8, abs=0.3)


def test_izhikevich_does_not_fire_below_its_rheobase_and_stays_finite_under_any_current():
    assert izhikevich_fired("regular", 100, 3.0) == []
    for tick_us in (100, 1000, 20_000):
        for current in (1e12, -1e12):
            _, c, s = made("izhikevich", 1, tick_us, f=np.float32)
            ran("izhikevich", c, s, 0, steady("izhikevich", [current], 50).astype(np.float32))
            assert np.isfinite(s.v).all()
            assert np.isfinite(s.u).all()
