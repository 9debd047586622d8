"""Ready-made models for studies, the demo and the benchmarks.

In: plain values from a study's `kwargs`. Out: compiled Keras models with stable layer names. Every
layer is trainable, because the study decides what is frozen. Refuses weights that do not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from keras import layers


def mlp_sequential(
    inputs: int = 100, hidden: Sequence[int] = (64, 32), classes: int = 10
) -> keras.Model:
    """Dense layers in a `Sequential`: 100 -> 64 -> 32 -> 10 by default.

    Args:
        inputs: features of an example.
        hidden: units of the hidden layers, each with a ReLU.
        classes: units of the softmax.

    Returns:
        Layers `dense_1`, `dense_2`, ...; Adam and categorical cross-entropy.
    """
    model = keras.Sequential(
        [keras.Input((inputs,), name="inputs"), *_dense_stack(hidden, classes)],
        name="mlp_sequential",
    )
    return _compiled(model)


def mlp_functional(
    inputs: int = 100, hidden: Sequence[int] = (64, 32), classes: int = 10
) -> keras.Model:
    """The model of `mlp_sequential`, written with the functional API.

    Args:
        inputs: features of an example.
        hidden: units of the hidden layers, each with a ReLU.
        classes: units of the softmax.
    """
    x = start = keras.Input((inputs,), name="inputs")
    for layer in _dense_stack(hidden, classes):
        x = layer(x)
    return _compiled(keras.Model(start, x, name="mlp_functional"))


def wide_mlp(
    inputs: int = 1024, width: int = 2048, depth: int = 4, classes: int = 10
) -> keras.Model:
    """A multilayer perceptron that spends its time in matrix products.

    Args:
        inputs: features of an example.
        width: units of every hidden layer.
        depth: number of hidden layers.
        classes: units of the softmax.
    """
    model = keras.Sequential(
        [keras.Input((inputs,), name="inputs"), *_dense_stack((width,) * depth, classes)],
        name="wide_mlp",
    )
    return _compiled(model)


def vgg16_transfer(
    input_shape: Sequence[int] = (224, 224, 3), weights: str = "imagenet", classes: int = 10
) -> keras.Model:
    """VGG16 without its top as one nested layer, then Flatten, Dense 256 and a softmax.

    Args:
        input_shape: height, width (32 or more each) and channels.
        weights: `imagenet` (fetched by Keras), a file's path, or `none` for random ones.
        classes: units of the softmax.

    Returns:
        Layers `vgg16`, `flatten`, `dense`, `predictions`; Adam and categorical cross-entropy.

    Raises:
        FileNotFoundError: `weights` names no file.
    """
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise FileNotFoundError(
            f'weights = "{weights}": no such file. Give "imagenet", "none" or a file with '
            "weights of VGG16 without its top."
        )
    base = keras.applications.VGG16(
        include_top=False,
        weights=None if weights == "none" else weights,
        input_shape=tuple(input_shape),
        name="vgg16",
    )
    model = keras.Sequential(
        [
            keras.Input(tuple(input_shape), name="inputs"),
            base,
            layers.Flatten(name="flatten"),
            layers.Dense(256, activation="relu", name="dense"),
            layers.Dense(classes, activation="softmax", name="predictions"),
        ],
        name="vgg16_transfer",
    )
    return _compiled(model)


def xception_transfer(
    input_shape: Sequence[int] = (150, 150, 3), weights: str = "none"
) -> keras.Model:
    """Xception as in the transfer-learning guide of Keras: rescaling, base, pooling, one logit.

    The base is called with `training=False`, so its BatchNorm layers use their moving statistics
    whether they are frozen or not.

    Args:
        input_shape: height, width (71 or more each) and channels.
        weights: `imagenet` (fetched by Keras), a file's path, or `none` for random ones.
    """
    base = keras.applications.Xception(
        include_top=False,
        weights=None if weights == "none" else weights,
        input_shape=tuple(input_shape),
        name="xception",
    )
    start = keras.Input(tuple(input_shape), name="inputs")
    x = layers.Rescaling(scale=1 / 127.5, offset=-1, name="rescaling")(start)
    x = base(x, training=False)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    end = layers.Dense(1, name="predictions")(x)
    model = keras.Model(start, end, name="xception_transfer")
    model.compile(
        optimizer=keras.optimizers.Adam(), loss=keras.losses.BinaryCrossentropy(from_logits=True)
    )
    return model


def small_convnet(
    side: int = 24, width: int = 32, blocks: int = 6, classes: int = 10
) -> keras.Model:
    """Blocks of convolution, BatchNorm and ReLU, all of one width; halved after every second one.

    With one width the blocks have nearly equal parameters, and the early ones do most of the work.
    So a prefix and a suffix can have the same frozen fraction and save very different work.

    Args:
        side: height and width of the images, which have three channels.
        width: channels of every convolution.
        blocks: number of blocks; at most two more than twice as often as `side` can be halved.
        classes: units of the softmax.

    Returns:
        Layers `block<i>_conv`, `block<i>_norm`, i from 1, and `predictions`.
    """
    x = start = keras.Input((side, side, 3), name="inputs")
    for block in range(1, blocks + 1):
        x = _conv_block(x, width, f"block{block}")
        if block % 2 == 0 and block < blocks:
            x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    end = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return _compiled(keras.Model(start, end, name="small_convnet"))


def small_batchnorm_net(
    side: int = 32, widths: Sequence[int] = (16, 32, 64), classes: int = 10
) -> keras.Model:
    """A residual network with BatchNorm for small images, one stage for each width.

    Args:
        side: height and width of the images, which have three channels.
        widths: channels of the stages; each stage halves the image.
        classes: units of the softmax.

    Returns:
        Layers `stem_conv`, `stem_norm`, `stage<i>_a_conv`, ..., `stage<i>_skip`, `predictions`.
    """
    start = keras.Input((side, side, 3), name="inputs")
    x = _conv_block(start, widths[0], "stem")
    for stage, width in enumerate(widths, start=1):
        skip = layers.Conv2D(width, 1, strides=2, name=f"stage{stage}_skip")(x)
        x = _conv_block(x, width, f"stage{stage}_a", strides=2)
        x = _conv_block(x, width, f"stage{stage}_b")
        x = layers.Add(name=f"stage{stage}_add")([x, skip])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    end = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return _compiled(keras.Model(start, end, name="small_batchnorm_net"))


def transformer_encoder(
    vocabulary: int = 1000,
    length: int = 64,
    width: int = 128,
    heads: int = 4,
    blocks: int = 4,
    classes: int = 10,
) -> keras.Model:
    """A transformer encoder that classifies sequences; norms before attention and before the MLP.

    Args:
        vocabulary: number of tokens.
        length: tokens of an example.
        width: features of a token; divisible by `heads`.
        heads: attention heads of a block.
        blocks: number of blocks.
        classes: units of the softmax.

    Returns:
        Layers `tokens`, `positions`, `block<i>_attention` with four nested ones, `block<i>_mlp_1`,
        `block<i>_mlp_2`, `block<i>_norm_1`, `block<i>_norm_2`, `norm`, `predictions`.
    """
    start = keras.Input((length,), dtype="int32", name="inputs")
    x = layers.Embedding(vocabulary, width, name="tokens")(start)
    x = PositionEmbedding(length, name="positions")(x)
    for block in range(1, blocks + 1):
        name = f"block{block}"
        normed = layers.LayerNormalization(name=f"{name}_norm_1")(x)
        attended = layers.MultiHeadAttention(heads, width // heads, name=f"{name}_attention")(
            normed, normed
        )
        x = layers.Add(name=f"{name}_add_1")([x, attended])
        y = layers.LayerNormalization(name=f"{name}_norm_2")(x)
        y = layers.Dense(4 * width, activation="gelu", name=f"{name}_mlp_1")(y)
        y = layers.Dense(width, name=f"{name}_mlp_2")(y)
        x = layers.Add(name=f"{name}_add_2")([x, y])
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    end = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return _compiled(keras.Model(start, end, name="transformer_encoder"))


class PositionEmbedding(layers.Layer):  # type: ignore[misc]
    """Adds a trainable vector to each position of a sequence: `(batch, length, width)`."""

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = length

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the vectors."""
        self.vectors = self.add_weight(
            name="vectors", shape=(self.length, input_shape[-1]), initializer="random_normal"
        )

    def call(self, inputs: Any) -> Any:
        """Return the inputs with their positions' vectors added."""
        return inputs + self.vectors

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` takes."""
        return {**super().get_config(), "length": self.length}


def _dense_stack(hidden: Sequence[int], classes: int) -> list[layers.Layer]:
    stack = [
        layers.Dense(units, activation="relu", name=f"dense_{number}")
        for number, units in enumerate(hidden, start=1)
    ]
    name = f"dense_{len(stack) + 1}"
    return [*stack, layers.Dense(classes, activation="softmax", name=name)]


def _conv_block(x: Any, width: int, name: str, strides: int = 1) -> Any:
    x = layers.Conv2D(width, 3, strides=strides, padding="same", name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _compiled(model: keras.Model) -> keras.Model:
    model.compile(optimizer=keras.optimizers.Adam(), loss="categorical_crossentropy")
    return model
