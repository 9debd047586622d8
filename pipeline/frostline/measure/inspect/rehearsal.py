"""One training step of a model before anything is planned, on a few examples and without XLA.

Where only Keras's own parts are in a step, tracing it has shown enough, and nothing is run.

In: a built model and a batch. Out: nothing; or a `TrialError` that says what is wrong: the step
fails on its batch, has no loss, or trains nothing. So a study that cannot work is refused before
its first trial. A failure that another device may not have (an op without a kernel for CPUs, too
little memory) is none.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import keras
import tensorflow as tf

from frostline.errors import TrialError
from frostline.measure import freeze_check
from frostline.measure.arm import Arm
from frostline.measure.batches import rows_of
from frostline.measure.graph.recorder import StepRecorder
from frostline.measure.layers import owned_layers
from frostline.measure.short_error import short_error
from frostline.measure.targets import is_kerass_own, losses_of
from frostline.measure.trial_arm import first_step

_EXAMPLES = 2

MOST_PARAMETERS = 500_000_000
"""Larger models are not rehearsed: the optimizer's slots and the gradients take four times that."""

_OF_THIS_DEVICE = (
    tf.errors.UnimplementedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.NotFoundError,
)


def rehearse(model: keras.Model, batch: Any, *, source: str | None) -> None:
    """Train one step; the model's weights are others afterwards.

    Args:
        model: compiled, its variables built.
        batch: what a step takes.
        source: where the batch comes from, for messages; None for a synthetic one.

    Raises:
        TrialError: the step does not run on a synthetic batch (stage `rehearse`) or on another one
            (stage `build`), or it trains nothing.
    """
    # Keras counts no parameters of a model that has no `call` and counts as not built.
    parameters = sum(math.prod(each.shape) for each in model.weights)
    if not owned_layers(model) or parameters > MOST_PARAMETERS:
        return
    if source is None and _is_all_of_keras(model, batch):
        return
    if model.jit_compile:
        model.jit_compile = False
    try:
        _few_or_all(model, batch)
    except TrialError as error:
        if error.kind != "NonFiniteLoss":  # a few examples may be unlike a whole batch
            raise
    except _OF_THIS_DEVICE:
        return
    except Exception as error:
        said = f"{type(error).__name__}: {short_error(error)}"
        if "OpKernel" in said:
            return
        if source is None:
            raise TrialError("rehearse", type(error).__name__, said) from error
        raise TrialError(
            "build", "StepFailed", f"a training step fails on the first batch of {source}: {said}"
        ) from error


def _is_all_of_keras(model: keras.Model, batch: Any) -> bool:
    """Whether a step on a synthetic batch can only do what tracing it has shown.

    So it is where layers, losses and the step are Keras's own and no input holds ids: values that
    are drawn can break nothing then. A large model takes long to trace once more.
    """
    if type(model).train_step is not keras.Model.train_step or not isinstance(batch, tuple):
        return False
    layers = [model, *model._flatten_layers(include_self=False)]
    losses = losses_of(model, getattr(model, "output", None))
    return (
        all(type(layer).__module__.startswith("keras.src.") for layer in layers)
        and all(each is None or isinstance(each, str) or is_kerass_own(each) for each in losses)
        and not any(_may_hold_ids(part) for part in tf.nest.flatten(batch[0]))
    )


def _may_hold_ids(value: Any) -> bool:
    if isinstance(value, tf.SparseTensor) or not value.dtype.is_floating:
        return True
    return bool(tf.reduce_all(tf.round(value) == value))


def _few_or_all(model: keras.Model, batch: Any) -> None:
    """A step on a few examples; on all where that fails, since a step may rely on their number."""
    few = _first_examples(batch)
    if few is None:
        _step(model, batch)
        return
    try:
        _step(model, few)
    except Exception:  # noqa: BLE001 - foreign code; what counts is the whole batch
        _step(model, batch)


def _step(model: keras.Model, batch: Any) -> None:
    arm = Arm(model, itertools.repeat(batch), tf.distribute.get_strategy())
    watched = {
        variable.path: variable.variable
        for layer in owned_layers(model)
        for variable in layer.variables
    }
    arm.state.build()
    with StepRecorder(model) as recorder:
        before = freeze_check.digests(watched)
        first_step(arm)
    if not recorder.tape_calls and freeze_check.digests(watched) == before:
        raise freeze_check.unseen_and_unmoved()


def _first_examples(batch: Any) -> Any:
    """A few examples of a batch; None where it has no more, or its parts are not of one length."""
    rows = {rows_of(part) for part in tf.nest.flatten(batch)}
    if len(rows) != 1 or (rows.pop() or 0) <= _EXAMPLES:
        return None
    return tf.nest.map_structure(_cut, batch)


def _cut(value: Any) -> Any:
    if isinstance(value, tf.SparseTensor):
        shape = value.dense_shape
        start = tf.zeros_like(shape)
        return tf.sparse.slice(value, start, tf.concat([[_EXAMPLES], shape[1:]], axis=0))
    return value[:_EXAMPLES]
