"""The quadratic neuron against its equation, integrated in small steps, and against what follows from it on paper."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikestream_quadratic import quadratic
from spikestream_quadratic.quadratic import Params

import spikestream as ss
from spikestream import checks
from spikestream.cli import main
from spikestream.errors import ConfigError
from spikestream.registry import load

ROOT = Path(__file__).resolve().parents[1]
RECORDING = ROOT.parents[1] / "recordings" / "looks.aedat4"
PLAIN = Params()
README = (ROOT / "README.md").read_text(encoding="utf-8")


def slope(v, p):
    return ((v - p.v_rest) * (v - p.v_thresh) / (p.v_thresh - p.v_rest) + p.i_offset) / p.tau_m_ms


def passed(v, p, tick_ms, steps=400):
    """Return where a voltage is after a tick, by Runge and Kutta; v_peak where it came there."""
    h = tick_ms / steps
    for _ in range(steps):
        a = slope(v, p)
        b = slope(v + h / 2 * a, p)
        c = slope(v + h / 2 * b, p)
        v += h / 6 * (a + 2 * b + 2 * c + slope(v + h * c, p))
        if v >= p.v_peak:
            return p.v_peak
    return v


def ticks_of(p, kicks, ticks, tick_us=1000):
    """Return in which ticks one neuron fires that gets kicks {tick: mV}."""
    c, s, out = quadratic.design(p, tick_us, np.float64), quadratic.init(1, p, np.float64), np.zeros(1, np.int32)
    fired = []
    for n in range(ticks):
        quadratic.decay(c, s, n, True)
        s.v[0] += kicks.get(n, 0.0)
        fired += [n] * quadratic.fire(c, s, n, True, out)
    return fired


@pytest.mark.parametrize("law", [name for name, _ in checks.neuron(quadratic)])
def test_it_keeps_the_laws_of_a_neuron(law):
    dict(checks.neuron(quadratic))[law]()


def test_it_is_found_by_its_name():
    assert load("neurons", "quadratic") is quadratic


@settings(max_examples=60, deadline=None)
@given(
    v=st.floats(-90, 19),
    current=st.sampled_from([-20.0, 0.0, 3.0, 3.75, 3.8, 15.0]),  # 3.75 is where its rest is lost
    tick_ms=st.sampled_from([0.1, 1.0, 2.5]),
)
def test_a_tick_is_the_equation_s(v, current, tick_ms):
    p = Params(i_offset=current)
    c, s = quadratic.design(p, round(tick_ms * 1000), np.float64), quadratic.State(np.array([v]))
    quadratic.decay(c, s, 0, True)
    assert s.v[0] == pytest.approx(passed(v, p, tick_ms), abs=2e-4)


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.integers(0, 59), st.floats(-8, 14), max_size=25))
def test_spikes_are_those_of_the_naive_twin(kicks):
    v, expected = PLAIN.v_rest, []
    for n in range(60):
        v = passed(v, PLAIN, 1.0) + kicks.get(n, 0.0)
        if v >= PLAIN.v_peak:
            v = PLAIN.v_reset
            expected.append(n)
    assert ticks_of(PLAIN, kicks, 60) == expected


@pytest.mark.parametrize("above", [0.01, 0.5, 3.0, 20.0])
def test_a_spike_is_the_later_the_less_it_was_pushed(above):
    width = PLAIN.v_thresh - PLAIN.v_rest
    u, peak = 1 + above / width, (PLAIN.v_peak - PLAIN.v_rest) / width
    latency_ms = PLAIN.tau_m_ms * math.log(u / (u - 1) * (peak - 1) / peak)
    assert ticks_of(PLAIN, {5: u * width}, 2_000, 100) == [5 + math.ceil(latency_ms / 0.1)]


def test_what_does_not_reach_the_threshold_is_forgotten():
    assert ticks_of(PLAIN, {5: 14.99}, 3_000) == []


@pytest.mark.parametrize("current", [3.8, 5.0, 15.0, 60.0])
def test_a_current_makes_it_fire_at_the_rate_of_the_normal_form(current):
    p = Params(i_offset=current)
    width, middle = p.v_thresh - p.v_rest, (p.v_thresh + p.v_rest) / 2
    s = math.sqrt(width * current - width**2 / 4)
    period_ms = p.tau_m_ms * width / s * (math.atan((p.v_peak - middle) / s) - math.atan((p.v_reset - middle) / s))
    gaps = np.diff(ticks_of(p, {}, 40_000, 50)) * 0.05
    assert period_ms <= gaps.mean() <= period_ms + 0.05
    assert ticks_of(Params(i_offset=3.7), {}, 20_000, 50) == []


@pytest.mark.parametrize("wrong", [{"v_thresh": -70.0}, {"v_peak": -50.0}, {"v_reset": 20.0}, {"i_offset": 1e5}])
def test_odd_parameters_are_a_config_error(wrong):
    with pytest.raises(ConfigError):
        ss.Network(4, 2, neuron="quadratic", rule="none", **wrong)


def test_the_readme_s_python_prints_what_it_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert f"```\n{capsys.readouterr().out.strip()}\n```" in README


def test_the_readme_s_model_runs_from_the_command_line(tmp_path, capsys):
    (text,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "quadratic.toml").write_text(text)
    command = ["replay", str(RECORDING), "--config", str(tmp_path / "quadratic.toml"), "--speed", "max", "--to", "3s"]
    assert main([*command, "--json"]) == 0
    assert re.search(r'"spikes_out": [1-9]\d+', capsys.readouterr().out)


def test_every_parameter_is_in_the_readme():
    for name in ("quadratic", "bcm"):
        module = load("neurons" if name == "quadratic" else "rules", name)
        assert not [key for key in module.Params.__dataclass_fields__ if f"`{key}`" not in README]
