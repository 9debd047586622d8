"""After how many steps the work of a training step repeats, read from its graph.

In: a flat graph. Out: a number of steps, 1 where every step does the same. A step whose work
alternates has a branch that is chosen by a counter: gradient accumulation updates in every n-th
step, some models train two parts in turn. The counter is a variable, and the branch asks for its
remainder (`counter % n`), for its lowest bits (`counter & 1`), or for a flag that the step inverts.
Of a counter that the step sets back (`if counter == n: counter = 0`) the graph tells no cycle:
those are named, for their values to be looked at from step to step. Other ways to alternate are not
seen.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops

from frostline.attribute.step_graph import is_input, is_random
from frostline.attribute.walk import upstream
from frostline.measure.graph.called_functions import BRANCHES
from frostline.measure.graph.flatten import FlatGraph, FlatOp


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A variable by which a step tells what is to be done: the handle of its resource."""

    handle: tf.Tensor
    dtype: tf.DType

    def value(self) -> Any:
        """What it holds now, as a NumPy array."""
        return tf.raw_ops.ReadVariableOp(resource=self.handle, dtype=self.dtype).numpy()


_REMAINDERS = frozenset({"FloorMod", "Mod", "TruncateMod"})
_MASKS = frozenset({"BitwiseAnd"})


def cycle_of_graph(flat: FlatGraph) -> int:
    """Least common multiple of the cycles of all branches that counters choose."""
    return math.lcm(1, *_periods(flat))


def reset_counters(flat: FlatGraph, known: Collection[int]) -> tuple[Counter, ...]:
    """Variables that choose a branch, with nothing else, and to which the step assigns a value.

    Args:
        flat: the step's graph.
        known: vertices of variables that are left out.
    """
    deciding: set[int] = set()
    for op in flat.ops:
        if op.op_type in BRANCHES:
            above = upstream(flat.sources, flat.vertices_of(op.operation.inputs[0]))
            fed = any(is_input(each) or is_random(each) for each in _types(flat, above))
            if not fed and not above & flat.arguments:
                deciding |= above & flat.captures.keys()
    deciding.difference_update(known)
    if not deciding:
        return ()
    found: dict[int, Counter] = {}
    for op in flat.ops:
        if op.op_type != "AssignVariableOp":
            continue
        dtype = op.operation.get_attr("dtype")
        if dtype.is_integer or dtype.is_bool:
            for vertex in flat.captured_by(flat.sources[op.vertices[0]][0]) & deciding:
                found[vertex] = Counter(handle=flat.captures[vertex], dtype=dtype)
    return tuple(found.values())


def cycle_of_optimizers(optimizers: Iterable[keras.Optimizer]) -> int:
    """Steps after which every optimizer has updated equally often; for steps without a graph."""
    given = (getattr(each, "gradient_accumulation_steps", None) for each in optimizers)
    return math.lcm(1, *(int(steps) for steps in given if steps))


def _periods(flat: FlatGraph) -> Iterator[int]:
    deciding: set[int] = set()
    for op in flat.ops:
        if op.op_type in BRANCHES:
            deciding |= upstream(flat.sources, flat.vertices_of(op.operation.inputs[0]))
    deciding -= _seeds(flat, deciding)
    if deciding & _inverted_flags(flat):
        yield 2
    positions = {flat.op_of[vertex] for vertex in deciding}
    for op in (flat.ops[position] for position in positions if position is not None):
        if op.op_type in _REMAINDERS | _MASKS and _is_counter(flat, op):
            yield from _period(flat, op)


def _seeds(flat: FlatGraph, deciding: set[int]) -> set[int]:
    """What random numbers among these are drawn from: Keras counts its draws, and cuts the seed."""
    drawn = []
    for vertex in deciding:
        position = flat.op_of[vertex]
        if position is not None and is_random(flat.ops[position].op_type):
            drawn.append(vertex)
    return upstream(flat.sources, drawn)


def _period(flat: FlatGraph, op: FlatOp) -> Iterator[int]:
    if op.op_type in _MASKS:
        masks = (_constant(flat, tensor) for tensor in op.operation.inputs)
        yield from (1 << mask.bit_length() for mask in masks if mask is not None and mask > 0)
        return
    divisor = _constant(flat, op.operation.inputs[1])
    if divisor is not None and divisor > 0:
        yield divisor


def _is_counter(flat: FlatGraph, op: FlatOp) -> bool:
    """Whether a value follows from variables alone, and not from data."""
    above = upstream(flat.sources, op.vertices)
    fed = any(map(is_input, _types(flat, above)))
    return bool(above & flat.captures.keys()) and not fed and not above & flat.arguments


def _types(flat: FlatGraph, vertices: Iterable[int]) -> set[str]:
    """TensorFlow's types of the ops behind these vertices."""
    positions = (flat.op_of[vertex] for vertex in vertices)
    return {flat.ops[position].op_type for position in positions if position is not None}


def _inverted_flags(flat: FlatGraph) -> set[int]:
    """Captured flags to which the step assigns a value that was inverted."""
    found: set[int] = set()
    for op in flat.ops:
        if op.op_type != "AssignVariableOp" or op.operation.get_attr("dtype") != tf.bool:
            continue
        above = upstream(flat.sources, op.vertices)
        if "LogicalNot" in _types(flat, above) and _is_counter(flat, op):
            found |= above & flat.captures.keys()
    return found


def _constant(flat: FlatGraph, tensor: tf.Tensor) -> int | None:
    """A whole number that is fixed when the step is traced, through casts and functions."""
    above = upstream(flat.sources, flat.vertices_of(tensor))
    outside = [flat.captures[vertex] for vertex in above if vertex in flat.captures]
    if above & flat.arguments or any(each.dtype == tf.resource for each in outside):
        return None
    values = [each.numpy() for each in outside if isinstance(each, ops.EagerTensor)]
    inside = {flat.op_of[vertex] for vertex in above}
    values += [
        tf.get_static_value(op.operation.outputs[0])
        for op in (flat.ops[position] for position in inside if position is not None)
        if op.op_type == "Const"
    ]
    numbers = {int(value) for value in values if value.ndim == 0 and value == int(value)}
    return numbers.pop() if len(numbers) == 1 else None
