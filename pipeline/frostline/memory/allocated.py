"""What the graph leaves open of a step's memory, from what its ops allocated in a profile. Pure.

In: a traced step with its tensors, and what each op allocates. Out: the step with sizes for outputs
whose shape is open (what cuDNN reserves for a gradient, unique values), and with the bytes that ops
work in while they run. Allocations go to the op of the same name; one that grappler made or renamed
tells nothing here. An op may have fewer allocations left than open outputs (one of cuDNN's lies in
the host's memory, a CPU's profile shows large ones alone): then outputs stay open, unless the same
ops read all of them, so that it does not matter which is which.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from frostline.attribute.names import canonical
from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.trace.ops import OpAllocation

_ALIGNMENT = 256
"""Allocators round small tensors up to a multiple of this."""


def with_allocations(graph: StepGraph, allocations: Sequence[OpAllocation]) -> StepGraph:
    """A step, completed by what its ops allocate; one without recorded tensors stays as it is."""
    if not graph.has_tensors or not allocations:
        return graph
    known = {each.op_name: each for each in allocations}
    plain = {canonical(each.op_name): each for each in allocations}
    unique = Counter(canonical(op.op_name) for op in graph.ops)
    readers: dict[tuple[int, int], set[int]] = defaultdict(set)
    for number, op in enumerate(graph.ops):
        for tensor in op.inputs or () if op.pass_ != "other" else ():
            readers[tensor].add(number)

    def completed(number: int, op: GraphOp) -> GraphOp:
        name = canonical(op.op_name)
        own = known.get(op.op_name) or (plain.get(name) if unique[name] == 1 else None)
        if own is None:
            return op
        sizes = op.output_bytes or ()
        left = _left(sizes, own.tensor_bytes)
        unsized = [output for output, size in enumerate(sizes) if size is None]
        of_first = readers[number, unsized[0]] if unsized else set[int]()
        is_clear = len(left) == len(unsized) or (
            len(left) < len(unsized)
            and all(readers[number, output] == of_first for output in unsized)
        )
        sized = dict(zip(unsized, left, strict=False)) if is_clear else {}
        return replace(
            op,
            output_bytes=tuple(sized.get(output, size) for output, size in enumerate(sizes)),
            temporary_bytes=own.temporary_bytes,
        )

    return replace(graph, ops=tuple(completed(*each) for each in enumerate(graph.ops)))


def _left(sizes: Sequence[int | None], allocated: Sequence[int]) -> list[int]:
    """What was allocated beside the outputs whose size is known."""
    left = list(allocated)
    for size in sizes:
        found = next((each for each in left if size and _aligned(each) == _aligned(size)), None)
        if found is not None:
            left.remove(found)
    return left


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT
