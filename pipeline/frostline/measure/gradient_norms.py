"""How large the gradient of each layer is, over some training steps of a model.

In: a model that trains, its batches, its strategy. Out: the mean norm per layer. The step is the
model's own `train_step`, traced once more into a separate function that returns what its gradient
tape returned; nothing that is timed or profiled runs through it. It trains the model further, so it
runs last. Refuses (TrialError) steps whose gradients cannot be seen: eager ones, ones that use no
gradient tape, and ones that take gradients inside another function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from frostline.errors import TrialError
from frostline.measure.graph.recorder import variable_key
from frostline.measure.graph.wrapped_methods import wrapped
from frostline.measure.layers import OwnedLayer

STEPS = 8
"""Steps that the mean is taken over."""


def gradient_norms(
    model: keras.Model,
    batches: Iterator[Any],
    strategy: tf.distribute.Strategy,
    owned: Sequence[OwnedLayer],
) -> Mapping[str, float]:
    """Mean over `STEPS` steps of the Euclidean norm of each layer's gradient.

    The model has been built under the strategy, and trains on. A layer of which nothing trains has
    a norm of zero. With loss scaling the scale is taken out, and steps that overflow are left out.
    Under a strategy of several replicas it is the mean over the replicas, each on its part of the
    batch.

    Raises:
        TrialError: the gradients cannot be seen, or none is finite.
    """
    keys = [
        (layer.name, variable_key(variable.variable))
        for layer in owned
        for variable in layer.variables
    ]
    squares = _squares(model, strategy, [key for _, key in keys])
    by_step = np.array([[float(value) for value in squares(next(batches))] for _ in range(STEPS)])
    by_step = by_step[np.isfinite(by_step).all(axis=1)]
    if not len(by_step):
        raise TrialError(
            "gradients",
            "NonFiniteGradients",
            f"no step of {STEPS} has finite gradients; lower the learning rate or the precision's "
            "loss scale",
        )
    layers = [layer.name for layer in owned]
    per_layer = np.zeros((len(by_step), len(layers)))
    for column, (name, _) in enumerate(keys):
        per_layer[:, layers.index(name)] += by_step[:, column]
    means = np.sqrt(per_layer).mean(axis=0)
    return {name: float(value) for name, value in zip(layers, means, strict=True)}


def _squares(model: keras.Model, strategy: tf.distribute.Strategy, keys: Sequence[int]) -> Any:
    """A function that runs one step on a batch and returns the squared gradient per variable."""

    def step(data: Any) -> list[tf.Tensor]:
        seen: dict[int, tf.Tensor] = {}
        scale = _scale(model)  # before the update may change it
        with _watched(seen):
            model.train_step(data)
        if not any(key in seen for key in keys):
            raise TrialError(
                "gradients",
                "NoGradients",
                "the training step shows no gradients of the model's variables: it must take them "
                "by `tf.GradientTape`, not in a function of its own",
            )
        return [seen.get(key, tf.constant(0.0)) / scale**2 for key in keys]

    def one(data: Any) -> list[tf.Tensor]:
        found = strategy.run(step, args=(data,))
        mean = tf.distribute.ReduceOp.MEAN
        return [strategy.reduce(mean, value, axis=None) for value in found]

    return tf.function(one, autograph=False)


def _watched(seen: dict[int, tf.Tensor]) -> AbstractContextManager[None]:
    """Add up the squares of what gradient tapes return while the block is traced."""

    def watching(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def gradient(
            tape: tf.GradientTape, /, target: Any, sources: Any, *args: Any, **kwargs: Any
        ) -> Any:
            result = original(tape, target, sources, *args, **kwargs)
            here = ops.get_default_graph()
            flat = tf.nest.flatten(sources), tf.nest.flatten(result)
            if len(flat[0]) == len(flat[1]):
                for source, value in zip(*flat, strict=True):
                    if value is not None and getattr(value, "graph", here) is here:
                        key = variable_key(source)
                        seen[key] = seen.get(key, tf.constant(0.0)) + _square(value)
            return result

        return gradient

    return wrapped(tf.GradientTape, "gradient", watching)


def _square(gradient: Any) -> tf.Tensor:
    if isinstance(gradient, tf.IndexedSlices):
        gradient = tf.convert_to_tensor(gradient)  # rows that occur twice add up first
    return tf.reduce_sum(tf.square(tf.abs(tf.cast(gradient, tf.float32))))


def _scale(model: keras.Model) -> Any:
    """What the optimizer multiplies the loss by."""
    one = tf.constant(1.0)
    return one if model.optimizer is None else tf.cast(model.optimizer.scale_loss(one), tf.float32)
