"""What planning needs to know of a model, from one trace of its training step.

In: an arm whose model nothing has run yet. Out: `ModelFacts` of what the step trains, in the order
in which it uses its layers, with the layers upstream through which gradients really flow. So the
facts hold for models without `call()`, for steps that differentiate several losses, and for layers
behind a `stop_gradient`. Nothing is run: the step is traced as Keras makes it. Refuses (TrialError)
a step that cannot be traced, and one without a single gradient.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from frostline.attribute.step_graph import GraphOp
from frostline.attribute.step_ops import graph_ops
from frostline.errors import TrialError
from frostline.facts.model_facts import ModelFacts
from frostline.measure import freeze_check
from frostline.measure.arm import Arm
from frostline.measure.batches import rows_of
from frostline.measure.eager import runs_eagerly
from frostline.measure.first_state import leaves_out
from frostline.measure.fresh_step import fresh_train_function
from frostline.measure.graph.recorder import StepRecorder, variable_key
from frostline.measure.graph.step import FlatStep, flat_step, with_tensors
from frostline.measure.inspect.model import facts_of, inspect
from frostline.measure.inspect.wiring import Wiring
from frostline.measure.layers import OwnedLayer, freeze, owned_layers
from frostline.measure.short_error import short_error
from frostline.memory.liveness import peak

_MOST_GROUPS = 6  # of variables that are differentiated together; each is tried by a trace


def inspect_training(
    arm: Arm, make: Callable[[], Arm], spec_name: str, build_s: float, batch_size: int
) -> ModelFacts:
    """Facts of a model from its training step; `make` makes another arm like this one.

    A step of which no gradient tape can be seen gives the facts of the model's call instead, with a
    warning; so does an eager one that cannot be traced.

    Raises:
        TrialError: the step cannot be traced, or computes no gradient.
    """
    started = time.perf_counter()
    model = arm.model
    batch = next(arm.batches)
    batch_size = rows_of(batch) or batch_size
    left_whole = arm.state.build_variables()
    owned = owned_layers(model)
    if not owned:
        return _of_call(arm, batch, spec_name, build_s, batch_size)
    recorder = StepRecorder(model)
    eager = runs_eagerly(model)
    try:
        arm.state.build()
        function = arm.state.first(lambda: _trace(model, batch, recorder))
    except Exception as error:
        if not (eager and _has_call(model)):
            raise _untraceable(model, error) from error
        why = f"the eager training step cannot be traced ({type(error).__name__})"
        return _of_call(arm, batch, spec_name, build_s, batch_size, why)
    step = flat_step(recorder, owned)
    if step is None:
        why = "no gradient tape can be seen in the training step"
        return _of_call(arm, batch, spec_name, build_s, batch_size, why)
    trained, left = _trained(step, owned)
    freeze_check.check_differentiable(
        [entry.path for layer in trained for entry in layer.variables],
        step.facts.unconnected_variables,
    )
    if trained != owned:  # the step again, of what it trains alone: positions follow the layers
        step = flat_step(recorder, trained) or step
    ops = graph_ops(step.plain)
    wiring = Wiring.read(step.flat, recorder.credits, model, trained, ops)
    trace_s = time.perf_counter() - started
    applied = recorder.optimizers
    del function
    facts = facts_of(
        model,
        trained,
        wiring,
        name=spec_name,
        batch_size=batch_size,
        build_s=build_s,
        trace_s=trace_s,
        warnings=[*left_whole, *step.warnings, *_remarks(step, trained, wiring, left)],
        without_gradient=step.facts.unconnected_variables,
        must_train=tuple(_must_train(recorder, trained, make)),
        step_bytes=_step_bytes(with_tensors(ops, step.flat, batch_size)),
    )
    return replace(facts, own_optimizers=leaves_out(applied, model.optimizer))


def _trace(model: keras.Model, batch: Any, recorder: StepRecorder) -> Any:
    """Trace the step as Keras makes it, one step a call; returns what keeps the graph alive."""
    model.steps_per_execution, model.run_eagerly = 1, False
    with recorder:
        fresh_train_function(model)

        def step(data: Any) -> Any:
            return model.train_function(itertools.repeat(data))

        return tf.function(step, autograph=False).get_concrete_function(batch)


def _traced_alone(arm: Arm) -> None:
    """Trace an arm's step, to see whether that works."""
    model, batch = arm.model, next(arm.batches)
    arm.state.first(lambda: _trace(model, batch, StepRecorder(model)))


def _step_bytes(ops: Sequence[GraphOp]) -> int:
    """The most that is alive at one time."""
    return peak(ops, [op.pass_ != "other" for op in ops]).n_bytes


def _trained(
    step: FlatStep, owned: Iterable[OwnedLayer]
) -> tuple[tuple[OwnedLayer, ...], tuple[str, ...]]:
    """Layers of which the step asks gradients, with those variables alone; names of the others."""
    asked = step.facts.gradient_variables or frozenset()
    found, left = [], []
    for layer in owned:
        variables = tuple(entry for entry in layer.variables if entry.path in asked)
        if variables:
            found.append(replace(layer, variables=variables))
        else:
            left.append(layer.name)
    return tuple(found), tuple(left)


def _remarks(
    step: FlatStep, trained: Iterable[OwnedLayer], wiring: Wiring, left: Iterable[str]
) -> Iterator[str]:
    """What a user may not expect of this model's training step."""
    if names := ", ".join(left):
        yield (
            f"the training step asks for no gradients of these layers, so they count as frozen: "
            f"{names}"
        )
    unconnected = step.facts.unconnected_variables
    cut_off = [
        layer.name
        for layer in trained
        if wiring.first_use[layer.name] is not None
        and all(entry.path in unconnected for entry in layer.variables)
    ]
    if cut_off:
        yield (
            "no gradient reaches these layers, so freezing them saves no backward pass: "
            + ", ".join(cut_off)
        )
    if own := sorted(step.facts.self_assigned_variables):
        yield (
            "these variables are assigned by their own layer in every step, frozen or not: "
            + ", ".join(own)
        )


def _must_train(
    recorder: StepRecorder, trained: tuple[OwnedLayer, ...], make: Callable[[], Arm]
) -> Iterator[tuple[str, ...]]:
    """Groups of variables of which some must train, or the step fails.

    A step that differentiates several losses may fail where nothing of one of them trains (an
    optimizer is given no gradient). Whether it does is tried, with the step of another model.
    """
    paths = {
        variable_key(entry.variable): entry.path for layer in trained for entry in layer.variables
    }
    every = frozenset(paths.values())
    groups = {
        frozenset(paths[each.variable] for each in call.gradients if each.variable in paths)
        for call in recorder.tape_calls
    }
    apart = sorted((group for group in groups if group and group != every), key=sorted)
    for group in apart[:_MOST_GROUPS]:
        other = make()
        other.state.build_variables()
        try:
            freeze(other.model, group)
            other.state.build()
            _traced_alone(other)
        except Exception as error:  # noqa: BLE001 - foreign code
            print(f"the step fails where none of {sorted(group)} trains: {error}", flush=True)
            yield tuple(sorted(group))


def _of_call(
    arm: Arm, batch: Any, spec_name: str, build_s: float, batch_size: int, why: str = ""
) -> ModelFacts:
    inputs = batch[0] if isinstance(batch, tuple) else batch
    facts = inspect(arm.model, spec_name, inputs, build_s, batch_size=batch_size)
    if not why:
        return facts
    warning = f"{why}: order and modes of layers follow the model's call instead"
    return replace(facts, facts_warnings=(*facts.facts_warnings, warning))


def _has_call(model: keras.Model) -> bool:
    return type(model).call is not keras.Model.call


def _untraceable(model: keras.Model, error: Exception) -> TrialError:
    if (refused := freeze_check.refused_by_keras(error)) is not None:
        return refused
    name = type(error).__name__
    return TrialError(
        "trace",
        name,
        f"tracing the training step of model {model.name!r} raised {name}: {short_error(error)}",
    )
