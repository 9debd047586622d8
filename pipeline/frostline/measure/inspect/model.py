"""What planning needs to know of a model, from one trace of its forward pass.

In: a built model and a batch of its inputs. Out: `ModelFacts`: the layers in the order of first
use, what lies upstream of each, how often it is used, FLOPs. All of it comes from the traced graph,
so it holds for functional, sequential, nested and subclassed models alike. Refuses (TrialError,
stage `trace`): a model whose call fails on the batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from frostline.attribute.uses import ALIAS, LayerUse, ParameterFlow, adopted, uses
from frostline.attribute.walk import members, seeds_of, spread_down, topological, union, upstream
from frostline.errors import TrialError
from frostline.facts.model_facts import LayerFacts, ModelFacts, VariableFacts
from frostline.measure.graph.captured_variables import CapturedVariables
from frostline.measure.graph.flatten import FlatGraph, flatten
from frostline.measure.graph.flops import OpenShapeError
from frostline.measure.graph.recorder import OpCredits
from frostline.measure.graph.step import model_path, plain_ops, total_flops
from frostline.measure.inspect.layer_access import expressions
from frostline.measure.layers import (
    MODEL_PATH,
    OwnedLayer,
    all_layers,
    frozen_by_builder,
    owned_layers,
)
from frostline.measure.short_error import short_error


def inspect(
    model: keras.Model,
    spec_name: str,
    batch: Any,
    build_s: float,
    *,
    batch_size: int | None = None,
    own_precision: str | None = None,
) -> ModelFacts:
    """Trace a model's forward pass in training mode, and say what is in it.

    Args:
        model: built, nothing frozen beyond what its builder froze.
        spec_name: the model's name in the study.
        batch: the model's inputs, tensors or `tf.TensorSpec`s, in the structure its call takes.
        build_s: seconds that building it took.
        batch_size: examples in the batch; the first dimension of the first input if left out.
        own_precision: the dtype policy that the builder set itself.

    Raises:
        TrialError: the model cannot be called with the batch.
    """
    started = time.perf_counter()
    spec = tf.nest.map_structure(_spec, batch)
    if not model.built:  # a subclassed model has no variables before its first call
        _trace(model, spec, OpCredits(model))
    owned = owned_layers(model)
    recorded = OpCredits(model)
    graph = _trace(model, spec, recorded)
    flat = flatten(graph, recorded)
    forward = _Forward.read(flat, recorded, model, owned)
    used = [layer for layer in owned if forward.first_use[layer.name] is not None]
    unused = [layer for layer in owned if forward.first_use[layer.name] is None]
    used.sort(key=lambda layer: forward.first_use[layer.name] or 0)
    ordered = (*used, *unused)
    access = expressions(model)
    trains = sum(_size(entry.variable) for layer in owned for entry in layer.variables)
    warnings = [*flat.warnings]
    if unused:
        names = ", ".join(layer.name for layer in unused)
        warnings.append(f"the forward pass does not use these layers: {names}")
    return ModelFacts(
        name=spec_name,
        layers=tuple(
            _layer_facts(layer, index, forward, access.get(id(layer.layer)))
            for index, layer in enumerate(ordered)
        ),
        untrainable_params=sum(_size(variable) for variable in model.weights) - trains,
        builder_frozen_params=sum(map(_size, frozen_by_builder(model))),
        batch_size=_batch_size(spec) if batch_size is None else batch_size,
        build_s=build_s,
        trace_s=time.perf_counter() - started,
        facts_warnings=tuple(warnings),
        own_precision=own_precision,
        also_holds=_also_holds(model, owned),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forward:
    """The forward pass by layer name.

    Attributes:
        first_use: position of the first op that handles the layer's variables; None if none does.
        upstream: layers whose variables reach the layer's computation.
        uses: calls, and one more where its variables are used outside of them.
        flops: of the ops that the layer creates.
    """

    first_use: Mapping[str, int | None]
    upstream: Mapping[str, tuple[str, ...]]
    uses: Mapping[str, int]
    flops: Mapping[str, int]

    @staticmethod
    def read(
        flat: FlatGraph, recorded: OpCredits, model: keras.Model, owned: Sequence[OwnedLayer]
    ) -> _Forward:
        captured = CapturedVariables(flat)
        top = model_path(model, tuple(owned))
        ops = plain_ops(flat, recorded.calls, top)
        creators: list[str | None] = [ALIAS] * len(flat.sources)
        for op in ops:
            for vertex in op.vertices:
                creators[vertex] = op.creator
        handles = {
            layer.name: frozenset().union(*(captured.of(v.variable) for v in layer.variables))
            for layer in owned
        }
        writes = captured.writes().keys()
        flow = ParameterFlow(
            sources=flat.sources, creators=creators, data=captured.data(), ignored=writes
        )
        found = uses(flow, handles)
        live = upstream(flat.sources, flat.outputs | writes)
        names = [layer.name for layer in owned]
        seeds = seeds_of({bit: handles[name] for bit, name in enumerate(names)})
        reached = spread_down(flat.sources, topological(flat.sources), seeds)
        return _Forward(
            first_use={name: _first_op(flat, use) for name, use in found.items()},
            upstream={
                name: tuple(
                    names[bit]
                    for bit in members(union(reached[vertex] for vertex in use.meets))
                    if names[bit] != name
                )
                for name, use in found.items()
            },
            uses={
                name: _calls(flat, recorded, name, live) + bool(use.outside)
                for name, use in found.items()
            },
            flops=_flops(flat, creators, adopted(found, creators, top), live),
        )


def _trace(model: keras.Model, spec: Any, recorded: OpCredits) -> Any:
    """The model's call in training mode, as `fit` makes it, in a graph of its own.

    The losses that layers add are results too; without them their ops would seem unused.
    """
    takes_training = model._call_has_training_arg

    def forward(inputs: Any) -> Any:
        outputs = model(inputs, training=True) if takes_training else model(inputs)
        return outputs, model.losses

    try:
        with recorded:
            return tf.function(forward, autograph=False).get_concrete_function(spec).graph
    except Exception as error:
        name = type(error).__name__
        raise TrialError(
            "trace",
            name,
            f"calling model {model.name!r} on a batch raised {name}: {short_error(error)}",
        ) from error


def _spec(value: Any) -> Any:
    if isinstance(value, tf.TypeSpec):
        return value
    if isinstance(value, tf.RaggedTensor | tf.SparseTensor):
        return tf.type_spec_from_value(value)
    tensor = tf.convert_to_tensor(value)
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def _batch_size(spec: Any) -> int:
    return int(tf.nest.flatten(spec)[0].shape[0])


def _layer_facts(
    layer: OwnedLayer, index: int, forward: _Forward, access: str | None
) -> LayerFacts:
    return LayerFacts(
        name=layer.name,
        index=index,
        kind=layer.kind,
        block=layer.block,
        is_norm=layer.is_norm,
        variables=tuple(
            VariableFacts(
                path=entry.path,
                layer=layer.name,
                name=entry.name,
                shape=tuple(entry.variable.shape),
                params=_size(entry.variable),
                is_bias=entry.is_bias,
            )
            for entry in layer.variables
        ),
        upstream=forward.upstream[layer.name],
        forward_flops=forward.flops.get(layer.name),
        uses=forward.uses[layer.name],
        access=access,
    )


def _also_holds(model: keras.Model, owned: Sequence[OwnedLayer]) -> dict[str, tuple[str, ...]]:
    """Paths of variables that a layer holds though their names do not lie below its own."""
    found: dict[str, tuple[str, ...]] = {}
    for path, layers in all_layers(model).items():
        held = {id(variable) for layer in layers for variable in layer.trainable_weights}
        elsewhere = tuple(
            variable.path
            for layer in owned
            if layer.name != path and not layer.name.startswith(f"{path}/")
            for variable in layer.variables
            if id(variable.variable) in held
        )
        if elsewhere and path != MODEL_PATH:
            found[path] = elsewhere
    return found


def _size(variable: keras.Variable) -> int:
    return math.prod(map(int, variable.shape))


def _first_op(flat: FlatGraph, use: LayerUse) -> int | None:
    handled = use.meets | use.pure_inside | use.pure_outside
    positions = (flat.op_of[vertex] for vertex in handled)
    return min((position for position in positions if position is not None), default=None)


def _calls(flat: FlatGraph, recorded: OpCredits, name: str, live: Collection[int]) -> int:
    """Calls of a layer that left something in the graph that the result depends on."""
    return len(
        {
            op.call
            for op in flat.ops
            if op.call is not None
            and recorded.calls[op.call] == name
            and any(vertex in live for vertex in op.vertices)
        }
    )


def _flops(
    flat: FlatGraph,
    creators: Sequence[str | None],
    adoptive: Mapping[int, str],
    live: Collection[int],
) -> dict[str, int]:
    """Forward FLOPs by layer.

    A layer has none where one of its ops runs an unknown number of times, or has an open shape.
    """
    found: dict[str, int] = {}
    unknown: set[str] = set()
    for op in flat.ops:
        layer = adoptive.get(op.vertices[0], creators[op.vertices[0]])
        if layer is None or not any(vertex in live for vertex in op.vertices):
            continue
        if op.trips is None:
            unknown.add(layer)
            continue
        try:
            flops = total_flops(op)
        except OpenShapeError:
            unknown.add(layer)
            continue
        if flops is not None:
            found[layer] = found.get(layer, 0) + flops
    return {layer: flops for layer, flops in found.items() if layer not in unknown}
