"""Models in the shapes of published measurements, for the ready studies `studies/published_*.toml`.

In: plain values from a study's `kwargs`. Out: compiled Keras models with random weights and stable
layer names. Every layer is trainable, because the study decides what is frozen.
"""

from __future__ import annotations

import keras
from keras import layers

from frostline.models import PositionEmbedding


def gpt2(
    vocabulary: int = 50_257,
    length: int = 128,
    width: int = 768,
    heads: int = 12,
    blocks: int = 12,
    classes: int = 0,
    dropout: float = 0.1,
) -> keras.Model:
    """A decoder in the shape of GPT-2: the smallest one by default, 124 million parameters.

    Args:
        vocabulary: number of tokens.
        length: tokens of an example.
        width: features of a token; divisible by `heads`.
        heads: attention heads of a block.
        blocks: number of blocks.
        classes: 0: predicts the next token at every position, with the weights of the embedding;
            more: classifies by the last token, with a Dense layer of its own.
        dropout: of embeddings, attention and both branches of a block.

    Returns:
        Layers `tokens`, `positions`, `block<i>_norm_1`, `block<i>_attention` with four nested ones,
        `block<i>_norm_2`, `block<i>_mlp_1`, `block<i>_mlp_2`, `norm`, and `head` where it
        classifies; Adam and sparse categorical cross-entropy of logits.
    """
    start = keras.Input((length,), dtype="int32", name="inputs")
    tokens = layers.ReversibleEmbedding(vocabulary, width, tie_weights=True, name="tokens")
    x = PositionEmbedding(length, name="positions")(tokens(start))
    x = layers.Dropout(dropout, name="dropout")(x)
    for block in range(1, blocks + 1):
        name = f"block{block}"
        normed = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_1")(x)
        attention = layers.MultiHeadAttention(
            heads, width // heads, dropout=dropout, name=f"{name}_attention"
        )
        attended = attention(normed, normed, use_causal_mask=True)
        attended = layers.Dropout(dropout, name=f"{name}_dropout_1")(attended)
        x = layers.Add(name=f"{name}_add_1")([x, attended])
        y = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_2")(x)
        y = layers.Dense(4 * width, activation="gelu", name=f"{name}_mlp_1")(y)
        y = layers.Dense(width, name=f"{name}_mlp_2")(y)
        y = layers.Dropout(dropout, name=f"{name}_dropout_2")(y)
        x = layers.Add(name=f"{name}_add_2")([x, y])
    x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    end = layers.Dense(classes, name="head")(x[:, -1]) if classes else tokens(x, reverse=True)
    model = keras.Model(start, end, name="gpt2")
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def resnet18(
    size: int = 224, classes: int = 1000, widths: tuple[int, ...] = (64, 128, 256, 512)
) -> keras.Model:
    """ResNet-18: a stem, two residual blocks of each width, average pooling, a softmax.

    Args:
        size: height and width of the images, divisible by 32.
        classes: units of the softmax.
        widths: channels of the four stages.

    Returns:
        Layers `stem`, `stem_norm`, `stage<i>_block<j>_conv_1`, `..._norm_1`, `..._conv_2`,
        `..._norm_2`, in the first block of every stage but the first `..._shortcut` with its norm,
        and `predictions`; Adam and categorical cross-entropy.
    """
    start = keras.Input((size, size, 3), name="inputs")
    x = _convolved(start, widths[0], 7, 2, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    for stage, width in enumerate(widths, start=1):
        for block in (1, 2):
            name = f"stage{stage}_block{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            y = layers.ReLU(name=f"{name}_relu_1")(_convolved(x, width, 3, stride, name, "_1"))
            y = _convolved(y, width, 3, 1, name, "_2")
            if stride > 1:
                x = _convolved(x, width, 1, stride, f"{name}_shortcut")
            x = layers.ReLU(name=f"{name}_relu_2")(layers.Add(name=f"{name}_add")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    end = layers.Dense(classes, activation="softmax", name="predictions")(x)
    model = keras.Model(start, end, name="resnet18")
    model.compile(optimizer=keras.optimizers.Adam(), loss="categorical_crossentropy")
    return model


def _convolved(
    x: keras.KerasTensor, width: int, size: int, stride: int, name: str, part: str = ""
) -> keras.KerasTensor:
    """A convolution without bias, normalised."""
    conv = f"{name}_conv{part}" if part else name
    x = layers.Conv2D(width, size, strides=stride, padding="same", use_bias=False, name=conv)(x)
    return layers.BatchNormalization(name=f"{name}_norm{part}")(x)
