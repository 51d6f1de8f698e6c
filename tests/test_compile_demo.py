"""A small network of the demo, learned from the shipped recording, on each kind of chip: as its integer reference."""

from __future__ import annotations

import importlib.util

import pytest
from cli import ROOT

from spikestream.files.labels import read_labels
from spikestream.model.compile import TARGETS

FILE = ROOT / "examples" / "chip" / "demo_on_chip.py"
CHANCE = 0.25


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo_on_chip", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def frozen(demo):
    looks = read_labels(ROOT / "recordings" / "looks.csv")
    network, spikes = demo.learned(looks, neurons=60)
    looks = [row for row in looks if not row.test][-80:] + [row for row in looks if row.test][:60]
    spikes = demo.part(spikes, looks[0].start, looks[-1].stop)
    circuit = network.circuit()
    return circuit, spikes, looks, demo.accuracy(network(spikes), network.neurons, looks)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_demo_s_network_decides_on_a_chip_as_its_reference_does(demo, frozen, target, capsys):
    circuit, spikes, looks, exact = frozen
    out = demo.on_chip(circuit, target, spikes)  # raises unless chip and reference agree in every spike
    found = demo.accuracy(out, circuit.output_count, looks)
    with capsys.disabled():
        print(f"\n{target}: held-out accuracy {found:.1%}, float {exact:.1%}")
    assert len(out) > 300
    assert exact > 2.5 * CHANCE
    assert found > max(2.5 * CHANCE, exact - 0.15)
    assert "all the same" in capsys.readouterr().out
