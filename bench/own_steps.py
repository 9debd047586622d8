"""Small models whose training step is their own, as guides show them, for `bench/matrix.py`.

Each builder takes no argument and returns a compiled `keras.Model` of a few thousand parameters and
its dataset. Their steps add float32 noise, draw pictures and compare them in float32, so they train
in that precision alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

Fed = tuple[keras.Model, tf.data.Dataset]
Steps = dict[str, Any]


class Adversarial(keras.Model):  # type: ignore[misc]
    """A Wasserstein GAN with gradient penalty: its critic takes three steps for one."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = keras.Sequential(
            [
                keras.Input((16, 16, 1)),
                layers.Conv2D(8, 5, strides=2, name="critic1"),
                layers.LeakyReLU(),
                layers.Conv2D(16, 5, strides=2, name="critic2"),
                layers.LeakyReLU(),
                layers.Flatten(),
                layers.Dense(1, name="score"),
            ],
            name="critic",
        )
        self.generator = keras.Sequential(
            [
                keras.Input((16,)),
                layers.Dense(4 * 4 * 8, use_bias=False, name="seed"),
                layers.BatchNormalization(name="seed_norm"),
                layers.LeakyReLU(),
                layers.Reshape((4, 4, 8)),
                layers.UpSampling2D(),
                layers.Conv2D(8, 3, padding="same", activation="relu", name="draw1"),
                layers.UpSampling2D(),
                layers.Conv2D(1, 3, padding="same", activation="tanh", name="draw2"),
            ],
            name="generator",
        )

    def compile(self) -> None:
        """Give each part an optimizer."""
        super().compile()
        self.critics_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)
        self.generators_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)

    def train_step(self, real: Any) -> Steps:
        """Three steps of the critic, one of the generator."""
        count = tf.shape(real)[0]
        for _ in range(3):
            drawn = self.generator(tf.random.normal((count, 16)), training=True)
            with tf.GradientTape() as tape:
                far = self.critic(drawn, training=True) - self.critic(real, training=True)
                loss = tf.reduce_mean(far) + 10.0 * self._penalty(real, drawn)
            _descend(self.critics_optimizer, tape, loss, self.critic.trainable_variables)
        with tf.GradientTape() as tape:
            drawn = self.generator(tf.random.normal((count, 16)), training=True)
            wanted = -tf.reduce_mean(self.critic(drawn, training=True))
        _descend(self.generators_optimizer, tape, wanted, self.generator.trainable_variables)
        return {"critic": loss, "generator": wanted}

    def _penalty(self, real: Any, drawn: Any) -> Any:
        mixed = real + tf.random.uniform((tf.shape(real)[0], 1, 1, 1)) * (drawn - real)
        with tf.GradientTape() as tape:
            tape.watch(mixed)
            score = self.critic(mixed, training=True)
        slope = tf.reduce_sum(tf.square(tape.gradient(score, mixed)), axis=[1, 2, 3])
        return tf.reduce_mean(tf.square(tf.sqrt(slope) - 1.0))


def adversarial() -> Fed:
    """`Adversarial` and pictures."""
    model = Adversarial()
    model.compile()
    return model, _forever(_noise(8, 16, 16, 1))


class CycleConsistent(keras.Model):  # type: ignore[misc]
    """CycleGAN: two generators that undo each other, two critics, a persistent tape."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = _translator("there"), _translator("back")
        self.critics = [_critic("critic_there"), _critic("critic_back")]

    def compile(self) -> None:
        """Give each part an optimizer."""
        super().compile()
        self.optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(4)]

    def train_step(self, data: Any) -> Steps:
        """One step of all four."""
        here, other = data
        with tf.GradientTape(persistent=True) as tape:
            made = [self.there(here, training=True), self.back(other, training=True)]
            again = [self.back(made[0], training=True), self.there(made[1], training=True)]
            cycle = _apart(again[0], here) + _apart(again[1], other)
            scores = [
                critic(each, training=True) for critic, each in zip(self.critics, made, strict=True)
            ]
            real = [
                critic(each, training=True)
                for critic, each in zip(self.critics, (other, here), strict=True)
            ]
            losses = [
                *(tf.reduce_mean(tf.square(score - 1.0)) + 10.0 * cycle for score in scores),
                *(
                    tf.reduce_mean(tf.square(good - 1.0)) + tf.reduce_mean(tf.square(bad))
                    for good, bad in zip(real, scores, strict=True)
                ),
            ]
        parts = [self.there, self.back, *self.critics]
        for optimizer, loss, part in zip(self.optimizers, losses, parts, strict=True):
            if part.trainable_variables:
                _descend(optimizer, tape, loss, part.trainable_variables)
        return {"there": losses[0], "back": losses[1]}


def cycle_consistent() -> Fed:
    """`CycleConsistent` and pairs of pictures."""
    model = CycleConsistent()
    model.compile()
    return model, _forever((_noise(8, 16, 16, 3), _noise(8, 16, 16, 3)))


class MomentumTeacher(keras.Model):  # type: ignore[misc]
    """BYOL: an encoder learns to predict a teacher, which follows it as a moving average."""

    def __init__(self) -> None:
        super().__init__()
        self.online, self.teacher = _encoder("online"), _encoder("teacher")
        self.teacher.trainable = False
        self.predictor = _two_layers("predictor")

    def train_step(self, pictures: Any) -> Steps:
        """A step of the encoder, and one of the average."""
        one = pictures + tf.random.normal(tf.shape(pictures), stddev=0.1)
        other = tf.reverse(pictures, axis=[2])
        with tf.GradientTape() as tape:
            found = self.predictor(self.online(one, training=True), training=True)
            wanted = tf.stop_gradient(self.teacher(other))
            loss = -tf.reduce_mean(tf.reduce_sum(_unit(found) * _unit(wanted), axis=1))
        weights = [*self.online.trainable_variables, *self.predictor.trainable_variables]
        _descend(self.optimizer, tape, loss, weights)
        for mean, value in zip(self.teacher.weights, self.online.weights, strict=True):
            mean.assign(0.99 * mean + 0.01 * value)
        return {"loss": loss}


def momentum_teacher() -> Fed:
    """`MomentumTeacher` and pictures."""
    model = MomentumTeacher()
    model.compile(keras.optimizers.AdamW(1e-3))
    return model, _forever(_noise(8, 16, 16, 3))


class Diffusion(keras.Model):  # type: ignore[misc]
    """A denoiser of pictures at random noise levels, with a moving average for drawing."""

    def __init__(self) -> None:
        super().__init__()
        self.denoiser, self.average = _denoiser("denoiser"), _denoiser("average")

    def train_step(self, pictures: Any) -> Steps:
        """Predict the noise that was added."""
        noise = tf.random.normal(tf.shape(pictures))
        angle = tf.random.uniform((tf.shape(pictures)[0], 1, 1, 1), maxval=1.5)
        noisy = tf.cos(angle) * pictures + tf.sin(angle) * noise
        with tf.GradientTape() as tape:
            loss = _apart(self.denoiser([noisy, tf.sin(angle) ** 2], training=True), noise)
        _descend(self.optimizer, tape, loss, self.denoiser.trainable_variables)
        for mean, value in zip(self.average.weights, self.denoiser.weights, strict=True):
            mean.assign(0.999 * mean + 0.001 * value)
        return {"loss": loss}


def diffusion() -> Fed:
    """`Diffusion` and pictures."""
    model = Diffusion()
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=1e-4))
    return model, _forever(_noise(8, 16, 16, 3))


class Contrastive(keras.Model):  # type: ignore[misc]
    """SimCLR: two views of a picture attract; a linear probe learns beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.projection = _encoder("encoder"), _two_layers("projection")
        self.probe = layers.Dense(10, name="probe")
        self.probe.build((None, 16))

    def compile(self) -> None:
        """Give the probe an optimizer of its own."""
        super().compile(keras.optimizers.Adam())
        self.probes_optimizer = keras.optimizers.Adam()

    def train_step(self, data: Any) -> Steps:
        """A step of the encoder, and one of the probe."""
        pictures, labels = data
        views = (pictures + tf.random.normal(tf.shape(pictures)), tf.reverse(pictures, axis=[2]))
        own = tf.range(tf.shape(pictures)[0])
        with tf.GradientTape() as tape:
            one, other = (
                _unit(self.projection(self.encoder(view, training=True), training=True))
                for view in views
            )
            likeness = tf.matmul(one, other, transpose_b=True) / 0.1
            loss = tf.reduce_mean(_entropy(own, likeness))
        weights = [*self.encoder.trainable_variables, *self.projection.trainable_variables]
        _descend(self.optimizer, tape, loss, weights)
        with tf.GradientTape() as tape:
            found = self.probe(self.encoder(pictures, training=False))
            probe_loss = tf.reduce_mean(_entropy(labels, found))
        if self.probe.trainable_variables:
            _descend(self.probes_optimizer, tape, probe_loss, self.probe.trainable_variables)
        return {"loss": loss, "probe": probe_loss}


def contrastive() -> Fed:
    """`Contrastive` and labelled pictures."""
    model = Contrastive()
    model.compile()
    return model, _forever((_noise(8, 16, 16, 3), tf.range(8)))


class TwoPasses(keras.Model):  # type: ignore[misc]
    """Sharpness-aware minimisation: climbs by one gradient, descends by the one found there."""

    def train_step(self, data: Any) -> Steps:
        """Two gradients, one update."""
        x, y = data
        weights = self.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, weights)
        size = tf.linalg.global_norm(gradients) + 1e-12
        climbed = [0.05 * each / size for each in gradients]
        for weight, step in zip(weights, climbed, strict=True):
            weight.assign_add(step)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, weights)
        for weight, step in zip(weights, climbed, strict=True):
            weight.assign_sub(step)
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return {"loss": loss}


def two_passes() -> Fed:
    """`TwoPasses` on a small convolutional net."""
    start = keras.Input((16, 16, 3))
    x = start
    for number, width in enumerate((8, 8, 16)):
        x = layers.Conv2D(width, 3, activation="relu", name=f"conv{number}")(x)
    end = layers.Dense(4, activation="softmax", name="head")(layers.GlobalAveragePooling2D()(x))
    model = TwoPasses(start, end)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model, _forever((_noise(8, 16, 16, 3), tf.range(8) % 4))


class Experts(layers.Layer):  # type: ignore[misc]
    """Four Dense layers, of which a router weighs two for each example; adds a balancing loss."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.experts = [layers.Dense(width, activation="relu", name=f"expert{n}") for n in range(4)]
        self.router = layers.Dense(4, name="router")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Build the experts and the router."""
        for each in (*self.experts, self.router):
            each.build(shape)

    def call(self, x: Any) -> Any:
        """(batch, features) to (batch, width)."""
        shares = ops.softmax(self.router(x))
        best, chosen = ops.top_k(shares, 2)
        gates = ops.sum(ops.one_hot(chosen, 4) * best[..., None], axis=-2)
        self.add_loss(0.04 * ops.sum(ops.square(ops.mean(shares, axis=0))))
        found = ops.stack([each(x) for each in self.experts], axis=-1)
        return ops.sum(found * gates[:, None, :], axis=-1)


def experts() -> Fed:
    """Three layers of experts."""
    start = x = keras.Input((32,))
    for each in range(3):
        x = layers.LayerNormalization(name=f"norm{each}")(x + Experts(32, name=f"mixture{each}")(x))
    model = keras.Model(start, layers.Dense(10, name="head")(x))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, _forever((_noise(8, 32), tf.range(8)))


class Codes(layers.Layer):  # type: ignore[misc]
    """The nearest of 32 vectors, passed straight through, as in VQ-VAE; adds its losses."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the vectors."""
        self.vectors = self.add_weight(
            name="vectors", shape=(shape[-1], 32), initializer="random_uniform"
        )

    def call(self, x: Any) -> Any:
        """Return vectors in the shape of `x`."""
        flat = ops.reshape(x, (-1, x.shape[-1]))
        lengths = ops.sum(ops.square(self.vectors), axis=0)
        nearest = ops.argmin(lengths - 2 * ops.matmul(flat, self.vectors), axis=1)
        chosen = ops.matmul(ops.one_hot(nearest, 32), ops.transpose(self.vectors))
        chosen = ops.reshape(chosen, ops.shape(x))
        apart = ops.mean(ops.square(ops.stop_gradient(chosen) - x))
        self.add_loss(0.25 * apart + ops.mean(ops.square(chosen - ops.stop_gradient(x))))
        return x + ops.stop_gradient(chosen - x)


def codes() -> Fed:
    """An autoencoder around `Codes`."""
    start = keras.Input((16, 16, 1))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="down")(start)
    x = Codes(name="codes")(layers.Conv2D(8, 1, name="narrow")(x))
    x = layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu", name="up")(x)
    model = keras.Model(start, layers.Conv2D(1, 3, padding="same", name="draw")(x))
    model.compile("adam", "mse")
    pictures = _noise(8, 16, 16, 1)
    return model, _forever((pictures, pictures))


def _encoder(name: str) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, strides=2, activation="relu", name=f"{name}1"),
            layers.Conv2D(16, 3, strides=2, activation="relu", name=f"{name}2"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(16, name=f"{name}3"),
        ],
        name=name,
    )


def _two_layers(name: str) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(16, activation="relu", name=f"{name}1"),
            layers.Dense(16, name=f"{name}2"),
        ],
        name=name,
    )


def _translator(name: str) -> keras.Model:
    start = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name=f"{name}_in")(start)
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name=f"{name}_a")(x)
    x = layers.Add()([x, layers.Conv2D(8, 3, padding="same", name=f"{name}_b")(y)])
    end = layers.Conv2D(3, 3, padding="same", activation="tanh", name=f"{name}_out")(x)
    return keras.Model(start, end, name=name)


def _critic(name: str) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 4, strides=2, padding="same", activation="relu", name=f"{name}1"),
            layers.Conv2D(16, 4, strides=2, padding="same", activation="relu", name=f"{name}2"),
            layers.Conv2D(1, 4, padding="same", name=f"{name}3"),
        ],
        name=name,
    )


def _denoiser(name: str) -> keras.Model:
    noisy, level = keras.Input((16, 16, 3)), keras.Input((1, 1, 1))
    told = layers.Dense(8, activation="silu", name=f"{name}_level")(level)
    x = layers.Conv2D(8, 1, name=f"{name}_in")(noisy)
    x = layers.Concatenate()([x, layers.UpSampling2D(16)(told)])
    for each in range(2):
        y = layers.GroupNormalization(4, name=f"{name}_norm{each}")(x)
        y = layers.Conv2D(16, 3, padding="same", activation="silu", name=f"{name}_conv{each}")(y)
        x = layers.Add()([x, y])
    end = layers.Conv2D(3, 1, name=f"{name}_out")(x)
    return keras.Model([noisy, level], end, name=name)


def _descend(optimizer: Any, tape: tf.GradientTape, loss: Any, weights: Sequence[Any]) -> None:
    optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))


def _apart(one: Any, other: Any) -> Any:
    return tf.reduce_mean(tf.abs(one - other))


def _unit(x: Any) -> Any:
    return tf.math.l2_normalize(x, axis=1)


def _entropy(labels: Any, logits: Any) -> Any:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _noise(*shape: int) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed=(1, 2))


def _forever(batch: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensors(batch).repeat()
