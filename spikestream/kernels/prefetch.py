"""Asks for memory before it is needed, so that rows of weights which no cache holds are there when they are."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core.cgutils import int32_t, ir, voidptr_t  # type: ignore[attr-defined]  # ir is llvmlite's
from numba.extending import intrinsic


@intrinsic
def fetch(typing: Any, array: Any, place: Any) -> Any:
    """Ask for the cache line of ``array[place]``, a contiguous array of one dimension, to be written to soon."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), voidptr_t)
        kind = ir.FunctionType(ir.VoidType(), [voidptr_t, int32_t, int32_t, int32_t])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [voidptr_t], kind)
        builder.call(ask, [address, int32_t(1), int32_t(3), int32_t(1)])  # for writing, into all caches, data
        return context.get_dummy_value()

    return types.void(array, place), code
