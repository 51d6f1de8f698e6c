"""Writes the module that runs a network: its ``run`` and what it calls see the hooks of all parts as their globals.

Order in tick n: every population decays; projection by projection, its rules step, and pass over its synapses where
they want to; projection by projection, spikes arrive, delays ascending, and each weight is added before a rule moves
it; every population fires; projection by projection, its rules see what fired.

In the text, ``n0_`` is the neuron of population 0, ``r1_0_`` the first rule of projection 1; ``i`` is a source, ``g`` a
group of synapses, ``k`` a synapse, ``j`` its target, ``w`` weights, ``c`` coefficients and ``s`` arrays of rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from spikestream.kernels import Array
from spikestream.kernels.ring import MASK


class Link(NamedTuple):
    """A projection, as far as code depends on it."""

    source: int  # inputs first, then populations
    target: int  # a population
    field: str  # of the target's state, that weights are added to
    kind: str  # "dense", "sparse", "shared" or "lateral"
    rules: tuple[ModuleType, ...]


class Structure(NamedTuple):
    """What the text of a module depends on, and nothing else."""

    inputs: int
    neurons: tuple[ModuleType, ...]  # of each population
    links: tuple[Link, ...]
    outputs: tuple[int, ...]  # populations whose spikes go out


class Synapses(NamedTuple):
    """The synapses of a projection; groups are source numbers, times the number of distinct delays plus which one."""

    weights: Array  # dense (sources, neurons), else (synapses,), shared (kernels,), lateral (1,)
    delays: Array  # (d,) int64 ticks, ascending
    ptr: Array  # sparse: (groups + 1,) int64, first synapse of each group
    post: Array  # sparse: (synapses,) int32
    share: Array  # shared: (synapses,) int32, place in `weights`
    in_ptr: Array  # sparse with rules: (neurons + 1,) int64 into the next two
    in_synapse: Array  # (synapses,) int32, by target
    in_group: Array  # (synapses,) int32, by target


def has(rule: ModuleType, hook: str) -> bool:
    """Return whether a rule has this hook."""
    return hasattr(rule, hook)


def module_text(structure: Structure) -> str:
    """Return the text of the module that runs such a network."""
    return "\n".join(_module(structure)) + "\n"


def _module(structure: Structure) -> Iterator[str]:
    yield f'"""A network of {len(structure.neurons)} populations and {len(structure.links)} projections."""'
    yield "import numpy as np\n"
    yield "from spikestream.kernels import compiled"
    yield "from spikestream.kernels.compose import inner"
    yield "from spikestream.kernels.ring import hear, keep, lateral, publish"
    for place, neuron in enumerate(structure.neurons):
        yield f"from {neuron.__name__} import decay as n{place}_decay, fire as n{place}_fire"
    hooks = ("step", "on_all", "on_pre", "pre", "on_post", "post", "after_post")
    for place, link in enumerate(structure.links):
        for r, rule in enumerate(link.rules):
            names = ", ".join(f"{hook} as r{place}_{r}_{hook}" for hook in hooks if has(rule, hook))
            yield f"from {rule.__name__} import {names}"
    for place, link in enumerate(structure.links):
        yield from _arrive(place, link)
        yield from _passes(place, link)
        yield from _learn(place, link)
    yield from _run(structure)


def _hooks(link: Link, hook: str) -> list[int]:
    return [r for r, rule in enumerate(link.rules) if has(rule, hook)]


def _weight(link: Link) -> str:
    return {"dense": "w[i, j]", "sparse": "w[k]", "shared": "w[share[k]]"}[link.kind]


def _moved(place: int, link: Link, hook: str, first: str, indent: str) -> Iterator[str]:
    """Yield the lines that hand a weight from rule to rule and put it back."""
    weight = _weight(link)
    yield f"{indent}u = {weight}"
    for r in _hooks(link, hook):
        yield f"{indent}u = r{place}_{r}_{hook}(c[{r}], s[{r}], {first}g, j, k, u)"
    yield f"{indent}{weight} = u"


def _row(link: Link, indent: str, delays: bool = True) -> Iterator[str]:
    """Yield the head of a loop over the synapses k of source i, or of group g."""
    if link.kind == "dense":
        yield f"{indent}g = i"
        yield f"{indent}for j in range(w.shape[1]):"
        yield f"{indent}    k = i * w.shape[1] + j"
    else:
        if delays:
            yield f"{indent}g = i * len(y.delays) + d"
        yield f"{indent}for k in range(y.ptr[g], y.ptr[g + 1]):"
        yield f"{indent}    j = post[k]"


def _arrays(link: Link) -> Iterator[str]:
    yield "    w = y.weights"
    if link.kind != "dense":
        yield "    post = y.post"
    if link.kind == "shared":
        yield "    share = y.share"


def _arrive(place: int, link: Link) -> Iterator[str]:
    """Yield the function that delivers what arrives over a projection in tick n."""
    if link.kind == "lateral":
        return
    pre, moves = _hooks(link, "pre"), _hooks(link, "on_pre")
    yield "\n\n@inner"
    yield f"def arrive_{place}(c, s, y, into, ids, start, n, plastic):"
    yield from _arrays(link)
    yield "    room = len(ids) - 1"
    yield "    for d in range(len(y.delays)):"
    yield "        m = n - y.delays[d]"
    yield f"        for e in range(start[m & {MASK}], start[(m + 1) & {MASK}]):"
    yield "            i = ids[e & room]"
    indent = " " * 12
    if moves:
        yield f"{indent}if plastic:"
        yield from _row(link, indent + "    ")
        yield f"{indent}        into[j] += {_weight(link)}"
        yield from _moved(place, link, "on_pre", "", indent + " " * 8)
        yield f"{indent}else:"
        indent += "    "
    yield from _row(link, indent)
    yield f"{indent}    into[j] += {_weight(link)}"
    for r in pre:
        yield f"            r{place}_{r}_pre(c[{r}], s[{r}], g)"


def _passes(place: int, link: Link) -> Iterator[str]:
    """Yield the function that lets the rules of a projection step."""
    if not link.rules:
        return
    yield "\n\n@inner"
    yield f"def step_{place}(c, s, y, n, plastic):"
    yield from _arrays(link)
    for r, rule in enumerate(link.rules):
        yield f"    passes = r{place}_{r}_step(c[{r}], s[{r}], n)"
        if not has(rule, "on_all"):
            continue
        yield "    for p in range(passes if plastic else 0):"
        yield f"        for {'i in range(w.shape[0])' if link.kind == 'dense' else 'g in range(len(y.ptr) - 1)'}:"
        yield from _row(link, " " * 12, delays=False)
        yield f"{' ' * 16}{_weight(link)} = r{place}_{r}_on_all(c[{r}], s[{r}], p, g, j, k, {_weight(link)})"


def _column(link: Link) -> Iterator[str]:
    """Yield the head of a loop over the synapses k onto neuron j."""
    if link.kind == "dense":
        yield "        for i in range(w.shape[0]):"
        yield "            g = i"
        yield "            k = i * w.shape[1] + j"
    else:
        yield "        for q in range(y.in_ptr[j], y.in_ptr[j + 1]):"
        yield "            k = y.in_synapse[q]"
        yield "            g = y.in_group[q]"


def _learn(place: int, link: Link) -> Iterator[str]:
    """Yield the function that shows the rules of a projection what fired."""
    if not any(_hooks(link, hook) for hook in ("on_post", "post", "after_post")):
        return
    yield "\n\n@inner"
    yield f"def learn_{place}(c, s, y, fired, count, plastic):"
    yield from _arrays(link)
    yield "    for f in range(count):"
    yield "        j = fired[f]"
    for hook in ("on_post", "post", "after_post"):
        if hook == "post":
            for r in _hooks(link, hook):
                yield f"        r{place}_{r}_post(c[{r}], s[{r}], j)"
        elif _hooks(link, hook):
            yield "        if plastic:"
            yield from ("    " + line for line in _column(link))
            yield from _moved(place, link, hook, "", " " * 16)


# Counts are int64 from the start: a literal 0 would have what it is handed to compiled a second time, for itself.
_HEAD = """

@compiled
def run(c, s, ticks, t, axon, learning, out_tick, out_neuron, most):
    sources, neurons, synapses, rules, fired, kept = s
    neuron_c, rule_c = c
    first, stop, tick_us = ticks
    made = heard = e = np.int64(0)
    n = first
    while n < stop and made + most <= len(out_tick):
        begin = e
        end = (n + 1) * tick_us"""


def _run(structure: Structure) -> Iterator[str]:
    """Yield the tick loop, over coefficients c = (of neurons, of rules) and arrays s."""
    yield _HEAD
    for i in range(structure.inputs):
        yield f"        e = hear(sources[{i}], t, axon, begin, end, n)"
    yield "        heard += e - begin"
    for p in range(len(structure.neurons)):
        yield f"        n{p}_decay(neuron_c[{p}], neurons[{p}], n, learning)"
    for q, link in enumerate(structure.links):
        if link.rules:
            yield f"        step_{q}(rule_c[{q}], rules[{q}], synapses[{q}], n, learning)"
    for q, link in enumerate(structure.links):
        yield from _arrival(q, link)
    for p in range(len(structure.neurons)):
        yield f"        count_{p} = n{p}_fire(neuron_c[{p}], neurons[{p}], n, learning, fired[{p}])"
        yield f"        keep(sources[{structure.inputs + p}], fired[{p}], count_{p}, n)"
        if p in structure.outputs:
            source = f"sources[{structure.inputs + p}]"
            yield f"        made = publish({source}, fired[{p}], count_{p}, n, out_tick, out_neuron, made)"
    for q, link in enumerate(structure.links):
        if any(_hooks(link, hook) for hook in ("on_post", "post", "after_post")):
            p = link.target
            yield f"        if count_{p} > 0:"
            yield f"            learn_{q}(rule_c[{q}], rules[{q}], synapses[{q}], fired[{p}], count_{p}, learning)"
    yield "        n += 1"
    yield "    return made, heard, n"


def _arrival(q: int, link: Link) -> Iterator[str]:
    into, source = f"neurons[{link.target}].{link.field}", f"sources[{link.source}]"
    if link.kind == "lateral":
        m = f"n - synapses[{q}].delays[0]"
        yield f"        lateral(synapses[{q}].weights[0], {into}, {source}, {m}, kept[{link.target}])"
    else:
        rest = f"{into}, {source}.ids, {source}.start, n, learning"
        yield f"        arrive_{q}(rule_c[{q}], rules[{q}], synapses[{q}], {rest})"
