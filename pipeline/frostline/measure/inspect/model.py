"""What planning needs to know of a model, from one trace of its call.

For a model whose training step cannot be traced (`training` does that); `facts_of` serves both.

In: a built model and a batch of its inputs. Out: `ModelFacts`: the layers in the order of first
use, what lies upstream of each, how often it is used, FLOPs. All of it comes from the traced graph,
so it holds for functional, sequential, nested and subclassed models alike. Refuses (TrialError,
stage `trace`): a model whose call fails on the batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from frostline.errors import TrialError
from frostline.facts.model_facts import LayerFacts, ModelFacts, VariableFacts
from frostline.measure.graph.flatten import flatten
from frostline.measure.graph.recorder import OpCredits
from frostline.measure.inspect.layer_access import expressions
from frostline.measure.inspect.wiring import Wiring
from frostline.measure.layers import (
    MODEL_PATH,
    OwnedLayer,
    all_layers,
    frozen_by_builder,
    owned_layers,
)
from frostline.measure.short_error import short_error


def inspect(
    model: keras.Model, spec_name: str, batch: Any, build_s: float, *, batch_size: int | None = None
) -> ModelFacts:
    """Trace a model's forward pass in training mode, and say what is in it.

    Args:
        model: built, nothing frozen beyond what its builder froze.
        spec_name: the model's name in the study.
        batch: the model's inputs, tensors or `tf.TensorSpec`s, in the structure its call takes.
        build_s: seconds that building it took.
        batch_size: examples in the batch; the first dimension of the first input if left out.

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
    return facts_of(
        model,
        owned,
        Wiring.read(flat, recorded, model, owned),
        name=spec_name,
        batch_size=_batch_size(spec) if batch_size is None else batch_size,
        build_s=build_s,
        trace_s=time.perf_counter() - started,
        warnings=flat.warnings,
    )


def facts_of(
    model: keras.Model,
    owned: Sequence[OwnedLayer],
    wiring: Wiring,
    *,
    name: str,
    batch_size: int,
    build_s: float,
    trace_s: float,
    warnings: Iterable[str] = (),
    without_gradient: Collection[str] = (),
    must_train: tuple[tuple[str, ...], ...] = (),
    step_bytes: int | None = None,
) -> ModelFacts:
    """Facts of a model of which `owned` trains; `without_gradient` holds paths of variables."""
    used = [layer for layer in owned if wiring.first_use[layer.name] is not None]
    unused = [layer for layer in owned if wiring.first_use[layer.name] is None]
    used.sort(key=lambda layer: wiring.first_use[layer.name] or 0)
    access = expressions(model)
    trains = sum(_size(entry.variable) for layer in owned for entry in layer.variables)
    found = [*warnings]
    if unused:
        names = ", ".join(layer.name for layer in unused)
        found.append(f"the forward pass does not use these layers: {names}")
    return ModelFacts(
        name=name,
        layers=tuple(
            _layer_facts(layer, index, wiring, access.get(id(layer.layer)), without_gradient)
            for index, layer in enumerate((*used, *unused))
        ),
        untrainable_params=sum(_size(variable) for variable in model.weights) - trains,
        builder_frozen_params=sum(map(_size, frozen_by_builder(model))),
        also_holds=_also_holds(model, owned),
        batch_size=batch_size,
        build_s=build_s,
        trace_s=trace_s,
        facts_warnings=tuple(found),
        must_train=must_train,
        step_bytes=step_bytes,
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
    layer: OwnedLayer,
    index: int,
    wiring: Wiring,
    access: str | None,
    without_gradient: Collection[str],
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
                has_gradient=entry.path not in without_gradient,
            )
            for entry in layer.variables
        ),
        upstream=wiring.upstream[layer.name],
        forward_flops=wiring.flops.get(layer.name),
        uses=wiring.uses[layer.name],
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
