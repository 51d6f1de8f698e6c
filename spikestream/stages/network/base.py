"""What runs the ticks of a network, whichever kernel does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

from spikestream.batch import Array
from spikestream.stages.base import State

if TYPE_CHECKING:
    from spikestream.model.circuit import Circuit
    from spikestream.stages.network.synapses import Wired

Value: TypeAlias = bool | int | float | str

MOST = 1e15
"""No option is larger: in ticks it has to fit an int64."""


class Engine(Protocol):
    """Runs ticks: the stage cuts time into them, and hands over what each is to hear."""

    axons: int
    neurons: int
    learned: tuple[str, ...]
    """Arrays of the state that a new recording keeps of an earlier run."""
    closed: bool
    """Whether silence passes in closed form, however much of it learning is on."""
    forgets: bool
    """Whether it can `forget`."""
    growing: tuple[str, ...]
    """Arrays of the state whose length is not always the same."""

    def run(self, first: int, stop: int, t: Array, axon: Array, learning: bool) -> tuple[Array, Array, int, int]:
        """Run ticks from ``first`` on, ``stop`` not included, on the spikes ``t`` (n,) int64 µs of ``axon`` (n,).

        Returns ticks and neurons of the spikes out, how many spikes in were heard, and the tick that runs next, which
        is earlier than ``stop`` where there was no room for more spikes out.
        """
        ...

    def skip(self, first: int, stop: int, adapting: int) -> tuple[Array, Array]:
        """Let the ticks ``[first, stop)`` pass in silence, ``adapting`` of them with learning; return the spikes.

        Unless `closed`, learning is on in all of them or in none.
        """
        ...

    def weights(self) -> Array:
        """Return a copy of the weights as they are now, (axons, neurons)."""
        ...

    def synapses(self, name: str) -> Wired:
        """Return the synapses of a projection; raises `ModelError` where there is none of that name."""
        ...

    def circuit(self) -> Circuit:
        """Return the network as it is now as a circuit; raises `ModelError` where it has none."""
        ...

    def voltages(self) -> Array:
        """Return a copy of the voltages, (neurons,)."""
        ...

    def settings(self) -> Mapping[str, Value]:
        """Return what may be changed between two ticks, by key, as it is now."""
        ...

    def set(self, changes: Mapping[str, Value], check: bool = False) -> None:
        """Change settings from the tick that runs next on; with ``check`` only see whether they can be.

        Raises `ConfigError` where a value is out of its range.
        """
        ...

    def scale(self, factor: float) -> None:
        """Multiply all learning rates by ``factor`` from the tick that runs next on."""
        ...

    def forget(self) -> None:
        """Forget what was heard, before the tick that runs next; what was learned stays."""
        ...

    def reward(self, amount: float) -> None:
        """Hand a reward to the rules that want one, at the tick that runs next."""
        ...

    def state(self) -> State:
        """Return all arrays that matter; they may alias what the engine goes on with."""
        ...

    def restore(self, taken: State) -> None:
        """Take over arrays that have the names, types and shapes of `state` and are not absurd."""
        ...

    def absurd(self, taken: State) -> str:
        """Return what in such arrays can never have been, "" where all is well."""
        ...
