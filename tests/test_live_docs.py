"""docs/live.md names every option of the live sensors and outputs, with its default, and the plugin's page its own."""

from __future__ import annotations

import inspect

import pytest
from cli import ROOT

from spikestream.formats.datagrams import LAYOUTS
from spikestream.outputs import dv as dv_output
from spikestream.outputs import udp as udp_output
from spikestream.sensors.dv import Dv
from spikestream.sensors.stdin import Stdin
from spikestream.sensors.udp import Udp
from spikestream.sensors.wire import Tcp

PAGE = (ROOT / "docs" / "live.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("factory", "title"),
    [
        (Udp, "UDP"),
        (udp_output.Udp._set, "UDP"),
        (Dv, "DV and dv-processing"),
        (dv_output.Dv._set, "DV and dv-processing"),
        (Tcp, "Another spikestream"),
        (Stdin, "Standard input"),
    ],
)
def test_every_option_is_documented_with_its_default(factory, title):
    text = section(title)
    assert text
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name != "length_us":
            assert f"{parameter.name}" in text, parameter.name
            if parameter.default not in ("", "no", "retry"):
                assert f"{parameter.default}" in text, parameter


def test_every_layout_is_documented():
    assert [name for name in LAYOUTS if f"| `{name}` |" not in section("UDP")] == []


def test_the_bounds_that_are_stated_are_those_that_hold():
    from spikestream.formats.aedat4.decoder import PACKET_LIMIT
    from spikestream.formats.aedat4.packing import UNPACKED_LIMIT
    from spikestream.sensors.base.timeline import BACK_US, FAR_US, LEAPS, MOST
    from spikestream.sensors.udp import DOUBTS, REMEMBERED_US

    text = section("Who gets in")
    assert f"{PACKET_LIMIT >> 20} MiB" in text
    assert f"{UNPACKED_LIMIT >> 20} MiB" in text
    assert f"{MOST:,}" in text
    text = section("Time")
    assert f"back by more than {BACK_US // 1_000_000} s, or ahead by more than {FAR_US // 1_000_000} s" in text
    assert f"by more than {FAR_US // 1_000_000} s from one event to the next" in text
    assert f"more than {LEAPS:,} of them" in text
    assert f"twice within {REMEMBERED_US // 1_000} ms" in text
    assert (DOUBTS, "three in a row" in text) == (2, True)
