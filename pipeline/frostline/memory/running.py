"""Which ops of a step run in a freeze configuration?

In: the baseline's traced step and the variables that still train. Out: a flag per op. Forward ops
always run. A backward op runs while a variable that needs it trains. An op of the optimizer runs
while something is left of the gradients that it works on, and while somebody reads what it makes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set

from frostline.attribute.step_graph import GraphOp, StepGraph


def running(graph: StepGraph, training: Collection[str]) -> list[bool]:
    """Per op of the baseline's step, whether it runs while only these variables train."""
    position = {path: number for number, path in enumerate(graph.variables)}
    trained = {position[path] for path in training}
    runs = [_is_wanted(op, trained) for op in graph.ops]
    _drop_updates(graph.ops, runs)
    return runs


def _is_wanted(op: GraphOp, trained: Set[int]) -> bool:
    if op.pass_ == "other":
        return False  # nothing depends on it: TensorFlow prunes it
    return not op.needed_by or not trained.isdisjoint(op.needed_by)


def _drop_updates(ops: Sequence[GraphOp], runs: list[bool]) -> None:
    """Clear the flags of optimizer ops without a gradient left, or without a reader left."""
    of_gradients = [False] * len(ops)  # works on gradients, directly or through other ops
    for number, op in enumerate(ops):
        if op.pass_ != "optimizer":
            of_gradients[number] = bool(op.needed_by)
            continue
        sources = (_behind(ops, tensor) for tensor in op.inputs or ())
        given = [source for source in sources if of_gradients[source]]
        of_gradients[number] = bool(given)
        if given and not any(runs[source] for source in given):
            runs[number] = False
    readers: list[list[int]] = [[] for _ in ops]
    for number, op in enumerate(ops):
        for source, _ in op.inputs or ():
            readers[source].append(number)
    for number in reversed(range(len(ops))):
        if ops[number].pass_ == "optimizer" and readers[number]:
            runs[number] = runs[number] and any(runs[reader] for reader in readers[number])


def _behind(ops: Sequence[GraphOp], tensor: tuple[int, int]) -> int:
    """The op that made a tensor; what an `IdentityN` passes on was made by others, one by one."""
    number, output = tensor
    while ops[number].op_type == "IdentityN":
        inputs = ops[number].inputs or ()
        if len(inputs) != len(ops[number].output_bytes or ()):
            break
        number, output = inputs[output]
    return number
