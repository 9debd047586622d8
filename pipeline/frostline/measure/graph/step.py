"""From a recorded training step to its `StepGraph` and to the facts that the freeze check needs.

In: a `StepRecorder` that watched the first call of the training function, and the layers that
train in the baseline. Out: every op with its pass, its layer and the variables that need it. A step
that ran eagerly, or that uses no gradient tape, gives no graph and a warning instead: such a trial
is timed, and not attributed.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import keras
from tensorflow.python.framework import func_graph, ops

from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.attribute.step_ops import PlainOp, PlainStep, graph_ops
from frostline.attribute.walk import StepFlow
from frostline.measure.graph.captured_variables import CapturedVariables
from frostline.measure.graph.flatten import FlatGraph, FlatOp, flatten
from frostline.measure.graph.flops import OpenShapeError, flops_of
from frostline.measure.graph.recorder import StepRecorder, TapeCall, TensorRef, variable_key
from frostline.measure.layers import MODEL_PATH, OwnedLayer, OwnedVariable

_EFFECTFUL_OPS = frozenset({"Case", "If", "StatefulPartitionedCall", "While"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """What the traced step does to the variables that train in the baseline.

    Attributes:
        gradient_variables: paths whose gradient the tape was asked for; a variable that does not
            train in the baseline appears under its own Keras path.
        assigned_variables: paths of baseline variables that the step assigns, branches included.
        unconnected_variables: asked for, but the loss does not depend on them.
    """

    gradient_variables: frozenset[str]
    assigned_variables: frozenset[str]
    unconnected_variables: frozenset[str]


def analyse_step(
    recorder: StepRecorder, owned: tuple[OwnedLayer, ...]
) -> tuple[StepGraph | None, StepFacts | None, tuple[str, ...]]:
    """Analyse the training step that a recorder watched being traced.

    `with StepRecorder(model)` stood around the first step; `owned` are the `owned_layers(model)`
    from before anything was frozen.

    Returns:
        The graph (variables in the order of `owned`), the facts, and warnings; no graph and no
        facts where nothing was recorded.
    """
    calls, root = _last_step(recorder)
    model = recorder.model
    if root is None or model is None:
        return None, None, ("the training step was not traced with a gradient tape: no passes",)
    flat = flatten(root, recorder.credits)
    captured = CapturedVariables(flat)
    variables = tuple(entry for layer in owned for entry in layer.variables)
    positions = {variable_key(entry.variable): i for i, entry in enumerate(variables)}
    handles = tuple(captured.of(entry.variable) for entry in variables)
    writes = captured.writes()
    facts = _facts(calls, variables, positions, handles, writes)
    top = model_path(model, owned)
    step = PlainStep(
        ops=plain_ops(flat, recorder.credits.calls, top),
        flow=_flow(
            flat, calls, positions, writes, _trained_or_optimizers(captured, model, handles)
        ),
        layer_of=[layer.name for layer in owned for _ in layer.variables],
        handles=handles,
        writes=writes,
        data=captured.data(),
        model_path=top,
    )
    returned = {
        positions[gradient.variable]
        for call in calls
        for gradient in call.gradients
        if gradient.tensors and gradient.variable in positions
    }
    graph = StepGraph(
        variables=tuple(entry.path for entry in variables),
        trained=tuple(variables[position].path for position in sorted(returned)),
        ops=_with_flops(graph_ops(step), flat.ops),
    )
    return graph, facts, (*flat.warnings, *_unseen(flat, calls))


def model_path(model: keras.Model, owned: tuple[OwnedLayer, ...]) -> str:
    """Path of ops that the model itself creates: its layer name where it owns variables."""
    return model.name if any(entry.layer is model for entry in owned) else MODEL_PATH


def plain_ops(flat: FlatGraph, calls: list[str], top: str) -> list[PlainOp]:
    """The ops of a flat graph as plain values.

    `calls` are the paths of the recorded calls; `top` is what `model_path` gives.
    """
    creators = [path if path != MODEL_PATH else top for path in calls]
    return [
        PlainOp(
            name=op.name,
            own_name=op.own_name,
            op_type=op.op_type,
            creator=None if op.call is None else creators[op.call],
            vertices=op.vertices,
        )
        for op in flat.ops
    ]


def total_flops(op: FlatOp) -> int | None:
    """FLOPs of an op in one step, None where its count or how often it runs is not known.

    Raises:
        OpenShapeError: its count depends on a size that is open.
    """
    if op.trips is None:
        return None
    once = flops_of(op.operation)
    return None if once is None else once * op.trips


def _last_step(recorder: StepRecorder) -> tuple[list[TapeCall], func_graph.FuncGraph | None]:
    """Tape calls of the last trace (a step may be traced twice), and its outermost function."""
    roots = [(call, _root(call.graph)) for call in recorder.tape_calls]
    alive = [(call, root) for call, root in roots if root is not None]
    if not alive:
        return [], None
    last = alive[-1][1]
    return [call for call, root in alive if root is last], last


def _root(reference: weakref.ReferenceType[ops.Graph]) -> func_graph.FuncGraph | None:
    graph = reference()
    if not isinstance(graph, func_graph.FuncGraph):
        return None
    while isinstance(graph.outer_graph, func_graph.FuncGraph):
        graph = graph.outer_graph
    return graph


def _flow(
    flat: FlatGraph,
    calls: list[TapeCall],
    positions: dict[int, int],
    writes: dict[int, frozenset[int]],
    trained_or_optimizers: frozenset[int],
) -> StepFlow:
    gradients: dict[int, set[int]] = {}
    for call in calls:
        for gradient in call.gradients:
            if gradient.variable in positions:
                vertices = gradients.setdefault(positions[gradient.variable], set())
                vertices.update(_found(flat, gradient.tensors))
    updates = frozenset(
        vertex for vertex, written in writes.items() if written & trained_or_optimizers
    )
    return StepFlow(
        sources=flat.sources,
        losses=frozenset(v for call in calls for v in _found(flat, call.targets)),
        gradients={position: frozenset(vertices) for position, vertices in gradients.items()},
        results=flat.outputs | (writes.keys() - updates),
        updates=updates,
        effects=frozenset(
            vertex
            for op in flat.ops
            if op.op_type in _EFFECTFUL_OPS or not op.operation.outputs
            for vertex in op.vertices
        ),
    )


def _found(flat: FlatGraph, tensors: tuple[TensorRef, ...]) -> Iterator[int]:
    for tensor in tensors:
        yield from flat.find(tensor)


def _unseen(flat: FlatGraph, calls: list[TapeCall]) -> tuple[str, ...]:
    lost = sum(
        not flat.find(tensor)
        for call in calls
        for gradient in call.gradients
        for tensor in gradient.tensors
    )
    return (f"{lost} gradients lie in functions that cannot be entered",) if lost else ()


def _trained_or_optimizers(
    captured: CapturedVariables, model: keras.Model, handles: tuple[frozenset[int], ...]
) -> frozenset[int]:
    """Vertices of variables that train in the baseline, and of every optimizer's own."""
    found = [value for value in vars(model).values() if isinstance(value, keras.Optimizer)]
    own = (captured.of(variable) for optimizer in found for variable in optimizer.variables)
    return frozenset().union(*handles, *own)


def _facts(
    calls: list[TapeCall],
    variables: tuple[OwnedVariable, ...],
    positions: dict[int, int],
    handles: tuple[frozenset[int], ...],
    writes: dict[int, frozenset[int]],
) -> StepFacts:
    asked = {
        (
            variables[positions[gradient.variable]].path
            if gradient.variable in positions
            else gradient.path
        ): bool(gradient.tensors)
        for call in calls
        for gradient in call.gradients
    }
    written: frozenset[int] = frozenset().union(*writes.values())
    return StepFacts(
        gradient_variables=frozenset(asked),
        assigned_variables=frozenset(
            entry.path
            for entry, vertices in zip(variables, handles, strict=True)
            if vertices & written
        ),
        unconnected_variables=frozenset(path for path, given in asked.items() if not given),
    )


def _with_flops(found: Iterable[GraphOp], flat: Iterable[FlatOp]) -> tuple[GraphOp, ...]:
    """Forward ops with their FLOPs; none in a layer with an op whose FLOPs depend on open sizes."""
    counted: list[tuple[GraphOp, int | None]] = []
    open_layers = set()
    for graph_op, flat_op in zip(found, flat, strict=True):
        flops = None
        if graph_op.pass_ == "forward":
            try:
                flops = total_flops(flat_op)
            except OpenShapeError:
                open_layers.add(graph_op.layer)
        counted.append((graph_op, flops))
    return tuple(
        graph_op
        if flops is None or graph_op.layer in open_layers
        else replace(graph_op, forward_flops=flops)
        for graph_op, flops in counted
    )
