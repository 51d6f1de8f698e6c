"""Two threads in step: a place in memory where both come, and neither goes on before the other is there.

A meeting costs some tens of nanoseconds where both come at once. Who waits asks again and again; after a while it gives
its turn on the processor away each time, so that two threads also get on with one processor, or with a crowd on it.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

import numpy as np
from numba import types
from numba.core.cgutils import int32_t, ir  # type: ignore[attr-defined]  # it is llvmlite's
from numba.extending import intrinsic

from spikestream.kernels import Array, compiled

LINE = 16
"""Places of int64 from one that one thread writes to one that the other writes: two lines of a cache."""
OFF = 2 * LINE
PATIENCE = 2_000
"""So often who waits looks before it gives its turn away: some tens of microseconds."""
_INTEL, _ARM = ("x86_64", "amd64"), ("aarch64", "arm64")
_give_way = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.intc())


def _telling(typing: Any, array: Any, place: Any, value: Any) -> Any:
    """Write ``value`` to ``array[place]`` int64, after all that this thread wrote before."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        builder.store_atomic(args[2], builder.gep(data, [args[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), code


def _asking(typing: Any, array: Any, place: Any) -> Any:
    """Return ``array[place]`` int64 as it is now, before all that this thread reads later."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(builder.gep(data, [args[1]]), "acquire", 8)

    return types.int64(array, types.int64), code


def _pausing(typing: Any) -> Any:
    """Wait as long as the processor thinks fit between two looks."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        machine = platform.machine().lower()
        if machine in _INTEL:
            wait = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", [], wait), [])
        elif machine in _ARM:
            wait = ir.FunctionType(ir.VoidType(), [int32_t])
            builder.call(builder.module.declare_intrinsic("llvm.aarch64.hint", [], wait), [int32_t(1)])
        return context.get_dummy_value()

    return types.void(), code


# As intrinsics they take one argument less, and mypy thinks that they never return.
_tell: Any = intrinsic(_telling)
_asked: Any = intrinsic(_asking)
_pause: Any = intrinsic(_pausing)


def gate() -> Array:
    """Return a place to meet, (3 LINE,) int64, where nobody has been."""
    return np.zeros(3 * LINE, np.int64)


def call_off(gate: Array) -> None:
    """Let nobody wait at ``gate`` any more."""
    gate[OFF] = 1


@compiled
def meet(gate: Array, me: int) -> bool:
    """Wait until the other thread, 1 - ``me``, comes as often as this one; return False where it was called off."""
    mine = gate[LINE * me] + 1
    _tell(gate, LINE * me, mine)
    looks = 0
    while _asked(gate, LINE * (1 - me)) < mine:
        if _asked(gate, OFF) != 0:
            return False
        looks += 1
        if looks < PATIENCE:
            _pause()
        else:
            _give_way()
    return True
