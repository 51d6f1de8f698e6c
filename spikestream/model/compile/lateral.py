"""Inhibition of all by all: an axon a neuron, or one axon for all of them, which any spike makes active.

Spikes for one axon in one tick are one. Where every neuron of a population takes the same from all others, they may all
send to one axon of each core: exact as long as no two fire in one step; where several do, they inhibit once. Who fired
hears itself there as well, so it begins higher by as much after its spike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spikestream.model.circuit import Cells, Link
from spikestream.model.compile.net import TYPES, Array, Group
from spikestream.model.compile.options import Options

MANY = 8
"""With "auto", one axon stands for all where they would take more than one in so many of a core."""
TOLD = "of several spikes in a step, lateral inhibition counts one"


@dataclass(frozen=True, slots=True, eq=False)
class Lateral:
    """A link of ``target`` to itself that one axon stands for; ``spares``: without neurons' synapses to themselves."""

    link: Link  # of one source, all of them together
    spares: bool


def lateral_of(cells: Cells, links: Sequence[Link], options: Options) -> tuple[list[Link], Lateral | None]:
    """Return the links that stay as they are, and the one that one axon may stand for."""
    for link in links:
        found = _uniform(cells, link) if _may(cells, link, options) else None
        if found is not None:
            return [one for one in links if one is not link], found
    return list(links), None


def _may(cells: Cells, link: Link, options: Options) -> bool:
    many = cells.size > options.axons // MANY
    wanted = options.inhibition == "any" or (options.inhibition == "auto" and many)
    return wanted and not options.exact and link.source == link.target and cells.size > 1


def _uniform(cells: Cells, link: Link) -> Lateral | None:
    """Return what one axon would do where all take the same from all others, and all is well with those that fire."""
    size, post = cells.size, link.post
    rows = np.repeat(np.arange(size), np.diff(link.first))
    counts = np.bincount(post, minlength=size)
    spares = not np.any(rows == post)
    if np.any(counts != size - spares):
        return None
    most, least = np.full(size, -np.inf), np.full(size, np.inf)
    np.maximum.at(most, post, link.weights)
    np.minimum.at(least, post, link.weights)
    if np.any(most >= 0) or np.any(most != least):
        return None
    if spares and (link.delay != 1 or cells.reset != "value" or np.any(cells.decay == 0)):
        return None  # what it hears of itself could not be given back at once
    whole = Link(link.source, link.target, np.array([0, size]), np.arange(size), most, link.delay)
    return Lateral(whole, spares)


def spared(group: Group, mask: Array) -> Group:
    """Return the group whose neurons begin higher after a spike by what their own inhibition, on ``mask``, takes."""
    bits = (mask[:, None] >> np.arange(TYPES)) & 1
    return replace(group, reset=group.reset - (group.weights * bits).sum(axis=1))
