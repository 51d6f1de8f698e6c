"""Run a workload on Brian 2, in its environment of `make peers`: `network.py` and `make_golden.py` run this.

    .peers/brian2/bin/python benchmarks/peer_brian2.py FORMULATION WORKLOAD.npz [--spikes FILE.npz]

canon: as its documentation writes STDP, both traces at each synapse, the default schedule (threshold before synapses);
W3, which does not learn, is the same in all.
expert: the same with the trace of a neuron kept at the neuron.
exact: the law of a tick of the facts, to the order of operations; so spikes agree one by one.
reference: exact, on the numpy target, for golden files; the others are compiled (cpp_standalone) and kept under
.peers/brian2/built, so that a second run needs no compiler. CPU seconds are those of the loop over the ticks.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from peer_common import arguments, load, report

BUILT = Path(__file__).resolve().parent.parent / ".peers" / "brian2" / "built"
FREE = "t - t_last > tau_refrac + dt/2"
NEURON = "dv/dt = -v/tau_m : 1{}\ndtheta/dt = -theta/tau_theta : 1\n"
TRACE = "d{0}/dt = -{0}/tau_{1} : 1{2}\n"
RESET = "v = v_reset; theta += theta_plus"
FORGET, LEARN = "w = clip(w - a_minus*{}, 0, w_max)", "w = clip(w + a_plus*x, 0, w_max)"


def constants(work: SimpleNamespace) -> dict[str, object]:
    from brian2 import ms

    plain = ("v_thresh", "v_reset", "theta_plus", "a_plus", "a_minus", "w_max", "inhibition", "v_rest", "w_e", "w_i")
    found = {key: getattr(work, key) for key in plain if hasattr(work, key)}
    return found | {key[:-3]: value * ms for key, value in vars(work).items() if key.startswith("tau") and value}


def learner(work: SimpleNamespace, formulation: str) -> list[object]:
    """Return the objects of W1 and W2 in the default schedule."""
    from brian2 import NeuronGroup, SpikeGeneratorGroup, SpikeMonitor, Synapses, ms

    expert, lazy = formulation == "expert", " (event-driven)"
    source = SpikeGeneratorGroup(work.axons, work.inputs, work.ticks * work.dt_ms * ms)
    model = NEURON.format(" (unless refractory)") + (TRACE.format("y", "minus", "") if expert else "")
    group = NeuronGroup(
        work.neurons,
        model,
        threshold="v > v_thresh + theta",
        reset=RESET + ("; y += 1" if expert else ""),
        refractory=work.tau_refrac_ms * ms,
        method="exact",
    )
    synapses = Synapses(
        source,
        group,
        "w : 1\n" + TRACE.format("x", "plus", lazy) + ("" if expert else TRACE.format("y", "minus", lazy)),
        on_pre=f"v_post += w; {FORGET.format('y_post' if expert else 'y')}; x += 1",
        on_post=("" if expert else "y += 1; ") + LEARN,
    )
    synapses.connect()
    synapses.w = work.weights.ravel()
    objects = [source, group, synapses, SpikeMonitor(group)]
    if work.inhibition:
        lateral = Synapses(group, group, on_pre="v_post -= inhibition", delay=work.dt_ms * ms)
        lateral.connect(condition="i != j")
        objects.append(lateral)
    return objects


def exact(work: SimpleNamespace) -> list[object]:
    """Return the objects of W1 and W2 in the order of the law of a tick."""
    from brian2 import NeuronGroup, SpikeGeneratorGroup, SpikeMonitor, Synapses, ms

    source = SpikeGeneratorGroup(work.axons, work.inputs, work.ticks * work.dt_ms * ms, when="start")
    group = NeuronGroup(
        work.neurons,
        NEURON.format("") + TRACE.format("y", "minus", "") + "t_last : second",
        threshold=f"v > v_thresh + theta and {FREE}",
        reset=RESET + "; y += 1; t_last = t",
        method="exact",
    )
    group.t_last = -1e6 * ms
    group.run_regularly(f"v = v_reset + (v - v_reset) * int({FREE})", when="after_synapses")
    synapses = Synapses(
        source,
        group,
        "w : 1\n" + TRACE.format("x", "plus", " (event-driven)"),
        on_pre=f"v_post += w; {FORGET.format('y_post')}; x += 1",
        on_post=LEARN,
    )
    synapses.connect()
    synapses.w = work.weights.ravel()
    synapses.post.when = "after_resets"
    objects = [source, group, synapses, SpikeMonitor(group)]
    if work.inhibition:
        lateral = Synapses(group, group, on_pre="v_post -= inhibition")
        lateral.connect(condition="i != j")
        lateral.pre.when = "before_synapses"
        objects.append(lateral)
    return objects


def cuba(work: SimpleNamespace) -> list[object]:
    """Return the objects of W3. Its refractory period is one step longer: else a neuron is clamped 49 steps."""
    from brian2 import NeuronGroup, SpikeMonitor, Synapses, ms

    group = NeuronGroup(
        work.neurons,
        "dv/dt = (ge + gi - (v - v_rest))/tau_m : 1 (unless refractory)\n"
        "dge/dt = -ge/tau_e : 1\ndgi/dt = -gi/tau_i : 1",
        threshold="v >= v_thresh",
        reset="v = v_reset",
        refractory=(work.tau_refrac_ms + work.dt_ms) * ms,
        method="exact",
    )
    group.v = work.v0
    objects = [group, SpikeMonitor(group)]
    for kind, chosen in (("e", work.pre < work.excitatory), ("i", work.pre >= work.excitatory)):
        synapses = Synapses(group, group, on_pre=f"g{kind}_post += w_{kind}", delay=work.dt_ms * ms)
        synapses.connect(i=work.pre[chosen], j=work.post[chosen])
        objects.append(synapses)
    return objects


def network(work: SimpleNamespace, formulation: str) -> tuple[object, object]:
    """Return the network and its spike monitor."""
    from brian2 import Network, SpikeMonitor, defaultclock, ms

    defaultclock.dt = work.dt_ms * ms
    learns, in_order = hasattr(work, "weights"), formulation in ("exact", "reference")
    objects = cuba(work) if not learns else exact(work) if in_order else learner(work, formulation)
    net = Network(*objects)
    if learns and in_order:
        net.schedule = ["start", "groups", "synapses", "thresholds", "resets", "end"]
    return net, next(each for each in objects if isinstance(each, SpikeMonitor))


def reference(work: SimpleNamespace) -> tuple[float, np.ndarray, np.ndarray]:
    from brian2 import ms, prefs

    prefs.codegen.target = "numpy"
    net, monitor = network(work, "reference")
    begun = time.process_time()
    net.run(work.length * work.dt_ms * ms, namespace=constants(work))
    return time.process_time() - begun, np.array(monitor.t / ms), np.array(monitor.i)


def build(work: SimpleNamespace, formulation: str, folder: Path) -> None:
    """Compile the network into `folder` and note there where its spikes will be."""
    from brian2 import device, ms, set_device

    set_device("cpp_standalone", build_on_run=False)
    net, monitor = network(work, formulation)
    device.insert_code("before_network_run", "const std::clock_t cpu_begun = std::clock();")
    taken = "(double)(std::clock() - cpu_begun) / CLOCKS_PER_SEC"
    device.insert_code("after_network_run", f'std::ofstream("results/cpu_s") << {taken};')
    net.run(work.length * work.dt_ms * ms, namespace=constants(work))
    device.build(directory=str(folder), compile=True, run=False)
    names = [device.get_array_filename(monitor.variables[key]) for key in ("t", "i")]
    (folder / "spikes.json").write_text(json.dumps(names))


def compiled(work: SimpleNamespace, formulation: str, folder: Path) -> tuple[float, np.ndarray, np.ndarray]:
    if not (folder / "spikes.json").exists():
        build(work, formulation, folder)
    subprocess.run([folder / "main"], cwd=folder, check=True, capture_output=True)
    t, i = (folder / "results" / Path(name).name for name in json.loads((folder / "spikes.json").read_text()))
    cpu_s = float((folder / "results" / "cpu_s").read_text())
    return cpu_s, np.fromfile(t, np.float64) * 1000, np.fromfile(i, np.int32)


def main() -> None:
    options = arguments(__doc__, ("canon", "expert", "exact", "reference"))
    work = load(options.workload)
    if options.formulation == "reference":
        cpu_s, t_ms, neurons = reference(work)
    else:
        parts = (Path(__file__).read_bytes(), options.workload.read_bytes(), options.formulation.encode())
        folder = BUILT / hashlib.sha256(b"".join(parts)).hexdigest()[:16]
        cpu_s, t_ms, neurons = compiled(work, options.formulation, folder)
    report(work, cpu_s, np.rint(t_ms / work.dt_ms), neurons, options.spikes)


main()
