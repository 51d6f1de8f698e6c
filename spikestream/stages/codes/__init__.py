"""Codes: numbers and bits put into spike times, and read from them again; docs/codes.md shows them side by side."""

from spikestream.stages.codes.base import Code, most_bits
from spikestream.stages.codes.phase import PhaseCode
from spikestream.stages.codes.rate import PoissonCode, RateCode
from spikestream.stages.codes.readout import CodeReadout, Values
from spikestream.stages.codes.slots import SlotCode
from spikestream.stages.codes.timing import FirstSpikeCode, IntervalCode

__all__ = [
    "Code",
    "CodeReadout",
    "FirstSpikeCode",
    "IntervalCode",
    "PhaseCode",
    "PoissonCode",
    "RateCode",
    "SlotCode",
    "Values",
    "most_bits",
]
