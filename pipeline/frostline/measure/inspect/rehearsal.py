"""One training step of a model before anything is planned, on a few examples and without XLA.

In: a built model and a batch. Out: nothing; or a `TrialError` that says what to change: the step
fails on its batch, has no loss, or computes no gradients. So a study that cannot work is refused
before its first trial. A failure that another device may not have (an op without a kernel for CPUs,
too little memory) is none.
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
from frostline.measure.build import returned_dataset
from frostline.measure.eager import runs_eagerly
from frostline.measure.graph.recorder import StepRecorder, variable_key
from frostline.measure.layers import owned_layers
from frostline.measure.short_error import short_error
from frostline.measure.synthetic import needs_data
from frostline.measure.trial_arm import first_step
from frostline.trial import ModelSpec

_EXAMPLES = 2

MOST_PARAMETERS = 500_000_000
"""Larger models are not rehearsed: the optimizer's slots and the gradients take four times that."""

_OF_THIS_DEVICE = (
    tf.errors.UnimplementedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.NotFoundError,
)


def rehearse(model: keras.Model, spec: ModelSpec, batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """Train one step; the model's weights are others afterwards.

    Args:
        model: compiled, its variables built.
        spec: the model's entry in the study.
        batch: what a step takes.

    Returns:
        The batch; of a synthetic one the inputs alone, where a `train_step` of the model's own
        takes these and no targets.

    Raises:
        TrialError: the step does not run, or computes no gradients.
    """
    if not owned_layers(model) or model.count_params() > MOST_PARAMETERS:
        return batch
    if model.jit_compile:
        model.jit_compile = False
    is_synthetic = spec.data is None and returned_dataset(model) is None
    try:
        _few_or_all(model, batch)
    except TrialError as error:
        if error.kind != "NonFiniteLoss":  # a few examples may be unlike a whole batch
            raise
    except _OF_THIS_DEVICE:
        return batch
    except Exception as error:
        said = f"{type(error).__name__}: {short_error(error)}"
        if "OpKernel" in said:
            return batch
        if not is_synthetic:
            source = f"`data` ({spec.data})" if spec.data else f"the dataset of {spec.builder}"
            raise TrialError(
                "build",
                "StepFailed",
                f"a training step fails on the first batch of {source}: {said}",
            ) from error
        if _takes_inputs_alone(model, batch):
            return batch[:1]
        raise needs_data(
            "a training step fails on synthetic batches, and what the model takes cannot be "
            f"guessed ({said})"
        ) from error
    return batch


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


def _takes_inputs_alone(model: keras.Model, batch: tuple[Any, ...]) -> bool:
    if type(model).train_step is keras.Model.train_step:
        return False
    try:
        _few_or_all(model, batch[:1])
    except Exception:  # noqa: BLE001 - foreign code; the first error is the one that is told
        return False
    return True


def _step(model: keras.Model, batch: tuple[Any, ...]) -> None:
    arm = Arm(model, itertools.repeat(batch), tf.distribute.get_strategy())
    watched = {
        variable.path: variable.variable
        for layer in owned_layers(model)
        for variable in layer.variables
    }
    arm.build_state()
    with StepRecorder(model) as recorder:
        model.make_train_function(force=True)
        before = {} if runs_eagerly(model) else freeze_check.digests(watched)
        first_step(arm)
    paths = {variable_key(variable): path for path, variable in watched.items()}
    asked = [
        gradient
        for call in recorder.tape_calls
        for gradient in call.gradients
        if gradient.variable in paths
    ]
    if asked:
        none = [paths[gradient.variable] for gradient in asked if not gradient.tensors]
        freeze_check.check_differentiable([paths[each.variable] for each in asked], none)
    elif before:
        arm.run(1)
        freeze_check.check_some_gradient(before, freeze_check.digests(watched))


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
