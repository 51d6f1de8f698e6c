"""Conformance suites: the laws of the design as checks which every built-in passes and plugin authors run.

Each suite yields named checks; calling one raises `PluginError` with the broken law in words and what was seen::

    @pytest.mark.parametrize(("name", "check"), list(checks.sensor(MySensor)))
    def test_it_keeps_the_laws(name, check):
        check()
"""

from spikestream.checks.base import Check as Check
from spikestream.checks.containers import container as container
from spikestream.checks.decoders import decoder as decoder
from spikestream.checks.neurons import neuron as neuron
from spikestream.checks.outputs import output as output
from spikestream.checks.rules import rule as rule
from spikestream.checks.sensors import sensor as sensor
from spikestream.checks.stages import stage as stage
from spikestream.checks.writers import writer as writer
