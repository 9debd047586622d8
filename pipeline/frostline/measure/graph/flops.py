"""FLOPs of forward ops: TensorFlow's registered counts, and those of `Einsum`, which has none.

In: an op. Out: floating point operations of one run (a multiplication and an addition count two),
or None where there is no count: an op that is neither registered nor a two-operand `Einsum` has
none. Refuses (`OpenShapeError`) an op that has a count and a shape that is not known: a sum without
it would be too small.
"""

from __future__ import annotations

import math

from tensorflow.python.framework import ops
from tensorflow.python.profiler.internal import flops_registry  # noqa: F401  registers the counts

_STATISTIC = "flops"


class OpenShapeError(ValueError):
    """FLOPs depend on a size that is open, such as that of the batch."""


def flops_of(operation: ops.Operation) -> int | None:
    """FLOPs of one run of an op, None where no count is registered.

    Raises:
        OpenShapeError: a count is registered and needs a size that is open.
    """
    if operation.type == "Einsum":
        return _einsum_flops(operation)
    try:
        ops._stats_registry.lookup(f"{operation.type},{_STATISTIC}")
    except LookupError:
        return None
    try:
        counted = ops.get_stats_for_node_def(operation.graph, operation.node_def, _STATISTIC)
    except (ValueError, TypeError) as error:
        raise OpenShapeError(operation.name) from error
    return None if counted.value is None else int(counted.value)


def _einsum_flops(operation: ops.Operation) -> int | None:
    """Two per combination of all indices of a product of two tensors."""
    equation = operation.get_attr("equation").decode()
    subscripts = equation.split("->")[0].split(",")
    shapes = [tensor.shape for tensor in operation.inputs]
    if len(subscripts) != 2 or "." in equation:
        return None
    if not all(shape.is_fully_defined() for shape in shapes):
        raise OpenShapeError(operation.name)
    sizes: dict[str, int] = {}
    for letters, shape in zip(subscripts, shapes, strict=True):
        sizes.update(zip(letters, shape.as_list(), strict=True))
    return 2 * math.prod(sizes.values())
