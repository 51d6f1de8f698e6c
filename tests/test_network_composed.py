"""The composed network: equal to a plain one for any model, however its input is cut, saved and restored."""

from __future__ import annotations

import numpy as np
import pytest
from composed_cases import models, spikes_for, twin
from filter_cases import pieces, same
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from spikestream.batch import Setting, Spikes, concat, cut
from spikestream.errors import ConfigError, ModelError
from spikestream.model import Input, Model, Population, Projection, Rule
from spikestream.stages.network import Network

COMPILES = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
"""The first example may compile the module."""


def rows(spikes):
    return list(zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True))


@given(model=models(), seed=st.integers(0, 9), data=st.data())
@COMPILES
def test_any_model_equals_its_naive_twin_however_its_input_is_cut(model, seed, data):
    batch, net = spikes_for(model, seed=seed), Network.from_model(model)
    expected, made = twin(model, batch)
    cuts = data.draw(st.lists(st.integers(batch.start, batch.stop), max_size=8))
    assert rows(concat([net(part) for part in pieces(batch, cuts)])) == expected
    for name, one in made.items():
        found = net.synapses(name)
        seen = sorted(zip(found.pre, found.post, found.delay_ticks, found.weight, strict=True))
        told = sorted((pre, post, delay, weight) for pre, post, weight, delay in one.synapses)
        np.testing.assert_allclose(np.array(seen, float), np.array(told, float), rtol=0, atol=1e-9)


@given(model=models("float32"), seed=st.integers(0, 9), at=st.integers(0, 60_000))
@COMPILES
def test_a_fresh_network_goes_on_from_a_saved_state_bit_for_bit(model, seed, at):
    left, right = cut(spikes_for(model, seed=seed), at)
    first, second = Network.from_model(model), Network.from_model(model)
    first(left)
    saved = first.state()
    second.restore(saved)
    assert same(second.state(), saved)
    assert rows(second(right)) == rows(first(right))
    assert same(second.state(), first.state())
