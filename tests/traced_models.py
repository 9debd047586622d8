"""Tiny models of every architecture, and one traced training step of each. Imports TensorFlow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline.attribute.step_graph import StepGraph
from frostline.measure.graph.recorder import StepRecorder
from frostline.measure.graph.step import analyse_step
from frostline.measure.graph.step_facts import StepFacts
from frostline.measure.layers import OwnedLayer, freeze, owned_layers

L = keras.layers


@dataclass(frozen=True)
class Traced:
    """One traced step with its analysis."""

    model: Any
    recorder: StepRecorder
    owned: tuple[OwnedLayer, ...]
    graph: StepGraph | None
    facts: StepFacts
    warnings: tuple[str, ...]

    def passes(self, op_type: str) -> dict[str | None, set[str]]:
        """Passes of the ops of a type, by layer."""
        found: dict[str | None, set[str]] = {}
        for op in self.graph.ops:
            if op.op_type == op_type:
                found.setdefault(op.layer, set()).add(op.pass_)
        return found

    def needs(self, op: Any) -> set[str]:
        """Paths of the variables that need an op."""
        return {self.graph.variables[position] for position in op.needed_by}


def build(make: Callable[[], Any], policy: str = "float32") -> Any:
    """A model with the names and weights that it has at every build."""
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    try:
        return make()
    finally:
        keras.config.set_dtype_policy("float32")


def trace(
    make: Callable[[], Any],
    *,
    optimizer: Any = "sgd",
    jit: bool = False,
    eager: bool = False,
    policy: str = "float32",
    frozen: Iterable[str] = (),
    dataset: bool = False,
) -> Traced:
    """Build, freeze, run one training step under the recorder, and analyse it."""
    model = build(make, policy)
    model.compile(optimizer, "mse", jit_compile=jit, run_eagerly=eager)
    owned = owned_layers(model)
    freeze(model, frozen)
    model.optimizer.build(model.trainable_variables)
    batch = batch_for(model)
    feed = (
        iter(tf.data.Dataset.from_tensors(batch).repeat()) if dataset else itertools.repeat(batch)
    )
    with StepRecorder(model) as recorder:
        model.make_train_function()
        model.train_function(feed)
    graph, facts, warnings = analyse_step(recorder, owned)
    return Traced(model, recorder, owned, graph, facts, warnings)


def profile(step: Traced, folder: Path) -> Path:
    """Profile two more steps of a traced model."""
    feed = itertools.repeat(batch_for(step.model))
    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=2, python_tracer_level=0, device_tracer_level=1
    )
    tf.profiler.experimental.start(str(folder), options=options)
    for number in range(2):
        with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
            float(step.model.train_function(feed)["loss"])
    tf.profiler.experimental.stop()
    [written] = folder.rglob("*.xplane.pb")
    return written


def batch_for(model: Any) -> tuple[Any, Any]:
    """Two examples of ones, and targets of zeros in the shape of the outputs."""
    inputs = tuple(
        np.ones((2, *tensor.shape[1:]), tensor.dtype) for tensor in getattr(model, "inputs", ())
    ) or (np.ones((2, 5), "int32"),)
    x = inputs if len(inputs) > 1 else inputs[0]
    return x, np.zeros(model(x).shape, "float32")


def vgg() -> Any:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same", activation="relu", name="block1_conv1")(inputs)
    x = L.MaxPooling2D(name="block1_pool")(x)
    x = L.Conv2D(4, 3, padding="same", activation="relu", name="block2_conv1")(x)
    base = keras.Model(inputs, x, name="vgg16")
    inputs = keras.Input((8, 8, 3))
    x = L.Flatten(name="flatten")(base(inputs))
    x = L.Dense(5, activation="relu", name="fc")(x)
    return keras.Model(inputs, L.Dense(2, name="head")(x))


def residual(norm: bool = False) -> Any:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, name="stem")(inputs)
    if norm:
        x = L.BatchNormalization(name="norm")(x)
    for number in "12":
        y = L.Conv2D(4, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = L.Add(name=f"add{number}")([x, y])
    x = L.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, L.Dense(2, name="head")(x))


def towers() -> Any:
    left, right = keras.Input((4,)), keras.Input((4,))
    joined = L.Concatenate(name="join")(
        [L.Dense(3, name="left")(left), L.Dense(3, name="right")(right)]
    )
    return keras.Model([left, right], L.Dense(2, name="head")(joined))


def shared() -> Any:
    inputs = keras.Input((4,))
    twice = L.Dense(4, activation="tanh", name="twice")
    x = twice(twice(L.Dense(4, name="pre")(inputs)))
    return keras.Model(inputs, L.Dense(2, name="head")(x))


class Tied(keras.Model):
    """A language model's output head that is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = L.Embedding(11, 4, name="embed")
        self.middle = L.Dense(4, activation="relu", name="middle")

    def call(self, tokens: Any) -> Any:
        x = self.middle(self.embed(tokens))
        return keras.ops.matmul(x, keras.ops.transpose(self.embed.embeddings))


def tied() -> Any:
    model = Tied()
    model(np.zeros((2, 5), "int32"))
    return model


def recurrent(layer: str = "LSTM") -> Any:
    inputs = keras.Input((5, 3))
    x = L.Dense(4, name="pre")(inputs)
    x = getattr(L, layer)(4, name="rnn")(x)
    return keras.Model(inputs, L.Dense(2, name="head")(x))


def bidirectional() -> Any:
    inputs = keras.Input((5, 3))
    x = L.Bidirectional(L.GRU(4, return_sequences=True), name="both")(inputs)
    x = L.TimeDistributed(L.Dense(2, activation="relu", name="inner"), name="each")(x)
    return keras.Model(inputs, x)


def attention() -> Any:
    inputs = keras.Input((5, 4))
    x = L.Dense(4, name="pre")(inputs)
    y = L.MultiHeadAttention(2, 2, name="mha")(x, x)
    x = L.LayerNormalization(name="norm")(L.Add(name="add")([x, y]))
    x = L.GlobalAveragePooling1D(name="pool")(L.Dense(6, activation="gelu", name="fc")(x))
    return keras.Model(inputs, L.Dense(2, name="head")(x))


class TwoCalls(keras.Model):
    """A train step of its own: one persistent tape asked twice, and gradients in its logs."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        variables = self.trainable_variables
        first, second = variables[:2], variables[2:]
        gradients = tape.gradient(loss, first) + tape.gradient(loss, second)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss, "norm": tf.linalg.global_norm(gradients)}


def custom() -> Any:
    inputs = keras.Input((4,))
    x = L.Dense(4, activation="relu", name="first")(inputs)
    return TwoCalls(inputs, L.Dense(2, name="head")(x))


def regularised() -> Any:
    inputs = keras.Input((4,))
    x = L.Dense(4, kernel_regularizer="l2", name="first")(inputs)
    return keras.Model(inputs, L.Dense(2, name="head")(x))


class Scaled(L.Layer):
    """Owns a variable and a layer: a residual branch with a learned scale."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = L.Dense(4, name="inner")

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(4,), initializer="ones", name="scale")
        self.inner.build(shape)

    def call(self, x: Any) -> Any:
        return x + self.scale * self.inner(x)


def scaled() -> Any:
    inputs = keras.Input((4,))
    x = Scaled(name="branch")(L.Dense(4, name="pre")(inputs))
    return keras.Model(inputs, L.Dense(2, name="head")(x))


class Embedded(L.Layer):
    """Token and position embeddings, added."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tokens = L.Embedding(11, 4, name="tokens")
        self.places = L.Embedding(5, 4, name="places")

    def call(self, tokens: Any) -> Any:
        return self.tokens(tokens) + self.places(keras.ops.arange(5))


def positions() -> Any:
    tokens = keras.Input((5,), dtype="int32")
    x = L.Flatten(name="flatten")(Embedded(name="embedded")(tokens))
    return keras.Model(tokens, L.Dense(2, name="head")(x))


def grouped() -> Any:
    """Two grouped convolutions, whose function Keras has XLA compile, whatever the step does."""
    x = inputs = keras.Input((6, 6, 4))
    x = L.Conv2D(4, 3, name="stem")(x)
    for number in range(2):
        x = L.Conv2D(4, 3, groups=2, padding="same", name=f"grouped{number}")(x)
    return keras.Model(inputs, L.Dense(2, name="head")(L.Flatten()(x)))


class Function(L.Layer):
    """A layer whose call is a `tf.function` of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = L.Dense(4, name="inner")

    def build(self, shape: Any) -> None:
        self.inner.build(shape)

    @tf.function
    def compute(self, x: Any) -> Any:
        return tf.nn.relu(self.inner(x))

    def call(self, x: Any) -> Any:
        return self.compute(x)


def function_inside() -> Any:
    inputs = keras.Input((4,))
    x = Function(name="function")(L.Dense(4, name="pre")(inputs))
    return keras.Model(inputs, L.Dense(2, name="head")(x))


class Recomputed(L.Layer):
    """Computes its inner layer's forward pass again in the backward pass."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = L.Dense(4, name="inner")

    def build(self, shape: Any) -> None:
        self.inner.build(shape)
        super().build(shape)

    def call(self, x: Any) -> Any:
        return tf.recompute_grad(self.inner)(x)


def recomputed() -> Any:
    inputs = keras.Input((5,))
    x = L.Dense(4, name="below")(inputs)
    x = Recomputed(name="again")(x)
    return keras.Model(inputs, L.Dense(2, name="head")(x))


class AskedTwice(keras.Model):
    """A persistent tape that is asked for each part of the model by itself."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
        variables = self.trainable_variables
        parts = (variables[:2], variables[2:])
        gradients = [tape.gradient(loss, part) for part in parts]
        self.optimizer.apply_gradients(
            (gradient, variable)
            for given, part in zip(gradients, parts, strict=True)
            for gradient, variable in zip(given, part, strict=True)
        )
        return {"loss": loss}


def asked_twice() -> Any:
    inputs = keras.Input((5,))
    x = L.Dense(3, name="below")(inputs)
    x = L.Dense(4, name="above")(x)
    return AskedTwice(inputs, L.Dense(2, name="head")(x))


class TwoPasses(keras.Model):
    """Sharpness-aware training: two tapes, and weights that move between them."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        variables = self.trainable_variables

        def gradients() -> Any:
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            return loss, tape.gradient(loss, variables)

        loss, ascent = gradients()
        for variable, gradient in zip(variables, ascent, strict=True):
            variable.assign_add(0.01 * gradient)
        _, descent = gradients()
        for variable, gradient in zip(variables, ascent, strict=True):
            variable.assign_sub(0.01 * gradient)
        self.optimizer.apply_gradients(zip(descent, variables, strict=True))
        return {"loss": loss}


def sharpness_aware() -> Any:
    inputs = keras.Input((4,))
    x = L.Dense(4, activation="relu", name="first")(inputs)
    return TwoPasses(inputs, L.Dense(2, name="head")(x))
