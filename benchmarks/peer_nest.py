"""Run a workload on NEST, in its environment of `make peers`: `network.py` and `make_golden.py` run this.

    .peers/nest/bin/python benchmarks/peer_nest.py learn|cuba WORKLOAD.npz [--spikes FILE.npz]

learn (W1, W2): iaf_psc_delta, one generator and parrot an input, stdp_synapse_hom. It has no threshold that adapts, and
its delays are dendritic, so W1 spikes more here. cuba (W3): iaf_psc_exp, the same law as ours.
CPU seconds are those of Run, between Prepare and Cleanup. Spikes are stamped with the end of their step.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import nest
import numpy as np
from peer_common import arguments, load, report


def learn(work: SimpleNamespace) -> nest.NodeCollection:
    """Return the neurons of W1 and W2, connected."""
    constants = {"C_m": 1.0, "E_L": 0.0, "V_m": 0.0, "tau_m": work.tau_m_ms, "t_ref": work.tau_refrac_ms}
    constants |= {"V_th": work.v_thresh, "V_reset": work.v_reset, "tau_minus": work.tau_minus_ms}
    neurons = nest.Create("iaf_psc_delta", work.neurons, constants)
    parrots = nest.Create("parrot_neuron", work.axons)
    times = (work.ticks + 1) * work.dt_ms
    order = np.argsort(work.inputs, kind="stable")
    parts = np.split(times[order], np.searchsorted(work.inputs[order], np.arange(1, work.axons)))
    generators = nest.Create("spike_generator", work.axons, [{"spike_times": part} for part in parts])
    nest.Connect(generators, parrots, "one_to_one", {"delay": work.dt_ms})
    rule = {"tau_plus": work.tau_plus_ms, "lambda": work.a_plus / work.w_max, "alpha": work.a_minus / work.a_plus}
    nest.CopyModel("stdp_synapse_hom", "pair", rule | {"mu_plus": 0.0, "mu_minus": 0.0, "Wmax": work.w_max})
    weights = np.ascontiguousarray(work.weights.T, np.float64)
    nest.Connect(parrots, neurons, "all_to_all", {"synapse_model": "pair", "weight": weights, "delay": work.dt_ms})
    if work.inhibition:
        between = {"rule": "all_to_all", "allow_autapses": False}
        nest.Connect(neurons, neurons, between, {"weight": -work.inhibition, "delay": work.dt_ms})
    return neurons


def cuba(work: SimpleNamespace) -> nest.NodeCollection:
    """Return the neurons of W3, connected."""
    constants = {"C_m": work.tau_m_ms, "tau_m": work.tau_m_ms, "E_L": work.v_rest, "V_th": work.v_thresh}
    constants |= {"V_reset": work.v_reset, "t_ref": work.tau_refrac_ms}
    constants |= {"tau_syn_ex": work.tau_e_ms, "tau_syn_in": work.tau_i_ms}
    neurons = nest.Create("iaf_psc_exp", work.neurons, constants)
    neurons.V_m = work.v0
    ids = np.array(neurons.tolist())
    weights = np.where(work.pre < work.excitatory, work.w_e, work.w_i)
    synapses = {"weight": weights, "delay": np.full(len(weights), work.dt_ms)}
    nest.Connect(ids[work.pre], ids[work.post], "one_to_one", synapses)
    return neurons


def main() -> None:
    options = arguments(__doc__, ("learn", "cuba"))
    work = load(options.workload)
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.SetKernelStatus({"resolution": work.dt_ms, "local_num_threads": 1})
    neurons = {"learn": learn, "cuba": cuba}[options.formulation](work)
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Prepare()
    begun = time.process_time()
    nest.Run(work.length * work.dt_ms)
    cpu_s = time.process_time() - begun
    nest.Cleanup()
    found = recorder.events
    first = neurons[0].global_id
    report(work, cpu_s, np.rint(found["times"] / work.dt_ms), found["senders"] - first, options.spikes)


main()
