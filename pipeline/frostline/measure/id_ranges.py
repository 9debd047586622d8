"""Which whole numbers an input may hold: the ids of the tables that it is looked up in.

In: a function of tensors, as TensorFlow traces it, and what it takes. Out: for each input the range
of ids that stay inside every table it reaches, whatever lies between: offsets, casts, reshapes,
hashes. The ways are found in the traced graph, the ranges by computing what arrives at the tables.
Refuses (`UnknownIdsError`) inputs for which no id stays inside. Composite inputs (ragged, sparse)
are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

_NOT_BY_VALUE = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"})
"""Ops whose result does not depend on the values that they are given."""

_BOUNDED = frozenset({"ArgMax", "ArgMin", "Bucketize", "TopKV2", "Where", "NonMaxSuppressionV5"})
"""Ops whose result is a position or a bucket: inside its table whatever goes in."""

_KEEPS_IDS = frozenset(
    {
        "AddV2", "BroadcastTo", "Cast", "ConcatV2", "ExpandDims", "Floor", "FloorDiv", "FloorMod",
        "Identity", "Maximum", "Minimum", "Mul", "Pack", "Pad", "PadV2", "Reshape", "Rint", "Round",
        "SelectV2", "Slice", "Split", "SplitV", "Squeeze", "StridedSlice", "Sub", "Tile",
        "Transpose", "Unpack",
    }
)  # fmt: skip
"""What may lie between a number and the table it is an id of, where the input is no integer."""

_MOST_HALVINGS = 12


class UnknownIdsError(ValueError):
    """No id that was tried stays inside the tables; says which sizes these have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lookup:
    """A place where ids are looked up: what arrives there, and how many entries there are."""

    ids: tf.Tensor
    size: int


def id_ranges(
    function: Callable[..., Any], given: Sequence[tf.TensorSpec], *, seed: int = 0
) -> tuple[range | None, ...]:
    """The ids that each input may hold; None for inputs that are looked up nowhere.

    Args:
        function: takes tensors in the order of `given`; what it returns does not matter.
        given: shapes, all of their sizes known, and types; strings are passed over.
        seed: of the draws on which the ranges are tried together.

    Raises:
        UnknownIdsError: no id was found that is inside every table.
        Exception: whatever the function raises.
    """
    sizes: list[int] = []
    reached: set[int] = set()

    def arriving(*tensors: Any) -> list[tf.Tensor]:
        function(*tensors)
        positions = {tensor.op: at for at, tensor in enumerate(tensors) if tf.is_tensor(tensor)}
        graph = tf.compat.v1.get_default_graph()
        extremes = []
        for operation in graph.get_operations():
            lookup = _lookup(operation)
            origins = _origins(lookup.ids, positions) if lookup is not None else set()
            if lookup is not None and origins:
                reached.update(origins)
                sizes.append(lookup.size)
                ids = tf.cast(tf.reshape(lookup.ids, [-1]), tf.int64)
                extremes.append(tf.stack([tf.reduce_min(ids), tf.reduce_max(ids)]))
        return extremes

    traced = tf.function(arriving, autograph=False).get_concrete_function(*given)
    if not reached:
        return (None,) * len(given)

    def inside(values: Mapping[int, Any]) -> bool:
        filled = [
            tf.cast(tf.broadcast_to(values.get(at, 1), spec.shape), spec.dtype)
            if spec.dtype != tf.string
            else tf.fill(spec.shape, "")
            for at, spec in enumerate(given)
        ]
        try:
            arrived = [found.numpy() for found in traced(*filled)]
        except tf.errors.InvalidArgumentError:  # a layer checks its ids itself
            return False
        return all(
            low >= 0 and high < size for (low, high), size in zip(arrived, sizes, strict=True)
        )

    return _searched(inside, reached, sizes, given, seed)


def _searched(
    inside: Callable[[Mapping[int, Any]], bool],
    reached: set[int],
    sizes: Sequence[int],
    given: Sequence[tf.TensorSpec],
    seed: int,
) -> tuple[range | None, ...]:
    """Widen each input's range while the others hold one id, then narrow all until they fit."""
    most = max(sizes)
    known_good = next(
        (one for one in (1, 0, 2, most // 2, most - 1) if inside(dict.fromkeys(reached, one))), None
    )
    if known_good is None:
        tables = ", ".join(map(str, sorted(set(sizes))))
        raise UnknownIdsError(f"no id stays inside the tables that they reach ({tables} entries)")
    base = dict.fromkeys(reached, known_good)
    ranges = {}
    for at in sorted(reached):
        high = _last(lambda one, at=at: inside({**base, at: one}), known_good, most - 1)  # type: ignore[misc]
        low = -_last(lambda one, at=at: inside({**base, at: -one}), -known_good, 0)  # type: ignore[misc]
        ranges[at] = range(low, high + 1)
    rng = np.random.default_rng(seed)
    for _ in range(_MOST_HALVINGS):
        drawn = {
            at: rng.integers(ids.start, ids.stop, tuple(given[at].shape))
            for at, ids in ranges.items()
        }
        ends = {at: ids.stop - 1 for at, ids in ranges.items()}
        if inside(drawn) and inside(ends):
            return tuple(ranges.get(at) for at in range(len(given)))
        ranges = {
            at: range(ids.start, ids.start + max(1, len(ids) // 2)) for at, ids in ranges.items()
        }
    raise UnknownIdsError("no ids of all of them together stay inside the tables that they reach")


def _last(good: Callable[[int], bool], known_good: int, most: int) -> int:
    """The last number up to `most` that is good, where all up to it are; by bisection."""
    if good(most):
        return most
    low, high = known_good, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low


def _lookup(operation: tf.Operation) -> _Lookup | None:
    """What an op looks up, where the size of its table is known."""
    inputs = operation.inputs
    match operation.type:
        case "GatherV2":
            axis, shape = tf.get_static_value(inputs[2]), inputs[0].shape
            size = None if axis is None or shape.rank is None else shape[int(axis)]
            ids = inputs[1]
        case "ResourceGather":
            ids, size = inputs[1], _rows(inputs[0])
        case "GatherNd":  # an id for each of the first axes
            ids, axes = inputs[1], inputs[1].shape[-1]
            size = min((inputs[0].shape[axis] or 0 for axis in range(axes or 0)), default=None)
        case "OneHot":
            ids, size = inputs[0], tf.get_static_value(inputs[1])
        case "SparseSoftmaxCrossEntropyWithLogits":
            ids, size = inputs[1], inputs[0].shape[-1]
        case "DenseBincount":
            ids, size = inputs[0], operation.outputs[0].shape[-1]
        case _:
            return None
    return _Lookup(ids=ids, size=int(size)) if size is not None and int(size) > 0 else None


def _rows(handle: tf.Tensor) -> int | None:
    """Rows of the variable behind a handle."""
    data = getattr(handle, "_handle_data", None)
    if data is None or not data.shape_and_type:
        return None
    dims = data.shape_and_type[0].shape.dim
    return int(dims[0].size) if dims else None


def _origins(ids: tf.Tensor, positions: Mapping[tf.Operation, int]) -> set[int]:
    """Positions of the inputs whose values arrive as ids.

    From an input of another type than an integer only by ways that keep ids what they are: a number
    that a network computed is no id of the input.
    """
    found: set[int] = set()
    seen: set[tuple[Any, bool]] = set()
    todo = [(ids.op, True)]
    while todo:
        operation, keeps = todo.pop()
        if (operation, keeps) in seen:
            continue
        seen.add((operation, keeps))
        if operation in positions:
            if keeps or operation.outputs[0].dtype.is_integer:
                found.add(positions[operation])
            continue
        if operation.type in _NOT_BY_VALUE | _BOUNDED:
            continue
        keeps = keeps and operation.type in _KEEPS_IDS
        todo += [(tensor.op, keeps) for tensor in operation.inputs]
    return found
