"""The chip stage: spikes into axons of an emulated neuromorphic chip, spikes of its outputs out, tick by tick.

An input spike of tick k is integrated in tick k plus its delay, and what an output gives in tick k is stamped with its
last microsecond. Output carries no delay.
"""

from __future__ import annotations

from spikestream.batch import Array
from spikestream.errors import ConfigError
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.placement import Placement
from spikestream.stages.chip.base import Engine
from spikestream.stages.chip.crossbar import Crossbars
from spikestream.stages.chip.loihi import Loihis
from spikestream.stages.ticked import Ticked


class Chip(Ticked):
    """A chip that holds ``placement``; called with `Spikes` of its inputs, returns the `Spikes` of its outputs.

    ``tick_us`` is the length of a tick, µs. In a gap the ticks run on silence, up to `GAP_TICKS` of them; for the rest
    of it the chip stands still: potentials stay, spikes under way arrive after the gap. With ``threads`` 2 a second
    thread runs half of many crossbar cores; spikes, state and counters are the same. Raises `ConfigError`.
    """

    def __init__(self, placement: Placement, *, tick_us: int = 1000, threads: int = 1) -> None:
        self._runs = _engine(placement, threads)
        super().__init__(self._runs, "chip", placement.input_count, placement.digest, tick_us)
        self.placement = placement

    @property
    def v(self) -> Array:
        """Return a copy of the potentials now, int32: of crossbar cores (cores, neurons), of Loihi cores (all,)."""
        return self._runs.v

    @property
    def weights(self) -> Array:
        """Return a copy of the weights as they are now, int16, in the shape and order of the placement's."""
        return self._runs.weights

    @property
    def learning(self) -> bool:
        """Whether plastic weights change; it may be set, and does nothing where no weight is plastic."""
        return self._runs.learning

    @learning.setter
    def learning(self, value: bool) -> None:
        self._runs.learning = bool(value)

    @property
    def counters(self) -> dict[str, int]:
        """Return what was counted since the first tick, by name.

        ``synaptic_operations`` (synapses of axons that were active), ``axon_events``, ``neuron_updates`` (all neurons
        in each tick, as on the chip, also where the emulation passes over quiet cores), ``spikes`` of neurons,
        ``hops_x`` and ``hops_y`` on the mesh, and ``dropped``: spikes of neurons without a target.
        """
        return self._runs.counters

    def watch(self) -> None:
        """Count from now on how often each neuron fires, for `fires`; no part of the state."""
        self._runs.watch()

    @property
    def fires(self) -> Array:
        """Return how often each neuron fired since `watch`, int64 in the shape of `v`."""
        return self._runs.fires


def _engine(placement: object, threads: int) -> Engine:
    """Return what runs a placement of its kind."""
    if isinstance(threads, bool) or threads not in (1, 2):
        raise ConfigError(f"threads = {threads!r} is out of range", key="threads", value=threads, allowed="1 or 2")
    if isinstance(placement, CrossbarPlacement):
        return Crossbars(placement, threads)
    if isinstance(placement, LoihiPlacement):
        return Loihis(placement)
    text = f"a chip holds a placement, not {type(placement).__name__}"
    raise ConfigError(text, key="placement", allowed="a Placement, or what compile or read_placement returns")
