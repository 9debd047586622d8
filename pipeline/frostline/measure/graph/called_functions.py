"""Functions that an op of a graph calls: a call's, the branches of a condition, a loop's two.

In: an op. Out: the traced bodies, while TensorFlow still holds them; a called function's name, that
of the function whose gradient it is, and whether XLA compiles it; how often a loop runs where
tracing fixes that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tensorflow.python.framework import func_graph, ops, smart_cond

_FORWARD = "forward_function_name"
"""The attribute by which TensorFlow marks a function that computes another one's gradient."""

_COMPILED = "_XlaMustCompile"

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
BRANCHES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})
LOOPS = frozenset({"While", "StatelessWhile"})

_MAX_ITERATIONS_INPUT = 1  # second loop variable of every while loop that tf.while_loop makes


def called_functions(operation: ops.Operation) -> Iterator[func_graph.FuncGraph | None]:
    """Functions that an op calls, a loop's body before its condition; None for one unseen."""
    kind = operation.type
    if kind in CALLS:
        yield _function(operation, operation.get_attr("f").name)
    elif kind in LOOPS:
        yield _function(operation, operation.get_attr("body").name)
        yield _function(operation, operation.get_attr("cond").name, outputs=1)
    elif kind in ("If", "StatelessIf"):
        yield _function(operation, operation.get_attr("then_branch").name)
        yield _function(operation, operation.get_attr("else_branch").name)
    elif kind in BRANCHES:
        for branch in operation.get_attr("branches"):
            yield _function(operation, branch.name)


def called_name(operation: ops.Operation) -> str | None:
    """Name of the function that a call calls; None for other ops."""
    return str(operation.get_attr("f").name) if operation.type in CALLS else None


def differentiated_name(operation: ops.Operation) -> str | None:
    """Name of the function whose gradient a call computes, where TensorFlow made it for that."""
    value = _attributes(operation).get(_FORWARD)
    return None if value is None else str(value.s.decode())


def is_compiled(operation: ops.Operation) -> bool:
    """Whether XLA compiles the function that a call calls, as one program of its own."""
    value = _attributes(operation).get(_COMPILED)
    return value is not None and bool(value.b)


def _attributes(operation: ops.Operation) -> Mapping[str, Any]:
    """What TensorFlow notes of the function that a call calls; nothing for other ops."""
    name = called_name(operation)
    graph: ops.Graph | None = operation.graph
    while name is not None and isinstance(graph, func_graph.FuncGraph):
        definition = getattr(graph._get_function(name), "cached_definition", None)
        if definition is not None:
            return dict(definition.attr)
        graph = graph.outer_graph
    return {}


def _function(
    operation: ops.Operation, name: str, outputs: int | None = None
) -> func_graph.FuncGraph | None:
    """The body of a function, or None where it is gone or does not fit the op's signature."""
    takes = len(operation.inputs) - (operation.type in BRANCHES)
    returns = len(operation.outputs) if outputs is None else outputs
    body = getattr(_found(operation.graph, name), "graph", None)
    if not isinstance(body, func_graph.FuncGraph):  # of TensorFlow 1, if there is one
        return None
    fits = len(body.inputs) == takes and len(body.outputs) == returns
    return body if fits else None


def nodes_without_graph(operation: ops.Operation) -> Iterator[tuple[str, str]]:
    """Name and type of each op in functions that TensorFlow 1 made, as for its CTC loss.

    These have no graph, so what flows between their ops is not known. Nothing for functions that
    have one.
    """
    waiting = [
        operation.get_attr(name).name
        for name in ("body", "cond", "f", "then_branch", "else_branch")
        if name in operation.node_def.attr
    ]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        definition = getattr(_found(operation.graph, name), "definition", None)
        if name in seen or definition is None:
            continue
        seen.add(name)
        for node in definition.node_def:
            if _found(operation.graph, node.op) is None:
                yield node.name, node.op
            else:
                waiting.append(node.op)


def _found(graph: ops.Graph | None, name: str) -> Any:
    """The function of that name which a graph or one around it knows; None where none does."""
    while isinstance(graph, func_graph.FuncGraph):
        found = graph._get_function(name)
        if found is not None:
            return found
        graph = graph.outer_graph
    return None


def loop_rounds(operation: ops.Operation) -> int | None:
    """How often a loop made by `tf.while_loop` runs at most, where tracing fixes that, else None.

    For a recurrent layer over a known number of time steps that is how often it runs.
    """
    inputs = operation.inputs
    if len(inputs) < 2 or not inputs[0].op.name.endswith("loop_counter"):
        return None
    value = smart_cond.smart_constant_value(inputs[_MAX_ITERATIONS_INPUT])
    return int(value) if value is not None and value >= 0 else None
