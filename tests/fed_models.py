"""Models whose inputs and targets have to be found out, and datasets of other shapes."""

from __future__ import annotations

import warnings
from typing import Any


def ids_with_offset() -> Any:
    """Three fields that share a table of 100: the last one's ids begin at 30."""
    import keras

    ids = keras.Input((3,), dtype="int32", name="fields")
    shifted = ids + keras.ops.convert_to_tensor([[0, 10, 30]])
    x = keras.layers.Flatten()(keras.layers.Embedding(100, 4, name="emb")(shifted))
    model = keras.Model(ids, keras.layers.Dense(1, name="out")(x))
    model.compile("adam", "mse")
    return model


def ids_as_floats() -> Any:
    """Ids come as floats, from 1; and pixels that end in the index of the brightest one."""
    import keras

    ids = keras.Input((4,), name="ids")
    whole = keras.ops.cast(ids, "int32") - 1
    pixels = keras.Input((6,), name="pixels")
    brightest = keras.ops.argmax(keras.layers.Dense(6)(pixels), axis=-1)
    tables = [
        keras.layers.Flatten()(keras.layers.Embedding(20, 4)(whole)),
        keras.layers.Embedding(6, 4)(brightest),
    ]
    outputs = keras.layers.Dense(1)(keras.layers.Concatenate()(tables))
    model = keras.Model({"ids": ids, "pixels": pixels}, outputs)
    model.compile("adam", "mse")
    return model


def masked() -> Any:
    """Tokens, which of them count, and a number whose name only sounds like it."""
    import keras

    tokens = keras.Input((6,), dtype="int32", name="tokens")
    mask = keras.Input((6,), dtype="int32", name="padding_mask")
    said = keras.Input((6,), dtype="bool", name="unmasked")
    counts = keras.layers.Embedding(9, 2)(tokens) * keras.ops.cast(mask[..., None], "float32")
    parts = [keras.layers.Flatten()(counts), keras.ops.cast(said, "float32")]
    outputs = keras.layers.Dense(1)(keras.layers.Concatenate()(parts))
    model = keras.Model({"tokens": tokens, "padding_mask": mask, "unmasked": said}, outputs)
    model.compile("adam", "mse")
    return model


def one_of(depth: int = 7) -> Any:
    """Ids that become one-hot, bytes that are pixels, and a table of hashes."""
    import keras

    kind = keras.Input((), dtype="int64", name="kind")
    image = keras.Input((4,), dtype="uint8", name="image")
    user = keras.Input((1,), dtype="int64", name="user")
    hashed = keras.layers.Flatten()(keras.layers.Embedding(16, 2)(keras.ops.mod(user, 16)))
    parts = [keras.ops.one_hot(kind, depth), keras.ops.cast(image, "float32") / 255.0, hashed]
    outputs = keras.layers.Dense(1)(keras.layers.Concatenate()(parts))
    model = keras.Model({"kind": kind, "image": image, "user": user}, outputs)
    model.compile("adam", "mse")
    return model


def sparse_bag() -> Any:
    """A sparse bag of words."""
    import keras

    words = keras.Input((50,), sparse=True, name="words")
    model = keras.Model(words, keras.layers.Dense(2, activation="softmax", name="out")(words))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def strings() -> Any:
    """Words that a lookup turns into ids."""
    import keras

    words = keras.Input((1,), dtype="string", name="words")
    ids = keras.layers.StringLookup(vocabulary=["a", "b"])(words)
    x = keras.layers.Flatten()(keras.layers.Embedding(3, 2)(ids))
    return keras.Model(words, keras.layers.Dense(1)(x))


def loss_of(kind: str = "cast") -> Any:
    """Ten classes, under a loss that is the builder's own."""
    import keras

    def cast(y: Any, p: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(
            keras.ops.cast(y, "int32"), p, from_logits=True
        )

    def picked(y: Any, p: Any) -> Any:
        flat = keras.ops.reshape(keras.ops.cast(y, "int32"), (-1, 1))
        return -keras.ops.log(keras.ops.take_along_axis(keras.ops.softmax(p), flat, axis=1) + 1e-3)

    def squared(y: Any, p: Any) -> Any:
        return keras.ops.mean((y - p) ** 2, axis=-1)

    class Hot(keras.losses.Loss):
        def call(self, y: Any, p: Any) -> Any:
            hot = keras.ops.one_hot(keras.ops.cast(y, "int32"), 10)
            return -keras.ops.sum(hot * keras.ops.log_softmax(p), axis=-1)

    def pairs(y: Any, p: Any) -> Any:
        raise ValueError("y holds the pair of a box and a mask")

    losses = {"cast": cast, "picked": picked, "squared": squared, "hot": Hot(), "pairs": pairs}
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(10, name="out")(inputs))
    model.compile("adam", losses[kind])
    return model


def asks_for_more() -> Any:
    """A train step that takes three values, of which nothing can be known."""
    import keras

    class Triplets(keras.Model):
        def train_step(self, data: Any) -> Any:
            anchor, positive, _ = data
            return super().train_step((anchor, positive))

    inputs = keras.Input((4,))
    model = Triplets(inputs, keras.layers.Dense(2, name="out")(inputs))
    model.compile("adam", "mse")
    return model


def a_layer() -> Any:
    """A layer, not a model."""
    import keras

    return keras.layers.Dense(3)


def many_inputs() -> Any:
    """Lists on both sides."""
    import keras

    a, b = keras.Input((6,), name="a"), keras.Input((3,), name="b")
    dense = keras.layers.Dense
    x = keras.layers.Concatenate()([dense(4, name="da")(a), dense(4, name="db")(b)])
    model = keras.Model([a, b], [dense(3, name="o1")(x), dense(3, name="o2")(x)])
    model.compile("adam", "mse")
    return model


def ragged() -> Any:
    """A subclassed model that pads what it is given."""
    import keras
    import tensorflow as tf

    class Padded(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="padded")
            self.emb = keras.layers.Embedding(50, 4, name="emb")
            self.out = keras.layers.Dense(1, name="out")

        def call(self, x: Any) -> Any:
            dense = x.to_tensor(shape=(None, 6)) if isinstance(x, tf.RaggedTensor) else x
            return self.out(keras.ops.mean(self.emb(dense), 1))

    model = Padded()
    model.compile("adam", "mse")
    return model


def built(by: str = "shape") -> Any:
    """A subclassed model of ids that its builder built, or called on a batch of two."""
    import keras
    import tensorflow as tf

    class Looked(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="looked")
            self.emb = keras.layers.Embedding(50, 4, name="emb")
            self.out = keras.layers.Dense(3, activation="softmax", name="out")

        def call(self, ids: Any) -> Any:
            return self.out(keras.ops.mean(self.emb(ids), 1))

    model = Looked()
    if by == "a call":
        model(tf.zeros((2, 6), tf.int32))
    else:
        with warnings.catch_warnings():  # Keras says that it only believes the shape
            warnings.simplefilter("ignore")
            model.build((None, 6 if by == "shape" else None))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def called(words: bool = False) -> Any:
    """A subclassed model that only a call on real tensors builds: a dict of ids and a mask."""
    import keras
    import numpy as np
    import tensorflow as tf

    class Scaled(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.scale = tf.Variable(np.ones(shape[-1]), dtype=tf.float32, name="scale")
            tf.debugging.assert_equal(float(tf.reduce_sum(self.scale)), 4.0)

        def call(self, x: Any) -> Any:
            return x * self.scale

    class Masked(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="masked")
            self.emb = keras.layers.Embedding(50, 4, name="emb")
            self.scaled = Scaled(name="scaled")
            self.out = keras.layers.Dense(3, activation="softmax", name="out")

        def call(self, given: Any) -> Any:
            if words:
                return self.out(self.scaled(tf.ones((2, 4))))
            x = self.scaled(self.emb(given["ids"])) * given["mask"][..., None]
            return self.out(keras.ops.sum(x, 1) / keras.ops.sum(given["mask"], 1, keepdims=True))

    model = Masked()
    with warnings.catch_warnings():  # Keras says that it could not build it before
        warnings.simplefilter("ignore")
        if words:
            model(np.array([["a"], ["b"]]))
        else:
            model({"ids": np.zeros((2, 6), "int64"), "mask": np.ones((2, 6))})
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def weights_first() -> Any:
    """A model that was built by its shape, and whose step reads a kernel before it calls it."""
    import keras
    import tensorflow as tf

    class WeightsFirst(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="weights_first")
            self.out = keras.layers.Dense(3, name="out")

        def call(self, x: Any) -> Any:
            return self.out(x)

        def train_step(self, data: Any) -> Any:
            x, y = data
            kernel = self.out.kernel
            with tf.GradientTape() as tape:
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
                loss += tf.reduce_sum(tf.square(kernel))
            weights = self.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = WeightsFirst()
    with warnings.catch_warnings():  # Keras says that it only believes the shape
        warnings.simplefilter("ignore")
        model.build((None, 6))
    model.compile("sgd", "mse")
    return model


def triplets() -> Any:
    """A model of three inputs whose step takes the batch, three examples, as it is."""
    import keras
    import tensorflow as tf

    class Triplets(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="triplets")
            side = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, name="side")])
            inputs = [keras.Input((6,), name=name) for name in ("anchor", "near", "far")]
            self.net = keras.Model(inputs, [side(each) for each in inputs], name="net")

        def call(self, inputs: Any) -> Any:
            return self.net(inputs)

        def train_step(self, data: Any) -> Any:
            with tf.GradientTape() as tape:
                anchor, near, far = self.net(data)
                gap = tf.square(anchor - near) - tf.square(anchor - far)
                loss = tf.reduce_mean(tf.nn.softplus(gap))
            weights = self.net.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = Triplets()
    model.compile("sgd")
    return model


def triplet_data(model: Any, batch_size: int) -> Any:
    """Batches of three parts, none of them a target."""
    import tensorflow as tf

    parts = [tf.random.stateless_normal((batch_size, 6), seed=(0, each)) for each in range(3)]
    return tf.data.Dataset.from_tensors(tuple(parts))


def ragged_data(model: Any, batch_size: int) -> Any:
    """Rows of one to three ids."""
    import tensorflow as tf

    lengths = [1 + row % 3 for row in range(batch_size)]
    ids = tf.RaggedTensor.from_row_lengths(tf.range(sum(lengths)) % 50, lengths)
    return tf.data.Dataset.from_tensors((ids, tf.zeros((batch_size, 1))))


def remainder_data(model: Any, batch_size: int) -> Any:
    """Ten examples of the ready-made `dense` builder in batches: the last one is shorter."""
    import tensorflow as tf

    x = tf.random.stateless_normal((10, 6), seed=(0, 1))
    y = tf.one_hot(tf.range(10) % 4, 4)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)


def python_data(model: Any, batch_size: int) -> Any:
    """The same as Keras's own kind of dataset, which is asked for one batch after the other."""
    import keras
    import numpy as np

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-10 // batch_size)

        def __getitem__(self, index: int) -> Any:
            rows = np.arange(10)[index * batch_size : (index + 1) * batch_size]
            return np.ones((len(rows), 6), "float32"), np.eye(4, dtype="float32")[rows % 4]

    return Batches()


def arrays_data(model: Any, batch_size: int) -> Any:
    """No dataset."""
    import numpy as np

    return np.ones((batch_size, 6)), np.ones((batch_size, 4))


def inputs_data(model: Any, batch_size: int) -> Any:
    """Six features and no targets."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensors(tf.ones((batch_size, 6)))


def short_rows(model: Any, batch_size: int) -> Any:
    """Rows that a model of six features does not take."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensors((tf.zeros((batch_size, 5)), tf.zeros((batch_size, 4))))


def set_up_by_builder(
    policy: str = "",
    head: str = "float32",
    eagerly: bool = False,
    functions: bool = False,
    jit: bool = False,
    frozen: bool = False,
) -> Any:
    """Two weighted outputs, compiled with everything that `compile` takes."""
    import keras
    import tensorflow as tf

    if policy == "float64":
        keras.config.set_floatx(policy)
    elif policy:
        keras.config.set_dtype_policy(policy)
    if functions:
        tf.config.run_functions_eagerly(True)
    inputs = keras.Input((6,), name="x")
    trunk = keras.layers.Dense(8, activation="relu", name="trunk")
    x = keras.layers.BatchNormalization(name="norm")(trunk(inputs))
    trunk.trainable = not frozen
    a = keras.layers.Dense(3, activation="softmax", dtype=head, name="cls")(x)
    b = keras.layers.Dense(2, dtype=head, name="box")(x)
    model = keras.Model(inputs, [a, b])
    model.compile(
        "sgd",
        ["categorical_crossentropy", "mse"],
        loss_weights=[1.0, 1e6],
        weighted_metrics=[["accuracy"], ["mae"]],
        run_eagerly=eagerly,
        jit_compile=jit,
    )
    return model


def with_its_data() -> Any:
    """A model and its dataset, of eight examples a batch."""
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="out")])
    model.compile("sgd", "mse")
    return model, tf.data.Dataset.from_tensors((tf.ones((8, 3)), tf.zeros((8, 2))))


def with_batches(kind: str) -> Any:
    """A model beside Keras's own kind of dataset, or beside arrays."""
    import keras

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, name="out")])
    model.compile("sgd", "mse")
    return model, {"python": python_data, "arrays": arrays_data}[kind](model, 8)


def autoencoder() -> Any:
    """A train step that takes inputs and no targets."""
    import keras
    import tensorflow as tf

    class Autoencoder(keras.Model):
        def train_step(self, x: Any) -> Any:
            if isinstance(x, tuple):
                raise TypeError("targets have no place here")
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(x - self(x, training=True)))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

    inputs = keras.Input((6,))
    model = Autoencoder(inputs, keras.layers.Dense(6, name="out")(inputs))
    model.compile("sgd")
    return model


def speech() -> Any:
    """Twelve time steps of five letters, under CTC; and a loss under another name."""
    import keras

    inputs = keras.Input((12, 3))
    letters = keras.layers.Dense(5, activation="softmax", name="letters")(inputs)
    speaker = keras.layers.Dense(4, activation="softmax", name="speaker")(letters[:, 0])
    model = keras.Model(inputs, [letters, speaker])
    model.compile("adam", ["ctc", keras.losses.SparseCategoricalCrossentropy(name="who")])
    return model


def strict_lookup() -> Any:
    """Ids that a layer refuses unless they are in its vocabulary."""
    import keras

    ids = keras.Input((1,), dtype="int64", name="ids")
    found = keras.layers.IntegerLookup(vocabulary=[300, 500], num_oov_indices=0)(ids)
    x = keras.layers.Flatten()(keras.layers.Embedding(2, 2)(found))
    return keras.Model(ids, keras.layers.Dense(1)(x))


def pairs_of_ids() -> Any:
    """Pairs of ids, looked up in a table of 9 by 4."""
    import keras
    import tensorflow as tf

    class Table(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=(9, 4, 2), name="table")

        def call(self, pairs: Any) -> Any:
            return tf.gather_nd(self.table, pairs)

    pairs = keras.Input((2,), dtype="int32", name="pairs")
    model = keras.Model(pairs, keras.layers.Dense(1)(Table(name="pairs_of")(pairs)))
    model.compile("adam", "mse")
    return model


def no_input() -> Any:
    """A model that learns the size of its input from its first batch."""
    import keras

    model = keras.Sequential([keras.layers.Dense(4, name="out")])
    model.compile("sgd", "mse")
    return model
