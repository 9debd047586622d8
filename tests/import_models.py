"""Builders whose module does something when it is imported, as converted scripts do."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

keras.config.set_dtype_policy("mixed_bfloat16")

augmentation = keras.Sequential([keras.layers.RandomFlip()])
base = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(5, name="a"), keras.layers.Dense(4, name="b")],
    name="base",
)
critics_optimizer = keras.optimizers.Adam(1e-4)


def on_base() -> Any:
    """A new head on the one base."""
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(base(inputs)))
    model.compile("adam", "mse")
    return model


def the_base() -> Any:
    """The one model."""
    base.compile("adam", "mse")
    return base


def augmented() -> Any:
    """Keras numbers the names of what the import and the builder make."""
    head = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, name="head")])
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, head(augmentation(inputs)))
    model.compile("adam", "mse")
    return model


class _Critic(keras.Model):  # type: ignore[misc]
    """Its step applies the module's optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = keras.Sequential(
            [keras.Input((6,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(1, name="b")],
            name="body",
        )

    def train_step(self, data: Any) -> Any:
        """One step."""
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self.body(data, training=True)))
        variables = self.body.trainable_variables
        critics_optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables, strict=True)
        )
        return {"loss": loss}


def critic() -> Any:
    """A model and its data; `compile` gives it an optimizer that nothing uses."""
    model = _Critic()
    model.compile()
    return model, tf.data.Dataset.from_tensors(tf.zeros((4, 6))).repeat()
