"""Ops that compute what another op has computed already: TensorFlow and XLA run them once.

In: a flat graph. Out: per op, the first one that is its like. A persistent tape that is asked once
for each part of a model makes many of them: each answer begins at the loss anew, so that what lies
between the loss and both parts is differentiated twice, from equal values.

Alike are ops of one type and equal attributes in one function body that read the same tensors, wait
for the same ops and keep no state. Grappler takes these for common subexpressions
(`DedupComputations` in its arithmetic_optimizer.cc), and so does XLA.
"""

from __future__ import annotations

from collections.abc import Hashable

from frostline.measure.graph.called_functions import BRANCHES, CALLS, LOOPS
from frostline.measure.graph.flatten import FlatGraph, FlatOp, Output


def repeated_ops(flat: FlatGraph) -> list[int | None]:
    """Per op, the position of the first op that computes the same; None for that one itself."""
    firsts = list(range(len(flat.ops)))
    groups: dict[Hashable, list[int]] = {}
    attributes: dict[int, Hashable] = {}
    named = {op.name: op.position for op in flat.ops}
    for op, reads in zip(flat.ops, flat.reads, strict=True):
        if op.op_type in CALLS | BRANCHES | LOOPS:
            continue
        body = op.name.removesuffix(op.own_name)
        before = (named.get(body + each.name) for each in op.operation.control_inputs)
        waits_for = frozenset(firsts[position] for position in before if position is not None)
        read = tuple(_source(flat, firsts, output) for output in reads)
        group = groups.setdefault((op.op_type, body, read, waits_for), [])
        for earlier in group:
            for position in (earlier, op.position):
                if position not in attributes:
                    attributes[position] = _attributes(flat.ops[position])
            if attributes[earlier] is not None and attributes[earlier] == attributes[op.position]:
                firsts[op.position] = earlier
                break
        else:
            group.append(op.position)
    return [None if first == position else first for position, first in enumerate(firsts)]


def _source(flat: FlatGraph, firsts: list[int], output: Output) -> Hashable:
    """What is read: an output of the first op that makes it, or where several may have made it."""
    vertex, index = output
    while len(made := flat.same_as.get(vertex, ())) == 1:
        vertex, index = made[0]
    position = None if made else flat.op_of[vertex]
    return ("vertex", vertex) if position is None else (firsts[position], index)


def _attributes(op: FlatOp) -> Hashable:
    """What tells two ops apart beside what they read; None for one that keeps a state."""
    operation = op.operation
    if operation.op_def.is_stateful:
        return None
    return (
        operation.device,
        tuple(
            (name, value.SerializeToString(deterministic=True))
            for name, value in sorted(operation.node_def.attr.items())
        ),
    )
