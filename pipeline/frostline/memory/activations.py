"""What each layer's forward pass keeps for the backward pass.

In: the traced step of one trial, with its tensors. Out: bytes by layer. A tensor counts once, with
the layer that made it, however many gradients read it, under whatever name they do.
"""

from __future__ import annotations

from collections import defaultdict

from frostline.attribute.step_graph import BACKWARD, StepGraph
from frostline.memory.liveness import OF_SHAPES, renamed


def kept_activations(graph: StepGraph) -> dict[str, int] | None:
    """Bytes of forward tensors that backward ops read, by layer; None where not recorded.

    Tensors whose size is not known count as 0.
    """
    ops = graph.ops
    if not graph.has_tensors:
        return None

    def origin(tensor: tuple[int, int]) -> tuple[int, int]:
        """The tensor whose bytes these are."""
        seen = set()
        while tensor not in seen:
            seen.add(tensor)
            tensor = renamed(ops[tensor[0]], tensor[1]) or tensor
        return tensor

    kept = {
        origin(tensor)
        for op in ops
        if op.pass_ in BACKWARD and op.op_type not in OF_SHAPES
        for tensor in op.inputs or ()
        if ops[tensor[0]].pass_ == "forward"
    }
    found: dict[str, int] = defaultdict(int)
    for number, output in kept:
        op = ops[number]
        if op.layer is not None and op.op_type not in ("Const", "ReadVariableOp"):
            sizes = op.output_bytes or ()
            found[op.layer] += (sizes[output] if output < len(sizes) else None) or 0
    return dict(found)
