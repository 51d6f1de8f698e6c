"""Time, worked through once: ticks, stamps, windows, and when a label and a setting take effect.

A tick is 1,000 µs, spikes come at 10, 999, 1,000 and 2,500 µs, the stream stops at 3,000: the ticks {10, 999}, {1,000}
and {2,500} run, and each of them fires.
"""

from __future__ import annotations

from itertools import pairwise

import naive
import numpy as np
import pytest
from filter_cases import pieces, same

from spikestream.batch import Decision, Label, Setting, Spikes, check, concat
from spikestream.kernels.lif_stdp import Params
from spikestream.pipeline import Pipeline
from spikestream.stages.network import Network
from spikestream.stages.readout import Readout

T = [10, 999, 1_000, 2_500]
STREAM = Spikes(0, 3_000, np.array(T, np.int64), np.arange(4, dtype=np.int32))
CUTS = {"one batch": [], "beside ticks": [999, 1_000, 2_501], "every spike": T, "every 100 µs": range(100, 3_000, 100)}
FIRING = {"v_thresh": 0.01, "tau_refrac_ms": 0.0, "theta_plus": 0.001}
LABEL = Label(1_500, 0, 1_000, "a")


def run(cuts, commands=(), learning=True, stop=3_000):
    """Return the pipeline after the stream up to ``stop``, and its answers batch by batch."""
    stages = {
        "network": Network(4, 1, tick_us=1_000, learning=learning, **FIRING),
        "readout": Readout(1, window_us=1_000),
    }
    pipeline = Pipeline(stages)
    parts = [part for part in pieces(STREAM, {*cuts, stop} - {3_000}) if part.stop <= stop]
    answers = [pipeline(part, [c for c in commands if part.start <= c.t < part.stop]) for part in parts]
    return pipeline, answers


def told_and_seen(answers):
    """Return (stamp, neuron) of the spikes and the decisions, all batches together."""
    network, readout = (concat([answer[name] for answer in answers]) for name in ("network", "readout"))
    return list(zip(network.t.tolist(), network.axon.tolist(), strict=True)), list(readout.rows)


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_three_ticks_run_and_their_spikes_are_stamped_with_their_last_microsecond(cuts):
    pipeline, answers = run(cuts)
    spikes, decisions = told_and_seen(answers)
    assert spikes == [(999, 0), (1_999, 0), (2_999, 0)]
    assert decisions == [Decision(k * 1_000, (k + 1) * 1_000, None, 0.0, (), 1.0) for k in range(3)]
    assert pipeline.stages["network"].state()["last"].tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_every_answer_comes_with_the_batch_that_completes_its_tick_and_window(cuts):
    edges = [0, *sorted(cuts), 3_000]
    for (start, stop), answer in zip(pairwise(edges), run(cuts)[1], strict=True):
        for made in answer.values():
            assert (made.start, made.stop) == (start, stop)
            check(made)
        complete = [end for end in (1_000, 2_000, 3_000) if start < end <= stop]
        assert answer["network"].t.tolist() == [end - 1 for end in complete]
        assert [row.stop for row in answer["readout"].rows] == complete


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_a_label_at_1500_is_in_the_votes_from_tick_2_on(cuts):
    _, decisions = told_and_seen(run(cuts, [LABEL])[1])
    assert [row.label for row in decisions] == [None, None, "a"]
    assert run(cuts, [LABEL], stop=1_999)[0].stages["readout"].state()["votes"].tolist() == []
    assert run(cuts, [LABEL], stop=2_000)[0].stages["readout"].state()["votes"].tolist() == [[1.0]]


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("learning", "ticks"), [(True, [0, 1]), (False, [2])])
def test_a_setting_at_1500_switches_learning_from_tick_2_on(cuts, learning, ticks):
    setting = Setting(1_500, "learn.enabled", not learning)
    pipeline, answers = run(cuts, [setting], learning)
    state = pipeline.stages["network"].state()
    twin = naive.Lif(Params(**FIRING), 1_000, Network(4, 1, **FIRING).weights.tolist())
    fired = [twin.tick(k, axons, k in ticks, k in ticks) for k, axons in enumerate([[0, 1], [2], [3]])]
    assert fired == [0, 0, 0]
    assert len(told_and_seen(answers)[0]) == 3
    assert state["wins"].tolist() == twin.wins == [len(ticks)]
    assert state["weights"].tolist() == twin.weights
    assert state["theta"].tolist() == twin.theta
    assert pipeline.stages["readout"].learning is not learning


@pytest.mark.parametrize("commands", [[], [LABEL], [LABEL, Setting(1_500, "learn.enabled", False)]])
def test_all_cuts_are_equal(commands):
    first, expected = run([], commands)
    for cuts in CUTS.values():
        pipeline, answers = run(cuts, commands)
        assert told_and_seen(answers) == told_and_seen(expected)
        for name, stage in pipeline.stages.items():
            assert same(stage.state(), first.stages[name].state())
            assert stage.account == first.stages[name].account
        assert all(hop.missing() == 0 for hop in pipeline.hops())
