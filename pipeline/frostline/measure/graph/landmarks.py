"""Landmarks of a training step in its flat graph: losses, gradients, updates, results.

In: a recorder that watched the step, and its flat graph. Out: the tape calls that count, and the
`StepFlow` that `frostline.attribute.walk` walks over. Plain data flow decides what an update is, so
that it does not matter who holds an optimizer.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator
from dataclasses import replace

from tensorflow.python.framework import func_graph, ops

from frostline.attribute.walk import StepFlow, downstream, upstream
from frostline.measure.graph.called_functions import BRANCHES, LOOPS
from frostline.measure.graph.flatten import FlatGraph
from frostline.measure.graph.recorder import Gradient, StepRecorder, TapeCall, TensorRef

_EFFECTFUL_OPS = frozenset({"Case", "If", "StatefulPartitionedCall", "While"})


def last_step(recorder: StepRecorder) -> tuple[list[TapeCall], func_graph.FuncGraph | None]:
    """Tape calls of the last trace (a step may be traced twice), and its outermost function."""
    roots = [(call, _root(call.graph)) for call in recorder.tape_calls]
    alive = [(call, root) for call, root in roots if root is not None]
    if not alive:
        return [], None
    last = alive[-1][1]
    return [call for call, root in alive if root is last], last


def training_calls(flat: FlatGraph, calls: list[TapeCall]) -> list[TapeCall]:
    """The tape calls of a step that train something, each once."""
    return _without_inner(flat, _without_repeats(flat, calls))


def _without_inner(flat: FlatGraph, calls: list[TapeCall]) -> list[TapeCall]:
    """Tape calls without gradients that are part of a loss themselves, as in meta-learning.

    They are computed whether their variables train or not, and nothing is updated by them.
    """
    losses = (vertex for call in calls for vertex in vertices_of(flat, call.targets))
    forward = upstream(flat.sources, losses)

    def counts(gradient: Gradient) -> bool:
        vertices = set(vertices_of(flat, gradient.tensors))
        return not vertices or not vertices <= forward

    return [replace(call, gradients=tuple(filter(counts, call.gradients))) for call in calls]


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


def flow_of(
    flat: FlatGraph,
    calls: list[TapeCall],
    positions: dict[int, int],
    writes: dict[int, frozenset[int]],
    optimizers: frozenset[int],
    handles: tuple[frozenset[int], ...],
) -> StepFlow:
    """The flow with its landmarks; `optimizers` are the vertices of all optimizers' variables.

    An update is part of training where a gradient leads to it, where an optimizer owns what it
    writes, where it writes a trained variable from outside of all layers (weight decay), or where
    what it writes is read for updates alone (a decaying rate). So is a branch or a loop that writes
    nothing else (a loss scale that grows after so many steps), with what decides about it. What a
    layer assigns to its own variables while it is called belongs to the forward pass.
    """
    other = len(positions)  # stands for every variable that is trained without being the model's
    gradients: dict[int, set[int]] = {}
    for call in calls:
        for gradient in call.gradients:
            vertices = gradients.setdefault(positions.get(gradient.variable, other), set())
            vertices.update(vertices_of(flat, gradient.tensors))
    losses = frozenset(v for call in calls for v in vertices_of(flat, call.targets))
    tips = frozenset().union(*gradients.values())
    trained = downstream(flat.sources, tips - upstream(flat.sources, losses))
    asked = frozenset().union(*(handles[each] for each in gradients if each != other))
    updates = {
        vertex
        for vertex, written in writes.items()
        if vertex in trained
        or written & optimizers
        or (written & asked and outside_of_layers(flat, vertex))
    }
    updates |= _for_updates_alone(flat, writes, updates, losses)
    updates |= _holding_updates_alone(flat, writes.keys(), updates)
    return StepFlow(
        sources=flat.sources,
        losses=losses,
        gradients={
            position: frozenset(vertices) for position, vertices in gradients.items() if vertices
        },
        results=flat.outputs | (writes.keys() - updates),
        updates=frozenset(updates),
        effects=frozenset(
            vertex
            for op in flat.ops
            if op.op_type in _EFFECTFUL_OPS or not op.operation.outputs
            for vertex in op.vertices
        ),
    )


def _for_updates_alone(
    flat: FlatGraph,
    writes: dict[int, frozenset[int]],
    updates: set[int],
    losses: frozenset[int],
) -> set[int]:
    """Writes of variables whose values the known updates read, and neither loss nor output does."""
    elsewhere = upstream(flat.sources, losses | flat.outputs)
    read = upstream(flat.sources, updates) - elsewhere
    return {
        vertex
        for vertex, written in writes.items()
        if vertex not in updates and written and written <= read
    }


def _holding_updates_alone(
    flat: FlatGraph, writes: Collection[int], updates: Collection[int]
) -> set[int]:
    """Vertices of the branches and loops in which every write is an update, and there is one."""
    holding: dict[int, bool] = {}
    for vertex in writes:
        position = flat.op_of[vertex]
        caller = None if position is None else flat.ops[position].caller
        while caller is not None:
            holding[caller] = holding.get(caller, True) and vertex in updates
            caller = flat.ops[caller].caller
    return {
        vertex
        for caller, alone in holding.items()
        if alone and flat.ops[caller].op_type in BRANCHES | LOOPS
        for vertex in flat.ops[caller].vertices
    }


def outside_of_layers(flat: FlatGraph, vertex: int) -> bool:
    """Whether an op was created outside of every call of a layer."""
    position = flat.op_of[vertex]
    return position is not None and flat.ops[position].call is None


def unseen_gradients(flat: FlatGraph, calls: list[TapeCall]) -> tuple[str, ...]:
    """A warning where gradients are no part of the flat graph."""
    lost = sum(
        not flat.find(tensor)
        for call in calls
        for gradient in call.gradients
        for tensor in gradient.tensors
    )
    return (f"{lost} gradients lie in functions that cannot be entered",) if lost else ()


def vertices_of(flat: FlatGraph, tensors: tuple[TensorRef, ...]) -> Iterator[int]:
    """Vertices of recorded tensors."""
    for tensor in tensors:
        yield from flat.find(tensor)
