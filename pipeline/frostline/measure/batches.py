"""Batches for a model: the study's own dataset, or synthetic ones resident on the device.

Synthetic batches are drawn once, from a seed: inputs shaped by the model's inputs, targets by its
outputs and its loss. Integer inputs stay inside the vocabulary of the embeddings they reach.
Refuses (TrialError, stage `build`): an input or output whose size is unknown beyond the batch.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline.errors import TrialError
from frostline.measure.build import load_callable
from frostline.trial import ModelSpec, Setting

_ONE_HOT = ("categorical_crossentropy", "categorical_focal_crossentropy", "kl_divergence")
_CLASS_INDEX = ("sparse_categorical_crossentropy",)
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy", "dice", "tversky")
_SIGNED = ("hinge", "squared_hinge", "categorical_hinge")


def batches(
    model: keras.Model,
    spec: ModelSpec,
    setting: Setting,
    strategy: tf.distribute.Strategy,
    *,
    seed: int,
) -> Iterator[Any]:
    """An endless iterator of batches, as `train_function` takes it.

    With a `data` callable the input pipeline runs in every step, as in `fit`; synthetic batches
    cost nothing per step.
    """
    if spec.data is not None:
        make = load_callable(spec.data, spec.search_path, "data")
        dataset = make(model, setting.batch_size)
        if not isinstance(dataset, tf.data.Dataset):
            given = type(dataset).__name__
            raise TrialError(
                "build",
                "NotADataset",
                f"data {spec.data!r} returned {given}, not a tf.data.Dataset",
            )
        endless: Iterator[Any] = iter(_distributed(strategy, dataset.repeat()))
        return endless
    x, y = synthetic_batch(model, setting.batch_size, seed=seed)
    if setting.strategy != "single" or model.steps_per_execution > 1:
        resident = tf.data.Dataset.from_tensors((x, y)).repeat()
        return iter(_distributed(strategy, resident))
    return itertools.repeat((x, y))


def first_batch(
    model: keras.Model, spec: ModelSpec, setting: Setting, *, seed: int
) -> tuple[Any, ...]:
    """One `(x, y)` or `(x, y, sample_weight)` batch."""
    strategy = tf.distribute.get_strategy()
    one = replace(setting, strategy="single")
    batch = next(iter(batches(model, spec, one, strategy, seed=seed)))
    return batch if isinstance(batch, tuple) else (batch,)


def _distributed(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset) -> Any:
    if isinstance(strategy, tf.distribute.MirroredStrategy):
        return strategy.experimental_distribute_dataset(dataset)
    return dataset


def synthetic_batch(model: keras.Model, batch_size: int, *, seed: int) -> tuple[Any, Any]:
    """Inputs and targets in the structures that the model takes and gives, on the device."""
    rng = np.random.default_rng(seed)
    inputs, outputs = _structures(model)
    vocabulary = embedding_sizes(model, inputs)
    device = "/GPU:0" if tf.config.list_logical_devices("GPU") else "/CPU:0"

    def draw_input(tensor: Any) -> tf.Tensor:
        shape = _shape(tensor, batch_size, "input")
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if dtype == "bool":
            value = rng.integers(0, 2, shape).astype(bool)
        elif "int" in dtype:
            high = vocabulary.get(id(tensor), 2)
            value = rng.integers(0, high, shape).astype(dtype)
        else:
            value = rng.standard_normal(shape, dtype=np.float32)
        return tf.constant(value, dtype=dtype)

    with tf.device(device):
        x = keras.tree.map_structure(draw_input, inputs)
        losses = _losses(model, outputs)
        flat = [
            _draw_target(rng, tensor, loss, batch_size)
            for tensor, loss in zip(keras.tree.flatten(outputs), losses, strict=True)
        ]
        y = keras.tree.pack_sequence_as(outputs, flat)
    return x, y


def _structures(model: keras.Model) -> tuple[Any, Any]:
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    with contextlib.suppress(AttributeError):  # what a subclassed model says for "unknown"
        return model.input, model.output
    raise TrialError(
        "build",
        "NoInputs",
        f"{type(model).__name__} is a subclassed model, whose inputs are not known; give the model "
        "entry a `data` callable that returns a tf.data.Dataset",
    )


def _shape(tensor: Any, batch_size: int, what: str) -> tuple[int, ...]:
    rest = tuple(tensor.shape)[1:]
    if any(size is None for size in rest):
        shown = ", ".join("?" if size is None else str(size) for size in rest)
        raise TrialError(
            "build",
            "UnknownShape",
            f"{what} {tensor.name!r} has the shape (batch, {shown}); fix its size in the builder's "
            "kwargs, or give the model entry a `data` callable",
        )
    return (batch_size, *rest)


def embedding_sizes(model: keras.Model, inputs: Any) -> dict[int, int]:
    """Smallest vocabulary that each integer input reaches, by `id` of the input.

    Traces the forward pass of a built model once, on its symbolic inputs in the structure that it
    takes, and walks back from what every embedding looks up.
    """
    integers = [t for t in keras.tree.flatten(inputs) if "int" in str(t.dtype)]
    if not integers:
        return {}
    looked_up: list[tuple[tf.Tensor, int]] = []
    call = keras.layers.Embedding.call

    def observed(layer: Any, indices: Any) -> Any:
        looked_up.append((indices, layer.input_dim))
        return call(layer, indices)

    by_op: dict[Any, int] = {}

    def forward(given: Any) -> Any:
        for own, tensor in zip(keras.tree.flatten(inputs), keras.tree.flatten(given), strict=True):
            by_op[tensor.op] = id(own)
        return model(given)

    specs = keras.tree.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), inputs)
    keras.layers.Embedding.call = observed
    try:
        traced = tf.function(forward, autograph=False).get_concrete_function(specs)
    finally:
        keras.layers.Embedding.call = call
    sizes: dict[int, int] = {}
    for indices, vocabulary in looked_up:
        seen, todo = set(), [tf.convert_to_tensor(indices).op]
        while todo:
            op = todo.pop()
            if op in seen:
                continue
            seen.add(op)
            if op in by_op:
                sizes[by_op[op]] = min(sizes.get(by_op[op], vocabulary), vocabulary)
            todo.extend(tensor.op for tensor in op.inputs)
    del traced  # the ops above live as long as the function
    return sizes


def _losses(model: keras.Model, outputs: Any) -> list[str]:
    """Name of the loss of each output, in the flat order of the output structure."""
    flat = keras.tree.flatten(outputs)
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        names = list(getattr(model, "output_names", [])) or sorted(loss)
        keys = sorted(outputs) if isinstance(outputs, dict) else names
        return [_loss_name(loss.get(key)) for key in keys]
    if isinstance(loss, (list, tuple)):
        return [_loss_name(entry) for entry in loss]
    return [_loss_name(loss)] * len(flat)


def _loss_name(loss: Any) -> str:
    """Keras identifier of a loss in snake case; "" where there is none."""
    if loss is None:
        return ""
    found = keras.losses.get(loss) if isinstance(loss, str) else loss
    name = getattr(found, "__name__", None) or getattr(found, "name", None)
    return str(name or "")


def _draw_target(rng: np.random.Generator, tensor: Any, loss: str, batch_size: int) -> tf.Tensor:
    shape = _shape(tensor, batch_size, "output")
    if loss in _CLASS_INDEX:
        return tf.constant(rng.integers(0, shape[-1], shape[:-1]), dtype=tf.int32)
    if loss in _ONE_HOT:
        return tf.one_hot(rng.integers(0, shape[-1], shape[:-1]), shape[-1])
    if loss in _BINARY:
        return tf.constant(rng.integers(0, 2, shape), dtype=tf.float32)
    if loss in _SIGNED:
        return tf.constant(2 * rng.integers(0, 2, shape) - 1, dtype=tf.float32)
    # In [0, 1): valid for squared, absolute, logarithmic and Poisson losses alike.
    return tf.constant(rng.random(shape, dtype=np.float32))
