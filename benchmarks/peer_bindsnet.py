"""Run a workload on BindsNET, in its environment of `make peers`: `network.py` runs this.

    .peers/bindsnet/bin/python benchmarks/peer_bindsnet.py learn WORKLOAD.npz [--spikes FILE.npz]

DiehlAndCookNodes where thresholds adapt (more than one may spike in a step), else LIFNodes; PostPre; one thread, no
gradient. It hands spikes on with the next step. CPU seconds are those of Network.run.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import torch
from bindsnet.learning import PostPre
from bindsnet.network import Network
from bindsnet.network.monitors import Monitor
from bindsnet.network.nodes import DiehlAndCookNodes, Input, LIFNodes
from bindsnet.network.topology import Connection
from peer_common import arguments, load, report


def build(work: SimpleNamespace) -> tuple[Network, Monitor]:
    """Return the network and what records the spikes of its neurons."""
    network = Network(dt=work.dt_ms)
    source = Input(work.axons, traces=True, traces_additive=True, tc_trace=work.tau_plus_ms)
    constants = {"thresh": work.v_thresh, "rest": 0.0, "reset": work.v_reset, "refrac": work.tau_refrac_ms}
    constants |= {"tc_decay": work.tau_m_ms, "traces": True, "traces_additive": True, "tc_trace": work.tau_minus_ms}
    if work.theta_plus:
        adapting = {"theta_plus": work.theta_plus, "tc_theta_decay": work.tau_theta_ms, "one_spike": False}
        neurons = DiehlAndCookNodes(work.neurons, **constants, **adapting)
    else:
        neurons = LIFNodes(work.neurons, **constants)
    network.add_layer(source, "in")
    network.add_layer(neurons, "out")
    rule = {"update_rule": PostPre, "nu": (work.a_minus, work.a_plus), "reduction": torch.sum}
    weights = torch.tensor(work.weights, dtype=torch.float32)
    network.add_connection(Connection(source, neurons, w=weights, wmin=0.0, wmax=work.w_max, **rule), "in", "out")
    if work.inhibition:
        between = work.inhibition * (torch.eye(work.neurons) - 1)
        network.add_connection(Connection(neurons, neurons, w=between), "out", "out")
    monitor = Monitor(neurons, ["s"], time=work.length)
    network.add_monitor(monitor, "spikes")
    return network, monitor


def main() -> None:
    options = arguments(__doc__, ("learn",))
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    work = load(options.workload)
    network, monitor = build(work)
    spikes = torch.zeros(work.length, work.axons)
    spikes[torch.tensor(work.ticks).long(), torch.tensor(work.inputs).long()] = 1
    begun = time.process_time()
    network.run({"in": spikes}, time=work.length * work.dt_ms)
    cpu_s = time.process_time() - begun
    ticks, neurons = torch.nonzero(monitor.get("s").reshape(work.length, work.neurons), as_tuple=True)
    report(work, cpu_s, ticks.numpy(), neurons.numpy(), options.spikes)


main()
