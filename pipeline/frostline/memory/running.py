"""Which ops of a step run in a freeze configuration?

In: the baseline's traced step, and the variables that still train. Out: a flag per op. Forward ops
always run. A backward op runs while a variable that needs it trains. An op of the optimizer runs
while something is left of the gradients that it works on, and while somebody reads what it makes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.attribute.walk import readers_of, union


class Running:
    """Answers for one step; `graph` is the baseline's, with its tensors."""

    def __init__(self, graph: StepGraph) -> None:
        ops = graph.ops
        self._bit = {path: 1 << number for number, path in enumerate(graph.variables)}
        # None: TensorFlow prunes it, since nothing depends on it. 0: it runs whatever trains.
        self._needs = [
            None if op.pass_ == "other" else union(1 << each for each in op.needed_by) for op in ops
        ]
        of_gradients = [bool(op.needed_by) for op in ops]
        self._given: list[tuple[int, list[int]]] = []
        for number, op in enumerate(ops):
            if op.pass_ == "optimizer":
                sources = (_behind(ops, tensor) for tensor in op.inputs or ())
                given = [source for source in sources if of_gradients[source]]
                of_gradients[number] = bool(given)
                if given:
                    self._given.append((number, given))
        readers = readers_of([tuple(source for source, _ in op.inputs or ()) for op in ops])
        self._read = [
            (number, readers[number])
            for number in reversed(range(len(ops)))
            if ops[number].pass_ == "optimizer" and readers[number]
        ]

    def flags(self, training: Collection[str]) -> list[bool]:
        """Per op, whether it runs while only these variables train."""
        trained = union(self._bit[path] for path in training)
        runs = [needs is not None and (not needs or bool(needs & trained)) for needs in self._needs]
        for number, given in self._given:
            if not any(runs[source] for source in given):
                runs[number] = False
        for number, readers in self._read:
            if runs[number] and not any(runs[reader] for reader in readers):
                runs[number] = False
        return runs

    def needs(self) -> list[int | None]:
        """Per op, variables of which one must train for it to run, as a mask by their position.

        0: it runs whatever trains; None: it does not run, or that is no such condition.
        """
        found = list(self._needs)
        for number, given in self._given:
            sources = [found[source] for source in given]
            known = [each for each in sources if each]
            found[number] = union(known) if len(known) == len(sources) else None
        for number, readers in self._read:
            own, read = found[number], [found[reader] for reader in readers]
            if own is not None and 0 not in read:
                wanted = union(each for each in read if each)
                found[number] = (own & wanted if own else wanted) or None
        return found


def _behind(ops: Sequence[GraphOp], tensor: tuple[int, int]) -> int:
    """The op that made a tensor; what an `IdentityN` passes on was made by others, one by one."""
    number, output = tensor
    while ops[number].op_type == "IdentityN":
        inputs = ops[number].inputs or ()
        if len(inputs) != len(ops[number].output_bytes or ()) or output >= len(inputs):
            break
        if inputs[output][0] >= number:  # a loop's
            break
        number, output = inputs[output]
    return number
