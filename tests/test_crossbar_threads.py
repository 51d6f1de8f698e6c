"""A chip in two threads: bit for bit what one thread makes of it, and an end whatever happens."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from queue import SimpleQueue

import numpy as np
import pytest
from crossbar_cases import Chip, fired, many_networks, random_input, spikes
from filter_cases import pieces, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network_cases import SLOW_START

from spikestream.batch import no_spikes
from spikestream.errors import ConfigError
from spikestream.kernels.meeting import call_off, gate, meet
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.placement import PIN
from spikestream.stages import ticked
from spikestream.stages.chip import crossbar

TICKS = 40
LIVELY = many_networks(3, 12, 20, 24)[0]
ROWS = random_input(3, LIVELY.input_count, TICKS, mean=30.0)


@pytest.fixture
def eager(monkeypatch):
    """Every chip of two cores is worth a second thread."""
    monkeypatch.setattr(crossbar, "WORTH", 1)
    monkeypatch.setattr(crossbar, "CORES", 2)


def out_of(batches):
    return [(int(t), int(axon)) for part in batches for t, axon in zip(part.t, part.axon, strict=True)]


@given(cuts=st.lists(st.integers(0, TICKS * 1000), max_size=8), saved=st.integers(0, 8))
@settings(SLOW_START, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_cut_anywhere_and_saved_in_between_two_threads_are_one(eager, cuts, saved):
    whole = spikes(ROWS, TICKS)
    one, two = Chip(LIVELY), Chip(LIVELY, threads=2)
    expected, found = out_of([one(whole)]), []
    for k, part in enumerate(pieces(whole, sorted(cuts))):
        found.append(two(part))
        if k == saved:  # what is counted goes on too, and with another number of threads
            other = Chip(LIVELY, threads=1 + saved % 2)
            other.restore(two.state())
            two = other
    assert out_of(found) == expected
    assert len(expected) > 300
    assert same(one.state(), two.state())
    assert one.counters == two.counters
    assert min(one.counters.values()) > 50


def test_batches_worth_it_and_others_may_alternate(monkeypatch, eager):
    one, two = Chip(LIVELY), Chip(LIVELY, threads=2)
    monkeypatch.setattr(crossbar, "WORTH", 5 * LIVELY.cores)
    for start, stop in [(0, 2), (2, 12), (12, 13), (13, 70), (70, 100)]:
        rows = [row for row in ROWS if start <= row[0] < stop]
        assert fired(one, rows, stop - start, start) == fired(two, rows, stop - start, start)
    assert two._engine._helper is not None
    assert same(one.state(), two.state())


@pytest.mark.parametrize(("gap", "first"), [(7, 20), (77, 3)])
def test_gaps_are_one_too(monkeypatch, eager, gap, first):
    monkeypatch.setattr(ticked, "GAP_TICKS", 60)
    one, two = Chip(LIVELY), Chip(LIVELY, threads=2)
    for chip in (one, two):
        chip(spikes([row for row in ROWS if row[0] < first], first))
    start, stop = first * 1000, (first + gap) * 1000
    assert out_of([one.skip(start, stop)]) == out_of([two.skip(start, stop)])
    assert one.counters["neuron_updates"] == (first + min(gap, 60)) * LIVELY.cores * LIVELY.neurons
    assert same(one.state(), two.state())


def test_spikes_cross_between_the_halves_both_ways(eager):
    # A ring of cores with a neuron each that hands one spike on; delays of 1 to 5 ticks.
    cores, delays = 7, [1 + k % 5 for k in range(7)]
    given = {"synapses": 1, "weights": 1, "target_core": np.roll(np.arange(cores), -1)[:, None]}
    ring = CrossbarPlacement.of(cores, 1, 1, delay=np.array(delays)[:, None], grid=(cores, 1), **given)
    chip = Chip(ring, threads=2)
    chip(spikes([(0, 0)], 10_000))
    # A round of 1 + 2 + 3 + 4 + 5 + 1 + 2 = 18 ticks has seven spikes; the way back to the first core is six hops long.
    times = [k for k in range(10_000) if k % 18 in (0, 1, 3, 6, 10, 15, 16)]
    back = sum(k % 18 == 16 for k in times)
    assert chip.counters["spikes"] == len(times)
    assert chip.counters["synaptic_operations"] == chip.counters["axon_events"] == len(times)
    assert chip.counters["hops_x"] == 6 * back + (len(times) - back)
    assert chip.counters["neuron_updates"] == 7 * 10_000


@pytest.mark.parametrize("busy", [0, 3])
def test_a_half_where_nothing_goes_on_does_not_stop_the_other(eager, busy):
    leak = np.zeros((4, 1), int)
    leak[busy] = 1
    given = {"threshold": 50, "leak": leak, "target_core": PIN, "outputs": 1}
    chip = Chip(CrossbarPlacement.of(4, 1, 1, **given), threads=2)
    assert fired(chip, [], 1000) == [(49 + 50 * k, 0) for k in range(20)]


def test_more_spikes_out_than_there_is_room_for_at_once(monkeypatch, eager):
    monkeypatch.setattr(crossbar, "ROOM", 1)
    given = {"threshold": 0, "target_core": PIN, "target_axon": np.arange(40).reshape(4, 10) // 2, "outputs": 20}
    placement = CrossbarPlacement.of(4, 1, 10, **given)
    for threads in (1, 2):
        out = Chip(placement, threads=threads)(no_spikes(0, 50_000))
        assert out.axon.tolist() == 50 * list(range(20))
        assert np.array_equal(out.t, np.repeat(np.arange(50) * 1000 + 999, 20))


def helpers():
    return [thread for thread in threading.enumerate() if thread.name == "chip half"]


def test_the_second_thread_comes_when_it_is_needed_and_ends_with_its_chip(eager):
    gc.collect()
    before = len(helpers())
    chip = Chip(LIVELY, threads=2)
    chip.prepare()
    assert len(helpers()) == before
    for part in pieces(spikes(ROWS, TICKS), range(0, TICKS * 1000, 3_000)):
        chip(part)
    assert len(helpers()) == before + 1
    thread = chip._engine._helper._thread
    del chip
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("ill", [0, 1])
def test_where_one_thread_fails_the_other_does_not_wait_and_the_chip_can_go_on(eager, ill):
    one, two = Chip(LIVELY), Chip(LIVELY, threads=2)
    assert fired(one, ROWS, TICKS) == fired(two, ROWS, TICKS)
    good, before = two._engine._scratch, two.state()
    two._engine._scratch = {1 - ill: good[1 - ill], 2: None}
    with pytest.raises(KeyError):
        two._engine.run((TICKS, TICKS + 9, 1000), np.empty(0, np.int64), np.empty(0, np.int32))
    two._engine._scratch = good
    assert same(two.state(), before)
    assert fired(one, [], 30, TICKS) == fired(two, [], 30, TICKS)


def test_who_waits_at_a_gate_that_is_called_off_goes_away():
    place, said = gate(), SimpleQueue()
    waits = threading.Thread(target=lambda: said.put(meet(place, 1)), daemon=True)
    waits.start()
    call_off(place)
    assert said.get(timeout=60) is False


def test_who_meets_sees_what_the_other_did_before():
    place, rounds, said = gate(), 3_000, SimpleQueue()
    seen = np.zeros((2, 64), np.int64)

    def count(me):
        for k in range(1, rounds + 1):
            seen[me, 0] = k
            assert meet(place, me)
            if seen[1 - me, 0] < k:
                said.put((me, k))
            assert meet(place, me)

    other = threading.Thread(target=count, args=(1,), daemon=True)
    other.start()
    count(0)
    other.join(60)
    assert not other.is_alive()
    assert said.empty()


ON_ONE_PROCESSOR = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
sys.path.insert(0, sys.argv[1])
from test_crossbar_threads import LIVELY, ROWS, TICKS, Chip, crossbar, fired
crossbar.WORTH, crossbar.CORES = 1, 2
one, two = Chip(LIVELY), Chip(LIVELY, threads=2)
assert fired(one, ROWS, TICKS) == fired(two, ROWS, TICKS) != []
assert one.counters == two.counters
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen here")
def test_two_threads_get_on_with_one_processor():
    here = os.path.dirname(__file__)
    subprocess.run([sys.executable, "-c", ON_ONE_PROCESSOR, here], check=True, timeout=100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process")  # newer Pythons warn of forks beside threads
def test_a_fork_of_the_process_has_its_own_second_thread(eager):
    one, two = Chip(LIVELY), Chip(LIVELY, threads=2)
    assert fired(one, ROWS, TICKS) == fired(two, ROWS, TICKS)
    child = os.fork()
    if child == 0:
        os._exit(0 if fired(one, [], 30, TICKS) == fired(two, [], 30, TICKS) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("threads", [0, 3, True, 1.5, "auto"])
def test_other_numbers_of_threads_are_refused(threads):
    with pytest.raises(ConfigError, match="threads"):
        Chip(LIVELY, threads=threads)
