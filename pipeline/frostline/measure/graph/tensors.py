"""The tensors of a traced step: which each op reads, and how large those are that it makes.

In: a flat graph. Out: per op, `OpTensors`: for each input the op that made it and which of its
outputs it is, and the bytes of each of its own outputs. Calls, branches and loops that were entered
make no tensor of their own: who reads their result reads what was made inside. A value that a loop
carries may have been made before the loop or in the round before, so that an input may name several
tensors. What a loop keeps of every round for its gradient (`TensorListPushBack`,
`TensorListSetItem`) counts with all rounds together, any other tensor of a loop once. Handles of
variables take no bytes. Bytes that depend on a size which is open, or on a loop of open length, are
None; an open batch size is filled in where that is the only one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import tensorflow as tf

from frostline.measure.graph.flatten import FlatGraph, FlatOp, Output

_KEPT_PER_ROUND = {"TensorListPushBack": 1, "TensorListSetItem": 2}
"""Ops that put a tensor into a list, and which of their inputs the tensor is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTensors:
    """What an op reads and makes.

    Attributes:
        inputs: position of the op that made a tensor, and which output of it; ascending by input.
        output_bytes: of each output, in bytes; None where it is not known.
    """

    inputs: tuple[tuple[int, int], ...]
    output_bytes: tuple[int | None, ...]


def tensors_of(flat: FlatGraph, *, batch_size: int | None) -> list[OpTensors]:
    """The tensors of every op, in the order of `flat.ops`; `batch_size` in examples."""
    return [
        OpTensors(
            inputs=tuple(_inputs(flat, op, reads)),
            output_bytes=tuple(_output_bytes(flat, op, batch_size)),
        )
        for op, reads in zip(flat.ops, flat.reads, strict=True)
    ]


def _inputs(flat: FlatGraph, op: FlatOp, reads: tuple[Output, ...]) -> Iterable[tuple[int, int]]:
    """What an op reads, each tensor once; of an `IdentityN`, which passes them on, one by one."""
    if op.op_type == "IdentityN":
        return (made for output in reads for made in islice(_made(flat, (output,)), 1))
    return dict.fromkeys(_made(flat, reads))


def _made(flat: FlatGraph, reads: tuple[Output, ...]) -> Iterator[tuple[int, int]]:
    """The ops' outputs behind what is read; arguments and calls between are passed through."""
    seen = set()
    waiting = list(reversed(reads))
    while waiting:
        output = waiting.pop()
        if output in seen:
            continue
        seen.add(output)
        vertex, index = output
        if vertex in flat.same_as:
            waiting += reversed(flat.same_as[vertex])
        elif (position := flat.op_of[vertex]) is not None:
            yield position, index


def _output_bytes(flat: FlatGraph, op: FlatOp, batch_size: int | None) -> Iterator[int | None]:
    if any(vertex in flat.same_as for vertex in op.vertices):
        return
    kept = _KEPT_PER_ROUND.get(op.op_type)
    for tensor in op.operation.outputs:
        if kept is not None:
            once = tensor_bytes(op.operation.inputs[kept], batch_size)
            yield None if once is None or op.trips is None else once * op.trips
        elif tensor.dtype == tf.variant and "TensorList" in op.op_type:
            yield 0  # its elements count where they are put in
        else:
            yield tensor_bytes(tensor, batch_size)


def tensor_bytes(tensor: tf.Tensor, batch_size: int | None) -> int | None:
    """Bytes of a symbolic tensor; None where its shape is open or its type has no fixed size."""
    if tensor.dtype == tf.resource:
        return 0
    if tensor.dtype in (tf.variant, tf.string) or tensor.shape.rank is None:
        return None
    sizes = tensor.shape.as_list()
    if sizes and sizes[0] is None:
        sizes[0] = batch_size
    if any(size is None for size in sizes):
        return None
    return math.prod(map(int, sizes)) * int(tensor.dtype.size)
