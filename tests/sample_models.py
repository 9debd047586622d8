"""Builders that the tests hand to the program, good ones and bad ones."""

from __future__ import annotations

from typing import Any


def dense(units: int = 8, loss: str = "categorical_crossentropy", compiled: bool = True) -> Any:
    """Three Dense layers on 6 features, 4 classes."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(units, activation="relu", name="first"),
            keras.layers.Dense(units, activation="relu", name="second"),
            keras.layers.Dense(4, activation="softmax", name="head"),
        ]
    )
    if compiled:
        model.compile(optimizer="sgd", loss=loss)
    return model


def convnet(size: int = 16) -> Any:
    """Two convolutions with BatchNormalization and a head."""
    import keras

    inputs = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", name="conv1")(inputs)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    x = keras.layers.ReLU(name="relu1")(x)
    x = keras.layers.Conv2D(8, 3, padding="same", name="conv2")(x)
    x = keras.layers.BatchNormalization(name="bn2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="head")(x))


def two_inputs() -> Any:
    """A float input and a token input; dict structures on both sides."""
    import keras

    a = keras.Input((5,), name="a")
    tokens = keras.Input((7,), dtype="int32", name="tokens")
    embedded = keras.layers.Embedding(11, 3, name="embed")(tokens)
    x = keras.layers.Concatenate()([a, keras.layers.Flatten()(embedded)])
    head = keras.layers.Dense(2, activation="softmax", name="classes")(x)
    value = keras.layers.Dense(1, name="value")(x)
    model = keras.Model({"a": a, "tokens": tokens}, {"classes": head, "value": value})
    model.compile(
        optimizer="adam", loss={"classes": "sparse_categorical_crossentropy", "value": "mse"}
    )
    return model


def raises() -> Any:
    """A builder with a bug."""
    raise RuntimeError("the weights file is missing")


def not_a_model() -> Any:
    """A builder that forgot its return statement."""
    return 3


def no_weights() -> Any:
    """Nothing to train."""
    import keras

    return keras.Sequential([keras.Input((6,)), keras.layers.Softmax()])


def unknown_size() -> Any:
    """Sequences of any length."""
    import keras

    inputs = keras.Input((None, 3))
    return keras.Model(inputs, keras.layers.LSTM(4)(inputs))


def explodes() -> Any:
    """A learning rate that ends in NaN within a few steps."""
    import keras

    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8), keras.layers.Dense(8), keras.layers.Dense(1)]
    )
    model.compile(optimizer=keras.optimizers.SGD(1e12), loss="mse")
    return model


def ignores_freezing() -> Any:
    """A layer that assigns its own weight in call(), frozen or not."""
    import keras

    class Drifting(keras.layers.Dense):
        def call(self, inputs: Any) -> Any:
            self.kernel.assign(self.kernel * 0.999)
            return super().call(inputs)

    return keras.Sequential(
        [keras.Input((6,)), Drifting(5, name="drifting"), keras.layers.Dense(2, name="head")]
    )


def chain(layers: int = 10) -> Any:
    """A chain of small Dense layers: many configurations, each of them quick."""
    import keras

    inputs = x = keras.Input((8,))
    for number in range(layers - 1):
        x = keras.layers.Dense(8, activation="relu", name=f"dense{number}")(x)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="head")(x))


def cut_off() -> Any:
    """A model behind whose every layer the gradient stops."""
    import keras

    inputs = keras.Input((6,))
    x = keras.layers.Dense(4, name="first")(inputs)
    outputs = keras.ops.stop_gradient(keras.layers.Dense(2, name="second")(x))
    return keras.Model(inputs, outputs)


def untrained(asks: bool = False) -> Any:
    """A train step that computes the loss and applies nothing; one that asks its tape in vain."""
    import keras
    import tensorflow as tf

    class Untrained(keras.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=tf.stop_gradient(self(x, training=True)))
            if asks:
                tape.gradient(loss, self.trainable_variables)
            return {"loss": loss}

    inputs = keras.Input((6,))
    x = keras.layers.Dense(4, name="first")(inputs)
    return Untrained(inputs, keras.layers.Dense(2, name="second")(x))
