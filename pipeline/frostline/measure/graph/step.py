"""From a recorded training step to its `StepGraph` and to the facts that the freeze check needs.

In: a `StepRecorder` that watched the first call of the training function, and the layers that
train in the baseline. Out: every op with its pass, its layer and the variables that need it. A step
that ran eagerly, or in which no gradient tape was seen, gives no graph and a warning instead: such
a trial is timed, and not attributed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import keras

from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.attribute.step_ops import PlainOp, PlainStep, graph_ops
from frostline.listing import listed, quoted
from frostline.measure.graph.called_functions import called_name, is_compiled
from frostline.measure.graph.captured_variables import CapturedVariables
from frostline.measure.graph.cycles import cycle_of_graph, cycle_of_optimizers, reset_counters
from frostline.measure.graph.flatten import FlatGraph, FlatOp, flatten
from frostline.measure.graph.flops import OpenShapeError, flops_of
from frostline.measure.graph.landmarks import (
    flow_of,
    last_step,
    outside_of_layers,
    training_calls,
    unseen_gradients,
)
from frostline.measure.graph.recorder import StepRecorder, variable_key
from frostline.measure.graph.repeated import repeated_ops
from frostline.measure.graph.step_facts import (
    StepFacts,
    asked,
    facts_without_graph,
    unconnected,
    written,
)
from frostline.measure.graph.tensors import tensors_of
from frostline.measure.layers import MODEL_PATH, OwnedLayer

_NO_GRAPH = "the training step was not traced with a gradient tape: no passes"


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
    recorder: StepRecorder, owned: tuple[OwnedLayer, ...], *, batch_size: int | None = None
) -> tuple[StepGraph | None, StepFacts, tuple[str, ...]]:
    """Analyse the training step that a recorder watched being traced.

    `with StepRecorder(model)` stood around the first step; `owned` are the `owned_layers(model)`
    from before anything was frozen. `batch_size` stands for sizes of tensors that are open.

    Returns:
        The graph (variables in the order of `owned`), the facts, and warnings; no graph where the
        step ran eagerly or no tape was seen.
    """
    step = flat_step(recorder, owned)
    if step is None:
        facts = facts_without_graph(recorder, owned)
        return None, facts, (_NO_GRAPH,)
    seen = with_tensors(_with_flops(graph_ops(step.plain), step.flat.ops), step.flat, batch_size)
    graph = StepGraph(
        variables=step.paths,
        trained=tuple(step.paths[position] for position in sorted(step.returned)),
        ops=(*seen, *_hidden(step.flat, seen)),
    )
    return graph, step.facts, step.warnings


def _hidden(flat: FlatGraph, ops: Sequence[GraphOp]) -> Iterator[GraphOp]:
    """Ops of functions without a graph: of the caller's layer and pass, behind all others."""
    names = {op.op_name for op in ops}
    for position, nodes in flat.hidden.items():
        caller = ops[position]
        for name, op_type in nodes:
            if name not in names:
                names.add(name)
                yield GraphOp(
                    op_name=name, op_type=op_type, layer=caller.layer, pass_=caller.pass_,
                    needed_by=caller.needed_by, inputs=(), output_bytes=(),
                )  # fmt: skip


def facts_of_step(
    recorder: StepRecorder, owned: tuple[OwnedLayer, ...]
) -> tuple[StepFacts, tuple[str, ...]]:
    """The facts and warnings of `analyse_step` alone."""
    step = flat_step(recorder, owned)
    if step is None:
        return facts_without_graph(recorder, owned), (_NO_GRAPH,)
    return step.facts, step.warnings


def flat_step(recorder: StepRecorder, owned: tuple[OwnedLayer, ...]) -> FlatStep | None:
    """The step that a recorder watched, as `analyse_step` takes it; None where it has no graph."""
    calls, root = last_step(recorder)
    model = recorder.model
    if root is None or model is None or model.run_eagerly:
        return None
    flat = flatten(root, recorder.credits)
    calls = training_calls(flat, calls)
    captured = CapturedVariables(flat)
    variables = tuple(entry for layer in owned for entry in layer.variables)
    positions = {variable_key(entry.variable): i for i, entry in enumerate(variables)}
    handles = tuple(captured.of(entry.variable) for entry in variables)
    writes = captured.writes()
    optimizers = recorder.optimizers
    own = (captured.of(each) for optimizer in optimizers for each in optimizer.variables)
    flow = flow_of(flat, calls, positions, writes, frozenset().union(*own), handles)
    own_writes = {
        vertex for vertex in writes.keys() - flow.updates if not outside_of_layers(flat, vertex)
    }
    top = model_path(model, owned)
    ops = plain_ops(flat, recorder.credits.calls, top, whole=bool(model.jit_compile))
    return FlatStep(
        flat=flat,
        plain=PlainStep(
            ops=ops,
            flow=flow,
            layer_of=[layer.name for layer in owned for _ in layer.variables],
            handles=handles,
            writes=writes,
            data=captured.data(),
            model_path=top,
        ),
        facts=StepFacts(
            gradient_variables=frozenset(asked(calls, variables, positions)),
            assigned_variables=written(variables, handles, writes, writes.keys() & flow.updates),
            self_assigned_variables=written(variables, handles, writes, own_writes),
            unconnected_variables=unconnected(calls, variables, positions),
            cycle=math.lcm(cycle_of_graph(flat), cycle_of_optimizers(optimizers)),
            counters=reset_counters(flat, _counted_by_keras(captured, optimizers)),
        ),
        returned=frozenset(
            positions[gradient.variable]
            for call in calls
            for gradient in call.gradients
            if gradient.connected and gradient.variable in positions
        ),
        paths=tuple(entry.path for entry in variables),
        warnings=(*flat.warnings, *unseen_gradients(flat, calls), *_whole_gradients(ops)),
    )


def _counted_by_keras(
    captured: CapturedVariables, optimizers: Iterable[keras.Optimizer]
) -> frozenset[int]:
    """Vertices of the optimizers' step numbers, and of what loss scaling counts.

    The former never come back; the latter does when a larger scale is tried, after 2,000 steps.
    """
    found: list[keras.Variable] = []
    for each in optimizers:
        scales = isinstance(each, keras.optimizers.LossScaleOptimizer)
        found += each.variables if scales else [each._iterations]
    return frozenset().union(*map(captured.of, found))


def model_path(model: keras.Model, owned: tuple[OwnedLayer, ...]) -> str:
    """Path of ops that the model itself creates: its layer name where it owns variables."""
    return model.name if any(entry.layer is model for entry in owned) else MODEL_PATH


def plain_ops(flat: FlatGraph, calls: list[str], top: str, *, whole: bool) -> list[PlainOp]:
    """The ops of a flat graph as plain values.

    `calls` are the paths of the recorded calls; `top` is what `model_path` gives; `whole` says that
    XLA compiles the step as a whole.
    """
    creators = [path if path != MODEL_PATH else top for path in calls]
    return [
        PlainOp(
            name=op.name,
            own_name=op.own_name,
            op_type=op.op_type,
            creator=None if op.call is None else creators[op.call],
            vertices=op.vertices,
            repeats=first,
            caller=op.caller,
            differentiates=op.differentiates,
            calls=called_name(op.operation),
            is_compiled=not whole and is_compiled(op.operation),
        )
        for op, first in zip(flat.ops, repeated_ops(flat), strict=True)
    ]


def _whole_gradients(ops: Sequence[PlainOp]) -> Iterator[str]:
    """What freezing does not save, where XLA compiles a layer's function by itself."""
    calls = {op.differentiates for op in ops if op.is_compiled and op.differentiates is not None}
    creators = (ops[call].creator for call in sorted(calls))
    layers = list(dict.fromkeys(layer for layer in creators if layer is not None))
    if layers:
        yield (
            f"XLA computes the gradient of {listed(quoted(layers))} as a whole, since such a "
            "layer's function is compiled by itself (as Keras does with grouped convolutions): "
            "where it is frozen and the gradient passes through it, its weight gradient is "
            "computed all the same"
        )


def total_flops(op: FlatOp) -> int | None:
    """FLOPs of an op in one step, None where its count or how often it runs is not known.

    Raises:
        OpenShapeError: its count depends on a size that is open.
    """
    if op.trips is None:
        return None
    once = flops_of(op.operation)
    return None if once is None else once * op.trips


def with_tensors(
    found: Iterable[GraphOp], flat: FlatGraph, batch_size: int | None
) -> tuple[GraphOp, ...]:
    """Ops of a flat graph with what they read and make; see `frostline.measure.graph.tensors`."""
    return tuple(
        replace(op, inputs=tensors.inputs, output_bytes=tensors.output_bytes)
        for op, tensors in zip(found, tensors_of(flat, batch_size=batch_size), strict=True)
    )


def _with_flops(found: Iterable[GraphOp], flat: Iterable[FlatOp]) -> tuple[GraphOp, ...]:
    """Forward ops with their FLOPs; none in a layer with an op whose FLOPs depend on open sizes."""
    known: list[tuple[GraphOp, int | None]] = []
    open_layers = set()
    for graph_op, flat_op in zip(found, flat, strict=True):
        flops = None
        if graph_op.pass_ == "forward":
            try:
                flops = total_flops(flat_op)
            except OpenShapeError:
                open_layers.add(graph_op.layer)
        known.append((graph_op, flops))
    return tuple(
        graph_op
        if flops is None or graph_op.layer in open_layers
        else replace(graph_op, forward_flops=flops)
        for graph_op, flops in known
    )
