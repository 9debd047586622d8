"""Builders that the tests hand to the program, good ones and bad ones."""

from __future__ import annotations

from types import SimpleNamespace
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


def reads_arguments() -> Any:
    """A builder from a script, which ends where it does not like its arguments."""
    raise SystemExit("usage: train.py DATA")


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


def larger_than_memory() -> Any:
    """A step that asks for 400 TB."""
    import keras
    import tensorflow as tf

    class Greedy(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x + tf.reduce_max(tf.random.uniform([10**14]))

    inputs = keras.Input((6,))
    x = keras.layers.Dense(4, name="first")(inputs)
    return keras.Model(inputs, keras.layers.Dense(4, name="head")(Greedy(name="greedy")(x)))


def keeps_training() -> Any:
    """A train step that trains a list of variables made by the builder, whatever is frozen."""
    import keras
    import tensorflow as tf

    class Kept(keras.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            changes = tape.gradient(loss, self.kept.value)
            for variable, change in zip(self.kept.value, changes, strict=True):
                variable.assign_sub(0.01 * change)
            return {"loss": loss}

    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, name="first")(inputs)
    model = Kept(inputs, keras.layers.Dense(2, name="head")(x))
    model.compile("sgd", "mse")
    # Inside something that Keras does not look into.
    model.kept = SimpleNamespace(value=list(model.trainable_variables))
    return model


def trained_by_builder(own_function: bool = False) -> Any:
    """Fitted with a frozen layer that trains again afterwards; its step may be a tf.function."""
    import keras
    import numpy as np
    import tensorflow as tf

    class Compiled(keras.Model):
        @tf.function
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, name="first")(inputs)
    kind = Compiled if own_function else keras.Model
    model = kind(inputs, keras.layers.Dense(2, name="head")(x))
    model.get_layer("first").trainable = False
    model.compile("sgd", "mse", metrics=["mae"], steps_per_execution=2)
    batch = np.ones((4, 6)), np.zeros((4, 2))
    model.fit(*batch, epochs=2, batch_size=2, validation_data=batch, verbose=0)
    model.predict(batch[0], verbose=0)
    model.get_layer("first").trainable = True
    return model


def trained_elsewhere(reach: bool = False) -> Any:
    """As above, with the step in a tf.function of the builder's, or where nothing leads to it."""
    import keras
    import tensorflow as tf

    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, name="first")(inputs)

    @tf.function
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        for variable, change in zip(
            model.trainable_variables,
            tape.gradient(loss, model.trainable_variables),
            strict=True,
        ):
            variable.assign_sub(0.01 * change)
        return loss

    hidden = SimpleNamespace(step=step)

    class Reachable(keras.Model):
        def train_step(self, data: Any) -> Any:
            return {"loss": step(*data)}

    class Elsewhere(keras.Model):
        def train_step(self, data: Any) -> Any:
            return {"loss": hidden.step(*data)}

    model = (Reachable if reach else Elsewhere)(inputs, keras.layers.Dense(2, name="head")(x))
    model.compile("sgd", "mse")
    model.get_layer("first").trainable = False
    step(tf.ones((4, 6)), tf.zeros((4, 2)))
    model.get_layer("first").trainable = True
    return model


def in_cycles(accumulate: int = 4, per_call: int = 2) -> Any:
    """Updates in every n-th step only, and several steps in a call of the train function."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, name="first"),
            keras.layers.Dense(2, name="head"),
        ]
    )
    steps = accumulate if accumulate > 1 else None
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=steps)
    model.compile(optimizer, "mse", steps_per_execution=per_call)
    return model


def assigns_itself() -> Any:
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


def gan() -> Any:
    """A discriminator and a generator, each with a loss and an optimizer of its own.

    `call()` uses the discriminator alone; the generator draws its input itself.
    """
    import keras
    import tensorflow as tf

    dense = keras.layers.Dense
    discriminator = keras.Sequential(
        [keras.Input((6,)), dense(5, activation="relu", name="d1"), dense(1, name="d2")],
        name="disc",
    )
    generator = keras.Sequential(
        [keras.Input((3,)), dense(5, activation="relu", name="g1"), dense(6, name="g2")], name="gen"
    )

    class Adversarial(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="gan")
            self.discriminator, self.generator = discriminator, generator
            self.noise = keras.random.SeedGenerator(1)
            self.built = True

        def call(self, x: Any) -> Any:
            return self.discriminator(x)

        def compile(self, optimizers: Any) -> None:
            super().compile(loss="mse")
            self.own = SimpleNamespace(optimizers=optimizers)

        def train_step(self, data: Any) -> Any:
            judge = keras.losses.BinaryCrossentropy(from_logits=True)
            drawn = keras.random.normal((4, 3), seed=self.noise)
            both = tf.concat([self.generator(drawn), data[0]], 0)
            labels = tf.concat([tf.ones((4, 1)), tf.zeros((4, 1))], 0)
            with tf.GradientTape() as tape:
                d_loss = judge(labels, self.discriminator(both))
            weights = self.discriminator.trainable_weights
            gradients = tape.gradient(d_loss, weights)
            self.own.optimizers["d"].apply_gradients(zip(gradients, weights, strict=True))
            with tf.GradientTape() as tape:
                made = self.generator(keras.random.normal((4, 3), seed=self.noise))
                g_loss = judge(tf.zeros((4, 1)), self.discriminator(made))
            weights = self.generator.trainable_weights
            gradients = tape.gradient(g_loss, weights)
            self.own.optimizers["g"].apply_gradients(zip(gradients, weights, strict=True))
            return {"d_loss": d_loss, "g_loss": g_loss}

    model = Adversarial()
    adam = keras.optimizers.Adam
    model.compile({"d": adam(1e-3), "g": keras.optimizers.LossScaleOptimizer(adam(1e-3))})
    return model


def pairs_of_six(model: Any, batch_size: int) -> Any:
    """Data for models of 6 features without inputs of their own."""
    import tensorflow as tf

    x = tf.random.stateless_normal((batch_size, 6), seed=(1, 2))
    return tf.data.Dataset.from_tensors((x, tf.zeros((batch_size, 2))))


def autoencoder() -> Any:
    """A train step and no `call()`; its parts have no variables before they are called."""
    import keras
    import tensorflow as tf

    class Autoencoder(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="ae")
            self.decoder = keras.Sequential([keras.layers.Dense(6, name="out")], name="decoder")
            self.encoder = keras.Sequential([keras.layers.Dense(3, name="code")], name="encoder")

        def train_step(self, data: Any) -> Any:
            x = data[0]
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.decoder(self.encoder(x)) - x) ** 2)
            weights = self.trainable_weights
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            return {"loss": loss}

    model = Autoencoder()
    model.compile("adam")
    return model


def behind_stop_gradient() -> Any:
    """The first layer has no gradient; the last two are an ordinary chain."""
    import keras

    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, name="cut")(inputs)
    x = keras.layers.Lambda(keras.ops.stop_gradient, output_shape=(5,))(x)
    x = keras.layers.Dense(5, name="middle")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(x))


def distiller() -> Any:
    """A teacher that Keras calls trainable and that the step never trains."""
    import keras
    import tensorflow as tf

    def chain(name: str) -> Any:
        layers = [keras.layers.Dense(5, name="low"), keras.layers.Dense(2, name="high")]
        return keras.Sequential([keras.Input((6,)), *layers], name=name)

    class Distiller(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="distiller")
            self.teacher, self.student = chain("teacher"), chain("student")
            self.built = True

        def call(self, x: Any) -> Any:
            return self.student(x)

        def train_step(self, data: Any) -> Any:
            x, y = data
            wanted = self.teacher(x, training=False)
            with tf.GradientTape() as tape:
                found = self.student(x, training=True)
                loss = tf.reduce_mean((found - y) ** 2) + tf.reduce_mean((found - wanted) ** 2)
            weights = self.student.trainable_variables
            gradients = tape.gradient(loss, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            for slow, fast in zip(self.teacher.weights, self.student.weights, strict=True):
                slow.assign(0.99 * slow + 0.01 * fast)  # a mean teacher
            return {"loss": loss}

    model = Distiller()
    model.compile("adam")
    return model


def siamese_spectral() -> Any:
    """An encoder with a spectrally normalised layer, called twice."""
    import keras

    dense = keras.layers.Dense
    normalised = keras.layers.SpectralNormalization(dense(5, name="inner"), name="spectral")
    encoder = keras.Sequential([keras.Input((6,)), normalised, dense(3, name="low")], name="enc")
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    apart = keras.layers.Subtract()([encoder(a), encoder(b)])
    return keras.Model([a, b], dense(1, activation="sigmoid", name="head")(apart))


def clears_keras() -> Any:
    """Begins as scripts do that build models in a loop."""
    import keras

    keras.backend.clear_session()
    return dense()


def kept_elsewhere() -> Any:
    """The same layer in every model, and importing this module again does not change it."""
    import builtins

    import keras

    layer = getattr(builtins, "_frostline_kept", None) or keras.layers.Dense(3, name="kept")
    builtins._frostline_kept = layer  # type: ignore[attr-defined]
    return keras.Sequential([keras.Input((6,)), layer])


def trained_with_schedule() -> Any:
    """Fitted by its builder, under a schedule that cannot be serialised."""
    import keras
    import numpy as np

    class Halving(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return 0.1 * 0.5 ** keras.ops.cast(step, "float32")

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="first")])
    optimizer = keras.optimizers.AdamW(Halving())
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "mse")
    model.fit(np.zeros((4, 6)), np.zeros((4, 3)), verbose=0)
    return model


def adds_loss() -> Any:
    """Compiled without a loss: a layer adds it."""
    import keras

    class Adds(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
            return inputs

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="first"), Adds()])
    model.compile("adam")
    return model


def trains_beside() -> Any:
    """Its step gives the optimizer a variable that is not the model's."""
    import keras
    import tensorflow as tf

    class Weighted(keras.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            variables = [*self.trainable_variables, weight]
            with tf.GradientTape() as tape:
                missed = tf.reduce_mean(tf.square(self(x, training=True) - y))
                loss = missed * tf.exp(-weight) + weight
            self.optimizer.apply_gradients(
                zip(tape.gradient(loss, variables), variables, strict=True)
            )
            return {"loss": loss}

    weight = tf.Variable(0.0)
    plain = dense(compiled=False)
    model = Weighted(plain.inputs, plain.outputs)
    model.compile("adam")
    return model


def counts_and_resets(after: int = 3) -> Any:
    """Adds gradients up, and updates when its counter says so."""
    import keras
    import tensorflow as tf

    class Adding(keras.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            variables = self.trainable_variables
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
                added[variable.path].assign_add(gradient)
            counter.assign_add(1)
            tf.cond(tf.equal(counter, after), self.update, lambda: None)
            return {"loss": loss}

        def update(self) -> None:
            variables = self.trainable_variables
            self.optimizer.apply_gradients(
                [(added[each.path].read_value(), each) for each in variables]
            )
            for each in variables:
                added[each.path].assign(tf.zeros(each.shape))
            counter.assign(0)

    plain = dense(compiled=False)
    model = Adding(plain.inputs, plain.outputs)
    counter = tf.Variable(0, trainable=False)
    added = {each.path: tf.Variable(tf.zeros(each.shape)) for each in model.trainable_variables}
    model.compile("adam", "mse")
    return model
