"""Each learning rule against its plain twin, and what holds for all of them."""

from __future__ import annotations

import naive_rules
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rule_cases import CASES, DTYPES, HOOKS, MODULES, NAMES, A, N, drawn, drive, spikes

from spikestream.batch import Spikes
from spikestream.model import Input, Model, Population, Projection, Rule
from spikestream.stages.network import Network


@pytest.mark.parametrize("first", [0, -350, 2**53 + 1])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_rule_equals_its_twin_whatever_the_tick(name, options, first):
    params, ticks = MODULES[name].Params(**options), range(first, first + 300)
    weights, pre, post = drawn(3, name, ticks)
    rewards = {first + 90: (30.0,), first + 140: (5.0, -50.0), first + 141: (20.0,)} if name == "rstdp" else {}
    sums = {n: sum(amounts) for n, amounts in rewards.items()}

    def on(n):
        return not 180 <= n - first < 220

    twin = np.array(naive_rules.run(name, params, 1.0, weights, pre, post, ticks, sums, on))
    got, _ = drive(name, params, weights, pre, post, ticks, learning=on, rewards=rewards)
    assert np.abs(twin - weights).max() > 0.05
    assert got == pytest.approx(twin, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_tick_of_another_length_and_float32(name):
    options = dict(next(options for one, options in CASES if one == name))
    params, ticks = MODULES[name].Params(**options), range(7, 407)
    weights, pre, post = drawn(4, name, ticks)
    rewards = {100: (40.0,)} if name == "rstdp" else {}
    twin = naive_rules.run(name, params, 0.5, weights, pre, post, ticks, {100: 40.0}, lambda n: True)
    got, state = drive(name, params, weights, pre, post, ticks, np.float32, 500, rewards=rewards)
    assert got == pytest.approx(np.array(twin), abs=2e-4)
    for hook in ("on_all", "on_pre", "on_post", "after_post"):
        for one in getattr(getattr(MODULES[name], hook, None), "overloads", {}).values():
            width = {str(argument) for argument in one.signature.args} & {"float32", "float64"}
            assert str(one.signature.return_type) in width, hook
    assert {array.dtype.kind for array in state} <= {"f", "i"}


IN_VOLTS = {
    "rstdp": {"d_tonic": 3.0},
    "antihebbian": {"w_min": -5.0, "w_max": 30.0},
    "normalise": {"every_ms": 50.0, "w_norm": 30.0},
    "scaling": {"every_ms": 20.0, "beta": 0.1, "tau_rate_ms": 300.0},
    "centroid": {"w_norm": 10.0},
}


def learning(name, options, weights):
    """Return a network whose neurons learn by a rule, on a matrix or on a list of the same synapses.

    The list is wired as the laws of rules have it, beside a teacher, so it runs what was compiled for them.
    """
    population = Population("out", N, params={"v_thresh": 10.0})
    if name in ON_A_MATRIX:
        see = Projection("see", "in", "out", weights=weights, rules=[Rule(name, options)])
        return Network.from_model(Model([Input("in", A)], [population], [see]))
    pre, post = np.divmod(np.arange(A * N), N)
    listed = {"connect": "pairs", "pre": pre, "post": post, "weights": weights.ravel()}
    see = Projection("see", "in", "out", rules=[Rule(name, options)], **listed)
    teach = Projection("teach", "teacher", "out", connect="pairs", pre=[0], post=[0], weights=100.0)
    return Network.from_model(Model([Input("in", A), Input("teacher", 1)], [population], [see, teach]))


ON_A_MATRIX = ("antihebbian", "centroid", "normalise")
"""They have all hooks; each structure takes seconds to compile."""


def test_rules_on_a_matrix_have_all_hooks():
    assert {hook for name in ON_A_MATRIX for hook in HOOKS if hasattr(MODULES[name], hook)} == set(HOOKS)


@pytest.mark.parametrize("name", NAMES)
def test_a_composed_network_moves_its_weights_as_the_driver_does(name):
    rng, ticks = np.random.default_rng(2), range(300)
    options = {**({} if name == "centroid" else {"w_max": 20.0}), **IN_VOLTS.get(name, {})}
    weights, pre = rng.uniform(5, 12, (A, N)), spikes(rng, ticks, A, 0.1)
    net = learning(name, options, weights)
    rows = [(n * 1000, i) for n in ticks for i in pre[n]]
    t, axon = np.array([t for t, _ in rows]), np.array([i for _, i in rows], np.int32)
    out, post = net(Spikes(0, 300_000, t, axon)), {}
    for stamp, j in zip(out.t.tolist(), out.axon.tolist(), strict=True):
        post.setdefault(stamp // 1000, []).append(j)
    params = MODULES[name].Params(**options)
    expected, _ = drive(name, params, weights, pre, post, ticks, np.float32)
    assert len(out) > 30
    assert np.abs(expected - weights).max() > 0.01
    assert net.synapses("see").weight.astype(np.float32).reshape(A, N).tobytes() == expected.tobytes()


BOUNDED = [case for case in CASES if case[0] != "centroid"]


@given(
    case=st.sampled_from(BOUNDED),
    seed=st.integers(0, 999),
    strength=st.sampled_from([0.0, 1.0, 40.0]),
    f=st.sampled_from(DTYPES),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_weights_stay_between_their_bounds_however_strong_a_rule(case, seed, strength, f):
    name, options = case
    base = MODULES[name].Params(**options)
    loud = {rate: getattr(base, rate) * strength for rate in MODULES[name].RATES}
    params = MODULES[name].Params(**{**options, **loud})
    weights, pre, post = drawn(seed, name, range(60), 0.3)
    weights = np.clip(weights, params.w_min, params.w_max)
    rewards = {20: (1000.0,), 40: (-2000.0,)} if name == "rstdp" else {}
    w, _ = drive(name, params, weights, pre, post, range(60), f, rewards=rewards, plain=True)
    assert np.isfinite(w).all()
    assert w.min() >= f(params.w_min)
    assert w.max() <= f(params.w_max)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_run_taken_up_from_its_state_goes_on_bit_for_bit(name, options):
    params = MODULES[name].Params(**options)
    weights, pre, post = drawn(9, name, range(200))
    more = {"f": np.float32, "rewards": {60: (30.0,), 100: (5.0,)} if name == "rstdp" else {}}
    whole, last = drive(name, params, weights, pre, post, range(200), **more)
    w, s = drive(name, params, weights, pre, post, range(100), **more)
    again = type(s)(**{key: np.frombuffer(array.tobytes(), array.dtype).copy() for key, array in s._asdict().items()})
    got, end = drive(name, params, weights, pre, post, range(100, 200), before=(w.copy(), again), **more)
    assert got.tobytes() == whole.tobytes()
    assert [a.tobytes() for a in end] == [a.tobytes() for a in last]
    assert MODULES[name].init(A, N, A * N, params, np.float32)[0].shape == s[0].shape


FADING = {
    "pair": {},
    "triplet": {},
    "rstdp": {"tau_c_ms": 90.0, "d_tonic": 0.1},
    "oja": {},
    "antihebbian": {},
    "scaling": {"tau_rate_ms": 100.0},
}


def after_activity(name, f):
    """Return parameters, coefficients and state of a rule after 100 ticks of spikes, and a reward where there are."""
    params = MODULES[name].Params(**FADING[name])
    rewards = {50: (20.0,)} if name == "rstdp" else {}
    _, s = drive(name, params, *drawn(1, name, range(100)), range(100), f, 5000, rewards=rewards)
    return params, MODULES[name].design(params, 5000, f), s


@pytest.mark.parametrize("f", DTYPES)
@pytest.mark.parametrize("name", FADING)
def test_no_subnormal_number_outlives_a_silence(name, f):
    _, c, s = after_activity(name, f)
    for n in range(100, 2900):
        MODULES[name].step(c, s, n)
        numbers = [*s, s.c * s.gain] if name == "rstdp" else s
        for array in numbers:
            assert not np.any((array != 0) & (np.abs(array) < np.finfo(array.dtype).tiny)), n
    for key in {"x", "y", "r1", "r2", "o1", "o2", "c", "d", "rate"} & set(s._fields):
        assert not getattr(s, key).any(), key


@pytest.mark.parametrize("name", FADING)
def test_rest_is_silence_at_once(name):
    params, c, ticked = after_activity(name, np.float64)
    rested = type(ticked)(*(array.copy() for array in ticked))
    MODULES[name].rest(params, rested, 70, 70, 5000)
    for n in range(100, 170):
        MODULES[name].step(c, ticked, n)
    for key in {"x", "y", "r1", "r2", "o1", "o2", "d", "rate"} & set(ticked._fields):
        assert getattr(rested, key) == pytest.approx(getattr(ticked, key), rel=1e-12), key
        assert key == "d" or getattr(rested, key).any(), key
    if name == "rstdp":
        for _ in range(12):  # on, over several times that the scale is multiplied in, until nothing is left
            assert rested.c == pytest.approx(ticked.c, rel=1e-9)
            assert rested.scale == pytest.approx(ticked.scale, rel=1e-9)
            MODULES[name].rest(params, rested, 170, 170, 5000)
            for n in range(170, 340):
                MODULES[name].step(c, ticked, n)
        assert not rested.c.any()


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("pair", {"dependence": "log"}, "additive, multiplicative, power"),
        ("pair", {"pairing": "some"}, "all, nearest"),
        ("triplet", {"pairing": "some"}, "all, nearest"),
        ("pair", {"dependence": "power", "mu_plus": -1.0}, "mu_plus"),
        ("normalise", {"norm": "max"}, "sum, length"),
        ("normalise", {"every_ms": 0.0}, "every_ms"),
        ("normalise", {"w_norm": 0.0}, "w_norm"),
        ("scaling", {"every_ms": -1.0}, "every_ms"),
        ("rstdp", {"tau_c_ms": 0.5}, "tau_c_ms"),
        ("centroid", {"wins_half": 0.0}, "wins_half"),
        ("centroid", {"tau_plus_ms": 1e9}, "tau_plus_ms"),
        *((name, {"w_min": 2.0, "w_max": 2.0}, "w_min") for name in NAMES if name != "centroid"),
    ],
)
def test_what_a_rule_cannot_be_told(name, options, text):
    with pytest.raises(ValueError, match=text):
        MODULES[name].design(MODULES[name].Params(**options), 1000, np.float64)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("pair", "y", -1),
        ("triplet", "o2", -1),
        ("rstdp", "scale", 0),
        ("rstdp", "scale", 2),
        ("rstdp", "x", -1),
        ("oja", "x", -1),
        ("antihebbian", "y", -1),
        ("scaling", "rate", -1),
        ("centroid", "wins", -1),
        ("centroid", "learned", 2),
    ],
)
def test_a_state_that_can_never_have_been_is_told(name, field, value):
    rule = MODULES[name]
    s = rule.init(A, N, A * N, rule.Params(), np.float32)
    assert rule.absurd(s) == ""
    getattr(s, field)[-1] = value
    assert rule.absurd(s)


def test_no_time_of_a_last_spike_leads_out_of_the_table():
    rule, params = MODULES["centroid"], MODULES["centroid"].Params()
    c, s = rule.design(params, 1000, np.float32), rule.init(3, 1, 3, params, np.float32)
    s.last[:] = [-(2**63), 2**63 - 1, 2**62]
    rule.step(c, s, 5)
    with np.errstate(over="ignore"):
        assert all(0 <= rule.on_post(c, s, g, 0, g, np.float32(0.5)) <= 1 for g in range(3))
