"""Variables in a flat graph: which captured vertices stand for them, and which ops update them.

In: a `FlatGraph`. Out: vertices. A variable enters a traced function as a captured resource; under
a distribution strategy it is one resource a replica.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from frostline.attribute.step_graph import is_input, is_random
from frostline.measure.graph.flatten import FlatGraph

_WRITING_OPS = (
    "Assign", "ResourceApply", "ResourceSparseApply", "ResourceScatter", "ResourceStridedSlice",
)  # fmt: skip


class CapturedVariables:
    """Looks up the vertices of variables in one flat graph."""

    def __init__(self, flat: FlatGraph) -> None:
        self._flat = flat
        self._by_resource: dict[int, list[int]] = {}
        for vertex, tensor in flat.captures.items():
            self._by_resource.setdefault(id(tensor), []).append(vertex)

    def of(self, variable: keras.Variable) -> frozenset[int]:
        """Vertices that stand for a variable; none if the function does not use it."""
        inner = variable.value if isinstance(variable, keras.Variable) else variable
        replicas: Iterable[tf.Variable] = getattr(inner, "values", None) or (inner,)
        return frozenset(
            vertex
            for replica in replicas
            for vertex in self._by_resource.get(id(getattr(replica, "handle", None)), ())
        )

    def writes(self) -> dict[int, frozenset[int]]:
        """Per updating op, by its vertex, the vertices of the variables that it updates."""
        return {
            op.vertices[0]: frozenset().union(
                *(
                    self._flat.captured_by(source)
                    for source, tensor in zip(
                        self._flat.sources[op.vertices[0]], op.operation.inputs, strict=True
                    )
                    if tensor.dtype == tf.resource
                )
            )
            for op in self._flat.ops
            if op.op_type.startswith(_WRITING_OPS)
        }

    def data(self) -> frozenset[int]:
        """Vertices at which data enters: arguments, what an input pipeline hands over, and noise.

        Noise is data to a generator that draws its input itself.
        """
        fed = (
            op.vertices for op in self._flat.ops if is_input(op.op_type) or is_random(op.op_type)
        )
        return self._flat.arguments.union(*fed)
