"""One training step of a model before anything is planned, on a few examples and without XLA.

In: a built model and a batch. Out: nothing; or a `TrialError` that says what is wrong: the step
fails on its batch, has no loss, or trains nothing. So a study that cannot work is refused before
its first trial. A failure that another device may not have (an op without a kernel for CPUs, too
little memory) is none.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import tensorflow as tf

from frostline.errors import TrialError
from frostline.measure import freeze_check
from frostline.measure.arm import Arm
from frostline.measure.batches import rows_of
from frostline.measure.fresh_step import fresh_train_function
from frostline.measure.graph.recorder import StepRecorder
from frostline.measure.layers import owned_layers
from frostline.measure.short_error import short_error
from frostline.measure.trial_arm import first_step

_EXAMPLES = 2

MOST_PARAMETERS = 500_000_000
"""Larger models are not rehearsed: the optimizer's slots and the gradients take four times that."""

_OF_THIS_DEVICE = (
    tf.errors.UnimplementedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.NotFoundError,
)


def rehearse(model: keras.Model, batch: tuple[Any, ...], *, source: str | None) -> None:
    """Train one step; the model's weights are others afterwards.

    Args:
        model: compiled, its variables built.
        batch: what a step takes.
        source: where the batch comes from, for messages; None for a synthetic one.

    Raises:
        TrialError: the step does not run on a synthetic batch (stage `rehearse`) or on another one
            (stage `build`), or it trains nothing.
    """
    if not owned_layers(model) or model.count_params() > MOST_PARAMETERS:
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


def _few_or_all(model: keras.Model, batch: tuple[Any, ...]) -> None:
    """A step on a few examples; on all where that fails, since a step may rely on their number."""
    few = _first_examples(batch)
    if few is None:
        _step(model, batch)
        return
    try:
        _step(model, few)
    except Exception:  # noqa: BLE001 - foreign code; what counts is the whole batch
        _step(model, batch)


def _step(model: keras.Model, batch: tuple[Any, ...]) -> None:
    arm = Arm(model, itertools.repeat(batch), tf.distribute.get_strategy())
    watched = {
        variable.path: variable.variable
        for layer in owned_layers(model)
        for variable in layer.variables
    }
    arm.build_state()
    with StepRecorder(model) as recorder:
        fresh_train_function(model)
        before = freeze_check.digests(watched)
        first_step(arm)
    if not recorder.tape_calls and freeze_check.digests(watched) == before:
        raise freeze_check.no_gradients("no gradient tape is asked, and no trainable value moves")


def _first_examples(batch: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A few examples of a batch; None where it has no more, or its parts are not of one length."""
    rows = {rows_of(part) for part in tf.nest.flatten(batch)}
    if len(rows) != 1 or (rows.pop() or 0) <= _EXAMPLES:
        return None
    return tuple(tf.nest.map_structure(_cut, part) for part in batch)


def _cut(value: Any) -> Any:
    if isinstance(value, tf.SparseTensor):
        shape = value.dense_shape
        start = tf.zeros_like(shape)
        return tf.sparse.slice(value, start, tf.concat([[_EXAMPLES], shape[1:]], axis=0))
    return value[:_EXAMPLES]
