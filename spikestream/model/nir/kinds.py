"""What NIR's nodes are made of: one table of every kind of nir 1.0.8, and how each field is brought to one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ModelError, nearest

Array: TypeAlias = NDArray[Any]

NEEDED = object()  # a field that every node of its kind has
MOST_SIZE = 2**28  # values that one node may take or give
MOST_AXES = 8


class Field(NamedTuple):
    """One field of a kind: how its value is brought to one form, and what stands for it where it is missing."""

    form: Callable[[Any], Any]
    default: Any = NEEDED


def numbers(value: Any) -> Array:
    """Return numbers as an array of their own that cannot be written; raises `ModelError`."""
    made = np.array(value)
    if made.dtype.kind not in "biuf" or made.dtype.itemsize > 8 or made.ndim > MOST_AXES or not made.size:
        raise ModelError(f"an array of numbers is expected, found {_told(value)}")
    if np.isnan(made).any():
        raise ModelError("a finite number is expected, found NaN")
    made.flags.writeable = False
    return made


def whole(value: Any) -> int:
    """Return a whole number; raises `ModelError`."""
    found = _wholes(value)
    if len(found) != 1:
        raise ModelError(f"one whole number is expected, found {_told(value)}")
    return found[0]


def pair(value: Any) -> tuple[int, int]:
    """Return whole numbers for height and width, of which one stands for both; raises `ModelError`."""
    found = _wholes(value)
    if len(found) not in (1, 2):
        raise ModelError(f"one or two whole numbers are expected, found {_told(value)}")
    return found[0], found[-1]


def shape(value: Any) -> tuple[int, ...] | None:
    """Return sides of at least 1, or None where they are not known; raises `ModelError`."""
    if value is None:
        return None
    found = _wholes(value)
    if len(found) > MOST_AXES or any(not 1 <= side <= MOST_SIZE for side in found) or volume(found) > MOST_SIZE:
        raise ModelError(f"a shape of at most {MOST_SIZE:,} values is expected, found {_told(value)}")
    return found


def side(value: Any) -> int | None:
    """Return the length of a line of values, or None where it is not known; raises `ModelError`."""
    found = shape(value)
    if found is not None and len(found) != 1:
        raise ModelError(f"one length is expected, found {_told(value)}")
    return None if found is None else found[0]


def sides(value: Any) -> tuple[int, int] | None:
    """Return height and width, or None where they are not known; raises `ModelError`."""
    found = shape(value)
    if found is not None and len(found) != 2:
        raise ModelError(f"a height and a width are expected, found {_told(value)}")
    return None if found is None else (found[0], found[1])


def padding(value: Any) -> int | str:
    """Return how many zeros are put at either end, or "same" or "valid"; raises `ModelError`."""
    return _word(value) or whole(value)


def pair_padding(value: Any) -> tuple[int, int] | str:
    """Return how many rows and columns of zeros are put on either side, or "same" or "valid"; raises `ModelError`."""
    return _word(value) or pair(value)


def volume(sides_: tuple[int, ...]) -> int:
    """Return how many values a shape holds."""
    product = 1
    for length in sides_:
        product *= length
    return product


def _word(value: Any) -> str:
    """Return the word that stands for a padding, "" where numbers do."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    value = value.decode("utf8", "replace") if isinstance(value, bytes) else value
    if isinstance(value, str) and value not in ("same", "valid"):
        raise ModelError(f"a number, 'same' or 'valid' is expected, found '{value}'")
    return str(value) if isinstance(value, str) else ""


def _wholes(value: Any) -> tuple[int, ...]:
    made = np.asarray(value)
    if made.ndim > 1 or made.dtype.kind not in "iuf" or not np.all((np.abs(made) < 2**53) & (made % 1 == 0)):
        raise ModelError(f"whole numbers are expected, found {_told(value)}")
    return tuple(int(number) for number in made.reshape(-1))


def _told(value: Any) -> str:
    """Return a value in few words."""
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"an array {value.shape} of {value.dtype}"
    return repr(value)[:60]


_ARRAY = Field(numbers)
_INTEGRATE = {"r": _ARRAY, "v_threshold": _ARRAY, "v_reset": Field(numbers, 0)}
_LEAK = {"r": _ARRAY, "v_leak": _ARRAY}
_SYNAPSE = {"tau_syn": _ARRAY, "tau_mem": _ARRAY, **_LEAK, "w_in": Field(numbers, 1)}
_POOL = {"kernel_size": Field(pair), "stride": Field(pair), "padding": Field(pair)}
KINDS: dict[str, dict[str, Field]] = {
    "Input": {"shape": Field(shape, None)},
    "Output": {"shape": Field(shape, None)},
    "Affine": {"weight": _ARRAY, "bias": _ARRAY},
    "Linear": {"weight": _ARRAY},
    "Scale": {"scale": _ARRAY},
    "Conv1d": {
        "input_shape": Field(side, None),
        "weight": _ARRAY,
        "stride": Field(whole),
        "padding": Field(padding),
        "dilation": Field(whole),
        "groups": Field(whole),
        "bias": _ARRAY,
    },
    "Conv2d": {
        "input_shape": Field(sides, None),
        "weight": _ARRAY,
        "stride": Field(pair),
        "padding": Field(pair_padding),
        "dilation": Field(pair),
        "groups": Field(whole),
        "bias": _ARRAY,
    },
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
    "Flatten": {"input_type": Field(shape, None), "start_dim": Field(whole, 1), "end_dim": Field(whole, -1)},
    "Delay": {"delay": _ARRAY},
    "Threshold": {"threshold": _ARRAY},
    "I": {"r": _ARRAY},
    "IF": _INTEGRATE,
    "LI": {"tau": _ARRAY, **_LEAK},
    "LIF": {"tau": _ARRAY, **_LEAK, **_INTEGRATE},
    "CubaLI": _SYNAPSE,
    "CubaLIF": {**_SYNAPSE, "v_threshold": _ARRAY, "v_reset": Field(numbers, 0)},
}
# Every value has parameters of its own: all fields of such a node have one shape.
EACH = ("Scale", "Delay", "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
SPIKING = ("IF", "LIF", "CubaLIF")


def complete(kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a node in one form, with what was missing; raises `ModelError`."""
    if kind not in KINDS:
        by_lower = {one.lower(): one for one in KINDS}
        near = by_lower.get(nearest(str(kind).lower(), by_lower), "")
        raise ModelError(
            f"'{kind}' is no kind of node that NIR has", details=[f"did you mean '{near}'?"] if near else []
        )
    fields = KINDS[kind]
    for name in params:
        if name not in fields:
            raise ModelError(f"a node of kind {kind} has no field '{name}'", details=[f"known: {', '.join(fields)}"])
    made = {name: _one(kind, name, field, params) for name, field in fields.items()}
    if kind in EACH:
        _spread(kind, made)
    elif kind in CHECKS:
        CHECKS[kind](kind, made)
    return made


def _one(kind: str, name: str, field: Field, params: Mapping[str, Any]) -> Any:
    value = params.get(name, field.default)
    if value is NEEDED or (value is None and field.default is NEEDED):
        raise ModelError(f"a node of kind {kind} needs a field '{name}', which is missing")
    try:
        return field.form(field.default if value is None else value)
    except ModelError as error:
        raise ModelError(f"field '{name}' of a node of kind {kind}: {error.what}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"field '{name}' of a node of kind {kind} cannot be read: {_told(value)}") from error


def _spread(kind: str, made: dict[str, Any]) -> None:
    """Give all fields the shape of the largest, where the others have it or are one number."""
    whole_shape = max((value.shape for value in made.values()), key=lambda sides_: (volume(sides_), len(sides_)))
    for name, value in made.items():
        if value.shape != whole_shape and value.size != 1:
            raise ModelError(
                f"the fields of a node of kind {kind} have one shape: expected {whole_shape}, "
                f"found {value.shape} in '{name}'"
            )
        spread = np.broadcast_to(value.reshape(() if value.size == 1 else value.shape), whole_shape).copy()
        made[name] = numbers(spread)


def _check_matrix(kind: str, made: dict[str, Any]) -> None:
    weight = made["weight"]
    if weight.ndim < 2:
        raise ModelError(f"the weights of a node of kind {kind} have at least 2 axes, found {weight.shape}")
    if kind == "Affine":
        given = (*weight.shape[:-2], weight.shape[-2])
        bias = made["bias"]
        if bias.size != 1 and bias.shape not in (given, given[-1:]):
            raise ModelError(
                f"the bias of a node of kind Affine fits its weights: expected {given}, found {bias.shape}"
            )
        made["bias"] = numbers(np.broadcast_to(bias.reshape(-1) if bias.size == 1 else bias, given))


def _check_conv(kind: str, made: dict[str, Any]) -> None:
    weight, axes = made["weight"], int(kind[4])
    if weight.ndim != axes + 2:
        raise ModelError(f"the weights of a node of kind {kind} have {axes + 2} axes, found {weight.shape}")
    if made["bias"].shape not in ((weight.shape[0],), ()):
        raise ModelError(
            f"the bias of a node of kind {kind} has one number a channel: expected {weight.shape[:1]}, "
            f"found {made['bias'].shape}"
        )
    made["bias"] = numbers(np.broadcast_to(made["bias"], weight.shape[:1]))
    if made["groups"] < 1 or weight.shape[0] % made["groups"]:
        raise ModelError(f"{weight.shape[0]} channels of a node of kind {kind} are not {made['groups']} equal groups")
    _check_steps(kind, made, {"stride": 1, "dilation": 1, "padding": 0})


def _check_pool(kind: str, made: dict[str, Any]) -> None:
    _check_steps(kind, made, {"kernel_size": 1, "stride": 1, "padding": 0})


def _check_steps(kind: str, made: dict[str, Any], least: dict[str, int]) -> None:
    for name, lowest in least.items():
        value = made[name]
        if not isinstance(value, str) and not lowest <= np.min(value) <= np.max(value) <= MOST_SIZE:
            raise ModelError(f"field '{name}' of a node of kind {kind} is at least {lowest}, found {value}")


CHECKS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    "Affine": _check_matrix,
    "Linear": _check_matrix,
    "Conv1d": _check_conv,
    "Conv2d": _check_conv,
    "SumPool2d": _check_pool,
    "AvgPool2d": _check_pool,
}
