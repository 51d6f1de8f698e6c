"""Bits per spike: counted by brute force, bounded by the bits of slots, and measured through jitter."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from spikestream.errors import SpikestreamError
from spikestream.stages.codes import (
    CodeReadout,
    FirstSpikeCode,
    IntervalCode,
    PhaseCode,
    PoissonCode,
    RateCode,
    SlotCode,
    most_bits,
)

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "codes.md").read_text(encoding="utf-8")

COUNTED = [
    (RateCode(64, 8), 9),
    (FirstSpikeCode(64, 8), 9),
    (FirstSpikeCode(64, 8, silence=False), 8),
    (IntervalCode(64, 8), 7),
    (PhaseCode(64, 8), 8),
    (PhaseCode(64, 4, period_us=16), 4),
    (SlotCode(64, 8), 256),
    (SlotCode(64, 8, guard_us=2), 64),
]


def name(value):
    return repr(value).replace(" ", "")


def everything(code):
    """Return so many values that every level is among them, (k, 1, ...)."""
    if code.shape:
        return np.array(list(product([0, 1], repeat=code.slots)))[:, None]
    return np.linspace(0, 1, 2_001)[:, None]


def information(sent, heard):
    """Return the mutual information in bits of two columns of whole numbers, with Miller and Madow's correction."""
    joint = np.zeros((sent.max() + 1, heard.max() + 1))
    np.add.at(joint, (sent, heard), 1)
    n, p = joint.sum(), joint / joint.sum()

    def entropy(q):
        q = q[q > 0]
        return -(q * np.log2(q)).sum() + (len(q) - 1) / (2 * n * math.log(2))

    return entropy(p.sum(1)) + entropy(p.sum(0)) - entropy(p.ravel())


def through(code, values, sigma_us, seed=0):
    """Return what is read of values (k,) after each spike moved by normal jitter."""
    spikes = code.encode(values[:, None])
    t = spikes.t + np.rint(np.random.default_rng(seed).normal(0, sigma_us, len(spikes))).astype(np.int64)
    t = np.clip(np.sort(t), spikes.start, spikes.stop - 1)
    return CodeReadout(code, 1)(replace(spikes, t=t)).rows[:, 0]


def numbered(values):
    """Return values as whole numbers, equal ones alike, NaN one of them."""
    return np.unique(values, return_inverse=True)[1].ravel()


@pytest.mark.parametrize(("code", "codewords"), COUNTED, ids=name)
def test_bits_and_spikes_are_what_counting_all_codewords_finds(code, codewords):
    spikes = code.encode(everything(code))
    row, at = np.divmod(spikes.t, 64)
    words = [tuple(at[row == k].tolist()) for k in range(spikes.stop // 64)]
    assert len(set(words)) == codewords
    assert code.bits() == pytest.approx(math.log2(codewords))
    mean = sum(map(len, set(words))) / codewords
    assert code.spikes() == pytest.approx(mean)
    assert code.bits_per_spike() == pytest.approx(math.log2(codewords) / mean)
    rows = CodeReadout(code, 1)(spikes).rows
    assert len({row.tobytes() for row in rows}) == codewords  # and all of them are told apart


def test_the_most_bits_of_slots_are_those_of_independent_ones():
    for slots, p in [(1, 0.5), (4, 0.25), (7, 0.9)]:
        words = product([0, 1], repeat=slots)
        chances = [p ** sum(word) * (1 - p) ** (slots - sum(word)) for word in words]
        entropy = -sum(q * math.log2(q) for q in chances)
        assert most_bits(slots, slots * p) == pytest.approx(entropy)
    assert [most_bits(8, spikes) for spikes in (0, 8)] == [0, 0]
    for spikes in range(1, 20):  # words of equal weight are fewer than that, and nearly as many
        assert 0 < most_bits(20, spikes) - math.log2(math.comb(20, spikes)) < 3


@pytest.mark.parametrize(
    ("code", "slots"),
    [
        (RateCode(64, 64), 64),
        (RateCode(64, 8), 64),
        (FirstSpikeCode(64, 8), 8),
        (FirstSpikeCode(64, 8, silence=False), 8),
        (IntervalCode(64, 8), 8),
        (PhaseCode(64, 8), 8),
        (PhaseCode(64, 4, period_us=16), 16),
        (SlotCode(64, 8), 8),
        (SlotCode(64, 8, guard_us=2), 8),
    ],
    ids=name,
)
def test_no_code_beats_the_slots_it_uses(code, slots):
    assert code.bits() <= most_bits(slots, code.spikes()) + 1e-9


def test_rare_spikes_in_slots_carry_more_each():
    code = SlotCode(64, 8)
    assert code.bits_per_spike() == 2.0
    for density, bits in [(0.25, 3.2451), (0.05, 5.7279), (1.0, 0.0)]:  # by hand: H(p) / p
        assert code.bits_per_spike(density) == pytest.approx(bits, abs=1e-4)
    rng = np.random.default_rng(0)
    sent = (rng.random((40_000, 1, 8)) < 0.05).astype(float)
    spikes = code.encode(sent)
    heard = CodeReadout(code, 1)(spikes).rows
    measured = information(sent.ravel().astype(int), heard.ravel().astype(int)) * sent.size / len(spikes)
    assert measured == pytest.approx(code.bits_per_spike(0.05), rel=0.02)
    for density in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(SpikestreamError):
            code.bits_per_spike(density)


@pytest.mark.parametrize("most", [1, 4, 12])
def test_poisson_counts_carry_the_bits_that_are_measured(most):
    code, n = PoissonCode(1_000, most, seed=9), 200_000
    level = np.random.default_rng(most).integers(0, most + 1, n)
    spikes = code.encode((level / most)[:, None])
    counts = np.rint(CodeReadout(code, 1)(spikes).rows[:, 0] * most).astype(int)
    assert information(level, counts) == pytest.approx(code.bits(), abs=0.02)
    assert len(spikes) / n == pytest.approx(code.spikes(), rel=0.02)
    assert code.bits() < RateCode(1_000, most).bits()


def test_a_poisson_spike_of_one_or_none_by_hand():
    # Level 0 gives no spike, level 1 none with chance e = exp(-1): I = H(N) - H(N | level).
    e = math.exp(-1)
    chances = [math.exp(-1) / math.factorial(k) for k in range(30)]
    counts = [(1 + e) / 2] + [q / 2 for q in chances[1:]]
    entropy = -sum(q * math.log2(q) for q in counts)
    noise = -sum(q * math.log2(q) for q in chances) / 2
    assert PoissonCode(100, 1).bits() == pytest.approx(entropy - noise)
    assert 0 < PoissonCode(1_000, 500).bits() < math.log2(501)  # the largest there is


UNDER_JITTER = [
    RateCode(16_000, 8),
    FirstSpikeCode(16_000, 1_000),
    IntervalCode(16_000, 1_000),
    PhaseCode(16_000, 1_000),
]


@pytest.mark.parametrize("code", UNDER_JITTER, ids=name)
def test_the_bits_are_there_through_jitter_that_is_borne_and_fewer_beyond(code):
    values = np.random.default_rng(3).random(40_000)
    spikes = code.encode(values[:, None])
    sent = numbered(CodeReadout(code, 1)(spikes).rows[:, 0])
    bits = [information(sent, numbered(through(code, values, sigma))) for sigma in (0, 40, 4_000)]
    whole = information(sent, sent)  # ends of the scale are rarer by half: a little below log2(levels)
    assert code.bits() - 0.25 < whole <= code.bits() + 0.01
    assert bits[0] == pytest.approx(whole)
    assert bits[1] == pytest.approx(whole, abs=0.01)  # 40 µs: a quarter of a slot is six sigma away
    assert bits[2] < whole - 0.3


def test_more_cycles_bear_more_jitter_and_cost_more_spikes():
    values = 0.3 + 0.4 * np.random.default_rng(4).random(20_000)  # jitter keeps them in their interval
    error = {}
    for cycles in (1, 4, 16):
        code = PhaseCode(16_000 * cycles, 100, period_us=16_000)
        heard = through(code, values, 800)
        away = np.abs(heard - values)
        error[cycles] = np.sqrt(np.mean(np.minimum(away, 1 - away) ** 2)) * 16_000
        assert code.spikes() == cycles
    assert error[1] == pytest.approx(800, rel=0.05)
    assert error[4] == pytest.approx(400, rel=0.05)  # sigma / sqrt(cycles)
    assert error[16] == pytest.approx(200, rel=0.05)


# docs/codes.md


def shown(kind):
    (block,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return block


def test_the_python_of_the_page_runs(capsys):
    exec(compile(shown("python"), "codes.md", "exec"), {})
    assert capsys.readouterr().out == "3 128000 True 5.2\n"


def test_the_picture_of_the_page_shows_what_the_codes_do():
    codes = {
        "rate": RateCode(64_000, 8),
        "poisson": PoissonCode(64_000, 8, seed=2),
        "first spike": FirstSpikeCode(64_000, 2_000),
        "interval": IntervalCode(64_000, 2_000),
        "phase": PhaseCode(64_000, 2_000),
        "phase, 4 cycles": PhaseCode(64_000, 2_000, period_us=16_000),
        "slots": SlotCode(64_000, 2_000),
    }
    lines = {line[:16].rstrip(): line[16:48] for line in shown("text").splitlines()}
    assert lines.keys() == codes.keys()
    for name, code in codes.items():
        values = code.bits_of(b"\xa3spi") if code.shape else [[0.75]]
        slots = {int(t) // 2_000 for t in code.encode(values).t}
        assert lines[name] == "".join("|" if i in slots else "." for i in range(32)), name


def test_the_table_of_the_page_holds_the_figures_of_the_codes():
    codes = {
        "rate, most 32": (RateCode(64_000, 32), 32),
        "Poisson, most 32": (PoissonCode(64_000, 32), 32),
        "first spike": (FirstSpikeCode(64_000, 2_000), 32),
        "interval": (IntervalCode(64_000, 2_000), 32),
        "phase": (PhaseCode(64_000, 2_000), 32),
        "phase, 4 cycles": (PhaseCode(64_000, 2_000, period_us=16_000), 32),
        "slots": (SlotCode(64_000, 2_000), 32),
        "slots, guard": (SlotCode(64_000, 1_000, guard_us=1_000), 31),
    }
    for name, (code, slots) in codes.items():
        each = [code.bits(), code.spikes(), code.bits_per_spike(), most_bits(slots, code.spikes()) / code.spikes()]
        assert f"| {name} | " + " | ".join(f"{x:.2f}" for x in each) + " | " in PAGE
