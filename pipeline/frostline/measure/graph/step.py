"""From a recorded training step to its `StepGraph` and to the facts that the freeze check needs.

In: a `StepRecorder` that watched the first call of the training function, and the layers that
train in the baseline. Out: every op with its pass, its layer and the variables that need it. A step
that ran eagerly, or in which no gradient tape was seen, gives no graph and a warning instead: such
a trial is timed, and not attributed.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import keras
from tensorflow.python.framework import func_graph, ops

from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.attribute.step_ops import PlainOp, PlainStep, graph_ops
from frostline.attribute.walk import StepFlow, downstream, upstream
from frostline.measure.graph.captured_variables import CapturedVariables
from frostline.measure.graph.cycles import cycle_of_graph, cycle_of_optimizers
from frostline.measure.graph.flatten import FlatGraph, FlatOp, flatten
from frostline.measure.graph.flops import OpenShapeError, flops_of
from frostline.measure.graph.recorder import StepRecorder, TapeCall, TensorRef, variable_key
from frostline.measure.layers import MODEL_PATH, OwnedLayer, OwnedVariable

_EFFECTFUL_OPS = frozenset({"Case", "If", "StatefulPartitionedCall", "While"})
_NO_GRAPH = "the training step was not traced with a gradient tape: no passes"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """What the step does to the variables that train in the baseline, and how often it repeats.

    Attributes:
        gradient_variables: paths whose gradient a tape was asked for; a variable that Keras does
            not train appears under its own Keras path. None where no tape was seen to be asked.
        assigned_variables: paths of baseline variables that are updated, branches included; without
            what a layer assigns to itself while it is called. None where the step has no graph.
        self_assigned_variables: paths of baseline variables that their layer assigns while it is
            called (spectral normalisation), frozen or not.
        unconnected_variables: asked for, but the loss does not depend on them.
        cycle: steps after which the work repeats; 1 where every step does the same.
    """

    gradient_variables: frozenset[str] | None
    assigned_variables: frozenset[str] | None = None
    self_assigned_variables: frozenset[str] = frozenset()
    unconnected_variables: frozenset[str] = frozenset()
    cycle: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatStep:
    """A traced step, flattened, with the facts that do not need every op to be placed.

    Attributes:
        flat: the graph.
        plain: the same as plain values.
        facts: what it does to the variables.
        returned: positions of the variables whose gradient the tape returned.
        paths: of the variables, in the order of their positions.
        warnings: what could not be seen.
    """

    flat: FlatGraph
    plain: PlainStep
    facts: StepFacts
    returned: frozenset[int]
    paths: tuple[str, ...]
    warnings: tuple[str, ...]


def analyse_step(
    recorder: StepRecorder, owned: tuple[OwnedLayer, ...]
) -> tuple[StepGraph | None, StepFacts, tuple[str, ...]]:
    """Analyse the training step that a recorder watched being traced.

    `with StepRecorder(model)` stood around the first step; `owned` are the `owned_layers(model)`
    from before anything was frozen.

    Returns:
        The graph (variables in the order of `owned`), the facts, and warnings; no graph where the
        step ran eagerly or no tape was seen.
    """
    step = flat_step(recorder, owned)
    if step is None:
        facts = _facts_without_graph(recorder, owned)
        return None, facts, (_NO_GRAPH,)
    graph = StepGraph(
        variables=step.paths,
        trained=tuple(step.paths[position] for position in sorted(step.returned)),
        ops=_with_flops(graph_ops(step.plain), step.flat.ops),
    )
    return graph, step.facts, step.warnings


def facts_of_step(
    recorder: StepRecorder, owned: tuple[OwnedLayer, ...]
) -> tuple[StepFacts, tuple[str, ...]]:
    """The facts and warnings of `analyse_step` alone."""
    step = flat_step(recorder, owned)
    if step is None:
        return _facts_without_graph(recorder, owned), (_NO_GRAPH,)
    return step.facts, step.warnings


def flat_step(recorder: StepRecorder, owned: tuple[OwnedLayer, ...]) -> FlatStep | None:
    """The step that a recorder watched, as `analyse_step` takes it; None where it has no graph."""
    calls, root = _last_step(recorder)
    model = recorder.model
    if root is None or model is None or model.run_eagerly:
        return None
    flat = flatten(root, recorder.credits)
    calls = _without_repeats(flat, calls)
    captured = CapturedVariables(flat)
    variables = tuple(entry for layer in owned for entry in layer.variables)
    positions = {variable_key(entry.variable): i for i, entry in enumerate(variables)}
    handles = tuple(captured.of(entry.variable) for entry in variables)
    writes = captured.writes()
    optimizers = recorder.optimizers
    own = (captured.of(each) for optimizer in optimizers for each in optimizer.variables)
    flow = _flow(flat, calls, positions, writes, frozenset().union(*own), handles)
    top = model_path(model, owned)
    return FlatStep(
        flat=flat,
        plain=PlainStep(
            ops=plain_ops(flat, recorder.credits.calls, top),
            flow=flow,
            layer_of=[layer.name for layer in owned for _ in layer.variables],
            handles=handles,
            writes=writes,
            data=captured.data(),
            model_path=top,
        ),
        facts=StepFacts(
            gradient_variables=frozenset(_asked(calls, variables, positions)),
            assigned_variables=_written(variables, handles, writes, flow.updates),
            self_assigned_variables=_written(
                variables, handles, writes, writes.keys() - flow.updates
            ),
            unconnected_variables=_unconnected(calls, variables, positions),
            cycle=math.lcm(cycle_of_graph(flat), cycle_of_optimizers(optimizers)),
        ),
        returned=frozenset(
            positions[gradient.variable]
            for call in calls
            for gradient in call.gradients
            if gradient.connected and gradient.variable in positions
        ),
        paths=tuple(entry.path for entry in variables),
        warnings=(*flat.warnings, *_unseen(flat, calls)),
    )


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


def _without_repeats(flat: FlatGraph, calls: list[TapeCall]) -> list[TapeCall]:
    """Tape calls without those of a function's first trace, where it was traced again.

    A function that makes variables is traced twice, and only the second trace is called.
    """
    here = [call for call in calls if call.graph is not None and flat.holds(call.graph())]
    asked = {gradient.variable for call in here for gradient in call.gradients}
    elsewhere = (
        call for call in calls if not asked.issuperset(each.variable for each in call.gradients)
    )
    return [*here, *elsewhere]


def _root(reference: weakref.ReferenceType[ops.Graph] | None) -> func_graph.FuncGraph | None:
    graph = None if reference is None else reference()
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
    optimizers: frozenset[int],
    handles: tuple[frozenset[int], ...],
) -> StepFlow:
    """The flow with its landmarks; `optimizers` are the vertices of all optimizers' variables.

    An update is part of training where a gradient leads to it, where an optimizer owns what it
    writes, or where it writes a trained variable from outside of all layers (weight decay). What a
    layer assigns to its own variables while it is called belongs to the forward pass.
    """
    other = len(positions)  # stands for every variable that is trained without being the model's
    gradients: dict[int, set[int]] = {}
    for call in calls:
        for gradient in call.gradients:
            vertices = gradients.setdefault(positions.get(gradient.variable, other), set())
            vertices.update(_found(flat, gradient.tensors))
    losses = frozenset(v for call in calls for v in _found(flat, call.targets))
    tips = frozenset().union(*gradients.values())
    trained = downstream(flat.sources, tips - upstream(flat.sources, losses))
    layers = frozenset().union(*handles)
    updates = frozenset(
        vertex
        for vertex, written in writes.items()
        if vertex in trained
        or written & optimizers
        or (written & layers and _outside_of_layers(flat, vertex))
    )
    return StepFlow(
        sources=flat.sources,
        losses=losses,
        gradients={
            position: frozenset(vertices) for position, vertices in gradients.items() if vertices
        },
        results=flat.outputs | (writes.keys() - updates),
        updates=updates,
        effects=frozenset(
            vertex
            for op in flat.ops
            if op.op_type in _EFFECTFUL_OPS or not op.operation.outputs
            for vertex in op.vertices
        ),
    )


def _outside_of_layers(flat: FlatGraph, vertex: int) -> bool:
    position = flat.op_of[vertex]
    return position is not None and flat.ops[position].call is None


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


def _asked(
    calls: Iterable[TapeCall], variables: tuple[OwnedVariable, ...], positions: dict[int, int]
) -> dict[str, bool]:
    """Paths of the variables whose gradients were asked for, and whether one came back."""
    found: dict[str, bool] = {}
    for call in calls:
        for gradient in call.gradients:
            known = positions.get(gradient.variable)
            path = gradient.path if known is None else variables[known].path
            found[path] = found.get(path, False) or gradient.connected
    return found


def _unconnected(
    calls: Iterable[TapeCall], variables: tuple[OwnedVariable, ...], positions: dict[int, int]
) -> frozenset[str]:
    asked = _asked(calls, variables, positions)
    return frozenset(path for path, connected in asked.items() if not connected)


def _written(
    variables: tuple[OwnedVariable, ...],
    handles: tuple[frozenset[int], ...],
    writes: dict[int, frozenset[int]],
    by: Collection[int],
) -> frozenset[str]:
    """Paths of the variables that these vertices write."""
    written: frozenset[int] = frozenset().union(*(writes[vertex] for vertex in by))
    return frozenset(
        entry.path for entry, own in zip(variables, handles, strict=True) if own & written
    )


def _facts_without_graph(recorder: StepRecorder, owned: tuple[OwnedLayer, ...]) -> StepFacts:
    """What was seen of a step that ran eagerly, or whose tape is in a function traced before."""
    variables = tuple(entry for layer in owned for entry in layer.variables)
    positions = {variable_key(entry.variable): i for i, entry in enumerate(variables)}
    calls = recorder.tape_calls
    return StepFacts(
        gradient_variables=frozenset(_asked(calls, variables, positions)) if calls else None,
        unconnected_variables=_unconnected(calls, variables, positions),
        cycle=cycle_of_optimizers(recorder.optimizers),
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
