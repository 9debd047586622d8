"""A traced function and all functions called inside it, as one flat graph of integers.

In: a `FuncGraph` and the credits recorded while it was traced. Out: its ops in creation order, and
the data flow between values as `frostline.attribute.walk` takes it. Calls, branches and loops are
entered: a call's arguments and results are wired through, a branch's result may come from either
branch, a loop variable from before the loop or from the round before. `IdentityN` is wired index by
index. A call whose function cannot be seen stays one op that mixes all of its inputs, with a
warning. Beside the flow, the tensors that each op reads are kept, output by output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import tensorflow as tf
from tensorflow.python.framework import func_graph, ops

from frostline.measure.graph.called_functions import (
    BRANCHES,
    CALLS,
    LOOPS,
    called_functions,
    called_name,
    differentiated_name,
    loop_rounds,
    nodes_without_graph,
)
from frostline.measure.graph.recorder import OpCredits, TensorRef

Output: TypeAlias = tuple[int, int]
"""A tensor: a vertex, and which output of the op behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatOp:
    """One op of the flat graph.

    Attributes:
        position: in `FlatGraph.ops`.
        name: unique: names of the calls around it, `/`, its own; `#1`, `#2`, ... behind it where
            two branches hold ops of the same name.
        own_name: its name in the function that holds it.
        op_type: TensorFlow op type.
        caller: position of the op that calls the function that holds it; None in the outermost.
        differentiates: position of the call whose gradient it computes, or the function that holds
            it; None where it is in no function that TensorFlow made for that.
        call: the layer call (index into `OpCredits.calls`) that created it, or the function that
            holds it; None outside of all.
        trips: how often it runs in a step; None inside a loop of unknown length.
        vertices: its outputs in the flow (one for all, unless they differ in what they read).
        operation: the op itself.
    """

    position: int
    name: str
    own_name: str
    op_type: str
    caller: int | None
    differentiates: int | None
    call: int | None
    trips: int | None
    vertices: tuple[int, ...]
    operation: ops.Operation


@dataclass(slots=True, kw_only=True)
class FlatGraph:
    """The flat graph.

    Attributes:
        ops: in creation order, the ops of a function behind the op that calls it.
        reads: per op, the tensors it reads; none for an op whose functions were entered.
        same_as: per vertex that stands for no tensor of its own (an argument, a loop variable, the
            result of a call that was entered), the tensors that it may stand for.
        sources: the flow, per vertex.
        op_of: per vertex, position in `ops`; None for arguments and loop variables.
        arguments: vertices of the outermost function's own arguments.
        captures: per vertex of a captured tensor, the tensor outside.
        outputs: vertices of the outermost function's outputs.
        hidden: per op that calls functions without a graph, by its position, name and type of each
            op in these.
        warnings: what could not be seen, in words.
    """

    ops: list[FlatOp] = field(default_factory=list)
    reads: list[tuple[Output, ...]] = field(default_factory=list)
    same_as: dict[int, tuple[Output, ...]] = field(default_factory=dict)
    sources: list[tuple[int, ...]] = field(default_factory=list)
    op_of: list[int | None] = field(default_factory=list)
    arguments: frozenset[int] = frozenset()
    captures: dict[int, tf.Tensor] = field(default_factory=dict)
    outputs: frozenset[int] = frozenset()
    hidden: dict[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    _scopes: dict[int, list[_Scope]] = field(default_factory=dict)

    def holds(self, graph: object) -> bool:
        """Whether a function's body is part of this graph."""
        return id(graph) in self._scopes

    def find(self, tensor: TensorRef) -> tuple[int, ...]:
        """Vertices of a recorded tensor; none where its function is not part of the graph."""
        graph = tensor.graph()
        scopes = self._scopes.get(id(graph), ()) if graph is not None else ()
        return tuple(
            _pick(scope.values[tensor.op_name], tensor.index)
            for scope in scopes
            if tensor.op_name in scope.values
        )

    def vertices_of(self, tensor: tf.Tensor) -> tuple[int, ...]:
        """Vertices of a tensor in a function of this graph; several where it is called often."""
        return tuple(
            scope.vertex(tensor)
            for scope in self._scopes.get(id(tensor.graph), ())
            if tensor.op.name in scope.values
        )

    def captured_by(self, vertex: int) -> frozenset[int]:
        """Captured tensors that a resource handle may stand for, as vertices of `captures`."""
        found, seen, waiting = set(), {vertex}, [vertex]
        while waiting:
            current = waiting.pop()
            if current in self.captures:
                found.add(current)
            for source in self.sources[current]:
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)
        return frozenset(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """One function body in place."""

    graph: func_graph.FuncGraph
    caller: FlatOp | None
    trips: int | None
    arguments: tuple[int, ...]
    values: dict[str, tuple[int, ...]]

    def vertex(self, tensor: tf.Tensor) -> int:
        return _pick(self.values[tensor.op.name], tensor.value_index)

    def output(self, tensor: tf.Tensor) -> Output:
        return self.vertex(tensor), tensor.value_index

    def results(self) -> list[int]:
        return [self.vertex(tensor) for tensor in self.graph.outputs]

    def result(self, position: int) -> Output:
        return self.output(self.graph.outputs[position])


def flatten(graph: func_graph.FuncGraph, recorded: OpCredits) -> FlatGraph:
    """Flatten a traced function, the outermost one.

    `recorded` says who created which op; functions traced at another time belong to their caller.
    """
    return _Flattener(recorded).run(graph)


class _Flattener:
    def __init__(self, recorded: OpCredits) -> None:
        self._recorded = recorded
        self._flat = FlatGraph()
        self._names: set[str] = set()
        self._calls: dict[str, list[FlatOp]] = {}

    def run(self, graph: func_graph.FuncGraph) -> FlatGraph:
        flat = self._flat
        scope = self._body(graph, caller=None, trips=1)
        outside = {id(inner): outer for outer, inner in graph.captures}
        for tensor, vertex in zip(graph.inputs, scope.arguments, strict=True):
            if id(tensor) in outside:
                flat.captures[vertex] = outside[id(tensor)]
        flat.arguments = frozenset(scope.arguments) - flat.captures.keys()
        flat.outputs = frozenset(scope.results())
        return flat

    def _body(
        self, graph: func_graph.FuncGraph, *, caller: FlatOp | None, trips: int | None
    ) -> _Scope:
        arguments = tuple(self._vertex(None) for _ in graph.inputs)
        values: dict[str, tuple[int, ...]] = {
            tensor.op.name: (vertex,)
            for tensor, vertex in zip(graph.inputs, arguments, strict=True)
        }
        scope = _Scope(graph=graph, caller=caller, trips=trips, arguments=arguments, values=values)
        self._flat._scopes.setdefault(id(graph), []).append(scope)
        creators = self._recorded.of_graph(graph)
        call = None if caller is None else caller.call
        entered = []
        for operation in graph.get_operations():
            if operation.name in values:
                continue
            creator = creators.get(operation.name)
            flat_op = self._op(operation, scope, call if creator is None else creator)
            values[operation.name] = flat_op.vertices
            entered.append((flat_op, self._bodies(flat_op)))
        # A loop's inputs may have been added after ops that were created later than the loop, so
        # nothing is wired before every op of the body has its vertices.
        for flat_op, bodies in entered:
            self._wire(flat_op, bodies, [scope.output(t) for t in flat_op.operation.inputs])
        return scope

    def _vertex(self, op: int | None) -> int:
        self._flat.sources.append(())
        self._flat.op_of.append(op)
        return len(self._flat.sources) - 1

    def _op(self, operation: ops.Operation, scope: _Scope, call: int | None) -> FlatOp:
        position = len(self._flat.ops)
        functional = operation.type in CALLS | BRANCHES | LOOPS
        apart = functional or operation.type == "IdentityN"
        count = max(1, len(operation.outputs)) if apart else 1
        prefix = "" if scope.caller is None else f"{scope.caller.name}/"
        differentiates = self._differentiated(operation)
        if differentiates is None and scope.caller is not None:
            differentiates = scope.caller.differentiates
        flat_op = FlatOp(
            position=position,
            name=self._unique(prefix + operation.name),
            own_name=operation.name,
            op_type=operation.type,
            caller=None if scope.caller is None else scope.caller.position,
            differentiates=differentiates,
            call=call,
            trips=scope.trips,
            vertices=tuple(self._vertex(position) for _ in range(count)),
            operation=operation,
        )
        self._flat.ops.append(flat_op)
        self._flat.reads.append(())
        if (name := called_name(operation)) is not None:
            self._calls.setdefault(name, []).append(flat_op)
        return flat_op

    def _differentiated(self, operation: ops.Operation) -> int | None:
        """The call whose gradient a call computes: the one of that function whose values it reads.

        Where it reads none, as the gradient of a sum, the function's only call.
        """
        name = differentiated_name(operation)
        if name is None:
            return None
        calls = self._calls.get(name, [])
        read = {tensor.op.name for tensor in operation.inputs}
        found = [each for each in calls if each.operation.name in read] or calls
        return found[0].position if len(found) == 1 else None

    def _unique(self, name: str) -> str:
        candidate, number = name, 0
        while candidate in self._names:
            number += 1
            candidate = f"{name}#{number}"
        self._names.add(candidate)
        return candidate

    def _bodies(self, flat_op: FlatOp) -> list[_Scope]:
        """Enter the functions that an op calls; none if it calls none or one cannot be seen."""
        operation = flat_op.operation
        graphs = list(called_functions(operation))
        if any(graph is None for graph in graphs):
            hidden = tuple(nodes_without_graph(operation))
            self._flat.hidden[flat_op.position] = hidden
            if not hidden:
                said = f"the function called by {flat_op.name} cannot be entered"
                self._flat.warnings.append(said)
            return []
        trips: list[int | None] = [flat_op.trips] * len(graphs)
        if operation.type in LOOPS:
            rounds = loop_rounds(operation)
            if flat_op.trips is None or rounds is None:
                trips = [None, None]
            else:
                trips = [flat_op.trips * rounds, flat_op.trips * (rounds + 1)]
        return [
            self._body(graph, caller=flat_op, trips=times)
            for graph, times in zip(graphs, trips, strict=True)
            if graph is not None
        ]

    def _wire(self, flat_op: FlatOp, bodies: list[_Scope], given: list[Output]) -> None:
        sources, vertices = self._flat.sources, flat_op.vertices
        inputs = [vertex for vertex, _ in given]
        if not bodies:
            apart = flat_op.op_type == "IdentityN"
            for position, vertex in enumerate(vertices):
                sources[vertex] = (inputs[position],) if apart else tuple(inputs)
            self._flat.reads[flat_op.position] = tuple(given)
            return
        if flat_op.op_type in LOOPS:
            self._wire_loop(vertices, bodies[0], bodies[1], given)
            return
        chosen_by = 1 if flat_op.op_type in BRANCHES else 0
        for body in bodies:
            for argument, value in zip(body.arguments, given[chosen_by:], strict=True):
                self._stands_for(argument, value)
        for position, output in enumerate(flat_op.operation.outputs):
            found = [body.result(position) for body in bodies]
            self._stands_for(vertices[position], *found)
            sources[vertices[position]] += _steering(output, inputs[:chosen_by])
        if not flat_op.operation.outputs:
            sources[vertices[0]] = tuple(inputs[:chosen_by])

    def _wire_loop(
        self, vertices: tuple[int, ...], body: _Scope, condition: _Scope, given: list[Output]
    ) -> None:
        for position, (argument, before) in enumerate(zip(body.arguments, given, strict=True)):
            self._stands_for(argument, before, body.result(position))
        for argument, variable in zip(condition.arguments, body.arguments, strict=True):
            self._stands_for(argument, (variable, 0))
        outputs = zip(vertices, body.arguments, body.graph.outputs, strict=True)
        for vertex, variable, tensor in outputs:
            self._stands_for(vertex, (variable, 0))
            self._flat.sources[vertex] += _steering(tensor, condition.results()[:1])

    def _stands_for(self, vertex: int, *outputs: Output) -> None:
        self._flat.same_as[vertex] = outputs
        self._flat.sources[vertex] = tuple(source for source, _ in outputs)


def _pick(vertices: tuple[int, ...], index: int) -> int:
    return vertices[index] if len(vertices) > 1 else vertices[0]


def _steering(tensor: tf.Tensor, predicate: list[int]) -> tuple[int, ...]:
    """Vertices that decide where a value comes from; none for a resource handle, which is fixed."""
    return () if tensor.dtype == tf.resource else tuple(predicate)
