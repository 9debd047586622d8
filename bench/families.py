"""Small models of every usual style, for `bench/matrix.py` and its short form among the tests.

Each builder takes no argument and returns a compiled `keras.Model` of a few thousand parameters;
`subclassed` and `with_data` return a model and its dataset.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers


def residual() -> keras.Model:
    """Convolutions, BatchNorm, an addition across them."""
    start = keras.Input((16, 16, 3))
    x = _conv(start, 8, "stem")
    y = _conv(_conv(x, 8, "a"), 8, "b")
    x = layers.Add(name="add")([x, y])
    return _classifier(start, layers.GlobalAveragePooling2D()(x))


def separable() -> keras.Model:
    """Depthwise and separable convolutions, and a gate of squeezed features, as in MobileNetV3."""
    start = keras.Input((16, 16, 3))
    x = _conv(start, 8, "stem")
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_norm")(x)
    x = layers.Activation("hard_silu")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid", name="gate")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.SeparableConv2D(12, 3, padding="same", name="separable")(x)
    return _classifier(start, layers.GlobalAveragePooling2D()(x))


def grouped() -> keras.Model:
    """Grouped convolutions with LayerNorm, as in ConvNeXt; Keras has XLA compile each by itself."""
    start = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(start)
    for each in range(2):
        y = layers.Conv2D(8, 3, padding="same", groups=4, name=f"grouped{each}")(x)
        y = layers.LayerNormalization(name=f"norm{each}")(y)
        x = layers.Add(name=f"add{each}")([x, layers.Dense(8, "gelu", name=f"mix{each}")(y)])
    return _classifier(start, layers.GlobalAveragePooling2D()(x))


def concatenated() -> keras.Model:
    """Each layer reads all before it, as in DenseNet."""
    start = keras.Input((16, 16, 3))
    x = _conv(start, 6, "stem")
    for each in range(3):
        x = layers.Concatenate()([x, _conv(x, 4, f"grow{each}")])
    return _classifier(start, layers.GlobalAveragePooling2D()(x))


def upsampling() -> keras.Model:
    """Down and up again with a skip, as in U-Net; an output for each pixel."""
    start = keras.Input((16, 16, 3))
    top = _conv(start, 6, "down1")
    low = _conv(layers.MaxPooling2D()(top), 8, "down2")
    x = layers.Conv2DTranspose(6, 2, strides=2, name="up")(low)
    x = _conv(layers.Concatenate()([top, x]), 6, "join")
    end = layers.Conv2D(1, 1, activation="sigmoid", name="mask")(x)
    return _compiled(keras.Model(start, end), "binary_crossentropy")


def encoder() -> keras.Model:
    """Tokens, attention and LayerNorm, as in BERT; the norms stand behind the additions."""
    start = keras.Input((12,), dtype="int32")
    x = layers.Embedding(50, 16, name="tokens")(start)
    for each in range(2):
        x = _attention_block(x, f"block{each}")
    return _classifier(start, layers.GlobalAveragePooling1D()(x))


def decoder() -> keras.Model:
    """Causal attention, and the token table once more at the output, as in GPT-2."""
    start = keras.Input((12,), dtype="int32")
    table = layers.Embedding(50, 16, name="tokens")
    x = table(start)
    for each in range(2):
        x = _attention_block(x, f"block{each}", causal=True)
    end = Tied(table, name="tied")(x)
    return _compiled(
        keras.Model(start, end), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )


def patches() -> keras.Model:
    """Pictures in patches and a class token, as in ViT."""
    start = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 4, strides=4, name="patches")(start)
    x = ClassToken(name="class_token")(layers.Reshape((16, 16))(x))
    x = _attention_block(x, "block")
    return _classifier(start, x[:, 0])


def recurrent() -> keras.Model:
    """An LSTM both ways, then a GRU."""
    start = keras.Input((8,), dtype="int32")
    x = layers.Embedding(50, 8, name="tokens")(start)
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True), name="both_ways")(x)
    return _classifier(start, layers.GRU(8, name="gru")(x))


def convolved_series() -> keras.Model:
    """Dilated one-dimensional convolutions over a series, GroupNorm, a regression."""
    start = keras.Input((32, 4))
    x = start
    for each, rate in enumerate((1, 2, 4)):
        x = layers.Conv1D(8, 3, padding="causal", dilation_rate=rate, name=f"conv{each}")(x)
        x = layers.ReLU()(layers.GroupNormalization(4, name=f"norm{each}")(x))
    end = layers.Dense(2, name="value")(layers.GlobalMaxPooling1D()(x))
    return _compiled(keras.Model(start, end), "mse")


def siamese() -> keras.Model:
    """Two inputs through the same layers."""
    tower = keras.Sequential(
        [keras.Input((10,)), layers.Dense(16, "relu", name="low"), layers.Dense(8, name="high")],
        name="tower",
    )
    a, b = keras.Input((10,), name="a"), keras.Input((10,), name="b")
    apart = layers.Subtract()([tower(a), tower(b)])
    end = layers.Dense(1, activation="sigmoid", name="same")(apart)
    return _compiled(keras.Model([a, b], end), "binary_crossentropy")


def several() -> keras.Model:
    """Two inputs, two outputs, a loss for each."""
    numbers = keras.Input((5,), name="numbers")
    tokens = keras.Input((7,), dtype="int32", name="tokens")
    x = layers.Flatten()(layers.Embedding(20, 4, name="table")(tokens))
    x = layers.Concatenate()([layers.Dense(8, "relu", name="numeric")(numbers), x])
    x = layers.Dense(16, "relu", name="trunk")(x)
    kind = layers.Dense(3, activation="softmax", name="kind", dtype="float32")(x)
    price = layers.Dense(1, name="price", dtype="float32")(x)
    model = keras.Model({"numbers": numbers, "tokens": tokens}, {"kind": kind, "price": price})
    model.compile("adam", loss={"kind": "sparse_categorical_crossentropy", "price": "mse"})
    return model


def nested() -> keras.Model:
    """Models within models, three levels deep."""
    inner = keras.Sequential(
        [keras.Input((8,)), layers.Dense(8, "relu", name="one"), layers.Dense(8, name="two")],
        name="inner",
    )
    middle_in = keras.Input((8,))
    middle = keras.Model(
        middle_in, layers.LayerNormalization(name="norm")(inner(middle_in)), name="middle"
    )
    outer_in = keras.Input((8,))
    outer = keras.Model(
        outer_in, layers.Dense(8, "relu", name="mix")(middle(outer_in)), name="outer"
    )
    start = keras.Input((8,))
    return _classifier(start, outer(start))


class Subclassed(keras.Model):  # type: ignore[misc]
    """Layers as attributes and in a list, called in `call()`; a layer with a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(16, name="first")
        self.hidden = [layers.Dense(16, "relu", name=f"hidden{each}") for each in range(2)]
        self.scale = Scale(name="scale")
        self.drop = layers.Dropout(0.1)
        self.head = layers.Dense(4, activation="softmax", name="head", dtype="float32")

    def call(self, x: Any, training: bool = False) -> Any:
        """Return class probabilities: (batch, 4)."""
        x = self.first(x)
        for layer in self.hidden:
            x = x + layer(x)
        return self.head(self.drop(self.scale(x), training=training))


def subclassed() -> tuple[keras.Model, tf.data.Dataset]:
    """`Subclassed` and its dataset, since nothing else says what it takes."""
    model = Subclassed()
    x = tf.random.stateless_normal((8, 10), seed=(1, 2))
    model(x)
    data = tf.data.Dataset.from_tensors((x, tf.one_hot(tf.range(8) % 4, 4)))
    return _compiled(model, "categorical_crossentropy"), data


class OwnStep(keras.Model):  # type: ignore[misc]
    """A functional model whose training step is written by hand, with a penalty on the weights."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of gradient descent."""
        x, y = data
        with tf.GradientTape() as tape:
            found = self(x, training=True)
            loss = self.compute_loss(x, y, found)
            size = tf.add_n([tf.reduce_sum(tf.square(each)) for each in self.trainable_weights])
            loss += 1e-4 * tf.cast(size, loss.dtype)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(scaled, weights), weights)
        return {"loss": loss}


def own_step() -> keras.Model:
    """`OwnStep` on three Dense layers."""
    start = keras.Input((10,))
    x = layers.Dense(16, "relu", name="low")(start)
    x = layers.Dense(16, "relu", name="middle")(x)
    end = layers.Dense(4, activation="softmax", name="high", dtype="float32")(x)
    return _compiled(OwnStep(start, end), "categorical_crossentropy")


def with_data() -> tuple[keras.Model, tf.data.Dataset]:
    """A model and its dataset, from one builder."""
    start = keras.Input((6,))
    x = layers.Dense(8, "relu", name="low")(start)
    model = _classifier(start, layers.UnitNormalization()(layers.Dense(8, name="middle")(x)))
    x = tf.random.stateless_normal((8, 6), seed=(1, 2))
    y = tf.one_hot(tf.range(8) % 4, 4)
    return model, tf.data.Dataset.from_tensors((x, y))


class Tied(layers.Layer):  # type: ignore[misc]
    """Scores of tokens by the table that also embeds them."""

    def __init__(self, table: layers.Embedding, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = table

    def call(self, x: Any) -> Any:
        """(batch, length, width) to (batch, length, tokens)."""
        table = keras.ops.cast(self.table.embeddings, x.dtype)
        return keras.ops.matmul(x, keras.ops.transpose(table))


class ClassToken(layers.Layer):  # type: ignore[misc]
    """Puts a trainable vector before a sequence."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the vector."""
        self.token = self.add_weight(name="token", shape=(1, 1, shape[-1]), initializer="zeros")

    def call(self, x: Any) -> Any:
        """(batch, length, width) to (batch, 1 + length, width)."""
        token = keras.ops.cast(self.token, x.dtype)
        first = keras.ops.broadcast_to(token, (keras.ops.shape(x)[0], 1, x.shape[-1]))
        return keras.ops.concatenate([first, x], axis=1)


class Scale(layers.Layer):  # type: ignore[misc]
    """Multiplies each feature by a weight."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights."""
        self.gamma = self.add_weight(name="gamma", shape=(shape[-1],), initializer="ones")

    def call(self, x: Any) -> Any:
        """Return the scaled features."""
        return x * keras.ops.cast(self.gamma, x.dtype)


def _conv(x: Any, width: int, name: str) -> Any:
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=name)(x)
    return layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm")(x))


def _attention_block(x: Any, name: str, *, causal: bool = False) -> Any:
    attention = layers.MultiHeadAttention(2, 8, name=f"{name}_attention")
    x = layers.Add()([x, attention(x, x, use_causal_mask=causal)])
    x = layers.LayerNormalization(name=f"{name}_norm1")(x)
    y = layers.Dense(32, activation="gelu", name=f"{name}_up")(x)
    x = layers.Add()([x, layers.Dense(16, name=f"{name}_down")(y)])
    return layers.LayerNormalization(name=f"{name}_norm2")(x)


def _classifier(start: Any, features: Any) -> keras.Model:
    end = layers.Dense(4, activation="softmax", name="head", dtype="float32")(features)
    return _compiled(keras.Model(start, end), "categorical_crossentropy")


def _compiled(model: keras.Model, loss: Any) -> keras.Model:
    model.compile("adam", loss=loss)
    return model
