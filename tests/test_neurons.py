"""Neurons against their naive twins, and however their ticks are grouped, numbered, saved and restored."""

from __future__ import annotations

from dataclasses import replace

import naive_neurons as naive
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from neuron_cases import HOLDING, KINDS, STRENGTH, copied, driven, floats, made, ran, same

from spikestream.kernels import lif_stdp
from spikestream.kernels.neurons import lif_wta

COMPILES = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
"""The first example may compile the kernel."""
EVERYWHERE = (0, -37, 2**53 - 150, 2**62 - 150, -(2**62))
SHARED = {"tau_refrac_ms": st.sampled_from([0.0, 1.0, 5.0, 60.0]), "reset": st.sampled_from(["value", "subtract"])}
VOLTS = st.sampled_from([{}, {"v_rest": -60.0, "v_thresh": -50.0, "v_reset": -65.0}])
OPTIONS = {
    "lif": {"theta_plus": st.sampled_from([0.0, 0.4, 5.0]), "tau_theta_ms": st.sampled_from([30.0, 1e7])},
    "alif": {"beta": st.sampled_from([0.0, 1.8]), "tau_a_ms": st.sampled_from([3.0, 200.0])},
    "cubalif": {
        "tau_syn_e_ms": st.sampled_from([1.0, 5.0, 20.0]),
        "tau_syn_i_ms": st.sampled_from([10.0, 20.0, 80.0]),
    },
    "cobalif": {"e_rev_e": st.sampled_from([0.0, 40.0]), "tau_syn_i_ms": st.sampled_from([2.0, 10.0])},
}


@pytest.mark.parametrize("kind", HOLDING)
@given(data=st.data(), tick_us=st.sampled_from([100, 1000, 1300]), seed=st.integers(0, 999))
@COMPILES
def test_a_neuron_equals_its_naive_twin_whatever_its_options(kind, data, tick_us, seed):
    options = {**data.draw(VOLTS if kind != "cobalif" else st.just({}))}
    options |= {name: data.draw(one) for name, one in {**SHARED, **OPTIONS[kind]}.items()}
    drive = driven(kind, 240, 5, seed, share=0.5)
    edges = sorted({0, 240, *data.draw(st.lists(st.integers(0, 240), max_size=4))})
    modes = data.draw(st.lists(st.booleans(), min_size=len(edges) - 1, max_size=len(edges) - 1))
    params, c, s = made(kind, 5, tick_us, **options)
    adapting = [mode for k, mode in enumerate(modes) for _ in range(edges[k], edges[k + 1])]
    twins, expected = naive.run(kind, params, tick_us, -100, drive.tolist(), adapting)
    fired = []
    for k, mode in enumerate(modes):
        fired += ran(kind, c, s, edges[k] - 100, drive[edges[k] : edges[k + 1]], mode)
    assert fired == expected
    for name, array in floats(s).items():
        assert array == pytest.approx([getattr(twin, name) for twin in twins], rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("kind", HOLDING)
def test_the_drive_of_these_tests_makes_them_fire(kind):
    _, c, s = made(kind, 5)
    assert sum(map(len, ran(kind, c, s, 0, driven(kind, 240, 5, 1, share=0.5)))) > 40


@pytest.mark.parametrize("kind", naive.TWINS)
@pytest.mark.parametrize("neurons", [64, 150])
def test_nobody_is_overlooked_among_many(kind, neurons):
    drive = driven(kind, 60, neurons, 8, share=0.5)
    params, c, s = made(kind, neurons)
    _, expected = naive.run(kind, params, 1000, 0, drive.tolist(), [True] * 60)
    assert ran(kind, c, s, 0, drive) == expected
    assert set(range(neurons)) == {j for fired in expected for j in fired}


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_is_the_only_one_is_not_overlooked(kind):
    out = np.zeros(150, np.int32)
    for neurons, j in ((1, 0), (64, 0), (64, 63), *((150, j) for j in (0, 1, 63, 64, 65, 127, 128, 149))):
        _, c, s = made(kind, neurons)
        s.v[j] = 1e3
        assert (KINDS[kind].fire(c, s, 0, True, out), out[0]) == (1, j)


@pytest.mark.parametrize("tick_us", [100, 500, 700, 1000, 2000])
def test_izhikevich_equals_its_naive_twin(tick_us):
    params, c, s = made("izhikevich", 5, tick_us)
    drive = driven("izhikevich", 900, 5, tick_us)
    twins, expected = naive.run("izhikevich", params, tick_us, 0, drive.tolist(), [True] * 900)
    assert ran("izhikevich", c, s, 0, drive) == expected
    assert sum(map(len, expected)) > 8
    assert s.v == pytest.approx([twin.v for twin in twins], rel=1e-6)
    assert s.u == pytest.approx([twin.u for twin in twins], rel=1e-6)


@given(
    seed=st.integers(0, 999),
    adapting=st.booleans(),
    tau_refrac_ms=st.sampled_from([0.0, 1.0, 7.0]),
    inhibition=st.sampled_from([0.0, 0.5, 3.0]),
)
@COMPILES
def test_the_winner_takes_all_to_the_bit_as_in_the_fused_kernel(seed, adapting, tau_refrac_ms, inhibition):
    options = {"tau_refrac_ms": tau_refrac_ms, "inhibition": inhibition, "tau_theta_ms": 300.0}
    rng = np.random.default_rng(seed)
    params, c, s = made("lif_wta", 9, f=np.float32, **options)
    fused = lif_stdp.Params(**options)
    fused_c, fused_s = lif_stdp.design(fused, 1000), lif_stdp.init(6, 9, fused, 1000)
    out, wins = np.zeros(9, np.int32), 0
    for n in range(120):
        axons = rng.integers(0, 6, rng.poisson(1.5))
        winner, _ = lif_stdp.step(fused_c, fused_s, n, axons, adapting, False)
        lif_wta.decay(c, s, n, adapting)
        for i in axons:
            s.v[:] += fused_s.weights[i]
        count = lif_wta.fire(c, s, n, adapting, out)
        assert out[:count].tolist() == [winner] * (winner >= 0)
        wins += count
        assert all(np.array_equal(getattr(s, name), getattr(fused_s, name)) for name in s._fields), n
    assert wins > 3
    assert params.v_floor > 0


@pytest.mark.parametrize("f", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_ticks_may_be_grouped_numbered_saved_and_restored_in_any_way(kind, f):
    drive = driven(kind, 300, 70, 3, f)
    _, c, whole = made(kind, 70, f=f)
    fired = ran(kind, c, whole, 0, drive)
    assert sum(map(len, fired)) > 150
    for first in EVERYWHERE:
        _, c, s = made(kind, 70, f=f)
        again = []
        for begin, end in ((0, 1), (1, 2), (2, 90), (90, 97), (97, 300)):
            again += ran(kind, c, s, first + begin, drive[begin:end])
            s = copied(s)
        assert again == fired, first
        assert same(s, whole, but=("last",)), first


@pytest.mark.parametrize("reset", ["value", "subtract"])
@pytest.mark.parametrize("kind", HOLDING)
def test_the_refractory_time_may_change_while_neurons_are_held(kind, reset):
    times = [5.0, 40.0, 2.0, 0.0, 12.0, 3.0, 60.0, 1.0]
    drive = driven(kind, 30 * len(times), 9, 5, share=0.8)
    params, _, s = made(kind, 9)
    twins, expected, fired = [naive.TWINS[kind](params, 1000) for _ in range(9)], [], []
    for k, time in enumerate(times):
        params = replace(params, tau_refrac_ms=time, reset=reset)
        part = drive[30 * k : 30 * k + 30]
        fired += ran(kind, KINDS[kind].design(params, 1000, np.float64), s, 30 * k, part)
        for twin in twins:
            twin.p = params
        for n, row in enumerate(part.tolist(), 30 * k):
            expected.append([j for j, twin in enumerate(twins) if twin.tick(n, [one[j] for one in row], True)])
    assert fired == expected
    assert sum(map(len, fired)) > 100
    assert s.v == pytest.approx([twin.v for twin in twins], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("f", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_no_subnormal_number_outlives_a_silence(kind, f):
    _, c, s = made(kind, 40, f=f, **({"theta_plus": 0.5, "tau_theta_ms": 40.0} if kind == "lif" else {}))
    assert sum(map(len, ran(kind, c, s, 0, driven(kind, 200, 40, 2, f)))) > 20
    for first in range(200, 50_200, 1000):
        ran(kind, c, s, first, np.zeros((1000, len(STRENGTH[kind]), 40), f))
        for name, array in floats(s).items():
            assert not np.any((array != 0) & (np.abs(array) < np.finfo(f).tiny)), (name, first)
    if kind != "izhikevich":
        assert s.v == pytest.approx(c.v_rest if kind == "cobalif" else 0.0, rel=1e-5, abs=0)


SLOW = {
    "lif": {"tau_m_ms": 9e3, "theta_plus": 0.7, "tau_theta_ms": 2e4},
    "lif_wta": {"tau_m_ms": 9e3, "tau_theta_ms": 2e4},
    "alif": {"tau_m_ms": 9e3, "tau_a_ms": 2e4},
    "cubalif": {"v_thresh": 1e5, "tau_m_ms": 9e3, "tau_syn_e_ms": 3e3, "tau_syn_i_ms": 4e3},
    "cobalif": {"tau_m_ms": 9e3, "tau_syn_e_ms": 300.0},
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_rest_comes_to_what_its_ticks_come_to(kind):
    params, c, s = made(kind, 6, **SLOW[kind])
    ran(kind, c, s, 0, driven(kind, 300, 6, 4, share=0.9))
    silence = np.zeros((10_000, len(STRENGTH[kind]), 6))
    ran(kind, c, s, 300, silence)
    ticked, rested = copied(s), copied(s)
    assert not any(ran(kind, c, ticked, 10_300, silence, False) + ran(kind, c, ticked, 20_300, silence[:5000]))
    KINDS[kind].rest(params, rested, 15_000, 5000, 1000)
    for name, array in floats(ticked).items():
        assert getattr(rested, name) == pytest.approx(array, rel=1e-9, abs=1e-12), name
    assert not np.array_equal(s.v, ticked.v)
    KINDS[kind].rest(params, rested, 2**62, 2**62, 1000)
    assert all(
        (array == (params.v_rest if name == "v" and kind == "cobalif" else 0)).all()
        for name, array in floats(rested).items()
    )


@pytest.mark.parametrize("kind", HOLDING)
def test_a_state_that_can_never_have_been_is_told(kind):
    _, c, s = made(kind, 8)
    ran(kind, c, s, 0, driven(kind, 40, 8, 1))
    absurd = KINDS[kind].absurd
    assert absurd(s) == ""
    for queue in ((-1, 0), (8, 0), (0, 9), (0, -1), (2**62, 1)):
        assert "queue" in absurd(copied(s, queue=np.array(queue)))
    for number in (-1, 8, 2**31 - 1):
        assert "none" in absurd(copied(s, held=np.full(8, number, np.int32)))


@pytest.mark.parametrize(
    ("kind", "field"), [("lif", "theta"), ("lif_wta", "theta"), ("lif_wta", "refrac"), ("alif", "a")]
)
def test_what_only_grows_from_0_is_never_below(kind, field):
    _, _, s = made(kind, 4)
    assert KINDS[kind].absurd(s) == ""
    assert "below 0" in KINDS[kind].absurd(copied(s, **{field: np.full_like(getattr(s, field), -1)}))


@given(
    kind=st.sampled_from(HOLDING),
    held=st.lists(st.integers(0, 4), min_size=5, max_size=5),
    queue=st.tuples(st.integers(0, 4), st.integers(0, 5)),
    last=st.lists(st.sampled_from([-(2**63), -1, 0, 7, 2**63 - 1]), min_size=5, max_size=5),
)
@COMPILES
def test_a_damaged_queue_that_is_not_absurd_does_no_harm(kind, held, queue, last):
    _, c, s = made(kind, 5)
    s = s._replace(held=np.array(held, np.int32), queue=np.array(queue), last=np.array(last))
    assert KINDS[kind].absurd(s) == ""
    for fired in ran(kind, c, s, 0, driven(kind, 200, 5, 1, share=0.9)):
        assert fired == sorted(set(fired))
    assert KINDS[kind].absurd(s) == ""


@pytest.mark.parametrize("kind", HOLDING)
def test_a_queue_that_is_full_of_one_neuron_takes_no_other(kind):
    _, c, s = made(kind, 5, reset="value", tau_refrac_ms=60.0)
    s = s._replace(held=np.zeros(5, np.int32), queue=np.array([0, 5]))
    s.last[0] = 0
    assert any(ran(kind, c, s, 1, driven(kind, 50, 5, 1, share=0.9)))
    assert KINDS[kind].absurd(s) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_population_of_none_and_of_one(kind):
    for neurons in (0, 1):
        _, c, s = made(kind, neurons)
        fired = ran(kind, c, s, 0, driven(kind, 500, neurons, 1, share=0.9))
        assert any(fired) == (neurons == 1)
        assert not hasattr(KINDS[kind], "absurd") or KINDS[kind].absurd(s) == ""


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        *((kind, {"reset": "soft"}, "value or subtract") for kind in HOLDING),
        *((kind, {"v_reset": 99.0}, "v_reset") for kind in (*HOLDING, "lif_wta")),
        ("lif", {"theta_plus": -0.1}, "theta_plus"),
        ("lif_wta", {"theta_plus": -0.1}, "theta_plus"),
        ("lif_wta", {"inhibition": -0.1}, "inhibition"),
        ("lif_wta", {"v_floor": -0.1}, "v_floor"),
        ("alif", {"beta": -0.1}, "beta"),
        ("izhikevich", {"c": 30.0}, "peak"),
    ],
)
def test_options_that_make_no_sense_are_told(kind, options, told):
    with pytest.raises(ValueError, match=told):
        made(kind, 1, **options)


def test_a_reset_that_rounds_to_the_threshold_is_told():
    made("cubalif", 1, v_reset=14.99999999)
    with pytest.raises(ValueError, match="v_reset"):
        made("cubalif", 1, f=np.float32, v_reset=14.99999999)


@pytest.mark.parametrize("f", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_coefficients_have_the_type_of_the_network(kind, f):
    # One float64 among them would make all of a float32 tick one of float64.
    _, c, s = made(kind, 3, f=f)
    assert {type(value) for value in c if not isinstance(value, bool | int)} == {f}
    assert {array.dtype for array in floats(s).values()} == {np.dtype(f)}
    assert set(KINDS[kind].RECEPTORS) <= set(floats(s))
